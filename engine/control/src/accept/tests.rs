//! Every check refuses what it should, and says so; no changed byte gets through.

use policy_release::candidate::Purpose;
use policy_release::digest::Digest;
use policy_release::envelope::Envelope;
use policy_release::key::SigningKey;
use policy_release::manifest::Manifest;
use policy_release::pointer::Pointer;
use policy_release::root::{RoleKeys, Roles, RootClaims, RootKey, TrustRoot};
use policy_release::time::Timestamp;

use super::pointer::Seen;
use super::*;
use crate::testing;

mod lists;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-06-01T00:00:00Z")
}

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number; 32]).unwrap()
}

fn gateway() -> Gateway {
    Gateway { policy: "p".into(), engine: "0.1.0".parse().unwrap() }
}

/// Keys 1 and 2 release narrower, 1 to 3 wider, 4 points; root and wider need two of them.
fn claims(version: u64, expires: &str) -> RootClaims {
    let owned = |number: u8| RootKey::new(&format!("owner-{number}"), key(number).public());
    let role = |numbers: &[u8], threshold| RoleKeys {
        keys: numbers.iter().map(|number| key(*number).public().id()).collect(),
        threshold,
    };
    let roles = Roles {
        keys: Some(role(&[4], 1)),
        pointer: role(&[4], 1),
        release_narrower: role(&[1, 2], 1),
        release_wider: role(&[1, 2, 3], 2),
        revocation: role(&[1], 1),
        root: role(&[1, 2, 3], 2),
    };
    RootClaims::new(version, time(expires), (1..=4).map(owned).collect(), roles).unwrap()
}

fn signed(mut envelope: Envelope, by: &[u8]) -> Vec<u8> {
    by.iter().for_each(|number| envelope.sign(&key(*number)).unwrap());
    envelope.to_bytes()
}

fn root_bytes(version: u64, by: &[u8]) -> Vec<u8> {
    signed(claims(version, "2027-01-01T00:00:00Z").to_envelope().unwrap(), by)
}

fn root() -> TrustRoot {
    roots::placed(&root_bytes(1, &[1, 2])).unwrap()
}

fn release_bytes(expires: &str, by: &[u8]) -> Vec<u8> {
    release_version(3, expires, by)
}

fn release_version(version: u64, expires: &str, by: &[u8]) -> Vec<u8> {
    let mut policy = testing::policy(policy::model::Keys::Pinned { jwks: testing::JWKS.into() }, None);
    policy.name = "p".into();
    signed(Manifest::new(policy, version, None, time(expires), vec![]).unwrap().to_envelope().unwrap(), by)
}

fn good_release(by: &[u8]) -> Vec<u8> {
    release_bytes("2026-12-01T00:00:00Z", by)
}

fn digest(bytes: &[u8]) -> Digest {
    Envelope::parse(bytes).unwrap().digest()
}

fn pointer_bytes(policy: &str, channel: &str, serial: u64, release: Digest, by: &[u8]) -> Vec<u8> {
    let (issued, expires) = (time("2026-05-01T00:00:00Z"), time("2026-07-01T00:00:00Z"));
    let pointer = Pointer::new(policy, channel, release, serial, issued, expires).unwrap();
    signed(pointer.to_envelope().unwrap(), by)
}

fn good_pointer(serial: u64) -> Vec<u8> {
    pointer_bytes("p", "production", serial, digest(&good_release(&[])), &[4])
}

fn check_pointer(bytes: &[u8], seen: Option<Seen>) -> Result<policy_release::pointer::VerifiedPointer, Refusal> {
    pointer::check(bytes, &root(), &gateway(), "production", seen)
}

fn check_release(bytes: &[u8]) -> Result<release::Signed, Refusal> {
    let named = digest(&good_release(&[]));
    release::check(bytes, Some(named), &root(), &gateway(), Purpose::Activate { now: now() })
}

