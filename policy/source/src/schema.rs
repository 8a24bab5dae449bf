//! JSON Schema of the policy source, so that editors complete and explain it. The reader itself does not use these
//! types: it knows the place of everything and reports all mistakes; a test keeps the two in step.

mod case;
mod trust;

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use case::CaseTable;
use trust::{ClientCaTable, FileTable, IssuerTable};

/// The JSON Schema (draft 2020-12) of a policy source.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(PolicySource).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), Value::from("Adamant policy"));
    }
    schema
}

/// What a gateway lets through, and for whom. Everything else is refused.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicySource {
    /// Name and rules of the whole policy.
    policy: PolicyTable,
    /// Who issues tokens that are accepted.
    #[serde(default)]
    issuer: Vec<IssuerTable>,
    /// CAs of client certificates.
    #[serde(default)]
    client_ca: Vec<ClientCaTable>,
    /// The servers behind the gateway.
    #[serde(default)]
    origin: Vec<OriginTable>,
    /// Host × methods × path pattern, with the origin it leads to.
    #[serde(default)]
    route: Vec<RouteTable>,
    /// Named sets of routes.
    #[serde(default)]
    scope: Vec<ScopeTable>,
    /// Callers, how they prove who they are, and what they may do.
    #[serde(default)]
    agent: Vec<AgentTable>,
    /// Hashes of API keys.
    #[serde(default)]
    api_key: Vec<ApiKeyTable>,
    /// Test cases, for `adamant test` and `adamant release build`.
    #[serde(default)]
    case: Vec<CaseTable>,
}

/// Name and rules of the whole policy.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    /// Name of the policy: lower-case letters, digits, `.`, `_`, `:` and `-`.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    name: String,
    /// What happens to a request whose record cannot be kept: `best-effort` forwards it and counts the loss, `queued`
    /// (default) does not forward it, `durable` forwards only after the intent is on stable storage.
    audit: Option<AuditWord>,
    /// The weakest transport that a client may use: `plain` (default), `tls`, or `mtls`.
    transport: Option<TransportWord>,
    /// Files with more `[[case]]` tables; paths relative to the policy source.
    #[schemars(length(min = 1, max = 256))]
    cases: Option<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AuditWord {
    BestEffort,
    Queued,
    Durable,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum TransportWord {
    Plain,
    Tls,
    Mtls,
}

/// A server behind the gateway.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OriginTable {
    /// Name of this origin, for `origin = …` of a route.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    name: String,
    /// `ip:port`, or with `tls` also `name:port`; used in turn.
    #[schemars(length(min = 1, max = 64))]
    addresses: Vec<String>,
    /// Speak TLS to the origin, verified.
    tls: Option<TlsTable>,
    /// `strip` (default) removes the agent's token and API key before forwarding, `pass` keeps them; or what the origin
    /// gets in their place.
    credentials: Option<CredentialsValue>,
    /// Sign a short-lived assertion about each request, so that the origin can refuse what did not come through the
    /// gateway.
    assertion: Option<AssertionTable>,
}

/// Signed assertions for an origin.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssertionTable {
    /// The `aud` that the origin expects.
    #[schemars(length(min = 1, max = 1024))]
    audience: String,
}

/// TLS to an origin.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    /// PEM file of the CAs that the origin's certificate must chain to.
    ca: FileTable,
    /// Name verified in the origin's certificate; the host of the address when absent.
    server_name: Option<String>,
    /// Name of an `[[origin_identity]]` in gateway.toml: the gateway's own certificate, for mutual TLS.
    identity: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum CredentialsWord {
    Strip,
    Pass,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum CredentialsValue {
    /// What becomes of the agent's own.
    Word(CredentialsWord),
    /// A field with a secret of the gateway.
    Own(CredentialsTable),
}

/// A field with a secret that the origin gets with every request, in place of the agent's own credentials.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CredentialsTable {
    /// Name of an `[[origin_credential]]` in gateway.toml, which names the file of the secret.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    from: String,
    /// Name of the field, such as `Authorization`.
    header: String,
    /// Its value, with `{secret}` where the secret goes; the secret alone when absent.
    #[schemars(regex(pattern = r"\{secret\}"))]
    value: Option<String>,
}

/// Host × methods × path pattern, with the origin it leads to.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteTable {
    /// Name of this route, for `routes = […]` of a scope.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    name: String,
    /// Host without scheme and port, or `*` for any.
    host: String,
    /// Methods like `["GET", "HEAD"]`, or `"*"` for any but CONNECT and TRACE. GET does not imply HEAD.
    methods: MethodsValue,
    /// `/literal/{segment}/{rest...}`. A trailing slash is significant.
    #[schemars(regex(pattern = r"^/"))]
    path: String,
    /// Name of the `[[origin]]` behind this route.
    origin: String,
    /// Admit `%2F` inside a segment (default false).
    encoded_slash: Option<bool>,
    /// Admit `;` parameters inside a segment (default false).
    path_parameters: Option<bool>,
}

