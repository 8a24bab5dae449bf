//! What a change, taken or refused, leaves behind: a line in the records, one on stderr, and the status.

use std::collections::BTreeMap;

use crate::assemble::origins::Planned;
use crate::names::Addresses;
use crate::records::Handle;
use crate::status::{CertificateStatus, KeysetStatus, Status};

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

pub(super) fn take_keyset(status: &Status, records: &Handle, issuer: &str, next: KeysetStatus) {
    let mut moving = status.moving();
    let shown = moving.keysets.entry(issuer.to_owned()).or_default();
    let old = shown.thumbprint.take();
    records.event("keyset", |line| {
        line.text("adamant.token.issuer", issuer.as_bytes());
        line.text("adamant.source", next.source.as_bytes());
        line.text("adamant.outcome", b"taken");
        line.text("adamant.thumbprint.old", old.as_deref().unwrap_or("none").as_bytes());
        line.text("adamant.thumbprint.new", next.thumbprint.as_deref().unwrap_or("none").as_bytes());
    });
    crate::info!("issuer \"{issuer}\" has a new keyset of {} keys from {}", next.keys, next.source);
    *shown = KeysetStatus { version: shown.version + 1, failures: shown.failures, ..next };
}

pub(super) fn refuse_keyset(status: &Status, records: &Handle, issuer: &str, why: &str) {
    crate::error!("{why}: the old keyset stays in use");
    records.event("keyset", |line| {
        line.text("adamant.token.issuer", issuer.as_bytes());
        line.text("adamant.outcome", b"refused");
        line.text("error.message", why.as_bytes());
    });
    let mut moving = status.moving();
    let shown = moving.keysets.entry(issuer.to_owned()).or_default();
    shown.failures += 1;
    shown.last_failure = Some(why.to_owned());
}

pub(super) fn take_certificate(status: &Status, records: &Handle, chain: String, next: CertificateStatus) {
    let mut moving = status.moving();
    let shown = moving.certificates.entry(chain).or_default();
    if shown.sha256 == next.sha256 {
        return;
    }
    records.event("certificate", |line| {
        line.text("adamant.outcome", b"taken");
        line.text("adamant.sha256.old", shown.sha256.as_bytes());
        line.text("adamant.sha256.new", next.sha256.as_bytes());
    });
    crate::info!("a new certificate for {} serves", next.names.join(", "));
    *shown = CertificateStatus { failures: shown.failures, ..next };
}

pub(super) fn refuse_certificate(status: &Status, records: &Handle, chains: Vec<String>, why: &str) {
    crate::error!("{why}: the old certificate stays in use");
    records.event("certificate", |line| {
        line.text("adamant.outcome", b"refused");
        line.text("error.message", why.as_bytes());
    });
    let mut moving = status.moving();
    for chain in chains {
        let shown = moving.certificates.entry(chain).or_default();
        shown.failures += 1;
        shown.last_failure = Some(why.to_owned());
    }
}
