//! Where this gateway stands: its line of trust roots, what it accepted last, how high each serial has been. Looks at a
//! store or a release file from there, and says what is new.

use std::collections::BTreeMap;
use std::path::Path;

use control::accept::{self, Check, Gateway, Refusal, pointer, release::Signed};
use policy_release::candidate::Purpose;
use policy_release::digest::Digest;
use policy_release::envelope::{Kind, Role};
use policy_release::pointer::{VerifiedPointer, verify_pointer};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Store, StoreFault};

use super::accepted::{Accepted, AcceptedPointer, AcceptedRelease, Memory, SeenPointer};
use super::trust::Placed;
use crate::failure::Failure;
use crate::files;

mod lists;

pub struct Standing {
    pub gateway: Gateway,
    pub memory: Memory,
    pub accepted: Accepted,
    /// The pointer by which the accepted release came.
    pub pointer: Option<VerifiedPointer>,
    /// Roots that were accepted and are to be told.
    pub news: Vec<NewRoot>,
    /// In turn, from the first that was placed to the latest.
    roots: Vec<TrustRoot>,
}

/// A trust root that counts from now on.
pub struct NewRoot {
    pub version: u64,
    /// What was remembered by the word of keys that do not count any more, in words.
    pub forgotten: Vec<String>,
}

/// What a look found.
pub enum Look {
    /// What is accepted already.
    Same,
    /// A newer pointer at the release that is accepted already; it is accepted now.
    Renewed,
    /// A newer pointer at another release, of which nothing is verified yet.
    Named(Box<Named>),
}

/// The release that was accepted last, verified again.
pub struct Kept {
    pub signed: Signed,
    /// Its bytes, where they had to be taken from the store, because the state directory does not hold them any more.
    pub taken_back: Option<Vec<u8>>,
}

/// A pointer that may be followed, and what the store has under the name that it gives.
pub struct Named {
    pub pointer: VerifiedPointer,
    pub envelope: String,
    /// The envelope of the release.
    pub bytes: Vec<u8>,
}

/// Another release, signed by enough for a change that allows nothing new.
pub struct Candidate {
    pub signed: Signed,
    /// The envelope of the release.
    pub bytes: Vec<u8>,
    /// With its envelope; none: the release came as a file.
    pub pointer: Option<(VerifiedPointer, String)>,
}

impl Standing {
    /// Reads and verifies again what was accepted. `placed` is the trust root that the configuration names.
    pub fn open(memory: Memory, gateway: Gateway, placed: &Placed) -> Result<Self, Failure> {
        let Some(accepted) = memory.read()? else {
            let version = placed.root.version();
            memory.keep_root(version, &placed.bytes)?;
            let accepted = Accepted::nothing(&gateway.policy, version);
            memory.begin(&accepted);
            let roots = vec![placed.root.clone()];
            return Ok(Self { gateway, memory, accepted, pointer: None, news: Vec::new(), roots });
        };
        if accepted.policy != gateway.policy {
            let message = format!(
                "the state directory is that of policy {:?}, and this gateway may serve {:?} alone",
                accepted.policy, gateway.policy
            );
            return Err(Failure::new(message).help("give each policy a state directory of its own"));
        }
        let roots = read_roots(&memory, &accepted)?;
        let news = Vec::new();
        let mut standing = Self { gateway, memory, accepted, pointer: None, news, roots };
        standing.pointer = standing.read_pointer()?;
        standing.expect_line(placed)?;
        Ok(standing)
    }

    pub fn root(&self) -> Option<&TrustRoot> {
        self.roots.last()
    }

    /// In turn, from the first that was placed to the latest.
    pub fn roots(&self) -> &[TrustRoot] {
        &self.roots
    }

    pub fn root_of(&self, version: u64) -> Option<&TrustRoot> {
        self.roots.iter().find(|root| root.version() == version)
    }

    fn read_pointer(&self) -> Result<Option<VerifiedPointer>, Failure> {
        let Some(kept) = self.accepted.release.as_ref().and_then(|release| release.pointer.as_ref()) else {
            return Ok(None);
        };
        let broken = |why: String| {
            let message = format!("the accepted pointer of channel {:?} does not hold: {why}", kept.channel);
            Failure::new(message).help("restore the state directory from a backup of this gateway")
        };
        let root = self.root_of(kept.root).ok_or_else(|| broken(format!("trust root {} is gone", kept.root)))?;
        verify_pointer(kept.envelope.as_bytes(), root).map(Some).map_err(|fault| broken(fault.to_string()))
    }

