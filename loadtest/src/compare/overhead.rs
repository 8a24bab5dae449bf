//! What enforcement costs Adamant itself: the experiments of `loadtest overhead`, in the same report.

use std::time::Duration;

use super::goals::Wanted;
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::overhead::{self, Plan};
use crate::results::{Bound, Experiment};

const GOALS: [Wanted; 3] = [
    Wanted {
        figure: "CPU per request, full over null policy, same transport and audit",
        goal: "≤ 1.05 ×",
        bound: Bound::AtMost(1.05),
    },
    Wanted {
        figure: "p99 at 70 % of capacity, full over null policy, same transport and audit",
        goal: "≤ 1.05 ×",
        bound: Bound::AtMost(1.05),
    },
    Wanted {
        figure: "audit writing, chained, queued: CPU per request",
        goal: "≤ 0.6 µs, or ≤ 5 % of a request",
        bound: Bound::AtMost(0.6),
    },
];

pub const ENTRY: Entry = Entry {
    id: "overhead",
    title: "What enforcement costs",
    about: "Adamant alone: the full policy against one public route, by transport and audit mode, records in a file.",
    goals: &GOALS,
    run,
};

fn run(world: &World<'_>, experiment: Experiment) -> Result<Part, Failure> {
    if world.entrants.iter().all(|entrant| entrant.target.name != "adamant") {
        return Err(Failure::Subject("adamant does not take part".to_owned()));
    }
    let quick = world.options.quick;
    let plan = Plan {
        starts: if quick { 1 } else { 5 },
        rounds: if quick { 4 } else { 20 },
        slice: Duration::from_millis(if quick { 60 } else { 250 }),
        connections: world.options.connections,
        gateway_core: world.options.target_core,
        load_core: world.options.load_core,
        content_bytes: super::world::CONTENT_BYTES,
        // The experiment `idle` measures it, for all targets.
        idle_plain: 0,
        idle_tls: 0,
        quick,
    };
    world.progress.begin(&experiment.id, u64::from(plan.starts * plan.rounds));
    let told = || world.progress.step("adamant");
    let results = overhead::run(&world.options.place, &plan, &experiment.command, told)?;
    world.progress.end();
    let mut experiments = results.experiments;
    for one in &mut experiments {
        one.id = format!("{}-{}", experiment.id, one.id);
        one.title = format!("{}: {}", experiment.title, one.title);
    }
    Ok(Part { experiments, goals: results.goals, targets: results.targets })
}
