//! A directory in which commands are run, as an operator or several would.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::gateway::binary;

/// When what is signed here ends, unless a test says otherwise.
pub const END: &str = "2100-01-01T00:00:00Z";

/// A directory of its own for each test.
pub struct Desk {
    directory: tempfile::TempDir,
    state: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Desk {
    pub fn new() -> Self {
        let made = || tempfile::tempdir().expect("a temporary directory");
        Self { directory: made(), state: made(), environment: Vec::new() }
    }

    /// A variable that every command sees from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    /// Every file below the directory `name` with its content, in order: to show that nothing was changed.
    pub fn all(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut folders) = (Vec::new(), vec![self.path(name)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    found.push((path.clone(), fs::read(&path).unwrap_or_default()));
                }
            }
        }
        found.sort();
        found
    }

    /// A command that would run in this directory, for tests that run several at once.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(binary());
        command.args(line.split(' ').filter(|word| !word.is_empty())).current_dir(self.directory());
        for name in ["BAO_TOKEN", "VAULT_TOKEN", "BAO_CACERT", "VAULT_CACERT", "BAO_NAMESPACE", "VAULT_NAMESPACE"] {
            command.env_remove(name);
        }
        command.env("XDG_STATE_HOME", self.state.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// Runs a command line (words without spaces): status, standard output, standard error.
    pub fn run(&self, line: &str) -> (i32, String, String) {
        let output = self.command(line).output().unwrap_or_else(|error| panic!("cannot run adamant {line}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let code = output.status.code().unwrap_or_else(|| panic!("adamant {line} was killed: {}", output.status));
        assert!(!stderr.contains("panicked"), "adamant {line}: {stderr}");
        (code, stdout, stderr)
    }

    /// What it says where it succeeds: standard output, then standard error.
    pub fn good(&self, line: &str) -> String {
        let (code, stdout, stderr) = self.run(line);
        assert_eq!(code, 0, "adamant {line}: {stdout}{stderr}");
        stdout + &stderr
    }

    /// What it complains about where it must end with 1; a complaint always says what to do or what was expected.
    pub fn bad(&self, line: &str) -> String {
        let (code, stdout, stderr) = self.run(line);
        assert_eq!(code, 1, "adamant {line}: {stdout}{stderr}");
        assert!(stderr.contains("error: "), "adamant {line}: {stderr}");
        stderr
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Signing keys without passphrases: `NAME.key`, and the public half in `NAME.pub`.
    pub fn keys(&self, names: &[&str]) {
        for name in names {
            self.good(&format!("key signer --out {name}.key --no-passphrase"));
            let (_, public, _) = self.run(&format!("key public {name}.key"));
            self.write(&format!("{name}.pub"), public);
        }
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

/// Stops the test unless all `parts` are in what was said.
pub fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in what was said:\n{said}");
    }
}
