//! Client certificates: verified under each named CA alone, and the names in them that can name an agent.
//!
//! The handshake accepts a chain that verifies under any client CA ([`ClientVerifier`]); which CAs those are is found
//! afterwards ([`Chains::cas_of`]), on a resumed session too, because resumption skips the handshake's check.

mod chains;
mod facts;
mod listed;
mod revocation;
mod server_names;
mod twin;
mod verifier;

use std::cell::Cell;
use std::sync::Arc;

use listed::Marks;
use policy::reason::Reason;
use revocation::{Lookup, Revocation, algorithms, has_signed};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

pub use chains::{CaSet, Chains, Verdict};
pub use facts::Facts;
pub use listed::Listed;
pub use revocation::{Before, Kept, ListFacts, RevocationError, RevocationLists};
pub use server_names::ServerNames;
pub use verifier::{ClientAuthentication, ClientVerifier};

use crate::bounds::{
    CERTIFICATE_NAMES_MAX, CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, CLIENT_CA_ANCHORS_MAX, CLIENT_CA_BYTES_MAX,
    CLIENT_CAS_MAX, SERVER_NAMES_MAX,
};

/// Why a chain or certificate was refused: the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    #[error("expected a chain of 1 to {CHAIN_CERTIFICATES_MAX} certificates, found {0}")]
    ChainLength(usize),
    #[error("expected a chain of at most {CHAIN_BYTES_MAX} bytes, found {0}")]
    ChainTooLong(usize),
    #[error("expected a certificate in DER (RFC 5280 §4.1), found other bytes")]
    Malformed,
    #[error("expected at most {CERTIFICATE_NAMES_MAX} names that can name an agent, found {0}")]
    TooManyNames(usize),
    #[error("expected at most {SERVER_NAMES_MAX} names in a server certificate, found {0}")]
    TooManyServerNames(usize),
    #[error("a certificate of the chain has expired")]
    Expired,
    #[error("a certificate of the chain is not valid yet")]
    NotYetValid,
    #[error("a certificate of the chain is revoked")]
    Revoked,
    #[error("whether a certificate of the chain is revoked is not known: no revocation list of its issuer")]
    StatusUnknown,
    #[error(
        "whether a certificate of the chain is revoked is not known any more: its issuer's revocation list has expired"
    )]
    ListExpired,
    #[error("expected a key usage with digitalSignature or none (RFC 8446 §4.4.2.3), found another")]
    KeyUsage,
    #[error("the chain does not verify under this CA: {0:?}")]
    Untrusted(webpki::Error),
}

impl CertificateFault {
    /// Revocation lists say so, or do not say that it is good.
    pub const fn is_of_revocation(&self) -> bool {
        matches!(self, Self::Revoked | Self::StatusUnknown | Self::ListExpired)
    }

    /// Of several by which lists refuse, the one that is told.
    const fn gravity(&self) -> u8 {
        match self {
            Self::Revoked => 2,
            Self::ListExpired => 1,
            _ => 0,
        }
    }

    /// The search was given up, because of how much the client showed: that may hide what there is to find.
    const fn is_given_up(&self) -> bool {
        matches!(self, Self::Untrusted(error) if is_given_up(error))
    }

    /// The reason for the record.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Expired => Reason::CertificateExpired,
            Self::Revoked => Reason::CredentialRevoked,
            _ => Reason::CertificateInvalid,
        }
    }
}

impl From<webpki::Error> for CertificateFault {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::CertExpired { .. } => Self::Expired,
            webpki::Error::CertNotValidYet { .. } => Self::NotYetValid,
            webpki::Error::CertRevoked => Self::Revoked,
            webpki::Error::UnknownRevocationStatus => Self::StatusUnknown,
            webpki::Error::CrlExpired { .. } => Self::ListExpired,
            other => Self::Untrusted(other),
        }
    }
}

const fn is_given_up(error: &webpki::Error) -> bool {
    matches!(
        error,
        webpki::Error::MaximumSignatureChecksExceeded
            | webpki::Error::MaximumPathBuildCallsExceeded
            | webpki::Error::MaximumNameConstraintComparisonsExceeded
    )
}

