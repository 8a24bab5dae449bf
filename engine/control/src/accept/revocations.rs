//! The revocation list: is it for this channel, newer than the last one, and does it hold all that one held? Its expiry is
//! no reason to refuse: it can only deny, so an old list that is news is better than none.

use policy_release::revocations::{Revocations, RevocationsFault, VerifiedRevocations, lifted, verify_revocations};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use policy_release::verify::VerifyError;

use super::pointer::Seen;
use super::{Check, Gateway, Refusal, roots};

/// Entries of what would be lifted that a refusal names.
const NAMED_MAX: usize = 3;

/// The list accepted last.
#[derive(Clone, Copy, Debug)]
pub struct Last<'l> {
    pub list: &'l Revocations,
    /// None: the keys by whose word it holds count no more, so that its serial is forgotten; what it revokes is not.
    pub seen: Option<Seen>,
}

/// The time of a check.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The latest time seen, by which trust roots expire.
    pub latest: Timestamp,
    /// What the clock says now, by which entries lapse: one that has lapsed by a clock that was wrong is none the less lifted.
    pub wall: Timestamp,
}

/// A list by the revocation role, for this gateway's policy and `channel`, that neither goes behind `last` nor lifts what it
/// must not. None where it is the last one.
pub fn check(
    bytes: &[u8],
    root: &TrustRoot,
    gateway: &Gateway,
    channel: &str,
    last: Option<Last<'_>>,
    times: Times,
) -> Result<Option<VerifiedRevocations>, Refusal> {
    let verified = verify_revocations(bytes, root).map_err(|fault| signatures(&fault))?;
    let list = &verified.list;
    let of_serial = |refusal: Refusal| refusal.of_serial(list.serial);
    let refuse = |check, expected: String, found: String, remedy: &str| {
        Err(of_serial(Refusal::new(check, expected, found, remedy)))
    };
    if list.policy_name != gateway.policy {
        return refuse(
            Check::RevocationsPolicy,
            format!("a revocation list of policy {:?}", gateway.policy),
            format!("one of policy {:?}", list.policy_name),
            "each policy has channels, and each channel a revocation list, of its own (adamant revoke)",
        );
    }
    if list.channel != channel {
        return refuse(
            Check::RevocationsChannel,
            format!("a revocation list of channel {channel:?}"),
            format!("one of channel {:?}", list.channel),
            "a list is signed for one channel; make one for this channel (adamant revoke)",
        );
    }
    let Some(last) = last else { return roots::expiry(root, times.latest).map_err(of_serial).map(|()| Some(verified)) };
    if let Some(seen) = last.seen {
        if list.serial < seen.serial {
            return refuse(
                Check::RevocationsSerial,
                format!("serial {} or higher, that of the revocation list accepted last", seen.serial),
                format!("serial {}", list.serial),
                "an old list was put back: run adamant revoke again, which makes the next one",
            );
        }
        if list.serial == seen.serial && verified.digest != seen.digest {
            return refuse(
                Check::RevocationsEquivocation,
                format!("one revocation list with serial {}: {}", seen.serial, seen.digest),
                format!("another with the same serial: {}", verified.digest),
                "find out who signed two lists with one serial, then make one with a higher serial",
            );
        }
        if verified.digest == seen.digest {
            return Ok(None);
        }
    }
    roots::expiry(root, times.latest).map_err(of_serial)?;
    keeps_all(&verified, last.list, times.wall).map_err(of_serial)?;
    Ok(Some(verified))
}

/// Refuses a list that lifts more than its signers may.
fn keeps_all(verified: &VerifiedRevocations, last: &Revocations, now: Timestamp) -> Result<(), Refusal> {
    let Some(below) = &verified.missing_for_wider else { return Ok(()) };
    let lifted = lifted(last.entries(), verified.list.entries(), now);
    if lifted.is_empty() {
        return Ok(());
    }
    let (expected, found) = super::release::counted(below);
    let named: Vec<String> = lifted.iter().take(NAMED_MAX).map(|entry| entry.target.to_string()).collect();
    let more = if lifted.len() > NAMED_MAX { " and more" } else { "" };
    Err(Refusal::new(
        Check::RevocationsLifted,
        format!("a revocation list with {expected}, because it lifts {}: {}{more}", lifted.len(), named.join(", ")),
        found,
        "let more owners of release-wider sign it, or make one that holds what the last one held (adamant revoke)",
    ))
}

fn signatures(fault: &RevocationsFault) -> Refusal {
    if let RevocationsFault::Verify(VerifyError::BelowThreshold(below)) = fault {
        let (expected, found) = super::release::counted(below);
        let remedy = "let enough owners of the role revocation sign, and publish it again";
        return Refusal::new(Check::RevocationsSignatures, expected, found, remedy);
    }
    let expected = "a revocation list, signed by the threshold of role revocation";
    Refusal::new(Check::RevocationsSignatures, expected, fault.to_string(), "publish the list again (adamant revoke)")
}
