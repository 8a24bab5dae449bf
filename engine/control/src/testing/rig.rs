//! A watcher that serves a small policy from real files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activation::counters::Arena;
use policy::model::{Keys, Policy};

use crate::activate::Activator;
use crate::assemble::{CredentialSource, Frozen, OriginCredential, Placement, assemble};
use crate::memory::Register;
use crate::names::Addresses;
use crate::records::{self, Records, Target};
use crate::status::{Facts, Status};
use crate::testing;
use crate::watch::{self, Watch};

pub struct Rig {
    pub watch: Watch,
    pub status: Arc<Status>,
    pub records: Records,
    pub tables: Register,
}

/// The policy that it serves, with a moving keyset, and `client_ca` if there is one.
pub fn policy(client_ca: Option<String>) -> Policy {
    testing::policy(Keys::Watch { path: "corp.jwks.json".to_owned() }, client_ca)
}

pub fn rig(directory: &Path) -> Rig {
    rig_with(directory, policy(None), Placement::default())
}

/// With what a test has written into `orders.secret` as a credential for origins.
pub fn rig_with(directory: &Path, policy: Policy, placement: Placement) -> Rig {
    let (start, records) = prepare(directory, policy, placement);
    let (status, tables) = (Arc::clone(&start.status), start.activator.tables().clone());
    Rig { watch: watch::spawn(start).unwrap(), status, records, tables }
}

/// What a watcher begins with.
pub fn prepare(directory: &Path, policy: Policy, placement: Placement) -> (watch::Start, Records) {
    std::fs::write(directory.join("corp.jwks.json"), testing::JWKS).unwrap();
    let frozen = Frozen::new(policy, testing::facts(), [7; 32]).unwrap().place(&placement).unwrap();
    let mut node = testing::node(directory, vec![testing::write_chain(directory, "a", &["a.example"])]);
    if let Some(Some(listener)) = node.listeners.first_mut() {
        listener.client_certificates = crate::assemble::ClientCertificates::Optional;
    }
    let secret = directory.join("orders.secret");
    if secret.exists() {
        node.origin_credentials =
            vec![OriginCredential { name: "orders".to_owned(), from: CredentialSource::File(secret) }];
    }
    let assembled = assemble(frozen, &node, 5).unwrap();
    let records =
        records::spawn(Target::File(directory.join("records")), vec![], vec![], &records::testing::sealing()).unwrap();
    let handle = records.handle();
    let parts = assembled.parts;
    let activator = Activator::start(assembled.frozen, Arena::new(), handle.clone(), parts.clone(), 5).unwrap();
    let facts = Facts { version: "1.2.3", config_digest: String::new(), started_unix_s: 5, node: testing::node_key() };
    let progress = Arc::clone(handle.progress());
    let status = Arc::new(Status::new(facts, vec![], progress, Arc::clone(activator.swap()), assembled.moving));
    let start = watch::Start {
        activator,
        parts,
        node,
        material: assembled.material,
        planned: assembled.planned,
        addresses: Addresses::new(),
        tickets: assembled.tickets,
        server_certificates: assembled.server_certificates,
        assertion_keys: assembled.assertion_keys,
        placement,
        durable_records: false,
        status,
        records: handle,
        worker_cores: vec![],
    };
    (start, records)
}

impl Rig {
    /// Everything that was recorded, once it is all written.
    pub fn end(self, directory: &Path) -> String {
        self.watch.stop();
        self.records.stop(Duration::from_secs(5)).unwrap();
        std::fs::read_to_string(directory.join("records")).unwrap()
    }
}

pub fn wait(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
