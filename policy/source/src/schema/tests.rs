use std::collections::BTreeSet;

use super::*;
use crate::read::KEYS;
use crate::tests::{BASE, ORDERS};

/// The definition of each kind of table.
const DEFINITIONS: &[(&str, &str)] = &[
    ("[policy]", "PolicyTable"),
    ("[[issuer]]", "IssuerTable"),
    ("keys", "KeysTable"),
    ("introspection", "IntrospectionTable"),
    ("[[client_ca]]", "ClientCaTable"),
    ("crl", "CrlTable"),
    ("file", "FileTable"),
    ("[[origin]]", "OriginTable"),
    ("tls", "TlsTable"),
    ("credentials", "CredentialsTable"),
    ("assertion", "AssertionTable"),
    ("[[route]]", "RouteTable"),
    ("[[scope]]", "ScopeTable"),
    ("[[agent]]", "AgentTable"),
    ("identity", "ProofsTable"),
    ("token", "TokenTable"),
    ("limits", "LimitTable"),
    ("[[api_key]]", "ApiKeyTable"),
    ("[[case]]", "CaseTable"),
    ("steps", "StepTable"),
    ("token of a case", "CaseTokenTable"),
    ("expect", "ExpectTable"),
];

#[test]
fn the_schema_knows_the_keys_of_the_reader() {
    let schema = schema();
    for (what, keys) in KEYS {
        let definition = match DEFINITIONS.iter().find(|(table, _)| table == what) {
            Some((_, name)) => &schema["$defs"][*name],
            None => &schema,
        };
        let properties = definition["properties"].as_object().unwrap_or_else(|| panic!("{what}: {definition}"));
        let known: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(known, keys.iter().copied().collect(), "{what}");
        assert_eq!(definition["additionalProperties"], false, "{what}");
        for (key, property) in properties {
            assert!(property["description"].is_string(), "{what} {key} is not described: {property}");
        }
    }
}

#[test]
fn policies_fit_the_schema() {
    for text in [BASE, ORDERS] {
        toml::from_str::<PolicySource>(text).unwrap();
    }
    assert!(toml::from_str::<PolicySource>(&BASE.replace("host", "hots")).is_err());
}

#[test]
fn the_schema_is_a_schema() {
    let schema = schema();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
    assert_eq!(schema["required"][0], "policy");
    assert_eq!(schema["properties"]["agent"]["items"]["$ref"], "#/$defs/AgentTable");
}

#[test]
fn the_schema_knows_the_reasons_of_cases() {
    let schema = schema();
    let words = schema["$defs"]["ReasonWord"]["enum"].as_array().unwrap_or_else(|| panic!("{schema}"));
    let words: BTreeSet<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words, policy::case::REASONS.iter().map(|reason| reason.name()).collect());
}
