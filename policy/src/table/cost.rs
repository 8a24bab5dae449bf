//! What a decision costs at most: computed by the compiler, stored in the header, computed again at load.
//!
//! The size of a policy does not matter to it, only its shape: how long patterns are and whether literals and
//! `{segment}`s stand side by side, how many proofs a caller may show, and, above 512 scopes, how many an agent has.
//!
//! A line is a cache line of the image; one that is touched twice counts twice, both lines of every probe count. A step is a record looked at: a node, a probe, a row word or entry. A
//! hash tag that fits by chance costs one line more and is not counted.

use super::format::{
    Agent, Edge, EdgeText, LINE_BYTES, Leaf, METHODS, NONE, Node, Proof, Record, Route, Section, node_number,
    proof_kind, shape,
};
use super::{LimitIndex, Table};
use crate::bounds::{CERTIFICATE_NAMES_MAX, SCOPES_IN_BITMAP_MAX, SCOPES_MAX};

/// Upper bound of one part of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub steps: u32,
    /// Cache lines of the image.
    pub lines: u32,
}

impl Cost {
    const NOTHING: Self = Self { steps: 0, lines: 0 };
    /// A key in a hash table: two lines.
    const PROBE: Self = Self { steps: 1, lines: 2 };
    /// A record at a known index.
    const RECORD: Self = Self { steps: 1, lines: 1 };

    fn and(self, other: Self) -> Self {
        Self { steps: self.steps.saturating_add(other.steps), lines: self.lines.saturating_add(other.lines) }
    }

    fn times(self, count: u32) -> Self {
        Self { steps: self.steps.saturating_mul(count), lines: self.lines.saturating_mul(count) }
    }

    /// At least both; an upper bound of whichever is taken.
    fn or(self, other: Self) -> Self {
        Self { steps: self.steps.max(other.steps), lines: self.lines.max(other.lines) }
    }

    /// So many records of `bytes` (a divisor of a line) one after the other, wherever they begin.
    fn records(count: u16, bytes: usize) -> Self {
        let steps = u32::from(count);
        let end = usize::from(count) * bytes + LINE_BYTES - bytes;
        Self { steps, lines: if count == 0 { 0 } else { end.div_ceil(LINE_BYTES) as u32 } }
    }
}

/// Upper bounds of the parts of a decision, whatever the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostCertificate {
    /// From proofs to the caller.
    pub caller: Cost,
    /// From host, method and path to the route.
    pub route: Cost,
    /// From caller, route and token scopes to the grant, and the agent's limits.
    pub grant: Cost,
}

impl CostCertificate {
    /// The whole decision.
    pub fn total(&self) -> Cost {
        self.caller.and(self.route).and(self.grant)
    }
}

/// The certificate of a table whose nodes form a tree with greater numbers further down.
pub(crate) fn certificate<B: AsRef<[u8]>>(table: &Table<B>) -> CostCertificate {
    CostCertificate { caller: caller(table), route: route(table), grant: grant(table) }
}

fn caller<B: AsRef<[u8]>>(table: &Table<B>) -> Cost {
    let (mut certificates, mut tokens, mut api_keys) = (0, 0, 0);
    for index in 0..table.count::<Proof>(Section::Proofs) {
        match table.record::<Proof>(Section::Proofs, index).map_or(proof_kind::API_KEY, |proof| proof.kind) {
            proof_kind::API_KEY => api_keys = 1,
            proof_kind::TOKEN | proof_kind::POPULATION => tokens = 1,
            _ => certificates = CERTIFICATE_NAMES_MAX as u32,
        }
    }
    let shapes = table.shapes();
    let looks = |shape: u32, count: u32| if shapes & shape == 0 { 0 } else { count };
    let proofs = certificates + tokens + api_keys;
    let combinations = looks(shape::CERTIFICATE_TOKEN, certificates)
        + looks(shape::CERTIFICATE_KEY, certificates)
        + looks(shape::TOKEN_KEY, 1)
        + looks(shape::ALL_THREE, certificates)
        + looks(shape::SHARED, proofs);
    Cost::RECORD.times(proofs).and(Cost::PROBE.and(Cost::RECORD).times(combinations))
}

