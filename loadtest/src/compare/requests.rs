//! CPU of one request over kept connections, for every work that a target does.

use super::goals::{SEED, Wanted, of, ratio};
use super::rounds::{How, Measured, rounds};
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::results::{Bound, Experiment};
use crate::statistics::{self, Estimate, Figure};
use crate::target::Work;

/// Names of the goals of this experiment, in the order in which they are judged.
const GOALS: [Wanted; 4] = [
    Wanted {
        figure: "CPU per request of the worker, plain keep-alive, full policy",
        goal: "≤ 1.12 × relay",
        bound: Bound::AtMost(1.12),
    },
    Wanted {
        figure: "CPU per request of the worker, plain keep-alive, full policy",
        goal: "< 1.0 × HAProxy pass-through",
        bound: Bound::AtMost(1.0),
    },
    Wanted {
        figure: "CPU per request of the worker, plain keep-alive, full policy",
        goal: "≤ 0.18 × HAProxy, same work (ES256)",
        bound: Bound::AtMost(0.18),
    },
    Wanted {
        figure: "CPU per request of the worker, plain keep-alive, full policy",
        goal: "≤ 0.33 × Envoy, same work (ES256)",
        bound: Bound::AtMost(0.33),
    },
];

pub const PLAIN: Entry = Entry {
    id: "requests",
    title: "CPU per request, plain HTTP, kept connections",
    about: "Each target at each work that it does, in turns. Adamant's full policy is an ES256 token, its scope, two \
            limits and a chained record; the others' ES256 work is a token, its scope and one limit, without a record. \
            Limits are far above the load. CPU is that of all of a target's threads; of Adamant, that of its worker \
            stands beside it.",
    goals: &GOALS,
    run: plain,
};

pub const TLS: Entry = Entry {
    id: "requests-tls",
    title: "CPU per request over TLS, kept connections",
    about: "What TLS 1.3 costs a request once the handshake is done: pass-through, and with a client certificate whose \
            name is looked up.",
    goals: &[],
    run: tls,
};

fn plain(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let works = [Work::PassThrough, Work::ApiKey, Work::Es256, Work::Rs256, Work::FullPolicy];
    let measured = rounds(world, experiment.id.as_str(), &world.able(&works), &How::usual(world))?;
    experiment.rows = measured.iter().map(Measured::row).collect();
    let full = ("adamant", Work::FullPolicy);
    let others = [
        ("relay", Work::PassThrough),
        ("haproxy", Work::PassThrough),
        ("haproxy", Work::Es256),
        ("envoy", Work::Es256),
    ];
    let goals = GOALS
        .iter()
        .zip(others)
        .map(|(goal, other)| {
            let mut judged = goal.judge_or(worker_ratio(&measured, full, other));
            if let (true, Ok(all)) = (judged.measured.is_some(), ratio(Figure::CpuUs, &measured, full, other)) {
                let whole = format!("with Adamant's audit and control threads: {:.3} ×", all.value);
                judged.note = Some(judged.note.map_or(whole.clone(), |note| format!("{note}; {whole}")));
            }
            judged
        })
        .collect();
    Ok(Part::new(experiment, goals))
}

/// CPU of Adamant's worker over all CPU of another.
fn worker_ratio(all: &[Measured], worker: (&str, Work), other: (&str, Work)) -> Result<Estimate, String> {
    let (worker, other) = (of(all, worker.0, worker.1)?, of(all, other.0, other.1)?);
    let own = worker.series.of_worker();
    Ok(statistics::ratio(Figure::CpuUs, &own, &other.series, SEED))
}

fn tls(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let able = world.able(&[Work::Tls, Work::Mtls]);
    let measured = rounds(world, experiment.id.as_str(), &able, &How::usual(world))?;
    experiment.rows = measured.iter().map(Measured::row).collect();
    Ok(Part::new(experiment, Vec::new()))
}
