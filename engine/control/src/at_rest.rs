//! Files of the state directory that hold secrets or what callers did: encrypted (age) where the node has an identity.
//! The identity itself comes from elsewhere, so that a copy of the directory alone says nothing.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age_format::{Fault, Identity};
use zeroize::Zeroizing;

use crate::assemble::files::{self, FileError};

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

    /// Whether a file with these bytes is to be written anew: it is plain, and others are not.
    pub fn is_outdated(&self, bytes: &[u8]) -> bool {
        self.identities.is_some() && !age_format::is_encrypted(bytes)
    }
}

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
}
