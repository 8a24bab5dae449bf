//! The revocation list of the channel: the one in force, as it outlives a restart, and what the store holds now. Looked after
//! by a thread of its own, which waits for nothing that a release waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::accept::{self, Gateway, Refusal, pointer::Seen, revocations::Last, revocations::News};
use policy::model::Policy;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::revocations::{Revocations, VerifiedRevocations, verify_revocations};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Store, StoreFault};

use self::keeping::Note;
use super::accepted::{AcceptedRevocations, Memory};
use super::standing::{Standing, unkept, unread};
use crate::failure::Failure;

mod keeping;
mod watching;

pub use watching::{Hands, Watching};

/// Trust roots of the store that a list may be ahead of what the gateway has accepted.
const ROOTS_AHEAD_MAX: usize = 16;

/// What follows releases knows, and the thread of lists goes by. Locked for a moment, never while anything is read, written
/// or compiled.
#[derive(Clone)]
pub struct Ground(Arc<Mutex<Known>>);

#[derive(Clone)]
pub struct Known {
    /// The latest that is accepted.
    pub root: Arc<TrustRoot>,
    /// Of the release that serves, for the names in it.
    pub policy: Option<Arc<Policy>>,
}

/// A revocation list in force.
pub struct InForce {
    pub verified: VerifiedRevocations,
    /// All that is revoked: its entries, and those of lists before it that it may not lift.
    pub list: Arc<Revocations>,
    /// What it may not lift, while that has not lapsed.
    pub refusal: Option<Refusal>,
    /// Around `list`, where that is more than what was signed.
    whole: Option<Envelope>,
    /// As it was received: it is verified again by other trust roots.
    envelope: Arc<[u8]>,
    /// Version of the trust root that it was accepted by.
    root: u64,
    /// By which trust root it was verified last, and whether it holds by that one.
    judged: (Digest, bool),
    /// On stable storage: to deny does not wait for a medium.
    kept: bool,
}

/// The list of one channel.
pub struct Lists {
    pub ground: Ground,
    pub channel: Channel,
    pub in_force: Option<InForce>,
    gateway: Gateway,
    memory: Memory,
}

impl Ground {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Known {
        self.known().clone()
    }

    /// Another trust root is accepted.
    pub fn rooted(&self, root: &TrustRoot) {
        self.known().root = Arc::new(root.clone());
    }

    /// Another release serves.
    pub fn serves(&self, policy: &Arc<Policy>) {
        self.known().policy = Some(Arc::clone(policy));
    }
}

impl InForce {
    fn new(news: News, envelope: Vec<u8>, root: &TrustRoot, now: Timestamp) -> Self {
        let News { verified, list, whole } = news;
        let judged = (root.digest(), true);
        let (list, envelope) = (Arc::new(list), envelope.into());
        let mut new =
            Self { verified, list, refusal: None, whole, envelope, root: root.version(), judged, kept: false };
        new.lapse(now);
        new
    }

    /// To be called when entries have lapsed or come back.
    pub fn lapse(&mut self, now: Timestamp) {
        let carries = self.whole.as_ref();
        self.refusal = carries.and_then(|_| accept::revocations::lifting(&self.verified, &self.list, now));
    }

    /// Whether its serial counts: not where the keys that signed it have left `root`. Otherwise the highest serial of all,
    /// signed once by a stolen key, would keep every other list out for good.
    fn counts_by(&mut self, root: &TrustRoot) -> bool {
        if self.judged.0 != root.digest() {
            self.judged = (root.digest(), verify_revocations(&self.envelope, root).is_ok());
        }
        self.judged.1
    }

    /// How it is written down.
    fn accepted(&self) -> AcceptedRevocations {
        let (serial, digest) = (self.verified.list.serial, self.verified.digest);
        AcceptedRevocations { serial, digest, root: self.root, whole: self.whole.as_ref().map(Envelope::digest) }
    }
}

impl Lists {
    /// Reads back and verifies again the list of `channel` that was accepted last. Where the state directory does not hold it
    /// any more, whoever holds the same bytes can help: their digest is known.
    pub fn open(standing: &Standing, store: &dyn Store, channel: &Channel, now: Timestamp) -> Result<Self, Failure> {
        let root = standing.root().ok_or_else(|| Failure::new("expected a trust root, found none"))?;
        let known = Known { root: Arc::new(root.clone()), policy: None };
        let (gateway, memory) = (standing.gateway.clone(), standing.memory.clone());
        let kept = memory.lists().remove(channel.as_str());
        let in_force = kept.map(|kept| opened(&kept, standing, store, channel, now)).transpose()?;
        Ok(Self { ground: Ground(Arc::new(Mutex::new(known))), channel: channel.clone(), in_force, gateway, memory })
    }

    /// Whether the channel's list is news; then it is in force from here on. `now` is what the clock says.
    pub fn look(&mut self, store: &dyn Store, now: Timestamp) -> Result<bool, Refusal> {
        let bytes = match store.revocations(&self.channel) {
            Ok(bytes) => bytes,
            Err(StoreFault::Missing { .. }) if self.in_force.is_none() => return Ok(false),
            Err(fault) => return Err(unread(&fault, "put the revocation list back: what is revoked stays revoked")),
        };
        let root = newest(self.ground.now().root, store);
        let last = self.in_force.as_mut().map(|in_force| {
            let seen = Seen { serial: in_force.verified.list.serial, digest: in_force.verified.digest };
            let seen = in_force.counts_by(&root).then_some(seen);
            Last { list: &in_force.list, carries: in_force.whole.is_some(), seen }
        });
        let found = accept::revocations::check(&bytes, &root, &self.gateway, self.channel.as_str(), last, now)?;
        let Some(news) = found else { return Ok(false) };
        self.in_force = Some(InForce::new(news, bytes, &root, now));
        Ok(true)
    }

