//! A throw-away CA and what it issues.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams,
    SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

const HOUR: Duration = Duration::from_secs(3_600);

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A certificate with its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

fn of_ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::of(of_ca(name))
    }

    fn of(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One whose own certificate began so long ago and ends so long from now.
    pub fn between(name: &str, ago: Duration, from_now: Duration) -> Self {
        let (mut params, epoch) = (of_ca(name), rcgen::date_time_ymd(1970, 1, 1));
        (params.not_before, params.not_after) = (epoch + (now() - ago), epoch + now() + from_now);
        Self::of(params)
    }

    /// A CA below this one. What it issues is sent with `pem` behind it.
    pub fn intermediate(&self, name: &str) -> Self {
        let params = of_ca(name);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server certificate for DNS names and IP addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A client certificate with this SPIFFE id as its URI name.
    pub fn spiffe(&self, uri: &str) -> Identity {
        self.client(vec![SanType::URI(uri.try_into().unwrap())])
    }

    /// A client certificate with these names.
    pub fn client(&self, names: Vec<SanType>) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A client certificate that is no longer valid.
    pub fn expired_spiffe(&self, uri: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.issue(params)
    }

    /// A client certificate that began an hour ago and is valid for so long from now, to the second.
    pub fn spiffe_for(&self, uri: &str, from_now: Duration) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue_between(params, HOUR, from_now)
    }

    /// A server certificate that began so long ago and ends so long from now.
    pub fn server_between(&self, name: &str, ago: Duration, from_now: Duration) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue_between(params, ago, from_now)
    }

    fn issue_between(&self, mut params: CertificateParams, ago: Duration, from_now: Duration) -> Identity {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        (params.not_before, params.not_after) = (epoch + (now() - ago), epoch + now() + from_now);
        self.issue(params)
    }

    /// Its revocation list with that number, issued less than an hour ago, next due so long from now; PEM. A larger number is issued
    /// later, whenever it is made: of up to 3,000 in one test.
    pub fn crl(&self, number: u64, revoked: &[&Identity], next: Duration) -> String {
        static BEGUN: OnceLock<Duration> = OnceLock::new();
        let issued = *BEGUN.get_or_init(now) - HOUR + Duration::from_secs(number.min(3_000));
        self.crl_of(number, revoked, issued, next)
    }

    /// The same, issued so long ago.
    pub fn crl_since(&self, number: u64, revoked: &[&Identity], ago: Duration, next: Duration) -> String {
        self.crl_of(number, revoked, now() - ago, next)
    }

    /// The same, issued so far ahead.
    pub fn crl_ahead(&self, number: u64, revoked: &[&Identity], ahead: Duration, next: Duration) -> String {
        self.crl_of(number, revoked, now() + ahead, next)
    }

    fn crl_of(&self, number: u64, revoked: &[&Identity], issued: Duration, next: Duration) -> String {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let issued = epoch + issued;
        let entry = |identity: &&Identity| RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial()),
            revocation_time: issued,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: issued,
            next_update: epoch + now() + next,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn issue(&self, mut params: CertificateParams) -> Identity {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client's TLS configuration that trusts this CA, with a certificate of its own or none.
    pub fn client_config(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        self.client_config_of(identity, rustls::DEFAULT_VERSIONS)
    }

    /// As [`Authority::client_config`], of these versions of TLS.
    pub fn client_config_of(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        trusting(&self.pem, identity, versions)
    }

    /// A certificate for a request, as changed.
    pub fn sign(&self, csr: &str, change: impl FnOnce(&mut CertificateSigningRequestParams)) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        change(&mut request);
        request.signed_by(&self.issuer).unwrap().pem()
    }
}

/// A revocation list in DER.
pub fn crl_der(list: &str) -> Vec<u8> {
    CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap().to_vec()
}

/// Whether a gateway keeps `list` (PEM, one) in its state directory for the next start.
pub fn is_kept(state: &Path, list: &str) -> bool {
    let der = crl_der(list);
    let has = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let mut files = kept_files(state).into_iter().map(|path| fs::read(path).unwrap_or_default());
    files.any(|bytes| has(&bytes, &der) || has(&bytes, list.as_bytes()))
}

