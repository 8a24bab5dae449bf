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
const SERVE_POLICY: &str = "to try a policy on this machine: adamant dev policy.toml; a gateway has a configuration of its \
                            own, of which packaging/gateway.toml is a commented example";
/// Characters of a line that are shown at most; of a longer one, the part in which the mistake is.
const SHOWN_CHARS_MAX: usize = 120;
/// Characters before the mistake that are shown then.
const BEFORE_CHARS: usize = 40;

/// What is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    /// Line and column from 1, and the line's text with what leads to what is meant in it, and the length of that.
    place: Option<Box<Place>>,
    message: String,
    hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    text: String,
    indent: String,
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
        let place = error.span().map(|span| Box::new(Place::of(&covered.text(), &span)));
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
            let hint = if kind == Some("a policy source") { SERVE_POLICY } else { RIGHT_FILE };
            return Self { path: path.to_owned(), place: None, message, hint: Some(hint.to_owned()) };
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
        Self { path: path.to_owned(), place: Some(Box::new(place)), message, hint: Some(hint) }
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
        let (length, marked) = (line_text.chars().count(), in_line.chars().count().max(1));
        let left_out = if length <= SHOWN_CHARS_MAX || column + marked <= SHOWN_CHARS_MAX {
            0
        } else {
            column.saturating_sub(BEFORE_CHARS).min(length - SHOWN_CHARS_MAX)
        };
        let [begins, ends] = [left_out > 0, left_out + SHOWN_CHARS_MAX < length].map(|cut| if cut { "…" } else { "" });
        let shown: String = line_text.chars().skip(left_out).take(SHOWN_CHARS_MAX).collect();
        let text = format!("{begins}{shown}{ends}");
        let leading = column - left_out + begins.chars().count();
        let blank = |c| if c == '\t' { '\t' } else { ' ' };
        Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            indent: text.chars().take(leading).map(blank).collect(),
            marked: marked.min((text.chars().count() - leading.min(text.chars().count())).max(1)),
            text,
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
            write!(
                f,
                "\n{gutter} |\n{number} | {}\n{gutter} | {}{}",
                place.text,
                place.indent,
                "^".repeat(place.marked)
            )?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that is shown, and what of it is marked.
    fn shown(text: &str, span: Range<usize>) -> (String, String) {
        let error = ConfigError::at(Path::new("g"), text, &span, "m".to_owned(), "h".to_owned()).to_string();
        let mut lines = error.lines().skip(2).map(|line| line.split_once("| ").unwrap().1);
        let (line, carets) = (lines.next().unwrap(), lines.next().unwrap());
        let leading = carets.chars().take_while(|c| *c != '^').count();
        let marked = line.chars().skip(leading).take(carets.chars().count() - leading).collect();
        (line.to_owned(), marked)
    }

    #[test]
    fn what_is_meant_is_marked_in_lines_of_any_length() {
        for (before, after) in [(0, 0), (5, 10), (100, 400), (119, 1), (130, 3), (130, 300), (1_000, 0), (1_000, 1_000)]
        {
            // In a comment, of which nothing is covered.
            let text = format!("a = 1\n#{}\"é wrong\"{}\nb = 2\n", "é".repeat(before), "x".repeat(after));
            let at = text.find('"').unwrap();
            let (line, marked) = shown(&text, at..at + "\"é wrong\"".len());
            assert_eq!(marked, "\"é wrong\"", "{before}, {after}: {line}");
            assert!(line.chars().count() <= SHOWN_CHARS_MAX + 2, "{line}");
            assert_eq!(line.starts_with('…'), before > 110, "{before}, {after}: {line}");
        }
        let (line, marked) = shown(&format!("#{}{}", "x".repeat(199), "w".repeat(500)), 200..700);
        assert_eq!((line.chars().count(), marked), (122, format!("{}…", "w".repeat(80))), "{line}");
        let end = shown(&format!("#{}", "x".repeat(299)), 300..300);
        assert!(end.0.starts_with("…x") && end.0.ends_with('x') && end.1.is_empty(), "{end:?}");
    }
}
