//! `adamant tune apply` and `undo`: settings are written when that is asked for, with a record by which they go back.

use std::io::Write;
use std::path::{Path, PathBuf};

use tuning::apply::{self, ApplyError, Written};
use tuning::choice;
use tuning::read::Root;
use tuning::settings::{How, Topic};

use super::{ApplyArgs, FILE_BYTES_MAX, TopicArg, UndoArgs, machine, profile, settings_for, write_settings};
use crate::config::Config;
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};

pub fn run(args: &ApplyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let machine = machine()?;
    let profile = profile(&args.wishes.profile)?;
    let wish = args.wishes.wish(&profile);
    let workers = match &args.config {
        Some(path) => Config::load(path).map_err(Failure::new)?.cores,
        None => choice::choose(&machine, &wish).map_err(Failure::new)?.workers,
    };
    let asked = |topic: Topic| {
        args.topics.iter().any(|arg| match arg {
            TopicArg::Interrupts => topic == Topic::Interrupts,
            TopicArg::Governor => topic == Topic::Governor,
            TopicArg::Kernel => topic == Topic::Kernel,
        })
    };
    let mut settings = settings_for(&machine, &workers, &wish, &profile)?;
    settings.retain(|setting| asked(setting.topic));
    let Some(record) = args.record.as_deref().filter(|_| args.yes && !args.dry_run) else {
        write_settings(out, &settings)?;
        writeln!(out, "\nNothing was written; --yes --record FILE does it.")?;
        return Ok(());
    };
    if record.exists() {
        return Err(Failure::at(record, "exists already")
            .help("choose another name: it may hold what another apply found, and is the only way back to that"));
    }
    // What ends in the middle can be undone, too: the record is there before the first file is written.
    let planned = apply::planned(&settings);
    keep(record, &planned, Existing::Refuse)?;
    let (written, failed) = apply::apply(&Root::machine(), &planned);
    keep(record, &written, Existing::Replace)?;
    for of in &written {
        writeln!(out, "/{}: {} -> {}", of.file, of.before, of.after)?;
    }
    for setting in settings.iter().filter(|setting| setting.drifts()) {
        let how = match &setting.how {
            How::File(_) => continue,
            How::Command(command) => format!("run {command}"),
            How::Elsewhere(place) => format!("set it in {place}"),
        };
        writeln!(out, "left to you: {}: {} -> {} ({how})", setting.what, setting.found, setting.wanted)?;
    }
    writeln!(out, "{} written; adamant tune undo {} puts it back", written.len(), record.display())?;
    report(&failed, "could not be set", "run it as root; some interrupts are the kernel's own")
}

fn keep(record: &Path, written: &[Written], existing: Existing) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(written).map_err(Failure::new)?;
    Ok(files::write(record, &bytes, Access::Everyone, existing)?)
}

fn report(failed: &[ApplyError], what: &str, help: &str) -> Result<(), Failure> {
    for error in failed {
        warn(error);
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(Failure::new(format_args!("{count} {what}")).help(help)),
    }
}

pub fn undo(args: &UndoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let bytes = files::read(&args.record, FILE_BYTES_MAX)?;
    let written: Vec<Written> = serde_json::from_slice(&bytes).map_err(|error| Failure::at(&args.record, error))?;
    let root = Root::machine();
    if let Some(foreign) = written.iter().find(|of| !is_ours(&root, &of.file)) {
        let message = format!("expected files that tune apply writes, below /proc and /sys, found {:?}", foreign.file);
        return Err(Failure::at(&args.record, message).help("give the file that tune apply --record wrote"));
    }
    let undone = apply::undo(&root, &written);
    match undone.unchanged {
        0 => writeln!(out, "{} put back", undone.put_back)?,
        unchanged => writeln!(out, "{} put back, {unchanged} were as before already", undone.put_back)?,
    }
    let help = "run it as root; what somebody else changed is left: write there yourself what it was before, if that is \
                still right";
    report(&undone.failed, "not put back", help)
}

/// Where the files are that settings are made by.
const PLACES: &[&str] = &["proc/irq/", "proc/sys/", "sys/class/net/", "sys/devices/system/cpu/", "sys/kernel/mm/"];

/// In one of the places, and the kernel's own whatever links lead there.
fn is_ours(root: &Root, file: &str) -> bool {
    let named = PLACES.iter().any(|place| file.starts_with(place)) && !file.split('/').any(|part| part == "..");
    // One that is not there cannot be written either, which is told by its name.
    let is_kernels = |path: PathBuf| ["proc", "sys"].iter().any(|top| path.starts_with(root.path(top)));
    named && root.path(file).canonicalize().map_or(true, is_kernels)
}
