//! What moves under a release without a restart: keysets, certificates of listeners and towards origins. A good change
//! is taken, a bad one leaves the old in place and is told. And what a certificate may be named by.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rcgen::SanType;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tests::answer::Answer;
use tests::certificates::{Authority, Identity};
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::scene::bearer;
use tests::stream::Stream;
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, claims, jwks};

const HOST: &str = "api.test";
/// Files are looked at once a second.
const SOON: Duration = Duration::from_secs(60);
/// Long enough for a change to be seen.
const SEEN: Duration = Duration::from_millis(2_500);

/// Replaces a file as a careful program does.
fn replace(directory: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, text).unwrap();
    let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
}

/// A gateway whose issuer's keys are in a file that is watched.
fn with_watched_keys(key: &TokenKey) -> (Gateway, RecordingOrigin) {
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .with(&format!(
            "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = \
             [\"ES256\"]\nkeys = {{ watch = \"moving.jwks.json\" }}"
        ))
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
    let gateway = Deployment::new().file("moving.jwks.json", &jwks(&[key])).run(&policy.text());
    (gateway, origin)
}

#[test]
fn a_watched_keyset_rotates_without_a_restart() {
    let (old, new) = (TokenKey::generate("ES256", "k1"), TokenKey::generate("ES256", "k2"));
    let (gateway, _origin) = with_watched_keys(&old);
    let (old_token, new_token) = (bearer(&old.sign(&claims("bot"))), bearer(&new.sign(&claims("bot"))));
    let mut client = gateway.client();
    assert_eq!(client.exchange(get("/", &old_token)).status, 200);
    assert_eq!(client.exchange(get("/", &new_token)).status, 401);

    replace(gateway.directory(), "moving.jwks.json", &jwks(&[&old, &new]));
    assert!(eventually(SOON, || client.exchange(get("/", &new_token)).status == 200), "the new key is taken");
    assert_eq!(client.exchange(get("/", &old_token)).status, 200, "both while they overlap");

    replace(gateway.directory(), "moving.jwks.json", &jwks(&[&new]));
    let refused = eventually(SOON, || client.exchange(get("/", &old_token)).status == 401);
    assert!(refused, "a key that is gone is no longer good, cached or not, on an open connection");
    assert_eq!(client.exchange(get("/", &new_token)).status, 200);
    let is_told = || gateway.record_text().contains("\"keyset\"");
    assert!(eventually(SOON, is_told), "each change is an entry: {}", gateway.record_text());
}

#[test]
fn a_bad_keyset_leaves_the_old_one_in_place_and_is_told() {
    let key = TokenKey::generate("ES256", "k1");
    let (gateway, _origin) = with_watched_keys(&key);
    let token = bearer(&key.sign(&claims("bot")));
    for (number, bad) in ["{\"keys\": [", "{\"keys\": []}", "[]", ""].iter().enumerate() {
        replace(gateway.directory(), "moving.jwks.json", bad);
        let told = eventually(SOON, || gateway.metric("keyset_failures_total") >= (number + 1) as f64);
        assert!(told, "{bad:?} is counted");
        assert_eq!(gateway.once(get("/", &token)).status, 200, "{bad:?}");
    }
    gateway.tells("the old keyset stays in use");
    fs::remove_file(gateway.directory().join("moving.jwks.json")).unwrap();
    thread::sleep(SEEN);
    assert_eq!(gateway.once(get("/", &token)).status, 200, "nor does a file that is gone");
    let next = TokenKey::generate("ES256", "k2");
    replace(gateway.directory(), "moving.jwks.json", &jwks(&[&next]));
    let request = get("/", &bearer(&next.sign(&claims("bot"))));
    assert!(eventually(SOON, || gateway.once(&request).status == 200), "a good one after bad ones is taken");
}

