//! Every bound of the control threads, with its unit in its name.

/// Formatted parts of lines that the audit writer keeps.
pub const RECORDS_PHRASES: usize = 1_024;
/// Bytes of one of them with the facts that it follows from; a longer one is formatted each time.
pub const RECORDS_PHRASE_BYTES_MAX: usize = 1_024;
/// Bytes of formatted records gathered before they are written.
pub const RECORDS_BATCH_BYTES_MAX: usize = 256 << 10;
/// Bytes of whole lines that are encrypted as one batch: a kill in the middle of a write loses at most so many.
pub const RECORDS_ENCRYPTED_BATCH_BYTES: usize = 64 << 10;
/// Bytes of a batch that is read: the longest line in one, and what age adds.
pub const RECORDS_ENCRYPTED_FILE_BYTES_MAX: usize = 8 << 20;
/// Bytes of what stands in the line that says to whom: as many recipients as a file has, each a blank and 62 characters.
pub const RECORDS_ENCRYPTED_TO_BYTES_MAX: usize = age_format::RECIPIENTS_MAX * 63;
/// Bytes that are read from a record file at once.
pub const RECORDS_READ_BYTES: usize = 256 << 10;
/// Longest pause between two attempts to write records, milliseconds.
pub const RECORDS_RETRY_MS_MAX: u64 = 1_000;
/// First pause after a failed write of records, milliseconds.
pub const RECORDS_RETRY_MS_MIN: u64 = 10;
/// How often a failing record file is complained about on stderr, seconds.
pub const RECORDS_COMPLAINT_INTERVAL_S: u64 = 60;
/// How often the record file is compared with what stands at its path, milliseconds.
pub const RECORDS_RENAME_CHECK_MS: u64 = 1_000;
/// How often a change of the loss counters gives a line, milliseconds.
pub const RECORDS_LOSS_INTERVAL_MS: u64 = 1_000;
/// Bytes of one name in a redacted query; a longer one is likelier a value.
pub const QUERY_NAME_BYTES_MAX: usize = 64;

/// Messages of other control threads that wait for the audit writer.
pub const RECORDS_MESSAGES_MAX: usize = 1_024;

/// Connections of the admin listener at the same time; for a further one, the oldest of the client with the most is closed.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Time for one request head of the admin listener, and the longest it idles, seconds.
pub const ADMIN_HEAD_S_MAX: u64 = 10;
/// Bytes of one request head of the admin listener.
pub const ADMIN_HEAD_BYTES_MAX: usize = 16 << 10;
/// Connections of the status listener whose client has shown its certificate, at the same time; for a further one, the oldest
/// of the client with the most is closed.
pub const STATUS_CONNECTIONS_MAX: usize = 32;
/// The same of those whose client has not yet.
pub const STATUS_STRANGERS_MAX: usize = 64;
/// Time for one TLS handshake of the status listener, seconds.
pub const STATUS_HANDSHAKE_S_MAX: u64 = 5;
/// TLS handshakes that the status listener answers in one second; further ones wait.
pub const STATUS_HANDSHAKES_PER_S_MAX: u32 = 50;
/// Longest life of one connection of the status listener, seconds.
pub const STATUS_CONNECTION_S_MAX: u64 = 300;
/// Attestations signed in one second, for each listener; further ones are told to ask again.
pub const ATTESTATIONS_PER_S_MAX: u32 = 50;
/// A worker that has not turned its loop for so long stands still, nanoseconds.
pub const WORKER_STILL_NS_MAX: u64 = 5_000_000_000;

/// Activations of one table alive at the same time; a further one is refused.
pub const ACTIVATIONS_OF_TABLE_MAX: usize = 64;

/// Bytes of a table that are hashed at a time, between pauses.
pub const REHASH_SLICE_BYTES: usize = 256 << 10;
/// Bytes of tables hashed in a second at most.
pub const REHASH_BYTES_PER_S_MAX: u64 = 64 << 20;
/// Share of one core that hashing takes at most, percent.
pub const REHASH_CORE_PERCENT_MAX: u32 = 1;
/// The longest pause between two slices, milliseconds.
pub const REHASH_PAUSE_MS_MAX: u64 = 250;
/// The shortest time from one look at all tables to the next, milliseconds.
pub const REHASH_PASS_MS_MIN: u64 = 500;
/// Times that a table in memory is put right before the gateway stops.
pub const TABLE_REPAIRS_MAX: u32 = 16;

/// How long exchanges may hold up a further activation when too many are alive: then those that run on the
/// oldest are ended. Nanoseconds.
pub const ACTIVATION_GRACE_NS: u64 = 2_000_000_000;
/// How long an activation waits for a place in all, milliseconds.
pub const ACTIVATION_WAIT_MS_MAX: u64 = 5_000;
/// How often it looks for one, milliseconds.
pub const ACTIVATION_LOOK_MS: u64 = 20;

