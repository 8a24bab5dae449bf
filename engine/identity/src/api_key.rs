//! API keys: `adm_<id>_<secret><checksum>`.
//!
//! - `id`: 1 to 32 of `a-z`, `0-9`, `-`: the name that the policy declares; not secret.
//! - `secret`: 256 random bits as a number in base 62 (`0-9A-Za-z`, most significant digit first), always 43 digits.
//! - `checksum`: CRC-32 (ISO-HDLC, as in zip) over `adm_<id>_<secret>` in base 62, always 6 digits.
//!
//! Underscores stand nowhere else, so the form is unambiguous and scanners find a leaked key by
//! `adm_[a-z0-9-]{1,32}_[0-9A-Za-z]{49}`; the checksum tells a real one from a look-alike offline. It is no protection:
//! that is the digest's work. A secret of 256 random bits needs no slow hash.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::bounds::API_KEY_ID_BYTES_MAX;

const PREFIX: &[u8] = b"adm_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The least number of base-62 digits that hold 256 bits.
const SECRET_DIGITS: usize = 43;
/// The least number of base-62 digits that hold 32 bits.
const CHECKSUM_DIGITS: usize = 6;

/// Why a byte string is not an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyFault {
    #[error("expected an API key of the form adm_<id>_<secret><checksum>, found another form")]
    Form,
    #[error("expected an id of 1 to {API_KEY_ID_BYTES_MAX} of a-z, 0-9 and '-', found another")]
    Id,
    #[error("the checksum does not fit: the key was cut or mistyped")]
    Checksum,
}

/// A byte string with the form and checksum of an API key. Whether it *is* a key, only its digest tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyRef<'k> {
    pub id: &'k str,
}

impl std::fmt::Debug for ApiKeyRef<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ApiKeyRef").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether a Bearer credential claims to be an API key (rather than a token, which never starts like this: a JOSE header
/// is an object, so its base64url starts with `e`).
pub fn has_prefix(credential: &[u8]) -> bool {
    credential.starts_with(PREFIX)
}

/// Checks form and checksum.
pub fn parse(key: &[u8]) -> Result<ApiKeyRef<'_>, ApiKeyFault> {
    let rest = key.strip_prefix(PREFIX).ok_or(ApiKeyFault::Form)?;
    let id_length = rest.iter().position(|byte| *byte == b'_').ok_or(ApiKeyFault::Form)?;
    let (id, tail) = rest.split_at_checked(id_length).ok_or(ApiKeyFault::Form)?;
    let id = std::str::from_utf8(id).ok().filter(|id| is_id(id)).ok_or(ApiKeyFault::Id)?;
    let tail = tail.strip_prefix(b"_").ok_or(ApiKeyFault::Form)?;
    if tail.len() != SECRET_DIGITS + CHECKSUM_DIGITS || !tail.iter().all(u8::is_ascii_alphanumeric) {
        return Err(ApiKeyFault::Form);
    }
    let (body, checksum) = key.split_at_checked(key.len() - CHECKSUM_DIGITS).ok_or(ApiKeyFault::Form)?;
    if checksum == checksum_of(body) { Ok(ApiKeyRef { id }) } else { Err(ApiKeyFault::Checksum) }
}

/// Whether `id` may stand in a key.
pub fn is_id(id: &str) -> bool {
    (1..=API_KEY_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// SHA-256 over the whole key: what the policy holds of it.
pub fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Whether two digests are equal, in constant time.
pub fn matches(presented: &[u8; 32], declared: &[u8; 32]) -> bool {
    presented.ct_eq(declared).into()
}

/// Makes a key from 32 random bytes.
pub fn generate(id: &str, random: [u8; 32]) -> Result<Zeroizing<String>, ApiKeyFault> {
    if !is_id(id) {
        return Err(ApiKeyFault::Id);
    }
    let random = Zeroizing::new(random);
    // The whole length at once, so that the secret is never left behind in an outgrown buffer.
    let length = PREFIX.len() + id.len() + 1 + SECRET_DIGITS + CHECKSUM_DIGITS;
    let mut key = Zeroizing::new(String::with_capacity(length));
    key.push_str("adm_");
    key.push_str(id);
    key.push('_');
    let secret = Zeroizing::new(base62(*random));
    key.extend(secret.iter().map(|digit| char::from(*digit)));
    let checksum = checksum_of(key.as_bytes());
    key.extend(checksum.iter().map(|digit| char::from(*digit)));
    Ok(key)
}

/// A big-endian number in base 62 by long division; the quotient replaces the number byte by byte.
fn base62(number: [u8; 32]) -> [u8; SECRET_DIGITS] {
    let mut number = Zeroizing::new(number);
    let mut digits = [b'0'; SECRET_DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0;
        for byte in number.iter_mut() {
            let value = rest * 256 + u32::from(*byte);
            // At most 61 * 256 + 255 = 15,871, so the quotient is at most 255.
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = digit_of(rest);
    }
    digits
}

fn checksum_of(body: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let mut rest = crc32(body);
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = digit_of(rest % 62);
        rest /= 62;
    }
    digits
}

fn digit_of(value: u32) -> u8 {
    DIGITS.get(value as usize).copied().unwrap_or(b'0')
}

/// CRC-32/ISO-HDLC, one nibble at a time: a key is some 90 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..2 {
            crc = (crc >> 4) ^ CRC_OF_NIBBLE.get((crc & 15) as usize).copied().unwrap_or(0);
        }
    }
    !crc
}

