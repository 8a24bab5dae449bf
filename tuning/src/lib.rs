//! What the machine is, and where workers should stand on it.
//!
//! [`machine::Machine`] is what was found, [`choice::choose`] says which processors get a worker and why,
//! [`settings::settings`] what outside of the gateway should follow from that, [`script`] and [`apply`] set it,[`finding::findings`]
//! what speaks against workers that somebody else placed.

pub mod apply;
pub mod choice;
pub mod finding;
pub mod machine;
pub mod profile;
pub mod read;
pub mod script;
pub mod settings;

#[cfg(test)]
mod tests;
