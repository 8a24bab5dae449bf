//! Every bound of the language, each with its unit in its name.

/// Length of a policy source.
pub const SOURCE_BYTES_MAX: usize = 64 << 20;
/// Length of an embedded JWK Set.
pub const JWKS_BYTES_MAX: usize = 64 << 10;
/// Length of an embedded PEM file.
pub const PEM_BYTES_MAX: usize = 256 << 10;
/// Diagnostics of one run; the rest are counted.
pub const DIAGNOSTICS_MAX: usize = 1_000;

pub use policy::bounds::{
    AGENTS_MAX, API_KEY_ID_BYTES_MAX, API_KEYS_MAX, CLAIM_BYTES_MAX, CLIENT_CA_ANCHORS_MAX, LEEWAY_S_MAX,
    LIMITS_PER_AGENT_MAX, LOCATION_BYTES_MAX, METHOD_BYTES_MAX, METHODS_EXTENSION_MAX, NAME_BYTES_MAX, ORIGINS_MAX,
    PATH_BYTES_MAX, ROUTES_MAX, SCOPE_NAME_BYTES_MAX, SCOPES_MAX, SEGMENTS_MAX, SUBJECT_BYTES_MAX,
};
pub const ISSUERS_MAX: usize = 64;
pub const CLIENT_CAS_MAX: usize = 64;

pub const METHODS_PER_ROUTE_MAX: usize = 64;
pub const ADDRESSES_PER_ORIGIN_MAX: usize = 64;
pub const AUDIENCES_PER_ISSUER_MAX: usize = 64;
/// Times [`API_KEYS_PER_PROOF_MAX`] they are the sets of proofs that a table holds for one agent.
pub const ALTERNATIVES_PER_AGENT_MAX: usize = policy::bounds::IDENTITIES_PER_AGENT_MAX;
pub const API_KEYS_PER_PROOF_MAX: usize = policy::bounds::ALTERNATIVES_PER_AGENT_MAX / ALTERNATIVES_PER_AGENT_MAX;
pub const EXCEPTED_SUBJECTS_MAX: usize = 65_536;
/// Keys in a pinned JWK Set.
pub const KEYS_PER_SET_MAX: usize = 64;

/// Cases of a policy, in all its files.
pub const CASES_MAX: usize = 65_536;
pub const CASE_FILES_MAX: usize = 256;
/// Length of a file of cases.
pub const CASE_FILE_BYTES_MAX: usize = 4 << 20;
pub const CASE_NAME_BYTES_MAX: usize = 200;
pub const CASE_STEPS_MAX: usize = 256;
/// Requests of one step of a case.
pub const CASE_REPEAT_MAX: u32 = 1_000_000;
/// Time between two steps of a case.
pub const CASE_AFTER_MAX_S: u32 = 366 * 86_400;

pub const REFRESH_MIN_S: u32 = 1;
pub const REFRESH_MAX_S: u32 = 86_400;
pub const STALE_MAX_S: u32 = 30 * 86_400;
/// How long what an issuer says of a token counts.
pub const INTROSPECTION_MIN_S: u32 = 1;
pub const INTROSPECTION_MAX_S: u32 = 3_600;
/// Length of what the tokens of an issuer begin with.
pub const PREFIX_BYTES_MAX: usize = 64;
/// Requests in one unit of a limit, and requests of a burst.
pub const LIMIT_COUNT_MAX: u32 = 1_000_000_000;
/// Time in which an empty bucket fills again.
pub const BURST_REFILL_MAX_S: u64 = 366 * 86_400;
pub const SUBJECTS_DEFAULT: u32 = 65_536;
pub const SUBJECTS_MAX: u32 = 1 << 24;

/// Pairs of path nodes that the search for overlapping routes looks at, in one policy.
pub const OVERLAP_STEPS_MAX: usize = 2_000_000;
/// Overlapping pairs that are reported one by one.
pub const OVERLAPS_REPORTED_MAX: usize = 64;
/// Names compared to find what a misspelt one may mean, in one run.
pub const SUGGESTION_STEPS_MAX: usize = 2_000_000;
