//! The credentials of one request, in terms of both policies, and whom each policy takes their holder for.

use policy::binding::Bindings;
use policy::bounds::CERTIFICATE_NAMES_MAX;
use policy::decide::{Caller, Presented, gathered};
use policy::model::CertificateName;
use policy::reason::Reason;
use policy::table::{AgentId, TokenScopes};

use crate::face::{Pair, Which, World};
use crate::report::{ExampleCertificate, ExampleToken};

/// One thing that a request can show. CAs and issuers are numbers of [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential<'p> {
    /// A name of the one certificate that the request has, under a CA that it chains to; none is a certificate whose
    /// names name nobody.
    Certificate {
        ca: u16,
        name: Option<&'p CertificateName>,
    },
    Token {
        issuer: u16,
        subject: &'p str,
        /// What it is bound to, and is shown to be.
        bound: Bindings,
    },
    Key(&'p str),
}

/// Valid credentials of one request, sorted.
pub type Shown<'p> = Vec<Credential<'p>>;

/// Whom a policy takes the holder for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Taken {
    Refused,
    Anonymous,
    Agent(u32),
}

/// Which sides narrow by the scopes of the token, and whether they read the same claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Narrowing {
    pub old: bool,
    pub new: bool,
    pub same_claim: bool,
}

impl Narrowing {
    pub fn at(self, which: Which) -> bool {
        match which {
            Which::Old => self.old,
            Which::New => self.new,
        }
    }
}

/// Scope names of a token, as each side reads them; none where it narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenNames {
    pub old: Option<Vec<u32>>,
    pub new: Option<Vec<u32>>,
}

/// The credentials as a sorted set; none if no one request can show them: it has one token, one API key and one
/// certificate, which has one public key, at most one SPIFFE id and at most `CERTIFICATE_NAMES_MAX` names. Every name of
/// the certificate is there under every CA that it chains to: a gateway takes all of them.
pub fn together<'p>(credentials: impl IntoIterator<Item = Credential<'p>>) -> Option<Shown<'p>> {
    let mut all: Shown<'p> = Vec::new();
    let (mut cas, mut names) = (Vec::new(), Vec::new());
    for credential in credentials {
        match credential {
            Credential::Certificate { ca, name } => {
                cas.push(ca);
                names.extend(name);
            }
            other => all.push(other),
        }
    }
    all.sort_unstable();
    all.dedup();
    names.sort_unstable();
    names.dedup();
    let one_token = all.iter().filter(|it| matches!(it, Credential::Token { .. })).count() <= 1;
    let one_key = all.iter().filter(|it| matches!(it, Credential::Key(_))).count() <= 1;
    if !one_token || !one_key || !is_certificate(&names) {
        return None;
    }
    let named = |ca: u16| names.iter().map(move |name| Credential::Certificate { ca, name: Some(name) });
    let nameless = |ca: u16| names.is_empty().then_some(Credential::Certificate { ca, name: None });
    all.extend(cas.into_iter().flat_map(|ca| named(ca).chain(nameless(ca))));
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Whether one certificate can have these names.
fn is_certificate(names: &[&CertificateName]) -> bool {
    let count = |is: fn(&CertificateName) -> bool| names.iter().filter(|name| is(name)).count();
    names.len() <= CERTIFICATE_NAMES_MAX
        && count(|name| matches!(name, CertificateName::SpkiSha256(_))) <= 1
        && count(|name| matches!(name, CertificateName::Spiffe(_))) <= 1
}

