//! One line of a record file, read back: what the decision was made from, and what it was.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use policy::binding::Bindings;
use policy::model::CertificateName;
use policy::reason::Reason;
use policy_evaluate::{Certificate, Presented, Request, Token};
use policy_release::digest::Digest;
use policy_release::time::Timestamp;
use serde::{Deserialize, Deserializer, de};

/// As a gateway writes the kind of an exchange, behind so many members at most.
const EXCHANGE: &str = ",\"adamant.kind\":\"exchange\"";
const KIND_WITHIN: usize = 4;
const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1_000;
/// The longest time that a gateway writes for an exchange, microseconds: 72 minutes.
pub const TOTAL_US_MAX: u64 = u32::MAX as u64;

/// What a line is.
#[derive(Debug)]
pub enum Line {
    Exchange(Box<Exchange>),
    /// A record of another kind, by its name.
    Other(String),
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    #[error("expected a record (a JSON object with time and adamant.kind): {}", Told(.0))]
    NoRecord(serde_json::Error),
    #[error("expected the members of an exchange: {}", Told(.0))]
    Members(serde_json::Error),
    #[error("expected {member} to be {expected}, found {found:?}")]
    Value { member: &'static str, expected: &'static str, found: String },
    #[error("expected {0}, found none")]
    Missing(&'static str),
}

/// An error with its column alone: records are lines.
struct Told<'e>(&'e serde_json::Error);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        write!(f, "{what} at column {}", self.0.column())
    }
}

/// One exchange: the inputs of its decision, and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub time_unix_ns: u64,
    pub request_id: String,
    /// None: the writer did not know the names of its activation.
    pub release: Option<Digest>,
    pub presented: Presented,
    pub request: Request,
    /// Limit, and its state before the charge; none where it had no place for one more subject.
    pub limits: Vec<(String, Option<u64>)>,
    pub decided: Decided,
    pub status: Option<u16>,
    /// From its decision to its end, microseconds; [`TOTAL_US_MAX`] of one that took so long or longer.
    pub total_us: u64,
    /// Key that signed the token.
    pub token_kid: Option<String>,
    /// SHA-256 over the client certificate, as the record spells it.
    pub certificate_sha256: Option<String>,
    /// Serial of the channel's revocation list that refused or ended it.
    pub revocations: Option<u64>,
}

impl Exchange {
    /// When it ended, nanoseconds since the Unix epoch; at the earliest, where it took longer than a record can tell.
    pub const fn ended_unix_ns(&self) -> u64 {
        self.time_unix_ns.saturating_add(self.total_us.saturating_mul(NS_PER_US))
    }

    /// Whether it took longer than a record can tell.
    pub const fn outlasts_its_record(&self) -> bool {
        self.total_us >= TOTAL_US_MAX
    }
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub permitted: bool,
    pub reason: Option<Reason>,
    pub agent: Option<String>,
    pub granted_by: Option<String>,
    pub route: Option<String>,
    pub scope: Option<String>,
}

impl Line {
    /// Reads a line without its newline. Members that are not known are passed over.
    pub fn parse(line: &[u8]) -> Result<Self, LineFault> {
        // Nearly always it is an exchange, as a gateway writes it: then it is read once, and as text once.
        let text = std::str::from_utf8(line).ok();
        let likely = text.filter(|text| text.match_indices(',').take(KIND_WITHIN).any(|(at, _)| is_exchange(text, at)));
        let read = likely.and_then(|text| serde_json::from_str::<Raw<'_>>(text).ok());
        let raw = match read.filter(|raw| raw.kind == "exchange") {
            Some(raw) => raw,
            None => {
                let kind: Kind<'_> = serde_json::from_slice(line).map_err(LineFault::NoRecord)?;
                if kind.kind != "exchange" {
                    return Ok(Self::Other(kind.kind.into_owned()));
                }
                serde_json::from_slice(line).map_err(LineFault::Members)?
            }
        };
        raw.exchange().map(|exchange| Self::Exchange(Box::new(exchange)))
    }

    /// Reads a line of kind `intent`: an exchange that is about to be forwarded, without an outcome.
    pub fn intent(line: &[u8]) -> Result<Box<Exchange>, LineFault> {
        let raw: Raw<'_> = serde_json::from_slice(line).map_err(LineFault::Members)?;
        raw.exchange().map(Box::new)
    }
}

fn is_exchange(line: &str, at: usize) -> bool {
    line.get(at..).is_some_and(|rest| rest.starts_with(EXCHANGE))
}

/// A time as records have it, in nanoseconds since the Unix epoch: RFC 3339 in UTC, with up to nine decimals or none.
pub fn parse_time(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_at_checked(19)?;
    let mut second = [b'Z'; 20];
    second.get_mut(..19)?.copy_from_slice(whole.as_bytes());
    let seconds = std::str::from_utf8(&second).ok()?.parse::<Timestamp>().ok()?.seconds();
    let decimals = rest.strip_suffix('Z')?;
    let ns = match decimals.strip_prefix('.') {
        None if decimals.is_empty() => 0,
        Some(digits) if (1..=9).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            let scale = 10_u64.pow(9 - u32::try_from(digits.len()).ok()?);
            digits.parse::<u64>().ok()? * scale
        }
        _ => return None,
    };
    seconds.checked_mul(NS_PER_S)?.checked_add(ns)
}

