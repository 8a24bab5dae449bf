//! The listener answers what it should, refuses the rest, and stays private.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use activation::counters::Arena;
use activation::stats::WorkerStats;
use policy::model::Keys;

use super::*;
use crate::activate::Activator;
use crate::assemble::{Frozen, assemble};
use crate::records::{self, Records, Target};
use crate::status::{Facts, Phase};
use crate::testing;

/// A status over one activation; the records thread lives as long as the second value.
fn status(directory: &Path, keys: Keys) -> (Arc<Status>, Records) {
    let frozen = Frozen::new(testing::policy(keys, None), testing::facts(), [7; 32]).unwrap();
    let chain = testing::write_chain(directory, "a", &["a.example"]);
    let assembled = assemble(frozen, &testing::node(directory, vec![chain]), 5).unwrap();
    let records =
        records::spawn(Target::File(directory.join("records")), vec![], vec![], &records::testing::sealing()).unwrap();
    let activator = Activator::start(assembled.frozen, Arena::new(), records.handle(), assembled.parts, 5).unwrap();
    let facts =
        Facts { version: "1.2.3", config_digest: testing::digest(0xc0), started_unix_s: 5, node: testing::node_key() };
    let workers = vec![Arc::new(WorkerStats::new(0)), Arc::new(WorkerStats::new(1))];
    let progress = Arc::clone(records.handle().progress());
    let status = Status::new(facts, workers, progress, Arc::clone(activator.swap()), assembled.moving);
    (Arc::new(status), records)
}

fn pinned() -> Keys {
    Keys::Pinned { jwks: testing::JWKS.to_owned() }
}

