//! The checks of `Table::load`: after them every offset leads inside its section and every walk ends.

use thiserror::Error;

use super::format::{
    Agent, BELONGS, Combination, DIGEST_AT, DIRECTORY_AT, EdgeText, FORMAT_VERSION, HAS_EDGES, HAS_PATTERNS,
    HEADER_BYTES, Head, LINE_BYTES, Limit, MAGIC, METHODS, NONE, Name, Node, Proof, Record, Route, SCOPES, Section,
    Slot, node_number, proof_kind, shape,
};
use super::methods::EXTENSION_FIRST;
use super::scopes::RowRef;
use super::{LimitIndex, Span, Table, cost};
use crate::bounds::{LIMITS_PER_AGENT_MAX, ROUTE_STEPS_MAX, SCOPES_MAX, SEGMENTS_MAX};

/// Why an image is no table. Whoever made or carried it is at fault; trying again with the same bytes cannot help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    #[error("the table has {found} bytes, fewer than its header of {HEADER_BYTES}; fetch or compile it again")]
    TooShort { found: usize },
    #[error("the table does not begin as a table does; pass the bytes that the compiler made")]
    NotATable,
    #[error("the table has format {found}, expected {FORMAT_VERSION}; compile the release with this version")]
    Format { found: u32 },
    #[error("the table has {found} bytes, its header says {expected}; fetch or compile it again")]
    Length { expected: u32, found: usize },
    #[error("the table's header is wrong: {what}; fetch or compile it again")]
    Header { what: &'static str },
    #[error("section {section:?} of the table is not where its directory may put it; fetch or compile it again")]
    Directory { section: Section },
    #[error("record {index} of section {section:?} of the table is wrong: {what}; fetch or compile it again")]
    Record { section: Section, index: u32, what: &'static str },
}

impl<B: AsRef<[u8]>> Table<B> {
    /// Reads the header and the directory.
    pub(crate) fn open(image: B) -> Result<Self, TableError> {
        let bytes = image.as_ref();
        let found = bytes.len();
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(TableError::TooShort { found })?;
        let head = Head::read(header).filter(|head| head.magic == MAGIC).ok_or(TableError::NotATable)?;
        if head.format != FORMAT_VERSION {
            return Err(TableError::Format { found: head.format });
        }
        if head.length as usize != found {
            return Err(TableError::Length { expected: head.length, found });
        }
        let digest = header.get(DIGEST_AT..).and_then(|rest| rest.first_chunk::<32>()).copied().unwrap_or_default();
        let mut sections = [Span::default(); Section::COUNT];
        let (entries, _) = header.get(DIRECTORY_AT..).unwrap_or_default().as_chunks::<8>();
        let mut free = HEADER_BYTES;
        for ((section, span), entry) in Section::ALL.into_iter().zip(&mut sections).zip(entries) {
            let entry = u64::from_le_bytes(*entry);
            let (start, length) = (entry as u32 as usize, (entry >> 32) as usize);
            let end = start.checked_add(length).filter(|end| *end <= found);
            let whole = length.is_multiple_of(section.unit_bytes());
            match end {
                Some(end) if start == free && whole => *span = Span { start, end },
                _ => return Err(TableError::Directory { section }),
            }
            free = span.end.next_multiple_of(LINE_BYTES);
        }
        if free != found {
            return Err(TableError::Length { expected: free as u32, found });
        }
        Ok(Self { head, digest, sections, image })
    }
}

/// Checks every record and, last, the cost certificate.
pub(crate) fn check<B: AsRef<[u8]>>(table: &Table<B>) -> Result<(), TableError> {
    header(table)?;
    edges(table)?;
    tree(table)?;
    each(table, Section::Routes, |route: Route| {
        name(table, route.name, route.name_length)?;
        fault(u32::from(route.origin) >= table.origin_count(), "its origin does not exist")?;
        row(table, RowRef { start: route.scopes, count: route.scopes_count })
    })?;
    ends(table)?;
    identities(table)?;
    agents(table)?;
    each(table, Section::Limits, |limit: Limit| {
        name(table, limit.name, limit.name_length)?;
        fault(limit.interval == 0 || limit.count == 0, "it has a zero number")
    })?;
    for index in table.limit_indices() {
        let LimitIndex(number) = index;
        let known = table.limit(index).map(|_| ()).ok_or("it is of no known kind");
        known.map_err(|what| TableError::Record { section: Section::Limits, index: number, what })?;
    }
    for section in [Section::Scopes, Section::Origins] {
        each(table, section, |entry: Name| name(table, entry.name, entry.name_length))?;
    }
    let certificate = cost::certificate(table);
    header_fault(certificate != table.certificate(), "its cost certificate does not fit its content")?;
    header_fault(certificate.route.steps > ROUTE_STEPS_MAX, "its routes take too many steps")
}

fn header<B: AsRef<[u8]>>(table: &Table<B>) -> Result<(), TableError> {
    let head = &table.head;
    header_fault(
        head.anonymous != NONE && head.anonymous >= table.agent_count(),
        "its anonymous agent does not exist",
    )?;
    header_fault(head.shapes & !shape::KNOWN != 0, "it has unknown shapes of proofs")?;
    header_fault(head.api_keys > table.count::<Proof>(Section::Proofs), "it has more API keys than proofs")?;
    header_fault(table.scope_count() as usize > SCOPES_MAX, "it has too many scopes")?;
    header_fault(table.count::<Node>(Section::Nodes) == 0, "it has no first node")?;
    let bitmaps = table.scopes_are_bitmaps();
    let whole = !bitmaps || table.section(Section::ScopeRows).len().is_multiple_of(LINE_BYTES);
    header_fault(!whole, "its rows of scopes are no bitmaps")?;
    let longest = table.edges().map(|edge| EdgeText::read(edge.text).length()).max().unwrap_or(0);
    header_fault(head.edge_bytes_max != longest, "its longest segment is another one")
}

fn edges<B: AsRef<[u8]>>(table: &Table<B>) -> Result<(), TableError> {
    let nodes = table.count::<Node>(Section::Nodes);
    each(table, Section::Edges, |edge: super::format::Edge| {
        if edge.child == NONE {
            return Ok(());
        }
        let long = matches!(EdgeText::read(edge.text), EdgeText::Long { .. });
        fault(long && table.edge_string(edge).is_none(), "its string lies outside")?;
        let leads_outside = match edge.parent {
            METHODS => edge.child < EXTENSION_FIRST || edge.child > 62,
            SCOPES => edge.child >= table.scope_count(),
            parent => parent >= node_number(edge.child) || node_number(edge.child) >= nodes,
        };
        fault(leads_outside, "it does not lead down the tree")
    })
}

/// Each node but the first has exactly one parent, with a smaller number; stands no deeper than a pattern goes; and is
/// what the reference to it says.
fn tree<B: AsRef<[u8]>>(table: &Table<B>) -> Result<(), TableError> {
    let count = table.count::<Node>(Section::Nodes);
    let mut places = vec![Place::default(); count as usize];
    if let Some(root) = places.first_mut() {
        (root.reference, root.parent) = (Some(table.head.root), NONE);
    }
    for edge in table.edges().filter(|edge| edge.parent < count) {
        let wrong = |what| TableError::Record { section: Section::Nodes, index: edge.parent, what };
        adopt(&mut places, edge.parent, edge.child).map_err(wrong)?;
        if let Some(parent) = places.get_mut(edge.parent as usize) {
            parent.has_edges = true;
        }
    }
    let mut index = 0;
    each(table, Section::Nodes, |node: Node| {
        for child in [node.segment, node.rest].into_iter().filter(|child| *child != NONE) {
            adopt(&mut places, index, child)?;
        }
        let place = places.get(index as usize).copied().unwrap_or_default();
        // Parents have smaller numbers, so the only reference to this node has been seen.
        let edges = if place.has_edges { HAS_EDGES } else { 0 };
        let patterns = if node.segment == NONE && node.rest == NONE { 0 } else { HAS_PATTERNS };
        fault(place.reference != Some(index | edges | patterns), "the reference to it is missing or wrong")?;
        let depth = places.get(place.parent as usize).map_or(0, |parent| parent.depth + 1);
        fault(depth > SEGMENTS_MAX + 1, "it stands too deep")?;
        if let Some(place) = places.get_mut(index as usize) {
            place.depth = depth;
        }
        index += 1;
        Ok(())
    })
}

/// What nodes and leaves say of routes is so, and what is linked behind them goes on upwards.
fn ends<B: AsRef<[u8]>>(table: &Table<B>) -> Result<(), TableError> {
    let leaves = table.count::<Node>(Section::Leaves);
    let end = |node: &Node, lowest: u32| {
        let route = match node.methods {
            0 => Route::default(),
            _ => table.record::<Route>(Section::Routes, u32::from(node.route)).ok_or("its route does not exist")?,
        };
        let same = (node.origin, node.flags) == (route.origin, route.flags)
            && (node.scopes, node.scopes_count) == (route.scopes, route.scopes_count);
        fault(!same || (node.methods == 0 && node.route != 0), "what it says of its route is not so")?;
        fault(node.more != NONE && (node.more < lowest || node.more >= leaves), "the leaf behind it does not exist")
    };
    each(table, Section::Nodes, |node: Node| end(&node, 0))?;
    let mut lowest = 0;
    each(table, Section::Leaves, |leaf: Node| {
        lowest += 1;
        fault(leaf.segment != NONE || leaf.rest != NONE || leaf.methods == 0, "it is no leaf")?;
        end(&leaf, lowest)
    })
}

/// What is known of a node before it is read.
#[derive(Clone, Copy, Default)]
struct Place {
    reference: Option<u32>,
    parent: u32,
    depth: usize,
    has_edges: bool,
}

fn adopt(places: &mut [Place], parent: u32, reference: u32) -> Result<(), &'static str> {
    let child = node_number(reference);
    match places.get_mut(child as usize) {
        Some(place) if parent < child && place.reference.is_none() => {
            (place.reference, place.parent) = (Some(reference), parent);
            Ok(())
        }
        _ => Err("its child is no child of it alone"),
    }
}

