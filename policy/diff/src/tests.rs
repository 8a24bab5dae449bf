//! The comparison against brute force, and by hand.

mod brute;
mod cases;
mod fields;
mod means;
mod regions;
mod size;
mod strays;
mod told;
pub mod universe;