fn ask(stream: impl Read + Write, request: &str) -> (u16, String) {
    let mut stream = stream;
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

fn get(address: &str, path: &str) -> (u16, String) {
    ask(
        TcpStream::connect(address).unwrap(),
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
}

fn serve(status: &Arc<Status>) -> String {
    let bound = bind(&Place::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = bound.address();
    bound.serve(Arc::clone(status), vec![]).unwrap();
    address
}

#[test]
fn readiness_follows_the_life_of_the_process_and_its_workers() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let address = serve(&status);
    assert_eq!(get(&address, "/healthz").0, 200);
    let (code, text) = get(&address, "/readyz");
    assert!(code == 503 && text.contains("starting"), "{text}");
    status.enter(Phase::Serving);
    assert_eq!(get(&address, "/readyz").0, 200);
    status.workers[1].turn_unix_ns.set(clock::unix_ns() - 6_000_000_000);
    let (code, text) = get(&address, "/readyz");
    assert!(code == 503 && text.contains("worker 1 stands still"), "{text}");
    status.workers[1].turn_unix_ns.set(clock::unix_ns());
    status.enter(Phase::Draining);
    assert!(get(&address, "/readyz").1.contains("draining"));
    assert_eq!(get(&address, "/healthz").0, 200);
}

#[test]
fn an_issuer_without_keys_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Some(policy::model::ServerCa::System);
    let url = "http://127.0.0.1:1/".to_owned();
    let url = Keys::Url(policy::model::Fetched { url, refresh_s: 600, max_stale_s: 600, ca });
    let (status, _records) = status(directory.path(), url);
    status.enter(Phase::Serving);
    assert_eq!(status.unready(clock::unix_ns()), ["issuer \"corp\" has no keyset"]);
}

#[test]
fn metrics_hold_what_was_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    status.workers[0].exchanges.add(3);
    status.workers[0].observe_latency_us(600);
    status.workers[1].observe_latency_us(40_000_000);
    status.workers[1].reason(policy::reason::Reason::ScopeMissing);
    let text = get(&serve(&status), "/metrics").1;
    for line in [
        "adamant_exchanges_total{worker=\"0\"} 3",
        "adamant_reasons_total{reason=\"scope-missing\"} 1",
        "adamant_exchange_duration_seconds_bucket{le=\"0.0005\"} 0",
        "adamant_exchange_duration_seconds_bucket{le=\"0.001\"} 1",
        "adamant_exchange_duration_seconds_bucket{le=\"+Inf\"} 2",
        "adamant_exchange_duration_seconds_count 2",
        "adamant_build_info{version=\"1.2.3\"} 1.0",
        "adamant_keyset_keys{issuer=\"corp\"} 1.0",
        "adamant_keyset_failures_total{issuer=\"corp\"} 0",
        "process_open_fds ",
        "# EOF",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[test]
fn the_release_is_told_and_no_rule_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let text = get(&serve(&status), "/release").1;
    let document: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(document["release"], testing::facts().digest);
    assert_eq!(document["keysets"]["corp"]["version"], 1);
    assert_eq!(document["signers"][0], "ops");
    assert_eq!(document["table_sha256"].as_str().unwrap().len(), 71);
    assert!(!text.contains("rest...") && !text.contains("\"bot\""));
}

#[test]
fn what_is_not_in_force_has_no_dates() {
    use crate::status::{KeySetStatus, RevocationsStatus};
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let address = serve(&status);
    for serial in [0, 3] {
        let dated_unix_s = if serial == 0 { 0 } else { 1_800_000_000 };
        let [issued_unix_s, expires_unix_s] = [dated_unix_s; 2];
        let set = KeySetStatus { serial, unfilled: 1, issued_unix_s, expires_unix_s, ..KeySetStatus::default() };
        let list = RevocationsStatus { serial, issued_unix_s, expires_unix_s, ..RevocationsStatus::default() };
        (status.moving().key_set, status.moving().revocations) = (Some(set), Some(list));
        let document: serde_json::Value = serde_json::from_str(content(&get(&address, "/release").1)).unwrap();
        let metrics = get(&address, "/metrics").1;
        for of in ["key_set", "revocations"] {
            assert_eq!(document[of]["serial"], serial);
            for date in ["issued", "expires"] {
                assert_eq!(document[of].get(date).is_some(), serial > 0, "{of} {date}: {document}");
            }
            assert_eq!(metrics.contains(&format!("adamant_{of}_expiry_timestamp_seconds")), serial > 0, "{of}");
        }
    }
}

fn content(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn an_attestation_answers_the_nonce_and_is_signed_by_the_node() {
    use policy_release::attestation::{Attestation, Nonce};
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let address = serve(&status);
    let nonce = Nonce::new([7; 16]);
    let (code, answer) = get(&address, &format!("/attestation?nonce={nonce}"));
    assert_eq!(code, 200, "{answer}");
    let said = Attestation::open(content(&answer).as_bytes(), &nonce).unwrap();
    assert_eq!((said.node.id, said.version), (status.facts.node.id(), 7));
    assert!(!answer.contains("rest..."));
    assert!(Attestation::open(content(&answer).as_bytes(), &Nonce::new([8; 16])).is_err());
    let (_, readable) = get(&address, &format!("/release?nonce={nonce}"));
    let readable: Attestation = serde_json::from_str(content(&readable)).unwrap();
    assert_eq!((readable.nonce, readable.table_sha256), (Some(nonce), said.table_sha256));
    for wrong in [
        "nonce=",
        "nonce=short",
        "other=0123456789abcdef",
        "nonce=0123456789abcdef&a=b",
        &format!("nonce={}", "a".repeat(129)),
    ] {
        assert_eq!(get(&address, &format!("/attestation?{wrong}")).0, 400, "{wrong}");
        assert_eq!(get(&address, &format!("/release?{wrong}")).0, 400, "{wrong}");
    }
}

#[test]
fn signatures_are_bounded_and_those_without_a_nonce_are_shared() {
    use crate::bounds::ATTESTATIONS_PER_S_MAX;
    use policy_release::attestation::Nonce;
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let attester = Attester::new(status, true);
    let now = 5_000_000_000;
    let shared = attester.attest(None, now).unwrap();
    for at in 1..ATTESTATIONS_PER_S_MAX {
        assert_ne!(attester.attest(Some(Nonce::new([at as u8; 16])), now).unwrap(), shared);
    }
    let further = attester.attest(Some(Nonce::new([0; 16])), now).unwrap_err();
    assert!(further.to_string().contains("ask again"), "{further}");
    assert_eq!(attester.attest(None, now + 1).unwrap(), shared);
    assert!(attester.attest(Some(Nonce::new([0; 16])), now + 1_000_000_000).is_ok());
}

#[test]
fn web_pages_and_names_that_were_pointed_here_get_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let address = serve(&status);
    let code = |address: &str, fields: &str| {
        let request = format!("GET /release HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        ask(TcpStream::connect(address).unwrap(), &request).0
    };
    let own = format!("Host: {address}\r\n");
    let same_page = format!("{own}Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n");
    for good in ["Host: LocalHost:9901\r\n", "Host: [::1]:9901\r\n", "", &own, &same_page] {
        assert_eq!(code(&address, good), 200, "{good}");
    }
    for foreign in [
        "Host: evil.example\r\n",
        "Host: 127.0.0.1.evil.example:9901\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "Host: a b\r\n",
        &format!("{own}Sec-Fetch-Site: cross-site\r\n"),
        &format!("{own}Sec-Fetch-Site: same-site\r\n"),
        &format!("{own}Origin: https://evil.example\r\n"),
        &format!("{own}Origin: null\r\n"),
    ] {
        assert!((400..=403).contains(&code(&address, foreign)), "{foreign}");
    }
    let absolute = "GET http://evil.example/release HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(TcpStream::connect(&address).unwrap(), absolute).0, 403);
    // A browser cannot be led to a socket file.
    let path = directory.path().join("admin.sock");
    bind(&Place::Unix(path.clone())).unwrap().serve(Arc::clone(&status), vec![]).unwrap();
    let request = "GET /release HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(UnixStream::connect(&path).unwrap(), request).0, 200);
}

#[test]
fn everything_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let address = serve(&status);
    assert_eq!(get(&address, "/").0, 404);
    let post = "POST /release HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (code, text) = ask(TcpStream::connect(&address).unwrap(), post);
    assert!(code == 405 && text.to_lowercase().contains("allow: get, head"), "{text}");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(ADMIN_HEAD_BYTES_MAX));
    let (code, _) = ask(TcpStream::connect(&address).unwrap(), &long);
    assert!((400..500).contains(&code), "{code}");
}

