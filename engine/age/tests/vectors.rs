//! The vectors of the format's authors (C2SP CCTV, `age/testdata`, CC0): every one of them with an X25519 identity and no
//! armor, but for the large ones. What must fail fails in the stage where it must.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::path::Path;

use age_format::{Fault, Identity, decrypt};
use sha2::{Digest as _, Sha256};

/// By `expect`, how many there are.
const COUNTS: [(&str, usize); 5] =
    [("HMAC failure", 1), ("header failure", 31), ("no match", 3), ("payload failure", 18), ("success", 11)];

#[test]
fn they_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let split = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..split]).unwrap();
        let of = |key: &str| head.lines().filter_map(|line| line.split_once(": ")).find(|(of, _)| *of == key);
        let expect = of("expect").unwrap().1;
        let identities: Vec<Identity> =
            head.lines().filter_map(|line| line.strip_prefix("identity: ")).map(|text| text.parse().unwrap()).collect();
        let outcome = decrypt(&bytes[split + 2..], &identities);
        let found = match &outcome {
            Ok(_) => "success",
            Err(Fault::NoMatch) => "no match",
            Err(Fault::Mac) => "HMAC failure",
            Err(Fault::Header(_)) => "header failure",
            Err(Fault::Payload(_)) => "payload failure",
            Err(other) => panic!("{name}: {other}"),
        };
        assert_eq!(found, expect, "{name}: {outcome:?}");
        if let Ok(plain) = outcome {
            let digest: String = Sha256::digest(plain.as_slice()).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, of("payload").unwrap().1, "{name}");
        }
        *counts.entry(expect.to_owned()).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(expect, count)| (expect.as_str(), *count)).collect();
    assert_eq!(counts, COUNTS);
}
