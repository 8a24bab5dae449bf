//! Certificates with their keys in the state directory: a restart serves at once, whoever of the issuers is there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::assemble::ChainFiles;
use crate::assemble::material::read_identity;
use crate::assemble::revocation::kept::make;
use crate::at_rest::AtRest;
use crate::clock;

/// A certificate that is there, whole and with its key.
pub struct Kept {
    /// Over the certificate, lower-case hex.
    pub sha256: String,
    /// Since when it is ours: issuers date back.
    pub obtained_s: u64,
    pub ends_s: u64,
}

/// Where they all are.
pub fn directory(state: &Path) -> PathBuf {
    state.join("certificates")
}

/// What the file holds; none where that is nothing to serve with, which is told if there is something.
pub fn look(of: &ChainFiles) -> Option<Kept> {
    let found = fs::metadata(&of.chain).ok()?;
    match read_identity(of) {
        Ok(identity) => {
            let written_s = u64::try_from(found.mtime()).unwrap_or(0);
            // Whoever restores a backup has an old time on a file, and a clock may have been set back.
            let now_s = clock::unix_s();
            let obtained_s = written_s.min(now_s).clamp(identity.begins_s.min(identity.ends_s), identity.ends_s);
            Some(Kept { sha256: identity.sha256, obtained_s, ends_s: identity.ends_s })
        }
        Err(error) => {
            crate::warning!("the certificate that was kept is not used: {error}");
            None
        }
    }
}

/// Removes every file that is none of `wanted`, and what a write that failed has left: keys that nobody looks after. Their names.
pub fn sweep(state: &Path, wanted: &BTreeSet<PathBuf>) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory(state)) else { return Vec::new() };
    let mut removed = Vec::new();
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && !wanted.contains(&entry.path()) && fs::remove_file(entry.path()).is_ok() {
            removed.push(entry.file_name().to_string_lossy().escape_default().to_string());
        }
    }
    removed.sort();
    removed
}

/// Keeps a chain with its key, owner-only, whole or not at all.
pub fn write(file: &Path, at_rest: &AtRest, chain: &str, key: &str) -> io::Result<()> {
    // Large enough from the start: what grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(chain.len() + key.len()));
    text.push_str(chain);
    text.push_str(key);
    put(file, at_rest, text.as_bytes())
}

/// Keeps `bytes`, owner-only, whole or not at all.
pub fn put(file: &Path, at_rest: &AtRest, bytes: &[u8]) -> io::Result<()> {
    let (Some(directory), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    make(directory)?;
    at_rest.write(directory, name, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn keys_that_nobody_wants_any_more_are_removed() {
        let state = tempfile::tempdir().unwrap();
        assert!(sweep(state.path(), &BTreeSet::new()).is_empty(), "there is no directory yet");
        let at = |name: &str| directory(state.path()).join(name);
        for name in ["a.pem", "b.pem", "acme-0.json", "acme-1.json", ".a.pem.new"] {
            put(&at(name), &AtRest::default(), b"secret").unwrap();
        }
        let wanted = BTreeSet::from([at("a.pem"), at("acme-0.json")]);
        assert_eq!(sweep(state.path(), &wanted), [".a.pem.new", "acme-1.json", "b.pem"]);
        assert!(wanted.iter().all(|path| path.exists()) && sweep(state.path(), &wanted).is_empty());
        assert_eq!(fs::read_dir(directory(state.path())).unwrap().count(), 2);
    }

    #[test]
    fn it_comes_back_whole_and_owner_only_or_not_at_all() {
        let state = tempfile::tempdir().unwrap();
        let of = testing::write_chain(state.path(), "a", &["api.example"]);
        let other = testing::write_chain(state.path(), "b", &["api.example"]);
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let file = directory(state.path()).join("api.example-00000000.pem");
        let plain = AtRest::default();
        let kept = ChainFiles { chain: file.clone(), key: file.clone(), kept: Some(plain.clone()) };
        assert!(look(&kept).is_none());
        write(&file, &plain, &read(&of.chain), &read(&of.key)).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(directory(state.path())).unwrap().mode() & 0o777, 0o700);
        let found = look(&kept).unwrap();
        assert!(found.obtained_s <= found.ends_s && found.sha256.len() == 64);
        write(&file, &plain, &read(&of.chain), &read(&other.key)).unwrap();
        assert!(look(&kept).is_none(), "a key of another");
        fs::write(&file, "damaged").unwrap();
        assert!(look(&kept).is_none());
    }
}
