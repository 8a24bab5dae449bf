//! `adamant audit verify`: what is proved of records, what is wrong with them, and what cannot be known.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use chain::report::{Ended, Finding, Kind, Report, Run};
use chain::verify::{Demand, Extent, Verifier};
use clap::Args;
use control::records::encrypted::Damage;

use super::checkpoints::Collector;
use super::identity::what_of;
use super::lines::{Lines, name_of};
use super::print::count;
use super::{Format, Identities, IdentityArgs, node_keys};
use crate::failure::Failure;
use crate::terminal::line;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Record files, oldest first; `-` for standard input.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Checkpoints that are kept elsewhere. Those beside the records (RECORDS.checkpoints) are found by themselves.
    /// Takes all that follows: give the records before it.
    #[arg(long, value_name = "FILE|DIR|URL", num_args = 1..)]
    checkpoints: Vec<String>,
    /// CA (PEM) that vouches for an https URL of --checkpoints.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The gateway's public key: node.pub, or its text. Several if it was replaced.
    #[arg(long, value_name = "PUB")]
    node_key: Vec<String>,
    /// The files are any part of the log: what comes before and after them is not missed.
    #[arg(long)]
    partial: bool,
    /// Older files are kept elsewhere: what comes before these is not missed, but what comes after is.
    #[arg(long, conflicts_with = "partial")]
    archived: bool,
    /// Accept runs that no checkpoint vouches for: that their lines are chained proves nothing about who wrote them.
    #[arg(long)]
    unproved: bool,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub fn run(args: &VerifyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let keys = node_keys(&args.node_key)?;
    let mut collector = Collector::new(&keys, &args.records);
    for place in &args.checkpoints {
        collector.place(place, args.ca.as_deref())?;
    }
    collector.beside()?;
    let demand = match (args.unproved, collector.looked_outside) {
        (true, _) => Demand::Chained,
        (false, true) => Demand::Outside,
        (false, false) => Demand::Signed,
    };
    let found = collector.finish();
    let extent = match (args.partial, args.archived) {
        (true, _) => Extent::Part,
        (false, true) => Extent::Later,
        (false, false) => Extent::Whole,
    };
    let mut verifier = Verifier::new(found.held, extent);
    verifier.demand(demand, keys.iter().map(|key| key.key().to_string()).collect());
    found.findings.into_iter().for_each(|(kind, what)| verifier.find(kind, what));
    found.notes.into_iter().for_each(|what| verifier.note(what));
    let identities = args.identity.load()?;
    let verifier = Rc::new(RefCell::new(verifier));
    for path in &args.records {
        read_file(path, &identities, &verifier)?;
    }
    let verifier = Rc::into_inner(verifier).ok_or_else(|| Failure::new("a record file is still being read"))?;
    let report = verifier.into_inner().finish();
    match args.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
            writeln!(out, "{text}")?;
        }
        Format::Text => write!(out, "{}", text_of(&report, args))?,
    }
    if report.intact { Ok(()) } else { Err(Failure::outcome(1)) }
}

/// A batch that was changed is a finding, also where it stands behind the last checkpoint. One that was cut off is what a
/// kill leaves; what is missing with it, the chains tell.
fn read_file(path: &Path, identities: &Identities, verifier: &Rc<RefCell<Verifier>>) -> Result<(), Failure> {
    let name = name_of(path);
    let (told, of) = (Rc::clone(verifier), name.clone());
    let tell = move |damage: Damage| {
        let what = format!("{of}: {}", what_of(&damage));
        let mut verifier = told.borrow_mut();
        if damage.cut_off { verifier.note(what) } else { verifier.find(Kind::Changed, what) }
    };
    let mut lines = Lines::of(identities.open_going_on(path, Box::new(tell))?, path)?;
    verifier.borrow_mut().begin_file(&name);
    while let Some(line) = lines.next()? {
        verifier.borrow_mut().line(line);
    }
    let mut verifier = verifier.borrow_mut();
    if let Some(what) = lines.for_others() {
        verifier.find(Kind::Changed, format!("{name}: {what}"));
    }
    if lines.is_unfinished() {
        verifier.note(format!("{name}: its last batch of records is not whole: it is being written, or was cut off"));
    }
    Ok(())
}

fn text_of(report: &Report, args: &VerifyArgs) -> String {
    let mut text = String::new();
    for run in &report.runs {
        let is_of_run = |finding: &Finding| finding.run == run.origin && finding.kind != Kind::Unproved;
        text.push_str(&text_of_run(run, report.findings.iter().any(is_of_run)));
    }
    let mut rest = report.findings.as_slice();
    while let Some(first) = rest.first() {
        let alike = rest.iter().zip(0..).take_while(|(of, index)| follows_by(first, of, *index)).count();
        text.push_str(&text_of_findings(first, rest.get(..alike).unwrap_or_default()));
        rest = rest.get(alike.max(1)..).unwrap_or_default();
    }
    if report.findings_not_told > 0 {
        text.push_str(&format!("  … and {} more\n", count(report.findings_not_told)));
    }
    if !report.findings.is_empty() || report.findings_not_told > 0 {
        text.push('\n');
    }
    for note in &report.notes {
        text.push_str(&format!("note: {}\n", line(note)));
    }
    if report.notes_not_told > 0 {
        text.push_str(&format!("note: … and {} more\n", count(report.notes_not_told)));
    }
    if report.lines_not_looked_at > 0 {
        text.push_str(&format!("not looked at: {}\n", chain::report::lines(report.lines_not_looked_at)));
    }
    text.push_str(&verdict(report, args));
    text
}

