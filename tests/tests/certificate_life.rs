//! What a certificate's end does: to the connection of the client that has it, to what runs on it, and to the operator, who
//! is told before. And the server's certificate, replaced again and again under load.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustls::{ClientConfig, HandshakeKind};
use tests::answer::{Answer, Content};
use tests::certificates::{Authority, Identity};
use tests::client::{Client, Ended, get};
use tests::deployment::Deployment;
use tests::gateway::{self, Gateway, binary};
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::scene::bearer;
use tests::stream::Stream;
use tests::tokens::{TokenKey, claims, jwks, now_s};

const HOST: &str = "api.test";
const BOT: &str = "spiffe://corp.test/bot";
const DAY: Duration = Duration::from_secs(86_400);
const SOON: Duration = Duration::from_secs(60);
/// Of what ends while it is in use, seconds: the next one is tried where it ended before.
const LIVES_S: [u64; 4] = [3, 6, 12, 24];

fn certified(origin: &RecordingOrigin, servers: &Authority, agents: &Authority) -> Gateway {
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .client_ca("agents", "agents.pem")
        .agent("bot", &format!("{{ certificate = \"{BOT}\", ca = \"agents\" }}"), &["all"], &[]);
    let deployment = Deployment::new().file("agents.pem", &agents.pem);
    deployment.tls_listener(&servers.server(&[HOST]), "required").run(&policy.text())
}

#[test]
fn an_idle_connection_is_closed_in_order_when_its_certificate_ends() {
    let (servers, agents, origin) = (Authority::new("servers"), Authority::new("agents"), RecordingOrigin::start());
    let gateway = certified(&origin, &servers, &agents);
    let short = servers.client_config(Some(&agents.spiffe_for(BOT, Duration::from_secs(9))));
    let long = servers.client_config(Some(&agents.spiffe(BOT)));
    let connect = |config| Client::connect_tls(gateway.tls_address(), HOST, config).unwrap();
    let (mut used, mut never_used, mut other) = (connect(&short), connect(&short), connect(&long));
    assert_eq!(used.exchange(get("/", "")).status, 200);
    assert_eq!(other.exchange(get("/", "")).status, 200);
    // The harness tells a missing close_notify as an error of its own.
    assert_eq!(used.with_timeout(SOON).try_response_to("GET").map_err(|why| why.contains("closed after")), Err(true));
    assert!(never_used.is_closed_within(SOON));
    assert_eq!(other.exchange(get("/", "")).status, 200);
    // A TLS 1.3 client that does not resume learns of its refusal when it reads.
    let status = Client::connect_tls(gateway.tls_address(), HOST, &short).ok().and_then(|mut client| {
        client.try_send(get("/", "").as_bytes()).ok()?;
        Some(client.try_response_to("GET").ok()?.status)
    });
    assert!(matches!(status, None | Some(401)), "nor is there another one: {status:?}");
}

#[test]
fn a_download_that_outlives_the_certificate_is_finished_and_is_the_last_one() {
    let (servers, agents) = (Authority::new("servers"), Authority::new("agents"));
    let chunks = vec![b"piece".to_vec(); 24];
    let slow = Content::Chunked { chunks, trailers: vec![], pause: Duration::from_millis(500) };
    let origin = RecordingOrigin::scripted(move |_, _| Answer::new(200).with_content(slow.clone()));
    let gateway = certified(&origin, &servers, &agents);
    let config = servers.client_config(Some(&agents.spiffe_for(BOT, Duration::from_secs(9))));
    let mut client = Client::connect_tls(gateway.tls_address(), HOST, &config).unwrap().with_timeout(SOON);
    let response = client.exchange(get("/", ""));
    assert_eq!((response.status, response.content.len()), (200, 120), "the whole of it");
    assert!(client.is_closed_within(SOON), "and then the connection ends");
    assert_eq!(gateway.wait_for_records(1)[0]["http.response.status_code"], 200);
}

