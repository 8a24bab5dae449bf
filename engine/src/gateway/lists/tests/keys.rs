//! Key sets: what one says holds across trust roots and restarts until a newer one comes.

use super::*;

fn set(serial: u64, bytes: &[u8], by: &[u8]) -> Vec<u8> {
    issued("2026-05-01T00:00:00Z", serial, bytes, by)
}

fn issued(at: &str, serial: u64, bytes: &[u8], by: &[u8]) -> Vec<u8> {
    let (issued, expires) = (time(at), time(at).later_by(61 * 86_400));
    let hashes = bytes.iter().map(|byte| KeyHash::new(Sha256([*byte; 32]))).collect();
    let keys = vec![FilledId { id: "ci-1".into(), hashes }];
    signed(KeySet::new("p", "production", serial, issued, expires, keys).unwrap().to_envelope().unwrap(), by)
}

struct Keys {
    directory: tempfile::TempDir,
    shelf: Shop,
    lists: Lists<KeySet>,
}

impl Keys {
    fn new() -> Self {
        let (directory, shelf) = (tempfile::tempdir().unwrap(), Shop::default());
        let lists = open(directory.path(), &shelf).unwrap();
        Self { directory, shelf, lists }
    }

    fn look(&mut self, bytes: Vec<u8>) -> Result<bool, Check> {
        self.shelf.key_set = Some(bytes);
        self.lists.look(&self.shelf, now()).map_err(|refusal| refusal.check)
    }

    /// Serial of what is in force, and whether this key fills the id.
    fn fills(&self, byte: u8) -> (u64, bool) {
        let set = &self.lists.in_force.as_ref().unwrap().list;
        (set.serial, set.of("ci-1").unwrap().hashes.iter().any(|hash| hash.sha256 == Sha256([byte; 32])))
    }

    /// As a start; how many refusals it tells.
    fn start(&mut self) -> usize {
        self.lists = open(self.directory.path(), &self.shelf).unwrap();
        self.lists.begin(&self.shelf, now()).unwrap().len()
    }
}

#[test]
fn a_newer_set_takes_the_place_of_the_one_before_and_none_goes_back() {
    let mut keys = Keys::new();
    assert_eq!(keys.look(set(1, &[1, 2], &[1])), Ok(true));
    assert_eq!(keys.look(set(2, &[2], &[1])), Ok(true));
    assert_eq!((keys.fills(1), keys.fills(2)), ((2, false), (2, true)), "what is not in it is gone");
    keys.lists.keep().unwrap();
    for (old, check) in [(set(1, &[1], &[1]), Check::KeySetSerial), (set(2, &[1], &[1]), Check::KeySetEquivocation)] {
        assert_eq!(keys.look(old), Err(check));
        assert_eq!((keys.start(), keys.fills(2)), (1, (2, true)));
    }
    keys.shelf.key_set = None;
    assert_eq!((keys.start(), keys.fills(2)), (1, (2, true)), "without the store");
}

/// The keys of role `keys` are replaced: who calls with a key goes on calling.
#[test]
fn a_set_outlives_the_keys_that_signed_it() {
    let mut keys = Keys::new();
    assert_eq!(keys.look(set(LAST, &[1], &[1])), Ok(true));
    keys.lists.keep().unwrap();
    keys.shelf.roots.insert(2, root(2, 3));
    keys.lists.ground.rooted(&verify_root(&root(2, 3)).unwrap());
    assert_eq!(keys.look(set(LAST, &[1], &[1])), Err(Check::KeySetSignatures));
    assert_eq!((keys.fills(1), keys.start(), keys.fills(1)), ((LAST, true), 1, (LAST, true)));
    // Its serial counts no more.
    assert_eq!(keys.look(set(1, &[2], &[3])), Ok(true));
    assert_eq!((keys.fills(1), keys.fills(2)), ((1, false), (1, true)));
    assert_eq!(keys.look(set(LAST, &[1], &[1])), Err(Check::KeySetSignatures));
}

/// Whose role `keys` is that of these keys; none: it is gone.
fn root_of(version: u64, numbers: &[u8]) -> Vec<u8> {
    let mut claims = RootClaims::read(&Envelope::parse(&root(version, 1)).unwrap()).unwrap();
    let mut keys: Vec<_> = numbers.iter().map(|number| key(*number).public().id()).collect();
    keys.sort();
    claims.roles.keys = (!keys.is_empty()).then_some(RoleKeys { keys, threshold: 1 });
    signed(claims.to_envelope().unwrap(), &[1, 2])
}

