use policy::model::{IntrospectedSubject, Introspection, Keys};
use proptest::prelude::*;

use super::*;

fn rules(name: &str, prefix: Option<&str>) -> model::Issuer {
    model::Issuer {
        name: name.into(),
        issuer: format!("https://{name}.example"),
        audience: vec!["api".into()],
        algorithms: vec![],
        keys: Keys::None,
        introspection: Some(Introspection {
            url: "https://id.example/ask".into(),
            ca: None,
            client: "gateway".into(),
            cache_s: 60,
            prefix: prefix.map(str::to_owned),
            subject: IntrospectedSubject::Sub,
        }),
        scope_claim: Some("scope".into()),
        leeway_s: 0,
    }
}

fn issuer(name: &str, prefix: Option<&str>) -> Arc<Issuer> {
    Arc::new(Issuer::new(rules(name, prefix), None))
}

const NOW_S: u64 = 1_000_000;

fn read(answer: &str) -> Result<VerifiedToken, TokenFault> {
    read_answer(answer.as_bytes(), &issuer("corp", None), NOW_S * 1_000).unwrap()
}

#[test]
fn a_token_goes_to_the_one_issuer_that_can_have_made_it() {
    let to = |token: &str, issuers: &[Arc<Issuer>]| {
        asked_about(token.as_bytes(), issuers).map(|(at, issuer)| {
            assert!(Arc::ptr_eq(&issuers[usize::from(at)], issuer));
            issuer.rules.name.clone()
        })
    };
    let quiet = || {
        let without = model::Issuer { introspection: None, ..rules("quiet", None) };
        Arc::new(Issuer::new(without, None))
    };
    let one = [quiet(), issuer("corp", None)];
    for opaque in ["a", "Zm9v+/-_~==", "ory_at_x.y", "a.b.c.d", "a.b.c.d.e.f", &"a".repeat(OPAQUE_TOKEN_BYTES_MAX)] {
        assert_eq!(to(opaque, &one).as_deref(), Some("corp"), "{opaque}");
        assert_eq!(to(opaque, &[quiet()]), None);
    }
    let jwt = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
    let long = "a".repeat(OPAQUE_TOKEN_BYTES_MAX + 1);
    for other in [jwt, "a.b.c", "..", "a.b.c.d.e", "", "a b", "a,b", "\u{e9}", &long] {
        assert_eq!(to(other, &one), None, "{other}");
    }
    let two = [issuer("a", Some("a_")), quiet(), issuer("b", Some("b_"))];
    assert_eq!(to("a_x", &two).as_deref(), Some("a"));
    assert_eq!(to("b_x", &two).as_deref(), Some("b"));
    assert_eq!(to("x", &two), None);
    let both = [issuer("a", Some("a_")), issuer("b", None)];
    assert_eq!(to("a_x", &both), None, "a release that nobody checked: neither is asked");
    assert_eq!(to("x", &both).as_deref(), Some("b"));
}

#[test]
fn a_key_depends_on_token_and_section_and_is_no_token() {
    let corp = issuer("corp", None);
    let key = key_of(b"secret", &corp);
    assert_eq!(key, key_of(b"secret", &issuer("corp", None)));
    assert_eq!(key[0], 0);
    assert_ne!(key, key_of(b"secreu", &corp));
    let mut other = rules("corp", None);
    other.introspection.as_mut().unwrap().url.push('x');
    assert_ne!(key, key_of(b"secret", &Issuer::new(other, None)));
}

#[test]
fn an_active_token_has_the_facts_of_the_answer() {
    let token = read(
        r#"{"active":true,"iss":"https://corp.example","aud":["x","api"],"sub":"bot","exp":1000100,"iat":999990,
            "jti":"j","scope":"a b","token_type":"Bearer","client_id":"c","username":"u"}"#,
    )
    .unwrap();
    assert_eq!((&*token.subject, token.expires_s, token.issued_s), ("bot", 1_000_100, Some(999_990)));
    assert_eq!((token.id.as_deref(), token.kid.as_deref()), (Some("j"), None));
    assert_eq!(token.scopes, Some(vec!["a".into(), "b".into()]));
    assert_eq!(token.believed_until_ms, Some((NOW_S + 60) * 1_000));
    let mut by_client = rules("corp", None);
    by_client.introspection.as_mut().unwrap().subject = IntrospectedSubject::ClientId;
    let answer = br#"{"active":true,"aud":"api","sub":"bot","client_id":"c","exp":1000100}"#;
    let token = read_answer(answer, &Issuer::new(by_client, None), NOW_S * 1_000).unwrap().unwrap();
    assert_eq!((&*token.subject, token.scopes), ("c", Some(vec![])));
}

