//! What was presented, and whom it names.

use std::collections::BTreeSet;

use policy::model::{Agent, Identity, Policy, Proofs, Subject, TokenProof};
use policy::reason::Reason;

use crate::evaluator::{Step, Topic, Trail};
use crate::nearly::nearest;
use crate::presented::{Certificate, Presented, Token};
use crate::words;

/// Agents that are told of in one step.
const AGENTS_TOLD_MAX: usize = 4;

pub(super) fn presented(caller: &Presented) -> Step {
    let all: Vec<String> = [
        caller.certificate.as_ref().map(certificate),
        caller.token.as_ref().map(token),
        caller.api_key.as_ref().map(|id| format!("API key \"{id}\"")),
    ]
    .into_iter()
    .flatten()
    .collect();
    match all.as_slice() {
        [] => Step::new(Topic::Presented, "no credential"),
        all => Step::new(Topic::Presented, all.join("; ")),
    }
}

fn certificate(certificate: &Certificate) -> String {
    let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
    let names = if names.is_empty() { "without a name".to_owned() } else { names.join(", ") };
    match certificate.cas.as_slice() {
        [] => format!("a certificate {names} that no client CA vouches for"),
        cas => format!("a certificate {names} under CA {}", words::list(cas.iter())),
    }
}

fn token(token: &Token) -> String {
    let scopes = match token.scopes.as_deref() {
        None => String::new(),
        Some([]) => ", without any scope".to_owned(),
        Some(scopes) => format!(", with the scopes {}", words::list(scopes.iter())),
    };
    format!("a token of \"{}\" for \"{}\"{scopes}{}", token.issuer, token.subject, words::bound(token.bound))
}

/// Who the caller is, or why that cannot be said.
pub(super) fn found(policy: &Policy, caller: &Presented, trail: &Trail<'_>, now_s: u64) -> Step {
    let held = Held::new(policy, caller);
    let step = |text: String| Step::new(Topic::Caller, text);
    let Some(found) = trail.caller else {
        return match trail.reason {
            Some(Reason::ProofsIncomplete) => step("nobody: a proof is missing".to_owned()).with(held.incomplete()),
            Some(Reason::ProofsConflict) => {
                step("nobody: what was presented belongs to different agents".to_owned()).with(held.owners())
            }
            Some(Reason::AgentUnknown) => {
                step("nobody: a credential is valid, but names nobody".to_owned()).with(held.nobody())
            }
            Some(Reason::TokenUnbound) => {
                step("nobody: the token is not bound as the policy asks".to_owned()).with(held.unbound())
            }
            reason => step(format!("nobody: {}", invalid(policy, caller, reason, now_s))),
        };
    };
    let Some(agent) = found.agent.and_then(|agent| policy.agents.get(agent.index())) else {
        let anonymous = policy.agents.iter().find(|agent| agent.identity.contains(&Identity::Anonymous));
        let step = match anonymous {
            Some(agent) => step(format!("nobody: only what every caller may have counts (agent \"{}\")", agent.name)),
            None => step("nobody, and the policy has no anonymous agent".to_owned()),
        };
        return step.with(held.nameless_certificate());
    };
    let kind = if found.population { "population" } else { "agent" };
    let details = agent.identity.iter().zip(1..).filter(|(identity, _)| held.holds(identity));
    let count = agent.identity.len();
    let which = |number: usize| {
        if count > 1 { format!("alternative {number} of {count} holds") } else { "its proofs hold".to_owned() }
    };
    step(format!("{kind} \"{}\"", agent.name))
        .with(details.map(|(identity, number)| format!("{}: {}", which(number), words::alternative(identity))))
}