/// How often watched files are looked at, milliseconds.
pub const WATCH_INTERVAL_MS: u64 = 1_000;
/// Files of revocation lists that are kept of client CAs that are gone; of more, the oldest go. As many as a policy may have.
pub const KEPT_LISTS_OF_GONE_CAS_MAX: usize = 64;
/// Distances from the end of something at which it is told, seconds; 0: it has ended.
pub const EXPIRY_DISTANCES_S: [u64; 8] =
    [0, 3_600, 6 * 3_600, 86_400, 3 * 86_400, 7 * 86_400, 14 * 86_400, 30 * 86_400];
/// How often it is looked at what ends, seconds.
pub const EXPIRY_INTERVAL_S: u64 = 10;
/// API keys of a policy whose ends are told and shown: those that end soonest.
pub const EXPIRY_API_KEYS_MAX: usize = 256;
/// Things whose ends are shown in metrics and to `adamant status`: those that end soonest.
pub const EXPIRY_SHOWN_MAX: usize = 512;
/// Bytes of the file that says which ends were told.
pub const EXPIRY_BYTES_MAX: usize = 1 << 20;
/// How often control reads what workers noted of uses, milliseconds.
pub const LAST_USE_MERGE_MS: u64 = 1_000;
/// How often last uses are written to the state directory, seconds: what a kill loses at most.
pub const LAST_USE_SAVE_S: u64 = 60;
/// Credentials that the release does not name (certificates, those of earlier releases) whose last use is kept.
pub const LAST_USES_UNDECLARED_MAX: usize = 65_536;
/// Credentials in one answer of `/last-use`: those unused for longest.
pub const LAST_USES_SHOWN_MAX: usize = 100_000;
/// Bytes of the file of last uses: all agents and API keys that a policy can have.
pub const LAST_USE_BYTES_MAX: usize = 512 << 20;
/// How often origins are resolved again, seconds.
pub const RESOLVE_INTERVAL_S: u64 = 30;
/// How soon after a round that left a name without any address, seconds.
pub const RESOLVE_RETRY_S: u64 = 5;
/// Time for resolving one name, seconds.
pub const RESOLVE_S_MAX: u64 = 5;
/// Addresses taken from one name.
pub const RESOLVED_ADDRESSES_MAX: usize = 16;
/// Bytes that are read where a key set is expected, from a file or by HTTPS: enough to say how far one is beyond
/// `KEYSET_BYTES_MAX` of identity (64 KiB), which is refused.
pub const JWKS_BYTES_MAX: usize = 1 << 20;
/// Bytes of a secret that an origin knows the gateway by.
pub const ORIGIN_SECRET_BYTES_MAX: usize = 4 << 10;
/// Bytes of what a KV engine says of one secret.
pub const KV_BYTES_MAX: usize = 256 << 10;
/// Pause before a secret that could not be fetched is asked for again, milliseconds: doubles from the first to the second. The
/// first is also the least time between two fetches.
pub const CREDENTIAL_RETRY_MS_MIN: u64 = 1_000;
pub const CREDENTIAL_RETRY_MS_MAX: u64 = 60_000;
/// The longest such pause while there is none, milliseconds: requests that need it are refused.
pub const CREDENTIAL_MISSING_RETRY_MS_MAX: u64 = 10_000;
/// How long before its end an access token is used no more, milliseconds, or a tenth of its life where that is less.
pub const TOKEN_MARGIN_MS_MAX: u64 = 5_000;
/// Bytes of a secret's thumbprint.
pub const SECRET_THUMBPRINT_BYTES: usize = 8;
/// How long a key signs assertions before the next one does, unless configured, and how long it may be made to, seconds.
pub const ASSERTION_ROTATION_S: u64 = 86_400;
pub const ASSERTION_ROTATION_S_MIN: u64 = 5;
pub const ASSERTION_ROTATION_S_MAX: u64 = 30 * 86_400;
/// How long a key stays published after it signed last, seconds: the life of an assertion, clocks that are apart by a
/// minute, and exchanges that began before.
pub const ASSERTION_KEY_KEPT_S: u64 = 120;
/// Keys of assertions, all together: so many rotations of the shortest kind fit into the time that one is kept.
pub const ASSERTION_KEYS_MAX: usize = 32;
/// Bytes of a certificate chain or key file.
pub const PEM_BYTES_MAX: usize = 1 << 20;
/// Time for fetching a key set, metadata, or a secret towards origins, milliseconds, the look-up of the name included; of it
/// for each connection and handshake.
pub const FETCH_MS_MAX: u64 = 10_000;
pub const FETCH_STEP_MS_MAX: u64 = 5_000;
/// Keys that an issuer took away whose `kid`s are remembered: four full key sets.
pub const GONE_KIDS_MAX: usize = 256;
/// Thumbprints of which the rotation log remembers since when they are there. Past it, it begins anew.
pub const STANDING_MAX: usize = 4_096;
/// Thumbprints in one list of a line of the rotation log: two of 64 API keys, and the serial.
pub const REFRESH_THUMBPRINTS_MAX: usize = 129;
/// Fetches that ended and were not looked at yet.
pub const ISSUERS_IN_FLIGHT_MAX: usize = 64;
/// How often control looks whether workers ask for newer keys, milliseconds.
pub const ASKS_LOOK_MS: u64 = 20;
/// Time from one look for an unknown key of an issuer to the next, milliseconds.
pub const ASK_PAUSE_MS: u64 = 5_000;
/// How far a kept keyset may come from the future (a step by the time service), seconds.
pub const KEPT_CLOCK_STEP_S_MAX: u64 = 60;
/// Pause before a failed fetch is tried again, seconds: doubles from the first to the second.
pub const FETCH_RETRY_S_MIN: u64 = 5;
pub const FETCH_RETRY_S_MAX: u64 = 300;

