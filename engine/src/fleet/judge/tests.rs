//! Each thing that can be wrong is told, and nothing else is.

use std::io;

use policy_release::attestation::{Format, LastFailure, Memory, Node, Nonce, Pointer, Refusal, Waiting};
use policy_release::digest::Digest;
use policy_release::key::{PublicKey, SigningKey};
use policy_release::time::Timestamp;

use super::*;

const NOW_S: u64 = 1_800_000_000;
const DAY_S: u64 = 86_400;

fn key(seed: u8) -> PublicKey {
    SigningKey::generate([seed; 32]).unwrap().public()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn said(seed: u8) -> Attestation {
    let key = key(seed);
    Attestation {
        format: Format,
        node: Node { id: key.id(), key },
        nonce: Some(Nonce::new([1; 16])),
        time: at(NOW_S),
        phase: "serving".to_owned(),
        unready: vec![],
        awaiting: vec![],
        awaiting_identities: vec![],
        started: at(NOW_S - 10),
        release: Digest::of(b"release").to_string(),
        version: 7,
        policy: "orders".to_owned(),
        signers: vec!["alice".to_owned()],
        expires: Some(at(NOW_S + 400 * DAY_S)),
        since: at(NOW_S - 5),
        accepted: None,
        activation: 1,
        table_sha256: "sha256:table".to_owned(),
        audit: policy::model::Audit::Queued,
        pointer: Some(Pointer {
            channel: "production".to_owned(),
            serial: 3,
            issued: at(NOW_S - DAY_S),
            expires: at(NOW_S + 400 * DAY_S),
            expired: false,
        }),
        refusal: None,
        waiting: None,
        revocations: None,
        key_set: None,
        trust_root: 1,
        keysets: BTreeMap::new(),
        assertions: None,
        certificates: vec![],
        not_renewed: vec![],
        last_failures: vec![],
        ends: vec![],
        config: "sha256:config".to_owned(),
        binary: "0.1.0".to_owned(),
        binary_sha256: None,
        kernel: "6.12".to_owned(),
        memory: Memory { mseal: false, copies: 1, hashed: None, mismatches: 0 },
        checkpoint: None,
    }
}

fn host(seed: u8) -> Host {
    format!("https://gw{seed}:9902").parse().unwrap()
}

fn expectation() -> Expectation {
    Expectation {
        release: Digest::of(b"release"),
        channel: Some("production".to_owned()),
        serial: Some(3),
        is_signed: Some(true),
    }
}

/// Codes of problems and of notes, by gateway.
fn codes(all: Vec<Attestation>, pins: &Pins) -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let answers = all.into_iter().enumerate().map(|(index, said)| (host(index as u8 + 1), Ok(said))).collect();
    let expected = expectation();
    let yardstick = Yardstick { expected: Some(&expected), pins, now_unix_s: NOW_S };
    let of = |findings: Vec<Finding>| findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>();
    judge(answers, &yardstick).into_iter().map(|judged| (of(judged.problems), of(judged.notes))).collect()
}

/// The problems of one gateway whose answer was changed.
fn problems(change: impl FnOnce(&mut Attestation)) -> Vec<&'static str> {
    let mut changed = said(1);
    change(&mut changed);
    codes(vec![changed], &Pins::default()).remove(0).0
}

#[test]
fn a_fleet_as_it_should_be_has_nothing_to_say() {
    let pins = Pins::new(&[key(1), key(2)]);
    assert_eq!(codes(vec![said(1), said(2)], &pins), [(vec![], vec![]), (vec![], vec![])]);
}

#[test]
fn every_difference_is_a_problem_of_its_own() {
    assert_eq!(problems(|said| said.release = "sha256:00".to_owned()), ["drifted"]);
    let waiting = Waiting { release: Digest::of(b"release").to_string(), version: 8, serial: 3 };
    let restart = |said: &mut Attestation| {
        said.release = "sha256:00".to_owned();
        said.waiting = Some(waiting);
    };
    assert_eq!(problems(restart), ["restart"]);
    assert_eq!(problems(|said| said.time = at(NOW_S - CLOCK_S_MAX - 1)), ["clock"]);
    assert_eq!(problems(|said| said.time = at(NOW_S + CLOCK_S_MAX + 1)), ["clock"]);
    assert!(problems(|said| said.time = at(NOW_S + CLOCK_S_MAX)).is_empty());
    assert_eq!(problems(|said| said.pointer.as_mut().unwrap().serial = 2), ["serial"]);
    assert_eq!(problems(|said| said.pointer.as_mut().unwrap().channel = "test".to_owned()), ["channel"]);
    assert_eq!(problems(|said| said.pointer.as_mut().unwrap().expires = at(NOW_S)), ["pointer-expired"]);
    assert_eq!(problems(|said| said.pointer.as_mut().unwrap().expired = true), ["pointer-expired"]);
    assert_eq!(problems(|said| said.unready = vec!["draining".to_owned()]), ["not-ready"]);
    assert_eq!(problems(|said| said.awaiting = vec![1]), ["certificate-awaited"]);
    assert_eq!(problems(|said| said.awaiting_identities = vec!["me".to_owned()]), ["certificate-awaited"]);
    assert_eq!(problems(|said| said.memory.mismatches = 1), ["memory"]);
    let (check, message) = ("threshold".to_owned(), "expected 2, found 1".to_owned());
    let refusal = Refusal { since: at(NOW_S), check, message, release: None };
    assert_eq!(problems(|said| said.refusal = Some(refusal)), ["refuses"]);
}

