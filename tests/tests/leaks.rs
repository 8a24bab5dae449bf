//! Runs with known secrets, under traffic with errors provoked, up to a crash: then everything that was written is searched
//! for any part of them, in any form. What may hold a secret is its owner's alone.
//!
//! No panic is among the errors: none is known that anything from outside reaches, and clippy denies what makes one. It would
//! print its message, with file and line, as every Rust program does, and end the process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "leaks/fetched.rs"]
mod fetched;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::agents::{Running, Scene, ok, run, through};
use tests::apikey::ApiKey;
use tests::certificates::Authority;
use tests::client::get;
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::{Gateway, binary};
use tests::known::Known;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::tokens::{TokenKey, claims, jwks};

const PATIENCE: Duration = Duration::from_secs(60);
const ORIGIN_SECRET: &str = "zJ4vQ9-of-the-origin-2mXbTqLw";
const CLIENT_SECRET: &str = "kP7dRw3-of-the-issuer-8cYhNsVe";
const OPAQUE: &str = "t9GfLm2-an-opaque-token-5uWxEjCa";
const PASSPHRASE: &str = "Brackish-lantern 41 forgives dusk";
const PROXY_SECRET: &str = "hN6bKt1-of-the-proxy-3rQzUvDo";
/// Files that are given to the gateway with secrets in them. Those that it makes are encrypted.
const MAY_HOLD: [&str; 5] = ["server.key", "orders.key", "client.key", "signer.key", "state.key"];

/// All that the status listener says.
const PAGES: [&str; 7] = [
    "/metrics",
    "/release",
    "/healthz",
    "/readyz",
    "/last-use",
    "/attestation?nonce=00112233445566778899aabbccddeeff",
    "/.well-known/jwks.json",
];

/// Everything below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn private(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
    fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// A command line that may dump core as far as its limits go.
fn with_cores(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -c unlimited; exec \"$0\" {line}")]).arg(binary());
    command
}

/// Core dumps that stand in the directory, where the kernel puts them there; none otherwise.
fn cores(directory: &Path) -> Option<Vec<PathBuf>> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/'])
        || !Command::new("sh").args(["-c", "ulimit -c unlimited"]).status().unwrap().success()
    {
        println!("SKIPPED: core dumps do not come to the working directory here ({})", pattern.trim());
        return None;
    }
    let is_core = |path: &PathBuf| {
        path.file_name().unwrap().to_string_lossy().starts_with(pattern.trim().split('%').next().unwrap())
    };
    Some(files(directory).into_iter().filter(is_core).collect())
}

fn token(key: &TokenKey) -> String {
    key.sign(&claims("bot"))
}

/// A policy with an origin that has a secret, an issuer that is asked about tokens, and an agent with a key or a token.
fn policy(origin: &RecordingOrigin, key: &ApiKey) -> String {
    PolicyText::new()
        .origin_with(
            "origin",
            &[origin.address()],
            "credentials = { from = \"orders\", header = \"X-Origin-Key\" }\nassertion = { audience = \"orders\" }",
        )
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(&["ES256"], "")
        .with(
            "[[issuer]]\nname = \"asked\"\nissuer = \"https://asked.example\"\naudience = [\"a\"]\nintrospection = { url = \
             \"http://127.0.0.1:9/\", client = \"gw\", cache = \"1m\" }",
        )
        .api_key(key, "")
        .agent(
            "bot",
            "{ api_key = [\"partner-1\"] }, { token = { issuer = \"corp\", subject = \"bot\" } }, { token = { issuer = \
             \"asked\", subject = \"bot\" } }",
            &["all"],
            &[],
        )
        .text()
}

/// Sends bytes and takes whatever comes.
fn throw(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.read(&mut [0; 4_096]);
}

