//! Routes and scopes of other names, where an origin is told them: its `assertion` is signed over the names of the route
//! and of the scope that grants a request, so whoever reads it makes of another name what nobody here knows.
//!
//! Only what is permitted before and after counts, and the route's name wherever both policies have scopes for it. Of
//! the scopes that a caller has for a route, the first by name grants; a caller's own come before everybody's.

use std::collections::{BTreeMap, HashMap};

use policy::model::Origin;

use crate::access::{Group, Kind, Scene};
use crate::callers::Callers;
use crate::face::{Which, World};
use crate::report::{Direction, SettingChange};
use crate::sets::{EMPTY, common};
use crate::shown::Narrowing;

/// Old and new name.
type Names<'p> = (&'p str, &'p str);

/// Every route of an asserting origin that is told of under another name, or with another scope; one scope for each.
pub fn changes(scene: &Scene<'_, '_>, callers: &Callers<'_>) -> Vec<SettingChange> {
    let asserted = asserted(scene);
    if asserted.is_empty() {
        return Vec::new();
    }
    let mut found: BTreeMap<(&str, &'static str), Names<'_>> = BTreeMap::new();
    for (group, routes) in &asserted {
        let lasts = scene.groups.get(*group).is_some_and(|group| group.scopes.0 != EMPTY && group.scopes.1 != EMPTY);
        for (before, after) in routes.iter().filter(|(before, after)| lasts && before != after) {
            found.entry((after, "asserted-route")).or_insert((before, after));
        }
    }
    for (group, scopes) in other_scopes(scene, callers, &asserted) {
        for (_, after) in asserted.get(&group).into_iter().flatten() {
            found.entry((after, "asserted-scope")).or_insert(scopes);
        }
    }
    let change = |((route, what), (old, new)): ((&str, &'static str), Names<'_>)| SettingChange {
        kind: "route",
        name: route.to_owned(),
        what,
        old: Some(old.to_owned()),
        new: Some(new.to_owned()),
        direction: Direction::Changed,
        needs_wider: true,
    };
    found.into_iter().map(change).collect()
}

/// Groups with requests that come to an origin with an assertion: their routes.
fn asserted<'p>(scene: &Scene<'_, 'p>) -> BTreeMap<usize, Vec<Names<'p>>> {
    let (old, new) = (&scene.world.old, &scene.world.new);
    let asserts = |origin: &&'p Origin| origin.assertion.is_some();
    let origins: HashMap<&str, &Origin> =
        new.policy.origins.iter().filter(asserts).map(|origin| (origin.name.as_str(), origin)).collect();
    let mut found: BTreeMap<usize, Vec<Names<'p>>> = BTreeMap::new();
    for (group, index) in scene.groups.iter().zip(0..).filter(|_| !origins.is_empty()) {
        for cell in group.cells.iter().filter_map(|cell| scene.cells.get(*cell)) {
            let (Some(before), Some(after)) = cell.routes else { continue };
            let route = new.policy.routes.get(after as usize);
            if route.is_some_and(|route| origins.contains_key(route.origin.as_str())) {
                found.entry(index).or_default().push((old.route_name(before), new.route_name(after)));
            }
        }
    }
    found
}

/// Groups of which some caller has a request granted by a scope of another name than before.
fn other_scopes<'p>(
    scene: &Scene<'_, 'p>,
    callers: &Callers<'p>,
    asserted: &BTreeMap<usize, Vec<Names<'p>>>,
) -> BTreeMap<usize, Names<'p>> {
    let mut found = BTreeMap::new();
    let anyones = |group: &Group| Both::of(scene.world, None, group);
    let everybody = scene.world.old.anonymous_scopes != scene.world.new.anonymous_scopes;
    for (index, group) in asserted.keys().filter_map(|index| Some((*index, scene.groups.get(*index)?))) {
        if everybody && let Some(names) = anyones(group).told_apart(Narrowing::default()) {
            found.insert(index, names);
        }
    }
    let mut known: Vec<Kind> = callers.all.iter().map(|caller| scene.kind(caller.pair)).collect();
    known.sort_unstable();
    known.dedup();
    for kind in known {
        let (Some(old), Some(new), narrowing) = kind else { continue };
        for index in scene.candidates(kind).into_iter().filter(|index| asserted.contains_key(index)) {
            let Some(group) = scene.groups.get(index) else { continue };
            let own = Both::of(scene.world, Some((old, new)), group);
            if let Some(names) = own.told_apart(narrowing) {
                found.entry(index).or_insert(names);
            }
        }
    }
    found
}

