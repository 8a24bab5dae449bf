//! What an attempt to obtain a certificate leaves behind, good or not: a line in the rotation log, one on stderr, the status.

use policy_release::time::Timestamp;

use super::{ObtainFault, Wanted};
use crate::clock;
use crate::moving::{Outcome, Rotation, Why};
use crate::records::Handle;
use crate::status::{FailingStatus, Status};

/// An attempt that ended.
pub struct Told {
    /// Of the certificate that is obtained.
    pub wanted: Wanted,
    why: Why,
    /// The thumbprint of what was there before.
    old: Option<String>,
    /// The thumbprint of what came.
    result: Result<String, ObtainFault>,
}

impl Told {
    pub fn new(wanted: &Wanted, why: Why, old: Option<String>, result: Result<String, ObtainFault>) -> Self {
        Self { wanted: wanted.clone(), why, old, result }
    }

    /// `next_s`: when it is obtained again, or the next attempt is made; `ends_s`: when what is there now ends.
    pub fn tell(&self, records: &Handle, status: &Status, next_s: u64, ends_s: Option<u64>) {
        let (name, place) = (self.wanted.shown(), self.wanted.place());
        let fault = self.result.as_ref().err().map(|fault| format!("{fault}: {}", fault.help()));
        let outcome = match (&self.result, &fault) {
            (Err(error), Some(fault)) if error.is_refusal() => Outcome::Refused(fault),
            (_, Some(fault)) => Outcome::Failed(fault),
            (_, None) => Outcome::Taken,
        };
        let (old, new) = match &self.result {
            Ok(new) => (self.old.as_slice(), std::slice::from_ref(new)),
            Err(_) => Default::default(),
        };
        Rotation { of: "obtained-certificate", name: &name, source: &place, why: self.why, outcome, old, new }
            .tell(records);
        let next = shown(next_s);
        match (&fault, ends_s) {
            (None, ends_s) => {
                let ends = shown(ends_s.unwrap_or(0));
                crate::info!(
                    "a certificate for {name} came from {place}: it ends at {ends}, the next is due at {next}"
                );
            }
            (Some(fault), Some(ends_s)) => {
                let ends = shown(ends_s);
                crate::error!(
                    "no new certificate for {name}: {fault}: the old one, which ends at {ends}, stays; again at {next}"
                );
            }
            (Some(fault), None) => {
                crate::error!("no certificate for {name}: {fault}: there is none to use; again at {next}")
            }
        }
        self.show(status, next_s, fault);
    }

    fn show(&self, status: &Status, next_s: u64, fault: Option<String>) {
        let mut moving = status.moving();
        let shown = moving.obtained.entry(self.wanted.file.display().to_string()).or_default();
        shown.next_unix_s = next_s;
        match fault {
            None => {
                shown.obtained_unix_s = clock::unix_s();
                shown.count += 1;
                shown.failing = None;
            }
            Some(why) => {
                shown.failures += 1;
                let since_unix_s = shown.failing.take().map_or_else(clock::unix_s, |failing| failing.since_unix_s);
                shown.failing = Some(FailingStatus { since_unix_s, why });
            }
        }
    }
}

fn shown(unix_s: u64) -> String {
    Timestamp::from_seconds(unix_s).unwrap_or(Timestamp::MAX).to_string()
}
