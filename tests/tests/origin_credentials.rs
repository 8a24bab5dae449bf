//! Credentials of the gateway's own towards origins: a secret in a field, a client certificate. Neither is ever the agent's
//! to see, and both are replaced under load without a request lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "origin_credentials/mistakes.rs"]
mod mistakes;
#[path = "origin_credentials/systemd.rs"]
mod systemd;
#[path = "origin_credentials/waiting.rs"]
mod waiting;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tests::answer::Answer;
use tests::apikey::ApiKey;
use tests::certificates::{Authority, Identity};
use tests::client::{get, post};
use tests::deployment::Deployment;
use tests::desk::Desk;
use tests::gateway::Gateway;
use tests::origin::{Recorded, RecordingOrigin};
use tests::policy::PolicyText;
use tests::process::eventually;

const SOON: Duration = Duration::from_secs(60);
/// Long enough for a change to be seen.
const SEEN: Duration = Duration::from_millis(2_500);
const FIRST: &str = "first-0123456789abcdef";
const SECOND: &str = "second-0123456789abcdef";
/// Clients that ask at the same time.
const LOADERS: usize = 4;
const OWN: &str = "credentials = { from = \"orders\", header = \"Authorization\", value = \"Bearer {secret}\" }";

/// Replaces a file as a careful program does.
fn replace(directory: &Path, name: &str, text: &str, mode: u32) {
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
}

fn policy(origin: &RecordingOrigin, more: &str, key: &ApiKey) -> PolicyText {
    PolicyText::new()
        .origin_with("origin", &[origin.address()], more)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .api_key(key, "")
        .agent("bot", &format!("{{ api_key = [\"{}\"] }}", key.id), &["all"], &[])
}

fn injecting(origin: &RecordingOrigin, own: &str, key: &ApiKey) -> Gateway {
    Deployment::new()
        .file("orders.key", &format!("{FIRST}\n"))
        .with("[[origin_credential]]\nname = \"orders\"\nfile = \"orders.key\"")
        .run(&policy(origin, own, key).text())
}

/// Fields of all spellings that an origin may fold into `Authorization`, or into another field.
fn values_of(request: &Recorded, name: &str) -> Vec<String> {
    let folded = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
    let named = request.head.fields.iter().filter(|field| folded(&field.name) == name);
    named.map(|field| field.text().to_owned()).collect()
}

#[test]
fn the_origin_gets_its_own_credential_and_never_the_agents() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("partner-1"));
    let gateway = injecting(&origin, OWN, &key);
    let bearer = format!("Authorization: Bearer {}\r\n", key.text);
    for (count, fields) in [bearer.as_str(), &format!("X-API-Key: {}\r\n", key.text)].iter().enumerate() {
        let answer = gateway.once(get("/orders", fields));
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        let request = origin.last_of(count + 1);
        assert_eq!(values_of(&request, "authorization"), [format!("Bearer {FIRST}")]);
        assert_eq!(request.value("X-API-Key"), None);
        assert_eq!(request.value("Adamant-Agent"), Some("bot"));
    }
    let raw = origin.take_raw().concat();
    assert!(!String::from_utf8_lossy(&raw).contains(&key.text), "the agent's key stays here");
}

#[test]
fn a_client_cannot_send_the_origins_field_in_any_spelling() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("partner-1"));
    let gateway = injecting(&origin, "credentials = { from = \"orders\", header = \"X-Origin-Key\" }", &key);
    let mine = format!(
        "X-API-Key: {}\r\nX-Origin-Key: mine\r\nx_origin_key: mine\r\nX.Origin-KEY: mine\r\nConnection: X-Origin-Key\r\n",
        key.text
    );
    assert_eq!(gateway.once(get("/", &mine)).status, 200);
    assert_eq!(values_of(&origin.last_of(1), "x-origin-key"), [FIRST]);

    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: api.test\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Origin-Key\r\n\r\n2\r\nab\r\n0\r\n\
         X-Origin-Key: mine\r\nX_origin_Key: mine\r\nX-Checksum: c\r\n\r\n",
        key.text
    );
    assert_eq!(gateway.once(&chunked).status, 200);
    let request = origin.last_of(2);
    assert_eq!(values_of(&request, "x-origin-key"), [FIRST]);
    let trailers: Vec<_> = request.trailers.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(trailers, ["X-Checksum"]);
    assert_eq!(gateway.once(post("/", &mine, "text")).status, 200);
    assert_eq!(values_of(&origin.last_of(3), "x-origin-key"), [FIRST]);
}

