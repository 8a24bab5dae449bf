//! One entry of a revocation list: what is revoked, since when, until when, and why.

use std::fmt;
use std::str::FromStr;

use policy::bounds::LEEWAY_S_MAX;
use serde::{Deserialize, Serialize};

use super::wire::Wire;
use crate::bounds::{REVOKED_TEXT_BYTES_MAX, SERIAL_NUMBER_BYTES_MAX, WHY_BYTES_MAX};
use crate::digest::{unhex, write_hex};
use crate::time::Timestamp;

/// Why an entry means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    #[error("expected a reason of 1 to {WHY_BYTES_MAX} bytes without control characters")]
    Why,
    #[error("expected {what} of 1 to {REVOKED_TEXT_BYTES_MAX} bytes without control characters")]
    Text { what: &'static str },
    #[error("expected an end after the beginning ({since}), found {until}")]
    Times { since: Timestamp, until: Timestamp },
}

/// 32 bytes as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// The serial number of a certificate (RFC 5280 §4.1.2.2): its bytes in lower-case hex, without leading zeros.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(Vec<u8>);

/// What is revoked. `issuer` is a name or an `issuer` of the policy's `[[issuer]]` sections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An agent by its name, with whatever it comes.
    Agent(String),
    /// An API key by its id.
    ApiKey(String),
    /// A certificate, over the DER; of a CA too, with all that it vouches for in the chain that is presented.
    Certificate(Sha256),
    /// A certificate by its number and the key that signed it (SHA-256 over the SubjectPublicKeyInfo).
    NumberedCertificate { issuer_spki: Sha256, serial: SerialNumber },
    /// One token.
    Token { issuer: String, jti: String },
    /// All tokens that a key signed.
    Key { issuer: String, kid: String },
    /// All tokens of a subject that were issued before a time, and those that do not say when.
    Subject { issuer: String, subject: String, issued_before: Timestamp },
}

