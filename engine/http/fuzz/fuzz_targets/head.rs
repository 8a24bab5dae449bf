//! See `checks::head`.

#![no_main]
#![allow(dead_code, reason = "each target uses one of the shared checks")]

#[path = "../checks.rs"]
mod checks;
#[path = "../../tests/gateway/mod.rs"]
mod gateway;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::head(data));
