//! SPIFFE ids (SPIFFE-ID §2): `spiffe://TRUST-DOMAIN/PATH`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounds::{SPIFFE_BYTES_MAX, TRUST_DOMAIN_BYTES_MAX};

/// A trust domain: 1 to 255 of `a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

/// A SPIFFE id with a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    text: String,
    domain_bytes: usize,
}

const SCHEME: &str = "spiffe://";

impl FromStr for TrustDomain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=TRUST_DOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(good) {
            return Ok(Self(text.to_owned()));
        }
        let found: String = text.chars().take(80).collect();
        Err(format!("expected a trust domain like corp.example (a-z, 0-9, \".\", \"_\", \"-\"), found {found:?}"))
    }
}

impl FromStr for SpiffeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let found: String = text.chars().take(80).collect();
            format!("expected a SPIFFE id like spiffe://corp.example/reports, found {found:?}")
        };
        let (domain, path) = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
        domain.parse::<TrustDomain>()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
        if text.len() > SPIFFE_BYTES_MAX || !path.split('/').all(segment) {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), domain_bytes: domain.len() })
    }
}

impl SpiffeId {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn trust_domain(&self) -> &str {
        self.text.get(SCHEME.len()..SCHEME.len() + self.domain_bytes).unwrap_or_default()
    }

    /// The last segment of the path.
    pub fn last(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

impl TrustDomain {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_a_domain_and_a_plain_path() {
        let id: SpiffeId = "spiffe://corp.example/team/reports".parse().unwrap();
        assert_eq!((id.trust_domain(), id.last()), ("corp.example", "reports"));
        for wrong in [
            "",
            "spiffe://",
            "spiffe://corp",
            "spiffe://corp/",
            "spiffe://corp//a",
            "spiffe://corp/a/",
            "spiffe://corp/a/../b",
            "spiffe://Corp/a",
            "spiffe://corp:1/a",
            "spiffe://u@corp/a",
            "spiffe://corp/a?b",
            "spiffe://corp/a b",
            "https://corp/a",
            "spiffe://corp/ä",
        ] {
            assert!(wrong.parse::<SpiffeId>().is_err(), "{wrong}");
        }
        assert!(format!("spiffe://corp/{}", "x".repeat(2_048)).parse::<SpiffeId>().is_err());
    }
}
