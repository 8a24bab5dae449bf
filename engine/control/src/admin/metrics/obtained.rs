//! Certificates that issuers give.

use std::fmt;

use super::Families;
use crate::status::Status;
use crate::watch::IDENTITY;

pub fn put(status: &Status, families: &mut Families<'_>) -> fmt::Result {
    let awaiting = status.awaiting();
    let listeners = status.activation.load().listeners.len();
    let awaits = (0..listeners).map(|index| (vec![("listener", index.to_string())], awaiting.contains(&index)));
    let awaits = awaits.map(|(labels, awaits)| (labels, f64::from(u8::from(awaits))));
    families.gauges("listener_awaits_certificate", "1 while it has no certificate yet", awaits)?;
    let moving = status.moving();
    let identities = moving.origin_material.iter().filter(|((of, _), _)| *of == IDENTITY);
    let awaits = identities.map(|((_, name), of)| (vec![("identity", name.clone())], f64::from(u8::from(of.awaited))));
    let help = "1 while its first certificate has not come: origins that want it get nothing";
    families.gauges("origin_identity_awaits_certificate", help, awaits)?;
    let all = || {
        let labels = |path: &String, from: &str| vec![("chain", path.clone()), ("from", from.to_owned())];
        moving.obtained.iter().map(move |(path, of)| (labels(path, &of.source), of))
    };
    let came = all().map(|(labels, of)| (labels, of.count));
    families.counters("certificates_obtained", "Certificates that came from an issuer and were good", came)?;
    let failures = all().map(|(labels, of)| (labels, of.failures));
    families.counters("certificates_obtained_failures", "Attempts to obtain a certificate that failed", failures)?;
    let success = all().map(|(labels, of)| (labels, of.obtained_unix_s as f64));
    let help = "When the certificate last came; 0: not since the start";
    families.gauges("certificate_obtained_timestamp_seconds", help, success)?;
    let next = all().map(|(labels, of)| (labels, of.next_unix_s as f64));
    families.gauges("certificate_due_timestamp_seconds", "When it is obtained again, or tried again", next)
}
