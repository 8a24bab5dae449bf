//! A real authorization server, oidc-provider on Node.js, on loopback: it issues opaque tokens and is asked about them.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Response, once};

/// A running server; dropping it kills it.
pub struct OidcProvider {
    child: Child,
    address: SocketAddr,
}

/// Where the package is: `ADAMANT_OIDC_PROVIDER`, or where `tests/oidc` has installed it beside the test's profile folder.
/// None, and said so, when there is none; a variable that leads nowhere is a fault.
pub fn directory() -> Option<PathBuf> {
    let has_it = |path: &Path| path.join("node_modules/oidc-provider/lib/index.js").is_file();
    if let Some(path) = std::env::var_os("ADAMANT_OIDC_PROVIDER") {
        let path = PathBuf::from(path);
        assert!(has_it(&path), "ADAMANT_OIDC_PROVIDER={} holds no oidc-provider", path.display());
        return Some(path);
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let target = own.ancestors().nth(3).expect("a test runs in target/PROFILE/deps");
    let found = std::fs::read_dir(target).ok()?.flatten().map(|entry| entry.path()).find(|path| has_it(path));
    if found.is_none() {
        eprintln!("SKIPPED: no oidc-provider to test with; tests/oidc installs one");
    }
    found
}

impl OidcProvider {
    pub fn start(directory: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc-provider.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("node can be started");
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let port = line.trim().parse().unwrap_or_else(|_| panic!("oidc-provider does not come up: {line:?}"));
        Self { child, address: (Ipv4Addr::LOCALHOST, port).into() }
    }

    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Posts `form` to `path` as the client `bot`, with more field lines.
    pub fn post(&self, path: &str, form: &str, fields: &str) -> Response {
        let client = STANDARD.encode("bot:secret-of-the-bot");
        once(
            self.address,
            format!(
                "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {client}\r\nContent-Type: \
                 application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n{fields}\r\n{form}",
                self.address,
                form.len()
            ),
        )
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
