//! Every bound of the record chain, with its unit in its name.

/// Bytes of one checkpoint with its signatures.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;
/// Signature lines looked at in one note; the specification asks for 16 at least.
pub const SIGNATURES_MAX: usize = 64;
/// Bytes of an origin line.
pub const ORIGIN_BYTES_MAX: usize = 256;
/// Levels of a tree whose size is a u64.
pub const LEVELS_MAX: usize = 64;
/// Leaves of one tree.
pub const SIZE_MAX: u64 = 1 << 60;
/// Lines out of place whose text a verifier keeps, to recognise where they belong.
pub const DISPLACED_LINES_MAX: usize = 64;
/// Lines that a verifier remembers to recognise those that were written a second time.
pub const REPEATED_LINES_MAX: usize = 32 << 10;
/// Findings told one by one; further ones are counted.
pub const FINDINGS_MAX: usize = 100;
/// Notes told one by one; further ones are counted.
pub const NOTES_MAX: usize = 1_000;
/// Workers of a gateway, each with a chain.
pub const WORKERS_MAX: u32 = 1 << 12;
/// Runs that are looked at in one verification: more than years of daily restarts, and each is remembered.
pub const RUNS_MAX: usize = 20_000;
/// Chains of all these runs.
pub const CHAINS_MAX: usize = 1 << 18;
/// Places that a verifier remembers, to go back to when lines prove not to belong there.
pub const BRANCHES_MAX: usize = 8;
