//! What the control threads know about the gateway's condition: written by them, shown by the admin listener.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use activation::Activation;
use activation::activation::ListenerTls;
use activation::inquiries::Inquiries;
use activation::stats::WorkerStats;
use arc_swap::ArcSwap;
use policy::model::{Audit, Keys};

use crate::bounds::WORKER_STILL_NS_MAX;
use crate::expiry::Ends;
use crate::last_use;
use crate::node::NodeKey;
use crate::records::Progress;
use crate::watch::{CREDENTIAL, IDENTITY};

mod moving;

pub use moving::{
    AssertionKeysStatus, CertificateStatus, CrlListStatus, CrlStatus, FailingStatus, KeysetStatus, ObtainedStatus,
    OriginMaterialStatus, OriginStatus,
};

/// Where in its life the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting = 0,
    Serving = 1,
    Draining = 2,
}

impl Phase {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct Facts {
    pub version: &'static str,
    /// `sha256:…` over the bytes of gateway.toml.
    pub config_digest: String,
    pub started_unix_s: u64,
    /// Signs what only this gateway can say.
    pub node: Arc<NodeKey>,
}

/// Shared by all control threads.
pub struct Status {
    pub facts: Facts,
    pub workers: Vec<Arc<WorkerStats>>,
    pub records: Arc<Progress>,
    pub activation: Arc<ArcSwap<Activation>>,
    phase: AtomicU8,
    moving: Mutex<Moving>,
    failure: OnceLock<String>,
    binary_sha256: OnceLock<String>,
    /// What issuers are asked about tokens; none where they never are.
    pub inquiries: OnceLock<Arc<Inquiries>>,
    /// What was used; none before it is kept.
    pub uses: OnceLock<last_use::Register>,
    kernel: String,
}

/// What moves under a release.
#[derive(Clone, Debug, Default)]
pub struct Moving {
    /// Since when the present release serves.
    pub since_unix_s: u64,
    pub activations_alive: usize,
    pub activations_refused: u64,
    /// By issuer name.
    pub keysets: BTreeMap<String, KeysetStatus>,
    /// What ends, and when.
    pub ends: Vec<Ends>,
    /// By client CA that has a source of revocation lists.
    pub crls: BTreeMap<String, CrlStatus>,
    /// By certificate chain file.
    pub certificates: BTreeMap<String, CertificateStatus>,
    /// By the file that a certificate is kept in that issuers give.
    pub obtained: BTreeMap<String, ObtainedStatus>,
    /// By `origin-identity` or `origin-credential`, and name.
    pub origin_material: BTreeMap<(&'static str, String), OriginMaterialStatus>,
    /// What assertions are signed with; none where no origin asks for any.
    pub assertion_keys: Option<AssertionKeysStatus>,
    /// By origin name: whether its addresses are known, and failed look-ups so far.
    pub origins: BTreeMap<String, OriginStatus>,
    /// Since when the release that serves has been accepted; none where nothing is accepted (`adamant dev`).
    pub accepted_unix_s: Option<u64>,
    /// What the store's channel said when it was last believed; none when a release file is named.
    pub pointer: Option<PointerStatus>,
    /// What takes their place in the moment in which its release does; none while no release is being activated.
    pub accepting: Option<AcceptingStatus>,
    /// The candidate that stands in the store and is not served; none when there is none.
    pub refusal: Option<RefusalStatus>,
    /// Refusals since the start, by check; the same one again is not counted again.
    pub refusals: BTreeMap<&'static str, u64>,
    pub waiting: Option<WaitingStatus>,
    /// What is revoked; none where no list ever was.
    pub revocations: Option<RevocationsStatus>,
    /// What fills the ids that the release leaves open; none where it leaves none open and there never was a set.
    pub key_set: Option<KeySetStatus>,
    /// Version of the trust root that counts; 0 where none does (`adamant dev`).
    pub root_version: u64,
    /// When it expires.
    pub root_expires_unix_s: u64,
    /// The CAs of those whom the status listener answers.
    pub fleet_cas: Vec<Ends>,
    /// Connections that it turned away, by why; empty where there is no such listener.
    pub status_turned_away: BTreeMap<&'static str, u64>,
    /// When the store was last read whole, whatever was in it; 0 where there is none.
    pub store_looked_unix_s: u64,
    pub memory: MemoryStatus,
}

/// The accepted pointer.
#[derive(Clone, Debug, Default)]
pub struct PointerStatus {
    pub channel: String,
    pub serial: u64,
    pub issued_unix_s: u64,
    pub expires_unix_s: u64,
    /// Nothing new is accepted by it any more.
    pub expired: bool,
}

/// A release that is written down as accepted and comes to serve next.
#[derive(Clone, Debug, Default)]
pub struct AcceptingStatus {
    pub release: String,
    pub accepted_unix_s: u64,
    pub pointer: Option<PointerStatus>,
}

impl Moving {
    /// When `release`, which serves, was accepted, and by which pointer.
    pub fn acceptance_of(&self, release: &str) -> (Option<u64>, Option<&PointerStatus>) {
        match self.accepting.as_ref().filter(|accepting| accepting.release == release) {
            Some(accepting) => (Some(accepting.accepted_unix_s), accepting.pointer.as_ref()),
            None => (self.accepted_unix_s, self.pointer.as_ref()),
        }
    }

