//! Examples in the help: each line fits a narrow terminal, and what is longer is broken as a shell takes it. Broken by the
//! terminal it could not be pasted.

use clap::Command;

/// Columns of a line.
const COLUMNS_MAX: usize = 80;
/// What begins a line of an example, and what goes on with one.
const INDENT: &str = "  ";
const INDENT_ON: &str = "    ";

/// `command` and all that it has, with examples that can be pasted.
pub fn fit(command: Command) -> Command {
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(help) => command.after_help(help.lines().map(fit_line).collect::<Vec<_>>().join("\n")),
        None => command,
    };
    command.mut_subcommands(fit)
}

fn fit_line(line: &str) -> String {
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
    let mut lines = vec![indent.to_owned()];
    for part in parts(command) {
        let Some(last) = lines.last_mut() else { break };
        let is_empty = last.trim().is_empty();
        if !is_empty && last.chars().count() + 1 + part.chars().count() + " \\".len() > COLUMNS_MAX {
            last.push_str(" \\");
            lines.push(format!("{INDENT_ON}{part}"));
        } else {
            last.push_str(if is_empty { "" } else { " " });
            last.push_str(&part);
        }
    }
    format!("{before}{}", lines.join("\n"))
}

/// What stays on one line: an option with its value, a quoted text, and the words before.
fn parts(command: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let (mut is_quoted, mut is_value) = (false, false);
    for word in command.split(' ') {
        let begins = !is_quoted && !is_value && word != "\\";
        match parts.last_mut() {
            Some(part) if !begins => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
        is_quoted ^= word.matches('\'').count() % 2 == 1;
        is_value = word.starts_with('-') || matches!(word, "|" | ">" | ">>");
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
        let (mut examples, mut long) = (0, Vec::new());
        each(&after, &mut |help| {
            let lines = help.lines().filter(|line| line.starts_with("  adamant "));
            examples += lines.count();
            long.extend(
                help.lines().filter(|line| line.starts_with("  ") && line.chars().count() > 80).map(str::to_owned),
            );
        });
        assert!(examples > 50, "{examples}");
        // A table of the demo, which nobody pastes.
        long.retain(|line| !line.starts_with("  adamant demo"));
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
    fn breaks_before_an_option_and_never_within_quotes() {
        let line =
            format!("  adamant explain --request 'GET https://a.example/{}' --agent bot --at 1 # why", "x".repeat(24));
        let request = format!("  adamant explain --request 'GET https://a.example/{}' \\", "x".repeat(24));
        assert_eq!(fit_line(&line), format!("  # why\n{request}\n    --agent bot --at 1"));
        assert_eq!(fit_line("  adamant check policy.toml"), "  adamant check policy.toml");
    }
}
