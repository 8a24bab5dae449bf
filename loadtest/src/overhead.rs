//! What the full policy costs over the null policy: two gateways side by side, load in turns.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::credentials::{Claims, Token, server_certificate};
use crate::failure::Failure;
use crate::generator::{Generator, Slice};
use crate::idle::{self, Idle};
use crate::measure;
use crate::origin::Origin;
use crate::statistics::{self, Estimate, Pair};
use crate::subject::Subject;
use crate::wire::Target;

/// Host that the policies route and the throw-away certificate names.
const HOST: &str = "api.load.test";
const ISSUER: &str = "https://id.load.test";
const AUDIENCE: &str = "load";

/// How to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Times that both gateways are started anew.
    pub starts: usize,
    /// Pairs of slices in each start.
    pub pairs: usize,
    pub slice: Duration,
    pub connections: usize,
    pub gateway_core: usize,
    pub load_core: usize,
    pub content_bytes: usize,
    pub idle_plain: usize,
    pub idle_tls: usize,
}

/// One kind of policy under load.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    pub cpu_us: Estimate,
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub starts: usize,
    pub pairs: usize,
    pub null: Load,
    pub full: Load,
    /// CPU per request, full over null.
    pub ratio: Estimate,
    pub idle_plain: Option<Idle>,
    pub idle_tls: Option<Idle>,
}

/// Starts an origin and both gateways, and measures.
pub fn run(binary: &Path, plan: &Plan) -> Result<Report, Failure> {
    measure::raise_descriptor_limit()?;
    let origin = Origin::start(plan.load_core, plan.content_bytes)?;
    let now_s = measure::now_s();
    let claims =
        Claims { issuer: ISSUER, audience: AUDIENCE, subject: "load", scope: "load", now_s, lifetime_s: 86_400 };
    let token = Token::sign(&claims)?;
    let full_files = [("policy.toml", full_policy(origin)), ("load.jwks.json", token.jwks.clone())];
    let full_files = full_files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let null_text = null_policy(origin);
    let null_files = [("policy.toml", null_text.as_str())];
    let bearer = [format!("Authorization: Bearer {}", token.token)];
    let mut measured = Measured::default();
    let mut idle_plain = None;
    for start in 0..plan.starts.max(1) {
        let start_null = || Subject::dev(binary, plan.gateway_core, &null_files, &[]);
        let start_full = || Subject::dev(binary, plan.gateway_core, &full_files, &[]);
        // They take turns in starting too, so that its order favours neither.
        let (null, full) = if start % 2 == 0 {
            let null = start_null()?;
            (null, start_full()?)
        } else {
            let full = start_full()?;
            (start_null()?, full)
        };
        measure::on_core(plan.load_core, || {
            let mut generators = [
                Generator::connect(&target(&null, false)?, plan.connections, &[])?,
                Generator::connect(&target(&full, false)?, plan.connections, &bearer)?,
            ];
            alternate(&mut generators, [null.pid(), full.pid()], plan, &mut measured)
        })?;
        if start == 0 && plan.idle_plain > 0 {
            let fresh = start_null()?;
            idle_plain = Some(idle::measure(&target(&fresh, false)?, plan.idle_plain, &[], fresh.pid())?);
        }
    }
    let mut report = measured.report(plan)?;
    report.idle_plain = idle_plain;
    if plan.idle_tls > 0 {
        let tls = tls_subject(binary, plan.gateway_core, origin)?;
        report.idle_tls = Some(idle::measure(&target(&tls, true)?, plan.idle_tls, &[], tls.pid())?);
    }
    Ok(report)
}

/// What was seen so far: the pairs of each start, and all slices of each subject together.
#[derive(Default)]
struct Measured {
    blocks: Vec<Vec<Pair>>,
    totals: [Option<Slice>; 2],
}

