//! Callers × requests: for which of them the outcome changes, and what a token must carry for that.

use std::collections::{BTreeSet, HashMap};

use crate::callers::{Caller, Reach};
use crate::cells::Cell;
use crate::face::{Which, World};
use crate::sets::{EMPTY, SetId, common, without};
use crate::shown::{Narrowing, Taken, TokenNames};

/// Which way an outcome changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    Allowed,
    Refused,
}

impl Change {
    /// The side that permits.
    pub const fn permits(self) -> Which {
        match self {
            Self::Allowed => Which::New,
            Self::Refused => Which::Old,
        }
    }
}

/// Requests whose routes have the same scopes in the old policy, and in the new one.
#[derive(Debug)]
pub struct Group {
    pub scopes: (SetId, SetId),
    /// Whether everybody is granted them.
    pub anyone: (bool, bool),
    /// Positions in the list of cells.
    pub cells: Vec<usize>,
}

impl Group {
    fn scopes(&self, which: Which) -> SetId {
        if which == Which::Old { self.scopes.0 } else { self.scopes.1 }
    }

    fn anyone(&self, which: Which) -> bool {
        if which == Which::Old { self.anyone.0 } else { self.anyone.1 }
    }

    fn is_changed(&self) -> bool {
        self.scopes.0 != self.scopes.1 || self.anyone.0 != self.anyone.1
    }
}

/// What a token must carry for an outcome to change: at least one scope of `any_of` (unless it is empty), and none of
/// `none_of`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    pub any_of: Vec<u32>,
    pub none_of: Vec<u32>,
}

/// What one side grants: always, or to a token with one of the scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    pub always: bool,
    pub scopes: Vec<u32>,
    pub narrowed: bool,
}

/// One way in which a group of requests changes for a caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Changed {
    pub change: Change,
    /// The holder could not do it, or can do it no more, with any part of what he has.
    pub by_any_means: bool,
    pub condition: Condition,
}

/// What of a caller matters for access: the scopes on both sides (none: refused), and the token.
pub type Kind = (Option<SetId>, Option<SetId>, Narrowing);

pub struct Scene<'w, 'p> {
    pub world: &'w World<'p>,
    pub cells: Vec<Cell>,
    pub groups: Vec<Group>,
    /// Groups by the scopes that grant them on either side, and those granted to everybody.
    all: Index,
    /// The same of groups whose own scopes differ.
    differing: Index,
    /// The same of groups that both sides can permit.
    lasting: Index,
}

#[derive(Default)]
struct Index {
    by_scope: HashMap<u32, Vec<usize>>,
    for_anyone: Vec<usize>,
    /// The first that both sides grant to everybody.
    for_everyone: Option<usize>,
}

/// What the parts of some credentials may do: the scopes of whom they are taken for, and whether the token narrows them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReachKind {
    old: Vec<(SetId, bool)>,
    new: Vec<(SetId, bool)>,
}

