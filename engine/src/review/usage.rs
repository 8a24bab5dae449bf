//! What of a policy was used, by the exchanges of a window and by what gateways remember.
//!
//! Each exchange is decided again with the policy under review, and what it takes for that is used; what its own record
//! names is used too, where the policy has it. So releases may have changed in the window.

use std::collections::{BTreeMap, HashMap};

use policy::model::{Agent, Identity, Policy, Proofs, Subject};
use policy::reason::Reason;
use policy_evaluate::{Evaluation, Evaluator, Presented, Recorded};

use super::bounds::{KIDS_MAX, SUBJECTS_FEW, TOKEN_SCOPES_MAX};
use super::last_use::Remembered;
use super::names::kept;
use super::peaks::Peaks;
use super::scan::Take;
use crate::failure::Failure;
use crate::replay::compare::{Standing, standing};
use crate::replay::line::Exchange;

/// How often, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub count: u64,
    pub last_ns: u64,
}

impl Seen {
    fn add(&mut self, time_ns: u64) {
        self.count += 1;
        self.last_ns = self.last_ns.max(time_ns);
    }
}

/// An agent's calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    /// It was who called.
    pub identified: Seen,
    /// Its scopes permitted the call, be it the caller or the anonymous agent.
    pub granted: Seen,
}

impl Calls {
    /// As both.
    pub fn any(&self) -> Option<Seen> {
        let (count, last_ns) =
            (self.identified.count.max(self.granted.count), self.identified.last_ns.max(self.granted.last_ns));
        (count > 0).then_some(Seen { count, last_ns })
    }
}

