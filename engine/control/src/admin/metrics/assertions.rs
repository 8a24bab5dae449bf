//! The keys of assertions to origins.

use std::fmt;

use super::Families;
use crate::status::Status;

pub fn put(status: &Status, families: &mut Families<'_>) -> fmt::Result {
    let moving = status.moving();
    let Some(keys) = &moving.assertion_keys else { return Ok(()) };
    families.gauge("assertion_keys", "Public keys of assertions that origins are told", keys.keys.len() as f64)?;
    families.counter("assertion_key_rotations", "Times that another key began to sign assertions", keys.rotations)?;
    families.counter("assertion_key_failures", "Rotations that failed; the old key went on signing", keys.failures)?;
    let since = keys.since_unix_s as f64;
    families.gauge("assertion_key_since_timestamp_seconds", "When the present key began to sign", since)
}
