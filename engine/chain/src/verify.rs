//! The streaming verifier: lines in the order of the log, then a report. Memory does not grow with the log.
//!
//! Every line is checked against the chain it says it belongs to and against its place among all lines of the run;
//! the tree over them is compared with each signed checkpoint on the way. After a finding it goes on as well as it can,
//! so that one change is one finding, and everything else is still checked.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::bounds::{CHAINS_MAX, RUNS_MAX};
use crate::checkpoint::Checkpoint;
use crate::line::{self, Chain, Chained};
use crate::log::{Previous, Told};
use crate::report::{At, Ended, Kind, Report, lines};

mod ending;
mod misfit;
mod proving;
mod run;

pub use crate::report::Extent;
pub use proving::Demand;
use run::{Run, Spot, State};

/// A checkpoint whose signature was verified.
#[derive(Clone, Debug)]
pub struct Held {
    pub checkpoint: Checkpoint,
    pub signer: String,
    /// Where it was found.
    pub place: String,
    /// Elsewhere than beside the log.
    pub outside: bool,
}

/// By origin and size.
type Checkpoints = HashMap<String, BTreeMap<u64, Vec<Held>>>;

pub struct Verifier {
    held: Checkpoints,
    files: Vec<String>,
    line: u64,
    run: Option<Run>,
    cut: Option<Cut>,
    seen: HashSet<String>,
    /// By node: the newest of its runs that have begun so far.
    newest: HashMap<String, String>,
    /// Neither the first line nor what followed in its file has said where everything stands.
    adrift: bool,
    /// Chains of the runs in the report.
    chains: usize,
    demand: Demand,
    /// Public keys that were given, as text.
    keys: Vec<String>,
    /// By the file: when the run began that its first line is of, and that line's number in it. Files of which that is not
    /// known, and all after them, have none.
    beginnings: Vec<((String, String), u64)>,
    report: Report,
}

/// A line without a chain member that waits for the next one to explain it.
struct Cut {
    spot: Spot,
    bytes: Vec<u8>,
}

impl Verifier {
    pub fn new(held: Vec<Held>, extent: Extent) -> Self {
        let mut by_origin = Checkpoints::new();
        for held in held {
            let sizes = by_origin.entry(held.checkpoint.origin.clone()).or_default();
            sizes.entry(held.checkpoint.size).or_default().push(held);
        }
        Self {
            held: by_origin,
            files: Vec::new(),
            line: 0,
            run: None,
            cut: None,
            seen: HashSet::new(),
            newest: HashMap::new(),
            adrift: false,
            chains: 0,
            demand: Demand::default(),
            keys: Vec::new(),
            beginnings: Vec::new(),
            report: Report { extent, ..Report::default() },
        }
    }

    /// Lines that follow are of this file.
    pub fn begin_file(&mut self, name: &str) {
        self.settle_cut(None);
        self.settle_beginning();
        self.files.push(name.to_owned());
        self.line = 0;
    }

    /// Tells a finding that was made elsewhere, such as a wrong signature.
    pub fn find(&mut self, kind: Kind, what: String) {
        self.report.find(kind, None, None, what);
    }

    /// How many findings there are so far.
    pub fn findings(&self) -> u64 {
        self.report.findings.len() as u64 + self.report.findings_not_told
    }

    pub fn note(&mut self, what: String) {
        self.report.note(what);
    }

    /// The next line, without its newline.
    pub fn line(&mut self, bytes: &[u8]) {
        self.line_apart(bytes, line::read(bytes));
    }

    /// The same, of one that was taken apart.
    pub fn line_apart(&mut self, bytes: &[u8], chained: Option<Chained<'_>>) {
        self.line += 1;
        self.report.lines += 1;
        if self.report.lines_not_looked_at > 0 {
            self.report.lines_not_looked_at += 1;
            return;
        }
        let spot = Spot { file: self.files.len().saturating_sub(1), line: self.line };
        let Some(chained) = chained else {
            self.settle_cut(None);
            self.cut = Some(Cut { spot, bytes: bytes.to_vec() });
            return;
        };
        self.settle_cut(Some(bytes));
        self.look_at_beginning(bytes, &chained);
        let first = chained.link.chain == Chain::Control && chained.link.leaf == 0;
        if first
            && let Some(Told::Start { origin, key, previous }) = Told::read(bytes)
            && !self.seen.contains(&origin)
        {
            self.begin_run(origin, key, previous, spot, bytes, &chained);
            return;
        }
        if self.run.is_none() {
            self.begin_in_the_middle(spot, bytes, &chained);
        }
        let Some(run) = &mut self.run else { return };
        run.take(&mut Around { held: &self.held, files: &self.files, report: &mut self.report }, spot, bytes, &chained);
        if self.adrift && run.origin.is_some() {
            self.settle_beginning();
        }
    }

