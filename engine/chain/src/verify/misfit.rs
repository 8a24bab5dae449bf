//! A line that is not the next one: what happened to it, or to those before it.

use super::Around;
use super::run::{Past, Run, Spot, State};
use crate::bounds::BRANCHES_MAX;
use crate::line::{Chain, Chained, read};
use crate::report::{Kind, lines};

const CHANGED: &str =
    "was changed, or is not of this run: it is not what was chained behind the line before it in its chain";

/// After a gap or a changed line: where things stood before, in case what follows proves not to belong there.
pub struct Branch {
    before: State,
    past_len: usize,
    /// Lines that the gap lacks.
    missing: u64,
    finding: Option<usize>,
    pub last: Spot,
    /// Lines taken since.
    pub lines: u64,
    pub block: Vec<Displaced>,
}

/// A line out of place.
pub struct Displaced {
    pub leaf: u64,
    pub bytes: Vec<u8>,
    pub finding: Option<usize>,
}

/// Lines that were there before, again.
pub struct Repeat {
    first: Spot,
    pub lines: u64,
    /// Place in the past of the line that comes next if it goes on.
    next: usize,
}

impl Run {
    /// Whether the line goes on with a repetition.
    pub fn repeats_on(&mut self, chained: &Chained<'_>) -> bool {
        let Some(repeat) = &mut self.repeat else { return false };
        let again = self.past.get(repeat.next).is_some_and(|past| is_again(past, chained));
        if again {
            (repeat.lines, repeat.next) = (repeat.lines + 1, repeat.next + 1);
        }
        again
    }

    /// A repetition is over: a batch that was written again reaches up to the last line and is told later. The stop line
    /// is a batch of its own, and no line follows it to tell.
    pub fn settle_repeat(&mut self, around: &mut Around<'_>) {
        let Some(repeat) = self.repeat.take() else { return };
        let is_to_the_end = repeat.next == self.past.len();
        if is_to_the_end && self.stopped && repeat.lines == 1 {
            let at = repeat.first.at(around.files, None);
            around.report.notes.push(format!("{at} is the stop line again: its first sync failed"));
        } else if is_to_the_end && !self.stopped {
            self.owed.push(repeat);
        } else {
            self.tell_repeat(around, &repeat, "");
        }
    }

    pub fn tell_repeat(&self, around: &mut Around<'_>, repeat: &Repeat, more: &str) {
        let at = repeat.first.at(around.files, None);
        let from = usize::try_from(repeat.lines).ok().and_then(|lines| repeat.next.checked_sub(lines));
        let before = from.and_then(|from| self.past.get(from)).map(|past| past.spot.at(around.files, None).to_string());
        let what = format!(
            "{} stood already at {}: repeated{more}",
            lines_from_here(repeat.lines),
            before.unwrap_or_default()
        );
        around.report.find(Kind::Repeated, Some(at), self.origin.as_deref(), what);
    }

    pub fn misfit(&mut self, around: &mut Around<'_>, spot: Spot, bytes: &[u8], chained: &Chained<'_>) {
        if let Some(at) = self.past.iter().rposition(|past| is_again(past, chained)) {
            self.settle_repeat(around);
            self.repeat = Some(Repeat { first: spot, lines: 1, next: at + 1 });
            return;
        }
        self.settle_repeat(around);
        if self.takes_up_branch(around, spot, bytes, chained) || self.fills_gap(around, spot, bytes, chained) {
            return;
        }
        let link = chained.link;
        let head = self.state.head(self.origin.as_deref(), link.chain);
        let expected = head.map_or(link.sequence, |head| head.next);
        if let Some(found) = self.state.excuses(self.origin.as_deref(), &link) {
            self.state.regain(found);
            return self.accept(around, spot, bytes, chained);
        }
        if link.leaf == self.state.leaf && link.sequence == expected {
            self.branch_off(around, spot, chained, Kind::Changed, 0, CHANGED.to_owned());
        } else if link.leaf > self.state.leaf {
            let missing = link.leaf - self.state.leaf;
            // If as many stand there without a chain member, those are they: told already.
            if missing != self.unchained || link.sequence < expected {
                let what = missing_text(self.state.leaf, missing, link.chain, expected, link.sequence);
                self.branch_off(around, spot, chained, Kind::Missing, missing, what);
                if link.sequence == expected && !self.state.links(self.origin.as_deref(), chained) {
                    let at = spot.at(around.files, Some(&link));
                    around.report.find(Kind::Changed, Some(at), self.origin.as_deref(), CHANGED.to_owned());
                }
            }
            self.state.lose(missing, link.sequence.saturating_sub(expected));
        } else {
            let at = spot.at(around.files, Some(&link));
            let what = format!(
                "does not belong here, where line {} of the run was expected: it was moved, put there, or is of another \
                 run",
                self.state.leaf.saturating_add(1)
            );
            around.report.find(Kind::Foreign, Some(at), self.origin.as_deref(), what);
            return;
        }
        self.accept(around, spot, bytes, chained);
    }

    fn branch_off(
        &mut self,
        around: &mut Around<'_>,
        spot: Spot,
        chained: &Chained<'_>,
        kind: Kind,
        missing: u64,
        what: String,
    ) {
        let at = spot.at(around.files, Some(&chained.link));
        let finding = around.report.find(kind, Some(at), self.origin.as_deref(), what);
        if self.branches.len() >= BRANCHES_MAX {
            self.branches.remove(0);
        }
        self.branches.push(Branch {
            before: self.state.clone(),
            past_len: self.past.len(),
            missing,
            finding,
            last: spot,
            lines: 0,
            block: Vec::new(),
        });
    }

