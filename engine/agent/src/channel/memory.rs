//! What a profile remembers of its channels, so that whoever holds the store can lead nothing back: one file for each, which
//! is replaced whole. An enrolment for one makes nothing forgotten of another.

use std::path::Path;

use policy_release::digest::Digest;
use policy_release::envelope::Role;
use policy_release::pointer::{VerifiedPointer, verify_pointer};
use policy_release::profile_document::{ROLE, VerifiedProfileDocument};
use policy_release::root::{TrustRoot, verify_root};
use policy_release::step::Step;
use serde::{Deserialize, Serialize};
use stores::Channel;

use crate::bounds::{CHANNEL_BYTES_MAX, CHANNEL_DOCUMENTS_MAX};
use crate::fault::Fault;
use crate::files::{self, Access};

const FORMAT: &str = "adamant.channel.v1";
/// What to do about a file that cannot be used.
const MEND: &str = "it keeps old files from being put back: restore it; or remove it, which forgets what was seen, and enroll \
                    again, with --force and --trust-root";
/// Its name before there was one for each channel.
const FILE_OF_ANY: &str = "channel.json";

fn file_of(channel: &str) -> String {
    format!("channel-{channel}.json")
}

/// The file `channel-NAME.json` of a profile.
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
    /// The release of that version; none where it was taken before this was remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release_highest: Option<Digest>,
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
            release_highest: None,
            documents: Vec::new(),
        }
    }

    /// For an enrolment: what was seen of this channel before, and the newer of the two roots.
    pub fn open(directory: &Path, channel: &Channel, placed: &[u8]) -> Result<Self, Fault> {
        let given = verify_root(placed).map_err(|fault| Fault::new(format_args!("the trust root: {fault}")))?;
        let Some(mut kept) = Self::kept(directory, channel)? else { return Ok(Self::new(channel.as_str(), placed)) };
        let ours = kept.root()?;
        if given.version() == ours.version() && given.digest() != ours.digest() {
            let message = format!(
                "expected trust root version {} as this profile knows it ({}), found another of the same version ({})",
                ours.version(),
                ours.digest(),
                given.digest()
            );
            let help = "give a root of the same line; for a new line of roots, make a new profile";
            return Err(Fault::at(&directory.join(file_of(channel.as_str())), message).help(help));
        }
        if given.version() > ours.version() {
            kept.advance(&ours, &given, placed);
        }
        Ok(kept)
    }

    pub fn read(directory: &Path, channel: &Channel) -> Result<Self, Fault> {
        Self::kept(directory, channel)?.ok_or_else(|| {
            let message =
                format!("expected what was seen of channel {channel}, found no {}", file_of(channel.as_str()));
            Fault::at(directory, message)
                .help("it keeps old files from being put back: enroll again, with --force and --trust-root")
        })
    }

    /// What was seen of this channel; none where nothing was.
    pub fn kept(directory: &Path, channel: &Channel) -> Result<Option<Self>, Fault> {
        for (name, is_own) in [(file_of(channel.as_str()), true), (FILE_OF_ANY.to_owned(), false)] {
            let path = directory.join(name);
            if !path.exists() {
                continue;
            }
            let memory = Self::parse(&path)?;
            if memory.channel == channel.as_str() {
                return Ok(Some(memory));
            }
            if is_own {
                let message = format!("expected what was seen of channel {channel}, found {}", memory.channel);
                return Err(Fault::at(&path, message).help(MEND));
            }
        }
        Ok(None)
    }

    fn parse(path: &Path) -> Result<Self, Fault> {
        let bytes = files::read(path, CHANNEL_BYTES_MAX).map_err(|fault| Fault::from(fault).help(MEND))?;
        let memory: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Fault::at(path, format_args!("expected what was seen of a channel, found {error}")).help(MEND)
        })?;
        if memory.format == FORMAT {
            return Ok(memory);
        }
        let message = format!("expected format {FORMAT:?}, found {:?}", memory.format);
        Err(Fault::at(path, message).help("it was made by another version of adamant: enroll into a new profile"))
    }

    pub fn write(&self, directory: &Path) -> Result<(), Fault> {
        let json = serde_json::to_string(self).map_err(Fault::new)?;
        files::write(&directory.join(file_of(&self.channel)), format!("{json}\n").as_bytes(), Access::OwnerOnly)
    }

    pub fn channel(&self) -> &str {
        &self.channel
    }

    pub fn root(&self) -> Result<TrustRoot, Fault> {
        verify_root(self.root.as_bytes())
            .map_err(|fault| Fault::new(format_args!("{}: {fault}", file_of(&self.channel))).help(MEND))
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
                "each policy has channels of its own: where it is meant, enroll into a new profile",
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

    /// Whether it leads behind what was taken, as gateways see it: to no higher version, and not to the very release that
    /// was taken.
    pub fn is_behind(&self, version: u64, release: Digest) -> bool {
        match self.release_highest {
            Some(taken) => self.step(version) == Step::Back && release != taken,
            None => version < self.version_highest,
        }
    }

    /// A release was taken. `may_lead_back`: its pointer is signed for that too, so it may take the place of another of its
    /// version.
    pub fn accept(&mut self, version: u64, release: Digest, may_lead_back: bool) {
        let is_same = version == self.version_highest;
        if version > self.version_highest || (is_same && (may_lead_back || self.release_highest.is_none())) {
            (self.version_highest, self.release_highest) = (version, Some(release));
        }
    }
}
