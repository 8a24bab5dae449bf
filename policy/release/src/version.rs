//! The version of the engine that a release needs: `MAJOR.MINOR.PATCH` of Semantic Versioning 2.0.0 §2.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Ordered as in Semantic Versioning. Pre-releases do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an engine version like 1.2.3, found {found:?}")]
pub struct VersionFault {
    found: String,
}

impl FromStr for EngineVersion {
    type Err = VersionFault;

    fn from_str(text: &str) -> Result<Self, VersionFault> {
        let mut numbers = text.split('.').map(number);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Ok(Self { major, minor, patch }),
            _ => Err(VersionFault { found: text.chars().take(40).collect() }),
        }
    }
}

/// Digits without leading zero.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for EngineVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EngineVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_orders() {
        let version = |text: &str| text.parse::<EngineVersion>().unwrap();
        assert!(version("0.9.0") < version("0.10.0") && version("0.10.9") < version("1.0.0"));
        assert_eq!(version("10.20.30").to_string(), "10.20.30");
        for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.3-rc1", "01.2.3", "+1.2.3", "1..3", "1.2.4294967296", " 1.2.3"] {
            assert!(wrong.parse::<EngineVersion>().is_err(), "{wrong}");
        }
    }
}
