//! What records say about a policy: what nobody used, and what is unlike before.
//!
//! Record files are streamed; what is kept is bounded by the names of the policy and the bounds here, never by lines.

pub mod anomalies;
pub mod bounds;
pub mod edit;
pub mod evidence;
pub mod findings;
pub mod intents;
pub mod json;
pub mod keep;
pub mod last_use;
pub mod metrics;
pub mod names;
pub mod odds;
pub mod peaks;
pub mod plan;
pub mod profile;
pub mod proof;
pub mod scan;
pub mod text;
pub mod unified;
pub mod usage;

#[cfg(test)]
mod tests;