fn grant<B: AsRef<[u8]>>(table: &Table<B>) -> Cost {
    let longest_agent = (0..table.agent_count())
        .filter_map(|index| table.record::<Agent>(Section::Agents, index))
        .map(|agent| (agent.scopes_count, agent.limits_count));
    let longest_route = (0..table.route_count())
        .filter_map(|index| table.record::<Route>(Section::Routes, index))
        .map(|route| route.scopes_count)
        .max()
        .unwrap_or(0);
    let (agent_scopes, limits) =
        longest_agent.fold((0, 0), |longest, (scopes, limits)| (longest.0.max(scopes), longest.1.max(limits)));
    let rows = if table.scopes_are_bitmaps() {
        Cost { steps: SCOPES_IN_BITMAP_MAX as u32 / 64, lines: 2 }
    } else {
        let (shorter, longer) = (agent_scopes.min(longest_route), agent_scopes.max(longest_route));
        let halvings = u32::from(longer).checked_ilog2().map_or(0, |halvings| halvings + 1);
        let token = SCOPES_MAX.ilog2() + 1;
        Cost {
            steps: u32::from(shorter).saturating_mul(halvings + token),
            lines: Cost::records(shorter, 2).lines + Cost::records(longer, 2).lines,
        }
    };
    // The caller's agent and, where that grants nothing, the anonymous one.
    let agents = 1 + u32::from(table.anonymous().is_some());
    Cost::RECORD.and(Cost::RECORD.and(rows).times(agents)).and(Cost::RECORD.times(limits))
}

fn route<B: AsRef<[u8]>>(table: &Table<B>) -> Cost {
    let count = table.count::<Node>(Section::Nodes) as usize;
    // For each node: the parent that has an edge to it, and what comparing that edge's segment costs.
    let mut incoming = vec![(NONE, Cost::NOTHING); count];
    let mut method = Cost::NOTHING;
    for edge in table.edges() {
        let string = match EdgeText::read(edge.text) {
            EdgeText::Short(_) => Cost::NOTHING,
            EdgeText::Long { start, length, .. } => Cost { steps: 0, lines: lines_between(start, u32::from(length)) },
        };
        if edge.parent == METHODS {
            method = method.or(Cost::PROBE.and(string));
        } else if (edge.parent as usize) < count
            && let Some(place) = incoming.get_mut(node_number(edge.child) as usize)
        {
            *place = (edge.parent, string);
        }
    }
    // The greatest cost of a walk from each node, and by any edge of it.
    let (mut whole, mut by_edge) = (vec![Cost::NOTHING; count], vec![Cost::NOTHING; count]);
    for index in (0..count).rev() {
        let Some(node) = table.record::<Node>(Section::Nodes, index as u32) else { continue };
        let of = |child: u32| match whole.get(node_number(child) as usize) {
            Some(cost) if child != NONE => *cost,
            _ => Cost::NOTHING,
        };
        let leaves_bytes = Leaf::BYTES as u32;
        let (first, bytes) = (node.leaves.saturating_mul(leaves_bytes), node.leaves_count.saturating_mul(leaves_bytes));
        let end = Cost::RECORD.and(Cost { steps: node.leaves_count, lines: lines_between(first, bytes) });
        let edges = by_edge.get(index).copied().unwrap_or_default();
        let patterns = if node.segment == NONE && node.rest == NONE { Cost::NOTHING } else { Cost::RECORD };
        let on = edges.and(patterns).and(of(node.segment)).and(of(node.rest));
        // One step for the visit itself, whether or not the record is read.
        let cost = Cost { steps: 1, lines: 0 }.and(end.or(on));
        let (parent, string) = incoming.get(index).copied().unwrap_or_default();
        if let Some(best) = by_edge.get_mut(parent as usize) {
            *best = best.or(Cost::PROBE.and(string).and(cost));
        }
        if let Some(place) = whole.get_mut(index) {
            *place = cost;
        }
    }
    whole.first().copied().unwrap_or_default().and(method)
}

/// Lines that `bytes` bytes from `start` on touch.
fn lines_between(start: u32, bytes: u32) -> u32 {
    let line = LINE_BYTES as u64;
    let end = u64::from(start) + u64::from(bytes);
    (end.div_ceil(line) - u64::from(start) / line) as u32
}

impl<B: AsRef<[u8]>> Table<B> {
    /// Every edge that stands in the table.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge> {
        let places = self.section(Section::Edges).chunks_exact(Edge::BYTES);
        places.filter_map(Edge::read).filter(|edge| edge.child != NONE)
    }

    /// Every limit index, in order.
    pub fn limit_indices(&self) -> impl Iterator<Item = LimitIndex> + use<B> {
        (0..self.limit_count()).map(LimitIndex)
    }
}
