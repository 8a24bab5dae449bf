//! Where an agent's certificate comes from. The key is made here and leaves in no case; what goes out is a CSR.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use stores::issue::CLIENTS_HELP;
use zeroize::Zeroizing;

use crate::acme::Acme;
use crate::bounds::{BACKDATED_S, FILE_BYTES_MAX, LIFE_CLIENT_S_MAX, SECRET_BYTES_MAX};
use crate::ca::issue::{self, For};
use crate::ca::token::Issuer;
use crate::ca::{Authority, place};
use crate::clock;
use crate::fault::Fault;
use crate::files::{self, Access};
use crate::fresh::{self, Fresh, Writer};
use crate::generation::{self, Identity, New, Origin};
use crate::id::{Id, Kind};
use crate::oauth::Fetched;
use crate::openbao::OpenBao;
use crate::profile::{Enrolment, Profile, TokenSource};
use crate::release;
use crate::spiffe::SpiffeId;
use crate::x509::Facts;

pub mod token;

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
    /// An ACME server.
    Acme(Acme),
}

/// A key with its certificate, checked: nobody needs to be asked for anything any more, and nothing is in use yet.
#[must_use = "what was obtained is not in use yet"]
pub struct Ready {
    new: Issued,
    pub facts: Facts,
    /// Of an authorization server: one that is bound to this certificate, or the first.
    token: Option<Fetched>,
    /// Where it waits, in words, where it was counted.
    kept: Option<&'static str>,
}

/// The same, whole on disk.
#[must_use = "what was obtained is not in use yet"]
pub struct Staged {
    staged: generation::Staged,
    directory: PathBuf,
    facts: Facts,
}

/// What became of an attempt.
pub enum Obtained {
    Ready(Box<Ready>),
    Waiting(Waiting),
}

/// A request that was put where a CA elsewhere finds it, and is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub request: PathBuf,
    /// Of its public key: what the CA's side compares, because others may have been at the request.
    pub key_sha256: String,
}

impl Ready {
    /// Has it whole on disk, beside all else of `enrolment`, with the token of `before` where that goes with any certificate:
    /// both as they are now. The caller holds the profile's lock.
    pub fn stage(self, directory: &Path, enrolment: &Enrolment, before: Option<&Identity>) -> Result<Staged, Fault> {
        let Self { new, facts, token, kept } = self;
        match staged(directory, enrolment, before, &new, token) {
            Ok(staged) => Ok(Staged { staged, directory: directory.to_owned(), facts }),
            Err(fault) => Err(waiting_in(kept, fault)),
        }
    }
}

impl Staged {
    /// Puts it in use, in one step.
    pub fn put(self) -> Result<Facts, Fault> {
        self.staged.put()?;
        // Only now: a failure before leaves the request to be answered again.
        let _ = std::fs::remove_file(self.directory.join(PENDING));
        fresh::forget(&self.directory);
        Ok(self.facts)
    }
}

impl Source {
    /// For logs and people.
    pub fn shown(&self) -> String {
        match self {
            Self::Ca { directory, .. } => format!("ca:{}", directory.display()),
            Self::Requests { directory } => format!("requests:{}", directory.display()),
            Self::Openbao(of) => format!("openbao:{}/{}/{}", of.url.trim_end_matches('/'), of.mount, of.role),
            Self::Acme(of) => format!("acme:{}", of.directory),
        }
    }

    /// What a renewal reads on this machine.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Ca { directory, passphrase_file, .. } => [place::SETTINGS, place::KEY]
                .map(|name| directory.join(name))
                .into_iter()
                .chain(passphrase_file.clone())
                .collect(),
            Self::Requests { directory } => vec![directory.clone()],
            Self::Openbao(of) => [&of.token_file].into_iter().chain(&of.ca_file).cloned().collect(),
            Self::Acme(of) => of.ca_file.iter().cloned().collect(),
        }
    }

    /// What sort of name its certificates have.
    pub const fn gives(&self) -> Kind {
        match self {
            Self::Ca { .. } | Self::Requests { .. } | Self::Openbao(_) => Kind::Spiffe,
            Self::Acme(_) => Kind::Dns,
        }
    }
}

