//! Every bound of a policy and of its table. A policy beyond one does not compile.

/// Agents in a policy.
pub const AGENTS_MAX: usize = 1 << 20;
/// Routes in a policy.
pub const ROUTES_MAX: usize = 65_536;
/// Scopes in a policy.
pub const SCOPES_MAX: usize = 4_096;
/// Origins in a policy.
pub const ORIGINS_MAX: usize = 4_096;
/// Token issuers in a policy.
pub const ISSUERS_MAX: usize = 1_024;
/// Client CAs in a policy.
pub const CLIENT_CAS_MAX: usize = 64;
/// API keys in a policy.
pub const API_KEYS_MAX: usize = 1 << 20;
/// Segments of a path pattern; the empty one after a trailing slash counts.
pub const SEGMENTS_MAX: usize = 32;
/// Methods named in a policy beside the nine of RFC 9110 §9 and RFC 5789.
pub const METHODS_EXTENSION_MAX: usize = 54;
/// Entries of one agent's identity, each a set of proofs with any one of its API keys.
pub const IDENTITIES_PER_AGENT_MAX: usize = 16;
/// Sets of proofs of one agent, each API key of a set counted on its own.
pub const ALTERNATIVES_PER_AGENT_MAX: usize = 256;
/// Limits of one agent: their counters share one cache line.
pub const LIMITS_PER_AGENT_MAX: usize = 8;
/// Names of one presented certificate that are looked up.
pub const CERTIFICATE_NAMES_MAX: usize = 8;
/// Bytes of the name of an agent, route, origin, issuer or client CA.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of the name of a scope.
pub const SCOPE_NAME_BYTES_MAX: usize = 128;
/// Bytes of the id of an API key.
pub const API_KEY_ID_BYTES_MAX: usize = 32;
/// Bytes of a value compared with the `sub` claim.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Bytes of a value compared with another claim (`iss`, `aud`), of the name of a claim, and of a host or address.
pub const CLAIM_BYTES_MAX: usize = 1_024;
/// Bytes of a file path, a URL, or a name in a certificate.
pub const LOCATION_BYTES_MAX: usize = 2_048;
/// Clock difference that the tokens of an issuer may be given, seconds.
pub const LEEWAY_S_MAX: u32 = 300;
/// Bytes of a method.
pub const METHOD_BYTES_MAX: usize = 32;
/// Bytes of a path pattern.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Certificates of one client CA.
pub const CLIENT_CA_ANCHORS_MAX: usize = 32;
/// Bytes of any one name, host, segment, subject or method in a table.
pub const STRING_BYTES_MAX: usize = 4_096;
/// Steps of one route look-up in the worst case, backtracking included.
pub const ROUTE_STEPS_MAX: u32 = 1_024;
/// Up to so many scopes, a set of scopes is a bitmap of one cache line; above, it is a sorted list.
pub const SCOPES_IN_BITMAP_MAX: usize = 512;
/// Bytes of a table: its offsets are 32 bits wide.
pub const IMAGE_BYTES_MAX: usize = u32::MAX as usize;
/// Hash seeds tried, with the hash table grown a little every few, before the compiler gives up.
pub const SEEDS_TRIED_MAX: u64 = 256;
