//! What was found in a policy source, where, and what to do about it.

use std::borrow::Cow;

use policy::credential::Covered;
use serde::Serialize;

use crate::bounds::DIAGNOSTICS_MAX;
use crate::codes::{self, Code};

/// Bytes `start..end` of the source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Error,
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable; one of [`CODES`](crate::CODES).
    pub code: &'static str,
    pub message: String,
    pub span: Span,
    /// Line of the span's start, from 1.
    pub line: usize,
    /// Column of the span's start in characters, from 1.
    pub column: usize,
    /// What stands at the span, in a few words; may be empty.
    pub label: String,
    /// What to do.
    pub hint: Option<String>,
    /// Other places that belong to it.
    pub related: Vec<Related>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    pub span: Span,
    pub line: usize,
    pub column: usize,
    pub label: String,
}

impl Diagnostic {
    pub(crate) fn new(code: &'static Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: code.severity,
            code: code.name,
            message: message.into(),
            span,
            line: 0,
            column: 0,
            label: String::new(),
            hint: None,
            related: Vec::new(),
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn hint_maybe(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    pub(crate) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Related { span, line: 0, column: 0, label: label.into() });
        self
    }

    /// Takes what is quoted of credentials out of the words.
    fn cover(&mut self, covered: &Covered<'_>) {
        let labels = self.related.iter_mut().map(|related| &mut related.label);
        for words in [&mut self.message, &mut self.label].into_iter().chain(&mut self.hint).chain(labels) {
            if let Cow::Owned(safe) = covered.message(words) {
                *words = safe;
            }
        }
    }
}

/// Collects diagnostics; in the end sorts them by place and works out lines and columns.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
    /// Lines (as byte ranges) that TOML itself could not read: what was guessed there says nothing.
    broken: Vec<Span>,
}

impl Sink {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.distrusts(&diagnostic) {
            return;
        }
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// Marks a line that TOML could not read. From then on nothing is said that may follow from the damage.
    pub(crate) fn mark_broken(&mut self, line: Span) {
        self.broken.push(line);
    }

    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether a diagnostic may be only a consequence of text that TOML could not read.
    fn distrusts(&self, diagnostic: &Diagnostic) -> bool {
        if self.broken.is_empty() || diagnostic.code == codes::SYNTAX.name {
            return false;
        }
        let follows = [codes::MISSING_KEY, codes::WRONG_TYPE, codes::EMPTY_TEXT, codes::EMPTY_LIST];
        let guessed = diagnostic.span.end == 0;
        let after = self.broken.partition_point(|line| line.start <= diagnostic.span.start);
        let on_broken_line = after
            .checked_sub(1)
            .and_then(|at| self.broken.get(at))
            .is_some_and(|line| diagnostic.span.start <= line.end);
        guessed || on_broken_line || follows.iter().any(|code| code.name == diagnostic.code)
    }

    pub(crate) fn finish(mut self, text: &str) -> Vec<Diagnostic> {
        self.diagnostics.sort_by(|a, b| (a.span, a.severity, a.code).cmp(&(b.span, b.severity, b.code)));
        if self.left_out > 0 {
            let end = Span { start: text.len(), end: text.len() };
            let message = format!("{} more diagnostics are not shown", self.left_out);
            let more = Diagnostic::new(codes::TOO_MANY_DIAGNOSTICS, end, message);
            self.diagnostics.push(more.hint("correct those above and check again"));
        }
        let lines = Lines::new(text);
        let covered = Covered::of(text);
        for diagnostic in &mut self.diagnostics {
            diagnostic.cover(&covered);
            (diagnostic.line, diagnostic.column) = lines.place(text, diagnostic.span.start);
            for related in &mut diagnostic.related {
                (related.line, related.column) = lines.place(text, related.span.start);
            }
        }
        self.diagnostics
    }
}

/// Where each line begins.
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn new(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// Line and column, both from 1; the column counts characters.
    pub(crate) fn place(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = text.get(start..offset.min(text.len())).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }

    /// Bytes of a line (from 1) without its line break.
    pub(crate) fn line(&self, text: &str, line: usize) -> Span {
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(text.len());
        let end = self.starts.get(line).map_or(text.len(), |next| next - 1);
        let carriage_return = text.get(start..end).is_some_and(|line| line.ends_with('\r'));
        Span { start, end: end - usize::from(carriage_return) }
    }
}
