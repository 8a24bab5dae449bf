//! The decision: the gateway's own stages, from names instead of from bytes on the wire.

use std::collections::HashMap;

use policy::account::{counted_as, subject};
use policy::binding::Bindings;
use policy::compile::{CompileError, compile};
use policy::decide::{self, Asked, Caller, Grant, admit_transport};
use policy::model::{CertificateName, Policy};
use policy::rate::Verdict;
use policy::reason::Reason;
use policy::table::{AgentId, CaIndex, CertificateNameRef, IssuerIndex, RouteId, Table, TokenScopes};
use policy::target::{TargetFault, normalise, normalise_host};

use crate::charge::{Charged, charge};
use crate::counters::Counters;
use crate::presented::{Certificate, Presented, Token};

/// A policy with its table, ready to decide.
pub struct Evaluator<'p> {
    policy: &'p Policy,
    table: Table<Vec<u8>>,
    issuers: HashMap<&'p str, u16>,
    client_cas: HashMap<&'p str, u16>,
}

/// What is asked for, as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Value of `Host`; empty where an HTTP/1.0 request names none.
    pub host: String,
    /// Request-target in origin form: path and query.
    pub target: String,
}

/// What was decided, and how it came to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    pub permitted: bool,
    pub reason: Option<Reason>,
    /// Of the gateway's own response; 0 for a permitted request, which its origin answers.
    pub status: u16,
    /// The identified caller.
    pub agent: Option<String>,
    /// Whose scope and limits were used: the caller, or the anonymous agent.
    pub granted_by: Option<String>,
    pub route: Option<String>,
    pub scope: Option<String>,
    /// The limits that were looked at.
    pub limits: Vec<LimitLook>,
    /// The limit that refused; of several, the one that will longest.
    pub limit: Option<String>,
    /// In plain words; empty where only the decision was asked for.
    pub steps: Vec<Step>,
}

/// One limit of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitLook {
    pub name: String,
    /// Whom it counts, for people; none for the agent as a whole.
    pub subject: Option<String>,
    /// State before the charge; none where there was no place for one more subject.
    pub before: Option<u64>,
    /// The same as before where the request is not charged.
    pub after: u64,
    pub verdict: Verdict,
}

/// One step of the path of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub topic: Topic,
    /// A sentence.
    pub text: String,
    /// What more there is to say about it.
    pub details: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Request,
    Transport,
    Presented,
    Caller,
    Route,
    Scopes,
    Limits,
    Result,
}

/// How far a decision came, in ids of the table.
pub(crate) struct Trail<'r> {
    pub host: Vec<u8>,
    /// In normal form.
    pub path: Vec<u8>,
    pub fault: Option<TargetFault>,
    pub request: &'r Request,
    pub presented: decide::Presented,
    pub caller: Option<Caller>,
    pub route: Option<RouteId>,
    pub scopes: TokenScopes,
    pub grant: Option<Grant>,
    pub charged: Option<Charged>,
    pub reason: Option<Reason>,
}

impl<'p> Evaluator<'p> {
    /// Compiles the policy. `digest` is that of its release: it seeds the hash tables, and no decision depends on it.
    ///
    /// # Errors
    /// What is wrong with the policy.
    pub fn new(policy: &'p Policy, digest: [u8; 32]) -> Result<Self, CompileError> {
        let table = Table::load(compile(policy, digest)?).map_err(CompileError::Table)?;
        let issuers = policy.issuers.iter().map(|issuer| issuer.name.as_str()).zip(0..).collect();
        let client_cas = policy.client_cas.iter().map(|ca| ca.name.as_str()).zip(0..).collect();
        Ok(Self { policy, table, issuers, client_cas })
    }

