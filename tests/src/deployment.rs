//! A whole deployment as an operator makes it: keys, a signed release, `gateway.toml`, `adamant run`. The spelling of
//! `gateway.toml` and of the release commands stands here alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::certificates::Identity;
use crate::gateway::{self, Gateway};

/// File of the records in the deployment's directory.
pub const RECORDS_FILE: &str = "records.jsonl";

/// When trust root and release end.
const END: &str = "2100-01-01T00:00:00Z";

/// What a deployment is made of; start from [`Deployment::new`] and add.
pub struct Deployment {
    directory: tempfile::TempDir,
    listeners: String,
    more: String,
    gateway: String,
    cores: String,
    records: String,
}

/// Tests read in `/proc` what the gateway holds: that takes root, or a process that may leave a core dump.
fn readable() -> &'static str {
    let is_root = fs::metadata("/proc/self").expect("/proc is mounted").uid() == 0;
    if is_root { "" } else { "core_dumps = true\n" }
}

impl Deployment {
    /// One plain loopback listener, an admin listener, records in a file, one worker on core 0.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            listeners: "\n[[listener]]\naddress = \"127.0.0.1:0\"\n".into(),
            more: String::new(),
            gateway: readable().into(),
            cores: "[0]".into(),
            records: String::new(),
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file of the deployment can be written");
        let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
        self
    }

    /// Workers on these cores, such as `[0, 1]`.
    pub fn cores(mut self, cores: &str) -> Self {
        self.cores = cores.into();
        self
    }

    /// More lines of the table `[gateway]`, such as `core_dumps = true`.
    pub fn gateway(mut self, lines: &str) -> Self {
        self.gateway = format!("{lines}\n");
        self
    }

    /// More lines of the table `[records]`, such as `ring_bytes = "128KiB"`.
    pub fn records(mut self, lines: &str) -> Self {
        self.records = format!("{lines}\n");
        self
    }

    /// One more listener, as the lines of its table.
    pub fn listener(mut self, lines: &str) -> Self {
        self.listeners.push_str(&format!("\n[[listener]]\n{lines}\n"));
        self
    }

    /// Replaces the plain loopback listener.
    pub fn only_listener(mut self, lines: &str) -> Self {
        self.listeners = format!("\n[[listener]]\n{lines}\n");
        self
    }

    /// A TLS listener with this certificate; `client` is `off`, `optional` or `required`.
    pub fn tls_listener(self, server: &Identity, client: &str) -> Self {
        self.file("server.pem", &server.certificate).file("server.key", &server.key).listener(&format!(
            "address = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ chain = \"server.pem\", key = \"server.key\" }}], \
             client_certificates = \"{client}\" }}"
        ))
    }

    /// More tables of `gateway.toml`.
    pub fn with(mut self, text: &str) -> Self {
        self.more.push_str(&format!("\n{text}\n"));
        self
    }

    /// Builds and signs the release of `policy`, writes `gateway.toml`, and starts the gateway; what it said where it
    /// refused.
    pub fn try_run(self, policy: &str) -> Result<Gateway, String> {
        let deployment = self.prepare(policy);
        let records = deployment.directory.path().join(RECORDS_FILE);
        Gateway::start(deployment.directory, &["run", "gateway.toml"], Some(records))
    }

    /// Starts what was prepared by a command line of one's own.
    pub fn start(self, command: Command) -> Result<Gateway, String> {
        let records = self.directory.path().join(RECORDS_FILE);
        Gateway::start_command(self.directory, command, Some(records))
    }

    pub fn run(self, policy: &str) -> Gateway {
        self.try_run(policy).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Everything but the start.
    pub fn prepare(self, policy: &str) -> Self {
        let path = self.directory.path().to_owned();
        let deployment = self.file("policy.toml", policy);
        for arguments in [
            &["key", "signer", "--out", "signer.key", "--no-passphrase"][..],
            &[
                "trust",
                "init",
                "--key",
                "tester=signer.key",
                "--threshold",
                "1",
                "--expires",
                END,
                "--out",
                "root.json",
            ],
            &["trust", "sign", "root.json", "--key", "signer.key"],
            &["release", "build", "policy.toml", "--version", "1", "--expires", END, "--out", "release.json"],
            &["release", "sign", "release.json", "--key", "signer.key"],
        ] {
            let (status, stdout, stderr) = gateway::run(arguments, &path);
            assert!(status.success(), "adamant {} ended with {status}: {stdout}{stderr}", arguments.join(" "));
        }
        fs::write(path.join("gateway.toml"), deployment.gateway_toml()).expect("gateway.toml can be written");
        deployment
    }

    fn gateway_toml(&self) -> String {
        format!(
            "[gateway]\npolicy = \"tests\"\nrelease = \"release.json\"\ntrust_root = \"root.json\"\nstate = \
             \"state\"\n{}\n[workers]\ncores = {}\n\n[admin]\naddress = \"127.0.0.1:0\"\n\n[records]\nto = \
             \"{RECORDS_FILE}\"\n{}{}{}",
            self.gateway, self.cores, self.records, self.listeners, self.more
        )
    }
}

impl Default for Deployment {
    fn default() -> Self {
        Self::new()
    }
}
