//! Hosts and path patterns as a tree of nodes, and its edges as a hash table.

use std::collections::BTreeMap;

use super::CompileError;
use super::names::Names;
use super::places;
use super::strings::Strings;
use crate::bounds::{METHODS_EXTENSION_MAX, SEGMENTS_MAX};
use crate::hash::{self, Probe};
use crate::model::{Methods, Policy, Route};
use crate::table::format::{
    EDGES_PER_LINE, Edge, EdgeText, HAS_EDGES, HAS_PATTERNS, Leaf, METHODS, NONE, Node, ROOT, SCOPES,
};
use crate::table::methods;

/// How full the lines of edges are: four to a line with two lines to choose from go up to about 97 %.
const FILL_PERCENT: usize = 85;

pub(super) struct Routing {
    pub seed: u64,
    /// Reference to the root.
    pub root: u32,
    pub unusual_methods: bool,
    pub edges: Vec<Edge>,
    pub nodes: Vec<Node>,
    pub leaves: Vec<Leaf>,
    /// Bytes of the longest segment of an edge.
    pub edge_bytes_max: u32,
}

pub(super) fn build<'p>(
    policy: &'p Policy,
    names: &Names<'_>,
    strings: &mut Strings<'p>,
    digest: &[u8; 32],
) -> Result<Routing, CompileError> {
    let mut tree = Tree { nodes: vec![Branch::default()], methods: BTreeMap::new() };
    for (route, index) in policy.routes.iter().zip(0_u32..) {
        names.origin(&route.origin, &route.name)?;
        let node = tree.walk(route)?;
        let methods = tree.method_bits(route)?;
        tree.end(policy, node, methods, index)?;
    }
    let mut keys: Vec<(u32, &str, u32)> = Vec::new();
    keys.extend(tree.methods.iter().map(|(method, bit)| (METHODS, *method, *bit)));
    keys.extend(policy.scopes.iter().zip(0_u32..).map(|(scope, id)| (SCOPES, scope.name.as_str(), id)));
    for (node, parent) in tree.nodes.iter().zip(0_u32..) {
        keys.extend(node.literals.iter().map(|(segment, child)| (parent, *segment, tree.reference(Some(*child)))));
    }
    let (seed, edges) = edges(&keys, strings, digest)?;
    let edge_bytes_max = keys.iter().map(|(_, segment, _)| segment.len() as u32).max().unwrap_or(0);
    let unusual_methods = !tree.methods.is_empty();
    let root = tree.reference(Some(ROOT));
    let (nodes, leaves) = tree.records();
    Ok(Routing { seed, root, unusual_methods, edges, nodes, leaves, edge_bytes_max })
}

fn edges<'p>(
    keys: &[(u32, &'p str, u32)],
    strings: &mut Strings<'p>,
    digest: &[u8; 32],
) -> Result<(u64, Vec<Edge>), CompileError> {
    let hash_of = |seed: u64, key: usize| {
        keys.get(key).map_or(0, |(parent, segment, _)| hash::edge(seed, *parent, segment.as_bytes()))
    };
    let places = places::search(("edges", 1), digest, (keys.len(), EDGES_PER_LINE, FILL_PERCENT), hash_of)?;
    let empty = Edge { parent: NONE, child: NONE, text: 0 };
    let mut edges = vec![empty; places.keys.len()];
    for (edge, key) in edges.iter_mut().zip(&places.keys) {
        let Some((parent, segment, child)) = keys.get(*key as usize) else { continue };
        let tag = Probe::new(hash_of(places.seed, *key as usize), places.lines).short_tag();
        let long = segment.len() > EdgeText::SHORT_BYTES_MAX;
        let start = if long { strings.intern_in_line(segment)?.0 } else { 0 };
        let text = EdgeText::of(segment.as_bytes(), start, tag).map_or(0, EdgeText::written);
        *edge = Edge { parent: *parent, child: *child, text };
    }
    Ok((places.seed, edges))
}

/// A node while the tree grows. Children are made after their parent, so their numbers are greater.
#[derive(Default)]
struct Branch<'p> {
    literals: BTreeMap<&'p str, u32>,
    segment: Option<u32>,
    rest: Option<u32>,
    leaves: Vec<Leaf>,
}

/// One segment of a pattern.
enum Step<'p> {
    Literal(&'p str),
    Segment,
    Rest,
}

struct Tree<'p> {
    nodes: Vec<Branch<'p>>,
    /// Methods beyond the known ones, with their bit numbers.
    methods: BTreeMap<&'p str, u32>,
}

impl<'p> Tree<'p> {
    /// The node where a route's host and pattern end, grown if it is new.
    fn walk(&mut self, route: &'p Route) -> Result<u32, CompileError> {
        if route.host.is_empty() {
            return Err(CompileError::HostEmpty { route: route.name.clone() });
        }
        let host = if route.host == "*" { Step::Segment } else { Step::Literal(&route.host) };
        let mut node = self.child(ROOT, host);
        for step in pattern(route)? {
            node = self.child(node, step);
        }
        Ok(node)
    }

