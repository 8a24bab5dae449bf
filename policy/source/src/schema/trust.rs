//! Who is believed: issuers of tokens and where their keys come from, client CAs and their revocation lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who issues tokens that are accepted: JWTs (RFC 7519), opaque ones (RFC 7662), or both.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerTable {
    /// Name of this issuer, for `token = { issuer = … }`.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    name: String,
    /// Exact value of the `iss` claim.
    issuer: String,
    /// At least one must stand in the `aud` claim.
    #[schemars(length(min = 1))]
    audience: Vec<String>,
    /// Accepted signature algorithms, with `keys`. HS256 stands alone and only with keys by `watch`.
    #[schemars(length(min = 1))]
    algorithms: Option<Vec<AlgorithmWord>>,
    /// Where the issuer's public keys come from. Without it, its tokens are opaque: see `introspection`.
    keys: Option<KeysTable>,
    /// Where the issuer is asked about its opaque tokens (RFC 7662).
    introspection: Option<IntrospectionTable>,
    /// Claim that holds the token's scopes. They can only narrow what the agent may do; a token without the claim has
    /// none.
    scope_claim: Option<String>,
    /// Accepted clock difference for `exp` and `nbf`, at most `5m`; none when absent.
    #[schemars(regex(pattern = r"^[0-9]+[smhd]$"))]
    leeway: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) enum AlgorithmWord {
    ES256,
    ES384,
    EdDSA,
    RS256,
    PS256,
    HS256,
}

/// One of `file`, `watch`, and `url` or `discovery` with `refresh`, `max_stale` and `ca`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysTable {
    /// A JWK Set of public keys, embedded in the release.
    file: Option<String>,
    /// A JWK Set file on the gateway that may change.
    watch: Option<String>,
    /// A JWK Set behind HTTPS.
    #[schemars(regex(pattern = r"^https?://"))]
    url: Option<String>,
    /// An issuer whose metadata names its JWK Set (OpenID Connect Discovery, RFC 8414).
    #[schemars(regex(pattern = r"^https?://"))]
    discovery: Option<String>,
    /// How often the keys are fetched, like `10m`.
    #[schemars(regex(pattern = r"^[0-9]+[smhd]$"))]
    refresh: Option<String>,
    /// How old the keys may become when they cannot be fetched, like `24h`.
    #[schemars(regex(pattern = r"^[0-9]+[smhd]$"))]
    max_stale: Option<String>,
    /// Who vouches for the server: a PEM file that is embedded, or the CAs of the gateway's machine.
    ca: Option<ServerCaForm>,
}

/// How an issuer is asked about opaque tokens.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IntrospectionTable {
    /// Its introspection endpoint.
    #[schemars(regex(pattern = r"^https?://"))]
    url: String,
    /// Who vouches for the server: a PEM file that is embedded, or the CAs of the gateway's machine.
    ca: Option<ServerCaForm>,
    /// Name of an `[[introspection_client]]` in gateway.toml: as whom the gateway asks.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    client: String,
    /// How long an answer counts, `1s` to `1h`; the token's `exp` ends it sooner. A token that its issuer withdraws is
    /// believed for as long.
    #[schemars(regex(pattern = r"^[0-9]+[smhd]$"))]
    cache: String,
    /// What its opaque tokens begin with; needed where several issuers are asked.
    #[schemars(length(min = 1, max = 64))]
    prefix: Option<String>,
    /// The member of the answer that names the subject: `sub` (default) or `client_id`.
    subject: Option<IntrospectedSubjectWord>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IntrospectedSubjectWord {
    Sub,
    ClientId,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ServerCaForm {
    File(FileTable),
    Word(SystemWord),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SystemWord {
    /// The CAs that the gateway's machine trusts.
    System,
}

/// A CA of client certificates.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientCaTable {
    /// Name of this CA, for `ca = …` beside a `certificate`.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._:-]{0,63}$"))]
    name: String,
    /// PEM file of trust anchors, embedded in the release.
    certificates: FileTable,
    /// Where the CA's revocation lists come from. Without it, its certificates are good until they expire.
    crl: Option<CrlTable>,
}

/// Revocation lists (RFC 5280 §5) of a client CA.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CrlTable {
    /// A file on the gateway with one or several lists, PEM or DER, that may change.
    watch: String,
    /// Whether a list past its `nextUpdate` refuses the certificates that it is about (default `true`).
    enforce_expiration: Option<bool>,
}

/// A file that is embedded in the release.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTable {
    /// Path relative to the policy source.
    file: String,
}
