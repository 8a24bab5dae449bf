//! Sets of credentials to which strays are added, and which of them are alike: with a stray that has nothing to do with
//! any of them, the outcome of all that are alike changes in the same way.

use std::collections::{BTreeSet, HashMap, HashSet};

use policy::model::CertificateName;

use crate::access::{Change, Kind, ReachKind, Scene};
use crate::callers::{Caller, Callers, Reach, Shape, Witness, pair, parts, shape};
use crate::face::{Pair, Which, World};
use crate::proofs::{NameKind, OwnProofs, holders, under_all};
use crate::shown::{Credential, Shown, Taken, has_certificate, needs_certificate, together};

/// Things by what one certificate cannot have twice: an SPIFFE id and a public key.
pub struct Bases<'p, T> {
    all: Vec<T>,
    without_spiffe: Vec<T>,
    without_spki: Vec<T>,
    with: HashMap<&'p CertificateName, Vec<T>>,
}

/// Bases that are alike.
pub struct Alike<'s, 'p> {
    pub members: Vec<&'s Shown<'p>>,
    /// The most that can change with a stray: groups, and whether by any means. None where that is not known, because a
    /// CA that comes with the stray can make the certificate valid.
    pub most: Option<Vec<(usize, bool)>>,
}

/// What decides, of a set, how its outcome changes with a stray: what it may do and how its token narrows that; what its
/// certificate is like, and what the holder may do without it; and whether the policy that knows the stray knows a name
/// of the certificate, and whether a token or key is beside it.
type Likeness<'p> = (Kind, Shape<'p>, ReachKind, [bool; 2], Option<Whole>);

/// What both sides take the holder for, and what any part of the set may do: a stray that the other policy does not refuse
/// changes nothing of it, as a certificate's one more CA.
type Whole = (Kind, ReachKind);

impl<'p, T: Copy> Bases<'p, T> {
    /// In the order given, by one set of each.
    pub fn new<'s>(all: Vec<T>, shown: impl Fn(T) -> Option<&'s Shown<'p>>) -> Self
    where
        'p: 's,
    {
        let name = |it: &Credential<'p>| if let Credential::Certificate { name, .. } = it { *name } else { None };
        let mut bases =
            Self { without_spiffe: Vec::new(), without_spki: Vec::new(), with: HashMap::new(), all: all.clone() };
        for base in all {
            let names = shown(base).into_iter().flatten().filter_map(name);
            let names: BTreeSet<_> = names.filter(|name| is_one_only(name)).collect();
            if !names.iter().any(|name| matches!(name, CertificateName::Spiffe(_))) {
                bases.without_spiffe.push(base);
            }
            if !names.iter().any(|name| matches!(name, CertificateName::SpkiSha256(_))) {
                bases.without_spki.push(base);
            }
            for name in names {
                bases.with.entry(name).or_default().push(base);
            }
        }
        bases
    }

    /// Those that one certificate can show together with a stray: those with the same name first.
    pub fn fitting(&self, stray: &Credential<'p>) -> impl Iterator<Item = T> + Clone {
        let name = if let Credential::Certificate { name, .. } = stray { *name } else { None };
        let others = match name {
            Some(CertificateName::Spiffe(_)) => &self.without_spiffe,
            Some(CertificateName::SpkiSha256(_)) => &self.without_spki,
            _ => &self.all,
        };
        let same = name.and_then(|name| self.with.get(name)).map_or(&[][..], Vec::as_slice);
        same.iter().chain(others).copied()
    }
}

/// Whether a certificate has at most one name of this kind.
fn is_one_only(name: &CertificateName) -> bool {
    !matches!(name, CertificateName::Dns(_))
}

/// Witnesses to which strays can be added, those with a certificate first.
pub fn witnesses<'s, 'p>(
    scene: &Scene<'_, 'p>,
    callers: &'s Callers<'p>,
    change: Change,
) -> Vec<(&'s Caller<'p>, &'s Witness<'p>)> {
    let changing = callers.all.iter().filter(|caller| may_change(scene, change, caller));
    let mut all: Vec<_> = changing.flat_map(|caller| caller.witnesses.iter().map(move |it| (caller, it))).collect();
    all.sort_by_key(|(_, witness)| !has_certificate(&witness.shown));
    all
}

