//! `loadtest idle`: memory of idle connections.

use std::io::Write;

use loadtest::failure::Failure;
use loadtest::idle::{self, Idle};
use loadtest::wire::Target;

/// Memory of idle keep-alive connections of a running process.
#[derive(clap::Args)]
pub struct Arguments {
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

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let target = Target::parse(&self.target)?;
        let idle = idle::measure(&target, self.connections, &self.headers, self.pid)?;
        super::print(out, &describe(if target.tls { "TLS" } else { "plain" }, idle))
    }
}

pub fn describe(kind: &str, idle: Idle) -> String {
    format!(
        "memory per idle {kind} connection: {:.2} KiB (of {})\n",
        idle.bytes_per_connection / 1_024.0,
        idle.connections
    )
}
