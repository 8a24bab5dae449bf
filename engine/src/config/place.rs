//! A mistake in `gateway.toml`, shown where it stands.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

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

    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| Place::of(text, &span));
        let message = error.message().replace('\n', "; ");
        let hint = super::advice::of(&message);
        Self { path: path.to_owned(), place, message, hint }
    }

    pub(super) fn at(path: &Path, text: &str, span: &Range<usize>, message: String, hint: String) -> Self {
        Self { path: path.to_owned(), place: Some(Place::of(text, span)), message, hint: Some(hint) }
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
        Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            text: line_text.to_owned(),
            marked: in_line.chars().count().max(1),
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
            let indent: String =
                place.text.chars().take(place.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n{gutter} |\n{number} | {}\n{gutter} | {indent}{}", place.text, "^".repeat(place.marked))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