    /// Whether the line is the one that was expected where the branch began. Then either the lines since do not belong
    /// there, or this one was moved away from there: the fewer, the likelier.
    fn takes_up_branch(&mut self, around: &mut Around<'_>, spot: Spot, bytes: &[u8], chained: &Chained<'_>) -> bool {
        let origin = self.origin.as_deref();
        let Some(index) = self.branches.iter().rposition(|branch| branch.before.fits(origin, chained)) else {
            return self.follows_a_replaced_line(around, spot, bytes, chained);
        };
        let Some(branch) = self.branches.get_mut(index) else { return false };
        let finding = branch.finding.and_then(|index| around.report.findings.get_mut(index));
        if branch.missing > 0 && branch.lines > branch.missing {
            branch.before.advance(&chained.link);
            branch.missing -= 1;
            if let Some(finding) = finding {
                finding.kind = Kind::Moved;
                let at = spot.at(around.files, Some(&chained.link));
                finding.what = format!("the line that belongs before it stands at {at}: moved");
            }
            return true;
        }
        if let Some(finding) = finding {
            finding.kind = Kind::Foreign;
            finding.what = match branch.lines {
                1 => "does not belong here: put there, moved, or of another run".to_owned(),
                more => format!(
                    "{} from here up to {} do not belong here: put there, moved, or of another run",
                    lines(more),
                    branch.last.at(around.files, None)
                ),
            };
        }
        // What was found since was found in the lines that do not belong here.
        around.report.findings.truncate(branch.finding.map_or(usize::MAX, |index| index + 1));
        let Some(branch) = self.branches.drain(index..).next() else { return false };
        self.lines = self.lines.saturating_sub(branch.lines);
        for displaced in &branch.block {
            if let Some(count) = read(&displaced.bytes).and_then(|of| self.chains.get_mut(&of.link.chain)) {
                *count = count.saturating_sub(1);
            }
        }
        self.displaced.extend(branch.block.into_iter().map(|of| Displaced { finding: branch.finding, ..of }));
        self.state = branch.before;
        self.past.truncate(branch.past_len);
        self.accept(around, spot, bytes, chained);
        true
    }

    /// Whether the line before this one, found changed, stands in place of another one whose hash is not known: then this
    /// one hangs on what was before.
    fn follows_a_replaced_line(
        &mut self,
        around: &mut Around<'_>,
        spot: Spot,
        bytes: &[u8],
        chained: &Chained<'_>,
    ) -> bool {
        let Some(branch) = self.branches.last().filter(|branch| branch.missing == 0 && branch.lines == 1) else {
            return false;
        };
        let skipped = branch.before.without_next();
        if !skipped.fits(self.origin.as_deref(), chained) {
            return false;
        }
        self.branches.pop();
        self.state = skipped;
        self.accept(around, spot, bytes, chained);
        true
    }

    /// Whether lines that stood elsewhere are those that are missing before this one.
    fn fills_gap(&mut self, around: &mut Around<'_>, spot: Spot, bytes: &[u8], chained: &Chained<'_>) -> bool {
        let gap = self.state.leaf..chained.link.leaf;
        if gap.is_empty() || gap.end - gap.start > self.displaced.len() as u64 {
            return false;
        }
        let mut state = self.state.clone();
        let mut used = Vec::new();
        for leaf in gap {
            let Some(of) = self.displaced.iter().find(|of| of.leaf == leaf) else { return false };
            let Some(moved) = read(&of.bytes) else { return false };
            if !state.fits(self.origin.as_deref(), &moved) {
                return false;
            }
            state.advance(&moved.link);
            used.push((of.finding, moved.link));
        }
        if !state.fits(self.origin.as_deref(), chained) {
            return false;
        }
        let at = spot.at(around.files, None);
        let count = used.len() as u64;
        for (finding, link) in used {
            if let Some(finding) = finding.and_then(|index| around.report.findings.get_mut(index)) {
                finding.kind = Kind::Moved;
                finding.what = format!(
                    "{} before {at}: moved",
                    if count == 1 { "belongs".to_owned() } else { format!("{} belong", lines_from_here(count)) }
                );
            }
            self.lines += 1;
            *self.chains.entry(link.chain).or_default() += 1;
        }
        self.displaced.clear();
        (self.past_tree, self.state) = (state.tree.clone(), state);
        self.past.clear();
        self.accept(around, spot, bytes, chained);
        true
    }
}

fn is_again(past: &Past, chained: &Chained<'_>) -> bool {
    past.hash == chained.link.hash && chained.follows(&past.previous)
}

fn lines_from_here(count: u64) -> String {
    if count == 1 { "this line".to_owned() } else { format!("{} from here", lines(count)) }
}

fn missing_text(leaf: u64, missing: u64, chain: Chain, expected: u64, found: u64) -> String {
    let whose = match chain {
        Chain::Control => "the control chain".to_owned(),
        Chain::Worker(index) => format!("worker {index}"),
    };
    let of_chain = found.saturating_sub(expected);
    let which = match (missing, leaf + missing) {
        (1, last) => format!("line {last} of the run is missing before it"),
        (_, last) => format!("lines {} to {last} of the run are missing before it", leaf.saturating_add(1)),
    };
    match of_chain {
        0 => format!("{which} (none of {whose})"),
        1 => format!("{which} (of {whose} sequence {expected})"),
        _ => format!("{which} (of {whose} sequences {expected} to {})", found - 1),
    }
}