    /// Origin identities whose first certificate has not come yet.
    pub fn awaiting_identities(&self) -> impl Iterator<Item = &str> {
        let awaited = self.origin_material.iter().filter(|((of, _), shown)| *of == IDENTITY && shown.awaited);
        awaited.map(|((_, name), _)| name.as_str())
    }
}

/// A release that a newer pointer names, and that serves from the next start.
#[derive(Clone, Debug, Default)]
pub struct WaitingStatus {
    pub release: String,
    pub version: u64,
    pub serial: u64,
}

/// The revocation list in force, and what is wrong with the one in the store.
#[derive(Clone, Debug, Default)]
pub struct RevocationsStatus {
    /// 0 while none is in force.
    pub serial: u64,
    /// Entries in force.
    pub entries: usize,
    /// Entries that have lapsed, because what they revoke has ended by itself.
    pub lapsed: usize,
    /// Entries that name what the release does not have.
    pub unknown: usize,
    pub issued_unix_s: u64,
    pub expires_unix_s: u64,
    /// A newer one should have arrived. It stays in force.
    pub expired: bool,
    pub refusal: Option<RefusalStatus>,
}

/// The key set in force, and what is wrong with the one in the store.
#[derive(Clone, Debug, Default)]
pub struct KeySetStatus {
    /// 0 while none is in force.
    pub serial: u64,
    /// Ids that the release leaves open, with a key and without one.
    pub filled: usize,
    pub unfilled: usize,
    /// Ids of the set that the release pins, or does not declare.
    pub ignored: usize,
    pub issued_unix_s: u64,
    pub expires_unix_s: u64,
    /// Its keys are refused.
    pub expired: bool,
    pub refusal: Option<RefusalStatus>,
}

/// Why a candidate is not served.
#[derive(Clone, Debug, Default)]
pub struct RefusalStatus {
    pub since_unix_s: u64,
    /// A word for the check that failed, such as `threshold`.
    pub check: String,
    /// What was expected and found, for people.
    pub message: String,
    /// `sha256:…` of the release that was refused, where that much is known.
    pub release: Option<String>,
}

/// How the table is protected.
#[derive(Clone, Debug, Default)]
pub struct MemoryStatus {
    /// Whether the mappings of the table are sealed with mseal(2).
    pub mseal: bool,
    /// Copies of the table, one a NUMA node; 0 before the first is made.
    pub copies: usize,
    /// When the table was last found to be what it should be.
    pub hashed_unix_s: Option<u64>,
    /// Times that a copy was found to be what it should be.
    pub looks: u64,
    pub mismatches: u64,
    /// Mismatches that were put right.
    pub repairs: u64,
}

/// A checkpoint of the record chain (C2SP tlog-checkpoint).
#[derive(Clone, Debug, Default)]
pub struct CheckpointStatus {
    pub origin: String,
    /// Records under it.
    pub size: u64,
    /// The root hash in base64, as the checkpoint shows it.
    pub root: String,
    pub made_unix_s: u64,
}

impl Status {
    pub fn new(
        facts: Facts,
        workers: Vec<Arc<WorkerStats>>,
        records: Arc<Progress>,
        activation: Arc<ArcSwap<Activation>>,
        moving: Moving,
    ) -> Self {
        let phase = AtomicU8::new(Phase::Starting as u8);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let (moving, binary_sha256) = (Mutex::new(moving), OnceLock::new());
        Self {
            facts,
            workers,
            records,
            activation,
            phase,
            moving,
            binary_sha256,
            inquiries: OnceLock::new(),
            uses: OnceLock::new(),
            kernel,
            failure: OnceLock::new(),
        }
    }