    /// Of the first line of a file.
    fn look_at_beginning(&mut self, bytes: &[u8], chained: &Chained<'_>) {
        if self.line != 1 || self.beginnings.len() + 1 != self.files.len() || chained.link.chain != Chain::Control {
            return;
        }
        if let Some(Told::Start { origin, .. } | Told::Continued { origin, .. }) = Told::read(bytes) {
            self.beginnings.push((proving::age(&origin), chained.link.leaf));
        }
    }

    fn begin_run(
        &mut self,
        origin: String,
        key: Option<String>,
        previous: Option<Previous>,
        spot: Spot,
        bytes: &[u8],
        chained: &Chained<'_>,
    ) {
        let had_run = self.run.is_some();
        self.end_run(Some(previous.as_ref()));
        if self.report.runs.len() >= RUNS_MAX || self.chains >= CHAINS_MAX {
            return self.give_up(spot, chained);
        }
        match (&previous, had_run) {
            (Some(previous), false) => {
                let what = format!(
                    "{origin} says that {} with {} at least went before: it is not in the files given",
                    previous.origin,
                    lines(previous.size)
                );
                self.miss_before(Kind::RunMissing, spot.at(&self.files, Some(&chained.link)), &origin, what);
            }
            (None, true) => self.report.note(format!(
                "{origin} knows of no run before it, though one stands there: its state directory was new or gone, or it \
                 ran without one"
            )),
            _ => {}
        }
        self.look_at_age(&origin, previous.as_ref(), spot, chained);
        self.seen.insert(origin.clone());
        let mut run = Run::new(Some(origin), spot, &chained.link, State::new());
        run.key = key;
        let mut around = Around { held: &self.held, files: &self.files, report: &mut self.report };
        run.take(&mut around, spot, bytes, chained);
        self.run = Some(run);
    }

    /// From this line on, nothing is looked at: each run is remembered, and whoever can write the files can make up any
    /// number.
    fn give_up(&mut self, spot: Spot, chained: &Chained<'_>) {
        let what = format!(
            "from here on no line was looked at: {} runs stand before it, and no more are looked at at once (give fewer files,              with --archived or --partial)",
            self.report.runs.len()
        );
        self.report.find(Kind::NotLookedAt, Some(spot.at(&self.files, Some(&chained.link))), None, what);
        self.report.lines_not_looked_at = 1;
    }

    /// A run that began before one of the same gateway above it. One that names a run above as the one before it is where
    /// it was written, whatever the clock said.
    fn look_at_age(&mut self, origin: &str, previous: Option<&Previous>, spot: Spot, chained: &Chained<'_>) {
        let newest = self.newest.entry(proving::parts(origin).0.to_owned()).or_insert_with(|| origin.to_owned());
        if proving::age(origin) >= proving::age(newest) {
            origin.clone_into(newest);
        } else if previous.is_none_or(|previous| !self.seen.contains(&previous.origin)) {
            let what = format!(
                "begins a run that is older than {newest}, which stands above it: moved (or the clock was set back, and the \
                 state directory lost)"
            );
            let at = spot.at(&self.files, Some(&chained.link));
            self.report.find(Kind::Moved, Some(at), Some(origin), what);
        }
    }

    /// What went before the first line.
    fn miss_before(&mut self, kind: Kind, at: At, origin: &str, what: String) {
        if self.report.extent == Extent::Whole {
            let what = format!("{what} (--archived, if they are kept elsewhere)");
            self.report.find(kind, Some(at), Some(origin), what);
        } else {
            self.report.note(what);
        }
    }

    /// Neither a start nor a `continued` line has been there.
    fn begin_in_the_middle(&mut self, spot: Spot, bytes: &[u8], chained: &Chained<'_>) {
        let told = (chained.link.chain == Chain::Control).then(|| Told::read(bytes)).flatten();
        let run = match told {
            Some(Told::Continued { origin, frontier, heads }) => {
                self.seen.insert(origin.clone());
                let before = lines(chained.link.leaf);
                let what = format!("{before} of {origin} went before this file: they are not in the files given");
                self.miss_before(Kind::BeginningMissing, spot.at(&self.files, Some(&chained.link)), &origin, what);
                Run::new(Some(origin), spot, &chained.link, State::continued(frontier, heads))
            }
            _ => {
                self.adrift = true;
                Run::new(None, spot, &chained.link, State::unanchored(chained.link.leaf))
            }
        };
        self.run = Some(run);
        if self.report.extent == Extent::Whole {
            self.settle_beginning();
        }
    }

