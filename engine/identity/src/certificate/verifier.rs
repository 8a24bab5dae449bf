//! The handshake's side: a rustls verifier over all client CAs.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{CaSet, CertificateFault, supported_algorithms};

/// Whether a listener asks for client certificates. Off is not a verifier at all: see [`ClientVerifier::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// Asked for; a client without one goes on without a certificate proof, one with a bad one is refused.
    Optional,
    /// The handshake fails without one.
    Required,
}

/// Accepts a chain that [`CaSet::verify`] does. Keeps nothing, so workers share it without a lock.
#[derive(Debug)]
pub struct ClientVerifier {
    set: Arc<CaSet>,
    authentication: ClientAuthentication,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// For `off`, use rustls's `with_no_client_auth` instead.
    pub fn new(set: Arc<CaSet>, authentication: ClientAuthentication) -> Self {
        let anchors = set.cas().iter().flat_map(|ca| ca.trust.iter());
        let hints = anchors.map(|anchor| DistinguishedName::in_sequence(&anchor.subject)).collect();
        Self { set, authentication, hints, algorithms: supported_algorithms() }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.authentication == ClientAuthentication::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).map(borrowed).collect();
        match self.set.verify(&chain, now.as_secs()) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(fault) => Err(Error::InvalidCertificate(alert(&fault))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn borrowed<'a>(certificate: &'a CertificateDer<'_>) -> CertificateDer<'a> {
    CertificateDer::from(certificate.as_ref())
}

/// The error that gives the client the fitting TLS alert (RFC 8446 §6.2).
fn alert(fault: &CertificateFault) -> CertificateError {
    match fault {
        CertificateFault::Expired => CertificateError::Expired,
        CertificateFault::NotYetValid => CertificateError::NotValidYet,
        CertificateFault::Revoked => CertificateError::Revoked,
        CertificateFault::StatusUnknown | CertificateFault::ListExpired => CertificateError::UnknownRevocationStatus,
        CertificateFault::Malformed
        | CertificateFault::Untrusted(webpki::Error::BadDer | webpki::Error::MalformedExtensions) => {
            CertificateError::BadEncoding
        }
        CertificateFault::Untrusted(webpki::Error::InvalidSignatureForPublicKey) => CertificateError::BadSignature,
        CertificateFault::KeyUsage | CertificateFault::Untrusted(webpki::Error::RequiredEkuNotFoundContext(_)) => {
            CertificateError::InvalidPurpose
        }
        CertificateFault::Untrusted(webpki::Error::UnknownIssuer) => CertificateError::UnknownIssuer,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}
