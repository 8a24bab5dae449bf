//! From host, method and path to the route.

use super::format::{
    Edge, EdgeText, HAS_EDGES, HAS_PATTERNS, NONE, Node, ROOT, Record, Route, Section, node_number, route_flag,
};
use super::scopes::RowRef;
use super::{OriginIndex, RouteId, Table, trace};
use crate::hash::{self, Probe};

/// What a route says about the exchange beside who may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteOptions {
    pub origin: OriginIndex,
    /// `%2F` may stand inside a segment.
    pub encoded_slash: bool,
    /// `;` parameters may stand inside a segment.
    pub path_parameters: bool,
}

/// A route, with what its node says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    pub route: RouteId,
    pub options: RouteOptions,
    pub scopes: RowRef,
}

impl<B: AsRef<[u8]>> Table<B> {
    /// The most specific route that admits the request.
    ///
    /// `host` is normal (lower-case, no port), `path` is normal and begins with `/`. An exact host goes before `*`;
    /// at each segment an exact one goes before `{segment}`, and that before `{rest...}`. A pattern that fits but
    /// does not admit the method is passed over.
    pub fn route(&self, host: &[u8], method: &[u8], path: &[u8]) -> Option<RouteId> {
        self.routed(host, method, path).map(|routed| routed.route)
    }

    /// The same, with what a decision needs of the route.
    pub(crate) fn routed(&self, host: &[u8], method: &[u8], path: &[u8]) -> Option<Routed> {
        let methods = self.method_bits(method)?;
        let path = path.strip_prefix(b"/")?;
        let root = self.head.root;
        let mut steps_left = self.head.route_steps;
        if root & HAS_EDGES != 0
            && let Some(node) = self.edge(ROOT, host)
            && let Some(routed) = self.descend(node, Some(path), methods, &mut steps_left)
        {
            return Some(routed);
        }
        if root & HAS_PATTERNS == 0 {
            return None;
        }
        let any_host = self.record::<Node>(Section::Nodes, ROOT)?.segment;
        self.descend(any_host, Some(path), methods, &mut steps_left)
    }

    /// What the route asks of the exchange; none for a route that the table does not know.
    pub fn route_options(&self, route: RouteId) -> Option<RouteOptions> {
        let route = self.record::<Route>(Section::Routes, route.0)?;
        Some(RouteOptions::of(route.origin, route.flags))
    }

    /// Where the scopes of a route stand; none for a route that the table does not know.
    pub(crate) fn route_scopes(&self, route: RouteId) -> Option<RowRef> {
        let route = self.record::<Route>(Section::Routes, route.0)?;
        Some(RowRef { start: route.scopes, count: route.scopes_count })
    }

    /// Matches what is left of the path (none: nothing, not even an empty segment) below a node.
    ///
    /// Nodes form a tree at most `SEGMENTS_MAX` + 1 deep (checked at load), so the recursion is bounded and each node
    /// is visited at most once. `steps_left` starts at what the certificate says and never runs out, unless the image
    /// changed since it was loaded: then the walk still ends.
    fn descend(&self, reference: u32, path: Option<&[u8]>, methods: u64, steps_left: &mut u32) -> Option<Routed> {
        *steps_left = steps_left.checked_sub(1)?;
        trace::visit();
        let number = node_number(reference);
        let Some(path) = path else {
            return self.leaf(number, methods);
        };
        let (segment, rest) = split_segment(path);
        if reference & HAS_EDGES != 0
            && let Some(child) = self.edge(number, segment)
            && let Some(route) = self.descend(child, rest, methods, steps_left)
        {
            return Some(route);
        }
        if reference & HAS_PATTERNS == 0 {
            return None;
        }
        let node = self.record::<Node>(Section::Nodes, number)?;
        if node.segment != NONE
            && !segment.is_empty()
            && let Some(route) = self.descend(node.segment, rest, methods, steps_left)
        {
            return Some(route);
        }
        if node.rest == NONE { None } else { self.leaf(node_number(node.rest), methods) }
    }

    /// The route that ends at a node and admits one of `methods`. Those of one node admit no method in common.
    fn leaf(&self, node: u32, methods: u64) -> Option<Routed> {
        let mut end = self.record::<Node>(Section::Nodes, node)?;
        let mut lowest = 0;
        loop {
            trace::comparisons(1);
            if end.methods & methods != 0 {
                return Some(Routed::of(&end));
            }
            // Checked at load, and again here for an image that changed since: the walk goes up and so ends.
            if end.more < lowest || end.more == NONE {
                return None;
            }
            lowest = end.more + 1;
            end = self.record::<Node>(Section::Leaves, end.more)?;
        }
    }

    /// Where the edge from `parent` by exactly `segment` leads.
    pub(crate) fn edge(&self, parent: u32, segment: &[u8]) -> Option<u32> {
        let lines = self.lines(Section::Edges);
        // A longer segment is on no edge: it is not even hashed, however many nodes ask for it.
        if lines == 0 || segment.len() > self.head.edge_bytes_max as usize {
            return None;
        }
        trace::probe(segment.len());
        let probe = Probe::new(hash::edge(self.head.edge_seed, parent, segment), lines);
        let wanted = EdgeText::of(segment, 0, probe.short_tag())?;
        let short = matches!(wanted, EdgeText::Short(_));
        let wanted = wanted.written();
        probe.lines().find_map(|line| {
            let (places, _) = self.line(Section::Edges, line)?.as_chunks::<{ Edge::BYTES }>();
            trace::comparisons(places.len());
            let edges = places.iter().filter_map(|place| Edge::read(place));
            let mut edges = edges.filter(|edge| edge.parent == parent);
            let found = if short {
                edges.find(|edge| edge.text == wanted)
            } else {
                edges.find(|edge| edge.text >> 32 == wanted >> 32 && self.edge_string(*edge) == Some(segment))
            };
            if let Some(edge) = found {
                trace::edge(edge);
            }
            found.map(|edge| edge.child)
        })
    }

    /// The segment of an edge whose segment is interned.
    pub(crate) fn edge_string(&self, edge: Edge) -> Option<&[u8]> {
        match EdgeText::read(edge.text) {
            EdgeText::Long { start, length, .. } => self.string(start, length),
            EdgeText::Short(_) => None,
        }
    }
}

impl RouteOptions {
    fn of(origin: u16, flags: u16) -> Self {
        Self {
            origin: OriginIndex(origin),
            encoded_slash: flags & route_flag::ENCODED_SLASH != 0,
            path_parameters: flags & route_flag::PATH_PARAMETERS != 0,
        }
    }
}

impl Routed {
    fn of(end: &Node) -> Self {
        Self {
            route: RouteId(u32::from(end.route)),
            options: RouteOptions::of(end.origin, end.flags),
            scopes: RowRef { start: end.scopes, count: end.scopes_count },
        }
    }
}

/// The first segment, and what follows its slash if there is one.
fn split_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'/').and_then(|slash| path.split_at_checked(slash)) {
        Some((segment, rest)) => (segment, rest.strip_prefix(b"/")),
        None => (path, None),
    }
}
