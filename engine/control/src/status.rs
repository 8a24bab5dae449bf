//! What the control threads know about the gateway's condition: written by them, shown by the admin listener.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use activation::Activation;
use activation::stats::WorkerStats;
use arc_swap::ArcSwap;
use policy::model::Audit;

use crate::bounds::WORKER_STILL_NS_MAX;
use crate::records::Progress;

/// Where in its life the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting = 0,
    Serving = 1,
    Draining = 2,
}

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct Facts {
    pub version: &'static str,
    /// `sha256:…` over the bytes of gateway.toml.
    pub config_digest: String,
    pub started_unix_s: u64,
}

/// Shared by all control threads.
pub struct Status {
    pub facts: Facts,
    pub workers: Vec<Arc<WorkerStats>>,
    pub records: Arc<Progress>,
    pub activation: Arc<ArcSwap<Activation>>,
    phase: AtomicU8,
    moving: Mutex<Moving>,
}

/// What moves under a release.
#[derive(Clone, Debug, Default)]
pub struct Moving {
    /// Over the bytes that decide.
    pub table_sha256: String,
    /// Since when the present release serves.
    pub since_unix_s: u64,
    pub activations_alive: usize,
    pub activations_refused: u64,
    /// By issuer name.
    pub keysets: BTreeMap<String, KeysetStatus>,
    /// By certificate chain file.
    pub certificates: BTreeMap<String, CertificateStatus>,
    /// By origin name: whether its addresses are known, and failed look-ups so far.
    pub origins: BTreeMap<String, OriginStatus>,
}

#[derive(Clone, Debug, Default)]
pub struct KeysetStatus {
    /// `pinned`, a path, or a URL.
    pub source: String,
    pub thumbprint: Option<String>,
    /// Counts the keysets taken since the start.
    pub version: u64,
    pub keys: usize,
    pub loaded_unix_s: u64,
    /// When it becomes too stale to be used.
    pub stale_unix_s: Option<u64>,
    pub failures: u64,
    pub last_failure: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct CertificateStatus {
    pub sha256: String,
    pub not_after_unix_s: u64,
    pub names: Vec<String>,
    pub failures: u64,
    pub last_failure: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct OriginStatus {
    pub addresses: usize,
    pub failures: u64,
    pub last_failure: Option<String>,
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
        Self { facts, workers, records, activation, phase, moving: Mutex::new(moving) }
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

    /// Why new requests should not be sent here; empty when they may.
    pub fn unready(&self, now_unix_ns: u64) -> Vec<String> {
        let mut reasons = Vec::new();
        match self.phase() {
            Phase::Starting => reasons.push("starting".to_owned()),
            Phase::Draining => reasons.push("draining".to_owned()),
            Phase::Serving => {}
        }
        for (index, worker) in self.workers.iter().enumerate() {
            let turned = worker.turn_unix_ns.get();
            if turned != 0 && now_unix_ns.saturating_sub(turned) > WORKER_STILL_NS_MAX {
                let still_s = now_unix_ns.saturating_sub(turned) / crate::clock::NS_PER_S;
                reasons.push(format!("worker {index} stands still for {still_s} s"));
            }
        }
        for issuer in &self.activation.load().issuers {
            if issuer.keyset().is_none() {
                reasons.push(format!("issuer \"{}\" has no keyset", issuer.rules().name));
            }
        }
        let audit = self.activation.load().audit;
        if audit != Audit::BestEffort && self.records.failing.load(Ordering::Relaxed) {
            reasons.push("records cannot be written".to_owned());
        }
        reasons
    }
}
