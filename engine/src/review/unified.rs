//! A unified diff of a text with parts replaced, as `patch -p1` and `git apply` take it.

use std::fmt::Write as _;

use super::bounds::CONTEXT_LINES;
use super::edit::Splice;

/// Lines that go, and those that come; lines are counted from 0.
struct Block<'t> {
    start: usize,
    old: Vec<&'t str>,
    new: Vec<String>,
}

/// The diff of the file `name`; empty where nothing changes.
pub fn diff(name: &str, text: &str, splices: &[Splice]) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let blocks = blocks(text, &lines, splices);
    let mut out = String::new();
    let mut rest = blocks.as_slice();
    let mut shift = 0_isize;
    while let Some(first) = rest.first() {
        let joined = rest.windows(2).take_while(|pair| match pair {
            [one, next] => next.start.saturating_sub(one.start + one.old.len()) <= 2 * CONTEXT_LINES,
            _ => false,
        });
        let count = joined.count() + 1;
        let (hunk, more) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        if out.is_empty() {
            // A tab ends a name that has blanks in it.
            let end = if name.contains(' ') { "\t" } else { "" };
            let _ = write!(out, "--- a/{name}{end}\n+++ b/{name}{end}\n");
        }
        write_hunk(&mut out, &lines, first.start, hunk, &mut shift);
        rest = more;
    }
    out
}

/// The lines that splices touch, each as far as it really changes.
fn blocks<'t>(text: &'t str, lines: &[&'t str], splices: &[Splice]) -> Vec<Block<'t>> {
    let mut starts = Vec::with_capacity(lines.len() + 1);
    let mut at = 0;
    for line in lines {
        starts.push(at);
        at += line.len();
    }
    let line_of = |offset: usize| starts.partition_point(|start| *start <= offset).saturating_sub(1);
    // First and last line, and the splices in them.
    let mut groups: Vec<(usize, usize, Vec<&Splice>)> = Vec::new();
    for splice in splices {
        let first = line_of(splice.range.start);
        let last = line_of(splice.range.end.saturating_sub(1).max(splice.range.start));
        match groups.last_mut() {
            Some((_, end, members)) if first <= *end => {
                *end = last.max(*end);
                members.push(splice);
            }
            _ => groups.push((first, last, vec![splice])),
        }
    }
    let block = |(first, last, members): (usize, usize, Vec<&Splice>)| {
        let start = starts.get(first).copied()?;
        let end = starts.get(last + 1).copied().unwrap_or(text.len());
        let (mut new, mut at) = (String::new(), start);
        for splice in members {
            new.push_str(text.get(at..splice.range.start)?);
            new.push_str(&splice.text);
            at = splice.range.end;
        }
        new.push_str(text.get(at..end)?);
        let mut old = lines.get(first..=last)?.to_vec();
        let mut new: Vec<String> = new.split_inclusive('\n').map(str::to_owned).collect();
        let same = old.iter().zip(&new).take_while(|(old, new)| *old == *new).count();
        old.drain(..same);
        new.drain(..same);
        while old.last().zip(new.last()).is_some_and(|(old, new)| old == new) {
            old.pop();
            new.pop();
        }
        (!old.is_empty() || !new.is_empty()).then_some(Block { start: first + same, old, new })
    };
    groups.into_iter().filter_map(block).collect()
}

fn write_hunk(out: &mut String, lines: &[&str], first: usize, blocks: &[Block<'_>], shift: &mut isize) {
    let start = first.saturating_sub(CONTEXT_LINES);
    let last = blocks.last().map_or(first, |block| block.start + block.old.len());
    let end = (last + CONTEXT_LINES).min(lines.len());
    let grown: isize = blocks.iter().map(|block| block.new.len().cast_signed() - block.old.len().cast_signed()).sum();
    let old_count = end - start;
    let new_count = old_count.saturating_add_signed(grown);
    // An empty side is named by the line before it.
    let number = |start: usize, count: usize| if count == 0 { start } else { start + 1 };
    let new_start = start.saturating_add_signed(*shift);
    let (old, new) = (number(start, old_count), number(new_start, new_count));
    let _ = writeln!(out, "@@ -{old},{old_count} +{new},{new_count} @@");
    *shift += grown;
    let mut at = start;
    for block in blocks {
        lines.get(at..block.start).into_iter().flatten().for_each(|line| put(out, ' ', line));
        block.old.iter().for_each(|line| put(out, '-', line));
        block.new.iter().for_each(|line| put(out, '+', line));
        at = block.start + block.old.len();
    }
    lines.get(at..end).into_iter().flatten().for_each(|line| put(out, ' ', line));
}

fn put(out: &mut String, sign: char, line: &str) {
    out.push(sign);
    out.push_str(line);
    if !line.ends_with('\n') {
        out.push_str("\n\\ No newline at end of file\n");
    }
}