    /// Writes down the list in force, if it is not yet, and waits for that: from here on every start takes it.
    pub fn keep(&mut self) -> Result<(), Refusal> {
        let Some(note) = self.note() else { return Ok(()) };
        note.write(&self.memory).map_err(|failure| unkept(&failure))?;
        self.set_kept(&note.list);
        Ok(())
    }

    /// What is to be written down. Nothing while the trust root that the list holds by is not accepted yet.
    fn note(&self) -> Option<Note> {
        let root = self.ground.known().root.version();
        let in_force = self.in_force.as_ref().filter(|in_force| !in_force.kept && in_force.root <= root)?;
        let whole = in_force.whole.as_ref().map(|whole| whole.to_bytes().into());
        let envelopes = [Some(Arc::clone(&in_force.envelope)), whole].into_iter().flatten().collect();
        Some(Note { channel: self.channel.to_string(), list: in_force.accepted(), envelopes })
    }

    /// `list` is on stable storage.
    fn set_kept(&mut self, list: &AcceptedRevocations) {
        if let Some(in_force) = self.in_force.as_mut().filter(|in_force| in_force.accepted() == *list) {
            in_force.kept = true;
        }
    }
}

/// The newest trust root that `store` leads to from the accepted one. A list may need it while the release that came with it
/// is still being activated: it can only deny, and is written down once the root is.
fn newest(mut root: Arc<TrustRoot>, store: &dyn Store) -> Arc<TrustRoot> {
    for _ in 0..ROOTS_AHEAD_MAX {
        let next = store.root(root.version().saturating_add(1)).ok();
        match next.and_then(|bytes| accept::roots::successor(&root, &bytes).ok()) {
            Some(next) => root = Arc::new(next),
            None => break,
        }
    }
    root
}

fn opened(
    kept: &AcceptedRevocations,
    standing: &Standing,
    store: &dyn Store,
    channel: &Channel,
    now: Timestamp,
) -> Result<InForce, Failure> {
    let of_state = |digest: &Digest| standing.memory.revocations(digest).map_err(|failure| failure.to_string());
    let lost = |what: String, help: String| {
        let message = format!("the revocation list in force (serial {}, {}) {what}", kept.serial, kept.digest);
        Failure::new(message).help(help)
    };
    let unreadable = |why: &str| format!("cannot be read from the state directory: {why}");
    let ours = of_state(&kept.digest).and_then(|bytes| as_kept(bytes, kept, standing));
    let is_ours = ours.is_ok();
    let (verified, bytes) = ours.or_else(|why| {
        let theirs = store.revocations(channel).map_err(|fault| fault.to_string());
        theirs.and_then(|bytes| as_kept(bytes, kept, standing)).map_err(|_| {
            let help = "restore the state directory, or put that list into the store as";
            lost(unreadable(&why), format!("{help} channels/{channel}/revocations.json"))
        })
    })?;
    let whole = kept.whole.map(|digest| of_state(&digest).and_then(|bytes| unsigned(&bytes, digest))).transpose();
    let whole = whole.map_err(|why| {
        let what = format!("does not lift what lists before it revoke, and that {}", unreadable(&why));
        lost(what, "restore the state directory from a backup of this gateway".to_owned())
    })?;
    let (list, whole) = match whole {
        Some((list, envelope)) => (list, Some(envelope)),
        None => (verified.list.clone(), None),
    };
    let root = standing.root_of(kept.root).or(standing.root()).ok_or_else(|| Failure::new("there is no trust root"))?;
    let in_force = InForce::new(News { verified, list, whole }, bytes, root, now);
    Ok(InForce { root: kept.root, kept: is_ours, ..in_force })
}

/// `bytes` as the list that was kept, by the trust root that it was accepted by, or by the latest: the same list may be
/// signed again.
fn as_kept(
    bytes: Vec<u8>,
    kept: &AcceptedRevocations,
    standing: &Standing,
) -> Result<(VerifiedRevocations, Vec<u8>), String> {
    let mut why = "there is no trust root".to_owned();
    for root in [standing.root_of(kept.root), standing.root()].into_iter().flatten() {
        match verify_revocations(&bytes, root) {
            Ok(verified) if verified.digest == kept.digest => return Ok((verified, bytes)),
            Ok(_) => return Err("it is another one".to_owned()),
            Err(fault) => why = fault.to_string(),
        }
    }
    Err(why)
}

/// All that was revoked, which this gateway put together itself.
fn unsigned(bytes: &[u8], digest: Digest) -> Result<(Revocations, Envelope), String> {
    let envelope = Envelope::parse_kind(bytes, Kind::Revocations).map_err(|fault| fault.to_string())?;
    if envelope.digest() != digest {
        return Err("it is another one".to_owned());
    }
    let list = Revocations::read(envelope.payload()).map_err(|fault| fault.to_string())?;
    Ok((list, envelope))
}

#[cfg(test)]
mod tests;
