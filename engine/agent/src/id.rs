//! Who an agent is, as its certificate says and policies spell it: a SPIFFE id, or `dns:` and one DNS name.

use std::fmt;
use std::str::FromStr;

use policy::model::CertificateName;
use rustls::pki_types::DnsName;
use serde::{Deserialize, Serialize};

use crate::spiffe::SpiffeId;
use crate::x509::Facts;

const DNS: &str = "dns:";

/// The name that a policy knows an agent's certificate by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Id {
    Spiffe(SpiffeId),
    /// Lower-case, of one host: no pattern.
    Dns(String),
}

/// What sort of name a source of certificates gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Spiffe,
    Dns,
}

impl Kind {
    /// For people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Spiffe => "SPIFFE id",
            Self::Dns => "DNS name",
        }
    }

    /// As options and exports call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Spiffe => "spiffe",
            Self::Dns => "dns",
        }
    }

    /// How a policy writes it.
    pub const fn form(self) -> &'static str {
        match self {
            Self::Spiffe => "spiffe://corp.example/reports",
            Self::Dns => "dns:reports.corp.example",
        }
    }
}

impl Id {
    /// Of what follows `dns:`.
    pub fn dns(name: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        if DnsName::try_from(lower.as_str()).is_ok() && !lower.ends_with('.') {
            return Ok(Self::Dns(lower));
        }
        let found: String = name.chars().take(80).collect();
        Err(format!("expected one DNS name in full like reports.corp.example, found {found:?}"))
    }

    /// As a policy has it; none where it goes by the key alone.
    pub fn of_policy(name: &CertificateName) -> Option<Self> {
        match name {
            CertificateName::Spiffe(id) => id.parse().ok().map(Self::Spiffe),
            CertificateName::Dns(name) => Self::dns(name).ok(),
            CertificateName::SpkiSha256(_) => None,
        }
    }

    /// The name alone.
    pub fn name(&self) -> &str {
        match self {
            Self::Spiffe(id) => id.as_str(),
            Self::Dns(name) => name,
        }
    }

    pub const fn kind(&self) -> Kind {
        match self {
            Self::Spiffe(_) => Kind::Spiffe,
            Self::Dns(_) => Kind::Dns,
        }
    }

    /// Whether a certificate names this agent and nobody else: one more name could be another agent's.
    pub fn check(&self, facts: &Facts) -> Result<(), String> {
        let fits = match self {
            Self::Spiffe(id) => facts.uris == [id.as_str()],
            Self::Dns(name) => {
                let named = matches!(facts.names.as_slice(), [one] if one.eq_ignore_ascii_case(name));
                named && facts.uris.is_empty()
            }
        };
        if fits {
            return Ok(());
        }
        let names: &[String] = if self.kind() == Kind::Dns { &facts.names } else { &[] };
        let found: Vec<&str> = facts.uris.iter().chain(names).map(String::as_str).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        Err(format!("expected a certificate for {self}, found {found}"))
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.strip_prefix(DNS).map_or_else(|| text.parse().map(Self::Spiffe), Self::dns)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(id) => id.fmt(f),
            Self::Dns(name) => write!(f, "{DNS}{name}"),
        }
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uris: &[&str], names: &[&str]) -> Facts {
        let list = |of: &[&str]| of.iter().map(|text| (*text).to_owned()).collect();
        Facts { uris: list(uris), names: list(names), ..Facts::default() }
    }

    #[test]
    fn names_are_written_as_policies_write_them() {
        for text in [Kind::Spiffe, Kind::Dns].map(Kind::form) {
            assert_eq!(text.parse::<Id>().unwrap().to_string(), text);
        }
        assert_eq!("dns:Reports.Corp.example".parse::<Id>().unwrap().to_string(), "dns:reports.corp.example");
        for wrong in ["", "dns:", "dns:*.corp.example", "dns:a.", "dns:10.0.0.1", "dns:a b", "reports.corp.example"] {
            assert!(wrong.parse::<Id>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_names_the_agent_and_nobody_else() {
        let (spiffe, dns): (Id, Id) = ("spiffe://a/b".parse().unwrap(), "dns:b.a".parse().unwrap());
        spiffe.check(&facts(&["spiffe://a/b"], &[])).unwrap();
        dns.check(&facts(&[], &["B.a"])).unwrap();
        for (id, uris, names) in [
            (&spiffe, &["spiffe://a/c"][..], &[][..]),
            (&spiffe, &["spiffe://a/b", "spiffe://a/c"], &[]),
            (&spiffe, &[], &["b.a"]),
            (&dns, &[], &[]),
            (&dns, &[], &["c.a"]),
            (&dns, &[], &["*.a"]),
            (&dns, &[], &["b.a", "c.a"]),
            (&dns, &[], &["b.a", "10.0.0.1"]),
            (&dns, &["spiffe://a/b"], &["b.a"]),
        ] {
            let told = id.check(&facts(uris, names)).unwrap_err();
            assert!(told.starts_with(&format!("expected a certificate for {id}, found ")), "{told}");
        }
    }
}