impl<'w, 'p> Scene<'w, 'p> {
    pub fn new(world: &'w World<'p>, cells: Vec<Cell>) -> Self {
        let mut positions: HashMap<(SetId, SetId), usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let granted = |which: Which, set: SetId| {
            !common(world.sets.get(world.face(which).anonymous_scopes), world.sets.get(set)).is_empty()
        };
        for (cell, index) in cells.iter().zip(0..) {
            let of = |which: Which, route: Option<u32>| route.map_or(EMPTY, |it| world.face(which).scopes_of_route(it));
            let scopes = (of(Which::Old, cell.routes.0), of(Which::New, cell.routes.1));
            let position = *positions.entry(scopes).or_insert_with(|| {
                let anyone = (granted(Which::Old, scopes.0), granted(Which::New, scopes.1));
                groups.push(Group { scopes, anyone, cells: Vec::new() });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(position) {
                group.cells.push(index);
            }
        }
        let (mut all, mut differing, mut lasting) = (Index::default(), Index::default(), Index::default());
        for (group, index) in groups.iter().zip(0..) {
            all.add(world, group, index);
            if group.is_changed() {
                differing.add(world, group, index);
            }
            if group.scopes.0 != EMPTY && group.scopes.1 != EMPTY {
                lasting.add(world, group, index);
            }
        }
        Self { world, cells, groups, all, differing, lasting }
    }

    pub fn kind(&self, (old, new, narrowing): (Taken, Taken, Narrowing)) -> Kind {
        (self.scopes(Which::Old, old), self.scopes(Which::New, new), narrowing)
    }

    fn scopes(&self, which: Which, taken: Taken) -> Option<SetId> {
        match taken {
            Taken::Refused => None,
            Taken::Anonymous => Some(EMPTY),
            Taken::Agent(agent) => Some(self.world.face(which).scopes_of_agent(agent)),
        }
    }

    /// Whether a side permits a caller anything at all.
    pub fn may_do_anything(&self, which: Which, taken: Taken) -> bool {
        let Some(scopes) = self.scopes(which, taken) else { return false };
        scopes != EMPTY || self.world.face(which).anonymous_scopes != EMPTY
    }

    /// The groups whose outcome can differ for callers of a kind.
    pub fn candidates(&self, (old, new, narrowing): Kind) -> Vec<usize> {
        let same_token = narrowing.old == narrowing.new && (!narrowing.old || narrowing.same_claim);
        let same = old == new && same_token;
        let index = if same { &self.differing } else { &self.all };
        let scopes = old.into_iter().chain(new).flat_map(|set| self.world.sets.get(set));
        let granted = scopes.filter_map(|scope| index.by_scope.get(scope)).flatten();
        let found: BTreeSet<usize> = granted.chain(&index.for_anyone).copied().collect();
        found.into_iter().collect()
    }

    pub fn reach_kind(&self, reach: &Reach) -> ReachKind {
        let kinds = |which: Which, parts: &[(Taken, bool)]| {
            let kinds = parts.iter().filter_map(|(taken, token)| Some((self.scopes(which, *taken)?, *token)));
            kinds.collect::<BTreeSet<_>>().into_iter().collect()
        };
        ReachKind { old: kinds(Which::Old, &reach.old), new: kinds(Which::New, &reach.new) }
    }

    /// What a side grants to a caller with these scopes (none: refused).
    pub fn grants(&self, which: Which, scopes: Option<SetId>, narrowed: bool, group: &Group) -> Grants {
        let Some(scopes) = scopes else { return Grants { narrowed, ..Grants::default() } };
        let own = common(self.world.sets.get(scopes), self.world.sets.get(group.scopes(which)));
        let always = group.anyone(which) || (!narrowed && !own.is_empty());
        Grants { always, scopes: own, narrowed }
    }

    /// What a side grants to the holder of credentials, whatever part of them he shows.
    fn reached(&self, which: Which, reach: &ReachKind, narrowing: Narrowing, group: &Group) -> Grants {
        let parts = if which == Which::Old { &reach.old } else { &reach.new };
        let mut all = Grants { narrowed: narrowing.at(which), ..Grants::default() };
        for (scopes, token) in parts {
            let narrowed = *token && narrowing.at(which);
            let part = self.grants(which, Some(*scopes), narrowed, group);
            all.always |= part.always;
            if narrowed {
                all.scopes.extend(part.scopes);
            }
        }
        all.scopes.sort_unstable();
        all.scopes.dedup();
        all
    }

    /// How the outcome of a group changes for a caller, in one direction.
    pub fn changed(&self, change: Change, kind: Kind, reaches: &BTreeSet<ReachKind>, group: &Group) -> Option<Changed> {
        let (old, new, narrowing) = kind;
        let scopes = |which: Which| if which == Which::Old { old } else { new };
        let grants = |which: Which| self.grants(which, scopes(which), narrowing.at(which), group);
        let permits = grants(change.permits());
        let refuses = grants(change.permits().other());
        let condition = gained(&permits, &refuses, narrowing.same_claim)?;
        let whole = |reach: &ReachKind| {
            let reached = self.reached(change.permits().other(), reach, narrowing, group);
            gained(&permits, &reached, narrowing.same_claim).is_some()
        };
        let by_any_means = reaches.iter().any(whole);
        // Where the other side grants nothing at all, the token need not be spoken of.
        let condition = if refuses.scopes.is_empty() { Condition::default() } else { condition };
        Some(Changed { change, by_any_means, condition })
    }

    /// Those of some groups whose outcome changes for a caller of this reach, in one direction, and whether by any means.
    pub fn all_changed(
        &self,
        change: Change,
        groups: Vec<usize>,
        (kind, reach): (Kind, ReachKind),
    ) -> Vec<(usize, bool)> {
        let reaches = BTreeSet::from([reach]);
        let changed = |index: usize| self.changed(change, kind, &reaches, self.groups.get(index)?);
        groups.into_iter().filter_map(|index| Some((index, changed(index)?.by_any_means))).collect()
    }

    /// Whether some request of callers of a kind is granted by the caller's own scopes before and by everybody's after,
    /// and the other way round.
    pub fn crosses(&self, kind: Kind) -> (bool, bool) {
        let (old, new, narrowing) = kind;
        let mut crosses = (false, false);
        for group in self.candidates(kind).into_iter().filter_map(|index| self.groups.get(index)) {
            let before = self.grants(Which::Old, old, narrowing.old, group);
            let after = self.grants(Which::New, new, narrowing.new, group);
            let same_claim = narrowing.same_claim && narrowing.old && narrowing.new;
            let own_alone = |own: &Grants, other: &Grants| match same_claim {
                true => !without(&own.scopes, &other.scopes).is_empty(),
                false => !own.scopes.is_empty() && (other.narrowed || other.scopes.is_empty()),
            };
            crosses.0 |= new.is_some() && group.anyone.1 && own_alone(&before, &after);
            crosses.1 |= old.is_some() && group.anyone.0 && own_alone(&after, &before);
        }
        crosses
    }

    /// A group of which callers of a kind are permitted a request both before and after, if there is any: with the
    /// right scopes in the token where it narrows.
    pub fn lasting(&self, (old, new, _): Kind) -> Option<usize> {
        let (old, new) = (old?, new?);
        let permitted = |index: &usize| {
            let both = self.groups.get(*index).map(|group| {
                self.grants(Which::Old, Some(old), false, group).always
                    && self.grants(Which::New, Some(new), false, group).always
            });
            both.unwrap_or(false)
        };
        let scopes = [old, new].into_iter().flat_map(|set| self.world.sets.get(set));
        let own = scopes.filter_map(|scope| self.lasting.by_scope.get(scope)).flatten().copied().find(permitted);
        // What neither side grants by the caller's own scopes, each grants to everybody.
        own.or(self.lasting.for_everyone)
    }

    /// Scopes of a token with which both sides permit a group that is `lasting` for callers of this kind.
    pub fn lasting_names(&self, kind: Kind, group: &Group) -> TokenNames {
        let (old, new, narrowing) = kind;
        let needed = |which: Which, scopes: Option<SetId>| -> Vec<u32> {
            let grants = self.grants(which, scopes, narrowing.at(which), group);
            if grants.always { Vec::new() } else { grants.scopes.first().copied().into_iter().collect() }
        };
        let (mut before, mut after) = (needed(Which::Old, old), needed(Which::New, new));
        if narrowing.same_claim {
            before.extend(after);
            before.sort_unstable();
            before.dedup();
            after = before.clone();
        }
        TokenNames { old: narrowing.old.then_some(before), new: narrowing.new.then_some(after) }
    }

    /// Scopes of a token for which the outcome changes, with the first witness for which it does by any means.
    pub fn example(&self, change: Change, caller: &Caller<'p>, group: &Group) -> Option<(usize, TokenNames)> {
        let (old, new, narrowing) = self.kind(caller.pair);
        let scopes = |which: Which| if which == Which::Old { old } else { new };
        let (permitting, refusing) = (change.permits(), change.permits().other());
        let permits = self.grants(permitting, scopes(permitting), narrowing.at(permitting), group);
        let refuses = self.grants(refusing, scopes(refusing), narrowing.at(refusing), group);
        let whole = caller.witnesses.iter().zip(0..).find_map(|(witness, index)| {
            let reached = self.reached(refusing, &self.reach_kind(&witness.reach), narrowing, group);
            Some((index, gained(&permits, &reached, narrowing.same_claim)?))
        });
        let (witness, condition) = whole.or_else(|| Some((0, gained(&permits, &refuses, narrowing.same_claim)?)))?;
        let carried: Vec<u32> = condition.any_of.first().copied().into_iter().collect();
        let names = |which: Which| {
            narrowing
                .at(which)
                .then(|| if which == permitting || narrowing.same_claim { carried.clone() } else { Vec::new() })
        };
        Some((witness, TokenNames { old: names(Which::Old), new: names(Which::New) }))
    }
}

impl Index {
    fn add(&mut self, world: &World<'_>, group: &Group, index: usize) {
        let sets = [group.scopes.0, group.scopes.1].into_iter();
        let scopes: BTreeSet<u32> = sets.flat_map(|set| world.sets.get(set).iter().copied()).collect();
        for scope in scopes {
            self.by_scope.entry(scope).or_default().push(index);
        }
        if group.anyone.0 || group.anyone.1 {
            self.for_anyone.push(index);
        }
        if group.anyone.0 && group.anyone.1 {
            self.for_everyone.get_or_insert(index);
        }
    }
}

/// Whether some token is granted by one side and not by the other: what it must carry.
pub fn gained(permits: &Grants, refuses: &Grants, same_claim: bool) -> Option<Condition> {
    if refuses.always {
        return None;
    }
    let none_of = refuses.scopes.clone();
    if permits.always {
        return Some(Condition { any_of: Vec::new(), none_of });
    }
    let any_of =
        if refuses.narrowed && same_claim { without(&permits.scopes, &refuses.scopes) } else { permits.scopes.clone() };
    (!any_of.is_empty()).then_some(Condition { any_of, none_of })
}
