//! Every request a new token: nothing can be remembered.

use super::goals::{Wanted, ratio};
use super::rounds::{How, Measured, rounds};
use super::world::World;
use super::{Entry, Part};
use crate::failure::Failure;
use crate::results::{Bound, Experiment};
use crate::statistics::Figure;
use crate::target::Work;

const GOALS: [Wanted; 1] = [Wanted {
    figure: "requests a second, every request a new ES256 token",
    goal: "≥ 1.5 × HAProxy",
    bound: Bound::AtLeast(1.5),
}];

pub const ENTRY: Entry = Entry {
    id: "new-tokens",
    title: "Every request a new ES256 token",
    about: "Tokens are signed before each slice and sent once, so that each costs a signature check wherever verified \
            tokens are remembered too.",
    goals: &GOALS,
    run,
};

fn run(world: &World<'_>, mut experiment: Experiment) -> Result<Part, Failure> {
    let how = How { new_tokens: true, ..How::usual(world) };
    let able = world.able(&[Work::Es256, Work::FullPolicy]);
    let measured = rounds(world, experiment.id.as_str(), &able, &how)?;
    experiment.rows = measured.iter().map(Measured::row).collect();
    let [goal] = &GOALS;
    let judged =
        goal.judge_or(ratio(Figure::PerSecond, &measured, ("adamant", Work::FullPolicy), ("haproxy", Work::Es256)));
    Ok(Part::new(experiment, vec![judged]))
}
