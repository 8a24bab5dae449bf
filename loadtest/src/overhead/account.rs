//! From what was seen to results: the figures of each variant, what one costs over another, and the goals.

use super::turns::Seen;
use super::variant::{Audit, Policy, Variant};
use crate::results::{Bound, Experiment, Goal, Row, Subject};
use crate::statistics::{self, Estimate, Figure, Series};
use crate::target::Transport;

const SEED: u64 = 0x5eed;
/// Figures that are held against each other, as ratio and as difference.
const COMPARED: [Figure; 5] = [Figure::CpuUs, Figure::WorkerUs, Figure::P50, Figure::P99, Figure::P999];
const SATURATED: &str = "as fast as it answers";
const PACED: &str = "at 70 % of capacity";

/// The two sides of one question.
struct Question {
    title: &'static str,
    of: (Policy, Transport, Audit),
    over: (Policy, Transport, Audit),
    transport: Transport,
}

const QUESTIONS: [Question; 6] = {
    use Audit::{BestEffort, Durable, Queued};
    use Policy::{Full, Null};
    use Transport::{Mtls, Plain, Tls};
    let (null, full) = ((Null, Plain, Queued), (Full, Plain, Queued));
    let (null_mtls, full_mtls) = ((Null, Mtls, Queued), (Full, Mtls, Queued));
    [
        Question { title: "full policy against null policy", of: full, over: null, transport: Plain },
        Question { title: "full policy against null policy", of: full_mtls, over: null_mtls, transport: Mtls },
        Question { title: "TLS against plain HTTP", of: (Null, Tls, Queued), over: null, transport: Tls },
        Question { title: "mTLS against plain HTTP", of: null_mtls, over: null, transport: Mtls },
        Question { title: "queued against best-effort", of: full, over: (Full, Plain, BestEffort), transport: Plain },
        Question { title: "durable against queued", of: (Full, Plain, Durable), over: full, transport: Plain },
    ]
};

/// The variants, as targets of the report.
pub fn subjects(version: &str) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    for variant in Variant::ALL {
        let obtained = match variant.policy {
            Policy::Null => "one public route, no limit, a request without a token",
            Policy::Full => "ES256 token, scope, two limits; over mTLS the agent's certificate too",
        };
        let subject = Subject {
            name: variant.name(),
            version: version.to_owned(),
            obtained: format!("{obtained}; records {}", variant.audit.name()),
            ranked: true,
            ..Subject::default()
        };
        if subjects.iter().all(|known| known.name != subject.name) {
            subjects.push(subject);
        }
    }
    subjects
}

/// Everything but idle memory. `seen` is in the order of [`Variant::ALL`].
pub fn experiments(seen: &[Seen], command: &str) -> Vec<Experiment> {
    vec![costs(seen, command), saturated(seen, command), paced(seen, command)]
}

fn saturated(seen: &[Seen], command: &str) -> Experiment {
    let figures = Figure::USUAL.into_iter().chain([Figure::WorkerUs, Figure::OthersUs]).collect::<Vec<_>>();
    let row = |(variant, seen): (&Variant, &Seen)| {
        Row::new(variant.name(), SATURATED, variant.transport.name()).with_series(&seen.saturated, &figures, SEED)
    };
    Experiment {
        id: "saturated".into(),
        title: "As fast as it answers".into(),
        about:
            "One gateway with one worker under each policy, in turns; each connection sends its next request when the \
                response has come. CPU of other threads is mostly the audit writer's."
                .into(),
        command: command.into(),
        rows: Variant::ALL.iter().zip(seen).map(row).collect(),
        ..Experiment::default()
    }
}

fn paced(seen: &[Seen], command: &str) -> Experiment {
    let rows = Variant::ALL.iter().zip(seen).filter(|(variant, _)| variant.paced).map(|(variant, seen)| {
        Row::new(variant.name(), PACED, variant.transport.name()).with_series(&seen.paced, &Figure::USUAL, SEED)
    });
    Experiment {
        id: "paced".into(),
        title: "At 70 % of capacity".into(),
        about: "The same gateways at a constant rate: 70 % of what the slower policy of each transport could answer. \
                Latencies count from when a request was due, also where it was sent late."
            .into(),
        command: command.into(),
        rows: rows.collect(),
        ..Experiment::default()
    }
}

