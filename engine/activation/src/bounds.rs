//! Every bound of what control and workers share.

/// Activations alive at the same time; a further one is refused.
pub const ACTIVATIONS_ALIVE_MAX: usize = 4;
/// Limits that one request can be charged for.
pub const LIMITS_PER_AGENT_MAX: usize = 8;
/// Bytes of the ring for permitted exchanges, per worker, unless configured.
pub const RECORD_RING_BYTES: usize = 8 << 20;
/// Bytes of the ring for denials, per worker, unless configured.
pub const DENIAL_RING_BYTES: usize = 2 << 20;
/// Bytes of one encoded record: fixed part, a target and a host of their largest sizes, a subject and its scopes.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// How often the audit writer drains the rings, milliseconds.
pub const RECORD_DRAIN_INTERVAL_MS: u64 = 2;
/// The longest that it waits while nothing comes, milliseconds.
pub const RECORD_IDLE_INTERVAL_MS_MAX: u64 = 10;
/// Cache lines of counters, one an agent with limits, all activations together: 128 MiB.
pub const COUNTER_LINES_MAX: usize = 1 << 21;
/// Slots of all tables of subjects together, two for each subject that a limit may count: about 470 MiB.
pub const SUBJECT_SLOTS_MAX: usize = 1 << 22;
/// Times that a table of subjects can grow, by releases that raise its size, before a restart lays it out anew.
pub const SUBJECT_LEVELS_MAX: usize = 8;
/// Bytes of a subject that are kept as they are; a longer one is kept as its SHA-256.
pub const SUBJECT_INLINE_BYTES_MAX: usize = 96;
/// Slots of a full table of subjects that one request looks through for an idle one, beside its own buckets.
pub const SUBJECT_SWEEP_SLOTS: usize = 64;
/// Turns that a request waits for another one that is just making an entry, and times it starts over.
pub const SUBJECT_TRIES_MAX: usize = 64;
/// Life of an assertion, seconds: one request is on its way to its origin for so long at most.
pub const ASSERTION_LIFE_S: u64 = 30;
/// How far the cached clocks of two workers may be apart, nanoseconds: what is cleared by the clock of a control
/// thread leaves so much room.
pub const CLOCK_SKEW_NS_MAX: u64 = 1_000_000_000;
/// Longest time that a DPoP proof is remembered, seconds: the oldest that is taken, the furthest ahead, and the leeway of
/// an issuer on both sides.
pub const PROOF_KEPT_S_MAX: u64 = 1_024;
/// One subject takes at most one part in so many of the room for proofs.
pub const PROOF_SHARE_PART: usize = 2;
/// Of its share it takes at most one part in so many at once, the rest over the time that a proof lives.
pub const PROOF_SHARE_BURST_PART: usize = 8;
/// Buckets by which the shares of subjects are counted.
pub const PROOF_SHARE_BUCKETS: usize = 4_096;
/// Times that a worker looks for a slot for a proof while others take them.
pub const PROOF_TRIES_MAX: usize = 8;
/// Opaque tokens whose answers are kept, of all workers: about 1 KiB each where all are active.
pub const INQUIRIES_MAX: usize = 16 << 10;
/// Places that one of them can stand in.
pub const INQUIRY_SET_PLACES: usize = 8;
/// Questions that control has not taken yet: shared by issuers, and of each by clients.
pub const INQUIRIES_QUEUED_MAX: usize = 1 << 10;
/// How long a question may go without an answer until it is asked again, milliseconds.
pub const INQUIRY_PENDING_MS_MAX: u64 = 5_000;
/// How long it counts that a token is not accepted, milliseconds.
pub const INQUIRY_REFUSED_MS: u64 = 5_000;
/// How long an answer counts at least, so that those who wait for it find it, milliseconds.
pub const INQUIRY_HANDED_MS: u64 = 100;
/// How long nobody is asked again after there was no answer, milliseconds.
pub const INQUIRY_FAILED_MS: u64 = 1_000;
/// Certificates whose last use a worker remembers until control has read it: 128 KiB.
pub const CERTIFICATES_NOTED: usize = 2_048;
/// Places that one of them can stand in.
pub const CERTIFICATES_NOTED_WAYS: usize = 4;
