//! Checkpoints from wherever they are kept: files, directories, URLs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chain::checkpoint::{CheckpointFault, open_own, split_notes, whole_notes};
use chain::note::Verifier;
use chain::report::Kind;
use chain::verify::Held;
use control::records::seal::beside;
use control::records::seal::witness::Witness;

use crate::commands::signing::plural;
use crate::failure::Failure;
use crate::files;

/// Bytes of one file with checkpoints: years of one gateway.
const FILE_BYTES_MAX: usize = 1 << 30;
/// Directories inside one another.
const DEPTH_MAX: usize = 4;
const CA_BYTES_MAX: usize = 1 << 20;

/// What was found, and what is wrong with it.
#[derive(Default)]
pub struct Found {
    pub held: Vec<Held>,
    pub findings: Vec<(Kind, String)>,
    pub notes: Vec<String>,
}

/// Device and inode: what a file is, by whatever name or link.
type FileId = (u64, u64);

/// Collects, under the keys that are trusted.
pub struct Collector<'v> {
    verifiers: &'v [Verifier],
    found: Found,
    /// Whether a place was named that is outside.
    pub looked_outside: bool,
    /// Beside the record files.
    beside: Vec<(PathBuf, FileId)>,
    /// Beside these and the other record files in their directories.
    not_outside: HashSet<FileId>,
    /// Directories of the record files.
    homes: HashSet<FileId>,
    /// What was read as standing beside the records.
    seen: HashSet<FileId>,
    /// By signer and place: signed by a key that was not given.
    unsigned: BTreeMap<String, BTreeMap<String, u64>>,
}

impl<'v> Collector<'v> {
    pub fn new(verifiers: &'v [Verifier], records: &[PathBuf]) -> Self {
        let candidates = records.iter().flat_map(|path| [beside(path), beside(&unrotated(path))]);
        let beside = candidates.filter(|path| path.is_file()).filter_map(|path| Some((path.clone(), id_of(&path)?)));
        let beside: Vec<_> = beside.collect();
        let homes: BTreeSet<PathBuf> = records.iter().map(|path| home_of(path)).collect();
        let others = homes.iter().flat_map(|home| beside_any(home));
        Self {
            verifiers,
            found: Found::default(),
            looked_outside: false,
            not_outside: beside.iter().map(|(_, id)| *id).chain(others).collect(),
            beside,
            homes: homes.iter().filter_map(|home| id_of(home)).collect(),
            seen: HashSet::new(),
            unsigned: BTreeMap::new(),
        }
    }

    /// Those that stand beside record files: in nobody else's hands. After the places that were named.
    pub fn beside(&mut self) -> Result<(), Failure> {
        for (path, id) in std::mem::take(&mut self.beside) {
            if self.seen.insert(id) {
                self.file(&path, false)?;
            }
        }
        Ok(())
    }

    /// A place that was named; it is outside unless it stands beside one of the record files.
    pub fn place(&mut self, place: &str, ca: Option<&Path>) -> Result<(), Failure> {
        let path = Path::new(place);
        if self.is_beside(path) {
            return self.not_outside(path);
        }
        self.looked_outside = true;
        if place.contains("://") {
            let ca = ca.map(|ca| files::read(ca, CA_BYTES_MAX)).transpose()?;
            let wrong = |error: &dyn std::fmt::Display| Failure::new(format_args!("{place}: {error}"));
            let witness = Witness::parse(place, ca.as_deref()).map_err(|error| wrong(&error))?;
            let bytes = witness.get().map_err(|error| wrong(&error))?;
            self.text(&String::from_utf8(bytes).map_err(|_| wrong(&"expected text, found other bytes"))?, place, true);
            return Ok(());
        }
        if path.is_dir() {
            return self.directory(path, 0);
        }
        self.file(path, true)
    }

    /// Whether it is what stands beside a record file.
    fn is_beside(&self, path: &Path) -> bool {
        id_of(path).is_some_and(|id| self.not_outside.contains(&id))
    }

    /// Reads what was named, or found in a place that was, and is none that is outside.
    fn not_outside(&mut self, path: &Path) -> Result<(), Failure> {
        if id_of(path).is_some_and(|id| !self.seen.insert(id)) {
            return Ok(());
        }
        let name = path.display();
        self.found
            .notes
            .push(format!("{name} stands beside the records: its checkpoints do not count as held outside"));
        self.file(path, false)
    }