fn costs(seen: &[Seen], command: &str) -> Experiment {
    let mut rows = Vec::new();
    for question in QUESTIONS {
        let of = |pick: fn(&Seen) -> &Series| Some((pick(find(seen, question.of)?), pick(find(seen, question.over)?)));
        for (way, pick) in
            [(SATURATED, (|seen| &seen.saturated) as fn(&Seen) -> &Series), (PACED, |seen: &Seen| &seen.paced)]
        {
            // The rate is that of a transport: latencies at two rates are no comparison.
            let same_rate = way == SATURATED || question.of.1 == question.over.1;
            let both = of(pick).filter(|(of, over)| same_rate && !of.is_empty() && !over.is_empty());
            let Some((of, over)) = both else { continue };
            let mut row = Row::new(question.title, way, question.transport.name());
            for figure in COMPARED {
                row.put(format!("{}_ratio", figure.name()), statistics::ratio(figure, of, over, SEED), "×");
                let difference = statistics::difference(figure, of, over, SEED);
                row.put(format!("{}_difference", figure.name()), difference, figure.unit());
            }
            rows.push(row);
        }
    }
    Experiment {
        id: "costs".into(),
        title: "What it costs".into(),
        about:
            "The first side over the second, and the first minus the second, over the same rounds. Both sides have the \
                same transport and the same audit mode, but for the rows that ask what those cost. Over TLS and mTLS \
                connections are kept: handshakes are not in it."
                .into(),
        command: command.into(),
        rows,
        ..Experiment::default()
    }
}

/// The goals of this run.
pub fn goals(seen: &[Seen]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for transport in [Transport::Plain, Transport::Mtls] {
        let sides = |pick: fn(&Seen) -> &Series| {
            let side = |policy| find(seen, (policy, transport, Audit::Queued)).map(pick);
            side(Policy::Full).zip(side(Policy::Null)).filter(|(of, over)| !of.is_empty() && !over.is_empty())
        };
        let over = format!("full over null policy, {}", transport.name());
        let bound = Bound::AtMost(1.05);
        let mut judge = |figure: Figure, name: String, pick| {
            goals.push(match sides(pick) {
                Some((of, over)) => Goal::judge(name, "≤ 1.05 ×", bound, statistics::ratio(figure, of, over, SEED)),
                None => Goal::not_measured(name, "≤ 1.05 ×", bound, "no slices"),
            });
        };
        judge(Figure::CpuUs, format!("CPU per request, all threads, {over}"), |seen| &seen.saturated);
        judge(Figure::WorkerUs, format!("CPU per request, worker alone, {over}"), |seen| &seen.saturated);
        judge(Figure::P99, format!("p99 at 70 % of capacity, {over}"), |seen| &seen.paced);
    }
    if let Some(full) = find(seen, (Policy::Full, Transport::Plain, Audit::Queued)) {
        let others = full.saturated.estimate(Figure::OthersUs, SEED);
        let all = full.saturated.estimate(Figure::CpuUs, SEED);
        // Either bound is enough; the share is that of the value, which is steadier than the interval of a quotient.
        let bound = (0.05 * all.value).max(0.6);
        let goal = format!("≤ 0.6 µs, or ≤ 5 % of a request: ≤ {bound:.2} µs");
        goals.push(Goal::judge("audit writing, chained, queued: CPU per request", goal, Bound::AtMost(bound), others));
    }
    goals
}

/// Memory of idle connections; one that was not measured has no row.
pub fn idle(rows: &[(Transport, Estimate)], command: &str) -> Experiment {
    let row = |(transport, kib): &(Transport, Estimate)| {
        let mut row = Row::new("null policy", "idle connections", transport.name());
        row.put("memory_of_a_connection", *kib, "KiB");
        row
    };
    Experiment {
        id: "idle".into(),
        title: "Memory of idle connections".into(),
        about: "How much resident memory grew with many connections that had one request each and then stayed idle. \
                Measured once: without an interval."
            .into(),
        command: command.into(),
        rows: rows.iter().map(row).collect(),
        ..Experiment::default()
    }
}

fn find(seen: &[Seen], (policy, transport, audit): (Policy, Transport, Audit)) -> Option<&Seen> {
    let same = |variant: &Variant| variant.policy == policy && variant.transport == transport && variant.audit == audit;
    Variant::ALL.iter().zip(seen).find(|(variant, _)| same(variant)).map(|(_, seen)| seen)
}
