//! Where requests go, and what goes with them.

use serde::{Deserialize, Serialize};

/// The server behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub name: String,
    /// `ip:port` or (with `tls`) `name:port`, in source order; used round robin.
    pub addresses: Vec<String>,
    pub tls: Option<OriginTls>,
    /// Pass the agent's credentials (`Authorization`, `X-API-Key`) on to the origin.
    pub pass_credentials: bool,
    /// What it gets in place of the agent's credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<OriginCredential>,
    /// What it gets to tell what came through the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion: Option<OriginAssertion>,
}

/// A signed assertion about each request, from the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginAssertion {
    /// The `aud` that the origin expects.
    pub audience: String,
}

/// A credential of the gateway's own, which an origin gets with every request. The secret itself stands in no policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginCredential {
    /// Name of an `[[origin_credential]]` in `gateway.toml`.
    pub from: String,
    /// Lower-case name of the field.
    pub header: String,
    /// Its value, with [`SECRET_PLACE`] once where the secret goes.
    pub value: String,
}

/// Where the secret goes in the value of an [`OriginCredential`].
pub const SECRET_PLACE: &str = "{secret}";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginTls {
    /// PEM of the trust anchors, exact text.
    pub ca: String,
    /// Name verified in the origin's certificate; the address's own host when absent.
    pub server_name: Option<String>,
    /// Name of an `[[origin_identity]]` in `gateway.toml` (certificate and key for mutual TLS to the origin).
    pub identity: Option<String>,
}
