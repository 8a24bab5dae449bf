//! `adamant agent` with certificates of an ACME server: a real one (pebble), and one that lies as it is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "agent_acme/slow.rs"]
mod slow;
#[path = "agent_acme/unused.rs"]
mod unused;

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::agents::{Running, Scene, assert_fits, ok, read_pair, through};
use tests::desk::{Desk, assert_says};
use tests::liar::{Liar, Lie};
use tests::pebble::{self, Character, EXTERNAL, Pebble};
use tests::process::{eventually, free_port};

const NAME: &str = "reports.corp.example";
/// Longer than any of it takes on a busy machine.
const SOON: Duration = Duration::from_secs(120);

fn character(looks_at: u16) -> Character {
    Character { looks_at, life_s: 9, rejects: 5, wants_external_account: false }
}

fn enroll(gateway: &str, directory: &str, ca: &Path, more: &str) -> String {
    format!(
        "agent enroll p --agent reports-bot --gateway {gateway} --gateway-ca ca/ca.pem --acme {directory} --acme-ca {} \
         --acme-agree-to-terms {more}",
        ca.display()
    )
}

/// The one account that is kept in a profile.
fn account(profile: &Path) -> PathBuf {
    let entries = fs::read_dir(profile).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("acme-")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.pop().unwrap()
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn a_name_that_is_proven_is_renewed_under_load_and_nothing_listens_in_between() {
    let Some(binary) = pebble::binary() else { return };
    // On a machine that stands still for as long as a certificate has left, once more, with those that live longer.
    let is_in_time = [20, 40, 80].into_iter().any(|life_s| is_renewed_in_time(&binary, life_s));
    assert!(is_in_time, "each time a certificate ended before there was another one");
}

/// False where one ended before there was another one.
fn is_renewed_in_time(binary: &Path, life_s: u64) -> bool {
    let port = free_port();
    let mut pebble = Pebble::at(binary);
    pebble.start(Character { life_s, ..character(port) });
    let scene = Scene::of_agent(&format!("dns:{NAME}"), Some(&pebble.root().0));
    let line = enroll(
        &scene.url(),
        &pebble.directory_url(),
        &pebble.ca(),
        &format!("--dns Reports.corp.example --acme-listen 127.0.0.1:{port} --acme-contact mailto:ops@corp.example"),
    );
    let said = ok(scene.at(), &line);
    assert_says(&said, &["id       dns:reports.corp.example", &format!("from     acme:{}", pebble.directory_url())]);
    assert!(!is_open(port), "closed once the order is done");
    let (profile, before) = (scene.at().join("p"), fs::read(account(&scene.at().join("p"))).unwrap());
    ok(scene.at(), "agent doctor p");
    assert!(ok(scene.at(), "agent export p env").contains("ADAMANT_DNS=\"reports.corp.example\"\n"));
    assert!(ok(scene.at(), "agent export p kubernetes").contains("adamant/dns: \"reports.corp.example\"\n"));

    let keeper = Running::start(scene.at(), "agent run p");
    let proxy = Running::start(scene.at(), "agent proxy p");
    proxy.says("listening on unix:", 1);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let caller = {
        let (stop, calls, socket) = (Arc::clone(&stop), Arc::clone(&calls), profile.join("proxy.sock"));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let said = through(UnixStream::connect(&socket).unwrap(), "GET /orders/7", "", "");
                if !said.starts_with("HTTP/1.1 200") {
                    return Err(said);
                }
                calls.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })
    };
    keeper.says("\"renewed\"", 2);
    stop.store(true, Ordering::Relaxed);
    let called = caller.join().unwrap();
    let renewed: Vec<Value> = keeper.json().into_iter().filter(|line| line["outcome"] == "renewed").collect();
    if renewed.iter().any(|line| line["overlap_s"] == 0) {
        println!("{life_s} s are not enough here: {called:?}, {renewed:#?}");
        return false;
    }
    assert_eq!(called, Ok(()));
    assert!(calls.load(Ordering::Relaxed) > 100);
    for pair in renewed.windows(2) {
        assert_eq!(pair[0]["new_sha256"], pair[1]["old_sha256"]);
    }
    assert!(
        renewed
            .iter()
            .all(|line| line["why"] == "two-thirds" && line["from"] == format!("acme:{}", pebble.directory_url()))
    );
    let (_, cert, key) = read_pair(&profile);
    assert_fits(&cert, &key);
    let kept = account(&profile);
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&kept).unwrap(), before, "one account for all of them");
    let secret = serde_json::from_slice::<Value>(&before).unwrap()["key_pkcs8"].as_str().unwrap().to_owned();
    let written = keeper.end().join("\n") + &proxy.end().join("\n") + &scene.gateway.stderr();
    assert!(!written.contains(&secret));
    true
}

