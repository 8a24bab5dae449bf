//! Many gateways: what they attest, who may ask, and `adamant status`, which finds those that differ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "fleet/mutual.rs"]
mod mutual;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;
use tests::certificates::{Authority, Identity};
use tests::client::Client;
use tests::deployment::Deployment;
use tests::gateway::{Gateway, run};
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;

/// Connections of the status listener at the same time with a certificate (`STATUS_CONNECTIONS_MAX`), and before it is shown
/// (`STATUS_STRANGERS_MAX`).
const STATUS_CONNECTIONS: usize = 32;
const STATUS_STRANGERS: usize = 64;
/// TLS handshakes that it answers in one second (`STATUS_HANDSHAKES_PER_S_MAX`).
const HANDSHAKES: usize = 50;
/// Longest life of one connection to it (`STATUS_CONNECTION_S_MAX`).
const CONNECTION: Duration = Duration::from_secs(300);
/// Signatures in one second (`ATTESTATIONS_PER_S_MAX`).
const ATTESTATIONS: usize = 50;

fn policy() -> PolicyText {
    open_to_all("192.0.2.1:80".parse().unwrap())
}

fn gateway() -> Gateway {
    Deployment::new().run(&policy().text())
}

/// A gateway whose policy has one more agent.
fn drifted() -> Gateway {
    let policy = policy().agent("more", "{ api_key = [\"k\"] }", &["all"], &[]);
    Deployment::new().run(&policy.with("[[api_key]]\nid = \"k\"\n").text())
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn node_key(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.directory().join("state/node.pub")).unwrap().trim().to_owned()
}

fn release(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.admin("/release").text()).unwrap()
}

/// `adamant status ARGUMENTS`: whether it was content, and all that it said.
fn status(arguments: &[&str]) -> (bool, String) {
    let (status, stdout, stderr) = in_time(&[&["status"], arguments].concat());
    assert!(matches!(status.code(), Some(0 | 1)), "{status}: {stderr}");
    (status.success(), stdout + &stderr)
}

/// Runs the command, and again where a machine that stood still for seconds had no answer in time.
fn in_time(line: &[&str]) -> (ExitStatus, String, String) {
    let runs = || run(line, Path::new("."));
    let is_late = |(_, stdout, stderr): &(ExitStatus, String, String)| {
        [stdout, stderr].iter().any(|said| said.contains("no answer within"))
    };
    (0..5).map(|_| runs()).find(|said| !is_late(said)).unwrap_or_else(runs)
}

