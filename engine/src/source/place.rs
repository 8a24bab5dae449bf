//! Where something stands in the text of a policy, for what is found when the text has become a policy.

use policy_source::Span;

/// The text `wanted`, in quotes, in the table with this `header` that has `name` in it.
pub fn place(text: &str, header: &str, name: &str, wanted: &str) -> Option<Span> {
    let of_table = |(at, _): (usize, &str)| {
        let table = text.get(at..)?;
        let end = table.get(1..)?.find("\n[").map_or(table.len(), |end| end + 1);
        let table = table.get(..end)?;
        quoted(table, name)?;
        let found = quoted(table, wanted)?;
        Some(Span { start: at + found, end: at + found + wanted.len() + 2 })
    };
    text.match_indices(header).find_map(of_table)
}

fn quoted(table: &str, text: &str) -> Option<usize> {
    [format!("\"{text}\""), format!("'{text}'")].iter().find_map(|quoted| table.find(quoted.as_str()))
}

/// Of its start, from 1; the column in characters.
pub fn line_and_column(text: &str, span: Span) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before.get(line_start..).map_or(0, |start| start.chars().count()) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_table_with_that_name_alone() {
        let text = "[[origin]]\nname = \"a\"\nx = \"Host\"\n[[origin]]\nname = 'b'\n  x = 'Host'\n";
        let found = |name| place(text, "[[origin]]", name, "Host").map(|span| line_and_column(text, span));
        assert_eq!((found("a"), found("b"), found("c")), (Some((3, 5)), Some((6, 7)), None));
    }
}
