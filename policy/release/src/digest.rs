//! SHA-256 digests in the form `sha256:` and 64 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The digest of exact bytes. That of a release is over its payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

const PREFIX: &str = "sha256:";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256:` and 64 lower-case hex digits, found {found:?}")]
pub struct DigestFault {
    found: String,
}

impl Digest {
    /// SHA-256 over `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(&[bytes]))
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The digest of a compiled table: a function of the release, the table format and the image alone, so that two
/// gateways can be compared. Preimage: `adamant.table.v1`, a zero byte, the 32 bytes of the release digest, the
/// format version as u32 little-endian, the image.
pub fn table_digest(release: &Digest, table_format: u32, image: &[u8]) -> Digest {
    Digest(sha256(&[b"adamant.table.v1\0", &release.0, &table_format.to_le_bytes(), image]))
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// 32 bytes from 64 lower-case hex digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

pub(crate) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestFault;

    fn from_str(text: &str) -> Result<Self, DigestFault> {
        let bytes = text.strip_prefix(PREFIX).and_then(unhex);
        bytes.map(Self).ok_or_else(|| DigestFault { found: text.chars().take(80).collect() })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 example: SHA-256 of "abc".
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn text_form() {
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse::<Digest>().unwrap(), Digest::of(b"abc"));
        let upper = ABC.to_uppercase();
        for wrong in ["", "sha256:", &ABC[1..], &ABC[..70], &upper, &ABC.replace("sha256:", "sha512:")] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
        assert!(format!("{ABC}0").parse::<Digest>().is_err());
        assert!(format!("sha256:{}é", "0".repeat(62)).parse::<Digest>().is_err());
    }

    #[test]
    fn table_digest_depends_on_every_part() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let digests = [
            table_digest(&a, 1, b"image"),
            table_digest(&b, 1, b"image"),
            table_digest(&a, 2, b"image"),
            table_digest(&a, 1, b"imagf"),
        ];
        for (i, one) in digests.iter().enumerate() {
            assert!(digests.iter().skip(i + 1).all(|other| other != one));
        }
    }
}
