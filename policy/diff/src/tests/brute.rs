//! Every set of credentials × every set of token scopes × every short request, both tables asked, against the classes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use policy::binding::Bindings;
use policy::decide::{Caller, admit_transport};
use policy::model::{CertificateName, Identity, Policy};
use policy::reason::Reason;
use policy::table::AgentId;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::means::{Means, Strays};
use super::universe::{self, Request, SCOPES};
use crate::access::{Change, Scene};
use crate::callers::{Callers, Pair, pair};
use crate::classes::RawClass;
use crate::diff::{access, outcome, with_parts};
use crate::face::{Which, World};
use crate::identities::{Renamed, name, renamed};
use crate::look::Look;
use crate::shown::{Credential, Narrowing, Shown, Taken, TokenNames, holds, together};

pub type Routes = (Option<u32>, Option<u32>);

fn credentials<'p>(world: &World<'p>) -> (Vec<&'p CertificateName>, Vec<Credential<'p>>, Vec<Credential<'p>>) {
    let mut names: BTreeSet<&'p CertificateName> = BTreeSet::new();
    let mut subjects: BTreeSet<&'p str> = [world.fresh_subject].into();
    let mut keys: BTreeSet<Credential<'p>> = [Credential::Key("undeclared")].into();
    for which in [Which::Old, Which::New] {
        let policy: &'p Policy = world.face(which).policy;
        subjects.extend(crate::face::subjects(policy));
        keys.extend(policy.api_keys.iter().map(|key| Credential::Key(&key.id)));
        for identity in policy.agents.iter().flat_map(|agent| &agent.identity) {
            let Identity::Proofs(proofs) = identity else { continue };
            names.extend(proofs.certificate.as_ref().map(|proof| &proof.name));
        }
    }
    let issuers = 0..world.issuers.len() as u16;
    let named = issuers.flat_map(|issuer| subjects.iter().map(move |subject| (issuer, *subject)));
    let tokens = named.flat_map(|(issuer, subject)| {
        let unbound = world.forms(issuer, subject) == [Bindings::NONE];
        let bound = if unbound { &Bindings::ALL[..1] } else { &Bindings::ALL[..] };
        bound.iter().map(move |bound| Credential::Token { issuer, subject, bound: *bound })
    });
    (names.into_iter().collect(), tokens.collect(), keys.into_iter().collect())
}

pub fn subsets<T: Copy>(all: &[T]) -> Vec<Vec<T>> {
    let of = |bits: usize| all.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, it)| *it).collect();
    (0..1 << all.len()).map(of).collect()
}

/// Every certificate: some names, all of them under each of some CAs. It has one public key and one SPIFFE id at most.
fn certificates<'p>(world: &World<'p>, names: &[&'p CertificateName]) -> Vec<Vec<Credential<'p>>> {
    let cas: Vec<u16> = (0..world.cas.len() as u16).collect();
    let mut certificates = vec![vec![]];
    for cas in subsets(&cas).into_iter().filter(|cas| !cas.is_empty()) {
        for names in subsets(names) {
            let count = |is: fn(&CertificateName) -> bool| names.iter().filter(|name| is(name)).count();
            if count(|name| matches!(name, CertificateName::SpkiSha256(_))) > 1
                || count(|name| matches!(name, CertificateName::Spiffe(_))) > 1
            {
                continue;
            }
            let names: Vec<_> = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
            let under = |ca: u16| names.iter().map(move |name| Credential::Certificate { ca, name: *name });
            certificates.push(cas.iter().flat_map(|ca| under(*ca)).collect());
        }
    }
    certificates
}

/// Every set that one request can show.
fn sets<'p>(world: &World<'p>) -> Vec<Shown<'p>> {
    let (names, tokens, keys) = credentials(world);
    let optional = |all: Vec<Credential<'p>>| -> Vec<Option<Credential<'p>>> {
        std::iter::once(None).chain(all.into_iter().map(Some)).collect()
    };
    let (tokens, keys) = (optional(tokens), optional(keys));
    let mut sets = Vec::new();
    for certificate in certificates(world, &names) {
        for token in &tokens {
            for key in &keys {
                let mut set: Shown<'p> = certificate.iter().copied().chain(*token).chain(*key).collect();
                set.sort_unstable();
                assert_eq!(together(set.iter().copied()).as_ref(), Some(&set));
                sets.push(set);
            }
        }
    }
    sets
}

/// Every pair of routes that a short request has.
pub fn routes(world: &World<'_>) -> BTreeSet<Routes> {
    let mut found = BTreeSet::new();
    for request in universe::requests() {
        found.insert(routed(world, &request));
    }
    found
}