/// Calls `attempt` with every single-byte change of `good` that a few masks give, every truncation and some additions.
/// Whatever is let through must be `same` as the good one: bytes outside the payload that mean nothing, such as the last
/// line feed.
fn attack<T>(good: &[u8], attempt: impl Fn(&[u8]) -> Result<T, Refusal>, same: impl Fn(T) -> bool) -> usize {
    let mut tried = 0;
    let mut case = |bytes: &[u8], what: String| {
        tried += 1;
        match attempt(bytes) {
            Ok(passed) => assert!(same(passed), "{what} got through and is another"),
            Err(refusal) => assert!(!refusal.expected.is_empty() && !refusal.found.is_empty(), "{what}"),
        }
    };
    for at in 0..good.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut bad = good.to_vec();
            bad[at] ^= mask;
            case(&bad, format!("byte {at} ^ {mask:#x}"));
        }
        case(&good[..at], format!("the first {at} bytes"));
    }
    for more in [&b" "[..], b"x", b"\0", b"{}", good] {
        case(&[good, more].concat(), format!("{} more bytes", more.len()));
    }
    tried
}

#[test]
fn no_changed_byte_of_a_release_gets_through() {
    let good = good_release(&[1, 3]);
    let expected = check_release(&good).unwrap();
    let same = |signed: release::Signed| {
        (signed.release.digest, signed.release.signers) == (expected.release.digest, expected.release.signers.clone())
    };
    let wider = |bytes: &[u8]| {
        let signed = check_release(bytes)?;
        release::threshold(&signed, None, 0).map(|()| signed)
    };
    assert!(attack(&good, wider, same) > 4_000);
}

#[test]
fn no_changed_byte_of_a_pointer_gets_through() {
    let good = good_pointer(7);
    let expected = check_pointer(&good, None).unwrap();
    assert!(attack(&good, |bytes| check_pointer(bytes, None), |passed| passed == expected) > 1_500);
}

#[test]
fn no_changed_byte_of_a_trust_root_gets_through() {
    let good = root_bytes(2, &[1, 2]);
    let expected = roots::successor(&root(), &good).unwrap();
    assert!(attack(&good, |bytes| roots::successor(&root(), bytes), |passed| passed == expected) > 4_000);
}

fn refused<T>(outcome: Result<T, Refusal>, check: Check, expected: &str, found: &str) {
    let Err(refusal) = outcome else { panic!("{check} let it through") };
    assert_eq!(refusal.check, check, "{refusal}");
    assert!(refusal.expected.contains(expected), "{refusal}");
    assert!(refusal.found.contains(found), "{refusal}");
    assert!(!refusal.remedy.is_empty());
}

#[test]
fn a_refusal_that_quotes_a_fault_does_not_say_found_expected() {
    let quoted = Refusal::new(Check::Read, "a trust root", "expected a trust root, found a release", "look");
    let told = "refused at the check read: expected a trust root; found no trust root, but a release";
    assert_eq!(quoted.facts(), told);
    let plain = Refusal::new(Check::Read, "a trust root", "a release", "look");
    assert_eq!(plain.facts(), "refused at the check read: expected a trust root; found a release");
}

#[test]
fn roots_follow_each_other_in_turn_and_by_both_thresholds() {
    assert_eq!(roots::successor(&root(), &root_bytes(2, &[2, 3])).unwrap().version(), 2);
    let bad = |bytes: &[u8], found: &str| {
        refused(roots::successor(&root(), bytes), Check::RootSuccession, "trust root version 2", found);
    };
    bad(&root_bytes(3, &[1, 2]), "found 3");
    bad(&root_bytes(1, &[1, 2]), "found 1");
    bad(&root_bytes(2, &[1]), "the one before");
    bad(&root_bytes(2, &[1, 4]), "not in this role");
    bad(&good_pointer(1), "pointer");
    bad(b"{}", "envelope");
    assert!(roots::expiry(&root(), now()).is_ok());
    refused(roots::expiry(&root(), time("2027-01-01T00:00:00Z")), Check::RootExpiry, "not expired", "2027-01-01");
}

