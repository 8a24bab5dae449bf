//! `adamant review`: the least privilege that the records show, and the patch that gets there.

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use super::{FOUND, Format, ReviewArgs, is_stdin, write_json};
use crate::commands::audit::Records;
use crate::commands::signing;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::lookup::{Form, Found, Lookup};
use crate::review::edit::Edit;
use crate::review::evidence::Evidence;
use crate::review::keep::Keep;
use crate::review::last_use::Remembered;
use crate::review::metrics::Metrics;
use crate::review::plan::Plan;
use crate::review::proof::{self, Proven, Written};
use crate::review::scan::{Window, scan};
use crate::review::text::Subject;
use crate::review::usage::Usage;
use crate::review::{json, text};
use crate::source;

const DAYS_DEFAULT: u64 = 30;
const NS_PER_S: u64 = 1_000_000_000;

pub fn run(args: &ReviewArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let now = signing::now()?;
    let window = args.window(now, DAYS_DEFAULT)?;
    let found = find(args)?;
    let source = (found.form == Form::Source).then(|| Path::new(found.name.as_str()));
    let keep = Keep::read(source, &args.keep, &found.policy)?;
    let mut usage = Usage::new(&found.policy)?;
    let mut evidence = Evidence::new(window);
    let identities = args.identity.load()?;
    let logs = Records { files: &args.logs, identities: &identities };
    scan(logs, &mut evidence, &mut usage)?;
    let covered = evidence.covered();
    let mut standing = evidence.standing(found.digest().as_ref());
    usage.remembered = Remembered::ask(&args.last_use, &args.access.read()?, window, covered)?;
    let judged = standing.holes.is_empty() || args.accept_holes;
    let until_s = window.until_ns / NS_PER_S;
    let mut plan = Plan::of(&usage, &keep, covered, until_s);
    standing.notes.extend(usage.remembered.notes(&plan.missed));
    standing.notes.extend(plan.notes());
    if !judged {
        plan.findings.retain(|finding| !finding.topic.needs_whole_records());
        plan.edits.clear();
    }
    let subject = Subject {
        what: format!("policy \"{}\" ({}) against its use", found.policy.name, found.name),
        exchanges: evidence.exchanges,
        covered,
        standing: &standing,
        records: &args.names(),
        accepted_holes: args.accept_holes,
    };
    let counts = (usage.refused_now, usage.not_decided);
    let patch = args.patch.as_deref().filter(|_| judged);
    let shown_edits: &[Edit] = if patch.is_none() { &plan.edits } else { &[] };
    if args.format == Format::Text {
        text::write(out, &subject, &plan.findings, shown_edits, counts)?;
        out.flush()?;
    }
    let written = patch.map(|path| write_patch(logs, &found, &plan, path, window)).transpose()?;
    let told = written.as_ref().map(|(proven, written)| (proven, written.as_ref()));
    match args.format {
        Format::Text => {
            if let Some((proven, path)) = told {
                text::write_patch(out, proven, &plan.edits, path)?;
            }
        }
        Format::Json => write_json(out, &json::review(&subject, &plan.findings, &plan.edits, told, counts))?,
    }
    let holes = standing.holes.len();
    args.write_metrics(|| Metrics::new(now.seconds(), subject.exchanges, holes).findings(&plan.findings))?;
    out.flush()?;
    match (judged, plan.findings.is_empty()) {
        (false, _) if args.patch.is_some() => {
            Err(Failure::new("these records are no ground for a patch: none was written")
                .help("what is missing is said above; --accept-holes takes them as they are"))
        }
        (false, _) => Err(Failure::outcome(1)),
        (true, false) => Err(Failure::outcome(FOUND)),
        (true, true) => Ok(()),
    }
}

/// The policy, after what cannot be done was said.
fn find(args: &ReviewArgs) -> Result<Found, Failure> {
    let given = args.policy.as_deref().unwrap_or_default();
    let lookup =
        Lookup { store: args.store_access.of(args.store.as_ref())?, access: args.access.read()?, ..Lookup::default() };
    let found = lookup.find(given)?;
    if args.patch.is_none() {
        return Ok(found);
    }
    if found.form != Form::Source {
        let fault = Failure::new(format_args!("{given}: expected a policy source to patch, found a release"));
        return Err(fault.help("give the source with --policy; records of its releases fit by their names"));
    }
    if args.logs.iter().any(|log| is_stdin(log)) {
        let fault = Failure::new("expected files for --patch, found standard input: the records are read twice");
        return Err(fault.help("write them to a file first"));
    }
    Ok(found)
}

/// The patch, and where it was written; nowhere when it is empty.
fn write_patch(
    logs: Records<'_>,
    found: &Found,
    plan: &Plan,
    path: &Path,
    window: Window,
) -> Result<(Proven, Option<Written>), Failure> {
    let source = source::read(Path::new(&found.name))?;
    if source.loaded().policy.as_ref() != Some(&found.policy) {
        return Err(Failure::new(format_args!("{}: changed while it was reviewed", found.name)).help("try again"));
    }
    let (name, elsewhere) = name_in_patch(Path::new(&found.name));
    let proven = proof::prove(&source, &name, &plan.edits, logs, window)?;
    if proven.patch.is_empty() {
        return Ok((proven, None));
    }
    files::write(path, proven.patch.as_bytes(), Access::Everyone, Existing::Replace)?;
    Ok((proven, Some(Written { path: path.to_owned(), elsewhere })))
}

/// The source as it is called from the current directory; where it stands elsewhere, its name alone, and the directory in which it
/// is called so.
fn name_in_patch(source: &Path) -> (String, Option<PathBuf>) {
    let here = std::env::current_dir().ok();
    let relative = here.and_then(|here| source.strip_prefix(here).ok()).unwrap_or(source);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain {
        let name = source.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        return (name, Some(files::parent(source).to_owned()));
    }
    let parts = relative.components().filter(|part| matches!(part, Component::Normal(_)));
    (parts.collect::<PathBuf>().display().to_string(), None)
}
