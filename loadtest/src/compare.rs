//! The comparison: every experiment of the table of goals, with all targets in one run.
//!
//! A target stands in an experiment only with work that it has shown to do ([`crate::probe`]). Targets take turns in
//! short slices, so that what the machine does meanwhile happens to all of them; they are started anew several times,
//! because two processes of one binary differ for as long as they live.

mod bodies;
mod capacity;
mod goals;
mod growth;
mod handshake;
mod idle;
mod overhead;
mod progress;
mod requests;
mod rounds;
mod stop;
mod tokens;
mod world;

use std::time::Instant;

pub use progress::Progress;
pub use stop::Stop;
pub use world::Options;

use crate::failure::Failure;
use crate::noise::{Noise, Ticks};
use crate::results::{self, Bound, Experiment, Goal, Results, Subject};
use goals::Wanted;
use world::World;

/// What an experiment gives.
pub(crate) struct Part {
    experiments: Vec<Experiment>,
    goals: Vec<Goal>,
    /// Targets of its own.
    targets: Vec<Subject>,
}

impl Part {
    fn new(experiment: Experiment, goals: Vec<Goal>) -> Self {
        Self { experiments: vec![experiment], goals, targets: Vec::new() }
    }
}

/// One experiment of the comparison.
struct Entry {
    id: &'static str,
    title: &'static str,
    about: &'static str,
    /// The goals that it decides, for when it does not run.
    goals: &'static [Wanted],
    run: fn(&World<'_>, Experiment) -> Result<Part, Failure>,
}

/// What no load from outside can show.
const IN_PROCESS: Wanted = Wanted {
    figure: "decide and account in process: p99 against the p99 of parsing the same head",
    goal: "≤ 1 × up to 1,000 agents and 100 routes, ≤ 3 × at 1,000,000 and 10,000",
    bound: Bound::AtMost(1.0),
};

/// In the order in which they run.
const EXPERIMENTS: [Entry; 9] = [
    requests::PLAIN,
    requests::TLS,
    overhead::ENTRY,
    tokens::ENTRY,
    handshake::ENTRY,
    capacity::ENTRY,
    idle::ENTRY,
    bodies::ENTRY,
    growth::ENTRY,
];

/// Names of the experiments.
pub fn experiments() -> Vec<(&'static str, &'static str)> {
    EXPERIMENTS.iter().map(|entry| (entry.id, entry.title)).collect()
}

/// Looks for the targets, probes them, runs the experiments. A target or an experiment that fails is told in the
/// results and ends nothing else; when `stop` is asked for, what was measured so far is the result.
///
/// `keep` gets the results after each experiment too, so that little is lost whatever happens.
pub fn run(
    options: &Options,
    progress: &Progress,
    stop: &Stop,
    keep: &dyn Fn(&Results) -> Result<(), Failure>,
) -> Result<Results, Failure> {
    crate::measure::raise_descriptor_limit()?;
    let (began, ticks) = (Instant::now(), Ticks::now());
    let mut results = Results::begin(results::now(), options.command.clone());
    results.quick = options.quick;
    let world = World::new(options, progress, stop, &mut results)?;
    results.partial = Some("it was cut off".to_owned());
    for entry in &EXPERIMENTS {
        let wanted = options.only.is_empty() || options.only.iter().any(|id| id == entry.id);
        let not_run = match (stop.is_asked(), wanted) {
            (true, _) => Some("the run was ended before".to_owned()),
            (_, false) => Some(format!("left out: `--only` did not name {}", entry.id)),
            (false, true) => None,
        };
        if let Some(why) = not_run {
            results.goals.extend(entry.goals.iter().map(|goal| goal.not_measured(&why)));
            continue;
        }
        let experiment = Experiment {
            id: entry.id.to_owned(),
            title: entry.title.to_owned(),
            about: entry.about.to_owned(),
            command: format!("loadtest compare --only {}{}", entry.id, if options.quick { " --quick" } else { "" }),
            ..Experiment::default()
        };
        progress.say(&format!("{}: {}", entry.id, entry.title));
        match (entry.run)(&world, experiment.clone()) {
            Ok(part) => {
                results.experiments.extend(part.experiments);
                results.targets.extend(part.targets);
                results.goals.extend(part.goals);
            }
            Err(failure) => {
                progress.say(&format!("{}: {failure}", entry.id));
                let about = format!("{} Not measured: {failure}.", entry.about);
                results.experiments.push(Experiment { about, ..experiment });
                results.goals.extend(entry.goals.iter().map(|goal| goal.not_measured(&failure.to_string())));
            }
        }
        results.seconds = began.elapsed().as_secs_f64();
        keep(&results)?;
    }
    results.goals.push(IN_PROCESS.not_measured("measured by `cargo bench -p bench --bench budget`"));
    results.noise = Some(Noise::of(&world.references(), Ticks::steal_since(ticks)));
    results.partial = stop.is_asked().then(|| "it was ended before all was measured".to_owned());
    results.seconds = began.elapsed().as_secs_f64();
    keep(&results)?;
    Ok(results)
}
