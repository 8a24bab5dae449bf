//! An origin that takes only what came through a gateway: it verifies assertions as docs/operating.md tells origins to,
//! with a library of others, and fetches the gateway's public keys again where it does not know one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rustls::ClientConfig;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::answer::Answer;
use crate::client::{Client, once};
use crate::wire::RequestHead;

pub const FIELD: &str = "Adamant-Assertion";
pub const AUDIENCE: &str = "orders";
const JWKS: &str = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Seconds that the clocks of gateway and origin may be apart.
const LEEWAY_S: u64 = 5;

/// What an origin looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    AtAll,
    /// As many do at first: signature and life alone, not what the assertion is about.
    AtSignatureAlone,
}

/// The keeper of an origin's door; shared with its script.
pub struct Verifier {
    looks: Looks,
    /// Fetches the gateway's public keys, once it runs.
    gateway: OnceLock<Box<dyn Fn() -> String + Send + Sync>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    keys: BTreeMap<String, DecodingKey>,
    /// Keys of what was taken, and when first.
    used: BTreeMap<String, Instant>,
    requests: BTreeSet<String>,
    refusals: Vec<String>,
}

impl Verifier {
    pub fn new(looks: Looks) -> Arc<Self> {
        Arc::new(Self { looks, gateway: OnceLock::new(), seen: Mutex::default() })
    }

    /// The gateway whose requests it takes, by its admin listener.
    pub fn trust(&self, admin: SocketAddr) {
        self.trust_by(move || once(admin, JWKS).text());
    }

    /// The same by its status listener, whose certificate is for `name`.
    pub fn trust_status(&self, status: SocketAddr, name: &'static str, config: Arc<ClientConfig>) {
        self.trust_by(move || {
            Client::connect_tls(status, name, &config).expect("a status listener").exchange(JWKS).text()
        });
    }

    fn trust_by(&self, fetch: impl Fn() -> String + Send + Sync + 'static) {
        assert!(self.gateway.set(Box::new(fetch)).is_ok(), "one gateway");
    }

    /// Answers 200 to what came through the gateway, 401 to everything else.
    pub fn answer(&self, head: &RequestHead) -> Answer {
        match self.check(head) {
            Ok(_) => Answer::text("ok"),
            Err(why) => {
                self.seen.lock().unwrap().refusals.push(why);
                Answer::new(401)
            }
        }
    }

    /// What the assertion of a request says, if all of it holds.
    pub fn check(&self, head: &RequestHead) -> Result<Value, String> {
        let fields: Vec<_> = head.fields.iter().filter(|field| folded(&field.name) == folded(FIELD)).collect();
        let [field] = fields.as_slice() else { return Err(format!("{} assertions", fields.len())) };
        let token = field.text();
        let header = decode_header(token).map_err(|error| error.to_string())?;
        if header.typ.as_deref() != Some("adamant-assertion+jwt") {
            return Err(format!("typ {:?}", header.typ));
        }
        let kid = header.kid.ok_or("no kid")?;
        let key = self.key(&kid)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&["tests"]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        validation.leeway = LEEWAY_S;
        let claims = decode::<Value>(token, &key, &validation).map_err(|error| error.to_string())?.claims;
        if self.looks == Looks::AtAll {
            self.check_request(head, &claims)?;
        }
        self.seen.lock().unwrap().used.entry(kid).or_insert_with(Instant::now);
        Ok(claims)
    }

    fn check_request(&self, head: &RequestHead, claims: &Value) -> Result<(), String> {
        let target = URL_SAFE_NO_PAD.encode(Sha256::digest(&head.target));
        let host = head.value("Host").unwrap_or_default();
        for (name, expected) in [("htm", head.method.as_str()), ("authority", host), ("target_sha256", &target)] {
            if claims[name] != expected {
                return Err(format!("{name} is {}, expected {expected}", claims[name]));
            }
        }
        if claims["exp"].as_u64().zip(claims["iat"].as_u64()).is_none_or(|(exp, iat)| exp - iat > 60) {
            return Err("lives too long".to_owned());
        }
        let id = claims["jti"].as_str().ok_or("no jti")?.to_owned();
        if self.seen.lock().unwrap().requests.insert(id) { Ok(()) } else { Err("a replay".to_owned()) }
    }

    /// The key, fetched where it is not known.
    fn key(&self, kid: &str) -> Result<DecodingKey, String> {
        if let Some(key) = self.seen.lock().unwrap().keys.get(kid) {
            return Ok(key.clone());
        }
        self.fetch();
        self.seen.lock().unwrap().keys.get(kid).cloned().ok_or_else(|| format!("no key {kid}"))
    }

    /// Fetches the gateway's public keys, and forgets the ones before.
    pub fn fetch(&self) {
        let fetch = self.gateway.get().expect("a gateway");
        let set: JwkSet = serde_json::from_str(&fetch()).expect("a JWK Set");
        let mut seen = self.seen.lock().unwrap();
        let kid = |jwk: &jsonwebtoken::jwk::Jwk| jwk.common.key_id.clone().expect("a kid");
        seen.keys = set.keys.iter().map(|jwk| (kid(jwk), DecodingKey::from_jwk(jwk).expect("a key"))).collect();
    }

    /// Why it refused what it refused.
    pub fn refusals(&self) -> Vec<String> {
        self.seen.lock().unwrap().refusals.clone()
    }

    /// Keys that it saw signatures of, and when first.
    pub fn used(&self) -> BTreeMap<String, Instant> {
        self.seen.lock().unwrap().used.clone()
    }
}

fn folded(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

/// The claims of an assertion, not verified.
pub fn claims_of(assertion: &str) -> Value {
    let payload = assertion.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}
