use proptest::prelude::*;

use super::*;
use crate::canonical;
use crate::testing::{keys, root_of, time};
use crate::verify::VerifyError;

const SINCE: &str = "2026-01-01T00:00:00Z";

fn entry(target: Target, until: Option<&str>) -> Entry {
    Entry { target, since: time(SINCE), until: until.map(time), why: "left the company".into() }
}

fn agent(name: &str) -> Entry {
    entry(Target::Agent(name.into()), None)
}

fn subject(before: &str, until: Option<&str>) -> Entry {
    let target = Target::Subject { issuer: "corp".into(), subject: "mallory".into(), issued_before: time(before) };
    entry(target, until)
}

fn list(entries: Vec<Entry>) -> Revocations {
    Revocations::new("orders", "production", 7, time(SINCE), time("2026-02-01T00:00:00Z"), entries).unwrap()
}

fn one_of_each() -> Vec<Entry> {
    let text = |text: &str| text.to_owned();
    [
        Target::Agent(text("reports-bot")),
        Target::ApiKey(text("reports-1")),
        Target::Certificate(Sha256([7; 32])),
        Target::NumberedCertificate { issuer_spki: Sha256([9; 32]), serial: "0102ff".parse().unwrap() },
        Target::Token { issuer: text("corp"), jti: text("j1") },
        Target::Key { issuer: text("corp"), kid: text("k1") },
        Target::Subject { issuer: text("corp"), subject: text("mallory"), issued_before: time(SINCE) },
    ]
    .map(|target| entry(target, Some("2027-01-01T00:00:00Z")))
    .into()
}

/// The bytes themselves: a change here is a change of the format.
#[test]
fn golden() {
    let payload = |entries| String::from_utf8(canonical::to_bytes(&list(entries)).unwrap()).unwrap();
    let head = "{\"channel\":\"production\",\"entries\":[";
    let tail = "],\"expires\":\"2026-02-01T00:00:00Z\",\"issued\":\"2026-01-01T00:00:00Z\",\
                \"policy_name\":\"orders\",\"serial\":7,\"type\":\"adamant.revocations.v1\"}";
    let of_subject = "{\"issued_before\":\"2026-01-01T00:00:00Z\",\"issuer\":\"corp\",\"since\":\"2026-01-01T00:00:00Z\",\
                      \"subject\":\"mallory\",\"until\":\"2027-01-01T00:00:00Z\",\"why\":\"left the company\"}";
    let of_agent = "{\"agent\":\"a\",\"since\":\"2026-01-01T00:00:00Z\",\"why\":\"left the company\"}";
    let entries = vec![subject(SINCE, Some("2027-01-01T00:00:00Z")), agent("a")];
    assert_eq!(payload(entries), format!("{head}{of_agent},{of_subject}{tail}"));
    assert_eq!(payload(vec![]), format!("{head}{tail}"));
}

#[test]
fn signed_by_the_revocation_role_and_says_what_lifting_lacks() {
    let keys = keys(3);
    let root = root_of(&keys, 2);
    let mut envelope = list(one_of_each()).to_envelope().unwrap();
    envelope.sign(&keys[0]).unwrap();
    assert!(matches!(
        verify_revocations(&envelope.to_bytes(), &root),
        Err(ListFault::Verify(VerifyError::BelowThreshold(_)))
    ));
    envelope.sign(&keys[2]).unwrap();
    let verified = verify_revocations(&envelope.to_bytes(), &root).unwrap();
    assert_eq!((verified.list, verified.signers.len()), (list(one_of_each()), 2));
    assert_eq!(verified.missing_for_wider, None);
}

#[test]
fn nothing_unlapsed_goes_shorter_or_narrower() {
    let now = time("2026-06-01T00:00:00Z");
    let early = Some("2026-05-01T00:00:00Z");
    let (soon, late) = (Some("2026-07-01T00:00:00Z"), Some("2026-08-01T00:00:00Z"));
    let lifts = |before: Entry, after: Vec<Entry>| !lifted(&[before], list(after).entries(), now).is_empty();
    let timed = |until| entry(Target::Agent("a".into()), until);
    assert!(lifts(agent("a"), vec![]) && lifts(agent("a"), vec![agent("b")]));
    assert!(!lifts(agent("b"), vec![agent("a"), agent("b"), agent("c")]));
    assert!(!lifts(timed(early), vec![]), "a lapsed one may go");
    let just = |target| lifts(entry(target, Some("2026-05-31T23:55:01Z")), vec![]);
    let corp = || "corp".to_owned();
    for token in [
        Target::Token { issuer: corp(), jti: "j".into() },
        Target::Key { issuer: corp(), kid: "k".into() },
        Target::Subject { issuer: corp(), subject: "s".into(), issued_before: now },
    ] {
        assert!(just(token), "tokens are taken for up to 5 min after their end");
    }
    assert!(!just(Target::Agent("a".into())));
    assert!(lifts(timed(late), vec![timed(soon)]) && lifts(timed(None), vec![timed(late)]));
    assert!(!lifts(timed(soon), vec![timed(late)]) && !lifts(timed(soon), vec![timed(None)]));
    assert!(lifts(subject("2026-03-01T00:00:00Z", None), vec![subject("2026-02-01T00:00:00Z", None)]));
    assert!(!lifts(subject("2026-02-01T00:00:00Z", None), vec![subject("2026-03-01T00:00:00Z", None)]));
}