/// Obtains a new key with a certificate, and the token that must come with it; it may take its time. `before`: what is in use,
/// which a renewal goes on from. `writer`, which is not held: with what an order gave that could not be put in use.
pub fn obtain(
    directory: &Path,
    enrolment: &Enrolment,
    before: Option<&Identity>,
    writer: &Writer,
) -> Result<Obtained, Fault> {
    let profile = &enrolment.profile;
    // While somebody takes their time, what was in use may be gone.
    let has_token = token::kept(profile, before).is_some();
    let (new, checked, kept) = match (&profile.certificate, &profile.id) {
        (Source::Ca { directory: ca, passphrase_file, life_s }, Id::Spiffe(id)) => {
            let new = issued(profile, id, ca, (passphrase_file.as_deref(), *life_s))?;
            uncounted(profile, before, new)?
        }
        (Source::Openbao(of), Id::Spiffe(id)) => {
            let key = issue::new_key()?;
            let chain = of.sign(&issue::request(&key, Some(id))?, id)?;
            uncounted(profile, before, Issued::new(key, chain))?
        }
        (Source::Requests { directory: shared }, Id::Spiffe(id)) => {
            match answered(directory, &profile.agent, id, shared)? {
                Ok((key, chain)) => uncounted(profile, before, Issued::new(key, chain))?,
                Err(waiting) => return Ok(Obtained::Waiting(waiting)),
            }
        }
        (Source::Acme(of), Id::Dns(name)) => ordered(directory, profile, before, writer, || of.order(directory, name))?,
        (source, id) => {
            let message = format!("{}: expected a {} to ask for, found {id}", source.shown(), source.gives().noun());
            return Err(Fault::new(message).help("enroll again, with --force"));
        }
    };
    let (certificates, facts) = checked;
    let token = match &profile.token {
        Some(TokenSource::Oauth(of)) if !has_token => {
            Some(of.fetch(&new.key, &certificates).map_err(|fault| waiting_in(kept, fault))?)
        }
        _ => None,
    };
    Ok(Obtained::Ready(Box::new(Ready { new, facts, token, kept })))
}

/// A new key with its certificate, and the token that the same CA gave with it.
struct Issued {
    key: Zeroizing<String>,
    chain: String,
    token: Option<Zeroizing<String>>,
    obtained_s: u64,
}

impl Issued {
    fn new(key: Zeroizing<String>, chain: String) -> Self {
        Self { key, chain, token: None, obtained_s: clock::now_s() }
    }
}

