//! What a profile remembers of its channel, so that whoever holds the store can lead nothing back: one file, replaced whole.

use std::path::Path;

use policy_release::digest::Digest;
use policy_release::envelope::Role;
use policy_release::pointer::{VerifiedPointer, verify_pointer};
use policy_release::profile_document::{ROLE, VerifiedProfileDocument};
use policy_release::root::{TrustRoot, verify_root};
use policy_release::step::Step;
use serde::{Deserialize, Serialize};

use crate::bounds::{CHANNEL_BYTES_MAX, CHANNEL_DOCUMENTS_MAX};
use crate::fault::Fault;
use crate::files::{self, Access};

const FORMAT: &str = "adamant.channel.v1";
const FILE: &str = "channel.json";

/// The file `channel.json` of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    format: String,
    channel: String,
    /// None until a pointer was verified.
    policy: Option<String>,
    /// The envelope of the newest trust root.
    root: String,
    /// The newest pointer that was verified, whatever came of it.
    pointer: Option<Seen>,
    /// The highest version of any release that was taken.
    version_highest: u64,
    /// The newest document of each release, in the order in which they were seen first.
    documents: Vec<SeenDocument>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    serial: u64,
    digest: Digest,
    envelope: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenDocument {
    release: Digest,
    serial: u64,
    digest: Digest,
}

impl Memory {
    fn new(channel: &str, root: &[u8]) -> Self {
        Self {
            format: FORMAT.to_owned(),
            channel: channel.to_owned(),
            policy: None,
            root: String::from_utf8_lossy(root).into_owned(),
            pointer: None,
            version_highest: 0,
            documents: Vec::new(),
        }
    }

    /// For an enrolment: what was seen of this channel before, and the newer of the two roots.
    pub fn open(directory: &Path, channel: &str, placed: &[u8]) -> Result<Self, Fault> {
        let given = verify_root(placed).map_err(|fault| Fault::new(format_args!("the trust root: {fault}")))?;
        let is_there = directory.join(FILE).exists();
        let kept = is_there.then(|| Self::read(directory)).transpose()?.filter(|kept| kept.channel == channel);
        let Some(mut kept) = kept else { return Ok(Self::new(channel, placed)) };
        let ours = kept.root()?;
        if given.version() == ours.version() && given.digest() != ours.digest() {
            let message = format!(
                "expected trust root version {} as this profile knows it ({}), found another of the same version ({})",
                ours.version(),
                ours.digest(),
                given.digest()
            );
            let help = "give a root of the same line; for a new line of roots, make a new profile";
            return Err(Fault::at(&directory.join(FILE), message).help(help));
        }
        if given.version() > ours.version() {
            kept.advance(&ours, &given, placed);
        }
        Ok(kept)
    }

