//! A small certificate authority for teams that have none: one P-256 key in a directory, encrypted; certificates for
//! agents (SPIFFE ids of one trust domain) and, where it was made for them, for servers; a log of what was issued; CRLs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::bounds::CLAIM_BYTES_MAX;
use policy_release::key_file::{self, EncryptionSeed};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use stores::http::Place;
use zeroize::Zeroizing;

use crate::bounds::{BACKDATED_S, FILE_BYTES_MAX, LIFE_CA_S_MAX, LIFE_S_MIN, SERIAL_BYTES, SERVER_NAMES_MAX};
use crate::fault::Fault;
use crate::files::{self, Access};
use crate::spiffe::TrustDomain;
use crate::x509::{self, Facts};

pub mod crl;
pub mod issue;
pub mod log;
pub mod token;

const FORMAT: &str = "adamant.ca.v1";

/// What a CA may issue; the file `ca.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    format: String,
    trust_domain: TrustDomain,
    /// DNS names (and what is below them) and addresses of servers; none: it is for agents alone.
    servers: Vec<String>,
    /// `iss` of the tokens that it issues with certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
}

/// What a new CA shall be.
pub struct Wish<'a> {
    pub directory: &'a Path,
    pub trust_domain: TrustDomain,
    pub servers: &'a [String],
    /// `iss` of tokens; none: it issues no tokens.
    pub issuer: Option<&'a str>,
    pub life_s: u64,
    /// The key stays in the clear without one.
    pub passphrase: Option<&'a [u8]>,
}

/// A CA that can be looked at.
pub struct Shown {
    pub trust_domain: TrustDomain,
    pub servers: Vec<String>,
    pub issuer: Option<String>,
    pub facts: Facts,
    pub encrypted: bool,
}

/// A CA that can sign.
pub struct Authority {
    directory: PathBuf,
    settings: Settings,
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
    der: CertificateDer<'static>,
    not_after_s: u64,
}

/// Places in a CA's directory.
pub mod place {
    pub const CERTIFICATE: &str = "ca.pem";
    pub const KEY: &str = "ca.key";
    pub const TOKEN_KEY: &str = "token.key";
    pub const JWKS: &str = "jwks.json";
    pub const SETTINGS: &str = "ca.json";
    pub const ISSUED: &str = "issued.jsonl";
    pub const REVOKED: &str = "revoked.jsonl";
    pub const CRL: &str = "ca.crl";
    pub const LOCK: &str = "lock";
    /// All that the CA writes itself.
    pub const OWN: [&str; 9] = [CERTIFICATE, KEY, TOKEN_KEY, JWKS, SETTINGS, ISSUED, REVOKED, CRL, LOCK];
}

/// Makes a CA in a new directory.
pub fn init(wish: &Wish<'_>, now_s: u64) -> Result<Shown, Fault> {
    let directory = wish.directory;
    if directory.join(place::CERTIFICATE).exists() || directory.join(place::KEY).exists() {
        let help = "choose another directory; to look at this CA: adamant ca show DIR";
        return Err(Fault::at(directory, "there is a CA already").help(help));
    }
    check_life(wish.life_s, LIFE_CA_S_MAX)?;
    wish.issuer.map_or(Ok(()), check_issuer)?;
    let constraints = constraints(wish.servers)?;
    files::private_directory(directory)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let pkcs8 = Zeroizing::new(key.serialize_der());
    let mut params = CertificateParams::default();
    let at = |s: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(s);
    params.not_before = at(now_s.saturating_sub(BACKDATED_S));
    params.not_after = at(now_s + wish.life_s);
    params.serial_number = Some(serial()?);
    params.distinguished_name = named(&format!("{} agents CA", wish.trust_domain));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(constraints);
    let certificate = params.self_signed(&key).map_err(failed)?;
    let (servers, issuer) = (wish.servers.to_vec(), wish.issuer.map(str::to_owned));
    let settings = Settings { format: FORMAT.into(), trust_domain: wish.trust_domain.clone(), servers, issuer };
    let key_text = sealed(&pkcs8, wish.passphrase)?;
    let json = serde_json::to_string_pretty(&settings).map_err(failed)?;
    files::write(&directory.join(place::SETTINGS), format!("{json}\n").as_bytes(), Access::Everyone)?;
    files::write(&directory.join(place::KEY), key_text.as_bytes(), Access::OwnerOnly)?;
    if wish.issuer.is_some() {
        let (pkcs8, jwks) = token::make()?;
        let key_text = sealed(&pkcs8, wish.passphrase)?;
        files::write(&directory.join(place::TOKEN_KEY), key_text.as_bytes(), Access::OwnerOnly)?;
        files::write(&directory.join(place::JWKS), jwks.as_bytes(), Access::Everyone)?;
    }
    // Last: a directory with it holds a whole CA.
    files::write(&directory.join(place::CERTIFICATE), certificate.pem().as_bytes(), Access::Everyone)?;
    show(directory)
}

