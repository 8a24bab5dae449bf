//! When credentials were last used: what the workers noted, merged once a second, and kept by name, so that it outlives
//! releases and restarts. On a thread of its own: neither revocations nor `/healthz` wait for a large policy's names.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use activation::uses::{Certificates, KeyName, Uses, Words, key_names};
use identity::token::Issuer;
use policy::model::Policy;

use crate::assemble::{Frozen, hex};
use crate::at_rest::AtRest;
use crate::bounds::{LAST_USE_MERGE_MS, LAST_USE_SAVE_S};
use crate::clock;
use crate::status::Status;

pub mod document;
mod ledger;

pub use ledger::{Credential, FILE, Kind, Ledger, LedgerError};

/// Shared by the control threads.
#[derive(Clone)]
pub struct Register(Arc<Shared>);

struct Shared {
    workers: usize,
    /// By worker.
    certificates: Vec<Arc<Certificates>>,
    sources: Mutex<Sources>,
    ledger: Mutex<Ledger>,
}

/// The words that workers may write to.
#[derive(Default)]
struct Sources {
    /// Number of the latest words.
    latest: u32,
    policies: Vec<OfPolicy>,
    keys: Vec<OfKeys>,
}

/// Of agents and API keys.
#[derive(Clone)]
struct OfPolicy {
    policy: Arc<Policy>,
    words: Arc<Words>,
}

#[derive(Clone)]
struct OfKeys {
    names: Arc<[KeyName]>,
    words: Arc<Words>,
}

impl Register {
    pub fn new(workers: usize) -> Self {
        Self(Arc::new(Shared {
            workers,
            certificates: (0..workers).map(|_| Arc::default()).collect(),
            sources: Mutex::default(),
            ledger: Mutex::new(Ledger::new(clock::unix_s())),
        }))
    }

    /// Where worker `worker` notes certificates.
    pub fn certificates_of(&self, worker: usize) -> Arc<Certificates> {
        self.0.certificates.get(worker).map(Arc::clone).unwrap_or_default()
    }

    /// Uses of certificates that found no place.
    pub fn unnoted(&self) -> u64 {
        self.0.certificates.iter().map(|of| of.unnoted.get()).sum()
    }

    /// What is known. Held for copies and look-ups; no worker waits for it.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where activations of `frozen` with `issuers` note uses: where those before them did, as long as the words mean the
    /// same.
    pub(crate) fn of(&self, frozen: &Frozen, issuers: &[Arc<Issuer>]) -> Arc<Uses> {
        let (workers, names) = (self.0.workers, key_names(issuers));
        let mut sources = self.sources();
        let of_policy = sources.of_policy(&frozen.policy, workers);
        let of_keys = sources.of_keys(names, workers);
        Arc::new(Uses::new(of_policy, frozen.policy.agents.len(), of_keys, issuers))
    }
}

impl Sources {
    fn next_id(&mut self) -> u32 {
        self.latest = self.latest.wrapping_add(1);
        self.latest
    }

    fn of_policy(&mut self, policy: &Arc<Policy>, workers: usize) -> Arc<Words> {
        if let Some(known) = self.policies.iter().find(|known| Arc::ptr_eq(&known.policy, policy)) {
            return Arc::clone(&known.words);
        }
        let words = Arc::new(Words::new(self.next_id(), workers, policy.agents.len() + policy.api_keys.len()));
        self.policies.push(OfPolicy { policy: Arc::clone(policy), words: Arc::clone(&words) });
        words
    }

    fn of_keys(&mut self, names: Vec<KeyName>, workers: usize) -> Arc<Words> {
        if let Some(known) = self.keys.iter().find(|known| *known.names == *names) {
            return Arc::clone(&known.words);
        }
        let words = Arc::new(Words::new(self.next_id(), workers, names.len()));
        self.keys.push(OfKeys { names: names.into(), words: Arc::clone(&words) });
        words
    }

    /// All of them, and away with those that no activation has any more: they are read for the last time.
    fn take(&mut self) -> (Vec<OfPolicy>, Vec<OfKeys>) {
        let all = (self.policies.clone(), self.keys.clone());
        // This list and its copy.
        self.policies.retain(|of| Arc::strong_count(&of.words) > 2);
        self.keys.retain(|of| Arc::strong_count(&of.words) > 2);
        // What the last holder wrote before it let go is seen from here on.
        fence(Ordering::Acquire);
        all
    }
}

/// What the keeper begins with.
pub struct Start {
    pub uses: Register,
    pub status: Arc<Status>,
    /// The state directory; none where nothing is kept.
    pub state: Option<PathBuf>,
    pub at_rest: AtRest,
    pub worker_cores: Vec<usize>,
}

