//! The generators of the tests beside this crate, for those inside it.

#![allow(dead_code, reason = "those beside it use the rest")]

#[path = "../tests/table/naive.rs"]
pub mod naive;
#[path = "../tests/table/universe.rs"]
pub mod universe;