/// Counts what is used. Everything is kept under names of the policy, or under one of the bounds.
pub struct Usage<'p> {
    policy: &'p Policy,
    evaluator: Evaluator<'p>,
    pub agents: HashMap<&'p str, Calls>,
    /// Agent, scope and route.
    pub grants: HashMap<(&'p str, &'p str, &'p str), Seen>,
    pub api_keys: HashMap<&'p str, Seen>,
    /// Agent, and number of its alternative from 0.
    pub alternatives: HashMap<(&'p str, usize), Seen>,
    pub issuers: HashMap<&'p str, Seen>,
    pub client_cas: HashMap<&'p str, Seen>,
    /// Issuer, and its keys.
    pub kids: HashMap<&'p str, BTreeMap<String, u64>>,
    /// Scopes in the tokens of an agent.
    pub token_scopes: HashMap<&'p str, BTreeMap<String, u64>>,
    /// Subjects of a population: at most one more than are few.
    pub subjects: HashMap<&'p str, BTreeMap<String, u64>>,
    pub peaks: Peaks,
    /// What gateways saw used, where they were asked.
    pub remembered: Remembered,
    /// Permitted then, and refused by this policy.
    pub refused_now: u64,
    /// Exchanges that the policy had no part in.
    pub not_decided: u64,
}

impl<'p> Usage<'p> {
    /// # Errors
    /// The policy does not compile.
    pub fn new(policy: &'p Policy) -> Result<Self, Failure> {
        let evaluator = Evaluator::new(policy, [0; 32]).map_err(Failure::new)?;
        let limits =
            policy.agents.iter().flat_map(|agent| agent.limits.iter().map(|limit| (agent.name.as_str(), limit)));
        Ok(Self {
            policy,
            evaluator,
            agents: HashMap::new(),
            grants: HashMap::new(),
            api_keys: HashMap::new(),
            alternatives: HashMap::new(),
            issuers: HashMap::new(),
            client_cas: HashMap::new(),
            kids: HashMap::new(),
            token_scopes: HashMap::new(),
            subjects: HashMap::new(),
            peaks: Peaks::new(limits),
            remembered: Remembered::default(),
            refused_now: 0,
            not_decided: 0,
        })
    }

    pub const fn policy(&self) -> &'p Policy {
        self.policy
    }

    fn agent(&self, name: &str) -> Option<&'p Agent> {
        let agents = &self.policy.agents;
        agents.binary_search_by(|agent| agent.name.as_str().cmp(name)).ok().and_then(|at| agents.get(at))
    }

    fn take(&mut self, exchange: &Exchange) {
        let standing = standing(exchange);
        if matches!(standing, Standing::NotDecided(_)) {
            self.not_decided += 1;
            return;
        }
        let granted = exchange.decided.permitted || standing == Standing::Granted;
        self.peaks.begin(exchange.time_unix_ns, granted, &exchange.limits);
        let (presented, request) = (&exchange.presented, &exchange.request);
        let found = self.evaluator.decide(presented, request, exchange.time_unix_ns, &mut self.peaks);
        self.take_names(exchange, granted, &found);
        self.take_refusal(exchange);
        if granted && !found.permitted {
            self.refused_now += 1;
        }
        if let Some(agent) = found.agent.as_deref().and_then(|name| self.agent(name)) {
            self.take_caller(agent, exchange);
        }
        self.take_credentials(exchange);
    }

    /// What is used by this policy's decision, and by the one that was recorded.
    fn take_names(&mut self, exchange: &Exchange, granted: bool, found: &Evaluation) {
        let decided = &exchange.decided;
        let own = self.grant(&found.granted_by, &found.scope, &found.route);
        let recorded = granted.then(|| self.grant(&decided.granted_by, &decided.scope, &decided.route)).flatten();
        let both = [own, recorded.filter(|recorded| Some(*recorded) != own)];
        for grant in both.into_iter().flatten() {
            self.grants.entry(grant).or_default().add(exchange.time_unix_ns);
            self.agents.entry(grant.0).or_default().granted.add(exchange.time_unix_ns);
        }
        let caller = found.agent.as_deref().or(decided.agent.as_deref()).and_then(|name| self.agent(name));
        if let Some(caller) = caller {
            self.agents.entry(&caller.name).or_default().identified.add(exchange.time_unix_ns);
        }
    }

    /// The same names in the policy, where it has them.
    fn grant(
        &self,
        agent: &Option<String>,
        scope: &Option<String>,
        route: &Option<String>,
    ) -> Option<(&'p str, &'p str, &'p str)> {
        let agent = self.agent(agent.as_deref()?)?;
        let scope = agent.scopes.iter().find(|name| Some(name.as_str()) == scope.as_deref())?;
        let scopes = &self.policy.scopes;
        let at = scopes.binary_search_by(|found| found.name.cmp(scope)).ok()?;
        let route = scopes.get(at)?.routes.iter().find(|name| Some(name.as_str()) == route.as_deref())?;
        Some((&agent.name, scope, route))
    }

    /// Which limit refused, where one did.
    fn take_refusal(&mut self, exchange: &Exchange) {
        let by_limit = matches!(exchange.decided.reason, Some(Reason::LimitExceeded | Reason::SubjectsFull));
        if !by_limit || exchange.decided.permitted {
            return;
        }
        let mut recorded = Recorded::new(exchange.limits.clone());
        let (presented, request) = (&exchange.presented, &exchange.request);
        let found = self.evaluator.decide(presented, request, exchange.time_unix_ns, &mut recorded);
        let agent = found.granted_by.or_else(|| exchange.decided.granted_by.clone());
        let Some(agent) = agent.as_deref().and_then(|name| self.agent(name)) else { return };
        match found.limit {
            Some(limit) => self.peaks.refused(&agent.name, &limit),
            // It was another release's limit that refused: nothing shows which of these would have.
            None => agent.limits.iter().for_each(|limit| self.peaks.refused(&agent.name, &limit.name)),
        }
    }

    /// Which of its proofs an agent showed.
    fn take_caller(&mut self, agent: &'p Agent, exchange: &Exchange) {
        let presented = &exchange.presented;
        for (number, identity) in agent.identity.iter().enumerate() {
            let Identity::Proofs(proofs) = identity else { continue };
            if !holds(proofs, presented) {
                continue;
            }
            self.alternatives.entry((&agent.name, number)).or_default().add(exchange.time_unix_ns);
            let is_population = proofs.token.as_ref().is_some_and(|token| matches!(token.subject, Subject::AnyBut(_)));
            if let Some(token) = presented.token.as_ref().filter(|_| is_population) {
                let subjects = self.subjects.entry(&agent.name).or_default();
                count(subjects, &token.subject, SUBJECTS_FEW + 1);
            }
        }
        let scopes = presented.token.as_ref().and_then(|token| token.scopes.as_ref());
        for scope in scopes.into_iter().flatten() {
            count(self.token_scopes.entry(&agent.name).or_default(), scope, TOKEN_SCOPES_MAX);
        }
    }

    /// Credentials that were valid, whoever they are of.
    fn take_credentials(&mut self, exchange: &Exchange) {
        let (presented, time_ns) = (&exchange.presented, exchange.time_unix_ns);
        if let Some(id) = &presented.api_key
            && let Ok(at) = self.policy.api_keys.binary_search_by(|key| key.id.cmp(id))
            && let Some(key) = self.policy.api_keys.get(at)
        {
            self.api_keys.entry(&key.id).or_default().add(time_ns);
        }
        if let Some(token) = &presented.token
            && let Some(issuer) = self.policy.issuers.iter().find(|issuer| issuer.name == token.issuer)
        {
            self.issuers.entry(&issuer.name).or_default().add(time_ns);
            if let Some(kid) = &exchange.token_kid {
                count(self.kids.entry(&issuer.name).or_default(), kid, KIDS_MAX);
            }
        }
        for name in presented.certificate.iter().flat_map(|certificate| &certificate.cas) {
            if let Some(ca) = self.policy.client_cas.iter().find(|ca| ca.name == *name) {
                self.client_cas.entry(&ca.name).or_default().add(time_ns);
            }
        }
    }
}

impl Take for Usage<'_> {
    fn other_gateway(&mut self) -> Result<(), Failure> {
        self.peaks.forget_arrivals();
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        self.take(exchange);
        Ok(())
    }
}

/// Counts one more of a name, where there is room.
fn count(names: &mut BTreeMap<String, u64>, name: &str, names_max: usize) {
    let name = kept(name);
    if let Some(count) = names.get_mut(&*name) {
        *count += 1;
    } else if names.len() < names_max {
        names.insert(name.into_owned(), 1);
    }
}

/// Whether everything that an alternative needs was presented.
fn holds(proofs: &Proofs, presented: &Presented) -> bool {
    let certificate = proofs.certificate.as_ref().is_none_or(|proof| {
        let shown = presented.certificate.as_ref();
        shown.is_some_and(|shown| shown.cas.contains(&proof.ca) && shown.names.contains(&proof.name))
    });
    let token = proofs.token.as_ref().is_none_or(|proof| {
        let shown = presented.token.as_ref().filter(|token| token.issuer == proof.issuer);
        shown.is_some_and(|shown| match &proof.subject {
            Subject::Exactly(subject) => *subject == shown.subject,
            Subject::AnyBut(except) => !except.contains(&shown.subject),
        })
    });
    let is_one_of = |id: &String| proofs.api_keys.contains(id);
    certificate && token && (proofs.api_keys.is_empty() || presented.api_key.as_ref().is_some_and(is_one_of))
}
