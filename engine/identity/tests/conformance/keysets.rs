//! Wycheproof's JSON Web Key vectors, and rules of keysets that they do not reach.

use identity::bounds::{KEYSET_BYTES_MAX, KEYSET_KEYS_MAX};
use identity::token::{Keyset, KeysetError, Unfit, jws};
use policy::model::Algorithm;
use serde_json::{Value, json};

use crate::signatures::ALL;
use crate::signer::{Signer, encode};
use crate::{refusals, vectors};

#[test]
fn every_bad_keyset_of_wycheproof_is_refused() {
    let Some(file) = vectors::read("jose/json_web_key_test.json") else {
        return;
    };
    let (mut count, mut refused, mut accepted) = (0, Vec::new(), Vec::new());
    for group in file["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
        let keyset = Keyset::from_jwks(&set.to_string(), &ALL);
        for test in group["tests"].as_array().unwrap() {
            count += 1;
            let token = test["jws"].as_str().unwrap();
            let verified = keyset.as_ref().is_ok_and(|keyset| jws::verify(token.as_bytes(), keyset, &ALL).is_ok());
            let id = test["tcId"].to_string();
            match (test["result"] == "valid", verified) {
                (true, false) => refused.push(id),
                (false, true) => accepted.push(id),
                _ => {}
            }
        }
    }
    assert_eq!(count, 26);
    assert_eq!(accepted, Vec::<String>::new(), "invalid but accepted");
    refusals::assert_listed("wycheproof-jwk", &refused);
}

/// The vectors above could be refused for another reason than the one they are about.
#[test]
fn the_weak_keys_of_wycheproof_are_refused_for_their_weakness() {
    let Some(file) = vectors::read("jose/json_web_key_test.json") else {
        return;
    };
    let unfit = |name: &str| {
        let groups = file["testGroups"].as_array().unwrap();
        let group = groups.iter().find(|group| group["comment"] == name).unwrap();
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
        match Keyset::from_jwks(&set.to_string(), &ALL) {
            Err(KeysetError::NothingUsable(notes)) => notes[0].why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(unfit("jws_rsa_roca_key"), Unfit::Roca);
    assert_eq!(unfit("keysize_too_small"), Unfit::RsaBits(1024));
    assert_eq!(unfit("exponentOne"), Unfit::RsaExponent);
    assert_eq!(unfit("invalid_point"), Unfit::InvalidKey);
    assert_eq!(unfit("wrong_curve"), Unfit::Member("x"));
    assert_eq!(unfit("invalid_use"), Unfit::OtherUse);
}

fn load(keys: &[Value]) -> Result<Keyset, KeysetError> {
    Keyset::from_jwks(&json!({ "keys": keys }).to_string(), &ALL)
}

#[test]
fn private_parts_and_secrets_beside_public_keys_refuse_the_set() {
    let (es, ed, hs) = (Signer::es256(1).jwk("a"), Signer::ed25519(1).jwk("b"), Signer::hs256(1).jwk("c"));
    let mut private = ed.clone();
    private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    assert_eq!(load(&[es.clone(), private]).unwrap_err(), KeysetError::PrivateKey(1));
    let mut odd = es.clone();
    odd["k"] = json!("AAAA");
    assert_eq!(load(&[odd]).unwrap_err(), KeysetError::PrivateKey(0));
    assert_eq!(load(&[es.clone(), hs.clone()]).unwrap_err(), KeysetError::SecretAmongPublic(1));
    assert!(load(&[es, ed]).is_ok());
    assert!(load(&[hs]).is_ok());
}

#[test]
fn one_kid_stands_for_one_key() {
    let (one, other) = (Signer::es256(1).jwk("a"), Signer::ed25519(2).jwk("a"));
    assert_eq!(load(&[one.clone(), other]).unwrap_err(), KeysetError::DuplicateKid("a".into()));
    assert_eq!(load(&[one.clone(), one.clone()]).unwrap().keys().len(), 1, "the same key twice is one");
    let mut spoilt = one.clone();
    spoilt["x"] = json!("AA");
    assert_eq!(load(&[spoilt, one.clone()]).unwrap_err(), KeysetError::DuplicateKid("a".into()));
    let mut foreign = one.clone();
    foreign["use"] = json!("enc");
    assert!(load(&[foreign, one]).is_ok(), "a key for another use may share it");
}

#[test]
fn foreign_and_unfit_keys_are_left_out_with_a_note() {
    let es = Signer::es256(1).jwk("a");
    let changed = |member: &str, value: Value| {
        let mut key = es.clone();
        key[member] = value;
        key
    };
    let short = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "s" });
    let cases = [
        (changed("use", json!("enc")), Unfit::OtherUse),
        (changed("key_ops", json!(["sign"])), Unfit::OtherUse),
        (changed("crv", json!("P-521")), Unfit::UnknownType),
        (changed("kty", json!("AKP")), Unfit::UnknownType),
        (changed("alg", json!("ES512")), Unfit::OtherAlgorithm),
        (changed("alg", json!("RS256")), Unfit::Contradiction),
        (changed("kid", json!("")), Unfit::Member("kid")),
        (changed("kid", json!(7)), Unfit::Member("kid")),
        (changed("x", json!("AA")), Unfit::Member("x")),
        (changed("y", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), Unfit::InvalidKey),
        (short, Unfit::Member("x")),
    ];
    for (key, why) in cases {
        let set = load(&[key.clone(), Signer::ed25519(9).jwk("good")]).unwrap();
        assert_eq!((set.keys().len(), set.notes()[0].why, set.notes()[0].position), (1, why, 0), "{key}");
        assert!(matches!(load(&[key]), Err(KeysetError::NothingUsable(_))));
    }
    let only = Keyset::from_jwks(&json!({ "keys": [es] }).to_string(), &[Algorithm::EdDSA]);
    assert!(only.unwrap_err().to_string().contains("key 0: its `alg` is not one that the issuer's section lists"));
}