fn status_json(arguments: &[&str]) -> Value {
    let (_, stdout, stderr) = in_time(&[&["status", "--format", "json"], arguments].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
}

#[test]
fn gateways_of_one_release_agree_and_one_that_drifted_is_found() {
    let (one, two, other) = (gateway(), gateway(), drifted());
    let hosts = [&one, &two, &other].map(|gateway| url(gateway.admin_address()));
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let digest = release(&one)["release"].as_str().unwrap().to_owned();
    let tables = [&one, &two, &other].map(|gateway| release(gateway)["table_sha256"].as_str().unwrap().to_owned());
    assert_eq!(tables[0], tables[1], "a table is a function of its release");
    assert_ne!(tables[0], tables[2]);

    let (fine, said) = status(&[hosts[0], hosts[1], "--expect", &digest]);
    assert!(fine && said.contains("2 gateways, 0 with problems"), "{said}");
    let file = one.directory().join("release.json");
    let (fine, said) = status(&[&hosts[..], &["--expect-release", file.to_str().unwrap()]].concat());
    assert!(!fine && said.contains("problems at 1 of 3 gateways"), "{said}");
    assert!(said.contains("problem: serves sha256:") && said.contains(&format!("expected {digest}")), "{said}");
    // Without an expectation the one that differs from the others is at fault, and of two that differ either may be.
    let (fine, said) = status(&hosts);
    assert!(!fine && said.contains("2 different releases:") && said.contains("problems at 1 of 3 gateways"), "{said}");
    assert!(said.contains(&format!("of the same policy and channel, serves {digest}")), "{said}");
    let found = status_json(&hosts[1..]);
    assert_eq!((&found["ok"], &found["gateways"][0]["problems"][0]["code"]), (&false.into(), &"drifted".into()));
    assert!(status(&hosts[..2]).0);

    drop(two);
    let found = status_json(&[&hosts[..], &["--expect", &digest]].concat());
    assert_eq!(found["ok"], false);
    let codes = |at: usize| found["gateways"][at]["problems"].as_array().unwrap().clone();
    assert!(codes(0).is_empty());
    assert_eq!(codes(1)[0]["code"], "unreachable");
    assert_eq!(codes(2)[0]["code"], "drifted");
    assert_eq!(found["gateways"][0]["answer"]["release"], digest);
}

#[test]
fn what_is_attested_names_digests_and_no_rule() {
    let gateway = Deployment::new().records("checkpoint_interval = \"1s\"").run(&policy().text());
    let all = |said: Value| {
        let measured = said["binary_sha256"].is_string() && said["memory"]["hashed"].is_string();
        measured && said["checkpoint"]["size"].as_u64().is_some_and(|size| size > 0)
    };
    assert!(eventually(Duration::from_secs(60), || all(release(&gateway))), "{}", release(&gateway));
    let said = release(&gateway);
    assert_eq!(said["type"], "adamant.attestation.v1");
    assert_eq!(said["node"]["key"], node_key(&gateway));
    for member in ["release", "table_sha256", "config", "binary_sha256"] {
        assert_eq!(said[member].as_str().unwrap().len(), 71, "{member}: {said}");
    }
    assert_eq!((&said["phase"], &said["signers"][0]), (&"serving".into(), &"tester".into()));
    assert!(!said["kernel"].as_str().unwrap().is_empty());
    let attested = gateway.admin("/attestation?nonce=0123456789abcdef");
    assert_eq!(attested.value("content-type"), Some("application/vnd.dsse.envelope.v1+json"));
    let envelope: Value = serde_json::from_str(&attested.text()).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.adamant.attestation.v1+json");
    assert_eq!(envelope["signatures"][0]["keyid"], said["node"]["id"]);
    for text in [said.to_string(), gateway.admin("/attestation").text()] {
        assert!(!text.contains("rest...") && !text.contains("anyone") && !text.contains("192.0.2.1"), "{text}");
    }
}

#[test]
fn a_key_that_was_not_pinned_is_told_and_not_silently_trusted() {
    let (one, two) = (gateway(), gateway());
    let (first, second) = (url(one.admin_address()), url(two.admin_address()));
    let key = node_key(&one);
    assert!(status(&[&first, "--node-key", &key]).0);
    let (fine, said) = status(&[&first, &second, "--node-key", &key]);
    assert!(!fine && said.contains("signed, but by a key you did not pin"), "{said}");
    let (fine, said) = status(&[&first]);
    assert!(fine && said.contains("? a node key that is not pinned"), "{said}");
    // Pinned each for itself, one gateway's answer is no answer of the other.
    let pins = one.directory().join("pins");
    let (one_key, two_key) = (node_key(&one), node_key(&two));
    fs::write(&pins, format!("{one_key} {first}\n{two_key} {second} # the other\n")).unwrap();
    let pins = pins.to_str().unwrap();
    assert!(status(&[&first, &second, "--node-keys", pins]).0);
    let relay = Between::new(two.admin_address(), |answer| answer);
    fs::write(pins, format!("{one_key} {}\n{two_key} {second}\n", url(relay.address))).unwrap();
    let (fine, said) = status(&[&url(relay.address), "--node-keys", pins]);
    assert!(!fine && said.contains("but the key pinned for it is"), "{said}");
    assert!(!fine && said.contains(&format!("(pinned for {second})")), "{said}");
    fs::write(pins, format!("{two_key} {second}\n")).unwrap();
    let (fine, said) = status(&[&url(relay.address), "--node-keys", pins]);
    assert!(!fine && said.contains(&format!("by the key that is pinned for {second}: ")), "{said}");
    let (fine, said) = status(&[&second, &url(relay.address)]);
    assert!(!fine && said.contains("runs since the same moment: one gateway at two addresses"), "{said}");
    let file = two.directory().join("state/node.pub").display().to_string();
    assert!(status(&[&second, "--node-key", &file]).0);
}

#[test]
fn the_node_key_stays_and_one_that_others_could_read_stops_the_start() {
    let mut gateway = gateway();
    let key = node_key(&gateway);
    gateway.restart("TERM");
    assert_eq!(release(&gateway)["node"]["key"], key);
    let file = gateway.directory().join("state/node.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // It is no signer's, and not taken for one.
    for name in ["state/node.pub", "state/node.key"] {
        let signer = format!("edge={name}");
        let init = [
            "trust",
            "init",
            "--key",
            &signer,
            "--threshold",
            "1",
            "--expires",
            "2100-01-01T00:00:00Z",
            "--out",
            "r.json",
        ];
        let (ended, _, said) = run(&init, gateway.directory());
        assert!(
            !ended.success() && said.contains("expected the key of a signer, found the key of a gateway's"),
            "{said}"
        );
    }
    let sign = ["release", "sign", "release.json", "--key", "state/node.key", "--out", "signed.json"];
    let (_, _, said) = run(&sign, gateway.directory());
    assert!(
        said.contains("warning: state/node.key: the key of a gateway's node: whoever takes that gateway"),
        "{said}"
    );
    gateway.signal("TERM");
    assert!(gateway.wait(Duration::from_secs(60)).is_some());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (ended, _, said) = run(&["run", "gateway.toml"], gateway.directory());
    assert!(!ended.success() && said.contains("mode 0644") && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "damaged").unwrap();
    let (ended, _, said) = run(&["run", "gateway.toml"], gateway.directory());
    assert!(!ended.success() && said.contains("node.key") && said.contains("remove it for a new key"), "{said}");
}

/// Something between the asker and a gateway: passes requests on, and changes the answers.
struct Between {
    address: SocketAddr,
}

impl Between {
    fn new(to: SocketAddr, change: impl Fn(Vec<u8>) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for asker in listener.incoming() {
                let mut asker = asker.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while !request.ends_with(b"\r\n\r\n") {
                    match asker.read(&mut piece) {
                        Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
                        _ => break,
                    }
                }
                let mut gateway = TcpStream::connect(to).unwrap();
                gateway.write_all(&request).unwrap();
                let mut answer = Vec::new();
                gateway.read_to_end(&mut answer).unwrap();
                let _ = asker.write_all(&change(answer));
            }
        });
        Self { address }
    }
}

