//! The node's own key: made at the first start, kept in the state directory, and used for what only this gateway can
//! say: its attestation and the checkpoints of its records. It has no part in what the gateway permits.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::key::{KeyFault, KeyId, PublicKey, SignatureBytes, SigningKey};
use policy_release::key_file::{self, KeyFileFault};
use zeroize::Zeroizing;

use crate::at_rest::{AtRest, AtRestFault};

/// The private key: PKCS#8 in PEM, mode 0600; encrypted where the node has an identity for that.
const KEY_FILE: &str = "node.key";
/// Its public half, to be pinned by whoever asks this node.
const PUBLIC_FILE: &str = "node.pub";
/// What the key file says about itself.
const COMMENT: &str = "# The key of this Adamant node, made by its gateway. Its public half:";

/// Whether the text of a key file, or its name, is that of a node's key.
pub fn is_node_key(path: &Path, text: &str) -> bool {
    text.starts_with(COMMENT) || path.file_name().is_some_and(|name| name == PUBLIC_FILE)
}

/// The key of this node.
pub struct NodeKey {
    key: SigningKey,
    public: PublicKey,
    id: KeyId,
}

/// Why there is no node key. All of it is for the operator to mend; nothing is tried again.
#[derive(Debug, thiserror::Error)]
pub enum NodeKeyFault {
    #[error("{}: the node key cannot be {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error(
        "{0}: expected a node key that only its owner can read (mode 0600), found mode {1:04o}: think about who may have \
         read it; then run chmod 600 {0}, or remove it for a new key, which whoever pinned this node must learn of",
        path.display(), mode
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{}: expected a file with the node key, found something else: move it away", .0.display())]
    NotFile(PathBuf),
    #[error(
        "{}: {cause}. Restore the file, or remove it for a new key, which whoever pinned this node must learn of",
        path.display()
    )]
    Damaged { path: PathBuf, cause: KeyFileFault },
    #[error("{}: {fault}", path.display())]
    Encrypted { path: PathBuf, fault: AtRestFault },
    #[error("the system gives no randomness for a node key: {0}")]
    Randomness(String),
    #[error("a node key could not be made: {0}")]
    Key(#[from] KeyFault),
}

/// The text of a file that is to be encrypted.
type Plain = Zeroizing<Vec<u8>>;

impl NodeKey {
    /// The key of the node whose state directory this is; made at its first start. The caller holds the directory's
    /// lock.
    pub fn load_or_make(state_dir: &Path, at_rest: &AtRest) -> Result<Self, NodeKeyFault> {
        let path = state_dir.join(KEY_FILE);
        let (node, text) = match Self::load(&path, at_rest)? {
            Some(loaded) => loaded,
            None => {
                let node = Self::ephemeral()?;
                let damaged = |cause| NodeKeyFault::Damaged { path: path.clone(), cause };
                let plain = key_file::to_plain(&node.key).map_err(damaged)?;
                (node, Some(Zeroizing::new(retitled(&plain).into_bytes())))
            }
        };
        if let Some(text) = text {
            let unsealed = |source| NodeKeyFault::Io { path: path.clone(), action: "encrypted", source };
            write(state_dir, KEY_FILE, &at_rest.seal(&text).map_err(unsealed)?, 0o600)?;
        }
        let public = format!("{}\n", node.public);
        let public_path = state_dir.join(PUBLIC_FILE);
        let written = crate::assemble::files::read(&public_path, SMALL_FILE_BYTES_MAX).ok();
        if written.as_deref() != Some(public.as_bytes()) {
            write(state_dir, PUBLIC_FILE, public.as_bytes(), 0o644)?;
        }
        Ok(node)
    }

    /// Whether [`Self::load_or_make`] would encrypt the key that is there, or why it would refuse it; nothing is written. The
    /// file, where it would.
    pub fn would_encrypt(state_dir: &Path, at_rest: &AtRest) -> Result<Option<PathBuf>, NodeKeyFault> {
        let path = state_dir.join(KEY_FILE);
        let is_plain = Self::load(&path, at_rest)?.is_some_and(|(_, plain)| plain.is_some());
        Ok(is_plain.then_some(path))
    }

    /// The key that is there, with its file's text where that is to be encrypted; none where there is none.
    fn load(path: &Path, at_rest: &AtRest) -> Result<Option<(Self, Option<Plain>)>, NodeKeyFault> {
        let Some(bytes) = read(path)? else { return Ok(None) };
        let is_outdated = at_rest.is_outdated(&bytes);
        let encrypted = |fault| NodeKeyFault::Encrypted { path: path.to_owned(), fault };
        let text = at_rest.open(bytes).map_err(encrypted)?;
        let damaged = |cause| NodeKeyFault::Damaged { path: path.to_owned(), cause };
        let key = key_file::parse(std::str::from_utf8(&text).unwrap_or_default(), None).map_err(damaged)?;
        Ok(Some((Self::of(key), is_outdated.then_some(text))))
    }

