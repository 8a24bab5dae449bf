//! Certificates and secrets towards origins: a good new one is taken, a bad one leaves the old in place, each apart from the
//! others.

use std::sync::Arc;

use super::Watcher;
use super::fingerprint::Watched;
use crate::assemble::Node;
use crate::assemble::material::{self, Identity, Material};
use crate::assemble::origins::Planned;
use crate::clock;
use crate::expiry::Ends;
use crate::moving::{Outcome, Rotation, Why};
use crate::records::Handle;
use crate::status::{OriginMaterialStatus, Status};

const IDENTITY: &str = "origin-identity";
const CREDENTIAL: &str = "origin-credential";

/// The files, in the order of the node.
pub struct Files {
    identities: Vec<Watched>,
    credentials: Vec<Watched>,
}

impl Files {
    /// Those of `node`. Each is read once more at the first look: it may have changed since it was read for the start.
    pub fn new(node: &Node) -> Self {
        let pairs = node.origin_identities.iter();
        let pairs = pairs.map(|of| Watched::new(vec![of.files.chain.clone(), of.files.key.clone()]));
        let secrets = node.origin_credentials.iter().map(|of| Watched::new(vec![of.file.clone()]));
        Self { identities: pairs.collect(), credentials: secrets.collect() }
    }

    pub fn forget(&mut self) {
        self.identities.iter_mut().chain(&mut self.credentials).for_each(Watched::forget);
    }
}

/// When the certificates that serve end.
pub fn ends(material: &Material) -> impl Iterator<Item = Ends> + '_ {
    material.identities.iter().filter_map(|(name, had)| {
        let of = had.as_ref().ok()?;
        Some(Ends { of: IDENTITY, name: name.clone(), begins_s: of.begins_s, ends_s: of.ends_s })
    })
}

/// Makes a place for each in the status, so that counters are there before anything goes wrong.
pub fn declare(status: &Status, node: &Node) {
    let identities = node.origin_identities.iter().map(|of| (IDENTITY, of.name.clone()));
    let credentials = node.origin_credentials.iter().map(|of| (CREDENTIAL, of.name.clone()));
    let mut moving = status.moving();
    for place in identities.chain(credentials) {
        moving.origin_material.entry(place).or_default();
    }
}

struct Moved<'a> {
    of: &'static str,
    name: &'a str,
    status: &'a Status,
}

impl Moved<'_> {
    fn show(&self, read: Result<(), String>) {
        let mut moving = self.status.moving();
        let shown = moving.origin_material.entry((self.of, self.name.to_owned())).or_default();
        match read {
            Ok(()) => *shown = OriginMaterialStatus { loaded_unix_s: clock::unix_s(), last_failure: None, ..*shown },
            Err(why) => (shown.failures, shown.last_failure) = (shown.failures + 1, Some(why)),
        }
    }
}

/// A look at the files of one thing. `old` and `new` are its thumbprints, `new` with what is wrong where it is not good.
struct Look<'a> {
    moved: Moved<'a>,
    records: &'a Handle,
    source: &'a str,
    why: Why,
    old: Option<String>,
    new: Result<String, String>,
}

impl Look<'_> {
    /// Tells what comes of it; whether the new one is to be taken.
    fn judge(self) -> bool {
        let Self { moved, records, source, why, old, new } = self;
        let (of, name) = (moved.of, moved.name);
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
            Err(error) => {
                tell(Outcome::Refused(error), &[], &[]);
                let then = if old.is_some() { "the old one stays in use" } else { "there is none to use" };
                crate::error!("{of} \"{name}\": {error}: {then}");
                false
            }
        };
        moved.show(new.map(drop));
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
            let read = material::read_identity(&of.files);
            let slot = start.material.identities.get_mut(&of.name);
            let moved = Moved { of: IDENTITY, name: &of.name, status: &start.status };
            let judged = match read {
                Ok(read) => unended(read, old.as_deref(), &source),
                Err(error) => {
                    let told = error.to_string();
                    keep_why(slot, error);
                    Err(told)
                }
            };
            let new = judged.as_ref().map(|of| of.sha256.clone()).map_err(Clone::clone);
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
            let why = watched.why();
            if !watched.changed() {
                continue;
            }
            let source = of.file.display().to_string();
            let old = start.material.secrets.get(&of.name).and_then(|had| had.as_ref().ok());
            let old = old.map(|of| of.thumbprint.clone());
            let read = start.material.read_secret(&of.file);
            let new = read.as_ref().map(|of| of.thumbprint.clone()).map_err(ToString::to_string);
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
fn keep_why<T, E>(slot: Option<&mut Result<Arc<T>, Arc<E>>>, error: E) {
    if let Some(slot @ Err(_)) = slot {
        *slot = Err(Arc::new(error));
    }
}
