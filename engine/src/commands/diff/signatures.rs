//! Whose signatures the sides of a comparison have, and whose the change needs.

use policy_diff::Diff;
use policy_release::envelope::Role;
use policy_release::root::{Standing, TrustRoot};
use serde_json::{Value, json};

use super::End;
use crate::commands::signing::plural;
use crate::commands::trust::words;

/// The role that a change needs, and how many of its signatures where that is known.
pub struct Needs {
    pub role: Role,
    /// Signatures and version of the trust root.
    threshold: Option<(u32, u64)>,
    /// What the new side has of them, where it is a release under a trust root.
    has: Option<Standing>,
}

impl Needs {
    pub fn of(diff: &Diff, new: &End, root: Option<&TrustRoot>) -> Self {
        let role = if diff.needs_wider() { Role::ReleaseWider } else { Role::ReleaseNarrower };
        let has = standings(new).iter().find(|standing| standing.role == role).cloned();
        Self { role, threshold: root.map(|root| (root.role(role).threshold, root.version())), has }
    }

    /// `2 signatures of release-wider (trust root version 1)`
    pub fn text(&self) -> String {
        match self.threshold {
            None => format!("the threshold of {}", self.role),
            Some((threshold, version)) => {
                let count = plural(usize::try_from(threshold).unwrap_or(usize::MAX), "signature");
                format!("{count} of {} (trust root version {version})", self.role)
            }
        }
    }

    /// Whether the new release has them; None where that is not known.
    pub fn verdict(&self) -> Option<String> {
        let has = self.has.as_ref()?;
        Some(match has.lacking() {
            0 => "the new release has them".to_owned(),
            lacking => format!("the new release lacks {lacking} of them: a gateway that serves the old one refuses it"),
        })
    }

    /// Members of the JSON document.
    pub fn members(&self) -> Value {
        json!({
            "role": self.role.to_string(),
            "signatures_needed": self.threshold.map(|(threshold, _)| threshold),
            "signatures_enough": self.has.as_ref().map(Standing::is_met),
            "trust_root_version": self.threshold.map(|(_, version)| version),
        })
    }
}

fn standings(end: &End) -> &[Standing] {
    end.found.release.as_ref().map_or(&[], |release| release.standings.as_slice())
}

/// One line a role: `release-wider: 2 of 2 signatures (alice, bob): enough for any change`.
pub fn lines(end: &End) -> Vec<String> {
    let line = |standing: &Standing| {
        let enough = match (standing.is_met(), standing.role) {
            (true, Role::ReleaseWider) => ": enough for any change",
            (true, _) => ": enough for what is narrower",
            (false, _) => "",
        };
        format!("{}: {}{enough}", standing.role, words(standing))
    };
    standings(end).iter().map(line).collect()
}

/// For JSON: null where no trust root was given, or the side is no release.
pub fn document(end: &End) -> Value {
    let one = |standing: &Standing| {
        let mut signers: Vec<&str> = standing.signed.iter().map(|key| key.owner.as_str()).collect();
        signers.sort_unstable();
        json!({
            "role": standing.role.to_string(),
            "needed": standing.threshold,
            "valid": standing.signed.len(),
            "enough": standing.is_met(),
            "signers": signers,
        })
    };
    match standings(end) {
        [] => Value::Null,
        several => several.iter().map(one).collect(),
    }
}
