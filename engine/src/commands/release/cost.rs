//! What a decision by a release costs: at most, by its certificate, and on demand as measured here and now.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use policy::decide::{Asked, Presented};
use policy::model::{Identity, Methods, Policy, Proofs, Route, Subject};
use policy::table::{CaIndex, CostCertificate, IssuerIndex, Table, TokenScopes};
use policy::target::Target;

use crate::commands::signing::plural;
use crate::failure::Failure;

/// Requests that are made up from a policy, each from another agent as far as there are so many.
const REQUESTS_MAX: usize = 4_096;
/// Decisions that are timed, one by one.
const SAMPLES: usize = 200_000;
/// However slow this machine is.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Writes the certificate as a table.
pub fn write_certificate(out: &mut dyn Write, certificate: &CostCertificate) -> Result<(), Failure> {
    writeln!(out, "cost        a decision takes at most")?;
    writeln!(out, "                cache lines  probes   steps  comparisons  bytes hashed")?;
    for (part, cost) in [
        ("who calls", certificate.caller),
        ("which route", certificate.route),
        ("what grants", certificate.grant),
        ("one proof", certificate.one_proof()),
        ("every proof", certificate.total()),
    ] {
        let (lines, probes, steps) = (cost.lines, cost.probes, cost.steps);
        let (comparisons, hashed) = (cost.comparisons, cost.hashed_bytes);
        writeln!(out, "  {part:<12} {lines:>12} {probes:>7} {steps:>7} {comparisons:>12} {hashed:>13}")?;
    }
    writeln!(out, "  limits checked: {}; each agent's counters are one more line", certificate.limits)?;
    Ok(())
}

/// A request that some agent may make.
struct Prepared {
    presented: Presented,
    method: String,
    host: String,
    path: String,
}

/// Decides requests that the policy permits and writes how long that took.
pub fn write_measured(out: &mut dyn Write, policy: &Policy, table: &Table<Vec<u8>>) -> Result<(), Failure> {
    let requests = prepare(policy, table);
    if requests.is_empty() {
        writeln!(out, "measured    nothing: no agent with proofs may call any route")?;
        return Ok(());
    }
    let clock = percentile(&mut time(SAMPLES / 10, || ()), 500);
    let mut next = requests.iter().cycle();
    let mut samples = time(SAMPLES, || next.next().map(|request| decide(table, request)));
    let count = samples.len();
    let [p50, p99, p999] = [500, 990, 999].map(|per_mille| percentile(&mut samples, per_mille).saturating_sub(clock));
    writeln!(out, "measured    here and now: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns")?;
    let made_up = plural(requests.len(), "made-up request");
    writeln!(
        out,
        "  {count} decisions of {made_up} that the policy permits, one by one; {clock} ns for the clock are taken off"
    )?;
    writeln!(out, "  without identification before and counters after")?;
    Ok(())
}

fn decide(table: &Table<Vec<u8>>, request: &Prepared) -> Option<usize> {
    let Prepared { presented, method, host, path } = black_box(request);
    let caller = table.caller(presented).ok()?;
    let target = Target { path: path.as_bytes(), query: None, encoded_slash: false, path_parameters: false };
    let asked = Asked { method: method.as_bytes(), host: host.as_bytes(), target: Some(&target) };
    let (grant, _) = table.decide(&caller, true, &TokenScopes::everything(), &asked).ok()?;
    Some(table.limits(grant.agent).count())
}

/// Nanoseconds of each run.
fn time<R>(count: usize, mut run: impl FnMut() -> R) -> Vec<u64> {
    let begin = Instant::now();
    let mut samples = Vec::with_capacity(count);
    while samples.len() < count {
        let start = Instant::now();
        black_box(run());
        let end = Instant::now();
        samples.push(u64::try_from((end - start).as_nanos()).unwrap_or(u64::MAX));
        if end - begin > TIME_MAX {
            break;
        }
    }
    samples
}

fn percentile(samples: &mut [u64], per_mille: usize) -> u64 {
    let at = (samples.len() * per_mille / 1_000).min(samples.len().saturating_sub(1));
    if samples.is_empty() { 0 } else { *samples.select_nth_unstable(at).1 }
}

/// For agents spread over the policy, their first identity and a route of one of their scopes.
fn prepare(policy: &Policy, table: &Table<Vec<u8>>) -> Vec<Prepared> {
    let step = policy.agents.len().div_ceil(REQUESTS_MAX).max(1);
    let agents = policy.agents.iter().step_by(step).enumerate();
    let request = |(number, agent): (usize, &policy::model::Agent)| {
        let proofs = agent.identity.iter().find_map(|identity| match identity {
            Identity::Proofs(proofs) => Some(proofs),
            Identity::Anonymous => None,
        })?;
        let scope = agent.scopes.get(number % agent.scopes.len().max(1))?;
        let scope = policy.scopes.binary_search_by(|other| other.name.cmp(scope)).ok()?;
        let routes = &policy.scopes.get(scope)?.routes;
        let route = routes.get(number % routes.len().max(1))?;
        let route = policy.routes.binary_search_by(|other| other.name.cmp(route)).ok()?;
        let prepared = aim(policy.routes.get(route)?, presented(policy, table, proofs)?);
        decide(table, &prepared).map(|_| prepared)
    };
    agents.filter_map(request).collect()
}

fn aim(route: &Route, presented: Presented) -> Prepared {
    let method = match &route.methods {
        Methods::Only(names) => names.first().cloned().unwrap_or_default(),
        Methods::Any => "GET".to_owned(),
    };
    let host = if route.host == "*" { "any.example".to_owned() } else { route.host.clone() };
    let filled = route.path.split('/').map(|segment| if segment.starts_with('{') { "12345" } else { segment });
    Prepared { presented, method, host, path: filled.collect::<Vec<_>>().join("/") }
}

fn presented(policy: &Policy, table: &Table<Vec<u8>>, proofs: &Proofs) -> Option<Presented> {
    let mut presented = Presented::default();
    if let Some(certificate) = &proofs.certificate {
        let ca = policy.client_cas.iter().position(|ca| ca.name == certificate.ca)?;
        let place = presented.certificate.first_mut()?;
        *place = table.proof_certificate(CaIndex(u16::try_from(ca).ok()?), (&certificate.name).into());
    }
    if let Some(token) = &proofs.token {
        let issuer = policy.issuers.iter().position(|issuer| issuer.name == token.issuer)?;
        let subject = match &token.subject {
            Subject::Exactly(subject) => subject.as_str(),
            Subject::AnyBut(_) => "somebody",
        };
        presented.token = Some(table.proof_token(IssuerIndex(u16::try_from(issuer).ok()?), subject.as_bytes()));
    }
    if let Some(key) = proofs.api_keys.first() {
        presented.api_key = Some(table.proof_api_key(key.as_bytes()).map(|(_, proof)| proof));
    }
    Some(presented)
}