    pub fn read(directory: &Path) -> Result<Self, Fault> {
        let path = directory.join(FILE);
        let help = "it keeps old files from being put back: enroll again, with --force and --trust-root";
        let bytes = files::read(&path, CHANNEL_BYTES_MAX).map_err(|fault| Fault::from(fault).help(help))?;
        let memory: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Fault::at(&path, format_args!("expected what was seen of a channel, found {error}")).help(help)
        })?;
        if memory.format == FORMAT {
            return Ok(memory);
        }
        let message = format!("expected format {FORMAT:?}, found {:?}", memory.format);
        Err(Fault::at(&path, message).help("it was made by another version of adamant: enroll again, with --force"))
    }

    pub fn write(&self, directory: &Path) -> Result<(), Fault> {
        let json = serde_json::to_string(self).map_err(Fault::new)?;
        files::write(&directory.join(FILE), format!("{json}\n").as_bytes(), Access::OwnerOnly)
    }

    pub fn channel(&self) -> &str {
        &self.channel
    }

    pub fn root(&self) -> Result<TrustRoot, Fault> {
        verify_root(self.root.as_bytes())
            .map_err(|fault| Fault::new(format_args!("{FILE}: {fault}")).help("enroll again, with --force"))
    }

    /// Takes the successor of `old`. Serials that keys signed which may have been taken out for it are forgotten: the
    /// highest of all, signed once by a stolen key, would lock the channel for good (TUF 1.0 §5.3.11).
    pub fn advance(&mut self, old: &TrustRoot, new: &TrustRoot, bytes: &[u8]) {
        self.root = String::from_utf8_lossy(bytes).into_owned();
        if old.role(Role::Pointer) != new.role(Role::Pointer) {
            self.pointer = self.pointer.take().filter(|seen| verify_pointer(seen.envelope.as_bytes(), new).is_ok());
        }
        if old.role(ROLE) != new.role(ROLE) {
            self.documents.clear();
        }
    }

    /// A pointer of this channel and policy that does not go behind the one that was seen.
    pub fn see_pointer(&mut self, verified: &VerifiedPointer, bytes: &[u8]) -> Result<(), Fault> {
        let pointer = &verified.pointer;
        let refused = |expected: String, found: String, help: &str| {
            Err(Fault::new(format_args!("the pointer is refused: expected {expected}, found {found}")).help(help))
        };
        if pointer.channel != self.channel {
            let (expected, found) = (format!("channel {:?}", self.channel), format!("{:?}", pointer.channel));
            return refused(
                expected,
                found,
                "a pointer is signed for one channel; somebody put it into the place of another",
            );
        }
        if let Some(policy) = self.policy.as_ref().filter(|policy| **policy != pointer.policy_name) {
            let (expected, found) = (format!("policy {policy:?}"), format!("{:?}", pointer.policy_name));
            return refused(
                expected,
                found,
                "each policy has channels of its own: enroll again, with --force, where it is meant",
            );
        }
        if let Some(seen) = &self.pointer {
            if pointer.serial < seen.serial {
                let (expected, found) =
                    (format!("serial {} or higher", seen.serial), format!("serial {}", pointer.serial));
                return refused(
                    expected,
                    found,
                    "an old pointer was put back; a wanted rollback has a new pointer (adamant rollback)",
                );
            }
            if pointer.serial == seen.serial && verified.digest != seen.digest {
                let expected = format!("one pointer with serial {}: {}", seen.serial, seen.digest);
                return refused(
                    expected,
                    format!("another: {}", verified.digest),
                    "find out who signed two of them, then make a new one",
                );
            }
        }
        self.policy = Some(pointer.policy_name.clone());
        let envelope = String::from_utf8_lossy(bytes).into_owned();
        self.pointer = Some(Seen { serial: pointer.serial, digest: verified.digest, envelope });
        Ok(())
    }

    /// A document that does not go behind the one that was seen of its release.
    pub fn see_document(&mut self, verified: &VerifiedProfileDocument) -> Result<(), String> {
        let (serial, digest, release) = (verified.document.serial, verified.digest, verified.document.release);
        let now = SeenDocument { release, serial, digest };
        match self.documents.iter_mut().find(|seen| seen.release == release) {
            Some(seen) if serial < seen.serial => {
                Err(format!("expected serial {} or higher, found serial {serial}", seen.serial))
            }
            Some(seen) if serial == seen.serial && digest != seen.digest => {
                Err(format!("expected one with serial {serial} ({}), found another ({digest})", seen.digest))
            }
            Some(seen) => {
                *seen = now;
                Ok(())
            }
            None => {
                if self.documents.len() >= CHANNEL_DOCUMENTS_MAX {
                    self.documents.remove(0);
                }
                self.documents.push(now);
                Ok(())
            }
        }
    }

    /// How a release stands to those that were taken.
    pub const fn step(&self, version: u64) -> Step {
        Step::of(version, self.version_highest)
    }

    /// Whether a later release was taken before.
    pub const fn is_behind(&self, version: u64) -> bool {
        version < self.version_highest
    }

    /// A release was taken.
    pub fn accept(&mut self, version: u64) {
        self.version_highest = self.version_highest.max(version);
    }
}
