//! What is believed, and what is not.

use super::*;
use crate::testing::{keys, time};

fn said(key: &SigningKey, nonce: &Nonce) -> Attestation {
    let now = time("2026-01-01T00:00:00Z");
    Attestation {
        format: Format,
        node: Node { key: key.public(), id: key.public().id() },
        nonce: Some(nonce.clone()),
        time: now,
        phase: "serving".to_owned(),
        unready: vec![],
        awaiting: vec![],
        awaiting_identities: vec![],
        started: now,
        release: Digest::of(b"release").to_string(),
        version: 7,
        policy: "orders".to_owned(),
        signers: vec!["alice".to_owned()],
        expires: None,
        since: now,
        accepted: Some(now),
        activation: 1,
        table_sha256: Digest::of(b"table").to_string(),
        audit: Audit::Queued,
        pointer: Some(Pointer {
            channel: "production".to_owned(),
            serial: 3,
            issued: now,
            expires: now,
            expired: false,
        }),
        refusal: None,
        waiting: None,
        revocations: None,
        key_set: None,
        trust_root: 1,
        keysets: BTreeMap::new(),
        assertions: None,
        certificates: vec![],
        not_renewed: vec![],
        last_failures: vec![],
        ends: vec![],
        config: Digest::of(b"config").to_string(),
        binary: "0.1.0".to_owned(),
        binary_sha256: None,
        kernel: "6.12".to_owned(),
        memory: Memory { mseal: true, copies: 1, hashed: None, mismatches: 0 },
        checkpoint: None,
    }
}

fn nonce(first: u8) -> Nonce {
    Nonce::new([first; 16])
}

#[test]
fn what_a_node_signed_comes_back() {
    let key = &keys(1)[0];
    let said = said(key, &nonce(1));
    let bytes = said.seal(key).unwrap().to_bytes();
    assert_eq!(Attestation::open(&bytes, &nonce(1)).unwrap(), said);
}

#[test]
fn an_old_answer_and_one_without_a_nonce_are_refused() {
    let key = &keys(1)[0];
    let bytes = said(key, &nonce(1)).seal(key).unwrap().to_bytes();
    assert!(matches!(Attestation::open(&bytes, &nonce(2)), Err(AttestationFault::Nonce { .. })));
    let without = Attestation { nonce: None, ..said(key, &nonce(1)) }.seal(key).unwrap().to_bytes();
    assert!(matches!(Attestation::open(&without, &nonce(1)), Err(AttestationFault::Nonce { .. })));
}

/// Whoever takes them for keys gets keys.
#[test]
fn assertion_keys_are_of_the_one_kind() {
    let key = &keys(1)[0];
    let jwk = |kid: &str, alg: &str, x: &str| Jwk {
        kid: kid.to_owned(),
        kty: "EC".to_owned(),
        crv: "P-256".to_owned(),
        alg: alg.to_owned(),
        purpose: "sig".to_owned(),
        x: x.to_owned(),
        y: "c".repeat(43),
    };
    let opened = |jwk: Jwk, signs: &str| {
        let now = time("2026-01-01T00:00:00Z");
        let keys =
            AssertionKeys { keys: vec![jwk], signs: signs.to_owned(), since: now, next: None, last_failure: None };
        let said = Attestation { assertions: Some(keys), ..said(key, &nonce(1)) };
        Attestation::open(&said.seal(key).unwrap().to_bytes(), &nonce(1)).map(|opened| assert_eq!(opened, said))
    };
    let (kid, x) = ("a".repeat(43), "b".repeat(43));
    opened(jwk(&kid, "ES256", &x), &kid).unwrap();
    for (wrong, signs) in [
        (jwk(&kid, "none", &x), &kid),
        (jwk(&kid, "ES256", "b"), &kid),
        (jwk(&kid, "ES256", &x.replace('b', "\u{1b}")), &kid),
        (jwk(&kid, "ES256", &x), &x),
    ] {
        assert!(matches!(opened(wrong, signs), Err(AttestationFault::AssertionKey)));
    }
}

