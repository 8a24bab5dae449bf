//! Any bytes as a payload of each kind: no panic, and what is canonical has one form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_release::envelope::{Envelope, Kind};
use policy_release::key_set::KeySet;
use policy_release::lists::SignedList;
use policy_release::manifest::Manifest;
use policy_release::pointer::Pointer;
use policy_release::revocations::Revocations;
use policy_release::root::RootClaims;
use policy_release::version::EngineVersion;
use policy_release::{canonical, key_file};

fuzz_target!(|bytes: &[u8]| {
    if canonical::check(bytes).is_ok() {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("canonical text is JSON");
        assert_eq!(canonical::to_bytes(&value).expect("and has a canonical form"), bytes);
    }
    let running = EngineVersion { major: 0, minor: 1, patch: 0 };
    let _ = Manifest::parse(bytes, running);
    let _ = Pointer::read(bytes);
    let _ = Revocations::read(bytes);
    let _ = KeySet::read(bytes);
    if let Ok(envelope) = Envelope::new(Kind::TrustRoot, bytes) {
        let _ = RootClaims::read(&envelope);
    }
    // Without a passphrase: key derivation would spend the whole budget.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = key_file::parse(text, None);
    }
});
