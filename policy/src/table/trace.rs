//! What look-ups do, counted in this crate's own tests to hold it against the cost certificate. Nothing is left of it in
//! a build that is not one of them.

use super::format::{Edge, Section};

#[cfg(not(test))]
mod product {
    use super::{Edge, Section};

    pub(crate) const fn record(_: Section, _: usize, _: usize) {}
    pub(crate) const fn bytes(_: Section, _: usize, _: usize) {}
    pub(crate) const fn probe(_: usize) {}
    pub(crate) const fn comparisons(_: usize) {}
    pub(crate) const fn row_words(_: usize) {}
    pub(crate) const fn visit() {}
    pub(crate) const fn edge(_: Edge) {}
}

#[cfg(not(test))]
pub(crate) use product::*;

#[cfg(test)]
pub(crate) use counted::*;

#[cfg(test)]
mod counted {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::{Edge, Section};
    use crate::table::Cost;
    use crate::table::format::{EdgeText, LINE_BYTES};

    #[derive(Default)]
    struct Seen {
        cost: Cost,
        /// Section and number of the line within it: sections begin on a line.
        lines: BTreeSet<(u8, usize)>,
    }

    thread_local! {
        static SEEN: RefCell<Seen> = RefCell::default();
    }

    fn see(look: impl FnOnce(&mut Seen)) {
        SEEN.with_borrow_mut(look);
    }

    /// What `run` did; its lines are different ones.
    pub(crate) fn of<R>(run: impl FnOnce() -> R) -> (R, Cost) {
        see(|seen| *seen = Seen::default());
        let result = run();
        let cost = SEEN.with_borrow(|seen| Cost { lines: seen.lines.len() as u32, ..seen.cost });
        (result, cost)
    }

    /// A record is looked at.
    pub(crate) fn record(section: Section, at: usize, length: usize) {
        see(|seen| seen.cost.steps += 1);
        bytes(section, at, length);
    }

    /// Bytes of a section are looked at.
    pub(crate) fn bytes(section: Section, at: usize, length: usize) {
        let lines = at / LINE_BYTES..(at + length).div_ceil(LINE_BYTES);
        see(|seen| seen.lines.extend(lines.map(|line| (section as u8, line))));
    }

    /// A key of so many bytes is hashed and looked for.
    pub(crate) fn probe(key_bytes: usize) {
        see(|seen| {
            seen.cost.steps += 1;
            seen.cost.probes += 1;
            seen.cost.hashed_bytes += key_bytes as u32;
        });
    }

    /// So much is compared with what is looked for.
    pub(crate) fn comparisons(count: usize) {
        see(|seen| seen.cost.comparisons += count as u32);
    }

    /// So many words, or entries, of two rows of scopes are compared.
    pub(crate) fn row_words(count: usize) {
        see(|seen| seen.cost.steps += count as u32);
        comparisons(count);
    }

    /// An edge is found: its string, where it has one, was compared. Others whose tag fits by chance do not count.
    pub(crate) fn edge(edge: Edge) {
        if let EdgeText::Long { start, length, .. } = EdgeText::read(edge.text) {
            bytes(Section::Strings, start as usize, usize::from(length));
        }
    }

    /// A node is visited, whether or not its record is read.
    pub(crate) fn visit() {
        see(|seen| seen.cost.steps += 1);
    }
}