#[test]
fn an_answer_that_was_changed_or_replayed_on_its_way_is_not_believed() {
    let gateway = gateway();
    let honest = Between::new(gateway.admin_address(), |answer| answer);
    assert!(status(&[&url(honest.address)]).0, "a mere passing on is no harm");
    // One character of the payload, in the middle.
    let changed = Between::new(gateway.admin_address(), |mut answer| {
        let at = answer.len() / 2;
        answer[at] = if answer[at] == b'A' { b'B' } else { b'A' };
        answer
    });
    let found = status_json(&[&url(changed.address)]);
    assert_eq!(found["gateways"][0]["problems"][0]["code"], "not-believed", "{found}");
    let first = Mutex::new(None);
    let replayed =
        Between::new(gateway.admin_address(), move |answer| first.lock().unwrap().get_or_insert(answer).clone());
    assert!(status(&[&url(replayed.address)]).0, "the first one is fresh");
    let (fine, said) = status(&[&url(replayed.address)]);
    assert!(!fine && said.contains("an old answer was replayed"), "{said}");
    // Something that is no gateway at all.
    let mute =
        Between::new(gateway.admin_address(), |_| b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nno\n".to_vec());
    let (fine, said) = status(&[&url(mute.address)]);
    assert!(!fine && said.contains("expected an attestation, found status 404 Not Found: no"), "{said}");
}

#[test]
fn asking_costs_a_bounded_number_of_signatures() {
    let gateway = gateway();
    let second = Instant::now();
    let answers: Vec<u16> = (0..4 * ATTESTATIONS)
        .map(|at| gateway.admin(&format!("/attestation?nonce=0123456789abcdef{at}")).status)
        .collect();
    let seconds = second.elapsed().as_secs() as usize + 2;
    let signed = answers.iter().filter(|answer| **answer == 200).count();
    assert!(signed >= ATTESTATIONS && signed <= seconds * ATTESTATIONS, "{signed} in {seconds} s");
    assert!(answers.iter().all(|answer| matches!(answer, 200 | 503)), "{answers:?}");
    assert!(status(&[&url(gateway.admin_address())]).0, "an honest asker waits and is answered");
}

#[test]
fn wrong_command_lines_are_told_what_was_expected() {
    for (arguments, expected) in [
        (&[][..], "required"),
        (&["gw1:9902"], "expected a gateway like http://127.0.0.1:9901"),
        (&["http://127.0.0.1:1", "--expect", "sha256:00"], "sha256"),
        (&["http://127.0.0.1:1", "--store", "d"], "--channel"),
        (&["https://127.0.0.1:1", "--ca", "ca.pem"], "--cert"),
    ] {
        let (ended, _, said) = run(&[&["status"], arguments].concat(), Path::new("."));
        assert_eq!(ended.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let (server_ca, directory) = (Authority::new("server CA"), tempfile::tempdir().unwrap());
    let gateway = Deployment::new().tls_listener(&server_ca.server(&["api.test"]), "off").run(&policy().text());
    let (fine, said) = status(&[&url(gateway.tls_address())]);
    assert!(!fine && said.contains("what it answers is no HTTP: does it speak TLS?"), "{said}");
    for (name, text) in [
        ("ca.pem", &server_ca.pem),
        ("cert.pem", &server_ca.spiffe("spiffe://a.test/b").certificate),
        ("key.pem", &server_ca.spiffe("spiffe://a.test/b").key),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    fs::set_permissions(directory.path().join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let asked = ["status", "https://127.0.0.1:1", "--ca", "ca.pem", "--cert", "cert.pem", "--key", "key.pem"];
    let (_, _, said) = run(&asked, directory.path());
    assert!(said.contains("cert.pem and key.pem do not belong together; name the key"), "{said}");
    let (fine, said) = status(&["http://127.0.0.1:1", "--node-key", "x"]);
    assert!(!fine && said.contains("--node-key: x: cannot be read") && said.contains("adamant-ed25519:"), "{said}");
}
