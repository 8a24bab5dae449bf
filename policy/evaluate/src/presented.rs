//! What a caller presents, in the names that the policy uses. Every credential is taken as valid.

use std::net::{IpAddr, Ipv4Addr};

use policy::binding::Bindings;
use policy::model::{Agent, CertificateName, Identity, Issuer, MinimumTransport, Policy, Proofs, Subject, TokenProof};

/// The subject that stands for a population when none is named.
pub const SUBJECT_OF_POPULATION: &str = "somebody";

/// Everything about a caller that a decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The connection is TLS.
    pub tls: bool,
    pub certificate: Option<Certificate>,
    pub token: Option<Token>,
    /// Id of an API key whose secret is right.
    pub api_key: Option<String>,
    pub client: IpAddr,
}

/// A client certificate: its names, and the client CAs that its chain verifies under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Names of client CAs. Those that the policy does not have are passed over; without any that it has, the
    /// certificate is invalid.
    pub cas: Vec<String>,
    pub names: Vec<CertificateName>,
}

/// A token that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Name of the issuer.
    pub issuer: String,
    pub subject: String,
    /// None: the token lacks the scope claim. Passed over where the issuer has no `scope_claim`.
    pub scopes: Option<Vec<String>>,
    /// Seconds since the Unix epoch; none: it does not end.
    pub expires_s: Option<u64>,
    /// What it is bound to. That the right one is shown is believed; of certificates, where any is shown.
    pub bound: Bindings,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresentedError {
    #[error("the policy has no agent {name:?}; expected one of its {count}{}", nearest(near))]
    AgentUnknown { name: String, count: usize, near: Option<String> },
    #[error("agent {agent:?} has {count} alternatives, found none with number {alternative}: count from 1")]
    AlternativeUnknown { agent: String, alternative: usize, count: usize },
    #[error("agent {agent:?} is no population in alternative {alternative}: a subject cannot be chosen")]
    SubjectNotFree { agent: String, alternative: usize },
}

fn nearest(near: &Option<String>) -> String {
    near.as_ref().map_or(String::new(), |near| format!(", perhaps {near:?}"))
}

impl Presented {
    /// Adds the certificate that a token is bound to, where none is there: without a name.
    pub fn add_bound(&mut self, policy: &Policy) {
        if self.token.as_ref().is_some_and(|token| token.bound.hold(Bindings::CERTIFICATE)) {
            self.add_certificate(policy);
        }
    }

    fn add_certificate(&mut self, policy: &Policy) {
        let cas = || policy.client_cas.iter().map(|ca| ca.name.clone()).take(1).collect();
        self.certificate.get_or_insert_with(|| Certificate { cas: cas(), names: Vec::new() });
    }

    /// Somebody who presents nothing, over TLS, from `client`.
    pub fn nothing(client: IpAddr) -> Self {
        Self { tls: true, certificate: None, token: None, api_key: None, client }
    }
}

impl Certificate {
    /// A certificate with one name under one CA.
    pub fn named(ca: &str, name: CertificateName) -> Self {
        Self { cas: vec![ca.to_owned()], names: vec![name] }
    }
}

/// The proofs of an agent's first alternative.
///
/// # Errors
/// `AgentUnknown`.
pub fn presented_as(policy: &Policy, agent: &str) -> Result<Presented, PresentedError> {
    presented_by(policy, agent, 1, None)
}

/// The proofs of an agent's alternative with this number, counted from 1; `subject` is the member of a population (or
/// `somebody`). A token has all scopes of the agent; of API keys the first is taken. Where the policy asks for a client
/// certificate for the transport, one without a name is there.
///
/// # Errors
/// No such agent or alternative, or a subject for an alternative that names one.
pub fn presented_by(
    policy: &Policy,
    agent: &str,
    alternative: usize,
    subject: Option<&str>,
) -> Result<Presented, PresentedError> {
    let found = policy.agents.iter().find(|candidate| candidate.name == agent);
    let Some(agent) = found else {
        let near = policy.agents.iter().map(|candidate| candidate.name.as_str());
        let near = crate::nearly::nearest(agent, near).map(str::to_owned);
        return Err(PresentedError::AgentUnknown { name: agent.to_owned(), count: policy.agents.len(), near });
    };
    let identity = alternative.checked_sub(1).and_then(|index| agent.identity.get(index));
    let count = agent.identity.len();
    let unknown = || PresentedError::AlternativeUnknown { agent: agent.name.clone(), alternative, count };
    let mut presented = Presented::nothing(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let fixed = || PresentedError::SubjectNotFree { agent: agent.name.clone(), alternative };
    match identity.ok_or_else(unknown)? {
        Identity::Anonymous if subject.is_some() => return Err(fixed()),
        Identity::Anonymous => {}
        Identity::Proofs(proofs) => {
            present(policy, agent, proofs, subject, &mut presented).ok_or_else(fixed)?;
        }
    }
    if policy.transport == MinimumTransport::Mtls {
        presented.add_certificate(policy);
    }
    presented.add_bound(policy);
    Ok(presented)
}

/// None: a subject was chosen where none can be.
fn present(
    policy: &Policy,
    agent: &Agent,
    proofs: &Proofs,
    subject: Option<&str>,
    presented: &mut Presented,
) -> Option<()> {
    presented.certificate = proofs.certificate.as_ref().map(|proof| Certificate::named(&proof.ca, proof.name.clone()));
    presented.api_key = proofs.api_keys.first().cloned();
    match &proofs.token {
        Some(proof) => presented.token = Some(token(policy, agent, proof, subject)?),
        None if subject.is_some() => return None,
        None => {}
    }
    Some(())
}

fn token(policy: &Policy, agent: &Agent, proof: &TokenProof, subject: Option<&str>) -> Option<Token> {
    let subject = match (&proof.subject, subject) {
        (Subject::Exactly(named), None) => named.as_str(),
        (Subject::Exactly(named), Some(chosen)) => Some(chosen).filter(|chosen| chosen == named)?,
        (Subject::AnyBut(_), chosen) => chosen.unwrap_or(SUBJECT_OF_POPULATION),
    };
    let issuer: Option<&Issuer> = policy.issuers.iter().find(|issuer| issuer.name == proof.issuer);
    let narrows = issuer.is_some_and(|issuer| issuer.scope_claim.is_some());
    Some(Token {
        issuer: proof.issuer.clone(),
        subject: subject.to_owned(),
        scopes: narrows.then(|| agent.scopes.clone()),
        expires_s: None,
        bound: proof.bound.into(),
    })
}