/// The same back, with nanoseconds where there are any.
pub fn time_text(unix_ns: u64) -> String {
    let seconds = Timestamp::from_seconds(unix_ns / NS_PER_S).unwrap_or(Timestamp::MAX).to_string();
    match unix_ns % NS_PER_S {
        0 => seconds,
        ns => format!("{}.{ns:09}Z", seconds.trim_end_matches('Z')),
    }
}

/// Text that is borrowed from the line where it has no escapes.
#[derive(Debug)]
struct Text<'l>(Cow<'l, str>);

impl<'l, 'de: 'l> Deserialize<'de> for Text<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            /// The index of a name that the writer did not know.
            fn visit_u64<E>(self, index: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(index.to_string())))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Deserialize)]
struct Kind<'l> {
    #[serde(rename = "adamant.kind", borrow)]
    kind: Cow<'l, str>,
}

/// The members of an exchange that its decision came from, or that say what it was.
#[derive(Deserialize)]
struct Raw<'l> {
    #[serde(rename = "adamant.kind", borrow)]
    kind: Cow<'l, str>,
    #[serde(borrow)]
    time: Text<'l>,
    #[serde(rename = "adamant.request_id", borrow)]
    request_id: Text<'l>,
    #[serde(rename = "adamant.release", borrow)]
    release: Option<Text<'l>>,
    #[serde(rename = "client.address", borrow)]
    client: Text<'l>,
    #[serde(rename = "url.scheme", borrow)]
    scheme: Text<'l>,
    #[serde(rename = "http.request.method", borrow)]
    method: Text<'l>,
    #[serde(rename = "server.address", borrow)]
    host: Text<'l>,
    #[serde(rename = "url.path", borrow)]
    path: Text<'l>,
    #[serde(rename = "adamant.decision", borrow)]
    decision: Text<'l>,
    #[serde(rename = "adamant.reason", borrow)]
    reason: Option<Text<'l>>,
    #[serde(rename = "adamant.agent", borrow)]
    agent: Option<Text<'l>>,
    #[serde(rename = "adamant.granted_by", borrow)]
    granted_by: Option<Text<'l>>,
    #[serde(rename = "adamant.route", borrow)]
    route: Option<Text<'l>>,
    #[serde(rename = "adamant.scope", borrow)]
    scope: Option<Text<'l>>,
    #[serde(rename = "tls.client.hash.sha256", borrow)]
    certificate: Option<Text<'l>>,
    #[serde(rename = "adamant.certificate.names", borrow, default)]
    certificate_names: Vec<Text<'l>>,
    #[serde(rename = "adamant.certificate.cas", borrow, default)]
    certificate_cas: Vec<Text<'l>>,
    #[serde(rename = "adamant.api_key", borrow)]
    api_key: Option<Text<'l>>,
    #[serde(rename = "adamant.token.issuer", borrow)]
    token_issuer: Option<Text<'l>>,
    #[serde(rename = "adamant.token.subject", borrow)]
    token_subject: Option<Text<'l>>,
    #[serde(rename = "adamant.token.kid", borrow)]
    token_kid: Option<Text<'l>>,
    #[serde(rename = "adamant.token.expires_s")]
    token_expires_s: Option<u64>,
    #[serde(rename = "adamant.token.bound", borrow)]
    token_bound: Option<Text<'l>>,
    #[serde(rename = "adamant.token.scopes", borrow)]
    token_scopes: Option<Text<'l>>,
    #[serde(rename = "adamant.limits_before", borrow, default)]
    limits: Vec<RawLimit<'l>>,
    #[serde(rename = "adamant.revocations.serial")]
    revocations: Option<u64>,
    #[serde(rename = "http.response.status_code")]
    status: Option<u16>,
    #[serde(rename = "adamant.durations_us", default)]
    durations_us: RawDurations,
}

