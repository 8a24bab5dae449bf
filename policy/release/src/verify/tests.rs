use super::*;
use crate::bounds::SIGNATURES_MAX;
use crate::envelope::{Detached, Signature};
use crate::root::{RoleKeys, RootClaims};
use crate::testing::{claims, keys, owners, release, root_of, same_roles, signed, time};

fn below(result: Result<Verified, VerifyError>) -> BelowThreshold {
    match result {
        Err(VerifyError::BelowThreshold(below)) => below,
        other => panic!("expected too few signatures, found {other:?}"),
    }
}

fn verify_wider(bytes: &[u8], root: &TrustRoot) -> Result<Verified, VerifyError> {
    verify(bytes, root, Role::ReleaseWider)
}

/// The text of an envelope with its signatures in the given order, repeated ones too.
fn envelope_with(signatures: &[&str]) -> Vec<u8> {
    let text = String::from_utf8(release([]).to_bytes()).unwrap();
    text.replace("\"signatures\":[]", &format!("\"signatures\":[{}]", signatures.join(","))).into_bytes()
}

fn signature_text(key: &crate::key::SigningKey) -> String {
    let text = String::from_utf8(release([key]).to_bytes()).unwrap();
    let start = text.find("{\"keyid").unwrap();
    text[start..text.rfind("]}").unwrap()].to_owned()
}

#[test]
fn m_of_n_distinct_keys() {
    let keys = keys(4);
    let (inside, foreign) = (&keys[..3], &keys[3]);
    let root = root_of(inside, 2);
    let texts: Vec<_> = keys.iter().map(signature_text).collect();
    let [a, b, c, x] = [&texts[0], &texts[1], &texts[2], &texts[3]];

    assert_eq!(below(verify_wider(&envelope_with(&[]), &root)).found.len(), 0);
    let one = below(verify_wider(&envelope_with(&[a]), &root));
    assert_eq!((one.expected, one.found.len(), one.not_counted.len()), (2, 1, 0));
    let twice = below(verify_wider(&envelope_with(&[a, a, a]), &root));
    assert_eq!((twice.found.len(), twice.not_counted.len()), (1, 2));
    assert!(twice.not_counted.iter().all(|ignored| ignored.why == Why::Duplicate));
    let with_foreign = below(verify_wider(&envelope_with(&[a, x]), &root));
    let unknown = NotCounted { key_id: foreign.public().id(), why: Why::UnknownKey };
    assert_eq!((with_foreign.found.len(), with_foreign.not_counted), (1, vec![unknown.clone()]));

    for enough in [vec![a, b], vec![c, a], vec![a, b, c], vec![a, a, b]] {
        let enough: Vec<_> = enough.into_iter().map(String::as_str).collect();
        let verified = verify_wider(&envelope_with(&enough), &root).unwrap();
        assert_eq!(verified.payload(), release([]).payload());
        assert_eq!(verified.digest(), release([]).digest());
    }
    let verified = verify_wider(&envelope_with(&[x, c, b, a]), &root).unwrap();
    assert_eq!(verified.not_counted(), [unknown]);
    let found: Vec<_> = verified.signers().iter().map(|signer| signer.owner.as_str()).collect();
    assert_eq!(found, ["owner-0", "owner-1", "owner-2"], "by name, whatever their key ids");
}

#[test]
fn a_false_signature_neither_counts_nor_hides_a_true_one() {
    let keys = keys(2);
    let root = root_of(&keys, 2);
    let (a, b) = (signature_text(&keys[0]), signature_text(&keys[1]));
    // B's signature under A's key id.
    let id = |key: &crate::key::SigningKey| key.public().id().to_string();
    let forged = b.replace(&id(&keys[1]), &id(&keys[0]));
    let error = below(verify_wider(&envelope_with(&[&forged, &b]), &root));
    assert_eq!(error.not_counted, [NotCounted { key_id: keys[0].public().id(), why: Why::BadSignature }]);
    let verified = verify_wider(&envelope_with(&[&forged, &a, &b]), &root).unwrap();
    assert_eq!(verified.signers().len(), 2);
    assert_eq!(verified.not_counted()[0].why, Why::BadSignature);
}

#[test]
fn a_signature_serves_for_one_kind_only() {
    let keys = keys(1);
    let root = root_of(&keys, 1);
    let release = release(&keys);
    assert!(matches!(
        verify(&release.to_bytes(), &root, Role::Pointer),
        Err(VerifyError::Envelope(EnvelopeFault::Kind { expected: Kind::Pointer, found: Kind::Release }))
    ));
    // The same payload and signature, called a revocation list.
    let relabelled = String::from_utf8(release.to_bytes())
        .unwrap()
        .replace(Kind::Release.payload_type(), Kind::Revocations.payload_type());
    let error = below(verify(relabelled.as_bytes(), &root, Role::Revocation));
    assert_eq!(error.not_counted[0].why, Why::BadSignature);
}

