//! The examples of RFC 7520 §4, RFC 8037 and RFC 7797.

use identity::token::{Keyset, TokenFault, jws};
use serde_json::{Value, json};

use crate::signatures::ALL;
use crate::vectors;

/// The public part of an example's key.
fn keyset(example: &Value) -> Keyset {
    let mut key = example["input"]["key"].clone();
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        key.as_object_mut().unwrap().remove(private);
    }
    Keyset::from_jwks(&json!({ "keys": [key] }).to_string(), &ALL).unwrap()
}

#[test]
fn compact_examples_of_known_algorithms_verify_to_their_payload() {
    for name in ["jws/4_1.rsa_v15_signature.json", "jws/4_4.hmac-sha2_integrity_protection.json", "curve25519/jws.json"]
    {
        let Some(example) = vectors::read(&format!("jose/cookbook/{name}")) else {
            continue;
        };
        let token = example["output"]["compact"].as_str().unwrap();
        let payload = jws::verify(token.as_bytes(), &keyset(&example), &ALL).unwrap();
        assert_eq!(payload, example["input"]["payload"].as_str().unwrap().as_bytes(), "{name}");
    }
}

#[test]
fn algorithms_that_the_language_does_not_know_are_refused() {
    // PS384 and ES512.
    for name in ["4_2.rsa-pss_signature.json", "4_3.ecdsa_signature.json"] {
        let Some(example) = vectors::read(&format!("jose/cookbook/jws/{name}")) else {
            continue;
        };
        let any = Keyset::from_jwks(&json!({ "keys": [crate::signer::Signer::ed25519(1).jwk("a")] }).to_string(), &ALL);
        let token = example["output"]["compact"].as_str().unwrap();
        assert_eq!(jws::verify(token.as_bytes(), &any.unwrap(), &ALL), Err(TokenFault::AlgorithmRefused), "{name}");
    }
}

#[test]
fn detached_and_unencoded_payloads_and_json_serialisations_are_refused() {
    for name in [
        "jws/4_5.signature_with_detached_content.json",
        "jws/4_6.protecting_specific_header_fields.json",
        "jws/4_7.protecting_content_only.json",
        "jws/4_8.multiple_signatures.json",
        "rfc7797/4.2.hmac-sha2_b64_false.json",
        "rfc7797/hmac-sha2_b64_false.json",
    ] {
        let Some(example) = vectors::read(&format!("jose/cookbook/{name}")) else {
            continue;
        };
        let secret = json!({ "kty": "oct", "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg" });
        let keyset = if example["input"]["key"].is_object() {
            keyset(&example)
        } else {
            Keyset::from_jwks(&json!({ "keys": [secret] }).to_string(), &ALL).unwrap()
        };
        let mut forms = 0;
        for form in ["compact", "json", "json_flat"] {
            if let Some(output) = example["output"].get(form) {
                let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
                assert!(jws::verify(text.as_bytes(), &keyset, &ALL).is_err(), "{name} {form}");
                forms += 1;
            }
        }
        // As compact tokens, also where the example gives JSON alone.
        if let (Some(input), Some(signature)) =
            (example["signing"]["sig-input"].as_str(), example["signing"]["sig"].as_str())
        {
            let verified = jws::verify(format!("{input}.{signature}").as_bytes(), &keyset, &ALL);
            // With its content put back, a detached token and a flattened one are whole; the others still are not.
            let whole = name.contains("4_5") || name.contains("4_6");
            assert_eq!(verified.is_ok(), whole, "{name}");
            forms += 1;
        }
        assert!(forms > 0, "{name}");
    }
}
