//! Whether memory grows with the number of requests.

use std::time::Duration;

use super::goals::Wanted;
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::load::{Load, Plan, Request, Requests};
use crate::measure;
use crate::results::{Bound, Experiment, Row};
use crate::statistics::Estimate;
use crate::target::Work;

/// Requests of a full run.
const REQUESTS: u64 = 10_000_000;
/// Parts of the run; the slope is taken over their means, because memory of neighbouring moments is much the same.
const PARTS: usize = 10;
/// So many requests warm up everything that is made on demand.
const WARM_UP_SHARE: f64 = 0.1;
const MIB: f64 = 1_048_576.0;

const GOALS: [Wanted; 1] = [Wanted {
    figure: "memory growth over 10 million requests, full policy",
    goal: "none beyond noise (≤ 1 MiB)",
    bound: Bound::AtMost(1.0),
}];

pub const ENTRY: Entry = Entry {
    id: "growth",
    title: "Memory over millions of requests",
    about: "Adamant with the full policy and 10,000 tokens in turn; its memory (proportional set size) against the \
            requests answered so far. The figure is the slope, scaled to 10 million requests. A quick run sends 200,000.",
    goals: &GOALS,
    run,
};

fn run(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let [goal] = &GOALS;
    let Some((target, work)) = world.able(&[Work::FullPolicy]).into_iter().next() else {
        return Ok(Part::new(experiment, vec![goal.not_measured("no target does full-policy")]));
    };
    let quick = world.options.quick;
    let total = if quick { 200_000 } else { REQUESTS };
    let running = target.start(&world.context(world.origin), work)?;
    let pids = running.pids();
    let wire = running.wire();
    let requests = (0..if quick { 200 } else { 10_000 })
        .map(|number| Ok(Request::get(&wire, &world.fields(work, number)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let plan = Plan {
        cores: vec![world.options.load_core],
        ..Plan::new(wire, world.options.connections, Requests::rotating(requests))
    };
    let mut load = Load::connect(plan)?;
    let (mut sent, mut points) = (0, Vec::new());
    world.progress.begin(&experiment.id, 100);
    let mut shown = 0;
    while sent < total && !world.stop.is_asked() {
        let slice = load.run(Duration::from_millis(if quick { 50 } else { 250 }))?;
        if slice.refused > 0 || slice.errors.total() > 0 || slice.requests == 0 {
            return Err(Failure::Subject(format!("{} refused, {:?}", slice.refused, slice.errors)));
        }
        sent += slice.requests;
        points.push((sent as f64, measure::proportional_bytes(&pids)? as f64));
        while shown < (sent * 100 / total).min(100) {
            world.progress.step(&target.name);
            shown += 1;
        }
    }
    world.progress.end();
    let growth = slope(&points, total as f64 * WARM_UP_SHARE).scaled(REQUESTS as f64 / MIB);
    let mut row = Row::new(&target.name, work.name(), work.transport().name());
    row.put("growth_over_10_million", growth, "MiB");
    row.put("requests", Estimate::once(sent as f64), "requests");
    if let Some((_, last)) = points.last() {
        row.put("memory_at_the_end", Estimate::once(last / MIB), "MiB");
    }
    experiment.rows.push(row);
    let mut judged = goal.judge(growth);
    if sent < REQUESTS {
        judged.note = Some(format!("from {sent} requests"));
    }
    Ok(Part::new(experiment, vec![judged]))
}

/// Bytes for each request, from the means of [`PARTS`] parts of what lies beyond the warm-up.
fn slope(points: &[(f64, f64)], warm_up: f64) -> Estimate {
    let late: Vec<(f64, f64)> = points.iter().copied().filter(|(requests, _)| *requests > warm_up).collect();
    if late.len() < PARTS * 2 {
        return Estimate::NONE;
    }
    let means: Vec<(f64, f64)> = late.chunks(late.len().div_ceil(PARTS)).map(mean).collect();
    // The slopes of neighbouring parts are independent enough for an interval of their mean.
    let slopes: Vec<f64> =
        means.iter().zip(means.iter().skip(1)).map(|((x0, y0), (x1, y1))| (y1 - y0) / (x1 - x0)).collect();
    Estimate::mean(&slopes)
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
}

trait Scaled {
    fn scaled(self, by: f64) -> Self;
}

impl Scaled for Estimate {
    fn scaled(self, by: f64) -> Self {
        Self { value: self.value * by, low: self.low * by, high: self.high * by }
    }
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn a_leak_is_seen_and_a_step_of_the_allocator_is_none() {
        let at = |request: u32, memory: f64| (f64::from(request) * 1_000.0, memory);
        let leaking: Vec<_> =
            (0..400).map(|n| at(n, 1e6 + f64::from(n) * 3_000.0 + f64::from(n % 7) * 500.0)).collect();
        let estimate = slope(&leaking, 40_000.0);
        assert!((estimate.value - 3.0).abs() < 0.05 && estimate.low > 2.5, "{estimate:?}");
        let steps: Vec<_> = (0..400).map(|n| at(n, 1e6 + f64::from(n % 13) * 4_096.0)).collect();
        let estimate = slope(&steps, 40_000.0);
        assert!(estimate.low < 0.0 && estimate.high > 0.0, "{estimate:?}");
        assert!(slope(&steps[..10], 0.0).value.is_nan());
    }
}
