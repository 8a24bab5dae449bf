//! Other proxies in the gateway's place, to prove that the harness can tell good from bad.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::{eventually, free_port};

/// A running proxy; dropping it kills it.
pub struct Other {
    child: Child,
    /// One listener for each origin, in their order.
    pub addresses: Vec<SocketAddr>,
    _directory: tempfile::TempDir,
}

impl Other {
    /// HAProxy with one frontend for each origin.
    pub fn haproxy(origins: &[SocketAddr]) -> Self {
        let mut text =
            "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout \
                        server 5s\n  option http-keep-alive\n  http-reuse always\n"
                .to_owned();
        let addresses = free_addresses(origins.len());
        for (index, (address, origin)) in addresses.iter().zip(origins).enumerate() {
            let _ = write!(text, "listen l{index}\n  bind {address}\n  server s{index} {origin}\n");
        }
        Self::start(addresses, &text, |file| {
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f"]).arg(file);
            command
        })
    }

    /// nginx with one server for each origin.
    pub fn nginx(origins: &[SocketAddr]) -> Self {
        let mut text = "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log /dev/null;\nevents {}\nhttp {\n  \
                        access_log off;\n  client_header_timeout 5s;\n  client_body_timeout 5s;\n  client_body_temp_path \
                        body;\n  proxy_temp_path proxy;\n  fastcgi_temp_path f;\n  uwsgi_temp_path u;\n  scgi_temp_path s;\n"
            .to_owned();
        let addresses = free_addresses(origins.len());
        for (index, (address, origin)) in addresses.iter().zip(origins).enumerate() {
            let _ = write!(
                text,
                "  upstream u{index} {{ server {origin}; keepalive 8; }}\n  server {{ listen {address}; location / {{ \
                 proxy_pass http://u{index}; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header \
                 Host $http_host; proxy_request_buffering off; }} }}\n"
            );
        }
        text.push_str("}\n");
        Self::start(addresses, &text, |file| {
            let mut command = Command::new("nginx");
            command.arg("-p").arg(file.parent().unwrap_or(Path::new("/"))).arg("-c").arg(file);
            command
        })
    }

    fn start(addresses: Vec<SocketAddr>, text: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("proxy.conf");
        fs::write(&file, text).expect("the configuration can be written");
        let mut command = command(&file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let up = |address: &SocketAddr| std::net::TcpStream::connect(address).is_ok();
        let ready = eventually(Duration::from_secs(60), || addresses.iter().all(up));
        assert!(ready, "{command:?} does not listen");
        Self { child, addresses, _directory: directory }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_addresses(count: usize) -> Vec<SocketAddr> {
    (0..count).map(|_| ([127, 0, 0, 1], free_port()).into()).collect()
}