#[test]
fn a_pointer_is_for_this_channel_and_never_goes_back() {
    let seven = check_pointer(&good_pointer(7), None).unwrap();
    let seen = Some(Seen { serial: 7, digest: seven.digest });
    assert!(check_pointer(&good_pointer(7), seen).is_ok() && check_pointer(&good_pointer(8), seen).is_ok());
    refused(check_pointer(&good_pointer(6), seen), Check::PointerSerial, "serial 7 or higher", "serial 6");
    let other = pointer_bytes("p", "production", 7, Digest::of(b"another"), &[4]);
    refused(check_pointer(&other, seen), Check::PointerEquivocation, "one pointer with serial 7", "another");
    let release = digest(&good_release(&[]));
    let of = |policy, channel, by: &[u8]| check_pointer(&pointer_bytes(policy, channel, 8, release, by), seen);
    refused(of("q", "production", &[4]), Check::PointerPolicy, "\"p\"", "\"q\"");
    refused(of("p", "staging", &[4]), Check::PointerChannel, "\"production\"", "\"staging\"");
    refused(of("p", "production", &[]), Check::PointerSignatures, "1 signature of role pointer", "0");
    refused(of("p", "production", &[1, 2, 3]), Check::PointerSignatures, "role pointer", "not in this role");
    refused(of("p", "production", &[9]), Check::PointerSignatures, "role pointer", "not in the trust root");
    let nested = [b"[".repeat(30_000), b"]".repeat(30_000)].concat();
    refused(check_pointer(&nested, None), Check::PointerSignatures, "a pointer", "envelope");
}

#[test]
fn an_expired_pointer_accepts_nothing() {
    let verified = check_pointer(&good_pointer(7), None).unwrap();
    assert!(pointer::fresh(&verified, &root(), now()).is_ok());
    let late = time("2026-07-01T00:00:00Z");
    refused(
        pointer::fresh(&verified, &root(), late),
        Check::PointerExpiry,
        "not expired",
        "serial 7, which expired at 2026-07",
    );
}

/// Issued 2026-05-01, until 2026-07-01.
#[test]
fn a_pointer_from_the_future_is_told_and_not_refused() {
    let early = |now| {
        let verified = check_pointer(&good_pointer(7), None).unwrap();
        assert!(pointer::fresh(&verified, &root(), time(now)).is_ok(), "{now}");
        pointer::issued_ahead_s(&verified, time(now))
    };
    assert_eq!(early("2026-05-02T00:00:00Z"), None);
    assert_eq!(early("2026-04-30T23:55:00Z"), None, "five minutes are a clock");
    assert_eq!(early("2026-04-30T23:54:59Z"), Some(301));
}

#[test]
fn a_release_is_the_named_one_for_this_gateway_and_time() {
    assert!(check_release(&good_release(&[1])).is_ok());
    refused(check_release(&good_release(&[])), Check::ReleaseSignatures, "1 signature of role release-narrower", "0");
    refused(check_release(&good_release(&[4, 9])), Check::ReleaseSignatures, "narrower", "not in the trust root");
    let other = release_bytes("2026-11-01T00:00:00Z", &[1, 2]);
    refused(check_release(&other), Check::ReleaseDigest, "sha256:", "sha256:");
    refused(check_release(&good_pointer(7)), Check::ReleaseForm, "release", "pointer");
    let unnamed = |bytes: &[u8], gateway: &Gateway, purpose| release::check(bytes, None, &root(), gateway, purpose);
    let activate = Purpose::Activate { now: now() };
    let elsewhere = Gateway { policy: "q".into(), ..gateway() };
    refused(unnamed(&good_release(&[1]), &elsewhere, activate), Check::ReleasePolicy, "\"q\"", "\"p\"");
    let old = Gateway { engine: "0.0.9".parse().unwrap(), ..gateway() };
    refused(unnamed(&good_release(&[1]), &old, activate), Check::ReleaseEngine, "0.0.9", "0.1.0");
    let late = Purpose::Activate { now: time("2026-12-01T00:00:00Z") };
    refused(unnamed(&good_release(&[1]), &gateway(), late), Check::ReleaseExpiry, "not expired", "2026-12-01");
    let later = Purpose::Activate { now: time("2027-02-01T00:00:00Z") };
    refused(unnamed(&good_release(&[1]), &gateway(), later), Check::RootExpiry, "trust root", "2027-01-01");
    assert!(unnamed(&good_release(&[1]), &gateway(), Purpose::Resume).is_ok(), "what was accepted goes on");
}