/// Why a credential is not valid.
fn invalid(policy: &Policy, caller: &Presented, reason: Option<Reason>, now_s: u64) -> String {
    let key = caller.api_key.as_deref().unwrap_or_default();
    let issuer = caller.token.as_ref().map_or("", |token| token.issuer.as_str());
    match reason {
        Some(Reason::CertificateInvalid) => "no client CA of the policy vouches for the certificate".to_owned(),
        Some(Reason::ApiKeyInvalid) => format!("the policy declares no API key \"{key}\""),
        Some(Reason::ApiKeyExpired) => {
            let declared = policy.api_keys.iter().find(|declared| declared.id == key);
            let since_s = declared.and_then(|key| key.expires_s).map_or(0, |expires_s| now_s.saturating_sub(expires_s));
            format!("API key \"{key}\" expired {} ago", words::duration(since_s.max(1) * 1_000_000_000))
        }
        Some(Reason::TokenIssuerUnknown) => format!("the policy has no issuer \"{issuer}\""),
        Some(Reason::TokenExpired) => "the token has expired".to_owned(),
        Some(Reason::TokenCertificateMissing) => "the token is bound to a certificate, and none is shown".to_owned(),
        other => other.map_or("", Reason::name).to_owned(),
    }
}

/// What is presented, against what the policy names.
struct Held<'a> {
    policy: &'a Policy,
    caller: &'a Presented,
    /// The token's subject is of no agent by name, and its population does not except it.
    is_member: bool,
}

impl<'a> Held<'a> {
    fn new(policy: &'a Policy, caller: &'a Presented) -> Self {
        let is_member = caller.token.as_ref().is_some_and(|token| {
            token_proofs(policy).filter(|(_, proof)| proof.issuer == token.issuer).all(|(_, proof)| {
                match &proof.subject {
                    Subject::Exactly(named) => *named != token.subject,
                    Subject::AnyBut(excepted) => !excepted.contains(&token.subject),
                }
            })
        });
        Self { policy, caller, is_member }
    }

    fn holds(&self, identity: &Identity) -> bool {
        match identity {
            Identity::Anonymous => false,
            Identity::Proofs(proofs) => self.parts(proofs).iter().all(|(held, _)| *held),
        }
    }

    /// Each proof of a set: whether it was presented, and as a phrase.
    fn parts(&self, proofs: &Proofs) -> Vec<(bool, String)> {
        let certificate = proofs.certificate.as_ref().map(|proof| {
            let presented = self.caller.certificate.as_ref();
            presented.is_some_and(|held| held.cas.contains(&proof.ca) && held.names.contains(&proof.name))
        });
        let token = proofs.token.as_ref().map(|proof| self.has_token(proof));
        let keys = &proofs.api_keys;
        let key = (!keys.is_empty()).then(|| self.caller.api_key.as_ref().is_some_and(|id| keys.contains(id)));
        [certificate, token, key].into_iter().flatten().zip(words::phrases(proofs)).collect()
    }

    fn has_token(&self, proof: &TokenProof) -> bool {
        self.caller.token.as_ref().is_some_and(|token| {
            token.issuer == proof.issuer
                && match &proof.subject {
                    Subject::Exactly(named) => *named == token.subject,
                    Subject::AnyBut(_) => self.is_member,
                }
        })
    }

    /// Alternatives of which something, but not all, was presented: the nearest to being whole first.
    fn incomplete(&self) -> Vec<String> {
        let mut found: Vec<(usize, String)> = Vec::new();
        for (agent, proofs) in sets(self.policy) {
            let parts = self.parts(proofs);
            if parts.iter().any(|(held, _)| *held) {
                let side = |wanted: bool| {
                    let of_side = parts.iter().filter(move |(held, _)| *held == wanted);
                    of_side.map(|(_, phrase)| phrase.as_str()).collect::<Vec<_>>()
                };
                let (held, missing) = (side(true), side(false));
                let text = format!(
                    "{} is of agent \"{}\", which also needs {}",
                    held.join(" and "),
                    agent.name,
                    missing.join(" and ")
                );
                found.push((missing.len(), text));
            }
        }
        found.sort();
        told(found.into_iter().map(|(_, text)| text).collect())
    }

