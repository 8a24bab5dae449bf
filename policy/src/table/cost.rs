//! What a decision costs at most: computed by the compiler, stored in the header, computed again at load.
//!
//! The size of a policy does not matter to it, only its shape: how long patterns are and whether literals and
//! `{segment}`s stand side by side, how many proofs a caller may show, how many limits an agent has, and, above 512
//! scopes, how many scopes. It depends on neither the digest nor the hash seeds.
//!
//! It bounds a decision from proofs to the numbers of the limits. What comes before (from the text of a credential to
//! its proof and whom it proves) happens once for a token or connection; the counters themselves are one line more for each agent. A hash
//! tag that fits by chance (1 in 256 for a neighbour of the same length) costs one line more and is not counted.

use serde::{Deserialize, Serialize};

use super::format::{
    Agent, EDGES_PER_LINE, Edge, EdgeText, Head, LINE_BYTES, METHODS, NONE, Node, Proof, Record, Route, SLOTS_PER_LINE,
    Section, node_number, proof_kind, shape,
};
use super::{LimitIndex, Table};
use crate::bounds::{CERTIFICATE_NAMES_MAX, SCOPES_IN_BITMAP_MAX, SCOPES_MAX};

/// Upper bound of one part of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Things looked at: visits of nodes, records, probes, words or entries of rows.
    pub steps: u32,
    /// Different cache lines of the image; both of every probe count.
    pub lines: u32,
    /// Keys that are hashed and looked for.
    pub probes: u32,
    /// Stored values compared with what is looked for.
    pub comparisons: u32,
    /// Bytes of the keys that are hashed.
    pub hashed_bytes: u32,
}

/// Places that both lines of a probe have.
const fn both(per_line: usize) -> u32 {
    2 * per_line as u32
}

impl Cost {
    const NOTHING: Self = Self { steps: 0, lines: 0, probes: 0, comparisons: 0, hashed_bytes: 0 };
    /// A combination of three proofs in the identity table.
    const COMBINATION: Self =
        Self { steps: 1, lines: 2, probes: 1, comparisons: both(SLOTS_PER_LINE), hashed_bytes: 12 };
    /// A record at a known index.
    const RECORD: Self = Self { steps: 1, lines: 1, ..Self::NOTHING };
    /// A record whose line was counted already.
    const AGAIN: Self = Self { steps: 1, ..Self::NOTHING };
    /// A leaf, compared with the method.
    const LEAF: Self = Self { comparisons: 1, ..Self::RECORD };

    /// A segment in the table of edges.
    const fn edge(hashed_bytes: u32) -> Self {
        Self { steps: 1, lines: 2, probes: 1, comparisons: both(EDGES_PER_LINE), hashed_bytes }
    }

    const fn of_lines(lines: u32) -> Self {
        Self { lines, ..Self::NOTHING }
    }

    /// So many words of rows, compared.
    const fn words(count: u32) -> Self {
        Self { steps: count, comparisons: count, ..Self::NOTHING }
    }

    fn zip(self, other: Self, of: impl Fn(u32, u32) -> u32) -> Self {
        Self {
            steps: of(self.steps, other.steps),
            lines: of(self.lines, other.lines),
            probes: of(self.probes, other.probes),
            comparisons: of(self.comparisons, other.comparisons),
            hashed_bytes: of(self.hashed_bytes, other.hashed_bytes),
        }
    }

    fn and(self, other: Self) -> Self {
        self.zip(other, u32::saturating_add)
    }

    fn times(self, count: u32) -> Self {
        self.zip(Self::NOTHING, |one, _| one.saturating_mul(count))
    }

    /// At least both; an upper bound of whichever is taken.
    fn or(self, other: Self) -> Self {
        self.zip(other, u32::max)
    }

    /// Whether nothing of it is more than in `bound`.
    pub fn is_within(&self, bound: &Self) -> bool {
        self.or(*bound) == *bound
    }
}

/// Lines of so many records of `bytes` (a divisor of a line) one after the other, wherever they begin.
fn lines_of(count: u32, bytes: usize) -> u32 {
    let end = count as usize * bytes + LINE_BYTES - bytes;
    if count == 0 { 0 } else { end.div_ceil(LINE_BYTES) as u32 }
}

