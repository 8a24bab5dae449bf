//! The gateway under test: starts the binary, waits until it listens, stops it.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::failure::Failure;
use crate::measure;

const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A running gateway; dropping it kills it.
pub struct Subject {
    child: Child,
    pub addresses: Vec<SocketAddr>,
    _directory: tempfile::TempDir,
}

#[derive(Deserialize)]
struct Addresses {
    listeners: Vec<Listener>,
}

#[derive(Deserialize)]
struct Listener {
    address: SocketAddr,
}

/// Files of a deployment: name and text.
pub type Files<'f> = &'f [(&'f str, &'f str)];

/// The binary beside this one.
pub fn sibling() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("own path"))?;
    let path = own.with_file_name("adamant");
    if path.is_file() {
        return Ok(path);
    }
    let hint =
        format!("no gateway at {}: build it with `cargo build --release`, or name one with --adamant", path.display());
    Err(Failure::Subject(hint))
}

impl Subject {
    /// Serves `policy.toml` among `files` on one loopback listener, all threads on `core`; `more` arguments for
    /// `adamant dev`, such as those for TLS.
    pub fn dev(binary: &Path, core: usize, files: Files<'_>, more: &[&str]) -> Result<Self, Failure> {
        let directory = write(files)?;
        let cores = core.to_string();
        let mut arguments = vec!["dev", "policy.toml", "--listen", "127.0.0.1:0", "--cores", &cores];
        arguments.extend_from_slice(more);
        Self::start(binary, core, directory, &arguments)
    }

    fn start(binary: &Path, core: usize, directory: tempfile::TempDir, arguments: &[&str]) -> Result<Self, Failure> {
        let stderr = fs::File::create(directory.path().join("stderr")).map_err(Failure::io("stderr of the gateway"))?;
        let mut child = measure::on_core(core, || {
            Command::new(binary)
                .args(arguments)
                .args(["--print-addresses", "addresses.json"])
                .current_dir(directory.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(stderr)
                .spawn()
                .map_err(Failure::io(format!("starting {}", binary.display())))
        })?;
        let until = Instant::now() + READY_TIMEOUT;
        let ready = directory.path().join("addresses.json");
        loop {
            let text = fs::read_to_string(&ready).ok();
            if let Some(found) = text.and_then(|text| serde_json::from_str::<Addresses>(&text).ok()) {
                let addresses = found.listeners.into_iter().map(|listener| listener.address).collect();
                return Ok(Self { child, addresses, _directory: directory });
            }
            let ended = child.try_wait().map_err(Failure::io("waiting for the gateway"))?;
            if ended.is_some() || Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read_to_string(directory.path().join("stderr")).unwrap_or_default();
                return Err(Failure::Subject(format!("adamant {} is not ready: {said}", arguments.join(" "))));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> Result<SocketAddr, Failure> {
        self.addresses.first().copied().ok_or_else(|| Failure::Subject("the gateway has no listener".into()))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the files into a new directory, each readable by its owner alone: some are keys.
fn write(files: Files<'_>) -> Result<tempfile::TempDir, Failure> {
    let directory = tempfile::tempdir().map_err(Failure::io("a temporary directory"))?;
    for (name, text) in files {
        let path = directory.path().join(name);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Failure::io(*name))?;
    }
    Ok(directory)
}
