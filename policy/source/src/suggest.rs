//! "Did you mean": the nearest of some names, and short lists of them.

use crate::bounds::SUGGESTION_STEPS_MAX;
use crate::fields::is_harmless;

/// Names listed in a hint.
const LISTED_MAX: usize = 8;

/// The nearest of a few `names`, if any is near enough to be meant, for readers of other files.
pub fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    Suggest::default().nearest(wrong, names)
}

/// Finds near names within a fixed amount of work for a whole run, so that a file full of mistakes is still checked
/// quickly.
#[derive(Debug)]
pub(crate) struct Suggest {
    steps_left: usize,
}

impl Default for Suggest {
    fn default() -> Self {
        Self { steps_left: SUGGESTION_STEPS_MAX }
    }
}

impl Suggest {
    /// The nearest of `names`, if any is near enough to be meant.
    pub(crate) fn nearest<'n>(&mut self, wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        let allowed = (wrong.chars().count() / 3).clamp(1, 3);
        let mut best: Option<(usize, &str)> = None;
        for name in names {
            self.steps_left = self.steps_left.checked_sub(1)?;
            if name.len().abs_diff(wrong.len()) > allowed * 4 || !is_shown(name) {
                continue;
            }
            let distance = distance(wrong, name, allowed);
            let better = best.is_none_or(|(least, other)| (distance, name) < (least, other));
            if distance <= allowed && better {
                best = Some((distance, name));
            }
        }
        best.map(|(_, name)| name)
    }

    /// A hint that names the nearest, else lists what there is.
    pub(crate) fn hint<'n>(
        &mut self,
        wrong: &str,
        names: impl Iterator<Item = &'n str> + Clone,
        nothing: &str,
    ) -> String {
        if let Some(name) = self.nearest(wrong, names.clone()) {
            return format!("did you mean `{name}`?");
        }
        match list(names.take(self.steps_left)) {
            Some(names) => format!("there is {names}"),
            None => nothing.to_owned(),
        }
    }
}

/// A name with characters that do something to a terminal is a mistake of its own, and is proposed to nobody.
fn is_shown(name: &str) -> bool {
    name.chars().all(is_harmless)
}

/// "`a`, `b` and `c`", or "`a`, `b` and 40 others"; none when there are no names.
pub(crate) fn list<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let mut names: Vec<&str> = names.filter(|name| is_shown(name)).collect();
    names.sort_unstable();
    let quoted = |name: &&str| format!("`{name}`");
    match names.as_slice() {
        [] => None,
        [one] => Some(quoted(one)),
        many if many.len() <= LISTED_MAX => {
            let (last, before) = many.split_last()?;
            let before: Vec<String> = before.iter().map(quoted).collect();
            Some(format!("{} and {}", before.join(", "), quoted(last)))
        }
        many => {
            let first: Vec<String> = many.iter().take(LISTED_MAX).map(quoted).collect();
            let more = many.len() - LISTED_MAX;
            Some(format!("{} and {more} other{}", first.join(", "), if more == 1 { "" } else { "s" }))
        }
    }
}

/// Edits (insert, remove, change, swap neighbours) between two texts, letters of either case being alike: optimal
/// string alignment, given up above `most`.
fn distance(a: &str, b: &str, most: usize) -> usize {
    let a: Vec<char> = a.chars().take(128).flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().take(128).flat_map(char::to_lowercase).collect();
    let mut two_before: Vec<usize> = Vec::new();
    let mut before: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut least = (at(&before, j) + usize::from(x != y)).min(at(&before, j + 1) + 1).min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) && !two_before.is_empty();
            if swapped {
                least = least.min(at(&two_before, j - 1) + 1);
            }
            row.push(least);
        }
        if row.iter().min().is_some_and(|least| *least > most) {
            return most + 1;
        }
        two_before = std::mem::replace(&mut before, row);
    }
    before.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_name() {
        let names = ["methods", "host", "path", "origin"];
        let nearest = |wrong: &str| Suggest::default().nearest(wrong, names.into_iter());
        assert_eq!(nearest("methds"), Some("methods"));
        assert_eq!(nearest("hots"), Some("host"));
        assert_eq!(nearest("Path"), Some("path"));
        assert_eq!(nearest("zebra"), None);
    }

    #[test]
    fn stops_when_its_work_is_spent() {
        let mut suggest = Suggest { steps_left: 1 };
        assert_eq!(suggest.nearest("hots", ["path", "host"].into_iter()), None);
    }

    #[test]
    fn lists_are_short() {
        assert_eq!(list([].into_iter()), None);
        assert_eq!(list(["b", "a"].into_iter()).as_deref(), Some("`a` and `b`"));
        let many: Vec<String> = (0..50).map(|n| format!("n{n:02}")).collect();
        let listed = |count: usize| list(many.iter().take(count).map(String::as_str)).unwrap();
        assert!(
            listed(8).ends_with("`n06` and `n07`") && listed(50).ends_with("`n07` and 42 others"),
            "{}",
            listed(50)
        );
        assert!(listed(9).ends_with("`n07` and 1 other"));
    }
}
