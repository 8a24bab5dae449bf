//! Rules of tokens: one valid token, and one change at a time.

use std::sync::Arc;

use identity::bounds::*;
use identity::token::{Issuer, Keyset, Part, TokenFault, VerifiedToken, verify};
use policy::model::{self, Algorithm, Keys};
use policy::reason::Reason;
use serde_json::{Value, json};

use crate::signer::{Signer, encode};

pub const NOW_S: u64 = 1_800_000_000;

pub fn rules(name: &str, audience: &str, algorithms: &[Algorithm]) -> model::Issuer {
    model::Issuer {
        name: name.to_owned(),
        issuer: "https://id.example".to_owned(),
        audience: vec![audience.to_owned()],
        algorithms: algorithms.to_vec(),
        keys: Keys::Watch { path: "keys.json".to_owned() },
        introspection: None,
        scope_claim: Some("scope".to_owned()),
        leeway_s: 0,
    }
}

pub fn keyset(keys: &[Value], algorithms: &[Algorithm]) -> Arc<Keyset> {
    Arc::new(Keyset::from_jwks(&json!({ "keys": keys }).to_string(), algorithms).unwrap())
}

pub fn issuer(rules: model::Issuer, keys: &[Value]) -> Arc<Issuer> {
    let keyset = keyset(keys, &rules.algorithms);
    Arc::new(Issuer::new(rules, Some(keyset)))
}

pub fn claims() -> Value {
    json!({ "iss": "https://id.example", "aud": "orders", "sub": "bot", "exp": NOW_S + 60, "scope": "a b" })
}

/// The claims with one member changed, or taken away by null.
pub fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(member);
    } else {
        claims[member] = value;
    }
    claims
}

/// An issuer with two keys, and the signer of the first.
pub struct Bench {
    pub signer: Signer,
    issuers: Vec<Arc<Issuer>>,
}

impl Bench {
    pub fn new() -> Self {
        let signer = Signer::ed25519(1);
        let rules = rules("corp", "orders", &[Algorithm::EdDSA, Algorithm::ES256]);
        let issuers = vec![issuer(rules, &[signer.jwk("k1"), Signer::ed25519(2).jwk("k2")])];
        Self { signer, issuers }
    }

    pub fn verify(&self, token: &str) -> Result<VerifiedToken, TokenFault> {
        verify(token.as_bytes(), &self.issuers, NOW_S)
    }

    pub fn claims(&self, claims: &Value) -> Result<VerifiedToken, TokenFault> {
        self.verify(&self.signer.token("k1", claims))
    }

    fn header(&self, header: &str) -> Result<VerifiedToken, TokenFault> {
        self.verify(&self.signer.sign_texts(header, &claims().to_string()))
    }
}

#[test]
fn a_valid_token_gives_its_facts() {
    let mut all = claims();
    all["nbf"] = json!(NOW_S - 5);
    all["iat"] = json!(NOW_S - 5);
    all["jti"] = json!("t-1");
    let expected = VerifiedToken {
        issuer: 0,
        subject: "bot".into(),
        scopes: Some(vec!["a".into(), "b".into()]),
        expires_s: NOW_S + 60,
        not_before_s: Some(NOW_S - 5),
        issued_s: Some(NOW_S - 5),
        kid: Some("k1".into()),
        other_kids: Box::default(),
        id: Some("t-1".into()),
        confirmation: Default::default(),
        believed_until_ms: None,
    };
    assert_eq!(Bench::new().claims(&all), Ok(expected));
}

