//! The outcome of cases for people: what failed and why, and what no case touches.

use std::io::{self, Write};

use super::coverage::{Coverage, Part, Touched};
use super::{Failed, Outcome, Played};
use crate::commands::signing::plural;

/// Names listed of one part.
const LISTED_MAX: usize = 8;

/// Writes the outcome. A release may come from anybody, so nothing of it does more on a terminal than print.
pub fn write(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let mut words = Vec::new();
    write_all(outcome, &mut words)?;
    String::from_utf8_lossy(&words).lines().try_for_each(|line| writeln!(out, "{}", harmless(line)))
}

/// Text without control characters.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn write_all(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let release = outcome.digest.map_or_else(String::new, |digest| format!(", release {digest}"));
    writeln!(out, "{}: policy {}{release}", outcome.file, outcome.policy)?;
    for case in &outcome.cases {
        let word = if case.failed.is_none() { "ok    " } else { "FAILED" };
        writeln!(out, "  {word}  {}", case.name)?;
    }
    for case in &outcome.cases {
        if let Some(failed) = &case.failed {
            write_failed(case, failed, out)?;
        }
    }
    if outcome.cases.is_empty() {
        let why = if outcome.left_out > 0 { " has this in its name" } else { "" };
        writeln!(out, "  no case{why}")?;
        if outcome.left_out == 0 {
            writeln!(out, "  write one beside the policy, like\n\n{EXAMPLE}\n")?;
        }
        return Ok(());
    }
    let requests: u64 = outcome.cases.iter().map(|case| case.requests).sum();
    let requests = plural(usize::try_from(requests).unwrap_or(usize::MAX), "request");
    let left_out = if outcome.left_out > 0 { format!(", {} left out", outcome.left_out) } else { String::new() };
    let (cases, failed) = (plural(outcome.cases.len(), "case"), outcome.failed());
    writeln!(out)?;
    writeln!(out, "{cases}: {} passed, {failed} failed{left_out} ({requests} decided)", outcome.passed())?;
    // Of a part of the cases it would say nothing.
    if outcome.left_out == 0 { write_coverage(outcome, out) } else { Ok(()) }
}

/// What a case looks like, where there is none.
const EXAMPLE: &str = "    [[case]]\n    name = \"reports-bot reads an order\"\n    agent = \"reports-bot\"\n    \
                       request = \"GET https://api.corp.example/orders/7\"\n    expect = \"permit\"";

/// The failure of a case, as it also stands in JUnit.
pub fn write_failed(case: &Played, failed: &Failed, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nFAILED  {}\n  --> {}", case.name, case.place_of(failed))?;
    let mut which = Vec::new();
    if failed.steps > 1 {
        which.push(format!("step {} of {}", failed.step, failed.steps));
    }
    if failed.repeat > 1 {
        which.push(format!("request {} of {} equal ones", failed.nth, failed.repeat));
    }
    if !which.is_empty() {
        writeln!(out, "  in {}", which.join(", "))?;
    }
    if !failed.request.is_empty() {
        writeln!(out, "  request   {}", failed.request)?;
    }
    writeln!(out, "  expected  {}\n  got       {}", failed.expected, failed.got)?;
    if !failed.how.is_empty() {
        writeln!(out, "  how it was decided:")?;
        for line in &failed.how {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

fn write_coverage(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let coverage = &outcome.coverage;
    let (touched, all) = coverage.total();
    writeln!(out, "\ncoverage {} %: the cases touch {touched} of {all}", coverage.percent())?;
    let rows: Vec<[String; 4]> = Part::ALL.into_iter().filter_map(|part| row(coverage, part)).collect();
    let heads = ["", "permitted", "refused", "no case touches"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&heads]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for [what, permitted, refused, untouched] in [&heads].into_iter().chain(&rows) {
        let (w, p, r) = (width(0), width(1), width(2));
        let line = format!("  {what:<w$}  {permitted:<p$}  {refused:<r$}  {untouched}");
        writeln!(out, "{}", line.trim_end())?;
    }
    let only_permitted = |touched: &Touched| touched.permitted > 0 && touched.refused == 0;
    let only_refused = |touched: &Touched| touched.permitted == 0 && touched.refused > 0;
    let notes = [
        ("no case reaches the limit", coverage.names(Part::Limit, only_permitted)),
        ("no case is permitted the scope", coverage.names(Part::Scope, only_refused)),
        ("no case is refused the scope", coverage.scopes_never_refused()),
    ];
    for (what, names) in notes.iter().filter(|(_, names)| !names.is_empty()) {
        writeln!(out, "  {what}: {}", listed(names))?;
    }
    Ok(())
}

/// None: the policy has nothing of this part.
fn row(coverage: &Coverage, part: Part) -> Option<[String; 4]> {
    let all = Some(coverage.part(part).len()).filter(|all| *all > 0)?;
    Some([
        part.nouns().to_owned(),
        format!("{} of {all}", coverage.count(part, |touched| touched.permitted > 0)),
        format!("{} of {all}", coverage.count(part, |touched| touched.refused > 0)),
        listed(&coverage.names(part, |touched| !touched.is_touched())),
    ])
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED_MAX).copied().collect();
    let more = names.len().saturating_sub(LISTED_MAX);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        assert_eq!((listed(&[]).as_str(), listed(&names[..1]).as_str()), ("", "a"));
        assert_eq!(listed(&names[..8]), "a, b, c, d, e, f, g, h");
        assert_eq!(listed(&names[..9]), "a, b, c, d, e, f, g, h and 1 more");
        assert!(listed(&names).ends_with("h and 2 more"));
    }
}
