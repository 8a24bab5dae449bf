//! The pointer: is it for this channel, newer than every one seen, and still valid?

use policy_release::digest::Digest;
use policy_release::pointer::{PointerFault, VerifiedPointer, verify_pointer};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use policy_release::verify::VerifyError;

use super::{Check, Gateway, Refusal, roots};

/// The newest pointer of a channel that this gateway has verified, served or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub serial: u64,
    /// Over its payload.
    pub digest: Digest,
}

/// A pointer by the pointer role, for this gateway's policy and `channel`, that does not go behind `seen`. Its expiry is
/// for [`fresh`]: what passes here counts as seen, whatever comes of it.
pub fn check(
    bytes: &[u8],
    root: &TrustRoot,
    gateway: &Gateway,
    channel: &str,
    seen: Option<Seen>,
) -> Result<VerifiedPointer, Refusal> {
    let verified = verify_pointer(bytes, root).map_err(|fault| signatures(&fault))?;
    let pointer = &verified.pointer;
    let refuse = |check, expected: String, found: String, remedy: &str| {
        Err(Refusal::new(check, expected, found, remedy).of_release(pointer.release).of_serial(pointer.serial))
    };
    if pointer.policy_name != gateway.policy {
        return refuse(
            Check::PointerPolicy,
            format!("a pointer of policy {:?}", gateway.policy),
            format!("one of policy {:?}", pointer.policy_name),
            "give this gateway its own store or channel",
        );
    }
    if pointer.channel != channel {
        return refuse(
            Check::PointerChannel,
            format!("a pointer of channel {channel:?}"),
            format!("one of channel {:?}", pointer.channel),
            "a pointer is signed for one channel; make one for this channel",
        );
    }
    let Some(seen) = seen else { return Ok(verified) };
    if pointer.serial < seen.serial {
        return refuse(
            Check::PointerSerial,
            format!("serial {} or higher, the highest that this gateway has seen of the channel", seen.serial),
            format!("serial {}", pointer.serial),
            "an old pointer was put back; for a wanted rollback make a new pointer at the older release \
             (adamant rollback)",
        );
    }
    if pointer.serial == seen.serial && verified.digest != seen.digest {
        return refuse(
            Check::PointerEquivocation,
            format!("one pointer with serial {}: {}", seen.serial, seen.digest),
            format!("another with the same serial: {}", verified.digest),
            "find out who signed two pointers with one serial, then make one with a higher serial",
        );
    }
    Ok(verified)
}

/// Whether something new may be accepted by it at `now`.
pub fn fresh(verified: &VerifiedPointer, root: &TrustRoot, now: Timestamp) -> Result<(), Refusal> {
    let pointer = &verified.pointer;
    roots::expiry(root, now).map_err(|refusal| refusal.of_release(pointer.release).of_serial(pointer.serial))?;
    if now < pointer.expires {
        return Ok(());
    }
    let refusal = Refusal::new(
        Check::PointerExpiry,
        "a pointer that has not expired",
        format!("serial {}, which expired at {}", pointer.serial, pointer.expires),
        "sign a new pointer with a higher serial (adamant point), or find out why it does not arrive",
    );
    Err(refusal.of_release(pointer.release).of_serial(pointer.serial))
}

fn signatures(fault: &PointerFault) -> Refusal {
    if let PointerFault::Verify(VerifyError::BelowThreshold(below)) = fault {
        let (expected, found) = super::release::counted(below);
        let remedy = "let enough owners of the role pointer sign, and publish it again";
        return Refusal::new(Check::PointerSignatures, expected, found, remedy);
    }
    let expected = "a pointer, signed by the threshold of role pointer";
    Refusal::new(Check::PointerSignatures, expected, fault.to_string(), "publish the pointer again")
}
