//! What stages are held against: operations that everybody has, on the same bytes, in the same run.

use std::hint::black_box;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use bench_counts::{HEAD, Plain, Stage};

use crate::gateway::Gateway;

/// SHA-256 of an ES256 token.
pub fn sha256_of_token() -> Box<dyn Stage> {
    let token = Gateway::new("ES256").token;
    Box::new(Plain(move || {
        black_box(digest(&SHA256, black_box(token.as_bytes())));
    }))
}

/// AES-128-GCM over the head: the least that TLS costs.
pub fn aes_gcm_of_head() -> Box<dyn Stage> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16]).unwrap());
    let mut bytes = Vec::with_capacity(1 << 10);
    Box::new(Plain(move || {
        bytes.clear();
        bytes.extend_from_slice(black_box(HEAD));
        let nonce = Nonce::assume_unique_for_key([2; 12]);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes).unwrap();
        black_box(&bytes);
    }))
}
