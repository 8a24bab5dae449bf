//! Test cases of a policy: who asks for what, when, and what shall come of it.
//!
//! A case states facts (an agent, or credentials that are taken as valid), never secrets. Everything is resolved: a
//! step holds all that it asks, so a case means the same wherever it stood. Cases travel in the release; a gateway
//! does not read them.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::{Binding, CertificateName, CertificateProof};
use crate::reason::Reason;

/// When a case happens that does not say when: 2000-01-01T00:00:00Z, the start of a window of every quota.
pub const AT_DEFAULT_S: u64 = 946_684_800;
/// From where a case asks that does not say from where (RFC 5737 §3).
pub const CLIENT_DEFAULT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// Reasons that stated facts can have. The others come from what a case does not state: bytes on the wire, signatures,
/// the state of a gateway and of an origin.
pub const REASONS: &[Reason] = &[
    Reason::InvalidTarget,
    Reason::TargetNotAdmitted,
    Reason::TransportTooWeak,
    Reason::CredentialMissing,
    Reason::ApiKeyExpired,
    Reason::ProofsIncomplete,
    Reason::ProofsConflict,
    Reason::AgentUnknown,
    Reason::TokenUnbound,
    Reason::RouteUnknown,
    Reason::ScopeMissing,
    Reason::LimitExceeded,
    Reason::SubjectsFull,
];

/// One case: requests one after the other, on limits that nobody has used before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// In words; unique within a policy.
    pub name: String,
    /// When it begins, seconds since the Unix epoch.
    pub at_s: u64,
    /// At least one.
    pub steps: Vec<Step>,
}

/// Equal requests at one instant, each with the same outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Time since the step before (the first: since the beginning), milliseconds.
    pub after_ms: u64,
    /// How many requests, at least 1.
    pub repeat: u32,
    pub caller: Caller,
    pub request: Asked,
    pub client: IpAddr,
    pub expect: Expect,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// Somebody who has all proofs of one alternative of an agent.
    Agent(AsAgent),
    /// Somebody who presents these credentials, all of them valid; perhaps none.
    Presents(Credentials),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsAgent {
    pub name: String,
    /// Which of its alternatives, from 1.
    pub alternative: u32,
    /// The subject of its token, where the agent is a population.
    pub subject: Option<String>,
    /// The scopes in its token; none: all that the agent has.
    pub scopes: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub certificate: Option<Certificate>,
    pub token: Option<Token>,
    /// Id of an API key.
    pub api_key: Option<String>,
}

/// A client certificate: its names, and the client CAs that it chains to, by name. At least one of each, in order, each
/// once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CertificateForm", into = "CertificateForm")]
pub struct Certificate {
    pub names: Vec<CertificateName>,
    pub cas: Vec<String>,
}

/// As it is written: one name under one CA as releases of before there could be several have it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum CertificateForm {
    One(CertificateProof),
    Several { names: Vec<CertificateName>, cas: Vec<String> },
}

impl From<CertificateForm> for Certificate {
    fn from(form: CertificateForm) -> Self {
        match form {
            CertificateForm::One(CertificateProof { name, ca }) => Self { names: vec![name], cas: vec![ca] },
            CertificateForm::Several { names, cas } => Self { names, cas },
        }
    }
}

impl From<Certificate> for CertificateForm {
    fn from(Certificate { names, cas }: Certificate) -> Self {
        match (names.as_slice(), cas.as_slice()) {
            ([name], [ca]) => Self::One(CertificateProof { name: name.clone(), ca: ca.clone() }),
            _ => Self::Several { names, cas },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Name of the issuer.
    pub issuer: String,
    pub subject: String,
    /// None: the token lacks the claim.
    pub scopes: Option<Vec<String>>,
    /// What it is bound to, and was shown to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Binding>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub tls: bool,
    pub method: String,
    /// In normal form, without port.
    pub host: String,
    /// The request-target as a client would send it.
    pub target: String,
}

/// What shall come of it. Nothing is said about what is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub permit: bool,
    #[serde(serialize_with = "write_reason", deserialize_with = "read_reason")]
    pub reason: Option<Reason>,
    pub status: Option<u16>,
    /// The identified caller.
    pub agent: Option<String>,
    pub route: Option<String>,
    pub scope: Option<String>,
    /// The limit that refuses.
    pub limit: Option<String>,
}

fn write_reason<S: Serializer>(reason: &Option<Reason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(Reason::name).serialize(serializer)
}

fn read_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Reason>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let known = REASONS.iter().copied().find(|reason| reason.name() == name);
    known.map(Some).ok_or_else(|| de::Error::custom(format!("expected a reason that a case can have, found {name:?}")))
}
