//! The normalised policy: what a release holds, and what the table is compiled from.
//!
//! Every list is sorted by name and every name is unique, so that two sources that mean the same give the same
//! bytes. The types hold what the language can say; whether names resolve and rules make sense is checked where a
//! policy is read (`policy-source`) and again where it is compiled (`compile`).

use serde::{Deserialize, Serialize};

mod introspection;

pub use introspection::{IntrospectedSubject, Introspection};

mod origin;

pub use origin::{Origin, OriginAssertion, OriginCredential, OriginTls, SECRET_PLACE};

/// A whole policy. Serialises to the `policy` member of a release manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub name: String,
    pub audit: Audit,
    /// The weakest transport that a client may use.
    pub transport: MinimumTransport,
    pub issuers: Vec<Issuer>,
    pub client_cas: Vec<ClientCa>,
    pub origins: Vec<Origin>,
    pub routes: Vec<Route>,
    pub scopes: Vec<Scope>,
    pub agents: Vec<Agent>,
    pub api_keys: Vec<ApiKey>,
}

/// What happens to a request whose record cannot be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audit {
    /// Forward it, count the loss.
    BestEffort,
    /// Do not forward without a reserved slot.
    #[default]
    Queued,
    /// Do not forward before an intent is on stable storage.
    Durable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MinimumTransport {
    /// Any listener; a plain one must still be loopback or named insecure in `gateway.toml`.
    #[default]
    Plain,
    Tls,
    /// TLS with a client certificate that chains to one of the policy's client CAs.
    Mtls,
}

/// A token issuer (RFC 7519 `iss`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub name: String,
    /// Exact value of the `iss` claim.
    pub issuer: String,
    /// At least one must stand in the `aud` claim.
    pub audience: Vec<String>,
    /// Allow-list; empty with [`Keys::None`] alone.
    pub algorithms: Vec<Algorithm>,
    pub keys: Keys,
    /// Where its opaque tokens are asked about; none where it has no such tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection: Option<Introspection>,
    /// Claim that holds the token's scopes (space-separated string or array of strings). A token without it has none.
    pub scope_claim: Option<String>,
    /// Accepted clock difference for `exp` and `nbf`, seconds (0 unless the policy says otherwise, at most 300).
    pub leeway_s: u32,
}

/// Signature algorithms of RFC 7518 §3.1 and RFC 8037 that the language knows. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    ES256,
    ES384,
    EdDSA,
    RS256,
    PS256,
    HS256,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Keys {
    /// A JWK Set (RFC 7517 §5) embedded in the release, as its exact text.
    Pinned { jwks: String },
    /// A JWK Set file on the gateway that may change.
    Watch { path: String },
    /// A JWK Set behind HTTPS.
    Url(Fetched),
    /// The `jwks_uri` of an issuer's metadata (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).
    Discovery(Fetched),
    /// There are none: no JWT of the issuer is believed, only what it says of opaque tokens.
    None,
}

/// Something that is fetched again and again, under bounds that the release pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    pub url: String,
    pub refresh_s: u32,
    /// From the last time that it was fetched.
    pub max_stale_s: u32,
    /// Who vouches for the server; none for plain HTTP on loopback alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<ServerCa>,
}

/// Whose word counts for who a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServerCa {
    /// PEM of one or more trust anchors, exact text.
    Pinned { certificates: String },
    /// The CAs that the gateway's machine trusts.
    System,
}

/// A named CA for client certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCa {
    pub name: String,
    /// PEM of one or more trust anchors, exact text.
    pub certificates: String,
    /// Where its revocation lists come from; none where its certificates are not looked up in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<Crl>,
}

/// A file of certificate revocation lists (RFC 5280 §5) on the gateway, which may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crl {
    pub path: String,
    /// A list past its `nextUpdate` refuses what it is about.
    pub enforce_expiration: bool,
}

/// Host × methods × path pattern, with the origin it leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: String,
    /// Lower-case host without port, or `*`.
    pub host: String,
    pub methods: Methods,
    /// `/literal/{segment}/{rest...}`; literals in normal form (RFC 3986 §6.2.2).
    pub path: String,
    pub origin: String,
    /// Admit `%2F` inside a segment.
    pub encoded_slash: bool,
    /// Admit `;` parameters inside a segment.
    pub path_parameters: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Methods {
    /// Any but CONNECT and TRACE.
    Any,
    /// Sorted, unique, never empty.
    Only(Vec<String>),
}