/// They are compared as texts, and shown.
#[test]
fn what_should_be_a_digest_is_one() {
    let key = &keys(1)[0];
    let upper = Digest::of(b"x").to_string().to_uppercase().replace("SHA", "sha");
    let long = format!("{}0", Digest::of(b"x"));
    for wrong in ["", "sha256:", "sha256:0", "none at all", "sha256:\u{1b}[2J", &upper, &long] {
        let wrong = || wrong.to_owned();
        let refusal = |release| Refusal {
            since: time("2026-01-01T00:00:00Z"),
            check: "read".into(),
            message: "".into(),
            release,
        };
        let good = || said(key, &nonce(1));
        let now = time("2026-01-01T00:00:00Z");
        let certificate =
            |sha256| Certificate { chain: "c.pem".into(), sha256, not_after: now, names: vec![], last_failure: None };
        let keysets = |thumbprint| {
            let (source, thumbprint) = ("pinned".into(), Some(thumbprint));
            let keyset = Keyset {
                source,
                thumbprint,
                version: 1,
                keys: 1,
                loaded: now,
                stale: None,
                next: None,
                last_failure: None,
            };
            BTreeMap::from([("issuer".to_owned(), keyset)])
        };
        for (member, said) in [
            ("release", Attestation { release: wrong(), ..good() }),
            ("table_sha256", Attestation { table_sha256: wrong(), ..good() }),
            ("config", Attestation { config: wrong(), ..good() }),
            ("binary_sha256", Attestation { binary_sha256: Some(wrong()), ..good() }),
            (
                "waiting.release",
                Attestation { waiting: Some(Waiting { release: wrong(), version: 1, serial: 1 }), ..good() },
            ),
            ("certificates.sha256", Attestation { certificates: vec![certificate(wrong())], ..good() }),
            ("keysets.thumbprint", Attestation { keysets: keysets(wrong()), ..good() }),
            ("refusal.release", Attestation { refusal: Some(refusal(Some(wrong()))), ..good() }),
        ] {
            let opened = Attestation::open(&said.seal(key).unwrap().to_bytes(), &nonce(1));
            let Err(AttestationFault::Digest { member: found, .. }) = opened else { panic!("{member}: {opened:?}") };
            assert_eq!(found, member);
        }
    }
    let dev = Attestation { config: "none".into(), refusal: None, ..said(key, &nonce(1)) };
    assert!(Attestation::open(&dev.seal(key).unwrap().to_bytes(), &nonce(1)).is_ok());
}

#[test]
fn every_changed_byte_is_noticed() {
    let key = &keys(1)[0];
    let original = said(key, &nonce(1));
    let bytes = original.seal(key).unwrap().to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        // A change of case in base64's padding bits or of white space could leave the meaning as it was.
        let opened = Attestation::open(&changed, &nonce(1));
        assert!(opened.is_err() || opened.unwrap() == original, "byte {at}");
    }
}

#[test]
fn a_signature_of_another_key_does_not_speak_for_the_node() {
    let keys = keys(2);
    let by_other = said(&keys[0], &nonce(1)).seal(&keys[1]).unwrap().to_bytes();
    assert!(matches!(Attestation::open(&by_other, &nonce(1)), Err(AttestationFault::Signature(_))));
    let mut mixed = said(&keys[0], &nonce(1));
    mixed.node.id = keys[1].public().id();
    let mixed = mixed.seal(&keys[1]).unwrap().to_bytes();
    assert!(matches!(Attestation::open(&mixed, &nonce(1)), Err(AttestationFault::KeyId { .. })));
}

#[test]
fn other_kinds_and_formats_are_refused_and_newer_members_passed_over() {
    let key = &keys(1)[0];
    let text = String::from_utf8(canonical::to_bytes(&said(key, &nonce(1))).unwrap()).unwrap();
    let sealed = |kind, text: &str| {
        let mut envelope = Envelope::new(kind, text.as_bytes()).unwrap();
        envelope.sign(key).unwrap();
        Attestation::open(&envelope.to_bytes(), &nonce(1))
    };
    assert!(matches!(sealed(Kind::Pointer, &text), Err(AttestationFault::Envelope(EnvelopeFault::Kind { .. }))));
    let other = text.replace("adamant.attestation.v1", "adamant.attestation.v2");
    assert!(sealed(Kind::Attestation, &other).unwrap_err().to_string().contains("adamant.attestation.v2"));
    let newer = text.replacen("\"activation\":1", "\"activation\":1,\"actor\":\"new\"", 1);
    assert!(sealed(Kind::Attestation, &newer).is_ok());
    assert!(matches!(sealed(Kind::Attestation, &format!("{text} ")), Err(AttestationFault::Canonical(_))));
}

#[test]
fn nonces_are_bounded_in_form_and_length() {
    for wrong in ["", "short", "0123456789abcde", "0123456789abcdef ", &"a".repeat(NONCE_BYTES_MAX + 1)] {
        assert_eq!(wrong.parse::<Nonce>(), Err(NonceFault), "{wrong:?}");
    }
    assert!("0123456789abcdeF-_".parse::<Nonce>().is_ok());
    assert!("a".repeat(NONCE_BYTES_MAX).parse::<Nonce>().is_ok());
    assert_eq!(nonce(0xab).to_string(), "ab".repeat(16));
}
