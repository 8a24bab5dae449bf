//! What the node has for origins: client certificates and secrets, by the names that policies use. Read apart from any
//! release, and each apart from the others: a bad file costs nobody what he has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activation::assertion::SigningKey;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::files::{self, FileError};
use super::tls::{self, TlsError};
use super::{ChainFiles, CredentialSource, Node, hex};
use crate::bounds::{ORIGIN_SECRET_BYTES_MAX, SECRET_THUMBPRINT_BYTES};
use crate::moving::credential::CredentialFault;

/// A certificate of the gateway towards origins, with its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    /// Wiped when it goes.
    pub key: Zeroizing<PrivateKeyDer<'static>>,
    /// Over the first certificate, lower-case hex.
    pub sha256: String,
    /// Its life, seconds since the Unix epoch.
    pub begins_s: u64,
    pub ends_s: u64,
}

/// A secret that an origin knows the gateway by.
pub struct Secret {
    bytes: Zeroizing<Vec<u8>>,
    /// Tells it from another one, as long as the process lives.
    pub thumbprint: String,
    /// It ends by itself then, nanoseconds since the Unix epoch.
    pub ends_unix_ns: Option<u64>,
}

impl Secret {
    /// `form` with the secret in its place.
    pub fn within(&self, form: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (before, after) = form.split_once(policy::model::SECRET_PLACE)?;
        // Large enough from the start: what grows leaves copies behind.
        let mut value = Zeroizing::new(Vec::with_capacity(form.len() + self.bytes.len()));
        value.extend_from_slice(before.as_bytes());
        value.extend_from_slice(&self.bytes);
        value.extend_from_slice(after.as_bytes());
        Some(value)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{}: expected one line of visible ASCII without spaces, at most {ORIGIN_SECRET_BYTES_MAX} bytes, found {found}",
        .path.display()
    )]
    Form { path: PathBuf, found: &'static str },
    #[error(transparent)]
    Source(Box<CredentialFault>),
    #[error("it has not been fetched yet, or has ended since")]
    Awaited,
}

impl SecretError {
    /// As [`FileError::is_unread`].
    pub const fn is_unread(&self) -> bool {
        matches!(self, Self::File(error) if error.is_unread())
    }
}

/// A thing as it was last good, or why there is none.
type Had<T, E> = Result<Arc<T>, Arc<E>>;

/// Everything that was read.
#[derive(Clone, Default)]
pub struct Material {
    pub identities: BTreeMap<String, Had<Identity, TlsError>>,
    pub secrets: BTreeMap<String, Had<Secret, SecretError>>,
    /// Signs assertions; none where no origin ever asked for one.
    pub assertion_key: Option<Arc<SigningKey>>,
    salt: Salt,
}

/// What thumbprints of secrets are made with. Drawn anew by each process: nobody who reads a log can test guesses against one.
#[derive(Clone, Default)]
pub struct Salt(Option<[u8; 32]>);

impl Salt {
    pub fn draw() -> Self {
        let mut salt = [0; 32];
        Self(getrandom::fill(&mut salt).is_ok().then_some(salt))
    }

    /// Tells `secret` from another one, as long as the process lives.
    pub fn thumbprint(&self, secret: &[u8]) -> String {
        let Some(salt) = &self.0 else { return "unknown".to_owned() };
        let hash = Sha256::new().chain_update(salt).chain_update(secret).finalize();
        hex(hash.get(..SECRET_THUMBPRINT_BYTES).unwrap_or_default())
    }
}

impl Material {
    /// Reads all that `node` names. What cannot be read is told to whoever needs it.
    pub fn read(node: &Node) -> Self {
        let mut material = Self { salt: Salt::draw(), ..Self::default() };
        for of in &node.origin_identities {
            // A damaged one that is obtained comes again like one that never came.
            let read = read_identity(&of.files).map_err(|error| if of.awaited { TlsError::Awaited } else { error });
            material.identities.insert(of.name.clone(), read.map(Arc::new).map_err(Arc::new));
        }
        for of in &node.origin_credentials {
            let read = match &of.from {
                CredentialSource::File(path) => material.read_secret(path).map(Arc::new),
                // Nobody waits for the network here.
                CredentialSource::Fetched(source) => Err(match source.check() {
                    Ok(()) => SecretError::Awaited,
                    Err(fault) => SecretError::Source(Box::new(fault)),
                }),
            };
            material.secrets.insert(of.name.clone(), read.map_err(Arc::new));
        }
        material
    }

    /// Reads one secret.
    pub fn read_secret(&self, path: &Path) -> Result<Secret, SecretError> {
        Ok(self.secret(read_line(path)?, None))
    }

    /// One that was fetched, good until `ends_unix_ms` where it ends by itself.
    pub fn secret(&self, bytes: Zeroizing<Vec<u8>>, ends_unix_ms: Option<u64>) -> Secret {
        let thumbprint = self.salt.thumbprint(&bytes);
        Secret { bytes, thumbprint, ends_unix_ns: ends_unix_ms.map(|ms| ms.saturating_mul(1_000_000)) }
    }
}

