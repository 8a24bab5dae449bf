//! `loadtest run`: load on one target.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use loadtest::failure::Failure;
use loadtest::load::{Errors, Load, Loop, Negotiated, Plan, Slice};
use loadtest::measure;
use loadtest::scenario::{Phase, Scenario, parse_duration};
use serde::Serialize;

use super::load_options::LoadOptions;
use super::progress;

const EXAMPLES: &str = "\
Examples:
  As fast as it answers, over 64 kept connections, with the gateway's CPU per request:
    loadtest run --target http://127.0.0.1:8080/orders/7 --pid $(pidof adamant)
  2,000 requests a second for ten seconds, latencies from when each should have been sent:
    loadtest run --target http://127.0.0.1:8080/ --rate 2000 --duration 10s
  A full mTLS handshake for every request, with one key-exchange group:
    loadtest run --target https://gw.example/ --ca ca.pem --certificate me.pem --key me.key --reuse new --group x25519
  10,000 tokens in turn:
    loadtest run --target http://127.0.0.1:8080/ --tokens tokens.txt
  Steps of rising rate from a file:
    loadtest run --scenario loadtest/scenarios/steps.toml";

/// Options that a scenario file says itself.
const INSTEAD: [&str; 18] = [
    "rate",
    "duration",
    "warm_up",
    "connections",
    "reuse",
    "method",
    "content_bytes",
    "headers",
    "tokens",
    "expect",
    "ca",
    "certificate",
    "key",
    "group",
    "resume",
    "slow_readers",
    "slow_bytes",
    "cores",
];

