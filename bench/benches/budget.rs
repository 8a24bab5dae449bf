//! The p99 budget: measures every stage of `bench/budget.toml` beside its reference, and ends with 1 when one is over.
//!
//! `cargo bench -p bench --bench budget -- [--budget FILE] [NAME…]`: those whose name holds one of NAMEs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at the first surprise")]

use std::path::PathBuf;
use std::process::ExitCode;

use bench::budget::{Budget, StageBudget};
use bench::verdict::{Verdict, heading};
use bench::{list, measure};
use bench_counts::policies::{Mix, World};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut path, mut wanted) = (Budget::path(), Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--budget" => match arguments.next() {
                Some(file) => path = PathBuf::from(file),
                None => return refuse("expected a file after --budget"),
            },
            option if option.starts_with('-') => {
                return refuse(&format!("expected --budget FILE or names of stages, found {option}"));
            }
            name => wanted.push(name.to_owned()),
        }
    }
    let budget = match Budget::read(&path) {
        Ok(budget) => budget,
        Err(error) => return refuse(&error.to_string()),
    };
    let is_wanted = |stage: &&StageBudget| {
        wanted.is_empty() || wanted.iter().any(|part| stage.name.get_ref().contains(part.as_str()))
    };
    let stages: Vec<&StageBudget> = budget.stage.iter().filter(is_wanted).collect();
    if stages.is_empty() {
        return refuse("no stage of the budget has such a name");
    }
    println!("{}", heading());
    let over = stages.into_iter().filter(|stage| !keeps(stage)).count();
    let certificate = World::new(1_000, 100, Mix::Even).table.certificate();
    let (one, lines) = (certificate.one_proof().lines, certificate.total().lines);
    let most = budget.certificate.lines_max;
    println!(
        "cache lines of a decision, by its certificate: {one} with one proof, {lines} with every one (budget {most})"
    );
    if over == 0 && lines <= most {
        println!("within budget");
        return ExitCode::SUCCESS;
    }
    println!("{over} over budget: run it alone (-- NAME) on a quiet machine; bench/README.md says how to read it");
    ExitCode::FAILURE
}

/// Measures one stage and prints its line; whether it keeps its budget.
fn keeps(budget: &StageBudget) -> bool {
    let make = |name: &str| list::make(name).unwrap_or_else(|| panic!("{name} is no stage"));
    let (mut stage, mut reference) = (make(budget.name.get_ref()), make(budget.reference.get_ref()));
    let (batch, samples) = (*budget.batch.get_ref(), *budget.samples.get_ref());
    let measured = measure::measure(&mut *stage, &mut *reference, batch, samples);
    let verdict = Verdict { budget, measured };
    println!("{}", verdict.line());
    !verdict.is_over()
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("budget: {why}");
    ExitCode::from(2)
}
