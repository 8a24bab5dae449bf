//! A patch, proved before it is written: what it says, that it only takes away, and that the records come out the same.

use std::path::{Path, PathBuf};

use policy::model::Policy;
use policy::table::Table;
use policy_diff::{Side, Verdict};
use policy_evaluate::Evaluator;
use policy_release::digest::Digest;

use super::bounds::{DIFFS_MAX, NAMES_TOLD_MAX};
use super::edit::{Edit, spliced, splices};
use super::evidence::Evidence;
use super::scan::{Take, Window, scan};
use super::unified;
use crate::cases::Suite;
use crate::commands::audit::Records;
use crate::failure::Failure;
use crate::pointing::table_of;
use crate::replay::compare::{Standing, standing};
use crate::replay::line::Exchange;
use crate::replay::simulate::Candidate;
use crate::source::{Source, Warnings};

/// Where a patch was written.
pub struct Written {
    pub path: PathBuf,
    /// Where its source stands, if that is not the current directory or below it: there it is applied.
    pub elsewhere: Option<PathBuf>,
}

/// A patch that holds.
#[derive(Debug)]
pub struct Proven {
    /// A unified diff; empty where no edit is left.
    pub patch: String,
    /// Numbers of the edits in it.
    pub edits: Vec<usize>,
    /// Numbers of edits that were left out, and why.
    pub left_out: Vec<(usize, String)>,
    pub verdict: Verdict,
    /// Test cases that fail with it: how many, and the names of the first.
    pub cases_failing: usize,
    pub cases_failing_told: Vec<String>,
    /// Exchanges that were decided again.
    pub replayed: u64,
}

/// Makes the patch of `source`, whose name in the patch is `name`.
///
/// # Errors
/// Why there is none.
pub fn prove(
    source: &Source,
    name: &str,
    edits: &[Edit],
    records: Records<'_>,
    window: Window,
) -> Result<Proven, Failure> {
    let policy = source.policy(Warnings::Known)?;
    let search = Search { policy, table: table(policy)?, edits };
    let mut chosen = Chosen::default();
    let all: Vec<usize> = (0..edits.len()).collect();
    search.choose(&all, &mut chosen)?;
    chosen.kept.sort_unstable();
    let kept: Vec<&Edit> = chosen.kept.iter().filter_map(|index| edits.get(*index)).collect();
    let text = source.text();
    let places = splices(text, &kept).map_err(Failure::new)?;
    let broken = || Failure::new("the source cannot be cut where its parser says that things stand");
    let patched = crate::source::of_text(Path::new(&source.name()), spliced(text, &places).ok_or_else(broken)?);
    let expected = search.with(&chosen.kept);
    let found = patched.loaded().policy.as_ref();
    if found != Some(&expected) {
        let fault = Failure::new("the patched source does not say what it should: no patch is written");
        return Err(fault.help("edit the source by hand; the report above says what"));
    }
    let verdict = search.verdict(&expected)?;
    if !is_good(verdict) {
        return Err(Failure::new(format_args!("the patch is {}, not narrower: it is not written", verdict.name())));
    }
    let replayed = replay(policy, &expected, records, window)?;
    let outcome = Suite::of_source(&patched, Warnings::Known)?.run("").map_err(Failure::new)?;
    let failing = outcome.cases.iter().filter(|case| case.failed.is_some()).map(|case| case.name.clone());
    let failing: Vec<String> = failing.collect();
    Ok(Proven {
        patch: unified::diff(name, text, &places),
        edits: chosen.kept,
        left_out: chosen.left_out,
        verdict,
        cases_failing: failing.len(),
        cases_failing_told: failing.into_iter().take(NAMES_TOLD_MAX).collect(),
        replayed,
    })
}

const fn is_good(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Same | Verdict::Narrower)
}

fn table(policy: &Policy) -> Result<Table<Vec<u8>>, Failure> {
    table_of(policy, &Digest::from_bytes([0; 32])).map_err(Failure::new)
}

/// Looks for the edits that are narrower together.
struct Search<'p> {
    policy: &'p Policy,
    table: Table<Vec<u8>>,
    edits: &'p [Edit],
}

