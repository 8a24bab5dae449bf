//! The next list: what the present one holds, with more or with less.

use std::io::Write;

use policy_release::revocations::{Entry, Revocations, lifted};
use policy_release::time::Timestamp;
use serde_json::{Value, json};

use super::desk::RevokeDesk;
use super::targets::Named;
use crate::commands::lists::Issued;
use crate::failure::Failure;
use crate::span::distance;

/// Entries that are told one by one.
const TOLD_MAX: usize = 50;
/// How long an entry that has lapsed stays in the list, seconds: a gateway whose clock is behind has it in force still, and
/// would take its absence for a lifting.
const LAPSED_KEPT_S: u64 = 86_400;

pub struct Next {
    pub entries: Vec<Entry>,
    added: Vec<Entry>,
    lifted: Vec<Entry>,
    /// Left out, because they have lapsed.
    lapsed: usize,
}

impl Next {
    /// The present list and `named`. What is listed already is never revoked for less.
    pub fn with(desk: &RevokeDesk, named: &[Named], until: Option<Timestamp>, why: &str) -> Result<Self, Failure> {
        let mut next = Self::unlapsed(desk);
        for named in named {
            let until = until.or(named.until);
            if let Some(until) = until.filter(|until| *until <= desk.now) {
                let message = format!("{}: expected an end in the future, found {until}", named.target);
                return Err(Failure::new(message).help("what has expired by itself needs no revocation"));
            }
            let known = next.entries.iter_mut().find(|entry| entry.target.key() == named.target.key());
            let mut entry = Entry { target: named.target.clone(), since: desk.now, until, why: why.to_owned() };
            match known {
                Some(known) => {
                    entry = entry.joined(known);
                    *known = entry.clone();
                }
                None => next.entries.push(entry.clone()),
            }
            next.added.push(entry);
        }
        Ok(next)
    }

    /// The present list without `named`.
    pub fn without(desk: &RevokeDesk, named: &[Named]) -> Result<Self, Failure> {
        let mut next = Self::unlapsed(desk);
        for named in named {
            let at = next.entries.iter().position(|entry| entry.target.key() == named.target.key());
            let at = at.ok_or_else(|| {
                Failure::new(format_args!("{} is not revoked on channel {}", named.target, desk.channel))
                    .help("adamant revoke list shows what is")
            })?;
            next.lifted.push(next.entries.remove(at));
        }
        Ok(next)
    }

    /// From the present list to `list`, which somebody made.
    pub fn between(desk: &RevokeDesk, list: &Revocations) -> Self {
        let before = desk.list.as_ref().map(Revocations::entries).unwrap_or_default();
        let is_new = |entry: &&Entry| !before.contains(entry);
        Self {
            entries: list.entries().to_vec(),
            added: list.entries().iter().filter(is_new).cloned().collect(),
            lifted: lifted(before, list.entries(), desk.now).into_iter().cloned().collect(),
            lapsed: 0,
        }
    }

    fn unlapsed(desk: &RevokeDesk) -> Self {
        let before = desk.list.as_ref().map(Revocations::entries).unwrap_or_default();
        let entries = held_on(before, desk.now);
        Self { lapsed: before.len() - entries.len(), entries, added: Vec::new(), lifted: Vec::new() }
    }

    /// What becomes of it, for people.
    pub fn tell(&self, list: &Revocations, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(out, "revocations  channel {}, serial {}", list.channel, list.serial)?;
        writeln!(out, "  policy   {}", list.policy_name)?;
        for (word, entries) in [("revokes", &self.added), ("lifts  ", &self.lifted)] {
            for entry in entries.iter().take(TOLD_MAX) {
                let until = entry.until.map_or_else(String::new, |until| format!(", until {until}"));
                writeln!(out, "  {word}  {}{until}: {}", entry.target, entry.why)?;
            }
            if entries.len() > TOLD_MAX {
                writeln!(out, "  {word}  {} more", entries.len() - TOLD_MAX)?;
            }
        }
        let lapsed = if self.lapsed == 0 { String::new() } else { format!(", {} lapsed and left out", self.lapsed) };
        writeln!(out, "  holds    {}{lapsed}", count_of(list.entries().len()))?;
        writeln!(out, "  until    {} ({}); what is revoked stays revoked", list.expires, distance(now, list.expires))?;
        Ok(())
    }

    pub fn json(
        &self,
        Issued { list, path, published, .. }: &Issued<Revocations>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let document = json!({
            "channel": list.channel,
            "policy": list.policy_name,
            "serial": list.serial,
            "issued": list.issued.to_string(),
            "expires": list.expires.to_string(),
            "entries": list.entries().len(),
            "added": entries(&self.added)?,
            "lifted": entries(&self.lifted)?,
            "lapsed": self.lapsed,
            "file": path.display().to_string(),
            "published": published,
        });
        writeln!(out, "{document:#}")?;
        Ok(())
    }
}

/// As they stand in a list.
pub fn entries(entries: &[Entry]) -> Result<Vec<Value>, Failure> {
    entries.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(Failure::new)
}

fn count_of(entries: usize) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

/// Without what has lapsed so long ago that no gateway's clock has it in force still.
fn held_on(entries: &[Entry], now: Timestamp) -> Vec<Entry> {
    let then = now.earlier_by(LAPSED_KEPT_S);
    entries.iter().filter(|entry| !entry.has_lapsed(then)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use policy_release::revocations::Target;

    use super::*;

    #[test]
    fn what_lapsed_within_the_last_day_is_listed_still() {
        let time = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let now = 1_000_000;
        let until = |until: u64| Entry {
            target: Target::Agent(format!("a{until}")),
            since: time(1),
            until: Some(time(until)),
            why: "w".into(),
        };
        let entries = [now - LAPSED_KEPT_S, now - LAPSED_KEPT_S + 1, now - 1, now + 1].map(until);
        assert_eq!(held_on(&entries, time(now)), entries[1..]);
    }
}
