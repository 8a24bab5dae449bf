//! What a policy amounts to: how much of everything, and the worst case of each limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy::model::{Audit, Identity, Limit, LimitKind, MinimumTransport, OnFull, Per, Policy, Subject};
use serde::Serialize;

/// Counts of a policy, and its limits with their worst cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub name: String,
    pub audit: Audit,
    pub transport: MinimumTransport,
    pub issuers: usize,
    pub client_cas: usize,
    pub origins: usize,
    pub routes: usize,
    pub scopes: usize,
    pub agents: usize,
    /// Agents that stand for many subjects.
    pub populations: usize,
    /// Name of the anonymous agent.
    pub anonymous: Option<String>,
    pub api_keys: usize,
    /// API keys whose hash the key set of the channel says.
    pub api_keys_open: usize,
    /// Agents that may call as often as they like.
    pub agents_without_limits: usize,
    /// Of issuers, client CAs and API keys, those that agents are known by.
    pub known_by: KnownBy,
    /// Different limits, the most used first.
    pub limits: Vec<LimitSummary>,
}

/// How many of each stand in the proofs of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KnownBy {
    pub issuers: usize,
    pub client_cas: usize,
    pub api_keys: usize,
}

/// One limit, for all agents that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitSummary {
    /// As one writes it.
    pub limit: String,
    /// The most that any window admits.
    pub worst_case: String,
    /// Agents that have it.
    pub agents: usize,
    /// The first of them by name.
    pub example: String,
}

/// Sums a policy up.
pub fn summary(policy: &Policy) -> Summary {
    let mut limits: BTreeMap<(String, String), (usize, &str)> = BTreeMap::new();
    for agent in &policy.agents {
        for limit in &agent.limits {
            let key = (limit.to_string(), worst_case(limit));
            limits.entry(key).or_insert((0, &agent.name)).0 += 1;
        }
    }
    let mut limits: Vec<LimitSummary> = limits
        .into_iter()
        .map(|((limit, worst_case), (agents, example))| LimitSummary {
            limit,
            worst_case,
            agents,
            example: example.to_owned(),
        })
        .collect();
    limits.sort_by(|a, b| b.agents.cmp(&a.agents).then_with(|| a.limit.cmp(&b.limit)));
    let anonymous = policy.agents.iter().find(|agent| agent.identity.contains(&Identity::Anonymous));
    Summary {
        name: policy.name.clone(),
        audit: policy.audit,
        transport: policy.transport,
        issuers: policy.issuers.len(),
        client_cas: policy.client_cas.len(),
        origins: policy.origins.len(),
        routes: policy.routes.len(),
        scopes: policy.scopes.len(),
        agents: policy.agents.len(),
        populations: policy.agents.iter().filter(|agent| agent.identity.iter().any(is_population)).count(),
        anonymous: anonymous.map(|agent| agent.name.clone()),
        api_keys: policy.api_keys.len(),
        api_keys_open: policy.api_keys.iter().filter(|key| key.sha256.is_none()).count(),
        agents_without_limits: policy.agents.iter().filter(|agent| agent.limits.is_empty()).count(),
        known_by: known_by(policy),
        limits,
    }
}

fn known_by(policy: &Policy) -> KnownBy {
    let (mut issuers, mut client_cas, mut api_keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for identity in policy.agents.iter().flat_map(|agent| &agent.identity) {
        let Identity::Proofs(proofs) = identity else { continue };
        issuers.extend(proofs.token.iter().map(|token| token.issuer.as_str()));
        client_cas.extend(proofs.certificate.iter().map(|certificate| certificate.ca.as_str()));
        api_keys.extend(proofs.api_keys.iter().map(String::as_str));
    }
    KnownBy { issuers: issuers.len(), client_cas: client_cas.len(), api_keys: api_keys.len() }
}

fn is_population(identity: &Identity) -> bool {
    matches!(identity, Identity::Proofs(proofs)
        if proofs.token.as_ref().is_some_and(|token| matches!(token.subject, Subject::AnyBut(_))))
}

/// The most that a limit admits: bucket and refill in any window of its unit, or the count of two quota windows
/// where they meet.
fn worst_case(limit: &Limit) -> String {
    let (count, unit) = (u64::from(limit.count), limit.unit);
    let most = match limit.kind {
        LimitKind::Rate { burst } => format!("at most {} in any {unit}", u64::from(burst) + count),
        LimitKind::Quota => format!("at most {count} in each UTC {unit}, {} in any {unit} across two", 2 * count),
    };
    match limit.per {
        Per::Agent => most,
        Per::Subject { subjects_max, on_full: OnFull::Overflow } => {
            format!("{most}, for each of {subjects_max} subjects at once and for all further ones together")
        }
        Per::Subject { subjects_max, on_full: OnFull::Deny } => {
            format!("{most}, for each of {subjects_max} subjects at once; further ones are refused")
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let parts = [
            count(self.routes, "route", "routes"),
            format!("to {}", count(self.origins, "origin", "origins")),
            format!("in {}", count(self.scopes, "scope", "scopes")),
        ];
        writeln!(f, "policy {}: {}", self.name, parts.join(" "))?;
        let mut agents = count(self.agents, "agent", "agents");
        match (self.populations, &self.anonymous) {
            (0, None) => {}
            (0, Some(name)) => agents.push_str(&format!(" (`{name}` is anonymous)")),
            (n, None) => agents.push_str(&format!(" ({})", count(n, "population", "populations"))),
            (n, Some(name)) => {
                agents.push_str(&format!(" ({}; `{name}` is anonymous)", count(n, "population", "populations")));
            }
        }
        // What identifies nobody is a warning, so it is not counted as if it did.
        let of = |used: usize, all: usize, one: &str, many: &str| match used == all {
            true => count(all, one, many),
            false => format!("{used} of {}", count(all, one, many)),
        };
        let known_by = [
            (self.issuers, of(self.known_by.issuers, self.issuers, "issuer", "issuers")),
            (self.client_cas, of(self.known_by.client_cas, self.client_cas, "client CA", "client CAs")),
            (self.api_keys, of(self.known_by.api_keys, self.api_keys, "API key", "API keys")),
        ];
        let known_by: Vec<String> = known_by.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect();
        writeln!(f, "  {agents}{}{}", if known_by.is_empty() { "" } else { ", known by " }, known_by.join(", "))?;
        if self.api_keys_open > 0 {
            let keys = count(self.api_keys_open, "API key has", "API keys have");
            writeln!(f, "  {keys} no sha256: who signs key sets (role keys) says whose it is")?;
        }
        let width = self.limits.iter().map(|limit| limit.limit.len()).max().unwrap_or(0);
        for limit in &self.limits {
            let who = match limit.agents {
                1 => limit.example.clone(),
                n => format!("{} and {} more", limit.example, n - 1),
            };
            writeln!(f, "  {:width$}  {} ({who})", limit.limit, limit.worst_case)?;
        }
        if self.agents_without_limits > 0 {
            writeln!(f, "  {} no limits", count(self.agents_without_limits, "agent has", "agents have"))?;
        }
        Ok(())
    }
}