/// Good calls and bad ones, each with something that must be seen nowhere.
fn provoke(gateway: &Gateway, key: &ApiKey, token: &str) {
    let bearer = |of: &str| format!("Authorization: Bearer {of}\r\n");
    let own = format!("X-API-Key: {}\r\n", key.text);
    for (fields, status) in [(own.clone(), 200), (bearer(&key.text), 200), (bearer(token), 200)] {
        assert_eq!(gateway.once(get("/orders", &fields)).status, status, "{fields}");
    }
    for fields in [
        format!("X-API-Key: {}\r\n", key.with_wrong_checksum()),
        format!("X-API-Key: {}{}\r\n", key.text, key.text),
        bearer(&token[..token.len() - 1]),
        bearer(&format!("{token}.{token}")),
        bearer(OPAQUE),
        format!("Authorization: Basic {}\r\n", key.text),
        format!("{own}{}", bearer(OPAQUE)),
        format!("{own}{own}"),
        format!("{own}X-Long: {}\r\n", key.text.repeat(2_000)),
        format!("{}: x\r\n", key.text),
        format!("Cookie: {token}\r\nTransfer-Encoding: {OPAQUE}\r\n"),
    ] {
        throw(gateway.address(), get("/orders", &fields).as_bytes());
    }
    assert_eq!(gateway.once(get(&format!("/orders?key={}&t={OPAQUE}", key.text), &own)).status, 200);
    // Not TLS, where TLS is spoken.
    throw(gateway.tls_address(), get("/orders", &own).as_bytes());
    throw(gateway.tls_address(), &[&[0x16, 3, 1, 2, 0][..], token.as_bytes()].concat());
}

/// Files that cannot be used, with secrets in them.
fn break_files(at: &Path, server_key: &str) {
    private(at, "server.key", &server_key.replacen("MI", "XX", 1));
    private(at, "orders.key", &format!("{ORIGIN_SECRET}\n{CLIENT_SECRET}\n"));
    private(at, "client.key", &format!("{CLIENT_SECRET} {ORIGIN_SECRET}\n"));
}

/// Learns the keys that the gateway has made, and has it keep them encrypted from then on.
fn keep_encrypted(gateway: &mut Gateway, known: &mut Known) {
    let at = gateway.directory().to_owned();
    let text = |name: &str| fs::read_to_string(at.join("state").join(name)).unwrap_or_default();
    assert!(eventually(PATIENCE, || text("assertion.keys").contains("current")));
    known.key("node key", &text("node.key"));
    for line in text("assertion.keys").lines().filter(|line| line.starts_with("next ") || line.starts_with("current "))
    {
        known.scalar("assertion key", line.rsplit(' ').next().unwrap());
    }
    ok(&at, "key age --out state.key");
    let toml = fs::read_to_string(at.join("gateway.toml")).unwrap();
    let toml = toml.replacen("[gateway]", "[gateway]\nstate_identity = \"state.key\"", 1);
    fs::write(at.join("gateway.toml"), toml).unwrap();
    gateway.restart("TERM");
    known.text(
        "identity",
        &fs::read_to_string(at.join("state.key")).unwrap().lines().last().unwrap()["AGE-SECRET-KEY-1".len()..],
    );
}