/// Why the text of a client CA is not usable: the fault of who wrote the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCaError {
    #[error("client CA {name:?}: expected PEM of at most {CLIENT_CA_BYTES_MAX} bytes, found {bytes}")]
    TooLong { name: String, bytes: usize },
    #[error("client CA {name:?}: expected PEM certificates alone (RFC 7468 §5), found another form")]
    Pem { name: String },
    #[error("client CA {name:?}: expected 1 to {CLIENT_CA_ANCHORS_MAX} certificates, found {found}")]
    Count { name: String, found: usize },
    #[error("client CA {name:?}: expected certificate {position} to be a CA's in DER, found another: {why}")]
    Certificate { name: String, position: usize, why: &'static str },
    #[error("expected at most {CLIENT_CAS_MAX} client CAs, found {0}")]
    TooMany(usize),
}

/// A named CA: one or more trust anchors.
#[derive(Clone)]
pub struct ClientCa {
    name: String,
    anchors: Arc<[Anchor]>,
    /// The same anchors as rustls-webpki takes them.
    trust: Arc<[TrustAnchor<'static>]>,
    revocation: Revocation,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    digest: [u8; 32],
}

/// A certificate of a client CA.
struct Anchor {
    trust: TrustAnchor<'static>,
    /// Its life, seconds since the Unix epoch, both ends included: a trust anchor in the sense of RFC 5280 §6.1.1 has
    /// none, but an expired CA certificate in a policy is not meant to be trusted.
    from_s: i64,
    until_s: i64,
    /// Its SubjectPublicKeyInfo, DER.
    spki: Vec<u8>,
    der: CertificateDer<'static>,
    /// By its own key, as roots are.
    is_self_signed: bool,
    /// What lists of certificates may name it by: nobody has to show it.
    marks: Marks,
    /// Content of the INTEGER.
    serial: Vec<u8>,
    /// Whether its key usage admits signing revocation lists.
    signs_lists: bool,
    /// Its subject, for people.
    shown: String,
}

impl Anchor {
    fn read(certificate: &CertificateDer<'_>) -> Result<Self, &'static str> {
        let anchor = anchor_from_trusted_cert(certificate).map_err(|_| "it is not a certificate")?;
        let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| "it is not a certificate")?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate");
        }
        let constraints = parsed.basic_constraints().map_err(|_| "its extensions cannot be read")?;
        // Version 1 roots have no extensions; whoever pins one means it.
        if parsed.version.0 >= 2 && !constraints.is_some_and(|constraints| constraints.value.ca) {
            return Err("its basic constraints do not say that it is a CA");
        }
        let usage = parsed.key_usage().map_err(|_| "its extensions cannot be read")?;
        if usage.as_ref().is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err("its key usage does not admit signing certificates");
        }
        if parsed.extensions().iter().any(|extension| extension.critical && extension.parsed_extension().unsupported())
        {
            return Err("it has a critical extension that is not understood (RFC 5280 §4.2)");
        }
        let (validity, spki) = (parsed.validity(), parsed.public_key().raw);
        Ok(Self {
            trust: anchor.to_owned(),
            from_s: validity.not_before.timestamp(),
            until_s: validity.not_after.timestamp(),
            spki: spki.to_vec(),
            der: certificate.clone().into_owned(),
            is_self_signed: parsed.subject() == parsed.issuer() && signed_by(&parsed, spki) != Some(false),
            marks: Marks::of(certificate, &parsed),
            serial: parsed.raw_serial().to_vec(),
            // Where none is stated, every usage is meant (RFC 5280 §6.3.3 (f)).
            signs_lists: usage.is_none_or(|usage| usage.value.crl_sign()),
            shown: parsed.subject().to_string(),
        })
    }

    /// Whether the key with this SubjectPublicKeyInfo (DER) has signed it, where that can be told.
    fn signed_by(&self, spki: &[u8]) -> Option<bool> {
        X509Certificate::from_der(&self.der).map_or(Some(false), |(_, of)| signed_by(&of, spki))
    }

    /// The subject's name, as lists name their issuer: without its outermost tag and length.
    fn subject(&self) -> &[u8] {
        self.trust.subject.as_ref()
    }
}

