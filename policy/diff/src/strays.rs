//! Strays: certificate names that mean nothing to one policy and something to the other, shown together with proofs
//! that do not need them. (A token or an API key that names nobody is refused, so it is never passed over.)
//!
//! Such a set is permitted by the policy that passes the stray over, and mostly refused by the other, which finds
//! proofs of two agents. Each stray is one class a direction, if any request changes with it whose callers are in no other
//! class: it holds all sets with the stray whose outcome changes in that direction, and every request that changes for one
//! of them. It is two classes where some of these requests change by any means, and others do not.
//!
//! To know whether there is one, the stray is added to the witnesses of each pair of callers, alone and with one more
//! stray. That is enough: let S with strays change. Without its strays, S has a pair that is known. With a single stray
//! of them, or with two (which then are of different agents), that pair's witness changes too, unless the proofs in it
//! are shared with the stray's agent; those sets are tried in `callers`. What has a pair that is known is in a class
//! already, so it needs none of the stray.
//!
//! The requests are those of all of these sets. Most witnesses are alike in that (`bases`): where neither has anything to do
//! with the stray, what changes for one changes for the other.
//!
//! All of the names are shown under all of the CAs that the certificate chains to, so an added name comes under the CAs
//! of the others, and they under its CA. What comes with it is in S as well: it is passed over by the one policy, and
//! speaks against S in the other. So the above holds for the smallest certificate with those names and CAs, if witnesses
//! of a pair are kept that differ in what can be added to them, and in what that brings (`callers::Shape`).
//!
//! That is enough to know that something changes, and not always what a stray has to do with it. Where what changes for a set
//! would also be had with the stray alone, another name of the base's agent beside it can spoil that: to the policy that passes
//! the stray over it adds nothing, and to the other one it is of somebody else. And a set can take two more strays to change,
//! where the other policy refuses neither of them with the first; or none, where that is a CA more. Such sets are tried where less
//! was found than can be at most.
//!
//! A certificate shows all of its names or none, so a stray among the names of one that was good before can be what
//! refuses its holder everything. Sets with a certificate are therefore tried first.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use policy::model::CertificateName;

use crate::access::{Change, Kind, ReachKind, Scene};
use crate::bases::{Bases, few, of_count, spoiled, witnesses};
use crate::callers::{Caller, Callers, Pair, Reach, Witness, pair, parts};
use crate::face::{Which, World};
use crate::listing::{Lister, Stray};
use crate::shown::{Credential, Shown, together};

/// Strays beside another one that are tried, and sets tried to find one that changes.
const SECOND_MAX: usize = 16;
const TRIED_PER_STRAY_MAX: usize = 4_096;
/// Sets tried for all strays together: to find one of each, and to find all requests.
const TRIED_MAX: usize = 200_000;
const LISTED_MAX: usize = 400_000;
/// And those tried once more, with more beside the stray, where less was found than can be.
const REFINED_MAX: usize = 100_000;
/// Groups that are looked at in each direction.
const LOOKED_MAX: usize = 1 << 26;
/// How many a group counts for that is judged, which is done once for all sets of the same kind and reach.
const JUDGED: usize = 8;
/// Groups that are kept for such sets, of 16 bytes each, and one more for each such.
const KEPT_MAX: usize = 1 << 21;

pub struct Strays<'p> {
    pub found: Vec<Stray<'p>>,
    /// The search was given up at its bound.
    pub exhausted: bool,
}

pub fn strays<'p>(scene: &Scene<'_, 'p>, callers: &Callers<'p>) -> Strays<'p> {
    strays_within(scene, callers, (TRIED_MAX, LISTED_MAX), (LOOKED_MAX, KEPT_MAX))
}