#[test]
fn how_many_must_sign_follows_from_what_changes() {
    let change = |needs_wider| Change { needs_wider, told: "it allows GET /".into() };
    let one = check_release(&good_release(&[1])).unwrap();
    assert!(release::threshold(&one, Some(&change(false)), 2).is_ok());
    refused(
        release::threshold(&one, Some(&change(true)), 2),
        Check::ReleaseThreshold,
        "it allows GET /",
        "1 (owner-1)",
    );
    refused(
        release::threshold(&one, None, 2),
        Check::ReleaseThreshold,
        "no release was accepted before",
        "1 (owner-1)",
    );
    // Key 3 is in the wider role alone: with key 2 it is enough for both.
    for by in [[1, 2], [2, 3], [1, 3]] {
        let two = check_release(&good_release(&by)).unwrap();
        assert!(release::threshold(&two, Some(&change(true)), 2).is_ok() && two.is_signed_for_wider());
        assert_eq!(two.signers().len(), 2);
    }
    // One who may sign wider releases only together with another signs none alone, however often.
    refused(check_release(&good_release(&[3, 3])), Check::ReleaseSignatures, "narrower", "0");
}

/// Numbers end at 2^53 - 1: one who may only take away must not use them up.
#[test]
fn a_version_far_above_the_highest_needs_the_wider_role_whatever_it_changes() {
    let last = policy_release::bounds::INTEGER_MAX;
    let same = Change { needs_wider: false, told: "it is no other".into() };
    let of = |version, by: &[u8]| {
        let bytes = release_version(version, "2026-12-01T00:00:00Z", by);
        release::check(&bytes, None, &root(), &gateway(), Purpose::Activate { now: now() }).unwrap()
    };
    let attempt = |version, by: &[u8], highest| release::threshold(&of(version, by), Some(&same), highest);
    assert!(attempt(1_000_007, &[1], 7).is_ok() && attempt(5, &[1], 7).is_ok());
    refused(attempt(1_000_008, &[1], 7), Check::ReleaseThreshold, "more than 1000000 above 7", "1 (owner-1)");
    refused(attempt(last, &[2], 7), Check::ReleaseThreshold, "more than 1000000 above 7", "1 (owner-2)");
    assert!(attempt(1_000_008, &[1, 3], 7).is_ok() && attempt(last, &[1, 2], 7).is_ok(), "who may do all may do that");
    assert!(attempt(last, &[1], last - 1_000_000).is_ok() && attempt(last, &[1], u64::MAX).is_ok());
}

/// Key 4 has the pointer role alone; the release is version 3.
#[test]
fn a_way_back_to_what_allows_more_needs_the_wider_role_on_the_pointer() {
    let change = |needs_wider| Change { needs_wider, told: "it allows GET /".into() };
    let release = check_release(&good_release(&[1, 2])).unwrap().release;
    let by = |by: &[u8]| check_pointer(&pointer_bytes("p", "production", 7, release.digest, by), None).unwrap();
    let back = |keys: &[u8], highest, change: Option<&Change>| pointer::threshold(&by(keys), &release, highest, change);
    assert!(back(&[4], 2, Some(&change(true))).is_ok() && back(&[4], 2, None).is_ok(), "newer than all before");
    for highest in [3, 4] {
        assert!(back(&[4], highest, Some(&change(false))).is_ok());
        refused(back(&[4], highest, Some(&change(true))), Check::PointerThreshold, "it allows GET /", "0");
        refused(back(&[4, 2], highest, None), Check::PointerThreshold, "cannot be compared", "1 (owner-2)");
        assert!(back(&[4, 2, 3], highest, Some(&change(true))).is_ok() && back(&[4, 1, 2], highest, None).is_ok());
    }
}

#[test]
fn without_a_pointer_the_version_tells_what_is_older() {
    let release = check_release(&good_release(&[1])).unwrap().release;
    let other = Digest::of(b"other");
    assert!(release::not_older(&release, 2, other).is_ok());
    assert!(release::not_older(&release, 3, release.digest).is_ok(), "the same again");
    refused(release::not_older(&release, 3, other), Check::ReleaseVersion, "above 3", "version 3");
    refused(release::not_older(&release, 4, other), Check::ReleaseVersion, "above 4", "version 3");
}
