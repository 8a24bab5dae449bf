//! Warnings before something ends: at set distances, each once, however often the process starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::assemble::files;
use crate::bounds::EXPIRY_DISTANCES_S;
use crate::records::Handle;
use crate::watch::CREDENTIAL;

/// What was told already, in the state directory.
const FILE: &str = "expiry.json";

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// `certificate`, `client-ca`, `origin-identity`, `crl`, …
    pub of: &'static str,
    pub name: String,
    /// Its life, seconds since the Unix epoch.
    pub begins_s: u64,
    pub ends_s: u64,
}

impl Ends {
    /// That it has ended, in words; none where it has not at `now_s`.
    pub fn ended(&self, now_s: u64) -> Option<String> {
        let at = Timestamp::from_seconds(self.ends_s).filter(|_| self.ends_s <= now_s)?;
        let todo = match self.of {
            CREDENTIAL => "it could not be fetched again, and stderr says why",
            _ => "put another one in its place",
        };
        Some(format!("the {} {} ended at {at}: {todo}", shown(self.of), self.name))
    }
}

/// Something came as near to its end as that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing<'e> {
    pub ends: &'e Ends,
    /// One of [`EXPIRY_DISTANCES_S`]; 0: it has ended.
    pub distance_s: u64,
}

/// Knows what was told.
#[derive(Debug, Default)]
pub struct Expiry {
    /// By thing: when it ends, and the least distance told.
    told: BTreeMap<String, (u64, u64)>,
    state: Option<PathBuf>,
}

impl Expiry {
    /// Goes on from what `state` says was told; from nothing without it.
    pub fn open(state: Option<&Path>) -> Self {
        let state = state.map(|state| state.join(crate::assemble::revocation::MOVING_DIRECTORY));
        let told = state.as_ref().map(|state| read(&state.join(FILE))).unwrap_or_default();
        Self { told, state }
    }

    /// What came nearer to its end than was told before. A distance that is more than half of a thing's life is none: what
    /// lives for a day does not warn a day before.
    pub fn crossed<'e>(&mut self, things: &'e [Ends], now_s: u64) -> Vec<Crossing<'e>> {
        let mut crossings = Vec::new();
        let mut told = BTreeMap::new();
        for ends in things {
            let key = format!("{} {}", ends.of, ends.name);
            let life_s = ends.ends_s.saturating_sub(ends.begins_s);
            let mut fitting = EXPIRY_DISTANCES_S.iter().filter(|distance_s| **distance_s * 2 <= life_s);
            let reached = fitting.find(|distance_s| ends.ends_s <= now_s.saturating_add(**distance_s));
            let before = self.told.get(&key).filter(|(ends_s, _)| *ends_s == ends.ends_s).map(|(_, told_s)| *told_s);
            match reached {
                Some(distance_s) if before.is_none_or(|before| *distance_s < before) => {
                    crossings.push(Crossing { ends, distance_s: *distance_s });
                    told.insert(key, (ends.ends_s, *distance_s));
                }
                _ => drop(before.map(|before| told.insert(key, (ends.ends_s, before)))),
            }
        }
        self.told = told;
        crossings
    }

    /// Tells what came nearer to its end, in the records and on stderr.
    pub fn tell(&mut self, things: &[Ends], records: &Handle, now_s: u64) {
        let crossings = self.crossed(things, now_s);
        if crossings.is_empty() {
            return;
        }
        for Crossing { ends, distance_s } in crossings {
            let at = Timestamp::from_seconds(ends.ends_s).unwrap_or(Timestamp::MAX).to_string();
            records.event("expiry", |line| {
                line.text("adamant.expiry.of", ends.of.as_bytes());
                line.text("adamant.expiry.name", ends.name.as_bytes());
                line.text("adamant.expiry.ends", at.as_bytes());
                line.number("adamant.expiry.distance_s", distance_s);
            });
            let (what, name) = (shown(ends.of), &ends.name);
            match ends.ended(now_s) {
                Some(ended) => crate::error!("{ended}"),
                None => crate::warning!("the {what} {name} ends in less than {}, at {at}", written(distance_s)),
            }
        }
        self.save();
    }

    fn save(&self) {
        let Some(state) = &self.state else { return };
        let told = self.told.iter().map(|(key, (ends_s, told_s))| (key.clone(), json!([ends_s, told_s])));
        let text = Value::Object(told.collect::<Map<_, _>>()).to_string();
        let saved = crate::assemble::revocation::make(state)
            .and_then(|()| crate::atomic::write(state, FILE, text.as_bytes(), 0o600));
        if let Err(error) = saved {
            crate::warning!("{}: which warnings were given cannot be kept: {error}", state.join(FILE).display());
        }
    }
}

