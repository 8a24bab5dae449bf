//! What a change of policy newly allows and newly refuses, exactly.

mod access;
mod asserted;
mod bases;
mod callers;
mod cells;
mod classes;
mod diff;
mod face;
mod identities;
mod limits;
mod listing;
mod look;
mod places;
mod proofs;
mod report;
mod sets;
mod settings;
mod shown;
mod strays;

pub use report::*;

use policy::model::Policy;
use policy::table::Table;

/// One of the two policies, with the table that was compiled from it.
#[derive(Debug)]
pub struct Side<'a, B> {
    pub policy: &'a Policy,
    pub table: &'a Table<B>,
}

/// Everything that differs between two policies. The tables must be compiled from the policies.
///
/// Exact: every request whose outcome before the limits differs is in a class, and the example of every class differs
/// as it says, according to both tables. See `docs/diff.md` for what is compared with what.
pub fn diff<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: Side<'_, A>, new: Side<'_, B>) -> Diff {
    diff::diff((old.policy, old.table), (new.policy, new.table))
}

#[cfg(test)]
mod tests;
