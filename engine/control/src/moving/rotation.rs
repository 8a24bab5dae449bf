//! The rotation log: every refresh of something that moves, whatever came of it, is one chained line of kind `refresh`.

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
        records.event("refresh", |line| self.put(line));
    }

    fn put(&self, line: &mut Object<'_>) {
        line.text("adamant.refresh.of", self.of.as_bytes());
        line.text("adamant.refresh.name", self.name.as_bytes());
        line.text("adamant.refresh.source", self.source.as_bytes());
        line.text("adamant.refresh.why", self.why.word().as_bytes());
        line.text("adamant.refresh.outcome", self.outcome.word().as_bytes());
        if !(self.old.is_empty() && self.new.is_empty()) {
            let overlap: Vec<String> = self.old.iter().filter(|old| self.new.contains(old)).cloned().collect();
            line.text("adamant.refresh.old", self.old.join(" ").as_bytes());
            line.text("adamant.refresh.new", self.new.join(" ").as_bytes());
            line.text("adamant.refresh.overlap", overlap.join(" ").as_bytes());
        }
        if let Outcome::Refused(error) | Outcome::Failed(error) = self.outcome {
            line.text("error.message", error.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rotation: &Rotation<'_>) -> String {
        let mut out = Vec::new();
        let mut line = Object::begin(&mut out);
        rotation.put(&mut line);
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
            r#"{"adamant.refresh.of":"keyset","adamant.refresh.name":"corp","adamant.refresh.source":"https://id.example/keys","adamant.refresh.why":"interval","adamant.refresh.outcome":"taken","adamant.refresh.old":"a b","adamant.refresh.new":"b c","adamant.refresh.overlap":"b"}"#
        );
        let failed = Rotation { outcome: Outcome::Failed("no \"answer\""), old: &[], new: &[], ..rotation };
        let told = text(&failed);
        assert!(told.ends_with(r#""adamant.refresh.outcome":"failed","error.message":"no \"answer\""}"#), "{told}");
    }
}
