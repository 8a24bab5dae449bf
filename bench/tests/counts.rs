//! The gate: instructions of each stage, counted by callgrind, against `bench/budget.toml`. No time is measured here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use bench::budget::Budget;
use bench::counts;

#[test]
fn no_stage_takes_more_instructions_than_its_budget() {
    if !counts::is_possible() {
        println!("SKIPPED: counting instructions needs valgrind (tests/run installs it) on x86-64 with AVX2");
        return;
    }
    let budget = Budget::read(&Budget::path()).unwrap().counts;
    let folder = tempfile::tempdir().unwrap();
    let counted = counts::count(&counts::build().unwrap(), folder.path()).unwrap();
    let tolerance = *budget.tolerance_percent.get_ref() / 100.0;
    let mut wrong = Vec::new();
    for (name, count) in &counted {
        let Some(most) = budget.instructions.get(name) else {
            wrong.push(format!("{name}: {count}, and no budget"));
            continue;
        };
        let difference = *count as f64 / *most as f64 - 1.0;
        println!("{name:<20} {count:>8} instructions, budget {most:>8}, {:+.1} %", difference * 100.0);
        if difference.abs() > tolerance {
            wrong.push(format!("{name}: {count}, budget {most} ({:+.1} %)", difference * 100.0));
        }
    }
    let missing = budget.instructions.keys().filter(|name| counted.iter().all(|(counted, _)| counted != *name));
    wrong.extend(missing.map(|name| format!("{name}: in the budget, and not counted")));
    let now: String = counted.iter().map(|(name, count)| format!("{name} = {count}\n")).collect();
    assert!(
        wrong.is_empty(),
        "instructions a run are not as in bench/budget.toml:\n  {}\nA change on purpose, also to fewer or by a new \
         compiler: put these under [counts.instructions] there, and say why in the commit:\n{now}",
        wrong.join("\n  ")
    );
}
