//! Warnings before something ends: at set distances, each once, however often the process starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use identity::certificate::ClientCa;
use policy_release::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::assemble::files;
use crate::bounds::{EXPIRY_BYTES_MAX, EXPIRY_DISTANCES_S};
use crate::records::Handle;
use crate::watch::CREDENTIAL;

/// What was told already, in the state directory.
const FILE: &str = "expiry.json";

/// A certificate that a source of gateway.toml gives.
pub const OBTAINED: &str = "obtained-certificate";

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// `certificate`, `client-ca`, `origin-identity`, `crl`, …
    pub of: &'static str,
    pub name: String,
    /// Its life, seconds since the Unix epoch; begins at 0 where nothing says when it did.
    pub begins_s: u64,
    pub ends_s: u64,
}

/// The least distance of [`EXPIRY_DISTANCES_S`] that a thing has come to its end; none while all are before it. A distance that
/// is more than half of its life is none: what lives for a day does not warn a day before.
pub fn reached(begins_s: u64, ends_s: u64, now_s: u64) -> Option<u64> {
    let life_s = ends_s.saturating_sub(begins_s);
    let mut fitting = EXPIRY_DISTANCES_S.into_iter().filter(|distance_s| distance_s * 2 <= life_s);
    fitting.find(|distance_s| ends_s <= now_s.saturating_add(*distance_s))
}

impl Ends {
    /// The certificates of a CA, told as `name` with their subjects.
    pub fn of_ca(of: &'static str, name: String, ca: &ClientCa) -> impl Iterator<Item = Self> {
        let named = move |subject: &str| format!("{name} ({subject})");
        ca.lives_s().map(move |(subject, begins_s, ends_s)| Self { of, name: named(subject), begins_s, ends_s })
    }

    /// That its end is near, in words; none where it is not, at the distances at which it is told, or where it has ended.
    pub fn nearing(&self, now_s: u64) -> Option<String> {
        let distance_s = reached(self.begins_s, self.ends_s, now_s).filter(|_| self.ends_s > now_s)?;
        let at = Timestamp::from_seconds(self.ends_s).unwrap_or(Timestamp::MAX);
        let (what, name) = (shown(self.of), &self.name);
        Some(format!("the {what} {name} ends in less than {}, at {at}", written(distance_s)))
    }

    /// That it has ended, in words; none where it has not at `now_s`, or where there is an alarm for it elsewhere.
    pub fn ended(&self, now_s: u64) -> Option<String> {
        let at = Timestamp::from_seconds(self.ends_s).filter(|_| self.ends_s <= now_s)?;
        let (what, name, advice) = (shown(self.of), &self.name, advice(self.of)?);
        Some(format!("the {what} {name} ended at {at}: {advice}"))
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
    /// By thing and its end: the least distance told.
    told: BTreeMap<String, u64>,
    state: Option<PathBuf>,
}

impl Expiry {
    /// Goes on from what `state` says was told; from nothing without it.
    pub fn open(state: Option<&Path>) -> Self {
        let state = state.map(|state| state.join(crate::assemble::revocation::kept::MOVING_DIRECTORY));
        let told = state.as_ref().map(|state| read(&state.join(FILE))).unwrap_or_default();
        Self { told, state }
    }

    /// What came nearer to its end than was told before.
    pub fn crossed<'e>(&mut self, things: &'e [Ends], now_s: u64) -> Vec<Crossing<'e>> {
        let mut crossings = Vec::new();
        let mut told = BTreeMap::new();
        for ends in things {
            // With its end: two CAs of one name, during a rotation, are two things.
            let key = format!("{} {} {}", ends.of, ends.name, ends.ends_s);
            let before = told.get(&key).or_else(|| self.told.get(&key)).copied();
            match reached(ends.begins_s, ends.ends_s, now_s) {
                Some(distance_s) if before.is_none_or(|before| distance_s < before) => {
                    crossings.push(Crossing { ends, distance_s });
                    told.insert(key, distance_s);
                }
                _ => drop(before.map(|before| told.insert(key, before))),
            }
        }
        // What is not looked at just now may be looked at again: it is no news then.
        let is_to_come =
            |key: &String| key.rsplit(' ').next().and_then(|end| end.parse().ok()).is_some_and(|end: u64| end > now_s);
        let others = std::mem::take(&mut self.told).into_iter().filter(|(key, _)| is_to_come(key));
        for (key, distance_s) in others {
            told.entry(key).or_insert(distance_s);
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
            match (ends.ended(now_s), ends.nearing(now_s)) {
                (Some(ended), _) => crate::error!("{ended}"),
                (None, Some(nearing)) => crate::warning!("{nearing}"),
                (None, None) => {}
            }
        }
        self.save();
    }

    fn save(&self) {
        let Some(state) = &self.state else { return };
        let told = self.told.iter().map(|(key, told_s)| (key.clone(), json!(told_s)));
        let text = Value::Object(told.collect::<Map<_, _>>()).to_string();
        let saved = crate::assemble::revocation::kept::make(state)
            .and_then(|()| crate::atomic::write(state, FILE, text.as_bytes(), 0o600));
        if let Err(error) = saved {
            crate::warning!("{}: which warnings were given cannot be kept: {error}", state.join(FILE).display());
        }
    }
}

