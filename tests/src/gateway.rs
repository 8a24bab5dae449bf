//! Starts the real gateway and stops it again.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::client::{self, Client, Response};
use crate::process;

/// Lines of its standard error that are shown where a test fails: what failed is to be seen beside them.
const SHOWN_LINES_MAX: usize = 30;
/// Longest wait until a gateway is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait until what a gateway said before its end is read.
const READ_OUT_WITHIN: Duration = Duration::from_secs(10);

/// Where a gateway listens: the file that `--print-addresses` writes.
#[derive(Clone, Debug, Deserialize)]
pub struct Addresses {
    pub listeners: Vec<Listener>,
    pub admin: Option<SocketAddr>,
    pub status: Option<SocketAddr>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: bool,
}

/// A running gateway; dropping it kills it.
pub struct Gateway {
    running: Running,
    command: Command,
    records_file: Option<PathBuf>,
    directory: tempfile::TempDir,
}

struct Running {
    child: Child,
    addresses: Addresses,
    stdout: Output,
    stderr: Output,
}

/// What a process has written so far, and the thread that reads it.
struct Output {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

/// The binary under test: `ADAMANT_BIN`, or the one beside the test's own profile folder.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ADAMANT_BIN") {
        return PathBuf::from(path);
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let profile = own.parent().and_then(Path::parent).expect("a test runs in target/PROFILE/deps");
    let path = profile.join("adamant");
    assert!(
        path.is_file(),
        "no gateway to test: {} does not exist; build it with `cargo build --profile checked`, or name one in ADAMANT_BIN",
        path.display()
    );
    path
}

