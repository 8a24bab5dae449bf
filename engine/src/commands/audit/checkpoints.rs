//! Checkpoints from wherever they are kept: files, directories, URLs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chain::checkpoint::{CheckpointFault, open_own, split_notes};
use chain::note::Verifier;
use chain::report::Kind;
use chain::verify::Held;
use control::records::seal::beside;
use control::records::seal::http::Url;

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

/// Collects, under the keys that are trusted.
pub struct Collector<'v> {
    verifiers: &'v [Verifier],
    found: Found,
    /// Whether a place was named that is outside.
    pub looked_outside: bool,
    /// By place and signer: signed by a key that was not given.
    unsigned: BTreeMap<(String, String), u64>,
}

impl<'v> Collector<'v> {
    pub fn new(verifiers: &'v [Verifier]) -> Self {
        Self { verifiers, found: Found::default(), looked_outside: false, unsigned: BTreeMap::new() }
    }

    /// Those that stand beside record files: in nobody else's hands.
    pub fn beside(&mut self, records: &[PathBuf], outside: &[String]) -> Result<(), Failure> {
        let mut seen = Vec::new();
        for path in records {
            for candidate in [beside(path), beside(&unrotated(path))] {
                let named = outside.iter().any(|named| same_file(Path::new(named), &candidate));
                if candidate.is_file() && !seen.contains(&candidate) && !named {
                    self.file(&candidate, false)?;
                    seen.push(candidate);
                }
            }
        }
        Ok(())
    }

    /// A place that was named; it is outside unless it stands beside one of the record files.
    pub fn place(&mut self, place: &str, records: &[PathBuf], ca: Option<&Path>) -> Result<(), Failure> {
        let path = Path::new(place);
        let is_beside =
            records.iter().any(|of| same_file(&beside(of), path) || same_file(&beside(&unrotated(of)), path));
        self.looked_outside |= !is_beside;
        if place.contains("://") {
            let ca = ca.map(|ca| files::read(ca, CA_BYTES_MAX)).transpose()?;
            let wrong = |error: &dyn std::fmt::Display| Failure::new(format_args!("{place}: {error}"));
            let url = Url::parse(place, ca.as_deref()).map_err(|error| wrong(&error))?;
            let bytes = url.get().map_err(|error| wrong(&error))?;
            self.text(&String::from_utf8(bytes).map_err(|_| wrong(&"expected text, found other bytes"))?, place, true);
            return Ok(());
        }
        if path.is_dir() {
            return self.directory(path, 0);
        }
        self.file(path, !is_beside)
    }

    fn directory(&mut self, path: &Path, depth: usize) -> Result<(), Failure> {
        let read = |error: std::io::Error| Failure::at(path, format_args!("cannot be read: {error}"));
        let mut entries: Vec<_> = fs::read_dir(path).map_err(read)?.collect::<Result<_, _>>().map_err(read)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type().map_err(read)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() && depth < DEPTH_MAX {
                self.directory(&path, depth + 1)?;
            } else if kind.is_file() && (name.ends_with(".checkpoint") || name.ends_with(".checkpoints")) {
                self.file(&path, true)?;
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
                    *self.unsigned.entry((place.to_owned(), names)).or_default() += 1;
                }
                Err(error @ (CheckpointFault::Wrong(_) | CheckpointFault::NotItsOwn { .. })) => {
                    self.found.findings.push((Kind::Signature, format!("{place}: checkpoint {}: {error}", index + 1)));
                }
                // What a crash leaves of a write.
                Err(_) if index == last && !is_whole(note) => {
                    self.found.notes.push(format!("{place}: the last checkpoint was cut off"));
                }
                Err(error) => {
                    self.found.findings.push((Kind::Signature, format!("{place}: checkpoint {}: {error}", index + 1)));
                }
            }
        }
    }

    pub fn finish(mut self) -> Found {
        for ((place, names), count) in std::mem::take(&mut self.unsigned) {
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

/// Whether a note ends as one does: with a signature line.
fn is_whole(note: &str) -> bool {
    note.ends_with('\n') && note.lines().last().is_some_and(|line| line.starts_with('\u{2014}'))
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
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