/// What is not there or damaged is nothing: the worst that follows is a warning once more.
fn read(path: &Path) -> BTreeMap<String, u64> {
    let bytes = files::read(path, EXPIRY_BYTES_MAX).unwrap_or_default();
    let Ok(Value::Object(told)) = serde_json::from_slice(&bytes) else { return BTreeMap::new() };
    told.into_iter().filter_map(|(key, told_s)| Some((key, told_s.as_u64()?))).collect()
}

/// A kind of things, for people.
pub fn shown(of: &str) -> &str {
    match of {
        "api-key" => "API key",
        "client-ca" => "certificate of client CA",
        CREDENTIAL => "secret of origin credential",
        "crl" => "revocation list of client CA",
        "key-set" => "key set with",
        "introspection-client" => "certificate of introspection client",
        "issuer-ca" => "CA certificate for the server of issuer",
        "keyset" => "keyset of issuer",
        OBTAINED => "certificate",
        "origin-ca" => "CA certificate for origin",
        "origin-identity" => "certificate of origin identity",
        "pointer" => "pointer of channel",
        "revocations" => "revocation list",
        "status-client-ca" => "client CA of the status listener",
        "trust-root" => "trust root",
        other => other,
    }
}

/// What to do about a thing that ended; none where whoever goes by it raises an alarm of its own.
fn advice(of: &str) -> Option<&'static str> {
    match of {
        "keyset" | "pointer" | "revocations" => None,
        CREDENTIAL => Some("it could not be fetched again, and stderr says why"),
        OBTAINED => {
            Some("that source gave no other one, and stderr says why; it is asked again by itself, and at SIGHUP")
        }
        "api-key" => Some("what presents it is refused: take it out of the policy, or give it another key"),
        "release" => Some("it goes on serving, and no other gateway accepts it any more: build and sign the next one"),
        "trust-root" => Some("nothing new is accepted under it: publish a successor (adamant trust publish)"),
        "origin-ca" | "client-ca" | "issuer-ca" => Some("a release with another one has to take its place"),
        "crl" => Some(
            "put another one in its place; until then no certificate of its CA is believed, unless enforce_expiration is false",
        ),
        _ => Some("put another one in its place"),
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

    #[test]
    fn what_ended_is_told_with_what_to_do_unless_another_alarm_says_it() {
        let of = |of| Ends { of, name: "x".to_owned(), begins_s: 0, ends_s: 5 };
        assert_eq!(of("api-key").ended(4), None);
        let told = of("api-key").ended(5).unwrap();
        assert!(told.starts_with("the API key x ended at 1970-01-01T00:00:05Z: what presents it is refused"), "{told}");
        assert!(of("trust-root").ended(6).unwrap().contains("nothing new is accepted"));
        assert_eq!(of("pointer").ended(6), None, "told by whoever follows the store");
        assert_eq!(of("certificate").ended(6).unwrap().split(": ").nth(1), Some("put another one in its place"));
        let told = of(OBTAINED).ended(6).unwrap();
        assert!(told.starts_with("the certificate x ended at") && told.contains("that source gave no other"), "{told}");
    }

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
    fn two_of_one_name_are_told_each_once() {
        let things = [thing(0, 100 * DAY_S), thing(0, 101 * DAY_S), thing(0, 101 * DAY_S)].concat();
        let all = distances(&mut Expiry::default(), &things, (90..99).map(|day| day * DAY_S));
        assert_eq!(all, [14 * DAY_S, 14 * DAY_S, 7 * DAY_S, 7 * DAY_S, 3 * DAY_S, 3 * DAY_S]);
    }

    #[test]
    fn what_is_away_for_a_while_is_no_news_when_it_is_back() {
        let (mut expiry, things) = (Expiry::default(), thing(0, 100 * DAY_S));
        assert_eq!(distances(&mut expiry, &things, [75 * DAY_S]), [30 * DAY_S]);
        assert_eq!(distances(&mut expiry, &[], [76 * DAY_S]), [0_u64; 0]);
        assert_eq!(distances(&mut expiry, &things, [77 * DAY_S, 87 * DAY_S]), [14 * DAY_S]);
        assert_eq!(distances(&mut expiry, &[], [101 * DAY_S]), [0_u64; 0]);
        assert!(expiry.told.is_empty(), "what has ended is not kept");
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
        // Larger than it ever is: as a damaged one.
        let large = |bytes: usize| {
            let json = json!({"x": 1}).to_string();
            std::fs::write(state.path().join("large"), json.clone() + &" ".repeat(bytes - json.len())).unwrap();
            read(&state.path().join("large")).len()
        };
        assert_eq!([EXPIRY_BYTES_MAX, EXPIRY_BYTES_MAX + 1].map(large), [1, 0]);
        let mut damaged = Expiry::open(Some(state.path()));
        assert_eq!(distances(&mut damaged, &things, [75 * DAY_S]), [30 * DAY_S], "told once more, at worst");
        assert_eq!((written(30 * DAY_S).as_str(), written(3_600).as_str()), ("30 days", "1 hour"));
    }
}
