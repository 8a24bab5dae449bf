//! Tokens: raw bytes must never verify; a header and claims (cut at the first NUL) that are signed by the target itself
//! reach what stands behind the signature.
#![no_main]

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::token::{Issuer, Keyset, verify};
use libfuzzer_sys::fuzz_target;
use policy::model::{self, Algorithm, Keys};

const NOW_S: u64 = 1_800_000_000;
const SECRET: [u8; 32] = [7; 32];

static ISSUERS: LazyLock<Vec<Arc<Issuer>>> = LazyLock::new(|| {
    let jwks = format!(r#"{{"keys":[{{"kty":"oct","kid":"k","k":"{}"}}]}}"#, URL_SAFE_NO_PAD.encode(SECRET));
    let rules = model::Issuer {
        name: "corp".to_owned(),
        issuer: "i".to_owned(),
        audience: vec!["a".to_owned()],
        algorithms: vec![Algorithm::HS256],
        keys: Keys::Pinned { jwks: String::new() },
        introspection: None,
        scope_claim: Some("scope".to_owned()),
        leeway_s: 0,
    };
    let keyset = Keyset::from_jwks(&jwks, &rules.algorithms).unwrap();
    vec![Arc::new(Issuer::new(rules, Some(Arc::new(keyset))))]
});

fuzz_target!(|data: &[u8]| {
    assert!(verify(data, &ISSUERS, NOW_S).is_err(), "verified without the secret");
    let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (header, claims) = data.split_at(cut);
    let claims = claims.get(1..).unwrap_or_default();
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), input.as_bytes());
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
    if let Ok(verified) = verify(token.as_bytes(), &ISSUERS, NOW_S) {
        assert!(verified.expires_s > NOW_S && !verified.subject.is_empty() && verified.scopes.is_some());
        assert!(verified.check_time(NOW_S, 0).is_ok());
    }
});
