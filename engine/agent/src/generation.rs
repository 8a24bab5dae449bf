//! Generations of key and certificate in a profile: each a directory that is whole before its name exists, and `current`, a
//! link that is swapped. Whoever resolves the link once reads a key that fits its certificate, whatever happens meanwhile;
//! the last few stay for those who have just done so.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::bounds::{FILE_BYTES_MAX, GENERATIONS_KEPT};
use crate::fault::Fault;
use crate::files::{self, Access};
use crate::x509::{self, Facts};

/// The link to the generation in use.
pub const CURRENT: &str = "current";
/// Where generations are.
pub const GENERATIONS: &str = "generations";
/// The chain, the agent's own certificate first.
pub const CHAIN: &str = "cert.pem";
pub const KEY: &str = "key.pem";
/// Chain and key in one file, for programs that read both from one: it fits whenever it is read.
pub const BOTH: &str = "identity.pem";
/// The token that came with the certificate, where one did.
pub const TOKEN: &str = "token";
const FACTS: &str = "generation.json";
/// Names of what is not whole yet.
const UNFINISHED: &str = ".new-";
/// The link that becomes the one to the generation in use.
const LINK_NEXT: &str = ".current-new";

/// When and from where a generation came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    pub obtained_s: u64,
    pub from: String,
}

/// A key with its certificate, read and checked against each other.
pub struct Identity {
    pub directory: PathBuf,
    pub chain: Vec<CertificateDer<'static>>,
    pub certified: Arc<CertifiedKey>,
    pub facts: Facts,
    pub origin: Origin,
}

/// Reads the generation in use.
pub fn current(profile: &Path) -> Result<Identity, Fault> {
    let mut last = None;
    // A generation could be removed between the two reads, if many came at once.
    for _ in 0..3 {
        let directory = resolved(profile)?;
        match read(&directory) {
            Ok(identity) => return Ok(identity),
            Err(fault) => last = Some(fault),
        }
        if resolved(profile)? == directory {
            break;
        }
    }
    Err(last.unwrap_or_else(|| Fault::at(profile, "no generation")))
}

