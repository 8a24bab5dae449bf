//! Requests, as pairs of routes: which route the old policy takes for a request, and which the new one.
//!
//! Only pairs that some request has are found, each with such a request, and none is missed. Why so few requests are
//! enough: of the patterns that a path fits, the first by a fixed order wins (literal before `{segment}` before
//! `{rest...}`, segment by segment, the host first), patterns that do not admit the method left out. Let pattern P win
//! in the old policy and Q in the new one for some request. Take the pattern of all paths that fit P and Q, and put a
//! segment that no policy names in each free place. Whatever pattern fits this path fits the first path too, because
//! its literals stand where P or Q have the same ones; so no pattern that lost there can win here, and P and Q still
//! do. The same holds where a policy has no route: the fewest patterns fit the path with the freshest segments. Only
//! the number of segments, and whether the last one is empty, can not be chosen once and for all where both patterns
//! end in `{rest...}`; so all numbers up to one more than any pattern has are tried. As to methods, those that P and Q
//! name are tried, and one that nobody names: only routes for any method admit it, and they admit every other too.
//!
//! What people are shown of a pair are its regions: each the pattern of two routes that requests of the pair have, with the
//! methods and kinds of paths that were found there. So each request of the pair is in one of them; what one of them says
//! beyond the pair goes to other routes than those that it names.
//!
//! Where P and Q are in both policies and admit the same methods in both, both policies choose alike, so P is Q. Hence
//! only places that differ are held against all others that they overlap; the rest cost one look each.

use std::collections::{BTreeSet, HashMap, HashSet};

use policy::table::RouteId;

use crate::face::{Which, World, fresh};
use crate::places::{Place, Places, Step, both, has_all, named_methods};
use crate::report::Requests;

/// The route of each policy that admits a request, if any does.
pub type Pair = (Option<u32>, Option<u32>);

/// Requests with the same pair of routes.
#[derive(Debug)]
pub struct Cell {
    pub routes: Pair,
    pub regions: Vec<Requests>,
    /// With those that are not kept.
    pub regions_count: usize,
    /// One of them.
    pub method: String,
    pub host: String,
    pub path: String,
}

/// Regions of one cell that are kept for people; any cell has one.
const REGIONS_MAX: usize = 64;

/// What only some requests of a region have.
const FLAGS: [(&str, bool, bool); 4] =
    [("", false, false), ("%2F", true, false), ("; parameters", false, true), ("%2F and ; parameters", true, true)];

struct Finder<'w, 'p> {
    world: &'w World<'p>,
    places: Places<'p>,
    fresh: Fresh,
    found: HashMap<Pair, Found<'p>>,
    order: Vec<Pair>,
}

/// A cell on its way.
struct Found<'p> {
    cell: Cell,
    regions: Vec<Region<'p>>,
    /// Those that are not kept.
    beyond: HashSet<(Vec<Step<'p>>, Option<&'static str>)>,
}

/// Requests of one pattern and kind.
struct Region<'p> {
    steps: Vec<Step<'p>>,
    methods: BTreeSet<String>,
    /// Methods that were looked at, whether they are of this cell or not.
    tried: BTreeSet<String>,
    requests: Requests,
}

/// Any method that nobody names, but CONNECT and TRACE.
const ANY_METHOD: &str = "*";

/// What no policy names.
struct Fresh {
    /// A segment, and the same with `%2F`, with `;`, and with both.
    segments: [String; 4],
    host: String,
    method: String,
}

/// All pairs of routes that a request can have.
pub fn cells(world: &World<'_>) -> Vec<Cell> {
    let places = Places::new(world.old.policy, world.new.policy);
    let fresh = Fresh::new(world, &places);
    let mut finder = Finder { world, places, fresh, found: HashMap::new(), order: Vec::new() };
    for place in 0..finder.places.all.len() {
        finder.look(place, None);
    }
    for place in 0..finder.places.all.len() {
        if finder.differs(place) {
            for other in finder.places.overlapping(place) {
                finder.look(place, Some(other));
            }
        }
    }
    let Finder { mut found, order, .. } = finder;
    order.iter().filter_map(|pair| found.remove(pair)).map(Found::cell).collect()
}

impl Fresh {
    fn new(world: &World<'_>, places: &Places<'_>) -> Self {
        let literals = places.literals();
        let segment = |start: &str, end: &str| {
            let starts = literals.iter().filter_map(|literal| literal.strip_suffix(end));
            fresh(start, starts) + end
        };
        let routes = [world.old.policy, world.new.policy].into_iter().flat_map(|policy| &policy.routes);
        let methods: Vec<&str> = routes.filter_map(named_methods).flatten().map(String::as_str).collect();
        Self {
            segments: [
                segment("any", ""),
                segment("any", "%2Fany"),
                segment("any", ";any"),
                segment("any", "%2Fany;any"),
            ],
            host: fresh("any-host", literals.iter().filter_map(|literal| literal.strip_suffix(".example")))
                + ".example",
            method: fresh("ANY", methods.into_iter()),
        }
    }
}

