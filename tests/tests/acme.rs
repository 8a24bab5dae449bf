//! Certificates of listeners from a real ACME server: the first one, renewals under load, a server that cannot be believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;
use tests::certificates::Authority;
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::pebble::{self, Character, EXTERNAL, Pebble};
use tests::policy::{PolicyText, open_to_all};
use tests::process::{eventually, free_port};
use tests::renewal::{HOST, serves, under_load, wait_for_refreshes};
use tests::small_disk::SmallDisk;
use tests::stream::Stream;

/// An order that failed once is placed again after a minute.
const SOON: Duration = Duration::from_secs(180);

fn character(looks_at: u16, life_s: u64) -> Character {
    Character { looks_at, life_s, rejects: 5, wants_external_account: false }
}

/// A source of that name, and what more stands in its table.
fn source(pebble: &Pebble, more: &str) -> String {
    format!(
        "[[certificate_source]]\nname = \"ca\"\nacme = {{ directory = \"{}\", ca = \"{}\", agree_to_terms = true{more} }}",
        pebble.directory_url(),
        pebble.ca().display()
    )
}

fn listener(port: u16, client: &str) -> String {
    format!(
        "address = \"127.0.0.1:{port}\"\ntls = {{ certificates = [{{ from = \"ca\", names = [\"{HOST}\"] }}], \
         client_certificates = \"{client}\" }}"
    )
}

/// The account and the certificate that it keeps for the next start, once they are written down.
fn kept(gateway: &Gateway) -> [PathBuf; 2] {
    let folder = gateway.directory().join("state/certificates");
    let files = || -> Vec<PathBuf> {
        let all = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        all.filter(|path| !path.file_name().unwrap().as_encoded_bytes().starts_with(b".")).collect()
    };
    assert!(eventually(SOON, || files().len() == 2), "{:?}", files());
    let is_account = |path: &PathBuf| path.extension().unwrap() == "json";
    let (account, certificate): (Vec<_>, Vec<_>) = files().into_iter().partition(is_account);
    [account[0].clone(), certificate[0].clone()]
}

/// Mutual TLS is required, which an ACME server has no certificate for.
#[test]
fn a_listener_gets_its_certificate_and_renews_it_with_no_connection_lost() {
    let Some(binary) = pebble::binary() else { return };
    let (origin, agents, port) = (RecordingOrigin::start(), Authority::new("agents"), free_port());
    let bot = agents.spiffe("spiffe://corp.test/bot");
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .client_ca("agents", "agents.pem")
        .agent("bot", "{ certificate = \"spiffe://corp.test/bot\", ca = \"agents\" }", &["all"], &[]);
    let mut pebble = Pebble::at(&binary);
    let deployment = Deployment::new()
        .file("agents.pem", &agents.pem)
        .listener(&listener(port, "required"))
        .with(&source(&pebble, ", contact = [\"mailto:ops@corp.example\"]"));
    let gateway = deployment.run(&policy.text());

    // Nobody to ask: the plain listener serves, the other one refuses in order, and both are told apart.
    gateway.tells("no certificate for api.test");
    // It may be that the server only finds its way here while others find the plain one ready.
    assert_eq!(gateway.admin("/readyz").status, 200);
    let said: serde_json::Value = serde_json::from_str(&gateway.admin("/release").text()).unwrap();
    assert_eq!(said["awaiting"], serde_json::json!([1]), "{said:#}");
    let awaits = |count: u8| format!("adamant_listener_awaits_certificate{{listener=\"1\"}} {count}");
    assert!(gateway.admin("/metrics").text().contains(&awaits(1)));
    let nobody = agents.client_config(Some(&bot));
    let refused = Client::connect_tls(gateway.tls_address(), HOST, &nobody).err().unwrap().to_string();
    assert!(refused.contains("alert"), "{refused}");
    assert_eq!(gateway.once(get("/", "")).status, 401);
    wait_for_refreshes(&gateway, "failed", 1);

    pebble.start(character(port, 23));
    assert!(eventually(SOON, || gateway.admin("/metrics").text().contains(&awaits(0))), "{}", gateway.stderr());
    let config = pebble.root().client_config(Some(&bot));
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());

    under_load(gateway.tls_address(), &config, || gateway.metric("certificates_obtained_total") >= 3.0);
    let taken = wait_for_refreshes(&gateway, "taken", 3);
    for pair in taken.windows(2) {
        assert_eq!(pair[0]["adamant.refresh.new"], pair[1]["adamant.refresh.old"]);
    }
    assert_eq!(taken[1]["adamant.refresh.source"].as_str(), Some(pebble.directory_url().as_str()));
    // No challenge is answered while no order is pending.
    let refuses = eventually(SOON, || {
        let mut asks = ClientConfig::clone(&config);
        asks.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let refused = Stream::connect_tls(gateway.tls_address(), HOST, &Arc::new(asks)).err();
        refused.is_some_and(|error| error.to_string().contains("NoApplicationProtocol"))
    });
    assert!(refuses);
    let told = gateway.admin("/metrics").text();
    assert!(told.contains("adamant_certificate_due_timestamp_seconds{chain="), "{told}");
}

