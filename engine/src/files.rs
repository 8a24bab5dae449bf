//! Files that commands read and write, and what is said of the wrong one.

use std::path::Path;

use policy::credential;
use policy_release::envelope::{Detached, Envelope, EnvelopeFault, Kind};

pub use ::files::{
    Access, Existing, FileFault, Secret, Staged, expect_free, open_regular, overwrite, parent, read, read_secret,
    read_text, stage, sync_directory, write,
};

use crate::failure::Failure;

/// Whether two names are of one file, there or not yet.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let whole = path.canonicalize();
        whole.or_else(|_| parent(path).canonicalize().map(|at| at.join(path.file_name().unwrap_or_default())))
    };
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

/// As [`read_secret`], of the file that `option` names. A path that does not exist is not shown: whoever gave the secret
/// itself in its place finds it in no log.
pub fn read_secret_of(option: &str, path: &Path, bytes_max: usize) -> Result<Secret, Failure> {
    read_secret(path, bytes_max).map_err(|fault| match fault {
        FileFault::Io { source, .. } if !path.exists() => not_there(option, &source),
        fault => fault.into(),
    })
}

/// Refuses the name of a secret's file that is not there, in the same way.
pub fn expect_there(option: &str, path: &Path) -> Result<(), Failure> {
    match path.metadata() {
        Err(source) if !path.exists() => Err(not_there(option, &source)),
        _ => Ok(()),
    }
}

fn not_there(option: &str, source: &std::io::Error) -> Failure {
    Failure::new(format_args!("the file that {option} names cannot be read: {source}"))
        .help(format_args!("{option} takes the name of a file, which is not shown here in case it is the secret"))
}

/// The envelope of one kind in the bytes of a file, with nothing verified.
pub fn envelope(path: &Path, bytes: &[u8], kind: Kind) -> Result<Envelope, Failure> {
    Envelope::parse_kind(bytes, kind).map_err(|fault| match (fault, credential::kind_of(bytes)) {
        _ if Detached::is_likely(bytes) => {
            Failure::at(path, format_args!("expected a {kind}, found a detached signature of one"))
                .help(format_args!("name the {kind} itself; where both are given, it comes first"))
        }
        (EnvelopeFault::Json(_), Some("a policy source")) if kind == Kind::Release => {
            Failure::at(path, "expected a release, found a policy source")
                .help("adamant release build makes one of it, and adamant release sign signs that")
        }
        (EnvelopeFault::Json(_), Some(other)) if other != "JSON" => {
            Failure::at(path, format_args!("expected a {kind}, found {other}; is it the right file?"))
        }
        (fault, _) => Failure::at(path, fault),
    })
}

/// What is said of a file that does not hold what was `expected`: what it holds by its look, and nothing of it.
pub fn found(bytes: &[u8], expected: &str) -> String {
    let found = credential::kind_of(bytes).unwrap_or("something else (not shown: it may be a secret)");
    format!("expected {expected}, found {found}; is it the right file?")
}