#[test]
fn the_gateway_writes_no_part_of_a_secret_whatever_happens_to_it() {
    let origin = RecordingOrigin::start();
    let (key, signing, server) = (ApiKey::new("partner-1"), TokenKey::generate("ES256", "one"), Authority::new("s"));
    let (server, token) = (server.server(&["localhost"]), token(&signing));
    let deployment = Deployment::new()
        .tls_listener(&server, "off")
        .file("orders.key", &format!("{ORIGIN_SECRET}\n"))
        .file("client.key", &format!("{CLIENT_SECRET}\n"))
        .file("corp.jwks.json", &jwks(&[&signing]))
        .with("[[origin_credential]]\nname = \"orders\"\nfile = \"orders.key\"")
        .with("[[introspection_client]]\nname = \"gw\"\nid = \"the gateway\"\nsecret = \"client.key\"")
        .prepare(&policy(&origin, &key));
    let at = deployment.directory().to_owned();
    let mut gateway = deployment.start(with_cores("run gateway.toml --print-addresses addresses.json")).unwrap();

    let mut known = Known::default();
    known.text("API key", key.text.rsplit('_').next().unwrap());
    known.text("signature of the token", token.rsplit('.').next().unwrap());
    [ORIGIN_SECRET, CLIENT_SECRET, OPAQUE].iter().for_each(|text| known.text(text, text));
    known.key("server key", &server.key);
    keep_encrypted(&mut gateway, &mut known);
    known.key("signer's key", &fs::read_to_string(at.join("signer.key")).unwrap());
    let good: Vec<_> =
        ["server.key", "orders.key", "client.key"].map(|name| fs::read_to_string(at.join(name)).unwrap()).into();

    let mut written = Vec::new();
    for signal in ["ABRT", "SEGV", "ABRT"] {
        let before = gateway.records().len();
        provoke(&gateway, &key, &token);
        break_files(&at, &server.key);
        gateway.signal("HUP");
        gateway.tells("old one");
        provoke(&gateway, &key, &token);
        for path in PAGES {
            let page = gateway.admin(path);
            assert_eq!(page.status, 200, "{path}");
            written.push((path.to_owned(), page.text()));
        }
        written.push(("a page that is not there".to_owned(), gateway.admin(&format!("/{OPAQUE}")).text()));
        gateway.wait_for_records(before + 10);
        for (name, text) in ["server.key", "orders.key", "client.key"].iter().zip(&good) {
            private(&at, name, text);
        }
        let mut ended = None;
        eventually(PATIENCE, || {
            // The first SIGSEGV is taken for a stack that may have overflown; the next one, once that was seen, ends it.
            gateway.signal(signal);
            ended = gateway.wait(Duration::from_millis(500));
            ended.is_some()
        });
        let ended = ended.unwrap();
        assert!(ended.signal().is_some() && !ended.core_dumped(), "{ended}");
        written.push(("standard error".to_owned(), gateway.stderr()));
        gateway.restart_stopped();
    }
    written.push(("standard error".to_owned(), gateway.stderr()));
    for (name, text) in &written {
        assert_eq!(known.found_in(text.as_bytes()), [""; 0], "in {name}:\n{text}");
    }
    assert!(fs::read(at.join(RECORDS_FILE)).unwrap().len() > 10_000);
    for path in files(&at) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // One that is just taking another's place may be gone again.
        let found = known.found_in(&fs::read(&path).unwrap_or_default());
        assert!(found.is_empty() != MAY_HOLD.contains(&name.as_str()), "{found:?} in {}", path.display());
        assert!(found.is_empty() || mode(&path) == 0o600, "{} has mode {:o}", path.display(), mode(&path));
    }
    assert_eq!(mode(&at.join("state")), 0o700);
    assert!(cores(&at).is_none_or(|cores| cores.is_empty()));

    // Whoever allows core dumps is told, and gets them: this is what the others would have been.
    let toml = fs::read_to_string(at.join("gateway.toml")).unwrap();
    fs::write(at.join("gateway.toml"), toml.replacen("[gateway]", "[gateway]\ncore_dumps = true", 1)).unwrap();
    gateway.restart("TERM");
    gateway.tells("core dumps are allowed");
    provoke(&gateway, &key, &token);
    gateway.signal("ABRT");
    let ended = gateway.wait(PATIENCE).unwrap();
    if let Some(cores) = cores(&at) {
        assert!(ended.core_dumped() && cores.len() == 1, "{cores:?}");
        let holds = Command::new("grep").args(["-qaF", ORIGIN_SECRET]).arg(&cores[0]).status().unwrap();
        assert!(holds.success(), "a core dump has the secrets that the gateway works with");
        fs::remove_file(&cores[0]).unwrap();
    }
}

/// Each form of `agent export p`: those that are to hold secrets go to files `FORM.exported` of their owner alone; what the
/// others said.
fn exports(at: &Path, holding: &[&str]) -> String {
    let mut said = String::new();
    for form in ["env", "requests", "httpx", "node", "go", "curl", "kubernetes"] {
        let (status, stdout, stderr) = run(at, &format!("agent export p {form}"));
        assert!(status == 0 && stdout.contains('\n'), "{form}: {stderr}");
        said.push_str(&stderr);
        match holding.contains(&form) {
            true => private(at, &format!("{form}.exported"), &stdout),
            false => said.push_str(&stdout),
        }
    }
    said
}

/// What went to these files rightly.
fn assert_hold(at: &Path, known: &Known, holding: &[(&str, &[&str])]) {
    for (form, secrets) in holding {
        assert_eq!(known.found_in(&fs::read(at.join(format!("{form}.exported"))).unwrap()), *secrets, "{form}");
    }
}

/// Starts a command that runs on, with everything it says in `NAME.out`; ends it by a crash.
fn crash(at: &Path, name: &str, line: &str, ready: impl Fn() -> bool) {
    let command = with_cores(&format!("{line} >{name}.out 2>&1"));
    let mut running = Running::of(at, command);
    assert!(eventually(PATIENCE, ready), "{}", fs::read_to_string(at.join(format!("{name}.out"))).unwrap());
    tests::process::signal(running.child.id(), "ABRT");
    let ended = running.child.wait().unwrap();
    assert!(ended.signal().is_some() && !ended.core_dumped(), "{line}: {ended}");
}

