//! Many gateways: what they attest, who may ask, and `adamant status`, which finds those that differ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
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

/// Connections that the status listener takes at the same time (`STATUS_CONNECTIONS_MAX`).
const STATUS_CONNECTIONS: usize = 32;
/// TLS handshakes that it begins in one second (`STATUS_HANDSHAKES_PER_S_MAX`).
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
    let (status, stdout, stderr) = run(&[&["status"], arguments].concat(), Path::new("."));
    assert!(matches!(status.code(), Some(0 | 1)), "{status}: {stderr}");
    (status.success(), stdout + &stderr)
}

fn status_json(arguments: &[&str]) -> Value {
    let (_, stdout, stderr) = run(&[&["status", "--format", "json"], arguments].concat(), Path::new("."));
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
    // Without an expectation a difference is told and is no fault.
    let (fine, said) = status(&hosts);
    assert!(fine && said.contains("2 different releases:"), "{said}");

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
    assert!(eventually(Duration::from_secs(20), || all(release(&gateway))), "{}", release(&gateway));
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
    gateway.signal("TERM");
    assert!(gateway.wait(Duration::from_secs(10)).is_some());
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

/// A CA of gateways, a CA of those who may ask, and a gateway with a status listener under them.
struct Mutual {
    gateways: Authority,
    askers: Authority,
    gateway: Gateway,
}

impl Mutual {
    fn new() -> Self {
        let (gateways, askers) = (Authority::new("gateways"), Authority::new("askers"));
        let server = gateways.server(&["127.0.0.1"]);
        let deployment = Deployment::new()
            .file("status.pem", &server.certificate)
            .file("status.key", &server.key)
            .file("askers.pem", &askers.pem)
            .file("gateways.pem", &gateways.pem);
        let lines = "[status]\naddress = \"127.0.0.1:0\"\ntls = { chain = \"status.pem\", key = \"status.key\" }\n\
                     client_ca = \"askers.pem\"\n";
        let gateway = deployment.with(lines).run(&policy().text());
        Self { gateways, askers, gateway }
    }

    fn asker(&self) -> Identity {
        self.askers.spiffe("spiffe://fleet/operator")
    }

    fn host(&self) -> String {
        format!("https://{}", self.gateway.status_address())
    }

    /// The options of a command that asks with this certificate.
    fn access(&self, of: &Identity) -> Vec<String> {
        let directory = self.gateway.directory();
        let (certificate, key) = (directory.join("me.pem"), directory.join("me.key"));
        fs::write(&certificate, &of.certificate).unwrap();
        fs::write(&key, &of.key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let options = [("--ca", directory.join("gateways.pem")), ("--cert", certificate), ("--key", key)];
        options.iter().flat_map(|(name, path)| [(*name).to_owned(), path.to_str().unwrap().to_owned()]).collect()
    }

    /// `adamant status` with this certificate.
    fn status(&self, of: &Identity) -> (bool, String) {
        let (host, access) = (self.host(), self.access(of));
        status(&[host.as_str()].into_iter().chain(access.iter().map(String::as_str)).collect::<Vec<_>>())
    }

    fn get(&self, config: &std::sync::Arc<ClientConfig>, path: &str) -> Result<u16, String> {
        let address = self.gateway.status_address();
        let mut client = Client::connect_tls(address, "127.0.0.1", config).map_err(|error| error.to_string())?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.try_send(request.as_bytes()).map_err(|error| error.to_string())?;
        Ok(client.try_response_to("GET")?.status)
    }
}

#[test]
fn the_status_listener_answers_those_with_a_certificate_and_nobody_else() {
    let mutual = Mutual::new();
    let (fine, said) = mutual.status(&mutual.asker());
    assert!(fine, "{said}");
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    for (path, expected) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/release", 200), ("/attestation", 200), ("/", 404)]
    {
        assert_eq!(mutual.get(&known, path), Ok(expected), "{path}");
    }
    let strangers = Authority::new("askers");
    for (who, refused) in [
        ("without", mutual.gateways.client_config(None)),
        ("of another CA", mutual.gateways.client_config(Some(&strangers.spiffe("spiffe://fleet/operator")))),
        ("of the gateways' own CA", mutual.gateways.client_config(Some(&mutual.gateways.spiffe("spiffe://a/b")))),
        ("expired", mutual.gateways.client_config(Some(&mutual.askers.expired_spiffe("spiffe://fleet/operator")))),
    ] {
        assert!(mutual.get(&refused, "/healthz").is_err(), "a certificate: {who}");
    }
    let (fine, said) = mutual.status(&strangers.spiffe("spiffe://fleet/operator"));
    // Where its refusal comes before our request; a reset of the connection otherwise.
    assert!(!fine && (said.contains("it refuses our certificate") || said.contains("no answer: ")), "{said}");
    let (fine, said) = status(&[&format!("https://{}", mutual.gateway.status_address())]);
    assert!(!fine && said.contains("give --ca, --cert and --key"), "{said}");
    // Plain HTTP gets nothing at all.
    let mut plain = TcpStream::connect(mutual.gateway.status_address()).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1"));
}

#[test]
fn what_a_gateway_elsewhere_serves_is_compared() {
    let mutual = Mutual::new();
    let directory = mutual.gateway.directory();
    let served = release(&mutual.gateway)["release"].as_str().unwrap().to_owned();
    fs::create_dir_all(directory.join("store/releases")).unwrap();
    let name = format!("store/releases/{}.json", served.replace(':', "-"));
    fs::copy(directory.join("release.json"), directory.join(name)).unwrap();
    let (gateway, access) = (format!("gateway:{}", mutual.host()), mutual.access(&mutual.asker()));
    let line = ["diff", &gateway, &served, "--store", "store"];
    let line: Vec<&str> = line.into_iter().chain(access.iter().map(String::as_str)).collect();
    let (status, stdout, stderr) = run(&line, directory);
    assert!(status.success() && stdout.contains("same"), "{stdout}{stderr}");
}

#[test]
fn the_status_listener_is_bounded_in_connections_and_in_their_time() {
    let mutual = Mutual::new();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    let address = mutual.gateway.status_address();
    let held: Vec<TcpStream> = (0..STATUS_CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert!(mutual.get(&known, "/healthz").is_err(), "no seat is free");
    assert_eq!(mutual.gateway.admin("/healthz").status, 200, "the admin listener has seats of its own");
    // Those who say nothing are closed, and whoever speaks is served.
    let begun = Instant::now();
    assert!(eventually(Duration::from_secs(15), || mutual.get(&known, "/healthz") == Ok(200)));
    assert!(begun.elapsed() > Duration::from_secs(3), "it was the time limit that freed them");
    drop(held);
}

#[test]
fn handshakes_of_the_status_listener_are_paced() {
    let mutual = Mutual::new();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    let begun = Instant::now();
    for _ in 0..2 * HANDSHAKES + HANDSHAKES / 2 {
        drop(TcpStream::connect(mutual.gateway.status_address()).unwrap());
    }
    assert!(eventually(Duration::from_secs(15), || mutual.get(&known, "/healthz") == Ok(200)));
    assert!(begun.elapsed() > Duration::from_secs(1), "whoever came later has waited");
}

/// Takes its whole five minutes: `FULL=1`.
#[test]
fn a_connection_to_the_status_listener_ends() {
    if std::env::var_os("FULL").is_none() {
        return;
    }
    let mutual = Mutual::new();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    let mut client = Client::connect_tls(mutual.gateway.status_address(), "127.0.0.1", &known).unwrap();
    let begun = Instant::now();
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    while client.try_send(request).is_ok() && client.try_response_to("GET").is_ok() {
        assert!(begun.elapsed() < CONNECTION + Duration::from_secs(20), "it is still open");
        thread::sleep(Duration::from_secs(5));
    }
    assert!(begun.elapsed() > CONNECTION - Duration::from_secs(20), "closed after {:?}", begun.elapsed());
}

#[test]
fn the_status_listener_takes_new_files_and_keeps_its_old_ones_over_bad_ones() {
    let mutual = Mutual::new();
    let directory = mutual.gateway.directory();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    fs::write(directory.join("askers.pem"), "nonsense").unwrap();
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(mutual.get(&known, "/healthz"), Ok(200));
    assert!(mutual.gateway.stderr().contains("keeps its old certificate"), "{}", mutual.gateway.stderr());
    let others = Authority::new("others");
    fs::write(directory.join("askers.pem"), &others.pem).unwrap();
    let other = mutual.gateways.client_config(Some(&others.spiffe("spiffe://fleet/operator")));
    assert!(eventually(Duration::from_secs(5), || mutual.get(&other, "/healthz") == Ok(200)));
    assert!(mutual.get(&known, "/healthz").is_err(), "the old CA is no longer trusted");
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
    let (fine, said) = status(&["http://127.0.0.1:1", "--node-key", "x"]);
    assert!(!fine && said.contains("--node-key: x: cannot be read") && said.contains("adamant-ed25519:"), "{said}");
}