/// The same within other bounds: sets tried to find one of each, and to find all requests; and groups looked at and kept.
pub fn strays_within<'p>(
    scene: &Scene<'_, 'p>,
    callers: &Callers<'p>,
    (mut left, mut left_to_list): (usize, usize),
    groups: (usize, usize),
) -> Strays<'p> {
    let mut all = Strays { found: Vec::new(), exhausted: false };
    let mut left_to_refine = REFINED_MAX;
    for change in [Change::Allowed, Change::Refused] {
        let candidates = candidates(scene.world, change.permits());
        if candidates.is_empty() {
            continue;
        }
        let (others, is_cut) = few(scene.world, &candidates, SECOND_MAX);
        let ones = of_count(&others, 1);
        let known = RefCell::new(Known { groups: HashMap::new(), left: groups });
        let beside = Beside { scene, callers, change, others: &ones, is_cut, known: &known };
        let witnesses = witnesses(scene, callers, change);
        let bases = Bases::new(witnesses.iter().map(|(_, it)| &it.shown).collect(), Some);
        let mut found: Vec<(Credential<'p>, Set<'p>)> = Vec::new();
        for credential in &candidates {
            match beside.search(credential).any(bases.fitting(credential), &mut left) {
                Ok(set) => found.extend(set.map(|set| (*credential, set))),
                Err(Exhausted) => all.exhausted = true,
            }
        }
        if found.is_empty() {
            continue;
        }
        let (mut lists, short) = beside.list(&found, &witnesses, &mut left_to_list, false);
        if !short.is_empty() {
            let short = witnesses.iter().copied().filter(|(_, witness)| short.contains(&witness.shown));
            let more = spoiled(scene, change, &witnesses, short);
            let more = more.iter().map(|(caller, witness)| (*caller, witness));
            let witnesses: Vec<_> = witnesses.iter().copied().chain(more).collect();
            let up_to_two: Vec<_> = ones.iter().cloned().chain(of_count(&others, 2)).collect();
            let refined = Beside { others: &up_to_two, ..beside }.list(&found, &witnesses, &mut left_to_refine, true).0;
            // It is told which requests change with which stray, and by what means: that they change is known.
            lists = lists
                .into_iter()
                .zip(refined)
                .map(|(first, refined)| first.and_then(|it| refined.or(Ok(it))))
                .collect();
        }
        for list in lists {
            match list {
                Ok(found) => all.found.extend(found),
                Err(Exhausted) => all.exhausted = true,
            }
        }
    }
    all
}

/// Strays, each with what is tried beside it.
struct Beside<'s, 'w, 'p> {
    scene: &'s Scene<'w, 'p>,
    callers: &'s Callers<'p>,
    change: Change,
    /// Other strays, and whether there are some like none of them.
    others: &'s [Vec<Credential<'p>>],
    is_cut: bool,
    known: &'s RefCell<Known>,
}

/// What changes for sets that have been looked at, which is the same for all of one kind and reach.
struct Known {
    groups: HashMap<(Kind, ReachKind), Groups>,
    /// Groups that may still be looked at, and that may still be kept.
    left: (usize, usize),
}

/// Groups that change, and whether by any means.
type Groups = Rc<[(usize, bool)]>;

/// What changes with each stray.
type Lists<'p> = Vec<Result<Vec<Stray<'p>>, Exhausted>>;

impl<'s, 'w, 'p> Beside<'s, 'w, 'p> {
    fn search(&self, credential: &Credential<'p>) -> Search<'s, 'w, 'p> {
        let Self { scene, callers, change, others, is_cut, known } = *self;
        let company = company(scene.world, change.permits(), credential);
        Search { scene, callers, change, credential: *credential, others: (others, is_cut), company, known }
    }

    /// And the bases for which less was found than can be at most.
    fn list(
        &self,
        found: &[(Credential<'p>, Set<'p>)],
        witnesses: &[(&'s Caller<'p>, &'s Witness<'p>)],
        left: &mut usize,
        is_close: bool,
    ) -> (Lists<'p>, HashSet<&'s Shown<'p>>) {
        let mut lister =
            Lister::new(self.scene, self.change, witnesses, found.iter().map(|(credential, _)| credential), is_close);
        let list = |(credential, set): &(_, Set<'p>)| lister.list(&self.search(credential), set.clone(), left);
        (found.iter().map(list).collect(), lister.short())
    }
}

/// What `which` passes over and the other policy does not.
pub fn candidates<'p>(world: &World<'p>, which: Which) -> Vec<Credential<'p>> {
    let (over, means) = (&world.face(which).holders, &world.face(which.other()).holders);
    let names = means.certificates.keys().filter(|name| !over.certificates.contains_key(*name));
    let mut names: Vec<(u16, &'p CertificateName)> = names.copied().collect();
    names.sort_unstable();
    let gone = world.cas.iter().zip(0_u16..).filter(|(ca, _)| ca.at(which).is_some() && ca.at(which.other()).is_none());
    let nameless = gone.map(|(_, ca)| Credential::Certificate { ca, name: None });
    let names = names.into_iter().map(|(ca, name)| Credential::Certificate { ca, name: Some(name) });
    nameless.chain(names).collect()
}

pub struct Exhausted;

/// A set with a stray, and what changes for it: groups, and whether by any means.
#[derive(Clone)]
pub struct Set<'p> {
    pub pair: Pair,
    pub witness: Witness<'p>,
    pub changed: Groups,
}

pub fn take(left: &mut usize) -> Result<(), Exhausted> {
    *left = left.checked_sub(1).ok_or(Exhausted)?;
    Ok(())
}

