//! The control threads: what keeps the workers supplied and the world informed, and is never on a request's path.
//!
//! `assemble` makes the parts of an activation from a release and the node's files; `activate` puts them before the
//! workers; `watch` keeps keysets, certificates and origin names fresh; `obtain` has certificates issued; `memory`
//! guards the table; `live` puts revocation lists and key sets in force; `records` writes what workers recorded; `admin`
//! answers questions.

pub mod accept;
pub mod activate;
pub mod admin;
pub mod affinity;
pub mod assemble;
pub mod assertion;
pub mod at_rest;
mod atomic;
pub mod bounds;
pub mod clock;
pub mod expiry;
pub mod introspection;
pub mod key_set;
pub mod last_use;
pub mod live;
pub mod log;
pub mod memory;
pub mod moving;
pub mod names;
pub mod node;
pub mod obtain;
pub mod per_node;
pub mod records;
pub mod revocations;
pub mod status;
pub mod watch;

#[cfg(test)]
mod testing;
