//! Credentials of one run: certificates, keys, tokens and an API key, made anew and kept in the run's folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::Fault;
use super::template::Values;
use super::token::{Algorithm, Flaw, Key};
use crate::load::Identity;
use crate::measure;

/// Host that requests name and the server certificate holds.
pub const HOST: &str = "api.load.test";
/// Path that the agent may have, and one that nobody may.
pub const PATH: &str = "/orders/7";
pub const PATH_UNKNOWN: &str = "/nowhere";
pub const ISSUER: &str = "https://id.load.test";
pub const AUDIENCE: &str = "orders-api";
pub const SCOPE: &str = "orders:read";
/// Name of the agent: subject of its tokens, name in its certificate (CN and DNS).
pub const AGENT: &str = "agent.load.test";
const API_KEY_ID: &str = "load";

/// Everything that clients show and targets check.
pub struct Material {
    folder: PathBuf,
    pub server_ca: String,
    /// The agent's certificate.
    pub agent: Identity,
    /// A certificate of the same CA with another name.
    pub other: Identity,
    /// A certificate with the agent's name, of a CA that nobody trusts.
    pub stranger: Identity,
    pub api_key: String,
    /// A key of the same form that nobody knows.
    pub api_key_unknown: String,
    es256: [Key; 2],
    rs256: [Key; 2],
    now_s: u64,
}

impl Material {
    /// Makes everything and writes what targets read into `folder`.
    pub fn new(folder: &Path) -> Result<Self, Fault> {
        let (servers, clients, strangers) =
            (Authority::new("servers")?, Authority::new("agents")?, Authority::new("agents")?);
        let server = servers.issue(HOST, ExtendedKeyUsagePurpose::ServerAuth)?;
        let pair = |algorithm| Ok::<_, Fault>([Key::generate(algorithm)?, Key::generate(algorithm)?]);
        let material = Self {
            folder: folder.to_owned(),
            server_ca: servers.pem.clone(),
            agent: clients.issue(AGENT, ExtendedKeyUsagePurpose::ClientAuth)?,
            other: clients.issue("other.load.test", ExtendedKeyUsagePurpose::ClientAuth)?,
            stranger: strangers.issue(AGENT, ExtendedKeyUsagePurpose::ClientAuth)?,
            api_key: api_key(b'1'),
            api_key_unknown: api_key(b'2'),
            es256: pair(Algorithm::Es256)?,
            rs256: pair(Algorithm::Rs256)?,
            now_s: measure::now_s(),
        };
        let [es256, _] = &material.es256;
        let [rs256, _] = &material.rs256;
        for (name, text) in [
            ("server.pem", server.chain.clone()),
            ("server.key", server.key.clone()),
            ("server-pair.pem", format!("{}{}", server.chain, server.key)),
            ("agents-ca.pem", clients.pem.clone()),
            ("es256.jwks.json", es256.jwks()?),
            ("rs256.jwks.json", rs256.jwks()?),
            ("es256.pem", es256.public_pem()?),
            ("rs256.pem", rs256.public_pem()?),
        ] {
            write(&folder.join(name), &text)?;
        }
        Ok(material)
    }

    /// A token with this flaw; each number gives another one.
    pub fn token(&self, algorithm: Algorithm, flaw: Flaw, number: u64) -> Result<String, Fault> {
        let [key, stranger] = match algorithm {
            Algorithm::Es256 => &self.es256,
            Algorithm::Rs256 => &self.rs256,
        };
        key.token(flaw, number, self.now_s, stranger)
    }

    /// What placeholders stand for, as far as credentials go.
    pub(super) fn values(&self) -> Values {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let hash: String =
            digest(&SHA256, self.api_key.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        [
            ("host", HOST.to_owned()),
            ("issuer", ISSUER.to_owned()),
            ("audience", AUDIENCE.to_owned()),
            ("scope", SCOPE.to_owned()),
            ("agent", AGENT.to_owned()),
            ("api_key", self.api_key.clone()),
            ("api_key_id", API_KEY_ID.to_owned()),
            ("api_key_sha256", hash),
            ("server_chain", file("server.pem")),
            ("server_key", file("server.key")),
            ("server_pair", file("server-pair.pem")),
            ("client_ca", file("agents-ca.pem")),
            ("es256_jwks", file("es256.jwks.json")),
            ("rs256_jwks", file("rs256.jwks.json")),
            ("es256_public_key", file("es256.pem")),
            ("rs256_public_key", file("rs256.pem")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A throw-away certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Result<Self, Fault> {
        let mut params = named(Vec::new(), name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(Fault::material)?;
        let pem = params.self_signed(&key).map_err(Fault::material)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// A P-256 certificate with this name.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<Identity, Fault> {
        let mut params = named(vec![name.to_owned()], name)?;
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().map_err(Fault::material)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Fault::material)?;
        Ok(Identity { chain: certificate.pem(), key: key.serialize_pem() })
    }
}

fn named(names: Vec<String>, common: &str) -> Result<CertificateParams, Fault> {
    let mut params = CertificateParams::new(names).map_err(Fault::material)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    Ok(params)
}

/// An API key in Adamant's form (`adm_<id>_<43 digits><CRC-32 in base 62>`), which is as good as any other to the rest.
fn api_key(digit: u8) -> String {
    let mut key = format!("adm_{API_KEY_ID}_");
    key.extend(std::iter::repeat_n(char::from(digit), 43));
    let mut rest = crc32(key.as_bytes());
    let mut checksum = [b'0'; 6];
    for place in checksum.iter_mut().rev() {
        *place = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
            .get((rest % 62) as usize)
            .copied()
            .unwrap_or(b'0');
        rest /= 62;
    }
    key.extend(checksum.map(char::from));
    key
}

/// CRC-32/ISO-HDLC.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Writes a file that its owner alone can read: some are keys.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Fault::io(path.display().to_string()))
}
