//! Tokens of every algorithm, an API key, and a client certificate, made anew in each run.

use std::sync::Arc;

use identity::certificate::{CaSet, ClientCa};
use identity::token::{Issuer, Keyset};
use policy::model;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::CertificateDer;
use serde_json::json;

#[allow(dead_code, reason = "the tests of the crate that it belongs to use the rest")]
#[path = "../../engine/identity/tests/conformance/signer.rs"]
mod signer;

use signer::Signer;

/// What the engine verifies.
pub const ALGORITHMS: [&str; 6] = ["ES256", "ES384", "RS256", "PS256", "EdDSA", "HS256"];
pub const SPIFFE: &str = "spiffe://corp.example/bench";

/// A token of agent `subject` for the issuer `rules`, signed by `algorithm`, and the issuer that can verify it.
pub fn token(algorithm: &str, subject: &str, rules: &model::Issuer) -> (String, Arc<Issuer>) {
    let signer = match algorithm {
        "ES256" => Signer::es256(1),
        "ES384" => Signer::es384(),
        "RS256" => Signer::rsa("RS256"),
        "PS256" => Signer::rsa("PS256"),
        "EdDSA" => Signer::ed25519(1),
        "HS256" => Signer::hs256(1),
        other => panic!("expected one of {ALGORITHMS:?}, found {other}"),
    };
    let mut key = signer.jwk("k");
    key["alg"] = json!(algorithm);
    let jwks = json!({ "keys": [key] }).to_string();
    let algorithms: Vec<_> = rules.algorithms.iter().copied().filter(|one| format!("{one:?}") == algorithm).collect();
    let keyset = Keyset::from_jwks(&jwks, &algorithms).unwrap();
    let claims = json!({
        "iss": rules.issuer, "aud": rules.audience[0], "sub": subject, "exp": 4_000_000_000_u64, "iat": 1, "jti": "0123456789",
    });
    (signer.token("k", &claims), Arc::new(Issuer::new(rules.clone(), Some(Arc::new(keyset)))))
}

/// A client certificate, and the CAs that vouch for it.
pub fn certificate(ca_name: &str) -> (Vec<CertificateDer<'static>>, Arc<CaSet>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, key);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::URI(SPIFFE.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
    let cas = CaSet::new(vec![ClientCa::from_pem(ca_name, &authority).unwrap()]).unwrap();
    (vec![leaf], Arc::new(cas), authority)
}

/// A server certificate for `localhost`, its key, and the root that vouches for it.
pub fn server() -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().der().clone(), key)
}
