//! A review told to people, on lines of a terminal.

use std::io::{self, Write};

use agent::export::for_shell;

use super::anomalies::{Anomaly, Unjudged};
use super::edit::Edit;
use super::evidence::{Standing, span_text};
use super::findings::{Finding, Topic};
use super::proof::{Proven, Written};
use super::scan::Window;
use crate::commands::signing::plural;
use crate::replay::line::time_text;

/// Columns of a line.
const COLUMNS: usize = 80;
/// Columns of names; a longer one has its line.
const NAME_COLUMNS: usize = 18;
/// Findings of one topic that are told; JSON has all.
const FINDINGS_TOLD_MAX: usize = 50;
const ANOMALIES_TOLD_MAX: usize = 50;

/// What was looked at.
pub struct Subject<'a> {
    /// Of the policy; or what is compared.
    pub what: String,
    pub exchanges: u64,
    pub covered: Window,
    pub standing: &'a Standing,
    /// As they were named.
    pub records: &'a [String],
    pub accepted_holes: bool,
}

pub fn write(
    out: &mut dyn Write,
    subject: &Subject<'_>,
    findings: &[Finding],
    edits: &[Edit],
    counts: (u64, u64),
) -> io::Result<()> {
    write_head(out, subject)?;
    for topic in Topic::ALL {
        let of: Vec<&Finding> = findings.iter().filter(|finding| finding.topic == topic).collect();
        if of.is_empty() {
            continue;
        }
        writeln!(out, "\n{} ({})", topic.heading(), of.len())?;
        for finding in of.iter().take(FINDINGS_TOLD_MAX) {
            entry(out, &finding.name, &finding.found)?;
        }
        if of.len() > FINDINGS_TOLD_MAX {
            writeln!(out, "  … and {} more (--format json has them)", of.len() - FINDINGS_TOLD_MAX)?;
        }
        let mut advices: Vec<&String> = of.iter().filter_map(|finding| finding.advice.as_ref()).collect();
        advices.dedup();
        for advice in advices.iter().take(FINDINGS_TOLD_MAX) {
            wrapped(out, "  → ", "    ", advice)?;
        }
    }
    if findings.is_empty() && (subject.standing.holes.is_empty() || subject.accepted_holes) {
        writeln!(out, "\nnothing to tighten: all that the policy gives was used")?;
    }
    let (refused_now, not_decided) = counts;
    let mut notes = subject.standing.notes.clone();
    if refused_now > 0 {
        let many = plural(usize::try_from(refused_now).unwrap_or(usize::MAX), "exchange");
        notes.push(format!("{many} permitted then would be refused by this policy already"));
    }
    if not_decided > 0 {
        let many = plural(usize::try_from(not_decided).unwrap_or(usize::MAX), "exchange");
        notes.push(format!("{many} ended before the policy was asked, which is not counted"));
    }
    if !edits.is_empty() {
        let many = plural(edits.len(), "change");
        notes.push(format!("{many} of the source would follow from this: --patch FILE writes and proves them"));
    }
    write_notes(out, &notes, subject)
}

fn write_head(out: &mut dyn Write, subject: &Subject<'_>) -> io::Result<()> {
    let Window { since_ns, until_ns } = subject.covered;
    writeln!(out, "{}", subject.what)?;
    let many = plural(usize::try_from(subject.exchanges).unwrap_or(usize::MAX), "exchange");
    let span = span_text(until_ns.saturating_sub(since_ns));
    writeln!(out, "{many} in {span}: {} to {}", seconds(since_ns), seconds(until_ns))?;
    if subject.standing.holes.is_empty() {
        return Ok(());
    }
    let head = match subject.accepted_holes {
        true => "HOLES, accepted: what seems unused may have been used",
        false => "NOT JUDGED: these records cannot show that something was not used",
    };
    writeln!(out, "\n{head}")?;
    for hole in &subject.standing.holes {
        wrapped(out, "  - ", "    ", hole)?;
    }
    if !subject.accepted_holes {
        wrapped(
            out,
            "  → ",
            "    ",
            "give the files that are missing, or a shorter window (--days, --since); \
            --accept-holes goes on in spite of it",
        )?;
    }
    Ok(())
}

fn write_notes(out: &mut dyn Write, notes: &[String], subject: &Subject<'_>) -> io::Result<()> {
    writeln!(out, "\nnotes")?;
    for note in notes {
        wrapped(out, "  - ", "    ", note)?;
    }
    let records = match subject.records {
        [only] => only.clone(),
        records => format!("{} files", records.len()),
    };
    let verify = format!(
        "whether a gateway's key vouches for {records} was not looked at: adamant audit verify does. \
         Every exchange has its record; nothing is sampled"
    );
    wrapped(out, "  - ", "    ", &verify)
}