const CRC_OF_NIBBLE: [u32; 16] = [
    0x0000_0000,
    0x1db7_1064,
    0x3b6e_20c8,
    0x26d9_30ac,
    0x76dc_4190,
    0x6b6b_51f4,
    0x4db2_6158,
    0x5005_713c,
    0xedb8_8320,
    0xf00f_9344,
    0xd6d6_a3e8,
    0xcb61_b38c,
    0x9b64_c2b0,
    0x86d3_d2d4,
    0xa00a_e278,
    0xbdbd_f21c,
];

#[cfg(test)]
mod tests {
    use super::{ApiKeyFault, base62, crc32, digest, generate, has_prefix, matches, parse};
    use proptest::prelude::*;

    #[test]
    fn the_crc_is_the_common_one() {
        // Check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn the_largest_number_just_fits_the_digits() {
        assert_eq!(base62([0; 32]), [b'0'; 43]);
        let mut one = [0; 32];
        one[31] = 61;
        assert!(base62(one).ends_with(b"0z"));
        // 2^256 - 1 in base 62, from an independent implementation (Python's integers).
        assert_eq!(&base62([255; 32]), b"yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    }

    #[test]
    fn forms_that_are_close_are_refused() {
        let key = generate("reports-1", [7; 32]).unwrap();
        assert_eq!(parse(key.as_bytes()).unwrap().id, "reports-1");
        assert!(has_prefix(key.as_bytes()));
        assert_eq!(key.len(), 4 + 9 + 1 + 43 + 6);
        for bad in ["", "adm_", "adm__", "adm_x", "ADM_x_y", "adm_x_", " adm_a_b", "Bearer adm_a_b"] {
            assert_eq!(
                parse(bad.as_bytes()),
                Err(if bad == "adm__" { ApiKeyFault::Id } else { ApiKeyFault::Form }),
                "{bad}"
            );
        }
        assert_eq!(parse(format!("{}x", *key).as_bytes()), Err(ApiKeyFault::Form));
        assert_eq!(parse(key[..key.len() - 1].as_bytes()), Err(ApiKeyFault::Form));
        assert_eq!(parse(key.replace("reports-1", "reports-2").as_bytes()), Err(ApiKeyFault::Checksum));
        assert_eq!(parse(key.replace("reports-1", "Reports-1").as_bytes()), Err(ApiKeyFault::Id));
        for id in ["", "A", "a_b", "a.b", "é", &"a".repeat(33)] {
            assert_eq!(generate(id, [7; 32]).unwrap_err(), ApiKeyFault::Id, "{id}");
        }
        assert!(generate(&"a".repeat(32), [7; 32]).is_ok());
    }

    #[test]
    fn a_key_is_the_one_that_another_implementation_makes() {
        // Python: integers for base 62, zlib.crc32 for the checksum.
        let expected = "adm_reports-1_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF10kJ8Je";
        assert_eq!(*generate("reports-1", [7; 32]).unwrap(), expected);
    }

    #[test]
    fn only_the_same_key_matches() {
        let key = generate("a", [1; 32]).unwrap();
        let other = generate("a", [2; 32]).unwrap();
        assert!(matches(&digest(key.as_bytes()), &digest(key.as_bytes())));
        assert!(!matches(&digest(key.as_bytes()), &digest(other.as_bytes())));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_key_parses_and_no_changed_byte_does(id in "[a-z0-9-]{1,32}", random: [u8; 32], at: prop::sample::Index, to: u8) {
            let key = generate(&id, random).unwrap();
            prop_assert_eq!(parse(key.as_bytes()).unwrap().id, id.as_str());
            let mut changed = key.as_bytes().to_vec();
            let at = at.index(changed.len());
            prop_assume!(changed[at] != to);
            changed[at] = to;
            // A CRC-32 finds every change of one byte.
            prop_assert!(parse(&changed).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }
    }
}
