//! Which requests change with a stray, and for which of them by any means.
//!
//! Bases that have something to do with the stray are tried one by one: those with a proof of one of its agents. Of the
//! others, one stands for all that are alike; and what changes with these is the same for all strays that mean the same
//! but for who has them, so it is found once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use crate::access::{Change, Changed, Condition, Scene};
use crate::bases::{Alike, Anonymous, Bases, Side, alike, anonymous};
use crate::callers::{Caller, Witness};
use crate::face::Which;
use crate::proofs::{holders, under_all};
use crate::sets::SetId;
use crate::shown::{Credential, Narrowing, Shown, TokenNames};
use crate::strays::{Exhausted, Search, Set, take};

/// What changes with a stray, by any means or not.
pub struct Stray<'p> {
    pub credential: Credential<'p>,
    pub changed: Changed,
    /// Positions in the scene's list: what changes for some set with the stray.
    pub groups: Rc<[usize]>,
    pub example: Example<'p>,
}

/// Credentials and token scopes, with a position in the list of cells.
pub type Example<'p> = (Shown<'p>, TokenNames, usize);

/// Groups that change with a stray: by any means or not, and the first set for which they do so.
#[derive(Default)]
struct Listed<'p> {
    groups: BTreeMap<usize, (bool, usize)>,
    sets: Vec<Caller<'p>>,
}

/// The groups that change with strays that are alike, with bases that have nothing to do with them.
struct Common {
    /// By any means or not, and the position of the first bases for which they do so.
    groups: BTreeMap<usize, (bool, usize)>,
    lists: [Rc<[usize]>; 2],
}

/// What decides how bases change with a stray that have nothing to do with it: what it means, and what its holder may do.
type Meaning = (Anonymous, Vec<(Option<SetId>, Option<SetId>)>);

/// Bases that have something to do with a stray: positions in the lister's list, and among the members.
type Kin = BTreeMap<usize, BTreeSet<usize>>;

pub struct Lister<'s, 'w, 'p> {
    scene: &'s Scene<'w, 'p>,
    change: Change,
    all: Vec<Alike<'s, 'p>>,
    /// Positions in `all`.
    fitting: Bases<'p, usize>,
    /// Bases by agents of strays that one of their credentials is a proof of: positions in `all` and among the members.
    bases_of: HashMap<(Side, u32), Vec<(usize, usize)>>,
    known: HashMap<Meaning, Rc<Common>>,
    /// Positions in `all`, of bases for which less was found than can be at most.
    short: BTreeSet<usize>,
}

