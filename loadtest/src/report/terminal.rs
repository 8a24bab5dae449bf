//! The table on the terminal, for somebody who sees it for the first time.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::escape::{cut, printable};
use super::groups::{Column, Group, columns, groups};
use super::number;
use super::page::{machine, sign, steadiness};
use crate::results::{Experiment, Goal, Probe, Results, Row, Subject};

/// Prose is broken here.
const WIDTH: usize = 110;
/// Longest cell of somebody else's words.
const CELL_MAX: usize = 44;
/// Failed probes of a target that are told.
const FAILED_MAX: usize = 3;

/// The whole run.
pub fn text(results: &Results) -> String {
    let mut out = String::new();
    heading(&mut out, "What enforcement costs");
    let facts = [
        ("measured", format!("{}, in {}", results.started, number::duration(results.seconds))),
        ("machine", machine(results)),
        ("steadiness", steadiness(results.noise.as_ref())),
        ("command", results.command.clone()),
    ];
    for (name, value) in facts {
        prose(&mut out, &format!("  {name:<11} "), &value);
    }
    if results.quick {
        let text = "A quick run, for trying out: its figures prove nothing. Measure again without --quick.";
        prose(&mut out, "  !           ", text);
    }
    if let Some(why) = &results.partial {
        prose(&mut out, "  !           ", &format!("Not all was measured: {why}."));
    }
    if let Some(why) = &results.partial {
        prose(&mut out, "  !           ", &format!("Not everything was measured: {why}."));
    }
    goals(&mut out, &results.goals);
    targets(&mut out, &results.targets);
    for one in &results.experiments {
        experiment(&mut out, one, &results.targets);
    }
    if results.experiments.iter().any(|experiment| !experiment.rows.is_empty()) {
        let text = "Values stand before their 95 % intervals. CPU is what the kernel counted for all threads of the \
                    target, for each request. Only figures of one run may be compared with each other.";
        out.push('\n');
        prose(&mut out, "", text);
    }
    out
}

fn goals(out: &mut String, goals: &[Goal]) {
    if goals.is_empty() {
        return;
    }
    heading(out, "Goals");
    let mut lines = vec![["", "outcome", "goal", "measured", "figure"].map(str::to_owned).to_vec()];
    for goal in goals {
        let measured = goal.measured.map_or_else(|| "–".to_owned(), |value| number::estimate(value, "×"));
        lines.push(vec![
            sign(goal.outcome).0.to_owned(),
            goal.outcome.word().to_owned(),
            cut(&goal.goal, CELL_MAX),
            measured,
            printable(&goal.figure).into_owned(),
        ]);
    }
    out.push_str(&table(&lines, &[]));
    for goal in goals {
        if let Some(note) = &goal.note {
            prose(out, "    ", &format!("{}: {note}", goal.figure));
        }
    }
}

fn targets(out: &mut String, targets: &[Subject]) {
    if targets.is_empty() {
        return;
    }
    heading(out, "Targets");
    let mut lines = vec![["target", "version", "probes passed", "from"].map(str::to_owned).to_vec()];
    for target in targets {
        let passed = target.probes.iter().filter(|probe| probe.passed).count();
        let probes =
            if target.probes.is_empty() { "none made".into() } else { format!("{passed} of {}", target.probes.len()) };
        lines.push(vec![
            cut(&target.name, CELL_MAX),
            cut(&target.version, CELL_MAX),
            probes,
            cut(&target.obtained, CELL_MAX),
        ]);
    }
    out.push_str(&table(&lines, &[]));
    for target in targets.iter().filter(|target| !target.ranked) {
        let why = target.why_not.as_deref().unwrap_or("it did not give the expected answers");
        prose(out, "    ", &format!("{} is not ranked: {why}", target.name));
    }
    for target in targets {
        failed_probes(out, target);
    }
}

/// The first few probes that a target failed.
fn failed_probes(out: &mut String, target: &Subject) {
    let failed: Vec<_> = target.probes.iter().filter(|probe| !probe.passed).collect();
    for probe in failed.iter().take(FAILED_MAX) {
        let Probe { work, request, expected, found, .. } = probe;
        let text = format!("{}, {work}: {request}: expected {expected}, found {found}", target.name);
        prose(out, "    ✗ ", &text);
    }
    if failed.len() > FAILED_MAX {
        prose(out, "    ✗ ", &format!("{}: {} more", target.name, failed.len() - FAILED_MAX));
    }
}

fn experiment(out: &mut String, experiment: &Experiment, targets: &[Subject]) {
    heading(out, &printable(&experiment.title));
    prose(out, "  ", &experiment.about);
    let groups = groups(experiment, targets);
    let columns = columns(experiment);
    for group in &groups {
        rows(out, group, &columns);
    }
    if groups.is_empty() && experiment.curves.is_empty() && experiment.heat.is_empty() {
        out.push_str("  Nothing was measured.\n");
    }
    curves(out, experiment);
}