/// Loads both in turns and sees what each slice cost: one block.
fn alternate(
    generators: &mut [Generator; 2],
    pids: [u32; 2],
    plan: &Plan,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let mut pairs: Vec<Pair> = Vec::with_capacity(plan.pairs);
    for round in 0..=plan.pairs {
        let mut pair = [(0, 0); 2];
        for turn in 0..2 {
            // Who goes first alternates too, so that a drift of the machine favours nobody.
            let subject = (turn + round) % 2;
            let (Some(generator), Some(pid)) = (generators.get_mut(subject), pids.get(subject)) else { continue };
            let before = measure::cpu_ns(*pid)?;
            let slice = generator.run(plan.slice)?;
            thread::sleep(Duration::from_millis(4)); // what still runs is put to the account of this slice
            let cpu_ns = measure::cpu_ns(*pid)? - before;
            if slice.refused > 0 {
                return Err(Failure::Subject(format!("{} of {} requests were refused", slice.refused, slice.requests)));
            }
            if let Some(entry) = pair.get_mut(subject) {
                *entry = (cpu_ns, slice.requests);
            }
            if let (true, Some(total)) = (round > 0, measured.totals.get_mut(subject)) {
                add(total, slice)?;
            }
        }
        if round > 0 {
            pairs.push(pair); // the first round warms caches
        }
    }
    measured.blocks.push(pairs);
    Ok(())
}

impl Measured {
    fn report(&self, plan: &Plan) -> Result<Report, Failure> {
        let [Some(null), Some(full)] = &self.totals else {
            return Err(Failure::Subject("nothing was measured".into()));
        };
        let seed = 0x5eed;
        let load = |slice: &Slice, subject| Load {
            cpu_us: statistics::cpu_us(&self.blocks, subject, seed),
            per_second: slice.per_second(),
            p50_us: slice.latency_us(0.5),
            p99_us: slice.latency_us(0.99),
        };
        Ok(Report {
            starts: self.blocks.len(),
            pairs: plan.pairs,
            null: load(null, 0),
            full: load(full, 1),
            ratio: statistics::ratio(&self.blocks, seed),
            idle_plain: None,
            idle_tls: None,
        })
    }
}

fn add(total: &mut Option<Slice>, slice: Slice) -> Result<(), Failure> {
    let Some(sum) = total else {
        *total = Some(slice);
        return Ok(());
    };
    sum.requests += slice.requests;
    sum.elapsed += slice.elapsed;
    sum.latencies.add(&slice.latencies).map_err(|error| Failure::Subject(error.to_string()))
}

fn target(subject: &Subject, tls: bool) -> Result<Target, Failure> {
    Ok(Target { address: subject.address()?, authority: HOST.into(), path: "/orders/7".into(), tls })
}

/// Everybody may do everything.
fn null_policy(origin: SocketAddr) -> String {
    format!(
        r#"[policy]
name = "load-null"
audit = "best-effort"

[[origin]]
name = "origin"
addresses = ["{origin}"]

[[route]]
name = "all"
host = "*"
methods = "*"
path = "/{{rest...}}"
origin = "origin"

[[scope]]
name = "load"
routes = ["all"]

[[agent]]
name = "anyone"
identity = ["anonymous"]
scopes = ["load"]
limits = []
"#
    )
}

/// A token, its scope, two limits that are never reached, and a record that is waited for.
fn full_policy(origin: SocketAddr) -> String {
    format!(
        r#"[policy]
name = "load-full"
audit = "queued"

[[issuer]]
name = "load"
issuer = "{ISSUER}"
audience = ["{AUDIENCE}"]
algorithms = ["ES256"]
keys = {{ file = "load.jwks.json" }}
scope_claim = "scope"

[[origin]]
name = "origin"
addresses = ["{origin}"]

[[route]]
name = "order"
host = "{HOST}"
methods = ["GET", "HEAD"]
path = "/orders/{{id}}"
origin = "origin"

[[scope]]
name = "load"
routes = ["order"]

[[agent]]
name = "load"
identity = [{{ token = {{ issuer = "load", subject = "load" }} }}]
scopes = ["load"]
limits = ["900000000/minute", "900000000/hour quota"]
"#
    )
}

fn tls_subject(binary: &Path, core: usize, origin: SocketAddr) -> Result<Subject, Failure> {
    let (certificate, key) = server_certificate(HOST)?;
    let policy = null_policy(origin);
    let files = [("policy.toml", policy.as_str()), ("server.pem", &certificate), ("server.key", &key)];
    Subject::dev(binary, core, &files, &["--tls-chain", "server.pem", "--tls-key", "server.key"])
}
