//! The line of trust roots: each is signed by the one before and by itself.

use policy_release::root::{RootFault, TrustRoot, verify_root, verify_successor};
use policy_release::time::Timestamp;

use super::{Check, Refusal};

/// The root that `bytes` hold, as the successor of `root`.
pub fn successor(root: &TrustRoot, bytes: &[u8]) -> Result<TrustRoot, Refusal> {
    let next = root.version().saturating_add(1);
    verify_successor(root, bytes).map_err(|fault| {
        let expected = format!(
            "trust root version {next}, signed by the root thresholds of version {} and of its own",
            root.version()
        );
        let remedy = "have both thresholds sign it, and give every version in turn";
        Refusal::new(Check::RootSuccession, expected, fault.to_string(), remedy)
    })
}

/// A root that was placed by hand.
pub fn placed(bytes: &[u8]) -> Result<TrustRoot, RootFault> {
    verify_root(bytes)
}

/// Nothing new is accepted under an expired root.
pub fn expiry(root: &TrustRoot, now: Timestamp) -> Result<(), Refusal> {
    if now < root.expires() { Ok(()) } else { Err(expired(root)) }
}

pub(super) fn expired(root: &TrustRoot) -> Refusal {
    Refusal::new(
        Check::RootExpiry,
        "a trust root that has not expired",
        format!("version {}, which expired at {}", root.version(), root.expires()),
        "put its successor into the store's roots, or in the place of the file",
    )
}