#[test]
fn a_restart_serves_without_the_server_and_the_account_is_kept() {
    let Some(binary) = pebble::binary() else { return };
    let (origin, port) = (RecordingOrigin::start(), free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(Character { rejects: 30, wants_external_account: true, ..character(port, 3_600) });
    let external = format!(", external_account = {{ key_id = \"{}\", key = \"external.key\" }}", EXTERNAL.0);
    let mut gateway = Deployment::new()
        .file("external.key", EXTERNAL.1)
        .listener(&listener(port, "off"))
        .with(&source(&pebble, &external))
        .run(&open_to_all(origin.address()).text());
    let config = pebble.believer();
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());

    let folder = gateway.directory().join("state/certificates");
    let [_, certificate] = kept(&gateway);
    let mut secrets = vec![EXTERNAL.1.to_owned()];
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        let text = fs::read_to_string(&path).unwrap();
        secrets.push(match text.split_once("PRIVATE KEY-----\n") {
            Some((_, key)) => key.lines().next().unwrap().to_owned(),
            None => serde_json::from_str::<Value>(&text).unwrap()["key_pkcs8"].as_str().unwrap().to_owned(),
        });
    }
    assert_eq!(secrets.len(), 3, "a certificate with its key, and an account");

    pebble.stop();
    gateway.restart("TERM");
    assert!(serves(gateway.tls_address(), &config), "at once");
    assert_eq!(gateway.admin("/readyz").status, 200);
    let written = gateway.record_text() + &gateway.stderr() + &gateway.admin("/metrics").text();
    for secret in secrets {
        assert!(!written.contains(&secret));
    }
    fs::remove_file(&certificate).unwrap();
    assert!(eventually(SOON, || gateway.metric("certificate_failures_total") >= 1.0), "that it is gone is told");
    assert!(serves(gateway.tls_address(), &config), "and it serves on");
    let (_, shown, _) = gateway::run(&["audit", "show", "--rotations", "records.jsonl"], gateway.directory());
    assert!(shown.contains("obtained-certificate"), "{shown}");

    // One that is near its end is told of once, as what it is: also by a start that finds it.
    let day = Duration::from_secs(86_400);
    let near = Authority::new("near").server_between(HOST, 20 * day, 2 * day);
    fs::write(&certificate, near.certificate + &near.key).unwrap();
    fs::set_permissions(&certificate, fs::Permissions::from_mode(0o600)).unwrap();
    let told = |gateway: &Gateway| -> Vec<Value> {
        let records = gateway.record_text();
        let lines = records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["adamant.kind"] == "expiry").map(|line| line["adamant.expiry.of"].clone()).collect()
    };
    assert!(eventually(SOON, || told(&gateway) == ["obtained-certificate"]), "{:?}", told(&gateway));
    for _ in 0..3 {
        gateway.restart("TERM");
        let is_looked_at = || gateway.admin("/metrics").text().contains("of=\"obtained-certificate\"");
        assert!(eventually(SOON, is_looked_at), "{}", gateway.admin("/metrics").text());
        assert_eq!(told(&gateway), ["obtained-certificate"]);
    }
    let ended = Authority::new("near").server_between(HOST, 20 * day, Duration::ZERO);
    fs::write(&certificate, ended.certificate + &ended.key).unwrap();
    let (_, _, said) = gateway::run(&["run", "gateway.toml", "--check"], gateway.directory());
    assert!(said.contains(&format!("the certificate for {HOST} from ca ended at ")), "{said}");
}

