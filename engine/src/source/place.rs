//! Where something stands in the text of a policy, for what is found when the text has become a policy.

use std::collections::HashMap;

use policy_source::Span;

/// The named tables of a text, found in one pass: a policy can have a million of them.
pub struct Tables<'t> {
    text: &'t str,
    /// By kind, such as `api_key`, and name.
    all: HashMap<(&'t str, &'t str), Table>,
}

/// Where a table begins and ends, in bytes, and the line (from 1) of its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    start: usize,
    end: usize,
    line: usize,
}

/// Line and column of the beginning from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub span: Span,
    pub line: usize,
    pub column: usize,
}

impl<'t> Tables<'t> {
    pub fn of(text: &'t str) -> Self {
        let mut found = Self { text, all: HashMap::new() };
        let (mut kind, mut name) = ("", None);
        let mut table = Table { start: 0, end: 0, line: 1 };
        for (line, number) in text.split_inclusive('\n').zip(1..) {
            let written = line.trim();
            if written.starts_with('[') {
                found.add(kind, name.take(), table);
                kind =
                    written.strip_prefix("[[").and_then(|it| it.split_once("]]")).map_or("", |(kind, _)| kind.trim());
                table = Table { start: table.end, end: table.end, line: number };
            } else if let Some((key, value)) = written.split_once('=')
                && matches!(key.trim(), "name" | "id")
            {
                name = name.or_else(|| in_quotes(value.trim_start()));
            }
            table.end += line.len();
        }
        found.add(kind, name, table);
        found
    }

    fn add(&mut self, kind: &'t str, name: Option<&'t str>, table: Table) {
        if let Some(name) = name {
            self.all.entry((kind, name)).or_insert(table);
        }
    }

    /// The text `wanted`, in quotes and in whatever case, in the table of this kind and name; else that name itself; else the
    /// beginning of all.
    pub fn place(&self, kind: &str, name: &str, wanted: &str) -> Place {
        let found = self.all.get(&(kind, name)).and_then(|table| {
            let text = self.text.get(table.start..table.end)?.to_ascii_lowercase();
            let (at, length) = quoted(&text, wanted).or_else(|| quoted(&text, name))?;
            let before = text.get(..at)?;
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let span = Span { start: table.start + at, end: table.start + at + length };
            let line = table.line + before.matches('\n').count();
            Some(Place { span, line, column: before.get(line_start..)?.chars().count() + 1 })
        });
        found.unwrap_or(Place { span: Span::default(), line: 1, column: 1 })
    }
}

/// What stands in quotes at the beginning.
fn in_quotes(value: &str) -> Option<&str> {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    value.get(1..)?.split_once(quote).map(|(inside, _)| inside)
}

/// Where a text stands in quotes, and how long it is with them.
fn quoted(lower_case: &str, wanted: &str) -> Option<(usize, usize)> {
    let wanted = wanted.to_ascii_lowercase();
    let at =
        [format!("\"{wanted}\""), format!("'{wanted}'")].iter().find_map(|quoted| lower_case.find(quoted.as_str()));
    at.map(|at| (at, wanted.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, kind: &str, name: &str, wanted: &str) -> (usize, usize, String) {
        let Place { span, line, column } = Tables::of(text).place(kind, name, wanted);
        (line, column, text[span.start..span.end].to_owned())
    }

    #[test]
    fn in_the_table_with_that_name_alone() {
        let text = "[[origin]]\nname = \"a\"\nx = \"Host\"\n[[origin]]\nname = 'b'\n  x = 'Host'\n";
        let host = |name| found(text, "origin", name, "host");
        assert_eq!((host("a"), host("b")), ((3, 5, "\"Host\"".to_owned()), (6, 7, "'Host'".to_owned())));
        assert_eq!(host("c"), (1, 1, String::new()));
        assert_eq!(found(text, "origin", "b", "nothing"), (5, 8, "'b'".to_owned()), "the name itself");
        assert_eq!(found(text, "route", "b", "b"), (1, 1, String::new()));
    }

    #[test]
    fn tables_begin_and_end_with_their_headers() {
        let text = "# é\n[policy]\nname = \"p\"\n[[ api_key ]] # first\n id=\"k-1\"\n[[api_key]]\nsha256 = \"00\"\nid = \"k-2\"";
        assert_eq!(found(text, "api_key", "k-1", "k-1"), (5, 5, "\"k-1\"".to_owned()));
        assert_eq!(found(text, "api_key", "k-2", "k-2"), (8, 6, "\"k-2\"".to_owned()));
        assert_eq!(found(text, "api_key", "p", "p"), (1, 1, String::new()));
    }

    /// A look at all of the text for each name would take minutes.
    #[test]
    fn a_large_source_is_read_once() {
        let text: String = (0..200_000).map(|id| format!("[[api_key]]\nid = \"key-{id}\"\n")).collect();
        let tables = Tables::of(&text);
        for id in (0..200_000).step_by(7) {
            let name = format!("key-{id}");
            assert_eq!(tables.place("api_key", &name, &name).line, 2 * id + 2);
        }
    }
}