#[test]
fn of_two_with_one_target_the_last_counts() {
    let two = list(vec![subject("2026-02-01T00:00:00Z", None), subject(SINCE, None)]);
    assert_eq!(two.entries(), [subject(SINCE, None)]);
}

#[test]
fn refuses_values_that_mean_nothing() {
    let (issued, expires) = (time(SINCE), time("2026-02-01T00:00:00Z"));
    let new = |name: &str, channel: &str, serial, expires, entries| {
        Revocations::new(name, channel, serial, issued, expires, entries)
    };
    assert!(matches!(new("", "c", 1, expires, vec![]), Err(ListFault::Name { what: "policy name" })));
    assert!(matches!(new("p", "c\u{1b}", 1, expires, vec![]), Err(ListFault::Name { what: "channel" })));
    assert!(matches!(new("p", "c", 0, expires, vec![]), Err(ListFault::Serial { .. })));
    assert!(matches!(new("p", "c", 1 << 53, expires, vec![]), Err(ListFault::Serial { .. })));
    assert!(matches!(new("p", "c", 1, issued, vec![]), Err(ListFault::Times { .. })));
    let mut bad = vec![agent(""), agent("a\nb"), agent(&"x".repeat(REVOKED_TEXT)), agent("a"), agent("a"), agent("a")];
    bad[3].why = String::new();
    bad[4].why = "w".repeat(257);
    bad[5].until = Some(issued);
    for entry in bad {
        let told = format!("{entry:?}");
        assert!(matches!(new("p", "c", 1, expires, vec![entry]), Err(ListFault::Entry { .. })), "{told}");
    }
}

const REVOKED_TEXT: usize = crate::bounds::REVOKED_TEXT_BYTES_MAX + 1;

/// The payload with these entries in place of its own.
fn with_entries(entries: &str) -> Result<Revocations, ListFault> {
    let whole = String::from_utf8(canonical::to_bytes(&list(vec![])).unwrap()).unwrap();
    Revocations::read(whole.replace("\"entries\":[]", &format!("\"entries\":[{entries}]")).as_bytes())
}

#[test]
fn hostile_entries() {
    let since = "\"since\":\"2026-01-01T00:00:00Z\"";
    let rest = format!("{since},\"why\":\"w\"}}");
    let (agent_a, agent_b) = (format!("{{\"agent\":\"a\",{rest}"), format!("{{\"agent\":\"b\",{rest}"));
    assert_eq!(with_entries(&agent_a).unwrap().entries().len(), 1);
    let (hash, upper) = ("0".repeat(64), "A".repeat(64));
    for wrong in [
        // No target, half of one, two, one with a part of another, null in place of nothing.
        format!("{{{rest}"),
        format!("{{\"issuer\":\"i\",{rest}"),
        format!("{{\"issuer\":\"i\",{since},\"subject\":\"s\",\"why\":\"w\"}}"),
        format!("{{\"certificate_serial\":\"01\",{rest}"),
        format!("{{\"agent\":\"a\",\"api_key\":\"k\",{rest}"),
        format!("{{\"agent\":\"a\",\"jti\":\"k\",{rest}"),
        format!("{{\"issuer\":\"i\",\"jti\":\"j\",\"kid\":\"k\",{rest}"),
        format!("{{\"agent\":\"a\",\"api_key\":null,{rest}"),
        format!("{{\"agent\":\"a\",{since},\"until\":null,\"why\":\"w\"}}"),
        // Unknown members, wrong types, other spellings of numbers and hashes.
        format!("{{\"agent\":\"a\",\"allow\":true,{rest}"),
        format!("{{\"agent\":1,{rest}"),
        format!("{{\"agent\":\"a\",{since}}}"),
        "{\"agent\":\"a\",\"since\":1,\"why\":\"w\"}".to_owned(),
        format!("{{\"certificate_sha256\":\"{upper}\",{rest}"),
        format!("{{\"certificate_sha256\":\"00\",{rest}"),
        format!("{{\"certificate_serial\":\"0001\",\"issuer_spki_sha256\":\"{hash}\",{rest}"),
        format!("{{\"certificate_serial\":\"1\",\"issuer_spki_sha256\":\"{hash}\",{rest}"),
        format!("{{\"certificate_serial\":\"\",\"issuer_spki_sha256\":\"{hash}\",{rest}"),
        format!("{{\"certificate_serial\":\"{}\",\"issuer_spki_sha256\":\"{hash}\",{rest}", "11".repeat(21)),
        // Order.
        format!("{agent_b},{agent_a}"),
        format!("{agent_a},{agent_a}"),
        "null".to_owned(),
        "[]".to_owned(),
    ] {
        assert!(with_entries(&wrong).is_err(), "{wrong}");
    }
    assert!(matches!(Revocations::read(b"{}"), Err(ListFault::Members { .. })));
    assert!(matches!(Revocations::read(b"{} "), Err(ListFault::Canonical(_))));
}

