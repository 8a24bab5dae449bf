//! What a candidate changes against the release last accepted, by this gateway's own look. It decides how many must
//! have signed.

use policy::model::Policy;
use policy::table::Table;
use policy_diff::{Diff, Direction};

/// The outcome of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Not proven to allow nothing new.
    pub needs_wider: bool,
    /// In words, with an example of what makes it so.
    pub told: String,
}

/// One of the two releases that are compared.
pub struct Side<'a, B> {
    pub policy: &'a Policy,
    pub table: &'a Table<B>,
}

/// Compares the release last accepted with a candidate.
pub fn compare<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: &Side<'_, A>, new: &Side<'_, B>) -> Change {
    let old = policy_diff::Side { policy: old.policy, table: old.table };
    let diff = policy_diff::diff(old, policy_diff::Side { policy: new.policy, table: new.table });
    Change { needs_wider: diff.needs_wider(), told: tell(&diff) }
}

fn tell(diff: &Diff) -> String {
    let counts = diff.counts;
    let mut told = format!(
        "it is {} than the release accepted last ({} newly allowed, {} newly refused, {}, {}, {})",
        match diff.verdict {
            policy_diff::Verdict::Same => "no other",
            policy_diff::Verdict::Both => "wider and narrower",
            other => other.name(),
        },
        counts.allowed,
        counts.refused,
        crate::log::counted(counts.identities as u64, "identity", "identities"),
        crate::log::counted(counts.limits as u64, "limit", "limits"),
        crate::log::counted(counts.settings as u64, "setting", "settings")
    );
    if let Some(reason) = reason(diff) {
        told.push_str(": ");
        told.push_str(&reason);
    }
    told
}

/// The first thing for which the wider role must sign, if it must.
fn reason(diff: &Diff) -> Option<String> {
    if !diff.needs_wider() {
        return None;
    }
    if let Some(class) = diff.allowed.first() {
        let example = &class.example;
        let who = class.principals.first().map_or("", |principal| principal.name.as_str());
        let who = if who.is_empty() { "anyone" } else { who };
        return Some(format!("{who} could {} {}{}", example.method, example.host, example.path));
    }
    if let Some(identity) = diff.identities.first() {
        let who = identity.by.first().map_or("somebody", String::as_str);
        return Some(format!(
            "{who} is told to origins as {} instead of {}",
            named(&identity.new),
            named(&identity.old)
        ));
    }
    if let Some(setting) = diff.settings.iter().find(|setting| setting.needs_wider) {
        let why = if diff.verdict.is_wider() { "" } else { ", which needs release-wider whatever its direction" };
        return Some(format!("{} {}: {}{why}", setting.kind, setting.name, setting.what));
    }
    let limit = diff.limits.iter().find(|limit| limit.needs_wider || limit.direction != Direction::Narrower)?;
    let agents = limit.agents.first().map_or("", String::as_str);
    Some(format!("limits of {agents}: {} instead of {}", limit.new.join(", "), limit.old.join(", ")))
}

fn named(agent: &Option<String>) -> &str {
    agent.as_deref().unwrap_or("no agent")
}
