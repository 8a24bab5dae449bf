//! Against jsonwebtoken 11: whatever we accept, it accepts, with the same claims; what it accepts and we refuse falls in
//! one of the classes listed here.

use std::collections::BTreeMap;

use identity::token::{TokenFault, verify};
use jsonwebtoken::{Algorithm as Theirs, DecodingKey, Validation};
use policy::model::Algorithm;
use serde_json::{Value, json};

use crate::signer::Signer;
use crate::tokens::{NOW_S, claims, issuer, rules};

/// Strict as the oracle can be told to be. Times are compared by hand: it would read the clock.
fn oracle(token: &str, key: &DecodingKey, algorithm: Theirs) -> Option<Value> {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_audience(&["orders"]);
    validation.set_issuer(&["https://id.example"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let data = jsonwebtoken::decode::<Value>(token, key, &validation).ok()?;
    let expires_s = data.claims.get("exp")?.as_f64()?;
    let not_before_s = data.claims.get("nbf").and_then(Value::as_f64).unwrap_or(0.0);
    ((NOW_S as f64) < expires_s && not_before_s <= NOW_S as f64).then_some(data.claims)
}

/// Headers and claims around the rules, by one change each.
fn variants() -> Vec<(String, String)> {
    let header = |extra: &str, algorithm: &str| format!(r#"{{"alg":"{algorithm}","kid":"k"{extra}}}"#);
    let mut variants: Vec<_> = changed_claims().into_iter().map(|claims| (header("", "ALG"), claims)).collect();
    for extra in HEADER_MEMBERS {
        variants.push((header(extra, "ALG"), claims().to_string()));
    }
    for algorithm in ["none", "HS256", "RS256", "ES256", "EdDSA", "ES384", "PS256", ""] {
        variants.push((header("", algorithm), claims().to_string()));
    }
    for odd in ["", "[]", "{}", "{", "null", "{\"a\":1,}", "{\"exp\":NaN}"] {
        variants.push((header("", "ALG"), odd.to_owned()));
        variants.push((odd.to_owned(), claims().to_string()));
    }
    variants
}

/// What may stand in a header beside what has to.
const HEADER_MEMBERS: [&str; 20] = [
    "",
    r#","typ":"JWT""#,
    r#","typ":"at+jwt""#,
    r#","typ":"x""#,
    r#","typ":1"#,
    r#","crit":["x"]"#,
    r#","crit":[]"#,
    r#","b64":false"#,
    r#","b64":true"#,
    r#","cty":"JWT""#,
    r#","jku":"https://x""#,
    r#","x5u":"https://x""#,
    r#","x5c":["AAAA"]"#,
    r#","jwk":{"kty":"oct","k":"AAAA"}"#,
    r#","x5t":"AAAA""#,
    r#","kid":"k""#,
    r#","foo":1"#,
    r#","zip":"DEF""#,
    r#","enc":"A128GCM""#,
    r#","typ":null"#,
];

fn changed_claims() -> Vec<String> {
    let mut all = Vec::new();
    let values = [
        json!("orders"),
        json!(["orders"]),
        json!(["x", "orders"]),
        json!([]),
        json!(""),
        json!("bot"),
        json!(null),
        json!(NOW_S + 60),
        json!(NOW_S as f64 + 60.5),
        json!(NOW_S),
        json!(NOW_S - 1),
        json!(0),
        json!(-1),
        json!(1e15),
        json!(1e300),
        json!(true),
        json!({}),
        json!("a\u{0}"),
        json!("1900000000"),
        json!("https://id.example"),
        json!(["https://id.example"]),
        json!("é"),
        json!(["orders", 1]),
    ];
    for claim in ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "scope", "other"] {
        for value in &values {
            let mut changed = claims();
            changed[claim] = value.clone();
            all.push(changed.to_string());
        }
        let mut without = claims();
        without.as_object_mut().unwrap().remove(claim);
        all.push(without.to_string());
        let twice = claims().to_string().replacen('{', &format!(r#"{{"{claim}":"x","#), 1);
        all.push(twice);
    }
    all
}

/// The classes in which this crate is stricter, by its own fault; each is a rule of the module it stands in.
fn is_listed(fault: TokenFault) -> bool {
    matches!(
        fault,
        TokenFault::Json(..)             // a member name twice
            | TokenFault::Critical       // `crit` that the oracle does not read
            | TokenFault::UnencodedPayload
            | TokenFault::Nested
            | TokenFault::Type           // it takes any `typ`
            | TokenFault::HeaderValue("typ")
            | TokenFault::KeyInHeader(_) // it ignores keys in headers
            | TokenFault::IssuedInFuture
            | TokenFault::Subject        // empty, or with control characters
            | TokenFault::Scopes
            | TokenFault::ClaimValue(_)  // wrong types of `sub`, `iat`, `jti`; dates that are negative or beyond 9999
            | TokenFault::ClaimMissing("sub")
    )
}

#[test]
fn whatever_is_accepted_the_oracle_accepts_and_stricter_rules_are_listed() {
    let cases = [
        (Signer::es256(1), Algorithm::ES256, Theirs::ES256),
        (Signer::es384(), Algorithm::ES384, Theirs::ES384),
        (Signer::ed25519(1), Algorithm::EdDSA, Theirs::EdDSA),
        (Signer::rsa("RS256"), Algorithm::RS256, Theirs::RS256),
        (Signer::rsa("PS256"), Algorithm::PS256, Theirs::PS256),
        (Signer::hs256(1), Algorithm::HS256, Theirs::HS256),
    ];
    let (mut both, mut neither, mut stricter) = (0, 0, BTreeMap::<String, u32>::new());
    for (signer, ours, theirs) in cases {
        let jwk = signer.jwk("k");
        let key = DecodingKey::from_jwk(&serde_json::from_value(jwk.clone()).unwrap()).unwrap();
        let issuers = [issuer(rules("corp", "orders", &[ours]), &[jwk])];
        for (header, claims) in variants() {
            let token = signer.sign_texts(&header.replace("ALG", signer.algorithm()), &claims);
            let ours = verify(token.as_bytes(), &issuers, NOW_S);
            match (ours, oracle(&token, &key, theirs)) {
                (Ok(verified), Some(claims)) => {
                    assert_eq!(claims["sub"], *verified.subject);
                    both += 1;
                }
                (Ok(_), None) => panic!("accepted, but refused by the oracle: {header} {claims}"),
                (Err(fault), Some(_)) => {
                    assert!(is_listed(fault), "{fault:?} is not a listed class: {header} {claims}");
                    *stricter.entry(format!("{fault:?}")).or_default() += 1;
                }
                (Err(_), None) => neither += 1,
            }
        }
    }
    println!("both accept {both}, both refuse {neither}, stricter: {stricter:?}");
    assert!(both > 300 && neither > 300, "{both} {neither}");
}
