//! Every bound of the control threads, with its unit in its name.

/// Bytes of formatted records gathered before they are written.
pub const RECORDS_BATCH_BYTES_MAX: usize = 256 << 10;
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

/// Connections of the admin listener at the same time; further ones are closed.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Time for one request head of the admin listener, and the longest it idles, seconds.
pub const ADMIN_HEAD_S_MAX: u64 = 10;
/// Bytes of one request head of the admin listener.
pub const ADMIN_HEAD_BYTES_MAX: usize = 16 << 10;
/// A worker that has not turned its loop for so long stands still, nanoseconds.
pub const WORKER_STILL_NS_MAX: u64 = 5_000_000_000;

/// Activations of one table alive at the same time; a further one is refused.
pub const ACTIVATIONS_OF_TABLE_MAX: usize = 64;

/// How often watched files are looked at, milliseconds.
pub const WATCH_INTERVAL_MS: u64 = 1_000;
/// How often origins are resolved again, seconds.
pub const RESOLVE_INTERVAL_S: u64 = 30;
/// How soon after a round that left a name without any address, seconds.
pub const RESOLVE_RETRY_S: u64 = 5;
/// Time for resolving one name, seconds.
pub const RESOLVE_S_MAX: u64 = 5;
/// Addresses taken from one name.
pub const RESOLVED_ADDRESSES_MAX: usize = 16;
/// Bytes of a key set, whether from a file or by HTTPS.
pub const JWKS_BYTES_MAX: usize = 1 << 20;
/// Bytes of a certificate chain or key file.
pub const PEM_BYTES_MAX: usize = 1 << 20;
/// Time for fetching a key set, seconds.
pub const FETCH_S_MAX: u64 = 10;
/// Pause before a failed fetch is tried again, seconds: doubles from the first to the second.
pub const FETCH_RETRY_S_MIN: u64 = 5;
pub const FETCH_RETRY_S_MAX: u64 = 300;
