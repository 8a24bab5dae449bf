//! Trust roots that were seen from here. Whoever may write to the store can take the newest out of it: then what held by an older
//! one holds again for who signs, a key that was taken out since among it.

use std::path::PathBuf;

use policy_release::envelope::Kind;
use policy_release::root::{TrustRoot, verify_root, verify_successor};

use super::{LISTS, Memory};
use crate::failure::{Failure, warn};
use crate::files;

/// A trust root in the directory of what holds by it.
const ROOT: &str = "root.json";
/// Directories that are looked through.
const ROOTS_MAX: usize = 1_024;

impl Memory {
    /// Remembers a root that verifies.
    pub fn keep_root(&self, root: &TrustRoot, bytes: &[u8]) {
        self.keep(root, ROOT, Kind::TrustRoot, bytes);
    }

    /// The chain with the roots before it that are known here, or a failure where a successor of its last is known that the
    /// store does not show.
    pub fn complete(&self, mut chain: Vec<TrustRoot>, first: &[u8]) -> Result<Vec<TrustRoot>, Failure> {
        let known = self.roots();
        if let Some(last) = chain.last()
            && let Some((bytes, path)) = known.iter().find(|(bytes, _)| verify_successor(last, bytes).is_ok())
            && let Ok(next) = verify_root(bytes)
        {
            let message = format!(
                "the store does not show trust root version {}, which was seen from here ({}): it was taken out, or put back to \
                 an older state, and what is signed now would hold by keys that may have been replaced",
                next.version(),
                path.display()
            );
            let help =
                format!("find out who did that; put it back: adamant trust publish {} --store …", path.display());
            return Err(Failure::new(message).help(help));
        }
        let mut oldest = first.to_vec();
        while let Some((root, bytes)) = known.iter().find_map(|(bytes, _)| {
            let root = verify_root(bytes).ok()?;
            verify_successor(&root, &oldest).is_ok().then_some((root, bytes))
        }) {
            chain.insert(0, root);
            oldest.clone_from(bytes);
        }
        Ok(chain)
    }

    /// All that are remembered, and where. What cannot be read is told: it would be missed in silence.
    fn roots(&self) -> Vec<(Vec<u8>, PathBuf)> {
        let Some(directory) = &self.directory else { return Vec::new() };
        let Ok(listed) = std::fs::read_dir(directory.join(LISTS)) else { return Vec::new() };
        let paths = listed.take(ROOTS_MAX).filter_map(|entry| Some(entry.ok()?.path().join(ROOT)));
        let read = |path: PathBuf| match files::read(&path, Kind::TrustRoot.envelope_bytes_max()) {
            Ok(bytes) => Some((bytes, path)),
            Err(fault) => {
                if path.exists() {
                    warn(format_args!("{fault}; a newer trust root that is gone from the store may go unnoticed"));
                }
                None
            }
        };
        paths.filter_map(read).collect()
    }
}
