//! Budget against measured, as a table.

use std::fmt::Write as _;

use crate::budget::StageBudget;
use crate::measure::{Measured, Percentiles};

/// One stage, held against its budget.
pub struct Verdict<'b> {
    pub budget: &'b StageBudget,
    pub measured: Measured,
}

/// How the table begins.
pub fn heading() -> String {
    let (stage, reference) = ("stage", "reference");
    let [p50, p99, p999] = ["p50", "p99", "p99.9"];
    format!(
        "{stage:<36} {p50:>9} {p99:>9} {p999:>9} ns   {reference:<26} {p50:>9} {p99:>9} {p999:>9} ns   ratio (budget): {p50:<14} \
         {p99:<14} {p999:<14}"
    )
}

impl Verdict<'_> {
    /// Measured ratio and its budget, percentile by percentile.
    fn ratios(&self) -> [(f64, f64); 3] {
        let (Percentiles { p50, p99, p99_9 }, of) = (self.measured.stage, self.measured.reference);
        let ratio = |stage: f64, reference: f64| stage / reference.max(0.1);
        let budget = self.budget;
        [
            (ratio(p50, of.p50), *budget.p50.get_ref()),
            (ratio(p99, of.p99), *budget.p99.get_ref()),
            (ratio(p99_9, of.p99_9), *budget.p99_9.get_ref()),
        ]
    }

    pub fn is_over(&self) -> bool {
        let slow = self.budget.p50_ns.as_ref().is_some_and(|most| self.measured.stage.p50 > *most.get_ref());
        slow || self.ratios().iter().any(|(ratio, budget)| ratio > budget)
    }

    /// Its line of the table.
    pub fn line(&self) -> String {
        let name = match *self.budget.batch.get_ref() {
            1 => self.budget.name.get_ref().clone(),
            batch => format!("{} (mean of {batch})", self.budget.name.get_ref()),
        };
        let triple = |of: Percentiles| format!("{:>9.1} {:>9.1} {:>9.1}   ", of.p50, of.p99, of.p99_9);
        let mut line = format!("{name:<36} {}", triple(self.measured.stage));
        let _ = write!(line, "   {:<26} {}", self.budget.reference.get_ref(), triple(self.measured.reference));
        line.push_str("                  ");
        for (ratio, budget) in self.ratios() {
            let mark = if ratio > budget { "!" } else { " " };
            let _ = write!(line, "{mark}{:<14}", format!("{ratio:.2} ({budget})"));
        }
        if let Some(most) = &self.budget.p50_ns {
            let _ = write!(line, "p50 at most {} ns", most.get_ref());
        }
        if self.is_over() {
            line.push_str("  OVER");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_is_told_by_any_percentile() {
        let toml = "name = \"head\"\nreference = \"httparse\"\np50 = 2.0\np99 = 2.0\np99_9 = 2.0\np50_ns = 250.0";
        let budget: StageBudget = toml::from_str(toml).unwrap();
        let verdict = |p50, p99_9| {
            let stage = Percentiles { p50, p99: 200.0, p99_9 };
            let reference = Percentiles { p50: 100.0, p99: 100.0, p99_9: 100.0 };
            Verdict { budget: &budget, measured: Measured { stage, reference, samples: 1, clock: 0 } }
        };
        assert!(!verdict(200.0, 200.0).is_over());
        assert!(verdict(200.0, 201.0).is_over());
        assert!(verdict(260.0, 200.0).is_over(), "nanoseconds");
        let line = verdict(200.0, 300.0).line();
        assert!(line.contains("!3.00 (2)") && line.contains(" 2.00 (2)") && line.ends_with("OVER"), "{line}");
    }
}