/// The server looks elsewhere, where nobody is.
#[test]
fn what_cannot_be_proven_is_told_and_not_asked_for_all_the_time() {
    let Some(binary) = pebble::binary() else { return };
    let (origin, port) = (RecordingOrigin::start(), free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(character(free_port(), 3_600));
    let gateway = Deployment::new()
        .listener(&listener(port, "off"))
        .with(&source(&pebble, ""))
        .run(&open_to_all(origin.address()).text());
    gateway.tells("could not see that api.test is ours");
    gateway.tells("its port 443 to a listener with tls");
    let failed = wait_for_refreshes(&gateway, "failed", 1);
    assert!(failed[0]["error.message"].as_str().unwrap().contains("Failed to connect"), "{failed:?}");
    let admin = format!("http://{}", gateway.admin_address());
    let (_, said, _) = gateway::run(&["status", &admin], gateway.directory());
    assert!(said.contains("no new certificate for api.test from \"ca\" since 20"), "{said}");
    thread::sleep(Duration::from_secs(5));
    assert_eq!(gateway.metric("certificates_obtained_failures_total"), 1.0, "servers count what they refuse");
    assert_eq!(gateway.once(get("/", "")).status, 200, "what needs no certificate serves on");
}

/// On a port that is open while an order is pending, and at no other time; the listener itself may be anywhere.
#[test]
fn a_text_on_a_port_of_its_own_does_as_well() {
    let Some(binary) = pebble::binary() else { return };
    let (origin, port) = (RecordingOrigin::start(), free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(character(port, 23));
    let gateway = Deployment::new()
        .listener(&listener(0, "off"))
        .with(&source(&pebble, &format!(", http_challenge = \"127.0.0.1:{port}\"")))
        .run(&open_to_all(origin.address()).text());
    let config = pebble.believer();
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    let is_closed = || TcpStream::connect(("127.0.0.1", port)).is_err();
    assert!(eventually(SOON, is_closed), "closed once the order is done");
    // Where something else listens, that is told, and tried again.
    let held = eventually(SOON, || TcpListener::bind(("127.0.0.1", port)).map(std::mem::forget).is_ok());
    assert!(held);
    under_load(gateway.tls_address(), &config, || gateway.metric("certificates_obtained_failures_total") >= 1.0);
    gateway.tells(&format!("127.0.0.1:{port} cannot be listened on"));
}

/// An account that is larger than one can be is not read: another one takes its place.
#[test]
fn an_account_that_is_too_large_is_told_and_made_anew() {
    let Some(binary) = pebble::binary() else { return };
    let (origin, port) = (RecordingOrigin::start(), free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(character(port, 3_600));
    let mut gateway = Deployment::new()
        .listener(&listener(port, "off"))
        .with(&source(&pebble, ""))
        .run(&open_to_all(origin.address()).text());
    let config = pebble.believer();
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    let [account, certificate] = kept(&gateway);
    let grow = |bytes: usize| {
        let good = fs::read_to_string(&account).unwrap().trim_end().to_owned();
        let room = bytes - good.len();
        fs::write(&account, good + &" ".repeat(room)).unwrap();
        fs::remove_file(&certificate).unwrap();
    };
    grow(16 << 10);
    gateway.restart("TERM");
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    assert!(!gateway.stderr().contains("is not used"), "{}", gateway.stderr());
    kept(&gateway);
    grow((16 << 10) + 1);
    gateway.restart("TERM");
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    gateway.tells("the ACME account that was kept is not used");
    assert!(eventually(SOON, || fs::metadata(&account).is_ok_and(|of| of.len() < 16 << 10)), "made anew");
}

/// Nothing there can serve: nobody is to send anything.
#[test]
fn a_gateway_without_any_certificate_is_not_ready() {
    let origin = RecordingOrigin::start();
    let pebble = Pebble::at(std::path::Path::new("nobody-is-there"));
    let gateway = Deployment::new()
        .only_listener(&listener(free_port(), "off"))
        .with(&source(&pebble, ""))
        .run(&open_to_all(origin.address()).text());
    let ready = gateway.admin("/readyz");
    assert!(ready.status == 503 && ready.text().contains("listener 0 has no certificate yet"), "{}", ready.text());
}

/// What a server gave is written down as soon as there is room: it is not ordered again for that.
#[test]
fn a_certificate_that_finds_no_room_is_not_ordered_again() {
    let Some(binary) = pebble::binary() else { return };
    let (origin, port) = (RecordingOrigin::start(), free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(Character { rejects: 0, ..character(port, 30) });
    let deployment = Deployment::new()
        .listener(&listener(port, "off"))
        .with(&source(&pebble, ""))
        .prepare(&open_to_all(origin.address()).text());
    let Some(disk) = SmallDisk::mount(&deployment.directory().join("state"), 32_768) else { return };
    let mut command = Command::new(gateway::binary());
    command.args(["run", "gateway.toml", "--print-addresses", "addresses.json"]);
    let gateway = deployment.start(command).unwrap();
    let config = pebble.believer();
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    kept(&gateway);
    disk.fill_but(0);
    let failures = || gateway.metric("certificates_obtained_failures_total");
    assert!(eventually(SOON, || failures() >= 3.0), "{}", gateway.stderr());
    let issued = || pebble.log().matches("Issued certificate serial").count();
    assert_eq!(issued(), 2, "the first one, and the one that finds no room: {}", gateway.stderr());
    disk.empty();
    assert!(eventually(SOON, || gateway.metric("certificates_obtained_total") >= 2.0), "{}", gateway.stderr());
    assert_eq!(issued(), 2, "{}", gateway.stderr());
    assert!(serves(gateway.tls_address(), &config));
}