/// What came, once it may be used.
type Checked = (Vec<CertificateDer<'static>>, Facts);

/// What came, and where it waits where it was counted.
type Came = (Issued, Checked, Option<&'static str>);

fn uncounted(profile: &Profile, before: Option<&Identity>, new: Issued) -> Result<Came, Fault> {
    let checked = checked(profile, before, &new)?;
    Ok((new, checked, None))
}

/// Of those who count orders: what came of one that could not be put in use, where that is still good; else a new one.
fn ordered(
    directory: &Path,
    profile: &Profile,
    before: Option<&Identity>,
    writer: &Writer,
    order: impl FnOnce() -> Result<(Zeroizing<String>, String), Fault>,
) -> Result<Came, Fault> {
    let from = profile.certificate.shown();
    let held = Fresh::take(directory, &mut writer.lock());
    let waiting = held.and_then(|fresh| {
        // One that is in use already was only not removed: each renewal has a key of its own.
        if generation::is_of(directory, &fresh.key) {
            return None;
        }
        let Fresh { key, chain, obtained_s, .. } = &fresh;
        let new = Issued { obtained_s: *obtained_s, ..Issued::new(key.clone(), chain.clone()) };
        let checked = checked(profile, before, &new).ok()?;
        fresh.is_good(&from, checked.1.not_after_s, clock::now_s()).then_some((new, checked))
    });
    let (new, checked) = match waiting {
        Some(waiting) => waiting,
        None => {
            let (key, chain) = order()?;
            let new = Issued::new(key, chain);
            // It has been counted, and another one would be refused here as well.
            let checked = checked(profile, before, &new).map_err(Fault::counted)?;
            (new, checked)
        }
    };
    // Before anything else can fail: whatever does, this one need not be ordered again. Putting it in use takes it away.
    let fresh = Fresh { from, obtained_s: new.obtained_s, key: new.key.clone(), chain: new.chain.clone() };
    let kept = fresh.keep(directory, &mut writer.lock());
    Ok((new, checked, Some(kept)))
}

fn waiting_in(kept: Option<&'static str>, fault: Fault) -> Fault {
    let Some(place) = kept else { return fault };
    fault.and(format_args!("the new certificate waits in {place}, and no other is ordered"))
}

fn checked(profile: &Profile, before: Option<&Identity>, new: &Issued) -> Result<Checked, Fault> {
    let (certificates, _, facts) = generation::checked(&new.key, new.chain.as_bytes())
        .map_err(|why| Fault::new(format_args!("{}: {why}", profile.certificate.shown())))?;
    acceptable(profile, before.map(|identity| &identity.facts), &certificates, &facts, clock::now_s())?;
    Ok((certificates, facts))
}

/// Has it whole on disk, with the token that goes with it.
fn staged(
    directory: &Path,
    enrolment: &Enrolment,
    before: Option<&Identity>,
    new: &Issued,
    fetched: Option<Fetched>,
) -> Result<generation::Staged, Fault> {
    let (profile, Issued { key, chain, token, obtained_s }) = (&enrolment.profile, new);
    let (token, life, dpop_key) = match &profile.token {
        Some(TokenSource::Oauth(of)) => {
            // The one in use first: it may have been renewed while the certificate was asked for.
            let found = token::kept(profile, before).or(fetched);
            let gone = || Fault::new(format_args!("{}: expected the token in use, found it gone", of.url));
            let Fetched { value, life, dpop_key_pem } = found.ok_or_else(gone)?;
            (Some(value), Some(life), dpop_key_pem)
        }
        _ => (token.clone(), None, None),
    };
    let token = token.as_ref().map(|token| token.as_str());
    let dpop_key_pem = dpop_key.as_ref().map(|pem| pem.as_str());
    let (json, gateway_ca) = (profile.json()?, enrolment.gateway_ca.as_deref());
    let new = New { key_pem: key, chain_pem: chain, token, dpop_key_pem, profile: &json, gateway_ca };
    let (obtained_s, from) = (*obtained_s, profile.certificate.shown());
    generation::stage(directory, &new, &Origin { obtained_s, from, token: life, is_outdated: false })
}

/// From the CA in a directory.
fn issued(
    profile: &Profile,
    id: &SpiffeId,
    ca: &Path,
    (passphrase_file, life_s): (Option<&Path>, u64),
) -> Result<Issued, Fault> {
    let passphrase = passphrase_file.map(|path| files::read_secret_line(path, SECRET_BYTES_MAX)).transpose()?;
    let passphrase = passphrase.as_ref().map(|text| text.as_bytes());
    if passphrase.is_none() && crate::ca::is_encrypted(ca)? {
        let help = "give --passphrase-file FILE, which renewals read too; or keep the CA elsewhere, and use --requests";
        return Err(Fault::at(ca, "the CA's key is encrypted, and no passphrase is named").help(help));
    }
    let authority = Authority::open(ca, passphrase)?;
    let key = issue::new_key()?;
    let csr = issue::request(&key, Some(id))?;
    let now_s = clock::now_s();
    let made = authority.issue(&For::Agent(id.clone()), &csr, None, life_s, now_s)?;
    let token = match &profile.token {
        Some(TokenSource::Ca { claims }) => {
            let issuer = Issuer::open(ca, passphrase)?;
            let issuer = issuer.ok_or_else(|| Fault::at(ca, "this CA issues no tokens, and the profile wants one"))?;
            let hash = made.facts.sha256_bytes();
            Some(issuer.issue(claims, &hash, now_s, made.facts.not_after_s)?)
        }
        _ => None,
    };
    Ok(Issued { token, ..Issued::new(key, made.pem) })
}

/// Whether what came may take the place of what is in use (`before`). Who could hand out certificates in the name of the CA
/// would otherwise put an agent out of service, for as long as a wrong one lasts.
fn acceptable(
    profile: &Profile,
    before: Option<&Facts>,
    chain: &[CertificateDer<'_>],
    facts: &Facts,
    now_s: u64,
) -> Result<(), Fault> {
    let wrong = |why: String| Fault::new(format_args!("{}: {why}", profile.certificate.shown()));
    if let Err(why) = profile.id.check(facts) {
        let help = "the CA names this agent otherwise: correct the CA's side, or enroll with the id that it gives";
        return Err(wrong(why).help(help));
    }
    if !facts.is_for_clients {
        let message = "expected a certificate for clients, found one for other uses (extendedKeyUsage)".to_owned();
        return Err(wrong(message).help(CLIENTS_HELP));
    }
    if facts.not_before_s > now_s || facts.not_after_s <= now_s {
        let (from, until) = (clock::shown(facts.not_before_s), clock::shown(facts.not_after_s));
        let message =
            format!("expected a certificate that is valid now ({}), found {from} to {until}", clock::shown(now_s));
        return Err(wrong(message).help("compare this machine's clock with the CA's"));
    }
    let life_s = facts.not_after_s - now_s;
    if life_s > LIFE_CLIENT_S_MAX + BACKDATED_S {
        let (most, found) = (clock::length(LIFE_CLIENT_S_MAX), clock::length(life_s));
        let help = "have the CA issue for less: certificates that renew themselves need no long life";
        return Err(wrong(format!("expected a certificate for at most {most}, found one for {found}")).help(help));
    }
    // A release without a client CA believes none in particular.
    if let Some(granted) = profile.granted.as_ref().filter(|granted| !granted.client_ca.is_empty()) {
        return release::believes(granted, chain, now_s).map_err(|why| {
            let of = format!("release version {} of {}", granted.version, granted.policy);
            wrong(format!("expected a certificate of the CA that {of} believes for {}, found {why}", profile.agent))
                .help("the gateway would refuse it. If a newer release names this CA: enroll with it, and --force")
        });
    }
    let same = |before: &&Facts| (&before.issuer, &before.issuer_key) == (&facts.issuer, &facts.issuer_key);
    match before.filter(|before| !same(before)) {
        None => Ok(()),
        Some(before) => {
            let message = format!(
                "expected a certificate of the CA that issued the one in use ({}), found one of another ({})",
                before.issuer, facts.issuer
            );
            let help = "where the CA was replaced, and the gateway believes the new one: enroll again, with --force";
            Err(wrong(message).help(help))
        }
    }
}

/// Key and chain of a request, or where it waits.
type Answer = Result<(Zeroizing<String>, String), Waiting>;

/// A key whose request was answered; or the request, put there if it was not.
fn answered(directory: &Path, agent: &str, id: &SpiffeId, shared: &Path) -> Result<Answer, Fault> {
    only_for_some(shared)?;
    let (pending, request) = (directory.join(PENDING), shared.join(format!("{agent}.csr")));
    let asked = pending.exists().then(|| files::read_secret(&pending, FILE_BYTES_MAX)).transpose()?;
    // One that is in use already was answered, and only not removed: each renewal has a key of its own.
    let asked = asked.filter(|key| !generation::is_of(directory, key));
    let is_new = asked.is_none();
    let key = asked.map_or_else(issue::new_key, Ok)?;
    let csr = issue::request(&key, Some(id))?;
    let key_sha256 = issue::key_sha256(&csr)?;
    if is_new {
        // First: a request beside another key would look like somebody else's, if this ended before the new one is there.
        match std::fs::remove_file(&request) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(files::told(&request, "removed", error));
            }
            _ => {}
        }
        files::write(&pending, key.as_bytes(), Access::OwnerOnly)?;
    } else {
        let answer = shared.join(format!("{agent}.pem"));
        let chain = answer.exists().then(|| files::read_text(&answer, FILE_BYTES_MAX)).transpose()?;
        // One for another key is the answer to an earlier request.
        if let Some(chain) = chain.filter(|chain| generation::checked(&key, chain.as_bytes()).is_ok()) {
            return Ok(Ok((key, chain)));
        }
    }
    if is_new || !request.exists() {
        files::write(&request, csr.as_bytes(), Access::Everyone)?;
    } else if files::read_text(&request, FILE_BYTES_MAX).ok().and_then(|csr| issue::key_sha256(&csr).ok()).as_ref()
        != Some(&key_sha256)
    {
        let message = format!("expected this profile's own request, of the key {key_sha256}, found another");
        let help = "somebody else writes there, and whoever has that key would be this agent: do not sign it. One \
                    directory an agent, for it and the CA alone; then remove the request";
        return Err(Fault::at(&request, message).help(help));
    }
    Ok(Err(Waiting { request, key_sha256 }))
}

/// Refuses a directory that everybody may write: anybody's request would be the agent's.
fn only_for_some(shared: &Path) -> Result<(), Fault> {
    let mode = std::fs::metadata(shared).map_err(|error| files::told(shared, "read", error))?.mode() & 0o7777;
    if mode & 0o002 == 0 {
        return Ok(());
    }
    let message = format!("expected a directory that not everybody may write, found mode {mode:04o}");
    Err(Fault::at(shared, message).help(format_args!("one directory an agent; chmod o-w {}", shared.display())))
}

#[cfg(test)]
mod tests;
