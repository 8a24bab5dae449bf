//! What a certificate must be before it is used: for our key, for our names and no others, valid now, no CA's, and chained
//! as the issuer says.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{CLOCK_AHEAD_S_MAX, Chain, Name, Purpose};

/// What was asked for.
pub struct Expected<'a> {
    pub names: &'a [Name],
    /// SubjectPublicKeyInfo, DER.
    pub public_key: &'a [u8],
    pub purpose: Purpose,
    /// Seconds since the Unix epoch.
    pub now_s: u64,
}

/// From when to when a certificate holds, seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub begins_s: u64,
    pub ends_s: u64,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckFault {
    #[error("expected an X.509 certificate, found {0}")]
    Form(String),
    #[error("expected a certificate for the key that was made here, found one for another key")]
    Key,
    #[error("expected a certificate for {expected}, found one for {found}")]
    Names { expected: String, found: String },
    #[error("expected a certificate that is valid now, found one that ended {0} s ago")]
    Ended(u64),
    #[error("expected a certificate that is valid now, found one that begins in {0} s: is a clock wrong?")]
    Early(u64),
    #[error("expected a certificate of no CA, found one of a CA")]
    Ca,
    #[error("expected a certificate for {}, found one for other uses (extendedKeyUsage)", .0.whom())]
    Usage(Purpose),
    #[error("expected a certificate that the CA of its issuer vouches for: {0}")]
    Chain(webpki::Error),
}

/// Checks a certificate by itself.
pub fn check_leaf(leaf: &CertificateDer<'_>, expected: &Expected<'_>) -> Result<Life, CheckFault> {
    let form = |error: &dyn std::fmt::Display| CheckFault::Form(error.to_string());
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| form(&error))?;
    if certificate.public_key().raw != expected.public_key {
        return Err(CheckFault::Key);
    }
    let wanted: BTreeSet<String> = expected.names.iter().map(Name::to_string).collect();
    let found = names_of(&certificate)?;
    if found != wanted {
        let shown = |names: BTreeSet<String>| match names.len() {
            0 => "no name".to_owned(),
            _ => names.into_iter().take(8).collect::<Vec<_>>().join(", ").chars().take(300).collect(),
        };
        return Err(CheckFault::Names { expected: shown(wanted), found: shown(found) });
    }
    if certificate.is_ca() {
        return Err(CheckFault::Ca);
    }
    let usage = certificate.extended_key_usage().map_err(|error| form(&error))?;
    let fits = usage.is_none_or(|usage| match expected.purpose {
        Purpose::Server => usage.value.server_auth || usage.value.any,
        Purpose::Client => usage.value.client_auth || usage.value.any,
    });
    if !fits {
        return Err(CheckFault::Usage(expected.purpose));
    }
    let unix_s = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let life =
        Life { begins_s: unix_s(certificate.validity().not_before), ends_s: unix_s(certificate.validity().not_after) };
    match (life.ends_s.checked_sub(expected.now_s), life.begins_s.saturating_sub(expected.now_s)) {
        (None | Some(0), _) => Err(CheckFault::Ended(expected.now_s - life.ends_s)),
        (_, early) if early > CLOCK_AHEAD_S_MAX => Err(CheckFault::Early(early)),
        _ => Ok(life),
    }
}

/// Checks what an issuer gave.
pub fn check_chain(chain: &Chain, expected: &Expected<'_>) -> Result<Life, CheckFault> {
    let (leaf, between) = chain.shown.split_first().ok_or_else(|| CheckFault::Form("none".to_owned()))?;
    let life = check_leaf(leaf, expected)?;
    // Whether the CA is one that clients believe is theirs to say; here it counts that the parts belong together.
    let Some(ca) = chain.ca.as_ref().or(between.last()) else { return Ok(life) };
    let anchor = anchor_from_trusted_cert(ca).map_err(CheckFault::Chain)?;
    let entity = EndEntityCert::try_from(leaf).map_err(CheckFault::Chain)?;
    let usage = match expected.purpose {
        Purpose::Server => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(expected.now_s.max(life.begins_s)));
    let verified = entity.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        std::slice::from_ref(&anchor),
        between,
        at,
        usage,
        None,
        None,
    );
    verified.map(|_| life).map_err(CheckFault::Chain)
}

fn names_of(certificate: &X509Certificate<'_>) -> Result<BTreeSet<String>, CheckFault> {
    let extension = certificate.subject_alternative_name().map_err(|error| CheckFault::Form(error.to_string()))?;
    let names = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    Ok(names.iter().map(shown).collect())
}

/// As [`Name`] shows it; what it has no form for is shown as something that no name is.
fn shown(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => name.to_ascii_lowercase(),
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.map_or_else(|_| "an address of another length".to_owned(), |address| address.to_string())
        }
        _ => "a name of another kind".to_owned(),
    }
}
