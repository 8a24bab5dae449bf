//! The wrong file: said as such, with nothing of it shown. It may be a key, or a password.

use policy::credential;
use toml::de::{DeTable, Error};

use crate::codes;
use crate::diagnostic::{Diagnostic, Lines, Sink, Span};

/// What there is to say of a text that has none of the `tables` of the file that was expected: a list of variables is TOML
/// too, where its values are quoted. None: it is to be read, as one with nothing in it is.
pub(crate) fn found(
    text: &str,
    root: &DeTable<'_>,
    errors: &[Error],
    tables: &[&str],
    expected: &str,
) -> Option<Vec<Diagnostic>> {
    let kind = credential::kind_of(text.as_bytes()).filter(|kind| *kind != "nothing");
    let is_ours = root.keys().any(|key| tables.contains(&key.get_ref().as_ref())) || has_header(text, tables);
    if is_ours || (kind.is_none() && errors.is_empty() && root.is_empty()) {
        return None;
    }
    let (found, hint) = match kind {
        Some(kind) => {
            let hint = match kind {
                "a gateway's configuration" => "adamant run gateway.toml --check looks at one",
                _ => "is it the right file?",
            };
            (kind.to_owned(), hint.to_owned())
        }
        None => {
            let at = |error: &Error| Lines::new(text).place(text, error.span().map_or(0, |span| span.start));
            let found = match errors.first().map(at) {
                Some((line, column)) => format!("a text that is no TOML (line {line}, column {column})"),
                None => "a text with none of its tables".to_owned(),
            };
            let tables: Vec<String> = tables.iter().map(|name| header(name)).collect();
            (found, format!("is it the right file? It would have {}", tables.join(", ")))
        }
    };
    let message = format!("expected {expected}, found {found}");
    let mut sink = Sink::default();
    sink.push(Diagnostic::new(codes::OTHER_FILE, Span::default(), message).label("another file").hint(hint));
    Some(sink.finish(text))
}

/// A header with a mistake on its line is one all the same.
fn has_header(text: &str, tables: &[&str]) -> bool {
    let names =
        text.lines().filter_map(|line| Some(line.trim_start().strip_prefix('[')?.trim_start_matches(['[', ' '])));
    // `origin_credential` is of another file.
    let is_of = |name: &str, table: &str| name.strip_prefix(table).is_some_and(|rest| !rest.starts_with('_'));
    names.into_iter().any(|name| tables.iter().any(|table| is_of(name, table)))
}

fn header(table: &str) -> String {
    if table == "policy" { "[policy]".to_owned() } else { format!("[[{table}]]") }
}
