//! Rules of claims: required ones, times, scopes.

use identity::bounds::{
    NUMERIC_DATE_S_MAX, TOKEN_AUDIENCES_MAX, TOKEN_ID_BYTES_MAX, TOKEN_SCOPES_MAX, TOKEN_SUBJECT_BYTES_MAX,
};
use identity::token::{TokenFault, verify};
use policy::model::Algorithm;
use serde_json::{Value, json};

use crate::tokens::{Bench, NOW_S, claims, issuer, rules, with};

#[test]
fn issuer_audience_subject_and_expiry_are_required_and_exact() {
    let bench = Bench::new();
    for name in ["iss", "aud", "sub", "exp"] {
        assert_eq!(bench.claims(&with(name, Value::Null)), Err(TokenFault::ClaimMissing(name)));
        let odd = if name == "exp" { json!("1800000060") } else { json!(7) };
        assert_eq!(bench.claims(&with(name, odd)), Err(TokenFault::ClaimValue(name)));
    }
    for iss in ["https://id.example/", "https://ID.example", "", "https://evil.example"] {
        assert_eq!(bench.claims(&with("iss", json!(iss))), Err(TokenFault::IssuerUnknown), "{iss}");
    }
    assert_eq!(bench.claims(&with("iss", json!(["https://id.example"]))), Err(TokenFault::ClaimValue("iss")));
    for aud in [json!("order"), json!("Orders"), json!([]), json!(["x"]), json!("")] {
        assert_eq!(bench.claims(&with("aud", aud.clone())), Err(TokenFault::AudienceWrong), "{aud}");
    }
    for aud in [json!(["orders", 1]), json!({ "orders": 1 }), json!(vec!["orders"; TOKEN_AUDIENCES_MAX + 1])] {
        assert_eq!(bench.claims(&with("aud", aud.clone())), Err(TokenFault::ClaimValue("aud")), "{aud}");
    }
    assert!(bench.claims(&with("aud", json!(["x", "orders"]))).is_ok());
    for sub in
        [String::new(), "a\u{0}b".into(), "a\nb".into(), "a\u{85}".into(), "s".repeat(TOKEN_SUBJECT_BYTES_MAX + 1)]
    {
        assert_eq!(bench.claims(&with("sub", json!(sub))), Err(TokenFault::Subject), "{sub:?}");
    }
    assert!(bench.claims(&with("sub", json!("s".repeat(TOKEN_SUBJECT_BYTES_MAX)))).is_ok());
    assert_eq!(bench.claims(&with("jti", json!(1))), Err(TokenFault::ClaimValue("jti")));
    assert_eq!(
        bench.claims(&with("jti", json!("j".repeat(TOKEN_ID_BYTES_MAX + 1)))),
        Err(TokenFault::ClaimValue("jti"))
    );
}

