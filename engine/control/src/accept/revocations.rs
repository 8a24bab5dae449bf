//! The revocation list: is it for this channel, newer than the last one, and does it hold all that one held? What it leaves
//! out without the right to stays in force beside it: it can only deny, so nothing else is lost by taking it. Nor is its
//! expiry a reason to refuse: an old list that is news is better than none.

use policy_release::envelope::Envelope;
use policy_release::revocations::{
    Entry, Revocations, RevocationsFault, VerifiedRevocations, lifted, verify_revocations,
};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use policy_release::verify::VerifyError;

use super::pointer::Seen;
use super::{Check, Gateway, Refusal, roots};

/// Entries of what would be lifted that a refusal names.
const NAMED_MAX: usize = 3;

/// The list in force.
#[derive(Clone, Copy, Debug)]
pub struct Last<'l> {
    /// All that is revoked.
    pub list: &'l Revocations,
    /// Whether some of that is there because the list that was accepted last could not lift it.
    pub carries: bool,
    /// None: the keys by whose word it holds count no more, so that its serial is forgotten; what it revokes is not.
    pub seen: Option<Seen>,
}

/// A list that is news.
#[derive(Clone, Debug)]
pub struct News {
    pub verified: VerifiedRevocations,
    /// What is revoked from now on: its entries, and those of the last list that it may not lift.
    pub list: Revocations,
    /// Around `list`, where that is more than what was signed. Nobody signed it.
    pub whole: Option<Envelope>,
}

/// A list by the revocation role, for this gateway's policy and `channel`, that does not go behind `last`. None where it is
/// the last one. `now` is what the clock says, by which credentials end: a later time that was seen once is no reason to
/// refuse what can only deny.
pub fn check(
    bytes: &[u8],
    root: &TrustRoot,
    gateway: &Gateway,
    channel: &str,
    last: Option<Last<'_>>,
    now: Timestamp,
) -> Result<Option<News>, Refusal> {
    let verified = verify_revocations(bytes, root).map_err(|fault| signatures(&fault))?;
    let serial = verified.list.serial;
    let of_serial = |refusal: Refusal| refusal.of_serial(serial);
    belongs(&verified.list, gateway, channel).map_err(of_serial)?;
    if let Some(seen) = last.and_then(|last| last.seen) {
        not_older(&verified, seen).map_err(of_serial)?;
        let may_lift_now = last.is_some_and(|last| last.carries) && verified.missing_for_wider.is_none();
        if verified.digest == seen.digest && !may_lift_now {
            return Ok(None);
        }
    }
    roots::expiry(root, now).map_err(of_serial)?;
    let before = last.map(|last| last.list.entries()).unwrap_or_default();
    let kept_back = kept_back(&verified, before, now);
    let (list, whole) = together(&verified.list, &kept_back).map_err(|fault| {
        let expected = "a revocation list that has room for what it may not lift";
        let remedy = "make one that holds what the last one held (adamant revoke)";
        of_serial(Refusal::new(Check::RevocationsLifted, expected, fault.to_string(), remedy))
    })?;
    Ok(Some(News { verified, list, whole }))
}

fn together(list: &Revocations, kept_back: &[&Entry]) -> Result<(Revocations, Option<Envelope>), RevocationsFault> {
    if kept_back.is_empty() {
        return Ok((list.clone(), None));
    }
    let list = list.with(kept_back)?;
    let whole = list.to_envelope()?;
    Ok((list, Some(whole)))
}

/// What `verified` lifts without the right to of `list`, which is in force by it. Time mends that: it lapses.
pub fn lifting(verified: &VerifiedRevocations, list: &Revocations, now: Timestamp) -> Option<Refusal> {
    let (expected, found) = super::release::counted(verified.missing_for_wider.as_ref()?);
    let lifted = kept_back(verified, list.entries(), now);
    if lifted.is_empty() {
        return None;
    }
    let named: Vec<String> = lifted.iter().take(NAMED_MAX).map(|entry| entry.target.to_string()).collect();
    let more = if lifted.len() > NAMED_MAX { " and more" } else { "" };
    let refusal = Refusal::new(
        Check::RevocationsLifted,
        format!("a revocation list with {expected}, because it lifts {}: {}{more}", lifted.len(), named.join(", ")),
        found,
        "that stays revoked beside what the list holds: let more owners of release-wider sign it, or make one that holds \
         what the last one held (adamant revoke)",
    );
    Some(refusal.of_serial(verified.list.serial))
}

/// Entries of `before` that `verified` leaves out and may not.
fn kept_back<'b>(verified: &VerifiedRevocations, before: &'b [Entry], now: Timestamp) -> Vec<&'b Entry> {
    match verified.missing_for_wider {
        Some(_) => lifted(before, verified.list.entries(), now),
        None => Vec::new(),
    }
}

fn belongs(list: &Revocations, gateway: &Gateway, channel: &str) -> Result<(), Refusal> {
    if list.policy_name != gateway.policy {
        return Err(Refusal::new(
            Check::RevocationsPolicy,
            format!("a revocation list of policy {:?}", gateway.policy),
            format!("one of policy {:?}", list.policy_name),
            "each policy has channels, and each channel a revocation list, of its own (adamant revoke)",
        ));
    }
    if list.channel != channel {
        return Err(Refusal::new(
            Check::RevocationsChannel,
            format!("a revocation list of channel {channel:?}"),
            format!("one of channel {:?}", list.channel),
            "a list is signed for one channel; make one for this channel (adamant revoke)",
        ));
    }
    Ok(())
}

fn not_older(verified: &VerifiedRevocations, seen: Seen) -> Result<(), Refusal> {
    let serial = verified.list.serial;
    if serial < seen.serial {
        return Err(Refusal::new(
            Check::RevocationsSerial,
            format!("serial {} or higher, that of the revocation list accepted last", seen.serial),
            format!("serial {serial}"),
            "an old list was put back: run adamant revoke again, which makes the next one",
        ));
    }
    if serial == seen.serial && verified.digest != seen.digest {
        return Err(Refusal::new(
            Check::RevocationsEquivocation,
            format!("one revocation list with serial {}: {}", seen.serial, seen.digest),
            format!("another with the same serial: {}", verified.digest),
            "find out who signed two lists with one serial, then make one with a higher serial",
        ));
    }
    Ok(())
}

fn signatures(fault: &RevocationsFault) -> Refusal {
    if let RevocationsFault::Verify(VerifyError::BelowThreshold(below)) = fault {
        let (expected, found) = super::release::counted(below);
        let remedy = match below.found.is_empty() {
            true => {
                "were keys replaced by this trust root? Then renew the list with the new ones (adamant revoke --renew). Else \
                 let enough owners of the role revocation sign, and publish it again"
            }
            false => "let enough owners of the role revocation sign, and publish it again",
        };
        return Refusal::new(Check::RevocationsSignatures, expected, found, remedy);
    }
    let expected = "a revocation list, signed by the threshold of role revocation";
    Refusal::new(Check::RevocationsSignatures, expected, fault.to_string(), "publish the list again (adamant revoke)")
}
