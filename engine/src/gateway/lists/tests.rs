//! Lists across trust roots, restarts and media that hang.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Duration;

use control::accept::Check;
use policy_release::key::SigningKey;
use policy_release::key_set::{FilledId, KeyHash, KeySet};
use policy_release::lists::SignedList as _;
use policy_release::revocations::{Entry, Revocations, Sha256, Target};
use policy_release::root::{RoleKeys, Roles, RootClaims, RootKey, verify_root};

use super::super::accepted::Shelf;
use super::super::trust::Placed;
use super::keeping::{Note, Writer, Written};
use super::watching::pause;
use super::*;

mod keys;
mod reserved;

/// 2^53 - 1.
const LAST: u64 = policy_release::bounds::INTEGER_MAX;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-06-01T00:00:00Z")
}

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number; 32]).unwrap()
}

fn signed(mut envelope: Envelope, by: &[u8]) -> Vec<u8> {
    by.iter().for_each(|number| envelope.sign(&key(*number)).unwrap());
    envelope.to_bytes()
}

/// Whose roles `revocation` and `keys` are those of one key; keys 1 and 2 are needed for `release-wider` and `root`.
fn root(version: u64, revocation: u8) -> Vec<u8> {
    let role = |numbers: &[u8], threshold| RoleKeys {
        keys: numbers.iter().map(|number| key(*number).public().id()).collect(),
        threshold,
    };
    let roles = Roles {
        keys: Some(role(&[revocation], 1)),
        pointer: role(&[4], 1),
        release_narrower: role(&[1, 2], 1),
        release_wider: role(&[1, 2], 2),
        revocation: role(&[revocation], 1),
        root: role(&[1, 2], 2),
    };
    let keys = (1..=4).map(|number: u8| RootKey::new(&format!("owner-{number}"), key(number).public())).collect();
    let claims = RootClaims::new(version, time("2027-01-01T00:00:00Z"), keys, roles).unwrap();
    signed(claims.to_envelope().unwrap(), &[1, 2])
}

fn list(serial: u64, agents: &[&str], by: &[u8]) -> Vec<u8> {
    let (issued, expires) = (time("2026-05-01T00:00:00Z"), time("2026-07-01T00:00:00Z"));
    let entry =
        |name: &&str| Entry { target: Target::Agent((*name).to_owned()), since: issued, until: None, why: "w".into() };
    let entries = agents.iter().map(entry).collect();
    signed(Revocations::new("p", "production", serial, issued, expires, entries).unwrap().to_envelope().unwrap(), by)
}

/// A store in memory.
#[derive(Default)]
struct Shop {
    list: Option<Vec<u8>>,
    key_set: Option<Vec<u8>>,
    roots: BTreeMap<u64, Vec<u8>>,
}

fn missing<T>() -> Result<T, StoreFault> {
    Err(StoreFault::Missing { what: "it".to_owned() })
}

impl Store for Shop {
    fn place(&self) -> String {
        "a shelf".to_owned()
    }

    fn changed(&mut self, _: &Channel, _: stores::Followed) -> bool {
        true
    }

    fn pointer(&self, _: &Channel) -> Result<Vec<u8>, StoreFault> {
        missing()
    }

    fn revocations(&self, _: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.list.clone().map_or_else(missing, Ok)
    }

    fn key_set(&self, _: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.key_set.clone().map_or_else(missing, Ok)
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, StoreFault> {
        self.roots.get(&version).cloned().map_or_else(missing, Ok)
    }

    fn release(&self, _: &Digest) -> Result<Vec<u8>, StoreFault> {
        missing()
    }

    fn profile(&self, _: &Digest) -> Result<Vec<u8>, StoreFault> {
        missing()
    }
}

/// A gateway's lists, with root 1 placed, whose role `revocation` is key 1's.
struct Scene {
    directory: tempfile::TempDir,
    shelf: Shop,
    lists: Lists<Revocations>,
}

impl Scene {
    fn new() -> Self {
        let (directory, shelf) = (tempfile::tempdir().unwrap(), Shop::default());
        let lists = open(directory.path(), &shelf).unwrap();
        Self { directory, shelf, lists }
    }

    fn look(&mut self, bytes: Vec<u8>) -> Result<bool, Refusal> {
        self.shelf.list = Some(bytes);
        self.lists.look(&self.shelf, now())
    }

    fn refused(&mut self, bytes: Vec<u8>, check: Check) {
        assert_eq!(self.look(bytes).unwrap_err().check, check);
    }