/// The files in which it keeps lists: those that are whole.
pub fn kept_files(state: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(state.join("moving")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_whole = |path: &PathBuf| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
    files.filter(|path| is_whole(path) && path.to_string_lossy().contains("crl")).collect()
}

/// A client's TLS configuration that trusts the CA `pem`.
pub fn trusting(
    pem: &str,
    identity: Option<&Identity>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.private_key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

impl Identity {
    /// A TLS configuration that serves with this certificate and asks for none.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain(), self.private_key())
            .unwrap();
        Arc::new(config)
    }

    /// As [`Identity::server_config`], and demands a client certificate under `clients`.
    pub fn server_config_for(&self, clients: &Authority) -> Arc<ServerConfig> {
        self.server_config_for_clients_of(&clients.pem)
    }

    /// The same, of the CA in this PEM.
    pub fn server_config_for_clients_of(&self, ca: &str) -> Arc<ServerConfig> {
        Arc::new(demanding(ca).with_single_cert(self.chain(), self.private_key()).unwrap())
    }

    /// The certificate alone, DER.
    pub fn der(&self) -> Vec<u8> {
        self.chain()[0].to_vec()
    }

    /// SHA-256 over the certificate's SubjectPublicKeyInfo, lower-case hex.
    pub fn spki_sha256(&self) -> String {
        let key = KeyPair::from_pem(&self.key).unwrap();
        crate::apikey::hex(&Sha256::digest(key.subject_public_key_info()))
    }

    /// The content octets of its serial number: the first integer of what is signed, behind the version.
    /// SHA-256 over the certificate, lower-case hex.
    pub fn sha256(&self) -> String {
        crate::apikey::hex(&Sha256::digest(&self.chain()[0]))
    }

    fn serial(&self) -> Vec<u8> {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let (_, certificate) = element(&der);
        let (_, signed) = element(certificate);
        let (rest, _version) = element(signed);
        element(rest).1.to_vec()
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect()
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// A server whose certificate is replaced while it serves.
#[derive(Debug)]
pub struct MovingServer {
    shows: Mutex<Arc<CertifiedKey>>,
    shown: AtomicUsize,
}

impl MovingServer {
    pub fn new(first: &Identity) -> Self {
        Self { shows: Mutex::new(certified(first)), shown: AtomicUsize::new(0) }
    }

    /// The next connections see this one.
    pub fn moves_to(&self, next: &Identity) {
        *self.shows.lock().unwrap() = certified(next);
    }

    /// How many connections have seen one.
    pub fn shown(&self) -> usize {
        self.shown.load(Ordering::SeqCst)
    }

    /// Demands a client certificate under `clients`.
    pub fn config_for(self: &Arc<Self>, clients: &Authority) -> Arc<ServerConfig> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        Arc::new(demanding(&clients.pem).with_cert_resolver(resolver))
    }
}

impl ResolvesServerCert for MovingServer {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shown.fetch_add(1, Ordering::SeqCst);
        Some(Arc::clone(&self.shows.lock().unwrap()))
    }
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(CertifiedKey::from_der(identity.chain(), identity.private_key(), &provider).unwrap())
}

fn demanding(ca: &str) -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_client_cert_verifier(verifier.build().unwrap())
}

/// What follows the first DER element, and its content.
pub(crate) fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (begin, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            let length = der[2..2 + octets].iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
            (2 + octets, length)
        }
    };
    (&der[begin + length..], &der[begin..begin + length])
}

fn now() -> Duration {
    Duration::from_secs(crate::tokens::now_s())
}

#[cfg(test)]
mod tests {
    use super::Authority;
    use crate::answer::Answer;
    use crate::client::{Client, get};
    use crate::origin::RecordingOrigin;

    #[test]
    fn an_origin_over_tls_is_reached_under_its_name_alone() {
        let authority = Authority::new("test CA");
        let server = authority.server(&["origin.test"]);
        let origin = RecordingOrigin::tls(server.server_config(), |_, _| Answer::text("over TLS"));
        let config = authority.client_config(None);
        let mut client = Client::connect_tls(origin.address(), "origin.test", &config).unwrap();
        assert_eq!(client.exchange(get("/", "")).text(), "over TLS");
        assert!(Client::connect_tls(origin.address(), "other.test", &config).is_err());
    }
}
