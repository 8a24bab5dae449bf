//! TLS of listeners: certificates chosen by the name the client asks for, client certificates under the policy's CAs,
//! stateless tickets (no session store that cores would share).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use activation::activation::ListenerTls;
use identity::certificate::{CaSet, CertificateFault, ClientAuthentication, ClientVerifier, ServerNames};
use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::files::{self, FileError};
use super::{ChainFiles, ClientCertificates, ListenerFiles, MinimumVersion, hex};
use crate::at_rest::AtRestFault;
use crate::bounds::PEM_BYTES_MAX;
use crate::status::CertificateStatus;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    AtRest(#[from] AtRestFault),
    #[error("{}: expected a certificate chain in PEM, the server's own first, found {found}", .path.display())]
    Chain { path: PathBuf, found: String },
    #[error("{}: expected one private key in PEM (PKCS #8, PKCS #1 or SEC1, not encrypted), found {found}", .path.display())]
    Key { path: PathBuf, found: String },
    #[error(
        "{} and {} do not belong together{}; name the key that the first certificate of the chain was made for",
        .chain.display(), .key.display(), because(.why)
    )]
    Mismatch { chain: PathBuf, key: PathBuf, why: rustls::Error },
    #[error("{}: {fault}", .path.display())]
    Names { path: PathBuf, fault: CertificateFault },
    #[error("{}: the certificate has no DNS name or address in subjectAltName: clients would refuse it (RFC 9525)", .0.display())]
    Nameless(PathBuf),
    #[error(
        "listener {listener} requires client certificates, but the policy names no client CA: nobody could connect; add a \
         [[client_ca]] to the policy, or set client_certificates to \"off\""
    )]
    NoClientCa { listener: usize },
    #[error("TLS could not be set up: {0}")]
    Setup(rustls::Error),
    #[error("its first certificate has not come yet")]
    Awaited,
}

impl TlsError {
    /// As [`FileError::is_unread`].
    pub fn is_unread(&self) -> bool {
        match self {
            Self::File(error) => error.is_unread(),
            Self::AtRest(error) => error.is_unread(),
            _ => false,
        }
    }
}

/// What there is to say beside that they do not.
fn because(why: &rustls::Error) -> String {
    if matches!(why, rustls::Error::InconsistentKeys(_)) { String::new() } else { format!(": {why}") }
}

/// A chain with its key, read and checked against each other.
#[derive(Clone)]
pub struct Loaded {
    key: Arc<CertifiedKey>,
    names: ServerNames,
    /// Path of the chain.
    pub chain: String,
    /// Over chain and key.
    pub content: [u8; 32],
    pub status: CertificateStatus,
}

/// Reads all certificates of a listener with their keys, but those that are awaited.
pub fn load_all(files: &ListenerFiles) -> Result<Vec<Loaded>, TlsError> {
    files.certificates.iter().filter(|of| !files.awaits(of)).map(load).collect()
}

pub fn load(of: &ChainFiles) -> Result<Loaded, TlsError> {
    let (chain, key) = load_identity(of)?;
    let mut hash = Sha256::new();
    chain.iter().for_each(|certificate| hash.update(certificate));
    hash.update(key.secret_der());
    let leaf = chain.first().ok_or_else(|| chain_error(of, "no certificate".to_owned()))?;
    let names = ServerNames::from_der(leaf).map_err(|fault| TlsError::Names { path: of.chain.clone(), fault })?;
    if names == ServerNames::default() {
        return Err(TlsError::Nameless(of.chain.clone()));
    }
    let (not_before_unix_s, not_after_unix_s) =
        life_of(leaf).ok_or_else(|| chain_error(of, "no X.509 certificate".to_owned()))?;
    let status = CertificateStatus {
        sha256: hex(&Sha256::digest(leaf)),
        not_before_unix_s,
        not_after_unix_s,
        names: shown_names(&names),
        ..CertificateStatus::default()
    };
    let mismatch = |why| TlsError::Mismatch { chain: of.chain.clone(), key: of.key.clone(), why };
    let certified = certified(chain, &key).map_err(mismatch)?;
    let (chain, content) = (of.chain.display().to_string(), hash.finalize().into());
    Ok(Loaded { key: Arc::new(certified), names, chain, content, status })
}

/// When each certificate of a PEM text ends, Unix seconds; those that cannot be read are left out.
pub fn ends_unix_s(pem: &[u8]) -> Vec<u64> {
    CertificateDer::pem_slice_iter(pem).filter_map(|certificate| Some(life_of(&certificate.ok()?)?.1)).collect()
}

/// Reads a chain and its key without checking them against each other.
pub fn load_identity(
    of: &ChainFiles,
) -> Result<(Vec<CertificateDer<'static>>, Zeroizing<PrivateKeyDer<'static>>), TlsError> {
    let pem = match &of.kept {
        Some(at_rest) => at_rest.read(&of.chain, PEM_BYTES_MAX)?,
        None => Zeroizing::new(files::read(&of.chain, PEM_BYTES_MAX)?),
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| chain_error(of, error.to_string()))?;
    if chain.is_empty() {
        return Err(chain_error(of, "no CERTIFICATE section".to_owned()));
    }
    let pem = match &of.kept {
        Some(at_rest) => at_rest.read(&of.key, PEM_BYTES_MAX)?,
        None => files::read_private(&of.key, PEM_BYTES_MAX)?,
    };
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| match error {
            pem::Error::NoItemsFound => "none".to_owned(),
            other => other.to_string(),
        })
        .map_err(|found| TlsError::Key { path: of.key.clone(), found })?;
    Ok((chain, Zeroizing::new(key)))
}

