//! The comparison from end to end, and its result in words.

use std::collections::HashMap;
use std::rc::Rc;

use policy::decide::{Grant, reason_told};
use policy::model::Policy;
use policy::reason::Reason;
use policy::table::RouteId;

use crate::access::{Change, Condition, Scene};
use crate::asserted;
use crate::callers::Callers;
use crate::cells::{self, Cell};
use crate::classes::{self, RawClass};
use crate::face::{Which, World, fresh, subjects};
use crate::identities::{self, Renamed};
use crate::limits;
use crate::look::Look;
use crate::report::{
    Class, Counts, Diff, Direction, Example, IdentityChange, Outcome, Principal, PrincipalKind, Requests,
    TokenScopesCondition, Verdict,
};
use crate::settings;
use crate::shown::{Shown, Taken, TokenNames};
use crate::strays::strays;

/// Classes of one direction that are listed, and changes of limits.
const CLASSES_MAX: usize = 1_000;
/// Principals and entries of requests of one class that are listed.
const PRINCIPALS_MAX: usize = 20;
const REQUESTS_MAX: usize = 50;
/// Ways of identification of one principal that are listed.
const WAYS_MAX: usize = 4;

type End<'p> = (&'p Policy, &'p dyn Look);

/// Compares two policies.
pub fn diff(old: End<'_>, new: End<'_>) -> Diff {
    with_parts(old, new, report)
}

/// Hands the parts of a comparison to `then`.
pub fn with_parts<T>(
    old: End<'_>,
    new: End<'_>,
    then: impl FnOnce(&Scene<'_, '_>, &Callers<'_>, &[RawClass<'_>], bool) -> T,
) -> T {
    let fresh_subject = fresh("any-other-subject", subjects(old.0).chain(subjects(new.0)));
    let world = World::new(old, new, &fresh_subject);
    let scene = Scene::new(&world, cells::cells(&world));
    let callers = Callers::find(&world);
    let strays = strays(&scene, &callers);
    let exhausted = callers.exhausted || strays.exhausted;
    let raw = classes::classes(&scene, &callers, strays.found);
    then(&scene, &callers, &raw, exhausted)
}

fn report(scene: &Scene<'_, '_>, callers: &Callers<'_>, raw: &[RawClass<'_>], exhausted: bool) -> Diff {
    let world = scene.world;
    let pairs = limits::counted(world, callers, classes::crossed(scene, callers));
    let mut limits = limits::changes(world, &pairs);
    let mut settings = settings::changes(world, &scene.cells);
    settings.extend(asserted::changes(scene, callers));
    settings.sort();
    let of = |change: Change| raw.iter().filter(move |class| class.changed.change == change);
    let mut told = Told::new();
    let mut listed = |change: Change| {
        of(change).take(CLASSES_MAX).map(|class| written(scene, callers, class, &mut told)).collect::<Vec<Class>>()
    };
    let renamed = identities::renamed(scene, callers);
    let identities: Vec<_> = renamed.iter().take(CLASSES_MAX).map(|it| identity(scene, callers, it)).collect();
    let (allowed, refused) = (listed(Change::Allowed), listed(Change::Refused));
    let counts = Counts {
        allowed: of(Change::Allowed).count(),
        refused: of(Change::Refused).count(),
        identities: renamed.len(),
        limits: limits.len(),
        settings: settings.len(),
    };
    let directions = || {
        let rules = identities.iter().map(|it| it.direction).chain(limits.iter().map(|it| it.direction));
        rules.chain(settings.iter().map(|it| it.direction))
    };
    let (mut wider, mut narrower) = access(raw);
    wider |= exhausted || directions().any(Direction::is_wider);
    narrower |= exhausted || directions().any(Direction::is_narrower);
    let needs_wider = wider || limits.iter().any(|it| it.needs_wider) || settings.iter().any(|it| it.needs_wider);
    let cut = |class: &Class| {
        class.principals.len() < class.principals_count
            || class.requests.len() < class.requests_count
            || class.principals.iter().any(|principal| principal.by.len() < principal.by_count)
    };
    let truncated = exhausted
        || allowed.len() < counts.allowed
        || refused.len() < counts.refused
        || identities.len() < counts.identities
        || identities.iter().any(|it| it.by.len() < it.by_count)
        || limits.len() > CLASSES_MAX
        || allowed.iter().chain(&refused).any(cut)
        || limits.iter().any(|limit| limit.agents.len() < limit.agents_count);
    limits.truncate(CLASSES_MAX);
    let verdict = Verdict::of(wider, narrower);
    Diff { verdict, needs_wider, truncated, exhausted, counts, allowed, refused, identities, limits, settings }
}

