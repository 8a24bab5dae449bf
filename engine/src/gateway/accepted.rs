//! What this gateway has accepted, as it outlives a restart: trust roots, the release, its pointer, and how high the
//! serial of each channel has been.
//!
//! ```text
//! STATE/accepted.json               names everything below; replaced whole
//! STATE/releases/sha256-<hex>.json  the release, as it was received
//! STATE/roots/<version>.json        every trust root from the first that was placed
//! STATE/revocations/sha256-<hex>.json  the revocation list in force of each channel, and what stays in force beside it
//! STATE/key-sets/sha256-<hex>.json  the key set in force of each channel
//! STATE/reserve/<channel>           room set aside for that list: see `reserve`
//! STATE/reserve-key-sets/<channel>  likewise for that set
//! ```
//! Files are on stable storage before `accepted.json` names them; what it does not name is removed. Three threads write it:
//! that which follows releases, and those which write revocation lists and key sets down.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::accept::pointer::Seen;
use policy_release::digest::Digest;
use policy_release::envelope::Kind;
use policy_release::time::Timestamp;
use serde::{Deserialize, Serialize};
use stores::layout;

use super::reserve::Reserve;
use super::state::expect_directory;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};

const FORMAT: &str = "adamant.accepted.v1";
const FILE: &str = "accepted.json";
/// Bytes of `accepted.json`: one pointer, and a line for each channel ever followed.
const FILE_BYTES_MAX: usize = 1 << 20;
/// What the beginning of a file's name is while it is written.
const TEMPORARY: &str = ".adamant-";

/// The content of `accepted.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    #[serde(rename = "type")]
    format: String,
    pub policy: String,
    pub root_first: u64,
    pub root_latest: u64,
    /// The highest version of any release that was accepted.
    pub version_highest: u64,
    /// By channel: the newest pointer that was verified, whatever came of it.
    pub seen: BTreeMap<String, SeenPointer>,
    pub release: Option<AcceptedRelease>,
    /// By channel: the revocation list in force.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revocations: BTreeMap<String, AcceptedList>,
    /// By channel: the key set in force.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key_sets: BTreeMap<String, AcceptedList>,
}

/// Lists of one kind, as they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    Revocations,
    KeySets,
}

impl Shelf {
    const ALL: [Self; 2] = [Self::Revocations, Self::KeySets];

