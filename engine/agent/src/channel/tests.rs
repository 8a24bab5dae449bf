//! What is remembered of a channel, and the bounds of it. That nothing leads back is tested on the binary too.

use std::cell::Cell;

use policy_release::key::SigningKey;
use policy_release::profile_document::ProfileDocument;
use policy_release::root::{RoleKeys, Roles, RootClaims, RootKey, verify_root};
use stores::Followed;

use super::*;
use crate::bounds::CHANNEL_DOCUMENTS_MAX;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A root of one key for everything; `wider` signs releases.
fn root(version: u64, wider: &SigningKey) -> Vec<u8> {
    let own = SigningKey::generate([1; 32]).unwrap();
    let of = |key: &SigningKey| RoleKeys { keys: vec![key.public().id()], threshold: 1 };
    let roles = Roles {
        keys: None,
        pointer: of(&own),
        release_narrower: of(wider),
        release_wider: of(wider),
        revocation: of(&own),
        root: of(&own),
    };
    let mut keys = vec![RootKey::new("own", own.public()), RootKey::new("wider", wider.public())];
    keys.dedup_by_key(|key| key.id);
    let claims = RootClaims::new(version, time("2100-01-01T00:00:00Z"), keys, roles).unwrap();
    let mut envelope = claims.to_envelope().unwrap();
    envelope.sign(&own).unwrap();
    envelope.to_bytes()
}

fn memory() -> (tempfile::TempDir, Memory) {
    let directory = tempfile::tempdir().unwrap();
    let own = SigningKey::generate([1; 32]).unwrap();
    let memory = Memory::open(directory.path(), &channel("production"), &root(1, &own)).unwrap();
    (directory, memory)
}

fn channel(name: &str) -> Channel {
    name.parse().unwrap()
}

