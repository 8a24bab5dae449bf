//! Certificates from issuers: the key is made here and never leaves, a request goes out, and what comes back is checked
//! before anybody uses it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::http::HttpFault;
use crate::openbao::OpenBaoFault;

pub mod acme;
mod check;
mod name;
pub mod pki;

use acme::AcmeFault;
pub use check::{CheckFault, Expected, Life, check_chain, check_leaf};
pub use name::{Name, NameFault};

/// Bytes of an answer of an issuer.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Certificates of a chain.
pub const CHAIN_MAX: usize = 8;
/// How far the issuer's clock may be ahead of ours, seconds.
pub const CLOCK_AHEAD_S_MAX: u64 = 60;
/// Longest common name (RFC 5280, ub-common-name).
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Characters of a line (RFC 7468 §2).
const PEM_COLUMNS: usize = 64;

/// What to do about certificates that are not for clients.
pub const CLIENTS_HELP: &str = "have the CA issue for clients (clientAuth): OpenBao's role needs client_flag=true, and its ACME \
                                server allow_role_ext_key_usage=true in config/acme; public CAs issue for servers alone since \
                                2026";

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To clients.
    Server,
    /// To origins.
    Client,
}

impl Purpose {
    const fn whom(self) -> &'static str {
        match self {
            Self::Server => "servers",
            Self::Client => "clients",
        }
    }
}

/// Why there is no certificate to use. What was there before is not touched by it.
#[derive(Debug, thiserror::Error)]
pub enum IssueFault {
    #[error("no key and request can be made: {0}")]
    Request(rcgen::Error),
    #[error(transparent)]
    OpenBao(#[from] OpenBaoFault),
    #[error(transparent)]
    Acme(#[from] AcmeFault),
    #[error("{from}: expected a certificate and its chain, found {found}")]
    Answer { from: String, found: String },
    #[error("{from}: {cause}")]
    Check { from: String, cause: CheckFault },
}

impl IssueFault {
    /// Whether something came that is not good, rather than nothing.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Check { .. })
    }

    /// Whether an attempt a few seconds later may fare better.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::OpenBao(fault) => match fault {
                OpenBaoFault::Http { cause, .. } => is_of_the_network(cause),
                OpenBaoFault::Sealed { .. } => true,
                OpenBaoFault::Refused { status, .. } => status.is_server_error(),
                _ => false,
            },
            Self::Acme(fault) => fault.is_passing(),
            Self::Request(_) | Self::Answer { .. } | Self::Check { .. } => false,
        }
    }

    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Request(_) => "are the names right?".into(),
            Self::OpenBao(OpenBaoFault::Refused { status, .. }) if status.as_u16() == 400 => {
                "the role must allow these names, this life, and keys of elliptic curves (key_type=ec or any)".into()
            }
            Self::OpenBao(fault) => fault.help(),
            Self::Acme(fault) => fault.help(),
            Self::Check { cause: CheckFault::Usage(Purpose::Client), .. } => CLIENTS_HELP.into(),
            Self::Answer { .. } | Self::Check { .. } => "is it the right issuer? Look into what it issues".into(),
        }
    }
}

/// Rather than something that came and is not good.
const fn is_of_the_network(fault: &HttpFault) -> bool {
    use HttpFault::{Connect, Cut, Name, Protocol, Time};
    matches!(fault, Name { .. } | Connect { .. } | Time { .. } | Protocol { .. } | Cut { .. })
}

/// A key that was just made, and the request for its certificate.
pub struct Request {
    key: KeyPair,
    csr: rcgen::CertificateSigningRequest,
}

impl Request {
    /// `with_common_name`: the first DNS name is the subject too, which some issuers want.
    pub fn new(names: &[Name], with_common_name: bool) -> Result<Self, IssueFault> {
        let key = KeyPair::generate().map_err(IssueFault::Request)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names =
            names.iter().map(SanType::try_from).collect::<Result<_, _>>().map_err(IssueFault::Request)?;
        let first = names.iter().find_map(Name::dns).filter(|name| name.len() <= COMMON_NAME_BYTES_MAX);
        if let Some(name) = first.filter(|_| with_common_name) {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let csr = params.serialize_request(&key).map_err(IssueFault::Request)?;
        Ok(Self { key, csr })
    }

    pub fn csr_pem(&self) -> Result<String, IssueFault> {
        self.csr.pem().map_err(IssueFault::Request)
    }

    pub fn csr_der(&self) -> &[u8] {
        self.csr.der()
    }

    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }

    /// The public key as certificates hold it (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }
}

/// What an issuer gave.
pub struct Chain {
    /// As it is shown: the certificate, then those between it and its CA.
    pub shown: Vec<CertificateDer<'static>>,
    /// What the issuer calls its CA; none where it says nothing of it.
    pub ca: Option<CertificateDer<'static>>,
}

impl Chain {
    /// What is shown, in PEM.
    pub fn pem(&self) -> String {
        let mut pem = String::new();
        for certificate in &self.shown {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            let mut rest = BASE64_STANDARD.encode(certificate);
            while !rest.is_empty() {
                let after = rest.split_off(rest.len().min(PEM_COLUMNS));
                pem.push_str(&rest);
                pem.push('\n');
                rest = after;
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        pem
    }
}

/// The certificates of a PEM text.
fn certificates(from: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, IssueFault> {
    let answer = |found: String| IssueFault::Answer { from: from.to_owned(), found };
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(CHAIN_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|error| answer(format!("no PEM: {error}")))?;
    match all.len() {
        0 => Err(answer("none".to_owned())),
        1..=CHAIN_MAX => Ok(all),
        _ => Err(answer(format!("more than {CHAIN_MAX} certificates"))),
    }
}

#[cfg(test)]
mod tests;