/// What became of the patch.
pub fn write_patch(out: &mut dyn Write, proven: &Proven, edits: &[Edit], written: Option<&Written>) -> io::Result<()> {
    writeln!(out, "\npatch")?;
    for index in &proven.edits {
        if let Some(edit) = edits.get(*index) {
            wrapped(out, "  ", "    ", &edit.says())?;
        }
    }
    for (index, why) in &proven.left_out {
        if let Some(edit) = edits.get(*index) {
            wrapped(out, "  left out: ", "    ", &format!("{}: {why}", edit.says()))?;
        }
    }
    let Some(Written { path, elsewhere }) = written else {
        return writeln!(out, "  there is nothing to change: no patch was written");
    };
    let replayed = plural(usize::try_from(proven.replayed).unwrap_or(usize::MAX), "recorded decision");
    let proved =
        format!("proved: adamant diff says {}; {replayed} made again come out the same", proven.verdict.name());
    wrapped(out, "  ", "    ", &proved)?;
    if proven.cases_failing > 0 {
        let many = plural(proven.cases_failing, "test case");
        let told =
            format!("{many} fail with it, and must say what is wanted: {}", proven.cases_failing_told.join("; "));
        wrapped(out, "  ", "    ", &told)?;
    }
    let shown = for_shell(path);
    let Some(place) = elsewhere else {
        return writeln!(out, "  wrote {shown}; apply it with: git apply {shown}   (or patch -p1 < {shown})");
    };
    // Here another file may be called so.
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let (place, whole) = (for_shell(place), for_shell(&whole));
    writeln!(out, "  wrote {shown}; apply it where the source stands: (cd {place} && git apply {whole})")
}

pub fn write_anomalies(
    out: &mut dyn Write,
    subject: &Subject<'_>,
    baseline: &Window,
    (anomalies, unjudged): (&[Anomaly], &[Unjudged]),
) -> io::Result<()> {
    write_head(out, subject)?;
    let span = span_text(baseline.until_ns.saturating_sub(baseline.since_ns));
    writeln!(out, "against {span}: {} to {}", seconds(baseline.since_ns), seconds(baseline.until_ns))?;
    if !unjudged.is_empty() {
        writeln!(out, "\nNOT JUDGED")?;
        for Unjudged { kinds, why } in unjudged {
            let kinds = kinds.iter().map(|kind| kind.heading()).collect::<Vec<_>>().join(", ");
            wrapped(out, "  - ", "    ", &format!("{kinds}: {why}"))?;
        }
    }
    if anomalies.is_empty() {
        let of = if unjudged.is_empty() { "" } else { " in what was judged" };
        writeln!(out, "\nnothing unusual{of}")?;
    }
    for found in anomalies.iter().take(ANOMALIES_TOLD_MAX) {
        writeln!(out)?;
        wrapped(
            out,
            &format!("{:<7} ", found.severity.name()),
            "        ",
            &format!("{}: {}", found.kind.heading(), found.who),
        )?;
        wrapped(out, "        ", "        ", &found.why)?;
        let first = seconds(found.first_ns);
        let when =
            if first == seconds(found.last_ns) { first } else { format!("{first} to {}", seconds(found.last_ns)) };
        let count = plural(usize::try_from(found.count).unwrap_or(usize::MAX), "time");
        wrapped(out, "        ", "        ", &format!("{count}, {when}, such as request {}", found.request_id))?;
    }
    if anomalies.len() > ANOMALIES_TOLD_MAX {
        writeln!(out, "\n… and {} more (--format json has them)", anomalies.len() - ANOMALIES_TOLD_MAX)?;
    }
    write_notes(out, &subject.standing.notes, subject)
}

fn seconds(ns: u64) -> String {
    time_text(ns / 1_000_000_000 * 1_000_000_000)
}

fn entry(out: &mut dyn Write, name: &str, found: &str) -> io::Result<()> {
    let indent = " ".repeat(NAME_COLUMNS + 4);
    if name.chars().count() > NAME_COLUMNS {
        writeln!(out, "  {name}")?;
        return wrapped(out, &indent, &indent, found);
    }
    wrapped(out, &format!("  {name:<NAME_COLUMNS$}  "), &indent, found)
}

/// Words on as many lines as they need.
fn wrapped(out: &mut dyn Write, first: &str, next: &str, words: &str) -> io::Result<()> {
    let (mut line, mut used) = (first.to_owned(), first.chars().count());
    let mut begun = false;
    for word in words.split(' ') {
        let length = word.chars().count();
        if begun && used + 1 + length > COLUMNS {
            writeln!(out, "{line}")?;
            (line, used, begun) = (next.to_owned(), next.chars().count(), false);
        }
        if begun {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
        begun = true;
    }
    writeln!(out, "{line}")
}