/// Questions about opaque tokens on their way to issuers at the same time: shared by issuers, and of each by clients.
pub const INTROSPECTIONS_IN_FLIGHT_MAX: usize = 128;
/// Time for one of them, milliseconds; of it for each of name, connection and handshake.
pub const INTROSPECTION_MS_MAX: u64 = 2_000;
pub const INTROSPECTION_STEP_MS_MAX: u64 = 1_000;
/// Bytes of an answer.
pub const INTROSPECTION_BYTES_MAX: usize = 64 << 10;
/// Time from one message about an issuer that gives no answers to the next, seconds.
pub const INTROSPECTION_TOLD_S: u64 = 10;

/// Time between two checkpoints of the records, milliseconds, unless configured.
pub const CHECKPOINT_INTERVAL_MS: u64 = 10_000;
/// Checkpoints on their way from the audit writer to the thread that signs them.
pub const CHECKPOINTS_QUEUED_MAX: usize = 16;
/// Places outside the gateway that checkpoints go to.
pub const CHECKPOINT_PLACES_MAX: usize = 8;
/// Pause before a checkpoint is sent again, milliseconds: doubles from the first to the second.
pub const CHECKPOINT_RETRY_MS_MIN: u64 = 500;
pub const CHECKPOINT_RETRY_MS_MAX: u64 = 60_000;
/// Time for each attempt to connect to a witness, and for the TLS handshake, milliseconds.
pub const WITNESS_MS_MAX: u64 = 5_000;
/// Time for one whole exchange with a witness, from the look-up of its name to the last byte, milliseconds: where the first
/// name server is gone, the look-up alone takes 5 s.
pub const WITNESS_EXCHANGE_MS_MAX: u64 = 15_000;
/// Bytes of a witness's answer.
pub const WITNESS_BYTES_MAX: usize = 16 << 20;

/// Certificates that are obtained from issuers.
pub const CERTIFICATES_OBTAINED_MAX: usize = 64;
/// Names of one of them.
pub const CERTIFICATE_NAMES_MAX: usize = 32;
/// Time for what a start cannot do without, each, seconds.
pub const OBTAIN_START_S_MAX: u64 = 30;
/// Time for one request to a PKI engine, seconds.
pub const SIGN_S_MAX: u64 = 20;
/// The shortest time from one certificate to the next of the same kind, seconds.
pub const OBTAIN_PAUSE_S_MIN: u64 = 2;
/// How often the clock is looked at while nothing is due, seconds.
pub const OBTAIN_LOOK_S_MAX: u64 = 60;
/// Pause before an issuer that was not reached is asked again, milliseconds: doubles from the first to the second.
pub const OBTAIN_RETRY_MS_MIN: u64 = 2_000;
pub const OBTAIN_RETRY_MS_MAX: u64 = 300_000;
/// The longest once the certificate has ended, or where there never was one.
pub const OBTAIN_ENDED_RETRY_MS_MAX: u64 = 10_000;
/// The same where an ACME server refused an order.
pub const ORDER_RETRY_MS_MIN: u64 = 60_000;
pub const ORDER_RETRY_MS_MAX: u64 = 3_600_000;
/// The longest that an ACME server can have itself left alone for, seconds.
pub const RETRY_AFTER_S_MAX: u64 = 86_400;