    /// Lines before the first one that says where everything stands. A gateway leaves such at the beginning of a later
    /// file, where the one before took nothing any more when it was rotated.
    fn settle_beginning(&mut self) {
        let Some(run) = self.run.as_ref().filter(|_| std::mem::take(&mut self.adrift)) else { return };
        let at = run.first.0.at(&self.files, Some(&run.first.1));
        match (self.report.extent, &run.origin) {
            (Extent::Part, _) => self.report.note(format!("{at}: the files begin in the middle of a run")),
            (Extent::Later, Some(origin)) => {
                let before = lines(run.unanchored);
                self.report.note(format!(
                    "{at}: {before} of {origin} stood still to be written when this file took the place of the one before: no \
                     checkpoint can be compared with them without it"
                ));
            }
            _ => {
                let what = "neither a start line nor one that continues a run stands before this line: what did is \
                            missing (--partial, if the files begin on purpose in the middle)";
                self.report.find(Kind::BeginningMissing, Some(at), None, what.to_owned());
            }
        }
    }

    /// A line without a chain member: what a crash cut off, or damage.
    fn settle_cut(&mut self, next: Option<&[u8]>) {
        let Some(Cut { spot, bytes }) = self.cut.take() else { return };
        let at = spot.at(&self.files, None);
        let begins_a_run = |next: &[u8]| {
            line::read(next).is_some_and(|chained| chained.link.chain == Chain::Control && chained.link.leaf == 0)
                && matches!(Told::read(next), Some(Told::Start { .. }))
        };
        match next {
            // Written again whole, in this file or the next one.
            Some(next) if next.starts_with(&bytes) && !bytes.is_empty() => {
                self.report.note(format!("{at} is the beginning of the line after it: a write that was cut off"));
            }
            Some(next) if begins_a_run(next) && self.may_be_cut(spot, &bytes) => {
                self.report.cut_off += 1;
                self.report.note(format!(
                    "{at} was cut off: what the gateway was writing when it was killed; it is in no checkpoint"
                ));
            }
            None if self.is_last_of_file(spot) && self.may_be_cut(spot, &bytes) => {
                self.report.cut_off += 1;
                self.report.note(format!(
                    "{at}, the last of its file, was cut off or is still being written; it is in no checkpoint"
                ));
            }
            _ => {
                let run = self.run.as_mut();
                let origin = run.as_ref().and_then(|run| run.origin.clone());
                let what = "has no chain member, or a damaged one: it was changed, or put there".to_owned();
                self.report.find(Kind::Unchained, Some(at), origin.as_deref(), what);
                if let Some(run) = run {
                    run.unchained += 1;
                }
            }
        }
    }

    /// Whether a crash can have left this: the beginning of a line, or what a file system puts where nothing was
    /// written. A whole object is none, whatever stands behind it; nothing is written after a stop line but itself, nor
    /// to a file after its rotation.
    fn may_be_cut(&self, spot: Spot, bytes: &[u8]) -> bool {
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let bytes = bytes.get(..written).unwrap_or_default();
        let begun = bytes.starts_with(b"{\"") || b"{\"".starts_with(bytes);
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<serde::de::IgnoredAny>();
        let whole = values.next().is_some_and(|value| value.is_ok());
        let is_over = |run: &Run| match &run.stop {
            Some(stop) => !stop.starts_with(bytes),
            None => run.ended == Ended::Rotation && run.last.0.file == spot.file,
        };
        begun && !whole && !self.run.as_ref().is_some_and(is_over)
    }

    fn is_last_of_file(&self, spot: Spot) -> bool {
        spot.file + 1 == self.files.len() && spot.line == self.line
    }

    /// No more lines.
    pub fn finish(mut self) -> Report {
        self.settle_cut(None);
        self.end_run(None);
        // A run whose lines were not looked at may be there.
        if self.report.lines_not_looked_at == 0 {
            self.tell_unused();
        }
        self.tell_unproved();
        self.tell_order();
        let report = &mut self.report;
        report.intact = report.findings.is_empty();
        self.report
    }
}

/// What a run needs of the verifier.
struct Around<'v> {
    held: &'v Checkpoints,
    files: &'v [String],
    report: &'v mut Report,
}

impl Spot {
    fn at(self, files: &[String], link: Option<&line::Link>) -> At {
        At::new(files.get(self.file).map_or("", String::as_str), self.line, link)
    }
}

#[cfg(test)]
mod tests;
