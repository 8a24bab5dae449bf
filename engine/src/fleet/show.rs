//! The answers as a table for people and as JSON for scripts.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::json;

use super::expect::Expectation;
use super::judge::Judged;

/// Characters of a digest or key id that tell it from others.
const SHORT_CHARS: usize = 12;
const HEADINGS: [&str; 8] = ["GATEWAY", "RELEASE", "VERSION", "SERIAL", "SINCE", "TABLE", "NODE KEY", "STATE"];

/// A table; under each row what is wrong with it; then what they are together.
pub fn text(judged: &[Judged], expected: Option<&Expectation>, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<[String; 8]> = judged.iter().map(row).collect();
    let mut widths = HEADINGS.map(|heading| heading.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(&HEADINGS.map(str::to_owned), &widths, out)?;
    for (row, of) in rows.iter().zip(judged) {
        line(row, &widths, out)?;
        for problem in &of.problems {
            writeln!(out, "  problem: {}", printable(&problem.text))?;
        }
        for note in &of.notes {
            writeln!(out, "  note: {}", printable(&note.text))?;
        }
    }
    summary(judged, expected, out)
}

fn row(of: &Judged) -> [String; 8] {
    let state = match of.problems.len() {
        0 => "ok".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let Some(said) = &of.answer else {
        let none = || "-".to_owned();
        return [printable(&of.host), none(), none(), none(), none(), none(), none(), state];
    };
    let key = short(&said.node.id.to_string());
    [
        printable(&of.host),
        short(&said.release),
        said.version.to_string(),
        said.pointer.as_ref().map_or_else(|| "-".to_owned(), |pointer| pointer.serial.to_string()),
        said.since.to_string(),
        short(&said.table_sha256),
        if of.pinned == Some(true) { key } else { format!("{key}?") },
        state,
    ]
}

fn line(cells: &[String; 8], widths: &[usize; 8], out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        // Numbers to the right.
        let padded = if matches!(at, 2 | 3) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        text.push_str(&padded);
        text.push_str("  ");
    }
    writeln!(out, "{}", text.trim_end())
}

fn summary(judged: &[Judged], expected: Option<&Expectation>, out: &mut dyn Write) -> io::Result<()> {
    let mut releases: BTreeMap<&str, usize> = BTreeMap::new();
    for said in judged.iter().filter_map(|of| of.answer.as_ref()) {
        *releases.entry(&said.release).or_default() += 1;
    }
    let bad = judged.iter().filter(|of| !of.problems.is_empty()).count();
    writeln!(out)?;
    if let Some(expected) = expected {
        let serial = match (expected.serial, &expected.channel) {
            (Some(serial), Some(channel)) => format!(", channel {channel}, serial {serial}"),
            _ => String::new(),
        };
        let doubt = if expected.is_signed == Some(false) { " (not verified: give --trust-root)" } else { "" };
        writeln!(out, "expected: {}{serial}{doubt}", expected.release)?;
    }
    match releases.len() {
        0 => writeln!(out, "no gateway told its release")?,
        1 => writeln!(out, "one release: {}", releases.keys().map(|release| printable(release)).collect::<String>())?,
        count => {
            writeln!(out, "{count} different releases:")?;
            for (release, count) in releases {
                writeln!(out, "  {} at {}", printable(release), gateways(count))?;
            }
        }
    }
    writeln!(out, "{}, {bad} with problems", gateways(judged.len()))?;
    if judged.iter().any(|of| of.pinned != Some(true) && of.answer.is_some()) {
        writeln!(
            out,
            "? a node key that is not pinned: its holder answered, but nothing shows which gateway that is (--node-key)"
        )?;
    }
    Ok(())
}

fn gateways(count: usize) -> String {
    crate::commands::signing::plural(count, "gateway")
}

/// One document: what was expected, and every gateway with its whole answer.
pub fn json(judged: &[Judged], expected: Option<&Expectation>, out: &mut dyn Write) -> io::Result<()> {
    let ok = judged.iter().all(|of| of.problems.is_empty());
    let document = json!({ "ok": ok, "expected": expected, "gateways": judged });
    writeln!(out, "{document:#}")
}

/// A digest without its prefix, cut.
fn short(digest: &str) -> String {
    printable(digest.strip_prefix("sha256:").unwrap_or(digest)).chars().take(SHORT_CHARS).collect()
}

/// What gateways say must not move a terminal's cursor.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
