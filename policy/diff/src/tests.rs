//! The comparison against brute force, and by hand.

mod brute;
mod cases;
mod size;
pub mod universe;