#[derive(Default)]
struct Chosen {
    kept: Vec<usize>,
    left_out: Vec<(usize, String)>,
    diffs: usize,
}

impl Search<'_> {
    fn with(&self, edits: &[usize]) -> Policy {
        let mut policy = self.policy.clone();
        edits.iter().filter_map(|index| self.edits.get(*index)).for_each(|edit| edit.apply(&mut policy));
        policy
    }

    fn verdict(&self, new: &Policy) -> Result<Verdict, Failure> {
        let table = table(new)?;
        let old = Side { policy: self.policy, table: &self.table };
        let diff = policy_diff::diff(old, Side { policy: new, table: &table });
        // What the narrower role may not sign is not what was promised either.
        let verdict = if diff.needs_wider() && is_good(diff.verdict) { Verdict::Wider } else { diff.verdict };
        Ok(verdict)
    }

    /// Adds these edits to those that were chosen, as far as all of them together are narrower: halves, and halves of
    /// those that are not.
    fn choose(&self, edits: &[usize], chosen: &mut Chosen) -> Result<(), Failure> {
        if edits.is_empty() {
            return Ok(());
        }
        if chosen.diffs >= DIFFS_MAX {
            let why = "not looked at: too many others did not fit";
            chosen.left_out.extend(edits.iter().map(|edit| (*edit, why.to_owned())));
            return Ok(());
        }
        chosen.diffs += 1;
        let together: Vec<usize> = chosen.kept.iter().chain(edits).copied().collect();
        let verdict = self.verdict(&self.with(&together))?;
        if is_good(verdict) {
            chosen.kept = together;
            return Ok(());
        }
        if let [only] = edits {
            let why = format!("would not be narrower ({})", verdict.name());
            chosen.left_out.push((*only, why));
            return Ok(());
        }
        let (first, second) = edits.split_at(edits.len() / 2);
        self.choose(first, chosen)?;
        self.choose(second, chosen)
    }
}

/// Puts the exchanges of the window to both policies. How many there were.
///
/// # Errors
/// One that was permitted comes out otherwise.
fn replay(old: &Policy, new: &Policy, records: Records<'_>, window: Window) -> Result<u64, Failure> {
    let mut both = Both { old, new, compared: 0, pair: pair(old, new)?, own: evaluator(old)? };
    scan(records, &mut Evidence::new(window), &mut both)?;
    Ok(both.compared)
}

/// Both policies, each with its counters.
pub struct Both<'p> {
    old: &'p Policy,
    new: &'p Policy,
    own: Evaluator<'p>,
    pair: (Candidate<'p>, Candidate<'p>),
    compared: u64,
}

fn evaluator(policy: &Policy) -> Result<Evaluator<'_>, Failure> {
    Evaluator::new(policy, [0; 32]).map_err(Failure::new)
}

fn pair<'p>(old: &'p Policy, new: &'p Policy) -> Result<(Candidate<'p>, Candidate<'p>), Failure> {
    Ok((Candidate::new(evaluator(old)?), Candidate::new(evaluator(new)?)))
}

impl Take for Both<'_> {
    /// Counters are of one gateway.
    fn other_gateway(&mut self) -> Result<(), Failure> {
        self.pair = pair(self.old, self.new)?;
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        if matches!(standing(exchange), Standing::NotDecided(_)) {
            return Ok(());
        }
        let (old, new) = &mut self.pair;
        let (Ok(before), Ok(after)) = (old.decide(exchange, Some(&self.own)), new.decide(exchange, Some(&self.own)))
        else {
            return Ok(());
        };
        self.compared += 1;
        let names = |found: &policy_evaluate::Evaluation| {
            (found.agent.clone(), found.granted_by.clone(), found.route.clone(), found.scope.clone())
        };
        // What the old policy refuses, the new one refuses: the comparison of the two says so.
        if !before.permitted || (after.permitted && names(&before) == names(&after)) {
            return Ok(());
        }
        let why = after.reason.map_or("granted by another rule", policy::reason::Reason::name);
        let what = format!("with the patch, request {} would come out otherwise ({why})", exchange.request_id);
        Err(Failure::new(format_args!("{what}: no patch is written"))
            .help("keep what it needs with --keep, and report this"))
    }
}
