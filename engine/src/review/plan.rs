//! From what was used to what can go: findings, and edits of the policy.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use control::last_use::Kind;
use policy::model::{Agent, Identity, Keys, Limit, LimitKind, Policy, Proofs};
use policy::rate::Gcra;

use super::bounds::{
    HEADROOM_FACTOR, HEADROOM_REQUESTS_MIN, LIMIT_LOOSE_PARTS, NAMES_TOLD_MAX, SUBJECTS_FEW, TOKEN_SCOPES_MAX,
};
use super::edit::Edit;
use super::findings::{Finding, Topic};
use super::keep::Keep;
use super::peaks;
use super::scan::Window;
use super::usage::{Calls, Seen, Usage};
use crate::commands::signing::plural;

/// Rates that are tried above the wanted one, for one whose interval is not rounded up too far.
const RATES_TRIED: usize = 64;

/// What can go, and how.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order in which they are told.
    pub findings: Vec<Finding>,
    pub edits: Vec<Edit>,
    /// Agents with calls that no record shows: nothing is said of them.
    pub missed: Vec<String>,
    /// Limits that may be loose, of which there are records for less than one window.
    pub too_long: Vec<String>,
}

impl Plan {
    /// `covered`: of what there are records; `until_s`: the end of the window; unused keys expire then.
    pub fn of(usage: &Usage<'_>, keep: &Keep, covered: Window, until_s: u64) -> Self {
        let mut plan = Self::default();
        let policy = usage.policy();
        for agent in policy.agents.iter().filter(|agent| !keep.agents.contains(&agent.name)) {
            if is_missed(usage, agent) {
                plan.missed.push(agent.name.clone());
                continue;
            }
            if is_unused(usage, agent) {
                plan.agent(agent);
                continue;
            }
            plan.scopes(usage, agent, keep);
            plan.population(usage, agent);
            plan.alternatives(usage, agent);
            plan.tokens(usage, agent);
            plan.limits(usage, agent, keep, covered);
        }
        plan.routes(usage, keep);
        plan.keys(usage, keep, until_s);
        plan.issuers(usage);
        plan.findings.sort_by_key(|finding| finding.topic);
        plan
    }

    /// What there is to say beside the findings.
    pub fn notes(&self) -> Option<String> {
        let many = plural(self.too_long.len(), "limit");
        let listed = listed(self.too_long.iter());
        (!self.too_long.is_empty())
            .then(|| format!("NOT JUDGED, because there are records for less than one window of it: {many}: {listed}"))
    }

    fn tell(&mut self, topic: Topic, name: &str, found: String, advice: Option<String>, edit: Option<Edit>) {
        let edit = edit.map(|edit| {
            self.edits.push(edit);
            self.edits.len() - 1
        });
        self.findings.push(Finding { topic, name: name.to_owned(), found, advice, edit });
    }

    fn agent(&mut self, agent: &Agent) {
        let scopes: BTreeSet<String> = agent.scopes.iter().cloned().collect();
        let has = match scopes.len() {
            0 => "it has no scopes".to_owned(),
            _ => format!("has {}", listed(scopes.iter())),
        };
        let edit = (!scopes.is_empty()).then(|| Edit::AgentScopes { agent: agent.name.clone(), remove: scopes });
        let advice = "to remove it as a whole, release-wider must sign (docs/diff.md says why)";
        self.tell(Topic::AgentUnused, &agent.name, has, Some(advice.to_owned()), edit);
    }

    fn scopes(&mut self, usage: &Usage<'_>, agent: &Agent, keep: &Keep) {
        let policy = usage.policy();
        let used: HashSet<&str> =
            usage.grants.keys().filter(|(of, _, _)| *of == agent.name).map(|(_, scope, _)| *scope).collect();
        let unused = agent.scopes.iter().filter(|scope| !used.contains(scope.as_str()));
        let remove: BTreeSet<String> = unused.filter(|scope| !keep.holds_scope(policy, scope)).cloned().collect();
        if remove.is_empty() {
            return;
        }
        let calls = calls_of(usage, agent).map_or(0, |calls| calls.count);
        let found = format!("{} of {}: {}", remove.len(), plural(agent.scopes.len(), "scope"), listed(remove.iter()));
        let found = format!("{found} (of {})", number(calls, "call"));
        let edit = Edit::AgentScopes { agent: agent.name.clone(), remove };
        self.tell(Topic::ScopeUnused, &agent.name, found, None, Some(edit));
    }

