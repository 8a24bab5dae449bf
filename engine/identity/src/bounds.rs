//! Every bound of this crate, with its unit in its name.

/// Longest compact JWS that is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest token that an issuer is asked about.
pub const OPAQUE_TOKEN_BYTES_MAX: usize = 2 * 1024;
/// Longest decoded JOSE header.
pub const TOKEN_HEADER_BYTES_MAX: usize = 1024;
/// Longest decoded signature: RSA with 8,192 bits.
pub const TOKEN_SIGNATURE_BYTES_MAX: usize = 1024;
/// Longest `sub` claim.
pub const TOKEN_SUBJECT_BYTES_MAX: usize = 256;
/// Longest `kid`, in a header or a keyset.
pub const KID_BYTES_MAX: usize = 256;
/// Longest `jti` claim.
pub const TOKEN_ID_BYTES_MAX: usize = 256;
/// Most names in the scope claim.
pub const TOKEN_SCOPES_MAX: usize = 512;
/// Most values in an `aud` claim.
pub const TOKEN_AUDIENCES_MAX: usize = 64;
/// Most keys tried for a token without `kid`.
pub const KEYS_TRIED_MAX: usize = 4;
/// Latest NumericDate that is believed: the end of the year 9999.
pub const NUMERIC_DATE_S_MAX: f64 = 253_402_300_799.0;

/// Longest DPoP proof that is looked at: room for an RSA key of 4,096 bits and its signature.
pub const DPOP_BYTES_MAX: usize = 4 * 1024;
/// Longest decoded header of a DPoP proof.
pub const DPOP_HEADER_BYTES_MAX: usize = 1024;
/// Longest `jti` of a DPoP proof.
pub const DPOP_ID_BYTES_MAX: usize = 256;
/// Oldest DPoP proof, seconds; RFC 9449 §11.1 asks for seconds or minutes.
pub const DPOP_AGE_S_MAX: u64 = 60;
/// How far ahead of this clock the one that made a DPoP proof may be, seconds.
pub const DPOP_AHEAD_S_MAX: u64 = 5;
/// How much longer than it is accepted a proof is remembered, seconds: clocks of workers differ by a little, and a request whose
/// token is asked about waits for up to 2.5 s before its proof is remembered.
pub const DPOP_KEPT_S_MORE: u64 = 6;
/// How long one nonce is given out, seconds; it is taken for as long again.
pub const DPOP_NONCE_SLOT_S: u64 = 120;

/// Deepest nesting of JSON values.
pub const JSON_DEPTH_MAX: usize = 8;
/// Most members of one JSON object.
pub const JSON_MEMBERS_MAX: usize = 64;
/// Most elements of one JSON array.
pub const JSON_ELEMENTS_MAX: usize = 512;

/// Longest JWK Set text.
pub const KEYSET_BYTES_MAX: usize = 64 * 1024;
/// Most keys in a JWK Set.
pub const KEYSET_KEYS_MAX: usize = 64;
/// Shortest HMAC secret (RFC 7518 §3.2: at least as long as the hash).
pub const SECRET_BYTES_MIN: usize = 32;
/// Longest HMAC secret.
pub const SECRET_BYTES_MAX: usize = 1024;
/// Shortest RSA modulus (RFC 7518 §3.3).
pub const RSA_BITS_MIN: usize = 2048;
/// Longest RSA modulus: the longest that one verification may cost.
pub const RSA_BITS_MAX: usize = 8192;
/// Longest RSA public exponent: four bytes hold every exponent in use, and keep verification cheap.
pub const RSA_EXPONENT_BYTES_MAX: usize = 4;

/// Longest id in an API key.
pub const API_KEY_ID_BYTES_MAX: usize = 32;

/// Most client CAs of one policy: they are told apart by the bits of a `u64`.
pub const CLIENT_CAS_MAX: usize = 64;
/// Longest PEM text of one client CA.
pub const CLIENT_CA_BYTES_MAX: usize = 256 * 1024;
/// Most trust anchors of one client CA.
pub use policy::bounds::CLIENT_CA_ANCHORS_MAX;
/// Longest file of revocation lists of one client CA: rustls-webpki hashes a list whenever it verifies a chain.
pub const REVOCATION_LISTS_BYTES_MAX: usize = 4 << 20;
/// Most revocation lists in a file of one client CA.
pub const REVOCATION_LISTS_MAX: usize = 64;
/// Most revocation lists of one client CA in force, and most bytes of them: those of its file, and as many that it leaves out.
pub const REVOCATION_LISTS_IN_FORCE_MAX: usize = 2 * REVOCATION_LISTS_MAX;
pub const REVOCATION_LISTS_IN_FORCE_BYTES_MAX: usize = 2 * REVOCATION_LISTS_BYTES_MAX;
/// Longest file in which the lists of one client CA are kept: those in force, those that are known besides (as many as a file may have),
/// and what says which is which.
pub const KEPT_LISTS_BYTES_MAX: usize = REVOCATION_LISTS_IN_FORCE_BYTES_MAX + REVOCATION_LISTS_BYTES_MAX + (512 << 10);
/// How far the clock of who issued a revocation list may be ahead, seconds.
pub const LIST_AHEAD_S_MAX: u64 = 300;
/// Keys that are remembered not to have signed the list of an intermediate that has their name.
pub const REFUTED_SIGNERS_MAX: usize = 4;
/// Most certificates in a client's chain, the leaf included.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;
/// Longest chain in DER bytes, all certificates together.
pub const CHAIN_BYTES_MAX: usize = 64 * 1024;
/// Most names of one client certificate that can name an agent.
pub use policy::bounds::CERTIFICATE_NAMES_MAX;
/// Longest SPIFFE id (SPIFFE-ID §2.3).
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// Longest SPIFFE trust domain (SPIFFE-ID §2.3).
pub const SPIFFE_TRUST_DOMAIN_BYTES_MAX: usize = 255;
/// Longest DNS name (RFC 1035 §2.3.4, without the final dot).
pub const DNS_NAME_BYTES_MAX: usize = 253;
/// Most names of one server certificate.
pub const SERVER_NAMES_MAX: usize = 1024;
/// How far a clock may be set back before what was counted by it is forgotten, nanoseconds.
pub const CLOCK_BACK_NS_MAX: u64 = 1_000_000_000;