/// What is not there or damaged is nothing: the worst that follows is a warning once more.
fn read(path: &Path) -> BTreeMap<String, (u64, u64)> {
    let bytes = files::read(path, SMALL_FILE_BYTES_MAX).unwrap_or_default();
    let Ok(Value::Object(told)) = serde_json::from_slice(&bytes) else { return BTreeMap::new() };
    let one = |(key, pair): (String, Value)| Some((key, (pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?)));
    told.into_iter().filter_map(one).collect()
}

fn shown(of: &str) -> &str {
    match of {
        "client-ca" => "certificate of client CA",
        "origin-identity" => "certificate of origin identity",
        CREDENTIAL => "secret of origin credential",
        "crl" => "revocation list of client CA",
        "key-set" => "key set with",
        other => other,
    }
}

/// A distance for people.
fn written(distance_s: u64) -> String {
    let (count, unit) = match distance_s {
        whole if whole.is_multiple_of(86_400) => (whole / 86_400, "day"),
        whole if whole.is_multiple_of(3_600) => (whole / 3_600, "hour"),
        other => (other, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u64 = 86_400;

    fn thing(begins_s: u64, ends_s: u64) -> [Ends; 1] {
        [Ends { of: "crl", name: "agents".to_owned(), begins_s, ends_s }]
    }

    fn distances(expiry: &mut Expiry, things: &[Ends], times_s: impl IntoIterator<Item = u64>) -> Vec<u64> {
        times_s
            .into_iter()
            .flat_map(|now_s| {
                expiry.crossed(things, now_s).iter().map(|crossing| crossing.distance_s).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn each_distance_is_told_once_on_the_way() {
        let things = thing(0, 100 * DAY_S);
        let all = distances(&mut Expiry::default(), &things, (60 * 24..101 * 24).map(|hour| hour * 3_600));
        assert_eq!(all, [30 * DAY_S, 14 * DAY_S, 7 * DAY_S, 3 * DAY_S, DAY_S, 6 * 3_600, 3_600, 0]);
    }

    #[test]
    fn only_the_nearest_is_told_of_what_is_near_and_none_that_is_long_for_its_life() {
        assert_eq!(distances(&mut Expiry::default(), &thing(0, 100 * DAY_S), [98 * DAY_S]), [3 * DAY_S]);
        let short = thing(98 * DAY_S, 99 * DAY_S);
        let all = distances(&mut Expiry::default(), &short, (98 * 24..100 * 24).map(|hour| hour * 3_600));
        assert_eq!(all, [6 * 3_600, 3_600, 0]);
        assert_eq!(distances(&mut Expiry::default(), &thing(5, 4), [3]), [0_u64; 0]);
    }

    #[test]
    fn a_restart_tells_nothing_again_and_another_end_is_another_thing() {
        let state = tempfile::tempdir().unwrap();
        let things = thing(0, 100 * DAY_S);
        let mut expiry = Expiry::open(Some(state.path()));
        assert_eq!(distances(&mut expiry, &things, [75 * DAY_S]), [30 * DAY_S]);
        expiry.save();
        let mut again = Expiry::open(Some(state.path()));
        assert_eq!(distances(&mut again, &things, [75 * DAY_S, 80 * DAY_S, 87 * DAY_S]), [14 * DAY_S]);
        let renewed = thing(80 * DAY_S, 180 * DAY_S);
        assert_eq!(distances(&mut again, &renewed, [90 * DAY_S, 151 * DAY_S]), [30 * DAY_S]);
        std::fs::write(state.path().join("moving").join(FILE), "{damaged").unwrap();
        let mut damaged = Expiry::open(Some(state.path()));
        assert_eq!(distances(&mut damaged, &things, [75 * DAY_S]), [30 * DAY_S], "told once more, at worst");
        assert_eq!((written(30 * DAY_S).as_str(), written(3_600).as_str()), ("30 days", "1 hour"));
    }
}
