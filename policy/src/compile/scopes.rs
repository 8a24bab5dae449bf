//! Rows of scopes: one for each distinct set that agents or routes have.

use std::collections::BTreeMap;

use super::CompileError;
use super::names::Names;
use crate::bounds::SCOPES_IN_BITMAP_MAX;
use crate::model::Policy;
use crate::table::format::LINE_BYTES;
use crate::table::scopes::RowRef;

pub(super) struct ScopeRows {
    /// Bytes of the section.
    pub rows: Vec<u8>,
    pub of_agents: Vec<RowRef>,
    pub of_routes: Vec<RowRef>,
}

pub(super) fn build(policy: &Policy, names: &Names<'_>) -> Result<ScopeRows, CompileError> {
    let mut route_sets = vec![Vec::new(); policy.routes.len()];
    for (scope, id) in policy.scopes.iter().zip(0_u16..) {
        for route in &scope.routes {
            let set: Option<&mut Vec<u16>> = route_sets.get_mut(names.route(route, &scope.name)?);
            if let Some(set) = set.filter(|set| set.last() != Some(&id)) {
                set.push(id);
            }
        }
    }
    let mut rows =
        Rows { bitmaps: policy.scopes.len() <= SCOPES_IN_BITMAP_MAX, bytes: Vec::new(), known: BTreeMap::new() };
    let mut of_agents = Vec::with_capacity(policy.agents.len());
    for agent in &policy.agents {
        let set: Result<Vec<u16>, _> = agent.scopes.iter().map(|scope| names.scope(scope, &agent.name)).collect();
        let mut set = set?;
        set.sort_unstable();
        set.dedup();
        of_agents.push(rows.add(set)?);
    }
    let of_routes = route_sets.into_iter().map(|set| rows.add(set)).collect::<Result<_, _>>()?;
    Ok(ScopeRows { rows: rows.bytes, of_agents, of_routes })
}

struct Rows {
    bitmaps: bool,
    bytes: Vec<u8>,
    known: BTreeMap<Vec<u16>, u32>,
}

impl Rows {
    /// The row of a sorted set, added if it is new.
    fn add(&mut self, set: Vec<u16>) -> Result<RowRef, CompileError> {
        let count = set.len() as u16;
        if let Some(start) = self.known.get(&set) {
            return Ok(RowRef { start: *start, count });
        }
        let unit = if self.bitmaps { LINE_BYTES } else { 2 };
        let start = u32::try_from(self.bytes.len() / unit).map_err(|_| CompileError::ImageTooLarge)?;
        if self.bitmaps {
            let mut line = [0_u8; LINE_BYTES];
            for scope in &set {
                if let Some(byte) = line.get_mut(usize::from(scope / 8)) {
                    *byte |= 1 << (scope % 8);
                }
            }
            self.bytes.extend_from_slice(&line);
        } else {
            self.bytes.extend(set.iter().flat_map(|scope| scope.to_le_bytes()));
        }
        self.known.insert(set, start);
        Ok(RowRef { start, count })
    }
}
