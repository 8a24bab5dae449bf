//! Files of the state directory that hold secrets or what callers did: encrypted (age) where the node has an identity.
//! The identity itself comes from elsewhere, so that a copy of the directory alone says nothing.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age_format::{Fault, Identity};
use zeroize::Zeroizing;

use crate::assemble::files::{self, FileError};
use crate::bounds::{LAST_USE_BYTES_MAX, PEM_BYTES_MAX};
use crate::{assertion, atomic, last_use, obtain};

/// Bytes of a file with identities.
const IDENTITY_BYTES_MAX: usize = 64 << 10;

/// With what those files are encrypted; with nothing: they are plain.
#[derive(Clone, Debug, Default)]
pub struct AtRest {
    identities: Option<Arc<[Identity]>>,
}

/// Why a file cannot be read, or an identity. All of it is for the operator to mend; nothing is tried again.
#[derive(Debug, thiserror::Error)]
pub enum AtRestFault {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{}: {fault}: name the file that age-keygen or adamant key age made", .path.display())]
    Identity { path: PathBuf, fault: Fault },
    #[error("it is encrypted (age): name the identity that it is encrypted to, state_identity under [gateway]")]
    Encrypted,
    #[error("{fault} (state_identity is that of {public})")]
    Decrypt { fault: Fault, public: String },
    #[error("{}: {cause}", .path.display())]
    Kept { path: PathBuf, cause: Box<AtRestFault> },
    #[error("{}: cannot be taken over encrypted: {cause}: see the room and the mode of the state directory", .path.display())]
    TakeOver { path: PathBuf, cause: io::Error },
}

impl AtRestFault {
    /// As [`FileError::is_unread`].
    pub const fn is_unread(&self) -> bool {
        matches!(self, Self::File(error) if error.is_unread())
    }

    /// Whether what cannot be read may be whole, and only the identity for it is lacking: nothing is to be put in its place.
    pub fn wants_identity(&self) -> bool {
        match self {
            Self::Encrypted | Self::Decrypt { fault: Fault::NoMatch, .. } => true,
            Self::Kept { cause, .. } => cause.wants_identity(),
            _ => false,
        }
    }
}

/// The identities in a file of its owner's alone.
pub fn identities(path: &Path) -> Result<Vec<Identity>, AtRestFault> {
    let bytes = files::read_private(path, IDENTITY_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Fault::Identity("no text"));
    let found = text.and_then(age_format::identities);
    found.map_err(|fault| AtRestFault::Identity { path: path.to_owned(), fault })
}

impl AtRest {
    /// With the identities of the file: the first is encrypted to, all of them read.
    pub fn by(path: &Path) -> Result<Self, AtRestFault> {
        Ok(Self { identities: Some(identities(path)?.into()) })
    }

