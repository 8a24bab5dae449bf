//! What several tests start from: a small policy with every moving part, and its files.

pub mod rig;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use activation::activation::ReleaseFacts;
use policy::model::{
    Agent, Algorithm, Audit, ClientCa, Identity, Issuer, Keys, Methods, MinimumTransport, Origin, Policy, Proofs,
    Route, Scope, Subject, TokenProof,
};

use crate::assemble::{ChainFiles, ClientCertificates, ListenerFiles, MinimumVersion, Node};

pub const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"a","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
pub const JWKS_OTHER: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"b","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

/// A digest that ends with `number`.
pub fn digest(number: u64) -> String {
    format!("sha256:{number:064x}")
}

pub fn facts() -> ReleaseFacts {
    ReleaseFacts {
        digest: digest(0),
        policy_name: "p".to_owned(),
        version: 7,
        expires_s: Some(4_000_000_000),
        signers: vec!["ops".to_owned()],
    }
}

pub fn policy(keys: Keys, client_ca: Option<String>) -> Policy {
    let token = TokenProof { issuer: "corp".to_owned(), subject: Subject::Exactly("bot".to_owned()), bound: None };
    let proofs = Proofs { token: Some(token), ..Proofs::default() };
    Policy {
        name: "p".to_owned(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![Issuer {
            name: "corp".to_owned(),
            issuer: "https://id.example".to_owned(),
            audience: vec!["api".to_owned()],
            algorithms: vec![Algorithm::ES256],
            keys,
            introspection: None,
            scope_claim: None,
            leeway_s: 0,
        }],
        client_cas: client_ca
            .map(|certificates| ClientCa { name: "ca".to_owned(), certificates, crl: None })
            .into_iter()
            .collect(),
        origins: vec![Origin {
            name: "o".to_owned(),
            addresses: vec!["127.0.0.1:1".to_owned()],
            tls: None,
            pass_credentials: false,
            credential: None,
            assertion: None,
        }],
        routes: vec![Route {
            name: "r".to_owned(),
            host: "*".to_owned(),
            methods: Methods::Any,
            path: "/{rest...}".to_owned(),
            origin: "o".to_owned(),
            encoded_slash: false,
            path_parameters: false,
        }],
        scopes: vec![Scope { name: "s".to_owned(), routes: vec!["r".to_owned()] }],
        agents: vec![Agent {
            name: "bot".to_owned(),
            identity: vec![Identity::Proofs(proofs)],
            scopes: vec!["s".to_owned()],
            limits: vec![],
        }],
        api_keys: vec![],
    }
}

/// Writes a self-signed chain and its key for `names`, the key private.
pub fn write_chain(directory: &Path, stem: &str, names: &[&str]) -> ChainFiles {
    let of = ChainFiles::given(directory.join(format!("{stem}.pem")), directory.join(format!("{stem}.key")));
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(&of.chain, made.cert.pem()).unwrap();
    std::fs::write(&of.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&of.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    of
}

pub fn listener(certificates: Vec<ChainFiles>) -> ListenerFiles {
    ListenerFiles {
        certificates,
        awaited: Vec::new(),
        client_certificates: ClientCertificates::Off,
        min_version: MinimumVersion::Tls12,
    }
}

pub fn node(directory: &Path, certificates: Vec<ChainFiles>) -> Node {
    Node { listeners: vec![Some(listener(certificates)), None], base: directory.to_owned(), ..Node::default() }
}

pub fn node_key() -> std::sync::Arc<crate::node::NodeKey> {
    std::sync::Arc::new(crate::node::NodeKey::ephemeral().unwrap())
}
