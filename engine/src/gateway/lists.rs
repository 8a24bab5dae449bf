//! The lists of the channel, revocations and key set: the ones in force, as they outlive a restart, and what the store holds
//! now. Each is looked after by a thread of its own, which waits for nothing that a release waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::accept::lists::{Last, News};
use control::accept::{self, Gateway, Refusal, pointer::Seen};
use policy::model::Policy;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Role};
use policy_release::lists::{VerifiedList, verify_list};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Store, StoreFault};

use self::keeping::{Note, Written};
use self::opening::Missing;
use super::accepted::{AcceptedList, Memory};
use super::standing::{Standing, unread};
use crate::failure::Failure;

mod elsewhere;
mod keeping;
mod opening;
mod tended;
mod watching;

pub use elsewhere::Elsewhere;
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
    /// Version of the last one that has nobody in the role `keys`; 0: each has.
    keyless: u64,
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
    /// When it was issued, as far as that is believed: not after it was accepted here.
    issued: Timestamp,
    /// It holds no more: a trust root since has nobody in its role, so that nothing could take its place.
    is_void: bool,
    /// On stable storage: what is in force does not wait for a medium.
    kept: bool,
    /// Which list it is, in the order in which they were in force here.
    turn: u64,
}

/// The list of one kind and channel.
pub struct Lists<L> {
    pub ground: Ground,
    pub channel: Channel,
    /// Or in force last, where it holds no more.
    in_force: Option<InForce<L>>,
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
    /// By the line of trust roots that are accepted; nothing serves yet.
    pub fn of(standing: &Standing) -> Result<Self, Failure> {
        let mut roots = standing.roots().iter();
        let first = roots.next().ok_or_else(|| Failure::new("expected a trust root, found none"))?;
        let mut known = Known { root: Arc::new(first.clone()), keyless: 0, policy: None };
        std::iter::once(first).chain(roots).for_each(|root| known.follow(root.clone()));
        Ok(Self(Arc::new(Mutex::new(known))))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Known {
        self.known().clone()
    }

    /// Another trust root is accepted.
    pub fn rooted(&self, root: &TrustRoot) {
        self.known().follow(root.clone());
    }

    /// Another release serves.
    pub fn serves(&self, policy: &Arc<Policy>) {
        self.known().policy = Some(Arc::clone(policy));
    }
}

impl Known {
    fn follow(&mut self, root: TrustRoot) {
        if !root.has(Role::Keys) {
            self.keyless = root.version();
        }
        self.root = Arc::new(root);
    }

    /// Whether a trust root after version `since` has nobody in the role of these lists.
    fn is_void<L: Tended>(&self, since: u64) -> bool {
        L::ROLE == Role::Keys && self.keyless > since
    }
}

impl<L: Tended> InForce<L> {
    fn new(news: News<L>, envelope: Vec<u8>, root: &TrustRoot, turn: u64, now: Timestamp) -> Self {
        let News { verified, list, whole } = news;
        let judged = (root.digest(), true);
        let (list, envelope) = (Arc::new(list), envelope.into());
        let (root, issued) = (root.version(), verified.list.head().issued.min(now));
        let (is_void, kept) = (false, false);
        let mut new =
            Self { verified, list, refusal: None, whole, envelope, root, judged, issued, is_void, kept, turn };
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
        let (issued, whole) = (Some(self.issued), self.whole.as_ref().map(Envelope::digest));
        AcceptedList { serial, digest, root, issued, whole, turn }
    }
}

impl<L: Tended> Lists<L> {
    /// The list in force.
    pub fn in_force(&self) -> Option<&InForce<L>> {
        self.in_force.as_ref().filter(|in_force| !in_force.is_void)
    }

    /// Whether the channel's list is news; then it is in force from here on. `now` is what the clock says.
    pub fn look(&mut self, store: &dyn Store, now: Timestamp) -> Result<bool, Refusal> {
        let known = newest(self.ground.now(), store);
        if let Some(in_force) = &mut self.in_force {
            in_force.is_void |= known.is_void::<L>(in_force.root);
        }
        let bytes = match L::fetch(store, &self.channel) {
            Ok(bytes) => bytes,
            Err(StoreFault::Missing { .. }) if self.in_force().is_none() => return Ok(false),
            Err(fault) => {
                let remedy = match self.in_force() {
                    Some(_) => L::PUT_BACK,
                    None => "see that the store is the right directory, and can be read",
                };
                return Err(unread(&fault, remedy));
            }
        };
        let root = known.root;
        let last = self.in_force.as_mut().map(|in_force| {
            let seen = Seen { serial: in_force.serial(), digest: in_force.verified.digest };
            let seen = in_force.counts_by(&root).then_some(seen);
            let InForce { list, whole, issued, is_void, .. } = &*in_force;
            Last { list: &**list, carries: whole.is_some(), seen, issued: *issued, is_void: *is_void }
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

/// With the newest trust root that `store` leads to from the accepted one. A list may need it while the release that came with
/// it is still being activated: it is in force at once, and written down once the root is.
fn newest(mut known: Known, store: &dyn Store) -> Known {
    for _ in 0..ROOTS_AHEAD_MAX {
        let next = store.root(known.root.version().saturating_add(1)).ok();
        match next.and_then(|bytes| accept::roots::successor(&known.root, &bytes).ok()) {
            Some(next) => known.follow(next),
            None => break,
        }
    }
    known
}

#[cfg(test)]
mod tests;
