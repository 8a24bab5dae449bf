//! Slices of load in turns: what each variant did and what it cost.

use std::thread;
use std::time::Duration;

use super::Plan;
use super::variant::Variant;
use crate::failure::Failure;
use crate::load::{Load, Loop};
use crate::measure;
use crate::noise::Reference;
use crate::statistics::{Figure, Sample, Series};
use crate::target::process::Process;

/// Names of the gateway's threads that answer requests begin so.
const WORKERS: &str = "worker-";
/// What still runs after the last response is put to the account of its slice.
const SETTLE: Duration = Duration::from_millis(4);
/// Share of the capacity at which latencies are looked at.
const PACE: f64 = 0.7;

/// A variant with its process and the connections to it.
pub struct Running {
    pub variant: Variant,
    pub process: Process,
    pub load: Load,
}

/// What was seen of a variant so far.
#[derive(Default)]
pub struct Seen {
    /// As fast as it answers.
    pub saturated: Series,
    /// At [`Seen::rate`].
    pub paced: Series,
    /// Requests a second; from the first start on.
    pub rate: Option<f64>,
}

/// Everybody's turn, once a round: one start. `seen` is in the order of `running`.
pub fn rounds(
    running: &mut [Running],
    seen: &mut [Seen],
    plan: &Plan,
    start: u32,
    mut told: impl FnMut(),
) -> Result<(), Failure> {
    let mut reference = Reference::new(plan.gateway_core)?;
    warm(running, seen, plan)?;
    for round in 0..plan.rounds {
        let reference_ns = Some(reference.slice()?);
        for turn in 0..running.len() {
            // Who goes first changes, so that a drift within a round favours nobody.
            let at = (turn + round as usize + start as usize) % running.len().max(1);
            let (Some(one), Some(seen)) = (running.get_mut(at), seen.get_mut(at)) else { continue };
            let sample = slice(one, Loop::Closed, plan.slice)?.with_reference(reference_ns);
            seen.saturated.push(start, round, sample);
            if let Some(per_second) = seen.rate {
                let sample = slice(one, Loop::Open { per_second }, plan.slice)?.with_reference(reference_ns);
                seen.paced.push(start, round, sample);
            }
        }
        told();
    }
    Ok(())
}

/// Fills caches; in the first start it finds the rate, too: the same for both policies of a transport, below the
/// capacity of the slower one.
fn warm(running: &mut [Running], seen: &mut [Seen], plan: &Plan) -> Result<(), Failure> {
    let mut capacities = Vec::with_capacity(running.len());
    for one in running.iter_mut() {
        capacities.push(slice(one, Loop::Closed, plan.slice * 2)?.figure(Figure::PerSecond));
    }
    for (one, seen) in running.iter().zip(seen.iter_mut()) {
        if !one.variant.paced || seen.rate.is_some() {
            continue;
        }
        let same = |other: &Running| other.variant.paced && other.variant.transport == one.variant.transport;
        let rivals = running.iter().zip(&capacities).filter(|(other, _)| same(other)).map(|(_, capacity)| *capacity);
        seen.rate = Some(PACE * rivals.fold(f64::INFINITY, f64::min)).filter(|rate| rate.is_finite());
    }
    Ok(())
}

fn slice(one: &mut Running, loop_: Loop, duration: Duration) -> Result<Sample, Failure> {
    let pid = one.process.pid();
    one.load.set_loop(loop_)?;
    let cost = || Ok::<_, Failure>((measure::cpu_ns(pid)?, measure::cpu_ns_of_threads(pid, WORKERS)?));
    let before = cost()?;
    let slice = one.load.run(duration)?;
    thread::sleep(SETTLE);
    let after = cost()?;
    if slice.refused > 0 || slice.errors.total() > 0 {
        return Err(Failure::Subject(format!(
            "{} over {}: of {} requests {} were refused, and {} got no response: a figure of those would be none",
            one.variant.name(),
            one.variant.transport.name(),
            slice.requests,
            slice.refused,
            slice.errors.total()
        )));
    }
    // The worker's account cannot be larger than that of all threads; it is read a moment later.
    let (all, worker) = (after.0 - before.0, after.1 - before.1);
    Ok(Sample::of(all, &slice).with_worker(Some(worker.min(all))))
}
