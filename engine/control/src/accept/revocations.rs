//! The revocation list: is it for this channel, newer than the last one, and does it hold all that one held? What it leaves
//! out without the right to stays in force beside it: it can only deny, so nothing else is lost by taking it. Nor is its
//! expiry a reason to refuse: an old list that is news is better than none.

use policy_release::envelope::Envelope;
use policy_release::lists::{ListFault, SignedList as _};
use policy_release::revocations::{Entry, Revocations, VerifiedRevocations, lifted};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;

use super::lists::{Last, News, Words, newest};
use super::{Check, Gateway, Refusal, roots};

/// Entries of what would be lifted that a refusal names.
const NAMED_MAX: usize = 3;

pub const WORDS: Words = Words {
    name: "revocation list",
    command: "adamant revoke",
    renew: "adamant revoke --renew",
    signatures: Check::RevocationsSignatures,
    policy: Check::RevocationsPolicy,
    channel: Check::RevocationsChannel,
    serial: Check::RevocationsSerial,
    equivocation: Check::RevocationsEquivocation,
};

/// A list by the revocation role, for this gateway's policy and `channel`, that does not go behind `last`. None where it is
/// the last one. `now` is what the clock says, by which credentials end: a later time that was seen once is no reason to
/// refuse what can only deny.
pub fn check(
    bytes: &[u8],
    root: &TrustRoot,
    gateway: &Gateway,
    channel: &str,
    last: Option<Last<'_, Revocations>>,
    now: Timestamp,
) -> Result<Option<News<Revocations>>, Refusal> {
    let seen = last.and_then(|last| last.seen);
    let verified = newest::<Revocations>(bytes, root, gateway, channel, seen, &WORDS)?;
    let serial = verified.list.serial;
    let of_serial = |refusal: Refusal| refusal.of_serial(serial);
    if let Some(seen) = seen {
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

fn together(list: &Revocations, kept_back: &[&Entry]) -> Result<(Revocations, Option<Envelope>), ListFault> {
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