    fn population(&mut self, usage: &Usage<'_>, agent: &Agent) {
        let Some(subjects) = usage.subjects.get(agent.name.as_str()).filter(|found| found.len() <= SUBJECTS_FEW) else {
            return;
        };
        let names = subjects.iter().map(|(subject, calls)| format!("{subject} ({calls})"));
        let found = format!("{}: {}", plural(subjects.len(), "user"), listed(names.collect::<Vec<_>>().iter()));
        let advice = "name them as agents of their own instead of `subject = \"*\"`".to_owned();
        self.tell(Topic::PopulationFew, &agent.name, found, Some(advice), None);
    }

    fn alternatives(&mut self, usage: &Usage<'_>, agent: &Agent) {
        if agent.identity.len() < 2 {
            return;
        }
        for (index, identity) in agent.identity.iter().enumerate() {
            let Identity::Proofs(proofs) = identity else { continue };
            // Its keys are told one by one.
            let keys_alone = proofs.certificate.is_none() && proofs.token.is_none();
            let is_used = usage.alternatives.contains_key(&(agent.name.as_str(), index));
            if keys_alone || is_used || shows_missed(usage, agent, proofs) {
                continue;
            }
            let mut parts = Vec::new();
            parts.extend(proofs.certificate.as_ref().map(|proof| format!("certificate {}", proof.name)));
            parts.extend(proofs.token.as_ref().map(|proof| match &proof.subject {
                policy::model::Subject::Exactly(subject) => format!("token of {} for {subject}", proof.issuer),
                policy::model::Subject::AnyBut(_) => format!("token of {} for anybody", proof.issuer),
            }));
            parts.extend((!proofs.api_keys.is_empty()).then(|| "an API key".to_owned()));
            let found = format!("never came with {}", parts.join(" and "));
            let advice = "take it out of `identity`; release-wider must sign".to_owned();
            self.tell(Topic::CredentialUnused, &agent.name, found, Some(advice), None);
        }
    }

    fn tokens(&mut self, usage: &Usage<'_>, agent: &Agent) {
        let Some(carried) = usage.token_scopes.get(agent.name.as_str()) else { return };
        let needed: HashSet<&str> =
            usage.grants.keys().filter(|(of, _, _)| *of == agent.name).map(|(_, scope, _)| *scope).collect();
        let broad: Vec<&String> = carried.keys().filter(|scope| !needed.contains(scope.as_str())).collect();
        if broad.is_empty() || carried.len() >= TOKEN_SCOPES_MAX {
            return;
        }
        let found = format!("carried and never needed: {}", listed(broad.into_iter()));
        let advice = "let the issuer give tokens without".to_owned();
        self.tell(Topic::TokenBroad, &agent.name, found, Some(advice), None);
    }

    fn limits(&mut self, usage: &Usage<'_>, agent: &Agent, keep: &Keep, covered: Window) {
        for limit in &agent.limits {
            let name = format!("{}/{}", agent.name, limit.name);
            if keep.limits.contains(&name) {
                continue;
            }
            let peak = usage.peaks.of(&agent.name, &limit.name);
            let Some(peak) = peak.filter(|peak| peak.charged > 0 || peak.refused > 0) else {
                self.tell(Topic::LimitIdle, &name, format!("{limit}: nothing was charged to it"), None, None);
                continue;
            };
            if peak.refused > 0 || peak.unknown {
                continue;
            }
            let Some(tighter) = tighter(limit, peak.most) else { continue };
            if !peaks::holds_one(covered, limit) {
                self.too_long.push(format!("{name} ({limit})"));
                continue;
            }
            let most = peak.most.saturating_mul(100) / capacity(limit).max(1);
            let found = format!("{limit}: at most {} at once, {most} %; {tighter} would do", peak.most);
            let edit = Edit::Limit { agent: agent.name.clone(), limit: limit.name.clone(), tighter };
            self.tell(Topic::LimitLoose, &name, found, None, Some(edit));
        }
    }

    /// Routes that can leave scopes which stay in use.
    fn routes(&mut self, usage: &Usage<'_>, keep: &Keep) {
        let policy = usage.policy();
        let mut used: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for (_, scope, route) in usage.grants.keys() {
            used.entry(scope).or_default().insert(route);
        }
        let everywhere: HashSet<&str> = used.values().flatten().copied().collect();
        let kept_by_agent: HashSet<&str> = policy
            .agents
            .iter()
            .filter(|agent| keep.agents.contains(&agent.name) || is_missed(usage, agent))
            .flat_map(|agent| agent.scopes.iter().map(String::as_str))
            .collect();
        for scope in policy.scopes.iter().filter(|scope| !keep.scopes.contains(&scope.name)) {
            // A scope that nobody used goes from its agents.
            let Some(routes) = used.get(scope.name.as_str()) else { continue };
            if kept_by_agent.contains(scope.name.as_str()) {
                continue;
            }
            let unused = scope.routes.iter().filter(|route| !routes.contains(route.as_str()));
            let remove: BTreeSet<String> = unused.filter(|route| !keep.routes.contains(*route)).cloned().collect();
            if remove.is_empty() {
                continue;
            }
            let by_others = remove.iter().filter(|route| everywhere.contains(route.as_str())).count();
            let others =
                if by_others > 0 { format!(" ({by_others} used through other scopes)") } else { String::new() };
            let total = plural(scope.routes.len(), "route");
            let found = format!("{} of {total}: {}{others}", remove.len(), listed(remove.iter()));
            let edit = Edit::ScopeRoutes { scope: scope.name.clone(), remove };
            self.tell(Topic::RouteUnused, &scope.name, found, None, Some(edit));
        }
    }

