//! What proves control of a name while an order is pending: a certificate (tls-alpn-01, RFC 8737) or a text (http-01,
//! RFC 8555 §8.3).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use instant_acme::{ChallengeHandle, ChallengeType};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

/// The protocol on which certificates of challenges are shown, and nothing else (RFC 8737 §3).
pub(super) const ALPN: &[u8] = b"acme-tls/1";

/// How control of a name is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    TlsAlpn,
    Http,
}

impl ChallengeKind {
    pub(super) const fn of_order(self) -> ChallengeType {
        match self {
            Self::TlsAlpn => ChallengeType::TlsAlpn01,
            Self::Http => ChallengeType::Http01,
        }
    }

    /// Where servers look, whatever else is agreed.
    pub const fn port(self) -> u16 {
        match self {
            Self::TlsAlpn => 443,
            Self::Http => 80,
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn => "tls-alpn-01",
            Self::Http => "http-01",
        })
    }
}

/// What an ACME server shall find.
pub enum Challenge {
    Certificate {
        name: String,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    },
    /// At `/.well-known/acme-challenge/TOKEN`.
    Text {
        token: String,
        text: String,
    },
}

impl Challenge {
    pub(super) fn new(name: String, of: &ChallengeHandle<'_>, kind: ChallengeKind) -> Result<Self, rcgen::Error> {
        let proof = of.key_authorization();
        match kind {
            ChallengeKind::TlsAlpn => Self::certificate(name, proof.digest().as_ref()),
            ChallengeKind::Http => Ok(Self::Text { token: of.token.clone(), text: proof.as_str().to_owned() }),
        }
    }

    /// RFC 8737 §3: self-signed, for the name alone, with the proof in an extension of its own.
    pub(super) fn certificate(name: String, proof: &[u8]) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.clone()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof)];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self::Certificate { name, certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() })
    }
}

/// TLS for ACME servers alone: no certificate is asked for, and no session comes back. None without challenges of this kind.
pub fn tls_config(challenges: Vec<Challenge>) -> Result<Option<Arc<ServerConfig>>, rustls::Error> {
    let provider = Arc::new(default_provider());
    let mut by_name = BTreeMap::new();
    for challenge in challenges {
        let Challenge::Certificate { name, certificate, key } = challenge else { continue };
        // Not looked into: it has a critical extension that only those servers know.
        let key = provider.key_provider.load_private_key(key)?;
        by_name.insert(name, Arc::new(CertifiedKey::new(vec![certificate], key)));
    }
    if by_name.is_empty() {
        return Ok(None);
    }
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(ByName(by_name)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Some(Arc::new(config)))
}

struct ByName(BTreeMap<String, Arc<CertifiedKey>>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}
