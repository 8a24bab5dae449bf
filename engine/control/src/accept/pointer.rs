//! The pointer: is it for this channel, newer than every one seen, and still valid?

use policy_release::candidate::Release;
use policy_release::digest::Digest;
use policy_release::pointer::{PointerFault, VerifiedPointer, verify_pointer};
use policy_release::root::TrustRoot;
use policy_release::step::Step;
use policy_release::time::Timestamp;
use policy_release::verify::VerifyError;

use super::{Change, Check, Gateway, Refusal, roots};

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
            "compare policy = under [gateway] with the name in the policy, letter by letter; if both are meant, this \
             gateway needs a store or channel of its own",
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

/// Whether the pointer is signed by enough for where it leads. The signatures of an older release were given for another
/// time: the pointer role alone must not bring back what was taken away. So where `release` has a version that is not
/// above the `highest` ever accepted, and its `change` needs the wider threshold (as that of none does), the pointer
/// itself needs it too.
pub fn threshold(
    verified: &VerifiedPointer,
    release: &Release,
    highest: u64,
    change: Option<&Change>,
) -> Result<(), Refusal> {
    let needs_wider = change.is_none_or(|change| change.needs_wider);
    if !Step::of(release.version, highest).leads_back(needs_wider) {
        return Ok(());
    }
    let Some(below) = &verified.missing_for_wider else { return Ok(()) };
    let (expected, found) = super::release::counted(below);
    let why = change.map_or("it cannot be compared with the release accepted last", |change| &change.told);
    let refusal = Refusal::new(
        Check::PointerThreshold,
        format!(
            "a pointer with {expected}, because it leads back to version {} (version {highest} was accepted already) and \
             {why}",
            release.version
        ),
        found,
        "let more owners of release-wider sign the pointer: adamant rollback with several --key, or with --out and then \
         adamant point sign",
    );
    Err(refusal.of_release(release.digest).of_serial(verified.pointer.serial))
}

/// Seconds by which a pointer may have been issued ahead of this machine's clock before that is worth a word.
const AHEAD_S_MAX: u64 = 300;

/// By how many seconds it was issued ahead of `now`, where clocks that are right do not explain it. No reason to refuse:
/// what bounds a pointer is its serial and its expiry.
pub fn issued_ahead_s(verified: &VerifiedPointer, now: Timestamp) -> Option<u64> {
    let ahead_s = verified.pointer.issued.seconds().saturating_sub(now.seconds());
    (ahead_s > AHEAD_S_MAX).then_some(ahead_s)
}

fn signatures(fault: &PointerFault) -> Refusal {
    if let PointerFault::Verify(VerifyError::BelowThreshold(below)) = fault {
        let (expected, found) = super::release::counted(below);
        let remedy = match below.found.is_empty() {
            true => {
                "were keys replaced by this trust root? Then renew the pointer with the new ones (adamant point --release \
                 current). Else: is it the right trust root, and the right store? No signature is by a key that it has for \
                 this"
            }
            false => "let enough owners of the role pointer sign, and publish it again",
        };
        return Refusal::new(Check::PointerSignatures, expected, found, remedy);
    }
    let expected = "a pointer, signed by the threshold of role pointer";
    Refusal::new(Check::PointerSignatures, expected, fault.to_string(), "publish the pointer again")
}
