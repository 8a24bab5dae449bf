//! Revocation lists: what one may not lift stays, and no clock that was wrong keeps one out.

use policy_release::key_set::{FilledId, KeyHash, KeySet};
use policy_release::lists::SignedList as _;
use policy_release::revocations::{Entry, Revocations, Sha256, Target};

use super::super::lists::Last;
use super::super::revocations::{check, lifting};
use super::*;

type News = super::super::lists::News<Revocations>;

fn entry(name: &str, until: Option<&str>) -> Entry {
    let since = time("2026-01-01T00:00:00Z");
    Entry { target: Target::Agent(name.into()), since, until: until.map(time), why: "w".into() }
}

fn list(serial: u64, entries: &[Entry], by: &[u8]) -> Vec<u8> {
    let (issued, expires) = (time("2026-05-01T00:00:00Z"), time("2026-07-01T00:00:00Z"));
    let list = Revocations::new("p", "production", serial, issued, expires, entries.to_vec()).unwrap();
    signed(list.to_envelope().unwrap(), by)
}

fn last(news: &News) -> Last<'_, Revocations> {
    let seen = Seen { serial: news.verified.list.serial, digest: news.verified.digest };
    let issued = news.verified.list.issued;
    Last { list: &news.list, carries: news.whole.is_some(), seen: Some(seen), issued, is_void: false }
}

fn check_at(bytes: &[u8], before: Option<&News>, at: &str) -> Result<Option<News>, Refusal> {
    check(bytes, &root(), &gateway(), "production", before.map(last), time(at))
}

fn check_after(bytes: &[u8], before: &News) -> Result<Option<News>, Refusal> {
    check_at(bytes, Some(before), "2026-06-01T00:00:00Z")
}

fn first(entries: &[Entry]) -> News {
    check_at(&list(1, entries, &[1]), None, "2026-06-01T00:00:00Z").unwrap().unwrap()
}

fn names(news: &News) -> Vec<String> {
    news.list.entries().iter().map(|entry| entry.target.to_string()).collect()
}

#[test]
fn what_a_list_may_not_lift_stays_beside_what_it_revokes() {
    let before = first(&[entry("a", None), entry("b", None)]);
    assert!(before.whole.is_none());
    let urgent = list(2, &[entry("b", None), entry("c", None)], &[1]);
    let after = check_after(&urgent, &before).unwrap().unwrap();
    assert_eq!(names(&after), ["agent a", "agent b", "agent c"]);
    assert_eq!((after.list.serial, after.verified.list.entries().len()), (2, 2));
    assert_eq!(after.whole.as_ref().unwrap().payload(), after.list.to_envelope().unwrap().payload());
    let refusal = lifting(&after.verified, &after.list, now());
    refused(refusal.map_or(Ok(()), Err), Check::RevocationsLifted, "it lifts 1: agent a", "1 (owner-1)");
    // Neither the list before it nor another one that leaves it out takes it back.
    refused(
        check_after(&list(1, &[entry("a", None), entry("b", None)], &[1]), &after),
        Check::RevocationsSerial,
        "2",
        "1",
    );
    assert!(check_after(&urgent, &after).unwrap().is_none(), "it is the last one");
    let next = check_after(&list(3, &[], &[1]), &after).unwrap().unwrap();
    assert_eq!(names(&next), ["agent a", "agent b", "agent c"]);
    // Who may lift does, by more signatures under the same list too.
    for (serial, entries) in [(2, vec![entry("b", None), entry("c", None)]), (3, vec![])] {
        let lifted = check_after(&list(serial, &entries, &[1, 2]), &after).unwrap().unwrap();
        assert!(lifted.whole.is_none() && lifted.list.entries() == entries);
        assert!(lifting(&lifted.verified, &lifted.list, now()).is_none());
    }
}

#[test]
fn an_entry_is_in_force_as_long_as_either_list_has_it() {
    let (early, late) = (Some("2026-08-01T00:00:00Z"), Some("2026-09-01T00:00:00Z"));
    let before = first(&[entry("a", late)]);
    let after = check_after(&list(2, &[entry("a", early)], &[1]), &before).unwrap().unwrap();
    assert_eq!(after.list.entries(), before.list.entries());
    let refused_at = |at| lifting(&after.verified, &after.list, time(at)).is_some();
    assert!(refused_at("2026-08-31T00:00:00Z") && !refused_at("2026-09-01T00:00:00Z"), "until it has lapsed");
}

/// `revoke` leaves out what has lapsed by its own clock; a gateway whose clock is behind has it in force still.
#[test]
fn a_clock_that_is_behind_keeps_no_list_out() {
    let before = first(&[entry("a", Some("2026-06-01T00:00:03Z"))]);
    let urgent = list(2, &[entry("b", None)], &[1]);
    let after = check_at(&urgent, Some(&before), "2026-06-01T00:00:00Z").unwrap().unwrap();
    assert_eq!(names(&after), ["agent a", "agent b"]);
    let at = |at| lifting(&after.verified, &after.list, time(at)).is_some();
    assert!(at("2026-06-01T00:00:02Z") && !at("2026-06-01T00:00:03Z"));
    assert!(check_at(&urgent, Some(&before), "2026-06-01T00:00:03Z").unwrap().unwrap().whole.is_none());
}