/// Codes of problems by gateway, when nobody said what is expected.
fn unexpected(all: Vec<Attestation>) -> Vec<Vec<&'static str>> {
    let answers = all.into_iter().enumerate().map(|(index, said)| (host(index as u8 + 1), Ok(said))).collect();
    let judged = judge(answers, &Yardstick { expected: None, pins: &Pins::default(), now_unix_s: NOW_S });
    judged.into_iter().map(|of| of.problems.into_iter().map(|finding| finding.code).collect()).collect()
}

#[test]
fn without_an_expectation_gateways_are_held_against_one_another() {
    let none = || Vec::<&str>::new();
    let serves = |seed: u8, release: &str, change: &dyn Fn(&mut Attestation)| {
        let mut said = said(seed);
        said.release = format!("sha256:{release}");
        said.table_sha256 = format!("sha256:table of {release}");
        change(&mut said);
        said
    };
    let same = |_: &mut Attestation| {};
    assert_eq!(unexpected(vec![serves(1, "a", &same), serves(2, "a", &same)]), [none(), none()]);
    assert_eq!(unexpected(vec![serves(1, "a", &same), serves(2, "b", &same)]), [["drifted"], ["drifted"]]);
    let three = vec![serves(1, "a", &same), serves(2, "b", &same), serves(3, "a", &same)];
    assert_eq!(unexpected(three), [none(), vec!["drifted"], none()]);
    let elsewhere = |said: &mut Attestation| said.pointer.as_mut().unwrap().channel = "test".to_owned();
    let other = |said: &mut Attestation| said.policy = "billing".to_owned();
    let apart = vec![serves(1, "a", &same), serves(2, "b", &elsewhere), serves(3, "c", &other)];
    assert_eq!(unexpected(apart), [none(), none(), none()]);
    let waits = |said: &mut Attestation| {
        said.waiting = Some(Waiting { release: "sha256:a".to_owned(), version: 7, serial: 4 });
    };
    assert_eq!(unexpected(vec![serves(1, "a", &same), serves(2, "b", &waits)]), [none(), vec!["restart"]]);
    assert_eq!(unexpected(vec![serves(2, "b", &waits)]), [["restart"]]);
}

fn ends(of: &str, begins_s: Option<u64>, ends_s: u64) -> Ends {
    Ends { of: of.to_owned(), name: "x".to_owned(), begins: begins_s.map(at), at: at(ends_s) }
}

#[test]
fn what_ends_soon_and_what_is_a_file_are_notes_and_an_end_is_a_problem() {
    let mut soon = said(1);
    soon.ends = vec![ends("pointer", None, NOW_S + 5)];
    soon.expires = Some(at(NOW_S));
    let mut file = said(2);
    file.pointer = None;
    let found = codes(vec![soon, file], &Pins::default());
    assert_eq!(found, [(vec!["release-expired"], vec!["ends"]), (vec![], vec!["no-pointer"])]);
}

#[test]
fn what_is_not_renewed_is_a_note_that_says_since_when_why_and_when_again() {
    let mut said = said(1);
    let (name, source, message) = ("api.test".to_owned(), "team".to_owned(), "it is sealed".to_owned());
    said.not_renewed = vec![Failing { name, source, since: at(NOW_S - 60), next: at(NOW_S + 60), message }];
    let yardstick = Yardstick { expected: None, pins: &Pins::default(), now_unix_s: NOW_S };
    let judged = judge(vec![(host(1), Ok(said))], &yardstick).remove(0);
    assert_eq!((judged.problems.len(), judged.notes.len(), judged.notes[0].code), (0, 1, "not-renewed"));
    let expected = format!(
        "no new certificate for api.test from \"team\" since {}: it is sealed; again at {}",
        at(NOW_S - 60),
        at(NOW_S + 60)
    );
    assert_eq!(judged.notes[0].text, expected);
}