/// Upper bounds of the parts of a decision, whatever the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostCertificate {
    /// From proofs to the caller.
    pub caller: Cost,
    /// From host, method and path to the route.
    pub route: Cost,
    /// From caller, route and token scopes to the grant, and the numbers of the agent's limits.
    pub grant: Cost,
    /// Limits that are charged.
    pub limits: u32,
}

impl CostCertificate {
    /// The whole decision, about a request with every proof that there may be.
    pub fn total(&self) -> Cost {
        self.caller.and(self.route).and(self.grant)
    }

    /// The whole decision about a request with one proof, as most have: whom it proves is known with it.
    pub fn one_proof(&self) -> Cost {
        self.route.and(self.grant)
    }

    /// Puts it into the header of an image.
    pub(crate) fn write(&self, head: &mut Head) {
        let Self { caller, route, grant, limits } = *self;
        (head.caller_steps, head.caller_lines, head.caller_probes) = (caller.steps, caller.lines, caller.probes);
        (head.caller_comparisons, head.caller_hashed_bytes) = (caller.comparisons, caller.hashed_bytes);
        (head.route_steps, head.route_lines, head.route_probes) = (route.steps, route.lines, route.probes);
        (head.route_comparisons, head.route_hashed_bytes) = (route.comparisons, route.hashed_bytes);
        (head.grant_steps, head.grant_lines, head.grant_probes) = (grant.steps, grant.lines, grant.probes);
        (head.grant_comparisons, head.grant_hashed_bytes) = (grant.comparisons, grant.hashed_bytes);
        head.limits_checked = limits;
    }

    /// What the header of an image says.
    pub(crate) fn read(head: &Head) -> Self {
        let cost =
            |steps, lines, probes, comparisons, hashed_bytes| Cost { steps, lines, probes, comparisons, hashed_bytes };
        Self {
            caller: cost(
                head.caller_steps,
                head.caller_lines,
                head.caller_probes,
                head.caller_comparisons,
                head.caller_hashed_bytes,
            ),
            route: cost(
                head.route_steps,
                head.route_lines,
                head.route_probes,
                head.route_comparisons,
                head.route_hashed_bytes,
            ),
            grant: cost(
                head.grant_steps,
                head.grant_lines,
                head.grant_probes,
                head.grant_comparisons,
                head.grant_hashed_bytes,
            ),
            limits: head.limits_checked,
        }
    }
}

/// The certificate of a table whose nodes form a tree with greater numbers further down.
pub(crate) fn certificate<B: AsRef<[u8]>>(table: &Table<B>) -> CostCertificate {
    let (grant, limits) = grant(table);
    CostCertificate { caller: caller(table), route: route(table), grant, limits }
}

