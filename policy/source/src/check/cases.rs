//! What cases say of the policy: whether such a caller can be.

use std::collections::HashMap;

use policy::case::{AsAgent, Asked, Caller, Credentials};
use policy::model::{Binding, Identity, Issuer, Proofs, Subject};

use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::{AgentDraft, CallerPlaces, CaseDraft, Draft, StepPlaces};
use crate::fields::shown;
use crate::reading::Reading;

/// Checks cases that stand in the text of `reading` against the policy.
pub(crate) fn check(cases: &[CaseDraft], draft: &Draft<'_>, reading: &mut Reading<'_, '_>) {
    if cases.is_empty() {
        return;
    }
    let agents: HashMap<&str, &AgentDraft<'_>> = draft.agents.iter().map(|agent| (agent.name.value, agent)).collect();
    let issuers: HashMap<&str, &Issuer> = draft.issuers.iter().map(|issuer| (issuer.name.as_str(), issuer)).collect();
    for case in cases {
        // Steps that take over the caller of their case would all say the same.
        let mut said: Option<(Span, Span)> = None;
        for (step, places) in case.case.steps.iter().zip(&case.steps_at) {
            let at = (places.caller.who, places.request);
            if said.replace(at) != Some(at) {
                match &step.caller {
                    Caller::Agent(agent) => as_agent(agent, &step.request, places, &agents, &issuers, reading),
                    Caller::Presents(given) => credentials(given, &step.request, &places.caller, &issuers, reading),
                }
            }
            if let (Some(limit), Some(at)) = (&step.expect.limit, places.limit) {
                expected_limit(limit, at, &step.caller, draft, reading);
            }
        }
    }
}

fn as_agent(
    agent: &AsAgent,
    request: &Asked,
    places: &StepPlaces,
    agents: &HashMap<&str, &AgentDraft<'_>>,
    issuers: &HashMap<&str, &Issuer>,
    reading: &mut Reading<'_, '_>,
) {
    // An unknown agent is reported as an unknown reference.
    let Some(found) = agents.get(agent.name.as_str()) else {
        return;
    };
    let at = &places.caller;
    let alternatives = &found.agent.identity;
    let index = usize::try_from(agent.alternative).unwrap_or(usize::MAX).saturating_sub(1);
    let Some(alternative) = alternatives.get(index) else {
        let count = alternatives.len();
        let sets = if count == 1 { "one set".to_owned() } else { format!("{count} sets") };
        let message = format!("`{}` has {sets} of proofs", shown(&agent.name));
        let diagnostic = Diagnostic::new(codes::OUT_OF_RANGE, at.alternative, message).label("no such alternative");
        reading.sink.push(diagnostic.hint("alternatives count from 1"));
        return;
    };
    let proofs = match alternative {
        Identity::Anonymous => &Proofs::default(),
        Identity::Proofs(proofs) => proofs,
    };
    let population = proofs.token.as_ref().is_some_and(|token| matches!(token.subject, Subject::AnyBut(_)));
    if agent.subject.is_some() && !population {
        let message = format!("`{}` is no population: its subject is fixed", shown(&agent.name));
        let diagnostic = Diagnostic::new(codes::BAD_CASE, at.subject, message).label("not here");
        reading.sink.push(diagnostic.hint("remove it, or write the credentials with `token = { … }`"));
    }
    if agent.scopes.is_some() {
        match &proofs.token {
            None => {
                let message = format!("this alternative of `{}` has no token to hold scopes", shown(&agent.name));
                let diagnostic = Diagnostic::new(codes::BAD_CASE, at.scopes, message).label("in which token?");
                reading.sink.push(diagnostic.hint("remove it, or choose another `alternative`"));
            }
            Some(token) => narrows(&token.issuer, at.scopes, issuers, reading),
        }
    }
    let bound = proofs.token.as_ref().and_then(|token| token.bound);
    if (proofs.certificate.is_some() || bound == Some(Binding::Certificate)) && !request.tls {
        plain_certificate(places.request, reading);
    }
}

fn credentials(
    credentials: &Credentials,
    request: &Asked,
    at: &CallerPlaces,
    issuers: &HashMap<&str, &Issuer>,
    reading: &mut Reading<'_, '_>,
) {
    if let Some(token) = &credentials.token
        && token.scopes.is_some()
    {
        narrows(&token.issuer, at.scopes, issuers, reading);
    }
    let bound = credentials.token.as_ref().and_then(|token| token.bound);
    if (credentials.certificate.is_some() || bound == Some(Binding::Certificate)) && !request.tls {
        plain_certificate(at.who, reading);
    }
}

fn plain_certificate(at: Span, reading: &mut Reading<'_, '_>) {
    let message = "a certificate is presented in a TLS handshake, and this request goes over plain HTTP";
    let diagnostic = Diagnostic::new(codes::BAD_CASE, at, message).label("no handshake");
    reading.sink.push(diagnostic.hint("write `https://`"));
}

/// Scopes in a token mean something only where the issuer has a claim for them.
fn narrows(issuer: &str, at: Span, issuers: &HashMap<&str, &Issuer>, reading: &mut Reading<'_, '_>) {
    if issuers.get(issuer).is_some_and(|issuer| issuer.scope_claim.is_none()) {
        let message = format!("tokens of `{}` do not narrow: the issuer has no `scope_claim`", shown(issuer));
        let diagnostic = Diagnostic::new(codes::BAD_CASE, at, message).label("without effect");
        reading.sink.push(diagnostic.hint("remove `scopes`, or add `scope_claim = \"scope\"` to the [[issuer]]"));
    }
}

fn expected_limit(name: &str, at: Span, caller: &Caller, draft: &Draft<'_>, reading: &mut Reading<'_, '_>) {
    if matches!(caller, Caller::Agent(caller) if !draft.agents.iter().any(|agent| agent.agent.name == caller.name)) {
        return;
    }
    let may_pay = |agent: &&AgentDraft<'_>| match caller {
        Caller::Agent(caller) => agent.agent.name == caller.name || agent.agent.identity.contains(&Identity::Anonymous),
        Caller::Presents(_) => true,
    };
    let agents = draft.agents.iter().filter(may_pay);
    let names = || agents.clone().flat_map(|agent| &agent.agent.limits).map(|limit| limit.name.as_str());
    if names().any(|known| known == name) || reading.names.values().any(|names| names.incomplete) {
        return;
    }
    let hint = reading.suggest.hint(name, names(), "this caller has no limits");
    let message = format!("unknown limit `{}`", shown(name));
    let diagnostic = Diagnostic::new(codes::UNKNOWN_REFERENCE, at, message);
    reading.sink.push(diagnostic.label("no limit of this caller has this name").hint(hint));
}
