//! Any bytes as an envelope, a detached signature and a trust root: no panic, and a parsed envelope survives writing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_release::envelope::{Detached, Envelope};
use policy_release::root::verify_root;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::parse(bytes) {
        let again = Envelope::parse(&envelope.to_bytes()).expect("what was written reads back");
        assert_eq!(again.payload(), envelope.payload());
        assert_eq!(again.signatures(), envelope.signatures());
    }
    let _ = Detached::parse(bytes);
    let _ = verify_root(bytes);
});
