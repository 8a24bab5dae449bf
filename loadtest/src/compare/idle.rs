//! Memory of a connection that waits.

use std::thread;
use std::time::Duration;

use super::goals::Wanted;
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::load::{Load, Plan, Request, Requests};
use crate::measure;
use crate::probe::client::Client;
use crate::results::{Bound, Experiment, Row};
use crate::statistics::Estimate;
use crate::target::material::PATH;
use crate::target::{Running, Target, Transport, Work};

/// Connections that are there before the first look, so that what is allocated once is not counted.
const FIRST: usize = 64;

/// Requests on as many others, before the first look: what so many requests touch once, such as a ring that records go through, is
/// not what a connection holds.
const FIRST_REQUESTS: u64 = 60_000;

/// How long nothing happens before a look, milliseconds: long enough for a target to see that a connection is idle.
const SETTLE_MS: u64 = 2_000;

const GOALS: [Wanted; 2] = [
    Wanted { figure: "memory per idle connection, plain", goal: "≤ 1.5 KiB", bound: Bound::AtMost(1.5) },
    Wanted { figure: "memory per idle connection, mTLS", goal: "≤ 10 KiB", bound: Bound::AtMost(10.0) },
];

pub const ENTRY: Entry = Entry {
    id: "idle",
    title: "Memory per idle connection",
    about: "How much a target's memory (proportional set size of all its processes) grows for each connection that has \
            had one request and then waits. Each target is started anew for each repetition, and answers some \
            ten thousand requests on a few connections first, so that what requests alone make it touch is not counted. \
            Memory of the kernel's sockets is not in it.",
    goals: &GOALS,
    run,
};

fn run(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let quick = world.options.quick;
    let repetitions = if quick { 2 } else { 5 };
    let mut goals = Vec::new();
    for (goal, work, count) in GOALS.iter().zip([Work::PassThrough, Work::Mtls]).map(|(goal, work)| {
        let full = if work == Work::Mtls { 4_000 } else { 5_000 };
        (goal, work, if quick { full / 10 } else { full })
    }) {
        let able: Vec<_> = world.able(&[work]).into_iter().filter(|(target, _)| target.program.is_some()).collect();
        world.progress.begin(&format!("{} {}", experiment.id, work.name()), (able.len() * repetitions) as u64);
        let mut judged = goal.not_measured("adamant did not take part");
        for (target, work) in able {
            let mut row = Row::new(&target.name, work.name(), work.transport().name());
            let mut values = Vec::new();
            for _ in 0..repetitions {
                world.progress.step(&target.name);
                if world.stop.is_asked() {
                    break;
                }
                match growth(world, target, work, count) {
                    Ok(bytes) => values.push(bytes / 1_024.0),
                    Err(failure) => {
                        row.unranked = Some(failure.to_string());
                        break;
                    }
                }
            }
            let estimate = Estimate::mean(&values);
            row.put("memory_of_a_connection", estimate, "KiB");
            if target.name == "adamant" {
                judged = match &row.unranked {
                    Some(why) => goal.not_measured(why),
                    None => goal.judge(estimate),
                };
            }
            experiment.rows.push(row);
        }
        world.progress.end();
        goals.push(judged);
    }
    Ok(Part::new(experiment, goals))
}

/// Bytes for each of `count` idle connections.
fn growth(world: &World<'_>, target: &Target, work: Work, count: usize) -> Result<f64, Failure> {
    let running = target.start(&world.context(world.origin), work)?;
    let pids = running.pids();
    let load = warm_up(world, &running)?;
    let mut held = open(world, &running, FIRST)?;
    let settle = Duration::from_millis(SETTLE_MS);
    thread::sleep(settle);
    let before = measure::proportional_bytes(&pids)?;
    held.extend(open(world, &running, count)?);
    thread::sleep(settle);
    let after = measure::proportional_bytes(&pids)?;
    drop((load, held));
    Ok((after as f64 - before as f64) / count as f64)
}

/// Has `FIRST_REQUESTS` answered, fewer in a quick run. The connections are the load's.
fn warm_up(world: &World<'_>, running: &Running) -> Result<Load, Failure> {
    let (wire, work) = (running.wire(), running.work());
    let request = Request::get(&wire, &world.fields(work, 0)?);
    let plan = Plan {
        tls: world.tls(work),
        cores: vec![world.options.load_core],
        ..Plan::new(wire, FIRST, Requests::one(request))
    };
    let mut load = Load::connect(plan)?;
    let mut left = if world.options.quick { FIRST_REQUESTS / 20 } else { FIRST_REQUESTS };
    while left > 0 {
        let slice = load.run(Duration::from_millis(100))?;
        if slice.refused > 0 || slice.errors.total() > 0 || slice.requests == 0 {
            return Err(Failure::Subject(format!("{} refused, {:?}", slice.refused, slice.errors)));
        }
        left = left.saturating_sub(slice.requests);
    }
    Ok(load)
}

/// Opens connections and has one request answered on each.
fn open(world: &World<'_>, running: &Running, count: usize) -> Result<Vec<Client>, Failure> {
    let work = running.work();
    let fields = world.fields(work, 0)?;
    let failed = |at: usize, error: String| Failure::Subject(format!("connection {at} of {count}: {error}"));
    (0..count)
        .map(|at| {
            let roots = work.transport().is_tls().then(|| world.material.server_ca.clone());
            let identity = (work.transport() == Transport::Mtls).then(|| world.material.agent.clone());
            let client = Client::connect(running.address, roots, identity);
            let mut client = client.map_err(|closed| failed(at, closed.to_string()))?;
            match client.ask(PATH, &fields) {
                Ok(answer) if answer.status == 200 => Ok(client),
                Ok(answer) => Err(failed(at, format!("expected 200, found {}", answer.status))),
                Err(closed) => Err(failed(at, closed.to_string())),
            }
        })
        .collect()
}