/// As policies write it, and tokens have it in `iss`: a URL (RFC 8414 §2).
fn check_issuer(url: &str) -> Result<(), Fault> {
    let place = Place::parse(url).map_err(|fault| Fault::new(format_args!("--issuer: {fault}")))?;
    if url.len() <= CLAIM_BYTES_MAX && !place.target().contains('?') {
        return Ok(());
    }
    Err(Fault::new(format_args!("--issuer: expected a URL of at most {CLAIM_BYTES_MAX} bytes without a query")))
}

/// A key as it goes into its file.
fn sealed(pkcs8: &[u8], passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, Fault> {
    let text = match passphrase {
        Some(passphrase) => {
            let seed = EncryptionSeed { salt: files::random()?, iv: files::random()? };
            key_file::encrypted_pem(pkcs8, passphrase, seed)
        }
        None => key_file::plain_pem(pkcs8),
    };
    text.map(Zeroizing::new).map_err(failed)
}

/// What a CA may sign for, so that not even its stolen key can vouch for another server (RFC 5280 §4.2.1.10). URIs cannot be
/// constrained: verifiers (webpki) refuse every URI under such a constraint.
fn constraints(servers: &[String]) -> Result<NameConstraints, Fault> {
    if servers.len() > SERVER_NAMES_MAX {
        return Err(Fault::new(format_args!("expected at most {SERVER_NAMES_MAX} names, found {}", servers.len())));
    }
    let mut permitted = Vec::new();
    for name in servers {
        permitted.push(match server_name(name)? {
            ServerName::Address(address) => {
                let whole = if address.is_ipv4() { 32 } else { 128 };
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, whole))
            }
            ServerName::Dns(name) => GeneralSubtree::DnsName(name),
        });
    }
    let mut excluded = Vec::new();
    if !permitted.iter().any(|of| matches!(of, GeneralSubtree::DnsName(_))) {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !permitted.iter().any(|of| matches!(of, GeneralSubtree::IpAddress(_))) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
    }
    Ok(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded })
}

enum ServerName {
    Dns(String),
    Address(IpAddr),
}

fn server_name(name: &str) -> Result<ServerName, Fault> {
    if let Ok(address) = name.parse() {
        return Ok(ServerName::Address(address));
    }
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(ServerName::Dns(name.to_owned()));
    }
    let found: String = name.chars().take(80).collect();
    Err(Fault::new(format_args!("expected a DNS name in lower case or an IP address, found {found:?}")))
}

/// What a CA's directory says, without its key.
pub fn show(directory: &Path) -> Result<Shown, Fault> {
    let Settings { trust_domain, servers, issuer, .. } = settings(directory)?;
    let path = directory.join(place::CERTIFICATE);
    let certificates = x509::certificates(&files::read(&path, FILE_BYTES_MAX)?).map_err(|why| Fault::at(&path, why))?;
    let first = certificates.first().ok_or_else(|| Fault::at(&path, "no certificate"))?;
    let facts = x509::facts(first).map_err(|why| Fault::at(&path, why))?;
    let encrypted = is_encrypted(directory)?;
    Ok(Shown { trust_domain, servers, issuer, facts, encrypted })
}