/// Whether the key with this SubjectPublicKeyInfo (DER) has signed a certificate of a policy. None: nobody checks how that is signed, so
/// that it may be by what is not supported.
fn signed_by(of: &X509Certificate<'_>, spki: &[u8]) -> Option<bool> {
    let algorithm = &of.signature_algorithm;
    algorithms(algorithm).next()?;
    Some(has_signed(spki, algorithm, of.tbs_certificate.as_ref(), &of.signature_value.data))
}

/// Certificates of one subject are shown with the beginning of their SHA-256: as a CA changes there are two of a name.
fn tell_apart(anchors: &mut [Anchor]) {
    let shown: Vec<String> = anchors.iter().map(|anchor| anchor.shown.clone()).collect();
    for anchor in anchors {
        if shown.iter().filter(|other| **other == anchor.shown).count() > 1 {
            anchor.shown = format!("{} [{}]", anchor.shown, anchor.marks.short());
        }
    }
}

/// Which purpose a chain is verified for; the second exists for conformance vectors that know no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Client,
    #[cfg(test)]
    Server,
}

impl ClientCa {
    /// Reads the PEM text of a policy's `[[client_ca]]`.
    pub fn from_pem(name: &str, pem: &str) -> Result<Self, ClientCaError> {
        let name = name.to_owned();
        if pem.len() > CLIENT_CA_BYTES_MAX {
            return Err(ClientCaError::TooLong { name, bytes: pem.len() });
        }
        let Ok(certificates) = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() else {
            return Err(ClientCaError::Pem { name });
        };
        // The reader skips other sections; a private key in a policy is a mistake to be told.
        if pem.matches("-----BEGIN ").count() != certificates.len() {
            return Err(ClientCaError::Pem { name });
        }
        if certificates.is_empty() || certificates.len() > CLIENT_CA_ANCHORS_MAX {
            return Err(ClientCaError::Count { name, found: certificates.len() });
        }
        let algorithms = supported_algorithms().all;
        let mut anchors = Vec::new();
        let mut hash = Sha256::new();
        for (position, certificate) in certificates.iter().enumerate() {
            let why = |why| ClientCaError::Certificate { name: name.clone(), position, why };
            anchors.push(Anchor::read(certificate).map_err(why)?);
            hash.update(Sha256::digest(certificate));
        }
        tell_apart(&mut anchors);
        let trust = anchors.iter().map(|anchor| anchor.trust.clone()).collect();
        let (anchors, digest) = (anchors.into(), hash.finalize().into());
        Ok(Self { name, anchors, trust, revocation: Revocation::Unchecked, algorithms, digest })
    }

    /// The same CA, whose certificates are believed only as far as `lists` say; without them, not at all.
    #[must_use]
    pub fn with_revocation(&self, lists: Option<Arc<RevocationLists>>) -> Self {
        Self { revocation: lists.map_or(Revocation::Awaited, Revocation::Lists), ..self.clone() }
    }

    /// The revocation lists in force, if there are any.
    pub fn lists(&self) -> Option<&Arc<RevocationLists>> {
        match &self.revocation {
            Revocation::Lists(lists) => Some(lists),
            Revocation::Unchecked | Revocation::Awaited => None,
        }
    }

    /// The CA's certificates: subject for people, beginning and end, seconds since the Unix epoch.
    pub fn lives_s(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let seconds = |at_s: i64| u64::try_from(at_s).unwrap_or(0);
        self.anchors.iter().map(move |anchor| (anchor.shown.as_str(), seconds(anchor.from_s), seconds(anchor.until_s)))
    }