    fn keys(&mut self, usage: &Usage<'_>, keep: &Keep, until_s: u64) {
        let policy = usage.policy();
        let holders = holders(policy);
        for key in policy.api_keys.iter().filter(|key| !keep.api_keys.contains(&key.id)) {
            let is_over = key.expires_s.is_some_and(|expires_s| expires_s <= until_s);
            let is_seen = usage.api_keys.contains_key(key.id.as_str());
            if is_over || is_seen || usage.remembered.missed(Kind::ApiKey, "", &key.id, None) {
                continue;
            }
            let agents = holders.get(key.id.as_str()).map_or(&[][..], Vec::as_slice);
            // What is said of the agent says it of its keys.
            let said = |agent: &&Agent| {
                is_unused(usage, agent) && !is_missed(usage, agent) || keep.agents.contains(&agent.name)
            };
            if !agents.is_empty() && agents.iter().all(said) {
                continue;
            }
            let found = match agents {
                [] => "names nobody".to_owned(),
                agents => format!("of {}", listed(agents.iter().map(|agent| &agent.name))),
            };
            let edit = Edit::KeyExpires { id: key.id.clone(), at_s: until_s };
            self.tell(Topic::KeyUnused, &key.id, found, None, Some(edit));
        }
    }

    fn issuers(&mut self, usage: &Usage<'_>) {
        let policy = usage.policy();
        for issuer in &policy.issuers {
            if !usage.issuers.contains_key(issuer.name.as_str()) {
                if usage.remembered.missed(Kind::Issuer, "", &issuer.name, None) {
                    continue;
                }
                let advice = "remove it with the agents that need it".to_owned();
                let found = "no token of this issuer came".to_owned();
                self.tell(Topic::CredentialUnused, &issuer.name, found, Some(advice), None);
                continue;
            }
            let Keys::Pinned { jwks } = &issuer.keys else { continue };
            let seen = usage.kids.get(issuer.name.as_str());
            let is_used = |kid: &String| {
                seen.is_some_and(|seen| seen.contains_key(kid))
                    || usage.remembered.missed(Kind::Key, &issuer.name, kid, None)
            };
            let unused: Vec<String> = kids(jwks).into_iter().filter(|kid| !is_used(kid)).collect();
            // Tokens without a `kid` may have been signed by any of them.
            if !unused.is_empty() && seen.is_some() {
                let found = format!("no token was signed with {}", listed(unused.iter()));
                let advice = "take it out of the key set when no token of it can be left".to_owned();
                self.tell(Topic::CredentialUnused, &issuer.name, found, Some(advice), None);
            }
        }
        let is_used = |ca: &str| usage.client_cas.contains_key(ca) || had_certificate_of(usage, ca);
        for ca in policy.client_cas.iter().filter(|ca| !is_used(&ca.name)) {
            let found = "no client certificate of this CA came".to_owned();
            self.tell(Topic::CredentialUnused, &ca.name, found, None, None);
        }
    }
}

fn calls_of(usage: &Usage<'_>, agent: &Agent) -> Option<Seen> {
    usage.agents.get(agent.name.as_str()).and_then(Calls::any)
}

fn is_unused(usage: &Usage<'_>, agent: &Agent) -> bool {
    calls_of(usage, agent).is_none()
}

/// Whether it called, and records do not show it: what it needed is not known.
fn is_missed(usage: &Usage<'_>, agent: &Agent) -> bool {
    usage.remembered.missed(Kind::Agent, "", &agent.name, calls_of(usage, agent))
}