/// Whether a set holds a credential. That a certificate chains to a CA is what its nameless one says.
pub fn holds(shown: &[Credential<'_>], credential: &Credential<'_>) -> bool {
    match *credential {
        Credential::Certificate { ca: wanted, name: None } => {
            shown.iter().any(|it| matches!(it, Credential::Certificate { ca, .. } if *ca == wanted))
        }
        _ => shown.contains(credential),
    }
}

pub fn has_certificate(shown: &[Credential<'_>]) -> bool {
    shown.iter().any(|it| matches!(it, Credential::Certificate { .. }))
}

/// Whether the token is bound to a certificate: it is of no use without.
pub fn needs_certificate(shown: &[Credential<'_>]) -> bool {
    shown.iter().any(|it| matches!(it, Credential::Token { bound, .. } if bound.hold(Bindings::CERTIFICATE)))
}

impl<'p> World<'p> {
    /// The caller as the table of one side identifies it.
    pub fn caller(&self, which: Which, shown: &[Credential<'p>]) -> Result<Caller, Reason> {
        self.face(which).table.caller(&self.presented(which, shown)?)
    }

    /// The valid credentials as one side sees them.
    pub fn presented(&self, which: Which, shown: &[Credential<'p>]) -> Result<Presented, Reason> {
        let face = self.face(which);
        let mut presented = Presented::default();
        let (mut certificate, mut valid) = (false, false);
        let mut proofs = Vec::new();
        for credential in shown {
            match *credential {
                Credential::Certificate { ca, name } => {
                    certificate = true;
                    let Some(ca) = self.ca_pair(ca).at(which) else { continue };
                    valid = true;
                    proofs.extend(name.and_then(|name| face.table.certificate(ca, name.into())));
                }
                Credential::Token { issuer, subject, bound } => {
                    presented.bound = bound;
                    let issuer = self.issuer_pair(issuer).at(which).ok_or(Reason::TokenIssuerUnknown)?;
                    presented.token = Some(face.table.token(issuer, subject));
                }
                Credential::Key(id) => {
                    let (_, proof) = face.table.api_key(id).ok_or(Reason::ApiKeyInvalid)?;
                    presented.api_key = Some(Some(proof));
                }
            }
        }
        if certificate && !valid {
            return Err(Reason::CertificateInvalid);
        }
        presented.certificate = gathered(proofs.into_iter());
        Ok(presented)
    }

    pub fn taken(&self, which: Which, shown: &[Credential<'p>]) -> Taken {
        match self.caller(which, shown) {
            Err(_) => Taken::Refused,
            Ok(Caller { agent: None, .. }) => Taken::Anonymous,
            Ok(Caller { agent: Some(AgentId(agent)), .. }) => Taken::Agent(agent),
        }
    }

    pub fn narrowing(&self, shown: &[Credential<'p>]) -> Narrowing {
        let token = shown.iter().find_map(|credential| match credential {
            Credential::Token { issuer, .. } => Some(*issuer),
            _ => None,
        });
        token.map_or_else(Narrowing::default, |issuer| self.narrowing_of(issuer))
    }

    pub fn narrowing_of(&self, issuer: u16) -> Narrowing {
        let (old, new) = (self.claim(Which::Old, issuer), self.claim(Which::New, issuer));
        Narrowing { old: old.is_some(), new: new.is_some(), same_claim: old.is_some() && old == new }
    }

    /// The scopes of a token as a side's table holds them.
    pub fn token_scopes(&self, which: Which, names: &TokenNames) -> TokenScopes {
        let names = if which == Which::Old { &names.old } else { &names.new };
        match names {
            None => TokenScopes::everything(),
            Some(names) => {
                let names: Vec<&str> = names.iter().map(|number| self.scopes.name(*number)).collect();
                self.face(which).table.token_scopes(&names)
            }
        }
    }

    /// Name of an issuer: as the new policy has it, else the old.
    pub fn issuer_name(&self, issuer: u16) -> &'p str {
        let pair = self.issuer_pair(issuer);
        let name = |which: Which| {
            let index = pair.at(which)?;
            self.face(which).policy.issuers.get(usize::from(index)).map(|issuer| issuer.name.as_str())
        };
        name(Which::New).or_else(|| name(Which::Old)).unwrap_or_default()
    }

    pub fn ca_name(&self, ca: u16) -> &'p str {
        let pair = self.ca_pair(ca);
        let name = |which: Which| {
            let index = pair.at(which)?;
            self.face(which).policy.client_cas.get(usize::from(index)).map(|ca| ca.name.as_str())
        };
        name(Which::New).or_else(|| name(Which::Old)).unwrap_or_default()
    }

    /// One credential in words.
    pub fn word(&self, credential: &Credential<'p>) -> String {
        match credential {
            Credential::Certificate { ca, name: Some(name) } => {
                format!("certificate {} of {}", certificate_name(name), self.ca_name(*ca))
            }
            Credential::Certificate { ca, name: None } => format!("any certificate of {}", self.ca_name(*ca)),
            Credential::Token { issuer, subject, bound } => {
                let who = if *subject == self.fresh_subject { "*" } else { subject };
                format!("token {}/{who}{}", self.issuer_name(*issuer), self.bound_word(*issuer, subject, *bound))
            }
            Credential::Key(id) => format!("API key {id}"),
        }
    }

    /// What a token is bound to, where that makes a difference.
    fn bound_word(&self, issuer: u16, subject: &str, bound: Bindings) -> String {
        match bound.text() {
            _ if self.forms(issuer, subject) == [Bindings::NONE] => String::new(),
            None => " not bound".to_owned(),
            Some(text) => format!(" bound to {}", text.replace(' ', " and ")),
        }
    }

    /// A set in words: the certificate once, with all of its names and all the CAs that it chains to.
    pub fn words(&self, shown: &[Credential<'p>]) -> String {
        let cas = self.cas_of(shown).join(" and ");
        let certificate = match names_of(shown).as_slice() {
            [] => format!("any certificate of {cas}"),
            [name] => format!("certificate {name} of {cas}"),
            [names @ .., last] => format!("one certificate naming {} and {last} of {cas}", names.join(", ")),
        };
        let is_name = |it: &&Credential<'p>| matches!(it, Credential::Certificate { .. });
        let others = shown.iter().filter(|it| !is_name(it)).map(|it| self.word(it));
        let words: Vec<String> = has_certificate(shown).then_some(certificate).into_iter().chain(others).collect();
        if words.is_empty() { "no credentials".to_owned() } else { words.join(" + ") }
    }

    /// Names of the CAs that the certificate of a set chains to.
    fn cas_of(&self, shown: &[Credential<'p>]) -> Vec<&'p str> {
        let mut cas: Vec<&'p str> = shown
            .iter()
            .filter_map(|it| if let Credential::Certificate { ca, .. } = it { Some(self.ca_name(*ca)) } else { None })
            .collect();
        cas.sort_unstable();
        cas.dedup();
        cas
    }

    /// The certificate of a set; where one must be there whatever its names, one that is valid to both policies.
    pub fn example_certificate(&self, shown: &[Credential<'p>]) -> Option<ExampleCertificate> {
        let needed = self.old.certificate_needed || self.new.certificate_needed || needs_certificate(shown);
        if needed && !has_certificate(shown) {
            let first = |is: fn(&Pair) -> bool| self.cas.iter().position(is);
            let of_both = first(|ca| ca.old.is_some() && ca.new.is_some());
            let of_each = [first(|ca| ca.old.is_some()), first(|ca| ca.new.is_some())];
            let cas = of_both.map_or_else(|| of_each.into_iter().flatten().collect(), |ca| vec![ca]);
            let cas: Vec<String> = cas.into_iter().map(|ca| self.ca_name(ca as u16).to_owned()).collect();
            return (!cas.is_empty()).then_some(ExampleCertificate { cas, names: Vec::new() });
        }
        let cas = self.cas_of(shown).into_iter().map(str::to_owned).collect();
        has_certificate(shown).then(|| ExampleCertificate { cas, names: names_of(shown) })
    }

    pub fn example_token(&self, shown: &[Credential<'p>], names: &TokenNames) -> Option<ExampleToken> {
        let (issuer, subject, bound) = shown.iter().find_map(|credential| match credential {
            Credential::Token { issuer, subject, bound } => Some((*issuer, *subject, *bound)),
            _ => None,
        })?;
        let claims = [(Which::Old, &names.old), (Which::New, &names.new)].into_iter();
        let scopes = claims.filter_map(|(which, names)| {
            let scopes = names.as_ref()?.iter().map(|number| self.scopes.name(*number).to_owned()).collect();
            Some((self.claim(which, issuer)?.to_owned(), scopes))
        });
        let (issuer, subject) = (self.issuer_name(issuer).to_owned(), subject.to_owned());
        let bound = bound.text().map(str::to_owned);
        Some(ExampleToken { issuer, subject, bound, scopes: scopes.collect() })
    }
}

/// The names of the certificate of a set, each once.
fn names_of(shown: &[Credential<'_>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for credential in shown {
        if let Credential::Certificate { name: Some(name), .. } = credential
            && let name = certificate_name(name)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// As one writes it in a policy source.
pub fn certificate_name(name: &CertificateName) -> String {
    match name {
        CertificateName::Spiffe(name) => name.clone(),
        CertificateName::Dns(name) => format!("dns:{name}"),
        CertificateName::SpkiSha256(hash) => format!("spki-sha256:{hash}"),
    }
}