/// A named set of routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    pub name: String,
    pub routes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    pub name: String,
    /// Alternatives; each is a set of proofs needed together.
    pub identity: Vec<Identity>,
    pub scopes: Vec<String>,
    pub limits: Vec<Limit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Every caller.
    Anonymous,
    Proofs(Proofs),
}

/// Proofs needed together; at least one is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proofs {
    pub certificate: Option<CertificateProof>,
    pub token: Option<TokenProof>,
    /// Interchangeable key ids (for overlap in rotation); empty when no key is needed.
    pub api_keys: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateProof {
    pub name: CertificateName,
    /// Name of the `[[client_ca]]` that the chain must end in.
    pub ca: String,
}

/// What names an agent in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateName {
    /// URI SAN, exact (`spiffe://…`).
    Spiffe(String),
    /// DNS SAN, exact, lower-case (`dns:…`).
    Dns(String),
    /// SHA-256 over the DER SubjectPublicKeyInfo, lower-case hex (`spki-sha256:…`).
    SpkiSha256(String),
}

impl CertificateName {
    /// The name that a policy source, or a record, spells like this.
    pub fn from_text(text: &str) -> Option<Self> {
        if text.starts_with("spiffe://") {
            return Some(Self::Spiffe(text.to_owned()));
        }
        let (kind, name) = text.split_once(':')?;
        match kind {
            "dns" => Some(Self::Dns(name.to_ascii_lowercase())),
            "spki-sha256" => Some(Self::SpkiSha256(name.to_ascii_lowercase())),
            _ => None,
        }
    }
}

/// As a policy source spells it.
impl std::fmt::Display for CertificateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spiffe(id) => f.write_str(id),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::SpkiSha256(hash) => write!(f, "spki-sha256:{hash}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenProof {
    /// Name of the `[[issuer]]`.
    pub issuer: String,
    pub subject: Subject,
    /// What the token must be bound to; the same wherever this issuer and subject stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Binding>,
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// The client certificate of its connection (RFC 8705 §3).
    Certificate,
    /// A key that signs a proof for each request (RFC 9449).
    Dpop,
}

impl Binding {
    pub const ALL: [Self; 2] = [Self::Certificate, Self::Dpop];

    /// As a policy source spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Dpop => "dpop",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Exact `sub` claim.
    Exactly(String),
    /// A population: every subject not named elsewhere and not excepted.
    AnyBut(Vec<String>),
}

/// A limit of an agent. `name` is unique within the agent; agent and limit name together are its stable id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub name: String,
    pub kind: LimitKind,
    /// Requests per interval, at least 1.
    pub count: u32,
    pub unit: Unit,
    pub per: Per,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LimitKind {
    /// GCRA: a bucket of `burst` requests refilled evenly at `count` per `unit`.
    Rate { burst: u32 },
    /// Exact count in each UTC window of one `unit`.
    Quota,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    /// Length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        })
    }
}

/// As one writes it: `60/minute burst 10 per subject`.
impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)?;
        match self.kind {
            LimitKind::Rate { burst } if burst == self.count => {}
            LimitKind::Rate { burst } => write!(f, " burst {burst}")?,
            LimitKind::Quota => f.write_str(" quota")?,
        }
        if matches!(self.per, Per::Subject { .. }) { f.write_str(" per subject") } else { Ok(()) }
    }
}

/// What one counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Per {
    /// All requests of the agent together.
    Agent,
    /// Each subject of a population, or each client prefix (IPv4 /32, IPv6 /64) of the anonymous agent, on its own.
    Subject {
        /// Subjects counted at the same time.
        subjects_max: u32,
        on_full: OnFull,
    },
}

/// What a subject meets when the table of subjects is full of live entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// One bucket shared by all that do not fit.
    #[default]
    Overflow,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    pub id: String,
    /// SHA-256 over the whole key, lower-case hex; none when the moving key set fills it.
    pub sha256: Option<String>,
    /// Seconds since the Unix epoch; not valid from then on.
    pub expires_s: Option<u64>,
}
