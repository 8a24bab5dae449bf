//! The key set: is it for this channel, and newer than the last one? Its expiry is no reason to refuse it: what is newer may
//! take a key away.

use policy_release::key_set::KeySet;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;

use super::lists::{News, Words, newest};
use super::pointer::Seen;
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

/// A set by the role `keys`, for this gateway's policy and `channel`, that does not go behind `seen`. None where it is that
/// one.
pub fn check(
    bytes: &[u8],
    root: &TrustRoot,
    gateway: &Gateway,
    channel: &str,
    seen: Option<Seen>,
    now: Timestamp,
) -> Result<Option<News<KeySet>>, Refusal> {
    let verified = newest::<KeySet>(bytes, root, gateway, channel, seen, &WORDS)?;
    if seen.is_some_and(|seen| seen.digest == verified.digest) {
        return Ok(None);
    }
    roots::expiry(root, now).map_err(|refusal| refusal.of_serial(verified.list.serial))?;
    Ok(Some(News { list: verified.list.clone(), verified, whole: None }))
}
