//! What a record says that was decided, against what is decided now.

use policy::case;
use policy::reason::Reason;
use policy_evaluate::{Evaluation, Recorded};

use super::line::Exchange;

/// How much of an exchange the policy decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All of it.
    Decided,
    /// The policy granted it; the gateway refused it before its limits were charged, or gave them back.
    Granted,
    /// The gateway answered before the policy was asked.
    NotDecided(&'static str),
}

/// A member of a record that does not follow from its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: &'static str,
    pub recorded: String,
    pub now: String,
}

/// A reason that follows from the inputs of a record alone.
pub fn is_of_policy(reason: Reason) -> bool {
    reason != Reason::InvalidTarget && case::REASONS.contains(&reason)
}

pub fn standing(exchange: &Exchange) -> Standing {
    let decided = &exchange.decided;
    match decided.reason {
        _ if decided.permitted => Standing::Decided,
        None if exchange.request.method == "OPTIONS" && exchange.status == Some(204) => {
            Standing::NotDecided("about the gateway itself")
        }
        None => Standing::Decided,
        Some(reason) if is_of_policy(reason) => Standing::Decided,
        Some(_) if decided.route.is_some() => Standing::Granted,
        // The list is no part of the release, and names callers that the policy knows well.
        Some(reason) if reason.is_revocation() => Standing::NotDecided(reason.name()),
        // Nobody is told of before everything that was presented holds: then the policy decides.
        Some(_) if decided.agent.is_some() => Standing::Decided,
        Some(reason) => Standing::NotDecided(reason.name()),
    }
}

/// Everything in which a decision that was made again differs from its record.
pub fn differences(exchange: &Exchange, found: &Evaluation, used: &Recorded, standing: Standing) -> Vec<Difference> {
    let decided = &exchange.decided;
    let mut all = Vec::new();
    let mut differ = |what, recorded: String, now: String| {
        if recorded != now {
            all.push(Difference { what, recorded, now });
        }
    };
    if standing == Standing::Decided {
        let failed_later = decided.permitted && decided.reason.is_some_and(|reason| !is_of_policy(reason));
        let reason = decided.reason.filter(|_| !failed_later);
        differ("decision", outcome(decided.permitted, reason), outcome(found.permitted, found.reason));
        if !decided.permitted && !found.permitted {
            differ("status", number(exchange.status), number(Some(found.status)));
        }
        let states = |all: &mut dyn Iterator<Item = (&String, Option<u64>)>| {
            let told = all.map(|(name, state)| {
                format!("\"{name}\" {}", state.map_or_else(|| "full".to_owned(), |state| state.to_string()))
            });
            told.collect::<Vec<_>>().join(", ")
        };
        let recorded = states(&mut exchange.limits.iter().map(|(name, state)| (name, *state)));
        let missing = |name: &String| used.missing.contains(name);
        let looked_at = found.limits.iter().filter(|look| !missing(&look.name)).map(|look| (&look.name, look.before));
        differ("limits", recorded, states(&mut looked_at.collect::<Vec<_>>().into_iter()));
        for name in &used.missing {
            differ("limits", format!("no state of \"{name}\""), "looked at".to_owned());
        }
    }
    let name = |name: &Option<String>| name.as_ref().map_or("none".to_owned(), |name| format!("\"{name}\""));
    differ("agent", name(&decided.agent), name(&found.agent));
    differ("granted by", name(&decided.granted_by), name(&found.granted_by));
    differ("route", name(&decided.route), name(&found.route));
    differ("scope", name(&decided.scope), name(&found.scope));
    all
}

/// `permit`, or `deny (scope-missing)`.
pub fn outcome(permitted: bool, reason: Option<Reason>) -> String {
    match (permitted, reason) {
        (true, None) => "permit".to_owned(),
        (true, Some(reason)) => format!("permit ({})", reason.name()),
        (false, reason) => format!("deny ({})", reason.map_or("no reason", Reason::name)),
    }
}

fn number(status: Option<u16>) -> String {
    status.map_or_else(|| "none".to_owned(), |status| status.to_string())
}
