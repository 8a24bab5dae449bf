//! Certificates and secrets towards origins: a good new one is taken, a bad one leaves the old in place, each apart from the
//! others.

use std::sync::Arc;

use super::Watcher;
use super::fingerprint::Watched;
use crate::assemble::material::{self, Identity, Material, SecretError};
use crate::assemble::origins::Planned;
use crate::assemble::tls::TlsError;
use crate::assemble::{CredentialSource, Node};
use crate::clock;
use crate::expiry::Ends;
use crate::moving::{Outcome, Rotation, Why};
use crate::records::Handle;
use crate::status::{Moving, Status};

pub const IDENTITY: &str = "origin-identity";
pub const CREDENTIAL: &str = "origin-credential";

/// The files, in the order of the node.
pub struct Files {
    identities: Vec<Watched>,
    /// None for what is fetched.
    credentials: Vec<Option<Watched>>,
}

impl Files {
    /// Those of `node`. Each is read once more at the first look: it may have changed since it was read for the start.
    pub fn new(node: &Node) -> Self {
        let pairs = node.origin_identities.iter();
        let pairs = pairs.map(|of| Watched::new(vec![of.files.chain.clone(), of.files.key.clone()]));
        let secrets = node.origin_credentials.iter().map(|of| match &of.from {
            CredentialSource::File(path) => Some(Watched::new(vec![path.clone()])),
            CredentialSource::Fetched(_) => None,
        });
        Self { identities: pairs.collect(), credentials: secrets.collect() }
    }

    pub fn forget(&mut self) {
        self.identities.iter_mut().chain(self.credentials.iter_mut().flatten()).for_each(Watched::forget);
    }
}

/// When what serves ends. A secret that is fetched renews itself: its end is told of while that does not work.
pub fn ends(material: &Material, moving: &Moving) -> Vec<Ends> {
    let identities = material.identities.iter().filter_map(|(name, had)| {
        let of = had.as_ref().ok()?;
        Some(Ends { of: IDENTITY, name: name.clone(), begins_s: of.begins_s, ends_s: of.ends_s })
    });
    let fetched = moving.origin_material.iter().filter_map(|((of, name), shown)| {
        let ends_s = shown.ends_unix_s.filter(|_| shown.last_failure.is_some())?;
        Some(Ends { of, name: name.clone(), begins_s: shown.loaded_unix_s, ends_s })
    });
    identities.chain(fetched).collect()
}

/// Makes a place for each in the status, so that counters are there before anything goes wrong.
pub fn declare(moving: &mut Moving, node: &Node, material: &Material) {
    for of in &node.origin_identities {
        let had = material.identities.get(&of.name).and_then(|had| had.as_ref().err());
        let shown = moving.origin_material.entry((IDENTITY, of.name.clone())).or_default();
        shown.awaited = had.is_some_and(|why| matches!(**why, TlsError::Awaited));
    }
    for of in &node.origin_credentials {
        let shown = moving.origin_material.entry((CREDENTIAL, of.name.clone())).or_default();
        shown.awaited = matches!(of.from, CredentialSource::Fetched(_));
    }
}

pub(super) struct Moved<'a> {
    pub of: &'static str,
    pub name: &'a str,
    pub status: &'a Status,
}

impl Moved<'_> {
    fn show(&self, read: Result<(), String>) {
        let mut moving = self.status.moving();
        let shown = moving.origin_material.entry((self.of, self.name.to_owned())).or_default();
        match read {
            Ok(()) => (shown.loaded_unix_s, shown.last_failure, shown.awaited) = (clock::unix_s(), None, false),
            Err(why) => (shown.failures, shown.last_failure) = (shown.failures + 1, Some(why)),
        }
    }
}

/// A look at one thing. `old` and `new` are its thumbprints, `new` with what is wrong where it is not good.
pub(super) struct Look<'a> {
    pub moved: Moved<'a>,
    pub records: &'a Handle,
    pub source: &'a str,
    pub why: Why,
    pub old: Option<String>,
    pub new: Result<String, Wrong>,
}

/// What is wrong, and whether something was there at all.
#[derive(Clone)]
pub(super) struct Wrong {
    pub why: String,
    pub is_refusal: bool,
}

impl Wrong {
    fn refusal(why: impl ToString) -> Self {
        Self { why: why.to_string(), is_refusal: true }
    }
}

impl Look<'_> {
    /// Tells what comes of it; whether the new one is to be taken.
    pub fn judge(self) -> bool {
        let Self { moved, records, source, why, old, new } = self;
        let (of, name) = (moved.of, moved.name);
        let is_other = new.as_ref().is_ok_and(|new| old.as_ref().is_some_and(|old| old != new));
        let why = if is_other { why.of_change() } else { why };
        let tell = |outcome: Outcome<'_>, old: &[String], new: &[String]| {
            Rotation { of, name, source, why, outcome, old, new }.tell(records);
        };
        let taken = match &new {
            Ok(new) if old.as_ref() == Some(new) => {
                tell(Outcome::Unchanged, &[], &[]);
                false
            }
            Ok(new) => {
                tell(Outcome::Taken, old.as_slice(), std::slice::from_ref(new));
                crate::info!("{of} \"{name}\": what {source} holds now goes to origins");
                true
            }
            Err(Wrong { why: error, is_refusal }) => {
                tell(if *is_refusal { Outcome::Refused(error) } else { Outcome::Failed(error) }, &[], &[]);
                let then = if old.is_some() { "the old one stays in use" } else { "there is none to use" };
                crate::error!("{of} \"{name}\": {error}: {then}");
                false
            }
        };
        moved.show(new.map(drop).map_err(|wrong| wrong.why));
        taken
    }
}

