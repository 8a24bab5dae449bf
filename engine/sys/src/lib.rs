//! The system: sealed memory, affinity, borrowed sockets. The only crate with `unsafe`; each block says why it is
//! needed and why it is sound.

#![allow(unsafe_code, reason = "this crate is the island for it")]

pub mod affinity;
pub mod cache;
mod huge;
pub mod image;
#[cfg(all(feature = "fault-injection", target_arch = "x86_64"))]
pub mod injection;
pub mod process;
pub mod rest;
pub mod socket;
pub mod uring;
mod words;

pub use image::{Image, MapSeal};
pub use words::{Pages, Words};
