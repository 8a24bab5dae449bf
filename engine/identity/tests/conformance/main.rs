//! Vectors that others wrote, an oracle, and arbitrary input against the public API of `identity`.
//!
//! Vectors are read from `../shared/conformance` beside the workspace; where they are not there, the test says so and
//! the rest still runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise"
)]

mod claims;
mod cookbook;
mod differential;
mod keysets;
mod mutation;
mod refusals;
mod signatures;
mod signer;
mod tokens;
mod vectors;