    fn directory(&mut self, path: &Path, depth: usize) -> Result<(), Failure> {
        let read = |error: std::io::Error| Failure::at(path, format_args!("cannot be read: {error}"));
        let mut entries: Vec<_> = fs::read_dir(path).map_err(read)?.collect::<Result<_, _>>().map_err(read)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let is_home = id_of(path).is_some_and(|id| self.homes.contains(&id));
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type().map_err(read)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() && depth < DEPTH_MAX {
                self.directory(&path, depth + 1)?;
            } else if kind.is_file() && (name.ends_with(".checkpoint") || name.ends_with(".checkpoints")) {
                // In the directory of the records, those of any record file that stands there, or did.
                if self.is_beside(&path) || is_home && name.ends_with(".checkpoints") {
                    self.not_outside(&path)?;
                } else {
                    self.file(&path, true)?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, outside: bool) -> Result<(), Failure> {
        let bytes = files::read(path, FILE_BYTES_MAX)?;
        let name = path.display().to_string();
        match String::from_utf8(bytes) {
            Ok(text) => self.text(&text, &name, outside),
            Err(_) => {
                self.found.findings.push((Kind::Signature, format!("{name}: expected checkpoints, found no text")))
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str, place: &str, outside: bool) {
        let notes = split_notes(text);
        let last = notes.len().saturating_sub(1);
        for (index, note) in notes.into_iter().enumerate() {
            match open_own(note, self.verifiers) {
                Ok((checkpoint, signer)) => {
                    let (signer, place) = (signer.name().to_owned(), place.to_owned());
                    self.found.held.push(Held { checkpoint, signer, place, outside });
                }
                Err(CheckpointFault::Unsigned(names)) => {
                    *self.unsigned.entry(names).or_default().entry(place.to_owned()).or_default() += 1;
                }
                Err(error @ (CheckpointFault::Wrong(_) | CheckpointFault::NotItsOwn { .. })) => {
                    self.found.findings.push((Kind::Signature, format!("{place}: checkpoint {}: {error}", index + 1)));
                }
                // What a crash leaves of a write.
                Err(_) if index == last && whole_notes(note.as_bytes()) < note.len() => {
                    self.found.notes.push(format!("{place}: the last checkpoint was cut off"));
                }
                Err(error) => {
                    self.found.findings.push((Kind::Signature, format!("{place}: checkpoint {}: {error}", index + 1)));
                }
            }
        }
    }

    pub fn finish(mut self) -> Found {
        for (names, places) in std::mem::take(&mut self.unsigned) {
            let count: u64 = places.values().sum();
            let place = match (places.keys().next(), places.len()) {
                (Some(place), 1) => place.clone(),
                (place, places) => {
                    format!(
                        "{} and {} more",
                        place.map_or("", String::as_str),
                        plural(places.saturating_sub(1), "place")
                    )
                }
            };
            let checkpoints = if count == 1 { "1 checkpoint".to_owned() } else { format!("{count} checkpoints") };
            let counts = if count == 1 { "counts" } else { "count" };
            let why = if self.verifiers.is_empty() {
                format!("{counts} for nothing without --node-key")
            } else {
                format!("{counts} for nothing: signed by {names}, which is not among the keys given")
            };
            self.found.notes.push(format!("{place}: {checkpoints} {why}"));
        }
        self.found
    }
}

fn id_of(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|of| (of.dev(), of.ino()))
}

/// What stands beside any record file in a directory.
fn beside_any(home: &Path) -> Vec<FileId> {
    let entries = fs::read_dir(home).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_beside =
        |path: &PathBuf| path.extension().is_some_and(|of| of == "checkpoints") && path.with_extension("").is_file();
    entries.filter(is_beside).filter_map(|path| id_of(&path)).collect()
}

/// The directory in which a file stands.
fn home_of(path: &Path) -> PathBuf {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// The name before a rotation: `records.jsonl.2`, `records.jsonl-20261121` → `records.jsonl`.
fn unrotated(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let base =
        name.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix(['.', '-']).filter(|base| !base.is_empty());
    base.map_or_else(|| path.to_owned(), |base| path.with_file_name(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_before_a_rotation() {
        for (rotated, name) in
            [("a/r.jsonl.2", "a/r.jsonl"), ("r.jsonl-20261121", "r.jsonl"), ("r.jsonl", "r.jsonl"), ("-", "-")]
        {
            assert_eq!(unrotated(Path::new(rotated)), Path::new(name));
        }
    }
}