/// What runs has half a minute more than its certificate, and is cut then; it is on record why.
#[test]
fn a_download_without_end_is_cut_half_a_minute_after_the_certificate() {
    let (servers, agents) = (Authority::new("servers"), Authority::new("agents"));
    let chunks = vec![b"piece".to_vec(); 6_000];
    let endless = Content::Chunked { chunks, trailers: vec![], pause: Duration::from_millis(50) };
    let origin = RecordingOrigin::scripted(move |_, _| Answer::new(200).with_content(endless.clone()));
    let gateway = certified(&origin, &servers, &agents);
    // On a machine that stands still meanwhile one may end before its download begins.
    let begun = LIVES_S.into_iter().find_map(|life_s| {
        let ends_s = now_s() + life_s;
        let config = servers.client_config(Some(&agents.spiffe_for(BOT, Duration::from_secs(life_s))));
        let mut client = Client::connect_tls(gateway.tls_address(), HOST, &config).ok()?;
        client.try_send(get("/", "").as_bytes()).ok()?;
        let (head, _) = client.read_until_quiet(SOON, Duration::from_millis(1));
        head.starts_with(b"HTTP/1.1 200").then_some((ends_s, client))
    });
    let (ends_s, mut client) = begun.expect("a download that begins");
    let (received, ended) = client.read_until_quiet(SOON, Duration::from_secs(20));
    let more_s = now_s().saturating_sub(ends_s);
    assert!(ended != Ended::Open && !received.ends_with(b"0\r\n\r\n"), "{ended:?} after {} bytes", received.len());
    // Of two clocks that tick in seconds; the origin would have gone on for minutes.
    assert!((28..150).contains(&more_s), "{more_s} s after its certificate");
    let answered = || {
        let records = gateway.records().into_iter();
        records.filter(|record| record["http.response.status_code"] == 200).collect::<Vec<_>>()
    };
    assert!(eventually(SOON, || answered().len() == 1), "{}", gateway.record_text());
    let record = &answered()[0];
    assert_eq!(
        (record["adamant.decision"].as_str(), record["adamant.reason"].as_str()),
        (Some("permit"), Some("certificate-expired")),
        "{record}"
    );
}

#[test]
fn a_token_that_ended_ends_its_connection_in_order_at_the_next_request() {
    let (servers, origin, key) =
        (Authority::new("servers"), RecordingOrigin::start(), TokenKey::generate("ES256", "k1"));
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(&["ES256"], "")
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
    let deployment = Deployment::new().file("corp.jwks.json", &jwks(&[&key]));
    let gateway = deployment.tls_listener(&servers.server(&[HOST]), "off").run(&policy.text());
    let connect = || Client::connect_tls(gateway.tls_address(), HOST, &servers.client_config(None)).unwrap();
    // On a machine that stands still meanwhile one may end before it is shown.
    let taken = LIVES_S.into_iter().find_map(|life_s| {
        let mut short = claims("bot");
        short["exp"] = (now_s() + life_s).into();
        let request = get("/", &bearer(&key.sign(&short)));
        let mut client = connect();
        (client.exchange(&request).status == 200).then_some((client, request, now_s() + life_s))
    });
    let (mut ended, request, past_s) = taken.expect("a token that is taken");
    let mut other = connect();
    let lasting = get("/", &bearer(&key.sign(&claims("bot"))));
    assert_eq!(other.exchange(&lasting).status, 200);
    assert!(eventually(SOON, || now_s() > past_s));
    let refused = ended.exchange(&request);
    assert_eq!((refused.status, refused.value("Connection")), (401, Some("close")));
    // The harness tells a missing close_notify as an error of its own.
    assert_eq!(ended.with_timeout(SOON).try_response_to("GET").map_err(|why| why.contains("closed after")), Err(true));
    assert_eq!(other.exchange(&lasting).status, 200, "the other one goes on");
}

