//! JWK Sets: no text may panic, and a set that loads loads again to the same version.
#![no_main]

use identity::token::Keyset;
use libfuzzer_sys::fuzz_target;
use policy::model::Algorithm::{ES256, ES384, EdDSA, HS256, PS256, RS256};

fuzz_target!(|text: &str| {
    let load = || Keyset::from_jwks(text, &[ES256, ES384, EdDSA, RS256, PS256, HS256]);
    if let (Ok(keyset), Ok(again)) = (load(), load()) {
        assert!(!keyset.keys().is_empty());
        assert_eq!(keyset.digest(), again.digest());
    }
});