    /// A key that goes with the process (`adamant dev`).
    pub fn ephemeral() -> Result<Self, NodeKeyFault> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|error| NodeKeyFault::Randomness(error.to_string()))?;
        Ok(Self::of(SigningKey::generate(*seed)?))
    }

    fn of(key: SigningKey) -> Self {
        let public = key.public();
        Self { id: public.id(), key, public }
    }

    /// Deterministic (RFC 8032 §5.1.6); fails only if the library does.
    pub fn sign(&self, message: &[u8]) -> Result<SignatureBytes, KeyFault> {
        self.key.sign(message)
    }

    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub const fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.id)
    }
}

/// The bytes of a key file that stands there and is private; None when there is none. Whoever takes them wipes them.
fn read(path: &Path) -> Result<Option<Vec<u8>>, NodeKeyFault> {
    let fault = |source| NodeKeyFault::Io { path: path.to_owned(), action: "read", source };
    let link = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    if !link.is_file() {
        return Err(NodeKeyFault::NotFile(path.to_owned()));
    }
    let opened = files::open_regular(path).map_err(fault)?;
    let (file, found) = opened.ok_or_else(|| NodeKeyFault::NotFile(path.to_owned()))?;
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(NodeKeyFault::Exposed { path: path.to_owned(), mode });
    }
    // Of full capacity from the start: growing would leave copies behind.
    let mut bytes = Vec::with_capacity(SMALL_FILE_BYTES_MAX + 1);
    let limit = u64::try_from(SMALL_FILE_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(fault)?;
    Ok(Some(bytes))
}

/// The file says of itself what it is; the rest is as [`key_file`] writes it.
fn retitled(plain: &str) -> String {
    let rest = plain.split_once('\n').map_or(plain, |(_, rest)| rest);
    format!("{COMMENT}\n{rest}")
}

/// Whole or not at all: a temporary file, fsync, rename, fsync of the directory.
fn write(directory: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), NodeKeyFault> {
    let path = directory.join(name);
    let made = crate::atomic::write(directory, name, bytes, mode);
    made.map_err(|source| NodeKeyFault::Io { path, action: "written", source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_private_and_comes_back() {
        let state = tempfile::tempdir().unwrap();
        let first = NodeKey::load_or_make(state.path(), &AtRest::default()).unwrap();
        let path = state.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(state.path().join(PUBLIC_FILE)).unwrap(), format!("{}\n", first.public()));
        assert!(fs::read_to_string(&path).unwrap().starts_with(COMMENT));
        fs::write(state.path().join(PUBLIC_FILE), "something else").unwrap();
        let second = NodeKey::load_or_make(state.path(), &AtRest::default()).unwrap();
        assert_eq!(first.id(), second.id());
        let signature = second.sign(b"message").unwrap();
        assert!(first.public().verifies(b"message", &signature));
        assert_eq!(fs::read_to_string(state.path().join(PUBLIC_FILE)).unwrap(), format!("{}\n", first.public()));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 2);
        assert_ne!(NodeKey::ephemeral().unwrap().id(), first.id());
    }

    #[test]
    fn what_others_could_read_or_was_damaged_is_refused_with_what_to_do() {
        let state = tempfile::tempdir().unwrap();
        NodeKey::load_or_make(state.path(), &AtRest::default()).unwrap();
        let path = state.path().join(KEY_FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = NodeKey::load_or_make(state.path(), &AtRest::default()).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for damaged in [String::new(), whole[..whole.len() / 2].to_owned(), whole.replacen("MC4C", "MC4D", 1)] {
            fs::write(&path, damaged).unwrap();
            let refused = NodeKey::load_or_make(state.path(), &AtRest::default()).unwrap_err().to_string();
            assert!(refused.contains("remove it for a new key"), "{refused}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(NodeKey::load_or_make(state.path(), &AtRest::default()), Err(NodeKeyFault::NotFile(_))));
    }

    #[test]
    fn what_a_crash_left_behind_does_not_stop_the_next_start() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(".node.key.new"), "half").unwrap();
        NodeKey::load_or_make(state.path(), &AtRest::default()).unwrap();
        assert!(!state.path().join(".node.key.new").exists());
    }
}
