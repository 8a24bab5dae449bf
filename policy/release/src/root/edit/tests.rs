use super::*;
use crate::key::SigningKey;
use crate::root::{verify_root, verify_successor};
use crate::testing::{claims, keys, signed, time};

fn key(seed: u8) -> PublicKey {
    SigningKey::generate([seed; 32]).unwrap().public()
}

/// `owner-0` … `owner-2`, two of three in every role.
fn old() -> RootClaims {
    claims(1, &keys(3), 2)
}

#[test]
fn adds_a_key_to_the_roles_that_are_named() {
    let mut draft = old().successor();
    let carol = RootKey::new("carol", key(50));
    draft.add(&carol, &[Role::Pointer]).unwrap();
    draft.set_threshold(Role::Pointer, 3);
    draft.set_expires(time("2031-01-01T00:00:00Z"));
    let new = draft.finish().unwrap();
    assert_eq!((new.version, new.keys.len(), new.roles.with(carol.id)), (2, 4, vec![Role::Pointer]));
    assert_eq!((new.roles.pointer.threshold, new.roles.root.threshold), (3, 2));
    let told = changes(&old(), &new);
    assert_eq!(told[0], format!("+ carol, key {}, in pointer", carol.id.short()));
    assert_eq!(told[1..], ["threshold of pointer: 2 → 3", "expires: 2030-01-01T00:00:00Z → 2031-01-01T00:00:00Z"]);

    let mut more = new.successor();
    more.add(&carol, &[Role::Revocation, Role::Pointer]).unwrap();
    let newer = more.finish().unwrap();
    assert_eq!(newer.roles.with(carol.id), [Role::Pointer, Role::Revocation]);
    assert_eq!(changes(&new, &newer), ["carol: pointer → pointer, revocation"]);
    let stolen = RootKey::new("mallory", key(50));
    assert!(
        matches!(newer.successor().add(&stolen, &[Role::Root]), Err(EditFault::Held { owner }) if owner == "carol")
    );
}

#[test]
fn what_would_be_unusable_is_refused() {
    let old = old();
    let id = |owner: &str| old.key_of(owner).unwrap().id;
    let mut draft = old.successor();
    draft.remove(id("owner-0"), &[]).unwrap();
    let mut again = draft.clone();
    assert_eq!(draft.finish().unwrap().keys.len(), 2);
    again.remove(id("owner-1"), &[]).unwrap();
    assert!(matches!(again.finish(), Err(EditFault::Unreachable { threshold: 2, keys: 1, .. })));

    let mut nobody = old.successor();
    ["owner-0", "owner-1", "owner-2"].iter().for_each(|owner| nobody.remove(id(owner), &[Role::Pointer]).unwrap());
    assert!(matches!(nobody.finish(), Err(EditFault::Unreachable { role: Role::Pointer, keys: 0, .. })));
    let mut zero = old.successor();
    zero.set_threshold(Role::Pointer, 0);
    assert!(matches!(zero.finish(), Err(EditFault::Root(RootFault::Role { role: Role::Pointer, .. }))));
    for role in [Role::ReleaseNarrower, Role::ReleaseWider] {
        let mut order = old.successor();
        order.set_threshold(role, 3);
        assert!(matches!(order.finish(), Err(EditFault::Root(RootFault::Thresholds { .. }))), "{role}");
    }
    assert!(matches!(old.successor().finish(), Err(EditFault::Nothing)));
    assert!(matches!(old.successor().remove(key(60).id(), &[]), Err(EditFault::Key { .. })));
    assert!(matches!(old.key_of("dave"), Err(EditFault::Owner { known, .. }) if known == "owner-0, owner-1, owner-2"));
}

#[test]
fn a_key_that_loses_one_role_stays_and_one_that_loses_all_goes() {
    let old = old();
    let id = old.key_of("owner-0").unwrap().id;
    let mut draft = old.successor();
    draft.remove(id, &[Role::Pointer, Role::Revocation, Role::Keys]).unwrap();
    let new = draft.finish().unwrap();
    assert_eq!(new.roles.with(id), [Role::Root, Role::ReleaseNarrower, Role::ReleaseWider]);
    assert!(matches!(
        new.successor().remove(id, &[Role::Root, Role::Pointer]),
        Err(EditFault::NotInRole { role: Role::Pointer, .. })
    ));
    let mut draft = new.successor();
    draft.remove(id, &[Role::Root, Role::ReleaseNarrower, Role::ReleaseWider]).unwrap();
    assert!(draft.finish().unwrap().key_of("owner-0").is_err());
}

#[test]
fn rotation_keeps_owner_and_roles_and_verifies_as_a_successor() {
    let (all, fresh) = (keys(3), SigningKey::generate([70; 32]).unwrap());
    let old = old();
    let before = old.key_of("owner-1").unwrap().id;
    let mut draft = old.successor();
    draft.rotate(before, fresh.public()).unwrap();
    assert!(matches!(draft.clone().rotate(before, key(71)), Err(EditFault::Key { .. })));
    assert!(matches!(draft.clone().rotate(fresh.public().id(), all[0].public()), Err(EditFault::Held { .. })));
    let new = draft.finish().unwrap();
    assert_eq!((new.key_of("owner-1").unwrap().id, new.roles.with(before)), (fresh.public().id(), vec![]));
    assert_eq!(new.roles.with(fresh.public().id()), Role::ALL);
    // By the key that goes and one that stays for version 1, by the new key and one that stays for version 2.
    let root = verify_root(&signed(&old, &all)).unwrap();
    let index = all.iter().position(|key| key.public().id() == before).unwrap();
    let stays = &all[(index + 1) % 3];
    verify_successor(&root, &signed(&new, [&all[index], stays, &fresh])).unwrap();
    assert!(verify_successor(&root, &signed(&new, [&all[index], stays])).is_err());
}