#[test]
fn every_algorithm_verifies_with_its_key_and_no_other() {
    let signers = [Signer::es256(1), Signer::es384(), Signer::ed25519(1), Signer::rsa("RS256"), Signer::rsa("PS256")];
    let public: Vec<Value> = signers.iter().map(|signer| signer.jwk(signer.algorithm())).collect();
    let issuers = [issuer(rules("corp", "orders", &crate::signatures::ALL), &public)];
    for signer in &signers {
        for kid in ["ES256", "ES384", "EdDSA", "RS256", "PS256"] {
            let verdict = verify(signer.token(kid, &claims()).as_bytes(), &issuers, NOW_S);
            match (kid == signer.algorithm(), signer.algorithm(), kid) {
                (true, ..) => assert!(verdict.is_ok(), "{kid}: {verdict:?}"),
                // An RSA key without `alg` fits both algorithms; the signature is another key's.
                (_, "RS256" | "PS256", "RS256" | "PS256") => assert_eq!(verdict, Err(TokenFault::Signature)),
                _ => assert_eq!(verdict, Err(TokenFault::AlgorithmRefused)),
            }
        }
    }
    let hmac = Signer::hs256(1);
    let issuers = [issuer(rules("corp", "orders", &[Algorithm::HS256]), &[hmac.jwk("h")])];
    assert!(verify(hmac.token("h", &claims()).as_bytes(), &issuers, NOW_S).is_ok());
}

#[test]
fn none_and_other_algorithms_are_refused() {
    let bench = Bench::new();
    for name in ["none", "None", "NONE", "nOnE", "", "es256", "HS256", "RS256", "ES512", "EdDSA ", "RSA-OAEP", "Ed448"]
    {
        let header = json!({ "alg": name, "kid": "k1" }).to_string();
        assert_eq!(bench.header(&header), Err(TokenFault::AlgorithmRefused), "{name}");
    }
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims().to_string()));
    assert_eq!(bench.verify(&unsigned), Err(TokenFault::AlgorithmRefused));
    assert_eq!(bench.verify(unsigned.trim_end_matches('.')), Err(TokenFault::Form));
    for header in [r#"{"kid":"k1"}"#, r#"{"alg":null}"#, r#"{"alg":["EdDSA"]}"#, r#"{"alg":1}"#] {
        assert_eq!(bench.header(header), Err(TokenFault::HeaderValue("alg")), "{header}");
    }
    // The key's own algorithm is listed, the token names another listed one.
    let other = json!({ "alg": "ES256", "kid": "k1" }).to_string();
    assert_eq!(bench.header(&other), Err(TokenFault::AlgorithmRefused));
}

#[test]
fn a_public_key_does_not_serve_as_a_secret() {
    for signer in [Signer::rsa("RS256"), Signer::es256(1), Signer::ed25519(1)] {
        let all = crate::signatures::ALL;
        let jwk = signer.jwk("k");
        let issuers = [issuer(rules("corp", "orders", &all), std::slice::from_ref(&jwk))];
        let secrets = [signer.public_der(), jwk.to_string().into_bytes(), jwk["x"].to_string().into_bytes()];
        for secret in secrets {
            for kid in [Some("k"), None] {
                let forged = Signer::Hmac(secret.clone());
                let header = kid.map_or(json!({ "alg": "HS256" }), |kid| json!({ "alg": "HS256", "kid": kid }));
                let token = forged.sign_texts(&header.to_string(), &claims().to_string());
                let expected = if kid.is_some() { TokenFault::AlgorithmRefused } else { TokenFault::KeyUnknown };
                assert_eq!(verify(token.as_bytes(), &issuers, NOW_S), Err(expected));
            }
        }
    }
}

#[test]
fn a_key_in_the_header_is_refused_even_if_it_is_the_right_one() {
    let bench = Bench::new();
    let own = bench.signer.jwk("k1");
    let attacker = Signer::ed25519(66);
    for (name, value) in [
        ("jwk", own),
        ("jwk", attacker.jwk("k1")),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5u")),
        ("x5c", json!(["AAAA"])),
        ("jwk", Value::Null),
    ] {
        let header = json!({ "alg": "EdDSA", "kid": "k1", name: value }).to_string();
        let signers = [&bench.signer, &attacker];
        for signer in signers {
            let token = signer.sign_texts(&header, &claims().to_string());
            assert_eq!(bench.verify(&token), Err(TokenFault::KeyInHeader(name)), "{name}");
        }
    }
}