/// The directory that `current` leads to now.
pub fn resolved(profile: &Path) -> Result<PathBuf, Fault> {
    let link = profile.join(CURRENT);
    match fs::read_link(&link) {
        Ok(target) => Ok(profile.join(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let help = "enroll it: adamant agent enroll PROFILE …";
            Err(Fault::at(profile, "there is no certificate yet").help(help))
        }
        Err(error) => Err(files::told(&link, "read", error)),
    }
}

fn read(directory: &Path) -> Result<Identity, Fault> {
    let (chain_path, key_path) = (directory.join(CHAIN), directory.join(KEY));
    let chain_pem = files::read(&chain_path, FILE_BYTES_MAX)?;
    let key_pem = files::read_secret(&key_path, FILE_BYTES_MAX)?;
    let (chain, certified, facts) =
        checked(&key_pem, &chain_pem).map_err(|why| Fault::at(&chain_path, why).help("enroll again, with --force"))?;
    let path = directory.join(FACTS);
    let origin = serde_json::from_slice(&files::read(&path, FILE_BYTES_MAX)?)
        .map_err(|error| Fault::at(&path, format_args!("expected the facts of a generation, found {error}")))?;
    Ok(Identity { directory: directory.to_owned(), chain, certified: Arc::new(certified), facts, origin })
}

/// A chain with its key.
type Checked = (Vec<CertificateDer<'static>>, CertifiedKey, Facts);

/// A key and a chain that belong together.
pub fn checked(key_pem: &str, chain_pem: &[u8]) -> Result<Checked, String> {
    let chain = x509::certificates(chain_pem)?;
    let facts = x509::facts(chain.first().ok_or("expected a certificate, found none")?)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|error| format!("expected a private key in PEM, found {error}"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certified = CertifiedKey::from_der(chain.clone(), key, &provider)
        .map_err(|error| format!("expected a certificate for this key, found one for another ({error})"))?;
    Ok((chain, certified, facts))
}

/// What goes into a generation.
pub struct New<'a> {
    pub key_pem: &'a str,
    pub chain_pem: &'a str,
    pub token: Option<&'a str>,
}

/// A generation that is whole on disk and not in use: dropped, it goes away.
#[must_use = "a staged generation is not in use yet"]
pub struct Staged {
    profile: PathBuf,
    target: PathBuf,
    /// Numbers of those before, in order.
    before: Vec<u64>,
}

/// Writes a new generation, and the link that will lead to it: everything that can run out of room. The caller holds the
/// profile's lock and has checked that key and chain belong together.
pub fn stage(profile: &Path, new: &New<'_>, origin: &Origin) -> Result<Staged, Fault> {
    let generations = profile.join(GENERATIONS);
    files::private_directory(&generations)?;
    let before = tidy(&generations)?;
    let name = format!("{:06}", before.last().map_or(1, |last| last + 1));
    let (unfinished, target) = (generations.join(format!("{UNFINISHED}{name}")), generations.join(&name));
    let written = fill(&unfinished, new, origin).and_then(|()| {
        let done = fs::rename(&unfinished, &target).and_then(|()| files::sync_directory(&generations));
        done.map_err(|error| files::told(&target, "written", error))
    });
    if let Err(fault) = written {
        let _ = fs::remove_dir_all(&unfinished);
        let _ = fs::remove_dir_all(&target);
        return Err(fault);
    }
    // From here on it goes away by itself.
    let staged = Staged { profile: profile.to_owned(), target, before };
    let link = profile.join(LINK_NEXT);
    let linked = match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::os::unix::fs::symlink(Path::new(GENERATIONS).join(&name), &link),
    };
    linked.map_err(|error| files::told(&link, "written", error))?;
    Ok(staged)
}

impl Staged {
    /// Puts it in use, in one step; those who have just opened an older one can still read it.
    pub fn put(self) -> Result<PathBuf, Fault> {
        let link = self.profile.join(CURRENT);
        let done = fs::rename(self.profile.join(LINK_NEXT), &link).and_then(|()| files::sync_directory(&self.profile));
        done.map_err(|error| files::told(&link, "written", error))?;
        for old in self.before.iter().rev().skip(GENERATIONS_KEPT - 1) {
            let _ = fs::remove_dir_all(self.profile.join(GENERATIONS).join(format!("{old:06}")));
        }
        Ok(self.target.clone())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if resolved(&self.profile).ok().as_ref() != Some(&self.target) {
            let _ = fs::remove_file(self.profile.join(LINK_NEXT));
            let _ = fs::remove_dir_all(&self.target);
        }
    }
}

fn fill(directory: &Path, new: &New<'_>, origin: &Origin) -> Result<(), Fault> {
    let made = fs::DirBuilder::new().mode(0o700).create(directory);
    made.map_err(|error| files::told(directory, "made", error))?;
    let both = zeroize::Zeroizing::new(format!("{}{}", new.chain_pem, new.key_pem));
    let facts = serde_json::to_string(origin).map_err(|error| Fault::at(directory, error))?;
    files::write(&directory.join(KEY), new.key_pem.as_bytes(), Access::OwnerOnly)?;
    files::write(&directory.join(CHAIN), new.chain_pem.as_bytes(), Access::OwnerOnly)?;
    files::write(&directory.join(BOTH), both.as_bytes(), Access::OwnerOnly)?;
    if let Some(token) = new.token {
        files::write(&directory.join(TOKEN), token.as_bytes(), Access::OwnerOnly)?;
    }
    files::write(&directory.join(FACTS), format!("{facts}\n").as_bytes(), Access::OwnerOnly)
}

/// Removes what was never finished; the numbers of those that were, in order.
fn tidy(generations: &Path) -> Result<Vec<u64>, Fault> {
    let mut numbers = Vec::new();
    let entries = fs::read_dir(generations).map_err(|error| files::told(generations, "read", error))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(UNFINISHED) {
            let _ = fs::remove_dir_all(entry.path());
        } else if let Ok(number) = name.parse() {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::issue::new_key;

    fn pair() -> (zeroize::Zeroizing<String>, String) {
        let key = new_key().unwrap();
        let pair = rcgen::KeyPair::from_pem(&key).unwrap();
        (key, rcgen::CertificateParams::default().self_signed(&pair).unwrap().pem())
    }

    fn put(profile: &Path, new: &New<'_>, origin: &Origin) -> PathBuf {
        stage(profile, new, origin).unwrap().put().unwrap()
    }

    #[test]
    fn one_that_is_not_put_in_use_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let profile = directory.path();
        let origin = Origin { obtained_s: 7, from: "test".into() };
        let (key, chain) = pair();
        let new = New { key_pem: &key, chain_pem: &chain, token: None };
        drop(stage(profile, &new, &origin).unwrap());
        assert!(current(profile).is_err());
        let first = put(profile, &new, &origin);
        drop(stage(profile, &new, &origin).unwrap());
        assert_eq!(current(profile).unwrap().directory, first);
        assert_eq!(fs::read_dir(profile.join(GENERATIONS)).unwrap().count(), 1);
        assert_eq!(fs::read_dir(profile).unwrap().count(), 2, "the directory of generations, and the link");
    }

    #[test]
    fn generations_follow_each_other_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let profile = directory.path();
        assert!(current(profile).is_err());
        let origin = Origin { obtained_s: 7, from: "test".into() };
        for number in 1..=5 {
            let (key, chain) = pair();
            let made = put(profile, &New { key_pem: &key, chain_pem: &chain, token: None }, &origin);
            assert!(made.ends_with(format!("generations/{number:06}")));
            let read = current(profile).unwrap();
            assert_eq!((read.directory, read.origin.obtained_s), (made, 7));
        }
        assert_eq!(fs::read_dir(profile.join(GENERATIONS)).unwrap().count(), GENERATIONS_KEPT);
    }

    #[test]
    fn a_key_that_does_not_fit_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let (key, _) = pair();
        let (_, chain) = pair();
        assert!(checked(&key, chain.as_bytes()).err().unwrap().contains("one for another"));
        let origin = Origin { obtained_s: 7, from: "test".into() };
        put(directory.path(), &New { key_pem: &key, chain_pem: &chain, token: None }, &origin);
        assert!(current(directory.path()).err().unwrap().to_string().contains("one for another"));
    }
}