#[test]
fn times_are_exact_and_leeway_is_the_policys() {
    let bench = Bench::new();
    let at = |name: &str, value: Value| bench.claims(&with(name, value)).map(|_| ());
    assert_eq!(at("exp", json!(NOW_S)), Err(TokenFault::Expired));
    assert_eq!(at("exp", json!(NOW_S + 1)), Ok(()));
    // A fraction is cut: the clock that is asked has whole seconds, and may be anywhere within its second.
    assert_eq!(at("exp", json!(NOW_S as f64 + 0.9)), Err(TokenFault::Expired));
    assert_eq!(at("exp", json!(0)), Err(TokenFault::Expired));
    assert_eq!(at("nbf", json!(NOW_S)), Ok(()));
    assert_eq!(at("nbf", json!(NOW_S as f64 + 0.1)), Err(TokenFault::NotYetValid));
    assert_eq!(at("nbf", json!(NOW_S + 1)), Err(TokenFault::NotYetValid));
    assert_eq!(at("nbf", json!(NOW_S + 1_000_000_000)), Err(TokenFault::NotYetValid));
    assert_eq!(at("nbf", json!(NUMERIC_DATE_S_MAX)), Err(TokenFault::NotYetValid));
    assert_eq!(at("iat", json!(NOW_S)), Ok(()));
    assert_eq!(at("iat", json!(NOW_S + 1)), Err(TokenFault::IssuedInFuture));
    for name in ["exp", "nbf", "iat"] {
        for odd in [json!(-1), json!(1e300), json!(NUMERIC_DATE_S_MAX + 1.0), json!(true), json!([1]), json!("1")] {
            assert_eq!(at(name, odd.clone()), Err(TokenFault::ClaimValue(name)), "{name} {odd}");
        }
    }
    for text in ["1e400", "NaN", "Infinity", "0x7fffffff", "01900000000", "null"] {
        let claims = claims().to_string().replace(&(NOW_S + 60).to_string(), text);
        assert!(bench.verify(&bench.signer.sign_texts(r#"{"alg":"EdDSA","kid":"k1"}"#, &claims)).is_err(), "{text}");
    }

    let mut lenient = rules("corp", "orders", &[Algorithm::EdDSA]);
    lenient.leeway_s = 30;
    let issuers = [issuer(lenient, &[bench.signer.jwk("k1")])];
    let at = |name: &str, time: u64| {
        let token = bench.signer.token("k1", &with(name, json!(time)));
        verify(token.as_bytes(), &issuers, NOW_S).map(|_| ())
    };
    assert_eq!(at("exp", NOW_S - 30), Err(TokenFault::Expired));
    assert_eq!(at("exp", NOW_S - 29), Ok(()));
    assert_eq!(at("nbf", NOW_S + 30), Ok(()));
    assert_eq!(at("nbf", NOW_S + 31), Err(TokenFault::NotYetValid));
    assert_eq!(at("iat", NOW_S + 31), Err(TokenFault::IssuedInFuture));
}

#[test]
fn a_verified_token_is_asked_for_its_time_on_each_use() {
    let verified = Bench::new().claims(&with("nbf", json!(NOW_S - 10))).unwrap();
    assert_eq!(verified.check_time(NOW_S, 0), Ok(()));
    assert_eq!(verified.check_time(NOW_S + 60, 0), Err(TokenFault::Expired));
    assert_eq!(verified.check_time(NOW_S + 60, 1), Ok(()));
    assert_eq!(verified.check_time(NOW_S - 11, 0), Err(TokenFault::NotYetValid));
    assert_eq!(verified.check_time(u64::MAX, u32::MAX), Err(TokenFault::Expired));
}

#[test]
fn scopes_are_a_string_or_an_array_and_absent_means_none() {
    let bench = Bench::new();
    let scopes = |value: Value| bench.claims(&with("scope", value)).map(|verified| verified.scopes.unwrap().join("|"));
    assert_eq!(scopes(Value::Null), Ok(String::new()));
    assert_eq!(scopes(json!("")), Ok(String::new()));
    assert_eq!(scopes(json!("  a   b ")), Ok("a|b".into()));
    assert_eq!(scopes(json!("a\tb")), Ok("a\tb".into()), "only a space separates (RFC 6749 §3.3)");
    assert_eq!(scopes(json!(["a b", "c"])), Ok("a b|c".into()));
    for odd in [json!(1), json!([1]), json!(["a", null]), json!({ "a": 1 }), json!(vec!["x"; TOKEN_SCOPES_MAX + 1])] {
        assert_eq!(scopes(odd.clone()), Err(TokenFault::Scopes), "{odd}");
    }
    assert_eq!(scopes(json!("x ".repeat(TOKEN_SCOPES_MAX + 1))), Err(TokenFault::Scopes));
    assert!(scopes(json!("x ".repeat(TOKEN_SCOPES_MAX))).is_ok());

    let mut without = rules("corp", "orders", &[Algorithm::EdDSA]);
    without.scope_claim = None;
    let issuers = [issuer(without, &[bench.signer.jwk("k1")])];
    let token = bench.signer.token("k1", &with("scope", json!(1)));
    assert_eq!(verify(token.as_bytes(), &issuers, NOW_S).unwrap().scopes, None);
}
