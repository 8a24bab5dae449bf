//! The lists of the channel, revocations and key set: the ones in force, as they outlive a restart, and what the store holds
//! now. Each is looked after by a thread of its own, which waits for nothing that a release waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::accept::lists::{Last, News};
use control::accept::{self, Gateway, Refusal, pointer::Seen};
use policy::model::Policy;
use policy_release::digest::Digest;
use policy_release::envelope::Envelope;
use policy_release::lists::{VerifiedList, verify_list};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Store, StoreFault};

use self::keeping::{Note, Written};
use self::opening::Missing;
use super::accepted::{AcceptedList, Memory};
use super::standing::{Standing, unread};
use crate::failure::Failure;

mod keeping;
mod opening;
mod tended;
mod watching;

pub use tended::{Showing, Tended};
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

/// A list in force.
pub struct InForce<L> {
    pub verified: VerifiedList<L>,
    /// All that holds: its entries, and those of lists before it that it may not take away.
    pub list: Arc<L>,
    /// What it may not take away, while that has not lapsed.
    pub refusal: Option<Refusal>,
    /// Around `list`, where that is more than what was signed.
    whole: Option<Envelope>,
    /// As it was received: it is verified again by other trust roots.
    envelope: Arc<[u8]>,
    /// Version of the trust root that it was accepted by.
    root: u64,
    /// By which trust root it was verified last, and whether it holds by that one.
    judged: (Digest, bool),
    /// On stable storage: what is in force does not wait for a medium.
    kept: bool,
    /// Which list it is, in the order in which they were in force here.
    turn: u64,
}

/// The list of one kind and channel.
pub struct Lists<L> {
    pub ground: Ground,
    pub channel: Channel,
    pub in_force: Option<InForce<L>>,
    /// That of the newest list ever.
    turn: u64,
    /// That of the list in the reserve; none while there is no reserve.
    reserved: Option<u64>,
    /// Until the first look is over.
    missing: Option<Missing>,
    gateway: Gateway,
    memory: Memory,
}

impl Ground {
    /// Nothing serves yet.
    pub fn new(root: &TrustRoot) -> Self {
        Self(Arc::new(Mutex::new(Known { root: Arc::new(root.clone()), policy: None })))
    }

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

impl<L: Tended> InForce<L> {
    fn new(news: News<L>, envelope: Vec<u8>, root: &TrustRoot, turn: u64, now: Timestamp) -> Self {
        let News { verified, list, whole } = news;
        let judged = (root.digest(), true);
        let (list, envelope) = (Arc::new(list), envelope.into());
        let mut new =
            Self { verified, list, refusal: None, whole, envelope, root: root.version(), judged, kept: false, turn };
        new.lapse(now);
        new
    }

    /// To be called when entries have lapsed or come back.
    pub fn lapse(&mut self, now: Timestamp) {
        let carries = self.whole.as_ref();
        self.refusal = carries.and_then(|_| L::lacking(&self.verified, &self.list, now));
    }

    /// Whether its serial counts: not where the keys that signed it have left `root`. Otherwise the highest serial of all,
    /// signed once by a stolen key, would keep every other list out for good.
    fn counts_by(&mut self, root: &TrustRoot) -> bool {
        if self.judged.0 != root.digest() {
            self.judged = (root.digest(), verify_list::<L>(&self.envelope, root).is_ok());
        }
        self.judged.1
    }

    pub fn serial(&self) -> u64 {
        self.verified.list.head().serial
    }

    pub fn expires(&self) -> Timestamp {
        self.verified.list.head().expires
    }

    /// How it is written down.
    fn accepted(&self) -> AcceptedList {
        let (serial, digest, root, turn) = (self.serial(), self.verified.digest, self.root, self.turn);
        AcceptedList { serial, digest, root, whole: self.whole.as_ref().map(Envelope::digest), turn }
    }
}

impl<L: Tended> Lists<L> {
    /// Whether the channel's list is news; then it is in force from here on. `now` is what the clock says.
    pub fn look(&mut self, store: &dyn Store, now: Timestamp) -> Result<bool, Refusal> {
        let bytes = match L::fetch(store, &self.channel) {
            Ok(bytes) => bytes,
            Err(StoreFault::Missing { .. }) if self.in_force.is_none() => return Ok(false),
            Err(fault) => {
                let remedy = match self.in_force {
                    Some(_) => L::PUT_BACK,
                    None => "see that the store is the right directory, and can be read",
                };
                return Err(unread(&fault, remedy));
            }
        };
        let root = newest(self.ground.now().root, store);
        let last = self.in_force.as_mut().map(|in_force| {
            let seen = Seen { serial: in_force.serial(), digest: in_force.verified.digest };
            let seen = in_force.counts_by(&root).then_some(seen);
            Last { list: &*in_force.list, carries: in_force.whole.is_some(), seen }
        });
        let found = L::judge(&bytes, &root, &self.gateway, self.channel.as_str(), last, now)?;
        let Some(news) = found else { return Ok(false) };
        self.turn += 1;
        self.in_force = Some(InForce::new(news, bytes, &root, self.turn, now));
        Ok(true)
    }

    /// Writes down the list in force, if it is not yet, and waits for that: from here on every start takes it.
    fn keep(&mut self) -> Result<(), Refusal> {
        let Some(note) = self.note() else { return Ok(()) };
        let written = note.write(&self.memory);
        self.take(&note, &written);
        written.refusal().map_or(Ok(()), Err)
    }

    /// What is to be written down. As a file not while the trust root that the list holds by is not accepted yet.
    fn note(&self) -> Option<Note> {
        let root = self.ground.known().root.version();
        let in_force = self.in_force.as_ref();
        let turn = in_force.map_or(0, |in_force| in_force.turn);
        let reserve = self.reserved != Some(turn);
        let keep = in_force.is_some_and(|in_force| !in_force.kept && in_force.root <= root);
        let envelopes = in_force.into_iter().flat_map(|in_force| {
            let whole = in_force.whole.as_ref().map(|whole| whole.to_bytes().into());
            [Some(Arc::clone(&in_force.envelope)), whole].into_iter().flatten()
        });
        (reserve || keep).then(|| Note {
            shelf: L::SHELF,
            channel: self.channel.to_string(),
            turn,
            list: in_force.map(InForce::accepted),
            envelopes: envelopes.collect(),
            reserve,
            keep,
        })
    }

    /// `note` was written down, as far as that could be.
    fn take(&mut self, note: &Note, written: &Written) {
        if note.reserve && written.reserved.is_ok() {
            self.reserved = Some(note.turn);
        }
        let is_kept = note.keep && written.kept.is_ok();
        if let Some(in_force) = self.in_force.as_mut().filter(|in_force| is_kept && in_force.turn == note.turn) {
            in_force.kept = true;
        }
    }
}

/// The newest trust root that `store` leads to from the accepted one. A list may need it while the release that came with it
/// is still being activated: it is in force at once, and written down once the root is.
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

#[cfg(test)]
mod tests;
