//! Sets of proofs: which of them identify two agents, which none, and which undermine their neighbours.
//!
//! An alternative holds when all its proofs are presented, and all alternatives that hold must belong to one agent.
//! So an alternative that contains another agent's alternative can never identify anybody.

use std::collections::HashMap;

use policy::model::{CertificateName, Identity, Proofs, Subject};

use crate::check::agents::place;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::draft::AgentDraft;
use crate::fields::shown;
use crate::reading::Reading;

/// One proof of each kind, or none. A population's token has no subject.
type Certificate<'p> = Option<(&'p str, &'p CertificateName)>;
type Token<'p> = Option<(&'p str, Option<&'p str>)>;
type Set<'p> = (Certificate<'p>, Token<'p>, Option<&'p str>);

/// Who owns a set: positions of agent and alternative.
type Owners<'p> = HashMap<Set<'p>, (usize, usize)>;

pub(crate) fn check<'d>(agents: &[AgentDraft<'d>], reading: &mut Reading<'d, '_>) {
    let mut owners = Owners::new();
    for (position, agent) in agents.iter().enumerate() {
        for (alternative, proofs) in proofs_of(agent) {
            for set in sets(proofs) {
                let owner = *owners.entry(set).or_insert((position, alternative));
                if owner != (position, alternative) {
                    report_shared(agents, (position, alternative), owner, set, reading);
                }
            }
        }
    }
    for (position, agent) in agents.iter().enumerate() {
        unreachable(agents, position, &owners, reading);
        weaker(agent, reading);
    }
}

fn proofs_of<'a>(agent: &'a AgentDraft<'_>) -> impl Iterator<Item = (usize, &'a Proofs)> {
    agent.agent.identity.iter().enumerate().filter_map(|(position, identity)| match identity {
        Identity::Proofs(proofs) => Some((position, proofs)),
        Identity::Anonymous => None,
    })
}

/// The sets of an alternative: one for each of its interchangeable API keys.
fn sets(proofs: &Proofs) -> Vec<Set<'_>> {
    let certificate = proofs.certificate.as_ref().map(|proof| (proof.ca.as_str(), &proof.name));
    let token = proofs.token.as_ref().map(|proof| {
        let subject = match &proof.subject {
            Subject::Exactly(subject) => Some(subject.as_str()),
            Subject::AnyBut(_) => None,
        };
        (proof.issuer.as_str(), subject)
    });
    match proofs.api_keys.as_slice() {
        [] => vec![(certificate, token, None)],
        ids => ids.iter().map(|id| (certificate, token, Some(id.as_str()))).collect(),
    }
}

fn report_shared<'d>(
    agents: &[AgentDraft<'d>],
    (position, alternative): (usize, usize),
    (first, first_alternative): (usize, usize),
    set: Set<'_>,
    reading: &mut Reading<'d, '_>,
) {
    let (Some(agent), Some(first_agent)) = (agents.get(position), agents.get(first)) else {
        return;
    };
    let (at, first_at) = (place(agent, alternative), place(first_agent, first_alternative));
    if position == first {
        let diagnostic = Diagnostic::new(codes::REPEATED_ITEM, at, "this set of proofs stands twice").label("again");
        reading.sink.push(diagnostic.related(first_at, "first here").hint("remove one"));
    } else if set.2.is_none() && set.1.is_none_or(|(_, subject)| subject.is_some()) {
        // Shared API keys and populations are reported as what they are.
        let message = format!("these proofs already identify `{}`", shown(first_agent.name.value));
        let diagnostic = Diagnostic::new(codes::SHARED_PROOFS, at, message).label("the same proofs");
        let diagnostic = diagnostic.related(first_at, format!("of `{}`", shown(first_agent.name.value)));
        reading
            .sink
            .push(diagnostic.hint("one caller is one agent: merge the two, or add a proof that tells them apart"));
    }
}

