//! A certificate that an issuer gave and counted, and that could not be put in use: it is kept with its key until it can be,
//! and no other is ordered while it is good.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::bounds::FILE_BYTES_MAX;
use crate::files::{self, Access};
use crate::schedule;

/// Its key is in it: owner-only.
const FILE: &str = "pending.pem";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Held by whoever writes into a profile, and never while somebody is asked for something: what is in use then is what the
/// next generation goes on from. With what an order gave, and found no room on disk.
#[derive(Default)]
pub struct Writer(Mutex<Option<Fresh>>);

impl Writer {
    pub fn lock(&self) -> MutexGuard<'_, Option<Fresh>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key with its chain, in PEM.
pub struct Fresh {
    /// Who gave it, as [`Source::shown`](crate::source::Source::shown) has it.
    pub from: String,
    pub obtained_s: u64,
    pub key: Zeroizing<String>,
    pub chain: String,
}

impl Fresh {
    /// The one that waits: in memory, or in the profile. It is taken out of memory; the file stays until [`forget`].
    pub fn take(directory: &Path, held: &mut Option<Self>) -> Option<Self> {
        held.take().or_else(|| {
            let text = files::read_secret(&directory.join(FILE), FILE_BYTES_MAX).ok()?;
            let (head, rest) = text.split_once('\n')?;
            let (obtained_s, from) = head.split_once(' ')?;
            let (key, chain) = rest.split_at(rest.find(CERTIFICATE)?);
            Some(Self {
                from: from.to_owned(),
                obtained_s: obtained_s.parse().ok()?,
                key: Zeroizing::new(key.to_owned()),
                chain: chain.to_owned(),
            })
        })
    }

    /// Whether it is of this issuer, and not so old that it would be renewed at once.
    pub fn is_good(&self, from: &str, ends_s: u64, now_s: u64) -> bool {
        self.from == from && now_s < schedule::due_s(self.obtained_s, ends_s, 0)
    }

    /// Keeps it in the profile, or, where there is no room, in memory; where, in words.
    pub fn keep(self, directory: &Path, held: &mut Option<Self>) -> &'static str {
        let Self { from, obtained_s, key, chain } = &self;
        let text = Zeroizing::new(format!("{obtained_s} {from}\n{}{chain}", key.as_str()));
        if files::write(&directory.join(FILE), text.as_bytes(), Access::OwnerOnly).is_ok() {
            return FILE;
        }
        *held = Some(self);
        "the memory of this process"
    }
}

/// None waits any more.
pub fn forget(directory: &Path) {
    let _ = std::fs::remove_file(directory.join(FILE));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fresh() -> Fresh {
        let key = crate::ca::issue::new_key().unwrap();
        let chain = format!("{CERTIFICATE}\nMA==\n-----END CERTIFICATE-----\n");
        Fresh { from: "acme:https://ca/dir".to_owned(), obtained_s: 100, key, chain }
    }

    #[test]
    fn it_is_kept_for_its_owner_alone_and_read_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (path, made, mut held) = (directory.path().join(FILE), fresh(), None);
        let (key, chain) = (made.key.clone(), made.chain.clone());
        assert_eq!(made.keep(directory.path(), &mut held), FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for _ in 0..2 {
            let read = Fresh::take(directory.path(), &mut held).unwrap();
            assert_eq!((read.key, read.chain, read.obtained_s), (key.clone(), chain.clone(), 100));
            assert_eq!(read.from, "acme:https://ca/dir");
        }
        forget(directory.path());
        assert!(Fresh::take(directory.path(), &mut held).is_none());
        // Where it cannot be written: in memory, once.
        let nowhere = directory.path().join("nowhere");
        assert_eq!(fresh().keep(&nowhere, &mut held), "the memory of this process");
        assert!(Fresh::take(&nowhere, &mut held).is_some() && Fresh::take(&nowhere, &mut held).is_none());
    }

    #[test]
    fn what_is_of_somebody_else_or_would_be_renewed_at_once_is_not_good() {
        let (fresh, from) = (fresh(), "acme:https://ca/dir");
        assert!(fresh.is_good(from, 400, 299));
        assert!(!fresh.is_good(from, 400, 300) && !fresh.is_good("acme:https://other/dir", 400, 299));
    }
}