/// Load on one target: a closed loop, or a constant rate (--rate), or the phases of a scenario file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A scenario file; it says everything but the target, which --target may replace.
    #[arg(long, value_name = "FILE", conflicts_with_all = INSTEAD)]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    load: LoadOptions,
    /// Requests a second whatever the target does (open loop); without it a closed loop.
    #[arg(long, value_name = "PER_SECOND", help_heading = "Load")]
    rate: Option<f64>,
    /// Length of the measured part: 250ms, 5s, 2m.
    #[arg(long, default_value = "5s", value_parser = parse_duration, help_heading = "Load")]
    duration: Duration,
    /// Load before the measured part.
    #[arg(long, default_value = "500ms", value_parser = parse_duration, help_heading = "Load")]
    warm_up: Duration,
    /// Process whose CPU time and memory are measured, with all that descend from it. May be repeated.
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let scenario = self.scenario()?;
        let duration = scenario.warm_up + scenario.phases.iter().map(|phase| phase.duration).sum::<Duration>();
        let rate = |phase: &Phase| match phase.loop_ {
            Loop::Closed => f64::INFINITY,
            Loop::Open { per_second } => per_second,
        };
        let rate_max = scenario.phases.iter().map(rate).fold(0.0, f64::max);
        self.load.check_bounds(&scenario.plan, rate_max, duration)?;
        measure::raise_descriptor_limit()?;
        let mut load = Load::connect(first(&scenario))?;
        let warm_up = scenario.warm_up;
        progress::during("warming up", warm_up, || load.run(warm_up))?;
        let pids = self.families();
        let mut results = Vec::with_capacity(scenario.phases.len());
        for phase in &scenario.phases {
            load.set_loop(phase.loop_)?;
            let before = Cost::now(&pids)?;
            let slice = progress::during(&phase.name, phase.duration, || load.run(phase.duration))?;
            let after = Cost::now(&pids)?;
            results.push(PhaseResult::new(phase, &slice, before, after));
        }
        if self.json {
            let text = serde_json::to_string_pretty(&results).map_err(|error| Failure::Subject(error.to_string()))?;
            return super::print(out, &format!("{text}\n"));
        }
        super::print(out, &describe(&results))
    }

    /// The processes to measure, with all that descend from them.
    fn families(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.pids.iter().flat_map(|pid| measure::family(*pid)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn scenario(&self) -> Result<Scenario, Failure> {
        if let Some(file) = &self.scenario {
            return Scenario::read(file, self.load.target.as_deref());
        }
        let plan = self.load.plan()?;
        let loop_ = self.rate.map_or(Loop::Closed, |per_second| Loop::Open { per_second });
        let phase = Phase { name: "load".into(), duration: self.duration, loop_ };
        Ok(Scenario { plan, warm_up: self.warm_up, phases: vec![phase] })
    }
}

/// The plan with the loop of the first phase, in which it warms up too.
fn first(scenario: &Scenario) -> Plan {
    let mut plan = scenario.plan.clone();
    if let Some(phase) = scenario.phases.first() {
        plan.loop_ = phase.loop_;
    }
    plan
}

/// What the target has cost so far.
#[derive(Clone, Copy)]
struct Cost {
    cpu_ns: u64,
    user_ticks: u64,
    system_ticks: u64,
    memory_bytes: u64,
}

impl Cost {
    fn now(pids: &[u32]) -> Result<Option<Self>, Failure> {
        if pids.is_empty() {
            return Ok(None);
        }
        let (user_ticks, system_ticks) = measure::user_and_system_ticks(pids);
        let memory_bytes = measure::proportional_bytes(pids)?;
        Ok(Some(Self { cpu_ns: measure::cpu_ns_of(pids)?, user_ticks, system_ticks, memory_bytes }))
    }
}

/// One phase as it is printed; times in microseconds.
#[derive(Serialize)]
struct PhaseResult {
    phase: String,
    /// Requests a second that were due; none in a closed loop.
    rate: Option<f64>,
    seconds: f64,
    requests: u64,
    per_second: f64,
    latency_us: Latencies,
    /// Delay of the generator itself, within the latencies.
    pacing_us: Option<Latencies>,
    refused: BTreeMap<u16, u64>,
    errors: Errors,
    first_error: Option<String>,
    unsent: u64,
    connections_opened: u64,
    bytes_received: u64,
    slow_requests: u64,
    slow_bytes: u64,
    tls: Negotiated,
    target: Option<TargetCost>,
    generator_cpu_us_per_request: f64,
}

#[derive(Serialize)]
struct Latencies {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
struct TargetCost {
    cpu_us_per_request: f64,
    /// Share of that in the kernel, 0 … 1; none where the run was too short to tell.
    in_kernel: Option<f64>,
    memory_bytes: u64,
}

impl Latencies {
    fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

impl PhaseResult {
    fn new(phase: &Phase, slice: &Slice, before: Option<Cost>, after: Option<Cost>) -> Self {
        let requests = (slice.requests as f64).max(1.0);
        let cost = |(before, after): (Cost, Cost)| {
            let user = (after.user_ticks - before.user_ticks) as f64;
            let system = (after.system_ticks - before.system_ticks) as f64;
            TargetCost {
                cpu_us_per_request: (after.cpu_ns - before.cpu_ns) as f64 / 1_000.0 / requests,
                in_kernel: (user + system >= 10.0).then(|| system / (user + system)),
                memory_bytes: after.memory_bytes,
            }
        };
        let open = match phase.loop_ {
            Loop::Open { per_second } => Some(per_second),
            Loop::Closed => None,
        };
        Self {
            phase: phase.name.clone(),
            rate: open,
            seconds: slice.elapsed.as_secs_f64(),
            requests: slice.requests,
            per_second: slice.per_second(),
            latency_us: Latencies::of(&slice.latencies),
            pacing_us: open.map(|_| Latencies::of(&slice.pacing)),
            refused: slice.refused_by_status.clone(),
            errors: slice.errors,
            first_error: slice.first_error.clone(),
            unsent: slice.unsent,
            connections_opened: slice.connections_opened,
            bytes_received: slice.bytes_received,
            slow_requests: slice.slow_requests,
            slow_bytes: slice.slow_bytes,
            tls: slice.tls.clone(),
            target: before.zip(after).map(cost),
            generator_cpu_us_per_request: slice.cpu_ns as f64 / 1_000.0 / requests,
        }
    }

    /// What a reader should know beside the row.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (status, count) in &self.refused {
            notes.push(format!("{count} responses had status {status}"));
        }
        if self.errors.total() > 0 {
            let first = self.first_error.as_deref().unwrap_or_default();
            notes.push(format!("errors: {} (the first: {first})", self.errors));
        }
        if self.unsent > 0 {
            notes.push(format!("{} requests were due but never sent: the target did not keep up", self.unsent));
        }
        if let Some(pacing) = self.pacing_us.as_ref().filter(|pacing| pacing.p99 > self.latency_us.p99 / 4.0) {
            let text = "the generator itself was late by";
            notes.push(format!("{text} p50 {:.0}, p99 {:.0} µs: part of these latencies", pacing.p50, pacing.p99));
        }
        if self.tls.full + self.tls.resumed > 0 {
            let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "?".into());
            let (version, group) = (name(&self.tls.version), name(&self.tls.group));
            notes.push(format!("{version} with {group}: {} full, {} resumed", self.tls.full, self.tls.resumed));
        }
        if self.slow_bytes > 0 {
            notes.push(format!("slow readers took {} bytes, {} responses", self.slow_bytes, self.slow_requests));
        }
        notes
    }
}

fn describe(results: &[PhaseResult]) -> String {
    let mut text = format!(
        "{:<16} {:>9} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>10}\n",
        "phase", "rate/s", "answered/s", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs", "CPU µs/req", "memory MiB"
    );
    for result in results {
        let Latencies { p50, p90, p99, p999, max } = result.latency_us;
        let rate = result.rate.map_or_else(|| "closed".into(), |rate| format!("{rate:.0}"));
        let (cpu, memory) = match &result.target {
            Some(target) => (
                format!("{:.2}", target.cpu_us_per_request),
                format!("{:.1}", target.memory_bytes as f64 / 1_048_576.0),
            ),
            None => ("–".into(), "–".into()),
        };
        text.push_str(&format!(
            "{:<16} {rate:>9} {:>11.0} {p50:>9.0} {p90:>9.0} {p99:>9.0} {p999:>9.0} {max:>9.0} {cpu:>11} {memory:>10}\n",
            result.phase, result.per_second
        ));
        for note in result.notes() {
            text.push_str(&format!("  {note}\n"));
        }
    }
    text
}
