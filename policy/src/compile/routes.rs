//! Hosts and path patterns as a tree of nodes, and its edges as a hash table.

use std::collections::BTreeMap;

use super::CompileError;
use super::names::Names;
use super::places;
use super::strings::Strings;
use crate::bounds::{METHODS_EXTENSION_MAX, ROUTES_MAX, SEGMENTS_MAX};
use crate::hash::{self, Probe};
use crate::model::{Methods, Policy, Route};
use crate::table::format::{
    EDGES_PER_LINE, Edge, EdgeText, HAS_EDGES, HAS_PATTERNS, METHODS, NONE, Node, ROOT, Route as Record, SCOPES,
};
use crate::table::methods;

// A node has room for the number of any route.
const _: () = assert!(ROUTES_MAX <= 1 << u16::BITS);

/// How full the lines of edges are: so that few stand in the second of their two lines, which is then one line more to wait
/// for. There are few edges beside what there is of agents.
const FILL_PERCENT: usize = 50;

pub(super) struct Routing<'p> {
    pub seed: u64,
    /// Reference to the root.
    pub root: u32,
    pub unusual_methods: bool,
    pub edges: Vec<Edge>,
    tree: Tree<'p>,
    /// Bytes of the longest segment of an edge.
    pub edge_bytes_max: u32,
}

pub(super) fn build<'p>(
    policy: &'p Policy,
    names: &Names<'_>,
    strings: &mut Strings<'p>,
    digest: &[u8; 32],
) -> Result<Routing<'p>, CompileError> {
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
    Ok(Routing { seed, root, unusual_methods, edges, tree, edge_bytes_max })
}

impl Routing<'_> {
    /// The nodes, and the leaves beyond the first of each; `routes` are the policy's, in its order.
    pub fn nodes(&self, routes: &[Record]) -> (Vec<Node>, Vec<Node>) {
        let (mut nodes, mut leaves) = (Vec::with_capacity(self.tree.nodes.len()), Vec::new());
        for branch in &self.tree.nodes {
            let (segment, rest) = (self.tree.reference(branch.segment), self.tree.reference(branch.rest));
            let begin = leaves.len() as u32;
            let (first, further) = branch
                .ends
                .split_first()
                .map_or((None, branch.ends.as_slice()), |(first, further)| (Some(first), further));
            let more = if further.is_empty() { NONE } else { begin };
            let none = Node { segment, rest, more, ..Node::default() };
            nodes.push(first.map_or(none, |end| end.at(routes, none)));
            let links = (begin + 1..).take(further.len().saturating_sub(1)).chain([NONE]);
            let leaf = |more| Node { segment: NONE, rest: NONE, more, ..Node::default() };
            leaves.extend(further.iter().zip(links).map(|(end, more)| end.at(routes, leaf(more))));
        }
        (nodes, leaves)
    }
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
    ends: Vec<End>,
}

/// A route that ends at a node.
#[derive(Clone, Copy)]
struct End {
    methods: u64,
    route: u32,
}

impl End {
    /// A node with this route at its end.
    fn at(&self, routes: &[Record], node: Node) -> Node {
        let record = routes.get(self.route as usize).copied().unwrap_or_default();
        let Record { scopes, scopes_count, origin, flags, .. } = record;
        Node { methods: self.methods, route: self.route as u16, scopes, scopes_count, origin, flags, ..node }
    }
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
        if let Some(other) = branch.ends.iter().find(|end| methods::overlap(end.methods, methods)) {
            let name = |index: u32| policy.routes.get(index as usize).map_or_else(String::new, |it| it.name.clone());
            return Err(CompileError::RoutesOverlap { first: name(other.route), second: name(route) });
        }
        branch.ends.push(End { methods, route });
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
