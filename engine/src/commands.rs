//! The bodies of the subcommands, one file each.

pub mod agent;
pub mod audit;
pub mod ca;
pub mod check;
pub mod completions;
pub mod dev;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod key;
pub mod key_set;
mod lists;
pub mod memory;
pub mod point;
pub mod profile;
pub mod release;
pub mod replay;
pub mod review;
pub mod revoke;
pub mod rollback;
pub mod run;
pub mod schema;
pub mod signing;
pub mod status;
pub mod test;
pub mod trust;
pub mod tune;

use clap::ValueEnum;

/// For people, or one JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}
