//! Routes that match the same requests: the same twice, crossing each other, or never reached.
//!
//! Precedence: an exact host before `*`; in each segment a literal before `{segment}` before `{rest...}`. Two
//! patterns cross when each is the more specific in some segment: then the first such segment decides, which is
//! well defined and rarely what both authors meant.

use std::collections::HashMap;

use policy::model::Methods;

use crate::bounds::{METHODS_EXTENSION_MAX, OVERLAP_STEPS_MAX, OVERLAPS_REPORTED_MAX};
use crate::check::trie::{Node, NodeId, Trie};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::draft::RouteDraft;
use crate::fields::shown;
use crate::forms::path::{Segment, shape};
use crate::reading::Reading;

/// RFC 9110 §9.3 and RFC 5789, without CONNECT and TRACE.
const STANDARD_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// One bit a method.
type MethodMask = u64;

pub(crate) fn check<'d>(routes: &[RouteDraft<'d>], reading: &mut Reading<'d, '_>) {
    let Some(masks) = masks(routes, reading) else {
        return;
    };
    let mut trie = Trie::default();
    let mut owners = HashMap::new();
    for (position, draft) in routes.iter().enumerate() {
        let root = trie.host(&draft.route.host);
        let pattern = trie.insert(root, &draft.segments, position);
        report_same(routes, position, pattern, &mut owners, &masks, reading);
    }
    unreachable(routes, &masks, &trie, reading);
    let mut crossings =
        Crossings { routes, masks: &masks, trie: &trie, found: Vec::new(), steps_left: OVERLAP_STEPS_MAX };
    crossings.search();
    let (found, exhausted) = (crossings.found, crossings.steps_left == 0);
    report_crossings(routes, &found, exhausted, reading);
}

/// The methods of each route as bits; none when there are more methods than a table holds.
fn masks(routes: &[RouteDraft<'_>], reading: &mut Reading<'_, '_>) -> Option<Vec<MethodMask>> {
    let mut bits: HashMap<&str, MethodMask> = HashMap::new();
    for (position, method) in STANDARD_METHODS.iter().enumerate() {
        bits.insert(method, 1 << position);
    }
    let mut masks = Vec::with_capacity(routes.len());
    for draft in routes {
        let Methods::Only(methods) = &draft.route.methods else {
            masks.push(MethodMask::MAX);
            continue;
        };
        let mut mask = 0;
        for method in methods {
            let next = bits.len();
            if !bits.contains_key(method.as_str()) && next >= STANDARD_METHODS.len() + METHODS_EXTENSION_MAX {
                let message = format!("more than {METHODS_EXTENSION_MAX} methods beside the standard ones");
                let diagnostic = Diagnostic::new(codes::TOO_MANY, draft.name.span, message);
                reading.sink.push(diagnostic.label("one method too many").hint("write `methods = \"*\"`"));
                return None;
            }
            mask |= *bits.entry(method).or_insert(1 << next);
        }
        masks.push(mask);
    }
    Some(masks)
}

/// Owner of each (pattern, method bit).
type Owners = HashMap<((NodeId, bool), MethodMask), usize>;

/// Reports a route whose host, methods and path stand in an earlier one.
fn report_same<'d>(
    routes: &[RouteDraft<'d>],
    position: usize,
    pattern: (NodeId, bool),
    owners: &mut Owners,
    masks: &[MethodMask],
    reading: &mut Reading<'d, '_>,
) {
    let mask = masks.get(position).copied().unwrap_or(0);
    let mut first = None;
    for bit in (0..MethodMask::BITS).map(|bit| 1 << bit).filter(|bit| mask & bit != 0) {
        let owner = *owners.entry((pattern, bit)).or_insert(position);
        if owner != position {
            first = Some(first.map_or(owner, |first: usize| first.min(owner)));
        }
    }
    let (Some(draft), Some(first)) = (routes.get(position), first.and_then(|first| routes.get(first))) else {
        return;
    };
    let names_differ = draft.route.path != first.route.path;
    let message = match names_differ {
        true => format!(
            "`{}` matches the same paths as `{}` of `{}`, for common methods",
            shown(&draft.route.path),
            shown(&first.route.path),
            shown(first.name.value)
        ),
        false => format!("`{}` already matches this host and path, for common methods", shown(first.name.value)),
    };
    let diagnostic = Diagnostic::new(codes::DUPLICATE_ROUTE, draft.path_at, message).label("the same requests");
    let hint = match names_differ {
        true => "names of parameters make no difference: give the two different methods, hosts or paths",
        false => "give the two different methods, hosts or paths, or remove one",
    };
    reading.sink.push(diagnostic.related(first.path_at, "first here").hint(hint));
}

/// Reports `{rest...}` routes whose every path has a more specific route: the empty rest, one segment, and more.
fn unreachable<'d>(routes: &[RouteDraft<'d>], masks: &[MethodMask], trie: &Trie<'d>, reading: &mut Reading<'d, '_>) {
    let union = |positions: &[usize]| positions.iter().filter_map(|at| masks.get(*at)).fold(0, |all, mask| all | mask);
    // Children come after their parents, so that going backwards knows each child before its parent.
    let mut covered: HashMap<NodeId, MethodMask> = HashMap::new();
    for (id, node) in trie.nodes().rev() {
        let Some(child_id) = node.parameter else {
            continue;
        };
        let empty = node.literals.get("").and_then(|empty| trie.node(*empty)).map_or(0, |empty| union(&empty.ends));
        let Some(child) = trie.node(child_id) else {
            continue;
        };
        let deeper = union(&child.rests) | covered.get(&child_id).copied().unwrap_or(0);
        let mask = empty & union(&child.ends) & deeper;
        covered.insert(id, mask);
        for position in &node.rests {
            let (Some(draft), Some(of_route)) = (routes.get(*position), masks.get(*position)) else {
                continue;
            };
            if of_route & !mask == 0 {
                let message = format!("no request reaches `{}`", shown(draft.name.value));
                let diagnostic = Diagnostic::new(codes::UNREACHABLE_ROUTE, draft.path_at, message);
                let hint = "routes for the empty rest, for one segment and for more segments take every request of it";
                reading.sink.push(diagnostic.label("never reached").hint(hint));
            }
        }
    }
}

