//! An assertion for an origin, whole, and the signature alone by the two algorithms that it could have.

use std::hint::black_box;
use std::sync::Arc;

use activation::assertion::{Assertion, Bound, Said, Scratch, SigningKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use bench_counts::{Plain, Stage};

/// Bytes that a typical one signs.
const SIGNED_BYTES: usize = 700;

pub fn stage() -> Box<dyn Stage> {
    let key = Arc::new(SigningKey::generate().unwrap());
    let (assertion, mut scratch) = (Assertion { audience: "orders".to_owned(), key }, Scratch::default());
    let said = Said {
        policy: "orders-edge",
        release: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        agent: Some("reports-bot"),
        subject: Some(("https://id.corp.example", "reports-bot")),
        route: "order-read",
        scope: "orders:read",
        request_id: b"7bf511cb43495bddd402151c110c6fb0",
        again: false,
        request: Bound { method: b"GET", host: b"api.corp.example", path: b"/orders/4711", query: Some(b"a=1") },
        now_s: 1_795_000_000,
    };
    Box::new(Plain(move || {
        black_box(assertion.sign(black_box(&said), &mut scratch).unwrap());
    }))
}

pub fn es256() -> Box<dyn Stage> {
    let (pair, random) = (EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), SystemRandom::new());
    Box::new(Plain(move || {
        black_box(pair.sign(&random, black_box(&[7; SIGNED_BYTES])).unwrap());
    }))
}

pub fn ed25519() -> Box<dyn Stage> {
    let pair = Ed25519KeyPair::generate().unwrap();
    Box::new(Plain(move || {
        black_box(pair.sign(black_box(&[7; SIGNED_BYTES])));
    }))
}