    pub const fn folder(self) -> &'static str {
        match self {
            Self::Revocations => "revocations",
            Self::KeySets => "key-sets",
        }
    }

    pub const fn reserve(self) -> &'static str {
        match self {
            Self::Revocations => "reserve",
            Self::KeySets => "reserve-key-sets",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Revocations => Kind::Revocations,
            Self::KeySets => Kind::KeySet,
        }
    }

    /// By channel.
    pub const fn of(self, accepted: &Accepted) -> &BTreeMap<String, AcceptedList> {
        match self {
            Self::Revocations => &accepted.revocations,
            Self::KeySets => &accepted.key_sets,
        }
    }

    const fn of_mut(self, accepted: &mut Accepted) -> &mut BTreeMap<String, AcceptedList> {
        match self {
            Self::Revocations => &mut accepted.revocations,
            Self::KeySets => &mut accepted.key_sets,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenPointer {
    pub serial: u64,
    pub digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedRelease {
    pub digest: Digest,
    pub version: u64,
    /// The trust root by which it was accepted. A later root does not take back what serves.
    pub root: u64,
    pub accepted: Timestamp,
    /// None: it came as a file.
    pub pointer: Option<AcceptedPointer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedPointer {
    pub channel: String,
    pub root: u64,
    /// The envelope, as it was received.
    pub envelope: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedList {
    pub serial: u64,
    pub digest: Digest,
    /// The trust root by which it was accepted. A later root does not take back what is revoked, nor what is filled, unless it
    /// has nobody in the role.
    pub root: u64,
    /// When it was issued, as far as that is believed: not after it was accepted. None: it is from before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    /// Where lists before it hold what it may not lift: all that is revoked, as a list that nobody signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Digest>,
    /// Which list it is, in the order in which lists of the channel were in force here: serials do not say that, because
    /// they are forgotten with the keys that signed them. 0: it is from before that was counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u64,
}

impl AcceptedList {
    /// What it is kept in.
    pub fn digests(&self) -> impl Iterator<Item = Digest> + use<> {
        [Some(self.digest), self.whole].into_iter().flatten()
    }

    /// Names of the files that hold it.
    fn names(&self) -> impl Iterator<Item = String> + use<> {
        self.digests().map(|digest| layout::digest_name(&digest))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(turn: &u64) -> bool {
    *turn == 0
}

/// `accepted.json` as a file: damage that leaves it readable is found by the digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    accepted: Accepted,
    sha256: Digest,
}

impl Accepted {
    /// Of a gateway that has accepted nothing yet.
    pub fn nothing(policy: &str, root: u64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            policy: policy.to_owned(),
            root_first: root,
            root_latest: root,
            version_highest: 0,
            seen: BTreeMap::new(),
            release: None,
            revocations: BTreeMap::new(),
            key_sets: BTreeMap::new(),
        }
    }

    pub fn seen(&self, channel: &str) -> Option<Seen> {
        self.seen.get(channel).map(|seen| Seen { serial: seen.serial, digest: seen.digest })
    }

    fn digest(&self) -> Result<Digest, serde_json::Error> {
        Ok(Digest::of(&serde_json::to_vec(self)?))
    }
}

/// Where it is kept.
#[derive(Clone, Debug)]
pub struct Memory {
    directory: PathBuf,
    /// `adamant run --check` beside a running gateway: nothing is written.
    read_only: bool,
    /// What was written last; locked while it is written.
    last: Arc<Mutex<Option<Accepted>>>,
}

impl Memory {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), read_only: false, last: Arc::default() }
    }

    pub fn read_only(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), read_only: true, last: Arc::default() }
    }

    fn last(&self) -> MutexGuard<'_, Option<Accepted>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing was ever accepted: what is written next begins with `accepted`.
    pub fn begin(&self, accepted: &Accepted) {
        *self.last() = Some(accepted.clone());
    }

    /// The lists in force of one kind, by channel.
    pub fn lists(&self, shelf: Shelf) -> BTreeMap<String, AcceptedList> {
        self.last().as_ref().map(|last| shelf.of(last).clone()).unwrap_or_default()
    }

    /// What was accepted; none where nothing ever was. A file that is damaged is refused: going on without it would
    /// forget the serials.
    pub fn read(&self) -> Result<Option<Accepted>, Failure> {
        let path = self.directory.join(FILE);
        if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(None);
        }
        expect_directory(&self.directory)?;
        let help = format!(
            "restore {} from a backup of this gateway; or remove it, which forgets the highest serial: an old pointer \
             could then be put back, so look first at what the store holds",
            path.display()
        );
        let damaged = |found: String| {
            let message = format!("expected what this gateway has accepted, whole and unchanged, found {found}");
            Failure::at(&path, message).help(&help)
        };
        let bytes = files::read(&path, FILE_BYTES_MAX).map_err(|fault| damaged(fault.to_string()))?;
        let sealed: Sealed = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let digest = sealed.accepted.digest().map_err(|error| damaged(error.to_string()))?;
        if digest != sealed.sha256 {
            return Err(damaged(format!("content of digest {digest} where {} was written", sealed.sha256)));
        }
        if sealed.accepted.format != FORMAT {
            return Err(damaged(format!("format {:?}", sealed.accepted.format)));
        }
        self.begin(&sealed.accepted);
        Ok(Some(sealed.accepted))
    }

    pub fn release(&self, digest: &Digest) -> Result<Vec<u8>, Failure> {
        Ok(files::read(&self.directory.join(layout::release(digest)), Kind::Release.envelope_bytes_max())?)
    }

    pub fn list(&self, shelf: Shelf, digest: &Digest) -> Result<Vec<u8>, Failure> {
        let path = format!("{}/{}", shelf.folder(), layout::digest_name(digest));
        Ok(files::read(&self.directory.join(path), shelf.kind().envelope_bytes_max())?)
    }

    pub fn root(&self, version: u64) -> Result<Vec<u8>, Failure> {
        Ok(files::read(&self.directory.join(layout::root(version)), Kind::TrustRoot.envelope_bytes_max())?)
    }

    /// The room that is set aside for the list of `channel`.
    pub fn reserve(&self, shelf: Shelf, channel: &str) -> Reserve {
        Reserve::new(self.reserves(shelf).join(channel), shelf.kind(), self.read_only)
    }

    /// Where that of each channel has its place.
    pub fn reserves(&self, shelf: Shelf) -> PathBuf {
        self.directory.join(shelf.reserve())
    }

    /// Room on the medium that it is kept on; none where that cannot be told.
    pub fn free_bytes(&self) -> Option<u64> {
        let room = rustix::fs::statvfs(&self.directory).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// To be called before [`Memory::keep`] names it.
    pub fn keep_release(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
        self.write(layout::RELEASES, &layout::release(digest), bytes)
    }

    /// To be called before [`Memory::keep`] names it.
    pub fn keep_root(&self, version: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.write(layout::ROOTS, &layout::root(version), bytes)
    }

    /// Keeps the list of `channel` with its envelopes: its own, and that of `whole` where there is one. Waits for the medium,
    /// and for who else writes.
    pub fn keep_list(
        &self,
        shelf: Shelf,
        channel: &str,
        list: &AcceptedList,
        envelopes: &[&[u8]],
    ) -> Result<(), Failure> {
        let mut last = self.last();
        let Some(mut next) = last.clone() else { return Err(Failure::new("nothing was accepted yet")) };
        for (name, envelope) in list.names().zip(envelopes) {
            self.write(shelf.folder(), &format!("{}/{name}", shelf.folder()), envelope)?;
        }
        shelf.of_mut(&mut next).insert(channel.to_owned(), list.clone());
        self.replace(&next)?;
        self.remove_lists(shelf, &next);
        *last = Some(next);
        Ok(())
    }

    fn write(&self, folder: &str, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        if self.read_only {
            return Ok(());
        }
        make_folder(&self.directory.join(folder))?;
        Ok(files::write(&self.directory.join(path), bytes, Access::OwnerOnly, Existing::Replace)?)
    }

    /// Writes `accepted.json`: from here on the next start takes what it names. Lists stay as
    /// [`Memory::keep_list`] wrote them.
    pub fn keep(&self, accepted: &Accepted) -> Result<(), Failure> {
        let mut last = self.last();
        let mut next = accepted.clone();
        if let Some(last) = &*last {
            for shelf in Shelf::ALL {
                shelf.of_mut(&mut next).clone_from(shelf.of(last));
            }
        }
        self.replace(&next)?;
        *last = Some(next);
        Ok(())
    }

    fn replace(&self, accepted: &Accepted) -> Result<(), Failure> {
        if self.read_only {
            return Ok(());
        }
        let unwritable = |error: serde_json::Error| Failure::new(format_args!("{FILE} cannot be written: {error}"));
        let sha256 = accepted.digest().map_err(unwritable)?;
        let mut text = serde_json::to_vec(&Sealed { accepted: accepted.clone(), sha256 }).map_err(unwritable)?;
        text.push(b'\n');
        Ok(files::write(&self.directory.join(FILE), &text, Access::OwnerOnly, Existing::Replace)?)
    }

    /// Removes what a crash left half written. Before any other thread writes into the directory.
    pub fn sweep(&self) {
        if !self.read_only {
            let reserves = Shelf::ALL.map(|shelf| self.reserves(shelf));
            for folder in [self.directory.clone()].iter().chain(&reserves) {
                remove(folder, |name| name.starts_with(TEMPORARY));
            }
        }
    }

    /// Removes the releases, roots and lists that `accepted.json` does not name.
    pub fn tidy(&self) {
        let last = self.last();
        let Some(accepted) = last.as_ref().filter(|_| !self.read_only) else { return };
        let release = accepted.release.as_ref().map(|release| layout::digest_name(&release.digest));
        let roots = (accepted.root_first..=accepted.root_latest).map(|version| format!("{version}.json"));
        self.remove_others(layout::RELEASES, &release.into_iter().collect());
        self.remove_others(layout::ROOTS, &roots.collect());
        Shelf::ALL.iter().for_each(|shelf| self.remove_lists(*shelf, accepted));
    }

    fn remove_lists(&self, shelf: Shelf, accepted: &Accepted) {
        if !self.read_only {
            let lists = shelf.of(accepted).values().flat_map(AcceptedList::names);
            self.remove_others(shelf.folder(), &lists.collect());
        }
    }

    fn remove_others(&self, folder: &str, named: &BTreeSet<String>) {
        remove(&self.directory.join(folder), |name| !named.contains(name));
    }
}

/// A folder of the state directory, private.
pub(super) fn make_folder(folder: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::at(folder, format_args!("cannot be made: {error}")))
}

/// Removes the files of `folder` that `wanted` names. One that stays does no harm.
fn remove(folder: &Path, unwanted: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(&unwanted) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
