//! How much each target bears, and how long requests take below that.

use std::time::Duration;

use super::goals::{Wanted, ratio};
use super::rounds::{How, Measured, rounds};
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::load::Loop;
use crate::results::{Bound, Curve, CurvePoint, Experiment, Heat};
use crate::statistics::Figure;
use crate::target::{Target, Work};

/// Share of HAProxy's own capacity at which latencies are compared.
const SHARE: f64 = 0.7;
/// Those whose capacity is below this share of the rate only queue up; the one that a goal is about queues all the same.
const BEARS: f64 = 0.8;
/// Shares of a target's own capacity that its curve shows.
const SHARES: [f64; 8] = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1];
/// Columns of a heat map: 30 s.
const COLUMNS_MAX: usize = 300;

const GOALS: [Wanted; 1] = [Wanted {
    figure: "p99 of the full policy at 70 % of HAProxy's own capacity, open loop",
    goal: "≤ HAProxy pass-through at the same rate",
    bound: Bound::AtMost(1.0),
}];

pub const ENTRY: Entry = Entry {
    id: "capacity",
    title: "Capacity, and latency below it",
    about: "Capacity is what a closed loop over all connections gets. Curves: open loop at a constant rate, from a tenth \
            of a target's capacity to beyond it, latencies counted from when a request was due. Rows: latency of all \
            at 70 % of HAProxy's own capacity as pass-through.",
    goals: &GOALS,
    run,
};

fn run(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let [goal] = &GOALS;
    let able = world.able(&[Work::PassThrough, Work::Es256, Work::FullPolicy]);
    let quick = world.options.quick;
    let short = How { starts: 1, rounds: if quick { 3 } else { 12 }, ..How::usual(world) };
    let closed = rounds(world, "capacity, closed loop", &able, &short)?;
    for ((target, work), measured) in able.iter().zip(&closed) {
        let capacity = measured.estimate(Figure::PerSecond).value;
        if measured.unranked.is_none() && capacity.is_finite() && !world.stop.is_asked() {
            experiment.curves.push(curve(world, target, *work, capacity)?);
        }
    }
    let haproxy = super::goals::of(&closed, "haproxy", Work::PassThrough);
    let (rate, of) = match &haproxy {
        Ok(measured) => (measured.estimate(Figure::PerSecond).value * SHARE, "HAProxy's"),
        // Without HAProxy there is nothing to hold against, but latencies can be looked at all the same.
        Err(_) => (slowest(&closed) * SHARE, "the slowest target's"),
    };
    if rate.is_finite() && rate > 0.0 {
        let bearing: Vec<(&Target, Work)> = able
            .iter()
            .zip(&closed)
            .filter(|((target, work), measured)| {
                let bears = measured.estimate(Figure::PerSecond).value > rate * BEARS;
                bears || (target.name == "adamant" && *work == Work::FullPolicy)
            })
            .map(|(one, _)| *one)
            .collect();
        let how = How { loop_: Loop::Open { per_second: rate }, over_time: true, ..How::usual(world) };
        let open = rounds(world, "latency at 70 %", &bearing, &how)?;
        experiment.about = format!("{} Here that is {rate:.0} requests a second ({of}).", experiment.about);
        experiment.rows = open.iter().map(Measured::row).collect();
        experiment.heat = open.iter().filter(|one| !one.over_time.is_empty()).map(heat).collect();
        let judged = match haproxy {
            Err(why) => goal.not_measured(&why),
            Ok(_) => {
                let passed = ("haproxy", Work::PassThrough);
                goal.judge_or(ratio(Figure::P99, &open, ("adamant", Work::FullPolicy), passed))
            }
        };
        return Ok(Part::new(experiment, vec![judged]));
    }
    Ok(Part::new(experiment, vec![goal.not_measured("no capacity was found")]))
}

fn slowest(all: &[Measured]) -> f64 {
    let rates = all.iter().filter(|one| one.unranked.is_none()).map(|one| one.estimate(Figure::PerSecond).value);
    rates.filter(|rate| rate.is_finite()).fold(f64::INFINITY, f64::min)
}

fn curve(world: &World<'_>, target: &Target, work: Work, capacity: f64) -> Result<Curve, Failure> {
    let mut points = Vec::new();
    for share in SHARES {
        let rate = capacity * share;
        let slice = Duration::from_millis(if world.options.quick { 60 } else { 1_000 });
        let how = How {
            starts: 1,
            rounds: if world.options.quick { 1 } else { 2 },
            slice,
            loop_: Loop::Open { per_second: rate },
            ..How::usual(world)
        };
        let what = format!("{} {} at {:.0} %", target.name, work.name(), share * 100.0);
        let measured = rounds(world, &what, &[(target, work)], &how)?;
        let Some(one) = measured.first().filter(|one| !one.series.is_empty()) else { continue };
        let value = |figure| one.estimate(figure).value;
        points.push(CurvePoint {
            rate,
            throughput: value(Figure::PerSecond),
            p50_us: value(Figure::P50),
            p99_us: value(Figure::P99),
            p999_us: value(Figure::P999),
        });
    }
    Ok(Curve { target: target.name.clone(), work: work.name().to_owned(), points })
}

fn heat(measured: &Measured) -> Heat {
    let shown = measured.over_time.get(..COLUMNS_MAX).unwrap_or(&measured.over_time);
    Heat::of(&measured.target, measured.work.name(), shown)
}
