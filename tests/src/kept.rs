//! Real servers that keep what they have over a restart: etcd, and OpenBao on a storage of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::certificates::Authority;
use crate::process::{eventually, free_port};

const UP_WITHIN: Duration = Duration::from_secs(120);

/// A process that is ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Certificates and data of a server on loopback.
struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::new("the server's CA");
        let server = authority.server(&["127.0.0.1"]);
        for (name, text) in
            [("ca.pem", &authority.pem), ("server.pem", &server.certificate), ("server.key", &server.key)]
        {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// etcd with TLS and one user, `adamant`, whose password is `of-the-tests`.
pub struct Etcd {
    home: Home,
    pub port: u16,
    peers: u16,
    process: Option<Process>,
}

pub const ETCD_USER: &str = "adamant:of-the-tests";

impl Etcd {
    /// None, and said so, where etcd is not installed.
    pub fn start() -> Option<Self> {
        let is_there = |tool: &str| Command::new(tool).arg("version").output().is_ok();
        if !is_there("etcdctl") || Command::new("etcd").arg("--version").output().is_err() {
            eprintln!("SKIPPED: no etcd to test with: install etcd-server and etcd-client");
            return None;
        }
        let mut etcd = Self { home: Home::new(), port: free_port(), peers: free_port(), process: None };
        etcd.up();
        let role =
            ["role grant-permission adamant --prefix=true readwrite adamant/", "user grant-role adamant adamant"];
        let root =
            ["user add root:root", "user grant-role root root", "role add adamant", "user add adamant:of-the-tests"];
        for line in root.into_iter().chain(role).chain(["auth enable"]) {
            etcd.control(line);
        }
        Some(etcd)
    }

    pub fn up(&mut self) {
        let url = |port: u16, tls: bool| format!("http{}://127.0.0.1:{port}", if tls { "s" } else { "" });
        let (client, peers) = (url(self.port, true), url(self.peers, false));
        let mut command = Command::new("etcd");
        command
            .args(["--name", "t", "--data-dir"])
            .arg(self.home.path("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("t={peers}")])
            .arg("--cert-file")
            .arg(self.home.path("server.pem"))
            .arg("--key-file")
            .arg(self.home.path("server.key"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // It reads flags of variables too.
        command.env_clear().env("PATH", "/usr/bin:/bin");
        self.process = Some(Process(command.spawn().expect("etcd starts")));
        let up = eventually(UP_WITHIN, || self.try_control("endpoint health").is_ok());
        assert!(up, "etcd does not come up: {:?}", self.try_control("endpoint health"));
    }

    pub fn down(&mut self) {
        self.process = None;
    }

    pub fn ca(&self) -> PathBuf {
        self.home.path("ca.pem")
    }

    /// Runs etcdctl as root; what it printed.
    pub fn control(&self, line: &str) -> String {
        self.try_control(line).unwrap_or_else(|why| panic!("etcdctl {line}: {why}"))
    }

    /// Puts a value, which may be a large one.
    pub fn put(&self, key: &str, value: &[u8]) {
        fs::write(self.home.path("value"), value).unwrap();
        let mut command = self.command(&format!("put {key}"), true);
        command.stdin(fs::File::open(self.home.path("value")).unwrap()).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "etcdctl put {key}");
    }

    fn command(&self, line: &str, is_root: bool) -> Command {
        let mut command = Command::new("etcdctl");
        command.args(line.split(' ')).args(["--dial-timeout=60s", "--command-timeout=60s"]).env("ETCDCTL_API", "3");
        command.arg(format!("--endpoints=https://127.0.0.1:{}", self.port)).arg("--cacert").arg(self.ca());
        if is_root {
            command.arg("--user=root:root");
        }
        command
    }

    fn try_control(&self, line: &str) -> Result<String, String> {
        let run = |user: bool| {
            let output = self.command(line, user).output().map_err(|error| error.to_string())?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
        };
        run(true).or_else(|_| run(false))
    }
}

/// OpenBao with TLS, a KV engine of version 2 at `kv/`, and a token that may work below `kv/adamant`.
pub struct Bao {
    home: Home,
    binary: PathBuf,
    pub port: u16,
    cluster: u16,
    process: Option<Process>,
    unseal_key: String,
    root_token: String,
    /// What may read and write the store.
    pub token: String,
}

impl Bao {
    pub fn start(binary: &Path) -> Self {
        let mut bao = Self {
            home: Home::new(),
            binary: binary.to_owned(),
            port: free_port(),
            cluster: free_port(),
            process: None,
            unseal_key: String::new(),
            root_token: String::new(),
            token: String::new(),
        };
        bao.spawn();
        let up = eventually(UP_WITHIN, || {
            match bao.try_operate("operator init -key-shares=1 -key-threshold=1 -format=json") {
                Ok(said) => {
                    let said: Value = serde_json::from_str(&said).unwrap();
                    bao.unseal_key = said["unseal_keys_b64"][0].as_str().unwrap().to_owned();
                    bao.root_token = said["root_token"].as_str().unwrap().to_owned();
                    true
                }
                Err(_) => false,
            }
        });
        assert!(up, "{} does not come up", binary.display());
        bao.unseal();
        let enabled = eventually(UP_WITHIN, || bao.try_operate("secrets enable -path=kv -version=2 kv").is_ok());
        assert!(enabled, "{:?}", bao.try_operate("secrets enable -path=kv -version=2 kv"));
        let ready = eventually(UP_WITHIN, || bao.try_operate("kv list kv/").is_err_and(|why| why.contains("No value")));
        assert!(ready, "{:?}", bao.try_operate("kv list kv/"));
        let policy = "path \"kv/data/adamant/*\" { capabilities = [\"create\", \"read\", \"update\"] }\npath \
                      \"kv/metadata/adamant/*\" { capabilities = [\"read\", \"list\", \"delete\"] }\n";
        fs::write(bao.home.path("store.hcl"), policy).unwrap();
        bao.operate(&format!("policy write store {}", bao.home.path("store.hcl").display()));
        bao.token = bao.operate("token create -policy=store -field=token");
        bao
    }

    fn spawn(&mut self) {
        let path = |name: &str| self.home.path(name).display().to_string();
        let config = format!(
            "api_addr = \"https://127.0.0.1:{port}\"\ncluster_addr = \"https://127.0.0.1:{cluster}\"\nstorage \"raft\" {{\n  \
             path = \"{}\"\n  node_id = \"t\"\n}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  cluster_address = \
             \"127.0.0.1:{cluster}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n}}\n",
            path("data"),
            path("server.pem"),
            path("server.key"),
            port = self.port,
            cluster = self.cluster,
        );
        fs::create_dir_all(self.home.path("data")).unwrap();
        fs::write(self.home.path("bao.hcl"), config).unwrap();
        let mut command = Command::new(&self.binary);
        command.args(["server", "-config", &path("bao.hcl")]).env("HOME", self.home.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process(command.spawn().expect("OpenBao starts")));
    }

    /// Starts it again; it is sealed then.
    pub fn up(&mut self) {
        self.spawn();
        let up = eventually(UP_WITHIN, || self.try_operate("status").is_err_and(|why| !why.contains("refused")));
        assert!(up, "{:?}", self.try_operate("status"));
    }

    pub fn down(&mut self) {
        self.process = None;
    }

    pub fn seal(&self) {
        self.operate("operator seal");
    }

    /// Unsealed, it has still to come to work.
    pub fn unseal(&self) {
        self.operate(&format!("operator unseal {}", self.unseal_key));
        let at_work = eventually(UP_WITHIN, || self.try_operate("token lookup").is_ok());
        assert!(at_work, "{:?}", self.try_operate("token lookup"));
    }

    pub fn ca(&self) -> PathBuf {
        self.home.path("ca.pem")
    }

    /// Runs a command line (words without spaces) of its operator; what it printed.
    pub fn operate(&self, line: &str) -> String {
        self.try_operate(line).unwrap_or_else(|why| panic!("bao {line}: {why}"))
    }

    fn try_operate(&self, line: &str) -> Result<String, String> {
        let mut command = Command::new(&self.binary);
        command
            .args(line.split(' '))
            .env("BAO_ADDR", format!("https://127.0.0.1:{}", self.port))
            .env("BAO_CACERT", self.ca())
            .env("BAO_TOKEN", &self.root_token)
            .env("HOME", self.home.directory.path())
            .stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr) + &text(&output.stdout))
        }
    }
}
