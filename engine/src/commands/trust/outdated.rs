//! What of a store holds by keys that a new trust root no longer has: gateways refuse it once they have that root.

use std::path::Path;

use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::key_set::KeySet;
use policy_release::lists::{SignedList, verify_list};
use policy_release::pointer::{Pointer, verify_pointer};
use policy_release::profile_document::verify_profile_document;
use policy_release::revocations::Revocations;
use policy_release::root::TrustRoot;
use stores::layout;

use super::words;
use crate::failure::{Failure, warn};
use crate::pointing::RELEASE_ROLES;
use crate::store::Store;

/// Says of each channel what held by a root of `chain`, no longer holds by `new`, and what to do at once.
pub fn warn_of(store: &Store, chain: &[TrustRoot], new: &TrustRoot, placed: &Path) -> Result<(), Failure> {
    let version = new.version();
    for channel in store.channels()? {
        let at = format!("--store {} --channel {channel} --trust-root {}", store.path().display(), placed.display());
        if let Some(bytes) = store.pointer(&channel)?
            && let Ok(envelope) = Envelope::parse_kind(&bytes, Kind::Pointer)
            && let Ok(pointer) = Pointer::read(envelope.payload())
        {
            tell_release(store, &pointer.release, chain, new)?;
            tell_profile(store, &pointer.release, (chain, new), &at)?;
            if lost(chain, new, |root| verify_pointer(&bytes, root).is_ok()) {
                warn(format_args!(
                    "the pointer of channel {channel} holds by older keys alone: gateways refuse it as soon as they have \
                     trust root {version}. Now renew it with the new keys: adamant point --release current {at} --key \
                     NEW.key"
                ));
            }
        }
        let list = |bytes: Option<Vec<u8>>, holds: &dyn Fn(&[u8], &TrustRoot) -> bool| {
            bytes.is_some_and(|bytes| lost(chain, new, |root| holds(&bytes, root)))
        };
        if list(store.revocations(&channel)?, &holds::<Revocations>) {
            warn(format_args!(
                "the revocation list of channel {channel} holds by older keys alone: gateways refuse it as soon as they \
                 have trust root {version} (what it revokes stays revoked). Now renew it with the new keys: adamant revoke \
                 --renew {at} --key NEW.key"
            ));
        }
        let set_is_lost = list(store.key_set(&channel)?, &holds::<KeySet>);
        if set_is_lost && !new.has(Role::Keys) {
            warn(format_args!(
                "trust root {version} has nobody in the role keys: the key set of channel {channel} is in force no more as \
                 soon as gateways have it, and all keys in it are refused"
            ));
        } else if set_is_lost {
            warn(format_args!(
                "the key set of channel {channel} holds by older keys alone: gateways refuse it as soon as they have trust \
                 root {version} (what it fills stays filled until it expires). Now look whether every key in it is meant \
                 (adamant key-set show), and renew it with the new keys: adamant key-set renew --carry-on {at} --key NEW.key"
            ));
        }
    }
    Ok(())
}

fn holds<L: SignedList>(bytes: &[u8], root: &TrustRoot) -> bool {
    verify_list::<L>(bytes, root).is_ok()
}

/// Whether something held by a root before, and does not by the new one.
fn lost(chain: &[TrustRoot], new: &TrustRoot, holds: impl Fn(&TrustRoot) -> bool) -> bool {
    !holds(new) && chain.iter().any(holds)
}

/// Agents with the new root refuse what older keys alone signed, and stay with the gateway that they have.
fn tell_profile(
    store: &Store,
    release: &Digest,
    (chain, new): (&[TrustRoot], &TrustRoot),
    at: &str,
) -> Result<(), Failure> {
    let Some(bytes) = store.profile(release)? else { return Ok(()) };
    if lost(chain, new, |root| verify_profile_document(&bytes, root, release).is_ok()) {
        warn(format_args!(
            "the profile document of {release} holds by older keys alone: agents refuse it as soon as they have trust root {} \
             (they stay with the gateway that they have), and new ones cannot enroll by it. Now look at the place that it names \
             (adamant profile show), and issue it again with the new keys: adamant profile issue --gateway URL --gateway-ca \
             FILE {at} --key NEW.key",
            new.version()
        ));
    }
    Ok(())
}

/// No gateway takes it anew, and no pointer is made at it, until it is signed again.
fn tell_release(store: &Store, digest: &Digest, chain: &[TrustRoot], new: &TrustRoot) -> Result<(), Failure> {
    let Some(bytes) = store.release(digest)? else { return Ok(()) };
    let Ok(envelope) = Envelope::parse_kind(&bytes, Kind::Release) else { return Ok(()) };
    for role in RELEASE_ROLES {
        if lost(chain, new, |root| root.standing(role, &envelope).is_met()) {
            warn(format_args!(
                "{}: {role} signed this release by older keys alone, and has {} by trust root {}. Let them sign it again: \
                 adamant release sign, by the new keys",
                store.path().join(layout::release(digest)).display(),
                words(&new.standing(role, &envelope)),
                new.version()
            ));
        }
    }
    Ok(())
}
