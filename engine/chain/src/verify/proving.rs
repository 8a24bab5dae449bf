//! What must be proved of the runs that are there, and which logs of known keys should be there and are not.

use std::collections::BTreeMap;

use super::{Held, Verifier};
use crate::report::{Extent, Finding, Kind, Run, lines};

/// What each run needs; without it there is a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Lines that are chained are enough, whoever wrote them.
    #[default]
    Chained,
    /// A checkpoint that matches.
    Signed,
    /// A checkpoint that matches, held elsewhere than beside the log.
    Outside,
}

/// An origin is `NODE/TIME`; times sort as text.
pub fn parts(origin: &str) -> (&str, &str) {
    origin.rsplit_once('/').unwrap_or(("", origin))
}

/// By what origins sort: the time, then the node.
pub fn age(origin: &str) -> (String, String) {
    let (node, time) = parts(origin);
    (time.to_owned(), node.to_owned())
}

impl Verifier {
    /// Says what each run needs, and which public keys were given as text.
    pub fn demand(&mut self, demand: Demand, keys: Vec<String>) {
        (self.demand, self.keys) = (demand, keys);
    }

    /// Runs that lack what is demanded. A run in which something was found is told already.
    pub(super) fn tell_unproved(&mut self) {
        if self.demand == Demand::Chained {
            return;
        }
        let (mut found, mut notes) = (Vec::new(), Vec::new());
        for run in &self.report.runs {
            let is_proved =
                if self.demand == Demand::Outside { run.proved_outside.is_some() } else { run.proved.is_some() };
            let is_told = self.report.findings.iter().any(|finding| finding.run == run.origin);
            if is_proved || is_told {
                continue;
            }
            if let Some(note) = self.sealed_before(run) {
                notes.push(note);
            } else {
                found.push((run.last.clone(), run.origin.clone(), self.why_unproved(run)));
            }
        }
        notes.into_iter().for_each(|note| self.report.note(note));
        if self.report.runs.is_empty() && self.report.findings.is_empty() {
            self.report.find(Kind::Unproved, None, None, "there are no lines, and nothing was proved".to_owned());
        }
        for (at, origin, what) in found {
            self.report.find(Kind::Unproved, Some(at), origin.as_deref(), what);
        }
    }

    /// Of the last lines of a run that was killed before their first checkpoint: all those that there are cover lines before
    /// the ones here. In the whole log these lines would be unsealed, and no more is wrong with them.
    fn sealed_before(&self, run: &Run) -> Option<String> {
        let counts = |held: &Held| self.demand != Demand::Outside || held.outside;
        let sizes = self.held.get(run.origin.as_ref()?)?.iter();
        let (last, held) =
            sizes.filter_map(|(size, held)| Some((*size, held.iter().find(|of| counts(of))?))).next_back()?;
        (run.lines_before > 0 && last <= run.lines_before + run.unanchored).then(|| {
            format!(
                "the last checkpoint of {} covers {}, all before those here ({}): nothing vouches for the {} at its end",
                held.checkpoint.origin,
                lines(last),
                held.place,
                lines(run.lines)
            )
        })
    }

    fn why_unproved(&self, run: &Run) -> String {
        let who = run.origin.as_deref().unwrap_or("this run");
        let known = run.key.as_ref().is_none_or(|key| self.keys.contains(key));
        match (&run.key, &run.proved) {
            _ if self.keys.is_empty() => {
                format!("{who} is chained consistently, which proves nothing about who wrote it")
            }
            (Some(key), _) if !known => {
                format!("{who} is not proved: it says that its key is {key}, which is not among those given")
            }
            (_, Some(proved)) => format!(
                "{who} is not proved by a checkpoint in the places given; only those beside the records vouch for it, up \
                 to {}",
                proved.at
            ),
            _ if run.origin.is_none() => {
                format!("{who} is not proved: its beginning is not there, so that no checkpoint can be compared")
            }
            _ => format!(
                "{who} is not proved: no checkpoint that was found covers a line of it (it is of another gateway, or was \
                 killed before its first checkpoint, or its checkpoints are gone)"
            ),
        }
    }