impl<'p> Finder<'_, 'p> {
    /// Whether the policies differ in what they admit at a place, routes and origins aside.
    fn differs(&self, place: usize) -> bool {
        let Some(place) = self.places.all.get(place) else { return false };
        if place.old.is_empty() || place.new.is_empty() {
            return true;
        }
        self.admitted(place, Which::Old) != self.admitted(place, Which::New)
    }

    /// The methods admitted at a place: sorted names, and whether any other is too.
    fn admitted(&self, place: &Place<'p>, which: Which) -> (Vec<&'p str>, bool) {
        let (mut names, mut any) = (Vec::new(), false);
        for route in place.routes(which) {
            match self.world.face(which).policy.routes.get(*route as usize).and_then(named_methods) {
                Some(named) => names.extend(named.iter().map(String::as_str)),
                None => any = true,
            }
        }
        if any {
            names.retain(|name| matches!(*name, "CONNECT" | "TRACE"));
        }
        names.sort_unstable();
        (names, any)
    }

    /// Looks at the requests that fit one place, or two.
    fn look(&mut self, first: usize, second: Option<usize>) {
        let Some(place) = self.places.all.get(first) else { return };
        let other = second.and_then(|second| self.places.all.get(second));
        let steps = other.map_or_else(|| place.steps.clone(), |other| both(&place.steps, &other.steps));
        let mut methods: Vec<&'p str> = Vec::new();
        let mut any = false;
        for place in std::iter::once(place).chain(other) {
            for which in [Which::Old, Which::New] {
                let (names, others) = self.admitted(place, which);
                methods.extend(names);
                any |= others;
            }
        }
        methods.sort_unstable();
        methods.dedup();
        let shown = match other {
            None => (place.host.to_owned(), place.path.to_owned()),
            Some(_) => written(&steps),
        };
        let methods: Vec<String> =
            methods.into_iter().map(str::to_owned).chain(any.then(|| self.fresh.method.clone())).collect();
        let prefix = steps.len() - usize::from(steps.last() == Some(&Step::Rest));
        let lengths = match steps.last() {
            // Of the rest: up to one segment more than any pattern has.
            Some(Step::Rest) => 1..=(self.places.segments_max + 2).saturating_sub(prefix).max(1),
            _ => 0..=0,
        };
        for length in lengths.rev() {
            for empty in if length == 0 { &[false][..] } else { &[false, true] } {
                for method in &methods {
                    self.request(&steps, (length, *empty), (method, &methods), &shown);
                }
            }
        }
    }

    /// Looks at one request, in all forms that its free segments can have.
    fn request(
        &mut self,
        steps: &[Step<'p>],
        (length, empty): (usize, bool),
        (method, tried): (&str, &[String]),
        shown: &(String, String),
    ) {
        let world = self.world;
        let [plain, ..] = &self.fresh.segments;
        let (host, path) = concrete(steps, length, empty, &self.fresh.host, plain);
        let route = |which: Which| world.face(which).table.route(host.as_bytes(), method.as_bytes(), path.as_bytes());
        let (old, new) = (route(Which::Old), route(Which::New));
        let free = steps.iter().skip(1).any(|step| *step == Step::Segment) || length > usize::from(empty);
        let (slash, parameters) = (path.contains("%2F"), path.contains(';'));
        let mut seen: Vec<(bool, bool, Pair)> = Vec::new();
        for ((only_with, more_slash, more_parameters), segment) in FLAGS.into_iter().zip(&self.fresh.segments) {
            if (more_slash || more_parameters) && !free {
                continue;
            }
            let has = (slash || more_slash, parameters || more_parameters);
            let pair = (admits(world, Which::Old, old, has), admits(world, Which::New, new, has));
            // What goes the same way without is told without.
            let is_part = |(slash, parameters, known): &(bool, bool, Pair)| {
                *known == pair && (more_slash || !slash) && (more_parameters || !parameters)
            };
            if pair == (None, None) || seen.iter().any(is_part) {
                continue;
            }
            seen.push((more_slash, more_parameters, pair));
            let requests = Requests {
                methods: Vec::new(),
                except: Vec::new(),
                host: shown.0.clone(),
                path: shown.1.clone(),
                old_route: pair.0.map(|route| world.old.route_name(route).to_owned()),
                new_route: pair.1.map(|route| world.new.route_name(route).to_owned()),
                only_with: (!only_with.is_empty()).then_some(only_with),
            };
            let (host, path) = concrete(steps, length, empty, &self.fresh.host, segment);
            let example = (method.to_owned(), host, path);
            let name = |method: &String| {
                if *method == self.fresh.method { ANY_METHOD.to_owned() } else { method.clone() }
            };
            let (methods, tried) = ([name(&method.to_owned())].into(), tried.iter().map(name).collect());
            let region = Region { steps: steps.to_vec(), methods, tried, requests };
            let found = self.found.entry(pair).or_insert_with(|| {
                self.order.push(pair);
                Found::new(pair, example)
            });
            found.add(region);
        }
    }
}

