use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::key::SigningKey;
use crate::testing::{claims, keys, owners, root_of, same_roles, signed, time};

#[test]
fn signed_by_its_own_threshold() {
    let keys = keys(3);
    let claims = claims(1, &keys, 2);
    assert!(matches!(verify_root(&signed(&claims, [])), Err(RootFault::Own(_))));
    assert!(matches!(verify_root(&signed(&claims, &keys[..1])), Err(RootFault::Own(_))));
    let root = verify_root(&signed(&claims, &keys[1..])).unwrap();
    assert_eq!((root.version(), root.keys().len(), root.role(Role::Pointer).threshold), (1, 3, 2));
    assert_eq!(root.digest(), claims.to_envelope().unwrap().digest());
    // By keys it does not hold, whatever they are called.
    let foreign: Vec<_> = (50..53).map(|i| SigningKey::generate([i; 32]).unwrap()).collect();
    assert!(matches!(verify_root(&signed(&claims, &foreign)), Err(RootFault::Own(_))));
}

#[test]
fn expiry_is_asked_for() {
    let root = root_of(&keys(1), 1);
    root.check_expiry(time("2029-12-31T23:59:59Z")).unwrap();
    let error = root.check_expiry(time("2030-01-01T00:00:00Z")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the trust root (version 1) expired at 2030-01-01T00:00:00Z, it is 2030-01-01T00:00:00Z; place its successor"
    );
}

#[test]
fn succession_needs_both_thresholds() {
    let all = keys(6);
    let (old_keys, new_keys) = (&all[..3], &all[3..]);
    let old = root_of(old_keys, 2);
    let new = claims(2, new_keys, 2);
    let by = |signers: &[usize]| verify_successor(&old, &signed(&new, signers.iter().map(|i| &all[*i])));

    assert_eq!(by(&[0, 1, 3, 4]).unwrap().version(), 2);
    // The new keys alone: a stolen file that crowns itself.
    assert!(matches!(by(&[3, 4, 5]), Err(RootFault::Predecessor(_))));
    // The old keys alone: nobody has shown that the new keys can sign.
    assert!(matches!(by(&[0, 1, 2]), Err(RootFault::Own(_))));
    assert!(matches!(by(&[0, 3, 4, 5]), Err(RootFault::Predecessor(_))));
    assert!(matches!(by(&[0, 1, 2, 3]), Err(RootFault::Own(_))));
    assert!(matches!(by(&[]), Err(RootFault::Predecessor(_))));
}

#[test]
fn succession_goes_one_step_at_a_time() {
    let keys = keys(2);
    let old = verify_root(&signed(&claims(5, &keys, 1), &keys)).unwrap();
    for version in [1, 4, 5, 7, INTEGER_MAX] {
        let result = verify_successor(&old, &signed(&claims(version, &keys, 1), &keys));
        assert!(matches!(result, Err(RootFault::Succession { expected: 6, found }) if found == version));
    }
    assert_eq!(verify_successor(&old, &signed(&claims(6, &keys, 1), &keys)).unwrap().version(), 6);
}

/// The old threshold is the one that counts, not the one that the new root writes for itself.
#[test]
fn a_new_root_cannot_lower_the_old_threshold() {
    let keys = keys(3);
    let old = root_of(&keys, 3);
    let lower = claims(2, &keys, 1);
    assert!(matches!(verify_successor(&old, &signed(&lower, &keys[..1])), Err(RootFault::Predecessor(_))));
    assert!(matches!(verify_successor(&old, &signed(&lower, &keys[..2])), Err(RootFault::Predecessor(_))));
    assert_eq!(verify_successor(&old, &signed(&lower, &keys)).unwrap().role(Role::Root).threshold, 1);
}

/// Only the root role speaks for a root: owners of every other role together cannot make one.
#[test]
fn other_roles_cannot_make_a_root() {
    let keys = keys(4);
    let mut roles = same_roles(&keys, 1);
    roles.root = RoleKeys { keys: vec![keys[0].public().id()], threshold: 1 };
    let claims = RootClaims::new(1, time("2030-01-01T00:00:00Z"), owners(&keys), roles).unwrap();
    assert!(matches!(verify_root(&signed(&claims, &keys[1..])), Err(RootFault::Own(_))));
    let old = verify_root(&signed(&claims, &keys[..1])).unwrap();
    let mut next = claims.clone();
    next.version = 2;
    assert!(matches!(verify_successor(&old, &signed(&next, &keys[1..])), Err(RootFault::Predecessor(_))));
}

/// A threshold counts keys; whoever makes a root asks whether it counts people too.
#[test]
fn an_owner_of_several_keys_of_a_role_is_found() {
    let keys = keys(3);
    assert_eq!(claims(1, &keys, 2).owners_twice(), []);
    let of = |threshold| {
        let mut owned = owners(&keys);
        owned[2].owner = owned[0].owner.clone();
        let mut roles = same_roles(&keys, threshold);
        roles.pointer = RoleKeys { keys: vec![keys[0].public().id(), keys[1].public().id()], threshold };
        RootClaims::new(1, time("2030-01-01T00:00:00Z"), owned, roles).unwrap()
    };
    assert_eq!(of(1).owners_twice(), [], "where one is enough the other is a spare");
    let (twice, owner) = (of(2), owners(&keys)[0].owner.clone());
    let roles: Vec<Role> = twice.owners_twice().into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, Role::ALL.into_iter().filter(|role| *role != Role::Pointer).collect::<Vec<_>>());
    assert!(twice.owners_twice().iter().all(|(_, found)| *found == owner));
    verify_root(&signed(&twice, &keys)).unwrap();
}