/// Alternatives of one agent that contain an alternative of another one.
fn unreachable<'d>(agents: &[AgentDraft<'d>], position: usize, owners: &Owners<'_>, reading: &mut Reading<'d, '_>) {
    let Some(agent) = agents.get(position) else {
        return;
    };
    let mut blocked = Vec::new();
    for (alternative, proofs) in proofs_of(agent) {
        let rivals: Vec<_> = sets(proofs).into_iter().map(|set| rival(set, position, owners)).collect();
        if let Some(Some(rival)) = rivals.first()
            && rivals.iter().all(Option::is_some)
        {
            blocked.push((alternative, *rival));
        }
    }
    let hopeless = blocked.len() == agent.agent.identity.len();
    for (alternative, (rival, rival_alternative)) in blocked {
        let Some(rival) = agents.get(rival) else {
            continue;
        };
        let name = shown(rival.name.value);
        let message = match hopeless {
            true => format!("no proofs can identify `{}`: whoever has them is also `{name}`", shown(agent.name.value)),
            false => format!("whoever has these proofs is also `{name}`, so they are always refused"),
        };
        let code = if hopeless { codes::UNREACHABLE_AGENT } else { codes::UNREACHABLE_ALTERNATIVE };
        let diagnostic = Diagnostic::new(code, place(agent, alternative), message).label("never holds alone");
        let diagnostic = diagnostic.related(place(rival, rival_alternative), format!("`{name}` needs only these"));
        let hint = "valid proofs of two agents are refused: ask for one more proof there, or other proofs here";
        reading.sink.push(diagnostic.hint(hint));
    }
}

/// Another agent that a strict part of the set identifies. Parts with an API key are reported as shared keys, and a
/// population's token alone as a second population.
fn rival(set: Set<'_>, position: usize, owners: &Owners<'_>) -> Option<(usize, usize)> {
    let (certificate, token, key) = set;
    let parts = [(certificate, token, None), (certificate, None, None), (None, token, None)];
    let bare_population = |part: &Set<'_>| part.0.is_none() && part.1.is_some_and(|(_, subject)| subject.is_none());
    let count = |set: &Set<'_>| [set.0.is_some(), set.1.is_some(), set.2.is_some()].iter().filter(|is| **is).count();
    let whole = count(&(certificate, token, key));
    parts
        .into_iter()
        .filter(|part| (1..whole).contains(&count(part)) && !bare_population(part))
        .find_map(|part| owners.get(&part).copied().filter(|(owner, _)| *owner != position))
}

/// Warns of alternatives that ask for less than their neighbours: an attacker takes the weakest.
fn weaker<'d>(agent: &AgentDraft<'d>, reading: &mut Reading<'d, '_>) {
    const CERTIFICATE: u8 = 1;
    const TOKEN: u8 = 2;
    const API_KEY: u8 = 4;
    let kinds = |proofs: &Proofs| {
        let certificate = if proofs.certificate.is_some() { CERTIFICATE } else { 0 };
        let token = if proofs.token.is_some() { TOKEN } else { 0 };
        certificate | token | if proofs.api_keys.is_empty() { 0 } else { API_KEY }
    };
    let mut first_of_kinds: [Option<usize>; 8] = [None; 8];
    for (position, proofs) in proofs_of(agent) {
        if let Some(slot) = first_of_kinds.get_mut(usize::from(kinds(proofs))) {
            slot.get_or_insert(position);
        }
    }
    for (position, proofs) in proofs_of(agent) {
        let of = kinds(proofs);
        let stronger = (1_u8..8).zip(first_of_kinds.iter().skip(1)).find_map(|(other, first)| {
            let contains = other != of && other & of == of;
            let static_secret = of == API_KEY && other & CERTIFICATE != 0;
            first.filter(|_| contains || static_secret)
        });
        if let Some(stronger) = stronger {
            let what = match of {
                API_KEY => "a bare API key",
                TOKEN => "a bare token",
                CERTIFICATE => "a certificate alone",
                _ => "these proofs alone",
            };
            let message = format!("{what} is enough, although a stronger alternative stands beside it");
            let diagnostic = Diagnostic::new(codes::WEAK_ALTERNATIVE, place(agent, position), message);
            let diagnostic = diagnostic.label("the weaker way in").related(place(agent, stronger), "the stronger one");
            reading.sink.push(diagnostic.hint("remove it once every caller has the stronger proofs"));
        }
    }
}
