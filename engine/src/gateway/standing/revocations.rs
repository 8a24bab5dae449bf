//! The revocation list of the channel: the one in force, as it outlives a restart, and what the store holds now.

use control::accept::{self, Refusal, pointer::Seen, revocations::Last};
use policy_release::envelope::Role;
use policy_release::revocations::{VerifiedRevocations, verify_revocations};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Store, StoreFault};

use super::super::accepted::{Accepted, AcceptedRevocations};
use super::{Standing, no_root, unkept, unread};
use crate::failure::Failure;

/// A revocation list in force.
pub struct InForce {
    pub verified: VerifiedRevocations,
    /// Its envelope, where it is not on stable storage yet: to deny does not wait for a medium.
    unkept: Option<Vec<u8>>,
}

impl Standing {
    /// Reads back and verifies again the list of `channel` that was accepted last. Where the state directory does not hold it
    /// any more, whoever holds the same bytes can help: their digest is known.
    pub fn open_revocations(&mut self, store: &dyn Store, channel: &Channel) -> Result<(), Failure> {
        let Some(kept) = self.accepted.revocations.get(channel.as_str()) else { return Ok(()) };
        let root = self.root_of(kept.root).or(self.root());
        let verify = |bytes: Vec<u8>| {
            let root = root.ok_or("there is no trust root")?;
            let verified = verify_revocations(&bytes, root).map_err(|fault| fault.to_string())?;
            if verified.digest == kept.digest { Ok((verified, bytes)) } else { Err("it is another one".to_owned()) }
        };
        let ours = self.memory.revocations(&kept.digest).map_err(|failure| failure.to_string()).and_then(verify);
        let opened = match ours {
            Ok((verified, _)) => InForce { verified, unkept: None },
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
                InForce { verified, unkept: Some(bytes) }
            }
        };
        self.revocations = Some(opened);
        Ok(())
    }

    /// Whether the channel's list is news; then it is in force from here on.
    pub fn look_at_revocations(
        &mut self,
        store: &dyn Store,
        channel: &Channel,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        let bytes = match store.revocations(channel) {
            Ok(bytes) => bytes,
            Err(StoreFault::Missing { .. }) if self.revocations.is_none() => return Ok(false),
            Err(fault) => return Err(unread(&fault, "put the revocation list back: what is revoked stays revoked")),
        };
        let root = self.root().ok_or_else(no_root)?;
        let last = self.revocations.as_ref().map(|InForce { verified, .. }| {
            let seen = Seen { serial: verified.list.serial, digest: verified.digest };
            let kept = self.accepted.revocations.get(channel.as_str());
            let forgotten = kept.is_some_and(|kept| kept.serial_forgotten && kept.digest == verified.digest);
            Last { list: &verified.list, seen: (!forgotten).then_some(seen) }
        });
        let found = accept::revocations::check(&bytes, root, &self.gateway, channel.as_str(), last, now)?;
        let Some(verified) = found else { return Ok(false) };
        self.revocations = Some(InForce { verified, unkept: Some(bytes) });
        Ok(true)
    }

    /// Writes down the list in force, if it is not yet: from here on every start takes it.
    pub fn keep_revocations(&mut self, channel: &Channel) -> Result<(), Refusal> {
        let Some(InForce { verified, unkept: Some(bytes) }) = &self.revocations else { return Ok(()) };
        let mut accepted = self.accepted.clone();
        let (serial, digest, root) = (verified.list.serial, verified.digest, accepted.root_latest);
        // A list that was taken back from the store holds by the root that it was accepted by.
        let root = accepted
            .revocations
            .get(channel.as_str())
            .filter(|kept| kept.digest == digest)
            .map_or(root, |kept| kept.root);
        let kept = AcceptedRevocations { serial, digest, root, serial_forgotten: false };
        accepted.revocations.insert(channel.to_string(), kept);
        let written = self.memory.keep_revocations(&digest, bytes).and_then(|()| self.memory.keep(&accepted));
        written.map_err(|failure| unkept(&failure))?;
        self.memory.tidy(&accepted);
        self.accepted = accepted;
        if let Some(in_force) = &mut self.revocations {
            in_force.unkept = None;
        }
        Ok(())
    }

    /// Serials of lists whose signers may have been taken out for them, as of pointers. What such a list revokes stays
    /// revoked, until one by the new keys comes.
    pub(super) fn forget_revocation_serials(&self, new: &TrustRoot, accepted: &mut Accepted) -> Vec<String> {
        if self.root().is_none_or(|old| old.role(Role::Revocation) == new.role(Role::Revocation)) {
            return Vec::new();
        }
        let mut forgotten = Vec::new();
        for (channel, list) in accepted.revocations.iter_mut().filter(|(_, list)| !list.serial_forgotten) {
            let bytes = self.memory.revocations(&list.digest);
            list.serial_forgotten = !bytes.is_ok_and(|bytes| verify_revocations(&bytes, new).is_ok());
            if list.serial_forgotten {
                forgotten.push(format!("serial {} of the revocation list of channel {channel}", list.serial));
            }
        }
        forgotten
    }
}
