//! What enforcement costs, end to end: one binary under the null policy and under the full one, in turns.
//!
//! Each start begins all gateways anew, because two processes of one binary differ as long as they live. They are started
//! with `adamant dev`, which signs the policy with a throw-away key and then serves it as `adamant run` does: the same
//! workers, the same chained and signed records (here to a file). What it leaves out is off the path of a request: the
//! state directory and the store that is polled.

mod account;
mod probes;
mod turns;
mod variant;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::idle;
use crate::load::Load;
use crate::measure;
use crate::noise::{Noise, Ticks};
use crate::origin::Origin;
use crate::results::{self, Results};
use crate::statistics::Estimate;
use crate::target::{self, Material, Place, Transport};
use turns::{Running, Seen};
use variant::Variant;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Times that all gateways are started anew.
    pub starts: u32,
    /// Rounds in each start; in each round every gateway has its turn.
    pub rounds: u32,
    pub slice: Duration,
    pub connections: usize,
    pub gateway_core: usize,
    pub load_core: usize,
    pub content_bytes: usize,
    pub idle_plain: usize,
    pub idle_tls: usize,
    /// Stands in the results: too little to prove anything.
    pub quick: bool,
}

/// Starts an origin and the gateways, and measures. `told` hears of each round that is done.
pub fn run(place: &Place, plan: &Plan, command: &str, mut told: impl FnMut()) -> Result<Results, Failure> {
    measure::raise_descriptor_limit()?;
    let (began, ticks) = (Instant::now(), Ticks::now());
    let mut results = Results::begin(results::now(), command.to_owned());
    results.quick = plan.quick;
    let origin = Origin::start(plan.load_core, plan.content_bytes)?;
    let keys = tempfile::tempdir().map_err(Failure::io("a folder for keys"))?;
    let material = Material::new(keys.path()).map_err(|fault| Failure::Subject(fault.to_string()))?;
    let stage = Stage { binary: &place.adamant, plan, origin, keys: keys.path(), material: &material };
    let mut seen: Vec<Seen> = Variant::ALL.iter().map(|_| Seen::default()).collect();
    results.targets = account::subjects(&target::load("adamant")?.look(place)?.version);
    for start in 0..plan.starts {
        let mut running = stage.start(start)?;
        if start == 0 {
            for one in &running {
                probes::ask(one.variant, &one.process, &material, &mut results.targets)?;
            }
        }
        turns::rounds(&mut running, &mut seen, plan, start, &mut told)?;
    }
    let references = seen.first().map(|seen| seen.saturated.references()).unwrap_or_default();
    results.noise = Some(Noise::of(&references, Ticks::steal_since(ticks)));
    results.experiments = account::experiments(&seen, command);
    let memory = stage.idle()?;
    if !memory.is_empty() {
        results.experiments.push(account::idle(&memory, command));
    }
    results.goals = account::goals(&seen);
    results.seconds = began.elapsed().as_secs_f64();
    Ok(results)
}

/// Where gateways are started.
struct Stage<'p> {
    binary: &'p Path,
    plan: &'p Plan,
    origin: SocketAddr,
    keys: &'p Path,
    material: &'p Material,
}

impl Stage<'_> {
    /// All variants, in the order of [`Variant::ALL`]; they are started in an order that changes, so that it favours none.
    fn start(&self, start: u32) -> Result<Vec<Running>, Failure> {
        let count = Variant::ALL.len();
        let mut running: Vec<(usize, Running)> = Vec::with_capacity(count);
        for turn in 0..count {
            let at = (turn + start as usize) % count;
            let Some(variant) = Variant::ALL.get(at).copied() else { continue };
            let process = variant.start(self.binary, self.plan.gateway_core, self.origin, self.keys)?;
            let mut load = variant.plan(&process, self.material, self.plan.connections)?;
            load.cores = vec![self.plan.load_core];
            running.push((at, Running { variant, load: Load::connect(load)?, process }));
        }
        running.sort_by_key(|(at, _)| *at);
        Ok(running.into_iter().map(|(_, one)| one).collect())
    }

    /// KiB of each idle connection, of fresh processes under the null policy.
    fn idle(&self) -> Result<Vec<(Transport, Estimate)>, Failure> {
        let mut found = Vec::new();
        for (transport, count) in [(Transport::Plain, self.plan.idle_plain), (Transport::Tls, self.plan.idle_tls)] {
            let variant = Variant::ALL.into_iter().find(|variant| variant.transport == transport);
            let Some(variant) = variant.filter(|_| count > 0) else { continue };
            let process = variant.start(self.binary, self.plan.gateway_core, self.origin, self.keys)?;
            let idle = idle::measure(&variant.target(&process), count, &[], process.pid())?;
            found.push((transport, Estimate::once(idle.bytes_per_connection / 1_024.0)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