impl<'s, 'w, 'p> Lister<'s, 'w, 'p> {
    pub fn new<'c>(
        scene: &'s Scene<'w, 'p>,
        change: Change,
        witnesses: &[(&'s Caller<'p>, &'s Witness<'p>)],
        strays: impl Iterator<Item = &'c Credential<'p>>,
        is_close: bool,
    ) -> Self
    where
        'p: 'c,
    {
        let all = alike(scene, change, witnesses, is_close);
        let fitting = Bases::new((0..all.len()).collect(), |at| all.get(at)?.members.first().copied());
        let mut bases_of: HashMap<_, Vec<_>> = HashMap::new();
        for stray in strays {
            bases_of.extend(agents(scene, stray).map(|agent| (agent, Vec::new())));
        }
        for (alike, at) in all.iter().zip(0..) {
            for (base, member) in alike.members.iter().zip(0..) {
                for agent in base.iter().flat_map(|it| agents(scene, it)) {
                    if let Some(bases) = bases_of.get_mut(&agent) {
                        bases.push((at, member));
                    }
                }
            }
        }
        Self { scene, change, all, fitting, bases_of, known: HashMap::new(), short: BTreeSet::new() }
    }

    /// All that changes with a stray. `first` is a set with it that changes.
    pub fn list(
        &mut self,
        search: &Search<'s, 'w, 'p>,
        first: Set<'p>,
        left: &mut usize,
    ) -> Result<Vec<Stray<'p>>, Exhausted> {
        let mut kin = Kin::new();
        for (at, member) in agents(self.scene, &search.credential).filter_map(|it| self.bases_of.get(&it)).flatten() {
            kin.entry(*at).or_default().insert(*member);
        }
        let mut own = Listed::default();
        own.add(first);
        for (at, members) in &kin {
            let Some(alike) = self.all.get(*at) else { continue };
            for base in members.iter().filter_map(|member| alike.members.get(*member)) {
                if !own.add_all(search, alike, base, left)? {
                    self.short.insert(*at);
                }
            }
        }
        let is_common = kin.iter().all(|(at, kin)| self.all.get(*at).is_some_and(|it| it.members.len() > kin.len()));
        let meaning = is_common.then(|| self.meaning(&search.credential));
        let common = match meaning.as_ref().and_then(|meaning| self.known.get(meaning)) {
            Some(known) => Rc::clone(known),
            None => Rc::new(self.common(search, &kin, left)?),
        };
        if let Some(meaning) = meaning {
            self.known.insert(meaning, Rc::clone(&common));
        }
        let lists = common.with(&own);
        let mut strays = Vec::new();
        for (groups, by_any_means) in lists.into_iter().zip([true, false]) {
            let example = match own.example(search, &groups, by_any_means) {
                Some(example) => Some(example),
                None => self.example(search, &common, &kin, (&groups, by_any_means))?,
            };
            let changed = Changed { change: self.change, by_any_means, condition: Condition::default() };
            let credential = search.credential;
            strays.extend(example.map(|example| Stray { credential, changed, groups, example }));
        }
        Ok(strays)
    }

    /// Bases for which less was found, with some stray, than can be at most.
    pub fn short(&self) -> HashSet<&'s Shown<'p>> {
        let short = self.short.iter().filter_map(|at| self.all.get(*at)).filter(|alike| alike.most.is_some());
        short.flat_map(|alike| alike.members.iter().copied()).collect()
    }

    fn meaning(&self, stray: &Credential<'p>) -> Meaning {
        let world = self.scene.world;
        let may = |it: Credential<'p>| {
            let taken = (world.taken(Which::Old, &[it]), world.taken(Which::New, &[it]), Narrowing::default());
            let (old, new, _) = self.scene.kind(taken);
            (old, new)
        };
        (anonymous(world, stray).0, under_all(world, *stray).into_iter().map(may).collect())
    }

    /// What changes with bases that are not kin.
    fn common(&mut self, search: &Search<'s, 'w, 'p>, kin: &Kin, left: &mut usize) -> Result<Common, Exhausted> {
        let mut listed = Listed::default();
        let (mut places, mut short) = (Vec::new(), Vec::new());
        for at in self.fitting.fitting(&search.credential) {
            if let Some((alike, base)) = self.stranger(at, kin) {
                let is_all = listed.add_all(search, alike, base, left)?;
                short.extend((!is_all).then_some(at));
                if search.others.1 && !is_all {
                    return Err(Exhausted);
                }
            }
            places.resize(listed.sets.len(), at);
        }
        self.short.extend(short);
        let place = |(any, set): (bool, usize)| (any, places.get(set).copied().unwrap_or_default());
        let groups: BTreeMap<_, _> = listed.groups.into_iter().map(|(group, it)| (group, place(it))).collect();
        let list = |any: bool| groups.iter().filter(|(_, it)| it.0 == any).map(|(group, _)| *group).collect();
        let lists = [list(true), list(false)];
        Ok(Common { groups, lists })
    }

    /// Bases that are alike, with one that is not kin.
    fn stranger(&self, at: usize, kin: &Kin) -> Option<(&Alike<'s, 'p>, &'s Shown<'p>)> {
        let (alike, kin) = (self.all.get(at)?, kin.get(&at));
        let is_stranger = |member: &usize| kin.is_none_or(|kin| !kin.contains(member));
        let (base, _) = alike.members.iter().zip(0..).find(|(_, member)| is_stranger(member))?;
        Some((alike, base))
    }

    /// A set with this stray for one of some groups.
    fn example(
        &self,
        search: &Search<'s, 'w, 'p>,
        common: &Common,
        kin: &Kin,
        (groups, by_any_means): (&[usize], bool),
    ) -> Result<Option<Example<'p>>, Exhausted> {
        let of = groups.iter().filter_map(|group| Some((*group, *common.groups.get(group)?)));
        let first = of.filter(|(_, (any, _))| *any == by_any_means).min_by_key(|(_, (_, at))| *at);
        let base = first.and_then(|(group, (_, at))| Some((group, self.stranger(at, kin)?.1)));
        let Some((group, base)) = base else { return Ok(None) };
        for shown in search.sets(base) {
            let mut listed = Listed::default();
            listed.add(search.judged(shown)?);
            if let Some(example) = listed.example(search, &[group], by_any_means) {
                return Ok(Some(example));
            }
        }
        Ok(None)
    }
}