    pub fn policy(&self) -> &'p Policy {
        self.policy
    }

    pub fn table(&self) -> &Table<Vec<u8>> {
        &self.table
    }

    /// Decides one request at `time_unix_ns` and says how. `counters` are charged when it is permitted.
    pub fn evaluate(
        &self,
        caller: &Presented,
        request: &Request,
        time_unix_ns: u64,
        counters: &mut dyn Counters,
    ) -> Evaluation {
        let trail = self.follow(caller, request, time_unix_ns, counters);
        let mut evaluation = self.evaluation(caller, &trail);
        evaluation.steps = self.steps(caller, &trail, &evaluation, time_unix_ns);
        evaluation
    }

    /// The same without words: `steps` is empty.
    pub fn decide(
        &self,
        caller: &Presented,
        request: &Request,
        time_unix_ns: u64,
        counters: &mut dyn Counters,
    ) -> Evaluation {
        self.evaluation(caller, &self.follow(caller, request, time_unix_ns, counters))
    }

    /// Goes the way of a request through the stages of a gateway, in their order.
    pub(crate) fn follow<'r>(
        &self,
        caller: &Presented,
        request: &'r Request,
        time_unix_ns: u64,
        counters: &mut dyn Counters,
    ) -> Trail<'r> {
        let mut trail = Trail {
            host: Vec::new(),
            path: Vec::new(),
            fault: None,
            request,
            presented: decide::Presented::default(),
            caller: None,
            route: None,
            scopes: TokenScopes::everything(),
            grant: None,
            charged: None,
            reason: None,
        };
        trail.reason = self.stages(caller, request, time_unix_ns, counters, &mut trail).err();
        trail
    }

    fn stages(
        &self,
        caller: &Presented,
        request: &Request,
        time_unix_ns: u64,
        counters: &mut dyn Counters,
        trail: &mut Trail<'_>,
    ) -> Result<(), Reason> {
        let mut room = Vec::new();
        let target = normalise(request.target.as_bytes(), &mut room).map_err(|fault| {
            trail.fault = Some(fault);
            Reason::InvalidTarget
        })?;
        if !request.host.is_empty() {
            normalise_host(request.host.as_bytes(), &mut trail.host).ok_or(Reason::MalformedHead)?;
        }
        trail.path = target.path.to_vec();
        let asked = Asked { method: request.method.as_bytes(), host: &trail.host, target: Some(&target) };
        trail.route = self.table.route(asked.host, asked.method, target.path);
        admit_transport(self.policy.transport, caller.tls, caller.certificate.is_some())?;
        self.identify(caller, time_unix_ns / 1_000_000_000, &mut trail.presented, &mut trail.scopes)?;
        let who = self.table.caller(&trail.presented)?;
        trail.caller = Some(who);
        let (grant, _) = self.table.decide(&who, trail.presented.any(), &trail.scopes, &asked)?;
        trail.grant = Some(grant);
        let token = caller.token.as_ref().and_then(|token| {
            let issuer = self.policy.issuers.get(usize::from(*self.issuers.get(token.issuer.as_str())?))?;
            Some(counted_as(&issuer.issuer, &token.subject))
        });
        let mut prefix = [0; 16];
        let subject = subject(&grant, &who, token.as_deref(), caller.client, &mut prefix);
        let charged = charge(&self.table, grant.agent, subject, time_unix_ns, counters);
        let refused = charged.refused.and_then(|at| charged.looks.get(at)).map(|look| look.before.is_none());
        trail.charged = Some(charged);
        match refused {
            None => Ok(()),
            Some(true) => Err(Reason::SubjectsFull),
            Some(false) => Err(Reason::LimitExceeded),
        }
    }

    /// What is presented as proofs, in the order in which a gateway looks.
    fn identify(
        &self,
        caller: &Presented,
        now_s: u64,
        presented: &mut decide::Presented,
        scopes: &mut TokenScopes,
    ) -> Result<(), Reason> {
        let mut key = None;
        if let Some(certificate) = &caller.certificate {
            presented.certificate = self.certificate(certificate).ok_or(Reason::CertificateInvalid)?;
        }
        if let Some(id) = &caller.api_key {
            let (index, proof) = self.table.proof_api_key(id.as_bytes()).ok_or(Reason::ApiKeyInvalid)?;
            presented.api_key = Some(Some(proof));
            key = self.policy.api_keys.get(index.index());
        }
        if let Some(token) = &caller.token {
            let index = *self.issuers.get(token.issuer.as_str()).ok_or(Reason::TokenIssuerUnknown)?;
            presented.token = Some(self.table.proof_token(IssuerIndex(index), token.subject.as_bytes()));
            presented.bound = token.bound;
            *scopes = self.token_scopes(index, token, now_s)?;
            if token.bound.hold(Bindings::CERTIFICATE) && caller.certificate.is_none() {
                return Err(Reason::TokenCertificateMissing);
            }
        }
        match key.and_then(|key| key.expires_s) {
            Some(expires_s) if now_s >= expires_s => Err(Reason::ApiKeyExpired),
            _ => Ok(()),
        }
    }

    /// None: its chain verifies under no client CA of the policy.
    fn certificate(&self, certificate: &Certificate) -> Option<decide::CertificateProofs> {
        let mut cas: Vec<u16> =
            certificate.cas.iter().filter_map(|ca| self.client_cas.get(ca.as_str())).copied().collect();
        cas.sort_unstable();
        cas.dedup();
        let names = certificate.names.iter().map(|name: &CertificateName| CertificateNameRef::from(name));
        (!cas.is_empty()).then(|| self.table.certificate_proofs(cas.into_iter().map(CaIndex), names))
    }

    fn token_scopes(&self, issuer: u16, token: &Token, now_s: u64) -> Result<TokenScopes, Reason> {
        let issuer = self.policy.issuers.get(usize::from(issuer)).ok_or(Reason::TokenIssuerUnknown)?;
        let leeway_s = u64::from(issuer.leeway_s);
        if token.expires_s.is_some_and(|expires_s| now_s >= expires_s.saturating_add(leeway_s)) {
            return Err(Reason::TokenExpired);
        }
        if issuer.scope_claim.is_none() {
            return Ok(TokenScopes::everything());
        }
        let names = token.scopes.as_deref().unwrap_or_default();
        Ok(self.table.token_scopes(names.iter().map(|name| name.as_bytes())))
    }

    fn evaluation(&self, caller: &Presented, trail: &Trail<'_>) -> Evaluation {
        let name = |agent: AgentId| self.table.agent_name(agent).to_owned();
        let grant = trail.grant.as_ref();
        let by_client =
            grant.is_some_and(|grant| grant.by_anonymous) || trail.caller.is_some_and(|caller| caller.agent.is_none());
        let limits: Vec<LimitLook> = trail.charged.as_ref().map_or_else(Vec::new, |charged| {
            let look = |look: &crate::charge::Look| LimitLook {
                name: self.table.limit_name(look.limit.index).to_owned(),
                subject: subject_in_words(&look.limit.per, caller, by_client),
                before: look.before,
                after: look.after,
                verdict: look.verdict,
            };
            charged.looks.iter().map(look).collect()
        });
        let refused = trail.charged.as_ref().and_then(|charged| charged.refused);
        Evaluation {
            permitted: trail.reason.is_none(),
            reason: trail.reason,
            status: trail.reason.map_or(0, Reason::status),
            agent: trail.caller.and_then(|caller| caller.agent).map(name),
            granted_by: grant.map(|grant| name(grant.agent)),
            route: grant.map(|grant| self.table.route_name(grant.route).to_owned()),
            scope: grant.map(|grant| self.table.scope_name(grant.scope).to_owned()),
            limit: refused.and_then(|at| limits.get(at)).map(|look| look.name.clone()),
            limits,
            steps: Vec::new(),
        }
    }
}

fn subject_in_words(per: &policy::model::Per, caller: &Presented, by_client: bool) -> Option<String> {
    match (per, &caller.token) {
        (policy::model::Per::Agent, _) => None,
        _ if by_client => Some(client_in_words(caller.client)),
        (_, Some(token)) => Some(token.subject.clone()),
        (_, None) => Some("all without a subject".to_owned()),
    }
}

/// An IPv4 address, or an IPv6 network.
pub(crate) fn client_in_words(client: std::net::IpAddr) -> String {
    match client.to_canonical() {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => {
            let network = std::net::Ipv6Addr::from(u128::from(address) >> 64 << 64);
            format!("{network}/64")
        }
    }
}
