//! The decision once more, straight from the policy: slow, simple, and sharing no code with the table.

use std::collections::BTreeSet;

use policy::binding::Bindings;
use policy::model::{Agent, CertificateName, Identity, Methods, Policy, Proofs, Route, Subject, TokenProof};
use policy::reason::Reason;

/// What a request presents, in words.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Name of the CA, and a name in the certificate.
    pub certificates: Vec<(String, CertificateName)>,
    pub token: Option<Token>,
    pub api_key: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Token {
    /// Name of the issuer.
    pub issuer: String,
    pub subject: String,
    /// None: the issuer has no scope claim.
    pub scopes: Option<Vec<String>>,
    pub bound: Bindings,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Caller {
    pub agent: Option<String>,
    pub population: bool,
}

/// Agent, scope, by anonymous.
pub type Grant = (String, String, bool);

pub fn caller(policy: &Policy, shown: &Shown) -> Result<Caller, Reason> {
    if let Some(token) = &shown.token {
        let proofs = alternatives(policy).filter_map(|(_, proofs)| proofs.token.as_ref());
        let mut needed = proofs.filter(|proof| shows(policy, proof, token)).filter_map(|proof| proof.bound);
        if needed.any(|needed| !token.bound.iter().any(|held| held == needed)) {
            return Err(Reason::TokenUnbound);
        }
    }
    let holding: Vec<(&Agent, &Proofs)> =
        alternatives(policy).filter(|(_, alternative)| holds(policy, alternative, shown)).collect();
    let agents: BTreeSet<&str> = holding.iter().map(|(agent, _)| agent.name.as_str()).collect();
    if agents.len() > 1 {
        return Err(Reason::ProofsConflict);
    }
    let mut somebody = Vec::new();
    let mut nobody = false;
    for certificate in &shown.certificates {
        let named = owners(policy, |proofs| shows_certificate(proofs, certificate));
        if !named.is_empty() {
            somebody.push(named);
        }
    }
    if let Some(token) = &shown.token {
        let named = owners(policy, |proofs| proofs.token.as_ref().is_some_and(|proof| shows(policy, proof, token)));
        if named.is_empty() { nobody = true } else { somebody.push(named) }
    }
    if let Some(key) = &shown.api_key {
        let named = owners(policy, |proofs| proofs.api_keys.contains(key));
        if named.is_empty() { nobody = true } else { somebody.push(named) }
    }
    let Some(agent) = agents.first() else {
        return if !somebody.is_empty() {
            Err(Reason::ProofsIncomplete)
        } else if nobody {
            Err(Reason::AgentUnknown)
        } else {
            Ok(Caller { agent: None, population: false })
        };
    };
    if somebody.iter().any(|named| !named.contains(agent)) {
        return Err(Reason::ProofsConflict);
    }
    if nobody {
        return Err(Reason::AgentUnknown);
    }
    let is_population =
        |proofs: &Proofs| proofs.token.as_ref().is_some_and(|token| matches!(token.subject, Subject::AnyBut(_)));
    let population = holding.iter().any(|(_, proofs)| is_population(proofs));
    Ok(Caller { agent: Some((*agent).to_owned()), population })
}

pub fn route<'p>(policy: &'p Policy, host: &str, method: &str, path: &str) -> Option<&'p Route> {
    policy
        .routes
        .iter()
        .filter(|route| route.host == "*" || route.host == host)
        .filter(|route| admits(&route.methods, method) && fits(&route.path, path))
        .min_by_key(|route| (route.host == "*", route.path.split('/').map(rank).collect::<Vec<_>>()))
}

pub fn grant(policy: &Policy, caller: &Caller, token: Option<&Token>, route: &Route) -> Option<Grant> {
    let of_route: BTreeSet<&str> =
        policy.scopes.iter().filter(|scope| scope.routes.contains(&route.name)).map(|scope| &*scope.name).collect();
    let named = |name: &str| policy.agents.iter().find(|agent| agent.name == name);
    if let Some(agent) = caller.agent.as_deref().and_then(named) {
        let mut scopes: BTreeSet<&str> = agent.scopes.iter().map(|scope| &**scope).collect();
        if let Some(narrowed) = token.and_then(|token| token.scopes.as_ref()) {
            scopes.retain(|scope| narrowed.iter().any(|name| name == scope));
        }
        if let Some(scope) = scopes.intersection(&of_route).next() {
            return Some((agent.name.clone(), (*scope).to_owned(), false));
        }
    }
    let anonymous = policy.agents.iter().find(|agent| agent.identity.contains(&Identity::Anonymous))?;
    let scope = anonymous.scopes.iter().filter(|scope| of_route.contains(&***scope)).min()?;
    Some((anonymous.name.clone(), scope.clone(), true))
}

fn alternatives(policy: &Policy) -> impl Iterator<Item = (&Agent, &Proofs)> {
    policy.agents.iter().flat_map(|agent| {
        agent.identity.iter().filter_map(move |identity| match identity {
            Identity::Proofs(proofs) => Some((agent, proofs)),
            Identity::Anonymous => None,
        })
    })
}

fn owners(policy: &Policy, shown: impl Fn(&Proofs) -> bool) -> BTreeSet<&str> {
    alternatives(policy).filter(|(_, proofs)| shown(proofs)).map(|(agent, _)| agent.name.as_str()).collect()
}

fn holds(policy: &Policy, proofs: &Proofs, shown: &Shown) -> bool {
    let certificate =
        proofs.certificate.is_none() || shown.certificates.iter().any(|shown| shows_certificate(proofs, shown));
    let token = match (&proofs.token, &shown.token) {
        (None, _) => true,
        (Some(proof), Some(token)) => shows(policy, proof, token),
        (Some(_), None) => false,
    };
    let key = proofs.api_keys.is_empty() || shown.api_key.as_ref().is_some_and(|key| proofs.api_keys.contains(key));
    certificate && token && key
}

fn shows_certificate(proofs: &Proofs, (ca, name): &(String, CertificateName)) -> bool {
    proofs.certificate.as_ref().is_some_and(|proof| proof.ca == *ca && proof.name == *name)
}

fn shows(policy: &Policy, proof: &TokenProof, token: &Token) -> bool {
    if proof.issuer != token.issuer {
        return false;
    }
    match &proof.subject {
        Subject::Exactly(subject) => *subject == token.subject,
        Subject::AnyBut(excepted) => {
            let named = alternatives(policy)
                .filter_map(|(_, proofs)| proofs.token.as_ref())
                .any(|other| other.issuer == token.issuer && other.subject == Subject::Exactly(token.subject.clone()));
            !named && !excepted.contains(&token.subject)
        }
    }
}

fn admits(methods: &Methods, method: &str) -> bool {
    match methods {
        Methods::Any => method != "CONNECT" && method != "TRACE" && !method.is_empty(),
        Methods::Only(names) => names.iter().any(|name| name == method),
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for step in pattern.split('/') {
        let Some(segment) = segments.next() else { return false };
        match rank(step) {
            0 if segment != step => return false,
            1 if segment.is_empty() => return false,
            2 => return true,
            _ => {}
        }
    }
    segments.next().is_none()
}

/// Literal before `{segment}` before `{rest...}`.
fn rank(step: &str) -> u8 {
    match (step.starts_with('{'), step.ends_with("...}")) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    }
}
