//! Files that move under a release and cannot be read for a while, though nothing of that shows on them: the process has no
//! descriptor left. What they hold is taken as soon as it can be read, and the fault is told once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tests::certificates::{Authority, Identity};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, jwks};

const DAY: Duration = Duration::from_secs(86_400);
const SOON: Duration = Duration::from_secs(60);
/// Files are looked at once a second: a few looks.
const LOOKS: Duration = Duration::from_millis(3_500);
/// Kinds of the rotation log, with the file of each.
const FILES: [(&str, &str); 5] = [
    ("keyset", "moving.jwks.json"),
    ("crl", "agents.crl"),
    ("certificate", "server.pem"),
    ("origin-identity", "client.pem"),
    ("origin-credential", "orders.key"),
];

fn put(directory: &Path, name: &str, text: impl AsRef<[u8]>) {
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
}

/// One of everything that moves in a file.
fn start(servers: &Authority, agents: &Authority, key: &TokenKey, own: &Identity) -> Gateway {
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .with(&format!(
            "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = \
             [\"ES256\"]\nkeys = {{ watch = \"moving.jwks.json\" }}\n\n[[client_ca]]\nname = \"agents\"\ncertificates = \
             {{ file = \"agents.pem\" }}\ncrl = {{ watch = \"agents.crl\" }}"
        ))
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[])
        .agent("cat", "{ certificate = \"spiffe://corp.test/cat\", ca = \"agents\" }", &["all"], &[]);
    Deployment::new()
        .file("moving.jwks.json", &jwks(&[key]))
        .file("agents.pem", &agents.pem)
        .file("agents.crl", &agents.crl(1, &[], DAY))
        .file("client.pem", &own.certificate)
        .file("client.key", &own.key)
        .file("orders.key", "first")
        .with(
            "[[origin_identity]]\nname = \"me\"\nchain = \"client.pem\"\nkey = \"client.key\"\n\n[[origin_credential]]\nname \
             = \"orders\"\nfile = \"orders.key\"",
        )
        .tls_listener(&servers.server(&["api.test"]), "optional")
        .run(&policy.text())
}

/// How many descriptors the gateway may have: `most`, or as many as it began with.
fn allow_descriptors(gateway: &Gateway, most: Option<usize>) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
    let hard = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().nth(1)).unwrap();
    let soft = most.map_or(hard.to_owned(), |most| most.to_string());
    let done =
        Command::new("prlimit").args(["--pid", &gateway.pid().to_string(), &format!("--nofile={soft}:")]).status();
    assert!(done.unwrap().success());
}

#[test]
fn what_could_not_be_read_for_a_while_is_taken_then_and_the_fault_is_told_once() {
    let (servers, agents) = (Authority::new("servers"), Authority::new("agents"));
    let (old, new) = (TokenKey::generate("ES256", "k1"), TokenKey::generate("ES256", "k2"));
    let (next, own) = (servers.server(&["api.test"]), agents.spiffe("spiffe://corp.test/gateway"));
    let gateway = start(&servers, &agents, &old, &agents.spiffe("spiffe://corp.test/gateway"));
    // The first look is over.
    let outcomes = |of: &str, outcome: &str| {
        gateway.refreshes(of).iter().filter(|line| line["adamant.refresh.outcome"] == outcome).count()
    };
    assert!(eventually(SOON, || outcomes("origin-credential", "unchanged") == 1));

    allow_descriptors(&gateway, Some(3));
    for (name, text) in [
        ("moving.jwks.json", jwks(&[&new])),
        ("agents.crl", agents.crl(2, &[], DAY)),
        ("server.key", next.key.clone()),
        ("server.pem", next.certificate.clone()),
        ("client.key", own.key.clone()),
        ("client.pem", own.certificate.clone()),
        ("orders.key", "second".to_owned()),
    ] {
        put(gateway.directory(), name, text);
    }
    let told = |name: &str| {
        let text = gateway.stderr();
        text.lines().filter(|line| line.contains(name) && line.contains("cannot be read")).count()
    };
    assert!(eventually(SOON, || FILES.iter().all(|(_, name)| told(name) > 0)), "{}", gateway.stderr());
    // A pair that was looked at between its two files was told twice.
    thread::sleep(LOOKS);
    let before = FILES.map(|(of, name)| (of, told(name), outcomes(of, "refused")));
    assert!(before.iter().all(|(_, told, refused)| (1..=2).contains(told) && told == refused), "{before:?}");
    thread::sleep(LOOKS);
    assert_eq!(FILES.map(|(of, name)| (of, told(name), outcomes(of, "refused"))), before, "each is told once");

    allow_descriptors(&gateway, None);
    let untaken = || FILES.iter().filter(|(of, _)| outcomes(of, "taken") != 1).collect::<Vec<_>>();
    assert!(eventually(SOON, || untaken().is_empty()), "{:?}: {}", untaken(), gateway.stderr());
    assert!(!gateway.admin("/release").text().contains("cannot be read"), "nothing is wrong any more");
}