fn text_of_run(run: &Run, has_findings: bool) -> String {
    let mut text = format!("{}\n", line(run.origin.as_deref().unwrap_or("a run whose beginning is not there")));
    let whose = |chain: &str| if chain == "control" { chain.to_owned() } else { format!("worker {chain}") };
    let chains = run.chains.iter().map(|(chain, lines)| format!("{}: {}", whose(chain), count(*lines)));
    let chains: Vec<_> = chains.collect();
    text.push_str(&format!(
        "  lines     {} from {}:{} to {}:{} ({})\n",
        count(run.lines),
        run.first.file,
        run.first.line,
        run.last.file,
        run.last.line,
        chains.join(", ")
    ));
    if run.lines_before > 0 {
        text.push_str(&format!(
            "  before    {} more, not in the files given\n",
            chain::report::lines(run.lines_before)
        ));
    }
    if run.lines_after > 0 {
        text.push_str(&format!(
            "  after     {} more at least, not in the files given\n",
            chain::report::lines(run.lines_after)
        ));
    }
    let ended = match run.ended {
        Ended::Stop => "with its stop line",
        Ended::Killed => "without a stop line: killed, or the machine went down",
        Ended::Rotation => "with a rotation: it goes on in another file",
        Ended::Open => "not: it still runs, or was killed",
    };
    text.push_str(&format!("  ended     {ended}\n"));
    let but = match (has_findings, run.unanchored > 0) {
        (true, _) => ", but for what is found wrong below",
        (false, true) => ", but for the unanchored lines",
        (false, false) => "",
    };
    let by = |proved: &chain::report::Proved| {
        let more = match proved.held.len() {
            0 | 1 => String::new(),
            more => format!(" and {} more", more - 1),
        };
        let place = proved.held.first().map_or("", String::as_str);
        format!("up to {}{but}\n            signed by {}, held in {place}{more}", proved.at, proved.signer)
    };
    match &run.proved_outside {
        Some(proved) => text.push_str(&format!("  proved    {}\n", by(proved))),
        None => text.push_str("  proved    nothing by a checkpoint that is held outside\n"),
    }
    if let Some(proved) =
        run.proved.as_ref().filter(|proved| run.proved_outside.as_ref().is_none_or(|of| of.size < proved.size))
    {
        text.push_str(&format!("  sealed    {} (beside the records alone)\n", by(proved)));
    }
    if run.unanchored > 0 {
        text.push_str(&format!(
            "  unanchored {}, before the first that says where everything stands or behind a gap: in no checkpoint\n",
            chain::report::lines(run.unanchored)
        ));
    }
    let at_the_end = run.unsealed - run.unanchored.min(run.unsealed);
    if at_the_end > 0 {
        text.push_str(&format!(
            "  unsealed  {} at the end: chained, in no checkpoint that counts\n",
            chain::report::lines(at_the_end)
        ));
    }
    if run.gaps {
        text.push_str(
            "  gaps      lines are missing or out of place: behind the first nothing is compared with checkpoints, up to \
             the next file\n",
        );
    }
    text.push('\n');
    text
}

/// Whether a finding says the same as `first` of the line that many lines after it.
fn follows_by(first: &Finding, other: &Finding, lines: u64) -> bool {
    let (Some(one), Some(at)) = (&first.at, &other.at) else { return lines == 0 };
    first.kind == other.kind && first.what == other.what && one.file == at.file && at.line == one.line + lines
}

