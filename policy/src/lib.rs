//! The policy: its normalised model, the frozen table, the decision and the rate step.
//!
//! Pure: no I/O, no clock, no randomness. Time and seeds are arguments.

#[cfg(test)]
extern crate self as policy;

pub mod account;
pub mod binding;
pub mod bounds;
pub mod case;
pub mod compile;
pub mod credential;
pub mod decide;
#[cfg(test)]
mod generators;
pub mod hash;
pub mod model;
pub mod rate;
pub mod reason;
pub mod table;
pub mod target;
pub mod text;
