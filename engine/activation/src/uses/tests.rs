//! What workers noted is what control reads: each word by itself, certificates whole, and none lost without being counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use identity::token::Keyset;
use policy::model::{self, Algorithm, Keys};

use super::*;
use crate::bounds::{CERTIFICATES_NOTED, CERTIFICATES_NOTED_WAYS};

fn holder(agent: u32) -> Holder {
    Holder { policy: 7, agent: AgentId(agent) }
}

/// A hash whose certificate stands in set `set`.
fn sha256(set: usize, number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(set as u64).to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn read(certificates: &Certificates) -> Vec<Sight> {
    let mut sights = Vec::new();
    certificates.read(|sight| sights.push(sight));
    sights
}

#[test]
fn the_latest_of_all_workers_counts_and_nobody_writes_beside_its_row() {
    let words = Words::new(3, 2, LINE_WORDS + 1);
    words.note(0, 0, 5);
    words.note(1, 0, 9);
    words.note(1, LINE_WORDS, 4);
    words.note(2, 1, 1);
    words.note(0, 10_000, 1);
    assert_eq!([0, 1, LINE_WORDS, 10_000].map(|index| words.latest(index)), [9, 0, 4, 0]);
    assert_eq!(words.count(), LINE_WORDS + 1);
}

fn issuer(name: &str, kids: &[&str]) -> Arc<Issuer> {
    let key = |kid: &&str| {
        let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U";
        format!(r#"{{"kty":"oct","kid":"{kid}","k":"{}{secret}"}}"#, kid.repeat(4))
    };
    let jwks = format!(r#"{{"keys":[{}]}}"#, kids.iter().map(key).collect::<Vec<_>>().join(","));
    let rules = model::Issuer {
        name: name.to_owned(),
        issuer: format!("https://{name}.example"),
        audience: vec!["api".to_owned()],
        algorithms: vec![Algorithm::HS256],
        keys: Keys::None,
        introspection: None,
        scope_claim: None,
        leeway_s: 0,
    };
    let keyset = (!kids.is_empty()).then(|| Arc::new(Keyset::from_jwks(&jwks, &rules.algorithms).unwrap()));
    Arc::new(Issuer::new(rules, keyset))
}

#[test]
fn each_key_of_each_issuer_has_a_word_and_a_token_without_kid_is_its_issuers() {
    let issuers = [issuer("asked", &[]), issuer("corp", &["b", "a"]), issuer("late", &["c"])];
    let names = key_names(&issuers);
    let of_keys = Arc::new(Words::new(2, 1, names.len()));
    let uses = Uses::new(Arc::new(Words::new(1, 1, 3)), 2, Arc::clone(&of_keys), &issuers);
    for (issuer, kid) in [(0, None), (1, Some("a")), (1, Some("b")), (1, None), (1, Some("gone")), (2, Some("c"))] {
        uses.key(0, uses.place_of_key(&issuers, issuer, kid), 9);
        let noted: Vec<_> = (0..names.len()).filter(|index| of_keys.latest(*index) == 9).collect();
        assert_eq!(noted.len(), 1);
        let known = kid.filter(|kid| *kid != "gone").map(str::to_owned);
        let expected = KeyName { issuer: issuers[usize::from(issuer)].rules().name.clone(), kid: known };
        assert_eq!(names[noted[0]], expected);
        of_keys.note(0, noted[0], 0);
    }
    uses.key(0, uses.place_of_key(&issuers, 3, Some("a")), 9);
    assert!((0..names.len()).all(|index| of_keys.latest(index) == 0), "an issuer that is not there");
    uses.agent(0, AgentId(1), 5);
    uses.api_key(0, ApiKeyIndex(0), 6);
    assert_eq!([0, 1, 2].map(|index| uses.of_policy.latest(index)), [0, 5, 6]);
}

#[test]
fn a_certificate_is_read_once_a_second_of_use_and_again_when_it_is_used_again() {
    let (certificates, place) = (Certificates::default(), Cell::default());
    certificates.note(&place, &sha256(1, 1), holder(4), 10);
    let sight = Sight { sha256: sha256(1, 1), holder: holder(4), used_s: 10 };
    assert_eq!(read(&certificates), [sight]);
    assert_eq!(read(&certificates), []);
    certificates.note(&place, &sha256(1, 1), holder(5), 11);
    assert_eq!(read(&certificates), [Sight { holder: holder(5), used_s: 11, ..sight }]);
    // Another connection with the same certificate.
    let other = Cell::default();
    certificates.note(&other, &sha256(1, 1), holder(5), 12);
    assert_eq!((other.get(), read(&certificates).len()), (place.get(), 1));
}

#[test]
fn what_was_not_read_keeps_its_place_and_what_finds_none_is_counted() {
    let certificates = Certificates::default();
    let places: Vec<Cell<Place>> = (0..=CERTIFICATES_NOTED_WAYS).map(|_| Cell::default()).collect();
    let sets = CERTIFICATES_NOTED / CERTIFICATES_NOTED_WAYS;
    let note = |number: usize, now_s| {
        // Every one of them in the same set.
        certificates.note(&places[number], &sha256(3 + number * sets, number as u64), holder(number as u32), now_s);
    };
    (0..CERTIFICATES_NOTED_WAYS).for_each(|number| note(number, 10 + number as u32));
    note(CERTIFICATES_NOTED_WAYS, 20);
    assert_eq!((certificates.unnoted.get(), places[CERTIFICATES_NOTED_WAYS].get()), (1, Place::default()));
    assert_eq!(read(&certificates).len(), CERTIFICATES_NOTED_WAYS);
    note(1, 21);
    note(CERTIFICATES_NOTED_WAYS, 22);
    let used: Vec<_> = read(&certificates).iter().map(|sight| (sight.holder.agent.0, sight.used_s)).collect();
    assert_eq!(used.len(), 2, "{used:?}");
    assert!(used.contains(&(1, 21)) && used.contains(&(CERTIFICATES_NOTED_WAYS as u32, 22)), "{used:?}");
    // The one that was used least lately had to go, and finds another place when its connection is used again.
    let before = places[0].get();
    note(0, 23);
    assert!(places[0].get() != before && certificates.unnoted.get() == 1);
}

#[test]
fn all_places_are_taken_before_any_is_given_to_another() {
    let certificates = Certificates::default();
    for number in 0..CERTIFICATES_NOTED {
        certificates.note(&Cell::default(), &sha256(number, number as u64), holder(0), 10);
    }
    assert_eq!((read(&certificates).len(), certificates.unnoted.get()), (CERTIFICATES_NOTED, 0));
}

#[test]
fn no_certificate_is_read_in_pieces_while_others_take_its_place() {
    const CERTIFICATES: u64 = 32;
    let certificates = Certificates::default();
    let (ended, met) = (AtomicBool::new(false), AtomicUsize::new(0));
    // All of one set, so that they take each other's places; the bytes of each are the same, and its agent too, so that a
    // mix of two shows.
    let whole = |byte: u8| {
        let mut bytes = [byte; 32];
        bytes[..8].fill(0);
        bytes
    };
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen: BTreeMap<u8, u32> = BTreeMap::new();
            while !ended.load(Ordering::Acquire) {
                certificates.read(|sight| {
                    let byte = sight.sha256[8];
                    assert_eq!((sight.sha256, sight.holder), (whole(byte), holder(byte.into())));
                    seen.insert(byte, sight.used_s);
                });
                met.store(seen.len(), Ordering::Relaxed);
            }
            seen
        });
        // However the two threads come to run: until each had its turn, and for a while at least.
        for round in 1..100_000_000_u32 {
            if round > 200_000 && met.load(Ordering::Relaxed) == CERTIFICATES as usize {
                break;
            }
            let byte = (u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % CERTIFICATES;
            certificates.note(&Cell::default(), &whole(byte as u8), holder(byte as u32), round);
        }
        ended.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    assert_eq!(seen.len(), CERTIFICATES as usize, "each had its turn");
}
