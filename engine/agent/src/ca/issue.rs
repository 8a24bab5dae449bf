//! Issuing: for a key that is made here, or for a CSR whose maker proves to hold the key. What a CSR asks for beyond its key
//! is not looked at: names, uses and life are the operator's alone.

use std::time::Duration;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::log::{self, Issued};
use super::{Authority, ServerName, check_life, failed, named, place, serial, server_name};
use crate::bounds::{BACKDATED_S, FILE_BYTES_MAX, LIFE_CLIENT_S_MAX, LIFE_SERVER_S_MAX, SERVER_NAMES_MAX};
use crate::clock;
use crate::fault::Fault;
use crate::files;
use crate::spiffe::SpiffeId;
use crate::x509::{self, Facts};

/// Whom a certificate is for.
#[derive(Clone, Debug)]
pub enum For {
    Agent(SpiffeId),
    Server(Vec<String>),
}

/// A certificate that was issued: PEM, and what it says.
pub struct Certificate {
    pub pem: String,
    pub facts: Facts,
}

/// A new P-256 key: PKCS#8 in PEM.
pub fn new_key() -> Result<Zeroizing<String>, Fault> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// A request for a certificate of this key (PKCS #10): PEM. It names whom it is for, for CAs that take names from it.
pub fn request(key_pem: &str, spiffe: Option<&SpiffeId>) -> Result<String, Fault> {
    let key = KeyPair::from_pem(key_pem).map_err(failed)?;
    let mut params = CertificateParams::default();
    // A common name would be one more name, which CAs check as a host's.
    params.distinguished_name = DistinguishedName::new();
    if let Some(id) = spiffe {
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().map_err(failed)?)];
    }
    params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)
}

/// SHA-256 over the public key (SubjectPublicKeyInfo) of a CSR in PEM, lower-case hex.
pub fn key_sha256(csr_pem: &str) -> Result<String, Fault> {
    read_request(csr_pem).map(|csr| hash_of(&csr.public_key))
}

fn hash_of(key: &impl PublicKeyData) -> String {
    x509::hex(&Sha256::digest(key.subject_public_key_info()))
}

/// As people copy hashes.
fn normal(hex: &str) -> String {
    hex.trim().to_ascii_lowercase().replace(':', "")
}

fn read_request(csr_pem: &str) -> Result<CertificateSigningRequestParams, Fault> {
    if csr_pem.len() > FILE_BYTES_MAX {
        return Err(Fault::new(format_args!("expected a CSR of at most {FILE_BYTES_MAX} bytes")));
    }
    CertificateSigningRequestParams::from_pem(csr_pem).map_err(|error| {
        Fault::new(format_args!("expected a certificate request in PEM, signed by its own key, found: {error}"))
            .help("make one with: adamant agent enroll PROFILE --requests DIR …, or openssl req -new")
    })
}

impl Authority {
    /// A certificate for the key of a CSR (PEM), whose signature must be by that key. `key`: the SHA-256 that the public key
    /// must have, for CSRs that others may have been at.
    pub fn issue(
        &self,
        whom: &For,
        csr_pem: &str,
        key: Option<&str>,
        life_s: u64,
        now_s: u64,
    ) -> Result<Certificate, Fault> {
        let csr = read_request(csr_pem)?;
        let found = hash_of(&csr.public_key);
        if let Some(expected) = key.map(normal).filter(|expected| *expected != found) {
            let message = format!("expected a request of the key {expected}, found {found}");
            let help = "do not sign it: whoever has that key would be this agent. Compare with what enroll said where the agent is";
            return Err(Fault::new(message).help(help));
        }
        // An uncompressed point of P-256 (SEC 1 §2.3.3): the algorithm of a CSR's signature does not name the curve.
        let p256 = csr.public_key.algorithm() == &PKCS_ECDSA_P256_SHA256
            && csr.public_key.der_bytes().len() == 65
            && csr.public_key.der_bytes().first() == Some(&4);
        if !p256 {
            let help = "openssl ecparam -name prime256v1 -genkey -noout";
            return Err(Fault::new("expected a request for an ECDSA P-256 key, found another kind").help(help));
        }
        self.sign(whom, &csr.public_key, life_s, now_s)
    }

    fn sign(&self, whom: &For, key: &impl PublicKeyData, life_s: u64, now_s: u64) -> Result<Certificate, Fault> {
        let (mut params, name) = self.params(whom, life_s)?;
        let until_s = (now_s + life_s).min(self.not_after_s);
        if until_s <= now_s {
            let help = "make a new CA with adamant ca init, and let the policy name both for a while";
            return Err(Fault::at(&self.directory, "this CA has expired").help(help));
        }
        let at = |s: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(s);
        params.not_before = at(now_s.saturating_sub(BACKDATED_S));
        params.not_after = at(until_s);
        params.serial_number = Some(serial()?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(failed)?;
        let facts = x509::facts(certificate.der()).map_err(failed)?;
        let _held = files::lock_waiting(&self.directory.join(place::LOCK))?;
        let issued = Issued {
            time: clock::shown(now_s),
            serial: facts.serial.clone(),
            name,
            sha256: facts.sha256.clone(),
            until: clock::shown(until_s),
        };
        // Before it is handed out: nothing goes into the world that the log does not have.
        log::add(&self.directory.join(place::ISSUED), &issued)?;
        Ok(Certificate { pem: certificate.pem(), facts })
    }

    /// Names and uses, as this CA may give them.
    fn params(&self, whom: &For, life_s: u64) -> Result<(CertificateParams, String), Fault> {
        let mut params = CertificateParams::default();
        match whom {
            For::Agent(spiffe) => {
                check_life(life_s, LIFE_CLIENT_S_MAX)?;
                let own = self.settings.trust_domain.as_str();
                if spiffe.trust_domain() != own {
                    let message = format!("expected an id in the trust domain {own}, found {spiffe}");
                    return Err(
                        Fault::new(message).help("a CA issues for one trust domain alone; make another CA for it")
                    );
                }
                params.distinguished_name = named(&format!("agent {}", spiffe.last()));
                params.subject_alt_names = vec![SanType::URI(spiffe.as_str().try_into().map_err(failed)?)];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                Ok((params, spiffe.to_string()))
            }
            For::Server(names) => {
                check_life(life_s, LIFE_SERVER_S_MAX)?;
                if !(1..=SERVER_NAMES_MAX).contains(&names.len()) {
                    return Err(Fault::new(format_args!("expected 1 to {SERVER_NAMES_MAX} names of a server")));
                }
                for name in names {
                    let parsed = server_name(name)?;
                    self.may_serve(name)?;
                    params.subject_alt_names.push(match parsed {
                        ServerName::Dns(name) => SanType::DnsName(name.try_into().map_err(failed)?),
                        ServerName::Address(address) => SanType::IpAddress(address),
                    });
                }
                params.distinguished_name = named(names.first().map_or("", String::as_str));
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                Ok((params, names.join(",")))
            }
        }
    }

    fn may_serve(&self, name: &str) -> Result<(), Fault> {
        let covers = |own: &String| own == name || name.ends_with(&format!(".{own}"));
        if self.settings.servers.iter().any(covers) {
            return Ok(());
        }
        let may = match self.settings.servers.as_slice() {
            [] => "none: it is for agents alone".to_owned(),
            names => names.join(", "),
        };
        Err(Fault::new(format_args!("expected a name that this CA may issue to servers for ({may}), found {name}"))
            .help(
                "these names stand in the CA's certificate; a new CA is made with: adamant ca init DIR --server NAME",
            ))
    }
}
