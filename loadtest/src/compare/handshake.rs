//! A connection, a full TLS 1.3 handshake with a client certificate, and one request.

use super::goals::{Wanted, ratio};
use super::rounds::{How, Measured, rounds};
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::load::Reuse;
use crate::results::{Bound, Experiment};
use crate::statistics::Figure;
use crate::target::Work;

/// More at once only wait for each other.
const CONNECTIONS: usize = 16;

const FIGURE: &str = "CPU of a full mTLS handshake and one request, P-256";
const GOALS: [Wanted; 2] = [
    Wanted { figure: FIGURE, goal: "≤ 0.4 × HAProxy", bound: Bound::AtMost(0.4) },
    Wanted { figure: FIGURE, goal: "≤ 0.4 × nginx", bound: Bound::AtMost(0.4) },
];

pub const ENTRY: Entry = Entry {
    id: "handshake",
    title: "Full mTLS handshake and one request",
    about: "A new connection for every request: TLS 1.3, client certificate, P-256 keys, key exchange in P-256 with all \
            of them (the client offers nothing else), no session resumed, no tickets where they can be turned off.",
    goals: &GOALS,
    run,
};

fn run(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let how = How { reuse: Reuse::NewEach, connections: CONNECTIONS, ..How::usual(world) };
    let measured = rounds(world, experiment.id.as_str(), &world.able(&[Work::Mtls]), &how)?;
    experiment.rows = measured.iter().map(Measured::row).collect();
    // What was offered is one thing; a report shows what was agreed on.
    let agreed: Vec<String> =
        measured.iter().filter_map(|one| Some(format!("{} {}", one.target, one.group.as_ref()?))).collect();
    experiment.about = format!("{} Agreed on: {}.", experiment.about, agreed.join(", "));
    let goals = GOALS
        .iter()
        .zip(["haproxy", "nginx"])
        .map(|(goal, other)| {
            goal.judge_or(ratio(Figure::CpuUs, &measured, ("adamant", Work::Mtls), (other, Work::Mtls)))
        })
        .collect();
    Ok(Part::new(experiment, goals))
}
