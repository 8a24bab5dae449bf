//! What a change, taken or refused, leaves behind: a line in the records, one on stderr, and the status.

use std::collections::BTreeMap;

use identity::token::Issuer;

use crate::assemble::origins::Planned;
use crate::moving::{Outcome, Rotation, Why};
use crate::names::Addresses;
use crate::records::Handle;
use crate::status::{CertificateStatus, CrlStatus, KeysetStatus, Status};

/// Shows what is known of each origin's addresses.
pub fn report_origins(
    status: &Status,
    planned: &[Planned],
    addresses: &Addresses,
    failures: &BTreeMap<String, String>,
) {
    let mut moving = status.moving();
    for origin in planned {
        let shown = moving.origins.entry(origin.name.clone()).or_default();
        let known = origin.resolved(|name| addresses.get(name).cloned().unwrap_or_default());
        shown.addresses = known.addresses.len();
        let failure = origin.names().find_map(|(name, _)| Some(format!("{name}: {}", failures.get(name)?)));
        shown.failures += u64::from(failure.is_some());
        shown.last_failure = failure;
    }
}

/// A keyset that was looked for.
pub(super) struct KeysetMove<'a> {
    pub issuer: &'a str,
    pub source: &'a str,
    pub why: Why,
    pub status: &'a Status,
    pub records: &'a Handle,
}

impl KeysetMove<'_> {
    fn tell(&self, outcome: Outcome<'_>, old: &[String], new: &[String]) {
        let (of, name, source, why) = ("keyset", self.issuer, self.source, self.why);
        Rotation { of, name, source, why, outcome, old, new }.tell(self.records);
    }
}

/// What serves is what is there; `times`: when it is looked for again, and until when it is believed.
pub(super) fn confirm_keyset(moved: &KeysetMove<'_>, now_s: u64, times: (Option<u64>, Option<u64>)) {
    moved.tell(Outcome::Unchanged, &[], &[]);
    let mut moving = moved.status.moving();
    if let Some(shown) = moving.keysets.get_mut(moved.issuer) {
        shown.loaded_unix_s = now_s;
        (shown.next_unix_s, shown.stale_unix_s) = times;
        shown.refreshes += 1;
        shown.last_failure = None;
    }
}

/// Puts on record that the keys of an issuer changed.
pub(super) fn tell_keyset(moved: &KeysetMove<'_>, before: Option<&Issuer>, after: &Issuer) {
    let thumbprints = |issuer: &Issuer| {
        let keys = issuer.keyset().map(|keyset| keyset.keys()).unwrap_or_default();
        let mut all: Vec<String> = keys.iter().map(|key| key.thumbprint().to_string()).collect();
        all.dedup();
        all
    };
    moved.tell(Outcome::Taken, &before.map(thumbprints).unwrap_or_default(), &thumbprints(after));
}

pub(super) fn take_keyset(moved: &KeysetMove<'_>, before: &Issuer, after: &Issuer, next: KeysetStatus) {
    tell_keyset(moved, Some(before), after);
    let keys = crate::log::counted(next.keys as u64, "key", "keys");
    crate::info!("issuer \"{}\" has a new keyset of {keys} from {}", moved.issuer, next.source);
    let mut moving = moved.status.moving();
    let shown = moving.keysets.entry(moved.issuer.to_owned()).or_default();
    let (version, refreshes) = (shown.version + 1, shown.refreshes + 1);
    *shown = KeysetStatus { version, refreshes, failures: shown.failures, ..next };
}

/// `next_unix_s`: when it is looked for again, where that is known.
pub(super) fn refuse_keyset(moved: &KeysetMove<'_>, outcome: Outcome<'_>, next_unix_s: Option<u64>) {
    moved.tell(outcome, &[], &[]);
    let mut moving = moved.status.moving();
    let shown = moving.keysets.entry(moved.issuer.to_owned()).or_default();
    match outcome {
        Outcome::Refused(why) | Outcome::Failed(why) => {
            let then =
                if shown.thumbprint.is_some() { "the old keyset stays in use" } else { "there is no keyset to use" };
            crate::error!("{why}: {then}");
            shown.failures += 1;
            shown.last_failure = Some(why.to_owned());
            shown.next_unix_s = next_unix_s;
        }
        Outcome::Taken | Outcome::Unchanged | Outcome::Stale => {
            crate::error!(
                "issuer \"{}\": {}: the keyset is older than max_stale: its tokens are refused until it is fetched again",
                moved.issuer,
                moved.source
            );
            (shown.keys, shown.thumbprint) = (0, None);
        }
    }
}

