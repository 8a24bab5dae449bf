//! Lines of a file as they come, through rotations.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::identity::{Identities, open_file};
use crate::failure::Failure;

/// How often a file is looked at again.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Every line that is there and comes, without end.
pub fn follow(
    path: &Path,
    identities: &Identities,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::at(path, format_args!("cannot be read: {error}"));
    let mut file = open_file(path)?;
    loop {
        let place = file.metadata().map(|of| (of.dev(), of.ino())).map_err(failed)?;
        let mut reader = BufReader::new(identities.over(file, path));
        let mut line = Vec::new();
        file = loop {
            reader.read_until(b'\n', &mut line).map_err(failed)?;
            if let Some(whole) = line.strip_suffix(b"\n") {
                take(whole)?;
                line.clear();
                continue;
            }
            // A line that is not whole yet stays in `line`.
            let another = std::fs::metadata(path).is_ok_and(|of| (of.dev(), of.ino()) != place);
            if another && line.is_empty() {
                break open_file(path)?;
            }
            std::thread::sleep(LOOK_INTERVAL);
        };
    }
}
