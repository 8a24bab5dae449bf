//! A profile: a directory with everything an agent needs to call a gateway. `profile.json` says what and how to renew it; it
//! stands in the generation in use, with keys and certificates, and is swapped with them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ::files::Exposed;
use policy::bounds::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

use crate::bounds::{FILE_BYTES_MAX, SECRET_BYTES_MAX};
use crate::ca::token::Claims;
use crate::channel::Follows;
use crate::dpop::ProofKey;
use crate::fault::Fault;
use crate::files::{self, Access, Lock};
use crate::generation;
use crate::id::Id;
use crate::oauth::TokenEndpoint;
use crate::release::Granted;
use crate::source::Source;
use crate::tls::{Pins, Target};
use crate::x509;

const FORMAT: &str = "adamant.profile.v1";

/// Files of a profile.
pub const PROFILE: &str = "profile.json";
pub const GATEWAY_CA: &str = "gateway-ca.pem";
/// Where the local proxy listens unless another place is named.
pub const SOCKET: &str = "proxy.sock";
const LOCK: &str = "lock";
/// An enrolment that waits for its certificate, and one that is not whole yet.
const ENROLLING: &str = "enrolling";
const ENROLLING_NEW: &str = ".enrolling-new";

/// The file `profile.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    format: String,
    /// Name in the policy.
    pub agent: String,
    /// What its certificate says. Called `spiffe` in profiles of before there were others.
    #[serde(alias = "spiffe")]
    pub id: Id,
    /// `https://HOST:PORT`.
    pub gateway: Target,
    /// SHA-256 over the SubjectPublicKeyInfo of the gateway's certificate, lower-case hex; any of them. Besides the CA in
    /// `gateway-ca.pem`, where that is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateway_spki_sha256: Vec<String>,
    /// Where certificates come from.
    pub certificate: Source,
    /// Where tokens come from, for agents that need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSource>,
    /// What the release lets the agent do: the one that it was enrolled with, or that its channel runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Granted>,
    /// The channel that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
}

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TokenSource {
    /// A file that something else writes and renews.
    File { path: PathBuf },
    /// The CA issues it with each certificate, bound to it; it stands in the generation.
    Ca { claims: Claims },
    /// An authorization server; it stands in the generation too, and is renewed by itself.
    Oauth(TokenEndpoint),
}

impl TokenSource {
    /// What a renewal of them reads on this machine.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Oauth(of) => of.files(),
            // The first is looked at as a token, the second as a certificate is.
            Self::File { .. } | Self::Ca { .. } => Vec::new(),
        }
    }

    /// Why its tokens cannot go with a DPoP proof of this profile; none where they can.
    pub const fn without_key(&self) -> Option<&'static str> {
        match self {
            Self::File { .. } => Some(
                "one from a file cannot be, because each request needs a proof by the key that the token was asked for with, and \
                 only whoever asked for it has that key",
            ),
            Self::Ca { .. } => Some("those of the built-in CA are bound to the certificate instead"),
            Self::Oauth(_) => None,
        }
    }
}

impl Profile {
    pub fn new(agent: &str, id: Id, gateway: Target, certificate: Source) -> Self {
        Self {
            format: FORMAT.to_owned(),
            agent: agent.to_owned(),
            id,
            gateway,
            gateway_spki_sha256: Vec::new(),
            certificate,
            token: None,
            granted: None,
            follows: None,
        }
    }

    /// Reads the profile in `directory`: the one in use; while there is none, the one that waits for its certificate.
    pub fn read(directory: &Path) -> Result<Self, Fault> {
        let path = place(directory).join(PROFILE);
        if !files::is_there(&path)? {
            let help = "make one: adamant agent enroll PROFILE --gateway https://HOST:PORT --agent NAME …";
            return Err(Fault::at(directory, "expected a profile, found no profile.json in it").help(help));
        }
        expect_own(directory)?;
        let profile: Self = serde_json::from_slice(&files::read(&path, FILE_BYTES_MAX)?)
            .map_err(|error| Fault::at(&path, format_args!("expected a profile, found {error}")))?;
        if profile.format == FORMAT {
            expect_name(&profile.agent).map_err(|why| Fault::at(&path, why))?;
            return Ok(profile);
        }
        let message = format!("expected format {FORMAT:?}, found {:?}", profile.format);
        Err(Fault::at(&path, message).help("it was made by another version of adamant: enroll again, with --force"))
    }

