//! The harness that drives the real binary over real sockets: gateway, recording origin, raw client, credentials,
//! and the judge of the conformance corpus. It shares no code with the gateway, so that a mistake there is not a
//! mistake here too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "everything here serves tests, and a test stops at the first surprise"
)]

pub mod agents;
pub mod anew;
pub mod answer;
pub mod answering;
pub mod apikey;
pub mod asserting;
pub mod certificates;
pub mod client;
pub mod conformance;
pub mod consul;
pub mod consul_double;
pub mod content;
pub mod deployment;
pub mod desk;
pub mod dpop;
pub mod faketime;
pub mod gateway;
pub mod installed;
pub mod issuer;
pub mod kept;
pub mod known;
pub mod liar;
pub mod oidc;
pub mod openbao;
pub mod origin;
pub mod others;
pub mod pebble;
pub mod policy;
pub mod process;
pub mod renewal;
pub mod scene;
pub mod small_disk;
pub mod store;
pub mod stream;
pub mod tokens;
pub mod wire;

/// A field value of a list of `(name, value)` pairs: the first one with this name, whatever its case.
pub fn first_value<'f>(fields: &'f [wire::Field], name: &str) -> Option<&'f str> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.text())
}
