//! What a new trust root means for revocation lists.

use policy_release::envelope::Role;
use policy_release::revocations::verify_revocations;
use policy_release::root::TrustRoot;

use super::Standing;

impl Standing {
    /// Serials of lists whose signers may have been taken out for it, as of pointers, in words: who looks at lists forgets
    /// them. What such a list revokes stays revoked, until one by the new keys comes.
    pub(super) fn forgotten_revocation_serials(&self, new: &TrustRoot) -> Vec<String> {
        let Some(old) = self.root().filter(|old| old.role(Role::Revocation) != new.role(Role::Revocation)) else {
            return Vec::new();
        };
        let mut forgotten = Vec::new();
        for (channel, list) in self.memory.lists() {
            let Ok(bytes) = self.memory.revocations(&list.digest) else { continue };
            let holds = |root| verify_revocations(&bytes, root).is_ok();
            if holds(old) && !holds(new) {
                forgotten.push(format!("serial {} of the revocation list of channel {channel}", list.serial));
            }
        }
        forgotten
    }
}