    /// What its certificates and tokens are for: the CA that the release believes, and what tokens shall say.
    pub fn terms(&self) -> (Option<&str>, Option<&TokenSource>) {
        (self.granted.as_ref().map(|granted| &*granted.client_ca), self.token.as_ref())
    }

    /// The file, as it is written.
    pub fn json(&self) -> Result<Vec<u8>, Fault> {
        let json = serde_json::to_string_pretty(self).map_err(Fault::new)?;
        Ok(format!("{json}\n").into_bytes())
    }

    /// What the gateway's certificate must be.
    pub fn pins(&self, directory: &Path) -> Result<Pins, Fault> {
        let pem = gateway_ca(&place(directory))?;
        self.pins_with(pem.as_deref()).map_err(|why| Fault::at(directory, why))
    }

    /// As [`Self::pins`], with the CA of the gateway in PEM.
    pub fn pins_with(&self, ca_pem: Option<&[u8]>) -> Result<Pins, String> {
        let cas = ca_pem.map(x509::certificates).transpose().map_err(|why| format!("{GATEWAY_CA}: {why}"))?;
        Pins::new(cas.unwrap_or_default(), &self.gateway_spki_sha256)
    }

    /// The file that programs read the token from, in a profile's directory; none for agents without tokens.
    pub fn token_file(&self, directory: &Path) -> Option<PathBuf> {
        self.token.as_ref().map(|source| match source {
            TokenSource::File { path } => path.clone(),
            TokenSource::Ca { .. } | TokenSource::Oauth(_) => {
                directory.join(generation::CURRENT).join(generation::TOKEN)
            }
        })
    }

    /// The token to send now, with the certificate of this generation: one that is bound to another is worth nothing.
    pub fn token_now(&self, generation: &Path) -> Result<Option<zeroize::Zeroizing<String>>, Fault> {
        let path = self.token.as_ref().map(|source| match source {
            TokenSource::File { path } => path.clone(),
            TokenSource::Ca { .. } | TokenSource::Oauth(_) => generation.join(generation::TOKEN),
        });
        path.map(|path| files::read_secret_line(&path, SECRET_BYTES_MAX)).transpose()
    }

    /// Whether its tokens are bound to a key of their own (DPoP).
    pub fn proves_by_key(&self) -> bool {
        matches!(&self.token, Some(TokenSource::Oauth(of)) if of.dpop)
    }

    /// The key that the token of this generation is bound to, where it is to one of its own.
    pub fn dpop_key(&self, generation: &Path) -> Result<Option<ProofKey>, Fault> {
        self.proves_by_key().then(|| ProofKey::read(&generation.join(generation::DPOP_KEY))).transpose()
    }
}

/// Refuses a name that no policy gives to an agent; it becomes part of names of files.
pub fn expect_name(agent: &str) -> Result<(), Fault> {
    let admitted = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._:-".contains(&byte);
    let begins = agent.starts_with(|first: char| first.is_ascii_alphanumeric());
    if begins && agent.len() <= NAME_BYTES_MAX && agent.bytes().all(admitted) {
        return Ok(());
    }
    let message = format!(
        "expected the name of an agent, 1 to {NAME_BYTES_MAX} of a-z, 0-9, \".\", \"_\", \":\" and \"-\", found {agent:?}"
    );
    Err(Fault::new(message).help("give its name as it stands in the policy"))
}

/// Refuses a directory that others may write or own (root may): they could put another gateway, and other credentials, in the place of its own.
fn expect_own(directory: &Path) -> Result<(), Fault> {
    let found = fs::metadata(directory).map_err(|error| files::told(directory, "read", error))?;
    let told = match ::files::exposed(&found) {
        Some(Exposed::Mode(mode)) if mode & 0o022 != 0 => Exposed::Mode(mode),
        Some(of_owner @ Exposed::Owner(_)) => of_owner,
        _ => return Ok(()),
    };
    Err(Fault::at(directory, format_args!("expected a directory of this user that nobody else may write, found {told}")).help(
        "whoever may write it may have put another gateway or key there: enroll anew in a directory of its own, or, if nobody \
         did, have it owned by this user (chown) with mode 700 (chmod)",
    ))
}

