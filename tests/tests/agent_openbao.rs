//! `adamant agent` with certificates of a real OpenBao: enrolled, renewed, told what is wrong while it is sealed, and
//! renewed again when it is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tests::agents::{ID, Running, assert_fits, read_pair};
use tests::desk::{Desk, assert_says};
use tests::openbao::{self, OpenBao};
use tests::process::eventually;

const POLICY: &str = r#"path "pki/sign/agents" { capabilities = ["update"] }"#;

/// A server with a role for agents, and a desk with a token for it.
fn prepared(binary: &Path) -> (OpenBao, Desk) {
    let server = OpenBao::start(binary);
    server.operate("secrets enable pki");
    let ca =
        server.operate("write -field=certificate pki/root/generate/internal common_name=agents ttl=8760h key_type=ec");
    let role = "write pki/roles/agents allowed_uri_sans=spiffe://corp.example/* allow_any_name=true require_cn=false \
                key_type=ec server_flag=false client_flag=true max_ttl=24h";
    server.operate(&role.split_whitespace().collect::<Vec<_>>().join(" "));
    server.operate_with("policy write signer -", POLICY);
    let desk = Desk::new();
    desk.write("token", server.operate("token create -policy=signer -field=token") + "\n");
    fs::set_permissions(desk.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    desk.write("gateway-ca.pem", &ca);
    (server, desk)
}

fn enroll(server: &OpenBao, port: u16) -> String {
    format!(
        "agent enroll p --agent reports-bot --gateway https://localhost:1 --gateway-ca gateway-ca.pem --spiffe {ID} --life 8s \
         --openbao https://127.0.0.1:{port} --bao-ca {} --bao-token-file token",
        server.ca().display()
    )
}

#[test]
fn openbao_signs_and_its_failures_leave_what_was_there() {
    let Some(binary) = openbao::binary() else { return };
    let (server, desk) = prepared(&binary);
    let enroll = enroll(&server, server.port);
    assert_says(&desk.bad(&format!("{enroll} --role nobody")), &["pki/sign/nobody", "hint: "]);
    assert!(!desk.path("p/current").exists());
    desk.good(&format!("{enroll} --role agents"));
    let profile = desk.path("p");
    let (first, cert, key) = read_pair(&profile);
    assert_fits(&cert, &key);

    let keeper = Running::start(&desk.path("."), "agent run p");
    keeper.says("\"renewed\"", 1);
    // Sealed: the last good one stays, and it is told what to do.
    server.seal();
    keeper.says("bao operator unseal", 1);
    let (_, cert, key) = read_pair(&profile);
    assert_fits(&cert, &key);
    assert!(!first.exists() || first != read_pair(&profile).0);
    let token = String::from_utf8(desk.read("token")).unwrap();
    assert!(keeper.end().iter().all(|line| !line.contains(token.trim())));
}

/// A way to a server on which requests can be held: the handshake passes, what is asked waits.
struct Gate {
    port: u16,
    holds: AtomicBool,
    held: AtomicUsize,
}

impl Gate {
    fn before(server: u16) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Arc::new(Self { port, holds: AtomicBool::new(false), held: AtomicUsize::new(0) });
        let of_thread = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (gate, server) = (Arc::clone(&of_thread), TcpStream::connect(("127.0.0.1", server)).unwrap());
                let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
                thread::spawn(move || drop(gate.pass(client, server)));
            }
        });
        gate
    }

    /// TLS records, one by one. The second one of application data is the first after the client's Finished (RFC 8446 §5).
    fn pass(&self, mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
        let mut sealed = 0;
        let mut head = [0; 5];
        while client.read_exact(&mut head).is_ok() {
            let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            client.read_exact(&mut record)?;
            sealed += usize::from(head[0] == 23);
            if sealed > 1 && self.holds.load(Ordering::SeqCst) {
                self.held.fetch_add(1, Ordering::SeqCst);
                while self.holds.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            server.write_all(&[&head[..], &record].concat())?;
        }
        server.shutdown(Shutdown::Write)
    }
}

#[test]
fn sealed_in_the_middle_of_a_renewal_it_costs_nothing_but_time() {
    let Some(binary) = openbao::binary() else { return };
    let (server, desk) = prepared(&binary);
    let gate = Gate::before(server.port);
    desk.good(&format!("{} --role agents", enroll(&server, gate.port)));
    let profile = desk.path("p");
    let keeper = Running::start(&desk.path("."), "agent run p");
    keeper.says("\"renewed\"", 1);
    // The next renewal has its connection; then the server is sealed, and then it is asked.
    gate.holds.store(true, Ordering::SeqCst);
    assert!(eventually(Duration::from_secs(120), || gate.held.load(Ordering::SeqCst) > 0), "{:#?}", keeper.lines());
    let before = read_pair(&profile);
    let renewed = keeper.lines().iter().filter(|line| line.contains("\"renewed\"")).count();
    server.seal();
    gate.holds.store(false, Ordering::SeqCst);
    keeper.says("bao operator unseal", 1);
    assert_eq!(read_pair(&profile), before, "the old key and certificate, whole");
    assert_fits(&before.1, &before.2);
    // It is said when that has ended, and goes on by itself once the server does.
    keeper.says("\"outcome\":\"expired\"", 1);
    assert_eq!(read_pair(&profile), before);
    server.unseal();
    keeper.says("\"renewed\"", renewed + 1);
    let after = read_pair(&profile);
    assert_fits(&after.1, &after.2);
    assert_ne!(after, before);
    let lines = keeper.end();
    let token = String::from_utf8(desk.read("token")).unwrap();
    assert!(lines.iter().all(|line| !line.contains(token.trim())));
}
