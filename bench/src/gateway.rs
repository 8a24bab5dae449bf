//! An activation as a gateway has it, for one agent with every kind of credential among a thousand others.

use std::sync::Arc;

use activation::Activation;
use activation::activation::{ApiKey, Origin, ReleaseFacts};
use activation::counters::Arena;
use activation::uses::{Uses, Words, key_names};
use bench_counts::policies::{agent_name, policy_of};
use identity::certificate::CaSet;
use identity::token::Issuer;
use policy::compile::compile;
use policy::model::{self, CertificateName, CertificateProof, ClientCa, Identity, Policy, Proofs};
use policy::table::Table;

use crate::credentials::{self, SPIFFE};

/// 2026-11-22, in nanoseconds since the Unix epoch: time is an argument.
pub const NOW_NS: u64 = 1_795_305_600 * 1_000_000_000;
const AGENT: usize = 500;
const KEY_ID: &str = "bench-1";
const CA: &str = "agents";

/// An activation, and what its agent presents.
pub struct Gateway {
    pub activation: Arc<Activation>,
    pub token: String,
    pub api_key: String,
    pub chain: Vec<rustls::pki_types::CertificateDer<'static>>,
}

impl Gateway {
    /// The agent's token is signed by `algorithm`.
    pub fn new(algorithm: &str) -> Self {
        let mut policy = policy_of(1_000, 100);
        let (chain, cas, authority) = credentials::certificate(CA);
        policy.client_cas = vec![ClientCa { name: CA.into(), certificates: authority, crl: None }];
        policy.api_keys = vec![model::ApiKey { id: KEY_ID.into(), sha256: None, expires_s: None }];
        let name = CertificateName::Spiffe(SPIFFE.into());
        policy.agents[AGENT].identity.extend([
            Identity::Proofs(Proofs { api_keys: vec![KEY_ID.into()], ..Proofs::default() }),
            Identity::Proofs(Proofs {
                certificate: Some(CertificateProof { name, ca: CA.into() }),
                ..Proofs::default()
            }),
        ]);
        let (token, issuer) = credentials::token(algorithm, &agent_name(AGENT), &policy.issuers[0]);
        let api_key = identity::api_key::generate(KEY_ID, [9; 32]).unwrap().as_str().to_owned();
        let activation = Arc::new(activate(&policy, issuer, cas, &api_key));
        Self { activation, token, api_key, chain }
    }
}

fn activate(policy: &Policy, issuer: Arc<Issuer>, client_cas: Arc<CaSet>, api_key: &str) -> Activation {
    let image = sys::Image::new(&compile(policy, [7; 32]).unwrap()).unwrap();
    let table = Arc::new(Table::load(image).unwrap());
    let limits = Arc::new(Arena::new().slots(&table, NOW_NS).unwrap());
    let issuers = vec![issuer];
    let of_policy = Words::new(1, 1, policy.agents.len() + policy.api_keys.len());
    let of_keys = Words::new(2, 1, key_names(&issuers).len());
    let uses = Uses::new(Arc::new(of_policy), policy.agents.len(), Arc::new(of_keys), &issuers);
    let sha256 = Some(identity::api_key::digest(api_key.as_bytes()));
    Activation {
        id: 1,
        release: ReleaseFacts {
            digest: format!("sha256:{}", "5".repeat(64)),
            policy_name: policy.name.clone(),
            version: 1,
            expires_s: None,
            signers: vec![],
        },
        audit: policy.audit,
        transport: policy.transport,
        table,
        table_sha256: String::new(),
        limits,
        issuers,
        client_cas,
        api_keys: Arc::new([ApiKey { sha256, expires_s: None }]),
        origins: vec![Arc::new(Origin {
            name: "office".into(),
            identity: 1,
            section: [0; 32],
            addresses: vec![],
            tls: None,
            pass_credentials: false,
            injected: None,
            assertion: None,
        })],
        listeners: vec![None],
        challenges: None,
        ended: Arc::default(),
        revoked: Arc::default(),
        filled: Arc::default(),
        uses: Arc::new(uses),
    }
}
