//! What the TOML parser could not read, in words that say what to do.

use toml::de::Error;

use crate::codes;
use crate::diagnostic::{Diagnostic, Lines, Sink, Span};
use crate::fields::shown;

/// Reports each line that TOML could not read, once: what it finds further on in a line follows from the first.
pub(crate) fn report(errors: &[Error], text: &str, lines: &Lines, sink: &mut Sink) {
    let mut found: Vec<(Span, &str)> = errors
        .iter()
        .map(|error| (error.span().map(Span::from).unwrap_or_default(), error.message()))
        .map(|(span, message)| (within(span, text), message))
        .collect();
    found.sort();
    let unclosed = unclosed(&found, text);
    let mut line_before = 0;
    let mut header_twice = None;
    for (span, message) in found {
        if let Some((opening, what, sign)) = unclosed
            && span.start > opening.start
        {
            let diagnostic = Diagnostic::new(codes::SYNTAX, opening, format!("this {what} is not closed"));
            sink.push(diagnostic.label("opened here").hint(format!("close it with `{sign}`")));
            sink.mark_broken(Span { start: opening.start, end: text.len() });
            return;
        }
        let (line, _) = lines.place(text, span.start);
        let follows = message == DUPLICATE && header_twice.is_some_and(|header| same_table(text, header, span.start));
        if line != line_before && !follows {
            sink.push(diagnostic(span, message, text));
            sink.mark_broken(lines.line(text, line));
        }
        if message == DUPLICATE && is_header(span, text) {
            header_twice = Some(span.start);
        }
        line_before = line;
    }
}

const DUPLICATE: &str = "duplicate key";

/// The bracket that is never closed, what it opens, and what would close it: everything after it is misread.
fn unclosed(found: &[(Span, &str)], text: &str) -> Option<(Span, &'static str, char)> {
    let at_end = |message: &str| {
        let end = text.trim_end().len();
        found.iter().any(|(span, found)| found.starts_with(message) && span.end >= end)
    };
    let (what, open, close) = match () {
        () if at_end("unclosed array,") => ("list", '[', ']'),
        () if at_end("unclosed inline table,") => ("table", '{', '}'),
        () => return None,
    };
    let (first, _) = found.first()?;
    let mut depth = 0_usize;
    for (at, c) in text.get(..first.start)?.char_indices().rev() {
        match c {
            c if c == close => depth += 1,
            c if c == open && depth == 0 => return Some((Span { start: at, end: at + 1 }, what, close)),
            c if c == open => depth -= 1,
            _ => {}
        }
    }
    None
}

fn is_header(span: Span, text: &str) -> bool {
    text.get(..span.start).is_some_and(|before| before.ends_with('['))
}

/// Whether no other table begins between two places.
fn same_table(text: &str, from: usize, to: usize) -> bool {
    text.get(from..to).is_some_and(|between| !between.contains("\n["))
}

/// A place inside the text and on character boundaries, at least one character wide where there is one.
fn within(span: Span, text: &str) -> Span {
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = floor(span.start);
    let end = floor(span.end).max(start);
    let next = text.get(start..).and_then(|rest| rest.chars().next()).filter(|c| !matches!(c, '\n' | '\r'));
    match next {
        Some(next) if end == start => Span { start, end: start + next.len_utf8() },
        _ => Span { start, end },
    }
}

fn diagnostic(span: Span, message: &str, text: &str) -> Diagnostic {
    let source = text.get(span.start..span.end).unwrap_or("");
    let new = |message: String| Diagnostic::new(codes::SYNTAX, span, message);
    if message.contains("recurs") {
        let diagnostic = Diagnostic::new(codes::NESTING_TOO_DEEP, span, "nested deeper than a policy source may be");
        return diagnostic.label("too deep").hint("the language needs four levels at most");
    }
    if message == DUPLICATE {
        return duplicate_key(span, source, text);
    }
    let bare_word = source.starts_with(|c: char| c.is_ascii_alphabetic()) && message.starts_with("invalid ");
    if bare_word || message.starts_with("string values must be quoted") {
        let word = shown(source.trim());
        let diagnostic = new("text is written in quotes".to_owned()).label("no quotes");
        return match word.is_empty() {
            true => diagnostic.hint("write a value, like `\"…\"`"),
            false => diagnostic.hint(format!("write `\"{word}\"`")),
        };
    }
    let hint = match message {
        m if m.starts_with("key with no value") => "write `key = value`, or `[table]`",
        m if m.starts_with("missing assignment") => "write `key = value`",
        m if m.starts_with("unclosed array table") => "write `[[name]]`",
        m if m.starts_with("unclosed table") => "write `[name]`",
        m if m.starts_with("unclosed array") => "close it with `]`",
        m if m.starts_with("unclosed inline table") => "close it with `}`",
        m if m.starts_with("missing comma") => "put a comma between the entries",
        m if m.starts_with("invalid basic string") => "close it with `\"`; a backslash begins an escape",
        m if m.starts_with("missing escaped value") => "write a backslash as `\\\\`, or use single quotes",
        m if m.starts_with("unexpected key or value") => "one `key = value` a line",
        m if m.starts_with("invalid unquoted key") => "put the key in quotes",
        m if m.starts_with("invalid date") || m.starts_with("invalid time") => "write it like 2027-01-31T00:00:00Z",
        _ => "the text is TOML: https://toml.io",
    };
    new(shown(message)).label("here").hint(hint)
}

fn duplicate_key(span: Span, source: &str, text: &str) -> Diagnostic {
    let key = shown(source);
    let header = is_header(span, text);
    let message = match header {
        true => format!("the table `[{key}]` stands twice"),
        false => format!("the key `{key}` stands twice"),
    };
    let diagnostic = Diagnostic::new(codes::DUPLICATE_KEY, span, message).label("again");
    match header {
        true => diagnostic.hint(format!("for one of several write `[[{key}]]`")),
        false => diagnostic.hint("remove one; a new entry begins with a new `[[…]]`"),
    }
}
