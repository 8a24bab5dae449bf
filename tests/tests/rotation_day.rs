//! A day of rotation in minutes: whatever moves does so every few seconds, under load. No valid request fails, no invalid one
//! passes, every change is in the rotation log, nothing leaks: neither what the gateway holds, nor a secret.
//!
//! Something more that moves is one more [`Rotator`], named in [`rotators`]: its constructor says in the [`Plan`] what it needs
//! of gateway, policy and files; `turn` makes the next one, waits until it is in force, and tells callers by the phase of a
//! [`credential::Credential`] what must hold from then on; `told` says what the rotation log must have.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::panic::{catch_unwind, resume_unwind};
use std::time::Duration;

#[path = "rotation_day/agents.rs"]
mod agents;
#[path = "rotation_day/assertions.rs"]
mod assertions;
#[path = "rotation_day/callers.rs"]
mod callers;
#[path = "rotation_day/client_cas.rs"]
mod client_cas;
#[path = "rotation_day/credential.rs"]
mod credential;
#[path = "rotation_day/day.rs"]
mod day;
#[path = "rotation_day/files.rs"]
mod files;
#[path = "rotation_day/issuers.rs"]
mod issuers;
#[path = "rotation_day/key_set.rs"]
mod key_set;
#[path = "rotation_day/keys.rs"]
mod keys;
#[path = "rotation_day/leaks.rs"]
mod leaks;
#[path = "rotation_day/lists.rs"]
mod lists;
#[path = "rotation_day/log.rs"]
mod log;
#[path = "rotation_day/office.rs"]
mod office;
#[path = "rotation_day/opaque.rs"]
mod opaque;
#[path = "rotation_day/plan.rs"]
mod plan;
#[path = "rotation_day/releases.rs"]
mod releases;
#[path = "rotation_day/secrets.rs"]
mod secrets;
#[path = "rotation_day/tokens.rs"]
mod tokens;

use day::Day;
use log::Told;
use plan::Plan;

/// Something that rotates by itself all day.
trait Rotator: Send {
    fn name(&self) -> &'static str;

    /// From the end of a turn to the next one.
    fn pause(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Makes the next one, and comes back when it is in force; what was waited for in vain.
    fn turn(&mut self, day: &Day) -> Result<(), String>;

    /// What the gateway must have on record about all turns so far.
    fn told(&self) -> Vec<Told>;
}

fn boxed(rotator: impl Rotator + 'static) -> Box<dyn Rotator> {
    Box::new(rotator)
}

/// All that rotates. What takes a server that is not here is left out, which it says on standard error.
fn rotators(plan: &mut Plan) -> Vec<Box<dyn Rotator>> {
    let mut all: Vec<Box<dyn Rotator>> = vec![
        Box::new(keys::IssuerKeys::new(plan)),
        Box::new(files::ServerCertificate::new(plan)),
        Box::new(files::OriginIdentity::new(plan)),
        Box::new(files::OriginSecret::new(plan)),
        Box::new(office::OriginCertificate::new(plan)),
        Box::new(lists::CertificateList::new(plan)),
        Box::new(lists::Revocations::new(plan)),
        Box::new(releases::Releases::new(plan)),
        Box::new(agents::Enrolments::new(plan)),
        Box::new(key_set::MovingKeys::new(plan)),
        Box::new(opaque::OpaqueTokens::new(plan)),
        Box::new(assertions::AssertionKeys::new(plan)),
    ];
    all.extend(issuers::ObtainedCertificate::of_openbao(plan).map(boxed));
    all.extend(issuers::ObtainedCertificate::of_acme(plan).map(boxed));
    all.extend(tokens::OriginTokens::new(plan).map(boxed));
    all
}

#[test]
fn a_day_fails_no_valid_request_and_passes_no_invalid_one() {
    if let Err(why) = catch_unwind(whole_day) {
        // Once more, as the last word: before it stands what everybody had to say who was ended by it.
        eprintln!("\nTHE DAY FAILED: {}", day::said(why.as_ref()));
        resume_unwind(why);
    }
}

fn whole_day() {
    let is_full = std::env::var_os("FULL").is_some();
    let [morning, afternoon] = if is_full { [60, 300] } else { [10, 24] }.map(Duration::from_secs);
    let mut plan = Plan::new();
    let mut rotators = rotators(&mut plan);
    let mut day = plan.begin();
    day.goes_on(morning, &mut rotators);
    let noon = leaks::held(&day.gateway);
    day.goes_on(afternoon, &mut rotators);
    leaks::assert_no_more_than(&noon, &day.gateway);
    day.ends(&rotators);
}
