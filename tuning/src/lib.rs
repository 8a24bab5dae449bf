//! What the machine is, and where workers should stand on it.

pub mod topology;

pub use topology::{Finding, Topology};