/// Whether access becomes wider, and narrower: whether anything at all is newly allowed, and newly refused. That the
/// holder could have done the same by showing less does not make it less: who stole a credential need not be able to.
pub fn access(raw: &[RawClass<'_>]) -> (bool, bool) {
    let any = |change: Change| raw.iter().any(|class| class.changed.change == change);
    (any(Change::Allowed), any(Change::Refused))
}

/// The first requests of some groups, and how many there are: many classes have the same.
type Told = HashMap<Rc<[usize]>, (Vec<Requests>, usize)>;

fn written(scene: &Scene<'_, '_>, callers: &Callers<'_>, class: &RawClass<'_>, told: &mut Told) -> Class {
    let world = scene.world;
    let mut principals: Vec<Principal> = Vec::new();
    if let Some(credential) = class.stray {
        let (kind, name) = (PrincipalKind::Together, world.word(&credential));
        principals.push(Principal { kind, name, formerly: None, by: Vec::new(), by_count: 0 });
    }
    for caller in class.callers.iter().filter_map(|index| callers.all.get(*index)) {
        let mut principal = principal(world, caller.pair.0, caller.pair.1);
        principal.by = caller.witnesses.iter().map(|witness| world.words(&witness.shown)).collect();
        principal.by_count = caller.witnesses_count;
        match principals.iter_mut().take(PRINCIPALS_MAX).find(|known| known.is_same(&principal)) {
            Some(known) => known.merge(principal),
            None => principals.push(principal),
        }
    }
    let principals_count = principals.len();
    principals.truncate(PRINCIPALS_MAX);
    principals.iter_mut().for_each(|principal| principal.by.truncate(WAYS_MAX));
    let (requests, requests_count) =
        told.entry(Rc::clone(&class.groups)).or_insert_with_key(|groups| requests(scene, groups)).clone();
    let condition = &class.changed.condition;
    Class {
        by_any_means: class.changed.by_any_means,
        principals,
        principals_count,
        requests,
        requests_count,
        token_scopes: (*condition != Condition::default()).then(|| TokenScopesCondition {
            any_of: condition.any_of.iter().map(|scope| world.scopes.name(*scope).to_owned()).collect(),
            none_of: condition.none_of.iter().map(|scope| world.scopes.name(*scope).to_owned()).collect(),
        }),
        example: example(scene, &class.example),
    }
}

/// The requests of some groups that are listed, and how many there are.
fn requests(scene: &Scene<'_, '_>, groups: &[usize]) -> (Vec<Requests>, usize) {
    let groups = groups.iter().filter_map(|index| scene.groups.get(*index));
    let cells: Vec<&Cell> = groups.flat_map(|group| &group.cells).filter_map(|index| scene.cells.get(*index)).collect();
    let count = cells.iter().map(|cell| cell.regions_count).sum();
    let mut requests: Vec<&Requests> = cells.iter().flat_map(|cell| &cell.regions).collect();
    requests.sort_unstable();
    (requests.into_iter().take(REQUESTS_MAX).cloned().collect(), count)
}

fn identity(scene: &Scene<'_, '_>, callers: &Callers<'_>, renamed: &Renamed<'_>) -> IdentityChange {
    let mut by: Vec<String> = Vec::new();
    let mut by_count = 0;
    for caller in renamed.callers.iter().filter_map(|index| callers.all.get(*index)) {
        by_count += caller.witnesses_count;
        if by.len() < WAYS_MAX {
            by.extend(caller.witnesses.iter().map(|witness| scene.world.words(&witness.shown)));
        }
    }
    by.truncate(WAYS_MAX);
    IdentityChange {
        direction: Direction::Changed,
        old: renamed.old.map(str::to_owned),
        new: renamed.new.map(str::to_owned),
        by,
        by_count,
        example: example(scene, &renamed.example),
        needs_wider: Direction::Changed.is_wider(),
    }
}

fn principal(world: &World<'_>, old: Taken, new: Taken) -> Principal {
    let named = |which: Which, agent: u32| {
        let face = world.face(which);
        let kind = if face.anonymous == Some(agent) {
            PrincipalKind::Anyone
        } else if face.is_population(agent) {
            PrincipalKind::Population
        } else {
            PrincipalKind::Agent
        };
        (kind, face.agent_name(agent).to_owned())
    };
    let ((kind, name), formerly) = match (old, new) {
        (Taken::Agent(old), Taken::Agent(new)) => {
            let (was, is) = (named(Which::Old, old), named(Which::New, new));
            let formerly = (was.1 != is.1).then_some(was.1);
            (is, formerly)
        }
        (_, Taken::Agent(new)) => (named(Which::New, new), None),
        (Taken::Agent(old), _) => (named(Which::Old, old), None),
        _ => ((PrincipalKind::Anyone, String::new()), None),
    };
    Principal { kind, name, formerly, by: Vec::new(), by_count: 0 }
}

impl Principal {
    fn is_same(&self, other: &Self) -> bool {
        (self.kind, &self.name, &self.formerly) == (other.kind, &other.name, &other.formerly)
    }

    fn merge(&mut self, other: Self) {
        let fresh = other.by.into_iter().filter(|way| !self.by.contains(way)).collect::<Vec<_>>();
        self.by_count += other.by_count;
        self.by.extend(fresh);
    }
}

fn example(scene: &Scene<'_, '_>, (shown, names, cell): &(Shown<'_>, TokenNames, usize)) -> Example {
    let world = scene.world;
    let (method, host, path) =
        scene.cells.get(*cell).map_or(("", "", ""), |cell| (&cell.method, &cell.host, &cell.path));
    let judged = |which: Which| match scene.cells.get(*cell) {
        Some(cell) => outcome(world, which, shown, names, cell),
        None => Outcome::refused(Reason::RouteUnknown),
    };
    Example {
        method: method.to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        certificate: world.example_certificate(shown),
        token: world.example_token(shown, names),
        api_key: shown.iter().find_map(|credential| match credential {
            crate::shown::Credential::Key(id) => Some((*id).to_owned()),
            _ => None,
        }),
        old: judged(Which::Old),
        new: judged(Which::New),
    }
}

/// What the table of one side says to a request of a cell.
pub fn outcome(world: &World<'_>, which: Which, shown: &Shown<'_>, names: &TokenNames, cell: &Cell) -> Outcome {
    let face = world.face(which);
    let presented = world.presented(which, shown);
    let (presented, caller) = match presented.and_then(|it| face.table.caller(&it).map(|caller| (it.any(), caller))) {
        Ok(found) => found,
        Err(reason) => return Outcome::refused(reason),
    };
    let agent = caller.agent.map(|agent| face.agent_name(agent.0).to_owned());
    let request = (cell.host.as_bytes(), cell.method.as_bytes(), cell.path.as_bytes());
    let refused = |reason: Reason, route: Option<RouteId>| Outcome {
        agent: agent.clone(),
        route: route.map(|route| face.route_name(route.0).to_owned()),
        ..Outcome::refused(reason_told(reason, presented))
    };
    let Some(route) = face.table.route(request.0, request.1, request.2) else {
        return refused(Reason::RouteUnknown, None);
    };
    let Some(grant) = face.table.grant(&caller, &world.token_scopes(which, names), route) else {
        return refused(Reason::ScopeMissing, Some(route));
    };
    let options = face.table.options(route);
    let slash = cell.path.contains("%2F") && !options.is_some_and(|it| it.encoded_slash);
    let parameters = cell.path.contains(';') && !options.is_some_and(|it| it.path_parameters);
    if slash || parameters {
        return refused(Reason::TargetNotAdmitted, Some(route));
    }
    let Grant { agent, scope, .. } = grant;
    Outcome {
        permitted: true,
        agent: Some(face.agent_name(agent.0).to_owned()),
        route: Some(face.route_name(route.0).to_owned()),
        scope: Some(face.table.scope_name(scope).to_owned()),
        reason: None,
    }
}

impl Outcome {
    fn refused(reason: Reason) -> Self {
        Self { permitted: false, agent: None, route: None, scope: None, reason: Some(reason.name()) }
    }
}
