//! `adamant review --anomalies`: traffic against a baseline.

use std::io::Write;

use super::{FOUND, Format, ReviewArgs, write_json};
use crate::commands::audit::Records;
use crate::commands::signing;
use crate::failure::Failure;
use crate::review::anomalies::{compare, unjudged};
use crate::review::bounds::SILENT_HOURS_MAX;
use crate::review::evidence::{Evidence, Standing};
use crate::review::metrics::Metrics;
use crate::review::profile::{Profile, Split};
use crate::review::scan::{Window, scan};
use crate::review::text::Subject;
use crate::review::{json, text};

/// Without --since and --days: the last day against all before it.
const DAYS_DEFAULT: u64 = 1;

pub fn run(args: &ReviewArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let now = signing::now()?;
    let identities = args.identity.load()?;
    let logs = Records { files: &args.logs, identities: &identities };
    let mut standing = Standing::default();
    let (baseline, found) = if args.baseline.is_empty() {
        let window = args.window(now, DAYS_DEFAULT)?;
        let mut split = Split { at_ns: window.since_ns, ..Split::default() };
        let mut evidence = Evidence::new(Window { since_ns: 0, until_ns: window.until_ns });
        scan(logs, &mut evidence, &mut split)?;
        note(&mut standing, "", &mut evidence);
        (split.before, split.after)
    } else {
        let (mut before, mut after) = (Profile::default(), Profile::default());
        let is_window = args.since.is_some() || args.days.is_some() || args.until.is_some();
        let window = if is_window { args.window(now, DAYS_DEFAULT)? } else { Window::ALL };
        let mut evidence = Evidence::new(Window { since_ns: 0, until_ns: window.since_ns.max(u64::from(!is_window)) });
        if !is_window {
            evidence.window = Window::ALL;
        }
        scan(Records { files: &args.baseline, ..logs }, &mut evidence, &mut before)?;
        note(&mut standing, "baseline: ", &mut evidence);
        let mut evidence = Evidence::new(window);
        scan(logs, &mut evidence, &mut after)?;
        note(&mut standing, "", &mut evidence);
        (before, after)
    };
    if baseline.exchanges == 0 || found.exchanges == 0 {
        let which = if found.exchanges == 0 { "in the window" } else { "in the baseline" };
        return Err(Failure::new(format_args!("expected exchanges {which}, found none"))
            .help(
                "a window (--since, --days, --until) keeps what is younger than its begin out of the baseline: give another one, or \
                 other --baseline files",
            ));
    }
    let left_out = baseline.left_out + found.left_out;
    if left_out > 0 {
        standing.notes.push(format!("{left_out} exchanges have names beyond the bound, and are not all compared"));
    }
    let astray = baseline.astray();
    if astray > 0 {
        standing.notes.push(format!(
            "baseline: {astray} of {} exchanges are more than {SILENT_HOURS_MAX} hours away from the others, as a clock that \
             is wrong puts them: its hours are counted without them",
            baseline.exchanges
        ));
    }
    let (anomalies, unjudged) = (compare(&baseline, &found), unjudged(&baseline, &found));
    let covered = baseline.covered();
    let subject = Subject {
        what: "anomalies".to_owned(),
        exchanges: found.exchanges,
        covered: found.covered(),
        standing: &standing,
        records: &args.names(),
        accepted_holes: true,
    };
    match args.format {
        Format::Text => text::write_anomalies(out, &subject, &covered, (&anomalies, &unjudged))?,
        Format::Json => write_json(out, &json::anomalies(&subject, &covered, &anomalies, &unjudged))?,
    }
    let holes = standing.notes.iter().filter(|note| note.contains(HOLE)).count();
    args.write_metrics(|| Metrics::new(now.seconds(), found.exchanges, holes).anomalies(&anomalies, &unjudged))?;
    out.flush()?;
    if anomalies.is_empty() { Ok(()) } else { Err(Failure::outcome(FOUND)) }
}

/// What is not in the records is not unusual: holes are worth a note.
const HOLE: &str = "hole: ";

fn note(standing: &mut Standing, of: &str, evidence: &mut Evidence) {
    let since = evidence.window.since_ns;
    // A baseline is as long as it is.
    if since == 0 {
        evidence.window = Window::ALL;
    }
    let found = evidence.standing(None);
    standing.notes.extend(found.holes.into_iter().map(|hole| format!("{of}{HOLE}{hole}")));
    standing.notes.extend(found.notes.into_iter().map(|note| format!("{of}{note}")));
}