/// A way to a server that lets so many connections pass, and breaks off the others.
struct Way {
    port: u16,
    left: AtomicI64,
}

impl Way {
    fn to(server: u16) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Arc::new(Self { port: listener.local_addr().unwrap().port(), left: AtomicI64::new(i64::MAX) });
        let of_thread = Arc::clone(&way);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        to.shutdown(Shutdown::Write)
                    });
                }
            }
        });
        way
    }
}

/// By http-01 here.
#[test]
fn a_server_that_is_gone_in_the_middle_of_an_order_costs_nothing_but_time() {
    let Some(binary) = pebble::binary() else { return };
    let port = free_port();
    let mut pebble = Pebble::at(&binary);
    pebble.start(Character { life_s: 14, ..character(port) });
    let scene = Scene::of_agent(&format!("dns:{NAME}"), Some(&pebble.root().0));
    let way = Way::to(pebble.port());
    let directory = format!("https://127.0.0.1:{}/dir", way.port);
    let more = format!("--dns {NAME} --acme-http 127.0.0.1:{port}");
    ok(scene.at(), &enroll(&scene.url(), &directory, &pebble.ca(), &more));
    let profile = scene.at().join("p");
    let before = read_pair(&profile);
    // Enough for the order to be there, and its challenge open.
    way.left.store(5, Ordering::SeqCst);
    let keeper = Running::start(scene.at(), "agent run p");
    keeper.says("\"failed\"", 2);
    assert_eq!(read_pair(&profile), before, "the old key and certificate, whole");
    let lines = keeper.json();
    let failed = lines.iter().find(|line| line["outcome"] == "failed").unwrap();
    assert_says(failed["todo"].as_str().unwrap(), &["is the address right, and the server up"]);
    assert!(failed["again_in_ms"].as_u64().unwrap() <= 4_000, "{failed}");
    assert!(eventually(SOON, || !is_open(port)), "nothing is answered while no order is pending");
    way.left.store(i64::MAX, Ordering::SeqCst);
    keeper.says("\"renewed\"", 1);
    assert_ne!(read_pair(&profile), before);
    keeper.end();
    ok(scene.at(), "agent doctor p");
}

#[test]
fn what_stands_in_the_way_of_an_order_is_told() {
    let Some(binary) = pebble::binary() else { return };
    let port = free_port();
    let mut pebble = Pebble::at(&binary);
    pebble.start(Character { wants_external_account: true, ..character(port) });
    let desk = Desk::new();
    desk.good("ca init ca --trust-domain corp.example --no-passphrase");
    desk.write("external.key", EXTERNAL.1);
    fs::set_permissions(desk.path("external.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let order = |more: &str| enroll("https://localhost:1", &pebble.directory_url(), &pebble.ca(), more);
    let listen = format!("--acme-listen 127.0.0.1:{port}");
    for (line, parts) in [
        (order(""), &["neither --dns nor --release", "or --dns NAME"][..]),
        (order(&format!("--dns {NAME}")).replace("--acme-agree-to-terms", ""), &["--acme-agree-to-terms", "hint: "]),
        (order(&format!("--dns {NAME}")).replace("https://127", "http://127"), &["expected https://"]),
        (order(&format!("--dns {NAME} --acme-contact ops")), &["found \"ops\""]),
        (order(&format!("--dns {NAME} {listen}")), &["--acme-eab-id ID --acme-eab-key FILE"]),
    ] {
        assert_says(&desk.bad(&line), parts);
        assert!(!desk.path("p/current").exists());
    }
    let external = format!("--acme-eab-id {} --acme-eab-key external.key", EXTERNAL.0);
    let order = |more: &str| order(&format!("--dns {NAME} {external} {more}"));
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = held.local_addr().unwrap();
    let said = desk.bad(&order(&format!("--acme-listen {at}")));
    assert_says(&said, &[&format!("{at} cannot be listened on"), "lead port 443 to it"]);
    let elsewhere = free_port();
    let said = desk.bad(&order(&format!("--acme-http 127.0.0.1:{elsewhere}")));
    assert_says(&said, &["could not see that reports.corp.example is ours", "its port 80 to 127.0.0.1:"]);
    desk.good(&order(&listen));
    assert!(!said.contains(EXTERNAL.1));

    // What is kept of the account is for its owner alone, and as small as such a thing is.
    let kept = account(&desk.path("p"));
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o644)).unwrap();
    assert_says(&desk.bad("agent run p --once"), &["found mode 0644", "chmod 600"]);
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    let good = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, good.clone() + &" ".repeat((16 << 10) - good.len())).unwrap();
    desk.good("agent run p --once");
    fs::write(&kept, good.clone() + &" ".repeat((16 << 10) + 1 - good.len())).unwrap();
    assert_says(&desk.bad("agent run p --once"), &["16384 bytes"]);
}

