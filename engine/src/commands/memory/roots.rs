//! Successors of trust roots that a store showed here. Whoever may write to it can take the newest out: then what held by an older
//! one holds again for who signs, a key that was taken out since among it.

use policy_release::envelope::Kind;
use policy_release::root::{TrustRoot, verify_root, verify_successor};

use super::Memory;
use crate::failure::Failure;

/// What came after a root, and what before it, in the directory of what holds by it. A root does not name the one before it:
/// what only verifies as another's successor may be of other people's chain.
const NEXT: &str = "next-root.json";
const BEFORE: &str = "root-before.json";

impl Memory {
    /// Remembers that a store has these two, one after the other.
    pub fn link(&self, (before, before_bytes): (&TrustRoot, &[u8]), (next, bytes): (&TrustRoot, &[u8])) {
        self.keep(before, NEXT, Kind::TrustRoot, bytes);
        self.keep(next, BEFORE, Kind::TrustRoot, before_bytes);
    }

    /// The chain with the roots before it that are remembered, or a failure where a successor of its last is remembered that the
    /// store does not show.
    pub fn complete(&self, mut chain: Vec<TrustRoot>, first: &[u8]) -> Result<Vec<TrustRoot>, Failure> {
        let known = |root: &TrustRoot, name| self.all(std::slice::from_ref(root), name, Kind::TrustRoot).next();
        if let Some(last) = chain.last()
            && let Some(kept) = known(last, NEXT)
            && let Ok(next) = verify_successor(last, &kept.bytes)
        {
            let path = kept.path.display();
            let message = format!(
                "the store does not show trust root version {}, which was seen from here ({path}): it was taken out, or the store \
                 put back to an older state, and what is signed now would hold by keys that may have been replaced",
                next.version()
            );
            let help = format!(
                "find out who did that; put it back: adamant trust publish {path} --trust-root ROOT --store …; where this store is \
                 another one, whose roots go on apart, give it a memory of its own: --memory DIR"
            );
            return Err(Failure::new(message).help(help));
        }
        let mut oldest = first.to_vec();
        while let Some(kept) = chain.first().and_then(|root| known(root, BEFORE))
            && let Ok(root) = verify_root(&kept.bytes)
            && verify_successor(&root, &oldest).is_ok()
        {
            chain.insert(0, root);
            oldest = kept.bytes;
        }
        Ok(chain)
    }
}
