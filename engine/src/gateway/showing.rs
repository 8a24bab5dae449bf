//! What is shown of trust and releases: the status that `/release` and the metrics read, lines on stderr, records.

use control::accept::{self, Change, Refusal};
use control::records::Handle;
use control::status::{AcceptingStatus, Moving, PointerStatus, RefusalStatus, WaitingStatus};
use policy_release::candidate::Release;
use policy_release::digest::Digest;
use policy_release::pointer::VerifiedPointer;
use policy_release::time::Timestamp;

use super::standing::{NewRoot, Standing};

/// Shows what is accepted from the moment in which it serves.
pub fn accepting(moving: &mut Moving, release: Digest, by: Option<&VerifiedPointer>, now: Timestamp) {
    let (release, accepted_unix_s) = (release.to_string(), now.seconds());
    let pointer = by.map(|verified| pointer(verified, now));
    moving.accepting = Some(AcceptingStatus { release, accepted_unix_s, pointer });
}

/// Shows what is accepted.
pub fn accepted(moving: &mut Moving, standing: &Standing, now: Timestamp) {
    moving.accepting = None;
    moving.root_version = standing.accepted.root_latest;
    moving.root_expires_unix_s = standing.root().map_or(0, |root| root.expires().seconds());
    moving.accepted_unix_s = standing.accepted.release.as_ref().map(|release| release.accepted.seconds());
    moving.pointer = standing.pointer.as_ref().map(|verified| pointer(verified, now));
}

pub fn pointer(verified: &VerifiedPointer, now: Timestamp) -> PointerStatus {
    let pointer = &verified.pointer;
    PointerStatus {
        channel: pointer.channel.clone(),
        serial: pointer.serial,
        issued_unix_s: pointer.issued.seconds(),
        expires_unix_s: pointer.expires.seconds(),
        expired: pointer.expires <= now,
    }
}

/// Shows why a candidate is not served.
pub fn refused(moving: &mut Moving, refusal: &Refusal, now: Timestamp) {
    *moving.refusals.entry(refusal.check.word()).or_default() += 1;
    moving.refusal = Some(RefusalStatus {
        since_unix_s: now.seconds(),
        check: refusal.check.word().to_owned(),
        message: refusal.to_string(),
        release: refusal.release.map(|digest| digest.to_string()),
    });
}

/// Shows what is accepted at the next start.
pub fn waiting(moving: &mut Moving, release: &Release, serial: u64) {
    moving.waiting = Some(WaitingStatus { release: release.digest.to_string(), version: release.version, serial });
}

/// One line on stderr and one record, for a refusal that was not told before.
pub fn tell_refused(records: &Handle, refusal: &Refusal, place: &str, served: &str) {
    control::error!("{place}: {refusal}; still served: {served}");
    records.event("refused", |line| {
        line.text("adamant.source", place.as_bytes());
        line.text("adamant.check", refusal.check.word().as_bytes());
        line.text("adamant.expected", refusal.expected.as_bytes());
        line.text("adamant.found", refusal.found.as_bytes());
        if let Some(release) = refusal.release {
            line.text("adamant.candidate", release.to_string().as_bytes());
        }
        if let Some(serial) = refusal.serial {
            line.number("adamant.pointer.serial", serial);
        }
        line.text("adamant.served", served.as_bytes());
    });
}

/// One line on stderr and one record, for a release that is accepted.
pub fn tell_accepted(
    records: &Handle,
    release: &Release,
    pointer: Option<&VerifiedPointer>,
    change: Option<&Change>,
    now: Timestamp,
) {
    let change = change.map_or("the first release of this gateway", |change| &change.told);
    let signers: Vec<&str> = release.signers.iter().map(|signer| signer.owner.as_str()).collect();
    let signers = signers.join(", ");
    let (digest, version) = (release.digest, release.version);
    control::info!("accepted release {digest} version {version}, signed by {signers}: {change}");
    warn_of_the_future(pointer, now);
    records.event("accepted", |line| {
        line.text("adamant.release", digest.to_string().as_bytes());
        line.number("adamant.release.version", version);
        line.text("adamant.signers", signers.as_bytes());
        line.text("adamant.change", change.as_bytes());
        put_pointer(line, pointer);
    });
}

/// A newer pointer at the release that serves.
pub fn tell_renewed(records: &Handle, verified: &VerifiedPointer, now: Timestamp) {
    let pointer = &verified.pointer;
    warn_of_the_future(Some(verified), now);
    control::info!(
        "the pointer of channel {} is renewed: serial {}, until {}",
        pointer.channel,
        pointer.serial,
        pointer.expires
    );
    records.event("pointer", |line| put_pointer(line, Some(verified)));
}

/// What an expired pointer means.
pub fn expired(verified: &VerifiedPointer) -> String {
    let pointer = &verified.pointer;
    format!(
        "the pointer of channel {} (serial {}) expired at {}, nothing new is accepted by it: find out why no newer one \
         arrives",
        pointer.channel, pointer.serial, pointer.expires
    )
}

/// A pointer that was issued ahead of this machine's clock: one of two clocks is wrong. It is accepted all the same,
/// because expiry and serial are what bounds it.
pub fn from_the_future(verified: &VerifiedPointer, now: Timestamp) -> Option<String> {
    let ahead_s = accept::pointer::issued_ahead_s(verified, now)?;
    let pointer = &verified.pointer;
    Some(format!(
        "the pointer of channel {} (serial {}) was issued at {}, {ahead_s} s ahead of this machine's clock: set the clock \
         of this machine, or that of whoever signs pointers",
        pointer.channel, pointer.serial, pointer.issued
    ))
}

fn warn_of_the_future(verified: Option<&VerifiedPointer>, now: Timestamp) {
    if let Some(told) = verified.and_then(|verified| from_the_future(verified, now)) {
        control::warning!("{told}");
    }
}

/// The time has come that nothing new is accepted by the pointer.
pub fn tell_expired(records: &Handle, verified: &VerifiedPointer, served: &str) {
    control::error!("{}; still served: {served}", expired(verified));
    records.event("pointer-expired", |line| put_pointer(line, Some(verified)));
}

/// A newer trust root counts from now on.
pub fn tell_root(records: &Handle, new: &NewRoot) {
    control::info!("trust root version {} is accepted", new.version);
    let forgotten = new.forgotten.join(", ");
    if !new.forgotten.is_empty() {
        control::warning!(
            "trust root version {} has other keys or thresholds for what was remembered, so it is forgotten: {forgotten}",
            new.version
        );
    }
    records.event("trust-root", |line| {
        line.number("adamant.trust_root.version", new.version);
        if !new.forgotten.is_empty() {
            line.text("adamant.forgotten", forgotten.as_bytes());
        }
    });
}

fn put_pointer(line: &mut control::records::Object<'_>, pointer: Option<&VerifiedPointer>) {
    let Some(VerifiedPointer { pointer, .. }) = pointer else { return };
    line.text("adamant.pointer.channel", pointer.channel.as_bytes());
    line.number("adamant.pointer.serial", pointer.serial);
    line.text("adamant.pointer.expires", pointer.expires.to_string().as_bytes());
}
