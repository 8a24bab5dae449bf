//! Since when each key of what moves is there: for how long old and new stood side by side. Pure: times are arguments, in
//! milliseconds since the Unix epoch.

use std::collections::{BTreeMap, BTreeSet};

use super::rotation::Rotation;
use crate::bounds::STANDING_MAX;

/// What the rotation log remembers of its lines.
#[derive(Debug)]
pub struct Standing {
    /// By kind, name and thumbprint.
    since_ms: BTreeMap<(&'static str, String, String), u64>,
    /// Since when it is remembered: whatever is there and not remembered has been there for so long at least.
    from_ms: u64,
}

impl Standing {
    pub const fn new(now_ms: u64) -> Self {
        Self { since_ms: BTreeMap::new(), from_ms: now_ms }
    }

    /// Takes in a line. Where something left: how long it stood beside the first that came after it and stays, milliseconds; 0
    /// where there is none, and of several that left the shortest.
    pub fn turn(&mut self, line: &Rotation<'_>, now_ms: u64) -> Option<u64> {
        let (old, new): (BTreeSet<&String>, BTreeSet<&String>) = (line.old.iter().collect(), line.new.iter().collect());
        if new.is_empty() {
            return None;
        }
        let key = |thumbprint: &String| (line.of, line.name.to_owned(), thumbprint.clone());
        let since_ms = |thumbprint: &String| self.since_ms.get(&key(thumbprint)).map_or(self.from_ms, |since| *since);
        // By the place that they fill.
        let mut staying: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for stays in old.intersection(&new) {
            staying.entry(place(line.of, stays).unwrap_or_default()).or_default().push(since_ms(stays));
        }
        let beside_ms = |left: &String| {
            let all = staying.get(place(line.of, left)?);
            let after = all.into_iter().flatten().filter(|since| **since >= since_ms(left)).min();
            Some(after.map_or(0, |since| now_ms.saturating_sub(*since)))
        };
        let overlap_ms = old.difference(&new).filter_map(|left| beside_ms(left)).min();
        for left in old.difference(&new) {
            self.since_ms.remove(&key(left));
        }
        if self.since_ms.len() + new.len() > STANDING_MAX {
            (self.since_ms, self.from_ms) = (BTreeMap::new(), now_ms);
        } else {
            self.since_ms.extend(new.difference(&old).map(|came| (key(came), now_ms)));
        }
        overlap_ms
    }
}

/// In which place a thumbprint stands: one takes the place of another in the same alone. None for what takes nobody's.
fn place<'t>(of: &str, thumbprint: &'t str) -> Option<&'t str> {
    match of {
        // `ID:HASH`, and the serials of the sets.
        "key-set" => thumbprint.split_once(':').map(|(id, _)| id),
        // A list replaces that of its own issuer, at once.
        "crl" => Some(thumbprint),
        _ => Some(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moving::{Outcome, Why};

    const T: u64 = 1_800_000_000_000;

    fn turn(standing: &mut Standing, of: &'static str, lists: [&str; 2], now_ms: u64) -> Option<u64> {
        let [old, new] = lists.map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let (why, outcome) = (Why::Interval, Outcome::Taken);
        let line = Rotation { of, name: "corp", source: "s", why, outcome, old: &old, new: &new };
        standing.turn(&line, now_ms)
    }

    #[test]
    fn an_overlap_lasts_from_when_the_new_came_until_the_old_left() {
        let mut of = Standing::new(T);
        let mut turn = |old, new, ms| turn(&mut of, "keyset", [old, new], T + ms);
        assert_eq!(turn("", "k1", 10), None);
        assert_eq!(turn("k1", "k1 k2", 1_000), None, "nothing left");
        assert_eq!(turn("k1 k2", "k2 k3", 4_000), Some(3_000));
        assert_eq!(turn("k2 k3", "k3 k4", 4_500), Some(500));
        assert_eq!(turn("k3 k4", "k5", 9_000), Some(0), "a plain swap");
        assert_eq!(turn("k5", "k5 k6", 10_000), None);
        assert_eq!(turn("k5 k6", "k5 k7", 12_000), Some(0), "what was there before takes nobody's place");
        assert_eq!(turn("k5 k7", "k5 k7 k8 k9", 13_000), None);
        assert_eq!(turn("k5 k7 k8 k9", "k9", 20_000), Some(7_000), "the shortest; both came at once");
        assert_eq!(turn("k9", "", 21_000), None, "nothing takes its place");
    }

    #[test]
    fn what_was_there_before_it_is_remembered_counts_from_then_on() {
        let mut of = Standing::new(T);
        assert_eq!(turn(&mut of, "keyset", ["a b", "b"], T + 5_000), Some(5_000));
        assert_eq!(turn(&mut of, "keyset", ["b", "b c"], T + 6_000), None);
        assert_eq!(turn(&mut of, "keyset", ["b c", "c"], T + 5_500), Some(0), "a clock that was put back");
    }

    #[test]
    fn keys_take_the_place_of_those_of_their_own_id_and_lists_nobodys() {
        let mut of = Standing::new(T);
        let mut turn = |of_kind, old, new, ms| turn(&mut of, of_kind, [old, new], T + ms);
        assert_eq!(turn("key-set", "", "serial-1 a:1 b:1", 0), None);
        assert_eq!(turn("key-set", "serial-1 a:1", "serial-2 a:1 a:2", 1_000), None, "a serial is no key");
        assert_eq!(turn("key-set", "serial-2 a:1 a:2", "serial-3 a:2", 5_000), Some(4_000));
        assert_eq!(
            turn("key-set", "serial-3 a:2 b:1", "serial-4 a:2 b:2", 6_000),
            Some(0),
            "another id's is no overlap"
        );
        assert_eq!(turn("crl", "1 7", "2 7", 6_000), Some(0));
    }

    #[test]
    fn it_remembers_no_more_than_its_bound_and_never_tells_too_much() {
        let mut of = Standing::new(T);
        let many = |from: usize| (from..from + 64).map(|number| format!("k{number} ")).collect::<String>();
        let mut before = String::new();
        for round in 0..STANDING_MAX / 64 + 2 {
            let kind = "origin-identity";
            assert_eq!(turn(&mut of, kind, ["", &many(round * 64)], T + 1_000 + round as u64), None);
            before = many(round * 64);
            assert!(of.since_ms.len() <= STANDING_MAX, "{}", of.since_ms.len());
        }
        assert!(of.from_ms > T, "it began anew");
        let stays = before.split_whitespace().next().unwrap().to_owned();
        assert!(turn(&mut of, "origin-identity", [&before, &stays], T + 11_000).unwrap() < 10_000);
    }
}