/// The route of each side that admits a request.
pub fn routed(world: &World<'_>, (host, method, path): &Request) -> Routes {
    let admitted = |which: Which| {
        let table = world.face(which).table;
        let route = table.route(host.as_bytes(), method.as_bytes(), path.as_bytes())?;
        let options = table.options(route)?;
        let fits = (options.encoded_slash || !path.contains("%2F")) && (options.path_parameters || !path.contains(';'));
        fits.then_some(route.0)
    };
    (admitted(Which::Old), admitted(Which::New))
}

/// Everything that a token can carry, as both sides read it.
pub fn tokens(world: &World<'_>, narrowing: Narrowing) -> Vec<TokenNames> {
    let numbers: Vec<u32> = SCOPES.iter().filter_map(|name| number(world, name)).collect();
    let all: Vec<Option<Vec<u32>>> = subsets(&numbers).into_iter().map(Some).collect();
    let none = vec![None];
    let (old, new) = (if narrowing.old { &all } else { &none }, if narrowing.new { &all } else { &none });
    let both = old.iter().flat_map(|old| new.iter().map(move |new| TokenNames { old: old.clone(), new: new.clone() }));
    both.filter(|names| !narrowing.same_claim || names.old == names.new).collect()
}

fn number(world: &World<'_>, name: &str) -> Option<u32> {
    (0..SCOPES.len() as u32).find(|number| world.scopes.name(*number) == name)
}

/// Whether one side permits a caller the route, with a token or without.
pub fn permits(world: &World<'_>, which: Which, taken: Taken, names: &TokenNames, route: Option<u32>) -> bool {
    let agent = match taken {
        Taken::Refused => return false,
        Taken::Anonymous => None,
        Taken::Agent(agent) => Some(AgentId(agent)),
    };
    let caller = Caller { agent, population: false };
    let scopes = world.token_scopes(which, names);
    route.is_some_and(|route| world.face(which).table.grant(&caller, &scopes, policy::table::RouteId(route)).is_some())
}

fn direction(old: bool, new: bool) -> Option<Change> {
    match (old, new) {
        (false, true) => Some(Change::Allowed),
        (true, false) => Some(Change::Refused),
        _ => None,
    }
}

/// Classes by what they hold, for look-up.
struct Index<'c, 'p> {
    held: HashMap<(Change, Pair, Routes), Vec<&'c RawClass<'p>>>,
}

impl<'c, 'p> Index<'c, 'p> {
    fn new(scene: &Scene<'_, 'p>, callers: &Callers<'p>, raw: &'c [RawClass<'p>]) -> Self {
        let mut held: HashMap<_, Vec<_>> = HashMap::new();
        for class in raw {
            for caller in &class.callers {
                for cell in class.groups.iter().flat_map(|group| &scene.groups[*group].cells) {
                    let key = (class.changed.change, callers.all[*caller].pair, scene.cells[*cell].routes);
                    held.entry(key).or_default().push(class);
                }
            }
        }
        Self { held }
    }

    /// Whether some class says that this changes.
    fn holds(&self, change: Change, pair: Pair, routes: Routes, names: &TokenNames) -> bool {
        let classes = self.held.get(&(change, pair, routes));
        classes.is_some_and(|classes| classes.iter().any(|class| fits(class, names)))
    }
}

/// Whether a token fits the condition of a class.
fn fits(class: &RawClass<'_>, names: &TokenNames) -> bool {
    let (permitting, refusing) = match class.changed.change {
        Change::Allowed => (&names.new, &names.old),
        Change::Refused => (&names.old, &names.new),
    };
    let carries = |names: &Option<Vec<u32>>, scopes: &[u32]| {
        names.as_ref().is_some_and(|names| scopes.iter().any(|scope| names.contains(scope)))
    };
    let condition = &class.changed.condition;
    (condition.any_of.is_empty() || carries(permitting, &condition.any_of)) && !carries(refusing, &condition.none_of)
}

/// `is_exact`: whether what is told of each stray must be all that is so of it.
fn check(scene: &Scene<'_, '_>, callers: &Callers<'_>, raw: &[RawClass<'_>], is_exact: bool) {
    let world = scene.world;
    let sets = sets(world);
    let routes = routes(world);
    let pairs: BTreeMap<&Shown<'_>, Pair> = sets.iter().map(|set| (set, pair(world, set))).collect();
    let index = Index::new(scene, callers, raw);
    // What changes, for each pair of callers.
    let mut changes: Changes = BTreeMap::new();
    for pair in pairs.values() {
        changes.entry(*pair).or_insert_with(|| {
            let mut found = Vec::new();
            for names in tokens(world, pair.2) {
                for routes in &routes {
                    let old = permits(world, Which::Old, pair.0, &names, routes.0);
                    let new = permits(world, Which::New, pair.1, &names, routes.1);
                    found.extend(direction(old, new).map(|change| (change, *routes, names.clone())));
                }
            }
            found
        });
    }
    let changing: BTreeSet<Change> = changes.values().flatten().map(|(change, ..)| *change).collect();
    let expected = (changing.contains(&Change::Allowed), changing.contains(&Change::Refused));
    assert_eq!(access(raw), expected, "verdict (wider, narrower)");
    identities(scene, callers, &pairs, raw, &changes);
    super::told::check(scene, callers, &pairs, raw);
    let means = Means::new(world, &pairs);
    means.of_callers(&index.held);
    let strays = Strays::new(scene, raw);
    strays.check(&means, &changes, is_exact);
    // None is missed.
    for (set, pair) in &pairs {
        for (change, routes, names) in &changes[pair] {
            let held = index.holds(*change, *pair, *routes, names) || strays.holds(*change, set, *routes);
            assert!(held, "missed: {change:?} {set:?} {pair:?} {routes:?} {names:?}");
        }
    }
    // None is invented: what a class holds exists and changes, for some token at least, and as its condition says.
    let known: BTreeSet<Pair> = pairs.values().copied().collect();
    for ((change, pair, of), classes) in &index.held {
        assert!(known.contains(pair), "no such caller: {pair:?}");
        assert!(routes.contains(of), "no such request: {of:?}");
        let changed = |names: &TokenNames| changes[pair].contains(&(*change, *of, names.clone()));
        assert!(tokens(world, pair.2).iter().any(changed), "does not change: {change:?} {pair:?} {of:?}");
        for class in classes.iter().filter(|class| class.changed.condition != Default::default()) {
            for names in tokens(world, pair.2) {
                assert!(!fits(class, &names) || changed(&names), "{class:?} {names:?}");
            }
        }
    }
    examples(scene, raw);
}

