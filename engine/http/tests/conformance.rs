//! Requests that others wrote (`../shared/conformance/http1.json`), at parser level: each is refused, or every message
//! in it is forwarded as exactly one canonical head. Where that differs from what its source expects, the case must
//! be listed in `refusals.toml` with the reason, and every listed case must differ.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod gateway;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gateway::{Outcome, run};
use serde::Deserialize;

/// One case; one character of `raw_request` is one byte.
#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    category: String,
    raw_request: String,
    expectation: String,
    pass_on: Option<Vec<String>>,
    llhttp_reject: Option<bool>,
    raw_repeat: Option<Repeat>,
    raw_note: Option<String>,
}

#[derive(Deserialize)]
struct Repeat {
    offset: usize,
    char: String,
    count: usize,
}

/// What a case's source wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Accept,
    Refuse,
    /// Incomplete: no answer yet.
    Wait,
    /// Refused, or forwarded unambiguously.
    Either,
}

/// `refusals.toml`.
#[derive(Deserialize)]
struct Listed {
    /// By fault: cases that their source accepts (or prefers to) and this gateway refuses.
    refused: BTreeMap<String, Group>,
    /// Cases that their source rejects (or prefers to) and this gateway accepts.
    accepted: BTreeMap<String, Group>,
    /// Incomplete cases that their source accepts or rejects.
    waits: BTreeMap<String, Group>,
}

#[derive(Deserialize)]
struct Group {
    reason: String,
    names: BTreeSet<String>,
}

impl Case {
    /// The bytes on the wire.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.raw_request.chars().map(|character| character as u8).collect();
        if let Some(repeat) = &self.raw_repeat {
            let run = repeat.char.repeat(repeat.count).into_bytes();
            bytes.splice(repeat.offset..repeat.offset, run);
        }
        if self.raw_note.is_some() {
            let fields: String = (0..10_000).map(|number| format!("X-H-{number}: value\r\n")).collect();
            bytes.splice(bytes.len() - 2..bytes.len() - 2, fields.into_bytes());
        }
        let mut bytes = replace(&bytes, b"{HOST}", b"example.com:8080");
        bytes = replace(&bytes, b"{HOSTNAME}", b"example.com");
        replace(&bytes, b"{PORT}", b"8080")
    }

    fn group(&self) -> String {
        let source = self.source.split_whitespace().next().unwrap().rsplit('/').next().unwrap();
        format!("{} {}", source.split('@').next().unwrap(), self.category)
    }

    fn wanted(&self) -> Wanted {
        let words = &self.expectation;
        let says = |part: &str| words.contains(part);
        match self.name.split('/').next().unwrap() {
            "h11probe" => self.wanted_by_probe(),
            "h1spec" if says("must wait") => Wanted::Wait,
            "h1spec" => match (says("[200, 299]"), says("[400")) {
                (true, true) => Wanted::Either,
                (true, false) => Wanted::Accept,
                _ => Wanted::Refuse,
            },
            "llhttp" => {
                if self.llhttp_reject == Some(true) {
                    Wanted::Refuse
                } else {
                    Wanted::Accept
                }
            }
            "nginx-tests" => {
                if says("accepted") {
                    Wanted::Accept
                } else {
                    Wanted::Refuse
                }
            }
            "haproxy" if says(", or ") => Wanted::Either,
            "haproxy" => {
                if says("status 200") {
                    Wanted::Accept
                } else {
                    Wanted::Refuse
                }
            }
            "httparse" if says("incomplete") => Wanted::Wait,
            "httparse" => {
                if says("accepts") {
                    Wanted::Accept
                } else {
                    Wanted::Refuse
                }
            }
            _ if words.starts_with("Reject") || says("-- Reject") => Wanted::Either,
            _ if says("400+close") => Wanted::Refuse,
            _ => panic!("{}: {words}", self.name),
        }
    }

    /// Http11Probe: what passes. What only warns counts as not wanted.
    fn wanted_by_probe(&self) -> Wanted {
        let has = |list: &Option<Vec<String>>, first: char| {
            list.as_ref().is_some_and(|list| list.iter().any(|entry| entry.starts_with(first)))
        };
        if self.pass_on.is_none() {
            let words = self.expectation.rsplit(" | ").next().unwrap();
            let refused = words.contains("400") || words.contains("eject") || words.contains("405");
            return if refused { Wanted::Either } else { Wanted::Accept };
        }
        match (has(&self.pass_on, '2'), has(&self.pass_on, '4')) {
            (true, true) => Wanted::Either,
            (true, false) => Wanted::Accept,
            // `close` alone stands for a refusal.
            (false, _) => Wanted::Refuse,
        }
    }
}

