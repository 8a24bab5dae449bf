//! How an issuer is asked about opaque tokens.

use serde::{Deserialize, Serialize};

use super::ServerCa;

/// How an issuer is asked about tokens that say nothing themselves (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    pub url: String,
    /// Who vouches for the server; none for plain HTTP on loopback alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<ServerCa>,
    /// Name of the `[[introspection_client]]` in `gateway.toml`: as whom the gateway asks.
    pub client: String,
    /// How long an answer counts, seconds; the token's `exp` ends it sooner.
    pub cache_s: u32,
    /// What its tokens begin with; needed where several issuers are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What of the answer names the subject.
    pub subject: IntrospectedSubject,
}

/// A member of an answer (RFC 7662 §2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntrospectedSubject {
    #[default]
    Sub,
    /// The client that the token was issued to: for tokens of machines, which may have no `sub`.
    ClientId,
}

impl IntrospectedSubject {
    pub const ALL: [Self; 2] = [Self::Sub, Self::ClientId];

    /// As the answer and a policy source spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::ClientId => "client_id",
        }
    }
}
