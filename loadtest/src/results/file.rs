//! Reading and writing the file of a run.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;

use super::{FORMAT, Results};

/// Largest file that is read. A full run writes a few MiB.
pub const BYTES_MAX: u64 = 256 << 20;

/// Why a file of results cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{place}: expected results of `loadtest compare` or `loadtest overhead --out`, found {source}")]
    NotResults { place: String, source: serde_json::Error },
    #[error(
        "{place}: expected results of format {FORMAT}, found format {found}: this file was written by another version \
         of loadtest; read it with that one, or measure again"
    )]
    Format { place: String, found: u64 },
    #[error("{place}: expected at most {BYTES_MAX} bytes, found more: this is no file of results")]
    TooLong { place: String },
}

#[derive(Deserialize)]
struct Version {
    format: u64,
}

/// Reads results; `place` stands in messages.
pub fn read(path: &Path) -> Result<Results, Fault> {
    let place = path.display().to_string();
    let failed = |source| Fault::Io { what: format!("reading {place}"), source };
    let mut text = Vec::new();
    fs::File::open(path).map_err(failed)?.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(Fault::TooLong { place });
    }
    parse(&text, &place)
}

/// The results that `text` (JSON) holds.
pub fn parse(text: &[u8], place: &str) -> Result<Results, Fault> {
    let not_results = |source| Fault::NotResults { place: place.to_owned(), source };
    let version: Version = serde_json::from_slice(text).map_err(not_results)?;
    if version.format != u64::from(FORMAT) {
        return Err(Fault::Format { place: place.to_owned(), found: version.format });
    }
    serde_json::from_slice(text).map_err(not_results)
}

/// Writes results, whole or not at all: into a file beside it that then takes its name.
pub fn write(path: &Path, results: &Results) -> Result<(), Fault> {
    let text =
        serde_json::to_vec_pretty(results).map_err(|source| Fault::NotResults { place: "own".into(), source })?;
    replace(path, &text)
}

/// Puts `bytes` in the place of the file at `path`, whole or not at all.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let failed = |source| Fault::Io { what: format!("writing {}", path.display()), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".loadtest-")
        .permissions(Permissions::from_mode(0o644)) // lessened by the umask, as for any file that a command writes
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