    /// What the token had to be bound to.
    fn unbound(&self) -> Vec<String> {
        let needed = token_proofs(self.policy).filter(|(_, proof)| proof.bound.is_some() && self.has_token(proof));
        let mut all: Vec<String> = needed
            .map(|(agent, proof)| {
                let bound = words::bound(proof.bound.into()).trim_start_matches(", ");
                format!("of agent \"{}\" a token must be {bound}", agent.name)
            })
            .collect();
        all.dedup();
        told(all)
    }

    /// Whose each presented proof is.
    fn owners(&self) -> Vec<String> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        for (agent, proofs) in sets(self.policy) {
            let held = self.parts(proofs).into_iter().filter(|(held, _)| *held);
            found.extend(held.map(|(_, phrase)| format!("{phrase} is of agent \"{}\"", agent.name)));
        }
        let mut all: Vec<String> = found.into_iter().collect();
        all.extend(self.nobody());
        told(all)
    }

    /// Credentials that name nobody, and who is meant perhaps.
    fn nobody(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(token) = &self.caller.token {
            let mut of_issuer = token_proofs(self.policy).filter(|(_, proof)| proof.issuer == token.issuer);
            if !of_issuer.any(|(_, proof)| self.has_token(proof)) {
                all.push(self.nameless(token));
            }
        }
        if let Some(id) = &self.caller.api_key
            && !sets(self.policy).any(|(_, proofs)| proofs.api_keys.contains(id))
        {
            all.push(format!("API key \"{id}\" is declared, but no agent has it"));
        }
        all
    }

    /// Why a certificate is no credential.
    fn nameless_certificate(&self) -> Option<String> {
        let shown = self.caller.certificate.as_ref()?;
        let (names, cas) = (words::list(shown.names.iter()), words::list(shown.cas.iter()));
        if shown.names.is_empty() {
            return Some("the certificate has no name, so it is no credential".to_owned());
        }
        let proofs = sets(self.policy).filter_map(|(_, proofs)| proofs.certificate.as_ref());
        let of_cas = proofs.filter(|proof| shown.cas.contains(&proof.ca)).map(|proof| proof.name.to_string());
        let known: Vec<String> = of_cas.collect();
        let near = shown.names.iter().find_map(|name| nearest(&name.to_string(), known.iter().map(String::as_str)));
        let near = near.map_or(String::new(), |near| format!("; \"{near}\" is named"));
        Some(format!("no agent names {names} under CA {cas}, so the certificate is no credential{near}"))
    }

    fn nameless(&self, token: &Token) -> String {
        let subject = &token.subject;
        let of_issuer = || token_proofs(self.policy).filter(|(_, proof)| proof.issuer == token.issuer);
        let excepting = of_issuer()
            .find(|(_, proof)| matches!(&proof.subject, Subject::AnyBut(excepted) if excepted.contains(subject)));
        if let Some((agent, _)) = excepting {
            return format!("\"{subject}\" of \"{}\" is excepted from the population \"{}\"", token.issuer, agent.name);
        }
        let named = of_issuer().filter_map(|(_, proof)| match &proof.subject {
            Subject::Exactly(named) => Some(named.as_str()),
            Subject::AnyBut(_) => None,
        });
        let near = nearest(subject, named).map_or(String::new(), |near| format!("; \"{near}\" is named"));
        format!("no agent names \"{subject}\" of \"{}\"{near}", token.issuer)
    }
}

fn sets(policy: &Policy) -> impl Iterator<Item = (&Agent, &Proofs)> {
    policy.agents.iter().flat_map(|agent| {
        agent.identity.iter().filter_map(move |identity| match identity {
            Identity::Anonymous => None,
            Identity::Proofs(proofs) => Some((agent, proofs)),
        })
    })
}

fn token_proofs(policy: &Policy) -> impl Iterator<Item = (&Agent, &TokenProof)> {
    sets(policy).filter_map(|(agent, proofs)| Some((agent, proofs.token.as_ref()?)))
}

fn told(mut all: Vec<String>) -> Vec<String> {
    let more = all.len().saturating_sub(AGENTS_TOLD_MAX);
    all.truncate(AGENTS_TOLD_MAX);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
}
