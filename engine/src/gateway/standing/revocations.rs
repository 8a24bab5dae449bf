//! What a new trust root means for revocation lists.

use policy_release::envelope::Role;
use policy_release::revocations::verify_revocations;
use policy_release::root::TrustRoot;

use super::super::accepted::Accepted;
use super::Standing;

impl Standing {
    /// Serials of lists whose signers may have been taken out for it, as of pointers. What such a list revokes stays
    /// revoked, until one by the new keys comes.
    pub(super) fn forget_revocation_serials(&self, new: &TrustRoot, accepted: &mut Accepted) -> Vec<String> {
        accepted.revocations = self.memory.lists();
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
