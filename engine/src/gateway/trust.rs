//! The trust root as it was placed, and the throw-away trust of `adamant dev`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use policy::credential;
use policy::model::Policy;
use policy_release::candidate::{self, Expected, Purpose, Release};
use policy_release::envelope::{Kind, Role};
use policy_release::key::SigningKey;
use policy_release::manifest::Manifest;
use policy_release::root::{RoleKeys, Roles, RootClaims, RootKey, TrustRoot, verify_root};
use policy_release::time::Timestamp;
use policy_release::verify::verify;
use policy_release::version::EngineVersion;

use super::VERSION;
use crate::failure::Failure;
use crate::files;

/// The trust root that the configuration names. It was placed by whoever may decide what this gateway serves.
pub struct Placed {
    pub path: PathBuf,
    pub root: TrustRoot,
    pub bytes: Vec<u8>,
}

impl Placed {
    pub fn read(path: &Path) -> Result<Self, Failure> {
        refuse_writable_by_others(path)?;
        let bytes = files::read(path, Kind::TrustRoot.envelope_bytes_max())?;
        let root = verify_root(&bytes).map_err(|fault| match credential::kind_of(&bytes) {
            None | Some("a trust root") => Failure::at(
                path,
                format_args!("expected a trust root, signed by its own threshold; found one that is not: {fault}"),
            )
            .help("place the trust root again as it was signed (adamant trust verify)"),
            Some(_) => Failure::at(path, files::found(&bytes, "a trust root"))
                .help("it is what trust_root under [gateway] names"),
        })?;
        Ok(Self { path: path.to_owned(), root, bytes })
    }
}

fn accept(release: &[u8], root: &[u8], policy_name: &str) -> Result<Release, Box<dyn std::error::Error>> {
    let root = verify_root(root)?;
    let verified = verify(release, &root, Role::ReleaseWider)?;
    let expected = Expected { policy_name, engine: engine_version()?, purpose: Purpose::Activate { now: now()? } };
    Ok(candidate::check(&verified, &root, &expected)?)
}

/// A release of `policy` signed by a key that nobody keeps: goes through the same checks as a real one.
pub fn throw_away(policy: Policy) -> Result<Release, Failure> {
    throw_away_release(policy).map_err(|error| Failure::new(format_args!("the policy cannot be released: {error}")))
}

fn throw_away_release(policy: Policy) -> Result<Release, Box<dyn std::error::Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let key = SigningKey::generate(seed)?;
    // Nobody renews it: it ends late enough that nobody is warned of that.
    let expires = Timestamp::from_seconds(now()?.seconds() + LIFE_S).ok_or("the clock is beyond the year 9999")?;
    let root_key = RootKey::new("throw-away", key.public());
    let alone = || RoleKeys { keys: vec![root_key.id], threshold: 1 };
    let roles = Roles {
        keys: None,
        pointer: alone(),
        release_narrower: alone(),
        release_wider: alone(),
        revocation: alone(),
        root: alone(),
    };
    let mut root = RootClaims::new(1, expires, vec![root_key.clone()], roles)?.to_envelope()?;
    root.sign(&key)?;
    let name = policy.name.clone();
    let mut release = Manifest::new(policy, 1, None, expires, Vec::new())?.to_envelope()?;
    release.sign(&key)?;
    accept(&release.to_bytes(), &root.to_bytes(), &name)
}

/// Of a throw-away release.
const LIFE_S: u64 = 366 * 86_400;

fn now() -> Result<Timestamp, &'static str> {
    Timestamp::from_seconds(control::clock::unix_s()).ok_or("the clock is beyond the year 9999")
}

pub fn engine_version() -> Result<EngineVersion, policy_release::version::VersionFault> {
    VERSION.parse()
}

/// Who can write the trust root decides what is served.
fn refuse_writable_by_others(path: &Path) -> Result<(), Failure> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    // What is no file is refused where it is read.
    if metadata.mode() & 0o022 == 0 || !metadata.is_file() {
        return Ok(());
    }
    let message = format!("others than its owner can write it (mode {:o})", metadata.mode() & 0o7777);
    Err(Failure::at(path, message).help(format_args!("run chmod go-w {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn policy() -> Policy {
        let text = r#"{"name":"p","audit":"queued","transport":"plain","issuers":[],"client_cas":[],"origins":[],
            "routes":[],"scopes":[],"agents":[],"api_keys":[]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_throw_away_release_passes_the_checks_of_a_real_one() {
        let release = throw_away(policy()).unwrap();
        assert_eq!((release.version, release.signers.len()), (1, 1));
        assert_eq!(release.policy, policy());
        let warned_s = control::bounds::EXPIRY_DISTANCES_S.into_iter().max().unwrap();
        assert!(release.expires.seconds() > now().unwrap().seconds() + 2 * warned_s, "nobody is warned of its end");
    }

    #[test]
    fn a_trust_root_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root.json");
        std::fs::write(&root, b"{}").unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(refuse_writable_by_others(&root).is_err());
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refuse_writable_by_others(&root).is_ok());
    }
}