pub struct Search<'s, 'w, 'p> {
    pub scene: &'s Scene<'w, 'p>,
    callers: &'s Callers<'p>,
    pub change: Change,
    pub credential: Credential<'p>,
    /// Strays that are tried beside this one, and whether there are others like none of them.
    pub others: (&'s [Vec<Credential<'p>>], bool),
    /// CAs that are tried beside the stray's.
    company: Vec<Option<Credential<'p>>>,
    known: &'s RefCell<Known>,
}

impl<'s, 'p> Search<'s, '_, 'p> {
    /// A set that changes and whose pair is in no other class, if there is any.
    fn any(&self, bases: impl Iterator<Item = &'s Shown<'p>>, left: &mut usize) -> Result<Option<Set<'p>>, Exhausted> {
        let mut own = TRIED_PER_STRAY_MAX;
        let mut is_cut = false;
        for base in bases {
            is_cut = self.others.1;
            for shown in self.sets(base) {
                take(&mut own)?;
                take(left)?;
                if self.callers.known.contains_key(&pair(self.scene.world, &shown)) {
                    continue;
                }
                let set = self.judged(shown)?;
                if !set.changed.is_empty() {
                    return Ok(Some(set));
                }
            }
        }
        if is_cut { Err(Exhausted) } else { Ok(None) }
    }

    /// Sets with the stray: alone, and with others or a CA beside it. None if no one certificate has all of it.
    pub fn sets(&self, base: &Shown<'p>) -> impl Iterator<Item = Shown<'p>> {
        let with = move |others: &[Credential<'p>], company: Option<Credential<'p>>| {
            together(base.iter().copied().chain([self.credential]).chain(others.iter().copied()).chain(company))
        };
        let fits = with(&[], None).is_some();
        let others = std::iter::once(&[][..]).chain(self.others.0.iter().map(Vec::as_slice)).filter(move |_| fits);
        others.flat_map(move |others| self.company.iter().filter_map(move |company| with(others, *company)))
    }

    /// Counts groups that are looked at.
    pub fn look(&self, count: usize) -> Result<(), Exhausted> {
        let to_look = &mut self.known.borrow_mut().left.0;
        *to_look = to_look.checked_sub(count).ok_or(Exhausted)?;
        Ok(())
    }

    /// What changes for a set.
    pub fn judged(&self, shown: Shown<'p>) -> Result<Set<'p>, Exhausted> {
        let (scene, world) = (self.scene, self.scene.world);
        let pair = pair(world, &shown);
        let kind = scene.kind(pair);
        let reach = Reach { old: parts(world, Which::Old, &shown), new: parts(world, Which::New, &shown) };
        let changed = self.known.borrow_mut().groups(scene, self.change, (kind, scene.reach_kind(&reach)))?;
        Ok(Set { pair, witness: Witness { shown, reach }, changed })
    }
}

impl Known {
    fn groups(
        &mut self,
        scene: &Scene<'_, '_>,
        change: Change,
        (kind, reach): (Kind, ReachKind),
    ) -> Result<Groups, Exhausted> {
        let entry = match self.groups.entry((kind, reach)) {
            Entry::Occupied(entry) => return Ok(Rc::clone(entry.get())),
            Entry::Vacant(entry) => entry,
        };
        let candidates = scene.candidates(kind);
        let (to_look, to_keep) = &mut self.left;
        *to_look = to_look.checked_sub(candidates.len() * JUDGED).ok_or(Exhausted)?;
        let groups: Groups = scene.all_changed(change, candidates, (kind, entry.key().1.clone())).into();
        if let Some(left) = to_keep.checked_sub(1 + groups.len()) {
            *to_keep = left;
            entry.insert(Rc::clone(&groups));
        }
        Ok(groups)
    }
}

/// CAs that can vouch for a stray's certificate beside its own: it is valid by any CA that it chains to, so a name under a
/// CA that one policy does not have can stand in a certificate that also chains to one that it has.
fn company<'p>(world: &World<'p>, permits: Which, stray: &Credential<'p>) -> Vec<Option<Credential<'p>>> {
    let Credential::Certificate { ca, name: Some(_) } = stray else { return vec![None] };
    let pair = world.ca_pair(*ca);
    if pair.old.is_some() && pair.new.is_some() {
        return vec![None];
    }
    let valid = world.cas.iter().zip(0_u16..).filter(|(ca, _)| ca.at(permits).is_some());
    std::iter::once(None).chain(valid.map(|(_, ca)| Some(Credential::Certificate { ca, name: None }))).collect()
}