fn rows(out: &mut String, group: &Group<'_>, columns: &[Column]) {
    let _ = writeln!(out, "\n  {} over {}", printable(group.work), printable(group.transport));
    let all = || group.ranked.iter().copied().chain(group.unranked.iter().map(|(row, _)| *row));
    let columns: Vec<&Column> =
        columns.iter().filter(|column| all().any(|row| row.estimates.contains_key(&column.name))).collect();
    let title = |column: &&Column| format!("{}, {}", cut(&column.title, CELL_MAX), cut(&column.unit, 12));
    let mut lines = vec![std::iter::once("target".to_owned()).chain(columns.iter().map(title)).collect::<Vec<_>>()];
    let line = |row: &Row, name: String| -> Vec<String> {
        let value = |column: &&Column| {
            row.estimates
                .get(&column.name)
                .map_or_else(|| "–".to_owned(), |measured| number::estimate(measured.estimate, &measured.unit))
        };
        std::iter::once(name).chain(columns.iter().map(value)).collect()
    };
    lines.extend(group.ranked.iter().map(|row| line(row, cut(&row.target, CELL_MAX))));
    lines.extend(group.unranked.iter().map(|(row, _)| line(row, format!("({})", cut(&row.target, CELL_MAX)))));
    // A few rows of many figures are read more easily the other way round.
    side_by_side(out, &if columns.len() > lines.len() + 1 { turned(&lines) } else { lines });
    for (row, why) in &group.unranked {
        prose(out, "    ", &format!("({}) is not ranked: {why}", row.target));
    }
}

/// Rows become columns.
fn turned(lines: &[Vec<String>]) -> Vec<Vec<String>> {
    let columns = lines.first().map_or(0, Vec::len);
    let mut turned: Vec<Vec<String>> =
        (0..columns).map(|at| lines.iter().filter_map(|line| line.get(at).cloned()).collect()).collect();
    if let Some(corner) = turned.first_mut().and_then(|line| line.first_mut()) {
        corner.clear();
    }
    turned
}

/// A table of numbers; columns that do not fit beside each other stand below, with the first one again.
fn side_by_side(out: &mut String, lines: &[Vec<String>]) {
    let columns = lines.first().map_or(0, Vec::len);
    let width =
        |at: usize| 2 + lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.width()).max().unwrap_or(0);
    let mut at = 1;
    while at < columns {
        let mut shown = vec![0];
        let mut wide = width(0);
        while at < columns && (shown.len() == 1 || wide + width(at) <= WIDTH) {
            wide += width(at);
            shown.push(at);
            at += 1;
        }
        let part = |line: &Vec<String>| shown.iter().filter_map(|at| line.get(*at).cloned()).collect();
        let numbers: Vec<usize> = (1..shown.len()).collect();
        out.push_str(&table(&lines.iter().map(part).collect::<Vec<_>>(), &numbers));
        if at < columns {
            out.push('\n');
        }
    }
}

fn curves(out: &mut String, experiment: &Experiment) {
    for curve in &experiment.curves {
        let _ = writeln!(out, "\n  {}, {}, at constant rates", printable(&curve.target), printable(&curve.work));
        let heads = ["intended, 1/s", "answered, 1/s", "p50", "p99", "p99.9"];
        let mut lines = vec![heads.map(str::to_owned).to_vec()];
        for point in &curve.points {
            lines.push(vec![
                number::number(point.rate),
                number::number(point.throughput),
                number::latency(point.p50_us),
                number::latency(point.p99_us),
                number::latency(point.p999_us),
            ]);
        }
        out.push_str(&table(&lines, &[0, 1, 2, 3, 4]));
    }
}

fn heading(out: &mut String, title: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{}", title.to_uppercase());
}

/// Columns under each other, indented by two; the first line is the heading. `right` are the columns of numbers.
/// What stands in a cell must be printable already.
pub fn table(lines: &[Vec<String>], right: &[usize]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            let width = cell.width();
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for line in lines {
        let mut text = String::from("  ");
        for (at, (cell, widest)) in line.iter().zip(&widths).enumerate() {
            let space = " ".repeat(widest.saturating_sub(cell.width()));
            let cells = if right.contains(&at) { [space.as_str(), cell] } else { [cell, space.as_str()] };
            text.extend(cells);
            text.push_str("  ");
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out
}

/// A text broken at spaces; `first` stands before it, and as much room before the other lines.
pub fn prose(out: &mut String, first: &str, text: &str) {
    let text = printable(text);
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.width() + 1 + word.width() > WIDTH {
            let _ = writeln!(out, "{}", line.trim_end());
            line = " ".repeat(first.width());
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}