/// The release that has this number.
fn release(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn document(release: u64, serial: u64) -> VerifiedProfileDocument {
    let place = Place {
        gateway: "https://localhost".to_owned(),
        gateway_ca: None,
        gateway_spki_sha256: vec!["ab".repeat(32)],
        openbao: None,
    };
    let times = (time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z"));
    let digest = self::release(release);
    let document = ProfileDocument::new("orders", digest, serial, times, place).unwrap();
    let digest = document.to_envelope().unwrap().digest();
    VerifiedProfileDocument { document, digest, signers: Vec::new() }
}

#[test]
fn documents_never_go_back_within_a_release_and_a_bounded_number_is_remembered() {
    let (_, mut memory) = memory();
    memory.see_document(&document(0, 7)).unwrap();
    assert!(memory.see_document(&document(0, 6)).unwrap_err().contains("serial 7 or higher"));
    memory.see_document(&document(0, 7)).unwrap();
    for release in 1..u64::try_from(CHANNEL_DOCUMENTS_MAX).unwrap() {
        memory.see_document(&document(release, 1)).unwrap();
    }
    assert!(memory.see_document(&document(0, 6)).is_err(), "as many as the bound are remembered");
    memory.see_document(&document(1_000, 1)).unwrap();
    memory.see_document(&document(0, 6)).unwrap();
}

#[test]
fn what_was_seen_is_kept_whole_and_goes_with_the_keys_that_said_it() {
    let (directory, mut memory) = memory();
    memory.see_document(&document(0, 7)).unwrap();
    memory.accept(5, release(5), false);
    memory.write(directory.path()).unwrap();
    let (production, staging) = (channel("production"), channel("staging"));
    assert_eq!(Memory::read(directory.path(), &production).unwrap(), memory);
    // Another channel begins anew, the same one goes on, and another root of the same version is refused.
    let own = SigningKey::generate([1; 32]).unwrap();
    let other_memory = Memory::open(directory.path(), &staging, &root(1, &own)).unwrap();
    assert!(!other_memory.is_behind(4, release(4)));
    other_memory.write(directory.path()).unwrap();
    assert!(Memory::open(directory.path(), &production, &root(1, &own)).unwrap().is_behind(4, release(4)));
    let other = SigningKey::generate([2; 32]).unwrap();
    let refused = Memory::open(directory.path(), &production, &root(1, &other)).unwrap_err();
    assert!(refused.to_string().contains("found another of the same version"), "{refused}");
    // Keys that sign documents were replaced: what they signed counts no more.
    let next = root(2, &other);
    memory.advance(&memory.root().unwrap(), &verify_root(&next).unwrap(), &next);
    memory.see_document(&document(0, 1)).unwrap();
    assert_eq!(memory.root().unwrap().version(), 2);
    let path = directory.path().join("channel-production.json");
    std::fs::write(&path, vec![b' '; crate::bounds::CHANNEL_BYTES_MAX + 1]).unwrap();
    let hint = Memory::read(directory.path(), &production).unwrap_err().hint().unwrap().to_owned();
    assert!(hint.contains("--force") && hint.contains("remove it"), "{hint}");
    std::fs::remove_file(&path).unwrap();
    assert!(Memory::read(directory.path(), &production).unwrap_err().hint().unwrap().contains("--trust-root"));
    // As it was called before there was one for each channel.
    memory.write(directory.path()).unwrap();
    std::fs::rename(&path, directory.path().join("channel.json")).unwrap();
    assert_eq!(Memory::read(directory.path(), &production).unwrap(), memory);
}

#[test]
fn another_release_of_a_version_that_was_taken_leads_back_as_gateways_see_it() {
    let (_, mut memory) = memory();
    memory.accept(4, release(4), false);
    memory.accept(5, release(5), false);
    assert!(!memory.is_behind(5, release(5)) && !memory.is_behind(6, release(6)));
    assert!(memory.is_behind(5, release(50)) && memory.is_behind(4, release(4)));
    // Its scopes may be taken, its place is not; only whoever may lead back puts it in the place of the other one.
    memory.accept(5, release(50), false);
    assert!(memory.is_behind(5, release(50)) && !memory.is_behind(5, release(5)));
    memory.accept(5, release(50), true);
    assert!(memory.is_behind(5, release(5)) && !memory.is_behind(5, release(50)));
    // What was written before the release was remembered learns it from the profile.
    let text = serde_json::to_string(&memory).unwrap();
    let release_highest = format!("\"release_highest\":\"{}\",", release(50));
    let mut old: Memory = serde_json::from_str(&text.replace(&release_highest, "")).unwrap();
    assert!(old != memory && old.is_behind(4, release(4)) && !old.is_behind(5, release(7)));
    old.accept(5, release(50), false);
    assert_eq!(old, memory);
}

#[test]
fn what_was_seen_meanwhile_is_not_forgotten_by_an_enrolment() {
    let (directory, mut memory) = memory();
    let follows = Follows {
        store: "store".into(),
        channel: "production".to_owned(),
        ca: None,
        token_file: None,
        namespace: None,
        certificate: None,
    };
    let kept = || Memory::kept(directory.path(), &channel("production")).unwrap();
    assert!(remember(&follows, None, &memory, directory.path()).is_ok() && kept().as_ref() == Some(&memory));
    let before = kept();
    memory.accept(5, release(5), false);
    memory.write(directory.path()).unwrap();
    let told = remember(&follows, before.as_ref(), &memory, directory.path()).unwrap_err();
    assert!(told.to_string().contains("has changed meanwhile"), "{told}");
    assert!(kept() == Some(memory));
}

/// A store of trust roots without end.
#[derive(Default)]
struct Endless {
    read: Cell<u64>,
}

impl Store for Endless {
    fn place(&self) -> String {
        "endless".to_owned()
    }

    fn changed(&mut self, _: &Channel, _: Followed) -> bool {
        true
    }

    fn pointer(&self, _: &Channel) -> Result<Vec<u8>, StoreFault> {
        Err(StoreFault::Missing { what: "pointer".to_owned() })
    }

    fn revocations(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.pointer(channel)
    }

    fn key_set(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.pointer(channel)
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, StoreFault> {
        self.read.set(self.read.get() + 1);
        Ok(root(version, &SigningKey::generate([1; 32]).unwrap()))
    }

    fn release(&self, _: &Digest) -> Result<Vec<u8>, StoreFault> {
        Err(StoreFault::Missing { what: "release".to_owned() })
    }

    fn profile(&self, release: &Digest) -> Result<Vec<u8>, StoreFault> {
        self.release(release)
    }
}

#[test]
fn a_look_follows_a_bounded_number_of_trust_roots_and_the_next_one_goes_on() {
    let ((_, mut memory), store) = (memory(), Endless::default());
    let bound = u64::try_from(CHANNEL_ROOTS_MAX).unwrap();
    for turn in 1..=2 {
        assert!(look(&store, &mut memory, None, time("2026-06-01T00:00:00Z")).is_err());
        assert_eq!((store.read.get(), memory.root().unwrap().version()), (turn * bound, turn * bound + 1));
    }
}
