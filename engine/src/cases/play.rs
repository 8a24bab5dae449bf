//! Plays one case: its requests one after the other, on limits that nobody has used before.

use policy::case::{AsAgent, Caller, Case, Credentials, Expect, Step};
use policy::model::Policy;
use policy_evaluate::{Certificate, Evaluation, Evaluator, Memory, Presented, Request, Token, presented_by};
use policy_release::time::Timestamp;

use super::coverage::Coverage;
use super::{Failed, Located, Played};

const NS_PER_MS: u64 = 1_000_000;

/// One request of a case.
struct Asked<'c> {
    step: &'c Step,
    presented: &'c Presented,
    request: &'c Request,
    at_ns: u64,
    /// Which of all requests of the case, from 0.
    number: u64,
    /// Which of the equal ones of its step, from 1.
    nth: u32,
    /// Which step, from 0.
    index: usize,
}

pub fn case(located: &Located, evaluator: &Evaluator<'_>, coverage: &mut Coverage) -> Played {
    let case = &located.case;
    let policy = evaluator.policy();
    let mut counters = Memory::default();
    let mut requests = 0;
    let failed = each(case, policy, |asked| {
        let evaluation = evaluator.decide(asked.presented, asked.request, asked.at_ns, &mut counters);
        let meant = meant(evaluator, asked.request, &evaluation);
        coverage.touch(policy, asked.presented, meant.as_deref(), &evaluation);
        requests += 1;
        let as_expected = fits(&asked.step.expect, &evaluation, meant.as_deref());
        (!as_expected).then(|| failed(located, evaluator, asked))
    });
    let failed = failed.unwrap_or_else(|fault| Some(impossible(located, fault)));
    Played { name: case.name.clone(), file: located.file.clone(), line: located.line, requests, failed }
}

