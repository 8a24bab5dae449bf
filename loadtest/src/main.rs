//! `loadtest`: load, a fast origin, and what a gateway costs.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use loadtest::failure::Failure;
use loadtest::generator::Generator;
use loadtest::idle::{self, Idle};
use loadtest::origin::Origin;
use loadtest::overhead::{self, Load, Plan, Report};
use loadtest::wire::Target;
use loadtest::{measure, subject};

#[derive(Parser)]
#[command(name = "loadtest", version, about = "Load generator, origin and measurements for any HTTP/1.1 proxy.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Closed-loop load on one target.
    #[command(
        after_help = "Example: loadtest run --target http://127.0.0.1:8080/ --connections 64 --seconds 5 --pid 4711"
    )]
    Run(RunArgs),
    /// A minimal fast origin.
    Origin(OriginArgs),
    /// Memory of idle keep-alive connections of a running process.
    Idle(IdleArgs),
    /// CPU per request with a null and with a full policy, their ratio, and memory per idle connection.
    Overhead(OverheadArgs),
}

#[derive(Args)]
struct RunArgs {
    /// http://HOST:PORT/PATH
    #[arg(long, value_name = "URL")]
    target: String,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// An extra field, `Name: value`. May be repeated.
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Process whose CPU time per request is measured.
    #[arg(long)]
    pid: Option<u32>,
    /// Core of the load generator.
    #[arg(long)]
    core: Option<usize>,
}

#[derive(Args)]
struct OriginArgs {
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Bytes of content of each response.
    #[arg(long, default_value_t = 128)]
    content_bytes: usize,
    #[arg(long)]
    core: Option<usize>,
}

#[derive(Args)]
struct IdleArgs {
    /// http:// or https://HOST:PORT/PATH
    #[arg(long, value_name = "URL")]
    target: String,
    #[arg(long, default_value_t = 5_000)]
    connections: usize,
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Process whose memory is measured.
    #[arg(long)]
    pid: u32,
}

#[derive(Args)]
struct OverheadArgs {
    /// The gateway; the binary beside this one when absent.
    #[arg(long, value_name = "PATH")]
    adamant: Option<PathBuf>,
    /// Times that both gateways are started anew: two processes of one binary differ for as long as they live.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Pairs of slices in each start.
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    #[arg(long, default_value_t = 250)]
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
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let outcome = match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Origin(arguments) => origin(&arguments, &mut out),
        Command::Idle(arguments) => idle_connections(&arguments),
        Command::Overhead(arguments) => overhead(arguments),
    };
    match outcome.and_then(|text| out.write_all(text.as_bytes()).map_err(Failure::io("standard output"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "loadtest: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn on_core_if<T>(core: Option<usize>, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    match core {
        Some(core) => measure::on_core(core, body),
        None => body(),
    }
}

fn run(arguments: &RunArgs) -> Result<String, Failure> {
    let target = Target::parse(&arguments.target)?;
    if target.tls {
        return Err(Failure::Argument { expected: "an http:// URL", found: arguments.target.clone() });
    }
    measure::raise_descriptor_limit()?;
    on_core_if(arguments.core, || {
        let mut generator = Generator::connect(&target, arguments.connections, &arguments.headers)?;
        generator.run(Duration::from_millis(200))?;
        let before = arguments.pid.map(measure::cpu_ns).transpose()?;
        let slice = generator.run(Duration::from_secs(arguments.seconds))?;
        let after = arguments.pid.map(measure::cpu_ns).transpose()?;
        let mut text = format!(
            "{} requests in {:.2} s: {:.0}/s, {} not 2xx\nlatency µs: p50 {:.0}, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0}\n",
            slice.requests,
            slice.elapsed.as_secs_f64(),
            slice.per_second(),
            slice.refused,
            slice.latency_us(0.5),
            slice.latency_us(0.9),
            slice.latency_us(0.99),
            slice.latency_us(0.999),
            slice.latency_us(1.0),
        );
        if let (Some(before), Some(after)) = (before, after) {
            let per_request = (after - before) as f64 / 1_000.0 / (slice.requests as f64).max(1.0);
            text.push_str(&format!("CPU of the target: {per_request:.2} µs/request\n"));
        }
        Ok(text)
    })
}

fn origin(arguments: &OriginArgs, out: &mut impl Write) -> Result<String, Failure> {
    let origin = Origin::bind(arguments.listen, arguments.content_bytes)?;
    writeln!(out, "listening http://{}", origin.address()?).map_err(Failure::io("standard output"))?;
    on_core_if(arguments.core, || origin.serve())?;
    Ok(String::new())
}

fn idle_connections(arguments: &IdleArgs) -> Result<String, Failure> {
    let target = Target::parse(&arguments.target)?;
    let idle = idle::measure(&target, arguments.connections, &arguments.headers, arguments.pid)?;
    Ok(describe_idle(if target.tls { "TLS" } else { "plain" }, idle))
}

fn overhead(arguments: OverheadArgs) -> Result<String, Failure> {
    let binary = arguments.adamant.map_or_else(subject::sibling, Ok)?;
    let binary = binary.canonicalize().map_err(Failure::io(binary.display().to_string()))?;
    let plan = Plan {
        starts: arguments.starts.max(1),
        pairs: arguments.pairs.max(1),
        slice: Duration::from_millis(arguments.slice_ms),
        connections: arguments.connections,
        gateway_core: arguments.gateway_core,
        load_core: arguments.load_core,
        content_bytes: arguments.content_bytes,
        idle_plain: arguments.idle_plain,
        idle_tls: arguments.idle_tls,
    };
    let report = overhead::run(&binary, &plan)?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::Subject(error.to_string()))?;
        return Ok(format!("{text}\n"));
    }
    Ok(describe(&report, &plan))
}

fn describe(report: &Report, plan: &Plan) -> String {
    let mut text = format!(
        "{} starts of {} pairs of {} ms, {} connections, gateway on core {}, load and origin on core {}\n\
         policy   CPU µs/request (95 %)     requests/s    p50 µs    p99 µs\n",
        report.starts,
        report.pairs,
        plan.slice.as_millis(),
        plan.connections,
        plan.gateway_core,
        plan.load_core,
    );
    for (name, Load { cpu_us, per_second, p50_us, p99_us }) in [("null", report.null), ("full", report.full)] {
        let interval = format!("{:.2} ({:.2} to {:.2})", cpu_us.value, cpu_us.low, cpu_us.high);
        text.push_str(&format!("{name:<8} {interval:<25} {per_second:>10.0} {p50_us:>9.0} {p99_us:>9.0}\n"));
    }
    let ratio = report.ratio;
    text.push_str(&format!("full over null: {:.3} ({:.3} to {:.3})\n", ratio.value, ratio.low, ratio.high));
    for (kind, idle) in [("plain", report.idle_plain), ("TLS", report.idle_tls)] {
        text.push_str(&idle.map_or_else(String::new, |idle| describe_idle(kind, idle)));
    }
    text
}

fn describe_idle(kind: &str, idle: Idle) -> String {
    format!(
        "memory per idle {kind} connection: {:.2} KiB (of {})\n",
        idle.bytes_per_connection / 1_024.0,
        idle.connections
    )
}
