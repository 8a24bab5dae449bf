//! Secrets towards origins that are fetched while everything serves on: a new one takes the place of the old at once, and
//! the old stays until it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Watcher;
use super::material::{CREDENTIAL, Look, Moved, Wrong, keep_why};
use crate::assemble::material::SecretError;
use crate::assemble::{CredentialSource, Node};
use crate::bounds::WATCH_INTERVAL_MS;
use crate::clock;
use crate::moving::credential::{CredentialFault, Fetched, Source};
use crate::moving::lease::{Lease, Life};
use crate::moving::{Outcome, Rotation, Why};

const NS_PER_MS: u64 = 1_000_000;

/// All that are fetched.
pub struct Fetches {
    /// In the order of the node; none for what is a file.
    leases: Vec<Option<Lease>>,
    done: mpsc::Sender<Done>,
    inbox: mpsc::Receiver<Done>,
}

/// A fetch that ended.
pub struct Done {
    /// In the order of the node.
    index: usize,
    asked_ms: u64,
    fetched: Result<Fetched, CredentialFault>,
}

impl Fetches {
    pub fn new(node: &Node) -> Self {
        let lease = |from: &CredentialSource| matches!(from, CredentialSource::Fetched(_)).then(Lease::default);
        let leases: Vec<_> = node.origin_credentials.iter().map(|of| lease(&of.from)).collect();
        // Room for all of them: there is one fetch of each at a time.
        let (done, inbox) = mpsc::channel(leases.len().max(1));
        Self { leases, done, inbox }
    }

    /// All of them are due at once.
    pub fn forget(&mut self) {
        self.leases.iter_mut().flatten().for_each(|lease| lease.hasten(Why::Order));
    }

    /// Waits until one has ended or is due.
    pub async fn event(&mut self) -> Option<Done> {
        let next_ms = self.leases.iter().flatten().filter_map(Lease::next_ms).min();
        let pause_ms = next_ms.map(|next_ms| next_ms.saturating_sub(now_ms()));
        // What is further away is found at a tick, whatever the clock does meanwhile.
        let is_near = pause_ms.is_some_and(|pause_ms| pause_ms <= WATCH_INTERVAL_MS);
        tokio::select! {
            done = self.inbox.recv() => done,
            () = tokio::time::sleep(Duration::from_millis(pause_ms.unwrap_or_default())), if is_near => None,
        }
    }

    fn begin(&mut self, node: &Node) {
        for (index, (of, lease)) in node.origin_credentials.iter().zip(&mut self.leases).enumerate() {
            let (CredentialSource::Fetched(source), Some(lease)) = (&of.from, lease) else { continue };
            let asked_ms = now_ms();
            if lease.begin(asked_ms) {
                let (source, done): (Box<Source>, _) = (source.clone(), self.done.clone());
                tokio::spawn(async move {
                    let fetched = source.fetch().await;
                    let _ = done.send(Done { index, asked_ms, fetched }).await;
                });
            }
        }
    }
}

fn now_ms() -> u64 {
    clock::unix_ns() / NS_PER_MS
}

impl Watcher {
    /// Takes what has ended, `done` first, gives up what is over, and begins what is due.
    pub(super) fn move_credentials(&mut self, done: Option<Done>) {
        let mut done = done.or_else(|| self.fetches.inbox.try_recv().ok());
        let mut moved = false;
        while let Some(ended) = done {
            moved |= self.take_credential(ended);
            done = self.fetches.inbox.try_recv().ok();
        }
        moved |= self.give_up_credentials();
        self.fetches.begin(&self.start.node);
        if moved {
            self.plan_again();
        }
    }

    fn take_credential(&mut self, done: Done) -> bool {
        let start = &mut self.start;
        let of = start.node.origin_credentials.get(done.index);
        let (Some(of), Some(Some(lease))) = (of, self.fetches.leases.get_mut(done.index)) else { return false };
        let CredentialSource::Fetched(source) = &of.from else { return false };
        let (source, now_ms) = (source.to_string(), now_ms());
        let chance = getrandom::u32().unwrap_or_default();
        let old = start.material.secrets.get(&of.name).and_then(|had| had.as_ref().ok());
        let old = old.map(|of| of.thumbprint.clone());
        let (why, judged) = match done.fetched {
            Ok(found) => {
                let why = lease.renewed(done.asked_ms, now_ms, found.life, chance);
                // What is only looked for ends by a look, so that finding it again changes nothing.
                let ends_ms = lease.ends_ms().filter(|_| matches!(found.life, Life::Ends { .. }));
                (why, Ok(start.material.secret(found.bytes, ends_ms)))
            }
            Err(fault) => {
                let why = lease.failed(now_ms, fault.retry_after_s(), chance);
                let wrong = Wrong { why: fault.to_string(), is_refusal: fault.is_refusal() };
                // What is wrong now, for a release that needs it; what is good stays.
                let is_own = fault.is_own();
                let error = if is_own { SecretError::Source(Box::new(fault)) } else { SecretError::Awaited };
                keep_why(start.material.secrets.get_mut(&of.name), error);
                (why, Err(wrong))
            }
        };
        let moved = Moved { of: CREDENTIAL, name: &of.name, status: &start.status };
        let new = judged.as_ref().map(|of| of.thumbprint.clone()).map_err(Clone::clone);
        let is_taken = Look { moved, records: &start.records, source: &source, why, old, new }.judge();
        let mut moving = start.status.moving();
        if let Some(shown) = moving.origin_material.get_mut(&(CREDENTIAL, of.name.clone())) {
            shown.awaited = false;
            shown.refreshes += u64::from(judged.is_ok());
            shown.next_unix_s = lease.next_ms().map(|ms| ms / 1_000);
            // What was never there is missing from now on.
            shown.ends_unix_s = lease.ends_ms().map(|ms| ms / 1_000).or(shown.ends_unix_s).or(Some(now_ms / 1_000));
        }
        drop(moving);
        // When it ends is known anew, and shown at the next look.
        self.ends_at = Instant::now();
        match judged {
            Ok(secret) if is_taken || secret.ends_unix_ns.is_some() => {
                start.material.secrets.insert(of.name.clone(), Ok(Arc::new(secret)));
                true
            }
            _ => false,
        }
    }

    fn give_up_credentials(&mut self) -> bool {
        let start = &mut self.start;
        let mut given_up = false;
        for (of, lease) in start.node.origin_credentials.iter().zip(&mut self.fetches.leases) {
            let (CredentialSource::Fetched(source), Some(lease)) = (&of.from, lease) else { continue };
            if !lease.gives_up(now_ms()) {
                continue;
            }
            let (name, source) = (&of.name, source.to_string());
            let awaited = Err(Arc::new(SecretError::Awaited));
            let before = start.material.secrets.insert(name.clone(), awaited).and_then(Result::ok);
            let old: Vec<String> = before.map(|of| of.thumbprint.clone()).into_iter().collect();
            let (why, outcome) = (Why::Expiry, Outcome::Stale);
            Rotation { of: CREDENTIAL, name, source: &source, why, outcome, old: &old, new: &[] }.tell(&start.records);
            crate::error!(
                "{CREDENTIAL} \"{name}\": what was fetched from {source} has ended, and nothing newer came: requests that \
                 need it are refused (origin-credential-missing) until it is fetched again"
            );
            given_up = true;
        }
        given_up
    }
}
