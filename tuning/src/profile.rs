//! Profiles: what kind of machine this is to be. Those of `tuning/profiles` come with the binary; a file may hold one of
//! the user's own.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::settings::Topic;

/// What a plan is made for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// When to use it.
    pub summary: String,
    /// Of the cores that could have a worker, in hundredths; at least one worker is left.
    pub workers_percent: u8,
    /// What outside of the gateway is set.
    pub topics: Vec<Topic>,
    /// Further sysctls, by name.
    #[serde(default)]
    pub sysctls: BTreeMap<String, Sysctl>,
}

/// A value of a sysctl that a profile wants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    pub value: String,
    pub why: String,
}

/// The profiles that come with the binary, by name; the first is used when none is named.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("dedicated", include_str!("../profiles/dedicated.toml")),
    ("latency", include_str!("../profiles/latency.toml")),
    ("shared", include_str!("../profiles/shared.toml")),
    ("container", include_str!("../profiles/container.toml")),
];

/// Why a text is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("expected a profile (summary, workers_percent, topics, [sysctls]): {0}")]
    Form(#[from] toml::de::Error),
    #[error("expected workers_percent of 1 to 100, found {found}")]
    Percent { found: u8 },
    #[error("expected the name of a sysctl such as net.core.busy_poll, found {found:?}")]
    Sysctl { found: String },
}

impl Profile {
    /// Reads a profile.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)?;
        if !(1..=100).contains(&profile.workers_percent) {
            return Err(ProfileError::Percent { found: profile.workers_percent });
        }
        let plain = |name: &str| {
            let words = name.split('.');
            words.clone().count() > 1
                && words.into_iter().all(|word| {
                    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
                })
        };
        match profile.sysctls.keys().find(|name| !plain(name)) {
            Some(found) => Err(ProfileError::Sysctl { found: found.clone() }),
            None => Ok(profile),
        }
    }

    /// One that comes with the binary.
    pub fn built_in(name: &str) -> Option<Result<Self, ProfileError>> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_come_with_the_binary_can_be_read() {
        for (name, _) in BUILT_IN {
            assert!(!Profile::built_in(name).unwrap().unwrap().summary.is_empty());
        }
        assert!(Profile::built_in("nothing").is_none());
        let latency = Profile::built_in("latency").unwrap().unwrap();
        assert_eq!(latency.sysctls["net.core.busy_poll"].value, "50");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let with = |more: &str| Profile::parse(&format!("summary = \"s\"\ntopics = []\n{more}"));
        assert!(matches!(with("workers_percent = 0"), Err(ProfileError::Percent { found: 0 })));
        assert!(matches!(with("workers_percent = 50\ncolour = 1"), Err(ProfileError::Form(_))));
        for name in ["net/core", "net..core", "../x", "alone"] {
            let more = format!("workers_percent = 50\n[sysctls.\"{name}\"]\nvalue = \"1\"\nwhy = \"w\"");
            assert!(matches!(with(&more), Err(ProfileError::Sysctl { .. })), "{name}");
        }
    }
}
