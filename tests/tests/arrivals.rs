//! Where clients come from: behind proxies that are trusted or not, and through sockets that systemd passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::gateway::{Gateway, binary};
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::scene::Scene;

const TRUSTING: &str = "address = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";

/// A gateway with this listener; everybody may call five times a day, counted by address.
fn counted(listener: &str) -> Scene {
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &["5/day quota per subject"]);
    Scene { gateway: Deployment::new().only_listener(listener).run(&policy.text()), origin }
}

/// A PROXY protocol v2 header: command, family, and what follows.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length, rest].concat()
}

fn for_ipv4(source: Ipv4Addr) -> Vec<u8> {
    header(1, 0x11, &[&source.octets()[..], &[127, 0, 0, 1], &40_000_u16.to_be_bytes(), &80_u16.to_be_bytes()].concat())
}

fn for_ipv6(source: Ipv6Addr) -> Vec<u8> {
    let ports = [&40_000_u16.to_be_bytes()[..], &80_u16.to_be_bytes()].concat();
    header(1, 0x21, &[&source.octets()[..], &Ipv6Addr::LOCALHOST.octets(), &ports].concat())
}

/// Status of a request on a connection that begins with these bytes; none where it is dropped.
fn behind(address: SocketAddr, first: &[u8]) -> Option<u16> {
    let mut client = Client::connect(address).with_timeout(Duration::from_secs(60));
    client.try_send(&[first, get("/", "").as_bytes()].concat()).ok()?;
    Some(client.try_response_to("GET").ok()?.status)
}