    /// What is to stand in a file that holds `plain`.
    pub fn seal<'p>(&self, plain: &'p [u8]) -> io::Result<Cow<'p, [u8]>> {
        let Some(first) = self.identities.as_ref().and_then(|all| all.first()) else { return Ok(Cow::Borrowed(plain)) };
        let mut sealed = Vec::new();
        age_format::encrypt(plain, &[first.recipient()], &mut sealed).map_err(io::Error::other)?;
        Ok(Cow::Owned(sealed))
    }

    /// What a file holds; one that was written before there was an identity is taken as it is.
    pub fn open(&self, bytes: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, AtRestFault> {
        if !age_format::is_encrypted(&bytes) {
            return Ok(Zeroizing::new(bytes));
        }
        let Some(identities) = &self.identities else { return Err(AtRestFault::Encrypted) };
        age_format::decrypt(&bytes, identities).map_err(|fault| {
            let public: Vec<String> = identities.iter().map(|identity| identity.recipient().to_string()).collect();
            AtRestFault::Decrypt { fault, public: public.join(" ") }
        })
    }

    /// What an owner-only file holds.
    pub fn read(&self, path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, AtRestFault> {
        let mut bytes = files::read_private(path, most)?;
        let kept = |cause| AtRestFault::Kept { path: path.to_owned(), cause: Box::new(cause) };
        self.open(std::mem::take(&mut *bytes)).map_err(kept)
    }

    /// Has a file hold `plain`, owner-only, whole or not at all. One writer a name.
    pub fn write(&self, directory: &Path, name: &str, plain: &[u8]) -> io::Result<()> {
        atomic::write(directory, name, &self.seal(plain)?, 0o600)
    }

    /// Brings what is kept in a state directory to how this says it is to be: what is plain is encrypted, and what cannot be
    /// read is told before anything else is put in its place. Not the node's key, which is looked at first, and the counters,
    /// which are written all the time.
    pub fn take_over(&self, state: &Path) -> Result<(), AtRestFault> {
        for (path, most) in kept(state) {
            match path.file_name().and_then(OsStr::to_str) {
                // What a crash left of a file that was being written.
                Some(name) if atomic::is_unfinished(name) => self.remove(path)?,
                Some(name) => {
                    let Some(bytes) = self.plain(&path, most)? else { continue };
                    let written = self.replace(&path, name, &bytes);
                    written.map_err(|cause| AtRestFault::TakeOver { path: path.clone(), cause })?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What [`Self::take_over`] would encrypt, or why it would refuse; nothing is written.
    pub fn would_take_over(&self, state: &Path) -> Result<Vec<PathBuf>, AtRestFault> {
        let mut plain = Vec::new();
        for (path, most) in kept(state) {
            let is_unfinished = path.file_name().and_then(OsStr::to_str).is_none_or(atomic::is_unfinished);
            if !is_unfinished && self.plain(&path, most)?.is_some() {
                plain.push(path);
            }
        }
        Ok(plain)
    }

    /// It may be plain.
    fn remove(&self, path: PathBuf) -> Result<(), AtRestFault> {
        match fs::remove_file(&path) {
            Err(cause) if self.identities.is_some() && cause.kind() != io::ErrorKind::NotFound => {
                Err(AtRestFault::TakeOver { path, cause })
            }
            _ => Ok(()),
        }
    }

    /// What a file holds that is plain and is to be encrypted; refused where it cannot be read without another identity.
    fn plain(&self, path: &Path, most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, AtRestFault> {
        // What is not there, damaged or open to others is a matter of whoever reads it.
        let Ok(bytes) = files::read_private(path, most) else { return Ok(None) };
        if self.is_outdated(&bytes) {
            return Ok(Some(bytes));
        }
        match self.read(path, most) {
            Err(fault) if fault.wants_identity() => Err(fault),
            _ => Ok(None),
        }
    }

    /// As [`Self::write`], of the same age as before: by that it is known when a certificate was obtained.
    fn replace(&self, path: &Path, name: &str, plain: &[u8]) -> io::Result<()> {
        let modified = fs::metadata(path)?.modified()?;
        self.write(path.parent().unwrap_or(Path::new("")), name, plain)?;
        fs::File::options().append(true).open(path)?.set_modified(modified)
    }

    /// Whether a file with these bytes is to be written anew: it is plain, and others are not.
    pub fn is_outdated(&self, bytes: &[u8]) -> bool {
        self.identities.is_some() && !age_format::is_encrypted(bytes)
    }
}

/// What a state directory keeps that may be encrypted, with the bytes of each at most; seen before anything is written there.
fn kept(state: &Path) -> Vec<(PathBuf, usize)> {
    let entries = fs::read_dir(obtain::directory(state)).into_iter().flatten().flatten();
    let named = [(state.join(assertion::FILE), PEM_BYTES_MAX), (state.join(last_use::FILE), LAST_USE_BYTES_MAX)];
    named.into_iter().chain(entries.map(|entry| (entry.path(), PEM_BYTES_MAX))).collect()
}

/// By what they encrypt to: nothing secret is compared.
impl PartialEq for AtRest {
    fn eq(&self, other: &Self) -> bool {
        let public =
            |of: &Self| of.identities.iter().flat_map(|all| all.iter()).map(Identity::recipient).collect::<Vec<_>>();
        public(self) == public(other)
    }
}

impl Eq for AtRest {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_it_seals_it_opens_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let (identity, text) = Identity::generate().unwrap();
        let path = directory.path().join("state.key");
        std::fs::write(&path, format!("# made by hand\n{}\n", *text)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (plain, own) = (AtRest::default(), AtRest::by(&path).unwrap());
        assert_eq!(plain.seal(b"x").unwrap(), &b"x"[..]);
        let sealed = own.seal(b"counters of alice").unwrap().into_owned();
        assert!(!sealed.windows(5).any(|part| part == b"alice"));
        assert_eq!(own.open(sealed.clone()).unwrap().as_slice(), b"counters of alice");
        assert_eq!(own.open(b"from before".to_vec()).unwrap().as_slice(), b"from before");
        assert!(own.is_outdated(b"from before") && !own.is_outdated(&sealed) && !plain.is_outdated(b"from before"));
        let refused = plain.open(sealed.clone()).unwrap_err().to_string();
        assert!(refused.contains("state_identity"), "{refused}");
        std::fs::write(&path, Identity::generate().unwrap().1.as_bytes()).unwrap();
        let refused = AtRest::by(&path).unwrap().open(sealed.clone()).unwrap_err().to_string();
        assert!(refused.contains("other keys") && refused.contains("age1"), "{refused}");
        let mut damaged = sealed;
        damaged.pop();
        assert!(own.open(damaged).is_err());
        assert!(
            !format!("{own:?}").contains(&text[20..]) && format!("{own:?}").contains(&identity.recipient().to_string())
        );
        std::fs::write(&path, "hunter2-hunter2\n").unwrap();
        let refused = AtRest::by(&path).unwrap_err().to_string();
        assert!(refused.contains("age-keygen") && !refused.contains("hunter2"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(AtRest::by(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    fn made(path: &Path) -> (AtRest, String) {
        let (_, text) = Identity::generate().unwrap();
        std::fs::write(path, text.as_bytes()).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        (AtRest::by(path).unwrap(), text.to_string())
    }

    #[test]
    fn a_plain_state_is_taken_over_whole_and_what_cannot_be_read_stops_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let certificates = obtain::directory(&state);
        std::fs::create_dir_all(&certificates).unwrap();
        let (own, _) = made(&directory.path().join("state.key"));
        let (other, _) = made(&directory.path().join("other.key"));
        own.take_over(&state).unwrap();
        let files = [
            state.join(assertion::FILE),
            state.join(last_use::FILE),
            certificates.join("a.pem"),
            certificates.join("acme-1.json"),
        ];
        for path in &files {
            std::fs::write(path, "secret").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_000_000);
        fs::File::options().append(true).open(&files[2]).unwrap().set_modified(long_ago).unwrap();
        std::fs::write(certificates.join(".a.pem.new"), "half a secret").unwrap();
        AtRest::default().take_over(&state).unwrap();
        assert_eq!(AtRest::default().would_take_over(&state).unwrap(), Vec::<PathBuf>::new());
        let told = own.would_take_over(&state).unwrap();
        assert!(told.len() == 4 && files.iter().all(|path| told.contains(path)), "{told:?}");
        assert!(files.iter().all(|path| std::fs::read(path).unwrap() == b"secret"), "nobody asked for it");
        own.take_over(&state).unwrap();
        own.take_over(&state).unwrap();
        assert_eq!(own.would_take_over(&state).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(std::fs::read_dir(&certificates).unwrap().count(), 2);
        assert_eq!(fs::metadata(&files[2]).unwrap().modified().unwrap(), long_ago);
        for path in &files {
            assert!(age_format::is_encrypted(&std::fs::read(path).unwrap()), "{}", path.display());
            assert_eq!(own.read(path, 1 << 10).unwrap().as_slice(), b"secret");
            let whole = std::fs::read(path).unwrap();
            for (stranger, told) in [(&AtRest::default(), "state_identity under [gateway]"), (&other, "other keys")] {
                let refused = stranger.take_over(&state).unwrap_err().to_string();
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(refused.contains(name) && refused.contains(told), "{refused}");
                assert_eq!(stranger.would_take_over(&state).unwrap_err().to_string(), refused);
            }
            assert_eq!(std::fs::read(path).unwrap(), whole);
            std::fs::write(path, &whole[..whole.len() - 1]).unwrap();
            own.take_over(&state).unwrap();
            std::fs::remove_file(path).unwrap();
        }
    }
}