#[derive(Default, Deserialize)]
struct RawDurations {
    #[serde(default)]
    total: u64,
}

#[derive(Deserialize)]
struct RawLimit<'l> {
    #[serde(borrow)]
    limit: Text<'l>,
    #[serde(borrow)]
    state: Text<'l>,
}

fn fault(member: &'static str, expected: &'static str, found: &Text<'_>) -> LineFault {
    LineFault::Value { member, expected, found: found.0.chars().take(80).collect() }
}

fn owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.0.into_owned())
}

impl Raw<'_> {
    fn exchange(self) -> Result<Exchange, LineFault> {
        let time_unix_ns = parse_time(&self.time.0)
            .ok_or_else(|| fault("time", "a time like 2026-11-21T18:07:34.000000001Z", &self.time))?;
        let release = self.release.as_ref().map(|text| {
            let digest = text.0.parse::<Digest>();
            digest.map_err(|_| fault("adamant.release", "a digest like sha256:…", text))
        });
        let release = release.transpose()?;
        let token = self.token()?;
        let certificate = self.certificate()?;
        let limits = self.limits.iter().map(limit).collect::<Result<_, _>>()?;
        let presented = Presented {
            tls: match &*self.scheme.0 {
                "https" => true,
                "http" => false,
                _ => return Err(fault("url.scheme", "http or https", &self.scheme)),
            },
            certificate,
            token,
            api_key: owned(self.api_key),
            client: address(&self.client.0)
                .ok_or_else(|| fault("client.address", "an address or a /64", &self.client))?,
        };
        let permitted = match &*self.decision.0 {
            "permit" => true,
            "deny" => false,
            _ => return Err(fault("adamant.decision", "permit or deny", &self.decision)),
        };
        let reason = self.reason.map(|text| {
            Reason::from_name(&text.0).ok_or_else(|| fault("adamant.reason", "a reason that this version knows", &text))
        });
        Ok(Exchange {
            time_unix_ns,
            request_id: self.request_id.0.into_owned(),
            release,
            presented,
            request: Request {
                method: self.method.0.into_owned(),
                host: self.host.0.into_owned(),
                target: self.path.0.into_owned(),
            },
            limits,
            decided: Decided {
                permitted,
                reason: reason.transpose()?,
                agent: owned(self.agent),
                granted_by: owned(self.granted_by),
                route: owned(self.route),
                scope: owned(self.scope),
            },
            status: self.status,
            total_us: self.durations_us.total,
            token_kid: owned(self.token_kid),
            certificate_sha256: owned(self.certificate),
            revocations: self.revocations,
        })
    }

    fn token(&self) -> Result<Option<Token>, LineFault> {
        let Some(issuer) = &self.token_issuer else { return Ok(None) };
        let subject = self.token_subject.as_ref().ok_or(LineFault::Missing("adamant.token.subject"))?;
        let scopes = self
            .token_scopes
            .as_ref()
            .map(|scopes| scopes.0.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect());
        let expires_s = Some(self.token_expires_s.ok_or(LineFault::Missing("adamant.token.expires_s"))?);
        let bound = self.token_bound.as_ref().map(|text| {
            Bindings::from_text(&text.0).ok_or_else(|| fault("adamant.token.bound", "certificate, dpop or both", text))
        });
        let bound = bound.transpose()?.unwrap_or_default();
        Ok(Some(Token { issuer: issuer.0.to_string(), subject: subject.0.to_string(), scopes, expires_s, bound }))
    }

    fn certificate(&self) -> Result<Option<Certificate>, LineFault> {
        if self.certificate.is_none() {
            return Ok(None);
        }
        let name = |text: &Text<'_>| {
            let name = CertificateName::from_text(&text.0);
            name.ok_or_else(|| fault("adamant.certificate.names", "names of certificates", text))
        };
        let names = self.certificate_names.iter().map(name).collect::<Result<_, _>>()?;
        Ok(Some(Certificate { cas: self.certificate_cas.iter().map(|ca| ca.0.to_string()).collect(), names }))
    }
}

fn limit(raw: &RawLimit<'_>) -> Result<(String, Option<u64>), LineFault> {
    let state = match &*raw.state.0 {
        "full" => None,
        text => Some(text.parse().map_err(|_| fault("adamant.limits_before", "states as numbers", &raw.state))?),
    };
    Ok((raw.limit.0.to_string(), state))
}

fn address(text: &str) -> Option<IpAddr> {
    match text.strip_suffix("/64") {
        Some(network) => network.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