/// The certificate that the gateway serves.
fn served(gateway: &Gateway, authority: &Authority) -> Vec<u8> {
    let stream = Stream::connect_tls(gateway.tls_address(), HOST, &authority.client_config(None)).unwrap();
    let Stream::Client(stream) = stream else { panic!("a TLS stream is one of a client") };
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn der(identity: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap().to_vec()
}

#[test]
fn a_listeners_certificate_is_replaced_under_open_connections() {
    let (authority, origin) = (Authority::new("server CA"), RecordingOrigin::start());
    let (first, second) = (authority.server(&[HOST]), authority.server(&[HOST]));
    let gateway = Deployment::new().tls_listener(&first, "off").run(&open_to_all(origin.address()).text());
    let config = authority.client_config(None);
    let mut open = Client::connect_tls(gateway.tls_address(), HOST, &config).unwrap();
    assert_eq!(open.exchange(get("/", "")).status, 200);
    assert_eq!(served(&gateway, &authority), der(&first));

    replace(gateway.directory(), "server.pem", &second.certificate);
    thread::sleep(SEEN);
    assert_eq!(served(&gateway, &authority), der(&first), "a certificate without its key is not taken");
    assert!(eventually(SOON, || gateway.metric("certificate_failures_total") >= 1.0), "and that is told");
    gateway.tells("server.pem");

    replace(gateway.directory(), "server.key", &second.key);
    assert!(eventually(SOON, || served(&gateway, &authority) == der(&second)), "the matching pair is taken");
    assert_eq!(open.exchange(get("/", "")).status, 200, "what was open goes on");

    for (name, text) in [("server.key", "nonsense"), ("server.pem", "nonsense"), ("server.pem", "")] {
        replace(gateway.directory(), name, text);
        thread::sleep(Duration::from_millis(1_300));
        assert_eq!(served(&gateway, &authority), der(&second), "{name} = {text:?}");
    }
    // What was good is good again: nothing is wrong any more.
    let is_failing = || gateway.admin("/release").text().contains("no CERTIFICATE section");
    assert!(eventually(SOON, is_failing));
    replace(gateway.directory(), "server.key", &second.key);
    replace(gateway.directory(), "server.pem", &second.certificate);
    assert!(eventually(SOON, || !is_failing()), "{}", gateway.admin("/release").text());
    gateway.tells("server.pem: it is good again, and is what serves");
    let third = authority.server(&[HOST]);
    replace(gateway.directory(), "server.key", &third.key);
    replace(gateway.directory(), "server.pem", &third.certificate);
    gateway.signal("HUP");
    assert!(eventually(SOON, || served(&gateway, &authority) == der(&third)));
    assert_eq!(open.exchange(get("/", "")).status, 200);
}

#[test]
fn a_certificate_that_lost_a_host_of_the_release_is_told() {
    let (authority, origin) = (Authority::new("server CA"), RecordingOrigin::start());
    let named =
        "[[route]]\nname = \"named\"\nhost = \"api.test\"\nmethods = [\"GET\"]\npath = \"/named\"\norigin = \"origin\"";
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .with(named)
        .scope("all", &["all", "named"])
        .anonymous(&["all"], &[]);
    let (first, second) = (authority.server(&[HOST, "more.test"]), authority.server(&["more.test"]));
    let gateway = Deployment::new().tls_listener(&first, "off").run(&policy.text());
    let told = "listener 1: its certificates do not cover api.test any more";
    let said = |part: &str| gateway.stderr().matches(part).count();
    for (step, (identity, times)) in [(&authority.server(&[HOST]), 0), (&second, 1), (&first, 1)].iter().enumerate() {
        replace(gateway.directory(), "server.key", &identity.key);
        replace(gateway.directory(), "server.pem", &identity.certificate);
        assert!(eventually(SOON, || said("info: a new certificate for ") == step + 1), "{}", gateway.stderr());
        assert_eq!(said(told), *times, "{}", gateway.stderr());
    }
}

/// An origin that demands a client certificate, and a gateway that has `identity` for it.
fn mutual(origins: &Authority, clients: &Authority, identity: &Identity) -> (Gateway, RecordingOrigin) {
    let server = origins.server(&["origin.test"]);
    let origin = RecordingOrigin::tls(server.server_config_for(clients), |_, _| Answer::text("mutual").closing());
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
        .with("[[origin_identity]]\nname = \"orders\"\nchain = \"client.pem\"\nkey = \"client.key\"")
        .run(&policy.text());
    (gateway, origin)
}

#[test]
fn an_origin_that_demands_a_certificate_gets_ours() {
    let (origins, clients) = (Authority::new("origin CA"), Authority::new("gateway CA"));
    let (gateway, _origin) = mutual(&origins, &clients, &clients.spiffe("spiffe://corp.test/gateway"));
    assert_eq!(gateway.once(get("/", "")).text(), "mutual");
    let stranger = Authority::new("gateway CA").spiffe("spiffe://corp.test/gateway");
    let (gateway, origin) = mutual(&origins, &clients, &stranger);
    assert_eq!(gateway.once(get("/", "")).status, 502, "an origin that refuses ours");
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_certificate_towards_an_origin_is_replaced_too() {
    let (origins, clients) = (Authority::new("origin CA"), Authority::new("gateway CA"));
    let stranger = Authority::new("another CA").spiffe("spiffe://corp.test/gateway");
    let (gateway, _origin) = mutual(&origins, &clients, &stranger);
    assert_eq!(gateway.once(get("/", "")).status, 502);
    let good = clients.spiffe("spiffe://corp.test/gateway");
    replace(gateway.directory(), "client.pem", &good.certificate);
    thread::sleep(SEEN);
    assert_eq!(gateway.once(get("/", "")).status, 502, "half of a pair is not taken");
    replace(gateway.directory(), "client.key", &good.key);
    assert!(eventually(SOON, || gateway.once(get("/", "")).status == 200), "the pair is");
    replace(gateway.directory(), "client.key", "nonsense");
    thread::sleep(SEEN);
    assert_eq!(gateway.once(get("/", "")).status, 200, "nonsense leaves the old one in place");
}

#[test]
fn an_agent_is_named_by_a_dns_name_or_by_its_very_key() {
    let (servers, agents) = (Authority::new("server CA"), Authority::new("agents CA"));
    let dns = |name: &str| agents.client(vec![SanType::DnsName(name.try_into().unwrap())]);
    let pinned = dns("whatever.test");
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .client_ca("agents", "agents.pem")
        .agent("by-name", "{ certificate = \"dns:bot.corp.test\", ca = \"agents\" }", &["all"], &[])
        .agent(
            "by-key",
            &format!("{{ certificate = \"spki-sha256:{}\", ca = \"agents\" }}", pinned.spki_sha256()),
            &["all"],
            &[],
        );
    let gateway = Deployment::new()
        .file("agents.pem", &agents.pem)
        .tls_listener(&servers.server(&[HOST]), "required")
        .run(&policy.text());
    let agent_of = |identity: &Identity| {
        let config = servers.client_config(Some(identity));
        let mut client = Client::connect_tls(gateway.tls_address(), HOST, &config).unwrap();
        let status = client.exchange(get("/", "")).status;
        let agent =
            (status == 200).then(|| origin.requests().last().unwrap().value("Adamant-Agent").unwrap().to_owned());
        (status, agent)
    };
    assert_eq!(agent_of(&dns("bot.corp.test")), (200, Some("by-name".into())));
    assert_eq!(agent_of(&dns("BOT.corp.test")), (200, Some("by-name".into())), "names of hosts have no case");
    assert_eq!(agent_of(&pinned), (200, Some("by-key".into())));
    for stranger in ["corp.test", "x.bot.corp.test", "*.corp.test", "bot.corp.test.evil.test"] {
        assert_eq!(agent_of(&dns(stranger)), (401, None), "{stranger}");
    }
    assert_eq!(agent_of(&dns("whatever.test")), (401, None), "the pinned one's name under another key");
}