    /// Checkpoints of runs of which no line was there.
    pub(super) fn tell_unused(&mut self) {
        let goes_on = self.report.extent == Extent::Part;
        let mut unused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for origin in self.held.keys().filter(|origin| !self.seen.contains(*origin)) {
            unused.entry(parts(origin).0).or_default().push(origin);
        }
        // What the run after it missed is told already.
        let is_told = |origin: &str| {
            let mut missing = self.report.findings.iter().filter(|of| of.kind == Kind::RunMissing);
            missing.any(|finding| finding.what.contains(origin))
        };
        // The first line says what went before it, and that the run before: one finding stands for them.
        let is_of_runs = |of: &Finding| matches!(of.kind, Kind::RunMissing | Kind::BeginningMissing);
        let mut before_is_told = self.report.findings.iter().any(is_of_runs);
        let newest = self.report.runs.iter().filter_map(|run| run.origin.as_deref()).map(age).max();
        let (mut others, mut found) = (0_u64, Vec::new());
        for (node, mut origins) in unused {
            origins.sort_unstable();
            let own = self.report.runs.iter().filter_map(|run| run.origin.as_deref());
            let own = own.filter(|origin| parts(origin).0 == node);
            let Some(first) = own.min() else {
                if self.is_missed(&origins) {
                    found.extend(origins.last().map(|last| (*last, self.none_of(node, last, origins.len()))));
                } else {
                    others += origins.len() as u64;
                }
                continue;
            };
            for origin in origins.into_iter().filter(|origin| !is_told(origin)) {
                if origin > first && Some(age(origin)) < newest {
                    found.push((origin, self.missing(origin, "between the runs here", "")));
                } else if origin > first && !goes_on {
                    let more = " (--partial, if they end on purpose before it)";
                    found.push((origin, self.missing(origin, "after the last line here", more)));
                } else if self.report.extent == Extent::Whole && !before_is_told {
                    before_is_told = true;
                    let more = " (--archived, if it is kept elsewhere)";
                    found.push((origin, self.missing(origin, "before the first line here", more)));
                } else {
                    others += 1;
                }
            }
        }
        for (origin, what) in found.iter().map(|(origin, what)| ((*origin).to_owned(), what)) {
            self.report.find(Kind::RunMissing, None, Some(&origin), what.clone());
        }
        if others > 0 {
            let runs = if others == 1 { "1 run that is".to_owned() } else { format!("{others} runs that are") };
            self.report.note(format!(
                "checkpoints vouch for {runs} not in the files given: give those files too, \
                 or nothing is known of them"
            ));
        }
    }

    /// Whether runs of a node that has no line here should have some: they are of the whole log, or nothing here is what
    /// they vouch for, or they began since. What went before the files given may be archived.
    fn is_missed(&self, origins: &[&str]) -> bool {
        let runs = &self.report.runs;
        let first = runs.iter().filter_map(|run| run.origin.as_deref()).map(age).min();
        let since = first.is_none_or(|first| origins.last().is_some_and(|last| age(last) >= first));
        self.report.extent == Extent::Whole
            || self.report.extent == Extent::Later && (since || runs.iter().all(|run| run.proved.is_none()))
    }

    fn missing(&self, origin: &str, when: &str, more: &str) -> String {
        let (size, place) = self.last_of(origin);
        format!(
            "{origin} began {when} and had {} at least ({place}): none of them is in the files given{more}",
            lines(size)
        )
    }

    fn none_of(&self, node: &str, last: &str, count: usize) -> String {
        let (size, place) = self.last_of(last);
        let runs = if count == 1 { "the run".to_owned() } else { format!("the {count} runs, the last of them") };
        // Lines do not say of which run they are: its start does, or where it goes on in another file.
        let nameless = self.report.runs.iter().any(|run| run.origin.is_none());
        let none = if nameless { "no line that says that it is" } else { "no line" };
        format!(
            "{none} of {node} is in the files given, but checkpoints vouch for {runs} {last} with {} at least ({place}): \
             are these the records of that gateway, and all of them? (--archived, if older ones are kept elsewhere)",
            lines(size)
        )
    }

    /// Lines under the last checkpoint of a run, and where that was found.
    fn last_of(&self, origin: &str) -> (u64, &str) {
        let last = self.held.get(origin).and_then(|sizes| sizes.last_key_value());
        let place = |held: &[Held]| -> Option<usize> { held.iter().position(|held| held.outside) };
        last.map_or((0, ""), |(size, held)| {
            (*size, held.get(place(held).unwrap_or(0)).map_or("", |held| held.place.as_str()))
        })
    }

    /// Tells the order of the files, where their first lines say that it is another than the one in which they came.
    pub(super) fn tell_order(&mut self) {
        if self.beginnings.len() != self.files.len() {
            return;
        }
        let mut order: Vec<usize> = (0..self.files.len()).collect();
        order.sort_by_key(|index| self.beginnings.get(*index));
        if !order.is_sorted() {
            self.report.order = order.into_iter().filter_map(|index| self.files.get(index).cloned()).collect();
        }
    }
}
