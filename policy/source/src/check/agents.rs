//! What each agent stands for: a single caller, a population, or everybody; and who holds which API key.

use std::collections::{HashMap, HashSet};

use policy::model::{Identity, Proofs, Subject};

use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::AgentDraft;
use crate::fields::shown;
use crate::reading::Reading;

pub(crate) fn check<'d>(agents: &[AgentDraft<'d>], reading: &mut Reading<'d, '_>) {
    anonymous(agents, reading);
    populations(agents, reading);
    excepted(agents, reading);
    api_keys(agents, reading);
}

fn anonymous<'d>(agents: &[AgentDraft<'d>], reading: &mut Reading<'d, '_>) {
    let mut first: Option<&AgentDraft<'d>> = None;
    for agent in agents {
        let Some(position) = agent.agent.identity.iter().position(|identity| *identity == Identity::Anonymous) else {
            continue;
        };
        let at = place(agent, position);
        if agent.agent.identity.len() > 1 {
            let message = "an agent is everybody or somebody, not both";
            let diagnostic = Diagnostic::new(codes::ANONYMOUS_MIXED, at, message).label("everybody");
            reading.sink.push(diagnostic.hint("write `identity = [\"anonymous\"]` in an [[agent]] of its own"));
        }
        if let Some(first) = first {
            let message = format!("`{}` is anonymous already", shown(first.name.value));
            let diagnostic = Diagnostic::new(codes::SECOND_ANONYMOUS, at, message).label("everybody, again");
            let diagnostic = diagnostic.related(first.name.span, "the first anonymous agent");
            reading.sink.push(diagnostic.hint("put all scopes for everybody in one [[agent]]"));
        }
        first = first.or(Some(agent));
    }
}

fn populations<'d>(agents: &[AgentDraft<'d>], reading: &mut Reading<'d, '_>) {
    let mut of_issuer: HashMap<&str, (&AgentDraft<'d>, &[String])> = HashMap::new();
    for agent in agents {
        let mut single = None;
        let mut population = None;
        for (position, identity) in agent.agent.identity.iter().enumerate() {
            let Identity::Proofs(proofs) = identity else {
                continue;
            };
            let Some((issuer, except)) = population_of(proofs) else {
                single = single.or(Some(place(agent, position)));
                continue;
            };
            population = population.or(Some(place(agent, position)));
            match of_issuer.get(issuer) {
                None => {
                    of_issuer.insert(issuer, (agent, except));
                }
                Some((first, _)) if first.agent.name != agent.agent.name => {
                    let message = format!(
                        "`{}` is already the population of the issuer `{}`",
                        shown(first.name.value),
                        shown(issuer)
                    );
                    let diagnostic = Diagnostic::new(codes::SECOND_POPULATION, place(agent, position), message);
                    let diagnostic =
                        diagnostic.label("the same subjects").related(first.name.span, "the first population");
                    reading.sink.push(diagnostic.hint("name the subjects of one of them, or merge the two"));
                }
                Some((_, first_except)) if *first_except != except => {
                    let message =
                        format!("two populations of the issuer `{}` except different subjects", shown(issuer));
                    let diagnostic = Diagnostic::new(codes::SECOND_POPULATION, place(agent, position), message);
                    reading.sink.push(diagnostic.label("another `except`").hint("write the same `except` in both"));
                }
                Some(_) => {}
            }
        }
        if let (Some(single), Some(population)) = (single, population) {
            let message = "an agent is a population or a single caller, not both";
            let diagnostic = Diagnostic::new(codes::MIXED_POPULATION, single, message).label("a single caller");
            let diagnostic = diagnostic.related(population, "a population");
            reading.sink.push(diagnostic.hint("make two agents of it; they may have the same scopes"));
        }
    }
}

fn population_of(proofs: &Proofs) -> Option<(&str, &[String])> {
    let token = proofs.token.as_ref()?;
    match &token.subject {
        Subject::AnyBut(except) => Some((&token.issuer, except)),
        Subject::Exactly(_) => None,
    }
}

fn excepted<'d>(agents: &[AgentDraft<'d>], reading: &mut Reading<'d, '_>) {
    if agents.iter().all(|agent| agent.excepted.is_empty()) {
        return;
    }
    let mut named: HashMap<(&str, &str), &AgentDraft<'d>> = HashMap::new();
    for agent in agents {
        for identity in &agent.agent.identity {
            if let Identity::Proofs(Proofs { token: Some(token), .. }) = identity
                && let Subject::Exactly(subject) = &token.subject
            {
                named.insert((&token.issuer, subject), agent);
            }
        }
    }
    for (issuer, subject) in agents.iter().flat_map(|agent| &agent.excepted) {
        if let Some(agent) = named.get(&(*issuer, subject.value)) {
            let message = format!("`{}` is named by `{}`", shown(subject.value), shown(agent.name.value));
            let diagnostic = Diagnostic::new(codes::REDUNDANT_EXCEPT, subject.span, message).label("needless");
            let diagnostic = diagnostic.related(agent.name.span, "named by this agent");
            let hint = "a subject that is named elsewhere is never part of a population; it is not refused by this";
            reading.sink.push(diagnostic.hint(hint));
        }
    }
}

fn api_keys<'d>(agents: &[AgentDraft<'d>], reading: &mut Reading<'d, '_>) {
    let mut holders: HashMap<&str, (usize, Span)> = HashMap::new();
    let mut reported: HashSet<(usize, &str)> = HashSet::new();
    for (position, agent) in agents.iter().enumerate() {
        for id in &agent.api_keys {
            let (holder, first) = *holders.entry(id.value).or_insert((position, id.span));
            if holder != position && reported.insert((position, id.value)) {
                let name = agents.get(holder).map_or("", |agent| agent.name.value);
                let message = format!("the API key `{}` already identifies `{}`", shown(id.value), shown(name));
                let diagnostic = Diagnostic::new(codes::SHARED_API_KEY, id.span, message).label("whose key?");
                let diagnostic = diagnostic.related(first, "first here");
                reading.sink.push(diagnostic.hint("make a key of its own with `adamant key new`"));
            }
        }
    }
}

pub(super) fn place(agent: &AgentDraft<'_>, alternative: usize) -> Span {
    agent.alternatives_at.get(alternative).copied().unwrap_or(agent.name.span)
}
