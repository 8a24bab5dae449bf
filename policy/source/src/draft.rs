//! A policy as read: model objects beside the places they were read from, for the checks across tables.

use policy::case::Case;
use policy::model::{Agent, ApiKey, Audit, ClientCa, Issuer, Limit, MinimumTransport, Origin, Route, Scope};

use crate::diagnostic::Span;
use crate::fields::Text;
use crate::forms::path::Segment;

#[derive(Debug, Default)]
pub(crate) struct Draft<'d> {
    pub name: Option<String>,
    pub audit: Audit,
    pub transport: MinimumTransport,
    /// Where `transport` stands, when it does.
    pub transport_at: Option<Span>,
    /// Whether any `[[client_ca]]` was written, readable or not.
    pub has_client_ca: bool,
    pub issuers: Vec<Issuer>,
    /// By issuer: where its `introspection` stands.
    pub introspections_at: Vec<Option<Span>>,
    pub client_cas: Vec<ClientCa>,
    pub origins: Vec<Origin>,
    pub routes: Vec<RouteDraft<'d>>,
    pub scopes: Vec<Scope>,
    pub agents: Vec<AgentDraft<'d>>,
    pub api_keys: Vec<ApiKey>,
    pub cases: Vec<CaseDraft>,
    /// Files of cases that `[policy]` names, each with its text.
    pub case_files: Vec<(Text<'d>, String)>,
}

/// A case beside its places.
#[derive(Debug)]
pub(crate) struct CaseDraft {
    pub case: Case,
    /// Its header.
    pub at: Span,
    /// Of each step.
    pub steps_at: Vec<StepPlaces>,
}

/// Where the parts of a step stand, be it in the step or in its case.
#[derive(Clone, Debug)]
pub(crate) struct StepPlaces {
    pub at: Span,
    pub request: Span,
    pub caller: CallerPlaces,
    /// `limit` of `expect`.
    pub limit: Option<Span>,
}

/// Where it says who asks; what is not written has the place of the case.
#[derive(Clone, Debug)]
pub(crate) struct CallerPlaces {
    /// `agent` or `certificate`.
    pub who: Span,
    pub alternative: Span,
    pub subject: Span,
    pub scopes: Span,
}

#[derive(Debug)]
pub(crate) struct RouteDraft<'d> {
    pub route: Route,
    pub segments: Vec<Segment<'d>>,
    pub name: Text<'d>,
    pub path_at: Span,
}

#[derive(Debug)]
pub(crate) struct AgentDraft<'d> {
    pub agent: Agent,
    pub name: Text<'d>,
    /// Place of each entry of `identity`.
    pub alternatives_at: Vec<Span>,
    /// The excepted subjects, each with its issuer.
    pub excepted: Vec<(&'d str, Text<'d>)>,
    /// API keys of all its sets of proofs.
    pub api_keys: Vec<Text<'d>>,
    /// Where a token is to be bound to a certificate.
    pub certificate_bound: Vec<Span>,
    /// Places of `agent.limits`, in their order.
    pub limits_at: Vec<Span>,
}

/// A limit beside its place.
#[derive(Clone, Debug)]
pub(crate) struct LimitDraft {
    pub limit: Limit,
    pub at: Span,
}