#[test]
fn what_is_not_fresh_is_a_note() {
    let mut said = said(1);
    let failure =
        |of: &str, message: &str| LastFailure { of: of.to_owned(), name: "x".to_owned(), message: message.to_owned() };
    let kinds = ["crl", "origin-credential", "origin-identity", "checkpoints", "newer"];
    said.last_failures = kinds.map(|of| failure(of, "why")).into();
    let yardstick = Yardstick { expected: None, pins: &Pins::default(), now_unix_s: NOW_S };
    let judged = judge(vec![(host(1), Ok(said))], &yardstick).remove(0);
    assert!(judged.problems.is_empty());
    let told: Vec<&str> = judged.notes.iter().map(|note| note.text.as_str()).collect();
    let expected = [
        "the revocation list of client CA x was refused in whole or in part, and what was in force before stays so: why",
        "the secret of origin credential x: why",
        "the certificate of origin identity x: why",
        "checkpoints of its records do not reach x: why",
        "the newer x: why",
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_end_is_spoken_of_at_the_distances_at_which_it_is_told() {
    let notes = |of: Ends| {
        let mut said = said(1);
        said.ends = vec![of];
        codes(vec![said], &Pins::default()).remove(0)
    };
    let (none, note) = ((vec![], vec![]), (vec![], vec!["ends"]));
    assert_eq!(notes(ends("crl", None, NOW_S + 31 * DAY_S)), none);
    assert_eq!(notes(ends("crl", None, NOW_S + 29 * DAY_S)), note);
    let day = |left_s| ends("certificate", Some(NOW_S + left_s - DAY_S), NOW_S + left_s);
    assert_eq!(notes(day(10 * 3_600)), none, "a certificate that lives for a day does not warn in all of it");
    assert_eq!(notes(day(5 * 3_600)), note);
    assert_eq!(notes(ends("trust-root", None, NOW_S)), (vec!["ended"], vec![]));
    assert_eq!(notes(ends("api-key", None, NOW_S)), (vec![], vec!["ended"]), "as it was meant to");
    for of in ["certificate", "keyset", "pointer", "release", "revocations"] {
        assert_eq!(notes(ends(of, None, NOW_S)), none, "{of} is told by itself");
    }
}

#[test]
fn a_key_that_nobody_pinned_is_told_where_keys_are_pinned() {
    let found = codes(vec![said(1), said(2)], &Pins::new(&[key(1)]));
    assert_eq!(found, [(vec![], vec![]), (vec!["unpinned-key"], vec![])]);
}

#[test]
fn two_tables_of_one_release_and_one_key_at_two_places_are_told() {
    let mut other = said(3);
    other.table_sha256 = "sha256:other".to_owned();
    let found = codes(vec![said(1), said(2), other.clone()], &Pins::default());
    assert_eq!(found, [(vec![], vec![]), (vec![], vec![]), (vec!["table"], vec![])]);
    // One against one: either may be the wrong one.
    let found = codes(vec![said(1), other], &Pins::default());
    assert_eq!(found, [(vec!["table"], vec![]), (vec!["table"], vec![])]);
    let found = codes(vec![said(1), said(1), said(2)], &Pins::default());
    assert_eq!(found, [(vec!["shared-key"], vec![]), (vec!["shared-key"], vec![]), (vec![], vec![])]);
}

#[test]
fn no_answer_and_a_false_one_are_told_apart() {
    let unreachable = FleetFault::Connect(io::Error::from(io::ErrorKind::ConnectionRefused));
    let signature = FleetFault::Attestation(policy_release::attestation::AttestationFault::Signature(key(1).id()));
    let answers = vec![(host(1), Err(unreachable)), (host(2), Err(signature))];
    let judged = judge(answers, &Yardstick { expected: None, pins: &Pins::default(), now_unix_s: NOW_S });
    let codes: Vec<_> = judged.iter().map(|of| of.problems[0].code).collect();
    assert_eq!(codes, ["unreachable", "not-believed"]);
    let mut shown = Vec::new();
    super::super::show::text(&judged, None, &mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("no gateway told its release") && shown.contains("2 with problems"), "{shown}");
}

#[test]
fn what_a_gateway_says_cannot_move_the_cursor() {
    let mut said = said(1);
    said.release = "sha256:\u{1b}[2J".to_owned();
    let answers = vec![(host(1), Ok(said))];
    let expected = expectation();
    let yardstick = Yardstick { expected: Some(&expected), pins: &Pins::default(), now_unix_s: NOW_S };
    let mut shown = Vec::new();
    super::super::show::text(&judge(answers, &yardstick), Some(&expected), &mut shown).unwrap();
    assert!(!shown.contains(&0x1b));
}
