//! The rotation log: every refresh of something that moves, whatever came of it, is one chained line of kind `refresh`.

use std::collections::BTreeSet;

use crate::bounds::REFRESH_THUMBPRINTS_MAX;
use crate::clock;
use crate::records::{Handle, Object};

/// Why it was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Start,
    /// Its time had come.
    Interval,
    /// Its source says that it lives shorter than the interval, or it became too old.
    Expiry,
    /// A request named a key that is not known.
    UnknownKid,
    /// The file was seen to change.
    Changed,
    /// SIGHUP.
    Order,
    /// Another release serves.
    Release,
}

impl Why {
    /// Of a file that has something else than what was read with the start or the release: it changed before the first look.
    #[must_use]
    pub const fn of_change(self) -> Self {
        match self {
            Self::Start => Self::Changed,
            other => other,
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interval => "interval",
            Self::Expiry => "expiry",
            Self::UnknownKid => "unknown-kid",
            Self::Changed => "changed",
            Self::Order => "order",
            Self::Release => "release",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It serves from now on.
    Taken,
    /// What serves is what is there.
    Unchanged,
    /// It is there and not good; the old stays.
    Refused(&'a str),
    /// It could not be had; the old stays.
    Failed(&'a str),
    /// The old is too old to be believed any longer; nothing takes its place.
    Stale,
}

impl Outcome<'_> {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unchanged => "unchanged",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Stale => "stale",
        }
    }
}

/// One refresh.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    /// What kind of thing moves: `keyset`, `certificate`, …
    pub of: &'static str,
    pub name: &'a str,
    /// A path, or a URL without credentials and query.
    pub source: &'a str,
    pub why: Why,
    pub outcome: Outcome<'a>,
    /// Thumbprints of what served before; both lists are empty where nothing changed.
    pub old: &'a [String],
    /// Thumbprints of what serves now.
    pub new: &'a [String],
}

impl Rotation<'_> {
    /// Puts it on record.
    pub fn tell(&self, records: &Handle) {
        let overlap_ms = records.standing().turn(self, clock::unix_ns() / 1_000_000);
        records.event("refresh", |line| self.put(line, overlap_ms));
    }

    /// `overlap_ms`: how long what left stood beside what took its place, where something left.
    fn put(&self, line: &mut Object<'_>, overlap_ms: Option<u64>) {
        line.text("adamant.refresh.of", self.of.as_bytes());
        line.text("adamant.refresh.name", self.name.as_bytes());
        line.text("adamant.refresh.source", self.source.as_bytes());
        line.text("adamant.refresh.why", self.why.word().as_bytes());
        line.text("adamant.refresh.outcome", self.outcome.word().as_bytes());
        if !(self.old.is_empty() && self.new.is_empty()) {
            let new: BTreeSet<&String> = self.new.iter().collect();
            line.text("adamant.refresh.old", shown(self.old.iter()).as_bytes());
            line.text("adamant.refresh.new", shown(self.new.iter()).as_bytes());
            line.text("adamant.refresh.overlap", shown(self.old.iter().filter(|old| new.contains(old))).as_bytes());
        }
        if let Some(overlap_ms) = overlap_ms {
            line.number("adamant.refresh.overlap_s", overlap_ms / 1_000);
        }
        if let Outcome::Refused(error) | Outcome::Failed(error) = self.outcome {
            line.text("error.message", error.as_bytes());
        }
    }
}

/// The first of them, and how many more there are.
fn shown<'t>(mut thumbprints: impl Iterator<Item = &'t String>) -> String {
    let first: Vec<&str> = thumbprints.by_ref().take(REFRESH_THUMBPRINTS_MAX).map(String::as_str).collect();
    let more = thumbprints.count();
    if more > 0 { format!("{} and-{more}-more", first.join(" ")) } else { first.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rotation: &Rotation<'_>) -> String {
        let mut out = Vec::new();
        let mut line = Object::begin(&mut out);
        rotation.put(&mut line, rotation.old.first().map(|_| 7_999));
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_overlap_is_what_stays() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (old, new) = (list(&["a", "b"]), list(&["b", "c"]));
        let rotation = Rotation {
            of: "keyset",
            name: "corp",
            source: "https://id.example/keys",
            why: Why::Interval,
            outcome: Outcome::Taken,
            old: &old,
            new: &new,
        };
        assert_eq!(
            text(&rotation),
            r#"{"adamant.refresh.of":"keyset","adamant.refresh.name":"corp","adamant.refresh.source":"https://id.example/keys","adamant.refresh.why":"interval","adamant.refresh.outcome":"taken","adamant.refresh.old":"a b","adamant.refresh.new":"b c","adamant.refresh.overlap":"b","adamant.refresh.overlap_s":7}"#
        );
        let many: Vec<String> = (0..REFRESH_THUMBPRINTS_MAX + 36).map(|number| format!("k{number}")).collect();
        let told = text(&Rotation { old: &many, new: &many[..1], ..rotation });
        assert!(told.contains(" k128 and-36-more\",\"adamant.refresh.new\":\"k0\","), "{told}");
        let failed = Rotation { outcome: Outcome::Failed("no \"answer\""), old: &[], new: &[], ..rotation };
        let told = text(&failed);
        assert!(told.ends_with(r#""adamant.refresh.outcome":"failed","error.message":"no \"answer\""}"#), "{told}");
    }
}
