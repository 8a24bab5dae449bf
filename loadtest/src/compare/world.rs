//! What all experiments share: the targets with what they were seen to do, credentials, the origin, the cores.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Progress, Stop};
use crate::failure::Failure;
use crate::load::{ClientTls, Group};
use crate::noise::Reference;
use crate::origin::Origin;
use crate::probe::{Probed, probe};
use crate::results::{Results, Subject};
use crate::target::{
    Algorithm, Context, Credential, Fault, Flaw, LIMIT_NONE, Material, Obtained, Place, Target, Transport, Work,
};

/// Bytes of content of an ordinary response.
pub const CONTENT_BYTES: usize = 128;

/// What to compare and how.
pub struct Options {
    pub targets: Vec<Target>,
    pub place: Place,
    /// For trying out: short, and its figures prove nothing.
    pub quick: bool,
    /// Ids of experiments; all where it is empty.
    pub only: Vec<String>,
    pub target_core: usize,
    pub load_core: usize,
    /// Connections of the load to each target.
    pub connections: usize,
    /// As it was typed.
    pub command: String,
}

/// A target that is there.
pub struct Entrant<'o> {
    pub target: &'o Target,
    pub does: BTreeSet<Work>,
}

pub struct World<'o> {
    pub options: &'o Options,
    pub progress: &'o Progress,
    pub stop: &'o Stop,
    pub material: Material,
    pub entrants: Vec<Entrant<'o>>,
    pub origin: SocketAddr,
    reference: RefCell<(Reference, Vec<f64>)>,
    numbers: Cell<u64>,
    _folder: tempfile::TempDir,
}

impl<'o> World<'o> {
    /// Looks for the targets and probes each; what came of it stands in `results`.
    pub fn new(
        options: &'o Options,
        progress: &'o Progress,
        stop: &'o Stop,
        results: &mut Results,
    ) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("loadtest-").tempdir().map_err(Failure::io("a folder"))?;
        let material = Material::new(folder.path())?;
        let mut entrants = Vec::new();
        for target in &options.targets {
            if stop.is_asked() {
                break;
            }
            match target.look(&options.place) {
                Ok(obtained) => {
                    let (subject, does) = admit(options, target, obtained, &material, progress);
                    results.targets.push(subject);
                    entrants.push(Entrant { target, does });
                }
                Err(fault) => {
                    progress.say(&format!("{}: {fault}", target.name));
                    results.targets.push(Subject {
                        name: target.name.clone(),
                        version: "none".to_owned(),
                        obtained: "not available".to_owned(),
                        why_not: Some(fault.to_string()),
                        ..Subject::default()
                    });
                }
            }
        }
        let origin = Origin::start(options.load_core, CONTENT_BYTES)?;
        let reference = RefCell::new((Reference::new(options.target_core)?, Vec::new()));
        Ok(Self {
            options,
            progress,
            stop,
            material,
            entrants,
            origin,
            reference,
            numbers: Cell::new(1),
            _folder: folder,
        })
    }

    /// Those that do any of these works, in the order of the targets.
    pub fn able(&self, works: &[Work]) -> Vec<(&'o Target, Work)> {
        let of = |entrant: &Entrant<'o>| {
            let target = entrant.target;
            works.iter().filter(|work| entrant.does.contains(work)).map(|work| (target, *work)).collect::<Vec<_>>()
        };
        self.entrants.iter().flat_map(of).collect()
    }

    /// How a target is started for being timed: with a limit that no load reaches.
    pub fn context(&self, origin: SocketAddr) -> Context<'_> {
        Context {
            place: &self.options.place,
            material: &self.material,
            origin,
            core: self.options.target_core,
            limit: LIMIT_NONE,
        }
    }

    /// What a request of this work shows.
    pub fn fields(&self, work: Work, number: u64) -> Result<Vec<String>, Fault> {
        Ok(match work.credential() {
            Credential::None | Credential::Certificate => Vec::new(),
            Credential::ApiKey => vec![format!("X-API-Key: {}", self.material.api_key)],
            Credential::Token(algorithm) => vec![self.bearer(algorithm, number)?],
        })
    }

    pub fn bearer(&self, algorithm: Algorithm, number: u64) -> Result<String, Fault> {
        Ok(format!("Authorization: Bearer {}", self.material.token(algorithm, Flaw::None, number)?))
    }

    /// How a client of this work speaks; the same key-exchange group to all, and no session is resumed.
    pub fn tls(&self, work: Work) -> Option<ClientTls> {
        let identity = (work.transport() == Transport::Mtls).then(|| self.material.agent.clone());
        work.transport().is_tls().then(|| ClientTls {
            roots: Some(self.material.server_ca.clone()),
            identity,
            group: Some(Group::P256),
            resumption: false,
        })
    }

    /// A number that nobody had before.
    pub fn number(&self) -> u64 {
        self.numbers.replace(self.numbers.get() + 1)
    }

    /// Runs the reference once; nanoseconds a unit.
    pub fn reference(&self) -> Option<f64> {
        let mut reference = self.reference.borrow_mut();
        let (runs, seen) = &mut *reference;
        let measured = runs.slice().ok()?;
        seen.push(measured);
        Some(measured)
    }

    /// All references so far, in the order of time.
    pub fn references(&self) -> Vec<f64> {
        self.reference.borrow().1.clone()
    }
}

/// Probes a target: what it is in the results, and what it does.
fn admit(
    options: &Options,
    target: &Target,
    obtained: Obtained,
    material: &Material,
    progress: &Progress,
) -> (Subject, BTreeSet<Work>) {
    let ask = |work: &Work| probe(target, &options.place, material, options.target_core, *work);
    let probed: Vec<Probed> = target.works.keys().map(ask).collect();
    let does: BTreeSet<Work> = probed.iter().filter(|one| one.does()).map(|one| one.work).collect();
    let failed: Vec<String> =
        probed.iter().filter_map(|one| Some(format!("{}: {}", one.work.name(), one.why_not.as_ref()?))).collect();
    let names: Vec<&str> = does.iter().map(|work| work.name()).collect();
    progress.say(&format!("{}: {}; does {}", target.name, obtained.version, names.join(", ")));
    for why in &failed {
        progress.say(&format!("{}: NOT RANKED for {why}", target.name));
    }
    let cannot = target.cannot.iter().map(|(work, why)| format!("{}: {why}", work.name()));
    let why_not: Vec<String> = failed.iter().cloned().chain(cannot).collect();
    let subject = Subject {
        name: target.name.clone(),
        version: obtained.version,
        obtained: obtained.from,
        probes: probed.into_iter().flat_map(|one| one.probes).collect(),
        ranked: failed.is_empty(),
        why_not: (!why_not.is_empty()).then(|| why_not.join("; ")),
    };
    (subject, does)
}
