//! Wycheproof's JSON Web Signature vectors against the signature layer (the payloads are no claims).

use identity::token::{Keyset, TokenFault, jws};
use policy::model::Algorithm;
use serde_json::Value;

use crate::{refusals, vectors};

pub const ALL: [Algorithm; 6] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256, Algorithm::HS256];

/// The keyset of a test group: its public key, or its secret.
fn keyset(group: &Value) -> Result<Keyset, String> {
    let key = group.get("public").unwrap_or(&group["private"]);
    let set = serde_json::json!({ "keys": [key] }).to_string();
    Keyset::from_jwks(&set, &ALL).map_err(|error| error.to_string())
}

#[test]
fn every_invalid_vector_is_refused_and_every_refused_valid_one_is_listed() {
    let Some(file) = vectors::read("jose/json_web_signature_test.json") else {
        return;
    };
    let (mut valid, mut invalid, mut refused, mut accepted) = (0, 0, Vec::new(), Vec::new());
    for group in file["testGroups"].as_array().unwrap() {
        let keyset = keyset(group);
        for test in group["tests"].as_array().unwrap() {
            // Some vectors are JSON serialisations: an object where a compact token should stand.
            let jws = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            let verified = keyset.as_ref().is_ok_and(|keyset| jws::verify(jws.as_bytes(), keyset, &ALL).is_ok());
            let id = test["tcId"].to_string();
            match test["result"].as_str().unwrap() {
                "valid" => {
                    valid += 1;
                    if !verified {
                        refused.push(id);
                    }
                }
                _ => {
                    invalid += 1;
                    if verified {
                        accepted.push(id);
                    }
                }
            }
        }
    }
    println!("wycheproof jws: {valid} valid, {invalid} invalid, {} valid ones refused", refused.len());
    assert_eq!(valid + invalid, 401);
    assert_eq!(accepted, contradictory(&file), "invalid but accepted");
    refusals::assert_listed("wycheproof-jws", &refused);
}

/// Vectors marked invalid whose token is, byte for byte, that of a vector marked valid under the same key: the padding
/// that their comments speak of was lost before they were published.
fn contradictory(file: &Value) -> Vec<String> {
    let mut contradictory = Vec::new();
    for group in file["testGroups"].as_array().unwrap() {
        let tests = group["tests"].as_array().unwrap();
        let valid = |jws: &Value| tests.iter().any(|test| test["result"] == "valid" && test["jws"] == *jws);
        let both = tests.iter().filter(|test| test["result"] != "valid" && valid(&test["jws"]));
        contradictory.extend(both.map(|test| test["tcId"].to_string()));
    }
    contradictory
}

/// A group's own algorithm alone must do: the vectors do not pass because others are admitted beside it.
#[test]
fn a_valid_vector_fails_under_an_allow_list_without_its_algorithm() {
    let Some(file) = vectors::read("jose/json_web_signature_test.json") else {
        return;
    };
    let mut checked = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let Ok(keyset) = keyset(group) else {
            continue;
        };
        for test in group["tests"].as_array().unwrap() {
            let Some(token) = test["jws"].as_str().filter(|_| test["result"] == "valid") else {
                continue;
            };
            let fits = |algorithm: &Algorithm| jws::verify(token.as_bytes(), &keyset, &[*algorithm]).is_ok();
            let fitting = ALL.iter().filter(|algorithm| fits(algorithm)).count();
            if jws::verify(token.as_bytes(), &keyset, &ALL).is_ok() {
                assert_eq!(fitting, 1, "{token}");
                assert_eq!(jws::verify(token.as_bytes(), &keyset, &[]), Err(TokenFault::AlgorithmRefused));
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "{checked}");
}
