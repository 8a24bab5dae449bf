//! The credentials of one request, in terms of both policies, and whom each policy takes their holder for.

use policy::binding::Bindings;
use policy::bounds::CERTIFICATE_NAMES_MAX;
use policy::decide::{Caller, Presented};
use policy::model::CertificateName;
use policy::reason::Reason;
use policy::table::{AgentId, TokenScopes};

use crate::face::{Which, World};
use crate::report::{ExampleCertificate, ExampleToken};

/// One thing that a request can show. CAs and issuers are numbers of [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential<'p> {
    /// A name of the one certificate that the request has; none is a certificate whose names name nobody.
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
/// certificate, which has one public key and at most `CERTIFICATE_NAMES_MAX` names.
pub fn together<'p>(credentials: impl IntoIterator<Item = Credential<'p>>) -> Option<Shown<'p>> {
    let mut all: Shown<'p> = credentials.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    let count = |is: fn(&Credential<'p>) -> bool| all.iter().filter(|credential| is(credential)).count();
    let one_token = count(|it| matches!(it, Credential::Token { .. })) <= 1;
    let one_key = count(|it| matches!(it, Credential::Key(_))) <= 1;
    let names = count(|it| matches!(it, Credential::Certificate { name: Some(_), .. }));
    let mut keys = all.iter().filter_map(|it| match it {
        Credential::Certificate { name: Some(CertificateName::SpkiSha256(hash)), .. } => Some(hash),
        _ => None,
    });
    let first = keys.next();
    let one_public_key = keys.all(|hash| Some(hash) == first);
    (one_token && one_key && one_public_key && names <= CERTIFICATE_NAMES_MAX).then_some(all)
}

pub fn has_certificate(shown: &[Credential<'_>]) -> bool {
    shown.iter().any(|it| matches!(it, Credential::Certificate { .. }))
}

impl<'p> World<'p> {
    /// The caller as the table of one side identifies it.
    pub fn caller(&self, which: Which, shown: &[Credential<'p>]) -> Result<Caller, Reason> {
        let face = self.face(which);
        let mut presented = Presented::default();
        let mut places = presented.certificate.iter_mut();
        let (mut certificate, mut valid) = (false, false);
        for credential in shown {
            match *credential {
                Credential::Certificate { ca, name } => {
                    certificate = true;
                    let Some(ca) = self.ca_pair(ca).at(which) else { continue };
                    valid = true;
                    let proof = name.and_then(|name| face.table.certificate(ca, name.into()));
                    if let Some(proof) = proof
                        && let Some(place) = places.next()
                    {
                        *place = Some(proof);
                    }
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
        face.table.caller(&presented)
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

    pub fn words(&self, shown: &[Credential<'p>]) -> String {
        let words: Vec<String> = shown.iter().map(|credential| self.word(credential)).collect();
        if words.is_empty() { "no credentials".to_owned() } else { words.join(" + ") }
    }

    pub fn example_certificate(&self, shown: &[Credential<'p>]) -> Option<ExampleCertificate> {
        let mut example = ExampleCertificate { cas: Vec::new(), names: Vec::new() };
        for credential in shown {
            let Credential::Certificate { ca, name } = credential else { continue };
            example.cas.push(self.ca_name(*ca).to_owned());
            example.names.extend(name.map(certificate_name));
        }
        example.cas.sort_unstable();
        example.cas.dedup();
        has_certificate(shown).then_some(example)
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

/// As one writes it in a policy source.
pub fn certificate_name(name: &CertificateName) -> String {
    match name {
        CertificateName::Spiffe(name) => name.clone(),
        CertificateName::Dns(name) => format!("dns:{name}"),
        CertificateName::SpkiSha256(hash) => format!("spki-sha256:{hash}"),
    }
}
