//! How many credentials nobody uses. Which they are is for `/last-use`: a row for each would be too many.

use std::fmt;

use super::{Families, Labels};
use crate::last_use::{Kind, Register};

/// Days after which a credential that nobody used is counted.
const DAYS: [u64; 3] = [7, 30, 90];
const DAY_S: u64 = 86_400;

pub(super) fn put(uses: &Register, now_s: u64, families: &mut Families<'_>) -> fmt::Result {
    // Of each kind: all, and those unused for so many days.
    let mut counts = Kind::ALL.map(|kind| (kind, 0_u32, DAYS.map(|days| (days, 0_u32))));
    // In one pass: there may be a million, and they are locked meanwhile.
    for (of, known) in uses.ledger().known().filter(|(_, known)| known.declared) {
        let idle_s = known.idle_s(now_s);
        for (_, all, unused) in counts.iter_mut().filter(|(kind, ..)| *kind == of.kind) {
            *all += 1;
            unused.iter_mut().filter(|(days, _)| idle_s >= days * DAY_S).for_each(|(_, count)| *count += 1);
        }
    }
    let mut counted: Vec<(Labels, f64)> = Vec::new();
    let mut unused: Vec<(Labels, f64)> = Vec::new();
    // Certificates stand in no release.
    for (kind, all, by_days) in counts.into_iter().filter(|(kind, ..)| *kind != Kind::Certificate) {
        let label = ("kind", kind.word().to_owned());
        counted.push((vec![label.clone()], f64::from(all)));
        let row = |(days, count): (u64, u32)| (vec![label.clone(), ("days", days.to_string())], f64::from(count));
        unused.extend(by_days.map(row));
    }
    families.gauges("credentials", "Agents, API keys, issuers and their keys that the release has", counted)?;
    families.gauges("credentials_unused", "Those of them that nobody used for so many days", unused)?;
    let help = "Uses of certificates that were not noted: too many certificates within a second";
    families.counter("certificate_uses_unnoted", help, uses.unnoted())
}