fn caller<B: AsRef<[u8]>>(table: &Table<B>) -> Cost {
    let (mut certificates, mut tokens, mut api_keys) = (0, 0, 0);
    for index in 0..table.count::<Proof>(Section::Proofs) {
        match table.record::<Proof>(Section::Proofs, index).map_or(proof_kind::API_KEY, |proof| proof.kind) {
            proof_kind::API_KEY => api_keys = 1,
            proof_kind::TOKEN | proof_kind::POPULATION => tokens = 1,
            _ => certificates = (certificates + 1).min(CERTIFICATE_NAMES_MAX as u32),
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
    Cost::COMBINATION.and(Cost::RECORD).times(combinations)
}

fn grant<B: AsRef<[u8]>>(table: &Table<B>) -> (Cost, u32) {
    let agents = (0..table.agent_count()).filter_map(|index| table.record::<Agent>(Section::Agents, index));
    let longest = |(scopes, limits): (u32, u32), agent: Agent| {
        (scopes.max(u32::from(agent.scopes_count)), limits.max(agent.limits_count))
    };
    let (agent_scopes, limits) = agents.fold((0, 0), longest);
    let routes = (0..table.route_count()).filter_map(|index| table.record::<Route>(Section::Routes, index));
    let route_scopes = routes.map(|route| u32::from(route.scopes_count)).max().unwrap_or(0);
    // The row of the route, once, and for each agent that is asked its row and what comparing the two takes.
    let (route_row, agent_row) = if table.scopes_are_bitmaps() {
        (1, Cost::words(SCOPES_IN_BITMAP_MAX as u32 / 64).and(Cost::of_lines(1)))
    } else {
        let (shorter, longer) = (agent_scopes.min(route_scopes), agent_scopes.max(route_scopes));
        let words = shorter.saturating_mul(searched(longer) + searched(SCOPES_MAX as u32));
        (lines_of(route_scopes, 2), Cost::words(words).and(Cost::of_lines(lines_of(agent_scopes, 2))))
    };
    // The caller's agent and, where that grants nothing, the anonymous one.
    let agents = 1 + u32::from(table.anonymous().is_some());
    let outside = limits.saturating_sub(Agent::LIMITS_INSIDE as u32);
    let limit_lines = Cost { steps: outside, lines: lines_of(outside, super::format::Limit::BYTES), ..Cost::NOTHING };
    // The route's row is known from its node; the agent is read for its row and again for its limits.
    (Cost::of_lines(route_row).and(Cost::RECORD.and(agent_row).times(agents)).and(Cost::AGAIN).and(limit_lines), limits)
}

/// Comparisons of a binary search among so many.
fn searched(count: u32) -> u32 {
    if count == 0 { 0 } else { 1 + (u32::BITS - (count - 1).leading_zeros()) }
}

fn route<B: AsRef<[u8]>>(table: &Table<B>) -> Cost {
    let count = table.count::<Node>(Section::Nodes) as usize;
    // For each node: the parent that has an edge to it, and what comparing that edge's segment costs.
    let mut incoming = vec![(NONE, Cost::NOTHING); count];
    let mut method = Cost::NOTHING;
    let probe = Cost::edge(table.edge_bytes_max());
    let ends = ends(table);
    for edge in table.edges() {
        let string = match EdgeText::read(edge.text) {
            EdgeText::Short(_) => Cost::NOTHING,
            EdgeText::Long { start, length, .. } => Cost::of_lines(lines_between(start, u32::from(length))),
        };
        if edge.parent == METHODS {
            method = method.or(probe.and(string));
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
        let end = Cost::LEAF.and(ends.get(node.more as usize).copied().unwrap_or_default());
        let edges = by_edge.get(index).copied().unwrap_or_default();
        let patterns = if node.segment == NONE && node.rest == NONE { Cost::NOTHING } else { Cost::RECORD };
        let on = edges.and(patterns).and(of(node.segment)).and(of(node.rest));
        // One step for the visit itself, whether or not the record is read.
        let cost = Cost::AGAIN.and(end.or(on));
        let (parent, string) = incoming.get(index).copied().unwrap_or_default();
        if let Some(best) = by_edge.get_mut(parent as usize) {
            *best = best.or(probe.and(string).and(cost));
        }
        if let Some(place) = whole.get_mut(index) {
            *place = cost;
        }
    }
    whole.first().copied().unwrap_or_default().and(method)
}

/// What going through the leaves from each one on costs.
fn ends<B: AsRef<[u8]>>(table: &Table<B>) -> Vec<Cost> {
    let count = table.count::<Node>(Section::Leaves);
    let mut ends = vec![Cost::NOTHING; count as usize];
    for index in (0..count).rev() {
        let more = table.record::<Node>(Section::Leaves, index).map_or(NONE, |leaf| leaf.more);
        let further = ends.get(more as usize).copied().unwrap_or_default();
        if let Some(end) = ends.get_mut(index as usize) {
            *end = Cost::LEAF.and(further);
        }
    }
    ends
}

/// Lines that `bytes` bytes from `start` on touch.
fn lines_between(start: u32, bytes: u32) -> u32 {
    let line = LINE_BYTES as u64;
    let end = u64::from(start) + u64::from(bytes);
    (end.div_ceil(line) - u64::from(start) / line) as u32
}

impl<B: AsRef<[u8]>> Table<B> {
    /// Bytes of the longest segment that stands on an edge.
    fn edge_bytes_max(&self) -> u32 {
        self.head.edge_bytes_max
    }

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

#[cfg(test)]
mod tests;
