//! What an assertion says, and to what it is bound.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use proptest::prelude::*;

use super::*;

const NOW_S: u64 = 1_795_000_000;

fn said<'s>() -> Said<'s> {
    Said {
        policy: "orders-edge",
        release: "sha256:0123",
        agent: Some("reports-bot"),
        subject: Some(("https://id.corp.example", "al\"ice\u{e9}")),
        route: "order-read",
        scope: "orders:read",
        request_id: b"7bf511cb43495bddd402151c110c6fb0",
        again: false,
        request: Bound { method: b"GET", host: b"api.corp.example", path: b"/orders/7", query: Some(b"x=1") },
        now_s: NOW_S,
    }
}

fn claims(said: &Said<'_>) -> String {
    let mut out = Vec::new();
    put_claims(&mut out, "orders", said);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_claims_are_these() {
    // The hash is `printf '/orders/7?x=1' | openssl dgst -sha256 -binary | basenc --base64url`.
    let request = concat!(
        r#""jti":"7bf511cb43495bddd402151c110c6fb0","route":"order-read","scope":"orders:read","release":"sha256:0123","#,
        r#""htm":"GET","authority":"api.corp.example","target_sha256":"TARGET","iat":1795000000,"exp":1795000030}"#
    );
    let request = request.replace("TARGET", "V0kAuXOnZXvqb47peHw95PDLFvWyNUA7_yXBqgC9qw8");
    let named = concat!(
        r#"{"iss":"orders-edge","aud":"orders","sub":"reports-bot","#,
        r#""sub_id":{"format":"iss_sub","iss":"https://id.corp.example","sub":"al\"iceé"},"#
    );
    assert_eq!(claims(&said()), format!("{named}{request}"));
    let again = claims(&Said { again: true, ..said() });
    assert_eq!(again, claims(&said()).replace("c6fb0\"", "c6fb0.1\""));
    let anonymous = Said { agent: None, subject: None, ..said() };
    assert_eq!(claims(&anonymous), format!(r#"{{"iss":"orders-edge","aud":"orders",{request}"#));
}

#[test]
fn it_is_a_jws_that_the_published_key_verifies() {
    let key = Arc::new(SigningKey::generate().unwrap());
    let assertion = Assertion { audience: "orders".to_owned(), key: Arc::clone(&key) };
    let mut scratch = Scratch::default();
    let other = Said { request: Bound { path: b"/a/much/longer/path/than/that", ..said().request }, ..said() };
    assertion.sign(&other, &mut scratch).unwrap();
    let compact = String::from_utf8(assertion.sign(&said(), &mut scratch).unwrap().to_vec()).unwrap();
    let (signed, signature) = compact.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let decoded = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let kid = key.kid();
    assert_eq!(decoded(header), format!(r#"{{"typ":"adamant-assertion+jwt","alg":"ES256","kid":"{kid}"}}"#));
    assert_eq!(decoded(payload), claims(&said()), "nothing of the one before is left");
    let jwk = key.jwk();
    let member = |name: &str| {
        let (_, rest) = jwk.split_once(&format!(r#""{name}":""#)).unwrap();
        URL_SAFE_NO_PAD.decode(rest.split_once('"').unwrap().0).unwrap()
    };
    let point = [vec![4], member("x"), member("y")].concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(public.verify(signed.as_bytes(), &signature).is_ok());
    assert!(public.verify(compact.as_bytes(), &signature).is_err());
}

#[test]
fn a_key_comes_back_from_its_bytes_and_no_other_bytes_are_one() {
    let key = SigningKey::generate().unwrap();
    let bytes = key.to_bytes().unwrap();
    let again = SigningKey::from_bytes(bytes.as_slice()).unwrap();
    assert_eq!((again.kid(), again.jwk()), (key.kid(), key.jwk()));
    assert!(!key.jwk().contains("\"d\""), "the private half stays here");
    let other = SigningKey::generate().unwrap().to_bytes().unwrap();
    let mixed = [&bytes[..32], &other[32..]].concat();
    for wrong in [&[][..], &bytes[1..], &[0; KEY_BYTES], &mixed] {
        assert_eq!(SigningKey::from_bytes(wrong).err(), Some(KeyFault::Form));
    }
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.kid()));
    let posing = SigningKey::generate().unwrap().posing_as(key.kid());
    assert_eq!(posing.kid(), key.kid());
    assert_ne!(posing.jwk(), key.jwk());
}

proptest! {
    /// Where two requests differ for the origin, so do their claims.
    #[test]
    fn it_is_bound_to_its_request(
        (one, other) in ((0_usize..3, "/[a-b?%]{0,3}", proptest::option::of("[a-b?]{0,2}")),
                         (0_usize..3, "/[a-b?%]{0,3}", proptest::option::of("[a-b?]{0,2}")))
    ) {
        let bound = |(method, path, query): &(usize, String, Option<String>)| {
            let request = Bound {
                method: [&b"GET"[..], b"HEAD", b"POST"][*method],
                path: path.as_bytes(),
                query: query.as_deref().map(str::as_bytes),
                ..said().request
            };
            claims(&Said { request, ..said() })
        };
        let target = |(_, path, query): &(usize, String, Option<String>)| match query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        };
        let same = one.0 == other.0 && target(&one) == target(&other);
        prop_assert_eq!(bound(&one) == bound(&other), same);
    }
}