impl<'p> Found<'p> {
    fn new(routes: Pair, (method, host, path): (String, String, String)) -> Self {
        let cell = Cell { routes, regions: Vec::new(), regions_count: 0, method, host, path };
        Self { cell, regions: Vec::new(), beyond: HashSet::new() }
    }

    /// Takes requests in, unless a region that is known has them.
    fn add(&mut self, region: Region<'p>) {
        if self.regions.iter().any(|known| known.holds(&region)) {
            return;
        }
        let kind = region.requests.only_with;
        let same = |known: &&mut Region<'p>| known.steps == region.steps && known.requests.only_with == kind;
        if let Some(known) = self.regions.iter_mut().find(same) {
            // What is tried stays as it was: parts may have been left out because `*` told of them.
            known.methods.extend(region.methods);
        } else if self.regions.len() < REGIONS_MAX {
            self.regions.push(region);
        } else {
            self.beyond.insert((region.steps, kind));
        }
    }

    fn cell(mut self) -> Cell {
        self.cell.regions_count = self.regions.len() + self.beyond.len();
        self.cell.regions = self.regions.into_iter().map(Region::requests).collect();
        self.cell
    }
}

/// What `*` does not stand for.
fn is_apart(method: &str) -> bool {
    matches!(method, ANY_METHOD | "CONNECT" | "TRACE")
}

impl Region<'_> {
    /// Whether what `other` shows is told by this one.
    fn holds(&self, other: &Self) -> bool {
        let has = |method: &String| {
            let unnamed = !is_apart(method) && !self.tried.contains(method) && self.methods.contains(ANY_METHOD);
            unnamed || self.methods.contains(method)
        };
        (self.requests.only_with.is_none() || self.requests.only_with == other.requests.only_with)
            && other.methods.iter().all(has)
            && has_all(&self.steps, &other.steps)
    }

    fn requests(self) -> Requests {
        let Self { mut methods, mut tried, mut requests, .. } = self;
        if methods.contains(ANY_METHOD) {
            tried.retain(|method| !is_apart(method) && !methods.contains(method));
            methods.retain(|method| is_apart(method));
            requests.except = tried.into_iter().collect();
        }
        requests.methods = methods.into_iter().collect();
        requests
    }
}

/// The route, if it admits the target.
fn admits(world: &World<'_>, which: Which, route: Option<RouteId>, has: (bool, bool)) -> Option<u32> {
    let options = world.face(which).table.options(route?)?;
    let refused = (has.0 && !options.encoded_slash) || (has.1 && !options.path_parameters);
    if refused { None } else { route.map(|route| route.0) }
}

/// A host and path that fit a pattern: fresh wherever they may be, with a rest of `length` segments, the last of which
/// may be empty.
fn concrete(steps: &[Step<'_>], length: usize, empty: bool, host: &str, segment: &str) -> (String, String) {
    let mut steps = steps.iter();
    let host = match steps.next() {
        Some(Step::Literal(host)) => *host,
        _ => host,
    };
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Literal(literal) => path.extend(["/", literal]),
            Step::Segment => path.extend(["/", segment]),
            Step::Rest => {
                for position in 1..=length {
                    path.extend(["/", if empty && position == length { "" } else { segment }]);
                }
            }
        }
    }
    (host.to_owned(), path)
}

/// A pattern in words, host and path.
fn written(steps: &[Step<'_>]) -> (String, String) {
    let word = |step: &Step<'_>| match step {
        Step::Literal(literal) => (*literal).to_owned(),
        Step::Segment => "{segment}".to_owned(),
        Step::Rest => "{rest...}".to_owned(),
    };
    let host = match steps.first() {
        Some(Step::Literal(host)) => (*host).to_owned(),
        _ => "*".to_owned(),
    };
    let path = steps.iter().skip(1).fold(String::new(), |path, step| path + "/" + &word(step));
    (host, path)
}