/// Methods, or `"*"`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum MethodsValue {
    /// Named methods.
    Only(Vec<String>),
    /// Any but CONNECT and TRACE.
    Any(AnyWord),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
enum AnyWord {
    #[serde(rename = "*")]
    Any,
}

/// A named set of routes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScopeTable {
    /// Name of this scope, compared with the scopes of tokens.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// Names of `[[route]]` tables.
    #[schemars(length(min = 1))]
    routes: Vec<String>,
}

/// A caller with a name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AgentTable {
    /// Name of this agent, as it stands in records and is told to origins.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    name: String,
    /// Alternatives; each is a set of proofs needed together. `["anonymous"]` means every caller.
    #[schemars(length(min = 1))]
    identity: Vec<IdentityValue>,
    /// Names of `[[scope]]` tables: what the agent may do.
    scopes: Vec<String>,
    /// How often it may, like `"60/minute"`, `"1000/minute burst 50"`, `"20000/hour quota"`,
    /// `"60/minute per subject"`. All hold.
    #[schemars(length(max = 8))]
    limits: Option<Vec<LimitValue>>,
}

/// A set of proofs, or `"anonymous"`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum IdentityValue {
    /// Every caller.
    Anonymous(AnonymousWord),
    /// Proofs needed together.
    Proofs(ProofsTable),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AnonymousWord {
    Anonymous,
}

/// Proofs needed together.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProofsTable {
    /// Name in the client certificate: `spiffe://…`, `dns:…` or `spki-sha256:…`.
    #[schemars(regex(pattern = r"^(spiffe://|dns:|spki-sha256:)"))]
    certificate: Option<String>,
    /// Name of the `[[client_ca]]` that the certificate must chain to.
    ca: Option<String>,
    /// A token of an issuer.
    token: Option<TokenTable>,
    /// Ids of `[[api_key]]` tables, any of which will do.
    #[schemars(length(min = 1, max = 16))]
    api_key: Option<Vec<String>>,
}

/// A token of an issuer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenTable {
    /// Name of an `[[issuer]]`.
    issuer: String,
    /// Exact value of the `sub` claim, or `*` for a population: every subject that no agent names.
    subject: String,
    /// Subjects that are not part of the population.
    except: Option<Vec<String>>,
    /// What the token must be bound to, so that it is of no use to who steals it: the client `certificate` of its
    /// connection (RFC 8705), or a key that signs a proof for each request (`dpop`, RFC 9449).
    bound: Option<BindingWord>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BindingWord {
    Certificate,
    Dpop,
}

/// A limit, as text or with a name and bounds of its own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum LimitValue {
    /// `N/second|minute|hour|day [burst B] [quota] [per subject]`.
    Text(LimitText),
    /// With a name and bounds of its own.
    Table(LimitTable),
}

#[derive(Debug, Serialize, Deserialize)]
struct LimitText(String);

impl JsonSchema for LimitText {
    fn schema_name() -> Cow<'static, str> {
        "LimitText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "`N/unit` is a rate (a bucket of N, or of `burst`, refilled evenly); with `quota` an exact count in each UTC window.",
            "pattern": "^ *[0-9]+/(second|minute|hour|day)( +burst +[0-9]+| +quota| +per +subject)* *$",
            "examples": ["60/minute", "1000/minute burst 50", "20000/hour quota", "60/minute per subject"],
        })
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LimitTable {
    /// The limit itself.
    limit: LimitText,
    /// Its name; derived like `minute`, `hour-quota` or `minute-subject` when absent. Counters live on under it.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    name: Option<String>,
    /// Subjects counted at the same time (default 65536).
    #[schemars(range(min = 1, max = 16_777_216))]
    subjects: Option<u32>,
    /// What a subject meets when all places are taken: `overflow` (default) is one bucket for the rest, `deny` refuses.
    on_full: Option<OnFullWord>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OnFullWord {
    Overflow,
    Deny,
}

/// The hash of an API key that `adamant key new` made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApiKeyTable {
    /// Id of the key, the middle of `adm_<id>_…`.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,32}$"))]
    id: String,
    /// SHA-256 over the whole key; absent when the moving key set fills it.
    #[schemars(regex(pattern = r"^[0-9A-Fa-f]{64}$"))]
    sha256: Option<String>,
    /// When it ends, like 2027-01-31T00:00:00Z.
    expires: Option<Instant>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instant(toml::value::Datetime);

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time", "description": "A TOML date-time with an offset, without quotes." })
    }
}

#[cfg(test)]
mod tests;