/// Runs a command of the binary to its end: status, stdout, stderr.
pub fn run(arguments: &[&str], directory: &Path) -> (ExitStatus, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(directory)
        .env("XDG_STATE_HOME", directory.join(".state"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run adamant {arguments:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

impl Gateway {
    /// Serves a policy source with a throw-away trust root on one plain loopback listener.
    pub fn dev(policy: &str) -> Self {
        Self::dev_in(tempfile::tempdir().expect("a temporary directory"), policy, &[])
    }

    /// As [`Gateway::dev`], with more arguments, in a directory that already holds the files the policy names.
    pub fn dev_in(directory: tempfile::TempDir, policy: &str, more: &[&str]) -> Self {
        fs::write(directory.path().join("policy.toml"), policy).expect("the policy can be written");
        let mut arguments = vec!["dev", "policy.toml", "--listen", "127.0.0.1:0"];
        arguments.extend_from_slice(more);
        Self::start(directory, &arguments, None).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts `adamant ARGUMENTS… --print-addresses FILE` in `directory` and waits until it is ready; what it said
    /// where it ended instead.
    pub fn start(
        directory: tempfile::TempDir,
        arguments: &[&str],
        records_file: Option<PathBuf>,
    ) -> Result<Self, String> {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--print-addresses", "addresses.json"]).stdin(Stdio::null());
        Self::start_command(directory, command, records_file)
    }

    /// As [`Gateway::start`], with a command line, environment and standard input of one's own.
    pub fn start_command(
        directory: tempfile::TempDir,
        mut command: Command,
        records_file: Option<PathBuf>,
    ) -> Result<Self, String> {
        let running = Running::start(&mut command, directory.path())?;
        Ok(Self { running, command, records_file, directory })
    }

    /// Ends it with a signal, waits for its end, and starts it again in the same directory.
    pub fn restart(&mut self, signal: &str) {
        self.signal(signal);
        assert!(self.wait(READY_TIMEOUT).is_some(), "still there after SIG{signal}");
        self.restart_stopped();
    }

    /// Starts it again in the same directory after its end.
    pub fn restart_stopped(&mut self) {
        let started = Running::start(&mut self.command, self.directory.path());
        self.running = started.unwrap_or_else(|why| panic!("{why}"));
    }

    /// The first plain listener.
    pub fn address(&self) -> SocketAddr {
        let plain = self.running.addresses.listeners.iter().find(|listener| !listener.tls);
        plain.unwrap_or_else(|| panic!("no plain listener in {:?}", self.running.addresses)).address
    }

    /// The first TLS listener.
    pub fn tls_address(&self) -> SocketAddr {
        let tls = self.tls_addresses().first().copied();
        tls.unwrap_or_else(|| panic!("no TLS listener in {:?}", self.running.addresses))
    }

    /// All TLS listeners, as they stand in the configuration.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        let tls = self.running.addresses.listeners.iter().filter(|listener| listener.tls);
        tls.map(|listener| listener.address).collect()
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.running.addresses.admin.unwrap_or_else(|| panic!("no admin listener in {:?}", self.running.addresses))
    }

    pub fn status_address(&self) -> SocketAddr {
        self.running.addresses.status.unwrap_or_else(|| panic!("no status listener in {:?}", self.running.addresses))
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    pub fn once(&self, request: impl AsRef<[u8]>) -> Response {
        client::once(self.address(), request)
    }

    /// `GET` of a path of the admin listener.
    pub fn admin(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client::once(self.admin_address(), request)
    }

    /// A metric summed over its rows, by its name without `adamant_`; a counter's ends in `_total`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").text();
        let row = |line: &str| {
            let (found, value) = line.strip_prefix("adamant_")?.rsplit_once(' ')?;
            let is_it = found.split('{').next() == Some(name);
            is_it.then(|| value.parse::<f64>().expect("a metric has a number"))
        };
        let rows: Vec<f64> = text.lines().filter_map(row).collect();
        assert!(!rows.is_empty(), "no metric adamant_{name} in:\n{text}");
        rows.iter().sum()
    }

    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn stderr(&self) -> String {
        self.running.stderr.text()
    }

    /// Waits until standard error has `text`: a thread of its own reads it, and what is told may be shown before.
    pub fn tells(&self, text: &str) {
        let told = process::eventually(TOLD_WITHIN, || self.stderr().contains(text));
        assert!(told, "{text:?} was to be told: {}", self.stderr());
    }

    pub fn signal(&self, name: &str) {
        process::signal(self.pid(), name);
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.running.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Waits for its end, and for what it said until then.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let child = &mut self.running.child;
        let mut status = None;
        process::eventually(limit, || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        if status.is_some() {
            read_out(&[&self.running.stdout, &self.running.stderr]);
        }
        status
    }

    /// Everything it wrote as records: the lines of the record file, or of stdout, that are JSON objects.
    pub fn record_text(&self) -> String {
        match &self.records_file {
            Some(path) => fs::read_to_string(path).unwrap_or_default(),
            None => self.running.stdout.text(),
        }
    }

    /// The records of exchanges.
    pub fn records(&self) -> Vec<Value> {
        let text = self.record_text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["adamant.kind"] == "exchange").collect()
    }

    /// Lines of the rotation log about such a thing.
    pub fn refreshes(&self, of: &str) -> Vec<Value> {
        let text = self.record_text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["adamant.refresh.of"] == of).collect()
    }

    /// Waits until `count` records of exchanges are there.
    pub fn wait_for_records(&self, count: usize) -> Vec<Value> {
        let mut records = Vec::new();
        let reached = process::eventually(TOLD_WITHIN, || {
            records = self.records();
            records.len() >= count
        });
        assert!(reached, "{count} records were to be written, {} were:\n{}", records.len(), self.record_text());
        records
    }

    /// Descriptors once they no longer change for a moment.
    pub fn settled_descriptors(&self) -> usize {
        let mut last = process::descriptors(self.pid());
        process::eventually(Duration::from_secs(5), || {
            thread::sleep(Duration::from_millis(150));
            let now = process::descriptors(self.pid());
            let settled = now == last;
            last = now;
            settled
        });
        last
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.running.child.kill();
        let _ = self.running.child.wait();
        if thread::panicking() {
            let told = self.stderr();
            let lines: Vec<&str> = told.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..];
            let count = lines.len();
            eprintln!("--- stderr of the gateway, the last of {count} lines ---\n{}\n---", last.join("\n"));
        }
    }
}

impl Running {
    fn start(command: &mut Command, directory: &Path) -> Result<Self, String> {
        let ready_file = directory.join("addresses.json");
        let _ = fs::remove_file(&ready_file);
        let mut child = command
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        let until = Instant::now() + READY_TIMEOUT;
        let addresses = loop {
            let ready = fs::read_to_string(&ready_file).ok();
            if let Some(addresses) = ready.and_then(|text| serde_json::from_str::<Addresses>(&text).ok()) {
                break addresses;
            }
            let ended = child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                read_out(&[&stdout, &stderr]);
                let state = ended.map_or("was not ready in time".to_owned(), |status| format!("ended with {status}"));
                return Err(format!("{command:?} {state}:\n{}", stderr.text()));
            }
            thread::sleep(Duration::from_millis(5));
        };
        Ok(Self { child, addresses, stdout, stderr })
    }
}

impl Output {
    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn collect(source: impl Read + Send + 'static) -> Output {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    let reader = thread::spawn(move || {
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    Output { text, reader }
}

/// Once the process has ended; another one that it started may hold them for longer.
fn read_out(of: &[&Output]) {
    process::eventually(READ_OUT_WITHIN, || of.iter().all(|output| output.reader.is_finished()));
}