/// The clock was ahead for a moment: the trust root had expired then, and has not now.
#[test]
fn a_clock_that_was_ahead_keeps_no_list_out() {
    let before = first(&[]);
    let urgent = list(2, &[entry("b", None)], &[1]);
    let at = |at| check_at(&urgent, Some(&before), at);
    refused(at("2027-01-01T00:00:00Z"), Check::RootExpiry, "has not expired", "version 1");
    assert!(at("2026-06-01T00:00:00Z").unwrap().is_some());
}

#[test]
fn what_is_no_list_of_this_channel_revokes_nothing() {
    let before = first(&[entry("a", None)]);
    let of = |policy: &str, channel: &str, by: &[u8]| {
        let (issued, expires) = (time("2026-05-01T00:00:00Z"), time("2026-07-01T00:00:00Z"));
        let list = Revocations::new(policy, channel, 2, issued, expires, vec![entry("b", None)]).unwrap();
        check_after(&signed(list.to_envelope().unwrap(), by), &before)
    };
    refused(of("q", "production", &[1]), Check::RevocationsPolicy, "\"p\"", "\"q\"");
    refused(of("p", "staging", &[1]), Check::RevocationsChannel, "\"production\"", "\"staging\"");
    refused(of("p", "production", &[4]), Check::RevocationsSignatures, "1 signature of role revocation", "0");
    refused(
        check_after(&list(1, &[entry("b", None)], &[1]), &before),
        Check::RevocationsEquivocation,
        "one revocation list with serial 1",
        "another",
    );
}

fn key_set(policy: &str, channel: &str, serial: u64, byte: u8, by: &[u8]) -> Vec<u8> {
    let (issued, expires) = (time("2026-05-01T00:00:00Z"), time("2026-05-02T00:00:00Z"));
    let keys = vec![FilledId { id: "ci-1".into(), hashes: vec![KeyHash::new(Sha256([byte; 32]))] }];
    signed(KeySet::new(policy, channel, serial, issued, expires, keys).unwrap().to_envelope().unwrap(), by)
}

#[test]
fn a_key_set_is_of_this_channel_by_the_role_keys_and_never_goes_back() {
    let check_at =
        |bytes: &[u8], last, at| super::super::key_set::check(bytes, &root(), &gateway(), "production", last, time(at));
    let check = |bytes: &[u8], last| check_at(bytes, last, "2026-06-01T00:00:00Z");
    let good = key_set("p", "production", 5, 1, &[4]);
    // Although it has expired: it may take a key away.
    let news = check(&good, None).unwrap().unwrap();
    let issued = time("2026-05-01T00:00:00Z");
    let last = Last { list: &news.list, carries: false, seen: None, issued, is_void: false };
    let seen = Some(Last { seen: Some(Seen { serial: 5, digest: news.verified.digest }), ..last });
    assert!(check(&good, seen).unwrap().is_none());
    let void = seen.map(|seen| Last { is_void: true, ..seen });
    assert!(check(&good, void).unwrap().is_some(), "it is in force again, by the role of now");
    assert!(check(&key_set("p", "production", 6, 1, &[4]), seen).unwrap().is_some());
    refused(check(&key_set("q", "production", 6, 1, &[4]), seen), Check::KeySetPolicy, "\"p\"", "\"q\"");
    refused(check(&key_set("p", "staging", 6, 1, &[4]), seen), Check::KeySetChannel, "\"production\"", "\"staging\"");
    refused(check(&key_set("p", "production", 4, 1, &[4]), seen), Check::KeySetSerial, "serial 5", "serial 4");
    refused(check(&key_set("p", "production", 5, 2, &[4]), seen), Check::KeySetEquivocation, "serial 5", "another");
    // The keys of every other role together.
    let by_others = key_set("p", "production", 6, 1, &[1, 2, 3]);
    refused(check(&by_others, seen), Check::KeySetSignatures, "1 signature of role keys", "0");
    refused(check(&list(6, &[], &[1, 4]), seen), Check::KeySetSignatures, "key set", "revocation list");
    refused(check_at(&good, None, "2027-01-01T00:00:00Z"), Check::RootExpiry, "has not expired", "version 1");
    // Its serial is forgotten: what was issued before it is old all the same.
    assert!(check(&key_set("p", "production", 1, 2, &[4]), Some(last)).unwrap().is_some());
    let later = Some(Last { issued: time("2026-05-01T00:00:01Z"), ..last });
    let old = check(&key_set("p", "production", 9, 2, &[4]), later);
    refused(
        old,
        Check::KeySetSerial,
        "issued at 2026-05-01T00:00:01Z or later",
        "serial 9, issued at 2026-05-01T00:00:00Z",
    );
    // It is old at the start, and from far ahead: neither is a way to hold for longer.
    let at = |at| check_at(&good, None, at);
    assert!(at("2025-05-01T00:00:00Z").unwrap().is_some());
    refused(at("2025-04-30T23:59:59Z"), Check::KeySetLife, "ends within 366 days", "ends at 2026-05-02T00:00:00Z");
}