/// What makes two targets the same one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKey<'t> {
    Agent(&'t str),
    ApiKey(&'t str),
    Certificate(&'t Sha256),
    NumberedCertificate(&'t Sha256, &'t SerialNumber),
    Token(&'t str, &'t str),
    Key(&'t str, &'t str),
    Subject(&'t str, &'t str),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Entry {
    pub target: Target,
    /// When it was revoked, for people: it is in force at once, whatever stands here.
    pub since: Timestamp,
    /// When the credential expires by itself, so that this is needed no more; none: until it is lifted.
    pub until: Option<Timestamp>,
    pub why: String,
}

impl Entry {
    /// From then on it is in force no more. A token is taken for some time after it has expired, up to its issuer's leeway,
    /// and is revoked for the longest that this can be.
    pub fn ends(&self) -> Option<Timestamp> {
        let taken_s = match self.target {
            Target::Token { .. } | Target::Key { .. } | Target::Subject { .. } => u64::from(LEEWAY_S_MAX),
            Target::Agent(_) | Target::ApiKey(_) | Target::Certificate(_) | Target::NumberedCertificate { .. } => 0,
        };
        self.until.map(|until| until.later_by(taken_s))
    }

    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        self.ends().is_some_and(|ends| ends <= now)
    }

    /// Revokes all that this one and `other`, of the same target, do; with the reason of this one.
    pub fn joined(mut self, other: &Self) -> Self {
        self.since = self.since.min(other.since);
        self.until = self.until.zip(other.until).map(|(ours, theirs)| ours.max(theirs));
        if let (Target::Subject { issued_before: ours, .. }, Target::Subject { issued_before: theirs, .. }) =
            (&mut self.target, &other.target)
        {
            *ours = (*ours).max(*theirs);
        }
        self
    }

    /// Whether nothing that `other` refuses is let through where this stands in its place.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let as_long = match (self.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => ours >= theirs,
        };
        let as_many = match (&self.target, &other.target) {
            (Target::Subject { issued_before: ours, .. }, Target::Subject { issued_before: theirs, .. }) => {
                ours >= theirs
            }
            _ => true,
        };
        self.target.key() == other.target.key() && as_long && as_many
    }

    pub(super) fn check(&self) -> Result<(), EntryFault> {
        if !is_text(&self.why, WHY_BYTES_MAX) {
            return Err(EntryFault::Why);
        }
        if let Some(until) = self.until
            && until <= self.since
        {
            return Err(EntryFault::Times { since: self.since, until });
        }
        let texts: &[(&'static str, &str)] = match &self.target {
            Target::Agent(name) => &[("an agent's name", name)],
            Target::ApiKey(id) => &[("an API key's id", id)],
            Target::Certificate(_) | Target::NumberedCertificate { .. } => &[],
            Target::Token { issuer, jti } => &[("an issuer", issuer), ("a jti", jti)],
            Target::Key { issuer, kid } => &[("an issuer", issuer), ("a kid", kid)],
            Target::Subject { issuer, subject, .. } => &[("an issuer", issuer), ("a subject", subject)],
        };
        let bad = texts.iter().find(|(_, text)| !is_text(text, REVOKED_TEXT_BYTES_MAX));
        bad.map_or(Ok(()), |(what, _)| Err(EntryFault::Text { what }))
    }
}

fn is_text(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl Target {
    pub fn key(&self) -> TargetKey<'_> {
        match self {
            Self::Agent(name) => TargetKey::Agent(name),
            Self::ApiKey(id) => TargetKey::ApiKey(id),
            Self::Certificate(sha256) => TargetKey::Certificate(sha256),
            Self::NumberedCertificate { issuer_spki, serial } => TargetKey::NumberedCertificate(issuer_spki, serial),
            Self::Token { issuer, jti } => TargetKey::Token(issuer, jti),
            Self::Key { issuer, kid } => TargetKey::Key(issuer, kid),
            Self::Subject { issuer, subject, .. } => TargetKey::Subject(issuer, subject),
        }
    }
}

/// As people read it: `agent reports-bot`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => write!(f, "agent {}", name.escape_default()),
            Self::ApiKey(id) => write!(f, "API key {}", id.escape_default()),
            Self::Certificate(sha256) => write!(f, "certificate {sha256}"),
            Self::NumberedCertificate { issuer_spki, serial } => {
                write!(f, "certificate number {serial} of issuer key {issuer_spki}")
            }
            Self::Token { issuer, jti } => {
                write!(f, "token {} of issuer {}", jti.escape_default(), issuer.escape_default())
            }
            Self::Key { issuer, kid } => {
                write!(f, "tokens of key {} of issuer {}", kid.escape_default(), issuer.escape_default())
            }
            Self::Subject { issuer, subject, issued_before } => write!(
                f,
                "tokens of subject {} of issuer {} issued before {issued_before}",
                subject.escape_default(),
                issuer.escape_default()
            ),
        }
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = unhex(text).ok_or_else(|| {
            format!(
                "expected SHA-256 as 64 lower-case hex digits, found {:?}",
                text.chars().take(80).collect::<String>()
            )
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SerialNumber {
    /// From the content of the DER INTEGER; none where it is empty, zero, or too long.
    pub fn from_der(content: &[u8]) -> Option<Self> {
        let zeros = content.iter().take_while(|byte| **byte == 0).count();
        let bytes = content.get(zeros..).unwrap_or_default();
        (1..=SERIAL_NUMBER_BYTES_MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// Without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for SerialNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "expected a serial number of 1 to {SERIAL_NUMBER_BYTES_MAX} bytes in lower-case hex without leading zero \
                 bytes, found {:?}",
                text.chars().take(80).collect::<String>()
            )
        };
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits || !text.len().is_multiple_of(2) || text.starts_with("00") {
            return Err(fault());
        }
        let byte = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
        bytes.filter(|bytes| (1..=SERIAL_NUMBER_BYTES_MAX).contains(&bytes.len())).map(Self).ok_or_else(fault)
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