/// Whether any of these proofs led to the agent by a call that no record shows.
fn shows_missed(usage: &Usage<'_>, agent: &Agent, proofs: &Proofs) -> bool {
    let missed = |kind, name: &str, seen: Option<&Seen>| usage.remembered.missed(kind, "", name, seen.copied());
    let by_token = proofs
        .token
        .as_ref()
        .is_some_and(|token| missed(Kind::Issuer, &token.issuer, usage.issuers.get(token.issuer.as_str())));
    let by_key = proofs.api_keys.iter().any(|id| missed(Kind::ApiKey, id, usage.api_keys.get(id.as_str())));
    by_token || by_key || proofs.certificate.is_some() && usage.remembered.had_certificate(&agent.name)
}

/// Whether a certificate led to an agent that may have one of this CA.
fn had_certificate_of(usage: &Usage<'_>, ca: &str) -> bool {
    let is_of = |identity: &Identity| match identity {
        Identity::Proofs(proofs) => proofs.certificate.as_ref().is_some_and(|proof| proof.ca == ca),
        Identity::Anonymous => false,
    };
    let mut may = usage.policy().agents.iter().filter(|agent| agent.identity.iter().any(is_of));
    may.any(|agent| usage.remembered.had_certificate(&agent.name))
}

/// The agents that each API key stands in.
fn holders(policy: &Policy) -> HashMap<&str, Vec<&Agent>> {
    let mut holders: HashMap<&str, Vec<&Agent>> = HashMap::new();
    for agent in &policy.agents {
        for identity in &agent.identity {
            let Identity::Proofs(proofs) = identity else { continue };
            for id in &proofs.api_keys {
                let of = holders.entry(id).or_default();
                if of.last().is_none_or(|last| last.name != agent.name) {
                    of.push(agent);
                }
            }
        }
    }
    holders
}

/// The `kid`s of a JWK Set (RFC 7517 §4.5).
pub fn kids(jwks: &str) -> Vec<String> {
    let Ok(set) = serde_json::from_str::<serde_json::Value>(jwks) else { return Vec::new() };
    let keys = set.get("keys").and_then(serde_json::Value::as_array).into_iter().flatten();
    keys.filter_map(|key| Some(key.get("kid")?.as_str()?.to_owned())).collect()
}

/// Requests that it admits at once.
const fn capacity(limit: &Limit) -> u64 {
    match limit.kind {
        LimitKind::Rate { burst } => burst as u64,
        LimitKind::Quota => limit.count as u64,
    }
}

/// The limit with headroom over `most` arrivals in the time that it takes to refill; none where it is not loose.
pub fn tighter(limit: &Limit, most: u64) -> Option<Limit> {
    let room = capacity(limit);
    if most == 0 || most.saturating_mul(LIMIT_LOOSE_PARTS) > room {
        return None;
    }
    let wanted = round(most.saturating_mul(HEADROOM_FACTOR).max(most + HEADROOM_REQUESTS_MIN));
    if wanted > room / 2 {
        return None;
    }
    let with = |count: u64, kind| Some(Limit { count: u32::try_from(count).ok()?, kind, ..limit.clone() });
    let LimitKind::Rate { burst } = limit.kind else { return with(wanted, LimitKind::Quota) };
    let (burst, count) = (u64::from(burst), u64::from(limit.count));
    // A number that divides the unit gives an interval that is not rounded up; else the rate is a little higher.
    let near = (wanted..=(wanted + wanted / 4).min(room / 2)).map(|room| (room, (room * count).div_ceil(burst)));
    let higher = (1..=count / 2).take(RATES_TRIED).map(|more| (wanted, (wanted * count).div_ceil(burst) + more));
    let fits = near.chain(higher).find(|(room, count)| refills_in_time(limit, *room, *count))?;
    let (room, count) = fits;
    if count >= u64::from(limit.count) {
        return None;
    }
    with(count, LimitKind::Rate { burst: u32::try_from(room).ok()? })
}

/// Whether a full bucket of these refills in no more time than that of the limit: a state is a time.
fn refills_in_time(limit: &Limit, burst: u64, count: u64) -> bool {
    let LimitKind::Rate { burst: before } = limit.kind else { return true };
    let interval = |count: u32| u128::from(Gcra::new(count, limit.unit.seconds(), 1).emission_interval_ns);
    let Ok(count) = u32::try_from(count) else { return false };
    interval(count) * u128::from(burst) <= interval(limit.count) * u128::from(before)
}

/// Up to two digits that count.
fn round(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number.div_ceil(unit) * unit
}

/// `a, b and 3 more`.
pub fn listed<T: AsRef<str>>(names: impl ExactSizeIterator<Item = T>) -> String {
    let more = names.len().saturating_sub(NAMES_TOLD_MAX);
    let names: Vec<String> = names.take(NAMES_TOLD_MAX).map(|name| name.as_ref().to_owned()).collect();
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

fn number(count: u64, noun: &str) -> String {
    plural(usize::try_from(count).unwrap_or(usize::MAX), noun)
}