#[test]
fn every_case_is_refused_or_forwarded_as_one_canonical_request() {
    let Some(cases) = cases() else { return };
    let listed: Listed = toml::from_str(include_str!("refusals.toml")).unwrap();
    let (mut found, mut table) = (Found::default(), BTreeMap::<String, [usize; 4]>::new());
    for case in &cases {
        let outcome = run(&case.bytes());
        let row = table.entry(case.group()).or_default();
        row[match outcome {
            Outcome::Forwarded { .. } => 0,
            Outcome::Local => 1,
            Outcome::Refused(_) => 2,
            Outcome::Waits => 3,
        }] += 1;
        found.note(case, case.wanted(), &outcome);
        if let Outcome::Refused(fault) = &outcome
            && (fault.starts_with("HostMissing") || fault.starts_with("HostInvalid"))
            && case.wanted() == Wanted::Accept
        {
            found.note_with_host(case);
        }
        if case.name.starts_with("nginx-tests")
            && let Outcome::Forwarded { host, .. } = &outcome
        {
            assert!(case.expectation.contains(&format!("'{host}'")), "{}: {host}", case.name);
        }
    }
    println!("{:<40} forwarded  local  refused  waits", "source and category");
    for (group, [forwarded, local, refused, waits]) in &table {
        println!("{group:<40} {forwarded:>9} {local:>6} {refused:>8} {waits:>6}");
    }
    found.compare(&listed);
}

/// Cases that differ from what their source wants, by fault or kind.
#[derive(Default)]
struct Found {
    refused: BTreeMap<String, BTreeSet<String>>,
    accepted: BTreeSet<String>,
    waits: BTreeSet<String>,
}

impl Found {
    fn note(&mut self, case: &Case, wanted: Wanted, outcome: &Outcome) {
        match (wanted, outcome) {
            (Wanted::Accept, Outcome::Refused(fault)) => {
                self.refused.entry(fault.clone()).or_default().insert(case.name.clone());
            }
            (Wanted::Refuse, Outcome::Forwarded { .. } | Outcome::Local) => {
                self.accepted.insert(case.name.clone());
            }
            (Wanted::Accept | Wanted::Refuse, Outcome::Waits) => {
                self.waits.insert(case.name.clone());
            }
            (Wanted::Wait, outcome) => assert!(matches!(outcome, Outcome::Waits), "{}: {outcome:?}", case.name),
            _ => {}
        }
    }

    /// Parser-level sources often leave Host out or empty: whether the rest of such a case is accepted is seen with a
    /// valid one.
    fn note_with_host(&mut self, case: &Case) {
        let text: String = case.bytes().iter().map(|byte| *byte as char).collect();
        let repaired = if let Some(at) = text.find("Host: \r\n") {
            format!("{}Host: a\r\n{}", &text[..at], &text[at + 8..])
        } else {
            let line = text.trim_start().find("\r\n").unwrap_or(0) + (text.len() - text.trim_start().len());
            format!("{}\r\nHost: a{}", &text[..line], &text[line..])
        };
        let bytes: Vec<u8> = repaired.chars().map(|character| character as u8).collect();
        if let Outcome::Refused(fault) = run(&bytes)
            && !fault.starts_with("Host")
        {
            self.refused.entry(fault).or_default().insert(case.name.clone());
        }
    }

    /// Fails with everything that is not listed, or listed for nothing.
    fn compare(&self, listed: &Listed) {
        let names = |groups: &BTreeMap<String, Group>| -> BTreeSet<String> {
            groups.values().flat_map(|group| group.names.iter().cloned()).collect()
        };
        let refused: BTreeMap<_, _> =
            listed.refused.iter().map(|(fault, group)| (fault.clone(), group.names.clone())).collect();
        let reasons = listed.refused.values().chain(listed.accepted.values()).chain(listed.waits.values());
        assert!(reasons.map(|group| &group.reason).all(|reason| reason.len() > 20), "a reason is missing");
        assert_eq!(self.refused, refused, "refused although the source accepts");
        assert_eq!(self.accepted, names(&listed.accepted), "accepted although the source refuses");
        assert_eq!(self.waits, names(&listed.waits), "incomplete although the source decides");
    }
}

fn cases() -> Option<Vec<Case>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/http1.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: ../shared/conformance/http1.json is not there");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}
