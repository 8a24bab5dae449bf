//! The end of a run: what checkpoints and the run after it say should have been there.

use super::Around;
use super::Verifier;
use super::run::Run;
use crate::log::Previous;
use crate::merkle::leaf_hash;
use crate::report::{self, Ended, Extent, Kind, lines};

impl Verifier {
    /// `next`: another run begins, and which run it names as the one before it.
    pub(super) fn end_run(&mut self, next: Option<Option<&Previous>>) {
        let Some(mut run) = self.run.take() else { return };
        // Of files that begin in the middle, it became known on the way.
        self.seen.extend(run.origin.clone());
        let goes_on = next.is_none() && self.report.extent == Extent::Part;
        let mut around = Around { held: &self.held, files: &self.files, report: &mut self.report };
        run.settle_repeat(&mut around);
        for repeat in std::mem::take(&mut run.owed) {
            let more = ", and no line says that a batch was written again (a gateway that is killed right after a failed \
                        sync leaves this too)";
            run.tell_repeat(&mut around, &repeat, more);
        }
        if next.is_some() && run.ended == Ended::Open {
            run.ended = Ended::Killed;
        }
        let missed = run.tell_truncated(&mut around, goes_on);
        let mut size = missed.max(run.state.leaf);
        if let Some(Some(previous)) = next {
            if run.origin.as_ref() == Some(&previous.origin) {
                size = size.max(previous.size);
            }
            let stands_above = self.seen.contains(&previous.origin);
            run.check_successor(&mut around, previous, missed, stands_above);
        }
        run.tell_uncompared(&mut around);
        let files = &self.files;
        let lines_after = size - run.state.leaf;
        let gaps = run.has_gaps();
        let proved_size = run.proved.as_ref().map_or(run.first.1.leaf, |proved| proved.size);
        self.report.runs.push(report::Run {
            first: run.first.0.at(files, Some(&run.first.1)),
            last: run.last.0.at(files, Some(&run.last.1)),
            lines_before: run.first.1.leaf,
            lines: run.lines,
            lines_after,
            gaps,
            chains: run.chains.iter().map(|(chain, count)| (chain.to_string(), *count)).collect(),
            ended: run.ended,
            unsealed: run.state.leaf.saturating_sub(proved_size),
            whole: run.is_whole(gaps || lines_after > 0),
            proved: run.proved,
            proved_outside: run.proved_outside,
            origin: run.origin,
            key: run.key,
        });
    }
}

impl Run {
    /// Whether lines behind the first one are missing or out of place.
    fn has_gaps(&self) -> bool {
        let here = self.state.leaf.saturating_sub(self.first.1.leaf);
        // Lines of which it is not known to which run they belong have no tree from the beginning.
        self.lines < here || (self.state.tree.is_none() && self.origin.is_some())
    }

    /// From its start line to its stop line; None where nothing says that it ended.
    fn is_whole(&self, lacks_lines: bool) -> Option<bool> {
        let goes_on = self.ended == Ended::Rotation;
        if lacks_lines || goes_on || self.first.1.leaf > 0 || self.origin.is_none() {
            return Some(false);
        }
        self.stopped.then_some(true)
    }

    /// Checkpoints of more lines than there are; gives the size that was told.
    fn tell_truncated(&self, around: &mut Around<'_>, goes_on: bool) -> u64 {
        let longest = self.origin.as_ref().and_then(|origin| around.held.get(origin)?.last_key_value());
        let Some((size, held)) = longest.filter(|(size, _)| **size > self.state.leaf) else { return 0 };
        let held = held.iter().find(|held| held.outside).or(held.first());
        let place = held.map_or(String::new(), |held| format!("{} signed it, {}", held.signer, held.place));
        let missing = size - self.state.leaf;
        if goes_on {
            around.report.notes.push(format!(
                "{} goes on for {} more at least ({place}): they are not in the files given",
                self.origin.as_deref().unwrap_or_default(),
                lines(missing)
            ));
            return *size;
        }
        let at = self.last.0.at(around.files, Some(&self.last.1));
        let what = format!(
            "the run ends here, but a checkpoint covers {} ({place}): {} at least {} missing after it (--partial, if the \
             files end on purpose before the log does)",
            lines(*size),
            lines(missing),
            if missing == 1 { "is" } else { "are" }
        );
        around.report.find(Kind::Truncated, Some(at), self.origin.as_deref(), what);
        *size
    }

    /// What the start of the run after this one says of it.
    fn check_successor(&self, around: &mut Around<'_>, previous: &Previous, told: u64, stands_above: bool) {
        let origin = self.origin.as_deref();
        let at = self.last.0.at(around.files, Some(&self.last.1));
        if origin != Some(previous.origin.as_str()) {
            if stands_above {
                around.report.notes.push(format!(
                    "{at}: the next run names {} as the one before it, which stands above, and not this one: the state \
                     directory was restored from a copy, or this run was killed before its first checkpoint",
                    previous.origin
                ));
            } else if origin.is_some() {
                let what = format!(
                    "the next run names {} with {} as the one before it: that run is missing after this line",
                    previous.origin,
                    lines(previous.size)
                );
                around.report.find(Kind::RunMissing, Some(at), origin, what);
            }
            return;
        }
        if previous.size > self.state.leaf && told < previous.size {
            let missing = lines(previous.size - self.state.leaf);
            let what = format!(
                "the run ends here, but the start of the next one says that it had {}: {missing} at the end missing",
                lines(previous.size)
            );
            around.report.find(Kind::Truncated, Some(at), origin, what);
        } else if self.root_at(previous.size).is_some_and(|root| root != previous.root) {
            let what = format!(
                "the start of the next run names another root for the first {} of this one: they were changed together \
                 with their chain",
                lines(previous.size)
            );
            around.report.find(Kind::Root, Some(at), origin, what);
        }
    }

    /// The root at a size that is not long past.
    fn root_at(&self, size: u64) -> Option<crate::Hash> {
        let mut tree = self.past_tree.clone().filter(|tree| tree.size() <= size)?;
        self.state.tree.as_ref()?;
        for past in &self.past {
            if tree.size() == size {
                break;
            }
            tree.push(leaf_hash(&past.hash));
        }
        (tree.size() == size).then(|| tree.root())
    }

    /// Checkpoints that nothing could be compared with.
    fn tell_uncompared(&self, around: &mut Around<'_>) {
        if self.mismatches > 1 {
            let more = self.mismatches - 1;
            around.report.notes.push(format!("further checkpoints of that run that do not match: {more}"));
        }
        let Some(sizes) = self.origin.as_ref().and_then(|origin| around.held.get(origin)) else { return };
        let from = self.proved.as_ref().map_or(self.first.1.leaf, |proved| proved.size);
        let left = sizes
            .range(from.saturating_add(1)..=self.state.leaf.max(from.saturating_add(1)))
            .filter(|(size, _)| **size <= self.state.leaf)
            .count();
        if self.state.tree.is_none() && left > 0 {
            around.report.notes.push(format!(
                "checkpoints that could not be compared, because lines that they cover are missing or out of place: {left}"
            ));
        }
    }
}