    fn child(&mut self, parent: u32, step: Step<'p>) -> u32 {
        let new = self.nodes.len() as u32;
        let Some(branch) = self.nodes.get_mut(parent as usize) else { return NONE };
        let child = match step {
            Step::Literal(segment) => *branch.literals.entry(segment).or_insert(new),
            Step::Segment => *branch.segment.get_or_insert(new),
            Step::Rest => *branch.rest.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Branch::default());
        }
        child
    }

    fn method_bits(&mut self, route: &'p Route) -> Result<u64, CompileError> {
        let Methods::Only(names) = &route.methods else { return Ok(methods::ANY) };
        let mut bits = 0;
        for method in names {
            let next = methods::EXTENSION_FIRST + self.methods.len() as u32;
            let bit = match methods::known(method.as_bytes()) {
                Some(bit) => bit,
                None => *self.methods.entry(method).or_insert(next),
            };
            if self.methods.len() > METHODS_EXTENSION_MAX {
                return Err(CompileError::TooManyMethods { route: route.name.clone(), method: method.clone() });
            }
            bits |= 1 << bit;
        }
        if names.is_empty() || names.iter().any(String::is_empty) {
            return Err(CompileError::MethodEmpty { route: route.name.clone() });
        }
        Ok(bits)
    }

    fn end(&mut self, policy: &Policy, node: u32, methods: u64, route: u32) -> Result<(), CompileError> {
        let Some(branch) = self.nodes.get_mut(node as usize) else { return Ok(()) };
        if let Some(other) = branch.leaves.iter().find(|leaf| methods::overlap(leaf.methods, methods)) {
            let name = |index: u32| policy.routes.get(index as usize).map_or_else(String::new, |it| it.name.clone());
            return Err(CompileError::RoutesOverlap { first: name(other.route), second: name(route) });
        }
        branch.leaves.push(Leaf { methods, route, more: NONE });
        Ok(())
    }

    /// What refers to a node: its number with what need not be looked up there.
    fn reference(&self, number: Option<u32>) -> u32 {
        let Some(number) = number else { return NONE };
        let Some(branch) = self.nodes.get(number as usize) else { return NONE };
        let edges = if branch.literals.is_empty() { 0 } else { HAS_EDGES };
        let patterns = if branch.segment.or(branch.rest).is_none() { 0 } else { HAS_PATTERNS };
        number | edges | patterns
    }

    fn records(&self) -> (Vec<Node>, Vec<Leaf>) {
        let record =
            |branch: &Branch<'_>| Node { segment: self.reference(branch.segment), rest: self.reference(branch.rest) };
        let nodes: Vec<Node> = self.nodes.iter().map(record).collect();
        let none = Leaf { methods: 0, route: NONE, more: NONE };
        let (mut first, mut further) = (Vec::with_capacity(nodes.len()), Vec::new());
        for branch in &self.nodes {
            let begin = (nodes.len() + further.len()) as u32;
            let more = if branch.leaves.len() > 1 { begin } else { NONE };
            first.push(Leaf { more, ..branch.leaves.first().copied().unwrap_or(none) });
            let rest = branch.leaves.iter().skip(1);
            let links = (begin + 1..).take(rest.len().saturating_sub(1)).chain([NONE]);
            further.extend(rest.zip(links).map(|(leaf, more)| Leaf { more, ..*leaf }));
        }
        first.append(&mut further);
        (nodes, first)
    }
}

/// The segments of a pattern.
fn pattern(route: &Route) -> Result<Vec<Step<'_>>, CompileError> {
    let wrong = |what| CompileError::Path { route: route.name.clone(), path: route.path.clone(), what };
    let path = route.path.strip_prefix('/').ok_or_else(|| wrong("a `/` is missing at the start"))?;
    let count = path.split('/').count();
    if count > SEGMENTS_MAX {
        return Err(CompileError::PathTooLong { route: route.name.clone(), found: count });
    }
    let mut steps = Vec::with_capacity(count);
    for (segment, number) in path.split('/').zip(1..) {
        let last = number == count;
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        steps.push(match inner.map(|name| (name, name.strip_suffix("..."))) {
            None if segment.contains(['{', '}']) => {
                return Err(wrong("a brace inside a segment; `{name}` must be a whole segment"));
            }
            None if segment.is_empty() && !last => return Err(wrong("an empty segment; remove one `/`")),
            None => Step::Literal(segment),
            Some((_, Some(_))) if !last => return Err(wrong("a `{rest...}` before the end; it must stand last")),
            Some((name, rest)) if !is_name(rest.unwrap_or(name)) => {
                return Err(wrong("a name in braces that is not letters, digits, `_` or `-`"));
            }
            Some((_, Some(_))) => Step::Rest,
            Some((_, None)) => Step::Segment,
        });
    }
    Ok(steps)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
