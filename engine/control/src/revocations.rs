//! The revocation list in force, before the workers.

use activation::revoked::Revoked;
use policy::model::Policy;
use policy::table::Table;
use policy_release::revocations::{Entry, Revocations};
use policy_release::time::Timestamp;

use crate::live::{self, Compile};

mod compile;

pub use compile::unknown;

pub type Register = live::Register<Revocations>;

impl Compile for Revocations {
    type Compiled = Revoked;

    fn compile(&self, policy: &Policy, table: &Table<sys::Image>, now: Timestamp, generation: u64) -> Revoked {
        compile::compile(self, policy, table, now).build(generation, self.serial)
    }

    fn ends(&self) -> impl Iterator<Item = Timestamp> {
        self.entries().iter().filter_map(Entry::ends)
    }
}

#[cfg(test)]
mod tests;
