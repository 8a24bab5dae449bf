//! Every bound of the signed formats, with its unit in its name.

/// Bytes of a release payload. 100,000 agents × 10,000 routes took 45 MB.
pub const RELEASE_BYTES_MAX: usize = 256 << 20;
/// Bytes of a trust root payload.
pub const ROOT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a pointer payload.
pub const POINTER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a profile document's payload.
pub const PROFILE_DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Keys of a gateway that a profile document pins.
pub const PROFILE_PINS_MAX: usize = 16;
/// Bytes of an address in a profile document.
pub const PROFILE_ADDRESS_BYTES_MAX: usize = 2_048;
/// Bytes of an attestation payload.
pub const ATTESTATION_BYTES_MAX: usize = 1 << 20;
/// Characters of the nonce that an attestation answers: enough that no two are the same.
pub const NONCE_BYTES_MIN: usize = 16;
pub const NONCE_BYTES_MAX: usize = 128;
/// Bytes of a provenance payload.
pub const PROVENANCE_BYTES_MAX: usize = 4 << 20;
/// Files that a provenance statement names.
pub const PROVENANCE_INPUTS_MAX: usize = 4_096;
/// Bytes of a revocation list payload.
pub const REVOCATIONS_BYTES_MAX: usize = 64 << 20;
/// Entries of a revocation list.
pub const REVOCATIONS_MAX: usize = 1_000_000;
/// Bytes of a name, id, issuer, subject, jti or kid in a revocation list: no policy, token or key set has longer ones.
pub const REVOKED_TEXT_BYTES_MAX: usize = 2_048;
/// Bytes of the reason that an entry of a revocation list gives.
pub const WHY_BYTES_MAX: usize = 256;
/// Bytes of a certificate's serial number (RFC 5280 §4.1.2.2).
pub const SERIAL_NUMBER_BYTES_MAX: usize = 20;
/// Bytes of a key set payload: with its envelope it has room in the reserve of a gateway's state directory, whatever it holds.
pub const KEY_SET_BYTES_MAX: usize = 5 << 20;
/// Ids that a key set fills.
pub const KEY_SET_IDS_MAX: usize = 16_384;
/// Keys of one id in a key set: the one that goes and the one that comes.
pub const KEY_HASHES_MAX: usize = 2;
/// How long a key set may hold, seconds: who has signed one with a stolen key, and holds newer ones back when that key is out of
/// the trust root, is out himself after that.
pub const KEY_SET_LIFE_S_MAX: u64 = 366 * 86_400;
/// Bytes of an envelope beside its base64 payload: names, white space and signatures.
pub const WRAPPER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a detached signature or a signing key file.
pub const SMALL_FILE_BYTES_MAX: usize = 64 << 10;
/// Objects and arrays inside each other in a payload.
pub const DEPTH_MAX: usize = 32;
/// Signatures in one envelope. Each costs a hash over the whole payload, so it also bounds the work of a refusal.
pub const SIGNATURES_MAX: usize = 32;
/// Keys in a trust root.
pub const KEYS_MAX: usize = 64;
/// Bytes of a name: policy, channel, owner of a key.
pub const NAME_BYTES_MAX: usize = 128;
/// Test cases in a release.
pub const CASES_MAX: usize = 1 << 20;
/// Largest integer of a payload: what an IEEE 754 double holds exactly (RFC 7493 §2.2, RFC 8785 §3.2.2.3).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;
/// How far the version of a release may be above the highest before it, unless `release-wider` signs: numbers end at
/// [`INTEGER_MAX`], and whoever may take rights away must not use them up.
pub const VERSION_STEP_MAX: u64 = 1_000_000;
/// Bytes of memory that the scrypt parameters of a key file may ask for.
pub const SCRYPT_MEMORY_BYTES_MAX: u64 = 256 << 20;
/// scrypt parallelisation that a key file may ask for.
pub const SCRYPT_PARALLEL_MAX: u16 = 16;
/// PBKDF2 iterations that a key file may ask for.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

/// Whether `name` may stand in a signed format: 1 to [`NAME_BYTES_MAX`] bytes, no control characters, because
/// names are shown on terminals.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}