fn settings(directory: &Path) -> Result<Settings, Fault> {
    let path = directory.join(place::SETTINGS);
    if !files::is_there(&path)? {
        let message = "expected the directory of a CA, found no ca.json in it";
        return Err(Fault::at(directory, message).help(
            "is it the right directory, and is it mounted? Where there is no CA yet: adamant ca init DIR --trust-domain corp.example",
        ));
    }
    let settings: Settings = serde_json::from_slice(&files::read(&path, FILE_BYTES_MAX)?)
        .map_err(|error| Fault::at(&path, format_args!("expected the settings of a CA, found {error}")))?;
    if settings.format == FORMAT {
        return Ok(settings);
    }
    Err(Fault::at(&path, format_args!("expected format {FORMAT:?}, found {:?}", settings.format)))
}

/// Whether a passphrase is needed to sign.
pub fn is_encrypted(directory: &Path) -> Result<bool, Fault> {
    settings(directory)?;
    Ok(key_file::is_encrypted(&files::read_secret(&directory.join(place::KEY), FILE_BYTES_MAX)?))
}

impl Authority {
    /// Opens a CA to sign with.
    pub fn open(directory: &Path, passphrase: Option<&[u8]>) -> Result<Self, Fault> {
        let settings = settings(directory)?;
        let (key_path, path) = (directory.join(place::KEY), directory.join(place::CERTIFICATE));
        let text = files::read_secret(&key_path, FILE_BYTES_MAX)?;
        let pkcs8 = key_file::pkcs8_in(&text, passphrase).map_err(|fault| Fault::at(&key_path, fault))?;
        // With a wrong passphrase one padding in 256 looks right.
        let no_key = |_| Fault::at(&key_path, "the passphrase does not open this key, or the file was changed");
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_slice().into(), &PKCS_ECDSA_P256_SHA256);
        let key = key.map_err(no_key)?;
        let pem = files::read_text(&path, FILE_BYTES_MAX)?;
        let der = x509::certificates(pem.as_bytes()).map_err(|why| Fault::at(&path, why))?;
        let der = der.into_iter().next().ok_or_else(|| Fault::at(&path, "no certificate"))?;
        let facts = x509::facts(&der).map_err(|why| Fault::at(&path, why))?;
        let own =
            x509::hex(&<sha2::Sha256 as sha2::Digest>::digest(rcgen::PublicKeyData::subject_public_key_info(&key)));
        if facts.spki_sha256 != own {
            return Err(Fault::at(&path, "expected the certificate of ca.key, found that of another key"));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(failed)?;
        let directory = directory.to_owned();
        Ok(Self { directory, settings, issuer, pem, der, not_after_s: facts.not_after_s })
    }

    /// Its own certificate.
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // RFC 5280, upper bound of a common name.
    name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    name
}

/// A random serial number: positive, and of full length.
fn serial() -> Result<SerialNumber, Fault> {
    let mut bytes = files::random::<SERIAL_BYTES>()?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn check_life(life_s: u64, max_s: u64) -> Result<(), Fault> {
    if (LIFE_S_MIN..=max_s).contains(&life_s) {
        return Ok(());
    }
    let (min, max, found) =
        (crate::clock::length(LIFE_S_MIN), crate::clock::length(max_s), crate::clock::length(life_s));
    Err(Fault::new(format_args!("expected a life of {min} to {max}, found {found}"))
        .help("short lives that renew themselves are the point: see adamant agent run"))
}

fn failed(error: impl std::fmt::Display) -> Fault {
    Fault::new(format_args!("the certificate library failed: {error}"))
}

#[cfg(test)]
mod tests;
