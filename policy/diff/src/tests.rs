//! The comparison against brute force, and by hand.

mod brute;
mod cases;
mod fields;
mod regions;
mod size;
pub mod universe;
