//! HashiCorp's own double of Consul's HTTP API (npm `@hashicorp/api-double` with the templates of
//! `@hashicorp/consul-api-double`): it answers from files, keeps nothing that is written, and moves its index with every look.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::installed::installed;
use crate::process::{eventually, free_port};

const UP_WITHIN: Duration = Duration::from_secs(120);
/// Of `GET /v1/kv/KEY`, as the package's own template for any key has it.
const ENTRY: &str = r#"${ http.method != "GET" ? "true" : typeof location.search.keys !== 'undefined' ? `["KEY"]` : `[{
    "LockIndex": 0, "Key": "KEY", "Flags": 0, "Value": "VALUE", "CreateIndex": 467034, "ModifyIndex": 467499
}]` }"#;

/// A running double; dropping it kills it.
pub struct ConsulDouble {
    child: Child,
    pub port: u16,
    /// What it answers from: a copy of the package's templates.
    files: tempfile::TempDir,
}

impl ConsulDouble {
    /// `latency_ms`: of each answer; without it a look that waits for another index is held for a minute, whatever it asks for.
    pub fn start(latency_ms: Option<u32>) -> Option<Self> {
        let has = "node_modules/@hashicorp/consul-api-double/v1/kv";
        let packages = installed("ADAMANT_CONSUL_DOUBLE", has, "tests/consul")?.join("node_modules/@hashicorp");
        let files = tempfile::tempdir().unwrap();
        copy(&packages.join("consul-api-double/v1"), &files.path().join("v1"));
        let port = free_port();
        let mut command = Command::new("node");
        let child = command
            .arg(packages.join("api-double/bin/index.js"))
            .args(["--port", &port.to_string(), "--dir"])
            .arg(files.path())
            .envs(latency_ms.map(|latency| ("CONSUL_LATENCY", latency.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node can be started");
        let double = Self { child, port, files };
        let address = ("127.0.0.1", port);
        assert!(eventually(UP_WITHIN, || std::net::TcpStream::connect(address).is_ok()), "the double does not come up");
        Some(double)
    }

    /// From now on a key that was not put is not there. Before, there is something under every key, made up.
    pub fn makes_nothing_up(&self) {
        fs::remove_file(self.files.path().join("v1/kv/_")).unwrap();
    }

    /// What stands under a key from now on.
    pub fn put(&self, key: &str, value: &[u8]) {
        let kv = self.files.path().join("v1/kv");
        let path = kv.join(key);
        let directory = path.parent().unwrap();
        fs::create_dir_all(directory).unwrap();
        // Its index and its latency are told for each directory.
        fs::copy(kv.join(".config"), directory.join(".config")).unwrap();
        let text = ENTRY.replace("KEY", key).replace("VALUE", &STANDARD.encode(value));
        fs::write(directory.join(".new"), text).unwrap();
        fs::rename(directory.join(".new"), path).unwrap();
    }
}

impl Drop for ConsulDouble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, new) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &new) } else { _ = fs::copy(path, new).unwrap() }
    }
}
