//! A real authorization server, oidc-provider on Node.js, on loopback: it issues tokens, and is asked about opaque ones.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificates::Authority;
use crate::client::{Response, once};
use crate::installed::installed;
use crate::process::free_port;

/// A running server; dropping it kills it.
pub struct OidcProvider {
    command: Command,
    child: Child,
    pub address: SocketAddr,
    is_tls: bool,
}

/// Where the package is; none, and said so, when there is none.
pub fn directory() -> Option<PathBuf> {
    installed("ADAMANT_OIDC_PROVIDER", "node_modules/oidc-provider/lib/index.js", "tests/oidc")
}

impl OidcProvider {
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, None)
    }

    /// The same by https, as `authority` vouches for it, which vouches for clients too; `files` is where it reads from, and has the
    /// key set of the client `signer`, and keys of its own, where these are wanted.
    pub fn start_tls(directory: &Path, authority: &Authority, files: &Path) -> Self {
        Self::start_tls_for(directory, authority, &authority.pem, files)
    }

    /// The same for clients that another CA vouches for.
    pub fn start_tls_for(directory: &Path, authority: &Authority, clients: &str, files: &Path) -> Self {
        let own = authority.server(&["127.0.0.1"]);
        let write = |name: &str, text: &str| std::fs::write(files.join(name), text).unwrap();
        write("server.pem", &own.certificate);
        write("server.key", &own.key);
        write("clients-ca.pem", clients);
        Self::start_with(directory, Some(files))
    }

    fn start_with(directory: &Path, files: Option<&Path>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc-provider.mjs");
        let port = free_port();
        let mut command = Command::new("node");
        command.arg(script).arg(directory).arg(port.to_string()).args(files);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = Self::spawn(&mut command);
        Self { command, child, address: (Ipv4Addr::LOCALHOST, port).into(), is_tls: files.is_some() }
    }

    fn spawn(command: &mut Command) -> Child {
        let mut child = command.spawn().expect("node can be started");
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        assert_eq!(line, "listening\n", "oidc-provider does not come up");
        child
    }

    /// Ends it and starts it again in the same place: it reads its files again, and has forgotten the rest.
    pub fn restart(&mut self) {
        self.end();
        self.child = Self::spawn(&mut self.command);
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn issuer(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.address)
    }

    /// Posts `form` to `path` as the client `bot`, with more field lines.
    pub fn post(&self, path: &str, form: &str, fields: &str) -> Response {
        once(self.address, self.form_of_bot(path, form, fields))
    }

    /// The same request, for whoever sends it.
    pub fn form_of_bot(&self, path: &str, form: &str, fields: &str) -> String {
        let client = STANDARD.encode("bot:secret-of-the-bot");
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {client}\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n{fields}\r\n{form}",
            self.address,
            form.len()
        )
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        self.end();
    }
}