#[test]
fn an_answer_counts_to_the_millisecond_and_not_beyond_the_token_and_its_leeway() {
    let mut lenient = rules("corp", None);
    lenient.leeway_s = 30;
    let issuer = Issuer::new(lenient, None);
    let asked_ms = NOW_S * 1_000 + 900;
    let read = |expires_s: u64| {
        let answer = format!(r#"{{"active":true,"aud":"api","sub":"bot","exp":{expires_s}}}"#);
        read_answer(answer.as_bytes(), &issuer, asked_ms).unwrap()
    };
    let long = read(NOW_S + 100).unwrap();
    assert_eq!(long.believed_until_ms, Some(asked_ms + 60_000));
    assert!(long.is_believed(&issuer, asked_ms) && long.is_believed(&issuer, asked_ms + 59_999));
    assert!(!long.is_believed(&issuer, asked_ms + 60_000));
    assert!(!long.is_believed(&issuer, asked_ms - 1), "the clock was put back");
    let over = read(NOW_S - 5).unwrap();
    assert!(over.is_believed(&issuer, (NOW_S + 25) * 1_000 - 1), "over, and within the leeway");
    assert!(!over.is_believed(&issuer, (NOW_S + 25) * 1_000));
    assert_eq!(read(NOW_S - 30), Err(TokenFault::Expired));
}

#[test]
fn an_active_token_for_somebody_else_is_refused() {
    let with = |more: &str| {
        let base = r#"{"active":true,"aud":"api","sub":"bot","exp":1000100"#;
        read(&format!("{base}{more}}}")).map(drop)
    };
    assert_eq!(with(""), Ok(()));
    assert_eq!(with(r#","iss":"https://other.example""#), Err(TokenFault::IssuerUnknown));
    assert_eq!(with(r#","nbf":1000001"#), Err(TokenFault::NotYetValid));
    assert_eq!(with(r#","iat":1000001"#), Err(TokenFault::IssuedInFuture));
    // A fraction: issued within that second, and so before the next one.
    assert_eq!(with(r#","iat":1000000.5"#), Err(TokenFault::IssuedInFuture));
    let within = read(r#"{"active":true,"aud":"api","sub":"bot","exp":1000100,"iat":999999.5}"#).unwrap();
    assert_eq!(within.issued_s, Some(999_999));
    assert_eq!(with(r#","cnf":{"jwk":{}}"#), Err(TokenFault::ConfirmationUnknown));
    assert_eq!(with(r#","scope":1"#), Err(TokenFault::Scopes));
    for refresh in [r#","token_type":"refresh_token""#, r#","token_use":"refresh_token""#, r#","typ":"Refresh""#] {
        assert_eq!(with(refresh), Err(TokenFault::Type), "{refresh}");
    }
    assert_eq!(with(r#","token_type":"bearer","token_use":"access_token","typ":"at+JWT""#), Ok(()));
    let bound = r#","cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#;
    for said in [r#","token_type":"DPoP""#, r#","typ":"dpop""#] {
        assert_eq!(with(said), Err(TokenFault::ConfirmationUnknown), "{said}");
        assert_eq!(with(&format!("{said}{bound}")), Ok(()), "{said}");
    }
    assert_eq!(read(r#"{"active":false,"sub":"bot"}"#), Err(TokenFault::Inactive));
    assert_eq!(read(r#"{"active":true,"aud":"y","sub":"b","exp":1000100}"#), Err(TokenFault::AudienceWrong));
    assert_eq!(read(r#"{"active":true,"aud":"api","sub":"b","exp":1000000}"#), Err(TokenFault::Expired));
    for (missing, answer) in [
        ("aud", r#"{"active":true,"sub":"b","exp":1000100}"#),
        ("sub", r#"{"active":true,"aud":"api","client_id":"c","exp":1000100}"#),
        ("exp", r#"{"active":true,"aud":"api","sub":"b"}"#),
    ] {
        assert_eq!(read(answer), Err(TokenFault::ClaimMissing(missing)));
    }
}

#[test]
fn what_does_not_say_whether_it_is_active_is_no_answer() {
    let fault = |answer: &str| read_answer(answer.as_bytes(), &issuer("corp", None), NOW_S * 1_000).unwrap_err();
    for vague in [r#"{}"#, r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"active":null}"#, r#"{"Active":true}"#] {
        assert_eq!(fault(vague), AnswerFault::Active, "{vague}");
    }
    for other in ["", "[]", "true", "<html>", r#"{"active":true,"active":false}"#, r#"{"active":true}x"#] {
        assert!(matches!(fault(other), AnswerFault::Json(_)), "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_with_the_parts_of_a_jwt_is_asked_about(parts in prop::collection::vec("[A-Za-z0-9_-]{0,8}", 1..8)) {
        let token = parts.join(".");
        let asked = asked_about(token.as_bytes(), &[issuer("corp", None)]).is_some();
        prop_assert_eq!(asked, !token.is_empty() && parts.len() != 3 && parts.len() != 5);
    }

    #[test]
    fn arbitrary_answers_never_panic_and_rarely_pass(answer in "\\PC{0,80}") {
        let _ = read_answer(answer.as_bytes(), &issuer("corp", None), NOW_S * 1_000);
    }
}
