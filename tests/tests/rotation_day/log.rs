//! The rotation log, read while it is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;

/// Lines that the records must have: so many of a kind, or refreshes that were taken.
#[derive(Debug)]
pub enum Told {
    /// `of`, `name`, how many.
    Taken(&'static str, String, usize),
    /// The same of what the gateway renews by itself: so many at least.
    TakenAtLeast(&'static str, String, usize),
    /// Kind of line, a member that tells them from others of the kind, and how many.
    Lines(&'static str, &'static str, usize),
}

pub struct Log {
    path: PathBuf,
    read: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    offset: u64,
    rest: String,
    events: Vec<Value>,
}

impl Log {
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// All lines but those of exchanges.
    fn events<T>(&self, look: impl FnOnce(&[Value]) -> T) -> T {
        let mut lines = self.read.lock().unwrap();
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(lines.offset)).unwrap();
        let mut bytes = Vec::new();
        lines.offset += file.read_to_end(&mut bytes).unwrap() as u64;
        let text = std::mem::take(&mut lines.rest) + std::str::from_utf8(&bytes).unwrap();
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
        lines.rest = rest.to_owned();
        let other = whole.lines().filter(|line| !line.contains("\"adamant.kind\":\"exchange\""));
        lines.events.extend(other.map(|line| serde_json::from_str::<Value>(line).unwrap()));
        look(&lines.events)
    }

    /// Refreshes that were taken, in their order; what was there at the start is none.
    fn refreshes(&self, of: &str, name: &str) -> Vec<Value> {
        let is_it =
            |line: &&Value| is_taken(line) && line["adamant.refresh.of"] == of && line["adamant.refresh.name"] == name;
        self.events(|events| events.iter().filter(is_it).cloned().collect())
    }

    pub fn taken(&self, of: &str, name: &str) -> usize {
        self.refreshes(of, name).len()
    }

    /// Refreshes that brought nothing.
    pub fn failed(&self, of: &str, name: &str) -> usize {
        let is_it = |line: &&Value| {
            line["adamant.refresh.of"] == of
                && line["adamant.refresh.name"] == name
                && ["failed", "refused", "stale"].iter().any(|outcome| line["adamant.refresh.outcome"] == *outcome)
        };
        self.events(|events| events.iter().filter(is_it).count())
    }

    fn lines(&self, kind: &str, member: &str) -> usize {
        let is_it = |line: &&Value| line["adamant.kind"] == kind && line.get(member).is_some();
        self.events(|events| events.iter().filter(is_it).count())
    }

    /// Exactly what a rotator did is there.
    pub fn has(&self, told: &Told) {
        match told {
            Told::Taken(of, name, count) => assert_eq!(self.taken(of, name), *count, "{told:?}"),
            Told::TakenAtLeast(of, name, count) => assert!(self.taken(of, name) >= *count, "{told:?}"),
            Told::Lines(kind, member, count) => assert_eq!(self.lines(kind, member), *count, "{told:?}"),
        }
    }

    /// What is replaced is what was taken before, of each thing.
    pub fn is_continuous(&self) {
        let mut serves: BTreeMap<(String, String), String> = BTreeMap::new();
        let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let taken = self.events(|events| events.iter().filter(|line| is_taken(line)).cloned().collect::<Vec<_>>());
        for line in taken {
            let thing = (text(&line, "adamant.refresh.of"), text(&line, "adamant.refresh.name"));
            let (old, new) = (text(&line, "adamant.refresh.old"), text(&line, "adamant.refresh.new"));
            assert_ne!(old, new, "{line}");
            if let Some(before) = serves.insert(thing, new) {
                assert_eq!(before, old, "{line}");
            }
        }
    }

    /// `audit show --rotations` gives them all, in the order of the records.
    pub fn is_shown(&self, shown: &str) {
        let is_of_release = |line: &Value| match line["adamant.kind"].as_str().unwrap_or_default() {
            "revocations" | "trust-root" | "pointer" | "pointer-expired" | "accepted" | "refused" | "waiting" => true,
            kind => kind == "activation" && line.get("adamant.release").is_some(),
        };
        let is_meant = |line: &&Value| line["adamant.kind"] == "refresh" || is_of_release(line);
        let time = |line: &Value| line["time"].as_str().unwrap()[..23].to_owned();
        let expected = self.events(|events| events.iter().filter(is_meant).map(time).collect::<Vec<_>>());
        let told: Vec<&str> = shown.lines().map(|line| &line[..23]).collect();
        assert_eq!(told, expected, "lines shown and lines written");
        let taken =
            self.events(|events| events.iter().filter(|line| line["adamant.refresh.outcome"] == "taken").count());
        assert_eq!(shown.lines().filter(|line| line.contains(" taken (")).count(), taken);
    }
}

fn is_taken(line: &Value) -> bool {
    line["adamant.kind"] == "refresh"
        && line["adamant.refresh.outcome"] == "taken"
        && line["adamant.refresh.why"] != "start"
}