#[test]
fn commands_and_agents_write_no_part_of_a_secret_but_into_files_of_their_owners() {
    let scene = Scene::new();
    let at = scene.at();
    for (name, text) in [("pass", PASSPHRASE), ("wrong", "not-the-passphrase-of-anything"), ("local", PROXY_SECRET)] {
        private(at, name, &format!("{text}\n"));
    }
    scene.enroll("");
    let mut said = String::new();
    let mut tell = |line: &str| {
        let (status, stdout, stderr) = run(at, line);
        assert_ne!(status, 2, "that is no command: {line}: {stderr}");
        said.push_str(&format!("{line}\n{stdout}{stderr}"));
    };
    for line in [
        "ca init sealed --trust-domain corp.example --server localhost --passphrase-file pass",
        "ca issue sealed --server localhost --key-out other.key --out other.pem --passphrase-file pass",
        "ca issue sealed --server localhost --key-out none.key --out none.pem --passphrase-file wrong",
        "key signer --out encrypted.key --passphrase-file pass",
        "key signer --out signer.key --no-passphrase",
        "key new --id partner-1 --out partner.key",
        "key age --out age.key",
        "key public age.key",
        "key public partner.key",
        "key public encrypted.key",
        "trust init --key a=age.key --threshold 1 --expires 2100-01-01T00:00:00Z --out root.json",
        "audit show age.key --identity partner.key",
        "agent doctor p",
        "agent enroll q --agent x --gateway https://localhost:1 --ca sealed --spiffe spiffe://corp.example/x",
    ] {
        tell(line);
    }
    said.push_str(&exports(at, &["kubernetes"]));
    let socket = at.join("p/proxy.sock");
    let call = |fields: &str| {
        // The name is there a moment before anybody listens.
        let Ok(first) = UnixStream::connect(&socket) else { return false };
        through(first, "GET /orders/7", fields, "");
        through(UnixStream::connect(&socket).unwrap(), "GET /nowhere", fields, "");
        true
    };
    crash(at, "proxy", "agent proxy p", || socket.exists() && call(&format!("X-API-Key: {PROXY_SECRET}\r\n")));
    let port = at.join("secret-proxy.out");
    crash(at, "secret-proxy", "agent proxy p --listen 127.0.0.1:0 --secret-file local", || {
        let told = fs::read_to_string(&port).unwrap_or_default();
        let Some((address, _)) = told.split_once("http://").and_then(|(_, rest)| rest.split_once(',')) else {
            return false;
        };
        let call = |fields: &str| through(TcpStream::connect(address).unwrap(), "GET /orders/7", fields, "");
        call("Adamant-Agent-Secret: wrong\r\n");
        call(&format!("Adamant-Agent-Secret: {PROXY_SECRET}\r\n")).starts_with("HTTP/1.1 200")
    });
    let renewing = at.join("run.out");
    crash(at, "run", "agent run p", || {
        std::thread::sleep(Duration::from_secs(1));
        fs::read_to_string(&renewing).is_ok_and(|told| told.contains("\"started\""))
    });

    let mut known = Known::default();
    known.text("passphrase", PASSPHRASE);
    known.text("secret of the proxy", PROXY_SECRET);
    known.text("API key", fs::read_to_string(at.join("partner.key")).unwrap().trim().rsplit('_').next().unwrap());
    let identity = fs::read_to_string(at.join("age.key")).unwrap();
    known.text("identity", identity.lines().find_map(|line| line.strip_prefix("AGE-SECRET-KEY-1")).unwrap());
    for name in ["server.key", "other.key", "signer.key", "ca/ca.key", "p/current/key.pem"] {
        known.key(name, &fs::read_to_string(at.join(name)).unwrap());
    }
    assert_eq!(known.found_in(said.as_bytes()), [""; 0], "{said}");
    assert_hold(at, &known, &[("kubernetes", &["p/current/key.pem"])]);
    let mut holding = 0;
    for path in files(at) {
        let (bytes, name) = (fs::read(&path).unwrap(), path.display());
        let found = known.found_in(&bytes);
        if found.is_empty() {
            continue;
        }
        holding += 1;
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!["out", "json", "jsonl", "toml"].contains(&extension.as_str()), "{found:?} in {name}");
        assert_eq!(mode(&path), 0o600, "{found:?} in {name}");
        let home = path.parent().unwrap();
        assert!(home == at || mode(home) == 0o700, "{} has mode {:o}", home.display(), mode(home));
    }
    assert!(holding >= 10, "{holding} files were seen to hold secrets");
    assert!(cores(at).is_none_or(|cores| cores.is_empty()));
    ok(at, "agent doctor --help");
}
