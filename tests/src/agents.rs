//! An agent's side in a test: a gateway behind mutual TLS whose CA is the built-in one, commands, and what runs on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::answer::Answer;
use crate::gateway::{self, Gateway, binary};
use crate::origin::RecordingOrigin;
use crate::policy::PolicyText;
use crate::process::{self, eventually};

/// The agent `reports-bot`.
pub const ID: &str = "spiffe://corp.example/reports";
/// For what takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// A gateway behind mutual TLS with a CA of its own.
pub struct Scene {
    pub gateway: Gateway,
    pub origin: RecordingOrigin,
}

impl Scene {
    pub fn new() -> Self {
        Self::of_agent(ID, None)
    }

    /// The same for an agent whose certificate says `named`, and of a CA elsewhere (PEM).
    pub fn of_agent(named: &str, clients: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        ok(at, "ca init ca --trust-domain corp.example --server localhost --no-passphrase");
        ok(at, "ca issue ca --server localhost --key-out server.key --out server.pem");
        let own = || fs::read_to_string(at.join("ca/ca.pem")).unwrap();
        fs::write(at.join("clients.pem"), clients.map_or_else(own, str::to_owned)).unwrap();
        let origin =
            RecordingOrigin::scripted(
                |head, _| if head.method == "POST" { Answer::echo() } else { Answer::text("the order") },
            );
        let policy = PolicyText::new()
            .setting("transport = \"mtls\"")
            .origin("origin", &[origin.address()])
            .route("orders", "GET POST", "/orders/{id}", "origin")
            .scope("orders", &["orders"])
            .client_ca("agents", "clients.pem")
            .agent(
                "reports-bot",
                &format!("{{ certificate = \"{named}\", ca = \"agents\" }}"),
                &["orders"],
                &["1000000/minute"],
            );
        let more = ["--tls-chain", "server.pem", "--tls-key", "server.key", "--client-certificates", "required"];
        let gateway = Gateway::dev_in(directory, &policy.text(), &more);
        Self { gateway, origin }
    }

    pub fn at(&self) -> &Path {
        self.gateway.directory()
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.gateway.tls_address().port())
    }

    pub fn enroll(&self, more: &str) -> String {
        let url = self.url();
        ok(self.at(), &format!("agent enroll p --agent reports-bot --gateway {url} --ca ca --spiffe {ID} {more}"))
    }
}

#[track_caller]
pub fn ok(at: &Path, line: &str) -> String {
    let (status, stdout, stderr) = run(at, line);
    assert_eq!(status, 0, "adamant {line}: {stdout}{stderr}");
    stdout
}

/// What it complains about; a complaint says what to do.
#[track_caller]
pub fn bad(at: &Path, line: &str) -> String {
    let (status, stdout, stderr) = run(at, line);
    assert_eq!(status, 1, "adamant {line}: {stdout}{stderr}");
    assert!(stderr.contains("error: ") && stderr.contains("hint: "), "{stderr}");
    stderr
}

pub fn run(at: &Path, line: &str) -> (i32, String, String) {
    let (status, stdout, stderr) = gateway::run(&line.split_whitespace().collect::<Vec<_>>(), at);
    assert!(!stderr.contains("panicked"), "adamant {line}: {stderr}");
    (status.code().unwrap(), stdout, stderr)
}

/// A command that runs on, with the lines of its standard output so far.
pub struct Running {
    pub child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Running {
    pub fn start(at: &Path, line: &str) -> Self {
        let mut command = Command::new(binary());
        command.args(line.split_whitespace());
        Self::of(at, command)
    }

    pub fn of(at: &Path, mut command: Command) -> Self {
        let mut child = command
            .current_dir(at)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (into, from) = (Arc::clone(&lines), BufReader::new(child.stdout.take().unwrap()));
        let read = move || from.lines().map_while(Result::ok).for_each(|line| into.lock().unwrap().push(line));
        Self { child, lines, reader: thread::spawn(read) }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn json(&self) -> Vec<Value> {
        self.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for so many lines that say this.
    pub fn says(&self, word: &str, count: usize) {
        let enough = || self.lines().iter().filter(|line| line.contains(word)).count() >= count;
        assert!(eventually(PATIENCE, enough), "{count} × {word} expected: {:#?}", self.lines());
    }

    /// All that it said, once it has ended.
    pub fn last_lines(&self) -> Vec<String> {
        assert!(
            eventually(PATIENCE, || self.reader.is_finished()),
            "somebody else holds its output: {:#?}",
            self.lines()
        );
        self.lines()
    }

    /// Ends it in order.
    pub fn end(mut self) -> Vec<String> {
        process::signal(self.child.id(), "TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.last_lines()
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Key and certificate as a program reads them: the link resolved once. None while there are none.
pub fn read_pair(profile: &Path) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let current = fs::canonicalize(profile.join("current")).unwrap();
    let (cert, key) = (fs::read(current.join("cert.pem")).unwrap(), fs::read(current.join("key.pem")).unwrap());
    (current, cert, key)
}

#[track_caller]
pub fn assert_fits(cert: &[u8], key: &[u8]) {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
}

/// One exchange with the proxy; the whole response as text.
pub fn through(mut stream: impl Read + Write, line: &str, fields: &str, content: &str) -> String {
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{content}",
        content.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}