    /// `sha256:…` over the running executable; none until it was read.
    pub fn binary_sha256(&self) -> Option<&str> {
        self.binary_sha256.get().map(String::as_str)
    }

    /// To be said once.
    pub fn set_binary_sha256(&self, sha256: String) {
        let _ = self.binary_sha256.set(sha256);
    }

    /// Release of the running kernel, such as `6.12.3`; empty where /proc does not tell it.
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// Service must stop: something was found that cannot be put right. To be said once.
    pub fn fail(&self, why: String) {
        let _ = self.failure.set(why);
    }

    /// Why service must stop.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub fn phase(&self) -> Phase {
        let now = self.phase.load(Ordering::Acquire);
        [Phase::Serving, Phase::Draining].into_iter().find(|phase| *phase as u8 == now).unwrap_or(Phase::Starting)
    }

    /// Held for copies and small edits only.
    pub fn moving(&self) -> MutexGuard<'_, Moving> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When each keyset was loaded, seconds since the Unix epoch, by issuer name. A copy, because what it is for takes long.
    pub fn keysets_loaded(&self) -> BTreeMap<String, u64> {
        self.moving().keysets.iter().map(|(name, of)| (name.clone(), of.loaded_unix_s)).collect()
    }

    /// Listeners that have no certificate yet.
    pub fn awaiting(&self) -> Vec<usize> {
        let activation = self.activation.load();
        let has_none = |tls: &Option<_>| tls.as_ref().is_some_and(|tls: &Arc<ListenerTls>| tls.names.is_empty());
        activation.listeners.iter().enumerate().filter(|(_, tls)| has_none(tls)).map(|(index, _)| index).collect()
    }

    /// Why new requests should not be sent here; empty when they may.
    pub fn unready(&self, now_unix_ns: u64) -> Vec<String> {
        let mut reasons = Vec::new();
        match self.phase() {
            Phase::Serving => {}
            phase => reasons.push(phase.word().to_owned()),
        }
        reasons.extend(self.failure().map(str::to_owned));
        for (index, worker) in self.workers.iter().enumerate() {
            let turned = worker.turn_unix_ns.get();
            if turned != 0 && now_unix_ns.saturating_sub(turned) > WORKER_STILL_NS_MAX {
                let still_s = now_unix_ns.saturating_sub(turned) / crate::clock::NS_PER_S;
                reasons.push(format!("worker {index} stands still for {still_s} s"));
            }
        }
        // One that serves is enough: what looks at the others before they have a certificate may come by way of whoever asks.
        if self.activation.load().listeners.len() == self.awaiting().len() {
            reasons.extend(self.awaiting().iter().map(|index| format!("listener {index} has no certificate yet")));
        }
        for issuer in &self.activation.load().issuers {
            if issuer.is_stale() {
                reasons.push(format!("the keyset of issuer \"{}\" is older than max_stale", issuer.rules().name));
            } else if issuer.keyset().is_none() && issuer.rules().keys != Keys::None {
                reasons.push(format!("issuer \"{}\" has no keyset", issuer.rules().name));
            }
        }
        let moving = self.moving();
        // Of certificates alone no word: what looks at the gateway before it gives one may come by way of whoever asks.
        let awaited = moving.origin_material.iter().filter(|((of, _), shown)| *of == CREDENTIAL && shown.awaited);
        reasons.extend(awaited.map(|((of, name), _)| format!("{of} \"{name}\" is being fetched for the first time")));
        drop(moving);
        let audit = self.activation.load().audit;
        if audit != Audit::BestEffort && self.records.failing.load(Ordering::Relaxed) {
            reasons.push("records cannot be written".to_owned());
        }
        reasons
    }
}
