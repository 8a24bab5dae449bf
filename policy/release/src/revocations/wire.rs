//! An entry as it stands in the payload: exactly one target. A member that is not there is left out, never null, so that
//! one meaning has one form.

use serde::{Deserialize, Deserializer, Serialize};

use super::entry::{Entry, Target};
use crate::time::Timestamp;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wire {
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    certificate_serial: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    issued_before: Option<Timestamp>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    issuer_spki_sha256: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    since: Timestamp,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    why: String,
}

/// A member that is there has a value.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

const ONE: &str = "expected exactly one of agent, api_key, certificate_sha256, certificate_serial with \
                   issuer_spki_sha256, and issuer with jti, with kid, or with subject and issued_before";

impl Wire {
    /// Of no target yet.
    const fn new(since: Timestamp, until: Option<Timestamp>, why: String) -> Self {
        Self {
            agent: None,
            api_key: None,
            certificate_serial: None,
            certificate_sha256: None,
            issued_before: None,
            issuer: None,
            issuer_spki_sha256: None,
            jti: None,
            kid: None,
            since,
            subject: None,
            until,
            why,
        }
    }

    fn target(&self) -> Result<Target, String> {
        Ok(match self.clone() {
            Self { agent: Some(name), .. } => Target::Agent(name),
            Self { api_key: Some(id), .. } => Target::ApiKey(id),
            Self { certificate_sha256: Some(sha256), .. } => Target::Certificate(sha256.parse()?),
            Self { certificate_serial: Some(serial), issuer_spki_sha256: Some(spki), .. } => {
                Target::NumberedCertificate { issuer_spki: spki.parse()?, serial: serial.parse()? }
            }
            Self { issuer: Some(issuer), jti: Some(jti), .. } => Target::Token { issuer, jti },
            Self { issuer: Some(issuer), kid: Some(kid), .. } => Target::Key { issuer, kid },
            Self { issuer: Some(issuer), subject: Some(subject), issued_before: Some(issued_before), .. } => {
                Target::Subject { issuer, subject, issued_before }
            }
            _ => return Err(ONE.into()),
        })
    }
}

impl TryFrom<Wire> for Entry {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        let entry = Self { target: wire.target()?, since: wire.since, until: wire.until, why: wire.why.clone() };
        // What is not of this target is of another one.
        if Wire::from(entry.clone()) == wire { Ok(entry) } else { Err(ONE.into()) }
    }
}

impl From<Entry> for Wire {
    fn from(entry: Entry) -> Self {
        let mut wire = Self::new(entry.since, entry.until, entry.why);
        match entry.target {
            Target::Agent(name) => wire.agent = Some(name),
            Target::ApiKey(id) => wire.api_key = Some(id),
            Target::Certificate(sha256) => wire.certificate_sha256 = Some(sha256.to_string()),
            Target::NumberedCertificate { issuer_spki, serial } => {
                wire.certificate_serial = Some(serial.to_string());
                wire.issuer_spki_sha256 = Some(issuer_spki.to_string());
            }
            Target::Token { issuer, jti } => (wire.issuer, wire.jti) = (Some(issuer), Some(jti)),
            Target::Key { issuer, kid } => (wire.issuer, wire.kid) = (Some(issuer), Some(kid)),
            Target::Subject { issuer, subject, issued_before } => {
                (wire.issuer, wire.subject) = (Some(issuer), Some(subject));
                wire.issued_before = Some(issued_before);
            }
        }
        wire
    }
}
