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
use crate::files::{self, OWNER_ONLY};
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
        Err(error) => Err(files::told(&link, "read", &error)),
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

/// Writes a new generation and puts it in use. On any failure the one before stays, whole. The caller holds the profile's
/// lock and has checked that key and chain belong together.
pub fn write(profile: &Path, new: &New<'_>, origin: &Origin) -> Result<PathBuf, Fault> {
    let generations = profile.join(GENERATIONS);
    files::private_directory(&generations)?;
    let numbers = tidy(&generations)?;
    let number = numbers.last().map_or(1, |last| last + 1);
    let unfinished = generations.join(format!("{UNFINISHED}{number}"));
    let target = generations.join(format!("{number:06}"));
    let written = fill(&unfinished, new, origin).and_then(|()| {
        let done = fs::rename(&unfinished, &target).and_then(|()| files::sync_directory(&generations));
        done.map_err(|error| files::told(&target, "written", &error))?;
        swap(profile, number)
    });
    if let Err(fault) = written {
        let _ = fs::remove_dir_all(&unfinished);
        if resolved(profile).ok().as_ref() != Some(&target) {
            let _ = fs::remove_dir_all(&target);
        }
        return Err(fault);
    }
    for old in numbers.iter().rev().skip(GENERATIONS_KEPT - 1) {
        let _ = fs::remove_dir_all(generations.join(format!("{old:06}")));
    }
    Ok(target)
}

fn fill(directory: &Path, new: &New<'_>, origin: &Origin) -> Result<(), Fault> {
    let made = fs::DirBuilder::new().mode(0o700).create(directory);
    made.map_err(|error| files::told(directory, "made", &error))?;
    let both = zeroize::Zeroizing::new(format!("{}{}", new.chain_pem, new.key_pem));
    let facts = serde_json::to_string(origin).map_err(|error| Fault::at(directory, error))?;
    files::write(&directory.join(KEY), new.key_pem.as_bytes(), OWNER_ONLY)?;
    files::write(&directory.join(CHAIN), new.chain_pem.as_bytes(), OWNER_ONLY)?;
    files::write(&directory.join(BOTH), both.as_bytes(), OWNER_ONLY)?;
    if let Some(token) = new.token {
        files::write(&directory.join(TOKEN), token.as_bytes(), OWNER_ONLY)?;
    }
    files::write(&directory.join(FACTS), format!("{facts}\n").as_bytes(), OWNER_ONLY)
}

/// Makes `current` lead to generation `number`, in one step.
fn swap(profile: &Path, number: u64) -> Result<(), Fault> {
    let (link, beside) = (profile.join(CURRENT), profile.join(".current-new"));
    let done = (|| {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(Path::new(GENERATIONS).join(format!("{number:06}")), &beside)?;
        fs::rename(&beside, &link)?;
        files::sync_directory(profile)
    })();
    done.map_err(|error| files::told(&link, "written", &error))
}

/// Removes what was never finished; the numbers of those that were, in order.
fn tidy(generations: &Path) -> Result<Vec<u64>, Fault> {
    let mut numbers = Vec::new();
    let entries = fs::read_dir(generations).map_err(|error| files::told(generations, "read", &error))?;
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

    #[test]
    fn generations_follow_each_other_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let profile = directory.path();
        assert!(current(profile).is_err());
        let origin = Origin { obtained_s: 7, from: "test".into() };
        for number in 1..=5 {
            let (key, chain) = pair();
            let made = write(profile, &New { key_pem: &key, chain_pem: &chain, token: None }, &origin).unwrap();
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
        write(directory.path(), &New { key_pem: &key, chain_pem: &chain, token: None }, &origin).unwrap();
        assert!(current(directory.path()).err().unwrap().to_string().contains("one for another"));
    }
}
