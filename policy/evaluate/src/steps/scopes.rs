//! Which scope grants the route, or why none does.

use policy::model::{Agent, Identity, Scope};

use crate::evaluator::{Evaluator, Step, Topic, Trail};
use crate::presented::Presented;
use crate::words;

impl Evaluator<'_> {
    /// None where no route matched.
    pub(super) fn scopes_step(&self, caller: &Presented, trail: &Trail<'_>) -> Option<Step> {
        let policy = self.policy();
        let route = policy.routes.get(trail.route?.index())?;
        let of_route: Vec<&str> =
            policy.scopes.iter().filter(|scope| scope.routes.contains(&route.name)).map(scope_name).collect();
        let agent = trail.caller.and_then(|caller| caller.agent).and_then(|agent| policy.agents.get(agent.index()));
        let anonymous = policy.agents.iter().find(|agent| agent.identity.contains(&Identity::Anonymous));
        let narrowing = self.narrowing(caller);
        let mut details = vec![format!("of the route: {}", words::list(of_route.iter()))];
        for agent in agent
            .into_iter()
            .chain(anonymous.filter(|anonymous| agent.is_none_or(|agent| agent.name != anonymous.name)))
        {
            details.push(format!("of agent \"{}\": {}", agent.name, words::list(agent.scopes.iter())));
        }
        if let Some(scopes) = narrowing {
            details.push(format!("of the token: {}", words::list(scopes.iter())));
        }
        let text = match trail.grant {
            Some(grant) => {
                let by = policy.agents.get(grant.agent.index()).map_or("", |agent| agent.name.as_str());
                let whose = if grant.by_anonymous { ", which every caller has" } else { "" };
                format!("\"{}\" of agent \"{by}\" grants it{whose}", self.table().scope_name(grant.scope))
            }
            None => missing(agent, narrowing, &of_route),
        };
        Some(Step::new(Topic::Scopes, text).with(details))
    }

    /// The token's scopes, where they narrow.
    fn narrowing<'c>(&self, caller: &'c Presented) -> Option<&'c [String]> {
        let token = caller.token.as_ref()?;
        let issuer = self.policy().issuers.iter().find(|issuer| issuer.name == token.issuer)?;
        issuer.scope_claim.as_ref()?;
        Some(token.scopes.as_deref().unwrap_or_default())
    }
}

fn scope_name(scope: &Scope) -> &str {
    &scope.name
}

/// Why no scope grants the route.
fn missing(agent: Option<&Agent>, narrowing: Option<&[String]>, of_route: &[&str]) -> String {
    let Some(agent) = agent else { return "none that every caller has holds the route".to_owned() };
    let own: Vec<&str> = of_route.iter().copied().filter(|scope| agent.scopes.iter().any(|own| own == scope)).collect();
    match (own.as_slice(), narrowing) {
        ([], _) if of_route.is_empty() => "the route is in no scope, so nobody may have it".to_owned(),
        ([], _) => format!("agent \"{}\" has none that holds the route", agent.name),
        (own, Some(_)) => format!("agent \"{}\" has {}, but the token does not", agent.name, words::list(own.iter())),
        (_, None) => "none grants it".to_owned(),
    }
}
