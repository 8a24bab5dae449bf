//! Every bound of the agent's side, with its unit in its name.

/// Life of an agent's certificate unless another one is asked for, seconds.
pub const LIFE_CLIENT_S: u64 = 24 * 3_600;
/// Longest life of an agent's certificate, seconds.
pub const LIFE_CLIENT_S_MAX: u64 = 7 * 86_400;
/// Life of a server's certificate unless another one is asked for, seconds.
pub const LIFE_SERVER_S: u64 = 30 * 86_400;
/// Longest life of a server's certificate, seconds.
pub const LIFE_SERVER_S_MAX: u64 = 90 * 86_400;
/// Shortest life of anything that is issued, seconds.
pub const LIFE_S_MIN: u64 = 5;
/// Life of a CA unless another one is asked for, seconds.
pub const LIFE_CA_S: u64 = 5 * 365 * 86_400;
/// Longest life of a CA, seconds.
pub const LIFE_CA_S_MAX: u64 = 20 * 365 * 86_400;
/// Life of a CRL unless another one is asked for, seconds.
pub const LIFE_CRL_S: u64 = 7 * 86_400;
/// Longest life of a CRL, seconds.
pub const LIFE_CRL_S_MAX: u64 = 365 * 86_400;
/// How far certificates begin in the past, for clocks that differ, seconds.
pub const BACKDATED_S: u64 = 60;
/// Bytes of a serial number (RFC 5280 §4.1.2.2 allows 20).
pub const SERIAL_BYTES: usize = 16;
/// Names of one server certificate, and names that a CA may issue to servers for.
pub const SERVER_NAMES_MAX: usize = 64;
/// Bytes of a CA's log: about 1.7 million certificates.
pub const LOG_BYTES_MAX: usize = 512 << 20;
/// Bytes of the last line of a CA's log that are looked at when one is added.
pub const LOG_LINE_BYTES_MAX: u64 = 64 << 10;
/// Time that another command on the same CA is waited for, seconds.
pub const LOCK_S_MAX: u64 = 10;
/// How often it is looked at meanwhile, milliseconds.
pub const LOCK_LOOK_MS: u64 = 50;

/// Bytes of a SPIFFE id (SPIFFE-ID §2.3).
pub const SPIFFE_BYTES_MAX: usize = 2_048;
/// Bytes of a trust domain (SPIFFE-ID §2.1).
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Bytes of a profile, certificate, key, CSR, CRL or token.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Bytes of one line that is a secret.
pub const SECRET_BYTES_MAX: usize = 16 << 10;
/// Generations of key and certificate that stay for readers who have just opened an older one.
pub const GENERATIONS_KEPT: usize = 3;

/// Renewal comes so much earlier at most than two thirds of life, in thousandths of life.
pub const JITTER_PER_MILLE_MAX: u64 = 50;
/// First pause after a renewal that failed, milliseconds.
pub const RETRY_MS_MIN: u64 = 1_000;
/// Longest pause after a renewal that failed, milliseconds.
pub const RETRY_MS_MAX: u64 = 300_000;
/// The same once what is in use has ended, milliseconds.
pub const RETRY_ENDED_MS_MAX: u64 = 10_000;
/// The same where an ACME server refused an order, or what it gave was refused: it counts them.
pub const ORDER_RETRY_MS_MIN: u64 = 60_000;
pub const ORDER_RETRY_MS_MAX: u64 = 3_600_000;
/// The longest that an ACME server can have itself left alone for, seconds.
pub const RETRY_AFTER_S_MAX: u64 = 86_400;
/// Longest sleep before the clock is looked at again: a machine may have slept meanwhile, milliseconds.
pub const LOOK_MS_MAX: u64 = 30_000;
/// The same while a renewal runs; one that has just begun is given as long before anybody is warned of an end, milliseconds.
pub const RUNNING_LOOK_MS: u64 = 2_000;
/// Times that one renewal asks, where the profile is another one whenever it was answered.
pub const RENEWAL_ROUNDS_MAX: u32 = 3;
/// Pause after a renewal for which a release was the only reason, up to a quarter shorter by chance, milliseconds: whoever
/// moves a pointer to and fro has no certificate ordered each time.
pub const RELEASE_PAUSE_MS: u64 = 60_000;
/// Time that a hook may take, seconds.
pub const HOOK_S_MAX: u64 = 60;
/// Hooks of one run.
pub const HOOKS_MAX: usize = 16;
/// Lines of the log of `agent run` that wait for hooks of those before them; while there are as many, nothing that ended is
/// looked at.
pub const HOOKS_LINES_MAX: usize = 64;
/// Pause after a renewal that worked, unless one is ordered, milliseconds: what lives for a second is not renewed all the time.
pub const RENEWED_PAUSE_MS: u64 = 1_000;
/// Renewals that are followed at once when they are ordered (SIGHUP), in a row, and the pause of each one beyond, seconds: hooks may
/// order again, and a CA counts what it issues.
pub const ORDERED_AT_ONCE_MAX: u32 = 10;
pub const ORDERED_PAUSE_S: u64 = 60;
/// Time that SIGTERM leaves renewals that are running, seconds.
pub const STOP_S_MAX: u64 = 15;
/// Time that those who have just put something in use are given to say so at the end, milliseconds.
pub const STOP_TOLD_MS: u64 = 100;

