//! The state directory keeps the lists that were in force last, a file for each client CA. The files are named by who issues the
//! lists and where they come from, and found by what is in them: what a policy calls the CA says nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use identity::bounds::KEPT_LISTS_BYTES_MAX;
use identity::certificate::{ClientCa, Kept};
use policy::model::Crl;
use sha2::{Digest as _, Sha256};

use super::files;
use crate::assemble::{hex, unhex};
use crate::bounds::KEPT_LISTS_OF_GONE_CAS_MAX;

/// Where the state directory keeps what moves.
pub const MOVING_DIRECTORY: &str = "moving";
/// What names of the files begin with; a key follows.
const KEPT: &str = "crl.";

/// What the file of a client CA is named by: over its issuers, and where its lists come from.
pub fn key(ca: &ClientCa, crl: &Crl) -> String {
    let mut hash = Sha256::new();
    ca.issuers().iter().for_each(|issuer| hash.update(issuer));
    hash.update(&crl.path);
    hex(&hash.finalize())
}

/// Keeps `bytes`, of the client CA with this key.
pub fn keep(state: &Path, key: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = state.join(MOVING_DIRECTORY);
    make(&directory)?;
    crate::atomic::write(&directory, &format!("{KEPT}{key}"), bytes, 0o600)
}

/// Makes a directory that only its owner can look into, unless it is there.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Gives `take` all that is kept, the newest file first.
pub fn each(state: &Path, mut take: impl FnMut(&Kept)) {
    let directory = state.join(MOVING_DIRECTORY);
    let files = match files_in(&directory) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            crate::warning!("{}: the last good revocation lists are lost: {error}", directory.display());
            return;
        }
    };
    for file in files {
        match files::read(&file.path, KEPT_LISTS_BYTES_MAX).map(|bytes| Kept::read(&bytes)) {
            Ok(Some(kept)) => take(&kept),
            Ok(None) => crate::warning!(
                "{}: expected revocation lists that were kept, found something else: they are lost",
                file.path.display()
            ),
            Err(error) => crate::warning!("the last good revocation lists are lost: {error}"),
        }
    }
}

/// Removes the oldest files of client CAs that are not in force (`in_force`: keys of those that are), so that no more than
/// [`KEPT_LISTS_OF_GONE_CAS_MAX`] stay.
pub fn forget_oldest(state: &Path, in_force: &BTreeSet<String>) -> io::Result<()> {
    let gone = files_in(&state.join(MOVING_DIRECTORY))?.into_iter();
    let gone = gone.filter(|file| !in_force.contains(&file.key));
    for file in gone.skip(KEPT_LISTS_OF_GONE_CAS_MAX) {
        crate::info!(
            "{}: removed: of the revocation lists of client CAs that are gone, {KEPT_LISTS_OF_GONE_CAS_MAX} files are kept",
            file.path.display()
        );
        fs::remove_file(&file.path)?;
    }
    Ok(())
}

struct KeptFile {
    path: PathBuf,
    key: String,
    written: SystemTime,
}

/// The newest first.
fn files_in(directory: &Path) -> io::Result<Vec<KeptFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let key = name.to_str().and_then(|name| name.strip_prefix(KEPT)).filter(|key| unhex(key).is_some());
        if let Some(key) = key {
            let written = entry.metadata().and_then(|of| of.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(KeptFile { path: entry.path(), key: key.to_owned(), written });
        }
    }
    found.sort_by(|one, other| other.written.cmp(&one.written).then_with(|| one.path.cmp(&other.path)));
    Ok(found)
}
