//! How many credentials nobody uses. Which they are is for `/last-use`: a row for each would be too many.

use std::fmt;

use super::{Families, Labels};
use crate::last_use::{Kind, Register};

/// Days after which a credential that nobody used is counted.
const DAYS: [u64; 3] = [7, 30, 90];
const DAY_S: u64 = 86_400;

pub(super) fn put(uses: &Register, now_s: u64, families: &mut Families<'_>) -> fmt::Result {
    let mut counted: Vec<(Labels, f64)> = Vec::new();
    let mut unused: Vec<(Labels, f64)> = Vec::new();
    let ledger = uses.ledger();
    // Certificates stand in no release.
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Certificate) {
        let of_kind = || ledger.known().filter(|(of, known)| of.kind == kind && known.declared);
        let label = ("kind", kind.word().to_owned());
        counted.push((vec![label.clone()], of_kind().count() as f64));
        for days in DAYS {
            let count = of_kind().filter(|(_, known)| known.idle_s(now_s) >= days * DAY_S).count();
            unused.push((vec![label.clone(), ("days", days.to_string())], count as f64));
        }
    }
    drop(ledger);
    families.gauges("credentials", "Agents, API keys, issuers and their keys that the release has", counted)?;
    families.gauges("credentials_unused", "Those of them that nobody used for so many days", unused)?;
    let help = "Uses of certificates that were not noted: too many certificates within a second";
    families.counter("certificate_uses_unnoted", help, uses.unnoted())
}
