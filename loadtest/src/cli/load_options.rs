//! Options that say what load to put on what target: those of `run` and `capacity`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loadtest::failure::Failure;
use loadtest::load::{ClientTls, Group, Identity, Plan, Request, Requests, Reuse, SlowReaders};
use loadtest::scenario::{parse_field, parse_reuse};
use loadtest::wire::Target;

/// What another machine is spared without `--i-may-load-this`.
const DURATION_MAX: Duration = Duration::from_secs(60);
const CONNECTIONS_MAX: usize = 64;
pub const RATE_MAX: f64 = 1_000.0;

#[derive(clap::Args)]
pub struct LoadOptions {
    /// http://HOST[:PORT]/PATH or https://…; a name is resolved once.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Connections, each with one request under way at most.
    #[arg(long, default_value_t = 64, help_heading = "Load")]
    pub connections: usize,
    /// `keep-alive`, `new` (a connection for every request), or how many requests a connection serves.
    #[arg(long, default_value = "keep-alive", value_parser = parse_reuse, help_heading = "Load")]
    reuse: Reuse,
    #[arg(long, default_value = "GET", help_heading = "Requests")]
    method: String,
    /// Bytes of content of each request.
    #[arg(long, default_value_t = 0, value_name = "BYTES", help_heading = "Requests")]
    content_bytes: usize,
    /// An extra field, `Name: value`. May be repeated.
    #[arg(long = "header", value_name = "FIELD", value_parser = parse_field, help_heading = "Requests")]
    headers: Vec<String>,
    /// A file with one token a line, sent in turn as `Authorization: Bearer …`.
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    tokens: Option<PathBuf>,
    /// The status that responses shall have; others count as refused.
    #[arg(long, default_value_t = 200, value_name = "STATUS", help_heading = "Requests")]
    expect: u16,
    /// PEM of the authorities to trust; without it any certificate is taken, for only cost is measured.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ca: Option<PathBuf>,
    /// PEM of the client certificate and its chain.
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "TLS")]
    certificate: Option<PathBuf>,
    /// PEM of the client key.
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = "TLS")]
    key: Option<PathBuf>,
    /// The only key-exchange group that is offered.
    #[arg(long, value_name = "GROUP", help_heading = "TLS")]
    group: Option<Group>,
    /// Resume sessions instead of a full handshake for every connection.
    #[arg(long, help_heading = "TLS")]
    resume: bool,
    /// Connections that read slowly, beside the others.
    #[arg(long, default_value_t = 0, value_name = "CONNECTIONS", help_heading = "Load")]
    slow_readers: usize,
    /// What each of them reads a second.
    #[arg(long, default_value_t = 1_000, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Load")]
    slow_bytes: u32,
    /// A core for a thread of the load generator; may be repeated. Without it: one thread, not pinned.
    #[arg(long = "core", value_name = "CORE", help_heading = "Load")]
    cores: Vec<usize>,
    /// No bounds for a target on another machine (60 s, 64 connections, 1,000 requests a second).
    #[arg(long)]
    i_may_load_this: bool,
}

impl LoadOptions {
    /// A closed loop with these options.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let Some(url) = &self.target else {
            return Err(Failure::Subject("expected --target URL, found none: say what to load".into()));
        };
        let target = Target::parse(url)?;
        let with = |fields: &[String]| Request::new(&target, &self.method, fields, self.content_bytes);
        let requests = match &self.tokens {
            None => Requests::one(with(&self.headers)),
            Some(file) => {
                let tokens = read(file)?;
                let lines = tokens.lines().map(str::trim).filter(|line| !line.is_empty());
                Requests::rotating(
                    lines
                        .map(|token| {
                            let mut fields = self.headers.clone();
                            fields.push(format!("Authorization: Bearer {token}"));
                            with(&fields)
                        })
                        .collect(),
                )
            }
        };
        let mut plan = Plan::new(target, self.connections, requests);
        plan.reuse = self.reuse;
        plan.expect = self.expect;
        plan.cores.clone_from(&self.cores);
        plan.slow_readers = (self.slow_readers > 0)
            .then_some(SlowReaders { connections: self.slow_readers, bytes_per_second: self.slow_bytes });
        let tls = self.tls()?;
        if plan.target.tls {
            plan.tls = Some(tls);
        } else if tls.roots.is_some() || tls.identity.is_some() || tls.group.is_some() || tls.resumption {
            return Err(Failure::Argument { expected: "an https:// target with options of TLS", found: url.clone() });
        }
        Ok(plan)
    }

    fn tls(&self) -> Result<ClientTls, Failure> {
        let identity = match (&self.certificate, &self.key) {
            (Some(chain), Some(key)) => Some(Identity { chain: read(chain)?, key: read(key)? }),
            _ => None,
        };
        let roots = self.ca.as_deref().map(read).transpose()?;
        Ok(ClientTls { roots, identity, group: self.group, resumption: self.resume })
    }

    /// Refuses what another machine's owner might not like.
    pub fn check_bounds(&self, plan: &Plan, rate_max: f64, duration: Duration) -> Result<(), Failure> {
        if self.i_may_load_this || is_own(plan.target.address) {
            return Ok(());
        }
        let refused = |expected, found: String| Err(Failure::Argument { expected, found });
        let connections = plan.connections + plan.slow_readers.map_or(0, |slow| slow.connections);
        if duration > DURATION_MAX {
            return refused("at most 60 s of load on another machine, or --i-may-load-this", format!("{duration:?}"));
        }
        if connections > CONNECTIONS_MAX {
            let expected = "at most 64 connections to another machine, or --i-may-load-this";
            return refused(expected, connections.to_string());
        }
        if rate_max > RATE_MAX {
            let expected = "at most --rate 1000 on another machine, or --i-may-load-this";
            let found = if rate_max.is_finite() { rate_max.to_string() } else { "a closed loop".into() };
            return refused(expected, found);
        }
        Ok(())
    }
}

fn is_own(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(Failure::io(file.display().to_string()))
}