#[test]
fn sizes_are_bounded_and_forms_strict() {
    let key = Signer::ed25519(1).jwk("a");
    let many = |count: usize| vec![key.clone(); count];
    assert!(load(&many(KEYSET_KEYS_MAX)).is_ok());
    assert_eq!(load(&many(KEYSET_KEYS_MAX + 1)).unwrap_err(), KeysetError::TooManyKeys(KEYSET_KEYS_MAX + 1));
    let text = json!({ "keys": [key] }).to_string();
    let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
    assert!(Keyset::from_jwks(&padded(KEYSET_BYTES_MAX), &ALL).is_ok());
    assert!(matches!(Keyset::from_jwks(&padded(KEYSET_BYTES_MAX + 1), &ALL), Err(KeysetError::TooLong(_))));
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]}"#] {
        assert!(Keyset::from_jwks(bad, &ALL).is_err(), "{bad}");
    }
    let twice = text.replacen("{\"crv\"", "{\"kty\":\"OKP\",\"crv\"", 1);
    assert!(matches!(Keyset::from_jwks(&twice, &ALL), Err(KeysetError::Json(_))), "{twice}");
}

#[test]
fn key_lengths_are_bounded() {
    use identity::bounds::{RSA_BITS_MAX, RSA_BITS_MIN, RSA_EXPONENT_BYTES_MAX, SECRET_BYTES_MAX, SECRET_BYTES_MIN};
    let why = |key: Value| match load(&[key]) {
        Ok(_) => None,
        Err(KeysetError::NothingUsable(notes)) => Some(notes[0].why),
        Err(other) => panic!("{other}"),
    };
    let rsa = |bits: usize, e: &[u8]| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= (8 - bits % 8) % 8;
        json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
    };
    assert_eq!(why(rsa(RSA_BITS_MIN, &[1, 0, 1])), None);
    assert_eq!(why(rsa(RSA_BITS_MIN - 1, &[1, 0, 1])), Some(Unfit::RsaBits(RSA_BITS_MIN - 1)));
    assert_eq!(why(rsa(RSA_BITS_MAX, &[3])), None);
    assert_eq!(why(rsa(RSA_BITS_MAX + 1, &[3])), Some(Unfit::RsaBits(RSA_BITS_MAX + 1)));
    assert_eq!(why(rsa(2048, &[0xff; RSA_EXPONENT_BYTES_MAX])), None);
    for e in [&[0xff; RSA_EXPONENT_BYTES_MAX + 1][..], &[1], &[2], &[1, 0, 0]] {
        assert_eq!(why(rsa(2048, e)), Some(Unfit::RsaExponent), "{e:?}");
    }
    assert_eq!(why(rsa(2048, &[])), Some(Unfit::Member("e")));
    assert_eq!(why(rsa(2048, &[0, 1, 0, 1])), Some(Unfit::Member("e")), "a leading zero is another spelling");
    let secret = |length: usize| why(json!({ "kty": "oct", "k": encode(vec![1; length]) }));
    assert_eq!((secret(SECRET_BYTES_MIN), secret(SECRET_BYTES_MAX)), (None, None));
    for length in [0, SECRET_BYTES_MIN - 1, SECRET_BYTES_MAX + 1] {
        assert_eq!(secret(length), Some(Unfit::SecretLength), "{length}");
    }
}

#[test]
fn the_digest_is_over_what_the_keys_are_and_not_how_they_are_written() {
    let (one, two) = (Signer::es256(1).jwk("a"), Signer::ed25519(2).jwk("b"));
    let mut decorated = one.clone();
    decorated["x5t"] = json!("AAAA");
    let digest = |keys: &[Value]| load(keys).unwrap().digest();
    assert_eq!(digest(&[one.clone(), two.clone()]), digest(&[two.clone(), decorated]));
    assert_ne!(digest(std::slice::from_ref(&one)), digest(&[one.clone(), two.clone()]));
    assert_ne!(digest(std::slice::from_ref(&two)), digest(&[Signer::ed25519(2).jwk("c")]));
}

#[test]
fn the_thumbprints_of_the_rfcs_are_met() {
    // RFC 7638 §3.1 and RFC 8037 §A.3.
    let rsa = json!({ "kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let set = load(&[rsa, ed]).unwrap();
    let thumbprints: Vec<String> = set.keys().iter().map(|key| key.thumbprint().to_string()).collect();
    assert_eq!(
        thumbprints,
        ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]
    );
}
