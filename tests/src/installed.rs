//! Packages of others that scripts of this folder install.

use std::path::PathBuf;

/// Where packages of others are that `script` installs: in `variable`, or beside the test's profile folder. None, and said so,
/// where there are none; a variable that leads nowhere is a fault.
pub fn installed(variable: &str, has: &str, script: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        assert!(path.join(has).exists(), "{variable}={} holds no {has}", path.display());
        return Some(path);
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let target = own.ancestors().nth(3).expect("a test runs in target/PROFILE/deps");
    let found =
        std::fs::read_dir(target).ok()?.flatten().map(|entry| entry.path()).find(|path| path.join(has).exists());
    if found.is_none() {
        eprintln!("SKIPPED: no {has} to test with; {script} installs it");
    }
    found
}
