//! What is accepted, what is refused, and whether the word that the gateway follows is still fresh.

use std::fmt;

use super::Families;
use crate::accept::Check;
use crate::status::{KeySetStatus, RevocationsStatus, Status};

pub(super) fn put(status: &Status, families: &mut Families<'_>) -> fmt::Result {
    // In this order, as for `/release`.
    let moving = status.moving();
    let activation = status.activation.load();
    let (accepted_s, accepted_by) = moving.acceptance_of(&activation.release.digest);
    let refusals =
        |check: &Check| (vec![("check", check.word().to_owned())], moving.refusals.get(check.word()).copied());
    let rows = Check::ALL.iter().map(refusals).map(|(labels, count)| (labels, count.unwrap_or_default()));
    families.counters(
        "acceptance_refusals",
        "Trust roots, pointers, releases, revocation lists and key sets refused, by check",
        rows,
    )?;
    let refused = u8::from(moving.refusal.is_some());
    families.gauge("acceptance_refused", "1 while something in the store is refused", f64::from(refused))?;
    families.gauge("trust_root_version", "Version of the trust root that counts", moving.root_version as f64)?;
    if let Some(accepted_s) = accepted_s {
        families.gauge("release_accepted_timestamp_seconds", "When the release was accepted", accepted_s as f64)?;
    }
    if let Some(list) = &moving.revocations {
        revocations(list, families)?;
    }
    if let Some(set) = &moving.key_set {
        key_set(set, families)?;
    }
    let Some(pointer) = accepted_by else { return Ok(()) };
    families.gauge("pointer_serial", "Serial of the accepted pointer", pointer.serial as f64)?;
    let expires_s = pointer.expires_unix_s as f64;
    families.gauge("pointer_expiry_timestamp_seconds", "When the accepted pointer expires", expires_s)?;
    families.gauge("pointer_expired", "1 once it has", f64::from(u8::from(pointer.expired)))?;
    let waiting = u8::from(moving.waiting.is_some());
    families.gauge("release_waiting", "1 while a newer release waits for a restart", f64::from(waiting))?;
    let looked_s = moving.store_looked_unix_s as f64;
    families.gauge("store_read_timestamp_seconds", "When the store was last read with nothing to refuse", looked_s)
}

fn revocations(list: &RevocationsStatus, families: &mut Families<'_>) -> fmt::Result {
    families.gauge("revocations_serial", "Serial of the revocation list in force", list.serial as f64)?;
    families.gauge("revocations_entries", "Its entries in force", list.entries as f64)?;
    families.gauge("revocations_lapsed", "Its entries that have lapsed with what they revoke", list.lapsed as f64)?;
    if list.serial > 0 {
        let expires_s = list.expires_unix_s as f64;
        families.gauge("revocations_expiry_timestamp_seconds", "When it expires; it stays in force", expires_s)?;
    }
    families.gauge("revocations_expired", "1 once it has", f64::from(u8::from(list.expired)))?;
    let refused = f64::from(u8::from(list.refusal.is_some()));
    families.gauge("revocations_refused", "1 while the revocation list in the store is refused", refused)
}

fn key_set(set: &KeySetStatus, families: &mut Families<'_>) -> fmt::Result {
    families.gauge("key_set_serial", "Serial of the key set in force; 0: there is none", set.serial as f64)?;
    families.gauge("key_set_filled", "API keys of the release that it fills", set.filled as f64)?;
    families.gauge("key_set_unfilled", "API keys of the release that nothing fills", set.unfilled as f64)?;
    families.gauge("key_set_ignored", "Its ids that the release does not leave open", set.ignored as f64)?;
    if set.serial > 0 {
        let expires_s = set.expires_unix_s as f64;
        families.gauge("key_set_expiry_timestamp_seconds", "When it expires, and its keys are refused", expires_s)?;
    }
    families.gauge("key_set_expired", "1 once it has", f64::from(u8::from(set.expired)))?;
    let refused = f64::from(u8::from(set.refusal.is_some()));
    families.gauge("key_set_refused", "1 while the key set in the store is refused", refused)
}
