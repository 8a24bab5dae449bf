//! The bodies of the subcommands, one file each.

pub mod check;
pub mod completions;
pub mod dev;
pub mod key;
pub mod release;
pub mod run;
pub mod schema;
pub mod signing;
pub mod trust;
