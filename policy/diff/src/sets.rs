//! Names as numbers, and sorted sets of them, each kept once.

use std::collections::HashMap;

/// Number of a set in [`Sets`].
pub type SetId = u32;

/// The empty set.
pub const EMPTY: SetId = 0;

/// Names of both policies, numbered.
#[derive(Default)]
pub struct Names<'p> {
    numbers: HashMap<&'p str, u32>,
    names: Vec<&'p str>,
}

impl<'p> Names<'p> {
    pub fn number(&mut self, name: &'p str) -> u32 {
        *self.numbers.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.names.len() as u32 - 1
        })
    }

    pub fn name(&self, number: u32) -> &'p str {
        self.names.get(number as usize).copied().unwrap_or_default()
    }
}

/// Sorted sets of numbers; equal sets have equal ids.
pub struct Sets {
    ids: HashMap<Vec<u32>, SetId>,
    sets: Vec<Vec<u32>>,
}

impl Default for Sets {
    fn default() -> Self {
        Self { ids: HashMap::from([(Vec::new(), EMPTY)]), sets: vec![Vec::new()] }
    }
}

impl Sets {
    pub fn id(&mut self, mut set: Vec<u32>) -> SetId {
        set.sort_unstable();
        set.dedup();
        if let Some(id) = self.ids.get(&set) {
            return *id;
        }
        let id = self.sets.len() as SetId;
        self.sets.push(set.clone());
        self.ids.insert(set, id);
        id
    }

    pub fn get(&self, id: SetId) -> &[u32] {
        self.sets.get(id as usize).map_or(&[], Vec::as_slice)
    }
}

/// What two sorted sets have in common.
pub fn common(first: &[u32], second: &[u32]) -> Vec<u32> {
    let (shorter, longer) = if first.len() <= second.len() { (first, second) } else { (second, first) };
    shorter.iter().copied().filter(|item| longer.binary_search(item).is_ok()).collect()
}

/// The first sorted set without the second.
pub fn without(first: &[u32], second: &[u32]) -> Vec<u32> {
    first.iter().copied().filter(|item| second.binary_search(item).is_err()).collect()
}