    /// The file that the configuration names must be one of the line of roots, or come after it.
    pub fn expect_line(&self, placed: &Placed) -> Result<(), Failure> {
        let version = placed.root.version();
        match self.root_of(version) {
            Some(ours) if ours.digest() != placed.root.digest() => {
                let message = format!(
                    "expected trust root version {version} as this gateway knows it ({}), found another of the same \
                     version ({})",
                    ours.digest(),
                    placed.root.digest()
                );
                Err(Failure::at(&placed.path, message).help(
                    "place a root of the same line; for a new line of roots give the gateway a new state directory",
                ))
            }
            None if version < self.accepted.root_first => {
                control::warning!(
                    "{}: trust root version {version} is older than the first that this gateway had; version {} holds",
                    placed.path.display(),
                    self.accepted.root_latest
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Follows the line of roots as far as `store` and the placed file lead; those that are new are in `news`.
    pub fn advance_roots(&mut self, store: Option<&dyn Store>, placed: Option<&Placed>) -> Result<(), Refusal> {
        while let Some(latest) = self.roots.last() {
            let next = latest.version() + 1;
            let bytes = match store.map(|store| store.root(next)) {
                Some(Ok(bytes)) => bytes,
                Some(Err(fault @ (StoreFault::Link { .. } | StoreFault::NotFile { .. } | StoreFault::Size { .. }))) => {
                    return Err(unread(&fault, "put the next trust root in its place, or remove it"));
                }
                _ => match placed.filter(|placed| placed.root.version() == next) {
                    Some(placed) => placed.bytes.clone(),
                    None => break,
                },
            };
            let root = accept::roots::successor(latest, &bytes)?;
            self.memory.keep_root(next, &bytes).map_err(|failure| unkept(&failure))?;
            let mut accepted = self.accepted.clone();
            accepted.root_latest = next;
            let mut forgotten = self.forget_serials(&root, &mut accepted);
            forgotten.extend(self.forgotten_serials_of_lists(&root));
            if store.is_none() {
                forgotten.extend(self.forget_version(&root, &mut accepted));
            }
            self.memory.keep(&accepted).map_err(|failure| unkept(&failure))?;
            self.accepted = accepted;
            self.roots.push(root);
            self.news.push(NewRoot { version: next, forgotten });
        }
        Ok(())
    }

    /// Serials that keys signed which may have been taken out for it: otherwise the highest serial of all, signed once
    /// by a stolen key, would lock every channel for good (TUF 1.0 §5.3.11). The pointer accepted last goes on to count
    /// where it holds under the new root as well.
    fn forget_serials(&self, new: &TrustRoot, accepted: &mut Accepted) -> Vec<String> {
        if self.root().is_none_or(|old| old.role(Role::Pointer) == new.role(Role::Pointer)) {
            return Vec::new();
        }
        let kept = accepted.release.as_ref().and_then(|release| release.pointer.as_ref());
        let floor = kept.and_then(|kept| verify_pointer(kept.envelope.as_bytes(), new).ok());
        let floor = floor.map(|VerifiedPointer { pointer, digest, .. }| {
            (pointer.channel, SeenPointer { serial: pointer.serial, digest })
        });
        let floors: BTreeMap<_, _> = floor.into_iter().collect();
        let before = std::mem::replace(&mut accepted.seen, floors);
        let lost = before.iter().filter(|(channel, seen)| accepted.seen.get(*channel) != Some(*seen));
        lost.map(|(channel, seen)| format!("serial {} of channel {channel}", seen.serial)).collect()
    }

    /// Likewise the highest version, where nothing but the version says which release is the newer one. With a store it
    /// locks nothing, and goes on to say which pointers lead back.
    fn forget_version(&self, new: &TrustRoot, accepted: &mut Accepted) -> Option<String> {
        let old = self.root()?;
        let same = |role| old.role(role) == new.role(role);
        if same(Role::ReleaseWider) && same(Role::ReleaseNarrower) {
            return None;
        }
        let kept = accepted.release.as_ref()?;
        let bytes = self.memory.release(&kept.digest).ok();
        let holds = bytes.is_some_and(|bytes| {
            accept::release::check(&bytes, Some(kept.digest), new, &self.gateway, Purpose::Resume).is_ok()
        });
        let floor = if holds { kept.version } else { 0 };
        let before = std::mem::replace(&mut accepted.version_highest, floor);
        (before != floor).then(|| format!("release version {before}"))
    }

    /// After [`Standing::advance_roots`]: a placed file that is newer than where the line leads would be ignored.
    pub fn expect_reached(&self, placed: &Placed) -> Result<(), Failure> {
        let (version, latest) = (placed.root.version(), self.accepted.root_latest);
        if version <= latest {
            return Ok(());
        }
        let message = format!("expected the successor of trust root version {latest}, found version {version}");
        Err(Failure::at(&placed.path, message).help(format_args!(
            "place version {} first, or put every version in between into the store's roots",
            latest + 1
        )))
    }

    /// The release that was accepted last, read back and verified again; none where none was.
    pub fn kept(&self, store: Option<&dyn Store>) -> Option<Result<Kept, Refusal>> {
        let release = self.accepted.release.as_ref()?;
        let verify = |bytes: &[u8]| {
            let root = self.root_of(release.root).or(self.root());
            let missing = || Refusal::new(Check::State, "a trust root", "none", "restore the state directory");
            let root = root.ok_or_else(missing)?;
            accept::release::check(bytes, Some(release.digest), root, &self.gateway, Purpose::Resume)
        };
        let ours =
            self.memory.release(&release.digest).map_err(|failure| damaged(&failure.to_string(), release.digest));
        let ours = ours
            .and_then(|bytes| verify(&bytes).map_err(|refusal| damaged(&refusal.facts(), release.digest)))
            .map(|signed| Kept { signed, taken_back: None });
        // Whoever holds the same bytes can help: their digest is known.
        let theirs = |refusal| {
            let bytes = store.and_then(|store| store.release(&release.digest).ok());
            bytes.and_then(|bytes| Some(Kept { signed: verify(&bytes).ok()?, taken_back: Some(bytes) })).ok_or(refusal)
        };
        Some(ours.or_else(theirs))
    }

    /// What the channel points at. A pointer that is verified counts as seen, whatever comes of it.
    pub fn look(&mut self, store: &dyn Store, channel: &Channel, now: Timestamp) -> Result<Look, Refusal> {
        let bytes = store.pointer(channel).map_err(|fault| unread(&fault, "see what publishes into the store"))?;
        let root = self.roots.last().ok_or_else(no_root)?;
        let seen = self.accepted.seen(channel.as_str());
        let verified = pointer::check(&bytes, root, &self.gateway, channel.as_str(), seen)?;
        let (serial, digest) = (verified.pointer.serial, verified.digest);
        if seen.is_none_or(|seen| serial > seen.serial) {
            let mut accepted = self.accepted.clone();
            accepted.seen.insert(channel.to_string(), SeenPointer { serial, digest });
            self.memory.keep(&accepted).map_err(|failure| unkept(&failure))?;
            self.accepted = accepted;
        }
        // Whether it has expired meanwhile is an alarm, and no reason not to go on.
        if self.pointer.as_ref().is_some_and(|pointer| pointer.digest == digest) {
            return Ok(Look::Same);
        }
        let root = self.roots.last().ok_or_else(no_root)?;
        pointer::fresh(&verified, root, now)?;
        let named = verified.pointer.release;
        let envelope = String::from_utf8_lossy(&bytes).into_owned();
        if self.accepted.release.as_ref().is_some_and(|release| release.digest == named) {
            return self.renew(verified, envelope).map(|()| Look::Renewed);
        }
        let about = |refusal: Refusal| refusal.of_release(named).of_serial(serial);
        let bytes = store.release(&named).map_err(|fault| {
            about(unread(&fault, "publish the release first and then the pointer; it is looked for again"))
        })?;
        Ok(Look::Named(Box::new(Named { pointer: verified, envelope, bytes })))
    }

    /// Verifies the release that a pointer names.
    pub fn verify(&self, named: Named, now: Timestamp) -> Result<Candidate, Refusal> {
        let Named { pointer, envelope, bytes } = named;
        let (digest, serial) = (pointer.pointer.release, pointer.pointer.serial);
        let root = self.root().ok_or_else(no_root)?;
        let signed = accept::release::check(&bytes, Some(digest), root, &self.gateway, Purpose::Activate { now });
        let signed = signed.map_err(|refusal| refusal.of_serial(serial))?;
        Ok(Candidate { signed, bytes, pointer: Some((pointer, envelope)) })
    }

    /// What the file holds; none where that is what is accepted already.
    pub fn look_at_file(&self, path: &Path, now: Timestamp) -> Result<Option<Candidate>, Refusal> {
        let bytes = files::read(path, Kind::Release.envelope_bytes_max()).map_err(|fault| {
            let remedy = fault.help().unwrap_or_else(|| "put a release in its place".to_owned());
            Refusal::new(Check::Read, "the file of a signed release", fault.to_string(), remedy)
        })?;
        let root = self.root().ok_or_else(no_root)?;
        let signed = accept::release::check(&bytes, None, root, &self.gateway, Purpose::Activate { now })?;
        if let Some(release) = &self.accepted.release {
            accept::release::not_older(&signed.release, self.accepted.version_highest, release.digest)?;
            if release.digest == signed.release.digest {
                return Ok(None);
            }
        }
        Ok(Some(Candidate { signed, bytes, pointer: None }))
    }

    /// The same release goes on by a newer pointer: nothing is activated.
    fn renew(&mut self, verified: VerifiedPointer, envelope: String) -> Result<(), Refusal> {
        let mut accepted = self.accepted.clone();
        let pointer = self.kept_pointer(&verified, envelope);
        if let Some(release) = &mut accepted.release {
            release.pointer = Some(pointer);
        }
        self.memory.keep(&accepted).map_err(|failure| unkept(&failure))?;
        self.accepted = accepted;
        self.pointer = Some(verified);
        Ok(())
    }

    fn kept_pointer(&self, verified: &VerifiedPointer, envelope: String) -> AcceptedPointer {
        AcceptedPointer { channel: verified.pointer.channel.clone(), root: self.accepted.root_latest, envelope }
    }

    /// What stands in the memory once `candidate` is accepted.
    pub fn with(&self, candidate: &Candidate, now: Timestamp) -> Accepted {
        let release = &candidate.signed.release;
        let mut accepted = self.accepted.clone();
        accepted.version_highest = accepted.version_highest.max(release.version);
        let pointer = candidate.pointer.as_ref();
        accepted.release = Some(AcceptedRelease {
            digest: release.digest,
            version: release.version,
            root: accepted.root_latest,
            accepted: now,
            pointer: pointer.map(|(verified, envelope)| self.kept_pointer(verified, envelope.clone())),
        });
        accepted
    }

    /// After `accepted` was written: it holds.
    pub fn take(&mut self, accepted: Accepted, pointer: Option<VerifiedPointer>) {
        self.memory.tidy();
        self.accepted = accepted;
        self.pointer = pointer;
    }

    /// What is accepted, for people: `release sha256:… version 3 (channel production, serial 7)`.
    pub fn served(&self) -> String {
        let Some(release) = &self.accepted.release else { return "nothing, none was ever accepted".to_owned() };
        let came = self.pointer.as_ref().map_or_else(
            || "from a file".to_owned(),
            |verified| format!("channel {}, serial {}", verified.pointer.channel, verified.pointer.serial),
        );
        format!("release {} version {} ({came})", release.digest, release.version)
    }
}

fn read_roots(memory: &Memory, accepted: &Accepted) -> Result<Vec<TrustRoot>, Failure> {
    let mut roots: Vec<TrustRoot> = Vec::new();
    for version in accepted.root_first..=accepted.root_latest {
        let root = memory.root(version).map_err(|failure| failure.to_string()).and_then(|bytes| match roots.last() {
            None => accept::roots::placed(&bytes).map_err(|fault| fault.to_string()),
            Some(before) => accept::roots::successor(before, &bytes).map_err(|refusal| refusal.to_string()),
        });
        let root = root.map_err(|why| {
            Failure::new(format_args!("trust root version {version} in the state directory does not hold: {why}"))
                .help(format_args!("copy it from the store's roots/{version}.json, or from a backup of this gateway"))
        })?;
        roots.push(root);
    }
    Ok(roots)
}

pub fn unread(fault: &StoreFault, remedy: &str) -> Refusal {
    let expected = match fault {
        StoreFault::Torn { .. } => "a file that is whole",
        StoreFault::Changing { .. } => "a file that stays as it is while it is read",
        StoreFault::Size { .. } => "a file of bounded size",
        StoreFault::Server { .. } => "a server that gives the file",
        _ => "a regular file in the store",
    };
    let remedy = if let StoreFault::Server { help, .. } = fault { help } else { remedy };
    // A thing, or "that" something is so.
    let found = match fault {
        StoreFault::Size { what, expected_bytes_max } => format!("more than {expected_bytes_max} bytes in {what}"),
        StoreFault::NotFile { what, found } => format!("{found} at {what}"),
        StoreFault::Link { what } => format!("a symbolic link in the path of {what}"),
        _ => format!("that {fault}"),
    };
    let refusal = Refusal::new(Check::Read, expected, found, remedy);
    if fault.is_passing() { refusal.passing() } else { refusal }
}

pub fn unkept(failure: &Failure) -> Refusal {
    let remedy = "make room on the medium of the state directory, and see its owner and mode";
    let found = format!("one that cannot: {failure}");
    Refusal::new(Check::State, "a state directory that can be written", found, remedy)
}

fn damaged(why: &str, release: Digest) -> Refusal {
    let remedy = "restore the state directory, or let the store hold that release";
    Refusal::new(Check::State, "the release that was accepted last, whole", why, remedy).of_release(release)
}

fn no_root() -> Refusal {
    Refusal::new(Check::State, "a trust root", "none", "place one")
}
