//! The agent's side on the real binary: a CA, a profile that renews itself, hooks, and what must not happen while a disk is
//! full, a second process runs, or a certificate lasts seconds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "agent/renewing.rs"]
mod renewing;

use std::fs;
use std::io::{PipeReader, PipeWriter, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::KeyPair;
use serde_json::Value;
use tests::agents::{ID, Running, Scene, assert_fits, bad, ok, read_pair, run, through};
use tests::gateway::binary;
use tests::process;

/// For what takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_ca_keeps_its_key_closed_and_issues_what_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("pass"), "correct horse battery\n").unwrap();
    fs::set_permissions(at.join("pass"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = ok(at, "ca init ca --trust-domain corp.example --server api.corp.example --passphrase-file pass");
    assert!(said.contains("spiffe://corp.example/…") && said.contains("key      encrypted"), "{said}");
    assert!(fs::read_to_string(at.join("ca/ca.key")).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let mode = |name: &str| fs::metadata(at.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca"), mode("ca/ca.key")), (0o700, 0o600));
    bad(at, "ca init ca --trust-domain corp.example --no-passphrase");
    let open = "--passphrase-file pass";
    ok(at, &format!("ca issue ca {open} --server api.corp.example --key-out s.key --out s.pem"));
    ok(at, &format!("ca issue ca {open} --spiffe {ID} --key-out a.key --out a.pem --life 1h"));
    assert_eq!(mode("a.key"), 0o600);
    assert_fits(&fs::read(at.join("a.pem")).unwrap(), &fs::read(at.join("a.key")).unwrap());
    // A CSR that asks for more gets what the operator says.
    let key = KeyPair::generate().unwrap();
    let mut greedy = rcgen::CertificateParams::new(vec!["api.corp.example".to_owned()]).unwrap();
    greedy.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(at.join("greedy.csr"), greedy.serialize_request(&key).unwrap().pem().unwrap()).unwrap();
    let said = ok(at, &format!("ca issue ca {open} --spiffe {ID} --csr greedy.csr --out greedy.pem"));
    assert!(said.contains(&format!("for {ID}\n")), "{said}");
    for (line, part) in [
        ("--spiffe spiffe://other.example/x --key-out k --out c", "trust domain corp.example"),
        ("--server evil.example --key-out k --out c", "api.corp.example"),
        ("--spiffe spiffe://corp.example/x --key-out k --out c --life 30d", "expected a life of"),
        ("--spiffe spiffe://corp.example/x --csr pass --out c", "certificate request"),
    ] {
        let said = bad(at, &format!("ca issue ca {open} {line}"));
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = ok(at, "ca show ca --issued");
    assert!(said.contains("crl      none"), "{said}");
    assert!(said.contains("issued   3, 3 still valid, 0 of these revoked"), "{said}");
    let said = ok(at, &format!("ca revoke ca {open} {ID} --why test"));
    assert!(said.contains("number 1, 2 certificates"), "{said}");
    assert!(said.contains("in force only where") && said.contains("adamant revoke --certificate"), "{said}");
    assert!(ok(at, "ca show ca").contains("crl      number 1, until 20"));
    let said = ok(at, &format!("ca crl ca {open} --life 5s"));
    assert!(said.contains("number 2, 2 certificates"), "{said}");
    assert!(process::eventually(PATIENCE, || ok(at, "ca show ca").contains("it has ended: adamant ca crl")));
    assert!(fs::read_to_string(at.join("ca/ca.crl")).unwrap().starts_with("-----BEGIN X509 CRL-----"));
    bad(at, &format!("ca revoke ca {open} spiffe://corp.example/nobody"));
}

#[test]
fn certificates_of_seconds_renew_under_load_and_every_reader_finds_a_key_that_fits() {
    let scene = Scene::new();
    scene.enroll("--life 20s");
    let profile = scene.at().join("p");
    let keeper = Running::start(scene.at(), "agent run p --touch touched --exec env>>hooked");
    let proxy = Running::start(scene.at(), "agent proxy p");
    proxy.says("listening on unix:", 1);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (stop, profile) = (Arc::clone(&stop), profile.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let (_, cert, key) = read_pair(&profile);
                    assert_fits(&cert, &key);
                    let both = fs::read(profile.join("current/identity.pem")).unwrap();
                    assert_fits(&both, &both);
                    thread::sleep(Duration::from_millis(2));
                }
            })
        })
        .collect();
    let caller = {
        let (stop, calls, socket) = (Arc::clone(&stop), Arc::clone(&calls), profile.join("proxy.sock"));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) || *calls.lock().unwrap() <= 100 {
                let said = through(UnixStream::connect(&socket).unwrap(), "GET /orders/7", "", "");
                assert!(said.starts_with("HTTP/1.1 200"), "{said}");
                *calls.lock().unwrap() += 1;
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    keeper.says("\"renewed\"", 2);
    stop.store(true, Ordering::Relaxed);
    caller.join().unwrap();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert!(*calls.lock().unwrap() > 100);
    let lines: Vec<Value> = keeper.json();
    let renewed: Vec<_> = lines.iter().filter(|line| line["outcome"] == "renewed").collect();
    for pair in renewed.windows(2) {
        assert_eq!(pair[0]["new_sha256"], pair[1]["old_sha256"]);
        assert_ne!(pair[0]["new_sha256"], pair[0]["old_sha256"]);
    }
    assert!(renewed.iter().all(|line| line["what"] == "certificate" && line["why"] == "two-thirds"), "{renewed:#?}");
    assert!(renewed.iter().all(|line| line["overlap_s"].as_u64().is_some_and(|left| left > 0)), "{renewed:#?}");
    assert!(lines.iter().all(|line| line.get("hooks_failed").is_none()), "{lines:#?}");
    assert!(fs::read_to_string(scene.at().join("touched")).unwrap().starts_with("certificate "));
    assert!(fs::read_to_string(scene.at().join("hooked")).unwrap().contains("ADAMANT_WHAT=certificate"));
    keeper.end();
    proxy.end();
    assert!(!profile.join("proxy.sock").exists());
    assert_eq!(fs::read_dir(profile.join("generations")).unwrap().count(), 3);
}

#[test]
fn two_runs_on_one_profile_are_one_too_many() {
    let scene = Scene::new();
    scene.enroll("");
    let keeper = Running::start(scene.at(), "agent run p --metrics 127.0.0.1:0");
    keeper.says("started", 1);
    let started = keeper.json().remove(0);
    assert_eq!((&started["agent"], &started["profile"]), (&"reports-bot".into(), &"p".into()), "{started:#}");
    let [renews, until] =
        ["certificate_renews", "certificate_until"].map(|of| started[of].as_str().unwrap().to_owned());
    assert!(renews < until && started["from"].as_str().unwrap().starts_with("ca:"), "{started:#}");
    for second in ["agent run p", "agent run p --once"] {
        let said = bad(scene.at(), second);
        assert!(said.contains(&format!("in use by process {}", keeper.child.id())), "{said}");
    }
    let url = scene.url();
    let again = format!("agent enroll p --force --agent reports-bot --gateway {url} --ca ca --spiffe {ID}");
    assert!(bad(scene.at(), &again).contains("in use by process"));
    // An order renews at once.
    process::signal(keeper.child.id(), "HUP");
    keeper.says("\"why\":\"order\"", 1);
    let metrics = keeper.json()[0]["metrics"].as_str().unwrap().to_owned();
    let address = metrics.trim_start_matches("http://").trim_end_matches("/metrics");
    let said = through(TcpStream::connect(address).unwrap(), "GET /metrics", "", "");
    assert!(said.contains("adamant_agent_refreshes_total{what=\"certificate\"} 1\n"), "{said}");
    assert!(said.contains("adamant_agent_expiry_timestamp_seconds{what=\"certificate\"} 1"), "{said}");
    keeper.end();
    // Whoever ended keeps nobody out.
    let said = ok(scene.at(), "agent run p --once");
    assert!(said.contains("\"outcome\":\"renewed\""), "{said}");
}

/// Whoever read the log went away, or never came.
#[test]
fn it_renews_and_calls_with_nobody_to_read_what_it_says() {
    goes_on_unread(true, || (None, std::io::pipe().unwrap().1));
}

/// Whoever was to read it is there, and does not.
#[test]
fn it_renews_and_calls_while_a_full_pipe_takes_no_line() {
    goes_on_unread(false, || {
        let (reader, writer) = std::io::pipe().unwrap();
        let (mut filling, filled) = (writer.try_clone().unwrap(), Arc::new(AtomicUsize::new(0)));
        let of_thread = Arc::clone(&filled);
        // Until the reader goes.
        thread::spawn(move || {
            while filling.write_all(b"\n").is_ok() {
                of_thread.fetch_add(1, Ordering::Relaxed);
            }
        });
        let is_full = || {
            let before = filled.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(200));
            before > 0 && before == filled.load(Ordering::Relaxed)
        };
        assert!(process::eventually(PATIENCE, is_full), "{filled:?}");
        (Some(reader), writer)
    });
}

/// `loses`: what is told can be written nowhere; else it waits to be.
fn goes_on_unread(loses: bool, pipe: impl Fn() -> (Option<PipeReader>, PipeWriter)) {
    let scene = Scene::new();
    scene.enroll("--life 6s");
    let profile = scene.at().join("p");
    let unread = |line: &str| {
        let mut command = Command::new(binary());
        let [(kept_out, out), (kept_err, err)] = [(); 2].map(|()| pipe());
        command.args(line.split(' ')).current_dir(scene.at()).stdin(Stdio::null()).stdout(out).stderr(err);
        (Ended(command.spawn().unwrap()), kept_out, kept_err)
    };
    let metrics = format!("127.0.0.1:{}", process::free_port());
    let mut keeper = unread(&format!("agent run p --metrics {metrics}"));
    let lost = || -> u64 {
        let said = through(TcpStream::connect(&metrics).unwrap(), "GET /metrics", "", "");
        let count = said.lines().find_map(|line| line.strip_prefix("adamant_agent_log_lines_lost_total "));
        count.unwrap().parse().unwrap()
    };
    let mut proxy = unread("agent proxy p");
    let is_there = || UnixStream::connect(profile.join("proxy.sock")).is_ok();
    assert!(process::eventually(PATIENCE, is_there));
    let mut before = read_pair(&profile);
    for _ in 0..2 {
        let renewed = process::eventually(PATIENCE, || read_pair(&profile) != before);
        assert!(renewed && keeper.0.0.try_wait().unwrap().is_none(), "{:?}", keeper.0.0.try_wait());
        before = read_pair(&profile);
        let mut said = String::new();
        // A machine that stands still for as long as a certificate lives finds it ended.
        let called = process::eventually(PATIENCE, || {
            said = through(UnixStream::connect(profile.join("proxy.sock")).unwrap(), "GET /orders/7", "", "");
            said.starts_with("HTTP/1.1 200")
        });
        assert!(called, "{said}");
    }
    // The first line and two renewals.
    let is_lost = || lost() >= 3;
    if loses {
        assert!(process::eventually(PATIENCE, is_lost), "{} lost", lost());
    } else {
        assert_eq!(lost(), 0, "they wait");
    }
    for (running, ..) in [&mut keeper, &mut proxy] {
        process::signal(running.0.id(), "TERM");
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
    }
    // What was told to nobody has its number all the same.
    let newest = ok(scene.at(), "agent run p --once");
    fs::write(scene.at().join("log"), &newest).unwrap();
    let said = ok(scene.at(), "agent log p log");
    let first: u64 = said.split(' ').nth(2).unwrap().parse().unwrap();
    assert!(first > 3, "{said}");
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_full_disk_keeps_the_old_key_and_certificate_whole() {
    let scene = Scene::new();
    scene.enroll("");
    let profile = scene.at().join("p");
    let before = read_pair(&profile);
    // No file may grow at all: the first byte of a new key is one too many.
    let mut limited = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {} agent run p --once 2>/dev/null | cat", binary().display());
    let output = limited.args(["-c", &script]).current_dir(scene.at()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(line["outcome"], "failed", "{said}");
    assert!(line["todo"].as_str().unwrap().contains("still there, whole"), "{said}");
    assert_eq!(read_pair(&profile), before);
    assert_eq!(fs::read_dir(profile.join("generations")).unwrap().count(), 1, "nothing half is left");
    ok(scene.at(), "agent doctor p");
    // With room again it goes on.
    ok(scene.at(), "agent run p --once");
    assert_ne!(read_pair(&profile), before);
}

#[test]
fn a_renewal_that_fails_backs_off_warns_and_comes_back() {
    let scene = Scene::new();
    scene.enroll("--life 6s");
    let (ca, away) = (scene.at().join("ca"), scene.at().join("away"));
    fs::rename(&ca, &away).unwrap();
    let keeper = Running::start(scene.at(), "agent run p");
    keeper.says("\"outcome\":\"expired\"", 1);
    keeper.says("\"failed\"", 4);
    let last = || keeper.json().into_iter().rfind(|line| line["outcome"] == "failed").unwrap();
    let is_later = || last()["again_in_ms"].as_u64().is_some_and(|again| again > 2_000);
    assert!(process::eventually(PATIENCE, is_later), "and then later and later: {}", last());
    let lines = keeper.json();
    let failed = lines.iter().find(|line| line["outcome"] == "failed").unwrap();
    assert!(failed["error"].as_str().unwrap().contains("ca.json"), "{failed}");
    assert!(failed["again_in_ms"].as_u64().is_some_and(|again| again <= 1_000), "the end is near: {failed}");
    assert!(lines.iter().any(|line| line["kind"] == "warning" && line["outcome"] == "expired"), "{lines:#?}");
    // Nothing is in use any more: never rarer than every 10 s, however long that lasts.
    keeper.says("\"failed\"", 6);
    let again = keeper.json().iter().filter_map(|line| line["again_in_ms"].as_u64()).max();
    assert!(again.is_some_and(|again| again <= 10_000), "{again:?}");
    fs::rename(&away, &ca).unwrap();
    keeper.says("\"renewed\"", 1);
    // The log is one chain, over restarts too.
    let mut log = keeper.end();
    log.extend(run(scene.at(), "agent run p --once").1.lines().map(str::to_owned));
    let look = |lines: &[String]| fs::write(scene.at().join("log"), lines.join("\n")).unwrap();
    look(&log);
    let whole = format!("unbroken: lines 1 to {}, the newest that the profile knows of\n", log.len());
    assert_eq!(ok(scene.at(), "agent log p log"), whole);
    let gone = log.remove(2);
    look(&log);
    assert!(bad(scene.at(), "agent log p log").contains("log: line 3: expected number 3, found 4"));
    log.insert(2, gone.replace("p", "q"));
    look(&log);
    assert!(bad(scene.at(), "agent log p log").contains("log: line "));
}

#[test]
fn a_ca_elsewhere_answers_by_files() {
    let scene = Scene::new();
    fs::create_dir(scene.at().join("shared")).unwrap();
    let url = scene.url();
    let enroll = format!(
        "agent enroll p --agent reports-bot --gateway {url} --requests shared --gateway-ca ca/ca.pem --spiffe {ID}"
    );
    let said = ok(scene.at(), &enroll);
    assert!(said.contains("waiting for a certificate"), "{said}");
    let sign = format!("ca issue ca --spiffe {ID} --csr shared/reports-bot.csr --out shared/reports-bot.pem --force");
    ok(scene.at(), &sign);
    assert!(!ok(scene.at(), &enroll).contains("waiting"));
    ok(scene.at(), "agent doctor p");
    let first = read_pair(&scene.at().join("p"));
    let keeper = Running::start(scene.at(), "agent run p --metrics 127.0.0.1:0");
    // It begins with nothing to do; an order makes a new request, which is not mistaken for the old answer.
    keeper.says("\"started\"", 1);
    thread::sleep(Duration::from_millis(300));
    process::signal(keeper.child.id(), "HUP");
    keeper.says("\"waiting\"", 1);
    assert_eq!(read_pair(&scene.at().join("p")), first);
    ok(scene.at(), &sign);
    keeper.says("\"renewed\"", 1);
    keeper.end();
    assert_ne!(read_pair(&scene.at().join("p")), first);
    let shared: Vec<_> = fs::read_dir(scene.at().join("shared")).unwrap().collect();
    assert!(shared.len() <= 2, "{shared:?}");
}

#[test]
fn a_profile_is_right_or_not_made() {
    let scene = Scene::new();
    let url = scene.url();
    let base = format!("agent enroll q --agent reports-bot --gateway {url}");
    for (line, part) in [
        (format!("{base} --ca ca"), "neither --spiffe nor --release"),
        (format!("{base} --ca nowhere --spiffe {ID}"), "nowhere"),
        (format!("{base} --ca ca --spiffe spiffe://other.example/x"), "trust domain"),
        (format!("{base} --requests ca --spiffe {ID}"), "neither --gateway-ca nor --gateway-spki"),
        (format!("{base} --ca ca --spiffe {ID} --gateway-ca server.key"), "certificates in PEM"),
    ] {
        let said = run(scene.at(), &line).2;
        assert!(said.contains(part), "{part}: {said}");
        assert!(!scene.at().join("q/current").exists());
    }
    scene.enroll("");
    let again = format!("agent enroll p --agent reports-bot --gateway {url} --ca ca --spiffe {ID}");
    assert!(bad(scene.at(), &again).contains("there is a profile already"));
    for (path, mode) in
        [("p", 0o700), ("p/profile.json", 0o600), ("p/current/key.pem", 0o600), ("p/current/cert.pem", 0o600)]
    {
        assert_eq!(fs::metadata(scene.at().join(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
}