#[test]
fn roles_have_their_own_keys() {
    let keys = keys(4);
    let mut roles = same_roles(&keys, 2);
    roles.release_narrower = RoleKeys { keys: vec![keys[0].public().id()], threshold: 1 };
    roles.release_wider = RoleKeys { keys: keys[1..].iter().map(|key| key.public().id()).collect(), threshold: 2 };
    let claims = RootClaims::new(1, time("2030-01-01T00:00:00Z"), owners(&keys), roles).unwrap();
    let root = crate::root::verify_root(&signed(&claims, &keys)).unwrap();

    let narrower = verify(&release(&keys[..2]).to_bytes(), &root, Role::ReleaseNarrower).unwrap();
    assert_eq!(narrower.signers()[0].owner, "owner-0");
    assert_eq!(narrower.not_counted()[0].why, Why::OtherRole);
    match narrower.meets(&root, Role::ReleaseWider) {
        Err(VerifyError::BelowThreshold(below)) => assert_eq!((below.expected, below.found.len()), (2, 1)),
        other => panic!("{other:?}"),
    }
    assert!(narrower.meets(&root, Role::Pointer).is_err());
    let both = verify(&release(&keys[..3]).to_bytes(), &root, Role::ReleaseNarrower).unwrap();
    assert_eq!(both.meets(&root, Role::ReleaseWider).unwrap().len(), 2);
    assert_eq!(below(verify_wider(&release(&keys[..1]).to_bytes(), &root)).not_counted[0].why, Why::OtherRole);
}

#[test]
fn the_message_says_what_to_do() {
    let keys = keys(3);
    let root = root_of(&keys[..2], 2);
    let message = below(verify_wider(&release([&keys[0], &keys[2]]).to_bytes(), &root)).to_string();
    let foreign: String = keys[2].public().id().to_string().chars().take(12).collect();
    assert_eq!(
        message,
        format!(
            "expected 2 signatures by different keys of role release-wider (trust root version 1), found 1 (owner-0); \
             not counted: {foreign}… not in the trust root; let more owners of that role sign"
        )
    );
}

/// Every change of every byte of a small signed release is refused or gives the identical payload.
#[test]
fn every_changed_byte() {
    let keys = keys(2);
    let root = root_of(&keys, 2);
    let good = release(&keys);
    let bytes = good.to_bytes();
    let (mut refused, mut same) = (0, Vec::new());
    for at in 0..bytes.len() {
        for change in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            match verify_wider(&changed, &root) {
                Err(_) => refused += 1,
                Ok(verified) => {
                    assert_eq!(verified.payload(), good.payload(), "byte {at}");
                    assert_eq!(verified.digest(), good.digest());
                    same.push(at);
                }
            }
        }
    }
    // Only the line end (0x0a ^ 0x01 and the like give no white space; `\n` ^ 0x20 is `*`) may change and stay.
    assert!(same.iter().all(|at| *at + 1 == bytes.len()), "{same:?}");
    assert_eq!(refused + same.len(), bytes.len() * 4);
}

/// Every byte that a file may lose or have doubled.
#[test]
fn every_truncation_and_doubling() {
    let keys = keys(1);
    let root = root_of(&keys, 1);
    let bytes = release(&keys).to_bytes();
    for length in 0..bytes.len() - 1 {
        assert!(verify_wider(&bytes[..length], &root).is_err(), "cut at {length}");
        let mut doubled = bytes.clone();
        doubled.insert(length, bytes[length]);
        assert!(verify_wider(&doubled, &root).is_err(), "doubled at {length}");
        let mut without = bytes.clone();
        without.remove(length);
        assert!(verify_wider(&without, &root).is_err(), "removed at {length}");
    }
    verify_wider(&bytes[..bytes.len() - 1], &root).unwrap();
}

/// Another payload under the old signatures, canonical and with the right length.
#[test]
fn a_swapped_payload_is_refused() {
    let keys = keys(1);
    let root = root_of(&keys, 1);
    let good = release(&keys);
    let swapped = String::from_utf8(good.payload().to_vec()).unwrap().replace("10.0.0.5", "10.6.6.6");
    let mut envelope = Envelope::new(Kind::Release, swapped.as_bytes()).unwrap();
    let Signature { key_id, bytes } = good.signatures()[0];
    assert!(matches!(envelope.attach(&keys[0].public(), bytes), Err(EnvelopeFault::BadSignature(id)) if id == key_id));
    let detached = Detached { digest: envelope.digest(), ..good.detached(&keys[0]).unwrap() };
    assert!(envelope.merge(&detached).is_err());
    let text = String::from_utf8(good.to_bytes()).unwrap();
    let payload = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.split('"').nth(3).unwrap().to_owned()
    };
    let forged = text.replace(&payload(&good.to_bytes()), &payload(&envelope.to_bytes()));
    assert_eq!(below(verify_wider(forged.as_bytes(), &root)).not_counted[0].why, Why::BadSignature);
}

#[test]
fn the_bound_of_signatures_leaves_room_for_a_threshold() {
    let keys = keys(SIGNATURES_MAX as u8);
    let root = crate::root::verify_root(&signed(&claims(1, &keys, SIGNATURES_MAX as u32), &keys)).unwrap();
    let verified = verify_wider(&release(&keys).to_bytes(), &root).unwrap();
    assert_eq!(verified.signers().len(), SIGNATURES_MAX);
}