/// Names of its agent that are tried beside a witness, and sets made so.
const BESIDE_MAX: usize = 8;
const SPOILED_MAX: usize = 20_000;

/// Some witnesses with one or two more names of the same agent, in their certificate, for the side that permits. That side
/// takes the holder for the same as without, so they have no class of their own. To the other one such a name can spoil
/// what a stray beside it is good for: a certificate shows all of its names or none. The first, where there are more than are tried.
pub fn spoiled<'s, 'p: 's>(
    scene: &Scene<'_, 'p>,
    change: Change,
    known: &[(&'s Caller<'p>, &'s Witness<'p>)],
    short: impl Iterator<Item = (&'s Caller<'p>, &'s Witness<'p>)> + Clone,
) -> Vec<(&'s Caller<'p>, Witness<'p>)> {
    let (world, which) = (scene.world, change.permits());
    let mut seen: HashSet<Shown<'p>> = known.iter().map(|(_, witness)| witness.shown.clone()).collect();
    let mut names_of: HashMap<u32, Vec<Credential<'p>>> = HashMap::new();
    let mut all = Vec::new();
    for count in [1, 2] {
        for (caller, witness) in short.clone() {
            let Taken::Agent(agent) = taken(caller, which) else { continue };
            let own = || few(world, &OwnProofs::read(world, which, agent).certificates, BESIDE_MAX).0;
            for beside in of_count(names_of.entry(agent).or_insert_with(own), count) {
                let Some(shown) = together(witness.shown.iter().chain(&beside).copied()) else { continue };
                if world.taken(which, &shown) != taken(caller, which) || !seen.insert(shown.clone()) {
                    continue;
                }
                if all.len() == SPOILED_MAX {
                    return all;
                }
                let reach = Reach { old: parts(world, Which::Old, &shown), new: parts(world, Which::New, &shown) };
                all.push((caller, Witness { shown, reach }));
            }
        }
    }
    all
}

/// Each set of one or two.
pub fn of_count<T: Copy>(all: &[T], count: usize) -> Vec<Vec<T>> {
    let ones = all.iter().zip(1..);
    match count {
        1 => ones.map(|(one, _)| vec![*one]).collect(),
        _ => ones.flat_map(|(one, at)| all.iter().skip(at).map(move |two| vec![*one, *two])).collect(),
    }
}

/// Whether a stray can change anything for a caller: not where the side that passes it over permits nothing anyway.
fn may_change(scene: &Scene<'_, '_>, change: Change, caller: &Caller<'_>) -> bool {
    let one_sided = |ca: &Pair| ca.old.is_none() || ca.new.is_none();
    let which = change.permits();
    scene.may_do_anything(which, taken(caller, which)) || scene.world.cas.iter().any(one_sided)
}

fn taken(caller: &Caller<'_>, which: Which) -> Taken {
    if which == Which::Old { caller.pair.0 } else { caller.pair.1 }
}

/// Witnesses, by what they are like; where `is_close`, also with strays that the other policy does not refuse.
pub fn alike<'s, 'p>(
    scene: &Scene<'_, 'p>,
    change: Change,
    witnesses: &[(&'s Caller<'p>, &'s Witness<'p>)],
    is_close: bool,
) -> Vec<Alike<'s, 'p>> {
    let mut found: Vec<Alike<'s, 'p>> = Vec::new();
    let mut known: HashMap<Likeness<'p>, usize> = HashMap::new();
    for (caller, witness) in witnesses {
        let whole = is_close.then(|| (scene.kind(pair(scene.world, &witness.shown)), scene.reach_kind(&witness.reach)));
        let likeness = likeness(scene, change, (caller, witness), whole);
        let index = *known.entry(likeness).or_insert_with_key(|(kind, _, left, ..)| {
            let is_refused = taken(caller, change.permits()) == Taken::Refused;
            // What changes where the one side refuses whoever shows the certificate.
            let most = (!is_refused).then(|| scene.all_changed(change, scene.candidates(*kind), (*kind, left.clone())));
            found.push(Alike { members: Vec::new(), most });
            found.len() - 1
        });
        if let Some(alike) = found.get_mut(index) {
            alike.members.push(&witness.shown);
        }
    }
    found
}