/// The one line of an owner-only file.
pub fn read_line(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut bytes = files::read_private(path, ORIGIN_SECRET_BYTES_MAX + 2)?;
    let length = bytes.strip_suffix(b"\n").map_or(bytes.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
    bytes.truncate(length);
    match unlike_a_line(&bytes) {
        None => Ok(bytes),
        Some(found) => Err(SecretError::Form { path: path.to_owned(), found }),
    }
}

/// What is there in place of one line of visible ASCII; none where it is one.
pub fn unlike_a_line(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("nothing");
    }
    if bytes.contains(&b'\n') {
        return Some("more than one line");
    }
    if bytes.len() > ORIGIN_SECRET_BYTES_MAX {
        return Some("more than 4 KiB");
    }
    (!bytes.iter().all(u8::is_ascii_graphic)).then_some("a space or another byte")
}

/// Reads a chain with its key, and checks that they belong together.
pub fn read_identity(of: &ChainFiles) -> Result<Identity, TlsError> {
    let (chain, key) = tls::load_identity(of)?;
    let wrong = || TlsError::Chain { path: of.chain.clone(), found: "no X.509 certificate".to_owned() };
    let leaf = chain.first().ok_or_else(wrong)?;
    let (begins_s, ends_s) = tls::life_of(leaf).ok_or_else(wrong)?;
    let sha256 = hex(&Sha256::digest(leaf));
    tls::certified(chain.clone(), &key).map_err(|why| TlsError::Mismatch {
        chain: of.chain.clone(),
        key: of.key.clone(),
        why,
    })?;
    Ok(Identity { chain, key, sha256, begins_s, ends_s })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::assemble::{OriginCredential, OriginIdentityFiles};
    use crate::testing;

    fn node(directory: &Path) -> Node {
        let files = testing::write_chain(directory, "a", &["gateway.example"]);
        let file = directory.join("secret");
        std::fs::write(&file, "s3cr3t\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Node {
            origin_identities: vec![OriginIdentityFiles { name: "me".to_owned(), files, awaited: false }],
            origin_credentials: vec![OriginCredential { name: "key".to_owned(), from: CredentialSource::File(file) }],
            ..Node::default()
        }
    }

    #[test]
    fn a_secret_is_one_line_of_an_owner_only_file() {
        let directory = tempfile::tempdir().unwrap();
        let node = node(directory.path());
        let file = &directory.path().join("secret");
        let material = Material::read(&node);
        let secret = material.secrets["key"].as_ref().unwrap();
        assert_eq!(secret.within("Bearer {secret};").unwrap().as_slice(), b"Bearer s3cr3t;");
        assert_eq!(secret.within("none"), None);
        let most = "x".repeat(ORIGIN_SECRET_BYTES_MAX);
        for good in ["s3cr3t", "s3cr3t\r\n", most.as_str(), &format!("{most}\r\n")] {
            std::fs::write(file, good).unwrap();
            assert!(material.read_secret(file).is_ok(), "{}", good.len());
        }
        for bad in ["", "\n", "a\nb", "a b", "a\u{e9}", "a\r", &format!("{most}x"), &format!("{most}xyz")] {
            std::fs::write(file, bad).unwrap();
            let told = material.read_secret(file).err().unwrap().to_string();
            assert!(told.contains("expected") && told.contains("secret:"), "{told}");
        }
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(material.read_secret(file).err().unwrap().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_thumbprint_tells_secrets_apart_and_is_no_hash_of_one() {
        let directory = tempfile::tempdir().unwrap();
        let node = node(directory.path());
        let of = |material: &Material| material.read_secret(&directory.path().join("secret")).unwrap().thumbprint;
        let (one, other) = (Material::read(&node), Material::read(&node));
        assert_eq!(of(&one), of(&one));
        assert_ne!(of(&one), of(&other), "each process has its own");
        assert_ne!(of(&one), hex(&Sha256::digest("s3cr3t")[..SECRET_THUMBPRINT_BYTES]));
    }

    #[test]
    fn what_is_obtained_and_cannot_be_used_is_awaited() {
        let directory = tempfile::tempdir().unwrap();
        let mut node = node(directory.path());
        let is_awaited = |node: &Node| {
            let had = Material::read(node).identities.remove("me").unwrap();
            had.err().map(|why| matches!(*why, TlsError::Awaited))
        };
        node.origin_identities[0].awaited = true;
        assert_eq!(is_awaited(&node), None, "it is there");
        std::fs::write(&node.origin_identities[0].files.chain, "damaged").unwrap();
        assert_eq!(is_awaited(&node), Some(true));
        std::fs::remove_file(&node.origin_identities[0].files.chain).unwrap();
        assert_eq!(is_awaited(&node), Some(true));
        node.origin_identities[0].awaited = false;
        assert_eq!(is_awaited(&node), Some(false), "somebody else has to put it there");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let node = node(directory.path());
        let mut files = node.origin_identities[0].files.clone();
        assert!(read_identity(&files).is_ok());
        files.key = testing::write_chain(directory.path(), "b", &["other.example"]).key;
        assert!(read_identity(&files).err().unwrap().to_string().contains("do not belong together"));
    }
}
