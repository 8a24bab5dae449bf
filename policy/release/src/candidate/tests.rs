use super::*;
use crate::envelope::Role;
use crate::testing::{claims, keys, policy, release, root_of, signed, time};
use crate::verify::verify;

const ENGINE: EngineVersion = EngineVersion { major: 0, minor: 1, patch: 0 };

fn activate(now: &str) -> Expected<'static> {
    Expected { policy_name: "orders-edge", engine: ENGINE, purpose: Purpose::Activate { now: time(now) } }
}

fn verified(root: &TrustRoot) -> Verified {
    verify(&release(&keys(2)).to_bytes(), root, Role::ReleaseWider).unwrap()
}

#[test]
fn a_good_release() {
    let root = root_of(&keys(2), 2);
    let release = check(&verified(&root), &root, &activate("2027-01-30T23:59:59Z")).unwrap();
    assert_eq!((release.version, release.policy, release.signers.len()), (3, policy(), 2));
    assert_eq!(release.digest, crate::testing::release([]).digest());
    assert_eq!(release.parent, Some(Digest::of(b"parent")));
}

#[test]
fn refusals_say_what_was_expected_and_found() {
    let root = root_of(&keys(2), 2);
    let verified = verified(&root);
    let other = Expected { policy_name: "billing", ..activate("2026-01-01T00:00:00Z") };
    assert_eq!(
        check(&verified, &root, &other).unwrap_err().to_string(),
        "expected a release of policy \"billing\", found one of \"orders-edge\"; give this gateway its own release"
    );
    assert_eq!(
        check(&verified, &root, &activate("2027-01-31T00:00:00Z")).unwrap_err().to_string(),
        "the release (version 3) expired at 2027-01-31T00:00:00Z, it is 2027-01-31T00:00:00Z; build and sign one with \
         a later expiry"
    );
    assert!(matches!(check(&verified, &root, &activate("2030-01-01T00:00:00Z")), Err(Refusal::Root(_))));
    let old = Expected { engine: EngineVersion { minor: 0, ..ENGINE }, ..activate("2026-01-01T00:00:00Z") };
    assert!(matches!(check(&verified, &root, &old), Err(Refusal::Manifest(ManifestFault::Engine { .. }))));
}

#[test]
fn expiry_blocks_activation_not_service() {
    let root = root_of(&keys(2), 2);
    let resume = Expected { purpose: Purpose::Resume, ..activate("2026-01-01T00:00:00Z") };
    check(&verified(&root), &root, &resume).unwrap();
    let other = Expected { policy_name: "billing", ..resume };
    assert!(check(&verified(&root), &root, &other).is_err());
}

#[test]
fn a_verified_root_is_no_release() {
    let keys = keys(2);
    let root = root_of(&keys, 2);
    let verified = verify(&signed(&claims(2, &keys, 2), &keys), &root, Role::Root).unwrap();
    assert!(matches!(check(&verified, &root, &activate("2026-01-01T00:00:00Z")), Err(Refusal::Kind(_))));
}
