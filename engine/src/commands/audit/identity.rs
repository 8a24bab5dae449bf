//! `--identity`: reads records that are encrypted, as those that are not.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age_format::Identity;
use clap::Args;
use control::at_rest;
use control::records::encrypted::{Damage, Decrypting};

use super::lines::name_of;
use crate::config::credential_or_path;
use crate::failure::{Failure, warn};
use crate::files;

#[derive(Debug, Default, Args)]
pub struct IdentityArgs {
    /// Reads encrypted records: the file with the age identity that they are encrypted to, or credential:NAME. May be
    /// given several times.
    #[arg(long = "identity", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Identities that were given; without any, encrypted records are refused.
#[derive(Clone, Debug)]
pub struct Identities(Arc<[Identity]>);

impl Default for Identities {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

/// Record files, and with what they are read.
#[derive(Clone, Copy, Debug)]
pub struct Records<'r> {
    pub files: &'r [PathBuf],
    pub identities: &'r Identities,
}

/// A record file, or standard input, decrypted on the way.
pub type Opened = Decrypting<Box<dyn Read>>;

#[cfg(test)]
impl<'r> Records<'r> {
    /// None of them encrypted.
    pub fn plain(files: &'r [PathBuf]) -> Self {
        static NONE: std::sync::LazyLock<Identities> = std::sync::LazyLock::new(Identities::default);
        Self { files, identities: &NONE }
    }
}

impl IdentityArgs {
    pub fn load(&self) -> Result<Identities, Failure> {
        let mut all = Vec::new();
        for file in &self.files {
            let path = credential_or_path(file).map_err(|(message, hint)| Failure::new(message).help(hint))?;
            files::expect_there("--identity", &path)?;
            all.extend(at_rest::identities(&path).map_err(Failure::new)?);
        }
        Ok(Identities(all.into()))
    }
}

impl Identities {
    /// Opens a record file, or standard input for `-`. A batch that is damaged is warned about.
    pub fn open(&self, path: &Path) -> Result<Opened, Failure> {
        let name = name_of(path);
        self.open_telling(path, Box::new(move |damage| warn(format_args!("{name}: {}", what_of(&damage)))))
    }

    /// The same, telling `tell` of damage.
    pub fn open_telling(&self, path: &Path, tell: Box<dyn FnMut(Damage)>) -> Result<Opened, Failure> {
        let from: Box<dyn Read> =
            if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(open_file(path)?) };
        Ok(Decrypting::new(from, Arc::clone(&self.0), tell))
    }

    /// The same, going on behind batches that are encrypted to others too.
    pub fn open_going_on(&self, path: &Path, tell: Box<dyn FnMut(Damage)>) -> Result<Opened, Failure> {
        Ok(self.open_telling(path, tell)?.going_on())
    }

    /// A file that is open, read from where it stands.
    pub fn over(&self, file: File, path: &Path) -> Opened {
        let name = name_of(path);
        let tell = Box::new(move |damage| warn(format_args!("{name}: {}", what_of(&damage))));
        Decrypting::new(Box::new(file), Arc::clone(&self.0), tell)
    }
}

/// One sentence about a batch that is passed over.
pub fn what_of(damage: &Damage) -> String {
    let at = damage.at;
    if damage.cut_off {
        format!("the batch of records at byte {at} was cut off, as by a kill or a full disk: its lines are not there")
    } else {
        format!(
            "the batch of records at byte {at}, or the line before it that says to whom, was changed: it is not what was written"
        )
    }
}

/// Opens a regular file; a pipe would be waited on.
pub fn open_file(path: &Path) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::at(path, format_args!("cannot be read: {error}"));
    if let Some((file, _)) = files::open_regular(path).map_err(failed)? {
        return Ok(file);
    }
    if path.is_dir() {
        return Err(Failure::at(path, "expected a file with records, found a directory")
            .help("name its files in their order, oldest first"));
    }
    Err(Failure::at(path, "expected a file with records, found a pipe, socket or device")
        .help("give - in its place, and the records to standard input"))
}
