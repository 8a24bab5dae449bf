use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{keys, release};

/// The keys of RFC 8032 §7.1 TEST 1 and 2.
const SEED_A: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const SEED_B: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";

fn key(seed: &str) -> SigningKey {
    SigningKey::generate(crate::digest::unhex(seed).unwrap()).unwrap()
}

/// DSSE protocol 1.0, "Signature Definition": the example.
#[test]
fn pae_of_the_specification() {
    let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    // Lengths are of bytes, not of characters.
    assert_eq!(pae("é", b"\xff"), b"DSSEv1 2 \xc3\xa9 1 \xff");
}

/// Ed25519 over PAE, the values of the DSSE test vectors `threshold-two-distinct-keys` and `empty-payload`; the last
/// two come from `openssl pkeyutl -sign -rawin` over the encoding written by hand.
#[test]
fn signatures_of_the_vectors() {
    let statement = b"{\"_type\":\"https://in-toto.io/Statement/v1\"}".as_slice();
    let in_toto = "application/vnd.in-toto+json";
    let a = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA==";
    let b = "c1+67/aT0yqEpwx8PsVY3MLHsj9D0CZ014/Fv/QlG59P+9CobUZ7xECJ/V3USG0Ob9CiE5LjReEZUzNF2l7eBw==";
    let empty = "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==";
    let hello = "4DHX3Zn4qpBKvEj7maE8O9u9bjXEnPLLnyXVUJ2PXJR8DSLcL3QDpFvfJOj3pB/SPHsl6Jg4boxsMb6KvuYABw==";
    for (seed, payload_type, payload, signature) in [
        (SEED_A, in_toto, statement, a),
        (SEED_B, in_toto, statement, b),
        (SEED_A, in_toto, b"".as_slice(), empty),
        (SEED_A, "http://example.com/HelloWorld", b"hello world", hello),
    ] {
        let (key, message) = (key(seed), pae(payload_type, payload));
        let bytes = key.sign(&message).unwrap();
        assert_eq!(STANDARD.encode(bytes), signature);
        assert!(key.public().verifies(&message, &bytes));
        assert!(!key.public().verifies(&pae("application/vnd.example.other+json", payload), &bytes));
    }
}

#[test]
fn a_release_envelope_signed_as_openssl_does() {
    let mut envelope = Envelope::new(Kind::Release, b"{}").unwrap();
    envelope.sign(&key(SEED_A)).unwrap();
    let expected = concat!(
        "{\"payload\":\"e30=\",\"payloadType\":\"application/vnd.adamant.release.v1+json\",\"signatures\":[{",
        "\"keyid\":\"06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9\",",
        "\"sig\":\"k1f7902tStamCSZ/LIAIWYWLK0Kx9xchFJkpy3wJWYIU+NLwYXdsKwm6QJojdonWxFc5jDc9K6kZW9clV2xeBw==\"}]}\n"
    );
    assert_eq!(String::from_utf8(envelope.to_bytes()).unwrap(), expected);
    assert_eq!(Envelope::parse(expected.as_bytes()).unwrap(), envelope);
}

#[test]
fn wrapper_form_is_free_and_strict() {
    let envelope = release(&keys(1));
    let mut json: Value = serde_json::from_slice(&envelope.to_bytes()).unwrap();
    let pretty = serde_json::to_vec_pretty(&json).unwrap();
    assert_eq!(Envelope::parse(&pretty).unwrap(), envelope);
    let url_safe = json["payload"].as_str().unwrap().replace('+', "-").replace('/', "_");
    json["payload"] = url_safe.into();
    assert_eq!(Envelope::parse(&serde_json::to_vec(&json).unwrap()).unwrap(), envelope);
    // The same payload with JSON escapes in the wrapper.
    let text = String::from_utf8(envelope.to_bytes()).unwrap().replace("application/", "application\\/");
    assert_eq!(Envelope::parse(text.as_bytes()).unwrap(), envelope);
}

