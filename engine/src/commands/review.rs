//! `adamant review`: what of a policy nobody used, and what in the records is unlike before.

mod anomalies;
mod privilege;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use policy_release::time::Timestamp;
use serde_json::Value;

use super::Format;
use super::audit::IdentityArgs;
use super::status::AccessArgs;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::replay::line::parse_time;
use crate::review::last_use::Teller;
use crate::review::metrics::Metrics;
use crate::review::scan::{Window, name_of};
use crate::store::StoreAccess;

const NS_PER_S: u64 = 1_000_000_000;
const DAY_S: u64 = 86_400;
/// Exit status: there are findings.
const FOUND: u8 = 10;

#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// Record files; those of one gateway in their order, oldest first. - is standard input.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// The policy: a source, a release file, sha256:… in the store, or gateway:ADDRESS.
    #[arg(long, value_name = "POLICY", required_unless_present = "anomalies")]
    policy: Option<String>,
    /// The store that has the releases named by their digests.
    #[arg(long, value_name = "DIR|URL")]
    store: Option<PathBuf>,
    #[command(flatten)]
    store_access: StoreAccess,
    /// From this time on, UTC: 2026-11-21, or 2026-11-21T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "days")]
    since: Option<u64>,
    /// Before this time; now when absent.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// So many days before --until; 30 when absent, where the records are to cover a window.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3_650))]
    days: Option<u64>,
    /// Ask for last uses too, so that what no record shows used is not called unused: a file of what /last-use answered, or
    /// a gateway like http://127.0.0.1:9901, unix:/run/adamant/admin, https://gw1:9902. May be given several times.
    #[arg(long, value_name = "FILE|ADDRESS", conflicts_with = "anomalies")]
    last_use: Vec<Teller>,
    /// Leave alone: agent:NAME, route:NAME, scope:NAME, api-key:ID or limit:AGENT/LIMIT; besides those of review.toml
    /// beside the source.
    #[arg(long, value_name = "KIND:NAME", conflicts_with = "anomalies")]
    keep: Vec<String>,
    /// Write the tighter policy as a patch of the source, if it is proved narrower.
    #[arg(long, value_name = "FILE", conflicts_with = "anomalies")]
    patch: Option<PathBuf>,
    /// Call unused what is not in the records although they have holes.
    #[arg(long, conflicts_with = "anomalies")]
    accept_holes: bool,
    /// Compare with a baseline instead: the files of --baseline, or what is before --since (--days) in the same files.
    #[arg(long)]
    anomalies: bool,
    /// A record file of the baseline. May be given several times.
    #[arg(long, value_name = "LOG", requires = "anomalies")]
    baseline: Vec<PathBuf>,
    /// Write metrics for the textfile collector of node_exporter.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    access: AccessArgs,
}

pub fn run(args: &ReviewArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.anomalies { anomalies::run(args, out) } else { privilege::run(args, out) }
}

/// A day, or a time in UTC; nanoseconds since the Unix epoch.
fn time(text: &str) -> Result<u64, String> {
    // As `audit filter` takes it: to the day, hour, minute or second, with or without Z.
    let given = text.strip_suffix('Z').unwrap_or(text);
    let rest = match given.len() {
        10 => "T00:00:00Z",
        13 => ":00:00Z",
        16 => ":00Z",
        _ => "Z",
    };
    parse_time(&format!("{given}{rest}"))
        .ok_or_else(|| "expected a UTC time like 2026-11-21 or 2026-11-21T10:00:00Z".to_owned())
}

impl ReviewArgs {
    /// The window that was asked for; `days` are taken where none were given.
    fn window(&self, now: Timestamp, days: u64) -> Result<Window, Failure> {
        // The clock tells whole seconds: this one belongs to it.
        let until_ns = self.until.unwrap_or(now.seconds().saturating_add(1).saturating_mul(NS_PER_S));
        let span_ns = self.days.unwrap_or(days).saturating_mul(DAY_S).saturating_mul(NS_PER_S);
        let since_ns = self.since.unwrap_or_else(|| until_ns.saturating_sub(span_ns));
        if since_ns >= until_ns {
            return Err(Failure::new("expected --since before --until"));
        }
        Ok(Window { since_ns, until_ns })
    }

    fn names(&self) -> Vec<String> {
        self.logs.iter().map(|log| name_of(log)).collect()
    }

    /// Writes metrics where they are asked for.
    fn write_metrics(&self, metrics: impl FnOnce() -> Metrics) -> Result<(), Failure> {
        let Some(path) = &self.metrics else { return Ok(()) };
        Ok(files::write(path, metrics().text().as_bytes(), Access::Everyone, Existing::Replace)?)
    }
}

fn write_json(out: &mut dyn Write, document: &Value) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, document).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_those_of_audit_filter() {
        let day = time("2026-11-21").unwrap();
        let ten = day + 10 * 3_600 * super::NS_PER_S;
        for text in
            ["2026-11-21T10", "2026-11-21T10:00", "2026-11-21T10:00:00", "2026-11-21T10:00:00Z", "2026-11-21T10:00Z"]
        {
            assert_eq!(time(text), Ok(ten), "{text}");
        }
        assert_eq!(time("2026-11-21T10:00:00.5"), Ok(ten + super::NS_PER_S / 2));
        for text in
            ["", "2026", "2026-11-21T", "2026-11-21T1", "2026-11-21 10:00", "2026-11-21T10:00+01:00", "2026-13-01"]
        {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