#[test]
fn a_certificate_that_is_not_this_agents_is_never_put_in_use() {
    let liar = Liar::start(NAME);
    let desk = Desk::new();
    desk.good("ca init ca --trust-domain corp.example --no-passphrase");
    desk.write("liar.pem", &liar.tls.pem);
    let line = enroll("https://localhost:1", &liar.directory(), Path::new("liar.pem"), &format!("--dns {NAME}"));
    let lies = [
        (Lie::OtherKey, "for another key"),
        (Lie::OtherName, "expected a certificate for reports.corp.example, found one for other.corp.example"),
        (Lie::MoreNames, "found one for more.corp.example, reports.corp.example"),
        (Lie::Wildcard, "found one for *.corp.example"),
        (Lie::ServersOnly, "expected a certificate for clients"),
        (Lie::Ended, "found one that ended"),
        (Lie::Ca, "found one of a CA"),
        (Lie::Long, "expected a certificate for at most 7d"),
        (Lie::OtherCa, "that the CA of its issuer vouches for"),
        (Lie::Authorizations, "found 5 authorizations for the names of the order, 1"),
        (Lie::NoNonces, "found newNonce that is no URL"),
    ];
    for (lie, told) in lies {
        liar.lies(lie);
        assert_says(&desk.bad(&line), &[told, "hint: "]);
        assert!(!desk.path("p/current").exists(), "{lie:?}");
    }
    liar.lies(Lie::ServersOnly);
    assert_says(&desk.bad(&line), &["allow_role_ext_key_usage=true", "public CAs"]);
    liar.lies(Lie::None);
    desk.good(&line);
    let before = read_pair(&desk.path("p"));
    for (lie, told) in lies {
        liar.lies(lie);
        assert_says(&desk.bad("agent run p --once"), &[told]);
        assert_eq!(read_pair(&desk.path("p")), before, "{lie:?}");
    }
    // What a CA refused, or gave for nothing, it has counted: it is left alone for a while.
    let keeper = Running::start(&desk.path("."), "agent run p --metrics 127.0.0.1:0");
    keeper.says("started", 1);
    thread::sleep(Duration::from_millis(300));
    tests::process::signal(keeper.child.id(), "HUP");
    keeper.says("\"failed\"", 1);
    let lines = keeper.json();
    assert!(lines[1]["again_in_ms"].as_u64().unwrap() >= 45_000, "{lines:?}");
    keeper.end();
    liar.lies(Lie::None);
    desk.good("agent run p --once");
    assert_ne!(read_pair(&desk.path("p")), before);
    // An account whose server is no URL is none: it is made anew.
    let kept = account(&desk.path("p"));
    let damaged = fs::read_to_string(&kept).unwrap().replace(&liar.directory(), "x y");
    fs::write(&kept, &damaged).unwrap();
    desk.good("agent run p --once");
    assert_ne!(fs::read_to_string(&kept).unwrap(), damaged);
}
