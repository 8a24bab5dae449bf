//! Callers that know what must hold: before they call and after the answer they look at the phase of what they show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::client::Client;

use crate::credential::{Credential, Phase, phase_of};
use crate::day::Day;

/// Between two requests of one caller.
const PACE: Duration = Duration::from_millis(6);
/// Between two tries of one caller with what must be refused: failed identifications of one address are bounded.
const BAD_PACE: Duration = Duration::from_millis(250);
/// A request waits a little longer for what an issuer says.
const WAITED: Duration = Duration::from_millis(1_900);

/// A small generator of numbers (Knuth's multiplier), so that callers differ and a run can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Calls until the end, at most so many times on one connection.
pub fn call(day: &Day, end: &AtomicBool, seed: u64, requests_max: usize) {
    let mut dice = Dice(seed);
    let mut last_bad = Instant::now();
    while !end.load(Ordering::SeqCst) && !day.is_over() {
        let is_bad = last_bad.elapsed() > BAD_PACE;
        let choice = day.credentials(if is_bad { Phase::Bad } else { Phase::Good });
        if is_bad {
            last_bad = Instant::now();
        }
        if !choice.is_empty() {
            let credential = Arc::clone(&choice[dice.below(choice.len())]);
            let requests = if is_bad { 1 } else { 1 + dice.below(requests_max) };
            on_one_connection(day, end, &credential, requests);
        }
        thread::sleep(PACE);
    }
}

fn on_one_connection(day: &Day, end: &AtomicBool, credential: &Credential, requests: usize) {
    let before = (credential.state(), Instant::now());
    let mut client = match day.connect(credential) {
        Ok(client) => client,
        Err(why) => return judge(day, credential, before, &Err(format!("no connection: {why}"))),
    };
    for _ in 0..requests {
        let before = (credential.state(), Instant::now());
        let outcome = ask(&mut client, credential);
        judge(day, credential, before, &outcome);
        if outcome != Ok(200) || end.load(Ordering::SeqCst) {
            return;
        }
        thread::sleep(PACE);
    }
}

fn ask(client: &mut Client, credential: &Credential) -> Result<u16, String> {
    client.try_send(credential.request().as_bytes()).map_err(|error| format!("cannot send: {error}"))?;
    client.try_response_to("GET").map(|response| response.status)
}

/// What came of a request that began in the state `before`, at that time.
fn judge(day: &Day, credential: &Credential, (before, begun): (u64, Instant), outcome: &Result<u16, String>) {
    let took = begun.elapsed();
    let phase = if credential.state() == before { phase_of(before) } else { Phase::Changing };
    let count = |count: &AtomicU64| _ = count.fetch_add(1, Ordering::Relaxed);
    match (phase, outcome) {
        (Phase::Good, Ok(200)) => {
            count(&day.counts.passed);
            count(&credential.passed);
        }
        (Phase::Good, outcome) if credential.place.is_short && has_ended(outcome) => count(&day.counts.either),
        (Phase::Good, Ok(401)) if credential.place.is_asked && (took > WAITED || day.has_no_answer()) => {
            count(&day.counts.either);
        }
        (Phase::Bad, Ok(400..=499) | Err(_)) => count(&day.counts.refused),
        (Phase::Changing, _) => count(&day.counts.either),
        (Phase::Good | Phase::Bad, _) => day.fails(format!("{} is {phase:?}: {outcome:?}", credential.name)),
    }
}

/// A certificate or a token for the origin ended before the machine came to renew it.
fn has_ended(outcome: &Result<u16, String>) -> bool {
    match outcome {
        Ok(status) => *status == 503,
        Err(why) => why.contains("expired"),
    }
}