    fn in_force(&self) -> &InForce<Revocations> {
        self.lists.in_force.as_ref().unwrap()
    }

    fn agents(&self) -> Vec<String> {
        self.in_force().list.entries().iter().map(|entry| entry.target.to_string()).collect()
    }

    /// As after a restart.
    fn reopen(&mut self) {
        self.lists = open(self.directory.path(), &self.shelf).unwrap();
    }

    /// Serial of the list that a start would take.
    fn kept(&self) -> Option<u64> {
        let accepted = Memory::new(self.directory.path()).read().unwrap();
        accepted.and_then(|accepted| accepted.revocations.get("production").map(|list| list.serial))
    }
}

fn standing(directory: &std::path::Path) -> Result<Standing, Failure> {
    let gateway = Gateway { policy: "p".into(), engine: "0.1.0".parse().unwrap() };
    let bytes = root(1, 1);
    let placed = Placed { path: "root.json".into(), root: verify_root(&bytes).unwrap(), bytes };
    Standing::open(Memory::new(directory), gateway, &placed)
}

fn open<L: Tended>(directory: &std::path::Path, shelf: &Shop) -> Result<Lists<L>, Failure> {
    let standing = standing(directory)?;
    let ground = Ground::of(&standing)?;
    Lists::open(&standing, &ground, Some(shelf), &"production".parse().unwrap(), now())
}

/// A thief's list may be taken at the moment in which the root without his key is accepted.
#[test]
fn a_serial_counts_by_the_root_of_the_moment() {
    let mut scene = Scene::new();
    assert!(scene.look(list(LAST, &["a", "b"], &[1])).unwrap());
    scene.refused(list(2, &["a", "b", "c"], &[1]), Check::RevocationsSerial);
    // Nothing of that list was written down when it came.
    scene.lists.ground.rooted(&verify_root(&root(2, 3)).unwrap());
    scene.refused(list(2, &["a", "b", "c"], &[1]), Check::RevocationsSignatures);
    assert!(scene.look(list(2, &["a", "b", "c"], &[3])).unwrap());
    assert_eq!(
        (scene.agents(), scene.in_force().list.serial),
        (["a", "b", "c"].map(|a| format!("agent {a}")).into(), 2)
    );
    scene.refused(list(1, &["a", "b", "c"], &[3]), Check::RevocationsSerial);
}

#[test]
fn a_list_signed_again_by_the_new_keys_counts_again() {
    let mut scene = Scene::new();
    assert!(scene.look(list(5, &["a"], &[1])).unwrap());
    scene.lists.keep().unwrap();
    scene.shelf.roots.insert(2, root(2, 3));
    let again = list(5, &["a"], &[3]);
    assert!(scene.look(again.clone()).unwrap() && !scene.look(again.clone()).unwrap());
    assert!(scene.lists.note().is_some_and(|note| !note.keep), "that root is not accepted yet");
    scene.lists.keep().unwrap();
    assert_eq!((scene.lists.reserved, scene.in_force().kept, scene.lists.note().is_none()), (Some(2), false, true));
    scene.refused(list(4, &["a"], &[3]), Check::RevocationsSerial);
    scene.lists.ground.rooted(&verify_root(&root(2, 3)).unwrap());
    assert!(!scene.look(again.clone()).unwrap());
    scene.lists.keep().unwrap();
    assert!(scene.lists.note().is_none() && !scene.look(again).unwrap());
    scene.refused(list(4, &["a"], &[3]), Check::RevocationsSerial);
}

#[test]
fn what_a_list_may_not_lift_outlives_a_restart() {
    let mut scene = Scene::new();
    let all = ["agent a", "agent b", "agent c"];
    let old = list(1, &["a", "b"], &[1]);
    scene.look(old.clone()).unwrap();
    scene.lists.keep().unwrap();
    assert!(scene.look(list(2, &["c"], &[1])).unwrap());
    assert_eq!(scene.agents(), all);
    scene.lists.keep().unwrap();
    scene.refused(old.clone(), Check::RevocationsSerial);
    scene.reopen();
    assert_eq!((scene.agents(), scene.in_force().verified.list.serial), (all.map(str::to_owned).into(), 2));
    assert_eq!(scene.in_force().refusal.as_ref().map(|refusal| refusal.check), Some(Check::RevocationsLifted));
    scene.refused(old, Check::RevocationsSerial);
    assert!(!scene.look(list(2, &["c"], &[1])).unwrap() && scene.look(list(2, &["c"], &[1, 2])).unwrap());
    assert_eq!(scene.agents(), ["agent c"]);
    assert!(scene.in_force().refusal.is_none());
    scene.lists.keep().unwrap();
    scene.reopen();
    assert_eq!(scene.agents(), ["agent c"]);
}

#[test]
fn without_what_stays_beside_the_list_nothing_starts() {
    let mut scene = Scene::new();
    scene.look(list(1, &["a"], &[1])).unwrap();
    scene.look(list(2, &[], &[1])).unwrap();
    scene.lists.keep().unwrap();
    let whole = scene.in_force().whole.as_ref().unwrap().digest();
    let name = stores::layout::digest_name(&whole);
    std::fs::remove_file(scene.directory.path().join("revocations").join(name)).unwrap();
    assert!(open::<Revocations>(scene.directory.path(), &scene.shelf).is_ok(), "it is in the reserve");
    std::fs::remove_dir_all(scene.directory.path().join("reserve")).unwrap();
    let told = format!("{:?}", open::<Revocations>(scene.directory.path(), &scene.shelf).err().unwrap());
    assert!(told.contains("serial 2") && told.contains("restore the state directory"), "{told}");
}

/// Keeps until nothing is left to be written down.
fn settle(scene: &mut Scene, writer: &mut Writer) {
    while writer.is_busy() || scene.lists.note().is_some() {
        let _ = writer.keep(&mut scene.lists);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_is_refused_for_the_time_alone_is_read_again_soon() {
    let mut scene = Scene::new();
    let later = time("2027-01-01T00:00:00Z");
    scene.shelf.list = Some(list(1, &["a"], &[1]));
    let refused = scene.lists.look(&scene.shelf, later);
    assert_eq!(refused.as_ref().unwrap_err().check, Check::RootExpiry);
    assert_eq!(pause(&refused), Duration::from_secs(1));
    // The clock goes back.
    let taken = scene.lists.look(&scene.shelf, now());
    assert!(taken.as_ref().is_ok_and(|is_new| *is_new) && pause(&taken) > Duration::from_secs(1));
    let garbage = scene.look(b"garbage".to_vec());
    assert!(garbage.is_err() && pause(&garbage) > Duration::from_secs(1));
}

#[test]
fn a_medium_that_hangs_holds_no_list_up() {
    let mut scene = Scene::new();
    let ((go, wait), memory) = (channel(), scene.lists.memory.clone());
    let write = move |note: &Note| {
        wait.recv().unwrap();
        note.write(&memory)
    };
    let mut writer = Writer::spawn("kept".into(), vec![], write).unwrap();
    for serial in 1..=3 {
        assert!(scene.look(list(serial, &["a"], &[1])).unwrap());
        writer.keep(&mut scene.lists).unwrap();
        assert!(writer.is_busy() && scene.lists.note().is_some());
    }
    assert_eq!((scene.in_force().list.serial, scene.kept()), (3, None));
    (0..2).for_each(|_| go.send(()).unwrap());
    settle(&mut scene, &mut writer);
    // The first, and the newest; nobody wrote the one between them.
    assert_eq!(scene.kept(), Some(3));
}

#[test]
fn what_cannot_be_written_is_told_and_written_later() {
    let mut scene = Scene::new();
    let (answers, wait) = channel();
    let memory = scene.lists.memory.clone();
    let write = move |note: &Note| {
        let failure: Result<Failure, _> = wait.recv();
        failure.map_or_else(|_| note.write(&memory), |failure| Written { reserved: Ok(()), kept: Err(failure) })
    };
    let mut writer = Writer::spawn("kept".into(), vec![], write).unwrap();
    scene.look(list(1, &["a"], &[1])).unwrap();
    answers.send(Failure::new("no space")).unwrap();
    let mut refusal = None;
    while refusal.is_none() {
        refusal = writer.keep(&mut scene.lists).err();
    }
    assert!(refusal.is_some_and(|refusal| refusal.check == Check::State && refusal.found.contains("no space")));
    // Whatever the store holds by then.
    scene.refused(b"garbage".to_vec(), Check::RevocationsSignatures);
    drop(answers);
    settle(&mut scene, &mut writer);
    assert_eq!(scene.kept(), Some(1));
    assert!(writer.keep(&mut scene.lists).is_ok());
}
