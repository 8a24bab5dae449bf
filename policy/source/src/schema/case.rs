//! The part of the schema that is about test cases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BindingWord, Instant};

/// A test case: who asks for what, when, and what shall come of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseTable {
    /// What it shows, in a few words.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// Asks with all proofs of this agent.
    agent: Option<String>,
    /// Which of the agent's alternatives, from 1 (default 1).
    #[schemars(range(min = 1, max = 16))]
    alternative: Option<u32>,
    /// Subject of the token, where the agent is a population.
    subject: Option<String>,
    /// Scopes in the token; all of the agent when absent.
    scopes: Option<Vec<String>>,
    /// Instead of `agent`: the name in a valid client certificate, or its names.
    certificate: Option<NamesValue>,
    /// Name of the `[[client_ca]]` that the certificate chains to, or several.
    ca: Option<CasValue>,
    /// Instead of `agent`: the facts of a valid token.
    token: Option<CaseTokenTable>,
    /// Instead of `agent`: the id of a valid API key. Never the key.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,32}$"))]
    api_key: Option<String>,
    /// Like `GET https://api.corp.example/orders/7`; `http://` is a plain connection.
    #[schemars(regex(pattern = r"^[^ ]+ https?://"))]
    request: Option<String>,
    /// Address that it comes from (default `192.0.2.1`).
    client: Option<String>,
    /// When it begins (default 2000-01-01T00:00:00Z).
    at: Option<Instant>,
    /// What shall come of it, where there are no `steps`.
    expect: Option<ExpectValue>,
    /// Requests one after the other, on fresh limits.
    #[schemars(length(min = 1, max = 256))]
    steps: Option<Vec<StepTable>>,
}

/// Equal requests at one instant. What is not said here is as the case says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StepTable {
    /// Time since the step before, like `250ms`, `1s`, `10m` (default none).
    #[schemars(regex(pattern = r"^[0-9]+(ms|[smhd])$"))]
    after: Option<String>,
    /// How many requests, each with this outcome (default 1).
    #[schemars(range(min = 1, max = 1_000_000))]
    repeat: Option<u32>,
    /// Asks with all proofs of this agent.
    agent: Option<String>,
    /// Which of the agent's alternatives, from 1 (default 1).
    #[schemars(range(min = 1, max = 16))]
    alternative: Option<u32>,
    /// Subject of the token, where the agent is a population.
    subject: Option<String>,
    /// Scopes in the token; all of the agent when absent.
    scopes: Option<Vec<String>>,
    /// The name in a valid client certificate, or its names.
    certificate: Option<NamesValue>,
    /// Name of the `[[client_ca]]` that the certificate chains to, or several.
    ca: Option<CasValue>,
    /// The facts of a valid token.
    token: Option<CaseTokenTable>,
    /// The id of a valid API key. Never the key.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,32}$"))]
    api_key: Option<String>,
    /// Like `GET https://api.corp.example/orders/7`.
    #[schemars(regex(pattern = r"^[^ ]+ https?://"))]
    request: Option<String>,
    /// Address that it comes from.
    client: Option<String>,
    /// What shall come of each.
    expect: ExpectValue,
}

/// One name, or several.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum NamesValue {
    One(CertificateWord),
    Several(#[schemars(length(min = 1, max = 8))] Vec<CertificateWord>),
}

/// Like `spiffe://corp.example/reports`, `dns:reports.corp.example` or `spki-sha256:…`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct CertificateWord(
    #[schemars(regex(pattern = r"^(spiffe://|dns:|spki-sha256:)"))]
    String,
);

/// One client CA, or several.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum CasValue {
    One(String),
    Several(#[schemars(length(min = 1, max = 64))] Vec<String>),
}

/// The facts of a valid token. Never the token.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CaseTokenTable {
    /// Name of an `[[issuer]]`.
    issuer: String,
    /// Its `sub` claim.
    subject: String,
    /// Scopes in it; absent: it lacks the claim.
    scopes: Option<Vec<String>>,
    /// What it is bound to, and was shown to be.
    bound: Option<BindingWord>,
}

/// `permit`, `deny`, a reason, or more than that.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum ExpectValue {
    /// `permit` or `deny`.
    Decision(DecisionWord),
    /// Denied for this reason.
    Reason(ReasonWord),
    /// A decision and what goes with it.
    Table(ExpectTable),
}

/// What shall come of it. Nothing is expected of what is absent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExpectTable {
    /// `permit` or `deny`.
    decision: DecisionWord,
    /// Why it is denied.
    reason: Option<ReasonWord>,
    /// Status of the gateway's own response to a denied request.
    #[schemars(range(min = 100, max = 599))]
    status: Option<u16>,
    /// Who is identified; of a caller whom nobody is, the anonymous agent.
    agent: Option<String>,
    /// Which route is meant.
    route: Option<String>,
    /// Which scope grants it.
    scope: Option<String>,
    /// Which limit refuses it.
    limit: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum DecisionWord {
    Permit,
    Deny,
}

/// Reasons that stated facts can have: [`policy::case::REASONS`].
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ReasonWord {
    InvalidTarget,
    TargetNotAdmitted,
    TransportTooWeak,
    CredentialMissing,
    ApiKeyExpired,
    ProofsIncomplete,
    ProofsConflict,
    AgentUnknown,
    TokenUnbound,
    RouteUnknown,
    ScopeMissing,
    LimitExceeded,
    SubjectsFull,
}
