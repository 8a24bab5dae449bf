//! What of a policy its cases touch: routes, scopes, agents, alternatives and limits, permitted and refused apart.

use std::collections::BTreeMap;

use policy::model::{Identity, Policy, Proofs, Subject, TokenProof};
use policy::reason::Reason;
use policy_evaluate::{Evaluation, Presented, Token};

/// What can be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Route,
    Scope,
    Agent,
    /// A set of proofs of an agent that has several.
    Alternative,
    Limit,
}

impl Part {
    pub const ALL: [Self; 5] = [Self::Route, Self::Scope, Self::Agent, Self::Alternative, Self::Limit];

    /// The plural in words.
    pub const fn nouns(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Scope => "scopes",
            Self::Agent => "agents",
            Self::Alternative => "alternatives",
            Self::Limit => "limits",
        }
    }
}

/// How often something was touched by a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub permitted: u64,
    pub refused: u64,
}

/// Everything of a policy that a case can touch, by name. An alternative is `agent#2`, a limit `agent/minute`.
pub struct Coverage {
    parts: [BTreeMap<String, Touched>; 5],
    /// Index of the anonymous agent.
    anonymous: Option<usize>,
    /// Scopes that every caller has, so that nobody can be refused them.
    for_everybody: Vec<String>,
}

impl Coverage {
    /// Nothing touched yet.
    pub fn of(policy: &Policy) -> Self {
        let fresh = |names: Vec<String>| names.into_iter().map(|name| (name, Touched::default())).collect();
        let several = policy.agents.iter().filter(|agent| agent.identity.len() > 1);
        let alternatives = several.flat_map(|agent| (0..agent.identity.len()).map(|at| alternative(&agent.name, at)));
        let limits =
            policy.agents.iter().flat_map(|agent| agent.limits.iter().map(|found| limit(&agent.name, &found.name)));
        let parts = [
            fresh(policy.routes.iter().map(|route| route.name.clone()).collect()),
            fresh(policy.scopes.iter().map(|scope| scope.name.clone()).collect()),
            fresh(policy.agents.iter().map(|agent| agent.name.clone()).collect()),
            fresh(alternatives.collect()),
            fresh(limits.collect()),
        ];
        let anonymous = policy.agents.iter().position(|agent| agent.identity.contains(&Identity::Anonymous));
        let everybody = anonymous.and_then(|index| policy.agents.get(index));
        let for_everybody = everybody.map_or_else(Vec::new, |agent| agent.scopes.clone());
        Self { parts, anonymous, for_everybody }
    }

    pub fn part(&self, part: Part) -> &BTreeMap<String, Touched> {
        let [routes, scopes, agents, alternatives, limits] = &self.parts;
        match part {
            Part::Route => routes,
            Part::Scope => scopes,
            Part::Agent => agents,
            Part::Alternative => alternatives,
            Part::Limit => limits,
        }
    }

    /// How many of a part fit.
    pub fn count(&self, part: Part, fits: impl Fn(&Touched) -> bool) -> usize {
        self.part(part).values().filter(|touched| fits(touched)).count()
    }

    /// Names of a part that fit.
    pub fn names(&self, part: Part, fits: impl Fn(&Touched) -> bool) -> Vec<&str> {
        let found = self.part(part).iter().filter(|(_, touched)| fits(touched));
        found.map(|(name, _)| name.as_str()).collect()
    }

    /// Scopes that callers were granted and that no case is refused, though it could be.
    pub fn scopes_never_refused(&self) -> Vec<&str> {
        let mut names = self.names(Part::Scope, |touched| touched.permitted > 0 && touched.refused == 0);
        names.retain(|name| !self.for_everybody.iter().any(|scope| scope == name));
        names
    }

    /// Of all parts: what is touched by at least one request, and all there is.
    pub fn total(&self) -> (usize, usize) {
        let sum = |of: &dyn Fn(Part) -> usize| Part::ALL.into_iter().map(of).sum();
        (sum(&|part| self.count(part, Touched::is_touched)), sum(&|part| self.part(part).len()))
    }

