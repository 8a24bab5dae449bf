//! The revocation list of the channel: the one in force, as it outlives a restart, and what the store holds now. Looked after
//! by a thread of its own, which waits for nothing that a release waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control::accept::{self, Gateway, Refusal, pointer::Seen, revocations::Last};
use policy::model::Policy;
use policy_release::digest::Digest;
use policy_release::revocations::{VerifiedRevocations, verify_revocations};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Store, StoreFault};

use super::accepted::{AcceptedRevocations, Memory};
use super::standing::{Standing, unkept, unread};
use crate::failure::Failure;

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
    /// The list whose signers it may have taken out: its serial counts no more.
    forgotten: Option<Digest>,
    /// Of the release that serves, for the names in it.
    pub policy: Option<Arc<Policy>>,
}

/// The time, as acceptance goes by it and as workers do.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The latest time seen: what is accepted never goes by an earlier one.
    pub latest: Timestamp,
    /// What the clock says now, by which credentials end, and so the entries that revoke them.
    pub wall: Timestamp,
}

/// A revocation list in force.
pub struct InForce {
    pub verified: VerifiedRevocations,
    /// Version of the trust root that it was accepted by.
    root: u64,
    serial_forgotten: bool,
    /// Its envelope, where it is not on stable storage yet: to deny does not wait for a medium.
    unkept: Option<Vec<u8>>,
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
    pub fn rooted(&self, standing: &Standing, channel: &Channel) {
        let Some(root) = standing.root() else { return };
        let lists = standing.memory.lists();
        let forgotten = lists.get(channel.as_str()).filter(|list| list.serial_forgotten).map(|list| list.digest);
        let mut known = self.known();
        known.root = Arc::new(root.clone());
        known.forgotten = forgotten;
    }

    /// Another release serves.
    pub fn serves(&self, policy: &Arc<Policy>) {
        self.known().policy = Some(Arc::clone(policy));
    }
}

impl Lists {
    /// Reads back and verifies again the list of `channel` that was accepted last. Where the state directory does not hold it
    /// any more, whoever holds the same bytes can help: their digest is known.
    pub fn open(standing: &Standing, store: &dyn Store, channel: &Channel) -> Result<Self, Failure> {
        let root = standing.root().ok_or_else(|| Failure::new("expected a trust root, found none"))?;
        let known = Known { root: Arc::new(root.clone()), forgotten: None, policy: None };
        let (gateway, memory) = (standing.gateway.clone(), standing.memory.clone());
        let kept = memory.lists().remove(channel.as_str());
        let in_force = kept.map(|kept| opened(&kept, standing, store, channel)).transpose()?;
        Ok(Self { ground: Ground(Arc::new(Mutex::new(known))), channel: channel.clone(), in_force, gateway, memory })
    }

    /// Whether the channel's list is news; then it is in force from here on.
    pub fn look(&mut self, store: &dyn Store, now: Now) -> Result<bool, Refusal> {
        let bytes = match store.revocations(&self.channel) {
            Ok(bytes) => bytes,
            Err(StoreFault::Missing { .. }) if self.in_force.is_none() => return Ok(false),
            Err(fault) => return Err(unread(&fault, "put the revocation list back: what is revoked stays revoked")),
        };
        let known = self.ground.now();
        let root = newest(known.root, store);
        let last = self.in_force.as_ref().map(|in_force| {
            let (list, digest) = (&in_force.verified.list, in_force.verified.digest);
            let forgotten = in_force.serial_forgotten || known.forgotten == Some(digest);
            Last { list, seen: (!forgotten).then_some(Seen { serial: list.serial, digest }) }
        });
        let times = accept::revocations::Times { latest: now.latest, wall: now.wall };
        let found = accept::revocations::check(&bytes, &root, &self.gateway, self.channel.as_str(), last, times)?;
        let Some(verified) = found else { return Ok(false) };
        let root = root.version();
        self.in_force = Some(InForce { verified, root, serial_forgotten: false, unkept: Some(bytes) });
        Ok(true)
    }

    /// Writes down the list in force, if it is not yet: from here on every start takes it. Comes to nothing, and is to be
    /// tried again, while something else is written, or the trust root that it holds by is not accepted yet.
    pub fn keep(&mut self) -> Result<(), Refusal> {
        let Some(in_force) = &mut self.in_force else { return Ok(()) };
        let Some(bytes) = in_force.unkept.as_ref().filter(|_| in_force.root <= self.ground.known().root.version())
        else {
            return Ok(());
        };
        let (serial, digest) = (in_force.verified.list.serial, in_force.verified.digest);
        let kept =
            AcceptedRevocations { serial, digest, root: in_force.root, serial_forgotten: in_force.serial_forgotten };
        let written = self.memory.keep_list(self.channel.as_str(), kept, bytes);
        if written.map_err(|failure| unkept(&failure))? {
            in_force.unkept = None;
        }
        Ok(())
    }

    /// Whether [`Lists::keep`] has something to do.
    pub fn is_unkept(&self) -> bool {
        self.in_force.as_ref().is_some_and(|in_force| in_force.unkept.is_some())
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
) -> Result<InForce, Failure> {
    let root = standing.root_of(kept.root).or(standing.root());
    let verify = |bytes: Vec<u8>| {
        let root = root.ok_or("there is no trust root")?;
        let verified = verify_revocations(&bytes, root).map_err(|fault| fault.to_string())?;
        if verified.digest == kept.digest { Ok((verified, bytes)) } else { Err("it is another one".to_owned()) }
    };
    let in_force = |verified, unkept| {
        let (root, serial_forgotten) = (kept.root, kept.serial_forgotten);
        InForce { verified, root, serial_forgotten, unkept }
    };
    let ours = standing.memory.revocations(&kept.digest).map_err(|failure| failure.to_string()).and_then(verify);
    match ours {
        Ok((verified, _)) => Ok(in_force(verified, None)),
        Err(why) => {
            let theirs = store.revocations(channel).map_err(|fault| fault.to_string()).and_then(verify);
            let (verified, bytes) = theirs.map_err(|_| {
                let message = format!(
                    "the revocation list in force (serial {}, {}) cannot be read from the state directory: {why}",
                    kept.serial, kept.digest
                );
                Failure::new(message).help(format_args!(
                    "restore the state directory, or put that list into the store as channels/{channel}/revocations.json"
                ))
            })?;
            Ok(in_force(verified, Some(bytes)))
        }
    }
}