/// The directory in a profile's that has its files.
fn place(directory: &Path) -> PathBuf {
    let enrolling = directory.join(ENROLLING);
    let is_first = !directory.join(PROFILE).exists() && enrolling.join(PROFILE).exists();
    if is_first { enrolling } else { directory.to_owned() }
}

fn gateway_ca(place: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let path = place.join(GATEWAY_CA);
    Ok(path.exists().then(|| files::read(&path, FILE_BYTES_MAX)).transpose()?)
}

/// A profile with the CA of the gateway in PEM: what goes into a generation beside key and certificate.
#[derive(Clone, Debug)]
pub struct Enrolment {
    pub profile: Profile,
    pub gateway_ca: Option<Vec<u8>>,
}

impl Enrolment {
    /// The one in use.
    pub fn read(directory: &Path) -> Result<Self, Fault> {
        Ok(Self { profile: Profile::read(directory)?, gateway_ca: gateway_ca(&place(directory))? })
    }

    /// The one that waits for its certificate, where one does.
    pub fn waiting(directory: &Path) -> Result<Option<Self>, Fault> {
        is_waiting(directory).then(|| Self::read(&directory.join(ENROLLING))).transpose()
    }

    /// Keeps it until there is a certificate for it; what is in use stays as it is.
    pub fn wait(&self, directory: &Path) -> Result<(), Fault> {
        let (place, unfinished) = (directory.join(ENROLLING), directory.join(ENROLLING_NEW));
        removed(&unfinished)?;
        files::private_directory(&unfinished)?;
        files::write(&unfinished.join(PROFILE), &self.profile.json()?, Access::OwnerOnly)?;
        if let Some(pem) = &self.gateway_ca {
            files::write(&unfinished.join(GATEWAY_CA), pem, Access::Everyone)?;
        }
        removed(&place)?;
        let done = fs::rename(&unfinished, &place).and_then(|()| files::sync_directory(directory));
        done.map_err(|error| files::told(&place, "written", error))
    }
}

/// Whether an enrolment waits for its certificate.
pub fn is_waiting(directory: &Path) -> bool {
    directory.join(ENROLLING).join(PROFILE).exists()
}

/// No enrolment waits any more.
pub fn end_waiting(directory: &Path) -> Result<(), Fault> {
    removed(&directory.join(ENROLLING))
}

/// Has no directory of that name.
fn removed(path: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(files::told(path, "removed", error)),
        _ => Ok(()),
    }
}

/// Takes the profile for writing. One process at a time.
pub fn lock(directory: &Path) -> Result<Lock, Fault> {
    files::lock(&directory.join(LOCK))
}

/// What in a profile others may read or write; each with its mode.
pub fn exposed(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut looked = vec![directory.to_owned()];
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    looked.extend(entries(directory));
    if let Ok(current) = generation::resolved(directory) {
        looked.extend(entries(&current));
        looked.push(current);
    }
    let mode = |path: PathBuf| {
        let found = fs::symlink_metadata(&path).ok()?;
        let mode = found.permissions().mode() & 0o777;
        let secret = !found.is_symlink() && path.file_name().is_none_or(|name| name != GATEWAY_CA);
        (secret && mode & 0o077 != 0).then_some((path, mode))
    };
    looked.into_iter().filter_map(mode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_a_name_that_a_policy_can_give() {
        for good in ["reports-bot", "a", "team:ci.build_1", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(expect_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", ".", "..", "../victim", "a/b", "Bot", "a b", "x;touch pwned #", "a\nb", "-rf", &long] {
            assert!(expect_name(bad).unwrap_err().hint().is_some(), "{bad}");
        }
    }

    #[test]
    fn a_profile_of_before_there_were_dns_names_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let requests = Source::Requests { directory: directory.path().to_owned() };
        let id = "spiffe://corp.example/reports".parse().unwrap();
        let profile = Profile::new("reports-bot", id, "https://localhost:1".parse().unwrap(), requests);
        let text = String::from_utf8(profile.json().unwrap()).unwrap();
        for written in [text.clone(), text.replace("\"id\"", "\"spiffe\"")] {
            fs::write(directory.path().join(PROFILE), written).unwrap();
            assert_eq!(Profile::read(directory.path()).unwrap().id, profile.id);
        }
    }
}