/// A listener's certificate and what came of its files. `old` and `new` are SHA-256 over the certificates.
fn tell_certificate(records: &Handle, chain: &str, outcome: Outcome<'_>, old: &[String], new: &[String]) {
    let why = Why::Changed;
    Rotation { of: "certificate", name: chain, source: chain, why, outcome, old, new }.tell(records);
}

pub(super) fn take_certificate(status: &Status, records: &Handle, chain: String, next: CertificateStatus) {
    let mut moving = status.moving();
    let shown = moving.certificates.entry(chain.clone()).or_default();
    if shown.sha256 == next.sha256 {
        return tell_certificate(records, &chain, Outcome::Unchanged, &[], &[]);
    }
    let (old, new) = ([shown.sha256.clone()], [next.sha256.clone()]);
    tell_certificate(records, &chain, Outcome::Taken, &old, &new);
    crate::info!("a new certificate for {} serves", next.names.join(", "));
    *shown = CertificateStatus { failures: shown.failures, ..next };
}

/// What is there is what serves: whatever was wrong with it is over.
pub(super) fn confirm_certificate(status: &Status, records: &Handle, chain: &str) {
    let mut moving = status.moving();
    let Some(shown) = moving.certificates.get_mut(chain) else { return };
    if shown.last_failure.take().is_some() {
        tell_certificate(records, chain, Outcome::Unchanged, &[], &[]);
        crate::info!("{chain}: it is good again, and is what serves");
    }
}

pub(super) fn refuse_certificate(status: &Status, records: &Handle, chains: Vec<String>, why: &str) {
    crate::error!("{why}: the old certificate stays in use");
    let mut moving = status.moving();
    for chain in chains {
        tell_certificate(records, &chain, Outcome::Refused(why), &[], &[]);
        let shown = moving.certificates.entry(chain).or_default();
        shown.failures += 1;
        shown.last_failure = Some(why.to_owned());
    }
}

/// The revocation lists of a client CA, told by their CRL numbers.
fn tell_crl(records: &Handle, ca: &str, (source, why): (&str, Why), outcome: Outcome<'_>, numbers: (&str, &str)) {
    let list = |numbers: &str| numbers.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (list(numbers.0), list(numbers.1));
    Rotation { of: "crl", name: ca, source, why, outcome, old: &old, new: &new }.tell(records);
}

pub(super) fn take_crl(status: &Status, records: &Handle, ca: &str, why: Why, next: CrlStatus) {
    let (revoked, numbers) = (next.revoked(), next.numbers());
    let mut moving = status.moving();
    let shown = moving.crls.entry(ca.to_owned()).or_default();
    let old = shown.numbers();
    tell_crl(records, ca, (&next.source, why), Outcome::Taken, (&old, &numbers));
    let revoked = crate::log::counted(revoked, "certificate", "certificates");
    let lists = if numbers.contains(' ') { "lists" } else { "list" };
    crate::info!("client CA \"{ca}\" has revocation {lists} {}, with {revoked}", numbers.replace(' ', ", "));
    *shown = CrlStatus { failures: shown.failures + next.failures, ..next };
}

/// The file has what is in force. That it was bad before is over.
pub(super) fn confirm_crl(status: &Status, records: &Handle, ca: &str, why: Why, read: CrlStatus) {
    let mut moving = status.moving();
    let Some(shown) = moving.crls.get_mut(ca) else { return };
    if why != Why::Start {
        tell_crl(records, ca, (&shown.source, why), Outcome::Unchanged, ("", ""));
    }
    if shown.last_failure.is_some() && read.last_failure.is_none() {
        crate::info!("client CA \"{ca}\": what {} has is good again", shown.source);
    }
    (shown.loaded_unix_s, shown.last_failure) = (read.loaded_unix_s, read.last_failure);
    shown.failures += read.failures;
}

pub(super) fn refuse_crl(status: &Status, records: &Handle, ca: &str, why: &str) {
    crate::error!("{why}: the old revocation lists stay in force");
    let mut moving = status.moving();
    let shown = moving.crls.entry(ca.to_owned()).or_default();
    tell_crl(records, ca, (&shown.source, Why::Changed), Outcome::Refused(why), ("", ""));
    shown.failures += 1;
    shown.last_failure = Some(why.to_owned());
}