#[test]
fn an_origin_without_a_credential_gets_none() {
    let (with, without, key) = (RecordingOrigin::start(), RecordingOrigin::start(), ApiKey::new("partner-1"));
    let policy = PolicyText::new()
        .origin_with("with", &[with.address()], OWN)
        .origin("without", &[without.address()])
        .route("a", "*", "/a", "with")
        .route("b", "*", "/b", "without")
        .scope("all", &["a", "b"])
        .api_key(&key, "")
        .agent("bot", "{ api_key = [\"partner-1\"] }", &["all"], &[]);
    let gateway = Deployment::new()
        .file("orders.key", FIRST)
        .with("[[origin_credential]]\nname = \"orders\"\nfile = \"orders.key\"")
        .run(&policy.text());
    let fields = format!("X-API-Key: {}\r\nX-Origin-Key: mine\r\n", key.text);
    for path in ["/a", "/b"] {
        assert_eq!(gateway.once(get(path, &fields)).status, 200);
    }
    assert_eq!(values_of(&with.last_of(1), "authorization"), [format!("Bearer {FIRST}")]);
    let other = without.last_of(1);
    assert_eq!(values_of(&other, "authorization"), [""; 0]);
    assert_eq!(other.value("X-Origin-Key"), Some("mine"), "nobody else's fields are touched");
}

/// Sends requests on one connection until it is told to stop; how many were answered, and whether each by 200.
fn load(gateway: &Gateway, fields: &str, stop: &Arc<AtomicBool>) -> thread::JoinHandle<(usize, usize)> {
    let (mut client, request, stop) = (gateway.client(), get("/", fields), Arc::clone(stop));
    thread::spawn(move || {
        let (mut sent, mut good) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            sent += 1;
            good += usize::from(client.exchange(&request).status == 200);
            thread::sleep(Duration::from_millis(1));
        }
        (sent, good)
    })
}

#[test]
fn a_secret_rotates_under_load_without_a_connection_or_request_lost() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("partner-1"));
    let gateway = injecting(&origin, OWN, &key);
    let fields = format!("X-API-Key: {}\r\n", key.text);
    let stop = Arc::new(AtomicBool::new(false));
    let loaders: Vec<_> = (0..LOADERS).map(|_| load(&gateway, &fields, &stop)).collect();
    origin.wait_for(20);
    let seen = |secret: &str| {
        let last = origin.requests().pop().unwrap();
        values_of(&last, "authorization") == [format!("Bearer {secret}")]
    };
    for secret in [SECOND, "third-0123456789abcdef", FIRST] {
        replace(gateway.directory(), "orders.key", secret, 0o600);
        assert!(eventually(SOON, || seen(secret)), "{secret} is taken");
    }
    // One for each that asks at most, and none of them was closed.
    let connections = origin.connections();
    let go_on = connections.len() <= LOADERS && connections.iter().all(|connection| connection.open);
    assert!(go_on, "connections to the origin go on: {} of them", connections.len());
    stop.store(true, Ordering::Relaxed);
    for loader in loaders {
        let (sent, good) = loader.join().unwrap();
        assert!(sent > 0 && sent == good, "{good} of {sent}");
    }
    let is_taken = |line: &&str| line.contains("\"origin-credential\"") && line.contains("\"taken\"");
    let taken = || gateway.record_text().lines().filter(is_taken).count();
    assert!(eventually(SOON, || taken() == 3), "each change is on record: {}", gateway.record_text());
}

#[test]
fn a_bad_secret_leaves_the_old_one_and_is_told_without_being_shown() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("partner-1"));
    let gateway = injecting(&origin, OWN, &key);
    let fields = format!("X-API-Key: {}\r\n", key.text);
    let bad: [(&str, u32); 5] = [
        ("", 0o600),
        ("bad-secret-one\nbad-secret-two\n", 0o600),
        ("bad-secret with-space", 0o600),
        ("bad-secret-open-to-all", 0o644),
        (&"bad-secret".repeat(1_000), 0o600),
    ];
    for (number, (text, mode)) in bad.into_iter().enumerate() {
        replace(gateway.directory(), "orders.key", text, mode);
        let told = || gateway.metric("origin_material_failures_total") >= (number + 1) as f64;
        assert!(eventually(SOON, told), "{number} is counted");
        assert_eq!(gateway.once(get("/", &fields)).status, 200);
        assert_eq!(values_of(&origin.last_of(number + 1), "authorization"), [format!("Bearer {FIRST}")]);
    }
    gateway.tells("the old one stays in use");
    replace(gateway.directory(), "orders.key", SECOND, 0o600);
    let taken = || {
        gateway.once(get("/", &fields));
        values_of(&origin.requests().pop().unwrap(), "authorization") == [format!("Bearer {SECOND}")]
    };
    assert!(eventually(SOON, taken), "a good one after bad ones");

    let mut shown = vec![gateway.stderr(), gateway.record_text()];
    for path in ["/metrics", "/release", "/readyz"] {
        shown.push(gateway.admin(path).text());
    }
    for entry in walk(&gateway.directory().join("state")) {
        // One that is just taking another's place may be gone again.
        shown.push(String::from_utf8_lossy(&fs::read(entry).unwrap_or_default()).into_owned());
    }
    for text in shown {
        for secret in [FIRST, SECOND, "bad-secret", "0123456789abcdef"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_start_without_the_secret_is_refused_with_what_to_do() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("partner-1"));
    let text = policy(&origin, OWN, &key).text();
    let why = |deployment: Deployment| deployment.try_run(&text).err().expect("a refusal");
    let told = why(Deployment::new());
    assert!(told.contains("[[origin_credential]]") && told.contains("\"orders\""), "{told}");
    let table = "[[origin_credential]]\nname = \"orders\"\nfile = \"orders.secret\"";
    let told = why(Deployment::new().with(table));
    assert!(told.contains("the file that the origin credential \"orders\" names cannot be read"), "{told}");
    let told = why(Deployment::new().file("orders.secret", FIRST).with(table));
    assert!(told.contains("chmod 600") && !told.contains(FIRST), "{told}");
    let told = why(Deployment::new().file("orders.key", FIRST).with(&format!(
        "{}\n\n{}",
        table.replace("orders.secret", "orders.key"),
        table.replace("orders.secret", "orders.key")
    )));
    assert!(told.contains("defined twice"), "{told}");
}