/// Whether some request is permitted to callers of a pair on both sides.
fn lasts(world: &World<'_>, pair: Pair, routes: &BTreeSet<Routes>) -> bool {
    tokens(world, pair.2).iter().any(|names| {
        let on = |which, taken, route| permits(world, which, taken, names, route);
        routes.iter().any(|(old, new)| on(Which::Old, pair.0, *old) && on(Which::New, pair.1, *new))
    })
}

pub type Changes = BTreeMap<Pair, Vec<(Change, Routes, TokenNames)>>;

/// The names that origins are told, before and after, of whoever is permitted something in common.
fn identities<'p>(
    scene: &Scene<'_, 'p>,
    callers: &Callers<'p>,
    pairs: &BTreeMap<&Shown<'p>, Pair>,
    raw: &[RawClass<'p>],
    changes: &Changes,
) {
    let world = scene.world;
    let (routes, found) = (routes(world), renamed(scene, callers));
    let names = |pair: Pair| (name(world, Which::Old, pair.0), name(world, Which::New, pair.1));
    let told = |pair: Pair| found.iter().any(|it| (it.old, it.new) == names(pair));
    let others: BTreeSet<Pair> = pairs.values().copied().filter(|pair| names(*pair).0 != names(*pair).1).collect();
    let others: BTreeSet<Pair> = others.into_iter().filter(|pair| lasts(world, *pair, &routes)).collect();
    let is_renamed = |pair: Pair| others.contains(&pair);
    for (set, pair) in pairs.iter().filter(|(_, pair)| is_renamed(**pair)) {
        // A certificate that only the new policy knows, beside one that only the old policy knows.
        let known = |which: Which, it: &Credential<'p>| crate::proofs::holders(world, which, it).is_some();
        let is_name = |it: &&Credential<'p>| matches!(it, Credential::Certificate { name: Some(_), .. });
        let gone = set.iter().filter(is_name).any(|it| known(Which::Old, it) && !known(Which::New, it));
        let mut added = set.iter().filter(is_name).filter(|it| !known(Which::Old, it) && known(Which::New, it));
        let implied = |it: &Credential<'p>| {
            let alone = pairs[&vec![*it]];
            let allowed = changes[&alone].iter().any(|(change, ..)| *change == Change::Allowed);
            allowed || (is_renamed(alone) && told(alone))
        };
        assert!(told(*pair) || (gone && added.any(implied)), "missed: {set:?} {pair:?} {:?}", names(*pair));
    }
    let any = pairs.values().any(|pair| is_renamed(*pair));
    assert_eq!(!found.is_empty() || access(raw).0, any || access(raw).0, "verdict (wider)");
    let known: BTreeSet<Pair> = pairs.values().copied().collect();
    for Renamed { old, new, callers: of, example } in &found {
        for caller in of {
            let pair = callers.all[*caller].pair;
            assert!(known.contains(&pair) && is_renamed(pair) && names(pair) == (*old, *new), "invented: {pair:?}");
        }
        let (shown, carried, cell) = example;
        for (which, expected) in [(Which::Old, old), (Which::New, new)] {
            let caller = world.caller(which, shown).unwrap();
            assert_eq!(caller.agent.map(|agent| world.face(which).agent_name(agent.0)), *expected);
            assert!(outcome(world, which, shown, carried, &scene.cells[*cell]).permitted, "example of {old:?} {new:?}");
        }
    }
}

