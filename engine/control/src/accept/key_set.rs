//! The key set: is it for this channel, and newer than the last one? That it has expired is no reason to refuse it: what is
//! newer may take a key away.

use policy_release::bounds::KEY_SET_LIFE_S_MAX;
use policy_release::key_set::KeySet;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;

use super::lists::{Last, News, Words, newest};
use super::{Check, Gateway, Refusal, roots};

pub const WORDS: Words = Words {
    name: "key set",
    command: "adamant key-set",
    renew: "adamant key-set renew",
    signatures: Check::KeySetSignatures,
    policy: Check::KeySetPolicy,
    channel: Check::KeySetChannel,
    serial: Check::KeySetSerial,
    equivocation: Check::KeySetEquivocation,
};

/// A set by the role `keys`, for this gateway's policy and `channel`, that does not go behind `last`. None where it is that
/// one.
pub fn check(
    bytes: &[u8],
    root: &TrustRoot,
    gateway: &Gateway,
    channel: &str,
    last: Option<Last<'_, KeySet>>,
    now: Timestamp,
) -> Result<Option<News<KeySet>>, Refusal> {
    let seen = last.and_then(|last| last.seen);
    let verified = newest::<KeySet>(bytes, root, gateway, channel, seen, &WORDS)?;
    if last.is_some_and(|last| !last.is_void) && seen.is_some_and(|seen| seen.digest == verified.digest) {
        return Ok(None);
    }
    let (set, of_serial) = (&verified.list, |refusal: Refusal| refusal.of_serial(verified.list.serial));
    roots::expiry(root, now).map_err(of_serial)?;
    ends_in_time(set, now).map_err(of_serial)?;
    if let Some(last) = last {
        issued_since(set, last).map_err(of_serial)?;
    }
    Ok(Some(News { list: set.clone(), verified, whole: None }))
}

/// What it says of its issue is not asked: a thief's set would be from the future.
fn ends_in_time(set: &KeySet, now: Timestamp) -> Result<(), Refusal> {
    if set.expires <= now.later_by(KEY_SET_LIFE_S_MAX) {
        return Ok(());
    }
    Err(Refusal::new(
        Check::KeySetLife,
        format!("a key set that ends within {} days", KEY_SET_LIFE_S_MAX / 86_400),
        format!("one that ends at {}", set.expires),
        "make one that ends sooner (adamant key-set renew --for 90d), or see the clock of this gateway",
    ))
}

/// Where the serial of a set was forgotten with the keys that signed it, and serials began again from below, others who signed
/// sets before may still be in the role: those sets would bring back what was taken out since. A time of issue after the last
/// one was accepted holds nobody up.
fn issued_since(set: &KeySet, last: Last<'_, KeySet>) -> Result<(), Refusal> {
    if set.issued >= last.issued {
        return Ok(());
    }
    Err(Refusal::new(
        Check::KeySetSerial,
        format!("a key set issued at {} or later, when the one accepted last was", last.issued),
        format!("serial {}, issued at {}", set.serial, set.issued),
        "an old key set was put back: look at the set (adamant key-set show), and renew it with the new keys (adamant key-set \
         renew --carry-on)",
    ))
}