fn identities<B: AsRef<[u8]>>(table: &Table<B>) -> Result<(), TableError> {
    let proofs = table.count::<Proof>(Section::Proofs);
    let agents = table.agent_count();
    let entries = u64::from(proofs) + u64::from(table.count::<Combination>(Section::Combinations));
    each(table, Section::Slots, |slot: Slot| {
        fault(slot.index != NONE && u64::from(slot.index) >= entries, "what it leads to does not exist")
    })?;
    let mut keys_left = table.api_key_count();
    each(table, Section::Proofs, |proof: Proof| {
        name(table, proof.value, proof.value_length)?;
        fault((proof.kind == proof_kind::API_KEY) != (keys_left > 0), "API keys do not stand first")?;
        keys_left = keys_left.saturating_sub(1);
        fault(proof.kind > proof_kind::POPULATION, "it is of no known kind")?;
        fault(proof.agent != NONE && proof.agent >= agents, "its agent does not exist")
    })?;
    each(table, Section::Combinations, |entry: Combination| {
        let known = |id: u32| id == NONE || id < proofs;
        let members = known(entry.certificate)
            && if entry.token == BELONGS { entry.api_key < agents } else { known(entry.token) && known(entry.api_key) };
        fault(!members, "its proofs do not exist")?;
        fault(entry.agent >= agents, "its agent does not exist")
    })
}