/// What can grant a group to a caller, on one side: sorted names of the caller's own scopes, and everybody's first one.
struct Granting<'p> {
    own: Vec<&'p str>,
    anyones: Option<&'p str>,
}

struct Both<'p> {
    old: Granting<'p>,
    new: Granting<'p>,
}

impl<'p> Granting<'p> {
    fn of(world: &World<'p>, which: Which, own: Option<u32>, group: &Group) -> Self {
        let route = if which == Which::Old { group.scopes.0 } else { group.scopes.1 };
        let named = |set: u32| {
            let numbers = common(world.sets.get(set), world.sets.get(route));
            let mut names: Vec<&'p str> = numbers.into_iter().map(|number| world.scopes.name(number)).collect();
            names.sort_unstable();
            names
        };
        let anyones = named(world.face(which).anonymous_scopes).first().copied();
        Self { own: own.map(named).unwrap_or_default(), anyones }
    }

    /// Every scope that grants, with some token.
    fn all(&self, narrowed: bool) -> Vec<&'p str> {
        match self.own.first() {
            Some(first) if !narrowed => vec![*first],
            _ => self.own.iter().copied().chain(self.anyones).collect(),
        }
    }

    fn without(&self, other: &Self) -> Vec<&'p str> {
        self.own.iter().copied().filter(|name| other.own.binary_search(name).is_err()).collect()
    }
}

impl<'p> Both<'p> {
    fn of(world: &World<'p>, own: Option<(u32, u32)>, group: &Group) -> Self {
        Self {
            old: Granting::of(world, Which::Old, own.map(|own| own.0), group),
            new: Granting::of(world, Which::New, own.map(|own| own.1), group),
        }
    }

    /// Scopes that grant a request before and after, with some token, and have not the same name.
    fn told_apart(&self, narrowing: Narrowing) -> Option<Names<'p>> {
        let Self { old, new } = self;
        let differ = |old: &str, new: &str| old != new;
        if !(narrowing.old && narrowing.new && narrowing.same_claim) {
            let after = new.all(narrowing.new);
            let pair = |old: &'p str| Some((old, after.iter().copied().find(|new| differ(old, new))?));
            return old.all(narrowing.old).into_iter().find_map(pair);
        }
        // Both read the same scopes of the token, so that one of both sides' scopes grants on both unless one before it does
        // on one side alone: a token with two scopes at most shows whether that is so.
        let (gone, fresh) = (old.without(new), new.without(old));
        let everybody = old.anyones.zip(new.anyones);
        let to_anyone = gone.first().copied().zip(new.anyones).filter(|(old, new)| differ(old, new));
        let to_anyone = to_anyone.or_else(|| gone.last().copied().zip(new.anyones));
        let from_anyone = old.anyones.zip(fresh.first().copied()).filter(|(old, new)| differ(old, new));
        let from_anyone = from_anyone.or_else(|| old.anyones.zip(fresh.last().copied()));
        let replaced = gone.first().copied().zip(fresh.first().copied());
        let before = gone.first().copied().zip(new.own.last().copied()).filter(|(gone, last)| gone < last);
        let after = old.own.last().copied().zip(fresh.first().copied()).filter(|(last, fresh)| fresh < last);
        let all = [everybody, to_anyone, from_anyone, replaced, before, after];
        all.into_iter().flatten().find(|(old, new)| differ(old, new))
    }
}