#[test]
fn refuses_other_wrappers() {
    let envelope = release(&keys(1));
    let good: Value = serde_json::from_slice(&envelope.to_bytes()).unwrap();
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut json = good.clone();
        edit(&mut json);
        Envelope::parse(&serde_json::to_vec(&json).unwrap()).unwrap_err()
    };
    assert!(matches!(with(&|json| json["note"] = json!("x")), EnvelopeFault::Json(_)));
    assert!(matches!(with(&|json| json["signatures"][0]["cert"] = json!("x")), EnvelopeFault::Json(_)));
    assert!(matches!(with(&|json| json["signatures"] = json!(null)), EnvelopeFault::Json(_)));
    assert!(matches!(with(&|json| json["payload"] = json!(5)), EnvelopeFault::Json(_)));
    assert!(matches!(with(&|json| json["payloadType"] = json!("")), EnvelopeFault::PayloadType { .. }));
    assert!(matches!(with(&|json| json["payloadType"] = json!("application/json")), EnvelopeFault::PayloadType { .. }));
    for payload in ["e30", "e30==", "e31=", "e3 0=", "e30=\n", "====", "=", "e30=e30=", "-+30", "é30="] {
        let error = with(&|json| json["payload"] = json!(payload));
        assert!(matches!(error, EnvelopeFault::Base64 { .. }), "{payload}: {error}");
    }
    let error = with(&|json| json["signatures"][0]["sig"] = json!("AAAA"));
    assert!(matches!(error, EnvelopeFault::SignatureLength { found: 3, .. }));
    for keyid in ["", "A", &"G".repeat(64), &"0".repeat(65)] {
        assert!(matches!(with(&|json| json["signatures"][0]["keyid"] = json!(keyid)), EnvelopeFault::Json(_)));
    }
    let without_keyid = with(&|json| {
        json["signatures"][0].as_object_mut().unwrap().remove("keyid");
    });
    assert!(without_keyid.to_string().contains("keyid"), "{without_keyid}");

    let text = String::from_utf8(envelope.to_bytes()).unwrap();
    let twice = text.replacen('{', "{\"payload\":\"e30=\",", 1);
    assert!(matches!(Envelope::parse(twice.as_bytes()), Err(EnvelopeFault::Json(_))), "a repeated member");
    assert!(matches!(Envelope::parse(format!("{text}{text}").as_bytes()), Err(EnvelopeFault::Json(_))));
    assert!(matches!(Envelope::parse("[".repeat(100_000).as_bytes()), Err(EnvelopeFault::Json(_))));
    assert!(matches!(Envelope::parse(b""), Err(EnvelopeFault::Json(_))));
}

#[test]
fn every_bound_is_reached() {
    let over = |kind: Kind, by: usize| Envelope::new(kind, &vec![b'1'; kind.payload_bytes_max() + by]);
    assert!(matches!(over(Kind::Pointer, 1), Err(EnvelopeFault::Size { what: "payload", .. })));
    let full = over(Kind::Pointer, 0).unwrap().to_bytes();
    assert_eq!(Envelope::parse_kind(&full, Kind::Pointer).unwrap().payload().len(), POINTER_BYTES_MAX);
    let root = over(Kind::TrustRoot, 0).unwrap().to_bytes();
    assert!(matches!(Envelope::parse_kind(&root, Kind::Pointer), Err(EnvelopeFault::Size { what: "envelope", .. })));
    let relabelled =
        String::from_utf8(root).unwrap().replace(Kind::TrustRoot.payload_type(), Kind::Pointer.payload_type());
    assert!(matches!(Envelope::parse(relabelled.as_bytes()), Err(EnvelopeFault::Size { what: "payload", .. })));
    let small = release(&keys(1)).to_bytes();
    let padded = [small.as_slice(), &[b' '; WRAPPER_BYTES_MAX]].concat();
    assert!(matches!(Envelope::parse(&padded), Err(EnvelopeFault::Size { what: "text around the payload", .. })));

    let mut envelope = Envelope::new(Kind::Release, b"{}").unwrap();
    let many = keys(SIGNATURES_MAX as u8 + 1);
    many.iter().take(SIGNATURES_MAX).for_each(|key| envelope.sign(key).unwrap());
    assert_eq!(Envelope::parse(&envelope.to_bytes()).unwrap().signatures().len(), SIGNATURES_MAX);
    assert!(matches!(envelope.clone().sign(many.last().unwrap()), Err(EnvelopeFault::Signatures)));
    let text = String::from_utf8(envelope.to_bytes()).unwrap();
    let (head, tail) = text.split_at(text.find("{\"keyid").unwrap());
    let first = &tail[..=tail.find('}').unwrap()];
    let more = format!("{head}{first},{tail}");
    assert!(Envelope::parse(more.as_bytes()).unwrap_err().to_string().contains("at most 32 signatures"));
}