    /// Subject (as content of the SEQUENCE) and SubjectPublicKeyInfo (DER) of each of the CA's certificates.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.anchors.iter().map(|anchor| (anchor.subject(), anchor.spki.as_slice()))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Over the certificates, in order.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Verifies a chain, leaf first, for client authentication at `now_s` (seconds since the Unix epoch): signatures,
    /// validity, CA flags, path length, name constraints, extended key usage (RFC 5280 §6) and, where the policy says so,
    /// revocation lists (§6.3), by rustls-webpki.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now_s: u64) -> Result<(), CertificateFault> {
        self.verify_for(chain, now_s, Purpose::Client, std::slice::from_ref(self))
    }

    /// The same; `cas` are all that the policy has, this one among them.
    pub(crate) fn verify_for(
        &self,
        chain: &[CertificateDer<'_>],
        now_s: u64,
        purpose: Purpose,
        cas: &[Self],
    ) -> Result<(), CertificateFault> {
        check_bounds(chain)?;
        let Some((leaf_der, intermediates)) = chain.split_first() else {
            return Err(CertificateFault::ChainLength(0));
        };
        let leaf = EndEntityCert::try_from(leaf_der)?;
        let usage = match purpose {
            Purpose::Client => KeyUsage::client_auth(),
            #[cfg(test)]
            Purpose::Server => KeyUsage::server_auth(),
        };
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_s));
        let lookup = Lookup { leaf: &leaf, usage, now_s, cas };
        // Which of several faults rustls-webpki tells is for the client to choose, by what else it shows: what the lists refuse
        // is remembered.
        let refused = Cell::new(None);
        let admit = |path: &VerifiedPath<'_>| {
            let anchors = self.living_anchors(path.anchor(), now_s);
            if anchors.is_empty() {
                return Err(webpki::Error::UnknownIssuer);
            }
            lookup.admit(path, &anchors, self).map_err(|why| {
                let graver = refused.take().into_iter().chain([why]).max_by_key(CertificateFault::gravity);
                refused.set(graver);
                webpki::Error::CertRevoked
            })
        };
        match leaf.verify_for_usage(self.algorithms, &self.trust, intermediates, now, usage, None, Some(&admit)) {
            Ok(_) => check_key_usage(leaf_der),
            Err(error) => Err(refused.take().unwrap_or_else(|| error.into())),
        }
    }

    /// The CA's certificates that `used` stands for: they may differ in their lives, and in who issued them.
    fn living_anchors(&self, used: &TrustAnchor<'_>, now_s: u64) -> Vec<&Anchor> {
        let lives = |anchor: &&Anchor| {
            i64::try_from(now_s).is_ok_and(|now_s| (anchor.from_s..=anchor.until_s).contains(&now_s))
        };
        self.anchors.iter().filter(|anchor| &anchor.trust == used).filter(lives).collect()
    }
}

impl std::fmt::Debug for ClientCa {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClientCa").field("name", &self.name).field("anchors", &self.anchors.len()).finish()
    }
}

/// Signature algorithms for certificates and handshakes: those of rustls with aws-lc-rs (no SHA-1, RSA from 2,048 bits).
fn supported_algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
}

/// RFC 8446 §4.4.2.3 with §4.4.2.2: a key usage that is stated must admit signatures. rustls-webpki does not look.
fn check_key_usage(leaf: &CertificateDer<'_>) -> Result<(), CertificateFault> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateFault::Malformed)?;
    let usage = parsed.key_usage().map_err(|_| CertificateFault::Malformed)?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) { Err(CertificateFault::KeyUsage) } else { Ok(()) }
}

fn check_bounds(chain: &[CertificateDer<'_>]) -> Result<(), CertificateFault> {
    if chain.is_empty() || chain.len() > CHAIN_CERTIFICATES_MAX {
        return Err(CertificateFault::ChainLength(chain.len()));
    }
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    if bytes > CHAIN_BYTES_MAX {
        return Err(CertificateFault::ChainTooLong(bytes));
    }
    Ok(())
}

#[cfg(test)]
mod limbo;
#[cfg(test)]
mod tests;
