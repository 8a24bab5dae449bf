//! Throw-away certificates and tokens of the demo.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde_json::{Value, json};

use crate::failure::Failure;

/// A certificate with its private key, both PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("the demo's certificates could not be made: {error}"))
}

impl Authority {
    pub fn new(name: &str) -> Result<Self, Failure> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// A server certificate for the loopback names.
    pub fn server(&self) -> Result<Pair, Failure> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.issue(CertificateParams::new(names).map_err(failed)?, "localhost", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate with a SPIFFE id.
    pub fn agent(&self, name: &str, spiffe: &str) -> Result<Pair, Failure> {
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
        params.subject_alt_names.push(SanType::URI(spiffe.try_into().map_err(failed)?));
        self.issue(params, name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Pair, Failure> {
        let key = KeyPair::generate().map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

/// A token issuer.
pub struct TokenIssuer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl TokenIssuer {
    pub fn new() -> Result<Self, Failure> {
        let failed = |_| Failure::new("the demo's token key could not be made");
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref());
        Ok(Self { pair: pair.map_err(|_| Failure::new("the demo's token key could not be read"))?, random })
    }

    /// The JWK Set (RFC 7517) that verifies its tokens.
    pub fn jwks(&self) -> String {
        // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1 §2.3.3).
        let point = self.pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
        let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "demo-1",
            "x": part(1..33), "y": part(33..65) });
        json!({ "keys": [key] }).to_string()
    }

    /// A compact ES256 token.
    pub fn token(&self, claims: &Value) -> Result<String, Failure> {
        let head = json!({ "alg": "ES256", "typ": "JWT", "kid": "demo-1" });
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = signature.map_err(|_| Failure::new("the demo's token could not be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}
