//! Generations of a profile: key, certificate, and what they are for, each generation a directory that is whole before its
//! name exists; and `current`, a link that is swapped, so that all of it changes in one step. Whoever resolves the link once reads a key that fits its certificate, whatever happens meanwhile;
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
use crate::files::{self, Access, FileFault};
use crate::profile::{GATEWAY_CA, PROFILE};
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
/// The token that goes with the certificate, where one does.
pub const TOKEN: &str = "token";
/// The key that the token is bound to, where it is to one of its own.
pub const DPOP_KEY: &str = "dpop-key.pem";
const FACTS: &str = "generation.json";
/// Names of what is not whole yet.
const UNFINISHED: &str = ".new-";
/// The link that becomes the one to the generation in use.
const LINK_NEXT: &str = ".current-new";

/// When and from where the certificate of a generation came; and its token, where that has a life of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    pub obtained_s: u64,
    pub from: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenLife>,
    /// The release has other terms by now: certificate and token are to be renewed at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_outdated: bool,
}

/// The life of a token, as its server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLife {
    pub obtained_s: u64,
    pub ends_s: u64,
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

/// Key and chain of a generation as they stand there, in PEM.
pub fn pair(identity: &Identity) -> Result<(zeroize::Zeroizing<String>, String), Fault> {
    let chain = files::read_text(&identity.directory.join(CHAIN), FILE_BYTES_MAX)?;
    Ok((files::read_secret(&identity.directory.join(KEY), FILE_BYTES_MAX)?, chain))
}

/// What the certificate in use says, whatever became of its key.
pub fn facts(profile: &Path) -> Result<Facts, Fault> {
    let path = resolved(profile)?.join(CHAIN);
    let chain = x509::certificates(&files::read(&path, FILE_BYTES_MAX)?).map_err(|why| Fault::at(&path, why))?;
    let first = chain.first().ok_or_else(|| Fault::at(&path, "expected a certificate, found none"))?;
    x509::facts(first).map_err(|why| Fault::at(&path, why))
}

/// A key in use that others than its owner may have read: nothing goes by it any more, and its certificate still holds.
pub struct Exposure {
    pub fault: Fault,
    pub facts: Facts,
}

impl Exposure {
    /// Against whoever has read it.
    pub fn todo(&self) -> String {
        let sha256 = &self.facts.sha256;
        format!("revoke what somebody may have the key of: adamant revoke --certificate sha256:{sha256} …")
    }
}

/// The key in use, where it is exposed.
pub fn exposed(profile: &Path) -> Option<Exposure> {
    match ::files::read_private(&resolved(profile).ok()?.join(KEY), FILE_BYTES_MAX) {
        Err(fault @ FileFault::Exposed { .. }) => Some(Exposure { fault: fault.into(), facts: facts(profile).ok()? }),
        _ => None,
    }
}

/// Whether the generation in use is of this key.
pub fn is_of(profile: &Path, key_pem: &str) -> bool {
    let chain = resolved(profile).and_then(|directory| Ok(files::read(&directory.join(CHAIN), FILE_BYTES_MAX)?));
    chain.is_ok_and(|chain| checked(key_pem, &chain).is_ok())
}

/// What goes into a generation.
pub struct New<'a> {
    pub key_pem: &'a str,
    pub chain_pem: &'a str,
    pub token: Option<&'a str>,
    pub dpop_key_pem: Option<&'a str>,
    /// `profile.json`, and the CA of the gateway in PEM.
    pub profile: &'a [u8],
    pub gateway_ca: Option<&'a [u8]>,
}

/// A generation that is whole on disk and not in use: dropped, it goes away.
#[must_use = "a staged generation is not in use yet"]
pub struct Staged {
    profile: PathBuf,
    target: PathBuf,
    names: Names,
    /// Numbers of those before, in order.
    before: Vec<u64>,
}

/// The names of a profile that lead into the generation in use.
struct Names {
    profile: PathBuf,
    /// Were not there before.
    made: Vec<PathBuf>,
    /// Take the place of files: of what is written beside it, and where.
    staged: Vec<(PathBuf, PathBuf)>,
}

/// Writes a new generation, and the link that will lead to it: everything that can run out of room. The caller holds the
/// profile's lock and has checked that key and chain belong together.
pub fn stage(profile: &Path, new: &New<'_>, origin: &Origin) -> Result<Staged, Fault> {
    let generations = profile.join(GENERATIONS);
    files::private_directory(&generations)?;
    let before = tidy(profile, &generations)?;
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
    let names = Names { profile: profile.to_owned(), made: Vec::new(), staged: Vec::new() };
    let mut staged = Staged { profile: profile.to_owned(), target, names, before };
    staged.names.stage(PROFILE)?;
    if new.gateway_ca.is_some() || profile.join(GATEWAY_CA).symlink_metadata().is_ok() {
        staged.names.stage(GATEWAY_CA)?;
    }
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
        self.names.put()?;
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

impl Names {
    /// Has a name lead into the generation in use: at once where there is none, else beside what is there.
    fn stage(&mut self, name: &str) -> Result<(), Fault> {
        let (path, target) = (self.profile.join(name), Path::new(CURRENT).join(name));
        if fs::read_link(&path).is_ok_and(|leads_to| leads_to == target) {
            return Ok(());
        }
        let link =
            |at: &Path| std::os::unix::fs::symlink(&target, at).map_err(|error| files::told(&path, "written", error));
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                link(&path)?;
                self.made.push(path);
                return Ok(());
            }
            Err(error) => return Err(files::told(&path, "read", error)),
            Ok(found) if found.is_dir() => {
                return Err(Fault::at(&path, "expected a file, found a directory").help("remove it"));
            }
            Ok(_) => {}
        }
        let beside = self.profile.join(format!(".{name}-new"));
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(files::told(&beside, "removed", error));
            }
            _ => link(&beside)?,
        }
        self.staged.push((beside, path));
        Ok(())
    }

    fn put(&self) -> Result<(), Fault> {
        for (beside, path) in &self.staged {
            fs::rename(beside, path).map_err(|error| files::told(path, "written", error))?;
        }
        files::sync_directory(&self.profile).map_err(|error| files::told(&self.profile, "written", error))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // Those that lead to nothing go: nothing was put in use.
        let made = self.made.iter().filter(|_| resolved(&self.profile).is_err());
        for path in made.chain(self.staged.iter().map(|(beside, _)| beside)) {
            let _ = fs::remove_file(path);
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
    if let Some(pem) = new.dpop_key_pem {
        files::write(&directory.join(DPOP_KEY), pem.as_bytes(), Access::OwnerOnly)?;
    }
    files::write(&directory.join(PROFILE), new.profile, Access::OwnerOnly)?;
    if let Some(pem) = new.gateway_ca {
        files::write(&directory.join(GATEWAY_CA), pem, Access::Everyone)?;
    }
    files::write(&directory.join(FACTS), format!("{facts}\n").as_bytes(), Access::OwnerOnly)
}

/// Removes what was never finished or never in use, keys and all: it was killed before. The numbers of the others, in order.
fn tidy(profile: &Path, generations: &Path) -> Result<Vec<u64>, Fault> {
    let current = resolved(profile).ok().and_then(|directory| directory.file_name()?.to_str()?.parse::<u64>().ok());
    let mut numbers = Vec::new();
    let entries = fs::read_dir(generations).map_err(|error| files::told(generations, "read", error))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(UNFINISHED) {
            let _ = fs::remove_dir_all(entry.path());
        } else if let Ok(number) = name.parse() {
            if current.is_some_and(|current| number <= current) {
                numbers.push(number);
            } else {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
