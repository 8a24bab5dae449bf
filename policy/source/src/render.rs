//! Diagnostics for people: what, where with the source line and a caret, and what to do.

use std::fmt::Write;

use policy::credential::Covered;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::codes;
use crate::diagnostic::{Diagnostic, Lines, Severity, Span};
use crate::fields::is_harmless;

/// Columns of a source line that are shown at most.
const SHOWN_COLUMNS_MAX: usize = 100;
/// Columns shown before the place, when the line is cut.
const LEAD_COLUMNS: usize = 30;

/// Renders diagnostics of `text`, each like
///
/// ```text
/// error[unknown-key]: unknown key `methds` in [[route]]
///   --> policy.toml:12:1
///    |
/// 12 | methds = ["GET"]
///    | ^^^^^^ no such key here
///    = hint: did you mean `methods`?
/// ```
///
/// and a last line that counts them. Nothing is given for no diagnostics.
pub fn render(diagnostics: &[Diagnostic], name: &str, text: &str, color: bool) -> String {
    let text = &covered(text, diagnostics).text();
    let lines = Lines::new(text);
    let paint = Paint { color };
    let mut out = String::new();
    for diagnostic in diagnostics {
        one(&mut out, diagnostic, name, text, &lines, &paint);
        out.push('\n');
    }
    if !diagnostics.is_empty() {
        let count = |severity| diagnostics.iter().filter(|found| found.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let total = match (errors, warnings) {
            (0, warnings) => plural(warnings, "warning"),
            (errors, 0) => plural(errors, "error"),
            (errors, warnings) => format!("{} and {}", plural(errors, "error"), plural(warnings, "warning")),
        };
        let severity = if errors > 0 { Severity::Error } else { Severity::Warning };
        let _ = writeln!(out, "{}", paint.severity(severity, &format!("{name}: {total}")));
    }
    out
}

/// The text with the secrets that stand in it: what is rendered ends up in logs.
fn covered<'t>(text: &'t str, diagnostics: &[Diagnostic]) -> Covered<'t> {
    let told = diagnostics.iter().filter(|found| found.code == codes::SECRET_IN_POLICY.name);
    told.fold(Covered::of(text), |covered, secret| covered.and(secret.span.start..secret.span.end))
}

fn one(out: &mut String, diagnostic: &Diagnostic, name: &str, text: &str, lines: &Lines, paint: &Paint) {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let last_line = diagnostic.related.iter().map(|related| related.line).chain([diagnostic.line]).max().unwrap_or(1);
    let gutter = last_line.to_string().len();
    let head = paint.severity(diagnostic.severity, &format!("{word}[{}]", diagnostic.code));
    let _ = writeln!(out, "{head}: {}", paint.bold(&diagnostic.message));
    let (line, column) = (diagnostic.line, diagnostic.column);
    let _ = writeln!(out, "{:gutter$}{} {name}:{line}:{column}", "", paint.dim("-->"));
    if diagnostic.code != codes::OTHER_FILE.name {
        excerpts(out, diagnostic, text, lines, gutter, paint);
    }
    if let Some(hint) = &diagnostic.hint {
        let _ = writeln!(out, "{:gutter$} {} {} {hint}", "", paint.dim("="), paint.with(CYAN, "hint:"));
    }
}

/// The lines that a diagnostic is about.
fn excerpts(out: &mut String, diagnostic: &Diagnostic, text: &str, lines: &Lines, gutter: usize, paint: &Paint) {
    let line = diagnostic.line;
    let _ = writeln!(out, "{:gutter$} {}", "", paint.dim("|"));
    let caret = paint.severity_of(diagnostic.severity);
    place(
        out,
        Place { span: diagnostic.span, line, label: &diagnostic.label, mark: '^' },
        text,
        lines,
        gutter,
        paint,
        caret,
    );
    for related in &diagnostic.related {
        if related.line != diagnostic.line {
            let _ = writeln!(out, "{:gutter$} {}", "", paint.dim(":"));
        }
        let shown = Place { span: related.span, line: related.line, label: &related.label, mark: '-' };
        place(out, shown, text, lines, gutter, paint, BLUE);
    }
}

struct Place<'p> {
    span: Span,
    line: usize,
    label: &'p str,
    mark: char,
}

/// A source line and the marks under it.
fn place(
    out: &mut String,
    place: Place<'_>,
    text: &str,
    lines: &Lines,
    gutter: usize,
    paint: &Paint,
    color: &'static str,
) {
    let line = lines.line(text, place.line);
    let source = text.get(line.start..line.end).unwrap_or("");
    let start = place.span.start.clamp(line.start, line.end) - line.start;
    let end = place.span.end.clamp(line.start + start, line.end) - line.start;
    let window = window(source, start);
    let before = visible(source.get(window.start..start).unwrap_or(""));
    let marked = visible(source.get(start..end.min(window.end).max(start)).unwrap_or(""));
    let cut = if window.start > 0 { "…" } else { "" };
    let shown = visible(source.get(window.start..window.end).unwrap_or(""));
    let more = if window.end < source.len() { "…" } else { "" };
    let number = paint.dim(&format!("{:>gutter$}", place.line));
    let bar = paint.dim("|");
    let _ = writeln!(out, "{}", format!("{number} {bar} {cut}{shown}{more}").trim_end());
    let indent = cut.width() + before.width();
    let marks: String = std::iter::repeat_n(place.mark, marked.width().max(1)).collect();
    let label = if place.label.is_empty() { String::new() } else { format!(" {}", place.label) };
    let marks = paint.with(color, &format!("{marks}{label}"));
    let _ = writeln!(out, "{:gutter$} {bar} {:indent$}{marks}", "", "");
}

/// The part of a long line to show, around a place in it.
fn window(source: &str, start: usize) -> Span {
    let back = |from: usize, columns: usize| {
        let before = source.get(..from).unwrap_or("");
        before.char_indices().rev().take(columns).last().map_or(from, |(at, _)| at)
    };
    let forward = |from: usize, columns: usize| {
        let after = source.get(from..).unwrap_or("");
        after.char_indices().nth(columns).map_or(source.len(), |(at, _)| from + at)
    };
    let whole_fits = source.char_indices().nth(SHOWN_COLUMNS_MAX).is_none();
    if whole_fits {
        return Span { start: 0, end: source.len() };
    }
    let first = back(start, LEAD_COLUMNS);
    let first = if source.get(..first).is_some_and(|before| before.chars().count() < 8) { 0 } else { first };
    Span { start: first, end: forward(first, SHOWN_COLUMNS_MAX) }
}

/// Source text as a terminal may show it: tabs as spaces, what would do more than print as a sign.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            c if is_harmless(c) && c.width() != Some(0) => shown.push(c),
            _ => shown.push('\u{fffd}'),
        }
    }
    shown
}

const BLUE: &str = "\x1b[34m";
const CYAN: &str = "\x1b[36m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RED_BOLD: &str = "\x1b[1;31m";
const YELLOW_BOLD: &str = "\x1b[1;33m";

struct Paint {
    color: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.color { format!("{code}{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.with(BOLD, text)
    }

    fn dim(&self, text: &str) -> String {
        self.with(DIM, text)
    }

    fn severity(&self, severity: Severity, text: &str) -> String {
        self.with(self.severity_of(severity), text)
    }

    fn severity_of(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Error => RED_BOLD,
            Severity::Warning => YELLOW_BOLD,
        }
    }
}

#[cfg(test)]
mod tests;
