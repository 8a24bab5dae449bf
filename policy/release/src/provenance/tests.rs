use super::*;
use crate::root::{RoleKeys, TrustRoot, verify_root};
use crate::testing::{claims, keys, root_of, signed, time};

fn provenance() -> Provenance {
    Provenance {
        release: Digest::of(b"release"),
        policy_name: "orders-edge".into(),
        version: 4,
        parent: Some(Digest::of(b"parent")),
        expires: time("2027-01-31T00:00:00Z"),
        builder: "ci of corp.example".into(),
        tool: EngineVersion { major: 0, minor: 1, patch: 0 },
        source: Some(Revision { revision: "0123456789abcdef0123456789abcdef01234567".into(), dirty: false }),
        inputs: vec![Input { name: "policy.toml".into(), digest: Digest::of(b"policy") }],
        outcome: TestOutcome { cases: 14, passed: 14, coverage_percent: 83 },
        made: time("2026-11-21T12:00:00Z"),
    }
}

fn root() -> TrustRoot {
    root_of(&keys(2), 2)
}

#[test]
fn a_statement_is_in_toto_and_comes_back() {
    for made in [
        provenance(),
        Provenance { parent: None, ..provenance() },
        Provenance { source: None, ..provenance() },
        Provenance { inputs: Vec::new(), ..provenance() },
    ] {
        let envelope = made.to_envelope().unwrap();
        assert_eq!(Provenance::parse(envelope.payload()).unwrap(), made);
    }
    let envelope = provenance().to_envelope().unwrap();
    assert_eq!(envelope.kind().payload_type(), "application/vnd.in-toto+json");
    let json: Value = serde_json::from_slice(envelope.payload()).unwrap();
    assert_eq!(json["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(json["subject"][0]["digest"]["sha256"], hex(&Digest::of(b"release")));
    assert_eq!(json["predicateType"], "https://slsa.dev/provenance/v1");
    let source = &json["predicate"]["buildDefinition"]["resolvedDependencies"][1];
    assert_eq!(source["digest"]["gitCommit"], "0123456789abcdef0123456789abcdef01234567");
}

#[test]
fn a_dirty_tree_is_no_commit() {
    let mut made = provenance();
    made.source = made.source.map(|source| Revision { dirty: true, ..source });
    let json: Value = serde_json::from_slice(made.to_envelope().unwrap().payload()).unwrap();
    assert!(json["predicate"]["buildDefinition"]["resolvedDependencies"][1]["digest"].is_null());
}

#[test]
fn one_key_of_a_release_role_is_enough() {
    let mut envelope = provenance().to_envelope().unwrap();
    envelope.sign(&keys(2)[1]).unwrap();
    let verified = verify(&envelope.to_bytes(), &root(), &Digest::of(b"release")).unwrap();
    assert_eq!(verified.provenance, provenance());
    assert_eq!(verified.signers.iter().map(|signer| signer.owner.as_str()).collect::<Vec<_>>(), ["owner-1"]);
}

#[test]
fn foreign_signatures_other_roles_and_changes_are_refused() {
    let expected = Digest::of(b"release");
    let envelope = provenance().to_envelope().unwrap();
    let not_signed = |bytes: &[u8], root: &TrustRoot| {
        matches!(verify(bytes, root, &expected), Err(ProvenanceFault::NotSigned { .. }))
    };
    assert!(not_signed(&envelope.to_bytes(), &root()), "by nobody");
    let mut foreign = envelope.clone();
    foreign.sign(&keys(3)[2]).unwrap();
    assert!(not_signed(&foreign.to_bytes(), &root()), "by a key that the root does not hold");
    // The second key may sign pointers alone.
    let (both, mut narrow) = (keys(2), claims(1, &keys(2), 1));
    for role in [&mut narrow.roles.release_narrower, &mut narrow.roles.release_wider] {
        *role = RoleKeys { keys: vec![both[0].public().id()], threshold: 1 };
    }
    let narrow = verify_root(&signed(&narrow, &both)).unwrap();
    let mut pointer = envelope.clone();
    pointer.sign(&both[1]).unwrap();
    assert!(not_signed(&pointer.to_bytes(), &narrow), "by a key of another role");
    let mut good = envelope;
    good.sign(&both[0]).unwrap();
    let other = verify(&good.to_bytes(), &root(), &Digest::of(b"other"));
    assert!(matches!(other, Err(ProvenanceFault::OtherRelease { .. })));
    let bytes = good.to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let accepted = verify(&changed, &root(), &expected);
        assert!(accepted.is_err(), "byte {at} was changed: {accepted:?}");
    }
}

#[test]
fn names_have_bounds() {
    let control = Provenance { builder: "a\u{1b}[2J".into(), ..provenance() };
    assert!(matches!(control.to_envelope(), Err(ProvenanceFault::Name { what: "a builder", .. })));
    let input = provenance().inputs[0].clone();
    let many = Provenance { inputs: vec![input; PROVENANCE_INPUTS_MAX + 1], ..provenance() };
    assert!(matches!(many.to_envelope(), Err(ProvenanceFault::Inputs { .. })));
}
