//! The log of what a CA issued and revoked: JSON lines, each on disk before its certificate is handed out.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use policy_release::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bounds::{LOG_BYTES_MAX, LOG_LINE_BYTES_MAX};
use crate::fault::Fault;
use crate::files;

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    pub time: Timestamp,
    /// Lower-case hex.
    pub serial: String,
    /// The SPIFFE id, or the names of a server with commas between.
    pub name: String,
    /// Over the certificate, lower-case hex.
    pub sha256: String,
    pub until: Timestamp,
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    pub time: Timestamp,
    pub serial: String,
    pub until: Timestamp,
    pub why: String,
}

/// All lines of a log; none where there is no file yet. A last line that a crash cut off is left out: what it would have said
/// never happened.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Fault> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    // Never a part of it: what is not read could not be revoked.
    if length(path)? > LOG_BYTES_MAX {
        return Err(too_long(path));
    }
    // As bytes: a line can be cut off inside a character.
    let bytes = files::read(path, LOG_BYTES_MAX)?;
    let mut entries = Vec::new();
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match serde_json::from_slice(line.trim_ascii_end()) {
            Ok(entry) => entries.push(entry),
            Err(_) if !line.ends_with(b"\n") => {}
            Err(error) => {
                let message = format!("line {}: expected a line of this log, found {error}", number + 1);
                return Err(
                    Fault::at(path, message).help("put the log back from a copy: what it lacks cannot be revoked")
                );
            }
        }
    }
    Ok(entries)
}

/// Adds a line, whole or not at all, and has it on disk. The caller holds the CA's lock.
pub fn add<T: Serialize>(path: &Path, entry: &T) -> Result<(), Fault> {
    let line = serde_json::to_string(entry).map_err(|error| Fault::at(path, error))?;
    if path.exists() && length(path)?.saturating_add(line.len()) >= LOG_BYTES_MAX {
        return Err(too_long(path));
    }
    append(path, &line).map_err(|error| files::told(path, "written", error))
}

fn length(path: &Path) -> Result<usize, Fault> {
    let found = fs::metadata(path).map_err(|error| files::told(path, "read", error))?;
    Ok(usize::try_from(found.len()).unwrap_or(usize::MAX))
}

fn too_long(path: &Path) -> Fault {
    let message = format!("expected a log of at most {LOG_BYTES_MAX} bytes, found no room for more");
    Fault::at(path, message).help(
        "move the lines of what has expired to another file, with no command at work on this CA: \
         it needs those of what is still valid",
    )
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = File::options().create(true).read(true).append(true).mode(0o600).open(path)?;
    let (whole, torn) = last_line(&mut file)?;
    if !torn.is_empty() {
        match serde_json::from_slice::<serde_json::Value>(&torn) {
            Ok(_) => file.write_all(b"\n")?,
            Err(_) => file.set_len(whole)?,
        }
    }
    let length = file.seek(SeekFrom::End(0))?;
    let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        file.set_len(length)?;
    }
    written?;
    // Its name is to be there after a crash as well.
    if is_new { files::sync_directory(files::parent(path)) } else { Ok(()) }
}

/// The bytes up to the end of the last whole line, and what stands after it.
fn last_line(file: &mut File) -> io::Result<(u64, Vec<u8>)> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LOG_LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(LOG_LINE_BYTES_MAX).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == 0 && from > 0 {
        return Err(io::Error::other("expected lines, found none at its end"));
    }
    let torn = tail.split_off(whole);
    Ok((length - torn.len() as u64, torn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(serial: &str) -> Revoked {
        let time = crate::clock::shown(7);
        Revoked { time, serial: serial.to_owned(), until: time, why: "test".to_owned() }
    }

    fn serials(path: &Path) -> Vec<String> {
        read::<Revoked>(path).unwrap().into_iter().map(|entry| entry.serial).collect()
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_left_out_and_the_next_one_stands_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert!(serials(&path).is_empty());
        add(&path, &entry("01")).unwrap();
        add(&path, &entry("02")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let second = text.find('\n').unwrap() + 1;
        for cut in second + 1..text.len() - 1 {
            fs::write(&path, &text[..cut]).unwrap();
            assert_eq!(serials(&path), ["01"], "cut at {cut}");
            add(&path, &entry("03")).unwrap();
            assert_eq!(serials(&path), ["01", "03"], "cut at {cut}");
        }
        // Only its end is missing: it is one.
        fs::write(&path, &text[..text.len() - 1]).unwrap();
        assert_eq!(serials(&path), ["01", "02"]);
        add(&path, &entry("03")).unwrap();
        assert_eq!(serials(&path), ["01", "02", "03"]);
        // In the middle it is no crash's.
        fs::write(&path, format!("{}\n{text}", &text[..9])).unwrap();
        assert!(read::<Revoked>(&path).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_line_may_be_cut_off_inside_a_character() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        add(&path, &entry("01")).unwrap();
        let whole = fs::read(&path).unwrap();
        add(&path, &Revoked { why: "stolen in Zürich".to_owned(), ..entry("02") }).unwrap();
        let bytes = fs::read(&path).unwrap();
        let inside = bytes.iter().position(|byte| *byte > 0x7f).unwrap() + 1;
        fs::write(&path, &bytes[..inside]).unwrap();
        assert_eq!(serials(&path), ["01"]);
        add(&path, &entry("03")).unwrap();
        assert_eq!(serials(&path), ["01", "03"]);
        // In the middle it is no crash's.
        fs::write(&path, [&bytes[..inside], b"\n", &whole].concat()).unwrap();
        assert!(read::<Revoked>(&path).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_log_is_read_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        File::create(&path).unwrap().set_len(LOG_BYTES_MAX as u64 + 1).unwrap();
        let told = read::<Revoked>(&path).unwrap_err();
        assert!(told.to_string().contains("no room") && told.hint().is_some(), "{told}");
        assert!(add(&path, &entry("01")).unwrap_err().to_string().contains("no room"));
    }
}