/// A chain with its key, which belong together. As [`CertifiedKey::from_der`], which would leave a copy of the key behind.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    let certified = CertifiedKey::new(chain, any_supported_type(key)?);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(error),
    }
}

fn chain_error(of: &ChainFiles, found: String) -> TlsError {
    TlsError::Chain { path: of.chain.clone(), found }
}

/// Life of the first certificate of a chain, seconds since the Unix epoch; none where it cannot be read.
pub fn life_s(of: &ChainFiles) -> Option<(u64, u64)> {
    let pem = files::read(&of.chain, PEM_BYTES_MAX).ok()?;
    life_of(&CertificateDer::pem_slice_iter(&pem).next()?.ok()?)
}

/// As [`life_s`], of a certificate.
pub(super) fn life_of(leaf: &CertificateDer<'_>) -> Option<(u64, u64)> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let validity = certificate.validity();
    Some((
        u64::try_from(validity.not_before.timestamp()).unwrap_or(0),
        u64::try_from(validity.not_after.timestamp()).ok()?,
    ))
}

fn shown_names(names: &ServerNames) -> Vec<String> {
    let wildcards = names.wildcard_suffixes().map(|suffix| format!("*.{suffix}"));
    names.exact().map(str::to_owned).chain(wildcards).collect()
}

/// What outlives a reload of certificates: ticket keys, others for each thing that listeners ask of clients. A session that is
/// resumed is not asked again, so one that began where less was asked must not be one where more is.
#[derive(Clone)]
pub struct Tickets {
    off: Arc<dyn ProducesTickets>,
    optional: Arc<dyn ProducesTickets>,
    required: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// New ticket keys: sessions from before are not resumed. To be made anew whenever client trust changes.
    pub fn new() -> Result<Self, TlsError> {
        let keys = || Ticketer::new().map_err(TlsError::Setup);
        Ok(Self { off: keys()?, optional: keys()?, required: keys()? })
    }

    fn of(&self, asked: ClientCertificates) -> &Arc<dyn ProducesTickets> {
        match asked {
            ClientCertificates::Off => &self.off,
            ClientCertificates::Optional => &self.optional,
            ClientCertificates::Required => &self.required,
        }
    }
}

/// Builds the TLS of listener number `listener` from its loaded certificates.
pub fn listener_tls(
    listener: usize,
    files: &ListenerFiles,
    loaded: &[Loaded],
    client_cas: &Arc<CaSet>,
    tickets: &Tickets,
) -> Result<ListenerTls, TlsError> {
    let versions: &[_] = match files.min_version {
        MinimumVersion::Tls12 => &[&TLS13, &TLS12],
        MinimumVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).map_err(TlsError::Setup)?;
    let builder = match client_verifier(listener, files.client_certificates, client_cas)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let names = loaded.iter().map(|of| of.names.clone()).collect();
    let resolver = ByName { certificates: loaded.iter().map(|of| (of.names.clone(), Arc::clone(&of.key))).collect() };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(tickets.of(files.client_certificates));
    // One ticket a connection: agents keep connections, and each ticket stays in memory.
    config.send_tls13_tickets = 1;
    Ok(ListenerTls { config: Arc::new(config), names })
}

fn client_verifier(
    listener: usize,
    asked: ClientCertificates,
    client_cas: &Arc<CaSet>,
) -> Result<Option<Arc<ClientVerifier>>, TlsError> {
    let authentication = match asked {
        ClientCertificates::Off => return Ok(None),
        // A request for certificates that nothing could accept would only break clients that have one.
        ClientCertificates::Optional if client_cas.cas().is_empty() => return Ok(None),
        ClientCertificates::Optional => ClientAuthentication::Optional,
        ClientCertificates::Required if client_cas.cas().is_empty() => return Err(TlsError::NoClientCa { listener }),
        ClientCertificates::Required => ClientAuthentication::Required,
    };
    Ok(Some(Arc::new(ClientVerifier::new(Arc::clone(client_cas), authentication))))
}

/// Chooses by the server name that the client asks for: exact names before wildcards, what the client can verify before
/// what it cannot; the first certificate for everyone else.
struct ByName {
    certificates: Vec<(ServerNames, Arc<CertifiedKey>)>,
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.certificates.iter().map(|(names, _)| names)).finish()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let fits = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let covered = name.as_deref().and_then(|name| {
            let exact = self.certificates.iter().filter(|(names, _)| names.covers_exactly(name));
            let by_wildcard = self.certificates.iter().filter(|(names, _)| names.covers(name.as_bytes()));
            exact.chain(by_wildcard).find(|(_, key)| fits(key))
        });
        let otherwise = || self.certificates.iter().find(|(_, key)| fits(key)).or(self.certificates.first());
        covered.or_else(otherwise).map(|(_, key)| Arc::clone(key))
    }
}

/// The provider of all TLS in the process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

#[cfg(test)]
mod tests;