#[test]
fn dev_takes_as_an_option_what_gateway_toml_has_otherwise() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("partner-1"));
    let text = policy(&origin, OWN, &key).text();
    let directory = tempfile::tempdir().unwrap();
    replace(directory.path(), "orders.key", FIRST, 0o600);
    let gateway = Gateway::dev_in(directory, &text, &["--origin-credential", "orders=orders.key"]);
    assert_eq!(gateway.once(get("/", &format!("X-API-Key: {}\r\n", key.text))).status, 200);
    assert_eq!(values_of(&origin.last_of(1), "authorization"), [format!("Bearer {FIRST}")]);
    let desk = Desk::new();
    desk.write("policy.toml", text);
    let told = desk.bad("dev policy.toml --listen 127.0.0.1:0");
    assert!(
        told.contains("wants the credential \"orders\"") && told.contains("--origin-credential orders=FILE"),
        "{told}"
    );
    assert!(!told.contains("gateway.toml"), "{told}");
    let told = desk.bad("dev policy.toml --listen 127.0.0.1:0 --origin-credential orders=the-secret-itself");
    assert!(told.contains("--origin-credential takes the name of a file") && !told.contains("itself"), "{told}");
}

/// An origin that demands a client certificate, and a gateway that has `identity` for it.
fn mutual(
    origins: &Authority,
    clients: &Authority,
    identity: &Identity,
    answer: &'static str,
) -> (Gateway, RecordingOrigin) {
    let server = origins.server(&["origin.test"]);
    let origin = RecordingOrigin::tls(server.server_config_for(clients), move |_, _| Answer::text(answer));
    let tls = "tls = { ca = { file = \"origins.pem\" }, server_name = \"origin.test\", identity = \"orders\" }";
    let policy = PolicyText::new()
        .origin_with("origin", &[origin.address()], tls)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[]);
    let gateway = Deployment::new()
        .file("origins.pem", &origins.pem)
        .file("client.pem", &identity.certificate)
        .file("client.key", &identity.key)
        .file("spare.pem", "nonsense")
        .file("spare.key", "nonsense")
        .with("[[origin_identity]]\nname = \"orders\"\nchain = \"client.pem\"\nkey = \"client.key\"")
        .with("[[origin_identity]]\nname = \"spare\"\nchain = \"spare.pem\"\nkey = \"spare.key\"")
        .run(&policy.text());
    (gateway, origin)
}

#[test]
fn a_client_certificate_rotates_under_load_without_a_request_lost() {
    let (origins, clients) = (Authority::new("origin CA"), Authority::new("gateway CA"));
    let (gateway, origin) = mutual(&origins, &clients, &clients.spiffe("spiffe://corp.test/one"), "ok");
    let stop = Arc::new(AtomicBool::new(false));
    let loaders: Vec<_> = (0..LOADERS).map(|_| load(&gateway, "", &stop)).collect();
    origin.wait_for(20);
    let taken = || {
        gateway
            .record_text()
            .lines()
            .filter(|line| line.contains("\"origin-identity\"") && line.contains("\"taken\""))
            .count()
    };
    let count = AtomicUsize::new(0);
    for round in 1..=3 {
        let connections = origin.connections().len();
        let next = clients.spiffe("spiffe://corp.test/next");
        // Key and chain one after the other: the half must neither be taken nor lose anything.
        replace(gateway.directory(), "client.key", &next.key, 0o600);
        thread::sleep(Duration::from_millis(300 * round));
        replace(gateway.directory(), "client.pem", &next.certificate, 0o644);
        assert!(eventually(SOON, || taken() == round as usize), "round {round}: {}", gateway.record_text());
        assert!(eventually(SOON, || origin.connections().len() > connections), "new connections show the new one");
        count.fetch_add(1, Ordering::Relaxed);
    }
    stop.store(true, Ordering::Relaxed);
    for loader in loaders {
        let (sent, good) = loader.join().unwrap();
        assert!(sent > 0 && sent == good, "{good} of {sent} after {count:?} rotations");
    }
    // What the old certificates opened is closed once it idles.
    assert!(eventually(SOON, || origin.open_connections() <= LOADERS), "{} are open", origin.open_connections());
}

