//! Where an agent's certificate comes from. The key is made here and leaves in no case; what goes out is a CSR.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bounds::{FILE_BYTES_MAX, SECRET_BYTES_MAX};
use crate::ca::Authority;
use crate::ca::issue::{self, For};
use crate::ca::token::Issuer;
use crate::clock;
use crate::fault::Fault;
use crate::files::{self, OWNER_ONLY};
use crate::generation::{self, New, Origin};
use crate::openbao::OpenBao;
use crate::profile::{Profile, TokenSource};
use crate::x509::Facts;

/// The key of a request that has not been answered yet.
const PENDING: &str = "pending.key";

/// How certificates are obtained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A CA in a directory that this process may read, key included.
    Ca { directory: PathBuf, passphrase_file: Option<PathBuf>, life_s: u64 },
    /// A CA elsewhere: `AGENT.csr` goes into a directory, and `AGENT.pem` is awaited there.
    Requests { directory: PathBuf },
    /// The PKI engine of OpenBao or Vault.
    Openbao(OpenBao),
}

/// What became of a renewal.
pub enum Renewal {
    Done {
        old: Option<String>,
        new: Facts,
    },
    /// A request was put there, and is not answered.
    Waiting {
        request: PathBuf,
    },
}

impl Source {
    /// For logs and people.
    pub fn shown(&self) -> String {
        match self {
            Self::Ca { directory, .. } => format!("ca:{}", directory.display()),
            Self::Requests { directory } => format!("requests:{}", directory.display()),
            Self::Openbao(of) => format!("openbao:{}/{}/{}", of.url.trim_end_matches('/'), of.mount, of.role),
        }
    }
}

/// Obtains a new key with a certificate and puts them in use. The caller holds the profile's lock.
pub fn renew(directory: &Path, profile: &Profile) -> Result<Renewal, Fault> {
    let old = generation::current(directory).ok().map(|identity| identity.facts.sha256);
    let (key, chain, token) = match &profile.certificate {
        Source::Ca { directory: ca, passphrase_file, life_s } => {
            issued(profile, ca, passphrase_file.as_deref(), *life_s)?
        }
        Source::Openbao(of) => {
            let key = issue::new_key()?;
            let chain = of.sign(&issue::request(&key, Some(&profile.spiffe))?, &profile.spiffe)?;
            (key, chain, None)
        }
        Source::Requests { directory: shared } => match answered(directory, profile, shared)? {
            Ok((key, chain)) => (key, chain, None),
            Err(request) => return Ok(Renewal::Waiting { request }),
        },
    };
    let token = token.as_ref().map(|token| token.as_str());
    let new = accept(directory, profile, &New { key_pem: &key, chain_pem: &chain, token })?;
    // Only now: a failure before leaves the request to be answered again.
    let _ = std::fs::remove_file(directory.join(PENDING));
    Ok(Renewal::Done { old, new })
}

/// A new key with its certificate, and the token that is bound to it.
type Issued = (Zeroizing<String>, String, Option<Zeroizing<String>>);

/// From the CA in a directory.
fn issued(profile: &Profile, ca: &Path, passphrase_file: Option<&Path>, life_s: u64) -> Result<Issued, Fault> {
    let passphrase = passphrase_file.map(|path| files::read_secret_line(path, SECRET_BYTES_MAX)).transpose()?;
    let passphrase = passphrase.as_ref().map(|text| text.as_bytes());
    if passphrase.is_none() && crate::ca::is_encrypted(ca)? {
        let help = "give --passphrase-file FILE, which renewals read too; or keep the CA elsewhere, and use --requests";
        return Err(Fault::at(ca, "the CA's key is encrypted, and no passphrase is named").help(help));
    }
    let authority = Authority::open(ca, passphrase)?;
    let key = issue::new_key()?;
    let csr = issue::request(&key, Some(&profile.spiffe))?;
    let now_s = clock::now_s();
    let made = authority.issue(&For::Agent(profile.spiffe.clone()), &csr, life_s, now_s)?;
    let token = match &profile.token {
        Some(TokenSource::Ca { claims }) => {
            let issuer = Issuer::open(ca, passphrase)?;
            let issuer = issuer.ok_or_else(|| Fault::at(ca, "this CA issues no tokens, and the profile wants one"))?;
            let hash = made.facts.sha256_bytes();
            Some(issuer.issue(claims, &hash, now_s, made.facts.not_after_s)?)
        }
        _ => None,
    };
    Ok((key, made.pem, token))
}

/// Checks what came and puts it in use.
fn accept(directory: &Path, profile: &Profile, new: &New<'_>) -> Result<Facts, Fault> {
    let from = profile.certificate.shown();
    let wrong = |why: String| Fault::new(format_args!("{from}: {why}"));
    let (_, _, facts) = generation::checked(new.key_pem, new.chain_pem.as_bytes()).map_err(wrong)?;
    if facts.uris != [profile.spiffe.as_str()] {
        let found = if facts.uris.is_empty() { "none".to_owned() } else { facts.uris.join(", ") };
        let help = "the CA names this agent otherwise: correct the CA's side, or enroll with the id that it gives";
        return Err(wrong(format!("expected a certificate for {}, found {found}", profile.spiffe)).help(help));
    }
    let now_s = clock::now_s();
    if facts.not_before_s > now_s || facts.not_after_s <= now_s {
        let (from, until) = (clock::shown(facts.not_before_s), clock::shown(facts.not_after_s));
        let message =
            format!("expected a certificate that is valid now ({}), found {from} to {until}", clock::shown(now_s));
        return Err(wrong(message).help("compare this machine's clock with the CA's"));
    }
    generation::write(directory, new, &Origin { obtained_s: now_s, from })?;
    Ok(facts)
}

/// Key and chain of a request, or where it waits.
type Answer = Result<(Zeroizing<String>, String), PathBuf>;

/// A key whose request was answered; or the request, put there if it was not.
fn answered(directory: &Path, profile: &Profile, shared: &Path) -> Result<Answer, Fault> {
    let (pending, request) = (directory.join(PENDING), shared.join(format!("{}.csr", profile.agent)));
    let answer = shared.join(format!("{}.pem", profile.agent));
    if pending.exists() {
        let key = files::read_secret(&pending, FILE_BYTES_MAX)?;
        if answer.exists() {
            let chain = files::read_text(&answer, FILE_BYTES_MAX)?;
            // One for another key is the answer to an earlier request.
            if generation::checked(&key, chain.as_bytes()).is_ok() {
                return Ok(Ok((key, chain)));
            }
        }
        if request.exists() {
            return Ok(Err(request));
        }
        files::write(&request, issue::request(&key, Some(&profile.spiffe))?.as_bytes(), files::EVERYBODY)?;
        return Ok(Err(request));
    }
    let key = issue::new_key()?;
    files::write(&pending, key.as_bytes(), OWNER_ONLY)?;
    files::write(&request, issue::request(&key, Some(&profile.spiffe))?.as_bytes(), files::EVERYBODY)?;
    Ok(Err(request))
}