/// Between two looks at the store of a channel, milliseconds. A profile grants nothing: there is no haste.
pub const CHANNEL_LOOK_MS: u64 = 2_000;
/// Longest time that nothing of a channel is read, milliseconds: what ends by the clock alone is noticed then.
pub const CHANNEL_READ_MS_MAX: u64 = 300_000;
/// Bytes of what a profile remembers of its channel: a trust root, a pointer, and a line for each document.
pub const CHANNEL_BYTES_MAX: usize = 4 << 20;
/// Trust roots that one look follows.
pub const CHANNEL_ROOTS_MAX: usize = 64;
/// Releases whose profile documents have a lowest serial that is remembered; the ones before are forgotten.
pub const CHANNEL_DOCUMENTS_MAX: usize = 32;
/// What a look at a channel may have said before it is written to the log.
pub const CHANNEL_EVENTS_MAX: usize = 16;

/// Time for a connection to be made, TLS included, seconds.
pub const CONNECT_S_MAX: u64 = 10;
/// Time for a CA elsewhere to sign, from the look-up of its name to the last byte, seconds.
pub const SIGN_S_MAX: u64 = 30;
/// Time for a token to be fetched, from the look-up of the server's name to the last byte, seconds.
pub const TOKEN_FETCH_S_MAX: u64 = 20;
/// Life of what the agent's key signs for its token endpoint, seconds.
pub const ASSERTION_LIFE_S: u64 = 60;
/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 8;
/// Time for an answer to a question of the doctor, seconds.
pub const ANSWER_S_MAX: u64 = 10;
/// Bytes of an answer that are read whole.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Clocks that differ by more are told, seconds.
pub const CLOCK_SKEW_S_MAX: u64 = 30;
/// The same for those who make DPoP proofs and are ahead: the gateway takes them 5 s early, without `leeway`.
pub const CLOCK_AHEAD_S_MAX: u64 = 5;

/// Local connections of the proxy at the same time; further ones wait.
pub const PROXY_CONNECTIONS_MAX: usize = 256;
/// Beside them, where there is a secret: those that have not shown it yet; who comes last always gets in.
pub const PROXY_STRANGERS_MAX: usize = 256;
/// Times that a profile is read which changes meanwhile.
pub const PROFILE_READS_MAX: usize = 3;
/// Idle connections to the gateway that the proxy keeps.
pub const PROXY_IDLE_MAX: usize = 32;
/// How long an idle connection to the gateway is kept, seconds: shorter than a gateway's own limit.
pub const PROXY_IDLE_S_MAX: u64 = 45;
/// Time for the head of a local request, and the longest a local connection idles, seconds.
pub const PROXY_HEAD_S_MAX: u64 = 60;
/// Bytes of the head of a local request.
pub const PROXY_HEAD_BYTES_MAX: usize = 64 << 10;
/// Time from a request to the head of the gateway's response, seconds.
pub const PROXY_RESPONSE_S_MAX: u64 = 600;
/// Bytes of content that the proxy keeps to send it again with the nonce that the gateway wants in DPoP proofs.
pub const PROXY_KEPT_BYTES_MAX: u64 = 64 << 10;
/// Age at which a nonce of the gateway is no longer sure to be taken, seconds: the gateway's last two minutes at least.
pub const PROXY_NONCE_S_MAX: u64 = 100;
/// Time that SIGTERM leaves what runs in the proxy, seconds.
pub const PROXY_DRAIN_S_MAX: u64 = 10;
/// Bytes of each text in a line of the log of `agent run`; what is longer is cut.
pub const RUN_TEXT_BYTES_MAX: usize = 2_048;
/// Texts of a list in a line of it.
pub const RUN_LIST_MAX: usize = 16;
/// Lines that whoever reads them may be behind; further ones are lost.
pub const RUN_LINES_MAX: usize = 256;
/// Time that the last lines are given at the end, milliseconds.
pub const RUN_LINES_END_MS: u64 = 2_000;
/// Bytes of a line of the log of `agent run`, when it is looked at.
pub const RUN_LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of what a profile keeps of its log, as it is written: with the longest number.
pub const RUN_HEAD_BYTES: usize = 128;
/// The same, as it is read.
pub const RUN_HEAD_BYTES_MAX: usize = 4_096;