/// Two routes that cross: first the one that wins, then the one that loses.
type Crossing = (usize, usize);

struct Crossings<'r, 'd> {
    routes: &'r [RouteDraft<'d>],
    masks: &'r [MethodMask],
    trie: &'r Trie<'d>,
    found: Vec<Crossing>,
    steps_left: usize,
}

impl<'d> Crossings<'_, 'd> {
    /// Looks where patterns part: one goes on with a literal, the other with a parameter.
    fn search(&mut self) {
        let trie = self.trie;
        for (_, node) in trie.nodes() {
            let Some(parameter) = node.parameter.and_then(|id| trie.node(id)) else {
                continue;
            };
            for literal in literals(trie, node).map(|(_, literal)| literal) {
                self.walk(literal, parameter, false);
            }
        }
    }

    /// Goes down two branches at once as far as they match common paths. `crossed`: the second was the more specific
    /// in some segment.
    fn walk(&mut self, first: &Node<'d>, second: &Node<'d>, crossed: bool) {
        if self.found.len() > OVERLAPS_REPORTED_MAX || !self.step() {
            return;
        }
        let trie = self.trie;
        if crossed {
            self.pair(&first.ends, &second.ends);
            self.pair(&first.rests, &second.rests);
            if !second.rests.is_empty() {
                self.below(first, &mut |found, positions| found.pair(positions, &second.rests));
            }
        }
        if !first.rests.is_empty() {
            self.below(second, &mut |found, positions| found.pair(&first.rests, positions));
        }
        if let (Some(first), Some(second)) = (first.parameter, second.parameter)
            && let (Some(first), Some(second)) = (trie.node(first), trie.node(second))
        {
            self.walk(first, second, crossed);
        }
        for (name, child) in &first.literals {
            if let Some(other) = second.literals.get(name)
                && let (Some(child), Some(other)) = (trie.node(*child), trie.node(*other))
            {
                self.walk(child, other, crossed);
            }
        }
        if let Some(parameter) = second.parameter.and_then(|id| trie.node(id)) {
            literals(trie, first).for_each(|(_, child)| self.walk(child, parameter, crossed));
        }
        if let Some(parameter) = first.parameter.and_then(|id| trie.node(id)) {
            literals(trie, second).for_each(|(_, child)| self.walk(parameter, child, true));
        }
    }

    /// Calls for the routes of every node below one: they are more specific than a rest there.
    fn below(&mut self, node: &Node<'d>, each: &mut dyn FnMut(&mut Self, &[usize])) {
        let children = node.literals.values().copied().chain(node.parameter);
        for child in children.filter_map(|id| self.trie.node(id)) {
            if !self.step() {
                return;
            }
            each(self, &child.ends);
            each(self, &child.rests);
            self.below(child, each);
        }
    }

    fn pair(&mut self, winners: &[usize], losers: &[usize]) {
        for winner in winners {
            for loser in losers {
                if self.found.len() > OVERLAPS_REPORTED_MAX || !self.step() {
                    return;
                }
                let mask = |at: &usize| self.masks.get(*at).copied().unwrap_or(0);
                let common = mask(winner) & mask(loser);
                if common != 0 && !self.settled(*winner, *loser, common) {
                    self.found.push((*winner, *loser));
                }
            }
        }
    }

    /// Whether routes of their own take what the two have in common.
    fn settled(&self, winner: usize, loser: usize, common: MethodMask) -> bool {
        let (Some(winner), Some(loser)) = (self.routes.get(winner), self.routes.get(loser)) else {
            return true;
        };
        let both = common_pattern(&winner.segments, &loser.segments);
        let taking = self.trie.find(&winner.route.host, &both);
        let taken = taking.iter().filter_map(|at| self.masks.get(*at)).fold(0, |all, mask| all | mask);
        common & !taken == 0
    }

    fn step(&mut self) -> bool {
        self.steps_left = self.steps_left.saturating_sub(1);
        self.steps_left > 0
    }
}