/// A new certificate that has ended already is worse than any that serves.
fn unended(identity: Identity, old: Option<&str>, source: &str) -> Result<Identity, String> {
    let is_new = old.is_some_and(|old| old != identity.sha256);
    if is_new && identity.ends_s <= clock::unix_s() {
        return Err(format!("{source}: the new certificate has expired already"));
    }
    Ok(identity)
}

impl Watcher {
    pub(super) fn look_at_origin_material(&mut self) {
        let identities = self.look_at_origin_identities();
        if self.look_at_origin_credentials() || identities {
            self.plan_again();
        }
    }

    fn look_at_origin_identities(&mut self) -> bool {
        let start = &mut self.start;
        let mut taken = false;
        for (of, watched) in start.node.origin_identities.iter().zip(&mut self.origin_files.identities) {
            let why = watched.why();
            if !watched.changed() {
                continue;
            }
            let source = of.files.chain.display().to_string();
            let old = start.material.identities.get(&of.name).and_then(|had| had.as_ref().ok());
            let old = old.map(|of| of.sha256.clone());
            // What is awaited is not missed before it came.
            if of.awaited && old.is_none() && !of.files.chain.exists() {
                continue;
            }
            let read = material::read_identity(&of.files);
            let is_unread = read.as_ref().is_err_and(TlsError::is_unread);
            // A damaged one is awaited on.
            let slot = start.material.identities.get_mut(&of.name).filter(|_| !of.awaited);
            let moved = Moved { of: IDENTITY, name: &of.name, status: &start.status };
            let judged = match read {
                Ok(read) => unended(read, old.as_deref(), &source),
                Err(error) => {
                    let told = error.to_string();
                    keep_why(slot, error);
                    Err(told)
                }
            };
            let new = judged.as_ref().map(|of| of.sha256.clone()).map_err(Wrong::refusal);
            if new.as_ref().is_err_and(|wrong| !watched.is_news(is_unread, &wrong.why)) {
                continue;
            }
            let look = Look { moved, records: &start.records, source: &source, why, old, new };
            if let (true, Ok(read)) = (look.judge(), judged) {
                start.material.identities.insert(of.name.clone(), Ok(Arc::new(read)));
                taken = true;
            }
        }
        taken
    }

    fn look_at_origin_credentials(&mut self) -> bool {
        let start = &mut self.start;
        let mut taken = false;
        for (of, watched) in start.node.origin_credentials.iter().zip(&mut self.origin_files.credentials) {
            let (CredentialSource::File(path), Some(watched)) = (&of.from, watched) else { continue };
            let why = watched.why();
            if !watched.changed() {
                continue;
            }
            let source = path.display().to_string();
            let old = start.material.secrets.get(&of.name).and_then(|had| had.as_ref().ok());
            let old = old.map(|of| of.thumbprint.clone());
            let read = start.material.read_secret(path);
            let new = read.as_ref().map(|of| of.thumbprint.clone()).map_err(Wrong::refusal);
            let is_unread = read.as_ref().is_err_and(SecretError::is_unread);
            if new.as_ref().is_err_and(|wrong| !watched.is_news(is_unread, &wrong.why)) {
                continue;
            }
            let moved = Moved { of: CREDENTIAL, name: &of.name, status: &start.status };
            let look = Look { moved, records: &start.records, source: &source, why, old, new };
            let is_taken = look.judge();
            match read {
                Ok(read) if is_taken => {
                    start.material.secrets.insert(of.name.clone(), Ok(Arc::new(read)));
                    taken = true;
                }
                Ok(_) => {}
                Err(error) => keep_why(start.material.secrets.get_mut(&of.name), error),
            }
        }
        taken
    }

    /// The origins of the present release with what there is now.
    pub(super) fn plan_again(&mut self) {
        let frozen = Arc::clone(self.start.activator.frozen());
        for (rules, slot) in frozen.policy.origins.iter().zip(&mut self.start.planned) {
            match Planned::new(rules, &self.start.material) {
                Ok(planned) => *slot = planned,
                Err(error) => crate::error!("{error}: what serves stays in use"),
            }
        }
        self.set_origins();
    }
}

/// What is wrong now, for a release that needs it; what is good stays.
pub(super) fn keep_why<T, E>(slot: Option<&mut Result<Arc<T>, Arc<E>>>, error: E) {
    if let Some(slot @ Err(_)) = slot {
        *slot = Err(Arc::new(error));
    }
}
