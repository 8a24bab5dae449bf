//! What every stage of a request costs, beside reference operations measured in the same run, and the budget for it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a benchmark stops at the first surprise"
)]

pub mod budget;
pub mod counts;
pub mod list;
pub mod measure;
pub mod verdict;

mod account;
mod assertion;
mod credentials;
mod exchange;
mod gateway;
mod identify;
mod record;
mod references;
mod tls;