    /// Whole percent of what is touched, rounded down.
    pub fn percent(&self) -> usize {
        let (touched, all) = self.total();
        (touched * 100).checked_div(all).unwrap_or(100)
    }

    /// Counts one request in. `meant`: the route that it is for, be it permitted or not.
    pub fn touch(&mut self, policy: &Policy, presented: &Presented, meant: Option<&str>, found: &Evaluation) {
        let permitted = found.permitted;
        // Before that, nothing was asked of a route.
        let of_route = matches!(
            found.reason,
            None | Some(
                Reason::ScopeMissing
                    | Reason::CredentialMissing
                    | Reason::TargetNotAdmitted
                    | Reason::LimitExceeded
                    | Reason::SubjectsFull
            )
        );
        let [routes, scopes, agents, alternatives, limits] = &mut self.parts;
        if let Some(route) = meant.filter(|_| of_route) {
            mark(routes, route, permitted);
            let lacking = matches!(found.reason, Some(Reason::ScopeMissing | Reason::CredentialMissing));
            for scope in policy.scopes.iter().filter(|scope| lacking && scope.routes.iter().any(|name| name == route)) {
                mark(scopes, &scope.name, false);
            }
        }
        if let Some(scope) = found.scope.as_deref().filter(|_| permitted) {
            mark(scopes, scope, true);
        }
        let nobody = found.agent.is_none() && (permitted || found.reason == Some(Reason::CredentialMissing));
        let caller = match &found.agent {
            // Sorted by name, as every normalised policy.
            Some(name) => policy.agents.binary_search_by(|agent| agent.name.cmp(name)).ok(),
            None => self.anonymous.filter(|_| nobody),
        };
        if let Some(agent) = caller.and_then(|index| policy.agents.get(index)) {
            mark(agents, &agent.name, permitted);
            for (at, _) in agent.identity.iter().enumerate().filter(|(_, identity)| holds(identity, presented)) {
                mark(alternatives, &alternative(&agent.name, at), permitted);
            }
        }
        if let Some(payer) = &found.granted_by {
            if permitted && found.agent.as_ref().is_some_and(|agent| agent != payer) {
                mark(agents, payer, true);
            }
            for look in &found.limits {
                if permitted || found.limit.as_deref() == Some(&look.name) {
                    mark(limits, &limit(payer, &look.name), permitted);
                }
            }
        }
    }
}

impl Touched {
    pub fn is_touched(&self) -> bool {
        self.permitted + self.refused > 0
    }
}

fn mark(part: &mut BTreeMap<String, Touched>, name: &str, permitted: bool) {
    if let Some(touched) = part.get_mut(name) {
        let count = if permitted { &mut touched.permitted } else { &mut touched.refused };
        *count += 1;
    }
}

fn alternative(agent: &str, index: usize) -> String {
    format!("{agent}#{}", index + 1)
}

fn limit(agent: &str, limit: &str) -> String {
    format!("{agent}/{limit}")
}

/// Whether all proofs of an alternative are presented.
fn holds(identity: &Identity, presented: &Presented) -> bool {
    let Identity::Proofs(Proofs { certificate, token, api_keys }) = identity else {
        return true;
    };
    let certificate = certificate.as_ref().is_none_or(|proof| {
        let found = presented.certificate.as_ref();
        found.is_some_and(|found| found.cas.contains(&proof.ca) && found.names.contains(&proof.name))
    });
    let key = api_keys.is_empty() || presented.api_key.as_ref().is_some_and(|id| api_keys.contains(id));
    let token = token.as_ref().is_none_or(|proof| presented.token.as_ref().is_some_and(|token| is_of(proof, token)));
    certificate && token && key
}

fn is_of(proof: &TokenProof, token: &Token) -> bool {
    let subject = match &proof.subject {
        Subject::Exactly(subject) => *subject == token.subject,
        Subject::AnyBut(except) => !except.contains(&token.subject),
    };
    proof.issuer == token.issuer && subject
}

#[cfg(test)]
mod tests;