/// The running keeper.
pub struct Keeper {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Reads and writes once more, and ends. To be called when the workers have ended.
    pub fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// Goes on from what the state directory has, on a thread of its own.
pub fn spawn(start: Start) -> io::Result<Keeper> {
    if let Some(state) = &start.state {
        match Ledger::read(state, &start.at_rest, clock::unix_s()) {
            Ok(ledger) => *start.uses.ledger() = ledger,
            Err(error) => crate::warning!("{error}: last uses are noted from now on"),
        }
    }
    let _ = start.status.uses.set(start.uses.clone());
    let (stop, stopped) = sync_channel(0);
    let thread = std::thread::Builder::new().name("last-use".to_owned()).spawn(move || {
        crate::affinity::leave(&start.worker_cores);
        Keeping { start, merged: Merged::default(), saving: Saving::default() }.run(&stopped);
    })?;
    Ok(Keeper { stop, thread })
}

struct Keeping {
    start: Start,
    merged: Merged,
    saving: Saving,
}

/// When it was saved last, and whether that is told to fail.
#[derive(Default)]
struct Saving {
    at: Option<Instant>,
    failed: bool,
}

impl Keeping {
    fn run(mut self, stopped: &Receiver<()>) {
        self.saving.at = Some(Instant::now());
        loop {
            self.merge();
            if self.saving.at.is_none_or(|at| at.elapsed() >= Duration::from_secs(LAST_USE_SAVE_S)) {
                self.save();
            }
            match stopped.recv_timeout(Duration::from_millis(LAST_USE_MERGE_MS)) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => break,
            }
        }
        self.merge();
        self.save();
    }

    fn merge(&mut self) {
        let serving = self.start.status.activation.load().uses.clone();
        self.merged.merge(&self.start.uses, (serving.of_policy.id, serving.of_keys.id), clock::unix_s());
    }

    fn save(&mut self) {
        self.saving.at = Some(Instant::now());
        let Some(state) = &self.start.state else { return };
        // Written without the lock: a disk may be slow.
        let Some(bytes) = self.start.uses.ledger().changed() else { return };
        match bytes.and_then(|bytes| Ledger::write(state, &self.start.at_rest, &bytes)) {
            Ok(()) => self.saving.failed = false,
            Err(error) => {
                self.start.uses.ledger().not_saved();
                if !self.saving.failed {
                    crate::error!("{error}: a restart would forget the latest of them");
                }
                self.saving.failed = true;
            }
        }
    }
}

/// What was merged already.
#[derive(Default)]
struct Merged {
    /// By the number of the words.
    seen: BTreeMap<u32, Vec<u32>>,
    /// Words of the policy and of the keys that the ledger last heard to be what serves; 0: none.
    declared: (u32, u32),
}

impl Merged {
    /// Brings the ledger up to what the workers noted. `serving`: the words of the activation that serves.
    fn merge(&mut self, uses: &Register, serving: (u32, u32), now_s: u64) {
        let (policies, keys) = uses.sources().take();
        let mut found = Vec::new();
        for OfPolicy { policy, words } in &policies {
            self.news_of(words, |index, used_s| found.push((agent_or_key(policy, index), String::new(), used_s)));
        }
        for OfKeys { names, words } in &keys {
            self.news_of(words, |index, used_s| found.push((names.get(index).map(of_key), String::new(), used_s)));
        }
        for certificates in &uses.0.certificates {
            certificates.read(|sight| {
                let policy = policies.iter().find(|of| of.words.id == sight.holder.policy);
                let agent = policy.and_then(|of| of.policy.agents.get(sight.holder.agent.index()));
                let name = Credential { kind: Kind::Certificate, name: hex(&sight.sha256), issuer: String::new() };
                found.push((Some(name), agent.map(|agent| agent.name.clone()).unwrap_or_default(), sight.used_s));
            });
        }
        self.seen
            .retain(|id, _| policies.iter().any(|of| of.words.id == *id) || keys.iter().any(|of| of.words.id == *id));
        let mut ledger = uses.ledger();
        if let Some(OfPolicy { policy, words }) = policies.iter().find(|of| of.words.id == serving.0)
            && self.declared.0 != words.id
        {
            let names = (0..words.count()).filter_map(|index| agent_or_key(policy, index));
            ledger.declare(&[Kind::Agent, Kind::ApiKey], names, now_s);
            self.declared.0 = words.id;
        }
        if let Some(OfKeys { names, words }) = keys.iter().find(|of| of.words.id == serving.1)
            && self.declared.1 != words.id
        {
            ledger.declare(&[Kind::Issuer, Kind::Key], names.iter().map(of_key), now_s);
            self.declared.1 = words.id;
        }
        for (credential, agent, used_s) in found {
            if let Some(credential) = credential {
                ledger.note(credential, agent, u64::from(used_s), now_s);
            }
        }
        ledger.forget_beyond_bounds();
    }

    /// Tells of each word that is later than it was, with its index.
    fn news_of(&mut self, words: &Words, mut tell: impl FnMut(usize, u32)) {
        let seen = self.seen.entry(words.id).or_insert_with(|| vec![0; words.count()]);
        for (index, seen) in seen.iter_mut().enumerate() {
            let latest = words.latest(index);
            if latest > *seen {
                *seen = latest;
                tell(index, latest);
            }
        }
    }
}

fn agent_or_key(policy: &Policy, index: usize) -> Option<Credential> {
    let (kind, name) = match policy.agents.get(index) {
        Some(agent) => (Kind::Agent, &agent.name),
        None => (Kind::ApiKey, &policy.api_keys.get(index.checked_sub(policy.agents.len())?)?.id),
    };
    Some(Credential { kind, name: name.clone(), issuer: String::new() })
}

fn of_key(name: &KeyName) -> Credential {
    match &name.kid {
        Some(kid) => Credential { kind: Kind::Key, name: kid.clone(), issuer: name.issuer.clone() },
        None => Credential { kind: Kind::Issuer, name: name.issuer.clone(), issuer: String::new() },
    }
}

#[cfg(test)]
mod tests;
