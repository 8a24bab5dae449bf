//! Text with `{{placeholders}}`.

use std::collections::BTreeMap;
use std::path::Path;

use super::Fault;

/// What stands for each placeholder.
pub type Values = BTreeMap<String, String>;

/// Text cut at its placeholders.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Placeholder { name: String, place: String },
}

impl Template {
    /// Parses the text of a file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Fault> {
        Self::cut(text, |at| place(path, text, at))
    }

    /// Parses a text that stands at `place` of a file.
    pub fn parse_at(text: &str, place: &str) -> Result<Self, Fault> {
        Self::cut(text, |_| place.to_owned())
    }

    fn cut(text: &str, place: impl Fn(usize) -> String) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..) {
            let Some(open) = rest.find("{{") else {
                pieces.push(Piece::Text(rest.to_owned()));
                break;
            };
            let inside = rest.get(open + 2..).unwrap_or_default();
            let length = inside.find("}}").unwrap_or(0);
            let name = inside.get(..length).unwrap_or_default();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
            {
                let what = "expected a placeholder like {{listen}} after {{, found something else".to_owned();
                return Err(Fault::File { place: place(at + open), what });
            }
            pieces.push(Piece::Text(rest.get(..open).unwrap_or_default().to_owned()));
            pieces.push(Piece::Placeholder { name: name.to_owned(), place: place(at + open) });
            at += open + 2 + length + 2;
        }
        Ok(Self { pieces })
    }

    /// The text with its placeholders replaced. An unknown one is a mistake at its place.
    pub fn render(&self, values: &Values) -> Result<String, Fault> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Placeholder { name, place } => match values.get(name) {
                    Some(value) => text.push_str(value),
                    None => {
                        let known: Vec<&str> = values.keys().map(String::as_str).collect();
                        let what = format!("expected a known placeholder ({}), found {{{{{name}}}}}", known.join(", "));
                        return Err(Fault::File { place: place.clone(), what });
                    }
                },
            }
        }
        Ok(text)
    }
}

/// `file:line:column` of a byte of a text, counted from 1.
pub fn place(path: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", path.display())
}