/// Children behind a segment that is not empty: those that a parameter matches too.
fn literals<'t, 'd>(trie: &'t Trie<'d>, node: &'t Node<'d>) -> impl Iterator<Item = (&'d str, &'t Node<'d>)> {
    let filled = node.literals.iter().filter(|(name, _)| !name.is_empty());
    filled.filter_map(|(name, id)| trie.node(*id).map(|child| (*name, child)))
}

/// The pattern of what two patterns that have something in common both match.
fn common_pattern<'d>(a: &[Segment<'d>], b: &[Segment<'d>]) -> Vec<Segment<'d>> {
    let mut common = Vec::with_capacity(a.len().max(b.len()));
    for position in 0..a.len().max(b.len()) {
        match (a.get(position), b.get(position)) {
            (Some(Segment::Rest(_)), _) => {
                common.extend(b.iter().skip(position));
                break;
            }
            (_, Some(Segment::Rest(_))) => {
                common.extend(a.iter().skip(position));
                break;
            }
            (Some(literal @ Segment::Literal(_)), _) | (_, Some(literal @ Segment::Literal(_))) => {
                common.push(*literal)
            }
            (Some(other), _) | (_, Some(other)) => common.push(*other),
            (None, None) => {}
        }
    }
    common
}

fn report_crossings<'d>(routes: &[RouteDraft<'d>], found: &[Crossing], exhausted: bool, reading: &mut Reading<'d, '_>) {
    for (winner, loser) in found.iter().take(OVERLAPS_REPORTED_MAX) {
        let (Some(winner), Some(loser)) = (routes.get(*winner), routes.get(*loser)) else {
            continue;
        };
        let both = shape(&common_pattern(&winner.segments, &loser.segments)).replace("{}", "x").replace("{...}", "x");
        let message = format!(
            "`{}` and `{}` both match `{}`, and neither is the more specific",
            shown(&loser.route.path),
            shown(&winner.route.path),
            shown(&both)
        );
        let diagnostic = Diagnostic::new(codes::AMBIGUOUS_ROUTES, loser.path_at, message).label("loses there");
        let diagnostic = diagnostic.related(winner.path_at, format!("`{}` wins there", shown(winner.name.value)));
        let hint = "the first segment in which they differ decides, a literal before a parameter; add a route for what both match if that is not meant";
        reading.sink.push(diagnostic.hint(hint));
    }
    let more = found.len() > OVERLAPS_REPORTED_MAX;
    if more || exhausted {
        let span = routes.first().map(|draft| draft.name.span).unwrap_or_default();
        let message = match more {
            true => "more routes overlap than are shown".to_owned(),
            false => format!("not every pair of overlapping routes was compared: {OVERLAP_STEPS_MAX} steps were taken"),
        };
        let diagnostic = Diagnostic::new(codes::OVERLAP_UNCHECKED, span, message).label("and others");
        reading.sink.push(diagnostic.hint("split routes by host, or begin their paths with a literal"));
    }
}

#[cfg(test)]
mod tests;