#[test]
fn critical_extensions_unencoded_payloads_nested_and_foreign_types_are_refused() {
    let bench = Bench::new();
    let fault = |members: &str| bench.header(&format!(r#"{{"alg":"EdDSA","kid":"k1",{members}}}"#)).unwrap_err();
    for crit in
        [r#""crit":["x"],"x":1"#, r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":null"#, r#""crit":["b64"],"b64":true"#]
    {
        assert_eq!(fault(crit), TokenFault::Critical, "{crit}");
    }
    assert_eq!(fault(r#""b64":false"#), TokenFault::UnencodedPayload);
    assert_eq!(fault(r#""b64":true"#), TokenFault::UnencodedPayload);
    assert_eq!(fault(r#""cty":"JWT""#), TokenFault::Nested);
    for typ in ["JOSE", "secevent+jwt", "dpop+jwt", "logout+jwt", "id_token+jwt", "", "jwt ", "at+jwt2"] {
        assert_eq!(fault(&format!(r#""typ":"{typ}""#)), TokenFault::Type, "{typ}");
    }
    assert_eq!(fault(r#""typ":1"#), TokenFault::HeaderValue("typ"));
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        assert!(bench.header(&format!(r#"{{"alg":"EdDSA","kid":"k1","typ":"{typ}"}}"#)).is_ok(), "{typ}");
    }
    assert!(bench.header(r#"{"alg":"EdDSA","kid":"k1","x5t":"AAAA","foo":{"a":[1]}}"#).is_ok());
}

#[test]
fn a_kid_names_one_key_exactly() {
    let bench = Bench::new();
    for kid in ["k3", "K1", "k1 ", "../../k1", "/dev/null", "k1' OR '1'='1", "k1\u{0}", "*", "${jndi:ldap://x}"] {
        assert_eq!(bench.claims_with_kid(kid), Err(TokenFault::KeyUnknown), "{kid}");
    }
    assert_eq!(bench.claims_with_kid("k2"), Err(TokenFault::Signature));
    assert_eq!(bench.claims_with_kid(""), Err(TokenFault::HeaderValue("kid")));
    assert_eq!(bench.claims_with_kid(&"k".repeat(KID_BYTES_MAX)), Err(TokenFault::KeyUnknown));
    assert_eq!(bench.claims_with_kid(&"k".repeat(KID_BYTES_MAX + 1)), Err(TokenFault::HeaderValue("kid")));
    assert_eq!(bench.header(r#"{"alg":"EdDSA","kid":1}"#), Err(TokenFault::HeaderValue("kid")));
    assert_eq!(
        bench.header(r#"{"alg":"EdDSA","kid":"k1","k\u0069d":"k2"}"#),
        Err(TokenFault::Json(Part::Header, identity::JsonFault::DuplicateMember))
    );
    assert!(bench.header(r#"{"alg":"EdDSA","k\u0069d":"k\u0031"}"#).is_ok(), "escapes are only spelling");
}

impl Bench {
    fn claims_with_kid(&self, kid: &str) -> Result<VerifiedToken, TokenFault> {
        self.verify(&self.signer.token(kid, &claims()))
    }
}

#[test]
fn without_a_kid_few_fitting_keys_are_tried() {
    let signer = Signer::ed25519(0);
    let token = signer.sign_texts(r#"{"alg":"EdDSA"}"#, &claims().to_string());
    let with_keys = |numbers: std::ops::Range<u8>| {
        let keys: Vec<Value> = numbers.map(|number| Signer::ed25519(number).jwk(&format!("k{number}"))).collect();
        let issuers = [issuer(rules("corp", "orders", &[Algorithm::EdDSA]), &keys)];
        verify(token.as_bytes(), &issuers, NOW_S).map(|verified| verified.kid)
    };
    let tried = KEYS_TRIED_MAX as u8;
    // The name of the key that verified it, which the token did not tell.
    assert_eq!(with_keys(0..1), Ok(Some("k0".into())));
    assert_eq!(with_keys(0..tried), Ok(Some("k0".into())));
    assert_eq!(with_keys(1..tried), Err(TokenFault::Signature));
    assert_eq!(with_keys(0..tried + 1), Err(TokenFault::KeyUnknown));
}

/// RFC 9864 §2.2: `Ed25519` is `EdDSA` with that curve, of which every key is here.
#[test]
fn both_names_of_ed25519_are_one_algorithm() {
    let signer = Signer::ed25519(0);
    for alg in [None, Some("EdDSA"), Some("Ed25519")] {
        let mut jwk = signer.jwk("k0");
        jwk["alg"] = json!(alg);
        jwk.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        for name in ["EdDSA", "Ed25519"] {
            let token = signer.sign_texts(&json!({ "alg": name, "kid": "k0" }).to_string(), &claims().to_string());
            let with = |algorithms: &[Algorithm]| {
                let issuers = [issuer(rules("corp", "orders", algorithms), std::slice::from_ref(&jwk))];
                verify(token.as_bytes(), &issuers, NOW_S).map(|verified| verified.kid)
            };
            assert_eq!(with(&[Algorithm::EdDSA]), Ok(Some("k0".into())), "{alg:?} {name}");
        }
    }
    let token = signer.sign_texts(r#"{"alg":"Ed25519","kid":"k0"}"#, &claims().to_string());
    let keys = [signer.jwk("k0"), Signer::es256(0).jwk("k1")];
    let issuers = [issuer(rules("corp", "orders", &[Algorithm::ES256]), &keys)];
    assert_eq!(verify(token.as_bytes(), &issuers, NOW_S).err(), Some(TokenFault::AlgorithmRefused));
}

/// Whoever is to be refused by one name of a key is not to get in by another.
#[test]
fn every_name_of_the_key_that_verified_is_told() {
    let signer = Signer::ed25519(0);
    let keys = [signer.jwk("a"), signer.jwk("b"), Signer::ed25519(1).jwk("c")];
    let issuers = [issuer(rules("corp", "orders", &[Algorithm::EdDSA]), &keys)];
    let names = |token: &str| {
        let verified = verify(token.as_bytes(), &issuers, NOW_S).unwrap();
        (verified.kid.unwrap().to_string(), verified.other_kids.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(names(&signer.token("b", &claims())), ("b".into(), vec!["a".into()]));
    assert_eq!(names(&signer.sign_texts(r#"{"alg":"EdDSA"}"#, &claims().to_string())), ("a".into(), vec!["b".into()]));
    assert_eq!(names(&Signer::ed25519(1).token("c", &claims())), ("c".into(), vec![]));
}

#[test]
fn duplicate_claims_and_members_are_refused() {
    let bench = Bench::new();
    let header = r#"{"alg":"EdDSA","kid":"k1"}"#;
    let duplicate = |part| TokenFault::Json(part, identity::JsonFault::DuplicateMember);
    for extra in [r#""sub":"admin""#, r#""s\u0075b":"admin""#, r#""exp":9999999999"#, r#""scope":"x""#] {
        let claims = claims().to_string().replacen('{', &format!("{{{extra},"), 1);
        let token = bench.signer.sign_texts(header, &claims);
        assert_eq!(bench.verify(&token), Err(duplicate(Part::Claims)), "{extra}");
    }
    let token = bench.signer.sign_texts(r#"{"alg":"none","alg":"EdDSA","kid":"k1"}"#, &claims().to_string());
    assert_eq!(bench.verify(&token), Err(duplicate(Part::Header)));
}

#[test]
fn forms_and_sizes_are_strict() {
    let bench = Bench::new();
    let token = bench.signer.token("k1", &claims());
    assert!(bench.verify(&token).is_ok());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let cases = [
        (String::new(), TokenFault::Form),
        ("..".into(), TokenFault::Json(Part::Header, identity::JsonFault::Grammar)),
        (format!("{header}.{payload}"), TokenFault::Form),
        (format!("{token}."), TokenFault::Form),
        (format!("{token}.a.b"), TokenFault::Form),
        (format!(" {token}"), TokenFault::Encoding(Part::Header)),
        (format!("{header}=.{payload}.{signature}"), TokenFault::Encoding(Part::Header)),
        (format!("{header}.{payload}\n.{signature}"), TokenFault::Encoding(Part::Claims)),
        (format!("{token}="), TokenFault::Encoding(Part::Signature)),
        (format!("{token}\n"), TokenFault::Encoding(Part::Signature)),
        (format!("{header}.{payload}."), TokenFault::Signature),
        (format!("{header}..{signature}"), TokenFault::Json(Part::Claims, identity::JsonFault::Grammar)),
        (format!("{header}.{payload}.{signature}{signature}"), TokenFault::Signature),
        (format!("{header}.{payload}.{}", &signature[..signature.len() - 1]), TokenFault::Encoding(Part::Signature)),
        (format!("{header}.{payload}.{}", &signature[..84]), TokenFault::Signature),
        (format!("{header}.{payload}.{}", "A".repeat(1368)), TokenFault::Encoding(Part::Signature)),
        (json!({ "protected": header, "payload": payload, "signature": signature }).to_string(), TokenFault::Form),
        ("a".repeat(TOKEN_BYTES_MAX + 1), TokenFault::TooLong),
    ];
    for (bad, fault) in cases {
        assert_eq!(bench.verify(&bad), Err(fault), "{bad}");
    }
    // The last character of 64 bytes carries four unused bits.
    let last = signature.chars().last().unwrap();
    for stray in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars().filter(|c| *c != last) {
        let changed = format!("{header}.{payload}.{}{stray}", &signature[..signature.len() - 1]);
        assert!(bench.verify(&changed).is_err(), "{stray}");
    }
    let long_header = format!(r#"{{"alg":"EdDSA","kid":"k1","x":"{}"}}"#, "x".repeat(TOKEN_HEADER_BYTES_MAX));
    assert_eq!(bench.header(&long_header), Err(TokenFault::HeaderTooLong));
    let room = TOKEN_BYTES_MAX - token.len() - 400;
    assert!(bench.claims(&with("x", json!("x".repeat(room / 4 * 3)))).is_ok());
    let depth = |levels: usize| serde_json::from_str(&format!("{}{}", "[".repeat(levels), "]".repeat(levels))).unwrap();
    assert!(bench.claims(&with("x", depth(JSON_DEPTH_MAX - 1))).is_ok());
    let too_deep = TokenFault::Json(Part::Claims, identity::JsonFault::TooDeep);
    assert_eq!(bench.claims(&with("x", depth(JSON_DEPTH_MAX))), Err(too_deep));
}

#[test]
fn two_sections_of_one_issuer_are_told_apart_by_audience() {
    let (one, two) = (Signer::ed25519(1), Signer::ed25519(2));
    let section = |name: &str, audience: &str, signer: &Signer| {
        issuer(rules(name, audience, &[Algorithm::EdDSA]), &[signer.jwk("k1")])
    };
    let issuers = [section("a", "orders", &one), section("b", "stock", &two)];
    let chosen = |signer: &Signer, aud: Value| {
        verify(signer.token("k1", &with("aud", aud)).as_bytes(), &issuers, NOW_S).map(|verified| verified.issuer)
    };
    assert_eq!(chosen(&one, json!("orders")), Ok(0));
    assert_eq!(chosen(&two, json!("stock")), Ok(1));
    assert_eq!(chosen(&one, json!("stock")), Err(TokenFault::Signature), "keys of the other section do not count");
    assert_eq!(chosen(&two, json!(["stock", "orders"])), Err(TokenFault::Signature), "the first that fits decides");
}

#[test]
fn an_issuer_without_keyset_is_unavailable_and_that_is_not_the_tokens_fault() {
    let bench = Bench::new();
    let issuers = [Arc::new(Issuer::new(rules("corp", "orders", &[Algorithm::EdDSA]), None))];
    let fault = verify(bench.signer.token("k1", &claims()).as_bytes(), &issuers, NOW_S).unwrap_err();
    assert_eq!((fault, fault.reason()), (TokenFault::KeysetUnavailable, Reason::KeysetUnavailable));
    assert!(fault.may_pass_later());
    assert_eq!(verify(b"x", &[], NOW_S), Err(TokenFault::Form));
    assert_eq!(verify(bench.signer.token("k1", &claims()).as_bytes(), &[], NOW_S), Err(TokenFault::IssuerUnknown));
}