fn likeness<'p>(
    scene: &Scene<'_, 'p>,
    change: Change,
    (caller, witness): (&Caller<'p>, &Witness<'p>),
    whole: Option<Whole>,
) -> Likeness<'p> {
    let (world, permits, refuses) = (scene.world, change.permits(), change.permits().other());
    let (old, new, narrowing) = scene.kind(caller.pair);
    let kind = if permits == Which::Old { (old, None, narrowing) } else { (None, new, narrowing) };
    let shown = &witness.shown;
    let is_name = |it: &&Credential<'p>| matches!(it, Credential::Certificate { .. });
    let knows_name = shown.iter().filter(is_name).any(|it| holders(world, refuses, it).is_some());
    let has_others = !shown.iter().all(|it| is_name(&it));
    let left = scene.reach_kind(&without_certificate(world, refuses, witness));
    (kind, shape(world, shown), left, [knows_name, has_others], whole)
}

/// Whom a policy takes the holder for who leaves the certificate away, once there is one.
fn without_certificate<'p>(world: &World<'p>, which: Which, witness: &Witness<'p>) -> Reach {
    let is_left = |it: &&Credential<'p>| {
        !matches!(it, Credential::Certificate { .. }) && !needs_certificate(std::slice::from_ref(it))
    };
    let left: Shown<'p> = witness.shown.iter().filter(is_left).copied().collect();
    let parts = if world.face(which).certificate_needed {
        Vec::new()
    } else if left.len() == witness.shown.len() {
        if which == Which::Old { witness.reach.old.clone() } else { witness.reach.new.clone() }
    } else {
        parts(world, which, &left)
    };
    let (old, new) = if which == Which::Old { (parts, Vec::new()) } else { (Vec::new(), parts) };
    Reach { old, new }
}

/// Strays with the same meaning but for their agents that are tried beside another: two, as at most one is of the agent
/// that the first is taken for, and one to spare.
const OF_A_KIND: usize = 3;

/// A few of some strays that stand for all, those that are alike with no agent in common; and whether there are more.
pub fn few<'p>(world: &World<'p>, all: &[Credential<'p>], max: usize) -> (Vec<Credential<'p>>, bool) {
    let mut seen: HashMap<_, (usize, BTreeSet<(Side, u32)>)> = HashMap::new();
    let mut few = Vec::new();
    for credential in all {
        let (meaning, agents) = anonymous(world, credential);
        let (count, known) = seen.entry(meaning).or_default();
        if *count == OF_A_KIND || agents.iter().any(|agent| known.contains(agent)) {
            continue;
        }
        if few.len() == max {
            return (few, true);
        }
        *count += 1;
        known.extend(agents);
        few.push(*credential);
    }
    (few, false)
}

/// Which policy: true for the new one.
pub type Side = bool;

/// What a name of a certificate means under each CA, on each side, whoever the agents are.
pub type Anonymous = (Option<(u16, Option<NameKind>)>, Vec<Option<Vec<usize>>>);

/// What a credential means, with its agents numbered in the order met; and those.
pub fn anonymous<'p>(world: &World<'p>, credential: &Credential<'p>) -> (Anonymous, Vec<(Side, u32)>) {
    let kind = match credential {
        Credential::Certificate { ca, name } => Some((*ca, name.map(NameKind::of))),
        _ => None,
    };
    let mut agents: Vec<(Side, u32)> = Vec::new();
    let mut number = |agent: (Side, u32)| {
        agents.iter().position(|known| *known == agent).unwrap_or_else(|| {
            agents.push(agent);
            agents.len() - 1
        })
    };
    let mut held = Vec::new();
    for it in under_all(world, *credential) {
        for side in [Which::Old, Which::New] {
            let mut numbers =
                |all: &[u32]| all.iter().map(|agent| number((side == Which::New, *agent))).collect::<Vec<usize>>();
            held.push(holders(world, side, &it).map(&mut numbers));
        }
    }
    ((kind, held), agents)
}
