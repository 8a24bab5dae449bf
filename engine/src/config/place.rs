//! A mistake in `gateway.toml`, shown where it stands.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use policy::credential::{self, Covered};

use super::words::Cover;

/// What begins a line of every configuration that holds.
const TABLES: [&str; 2] = ["[gateway", "[[listener"];
/// The same as keys.
const KEYS: [&str; 2] = ["gateway", "listener"];
const RIGHT_FILE: &str = "is it the right file? packaging/gateway.toml is a commented example";
/// Characters of a line that are shown at most.
const SHOWN_CHARS_MAX: usize = 120;

/// What is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    /// Line and column from 1, and the line's text with the length of what is meant.
    place: Option<Place>,
    message: String,
    hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    text: String,
    marked: usize,
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Self {
        let message = format!("cannot read the gateway's configuration: {error}");
        let hint = "name a UTF-8 text file that this user may read; packaging/gateway.toml is a commented example";
        Self { path: path.to_owned(), place: None, message, hint: Some(hint.to_owned()) }
    }

    /// Nothing is shown of a file that has something in it and none of our tables: it may be a key, or a list of variables.
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let covered = Cover::of(path, text);
        let place = error.span().map(|span| Place::of(&covered.text(), &span));
        let kind = credential::kind_of(text.as_bytes()).filter(|kind| *kind != "nothing");
        let begins = |line: &str| TABLES.iter().any(|table| line.trim_start().starts_with(table));
        let root = toml::from_str::<toml::Table>(text);
        let is_ours = |root: &toml::Table| root.is_empty() || KEYS.iter().any(|key| root.contains_key(*key));
        if !text.lines().any(begins) && (kind.is_some() || !root.as_ref().is_ok_and(is_ours)) {
            let found = match (kind, &root, place) {
                (Some(kind), ..) => kind.to_owned(),
                (None, Err(_), Some(at)) => format!("a text that is no TOML (line {}, column {})", at.line, at.column),
                (None, Err(_), None) => "a text that is no TOML".to_owned(),
                (None, Ok(_), _) => "a text with none of its tables".to_owned(),
            };
            let message = format!("expected a gateway's configuration, found {found}");
            return Self { path: path.to_owned(), place: None, message, hint: Some(RIGHT_FILE.to_owned()) };
        }
        let said = error.message().replace('\n', "; ");
        let hint = super::advice::of(&said);
        let message = covered.message(&said);
        Self { path: path.to_owned(), place, message, hint }
    }

    /// As [`Self::at`], with nothing shown of what stands at `hidden`.
    pub(super) fn hiding(path: &Path, text: &str, hidden: Range<usize>, message: String, hint: String) -> Self {
        let covered = Covered::of(text).and(hidden.clone()).text().into_owned();
        Self::at(path, &covered, &hidden, message, hint)
    }

    pub(super) fn at(path: &Path, text: &str, span: &Range<usize>, message: String, hint: String) -> Self {
        let covered = Cover::of(path, text);
        let (message, place) = (covered.message(&message), Place::of(&covered.text(), span));
        Self { path: path.to_owned(), place: Some(place), message, hint: Some(hint) }
    }
}

impl Place {
    fn of(text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let line_text = rest.lines().next().unwrap_or_default();
        let column = before.get(line_start..).map_or(0, |start| start.chars().count());
        let in_line = text.get(span.start..span.end).and_then(|meant| meant.lines().next()).unwrap_or_default();
        let shown: String = line_text.chars().take(SHOWN_CHARS_MAX).collect();
        let cut = if shown.len() < line_text.len() { "…" } else { "" };
        Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            text: shown + cut,
            marked: in_line.chars().count().min(SHOWN_CHARS_MAX.saturating_sub(column)).max(1),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(place) = &self.place {
            let number = place.line.to_string();
            let gutter = " ".repeat(number.len());
            let indent: String = place
                .text
                .chars()
                .take((place.column - 1).min(SHOWN_CHARS_MAX))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n{gutter} |\n{number} | {}\n{gutter} | {indent}{}", place.text, "^".repeat(place.marked))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