#[test]
fn detached_signatures_in_any_order_give_the_same_file() {
    let keys = keys(3);
    let unsigned = release([]);
    let detached: Vec<_> = keys.iter().map(|key| unsigned.detached(key).unwrap()).collect();
    let gather = |order: &[usize]| {
        let mut envelope = unsigned.clone();
        for i in order {
            let bytes = detached[*i].to_bytes().unwrap();
            assert!(Detached::is_likely(&bytes) && !Detached::is_likely(&unsigned.to_bytes()));
            envelope.merge(&Detached::parse(&bytes).unwrap()).unwrap();
        }
        envelope.to_bytes()
    };
    assert_eq!(gather(&[0, 1, 2]), gather(&[2, 0, 2, 1]));
    assert_eq!(gather(&[0, 1, 2]), release(&keys).to_bytes());
    let mut merged = release(&keys[..2]);
    merged.merge_envelope(&release(&keys[1..])).unwrap();
    assert_eq!(merged.to_bytes(), release(&keys).to_bytes());
}

#[test]
fn merge_refuses_what_is_over_something_else() {
    let keys = keys(2);
    let mut envelope = release([]);
    let other = Envelope::new(Kind::Release, b"{}").unwrap();
    assert!(matches!(envelope.merge(&other.detached(&keys[0]).unwrap()), Err(EnvelopeFault::OtherPayload { .. })));
    assert!(matches!(envelope.merge_envelope(&other), Err(EnvelopeFault::OtherPayload { .. })));
    let pointer = Envelope::new(Kind::Pointer, envelope.payload()).unwrap();
    assert!(matches!(envelope.merge(&pointer.detached(&keys[0]).unwrap()), Err(EnvelopeFault::Kind { .. })));
    assert!(matches!(envelope.merge_envelope(&pointer), Err(EnvelopeFault::Kind { .. })));
    let mut forged = envelope.detached(&keys[0]).unwrap();
    forged.signature.bytes[0] ^= 1;
    assert!(matches!(envelope.merge(&forged), Err(EnvelopeFault::BadSignature(_))));
    let mut relabelled = envelope.detached(&keys[0]).unwrap();
    relabelled.public_key = keys[1].public();
    assert!(matches!(envelope.merge(&relabelled), Err(EnvelopeFault::BadSignature(_))));
    assert_eq!(envelope, release([]));
}

proptest! {
    #[test]
    fn no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Envelope::parse(&bytes);
        let _ = Detached::parse(&bytes);
    }

    /// Bytes that look like an envelope, cut and changed anywhere.
    #[test]
    fn no_panic_near_an_envelope(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut bytes = release(&keys(1)).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Envelope::parse(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn payload_comes_back_byte_for_byte(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
        let envelope = Envelope::new(Kind::Release, &payload).unwrap();
        let again = Envelope::parse(&envelope.to_bytes()).unwrap();
        prop_assert_eq!(again.payload(), payload.as_slice());
        prop_assert_eq!(again.signed_bytes().to_vec(), pae(Kind::Release.payload_type(), &payload));
    }
}
