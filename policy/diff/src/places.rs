//! The path patterns of both policies in one tree. A *place* is a host with a path pattern; names in braces do not
//! matter. The host stands first in a pattern, as a segment: exact, or `*`.

use std::collections::{BTreeSet, HashMap};

use policy::model::{Methods, Policy, Route};

use crate::face::Which;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step<'p> {
    Literal(&'p str),
    /// Any segment that is not empty.
    Segment,
    /// One or more segments, the last of which may be empty.
    Rest,
}

/// A host and path pattern of either policy, with the routes that end there.
#[derive(Debug, Default)]
pub struct Place<'p> {
    pub steps: Vec<Step<'p>>,
    pub old: Vec<u32>,
    pub new: Vec<u32>,
    /// Host and pattern as the newer policy that has it writes it.
    pub host: &'p str,
    pub path: &'p str,
}

impl<'p> Place<'p> {
    pub fn routes(&self, which: Which) -> &[u32] {
        match which {
            Which::Old => &self.old,
            Which::New => &self.new,
        }
    }
}

#[derive(Default)]
struct Node<'p> {
    literals: HashMap<&'p str, u32>,
    segment: Option<u32>,
    rest: Option<u32>,
    place: Option<u32>,
}

/// All places of both policies.
pub struct Places<'p> {
    nodes: Vec<Node<'p>>,
    pub all: Vec<Place<'p>>,
    /// Segments of the longest pattern, the host not counted.
    pub segments_max: usize,
}

impl<'p> Places<'p> {
    pub fn new(old: &'p Policy, new: &'p Policy) -> Self {
        let mut places = Self { nodes: vec![Node::default()], all: Vec::new(), segments_max: 0 };
        for (which, policy) in [(Which::Old, old), (Which::New, new)] {
            for (route, index) in policy.routes.iter().zip(0_u32..) {
                places.add(which, route, index);
            }
        }
        places
    }

    fn add(&mut self, which: Which, route: &'p Route, index: u32) {
        let steps = steps(route);
        self.segments_max = self.segments_max.max(steps.len() - 1);
        let node = steps.iter().fold(0, |node, step| self.child(node, *step));
        let next = self.all.len() as u32;
        let place = self.nodes.get_mut(node as usize).map_or(0, |node| *node.place.get_or_insert(next));
        if place == next {
            self.all.push(Place { steps, ..Place::default() });
        }
        let Some(place) = self.all.get_mut(place as usize) else { return };
        (place.host, place.path) = (&route.host, &route.path);
        match which {
            Which::Old => place.old.push(index),
            Which::New => place.new.push(index),
        }
    }

    fn child(&mut self, parent: u32, step: Step<'p>) -> u32 {
        let next = self.nodes.len() as u32;
        let Some(node) = self.nodes.get_mut(parent as usize) else { return 0 };
        let child = match step {
            Step::Literal(segment) => *node.literals.entry(segment).or_insert(next),
            Step::Segment => *node.segment.get_or_insert(next),
            Step::Rest => *node.rest.get_or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    /// The other places that some path fits together with `place`.
    pub fn overlapping(&self, place: usize) -> Vec<usize> {
        let mut found = Vec::new();
        if let Some(own) = self.all.get(place) {
            self.walk(0, &own.steps, &mut found);
        }
        found.retain(|other| *other != place);
        found
    }

    fn walk(&self, node: u32, steps: &[Step<'p>], found: &mut Vec<usize>) {
        let Some(node) = self.nodes.get(node as usize) else { return };
        let Some((step, after)) = steps.split_first() else {
            found.extend(node.place.map(|place| place as usize));
            return;
        };
        if let Some(rest) = node.rest {
            self.walk(rest, &[], found);
        }
        match step {
            Step::Literal(segment) => {
                if let Some(child) = node.literals.get(segment) {
                    self.walk(*child, after, found);
                }
                if let Some(child) = node.segment
                    && !segment.is_empty()
                {
                    self.walk(child, after, found);
                }
            }
            Step::Segment => {
                for (_, child) in node.literals.iter().filter(|(segment, _)| !segment.is_empty()) {
                    self.walk(*child, after, found);
                }
                if let Some(child) = node.segment {
                    self.walk(child, after, found);
                }
            }
            Step::Rest => {
                for child in node.literals.values().chain(&node.segment) {
                    // All that is here or further down.
                    self.walk(*child, &[], found);
                    self.walk(*child, steps, found);
                }
            }
        }
    }

    /// Every literal segment and host.
    pub fn literals(&self) -> BTreeSet<&'p str> {
        self.nodes.iter().flat_map(|node| node.literals.keys().copied()).collect()
    }
}

/// Host and pattern as steps. The pattern compiled, so it is well formed.
fn steps(route: &Route) -> Vec<Step<'_>> {
    let host = if route.host == "*" { Step::Segment } else { Step::Literal(&route.host) };
    let path = route.path.strip_prefix('/').unwrap_or(&route.path);
    let segments = path.split('/').map(|segment| match segment.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
        Some(name) if name.ends_with("...") => Step::Rest,
        Some(_) => Step::Segment,
        None => Step::Literal(segment),
    });
    std::iter::once(host).chain(segments).collect()
}

/// The pattern of all paths that fit both patterns, which overlap.
pub fn both<'p>(first: &[Step<'p>], second: &[Step<'p>]) -> Vec<Step<'p>> {
    let mut steps = Vec::with_capacity(first.len().max(second.len()));
    for position in 0.. {
        match (first.get(position), second.get(position)) {
            (Some(Step::Rest), _) => {
                steps.extend(second.iter().skip(position));
                break;
            }
            (_, Some(Step::Rest)) => {
                steps.extend(first.iter().skip(position));
                break;
            }
            (Some(Step::Literal(literal)), _) | (_, Some(Step::Literal(literal))) => steps.push(Step::Literal(literal)),
            (Some(Step::Segment), _) | (_, Some(Step::Segment)) => steps.push(Step::Segment),
            (None, None) => break,
        }
    }
    steps
}

/// Whether every path that fits `part` fits `whole`.
pub fn has_all(whole: &[Step<'_>], part: &[Step<'_>]) -> bool {
    for position in 0.. {
        match (whole.get(position), part.get(position)) {
            (Some(Step::Rest), Some(_)) | (None, None) => return true,
            (Some(Step::Segment), Some(Step::Literal(literal))) if !literal.is_empty() => {}
            (Some(whole), Some(part)) if whole == part => {}
            _ => break,
        }
    }
    false
}

/// What the methods of a route are: none is any but CONNECT and TRACE.
pub fn named_methods(route: &Route) -> Option<&[String]> {
    match &route.methods {
        Methods::Any => None,
        Methods::Only(names) => Some(names),
    }
}