#[test]
fn a_bad_identity_costs_neither_itself_nor_its_neighbours_anything() {
    let (origins, clients) = (Authority::new("origin CA"), Authority::new("gateway CA"));
    let (gateway, origin) = mutual(&origins, &clients, &clients.spiffe("spiffe://corp.test/one"), "ok");
    assert_eq!(gateway.once(get("/", "")).status, 200, "the spare one is nonsense, and nobody needs it");
    let expired = clients.expired_spiffe("spiffe://corp.test/one");
    replace(gateway.directory(), "client.key", &expired.key, 0o600);
    replace(gateway.directory(), "client.pem", &expired.certificate, 0o644);
    thread::sleep(SEEN);
    gateway.tells("has expired already");
    origin.close_connections();
    assert_eq!(gateway.once(get("/", "")).status, 200, "new connections show the old one");

    // A spare one that becomes good, while the other is bad.
    let spare = clients.spiffe("spiffe://corp.test/spare");
    replace(gateway.directory(), "spare.key", &spare.key, 0o600);
    replace(gateway.directory(), "spare.pem", &spare.certificate, 0o644);
    let taken = || {
        let told = gateway.record_text();
        told.lines().any(|line| line.contains("\"spare\"") && line.contains("\"taken\""))
    };
    assert!(eventually(SOON, taken), "{}", gateway.record_text());
    assert_eq!(gateway.once(get("/", "")).status, 200);
}

#[test]
fn doctor_tells_an_origin_that_strangers_can_call() {
    let (origins, clients) = (Authority::new("origin CA"), Authority::new("gateway CA"));
    let open = RecordingOrigin::start();
    let closed = RecordingOrigin::scripted(|_, _| Answer::new(401));
    let mutual =
        RecordingOrigin::tls(origins.server(&["origin.test"]).server_config_for(&clients), |_, _| Answer::text("ok"));
    let tls = "tls = { ca = { file = \"origins.pem\" }, server_name = \"origin.test\", identity = \"orders\" }";
    let desk = Desk::new();
    desk.write("origins.pem", &origins.pem);
    let policy = PolicyText::new()
        .origin("open", &[open.address()])
        .origin_with("closed", &[closed.address()], OWN)
        .origin_with("mutual", &[mutual.address()], tls)
        .route("a", "*", "/a", "open")
        .route("b", "*", "/b", "closed")
        .route("c", "*", "/c", "mutual")
        .scope("all", &["a", "b", "c"])
        .anonymous(&["all"], &["10/minute"]);
    desk.write("policy.toml", policy.text());
    let (code, out, told) = desk.run("doctor --bypass policy.toml");
    assert_eq!(code, 1, "{out}{told}");
    let line = |name: &str| out.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{out}")).to_owned();
    assert!(line("open at").starts_with("ANSWERS") && line("open at").ends_with("200 to a stranger"), "{out}");
    assert!(line("closed at").starts_with("refuses") && line("mutual at").starts_with("refuses"), "{out}");
    assert!(told.contains("1 address can be called round the gateway"), "{told}");
    assert_eq!(mutual.count(), 0);
    for name in ["closed", "mutual"] {
        desk.good(&format!("doctor --bypass policy.toml --origin {name}"));
    }
    // What is there and says nothing that could be judged is not taken for closed.
    let vague = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = vague.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in vague.incoming().flatten() {
            let _ = stream.read(&mut [0; 1_024]);
            let _ = stream.write_all(b"HTTP/2 200 OK\r\n\r\n");
        }
    });
    let policy = PolicyText::new().origin("vague", &[address]).route("a", "*", "/a", "vague").scope("all", &["a"]);
    desk.write("vague.toml", policy.anonymous(&["all"], &["10/minute"]).text());
    let (code, out, told) = desk.run("doctor --bypass vague.toml");
    assert!(code == 1 && out.starts_with("unclear  vague at") && told.contains("is not clear"), "{code} {out}{told}");
    let told = desk.bad("doctor --bypass policy.toml --origin none");
    assert!(told.contains("its origins are: closed, mutual, open"), "{told}");
}