/// Calls `visit` with each request of a case, in their order, until it gives something.
fn each<T>(
    case: &Case,
    policy: &Policy,
    mut visit: impl FnMut(&Asked<'_>) -> Option<T>,
) -> Result<Option<T>, (usize, String)> {
    let mut at_ns = case.at_s.saturating_mul(1_000 * NS_PER_MS);
    let mut number = 0;
    for (index, step) in case.steps.iter().enumerate() {
        at_ns = at_ns.saturating_add(step.after_ms.saturating_mul(NS_PER_MS));
        let presented = presented(policy, step).map_err(|fault| (index, fault))?;
        let Step { request, .. } = step;
        let request =
            Request { method: request.method.clone(), host: request.host.clone(), target: request.target.clone() };
        for nth in 1..=step.repeat {
            let asked = Asked { step, presented: &presented, request: &request, at_ns, number, nth, index };
            if let Some(found) = visit(&asked) {
                return Ok(Some(found));
            }
            number += 1;
        }
    }
    Ok(None)
}

/// What a step presents to the policy.
fn presented(policy: &Policy, step: &Step) -> Result<Presented, String> {
    let mut presented = match &step.caller {
        Caller::Agent(AsAgent { name, alternative, subject, scopes }) => {
            let alternative = usize::try_from(*alternative).unwrap_or(usize::MAX);
            let found = presented_by(policy, name, alternative, subject.as_deref());
            let mut presented = found.map_err(|fault| fault.to_string())?;
            if let (Some(token), Some(scopes)) = (&mut presented.token, scopes) {
                token.scopes = Some(scopes.clone());
            }
            presented
        }
        Caller::Presents(Credentials { certificate, token, api_key }) => Presented {
            certificate: certificate
                .as_ref()
                .map(|shown| Certificate { cas: shown.cas.clone(), names: shown.names.clone() }),
            token: token.as_ref().map(|token| Token {
                issuer: token.issuer.clone(),
                subject: token.subject.clone(),
                scopes: token.scopes.clone(),
                expires_s: None,
                bound: token.bound.into(),
            }),
            api_key: api_key.clone(),
            ..Presented::nothing(step.client)
        },
    };
    presented.add_bound(policy);
    presented.client = step.client;
    presented.tls = step.request.tls;
    Ok(presented)
}

/// The route that a request means, be it permitted or not: a refusal names none.
pub fn meant(evaluator: &Evaluator<'_>, request: &Request, evaluation: &Evaluation) -> Option<String> {
    if evaluation.route.is_some() {
        return evaluation.route.clone();
    }
    let (mut room, mut host) = (Vec::new(), Vec::new());
    let target = policy::target::normalise(request.target.as_bytes(), &mut room).ok()?;
    let host = policy::target::normalise_host(request.host.as_bytes(), &mut host)?;
    let route = evaluator.table().route(host, request.method.as_bytes(), target.path)?;
    Some(evaluator.table().route_name(route).to_owned())
}

fn fits(expect: &Expect, found: &Evaluation, meant: Option<&str>) -> bool {
    let name = |expected: &Option<String>, found: Option<&str>| {
        expected.as_deref().is_none_or(|expected| Some(expected) == found)
    };
    expect.permit == found.permitted
        && expect.reason.is_none_or(|reason| found.reason == Some(reason))
        && expect.status.is_none_or(|status| found.status == status)
        && name(&expect.agent, agent(found))
        && name(&expect.route, meant)
        && name(&expect.scope, found.scope.as_deref())
        && name(&expect.limit, found.limit.as_deref())
}

/// The identified caller; of one whom nobody is, the anonymous agent.
fn agent(found: &Evaluation) -> Option<&str> {
    found.agent.as_deref().or(found.granted_by.as_deref())
}

/// Plays the case again up to a request that failed, and has that one explained.
fn failed(located: &Located, evaluator: &Evaluator<'_>, at: &Asked<'_>) -> Failed {
    let mut counters = Memory::default();
    let explained = each(&located.case, evaluator.policy(), |asked| {
        if asked.number == at.number {
            return Some(evaluator.evaluate(asked.presented, asked.request, asked.at_ns, &mut counters));
        }
        evaluator.decide(asked.presented, asked.request, asked.at_ns, &mut counters);
        None
    });
    let mut failed = Failed {
        nth: at.nth,
        request: request_in_words(at),
        ..blank(located, at.index, expected(&at.step.expect), String::new())
    };
    if let Ok(Some(evaluation)) = explained {
        failed.got = got(&evaluation, meant(evaluator, at.request, &evaluation).as_deref());
        for step in &evaluation.steps {
            failed.how.push(format!("{:<10} {}", step.topic.name(), step.text));
            failed.how.extend(step.details.iter().map(|detail| format!("{:<10}   {detail}", "")));
        }
    }
    failed
}

/// A case of a release that does not fit its policy, which no tool builds.
fn impossible(located: &Located, (index, fault): (usize, String)) -> Failed {
    let expected = located.case.steps.get(index).map_or_else(String::new, |step| expected(&step.expect));
    blank(located, index, expected, format!("no request: {fault}"))
}

fn blank(located: &Located, index: usize, expected: String, got: String) -> Failed {
    let steps = located.case.steps.len();
    let repeat = located.case.steps.get(index).map_or(1, |step| step.repeat);
    let line = located.step_lines.get(index).copied();
    Failed { step: index + 1, steps, line, nth: 1, repeat, request: String::new(), expected, got, how: Vec::new() }
}

fn request_in_words(asked: &Asked<'_>) -> String {
    let step = asked.step;
    let scheme = if step.request.tls { "https" } else { "http" };
    let request = format!("{} {scheme}://{}{}", step.request.method, step.request.host, step.request.target);
    let (seconds, ms) = (asked.at_ns / (1_000 * NS_PER_MS), asked.at_ns / NS_PER_MS % 1_000);
    let mut at = Timestamp::from_seconds(seconds).map_or_else(|| seconds.to_string(), |at| at.to_string());
    if ms > 0 {
        at = at.replace('Z', &format!(".{ms:03}Z"));
    }
    format!("{request} {} from {} at {at}", caller_in_words(&step.caller), step.client)
}

fn caller_in_words(caller: &Caller) -> String {
    match caller {
        Caller::Agent(agent) => {
            let mut words = format!("as {}", agent.name);
            if agent.alternative > 1 {
                words.push_str(&format!(" by its alternative {}", agent.alternative));
            }
            if let Some(subject) = &agent.subject {
                words.push_str(&format!(" (subject {subject})"));
            }
            if let Some(scopes) = &agent.scopes {
                words.push_str(&format!(" with the token scopes [{}]", scopes.join(" ")));
            }
            words
        }
        Caller::Presents(Credentials { certificate, token, api_key }) => {
            let mut parts = Vec::new();
            if let Some(shown) = certificate {
                let names: Vec<String> = shown.names.iter().map(ToString::to_string).collect();
                parts.push(format!("the certificate {} under {}", names.join(", "), shown.cas.join(", ")));
            }
            if let Some(token) = token {
                let scopes = token.scopes.as_ref().map(|scopes| format!(", scopes [{}]", scopes.join(" ")));
                let scopes = scopes.unwrap_or_default();
                parts.push(format!("a token of {} for {}{scopes}", token.issuer, token.subject));
            }
            if let Some(id) = api_key {
                parts.push(format!("the API key {id}"));
            }
            if parts.is_empty() { "with no credentials".to_owned() } else { format!("with {}", parts.join(" and ")) }
        }
    }
}

fn expected(expect: &Expect) -> String {
    let decision = if expect.permit { "permit" } else { "deny" };
    let reason = expect.reason.map(|reason| format!("reason {}", reason.name()));
    let status = expect.status.map(|status| format!("status {status}"));
    let named =
        [("agent", &expect.agent), ("route", &expect.route), ("scope", &expect.scope), ("limit", &expect.limit)];
    let named = named.into_iter().filter_map(|(what, name)| name.as_ref().map(|name| format!("{what} {name}")));
    let parts: Vec<String> = [Some(decision.to_owned()), reason, status].into_iter().flatten().chain(named).collect();
    parts.join(", ")
}

fn got(found: &Evaluation, meant: Option<&str>) -> String {
    let decision = if found.permitted { "permit" } else { "deny" };
    let reason = found.reason.map(|reason| format!("reason {}, status {}", reason.name(), found.status));
    let named = [
        ("agent", agent(found)),
        ("route", meant),
        ("scope", found.scope.as_deref()),
        ("limit", found.limit.as_deref()),
    ];
    let named = named.into_iter().filter_map(|(what, name)| name.map(|name| format!("{what} {name}")));
    let parts: Vec<String> = [Some(decision.to_owned()), reason].into_iter().flatten().chain(named).collect();
    parts.join(", ")
}