fn agents<B: AsRef<[u8]>>(table: &Table<B>) -> Result<(), TableError> {
    let mut limits = 0_u32;
    each(table, Section::Agents, |agent: Agent| {
        name(table, agent.name, agent.name_length)?;
        row(table, RowRef { start: agent.scopes, count: agent.scopes_count })?;
        fault(agent.limits_count as usize > LIMITS_PER_AGENT_MAX, "it has too many limits")?;
        fault(agent.limits != limits, "its limits do not follow those of the agent before")?;
        let inside = agent.limits_inside();
        let own = (0..agent.limits_count).zip(&inside).filter_map(|(place, numbers)| {
            table.record::<Limit>(Section::Limits, agent.limits.saturating_add(place)).map(|limit| (limit, numbers))
        });
        let same = own.into_iter().all(|(limit, numbers)| limit.numbers() == *numbers);
        fault(!same, "the numbers of its limits are not theirs")?;
        limits = limits.saturating_add(agent.limits_count);
        Ok(())
    })?;
    header_fault(limits != table.limit_count(), "its agents do not have all its limits")
}

fn row<B: AsRef<[u8]>>(table: &Table<B>, row: RowRef) -> Result<(), &'static str> {
    fault(!table.row_is_inside(row), "its scopes lie outside")?;
    if table.scopes_are_bitmaps() {
        return Ok(());
    }
    let entries = table.sorted_row(row).unwrap_or_default();
    fault(!entries.is_sorted_by_key(|entry| u16::from_le_bytes(*entry)), "its scopes are not sorted")?;
    let last = entries.last().map(|entry| u32::from(u16::from_le_bytes(*entry)));
    fault(last.is_some_and(|last| last >= table.scope_count()), "its scopes do not exist")
}

fn name<B: AsRef<[u8]>>(table: &Table<B>, start: u32, length: u16) -> Result<(), &'static str> {
    let bytes = table.string(start, length).ok_or("its string lies outside")?;
    std::str::from_utf8(bytes).map(|_| ()).map_err(|_| "its string is not UTF-8")
}

/// Runs a check over every record of a section and says which one failed.
fn each<B: AsRef<[u8]>, R: Record>(
    table: &Table<B>,
    section: Section,
    mut check: impl FnMut(R) -> Result<(), &'static str>,
) -> Result<(), TableError> {
    for (index, bytes) in (0..).zip(table.section(section).chunks_exact(R::BYTES)) {
        let checked = R::read(bytes).ok_or("it is cut short").and_then(&mut check);
        checked.map_err(|what| TableError::Record { section, index, what })?;
    }
    Ok(())
}

fn fault(wrong: bool, what: &'static str) -> Result<(), &'static str> {
    if wrong { Err(what) } else { Ok(()) }
}

fn header_fault(wrong: bool, what: &'static str) -> Result<(), TableError> {
    if wrong { Err(TableError::Header { what }) } else { Ok(()) }
}
