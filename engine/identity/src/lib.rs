//! Credentials: tokens, API keys, certificates; bytes, keys and time in, verified facts out.
//!
//! Pure: no I/O, no clock, no randomness. Time, seeds and random bytes are arguments.

pub mod api_key;
pub mod bounds;
pub mod certificate;
pub mod throttle;
pub mod token;

mod base64url;
mod json;

pub use json::JsonFault;
