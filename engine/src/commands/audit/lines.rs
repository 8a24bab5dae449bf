//! Lines of record files, one after the other: streamed, each of bounded length.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;

use super::identity::{Opened, Records};
use crate::failure::Failure;

/// Bytes of one line: far more than any record has.
const LINE_BYTES_MAX: usize = 4 << 20;
const BUFFER_BYTES: usize = 1 << 20;

/// An open record file, or standard input for `-`.
pub struct Lines {
    name: String,
    reader: BufReader<Opened>,
    line: Vec<u8>,
}

/// Whether a line is one that a gateway wrote, by its look. What is none is never shown: it may be of a file with secrets that
/// was named by mistake.
pub fn is_record(line: &Value) -> bool {
    ["time", "adamant.kind"].iter().all(|name| line.get(name).is_some_and(Value::is_string))
}

/// What to do where a file that should hold records has none.
pub const RECORD_FILES: &str = "name the files that [records] to of gateway.toml names, or what they were rotated to";

/// How a file is called in what is told.
pub fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

impl Lines {
    pub fn of(opened: Opened, path: &Path) -> Result<Self, Failure> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, opened);
        let name = name_of(path);
        let start = reader.fill_buf().map_err(|error| Failure::new(format_args!("{name}: cannot be read: {error}")))?;
        if start.starts_with(&[0x1f, 0x8b]) {
            return Err(Failure::at(path, "expected records, found gzip")
                .help(format_args!("pipe it in: zcat {} | adamant audit … -", path.display())));
        }
        Ok(Self { name, reader, line: Vec::new() })
    }

    /// Whether the file ends in the middle of an encrypted batch.
    pub fn is_unfinished(&self) -> bool {
        self.reader.get_ref().is_unfinished()
    }

    /// What cannot be read as it is encrypted to others.
    pub fn for_others(&self) -> Option<String> {
        self.reader.get_ref().for_others()
    }

    /// The next line, without its newline.
    pub fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line);
        let count = read.map_err(|error| Failure::new(format_args!("{}: cannot be read: {error}", self.name)))?;
        if count > LINE_BYTES_MAX {
            let message =
                format!("{}: expected lines of at most {LINE_BYTES_MAX} bytes, found a longer one", self.name);
            return Err(Failure::new(message).help("is it a file of records?"));
        }
        if count == 0 {
            return Ok(None);
        }
        Ok(Some(self.line.strip_suffix(b"\n").unwrap_or(&self.line)))
    }
}

/// Every line of every file.
pub fn each(records: Records<'_>, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    for file in records.files {
        let mut lines = Lines::of(records.identities.open(file)?, file)?;
        while let Some(line) = lines.next()? {
            take(line)?;
        }
    }
    Ok(())
}
