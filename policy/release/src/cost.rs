//! What a release says its decisions cost at most: computed when it is built, never believed.
//!
//! The bound is one of the compiled table, whose form may change with the engine, so it names that form. An engine with
//! the same form must find the same cost, or the release is refused; one with another form goes by its own, and what
//! the release says is about engines of its time.

use policy::compile::{CompileError, compile};
use policy::model::Policy;
use policy::table::{CostCertificate, FORMAT_VERSION, Table};
use serde::{Deserialize, Serialize};

/// The cost certificate of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCost {
    /// The form of the table that it is a bound of.
    pub table_format: u32,
    pub decision: CostCertificate,
}

/// The release states another cost than its policy has. Whoever built it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the cost certificate of the release's own policy (at most {} cache lines in {} steps), found another one ({} in \
     {}): it was not made by adamant release build; build it again",
    expected.total().lines, expected.total().steps, found.total().lines, found.total().steps
)]
pub struct CostFault {
    expected: Box<CostCertificate>,
    found: Box<CostCertificate>,
}

impl ReleaseCost {
    /// What decisions by `policy` cost at most. Compiles it: the cost does not depend on the digest that the release
    /// comes to have.
    ///
    /// # Errors
    /// The policy does not compile.
    pub fn of(policy: &Policy) -> Result<Self, CompileError> {
        let table = Table::load(compile(policy, [0; 32])?).map_err(CompileError::Table)?;
        Ok(Self { table_format: FORMAT_VERSION, decision: table.certificate() })
    }

    /// Holds it against what the compiled table costs. One of another form of table is not compared.
    ///
    /// # Errors
    /// They differ.
    pub fn check(&self, table: &CostCertificate) -> Result<(), CostFault> {
        if self.table_format != FORMAT_VERSION || self.decision == *table {
            return Ok(());
        }
        Err(CostFault { expected: Box::new(*table), found: Box::new(self.decision) })
    }

    /// Whether it is a bound of tables as this engine makes them.
    pub const fn is_of_this_engine(&self) -> bool {
        self.table_format == FORMAT_VERSION
    }
}
