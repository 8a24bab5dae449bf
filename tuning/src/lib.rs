//! What the machine is, and where workers should stand on it.
//!
//! [`machine::Machine`] is what was found, [`choice::choose`] says which processors get a worker and why,
//! [`settings::settings`] what outside of the gateway should follow from that, [`script`] sets it.

pub mod choice;
pub mod machine;
pub mod profile;
pub mod read;
pub mod script;
pub mod settings;
pub mod topology;

pub use topology::{Finding, Topology};
