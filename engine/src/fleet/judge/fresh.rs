//! What a gateway could not get anew, and goes on without.

use control::accept::Check;
use control::expiry;
use policy_release::attestation::{Attestation, LastFailure, Refusal};

use super::Judged;

impl Judged {
    pub(super) fn look_at_last_failures(&mut self, said: &Attestation) {
        for LastFailure { of, name, message } in &said.last_failures {
            let text = match of.as_str() {
                "crl" => format!(
                    "the {} {name} was refused in whole or in part, and what was in force before stays so: {message}",
                    expiry::shown(of)
                ),
                "checkpoints" => format!("checkpoints of its records do not reach {name}: {message}"),
                _ => format!("the {} {name}: {message}", expiry::shown(of)),
            };
            self.note("last-failure", text);
        }
    }
}

/// Whether nothing could be read, rather than something found bad.
pub(super) fn is_unread(refusal: Option<&Refusal>) -> bool {
    refusal.is_some_and(|refusal| refusal.release.is_none() && refusal.check == Check::Read.word())
}

/// Whether a list cannot be read for want of a store, of which that was said.
pub(super) fn is_told(said: &Attestation, refusal: &Refusal) -> bool {
    is_unread(Some(refusal)) && is_unread(said.refusal.as_ref())
}