#[test]
fn too_many_connections_are_closed_and_free_seats_serve_again() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let address = serve(&status);
    let held: Vec<_> = (0..ADMIN_CONNECTIONS_MAX).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut further = TcpStream::connect(&address).unwrap();
    assert_eq!(further.read(&mut [0]).unwrap_or(0), 0, "closed without an answer");
    drop(held);
    let served = (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let mut stream = TcpStream::connect(&address).unwrap();
        let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("200 OK")
    });
    assert!(served);
}

#[test]
fn a_unix_socket_is_private_and_not_taken_from_a_living_process() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let path = directory.path().join("admin.sock");
    // What a crashed process left behind is replaced.
    drop(UnixListener::bind(&path).unwrap());
    let bound = bind(&Place::Unix(path.clone())).unwrap();
    assert_eq!(bound.address(), format!("unix:{}", path.display()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    bound.serve(status, vec![]).unwrap();
    let (code, _) = ask(UnixStream::connect(&path).unwrap(), "GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(code, 200);
    assert!(matches!(bind(&Place::Unix(path)), Err(AdminError::InUse(_))));
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(bind(&Place::Unix(file)), Err(AdminError::Bind { .. })));
    assert!(matches!(bind(&Place::Tcp("0.0.0.0:0".parse().unwrap())), Err(AdminError::NotLoopback(_))));
}

/// Far more than there are seats, opened and left alone.
#[test]
fn idle_connections_keep_nobody_from_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _records) = status(directory.path(), pinned());
    let address = serve(&status);
    let mut idle = Vec::new();
    for _ in 0..ADMIN_CONNECTIONS_MAX * 3 {
        idle.push(TcpStream::connect(&address).unwrap());
    }
    for _ in 0..5 {
        assert_eq!(get(&address, "/healthz").0, 200);
    }
    // The oldest were closed, the newest were not.
    let closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    assert!(closed(idle.first_mut().unwrap()));
    assert!(!closed(idle.last_mut().unwrap()));
}
