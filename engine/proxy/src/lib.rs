//! The data plane: workers, each one thread on one core with one ring, and the exchange they run.
//!
//! Read `exchange` first: it is the request path, top to bottom.

pub mod drain;
pub mod probe;
pub mod settings;
pub mod worker;

mod account;
mod assertion;
mod block;
pub mod bound;
mod certified;
mod client_address;
mod connection;
mod content;
mod date;
mod deadline;
mod decide;
mod desk;
mod exchange;
mod forward;
mod fresh_keys;
mod head;
pub mod identify;
mod journal;
mod linger;
mod local;
mod opaque;
mod origins;
mod outcome;
mod pooled;
mod proxy_header;
mod respond;
mod revoked;
mod sent;
#[cfg(test)]
mod testing;
mod transport;
mod turn;
pub mod used;
mod waiting;
mod withheld;
