//! Whose signatures the sides of a comparison have, whose the change needs, and why else a gateway refuses it: by the
//! rules of gateways, for one that serves the old side.

use control::accept::Check;
use policy_diff::Diff;
use policy_release::bounds::VERSION_STEP_MAX;
use policy_release::candidate;
use policy_release::envelope::Role;
use policy_release::root::{Standing, TrustRoot};
use policy_release::step::Step;
use policy_release::time::Timestamp;
use serde_json::{Value, json};

use super::End;
use crate::commands::signing::plural;
use crate::commands::trust::words;
use crate::lookup::Release;

/// The role that a change needs, and how many of its signatures where that is known.
pub struct Needs {
    pub role: Role,
    /// What it changes needs the wider role; else its version alone may.
    by_change: bool,
    /// From the version of the old release to that of the new one, where both are releases.
    step: Option<(Step, u64, u64)>,
    /// Signatures and version of the trust root.
    threshold: Option<(u32, u64)>,
    /// What the new side has of them, where it is a release under a trust root.
    has: Option<Standing>,
    /// Why a gateway refuses the new release however many signed it.
    refusals: Vec<(Check, String)>,
}

impl Needs {
    /// `root`: the newest that is known.
    pub fn of(diff: &Diff, (old, new): (&End, &End), root: Option<&TrustRoot>, now: Timestamp) -> Self {
        let by_change = diff.needs_wider();
        let releases = old.found.release.as_ref().zip(new.found.release.as_ref());
        let step = releases.map(|(old, new)| (Step::of(new.version, old.version), old.version, new.version));
        let role = step.map_or(Step::Next, |(step, ..)| step).role(by_change);
        let has = standings(new).iter().find(|standing| standing.role == role).cloned();
        let threshold = root.map(|root| (root.role(role).threshold, root.version()));
        Self { role, by_change, step, threshold, has, refusals: refusals((old, new), root, now) }
    }

    /// `2 signatures of release-wider (trust root version 1)`
    pub fn text(&self) -> String {
        let role = match self.threshold {
            None => format!("the threshold of {}", self.role),
            Some((threshold, version)) => {
                let count = plural(usize::try_from(threshold).unwrap_or(usize::MAX), "signature");
                format!("{count} of {} (trust root version {version})", self.role)
            }
        };
        match self.step {
            Some((Step::Jump, old, new)) if !self.by_change => {
                format!("{role}, because version {new} is more than {VERSION_STEP_MAX} above {old}")
            }
            _ => role,
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

    /// What the pointer needs beside its own role, where the new release leads back to what allows more.
    pub fn of_pointer(&self) -> Option<String> {
        let (step, old, new) = self.step?;
        step.leads_back(self.by_change).then(|| {
            let wider = Role::ReleaseWider;
            format!("the pointer needs {wider} too, which leads back: version {new} is not above {old}")
        })
    }

    pub fn refusals(&self) -> impl Iterator<Item = &str> {
        self.refusals.iter().map(|(_, why)| why.as_str())
    }

    /// Members of the JSON document.
    pub fn members(&self) -> Value {
        let lacking = self.has.as_ref().filter(|has| !has.is_met()).and_then(|_| self.verdict());
        let lacking = lacking.map(|why| (Check::ReleaseThreshold, why));
        let refusals = self.refusals.iter().chain(&lacking);
        json!({
            "role": self.role.to_string(),
            "needs_wider": self.role == Role::ReleaseWider,
            "pointer_needs_wider": self.of_pointer().is_some(),
            "signatures_needed": self.threshold.map(|(threshold, _)| threshold),
            "signatures_enough": self.has.as_ref().map(Standing::is_met),
            "trust_root_version": self.threshold.map(|(_, version)| version),
            "gateway_refuses": refusals.map(|(check, why)| json!({ "check": check.word(), "why": why })).collect::<Vec<_>>(),
        })
    }
}

/// Why a gateway refuses the new side whoever signed it.
fn refusals((old, new): (&End, &End), root: Option<&TrustRoot>, now: Timestamp) -> Vec<(Check, String)> {
    let expired = root.and_then(|root| root.check_expiry(now).err());
    let mut found: Vec<(Check, String)> =
        expired.map(|fault| (Check::RootExpiry, fault.to_string())).into_iter().collect();
    let (before, after) = (&old.found.policy.name, &new.found.policy.name);
    if before != after {
        let why = format!("the policy has another name: a gateway for {before} takes no release of {after}");
        found.push((Check::ReleasePolicy, why));
    }
    // Who serves it already goes on.
    let is_new = |release: &&Release| old.found.digest() != Some(release.digest);
    if let Some(release) = new.found.release.as_ref().filter(is_new)
        && let Err(fault) = candidate::check_expiry(release.version, release.expires, now)
    {
        found.push((Check::ReleaseExpiry, fault.to_string()));
    }
    found
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
