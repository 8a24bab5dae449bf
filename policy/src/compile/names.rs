//! Checks that lists are sorted and within bounds, and resolves names to positions.

use super::*;

/// The policy's lists, each known to be sorted by unique names.
pub(super) struct Names<'p> {
    policy: &'p Policy,
}

impl<'p> Names<'p> {
    pub fn check(policy: &'p Policy) -> Result<Self, CompileError> {
        check("agents", AGENTS_MAX, &policy.agents, |agent| &agent.name)?;
        check("API keys", API_KEYS_MAX, &policy.api_keys, |key| &key.id)?;
        check("client CAs", CLIENT_CAS_MAX, &policy.client_cas, |ca| &ca.name)?;
        check("issuers", ISSUERS_MAX, &policy.issuers, |issuer| &issuer.name)?;
        check("origins", ORIGINS_MAX, &policy.origins, |origin| &origin.name)?;
        check("routes", ROUTES_MAX, &policy.routes, |route| &route.name)?;
        check("scopes", SCOPES_MAX, &policy.scopes, |scope| &scope.name)?;
        Ok(Self { policy })
    }

    pub fn origin(&self, name: &str, route: &str) -> Result<u16, CompileError> {
        let found = position(&self.policy.origins, name, |origin| &origin.name);
        found.map(|index| index as u16).ok_or_else(|| unresolved("origin", name, "route", route))
    }

    pub fn route(&self, name: &str, scope: &str) -> Result<usize, CompileError> {
        let found = position(&self.policy.routes, name, |route| &route.name);
        found.ok_or_else(|| unresolved("route", name, "scope", scope))
    }

    pub fn scope(&self, name: &str, agent: &str) -> Result<u16, CompileError> {
        let found = position(&self.policy.scopes, name, |scope| &scope.name);
        found.map(|index| index as u16).ok_or_else(|| unresolved("scope", name, "agent", agent))
    }

    pub fn ca(&self, name: &str, agent: &str) -> Result<u16, CompileError> {
        let found = position(&self.policy.client_cas, name, |ca| &ca.name);
        found.map(|index| index as u16).ok_or_else(|| unresolved("client CA", name, "agent", agent))
    }

    pub fn issuer(&self, name: &str, agent: &str) -> Result<u16, CompileError> {
        let found = position(&self.policy.issuers, name, |issuer| &issuer.name);
        found.map(|index| index as u16).ok_or_else(|| unresolved("issuer", name, "agent", agent))
    }

    pub fn api_key(&self, id: &str, agent: &str) -> Result<usize, CompileError> {
        let found = position(&self.policy.api_keys, id, |key| &key.id);
        found.ok_or_else(|| unresolved("API key", id, "agent", agent))
    }
}

fn check<T>(list: &'static str, max: usize, items: &[T], name: impl Fn(&T) -> &String) -> Result<(), CompileError> {
    if items.len() > max {
        return Err(CompileError::TooMany { what: list, max, found: items.len() });
    }
    let mut pairs = items.iter().zip(items.iter().skip(1)).map(|(before, after)| (name(before), name(after)));
    match pairs.find(|(before, after)| before >= after) {
        Some((after, name)) => Err(CompileError::NotSorted { list, name: name.clone(), after: after.clone() }),
        None => Ok(()),
    }
}

fn position<T>(items: &[T], wanted: &str, name: impl Fn(&T) -> &String) -> Option<usize> {
    items.binary_search_by(|item| name(item).as_str().cmp(wanted)).ok()
}

fn unresolved(what: &'static str, name: &str, user_kind: &str, user: &str) -> CompileError {
    CompileError::Unresolved { what, name: name.to_owned(), user: format!("{user_kind} `{user}`") }
}
