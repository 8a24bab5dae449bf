//! `loadtest overhead`: what the full policy costs over the null policy.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use loadtest::failure::Failure;
use loadtest::overhead::{self, Plan};
use loadtest::target::Place;
use loadtest::{report, results};

/// What enforcement costs: one gateway under the null and the full policy, each transport and each audit mode, in turns.
#[derive(clap::Args)]
#[command(
    after_help = "Example: loadtest overhead --out overhead.json && loadtest report overhead.json -o overhead.html"
)]
pub struct Arguments {
    /// The gateway; the binary beside this one when absent.
    #[arg(long, value_name = "PATH")]
    adamant: Option<PathBuf>,
    /// Times that the gateways are started anew: two processes of one binary differ for as long as they live.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    starts: u32,
    /// Rounds in each start; in each, every gateway has its turn.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    slice_ms: u64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 0)]
    gateway_core: usize,
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    #[arg(long, default_value_t = 128)]
    content_bytes: usize,
    /// Idle plain connections; 0 leaves this out.
    #[arg(long, default_value_t = 5_000)]
    idle_plain: usize,
    /// Idle TLS connections; 0 leaves this out.
    #[arg(long, default_value_t = 1_000)]
    idle_tls: usize,
    /// Four starts of two rounds, for trying out: the figures prove nothing.
    #[arg(long, conflicts_with_all = ["starts", "rounds"])]
    quick: bool,
    /// Write the results there, for `loadtest report` and `loadtest difference`.
    #[arg(long, value_name = "RESULTS.json")]
    out: Option<PathBuf>,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let place = Place::new(self.adamant)?;
        let (starts, rounds) = if self.quick { (4, 2) } else { (self.starts, self.rounds) };
        let plan = Plan {
            starts,
            rounds,
            slice: Duration::from_millis(self.slice_ms),
            connections: self.connections,
            gateway_core: self.gateway_core,
            load_core: self.load_core,
            content_bytes: self.content_bytes,
            idle_plain: self.idle_plain,
            idle_tls: self.idle_tls,
            quick: self.quick,
        };
        let bar = ProgressBar::new(u64::from(starts) * u64::from(rounds));
        if let Ok(style) = ProgressStyle::with_template("{bar:30} round {pos} of {len}, {eta} to go") {
            bar.set_style(style);
        }
        let found = overhead::run(&place, &plan, &results::command_line(), || bar.inc(1));
        bar.finish_and_clear();
        let found = found?;
        if let Some(path) = &self.out {
            results::write(path, &found)?;
        }
        if self.json {
            let text = serde_json::to_string_pretty(&found).map_err(|error| Failure::Subject(error.to_string()))?;
            return super::print(out, &format!("{text}\n"));
        }
        super::print(out, &report::text(&found))
    }
}
