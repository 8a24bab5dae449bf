//! Hits, invalidation, bounds. Signatures play no part here: verdicts are made by hand.

use std::sync::Arc;

use policy::model::{self, Algorithm, Keys};

use super::super::Confirmation;
use super::{Cache, CacheBounds, Found};
use crate::token::{Issuer, Keyset, TokenFault, VerifiedToken};

const BOUNDS: CacheBounds = CacheBounds {
    verified_entries_max: 64,
    verified_bytes_max: 64 * 1024,
    refused_entries_max: 16,
    refused_bytes_max: 16 * 1024,
};

fn issuer(iss: &str, audience: &str, keys: &[&str]) -> Arc<Issuer> {
    let rules = model::Issuer {
        name: "n".into(),
        issuer: iss.into(),
        audience: vec![audience.into()],
        algorithms: vec![Algorithm::EdDSA],
        keys: Keys::Watch { path: "p".into() },
        introspection: None,
        scope_claim: None,
        leeway_s: 0,
    };
    let keys: Vec<String> = keys
        .iter()
        .map(|kid| {
            format!(
                r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#
            )
        })
        .collect();
    let keyset = Keyset::from_jwks(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")), &rules.algorithms).unwrap();
    Arc::new(Issuer::new(rules, Some(Arc::new(keyset))))
}

fn verified(issuer: u16, subject: &str) -> VerifiedToken {
    VerifiedToken {
        issuer,
        subject: subject.into(),
        scopes: None,
        expires_s: 100,
        not_before_s: None,
        issued_s: None,
        kid: None,
        other_kids: Box::default(),
        id: None,
        confirmation: Confirmation::default(),
        believed_until_ms: None,
    }
}

/// Issuer position and subject of a hit.
fn hit(cache: &mut Cache<u32>, token: &[u8], issuers: &[Arc<Issuer>]) -> Option<(u16, String)> {
    match cache.find(token, issuers) {
        Found::Verified { token, value } => {
            *value += 1;
            Some((token.issuer, token.subject.to_string()))
        }
        _ => None,
    }
}

#[test]
fn only_the_exact_token_is_found_and_the_value_is_the_callers() {
    let issuers = [issuer("i", "a", &["1"])];
    let mut cache = Cache::new(BOUNDS, [1, 2, 3, 4]);
    assert!(cache.keep(b"token", &issuers, verified(0, "s"), 7));
    assert_eq!(hit(&mut cache, b"token", &issuers), Some((0, "s".into())));
    assert!(matches!(cache.find(b"token", &issuers), Found::Verified { value: 8, .. }));
    for other in [&b"toke"[..], b"token ", b"Token", b""] {
        assert!(matches!(cache.find(other, &issuers), Found::Unknown));
    }
    assert!(cache.keep(b"token", &issuers, verified(0, "t"), 0));
    assert_eq!(hit(&mut cache, b"token", &issuers), Some((0, "t".into())));
    assert_eq!(cache.verified_size().0, 1, "replaced, not doubled");
}

#[test]
fn changed_rules_or_keys_invalidate_and_a_moved_section_is_followed() {
    let (one, two) = (issuer("i", "a", &["1"]), issuer("j", "a", &["1"]));
    let mut cache = Cache::new(BOUNDS, [1, 2, 3, 4]);
    cache.keep(b"token", &[one.clone(), two.clone()], verified(1, "s"), 0);
    let mut at = |issuers: &[Arc<Issuer>]| hit(&mut cache, b"token", issuers).map(|(position, _)| position);
    assert_eq!(at(&[one.clone(), two.clone()]), Some(1));
    assert_eq!(at(&[two.clone(), one.clone()]), Some(0));
    assert_eq!(at(&[one.clone(), issuer("k", "b", &["2"]), two.clone()]), Some(2));
    assert_eq!(at(std::slice::from_ref(&two)), Some(0));
    assert_eq!(at(std::slice::from_ref(&one)), None);
    assert_eq!(at(&[one.clone(), issuer("j", "a", &["1", "2"])]), None, "another keyset");
    assert_eq!(at(&[one.clone(), issuer("j", "b", &["1"])]), None, "another audience");
    assert_eq!(at(&[issuer("j", "b", &["1"]), two.clone()]), None, "a section that is asked first might take it");
    assert_eq!(at(&[one, two.clone()]), Some(1), "an older activation still finds its own");
    let mut rules = two.rules().clone();
    rules.leeway_s = 9;
    assert_eq!(at(&[Arc::new(Issuer::new(rules, two.keyset().cloned()))]), None, "another leeway");
    assert_eq!(at(&[Arc::new(Issuer::new(two.rules().clone(), None))]), None, "no keyset");
    assert_eq!(at(&[]), None);
}

#[test]
fn refusals_count_for_the_same_issuers_and_only_when_they_are_for_good() {
    let issuers = [issuer("i", "a", &["1"])];
    let mut cache = Cache::<u32>::new(BOUNDS, [1, 2, 3, 4]);
    for fault in [TokenFault::NotYetValid, TokenFault::IssuedInFuture, TokenFault::KeysetUnavailable] {
        assert!(!cache.keep_refused(b"x", &issuers, fault));
    }
    assert!(matches!(cache.find(b"x", &issuers), Found::Unknown));
    assert!(cache.keep_refused(b"x", &issuers, TokenFault::Signature));
    assert!(matches!(cache.find(b"x", &issuers), Found::Refused(TokenFault::Signature)));
    assert!(matches!(cache.find(b"x", &[issuer("i", "a", &["1", "2"])]), Found::Unknown));
    assert!(matches!(cache.find(b"x", &[]), Found::Unknown));
}

#[test]
fn entries_and_bytes_are_bounded_and_garbage_displaces_no_verdict() {
    let issuers = [issuer("i", "a", &["1"])];
    let mut cache = Cache::new(BOUNDS, [1, 2, 3, 4]);
    cache.keep(b"good", &issuers, verified(0, "s"), 0);
    for number in 0..10_000_u32 {
        cache.keep_refused(format!("garbage {number}").as_bytes(), &issuers, TokenFault::Form);
    }
    let (entries, bytes) = cache.refused_size();
    assert!((1..=BOUNDS.refused_entries_max).contains(&entries) && bytes <= BOUNDS.refused_bytes_max);
    assert!(hit(&mut cache, b"good", &issuers).is_some());

    let large = "t".repeat(6_000);
    for number in 0..1_000_u32 {
        assert!(cache.keep(format!("{large}{number}").as_bytes(), &issuers, verified(0, "s"), 0));
        let (entries, bytes) = cache.verified_size();
        assert!(entries <= BOUNDS.verified_entries_max && bytes <= BOUNDS.verified_bytes_max, "{entries} {bytes}");
    }
    assert!(cache.verified_size().0 >= 8);
    let too_large = "t".repeat(BOUNDS.verified_bytes_max);
    assert!(!cache.keep(too_large.as_bytes(), &issuers, verified(0, "s"), 0));
    let many_scopes = VerifiedToken { scopes: Some(vec!["x".repeat(1_000).into(); 100]), ..verified(0, "s") };
    assert!(!cache.keep(b"scopes", &issuers, many_scopes, 0), "facts count too");
}

#[test]
fn a_token_in_use_survives_a_stream_of_others() {
    let issuers = [issuer("i", "a", &["1"])];
    let mut cache = Cache::new(BOUNDS, [1, 2, 3, 4]);
    cache.keep(b"busy", &issuers, verified(0, "busy"), 0);
    for number in 0..5_000_u32 {
        assert!(hit(&mut cache, b"busy", &issuers).is_some(), "lost after {number}");
        cache.keep(format!("passing {number}").as_bytes(), &issuers, verified(0, "s"), 0);
    }
}
