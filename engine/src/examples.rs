//! What stands below the options in the help. Each line of an example fits a narrow terminal, and what is longer is broken as a
//! shell takes it: broken by the terminal it could not be pasted. Prose is left to the terminal's width.

use clap::Command;

/// Columns of a line.
const COLUMNS_MAX: usize = 80;
/// What begins a line of an example, and what goes on with one.
const INDENT: &str = "  ";
const INDENT_ON: &str = "    ";
/// What begins an item of a list.
const ITEM: &str = "- ";

/// `command` and all that it has, with examples that can be pasted.
pub fn fit(command: Command) -> Command {
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(help) => command.after_help(lines(&help).iter().map(|line| fit_line(line)).collect::<Vec<_>>().join("\n")),
        None => command,
    };
    command.mut_subcommands(fit)
}

/// What the source breaks for its own width is one line again.
fn lines(help: &str) -> Vec<String> {
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
    let mut lines: Vec<String> = Vec::new();
    for line in help.lines() {
        let goes_on = |last: &str| last.ends_with(" \\") || is_prose(last) && is_prose(line) && !line.starts_with(ITEM);
        match lines.last_mut() {
            Some(last) if goes_on(last) => {
                *last = format!("{} {}", last.trim_end_matches([' ', '\\']), line.trim_start());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

fn fit_line(line: &str) -> String {
    if let Some(item) = line.strip_prefix(ITEM) {
        return broken(item.split(' ').map(str::to_owned), [ITEM, INDENT], "");
    }
    let text = line.trim_start();
    let is_prose = text.len() == line.len() || text.starts_with('#');
    if is_prose || line.chars().count() <= COLUMNS_MAX {
        return line.to_owned();
    }
    let indent = if line.starts_with(INDENT_ON) { INDENT_ON } else { INDENT };
    let (command, comment) = match text.split_once(" # ") {
        Some((command, comment)) => (command.trim_end(), Some(comment)),
        None => (text, None),
    };
    // Columns of words are a table.
    if command.contains("  ") {
        return line.to_owned();
    }
    let beside = comment.map(|comment| format!("{indent}{command}  # {comment}"));
    if let Some(line) = beside.filter(|line| line.chars().count() <= COLUMNS_MAX) {
        return line;
    }
    let before = comment.map_or_else(String::new, |comment| format!("{indent}# {comment}\n"));
    format!("{before}{}", broken(parts(command).into_iter(), [indent, INDENT_ON], " \\"))
}

/// The parts in lines that fit: the first begins with one, the others with another, and all but the last end with `goes_on`.
fn broken(parts: impl Iterator<Item = String>, [first, others]: [&str; 2], goes_on: &str) -> String {
    let (mut lines, mut line) = (String::new(), first.to_owned());
    let mut begins = true;
    for part in parts {
        if !begins && line.chars().count() + 1 + part.chars().count() + goes_on.len() > COLUMNS_MAX {
            lines.push_str(&format!("{line}{goes_on}\n"));
            (line, begins) = (others.to_owned(), true);
        }
        line.push_str(if begins { "" } else { " " });
        line.push_str(&part);
        begins = false;
    }
    lines + &line
}

/// What stays on one line: an option with its value, a quoted text, and the words before.
fn parts(command: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let (mut is_quoted, mut is_value) = (false, false);
    for word in command.split(' ') {
        let begins = !is_quoted && !is_value && word != "-";
        match parts.last_mut() {
            Some(part) if !begins => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
        is_quoted ^= word.matches('\'').count() % 2 == 1;
        is_value = word.len() > 1 && word.starts_with('-') || matches!(word, "|" | ">" | ">>");
    }
    parts
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn each(command: &Command, of: &mut impl FnMut(&str)) {
        command.get_after_help().map(ToString::to_string).iter().for_each(|help| of(help));
        command.get_subcommands().for_each(|command| each(command, of));
    }

    #[test]
    fn every_example_fits_and_is_what_was_written() {
        let (before, after) = (crate::cli::Cli::command(), fit(crate::cli::Cli::command()));
        let (mut examples, mut long) = (0, Vec::<String>::new());
        each(&after, &mut |help| {
            let lines = help.lines().filter(|line| line.starts_with("  adamant "));
            examples += lines.count();
            long.extend(
                help.lines().filter(|line| line.starts_with("  ") && line.chars().count() > 80).map(str::to_owned),
            );
        });
        assert!(examples > 50, "{examples}");
        assert_eq!(long, [""; 0]);
        let words = |command: &Command| {
            let mut words = Vec::new();
            let shown = |word: &&str| !matches!(*word, "\\" | "#");
            each(command, &mut |help| words.extend(help.split_whitespace().filter(shown).map(str::to_owned)));
            words.sort();
            words
        };
        assert_eq!(words(&before), words(&after));
    }

    #[test]
    fn everything_says_what_it_is_for() {
        fn look(command: &Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let id = argument.get_id();
                assert!(!help.is_empty() && !help.ends_with('.') && !help.contains("  "), "{path} {id}: {help:?}");
                assert!(
                    help.starts_with(|first: char| !first.is_lowercase() || help.contains(':')),
                    "{path} {id}: {help}"
                );
            }
            command.get_subcommands().for_each(|command| look(command, &path));
        }
        look(&crate::cli::Cli::command(), "");
    }

    #[test]
    fn prose_and_examples_are_as_long_as_they_are_and_items_hang() {
        let source = "Example:\n  adamant run x \\\n    --check\n\nOne\ntwo\n- three\nfour\n- five\n\nsix";
        let whole = ["Example:", "  adamant run x --check", "", "One two", "- three four", "- five", "", "six"];
        assert_eq!(lines(source), whole);
        let item = format!("- {} end", "word ".repeat(16).trim_end());
        assert_eq!(fit_line(&item), format!("- {}\n  word end", "word ".repeat(15).trim_end()));
        let line = format!("  zcat {} | adamant audit verify - --partial --node-key node.pub", "x".repeat(45));
        assert!(fit_line(&line).contains("verify - \\\n"), "{}", fit_line(&line));
    }

    #[test]
    fn breaks_before_an_option_and_never_within_quotes() {
        let line =
            format!("  adamant explain --request 'GET https://a.example/{}' --agent bot --at 1 # why", "x".repeat(24));
        let request = format!("  adamant explain --request 'GET https://a.example/{}' \\", "x".repeat(24));
        assert_eq!(fit_line(&line), format!("  # why\n{request}\n    --agent bot --at 1"));
        assert_eq!(fit_line("  adamant check policy.toml"), "  adamant check policy.toml");
    }
}
