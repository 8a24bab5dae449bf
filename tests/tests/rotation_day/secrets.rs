//! The day's secrets: what was put for the gateway to read, what callers showed, what agents made. In the evening none of them
//! stands in anything that was said or written, but in files of its owner alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tests::known::Known;

use crate::plan::SECRETS;

/// The part of a request's credential that nobody may see; none where it has none in a field.
pub fn shown(request: &str) -> Option<String> {
    let field = |name: &str| request.lines().find_map(|line| line.strip_prefix(name));
    if let Some(key) = field("X-API-Key: ") {
        return key.rsplit('_').next().map(str::to_owned);
    }
    let token = field("Authorization: ")?.split(' ').next_back()?;
    // All but the signature of a JWT says what everybody may know.
    token.rsplit('.').next().map(str::to_owned)
}

/// What was put, what was shown, and the keys of agents below `home`.
pub fn known(home: &Path, shown: impl IntoIterator<Item = String>) -> Known {
    let mut known = Known::default();
    for secret in SECRETS.lock().unwrap().iter() {
        match secret.contains("-----BEGIN") {
            true => known.key("a key that was put", secret),
            false => known.text("a secret that was put", secret.trim()),
        }
    }
    shown.into_iter().for_each(|secret| known.text("a credential that was shown", &secret));
    for path in files(home).iter().filter(|path| path.ends_with("key.pem")) {
        known.key("an agent's key", &fs::read_to_string(path).unwrap());
    }
    known
}

/// Files that rightly hold some are found to, so that the search is one.
pub fn assert_kept(home: &Path, known: &Known) {
    let mut holding = 0;
    for path in files(home) {
        let found = known.found_in(&fs::read(&path).unwrap());
        if found.is_empty() {
            continue;
        }
        holding += 1;
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!["json", "jsonl", "toml", "told"].contains(&extension.as_str()), "{found:?} in {}", path.display());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{found:?} in {}", path.display());
    }
    println!("{holding} files of their owner alone hold secrets of the day");
    assert!(holding >= 8, "{holding}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let found = entries.flat_map(|entry| match entry.file_type().unwrap() {
        kind if kind.is_dir() => files(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        // A link, or a socket.
        _ => Vec::new(),
    });
    found.collect()
}
