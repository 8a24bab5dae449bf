//! What a new trust root means for the lists of the channels.

use policy_release::key_set::KeySet;
use policy_release::lists::verify_list;
use policy_release::revocations::Revocations;
use policy_release::root::TrustRoot;

use super::super::lists::Tended;
use super::Standing;

impl Standing {
    /// Serials of lists whose signers may have been taken out for it, as of pointers, in words: who looks at lists forgets
    /// them. What such a list says goes on to hold, until one by the new keys comes.
    pub(super) fn forgotten_serials_of_lists(&self, new: &TrustRoot) -> Vec<String> {
        let mut forgotten = self.forgotten::<Revocations>(new);
        forgotten.extend(self.forgotten::<KeySet>(new));
        forgotten
    }

    fn forgotten<L: Tended>(&self, new: &TrustRoot) -> Vec<String> {
        let Some(old) = self.root().filter(|old| old.role(L::ROLE) != new.role(L::ROLE)) else {
            return Vec::new();
        };
        let mut forgotten = Vec::new();
        for (channel, list) in self.memory.lists(L::SHELF) {
            let Ok(bytes) = self.memory.list(L::SHELF, &list.digest) else { continue };
            let holds = |root| verify_list::<L>(&bytes, root).is_ok();
            if holds(old) && !holds(new) {
                forgotten.push(format!("serial {} of the {} of channel {channel}", list.serial, L::KIND));
            }
        }
        forgotten
    }
}
