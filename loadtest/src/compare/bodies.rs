//! Large responses: what a byte costs.

use super::goals::{Wanted, ratio};
use super::rounds::{How, Measured, rounds};
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::origin::Origin;
use crate::results::{Bound, Experiment};
use crate::statistics::Figure;
use crate::target::Work;

const CONTENT_BYTES: usize = 1 << 20;
const CONNECTIONS: usize = 8;
const FIGURES: [Figure; 4] = [Figure::CpuNsPerByte, Figure::CpuUs, Figure::PerSecond, Figure::P99];

const GOALS: [Wanted; 2] = [
    Wanted { figure: "CPU per byte, 1 MiB responses, plain", goal: "≤ nginx", bound: Bound::AtMost(1.0) },
    Wanted { figure: "CPU per byte, 1 MiB responses, TLS", goal: "≤ nginx", bound: Bound::AtMost(1.0) },
];

pub const ENTRY: Entry = Entry {
    id: "bodies",
    title: "1 MiB responses",
    about: "Pass-through of responses with 1 MiB of content, plain and over TLS 1.3, eight connections.",
    goals: &GOALS,
    run,
};

fn run(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let origin = Origin::start(world.options.load_core, CONTENT_BYTES)?;
    let how = How { origin, connections: CONNECTIONS, figures: &FIGURES, ..How::usual(world) };
    let mut goals = Vec::new();
    for (goal, work) in GOALS.iter().zip([Work::PassThrough, Work::Tls]) {
        let what = format!("{} {}", experiment.id, work.transport().name());
        let measured = rounds(world, &what, &world.able(&[work]), &how)?;
        experiment.rows.extend(measured.iter().map(Measured::row));
        goals.push(goal.judge_or(ratio(Figure::CpuNsPerByte, &measured, ("adamant", work), ("nginx", work))));
    }
    Ok(Part::new(experiment, goals))
}
