//! Tests of whole sources.

mod assertion;
mod bindings;
mod cases;
mod introspection;
mod mistakes;
mod properties;
mod sizes;
mod testcases;
mod whole;

use std::collections::HashMap;

use crate::{Files, Loaded, Severity, load};

/// Files in memory.
pub(crate) struct Memory(HashMap<String, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

pub(crate) const JWKS: &str = include_str!("../examples/corp.jwks.json");
pub(crate) const AGENTS_CA: &str = include_str!("../examples/agents-ca.pem");
pub(crate) const ORIGINS_CA: &str = include_str!("../examples/origins-ca.pem");
pub(crate) const ORDERS: &str = include_str!("../examples/orders.toml");

pub(crate) fn files() -> Memory {
    let private_jwks = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"x","y":"y","d":"secret"}]}"#;
    let rsa_jwks = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#;
    let private_pem = format!("{AGENTS_CA}-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n");
    let many_keys = format!(r#"{{"keys":[{}]}}"#, vec![r#"{"kty":"RSA"}"#; 65].join(","));
    let files = [
        ("corp.jwks.json", JWKS.into()),
        ("agents-ca.pem", AGENTS_CA.into()),
        ("origins-ca.pem", ORIGINS_CA.into()),
        ("private.json", private_jwks.into()),
        ("rsa.json", rsa_jwks.into()),
        ("many.json", many_keys.into_bytes()),
        ("text.json", "not json".into()),
        ("empty.json", r#"{"keys":[]}"#.into()),
        ("private.pem", private_pem.into_bytes()),
        ("text.pem", "no certificate".into()),
        ("cut.pem", AGENTS_CA.get(..200).unwrap().into()),
        ("many.pem", AGENTS_CA.repeat(33).into_bytes()),
        ("with-list.pem", format!("{AGENTS_CA}-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n").into_bytes()),
        ("with-key.pem", format!("{AGENTS_CA}-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n").into_bytes()),
        ("binary.pem", vec![0xff, 0xfe]),
        ("good.cases", "[[case]]\nname = \"from a file\"\nagent = \"bot\"\nrequest = \"GET https://api.example/orders/7\"\nexpect = \"permit\"\n".into()),
        ("wrong.cases", "[[case]]\nname = \"wrong\"\nagent = \"bott\"\nrequest = \"GET https://api.example/orders/7\"\nexpect = \"permit\"\n".into()),
        ("large.pem", vec![b'a'; (1 << 20) + 1]),
    ];
    Memory(files.into_iter().map(|(name, content): (&str, Vec<u8>)| (name.to_owned(), content)).collect())
}

pub(crate) fn load_text(text: &str) -> Loaded {
    load("policy.toml", text, &files())
}

/// The codes found, sorted.
pub(crate) fn codes(loaded: &Loaded) -> Vec<&'static str> {
    let mut codes: Vec<&str> = loaded.diagnostics.iter().map(|found| found.code).collect();
    codes.sort_unstable();
    codes
}

/// Loads a source without any finding.
pub(crate) fn clean(text: &str) -> policy::model::Policy {
    let loaded = load_text(text);
    assert!(loaded.diagnostics.is_empty(), "{}", crate::render(&loaded.diagnostics, "policy.toml", text, false));
    loaded.policy.unwrap()
}

pub(crate) fn has_errors(loaded: &Loaded) -> bool {
    loaded.diagnostics.iter().any(|found| found.severity == Severity::Error)
}

/// A small policy without any finding, to make mistakes in.
pub(crate) const BASE: &str = r#"[policy]
name = "p"

[[issuer]]
name = "corp"
issuer = "https://id.example"
audience = ["api"]
algorithms = ["ES256"]
keys = { file = "corp.jwks.json" }

[[client_ca]]
name = "agents"
certificates = { file = "agents-ca.pem" }

[[origin]]
name = "orders"
addresses = ["10.0.0.5:80"]

[[route]]
name = "read"
host = "api.example"
methods = ["GET"]
path = "/orders/{id}"
origin = "orders"

[[scope]]
name = "orders:read"
routes = ["read"]

[[agent]]
name = "bot"
identity = [{ certificate = "spiffe://corp.example/bot", ca = "agents", token = { issuer = "corp", subject = "bot" } }]
scopes = ["orders:read"]
limits = ["60/minute"]

[[agent]]
name = "staff"
identity = [{ token = { issuer = "corp", subject = "*" } }]
scopes = ["orders:read"]

[[agent]]
name = "tool"
identity = [{ api_key = ["tool-1"] }]
scopes = ["orders:read"]

[[api_key]]
id = "tool-1"
sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
"#;