/// Replaces key and chain as two renames, so that for a moment they do not fit.
fn replace(directory: &Path, identity: &Identity) {
    for (name, text, mode) in [("server.key", &identity.key, 0o600), ("server.pem", &identity.certificate, 0o644)] {
        let new = directory.join(format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(new, directory.join(name)).unwrap();
    }
}

#[test]
fn the_servers_certificate_moves_every_200_ms_and_no_request_fails() {
    let (servers, origin) = (Authority::new("servers"), RecordingOrigin::start());
    let deployment = Deployment::new().tls_listener(&servers.server(&[HOST]), "off");
    let gateway = deployment.run(&open_to_all(origin.address()).text());
    let stop = AtomicBool::new(false);
    let moved = || gateway.stderr().matches("a new certificate for api.test serves").count();
    thread::scope(|scope| {
        let load = |requests_a_connection: usize| {
            let config = servers.client_config(None);
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut client = Client::connect_tls(gateway.tls_address(), HOST, &config).unwrap();
                for _ in 0..requests_a_connection {
                    assert_eq!(client.exchange(get("/", "")).status, 200);
                    count += 1;
                    thread::sleep(Duration::from_millis(2));
                }
            }
            count
        };
        let workers = [scope.spawn(move || load(1)), scope.spawn(move || load(200))];
        let mut rounds = 0;
        // More where a busy machine comes to few of them.
        while rounds < 40 || (rounds < 400 && moved() < 5) {
            replace(gateway.directory(), &servers.server(&[HOST]));
            gateway.signal("HUP");
            thread::sleep(Duration::from_millis(200));
            rounds += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let requests: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        assert!(requests > 100, "{requests}");
    });
    assert!(moved() >= 5, "it did move: {} times", moved());
}

/// What a handshake with this server shows, and how it was made.
fn shown(gateway: &Gateway, config: &Arc<ClientConfig>) -> (Option<HandshakeKind>, Vec<u8>) {
    let mut client = Client::connect_tls(gateway.tls_address(), HOST, config).unwrap();
    // Its answer comes after the ticket for the next one.
    assert_eq!(client.exchange(get("/", "")).status, 200);
    let Stream::Client(stream) = client.stream() else { panic!("it is TLS") };
    (stream.conn.handshake_kind(), stream.conn.peer_certificates().unwrap()[0].to_vec())
}

/// So whoever asks which certificate serves must not resume: a session shows the one that it began with.
#[test]
fn a_new_certificate_is_shown_by_every_handshake_and_ends_no_session() {
    let (servers, origin) = (Authority::new("servers"), RecordingOrigin::start());
    let deployment = Deployment::new().tls_listener(&servers.server(&[HOST]), "off");
    let gateway = deployment.run(&open_to_all(origin.address()).text());
    let resumes = servers.client_config(None);
    let (kind, old) = shown(&gateway, &resumes);
    assert_eq!(kind, Some(HandshakeKind::Full));
    replace(gateway.directory(), &servers.server(&[HOST]));
    gateway.signal("HUP");
    assert!(eventually(SOON, || gateway.stderr().contains("a new certificate for api.test serves")));
    assert_eq!(shown(&gateway, &resumes), (Some(HandshakeKind::Resumed), old.clone()));
    for _ in 0..20 {
        let (kind, new) = shown(&gateway, &servers.client_config(None));
        assert!(kind == Some(HandshakeKind::Full) && new != old, "the old one does not come back");
    }
}

#[test]
fn the_operator_is_told_before_a_certificate_ends_and_once() {
    let (servers, origin) = (Authority::new("servers"), RecordingOrigin::start());
    let server = servers.server_between(HOST, 20 * DAY, 5 * DAY);
    let mut gateway = Deployment::new().tls_listener(&server, "off").run(&open_to_all(origin.address()).text());
    let lines = |gateway: &Gateway| gateway.record_text().matches("\"adamant.kind\":\"expiry\"").count();
    assert!(eventually(SOON, || lines(&gateway) == 1), "{}", gateway.record_text());
    assert!(gateway.record_text().contains("\"adamant.expiry.distance_s\":604800"), "{}", gateway.record_text());
    let told = eventually(SOON, || gateway.stderr().contains("ends in less than 7 days"));
    assert!(told, "{}", gateway.stderr());
    let shown = eventually(SOON, || {
        gateway.admin("/metrics").text().contains("adamant_expiry_timestamp_seconds{of=\"certificate\",name=\"")
    });
    assert!(shown, "{}", gateway.admin("/metrics").text());
    assert!(gateway.admin("/release").text().contains("\"ends\""));
    gateway.restart("TERM");
    assert!(eventually(SOON, || gateway.admin("/metrics").text().contains("adamant_expiry_timestamp_seconds{")));
    assert_eq!(lines(&gateway), 1, "not again after a restart");
}

#[test]
fn a_certificate_that_has_ended_is_told_before_a_start_and_by_status() {
    let (servers, origin) = (Authority::new("servers"), RecordingOrigin::start());
    let ended = servers.server_between(HOST, 20 * DAY, Duration::ZERO);
    let gateway = Deployment::new().tls_listener(&ended, "off").run(&open_to_all(origin.address()).text());
    let (ok, _, said) = gateway::run(&["run", "gateway.toml", "--check"], gateway.directory());
    assert!(ok.success(), "it would start: {said}");
    assert!(said.contains("warning: the certificate ") && said.contains(" ended at "), "{said}");
    let is_ready = || gateway.admin("/readyz").status == 200;
    assert!(eventually(SOON, is_ready), "what has ended may be replaced at any moment");
    let admin = format!("http://{}", gateway.admin_address());
    let mut shown = String::new();
    let told = eventually(SOON, || {
        let (ok, said, _) = gateway::run(&["status", &admin], gateway.directory());
        shown = said;
        !ok.success() && shown.contains("problem: certificate ") && shown.contains(" ENDED at ")
    });
    assert!(told, "{shown}");
    assert!(!shown.contains("note: certificate"), "{shown}");
}

#[test]
fn certificate_and_key_come_as_credentials_of_systemd() {
    let (servers, origin) = (Authority::new("servers"), RecordingOrigin::start());
    let listener = "address = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"credential:chain\", key = \
                    \"credential:key\" }] }";
    let prepared = || Deployment::new().listener(listener).prepare(&open_to_all(origin.address()).text());
    let credentials = tempfile::tempdir().unwrap();
    let put = |identity: &Identity| {
        for (name, text) in [("chain", &identity.certificate), ("key", &identity.key)] {
            let path = credentials.path().join(name);
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            // As stat shows the access control list that systemd sets.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        }
    };
    let command = |directory: Option<&Path>| {
        let mut command = Command::new(binary());
        command.args(["run", "gateway.toml", "--print-addresses", "addresses.json"]);
        command.env_remove("CREDENTIALS_DIRECTORY");
        directory.iter().for_each(|directory| _ = command.env("CREDENTIALS_DIRECTORY", directory));
        command
    };
    let refused = prepared().start(command(None)).err().unwrap();
    assert!(refused.contains("$CREDENTIALS_DIRECTORY") && refused.contains("LoadCredential="), "{refused}");
    let (first, second) = (servers.server(&[HOST]), servers.server(&[HOST]));
    put(&first);
    let gateway = prepared().start(command(Some(credentials.path()))).unwrap();
    let served = || {
        let config = servers.client_config(None);
        let mut stream = Stream::connect_tls(gateway.tls_address(), HOST, &config).unwrap();
        let _ = stream.set_read_timeout(Duration::from_millis(1));
        let _ = stream.read(&mut [0; 1]);
        let Stream::Client(stream) = stream else { panic!("a TLS stream is one of a client") };
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    };
    let before = served();
    put(&second);
    assert!(eventually(SOON, || served() != before), "watched like files: {}", gateway.stderr());
}
