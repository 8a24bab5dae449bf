//! `loadtest capacity`: the highest rate that a target keeps up with.

use std::io::Write;
use std::time::Duration;

use loadtest::capacity::{self, Goal, Step};
use loadtest::failure::Failure;
use loadtest::load::Load;
use loadtest::measure;
use loadtest::scenario::parse_duration;

use super::load_options::LoadOptions;

/// The highest rate with p99 under a bound, every response as expected and no error.
///
/// A closed loop tells where to look, then open-loop runs halve the range, and a longer run confirms what was found.
#[derive(clap::Args)]
#[command(after_help = "Example: loadtest capacity --target http://127.0.0.1:8080/ --p99 5ms")]
pub struct Arguments {
    #[command(flatten)]
    load: LoadOptions,
    /// Bound of the 99th percentile of latency, from when a request was due.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    p99: Duration,
    /// Length of one step; the confirming run is three times as long.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    step: Duration,
    /// How close the search comes, as a share of the rate.
    #[arg(long, default_value_t = 0.03)]
    tolerance: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let plan = self.load.plan()?;
        // It goes as fast as the target can, which only its owner may want.
        self.load.check_bounds(&plan, f64::INFINITY, Duration::ZERO)?;
        measure::raise_descriptor_limit()?;
        let goal = Goal { p99: self.p99, step: self.step, tolerance: self.tolerance };
        let mut load = Load::connect(plan)?;
        let mut failed = None;
        let found = {
            let seen = |step: &Step| {
                if !self.json && failed.is_none() {
                    failed = super::print(out, &describe(step)).err();
                }
            };
            capacity::search(&mut load, goal, seen)?
        };
        if let Some(failure) = failed {
            return Err(failure);
        }
        if self.json {
            let text = serde_json::to_string_pretty(&found).map_err(|error| Failure::Subject(error.to_string()))?;
            return super::print(out, &format!("{text}\n"));
        }
        match found.rate {
            Some(rate) => super::print(out, &format!("capacity: {rate:.0}/s with p99 under {:?}\n", self.p99)),
            None => super::print(out, &format!("no rate was found with p99 under {:?}\n", self.p99)),
        }
    }
}

fn describe(step: &Step) -> String {
    let kind = if step.confirming { "confirming" } else { "trying" };
    let outcome = if step.good { "good" } else { "too much" };
    let mut text = format!(
        "{kind:<10} {:>9.0}/s: answered {:>9.0}/s, p50 {:>7.0} µs, p99 {:>8.0} µs: {outcome}",
        step.rate, step.answered, step.p50_us, step.p99_us
    );
    for (count, what) in [(step.refused, "refused"), (step.errors, "errors"), (step.unsent, "unsent")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text.push('\n');
    text
}
