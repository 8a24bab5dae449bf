//! Puts a release and then the pointer at it into the store: a reader never finds a pointer whose release cannot come.

use std::io::Write;

use policy_release::envelope::{Envelope, EnvelopeFault, Kind};
use policy_release::pointer::{Pointer, verify_pointer};
use stores::{StoreFault, layout};

use super::{Desk, Target};
use crate::failure::{Failure, warn};
use crate::store::{Lock, WriteFault};

/// Publishes, if the channel is as it was when it was looked at.
pub fn publish(
    desk: &Desk,
    pointer: &Pointer,
    envelope: &Envelope,
    target: &Target,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    verify_pointer(&envelope.to_bytes(), &desk.root)
        .map_err(|fault| Failure::new(fault).help("adamant point sign FILE --key KEY; nothing was published"))?;
    if pointer.channel != desk.channel.as_str() {
        let message = format!(
            "the pointer is of channel {:?}, and --channel names {:?}; nothing was published",
            pointer.channel,
            desk.channel.as_str()
        );
        return Err(Failure::new(message).help(format_args!("give --channel {}", pointer.channel.escape_default())));
    }
    if pointer.release != target.digest() {
        let message = format!(
            "the pointer is of release {}, and the one that was given is {}; nothing was published",
            pointer.release,
            target.digest()
        );
        return Err(Failure::new(message).help("give the release that it points at, or make a pointer at this one"));
    }
    if pointer.policy_name != target.policy_name() {
        let message = format!(
            "the pointer is of policy {:?}, and its release of {:?}; nothing was published",
            pointer.policy_name,
            target.policy_name()
        );
        return Err(Failure::new(message).help("who changed it? Make the pointer again, and look at what is signed"));
    }
    if pointer.expires <= desk.now {
        return Err(Failure::new(format_args!("the pointer expired at {}; nothing was published", pointer.expires)));
    }
    let lock = desk.store.lock()?;
    if desk.store.pointer(&desk.channel)? != desk.seen {
        return Err(Failure::new(format_args!(
            "somebody else pointed channel {} meanwhile; nothing was published",
            desk.channel
        ))
        .help("look with: adamant point show --store DIR; then run this again"));
    }
    put_release(desk, &lock, target, out)?;
    if let Some(statement) = &target.provenance {
        let place = layout::provenance(&target.digest());
        lock.write(&place, Kind::Provenance, statement)?;
        writeln!(out, "wrote {}", desk.store.path().join(place).display())?;
    }
    let place = layout::pointer(&desk.channel);
    lock.write(&place, Kind::Pointer, &envelope.to_bytes())?;
    writeln!(out, "wrote {}", desk.store.path().join(place).display())?;
    warn_of_profile(desk, pointer)
}

/// Says so where the release before told agents where their gateway is, and this one does not: new ones cannot enroll by it.
fn warn_of_profile(desk: &Desk, pointer: &Pointer) -> Result<(), Failure> {
    let Some(current) = desk.current.pointer().filter(|current| current.release != pointer.release) else {
        return Ok(());
    };
    if desk.store.profile(&current.release)?.is_some() && desk.store.profile(&pointer.release)?.is_none() {
        warn(format_args!(
            "the release has no profile document, and the one before had: agents stay with its gateway, and new ones cannot \
             enroll by the channel: adamant profile issue --release {}, with a --gateway",
            pointer.release
        ));
    }
    Ok(())
}

/// A release is never changed; signatures that the store's copy does not have are added to it.
fn put_release(desk: &Desk, lock: &Lock<'_>, target: &Target, out: &mut dyn Write) -> Result<(), Failure> {
    let digest = target.digest();
    let place = layout::release(&digest);
    let path = desk.store.path().join(&place);
    let mut whole = target.envelope.clone();
    let there = match desk.store.release(&digest) {
        Err(WriteFault::Read { cause: fault @ StoreFault::Torn { .. }, .. }) => {
            warn(format_args!("{}: it is replaced by yours: {fault}", path.display()));
            None
        }
        there => there?,
    };
    if let Some(bytes) = there {
        let known = Envelope::parse_kind(&bytes, Kind::Release);
        let merged = known.and_then(|known| whole.merge_envelope(&known).map(|()| known));
        match merged {
            Ok(known) if known.signatures() == whole.signatures() => return Ok(()),
            Ok(_) => {}
            Err(EnvelopeFault::Signatures) => {
                warn(format_args!("{}: it has too many signatures and is replaced by yours", path.display()));
                whole = target.envelope.clone();
            }
            Err(fault) => {
                warn(format_args!("{}: it is damaged and is replaced by yours: {fault}", path.display()));
                whole = target.envelope.clone();
            }
        }
    }
    lock.write(&place, Kind::Release, &whole.to_bytes())?;
    writeln!(out, "wrote {}", path.display())?;
    Ok(())
}