/// A payload edited and signed by everyone: form is checked apart from signatures.
fn refused(edit: impl Fn(&mut Value)) -> RootFault {
    let keys = keys(3);
    let payload = claims(1, &keys, 2).to_envelope().unwrap();
    let mut json: Value = serde_json::from_slice(payload.payload()).unwrap();
    edit(&mut json);
    let mut envelope = Envelope::new(Kind::TrustRoot, &canonical::to_bytes(&json).unwrap()).unwrap();
    keys.iter().for_each(|key| envelope.sign(key).unwrap());
    verify_root(&envelope.to_bytes()).unwrap_err()
}

#[test]
fn refuses_claims_that_cannot_be_meant() {
    assert!(matches!(refused(|json| json["type"] = json!("adamant.trust-root.v2")), RootFault::Format { .. }));
    assert!(matches!(refused(|json| json["version"] = json!(0)), RootFault::Version { found: 0 }));
    assert!(matches!(refused(|json| json["version"] = json!("1")), RootFault::Members(_)));
    assert!(matches!(refused(|json| json["expires"] = json!("2030-01-01")), RootFault::Members(_)));
    assert!(matches!(refused(|json| json["note"] = json!(1)), RootFault::Members(_)));
    assert!(matches!(refused(|json| json["roles"]["admin"] = json!({})), RootFault::Members(_)));
    assert!(matches!(refused(|json| json["roles"]["root"]["note"] = json!({})), RootFault::Members(_)));
    assert!(matches!(refused(|json| json["keys"] = json!([])), RootFault::Keys { .. }));
    assert!(matches!(refused(|json| json["keys"].as_array_mut().unwrap().reverse()), RootFault::Keys { .. }));
    assert!(matches!(refused(|json| json["keys"][1] = json["keys"][0].clone()), RootFault::Keys { .. }));
    // One key under two ids would count twice.
    assert!(matches!(
        refused(|json| json["keys"][1]["public_key"] = json["keys"][0]["public_key"].clone()),
        RootFault::KeyId { .. }
    ));
    assert!(matches!(refused(|json| json["keys"][0]["owner"] = json!("")), RootFault::Owner { .. }));
    assert!(matches!(refused(|json| json["keys"][0]["owner"] = json!("a\u{1b}[31m")), RootFault::Owner { .. }));
    for (threshold, of) in [(0, "root"), (4, "root"), (0, "pointer"), (4, "revocation")] {
        let error = refused(|json| json["roles"][of]["threshold"] = json!(threshold));
        assert!(matches!(error, RootFault::Role { .. }), "{error}");
    }
    let first = |json: &Value| json["roles"]["pointer"]["keys"][0].clone();
    assert!(matches!(refused(|json| json["roles"]["pointer"]["keys"][1] = first(json)), RootFault::Role { .. }));
    let unknown = json!("0".repeat(64));
    assert!(matches!(refused(|json| json["roles"]["pointer"]["keys"][0] = unknown.clone()), RootFault::Role { .. }));
    assert!(matches!(
        refused(|json| json["roles"]["release-narrower"]["threshold"] = json!(3)),
        RootFault::Thresholds { narrower: 3, wider: 2, root: 2 }
    ));
    assert!(matches!(refused(|json| json["roles"]["root"]["threshold"] = json!(1)), RootFault::Thresholds { .. }));
}

#[test]
fn bounds_of_keys() {
    let many = keys(KEYS_MAX as u8 + 1);
    let new = |keys: &[SigningKey]| RootClaims::new(1, time("2030-01-01T00:00:00Z"), owners(keys), same_roles(keys, 1));
    new(&many[..KEYS_MAX]).unwrap();
    assert!(matches!(new(&many), Err(RootFault::Keys { .. })));
}

#[test]
fn not_canonical_is_refused_even_if_signed() {
    let keys = keys(1);
    let good = claims(1, &keys, 1).to_envelope().unwrap();
    let spaced = String::from_utf8(good.payload().to_vec()).unwrap().replacen(':', ": ", 1);
    let mut envelope = Envelope::new(Kind::TrustRoot, spaced.as_bytes()).unwrap();
    envelope.sign(&keys[0]).unwrap();
    assert!(matches!(verify_root(&envelope.to_bytes()), Err(RootFault::Canonical(_))));
}

#[test]
fn every_changed_byte() {
    let keys = keys(2);
    let good = root_of(&keys, 2);
    let bytes = signed(&claims(1, &keys, 2), &keys);
    for at in 0..bytes.len() - 1 {
        for change in [0x01, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            assert!(verify_root(&changed).map_or(true, |root| root == good), "byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn no_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = verify_root(&payload);
        let mut envelope = Envelope::new(Kind::TrustRoot, &payload).unwrap();
        envelope.sign(&keys(1)[0]).unwrap();
        let _ = verify_root(&envelope.to_bytes());
    }
}
