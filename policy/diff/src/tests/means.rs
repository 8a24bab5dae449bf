//! What is said of other means, and of strays, against every set of credentials.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use policy::binding::Bindings;

use super::brute::{Changes, Routes, permits, subsets, tokens};
use crate::access::{Change, Scene};
use crate::callers::Pair;
use crate::classes::RawClass;
use crate::face::{Which, World};
use crate::shown::{Credential, Shown, Taken, TokenNames, holds};

/// What the parts of a set are taken for, and whether they have the token, by side.
type Parts = [BTreeSet<(Taken, bool)>; 2];

/// What holders can do with less: a holder shows the names of his certificate all or none.
pub struct Means<'w, 'p> {
    world: &'w World<'p>,
    pub all: Vec<(&'w Shown<'p>, Pair, Parts)>,
}

impl<'w, 'p> Means<'w, 'p> {
    pub fn new(world: &'w World<'p>, pairs: &BTreeMap<&'w Shown<'p>, Pair>) -> Self {
        let parts = |set: &Shown<'p>| [Which::Old, Which::New].map(|which| parts(world, which, set));
        Self { world, all: pairs.iter().map(|(set, pair)| (*set, *pair, parts(set))).collect() }
    }

    /// Whether nothing that the holder of a set can show does it on the other side.
    fn is_whole(&self, change: Change, pair: Pair, routes: Routes, reach: &Parts) -> bool {
        let (world, side, other) = (self.world, change.permits(), change.permits().other());
        let of = |which: Which| if which == Which::Old { (pair.0, routes.0) } else { (pair.1, routes.1) };
        tokens(world, pair.2).iter().any(|names| {
            permits(world, side, of(side).0, names, of(side).1)
                && !reach[usize::from(other == Which::New)].iter().any(|(taken, token)| {
                    let none = TokenNames::default();
                    permits(world, other, *taken, if *token { names } else { &none }, of(other).1)
                })
        })
    }

    /// Whether the token of a set is bound to no more than the policies ask for: with one that needs a certificate for
    /// no reason of theirs, its holder has fewer means.
    fn is_in_form(&self, set: &Shown<'p>) -> bool {
        set.iter().all(|it| match it {
            Credential::Token { issuer, subject, bound } => self.world.forms(*issuer, subject).contains(bound),
            _ => true,
        })
    }

    /// Whether what a class says of other means is so.
    pub fn of_callers(&self, held: &HashMap<(Change, Pair, Routes), Vec<&RawClass<'_>>>) {
        let holders = |which: Which, it: &Credential<'_>| crate::proofs::holders(self.world, which, it).is_some();
        let mut reaches: BTreeMap<Pair, BTreeMap<&Parts, bool>> = BTreeMap::new();
        for (set, pair, reach) in &self.all {
            // More names, those that a policy passes over, and tokens bound as no policy asks are not all tried.
            let passed_over =
                |it: &Credential<'_>| is_name(it) && !(holders(Which::Old, it) && holders(Which::New, it));
            let is_tried = set.iter().filter(|it| is_name(it)).count() <= 3
                && !set.iter().any(passed_over)
                && self.is_in_form(set);
            *reaches.entry(*pair).or_default().entry(reach).or_default() |= is_tried;
        }
        for ((change, pair, routes), classes) in held {
            let mut meant =
                reaches[pair].iter().filter(|(reach, _)| self.is_whole(*change, *pair, *routes, reach)).peekable();
            let told = classes.iter().any(|class| class.changed.by_any_means);
            assert!(!told || meant.peek().is_some(), "not by any means: {change:?} {pair:?} {routes:?}");
            assert!(told || !meant.any(|(_, is_tried)| *is_tried), "by any means: {change:?} {pair:?} {routes:?}");
        }
    }
}

fn is_name(it: &Credential<'_>) -> bool {
    matches!(it, Credential::Certificate { .. })
}

fn parts(world: &World<'_>, which: Which, set: &Shown<'_>) -> BTreeSet<(Taken, bool)> {
    let others: Vec<_> = set.iter().filter(|it| !is_name(it)).copied().collect();
    let whole: Vec<_> = set.iter().filter(|it| is_name(it)).copied().collect();
    let needed = world.face(which).certificate_needed && !whole.is_empty();
    let is_bound =
        |it: &Credential<'_>| matches!(it, Credential::Token { bound, .. } if bound.hold(Bindings::CERTIFICATE));
    let all = subsets(&others).into_iter().flat_map(|others| {
        let needed = needed || (others.iter().any(is_bound) && !whole.is_empty());
        let without = (!needed && !whole.is_empty()).then(|| others.clone());
        std::iter::once([&whole[..], &others].concat()).chain(without)
    });
    let part = |part: Vec<Credential<'_>>| {
        let token = part.iter().any(|it| matches!(it, Credential::Token { .. }));
        (world.taken(which, &part), token)
    };
    all.map(part).collect()
}

/// What classes say of strays: the requests that change with each, and whether by any means.
pub struct Strays<'p> {
    told: BTreeMap<(Change, Credential<'p>), BTreeMap<Routes, bool>>,
}

impl<'p> Strays<'p> {
    pub fn new(scene: &Scene<'_, 'p>, raw: &[RawClass<'p>]) -> Self {
        let mut told: BTreeMap<_, BTreeMap<Routes, bool>> = BTreeMap::new();
        for class in raw {
            let Some(stray) = class.stray else { continue };
            let told = told.entry((class.changed.change, stray)).or_default();
            for cell in class.groups.iter().flat_map(|group| &scene.groups[*group].cells) {
                let known = told.insert(scene.cells[*cell].routes, class.changed.by_any_means);
                assert_eq!(known, None, "told twice: {class:?}");
            }
        }
        Self { told }
    }

    /// Whether some stray of a set is said to change a request.
    pub fn holds(&self, change: Change, set: &Shown<'p>, routes: Routes) -> bool {
        let mut told = self.told.iter();
        told.any(|((of, stray), told)| *of == change && holds(set, stray) && told.contains_key(&routes))
    }

    /// Whether what is said is so, for some set with the stray; and, where `is_exact`, all that is so is said.
    pub fn check(&self, means: &Means<'_, 'p>, changes: &Changes, is_exact: bool) {
        for ((change, stray), told) in &self.told {
            let mut is: BTreeMap<Routes, bool> = BTreeMap::new();
            let sets = means.all.iter().filter(|(set, ..)| holds(set, stray));
            let alike: BTreeSet<(Pair, &Parts, bool)> =
                sets.map(|(set, pair, parts)| (*pair, parts, means.is_in_form(set))).collect();
            for (pair, parts, is_in_form) in alike {
                let of: BTreeSet<Routes> =
                    changes[&pair].iter().filter(|(of, ..)| of == change).map(|(_, routes, _)| *routes).collect();
                for routes in of {
                    let whole = is.entry(routes).or_default();
                    *whole = *whole || (is_in_form && means.is_whole(*change, pair, routes, parts));
                }
            }
            let is_so =
                |(routes, by_any_means): (&Routes, &bool)| is.get(routes).is_some_and(|is| *is || !by_any_means);
            assert!(told.iter().all(is_so), "told of a stray: {change:?} {stray:?} {told:?}, and is {is:?}");
            if is_exact {
                assert_eq!(*told, is, "requests of a stray, and whether by any means: {change:?} {stray:?}");
            }
        }
    }
}