#[test]
fn a_proxy_header_says_who_the_client_is() {
    let scene = counted(&format!("{TRUSTING}\nproxy_protocol = true"));
    for (number, (first, source)) in [
        (for_ipv4("198.51.100.7".parse().unwrap()), "198.51.100.7"),
        (for_ipv6("2001:db8::7".parse().unwrap()), "2001:db8::7"),
        (for_ipv6("::ffff:198.51.100.8".parse().unwrap()), "198.51.100.8"),
        (header(0, 0, b""), "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(behind(scene.address(), &first), Some(200), "{source}");
        let request = scene.origin.last_of(number + 1);
        assert_eq!(request.value("X-Forwarded-For"), Some(source));
        assert!(
            request.value("Forwarded").is_some_and(|value| value.contains(source)),
            "{:?}",
            request.value("Forwarded")
        );
    }
    let mut tagged = for_ipv4("198.51.100.9".parse().unwrap());
    let more = [0x03, 0, 4, 1, 2, 3, 4];
    let length = u16::try_from(12 + more.len()).unwrap().to_be_bytes();
    tagged.splice(14..16, length);
    tagged.extend_from_slice(&more);
    assert_eq!(behind(scene.address(), &tagged), Some(200), "what follows the addresses is passed over");
    let records = scene.gateway.wait_for_records(5);
    assert_eq!(records[0]["client.address"], "198.51.100.7");
}

#[test]
fn limits_count_by_the_address_of_a_proxy_header() {
    let scene = counted(&format!("{TRUSTING}\nproxy_protocol = true"));
    let tries = |source: Vec<u8>| (0..8).filter(|_| behind(scene.address(), &source) == Some(200)).count();
    assert_eq!(tries(for_ipv4("198.51.100.1".parse().unwrap())), 5);
    assert_eq!(tries(for_ipv4("198.51.100.2".parse().unwrap())), 5, "another client has its own");
    assert_eq!(tries(for_ipv6("2001:db8::1".parse().unwrap())), 5);
    assert_eq!(tries(for_ipv6("2001:db8::2".parse().unwrap())), 0, "one /64 is one client");
}

#[test]
fn a_proxy_header_comes_in_pieces_and_before_tls() {
    let (authority, origin) = (Authority::new("server CA"), RecordingOrigin::start());
    let gateway = Deployment::new()
        .tls_listener(&authority.server(&["api.test"]), "off")
        .listener(&format!("{TRUSTING}\nproxy_protocol = true"))
        .listener(&format!(
            "{TRUSTING}\nproxy_protocol = true\ntls = {{ certificates = [{{ chain = \"server.pem\", key = \"server.key\" }}] }}"
        ))
        .run(&open_to_all(origin.address()).text());
    let addresses = fs::read_to_string(gateway.directory().join("addresses.json")).unwrap();
    let addresses: tests::gateway::Addresses = serde_json::from_str(&addresses).unwrap();
    let (plain, tls) = (addresses.listeners[2].address, addresses.listeners[3].address);
    let first = for_ipv4("198.51.100.7".parse().unwrap());
    let mut client = Client::connect(plain);
    for byte in &first {
        client.send([*byte]);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(client.exchange(get("/", "")).status, 200);
    assert_eq!(origin.last_of(1).value("X-Forwarded-For"), Some("198.51.100.7"));
    // The harness cannot put bytes before its handshake: a relay in between does.
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = relay.local_addr().unwrap();
    thread::spawn(move || relay_with(&relay, tls, &first));
    let mut client = Client::connect_tls(address, "api.test", &authority.client_config(None)).unwrap();
    assert_eq!(client.exchange(get("/", "")).status, 200);
    let request = origin.last_of(2);
    assert_eq!(
        (request.value("X-Forwarded-For"), request.value("X-Forwarded-Proto")),
        (Some("198.51.100.7"), Some("https"))
    );
}

/// Passes one connection on to `to`, with `first` before its own bytes.
fn relay_with(listener: &TcpListener, to: SocketAddr, first: &[u8]) {
    use std::io::Write;
    let (mut from, _) = listener.accept().unwrap();
    let mut onward = std::net::TcpStream::connect(to).unwrap();
    onward.write_all(first).unwrap();
    let (mut back_from, mut back_to) = (onward.try_clone().unwrap(), from.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
    let _ = std::io::copy(&mut from, &mut onward);
}

#[test]
fn connections_without_a_good_header_or_from_others_are_dropped() {
    let scene = counted(&format!("{TRUSTING}\nproxy_protocol = true"));
    let good = for_ipv4("198.51.100.7".parse().unwrap());
    let mut wrong_version = good.clone();
    wrong_version[12] = 0x11;
    for (what, first) in [
        ("no header", Vec::new()),
        ("version 1", b"PROXY TCP4 198.51.100.7 127.0.0.1 4 80\r\n".to_vec()),
        ("another version", wrong_version),
        ("another command", header(2, 0x11, &[0; 12])),
        ("UDP", header(1, 0x12, &[0; 12])),
        ("a Unix socket", header(1, 0x31, &[0; 216])),
        ("addresses cut short", header(1, 0x11, &[0; 11])),
        ("more than any proxy sends", header(1, 0x11, &[0; 4_000])),
    ] {
        assert_eq!(behind(scene.address(), &first), None, "{what}");
    }
    let mut ended = scene.gateway.client();
    ended.send(&good[..20]);
    ended.half_close();
    assert!(ended.is_closed_within(Duration::from_secs(60)), "a header that ends early");
    assert_eq!(scene.origin.count(), 0);
    assert_eq!(behind(scene.address(), &good), Some(200), "still serving");
    let untrusted = counted("address = \"127.0.0.1:0\"\ntrusted_proxies = [\"10.0.0.0/8\"]\nproxy_protocol = true");
    assert_eq!(behind(untrusted.address(), &good), None, "a peer that is not trusted");
    assert_eq!(behind(untrusted.address(), b""), None);
    assert_eq!(untrusted.origin.count(), 0);
}

/// A gateway that believes what trusted proxies say in this field.
fn believing(field: &str) -> Scene {
    counted(&format!("{TRUSTING}\nclient_address = \"{field}\""))
}

/// Each request's fields and the client's address that the origin is told.
fn assert_told(scene: &Scene, cases: &[(&str, &str)]) {
    for (number, (fields, client)) in cases.iter().enumerate() {
        assert_eq!(scene.gateway.once(get("/", fields)).status, 200, "{fields}");
        let request = scene.origin.last_of(number + 1);
        assert_eq!(request.value("X-Forwarded-For"), Some(*client), "{fields}");
        let all = request.head.fields.iter().filter(|field| field.name.to_ascii_lowercase().contains("forwarded-for"));
        assert_eq!(all.count(), 1, "{fields}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_as_far_as_the_first_stranger() {
    let x_forwarded_for = believing("x-forwarded-for");
    assert_told(
        &x_forwarded_for,
        &[
            ("", "127.0.0.1"),
            ("X-Forwarded-For: 203.0.113.1, 198.51.100.1\r\n", "198.51.100.1"),
            ("X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 198.51.100.2, 10.1.2.3\r\n", "198.51.100.2"),
            ("X-Forwarded-For: 198.51.100.4, nonsense\r\n", "127.0.0.1"),
            ("Forwarded: for=203.0.113.1\r\nX-Forwarded-For: 198.51.100.3\r\n", "198.51.100.3"),
        ],
    );
    assert_told(
        &believing("forwarded"),
        &[
            ("Forwarded: for=203.0.113.1, For=\"[2001:db8::9]:4711\";proto=https\r\n", "2001:db8::9"),
            ("Forwarded: for=198.51.100.3\r\nX-Forwarded-For: 203.0.113.1\r\n", "198.51.100.3"),
            ("X-Forwarded-For: 198.51.100.4\r\n", "127.0.0.1"),
            ("Forwarded: for=198.51.100.4, for=unknown\r\n", "127.0.0.1"),
        ],
    );
    let from = |address: &str| get("/", &format!("X-Forwarded-For: {address}\r\n"));
    let tries = |address: &str| (0..8).filter(|_| x_forwarded_for.gateway.once(from(address)).status == 200).count();
    assert_eq!((tries("198.51.100.50"), tries("198.51.100.51")), (5, 5), "limits count by it");
}

#[test]
fn nobody_else_is_believed() {
    for trusted in ["", "trusted_proxies = [\"10.0.0.0/8\"]"] {
        let scene = counted(&format!("address = \"127.0.0.1:0\"\n{trusted}"));
        let fields = "X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.1\r\n";
        assert_told(&scene, &[(fields, "127.0.0.1")]);
    }
}

/// A socket as systemd holds it, and a gateway that gets it as descriptor 3.
fn passed(origin: &RecordingOrigin) -> (TcpListener, Result<Gateway, String>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = format!("address = \"{}\"", socket.local_addr().unwrap());
    let gateway = with_socket(&socket, &listener, origin);
    (socket, gateway)
}

fn with_socket(socket: &TcpListener, listener: &str, origin: &RecordingOrigin) -> Result<Gateway, String> {
    let drain = "[timeouts]\ndrain = \"300s\"";
    let deployment = Deployment::new().cores("[0, 1]").with(drain).only_listener(listener);
    let deployment = deployment.prepare(&open_to_all(origin.address()).text());
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["run", "gateway.toml", "--print-addresses", "addresses.json"])
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    deployment.start(command)
}

#[test]
fn a_socket_that_systemd_passes_is_used() {
    let origin = RecordingOrigin::start();
    let (socket, gateway) = passed(&origin);
    let gateway = gateway.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(gateway.address(), socket.local_addr().unwrap());
    for _ in 0..20 {
        assert_eq!(gateway.once(get("/", "")).status, 200);
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = with_socket(&other, "address = \"127.0.0.1:0\"", &origin).err();
    let said = refused.unwrap_or_else(|| panic!("a socket that no listener has was taken"));
    assert!(said.contains(&other.local_addr().unwrap().to_string()) && said.contains("hint"), "{said}");
}

/// Restarts a gateway on one socket three times, while `clients` connect and ask all the time; gives the outcome of
/// each request.
fn in_turn(clients: usize, pause: Duration) -> Vec<Result<u16, String>> {
    let origin = RecordingOrigin::start();
    let (socket, gateway) = passed(&origin);
    let mut gateway = gateway.unwrap_or_else(|why| panic!("{why}"));
    let (address, stopping) = (socket.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
    let count = AtomicUsize::new(0);
    let ask = |stopping: Arc<AtomicBool>| {
        let mut outcomes = Vec::new();
        while !stopping.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let mut client = Client::connect(address);
            let sent = client.try_send(get("/", "").as_bytes()).map_err(|error| error.to_string());
            let took = begun.elapsed();
            let outcome = sent.and_then(|()| Ok(client.try_response_to("GET")?.status));
            // A gateway that drains waits for a request for a second.
            if outcome == Ok(200) || took < Duration::from_millis(500) {
                outcomes.push(outcome);
                count.fetch_add(1, Ordering::SeqCst);
            }
            thread::sleep(pause);
        }
        outcomes
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..clients).map(|_| scope.spawn(|| ask(Arc::clone(&stopping)))).collect();
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(500));
            gateway.restart("TERM");
        }
        thread::sleep(Duration::from_millis(500));
        eventually(Duration::from_secs(60), || count.load(Ordering::SeqCst) >= 5);
        stopping.store(true, Ordering::SeqCst);
        asking.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

fn assert_none_lost(outcomes: Vec<Result<u16, String>>) {
    let lost: Vec<_> = outcomes.iter().filter(|outcome| **outcome != Ok(200)).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {:?}", lost.len(), outcomes.len(), &lost[..lost.len().min(5)]);
    assert!(outcomes.len() >= 5, "only {} requests were made", outcomes.len());
}

#[test]
fn gateways_in_turn_on_one_socket_lose_no_connection() {
    assert_none_lost(in_turn(1, Duration::from_millis(250)));
}

#[test]
fn nor_do_they_while_connections_never_cease_to_come() {
    assert_none_lost(in_turn(4, Duration::ZERO));
}