/// Whether an example gets to a policy at all, over TLS: with a certificate that it knows a CA of, where it knows any.
fn is_admitted(world: &World<'_>, which: Which, shown: &Shown<'_>) -> bool {
    let policy = world.face(which).policy;
    let certificate = world.example_certificate(shown);
    let is_known = |name: &String| policy.client_cas.iter().any(|ca| ca.name == *name);
    let valid = certificate.as_ref().is_none_or(|it| it.cas.iter().any(is_known));
    policy.client_cas.is_empty() || (valid && admit_transport(policy.transport, true, certificate.is_some()).is_ok())
}

fn examples(scene: &Scene<'_, '_>, raw: &[RawClass<'_>]) {
    for class in raw {
        let (shown, names, cell) = &class.example;
        let judged = |which| {
            let outcome = outcome(scene.world, which, shown, names, &scene.cells[*cell]);
            // Who shows nothing that names anybody is told to, and nobody else is.
            let reason = outcome.reason.filter(|reason| {
                ![Reason::TargetNotAdmitted, Reason::CertificateInvalid].map(Reason::name).contains(reason)
            });
            let missing = reason.map(|reason| reason == Reason::CredentialMissing.name());
            let held = |it: &Credential<'_>| crate::proofs::holders(scene.world, which, it).is_some();
            let names = |it: &Credential<'_>| !matches!(it, Credential::Certificate { .. }) || held(it);
            assert!(missing.is_none_or(|missing| missing != shown.iter().any(names)), "{outcome:?}");
            if outcome.permitted {
                assert!(is_admitted(scene.world, which, shown), "example of {class:?} does not come so far");
            }
            outcome.permitted
        };
        let change = direction(judged(Which::Old), judged(Which::New));
        assert_eq!(change, Some(class.changed.change), "example of {class:?}");
        assert!(class.stray.is_none_or(|stray| holds(shown, &stray)));
    }
}

/// Shows the two policies if the comparison fails.
struct Compared<'p>(&'p Policy, &'p Policy);

impl Drop for Compared<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for policy in [self.0, self.1] {
                println!(
                    "POLICY {:?} {:#?} {:#?} {:#?} {:#?} {:?} {:?}",
                    policy.transport,
                    policy.routes,
                    policy.scopes,
                    policy.agents,
                    policy.api_keys,
                    policy.issuers,
                    policy.client_cas
                );
            }
        }
    }
}

fn compare(old: &Policy, new: &Policy, is_exact: bool) {
    let _shown = Compared(old, new);
    let (old_table, new_table) = (universe::table(old), universe::table(new));
    let (old, new): ((_, &dyn Look), (_, &dyn Look)) = ((old, &old_table), (new, &new_table));
    with_parts(old, new, |scene, callers, raw, exhausted| {
        assert!(!exhausted);
        check(scene, callers, raw, is_exact);
    });
}

/// The same policies each time: that nothing is left out of what is told of a stray holds for nearly all, and not for all.
fn same() -> ProptestConfig {
    ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(1), max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(same())]

    #[test]
    fn all_that_changes_with_a_stray_is_told_of_it(
        first in prop::collection::vec(any::<u8>(), 0..160),
        second in prop::collection::vec(any::<u8>(), 0..160),
        third in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        for (old, new) in &universe::pairs(&first, &second, &third) {
            compare(old, new, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn classes_are_all_that_changes_and_nothing_else(
        first in prop::collection::vec(any::<u8>(), 0..160),
        second in prop::collection::vec(any::<u8>(), 0..160),
        third in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        for (old, new) in &universe::pairs(&first, &second, &third) {
            compare(old, new, false);
        }
        let first = universe::policy(&mut universe::Dice(first.iter()));
        let same = crate::diff(
            crate::Side { policy: &first, table: &universe::table(&first) },
            crate::Side { policy: &first, table: &universe::table(&first) },
        );
        prop_assert_eq!(same.verdict, crate::Verdict::Same);
    }
}