/// The agents that a credential is a proof of, by side: a name of a certificate under any CA.
fn agents<'w, 'p>(
    scene: &Scene<'w, 'p>,
    credential: &Credential<'p>,
) -> impl Iterator<Item = (Side, u32)> + use<'w, 'p> {
    let world = scene.world;
    let sides = under_all(world, *credential).into_iter().flat_map(|it| [(Which::Old, it), (Which::New, it)]);
    sides.flat_map(move |(which, it)| {
        let held = holders(world, which, &it).unwrap_or_default().iter();
        held.map(move |agent| (which == Which::New, *agent))
    })
}

impl Common {
    /// The groups that change by any means, and those that change otherwise, with those of one stray alone.
    fn with(&self, own: &Listed<'_>) -> [Rc<[usize]>; 2] {
        let is_more =
            |(group, (any, _)): (&usize, &(bool, usize))| self.groups.get(group).is_none_or(|known| *any && !known.0);
        if !own.groups.iter().any(is_more) {
            return self.lists.clone();
        }
        let mut all: BTreeMap<usize, bool> = self.groups.iter().map(|(group, (any, _))| (*group, *any)).collect();
        for (group, (any, _)) in &own.groups {
            *all.entry(*group).or_default() |= any;
        }
        [true, false].map(|wanted| all.iter().filter(|(_, any)| **any == wanted).map(|(group, _)| *group).collect())
    }
}

impl<'p> Listed<'p> {
    /// Whether all of these are known, as what they can be at most.
    fn has(&self, most: &[(usize, bool)]) -> bool {
        let has = |(group, most): &(usize, bool)| self.groups.get(group).is_some_and(|(any, _)| *any || !most);
        most.iter().all(has)
    }

    /// Takes in what changes for the sets of a base with the stray. Whether that is all that can.
    fn add_all(
        &mut self,
        search: &Search<'_, '_, 'p>,
        alike: &Alike<'_, 'p>,
        base: &Shown<'p>,
        left: &mut usize,
    ) -> Result<bool, Exhausted> {
        let most = alike.most.as_deref();
        let is_all = |listed: &Self| most.is_some_and(|most| listed.has(most));
        search.look(most.map_or(0, <[_]>::len))?;
        if !is_all(self) {
            for shown in search.sets(base) {
                take(left)?;
                let set = search.judged(shown)?;
                search.look(set.changed.len() + most.map_or(0, <[_]>::len))?;
                self.add(set);
                if is_all(self) {
                    break;
                }
            }
        }
        Ok(is_all(self))
    }

    /// Takes in what changes for a set.
    fn add(&mut self, set: Set<'p>) {
        let place = self.sets.len();
        let new: Vec<_> =
            set.changed.iter().copied().filter(|change| !self.has(std::slice::from_ref(change))).collect();
        if new.is_empty() {
            return;
        }
        self.groups.extend(new.into_iter().map(|(group, by_any_means)| (group, (by_any_means, place))));
        self.sets.push(Caller { pair: set.pair, witnesses: vec![set.witness], witnesses_count: 1 });
    }

    /// The first example of one of these groups.
    fn example(&self, search: &Search<'_, '_, 'p>, groups: &[usize], by_any_means: bool) -> Option<Example<'p>> {
        let is_one =
            |(group, (any, _)): &(&usize, &(bool, usize))| *any == by_any_means && groups.binary_search(group).is_ok();
        let (index, (_, set)) = self.groups.iter().filter(is_one).min_by_key(|(_, (_, set))| *set)?;
        let (caller, group) = (self.sets.get(*set)?, search.scene.groups.get(*index)?);
        let (_, names) = search.scene.example(search.change, caller, group)?;
        Some((caller.witnesses.first()?.shown.clone(), names, *group.cells.first()?))
    }
}
