//! Keys, roots and policies for the tests of this crate.

use policy::model::{Agent, ApiKey, Audit, Identity, MinimumTransport, Origin, Policy, Proofs, Route, Scope};
use policy::model::{Limit, LimitKind, Methods, Per, Unit};

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::key::SigningKey;
use crate::manifest::Manifest;
use crate::root::{RoleKeys, Roles, RootClaims, RootKey, TrustRoot, verify_root};
use crate::time::Timestamp;

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `count` signing keys, the same ones each time.
pub fn keys(count: u8) -> Vec<SigningKey> {
    (1..=count).map(|i| SigningKey::generate([i; 32]).unwrap()).collect()
}

pub fn owners(keys: &[SigningKey]) -> Vec<RootKey> {
    keys.iter().enumerate().map(|(i, key)| RootKey::new(&format!("owner-{i}"), key.public())).collect()
}

pub fn same_roles(keys: &[SigningKey], threshold: u32) -> Roles {
    let of_all = RoleKeys { keys: keys.iter().map(|key| key.public().id()).collect(), threshold };
    Roles {
        keys: Some(of_all.clone()),
        pointer: of_all.clone(),
        release_narrower: of_all.clone(),
        release_wider: of_all.clone(),
        revocation: of_all.clone(),
        root: of_all,
    }
}

pub fn claims(version: u64, keys: &[SigningKey], threshold: u32) -> RootClaims {
    let expires = time("2030-01-01T00:00:00Z");
    RootClaims::new(version, expires, owners(keys), same_roles(keys, threshold)).unwrap()
}

pub fn signed<'k>(claims: &RootClaims, by: impl IntoIterator<Item = &'k SigningKey>) -> Vec<u8> {
    let mut envelope = claims.to_envelope().unwrap();
    by.into_iter().for_each(|key| envelope.sign(key).unwrap());
    envelope.to_bytes()
}

/// A root where every role needs `threshold` of `keys`, signed by all of them.
pub fn root_of(keys: &[SigningKey], threshold: u32) -> TrustRoot {
    verify_root(&signed(&claims(1, keys, threshold), keys)).unwrap()
}

pub fn policy() -> Policy {
    Policy {
        name: "orders-edge".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![],
        client_cas: vec![],
        origins: vec![Origin {
            name: "orders".into(),
            addresses: vec!["10.0.0.5:8080".into()],
            tls: None,
            pass_credentials: false,
            credential: None,
            assertion: None,
        }],
        routes: vec![Route {
            name: "order-read".into(),
            host: "api.corp.example".into(),
            methods: Methods::Only(vec!["GET".into()]),
            path: "/orders/{id}".into(),
            origin: "orders".into(),
            encoded_slash: false,
            path_parameters: false,
        }],
        scopes: vec![Scope { name: "orders:read".into(), routes: vec!["order-read".into()] }],
        agents: vec![Agent {
            name: "reports-bot".into(),
            identity: vec![Identity::Proofs(Proofs { api_keys: vec!["reports-1".into()], ..Proofs::default() })],
            scopes: vec!["orders:read".into()],
            limits: vec![Limit {
                name: "minute".into(),
                kind: LimitKind::Rate { burst: 5 },
                count: 60,
                unit: Unit::Minute,
                per: Per::Agent,
            }],
        }],
        api_keys: vec![ApiKey { id: "reports-1".into(), sha256: Some("0".repeat(64)), expires_s: Some(1_801_353_600) }],
    }
}

pub fn manifest() -> Manifest {
    let parent = Some(Digest::of(b"parent"));
    Manifest::new(policy(), 3, parent, time("2027-01-31T00:00:00Z"), vec![]).unwrap()
}

pub fn release<'k>(by: impl IntoIterator<Item = &'k SigningKey>) -> Envelope {
    let mut envelope = manifest().to_envelope().unwrap();
    by.into_iter().for_each(|key| envelope.sign(key).unwrap());
    envelope
}