/// `alike`: the finding, and those that say the same of the lines after it.
fn text_of_findings(finding: &Finding, alike: &[Finding]) -> String {
    let kind = serde_json::to_value(finding.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    let kind = kind.unwrap_or_default();
    let last = alike.get(1..).and_then(<[Finding]>::last).and_then(|last| last.at.as_ref());
    let more = last.map_or_else(String::new, |last| format!("\n      and so it is with each line up to {last}"));
    let what = line(&finding.what);
    match &finding.at {
        _ if finding.kind == Kind::Unproved => format!("UNPROVED: {what}\n"),
        Some(at) => format!("WRONG {kind}: {at}\n      {what}{more}\n"),
        None => format!("WRONG {kind}: {what}\n"),
    }
}

/// What may lie behind the findings.
fn hint(report: &Report, args: &VerifyArgs) -> String {
    let first = args.records.first().map(|first| name_of(first));
    let is_file_start =
        |finding: &Finding| finding.at.as_ref().is_some_and(|at| at.line == 1 && Some(&at.file) != first.as_ref());
    if report.runs.is_empty() && report.lines > 0 {
        return "hint: no line of it is chained: are these records of a gateway that chains them?\n".to_owned();
    }
    if !report.order.is_empty() {
        return order_hint(report);
    }
    if report.runs.iter().any(|run| run.origin.is_none()) {
        return "hint: was it filtered, or cut out? That takes lines out of the chain: verify the whole files, and filter \
                then\n"
            .to_owned();
    }
    if report.findings.iter().any(is_file_start) {
        let hint =
            "hint: it begins where a file begins: were they given in their order, oldest first, and all of them?";
        return format!("{hint}\n");
    }
    String::new()
}

/// Empty where the files came in their order, as far as is known.
fn order_hint(report: &Report) -> String {
    if report.order.is_empty() {
        return String::new();
    }
    format!("hint: the files are not in their order, oldest first; it is: {}\n", report.order.join(" "))
}

/// Nothing is wrong but that something is not proved.
fn not_proved(report: &Report, args: &VerifyArgs) -> String {
    let instead = if args.node_key.is_empty() {
        "give the gateway's key (--node-key), and the checkpoints held outside (--checkpoints)"
    } else {
        "give the key and the checkpoints of the gateway that wrote these records"
    };
    let lines = chain::report::lines(report.lines);
    let runs = match (report.findings.len(), report.runs.len()) {
        (_, 0) => String::new(),
        (1, 1) => "the run, ".to_owned(),
        (found, runs) => format!("{found} of {runs} runs, "),
    };
    format!(
        "NOT PROVED: {runs}{lines} in all, chained consistently. A chain alone proves nothing about who wrote it: anybody \
         could have.\nhint: {instead}; --unproved accepts them as they are\n"
    )
}

fn verdict(report: &Report, args: &VerifyArgs) -> String {
    let lines = chain::report::lines(report.lines);
    if !report.intact && report.findings_not_told == 0 && report.findings.iter().all(|of| of.kind == Kind::Unproved) {
        return not_proved(report, args);
    }
    if !report.intact {
        let findings = report.findings.len() as u64 + report.findings_not_told;
        let findings = if findings == 1 { "1 finding".to_owned() } else { format!("{} findings", count(findings)) };
        return format!("{}NOT INTACT: {findings} in {lines}\n", hint(report, args));
    }
    if report.runs.is_empty() {
        return "ok: no lines, nothing to prove\n".to_owned();
    }
    let unanchored: u64 = report.runs.iter().map(|run| run.unanchored).sum();
    // What was cut off is not of the run's lines, and as little vouched for.
    let unsealed = report.runs.iter().map(unsealed_outside).sum::<u64>() + report.cut_off;
    let stand =
        |lines: u64| if lines == 1 { "1 line stands".to_owned() } else { format!("{} lines stand", count(lines)) };
    let ends = format!(
        "{} at the end of runs in no checkpoint held outside: whoever could write these files could have changed such \
         lines, put them there, or taken them away.",
        stand(unsealed)
    );
    // Without --unproved, a run that nothing vouches for is the end of one that was sealed before: `ends` tells of it.
    let judged = report.runs.iter().rev().find(|run| args.unproved || run.proved.is_some());
    let known = match judged.map(|run| (&run.proved_outside, &run.proved)) {
        Some((Some(_), _)) if unsealed == 0 => {
            let all = if unanchored == 0 { "All of it is proved. " } else { "" };
            &format!(
                "{all}What cannot be known: whether lines were written after the last checkpoint held outside, and taken \
                 away again."
            )
        }
        Some((Some(_), _)) | None => &ends,
        Some((None, Some(_))) => {
            "The checkpoints beside the records match. Whoever can write there and has the gateway's key could have \
             rewritten both, or taken away the last of both: compare with checkpoints held outside (--checkpoints)."
        }
        Some((None, None)) => {
            "They are chained consistently, which proves nothing about who wrote them (--unproved): anybody could have \
             written them so."
        }
    };
    let sure = match (unsealed > 0 && judged.is_none_or(|run| run.proved.is_some()), unanchored > 0) {
        (false, false) => "",
        (true, false) => " up to the last checkpoint of each run",
        (false, true) => " behind the first line that says where everything stands",
        (true, true) => " between the first line that says where everything stands and the last checkpoint of each run",
    };
    let before = match unanchored {
        0 => String::new(),
        lines => format!(" {} before that line, and nothing vouches for what is said there.", stand(lines)),
    };
    let but = match report.runs.iter().map(|run| run.stop_again).sum::<u64>() {
        0 => String::new(),
        again => format!(", but for stop lines again, which say nothing more ({})", count(again)),
    };
    format!(
        "{}ok: {lines}, nothing removed, changed, moved or put in{sure}{but}.{before} {known}\n",
        order_hint(report)
    )
}

/// Lines at the end of a run in no checkpoint held outside.
const fn unsealed_outside(run: &Run) -> u64 {
    match &run.proved_outside {
        Some(proved) => (run.lines_before + run.lines).saturating_sub(proved.size),
        None => run.lines.saturating_sub(run.unanchored),
    }
}
