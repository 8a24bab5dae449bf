//! What is shown of revocation lists: the status that `/release` and the metrics read, lines on stderr, records.

use control::accept::Refusal;
use control::records::{Handle, Object};
use control::revocations::unknown;
use control::status::{Moving, RefusalStatus, RevocationsStatus};
use policy::model::Policy;
use policy_release::revocations::Revocations;
use policy_release::time::Timestamp;

use super::lists::InForce;

/// Shows the list in force.
pub fn show(moving: &mut Moving, in_force: &InForce, policy: Option<&Policy>, now: Timestamp) {
    let list = &*in_force.list;
    let shown = moving.revocations.get_or_insert_default();
    shown.serial = list.serial;
    shown.entries = live(list, now);
    shown.lapsed = list.entries().len() - shown.entries;
    shown.unknown = policy.map_or(0, |policy| unknown(list, policy));
    shown.issued_unix_s = list.issued.seconds();
    shown.expires_unix_s = list.expires.seconds();
    shown.expired = list.expires <= now;
}

/// Entries that have not lapsed.
fn live(list: &Revocations, now: Timestamp) -> usize {
    list.entries().iter().filter(|entry| !entry.has_lapsed(now)).count()
}

/// Shows why the list in the store is not the one in force.
pub fn refused(moving: &mut Moving, refusal: &Refusal, now: Timestamp) {
    *moving.refusals.entry(refusal.check.word()).or_default() += 1;
    let shown: &mut RevocationsStatus = moving.revocations.get_or_insert_default();
    shown.refusal = Some(RefusalStatus {
        since_unix_s: now.seconds(),
        check: refusal.check.word().to_owned(),
        message: refusal.to_string(),
        release: None,
    });
}

/// One line on stderr and one record, for a list that is in force.
pub fn tell_accepted(records: &Handle, in_force: &InForce, policy: Option<&Policy>, now: Timestamp) {
    let list = &*in_force.list;
    let signers: Vec<&str> = in_force.verified.signers.iter().map(|signer| signer.owner.as_str()).collect();
    let (signers, unknown) = (signers.join(", "), policy.map_or(0, |policy| unknown(list, policy)));
    control::info!(
        "revocation list serial {} is in force, {} entries, signed by {signers}, until {}",
        list.serial,
        live(list, now),
        list.expires
    );
    if unknown > 0 {
        control::warning!(
            "revocation list serial {}: {unknown} entries name an agent, API key or issuer that the release does not have",
            list.serial
        );
    }
    records.event("revocations", |line| {
        line.text("adamant.outcome", b"accepted");
        put(line, in_force);
        line.number("adamant.revocations.lapsed", (list.entries().len() - live(list, now)) as u64);
        line.number("adamant.revocations.unknown", unknown as u64);
        line.text("adamant.signers", signers.as_bytes());
    });
}

/// One line on stderr and one record, for a refusal that was not told before.
pub fn tell_refused(records: &Handle, refusal: &Refusal, place: &str, in_force: Option<&InForce>) {
    let still = match in_force {
        None => "no list is in force".to_owned(),
        Some(of) if of.refusal.as_ref() == Some(refusal) => {
            format!("all else of serial {} is in force", of.list.serial)
        }
        Some(of) => format!("serial {} stays in force", of.list.serial),
    };
    control::error!("{place}: the revocation list is {refusal}; {still}");
    records.event("revocations", |line| {
        line.text("adamant.outcome", b"refused");
        line.text("adamant.source", place.as_bytes());
        line.text("adamant.check", refusal.check.word().as_bytes());
        line.text("adamant.expected", refusal.expected.as_bytes());
        line.text("adamant.found", refusal.found.as_bytes());
        if let Some(serial) = refusal.serial {
            line.number("adamant.revocations.refused", serial);
        }
        in_force.into_iter().for_each(|in_force| put(line, in_force));
    });
}

/// Entries have lapsed, because what they revoke has ended by itself; or are in force again, because the clock went back.
pub fn tell_lapsed(records: &Handle, in_force: &InForce, now: Timestamp) {
    let list = &*in_force.list;
    let (entries, live) = (list.entries().len(), live(list, now));
    control::info!("revocation list serial {}: {live} entries in force, {} have lapsed", list.serial, entries - live);
    records.event("revocations", |line| {
        line.text("adamant.outcome", b"lapsed");
        put(line, in_force);
        line.number("adamant.revocations.lapsed", (entries - live) as u64);
    });
}

/// The time has come that a newer list should have arrived.
pub fn tell_expired(records: &Handle, in_force: &InForce) {
    let list = &*in_force.list;
    control::error!(
        "the revocation list (serial {}) expired at {} and stays in force: find out why no newer one arrives",
        list.serial,
        list.expires
    );
    records.event("revocations", |line| {
        line.text("adamant.outcome", b"expired");
        put(line, in_force);
    });
}

fn put(line: &mut Object<'_>, in_force: &InForce) {
    let list = &*in_force.list;
    line.number("adamant.revocations.serial", list.serial);
    line.number("adamant.revocations.entries", list.entries().len() as u64);
    line.text("adamant.revocations.expires", list.expires.to_string().as_bytes());
    line.text("adamant.revocations.digest", in_force.verified.digest.to_string().as_bytes());
}
