//! From changed callers × requests to classes: everything with the same change, the same requests and the same
//! condition on tokens is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::access::{Change, Changed, Kind, ReachKind, Scene};
use crate::callers::Callers;
use crate::listing::Stray;
use crate::shown::{Credential, Shown, Taken, TokenNames};

/// A class, in numbers.
#[derive(Clone, Debug)]
pub struct RawClass<'p> {
    pub changed: Changed,
    /// Positions in the scene's list; for a stray's class, what changes for some set with it.
    pub groups: Rc<[usize]>,
    /// Positions in the list of callers; empty for a stray's class.
    pub callers: Vec<usize>,
    pub stray: Option<Credential<'p>>,
    /// Credentials and token scopes of one caller, with a position in the list of cells.
    pub example: (Shown<'p>, TokenNames, usize),
}

/// How some groups change for callers that are alike.
type Changes = Vec<(Changed, Vec<usize>)>;

/// All classes, those of strays included.
pub fn classes<'p>(scene: &Scene<'_, 'p>, callers: &Callers<'p>, strays: Vec<Stray<'p>>) -> Vec<RawClass<'p>> {
    let mut candidates: HashMap<Kind, Vec<usize>> = HashMap::new();
    let mut known: HashMap<(Kind, BTreeSet<ReachKind>), Changes> = HashMap::new();
    let mut classes: BTreeMap<(Changed, Vec<usize>), Vec<usize>> = BTreeMap::new();
    for (caller, index) in callers.all.iter().zip(0..) {
        let kind = scene.kind(caller.pair);
        let candidates = candidates.entry(kind).or_insert_with(|| scene.candidates(kind));
        if candidates.is_empty() {
            continue;
        }
        let reaches: BTreeSet<ReachKind> = caller.witnesses.iter().map(|it| scene.reach_kind(&it.reach)).collect();
        let known =
            known.entry((kind, reaches)).or_insert_with_key(|(_, reaches)| changes(scene, kind, reaches, candidates));
        for (changed, groups) in known {
            match classes.get_mut(&(changed.clone(), groups.clone())) {
                Some(members) => members.push(index),
                None => drop(classes.insert((changed.clone(), groups.clone()), vec![index])),
            }
        }
    }
    let direct = classes.into_iter().filter_map(|((changed, groups), members)| {
        let caller = callers.all.get(*members.first()?)?;
        let group = scene.groups.get(*groups.first()?)?;
        let (witness, names) = scene.example(changed.change, caller, group)?;
        let example = (caller.witnesses.get(witness)?.shown.clone(), names, *group.cells.first()?);
        Some(RawClass { changed, groups: groups.into(), callers: members, stray: None, example })
    });
    let strays = strays.into_iter().map(|stray| RawClass {
        changed: stray.changed,
        groups: stray.groups,
        callers: Vec::new(),
        stray: Some(stray.credential),
        example: stray.example,
    });
    let mut all: Vec<_> = direct.chain(strays).collect();
    // What matters most stands first: gains and losses, then what changes only for odd sets of credentials.
    all.sort_by_key(|class| (class.changed.change, class.stray.is_some(), !class.changed.by_any_means));
    all
}

fn changes(scene: &Scene<'_, '_>, kind: Kind, reaches: &BTreeSet<ReachKind>, candidates: &[usize]) -> Changes {
    let mut found: BTreeMap<Changed, Vec<usize>> = BTreeMap::new();
    for &index in candidates {
        let Some(group) = scene.groups.get(index) else { continue };
        for change in [Change::Allowed, Change::Refused] {
            if let Some(changed) = scene.changed(change, kind, reaches, group) {
                found.entry(changed).or_default().push(index);
            }
        }
    }
    found.into_iter().collect()
}

/// Pairs of agents whose scopes grant the same request of the same caller, before and after, where one of them is the
/// anonymous agent and the other is the caller.
pub fn crossed(scene: &Scene<'_, '_>, callers: &Callers<'_>) -> BTreeSet<(u32, u32)> {
    let world = scene.world;
    let mut known: HashMap<Kind, (bool, bool)> = HashMap::new();
    let mut pairs = BTreeSet::new();
    for caller in &callers.all {
        let kind = scene.kind(caller.pair);
        let (to_anyone, from_anyone) = *known.entry(kind).or_insert_with(|| scene.crosses(kind));
        if let (Taken::Agent(agent), Some(anyone), true) = (caller.pair.0, world.new.anonymous, to_anyone) {
            pairs.insert((agent, anyone));
        }
        if let (Some(anyone), Taken::Agent(agent), true) = (world.old.anonymous, caller.pair.1, from_anyone) {
            pairs.insert((anyone, agent));
        }
    }
    pairs
}
