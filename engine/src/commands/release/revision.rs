//! The git revision of some files, and whether they are as it has them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use policy_release::provenance::Revision;

/// The revision of the work tree that `directory` lies in; none if it lies in none, or git is not installed.
pub fn of(directory: &Path, files: &[&Path]) -> Option<Revision> {
    let found = git(directory, &["rev-parse", "--verify", "HEAD"], &[]).filter(|found| found.status.success())?;
    let revision = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let absolute: Vec<_> = files.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let paths: Vec<&Path> = absolute.iter().map(std::path::PathBuf::as_path).collect();
    // Ignored and untracked files are in no revision.
    let status = git(directory, &["status", "--porcelain", "--ignored", "--untracked-files=all", "--"], &paths);
    // A file outside of the work tree, which git complains about, is in no revision either.
    let clean = status.is_some_and(|status| status.status.success() && status.stdout.is_empty());
    Some(Revision { revision, dirty: !clean })
}

fn git(directory: &Path, arguments: &[&str], paths: &[&Path]) -> Option<Output> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments).args(paths).stdin(Stdio::null());
    command.output().ok()
}
