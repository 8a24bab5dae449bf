//! A real ACME server (pebble), which looks whether a name is ours as the large ones do, and a name server that sends every
//! name to this machine (pebble-challtestsrv).

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::certificates::Authority;
use crate::client::Client;
use crate::process::{eventually, free_port, signal};

const UP_WITHIN: Duration = Duration::from_secs(60);
/// Asks a name server for an address of `name.test` (RFC 1035 §4).
const QUESTION: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04name\x04test\0\0\x01\0\x01";

/// A place for a server; dropping it ends the one that runs there.
pub struct Pebble {
    directory: tempfile::TempDir,
    authority: Authority,
    binary: PathBuf,
    port: u16,
    management: u16,
    names: Names,
    running: Option<Child>,
}

/// A name server that sends every name to one address; dropping it ends it.
pub struct Names {
    child: Child,
    port: u16,
}

impl Names {
    /// `pebble`: the binary beside which it lies.
    pub fn new(pebble: &Path, all: IpAddr) -> Self {
        // The port is free for TCP; for UDP somebody may have it.
        let started = (0..5).find_map(|_| Self::try_new(pebble, all));
        started.unwrap_or_else(|| panic!("the name server beside {} does not come up", pebble.display()))
    }

    fn try_new(pebble: &Path, all: IpAddr) -> Option<Self> {
        let port = free_port();
        drop(UdpSocket::bind(("127.0.0.1", port)).ok()?);
        let mut command = Command::new(pebble.with_file_name("pebble-challtestsrv"));
        command.args([
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv6",
            "",
            "-management",
            "127.0.0.1:0",
        ]);
        command.arg("-defaultIPv4").arg(all.to_string()).arg("-dns01").arg(format!("127.0.0.1:{port}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let names = Self { child, port };
        eventually(UP_WITHIN, || names.answers()).then_some(names)
    }

    fn answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.send(QUESTION).is_ok() && socket.recv(&mut [0; 512]).is_ok_and(|count| count > QUESTION.len())
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server is like.
#[derive(Clone, Copy)]
pub struct Character {
    /// The port at which it looks for the one who says that a name is his, be it by tls-alpn-01 or by http-01.
    pub looks_at: u16,
    pub life_s: u64,
    /// Of 100 nonces, how many it takes for bad.
    pub rejects: u8,
    pub wants_external_account: bool,
}

/// Key id and key of the one account that such a server knows of (base64url).
pub const EXTERNAL: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// The server's binary; none, and said so, where it is not installed.
pub fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("pebble")).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: no ACME server to test with; tests/run installs one (the package pebble)");
    }
    found
}

impl Pebble {
    /// A place where no server runs yet.
    pub fn at(binary: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::new("CA of the ACME server's own certificate");
        let own = authority.server(&["127.0.0.1"]);
        for (name, text) in [("ca.pem", &authority.pem), ("own.pem", &own.certificate), ("own.key", &own.key)] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let (port, management, names) = (free_port(), free_port(), Names::new(binary, IpAddr::from([127, 0, 0, 1])));
        Self { directory, authority, binary: binary.to_owned(), port, management, names, running: None }
    }

    /// The CA of its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn directory_url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// Starts it; it has forgotten what was before.
    pub fn start(&mut self, character: Character) {
        self.stop();
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let settings = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{}", "managementListenAddress": "127.0.0.1:{}", "certificate": "{}",
            "privateKey": "{}", "httpPort": {}, "tlsPort": {}, "externalAccountBindingRequired": {},
            "externalAccountMACKeys": {{"{}": "{}"}}, "certificateValidityPeriod": {}}}}}"#,
            self.port,
            self.management,
            path("own.pem"),
            path("own.key"),
            character.looks_at,
            character.looks_at,
            character.wants_external_account,
            EXTERNAL.0,
            EXTERNAL.1,
            character.life_s,
        );
        fs::write(path("settings.json"), settings).unwrap();
        let mut server = Command::new(&self.binary);
        server.arg("-config").arg(path("settings.json")).arg("-dnsserver").arg(self.names.address());
        server.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        server.env("PEBBLE_WFE_NONCEREJECT", character.rejects.to_string());
        let log = fs::File::options().create(true).append(true).open(path("log")).unwrap();
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.running = Some(server.spawn().unwrap_or_else(|error| panic!("cannot start {server:?}: {error}")));
        let listens = |port: u16| TcpStream::connect(self.address(port)).is_ok();
        let is_up = eventually(UP_WITHIN, || listens(self.port) && listens(self.management));
        assert!(is_up, "pebble does not come up: {}", self.log());
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// From now on it takes connections and says nothing, or goes on.
    pub fn pause(&self, pause: bool) {
        let pid = self.running.as_ref().expect("a server that runs").id();
        signal(pid, if pause { "STOP" } else { "CONT" });
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A client that believes what it issues since it was started.
    pub fn believer(&self) -> Arc<ClientConfig> {
        self.root().client_config(None)
    }

    /// Its root, as far as clients need it.
    pub fn root(&self) -> Root {
        let address = self.address(self.management);
        let mut client = Client::connect_tls(address, "127.0.0.1", &self.authority.client_config(None)).unwrap();
        let answer = client.exchange("GET /roots/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        Root(answer.text())
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}

/// A certificate that clients may trust, in PEM.
pub struct Root(pub String);

impl Root {
    /// A client's TLS configuration that trusts it, with a certificate of its own or none.
    pub fn client_config(&self, identity: Option<&crate::certificates::Identity>) -> Arc<ClientConfig> {
        crate::certificates::trusting(&self.0, identity, rustls::DEFAULT_VERSIONS)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- pebble ---\n{}--------------", self.log());
        }
    }
}