#[test]
fn serial_numbers_have_one_form() {
    let number = |der: &[u8]| SerialNumber::from_der(der).map(|number| number.to_string());
    assert_eq!(number(&[0, 0x81, 2]).as_deref(), Some("8102"));
    assert_eq!(number(&[5]), Some("05".into()));
    assert_eq!((number(&[]), number(&[0, 0]), number(&[1; 21])), (None, None, None));
    assert_eq!("8102".parse::<SerialNumber>().ok(), SerialNumber::from_der(&[0x81, 2]));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let text = || "[a-c\\u{e9}\\u{20ac}\"\\\\/ ]{1,3}";
    let hash = || any::<u8>().prop_map(|byte| Sha256([byte; 32]));
    let when = || (1_u64..5_000_000_000).prop_map(|seconds| Timestamp::from_seconds(seconds).unwrap());
    let target = prop_oneof![
        text().prop_map(Target::Agent),
        text().prop_map(Target::ApiKey),
        hash().prop_map(Target::Certificate),
        (hash(), prop::collection::vec(1..=u8::MAX, 1..=20)).prop_map(|(issuer_spki, serial)| {
            Target::NumberedCertificate { issuer_spki, serial: SerialNumber::from_der(&serial).unwrap() }
        }),
        (text(), text()).prop_map(|(issuer, jti)| Target::Token { issuer, jti }),
        (text(), text()).prop_map(|(issuer, kid)| Target::Key { issuer, kid }),
        (text(), text(), when()).prop_map(|(issuer, subject, issued_before)| Target::Subject {
            issuer,
            subject,
            issued_before
        }),
    ];
    let until = prop::option::of(5_000_000_001_u64..9_000_000_000);
    (target, when(), until, text()).prop_map(|(target, since, until, why)| {
        let until = until.map(|seconds| Timestamp::from_seconds(seconds).unwrap());
        Entry { target, since, until, why }
    })
}

proptest! {
    #[test]
    fn round_trip(entries in prop::collection::vec(any_entry(), 0..12)) {
        let list = list(entries);
        let payload = canonical::to_bytes(&list).unwrap();
        let again = Revocations::read(&payload).unwrap();
        prop_assert_eq!(&again, &list);
        prop_assert_eq!(canonical::to_bytes(&again).unwrap(), payload);
        prop_assert!(lifted(list.entries(), again.entries(), time(SINCE)).is_empty());
    }

    /// What is lifted is what a search through the whole of both lists finds.
    #[test]
    fn lifted_is_what_a_naive_search_finds(
        before in prop::collection::vec(any_entry(), 0..10),
        after in prop::collection::vec(any_entry(), 0..10),
        kept in prop::collection::vec(any::<bool>(), 10),
        now in 1_u64..10_000_000_000,
    ) {
        let now = Timestamp::from_seconds(now).unwrap();
        let before = list(before);
        let kept = before.entries().iter().zip(&kept).filter(|(_, kept)| **kept).map(|(entry, _)| entry.clone());
        let after = list(after.into_iter().chain(kept).collect());
        let naive: Vec<&Entry> = before.entries().iter().filter(|entry| {
            !entry.has_lapsed(now) && !after.entries().iter().any(|other| other.covers(entry))
        }).collect();
        prop_assert_eq!(lifted(before.entries(), after.entries(), now), naive);
    }

    /// Nothing that either revokes is missing from both together, and nothing else is in them.
    #[test]
    fn with_what_it_lifts_a_list_lifts_nothing(
        before in prop::collection::vec(any_entry(), 0..10),
        after in prop::collection::vec(any_entry(), 0..10),
    ) {
        let (before, after, ever) = (list(before), list(after), Timestamp::from_seconds(0).unwrap());
        let both = after.with(&lifted(before.entries(), after.entries(), ever)).unwrap();
        for one in [&before, &after] {
            prop_assert!(lifted(one.entries(), both.entries(), ever).is_empty());
        }
        let known = |entry: &Entry| {
            [&before, &after].iter().any(|list| list.entries().iter().any(|known| known.target.key() == entry.target.key()))
        };
        prop_assert!(both.entries().iter().all(known));
        prop_assert_eq!((both.serial, both.expires), (after.serial, after.expires));
    }

    #[test]
    fn changed_bytes_never_panic_and_never_mean_the_same(at in 0_usize..2_000, byte in any::<u8>()) {
        let mut payload = canonical::to_bytes(&list(one_of_each())).unwrap();
        let at = at % payload.len();
        prop_assume!(payload[at] != byte);
        payload[at] = byte;
        if let Ok(read) = Revocations::read(&payload) {
            prop_assert_ne!(read, list(one_of_each()));
        }
    }
}