/// Key 1 signed a set with a key that leaked, key 3 one without it; then key 3 leaves the role. Whoever writes into the store
/// puts the first one back.
#[test]
fn what_a_set_took_out_does_not_come_back_with_the_keys_that_signed_it_gone() {
    let mut keys = Keys::new();
    keys.shelf.roots.insert(2, root_of(2, &[1, 3]));
    standing(keys.directory.path()).unwrap().advance_roots(Some(&keys.shelf), None).unwrap();
    keys.start();
    let leaked = issued("2026-05-01T00:00:00Z", 5, &[1, 2], &[1]);
    assert_eq!(keys.look(leaked.clone()), Ok(true));
    assert_eq!(keys.look(issued("2026-05-02T00:00:00Z", 6, &[2], &[3])), Ok(true));
    keys.shelf.roots.insert(3, root_of(3, &[1]));
    keys.lists.ground.rooted(&verify_root(&root_of(3, &[1])).unwrap());
    assert_eq!((keys.look(leaked.clone()), keys.fills(1)), (Err(Check::KeySetSerial), (6, false)));
    keys.lists.keep().unwrap();
    // A start knows it as well.
    keys.shelf.key_set = Some(leaked);
    assert_eq!((keys.start(), keys.fills(1)), (1, (6, false)));
    assert_eq!(keys.look(issued("2026-05-02T00:00:00Z", 1, &[3], &[1])), Ok(true));
    assert_eq!((keys.fills(2), keys.fills(3)), ((1, false), (1, true)));
}

#[test]
fn a_set_of_a_thief_from_the_future_keeps_no_other_out() {
    let mut keys = Keys::new();
    assert_eq!(keys.look(issued("2027-03-01T00:00:00Z", LAST, &[9], &[1])), Ok(true));
    assert_eq!(keys.look(issued("2027-05-01T00:00:00Z", LAST, &[9], &[1])), Err(Check::KeySetEquivocation));
    keys.lists.keep().unwrap();
    keys.shelf.roots.insert(2, root(2, 3));
    assert_eq!(keys.look(set(7, &[1], &[3])), Err(Check::KeySetSerial), "it is from before the thief's was taken");
    assert_eq!((keys.start(), keys.look(issued("2026-06-01T00:00:00Z", 7, &[1], &[3]))), (1, Ok(true)));
    assert_eq!((keys.fills(9), keys.fills(1)), ((7, false), (7, true)));
}

#[test]
fn without_the_role_no_set_is_in_force_until_a_root_has_it_again() {
    let mut keys = Keys::new();
    assert_eq!(keys.look(set(1, &[9], &[1])), Ok(true));
    keys.lists.keep().unwrap();
    keys.shelf.roots.insert(2, root_of(2, &[]));
    assert_eq!((keys.look(set(1, &[9], &[1])), keys.lists.in_force().is_some()), (Err(Check::KeySetSignatures), false));
    assert_eq!((keys.start(), keys.lists.in_force().is_some()), (1, false));
    // Whatever the store holds, and with the next root as well.
    keys.shelf.key_set = None;
    assert_eq!((keys.start(), keys.lists.in_force().is_some()), (0, false));
    keys.shelf.roots.insert(3, root_of(3, &[3]));
    assert_eq!((keys.start(), keys.lists.in_force().is_some()), (0, false));
    assert_eq!((keys.look(set(1, &[9], &[1])), keys.lists.in_force().is_some()), (Err(Check::KeySetSignatures), false));
    assert_eq!((keys.look(set(1, &[1], &[3])), keys.fills(1)), (Ok(true), (1, true)));
    // Accepted one after the other while nobody looked.
    let accepted = |version, numbers: &[u8]| verify_root(&root_of(version, numbers)).unwrap();
    [accepted(4, &[]), accepted(5, &[3])].iter().for_each(|root| keys.lists.ground.rooted(root));
    keys.shelf.key_set = None;
    assert_eq!(keys.lists.look(&keys.shelf, now()), Ok(false));
    assert!(keys.lists.in_force().is_none());
    assert_eq!((keys.look(set(1, &[1], &[3])), keys.fills(1)), (Ok(true), (1, true)), "the role means it again");
}

/// The reserve holds any set whole.
#[test]
fn a_set_without_room_on_the_medium_outlives_a_restart() {
    let mut keys = Keys::new();
    assert_eq!((keys.start(), keys.look(set(1, &[1], &[1]))), (0, Ok(true)));
    keys.lists.keep().unwrap();
    let folder = keys.directory.path().join("key-sets");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, b"").unwrap();
    assert_eq!(keys.look(set(2, &[2], &[1])), Ok(true));
    assert_eq!(keys.lists.keep().unwrap_err().check, Check::State);
    keys.shelf.key_set = Some(set(1, &[1], &[1]));
    assert_eq!(keys.start(), 2);
    assert_eq!((keys.fills(1), keys.fills(2)), ((2, false), (2, true)));
    let most = policy_release::envelope::Kind::KeySet.envelope_bytes_max();
    let list = keys.lists.in_force.as_ref().unwrap().accepted();
    let reserve = keys.lists.memory.reserve(Shelf::KeySets, "production");
    reserve.write(Some(&list), &[&vec![b'x'; most]]).unwrap();
    assert!(reserve.read().unwrap().unwrap().envelope(&list.digest).is_some());
}
