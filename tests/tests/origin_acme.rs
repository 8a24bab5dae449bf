//! Certificates towards origins from an ACME server, which looks at the gateway before it gives any: what is refused until
//! the first one comes, what is lost when others follow, and a server that cannot be believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::answer::Answer;
use tests::certificates::Authority;
use tests::client::get;
use tests::deployment::Deployment;
use tests::gateway::{self, Gateway};
use tests::liar::{Liar, Lie};
use tests::origin::RecordingOrigin;
use tests::pebble::{self, Character, Pebble};
use tests::policy::PolicyText;
use tests::process::{eventually, free_port};
use tests::renewal::{HOST, under_load, wait_for_refreshes};
use tests::store::{World, served};

const SOON: Duration = Duration::from_secs(60);
const NAME: &str = "gw.test";

fn character(looks_at: u16, life_s: u64) -> Character {
    Character { looks_at, life_s, rejects: 5, wants_external_account: false }
}

fn source(directory: &str, ca: &Path, more: &str) -> String {
    let ca = ca.display();
    format!(
        "[[certificate_source]]\nname = \"ca\"\nacme = {{ directory = \"{directory}\", ca = \"{ca}\", agree_to_terms = true{more} }}\n"
    )
}

fn identity(name: &str, names: &[&str]) -> String {
    format!("[[origin_identity]]\nname = \"{name}\"\nfrom = \"ca\"\nnames = {names:?}\n")
}

/// Takes nobody without a certificate of the CA in `clients` (PEM).
fn demanding(origins: &Authority, clients: &str) -> RecordingOrigin {
    let wants = origins.server(&["origin.test"]).server_config_for_clients_of(clients);
    RecordingOrigin::tls(wants, |_, _| Answer::text("ok"))
}

/// Below `/NAME` for each identity to an origin that is to see it.
fn policy(wanting: &[(&str, &RecordingOrigin)]) -> PolicyText {
    let mut text = PolicyText::new();
    for (identity, origin) in wanting {
        let tls = format!(
            "tls = {{ ca = {{ file = \"origins.pem\" }}, server_name = \"origin.test\", identity = \"{identity}\" }}"
        );
        text = text.origin_with(identity, &[origin.address()], &tls);
        text = text.route(identity, "*", &format!("/{identity}"), identity);
    }
    let names: Vec<&str> = wanting.iter().map(|(identity, _)| *identity).collect();
    text.scope("wanting", &names)
}

fn status(gateway: &Gateway) -> String {
    let admin = format!("http://{}", gateway.admin_address());
    gateway::run(&["status", &admin], gateway.directory()).1
}

fn awaits(gateway: &Gateway) -> Value {
    let said: Value = serde_json::from_str(&gateway.admin("/release").text()).unwrap();
    said["awaiting_identities"].clone()
}

/// The rotation log's entries of an identity that was taken.
fn taken(gateway: &Gateway, name: &str) -> Vec<Value> {
    let text = gateway.record_text();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_it = lines.filter(|line| {
        line["adamant.refresh.of"] == "origin-identity"
            && line["adamant.refresh.name"] == name
            && line["adamant.refresh.outcome"] == "taken"
    });
    of_it.collect()
}

/// Certificates with their keys in the state directory.
fn kept(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state.join("certificates")).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|of| of == "pem")).collect()
}

#[test]
fn the_first_one_comes_while_the_gateway_serves_and_renewals_lose_no_request() {
    let Some(binary) = pebble::binary() else { return };
    // On a machine that stands still for as long as a certificate has left, once more, with those that live longer.
    let is_in_time = [21, 42, 84].into_iter().any(|life_s| loses_no_request(&binary, life_s));
    assert!(is_in_time, "each time a certificate ended before there was another one");
}

/// False where a request was lost and a certificate had ended before there was another one.
fn loses_no_request(binary: &Path, life_s: u64) -> bool {
    let (origins, own, port) = (Authority::new("origins"), Authority::new("listener"), free_port());
    let mut pebble = Pebble::at(binary);
    pebble.start(character(port, life_s));
    let (origin, open) = (demanding(&origins, &pebble.root().0), RecordingOrigin::start());
    let server = own.server(&[HOST]);
    let policy = policy(&[("me", &origin)])
        .origin_with(
            "root",
            &[origin.address()],
            "tls = { ca = { file = \"origins.pem\" }, server_name = \"origin.test\", identity = \"me\" }",
        )
        .origin("open", &[open.address()])
        .route("root", "*", "/", "root")
        .route("open", "*", "/open", "open")
        .scope("others", &["root", "open"])
        .anonymous(&["wanting", "others"], &[]);
    pebble.pause(true);
    let mut gateway = Deployment::new()
        .file("origins.pem", &origins.pem)
        .file("server.pem", &server.certificate)
        .file("server.key", &server.key)
        .listener(&format!(
            "address = \"127.0.0.1:{port}\"\ntls = {{ certificates = [{{ chain = \"server.pem\", key = \"server.key\" }}] }}"
        ))
        .with(&source(&pebble.directory_url(), &pebble.ca(), ""))
        .with(&identity("me", &[NAME]))
        .run(&policy.text());

    // Nothing has come: whoever wants it is refused, everybody else is served, and both are told.
    gateway.tells("warning: the certificate for gw.test is not there yet: it is obtained from https://127.0.0.1:");
    gateway.tells("requests to origins that want it are refused until then (origin-identity-missing)");
    for path in ["/me", "/"] {
        let refused = gateway.once(get(path, ""));
        assert_eq!(refused.status, 503);
        assert_eq!(refused.value("Content-Type"), Some("application/problem+json"));
        assert!(refused.text().contains("\"unavailable\""), "{}", refused.text());
    }
    assert_eq!(gateway.once(get("/open", "")).status, 200);
    let records = gateway.wait_for_records(3);
    let reasons: Vec<_> = records.iter().filter_map(|of| of["adamant.reason"].as_str()).collect();
    assert_eq!(reasons, ["origin-identity-missing"; 2], "{records:?}");
    assert!(origin.connections().is_empty(), "nobody came without a certificate");
    let is_ready = || gateway.admin("/readyz").status == 200;
    assert!(eventually(SOON, is_ready), "the server may come by way of whoever asks that");
    assert_eq!(awaits(&gateway), json!(["me"]));
    let line = |count: u8| format!("adamant_origin_identity_awaits_certificate{{identity=\"me\"}} {count}");
    assert!(gateway.admin("/metrics").text().contains(&line(1)));
    assert_eq!(gateway.metric("origin_material_failures_total"), 0.0, "what is awaited is no failure");
    assert!(status(&gateway).contains("its origin identity \"me\" has no certificate yet"), "{}", status(&gateway));
    let (checked, said, warned) = gateway::run(&["run", "gateway.toml", "--check"], gateway.directory());
    assert!(checked.success() && warned.contains("refused until then (origin-identity-missing)"), "{said}{warned}");

    pebble.pause(false);
    assert!(eventually(SOON, || gateway.once(get("/me", "")).status == 200), "{}", gateway.stderr());
    let mut came = vec![Instant::now()];
    assert_eq!(awaits(&gateway), Value::Null);
    assert!(gateway.admin("/metrics").text().contains(&line(0)));
    assert!(!status(&gateway).contains("has no certificate yet"), "{}", status(&gateway));
    assert!(eventually(SOON, || taken(&gateway, "me").len() == 1), "{}", gateway.record_text());
    let first = taken(&gateway, "me");
    assert_eq!(first[0]["adamant.refresh.old"], "", "{first:?}");
    let ends = || {
        gateway
            .admin("/metrics")
            .text()
            .contains("adamant_expiry_timestamp_seconds{of=\"origin-identity\",name=\"me\"}")
    };
    assert!(eventually(SOON, ends), "its end is known");

    // The server stood still for a while: an order may have come to nothing.
    let failures = gateway.metric("certificates_obtained_failures_total");
    let before = origin.connections().len();
    let config = own.client_config(None);
    // What is kept alive with an old one is not used on.
    let anew = || origin.connections().len() >= before + 2;
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        under_load(gateway.tls_address(), &config, || {
            let count = taken(&gateway, "me").len();
            came.resize_with(count.max(came.len()), Instant::now);
            count >= 3 && anew()
        });
    }));
    if let Err(why) = loaded {
        came.push(Instant::now());
        let life = Duration::from_secs(life_s - 2);
        if came.windows(2).all(|pair| pair[1] - pair[0] < life) {
            resume_unwind(why);
        }
        return false;
    }
    let rotated = taken(&gateway, "me");
    for pair in rotated.windows(2) {
        assert_eq!(pair[0]["adamant.refresh.new"], pair[1]["adamant.refresh.old"]);
    }
    assert_eq!(gateway.metric("certificates_obtained_failures_total"), failures, "{}", gateway.stderr());

    // Just renewed: it lives for a while, whatever becomes of the server.
    let count = rotated.len();
    assert!(eventually(SOON, || taken(&gateway, "me").len() > count), "{}", gateway.stderr());
    pebble.stop();
    gateway.restart("TERM");
    assert_eq!(gateway.once(get("/me", "")).status, 200, "at once");
    assert_eq!(awaits(&gateway), Value::Null);
    true
}

/// A listener and three identities, of which two are one wish: towards clients and towards origins are two.
#[test]
fn who_wants_the_same_shares_it_and_a_listener_has_its_own() {
    let Some(binary) = pebble::binary() else { return };
    let (origins, port) = (Authority::new("origins"), free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(character(port, 3_600));
    let origin = demanding(&origins, &pebble.root().0);
    let wanting = ["me", "too", "alone"].map(|name| (name, &origin));
    let listener = format!(
        "address = \"127.0.0.1:{port}\"\ntls = {{ certificates = [{{ from = \"ca\", names = [\"{NAME}\"] }}] }}"
    );
    let gateway = Deployment::new()
        .file("origins.pem", &origins.pem)
        .listener(&listener)
        .with(&source(&pebble.directory_url(), &pebble.ca(), ""))
        .with(&identity("me", &[NAME, "edge.test"]))
        .with(&identity("too", &[NAME, "edge.test"]))
        .with(&identity("alone", &[NAME]))
        .run(&policy(&wanting).anonymous(&["wanting"], &[]).text());
    for (name, _) in wanting {
        let comes = || gateway.once(get(&format!("/{name}"), "")).status == 200;
        assert!(eventually(SOON, comes), "{name}: {}", gateway.stderr());
    }
    let awaits = || gateway.metric("listener_awaits_certificate") > 0.0;
    assert!(eventually(SOON, || !awaits()), "{}", gateway.stderr());
    assert_eq!(kept(&gateway.directory().join("state")).len(), 3, "one for the listener, and two towards origins");
    assert_eq!(pebble.log().matches("Issued certificate serial").count(), 3);
    let are_told = || wanting.iter().all(|(name, _)| !taken(&gateway, name).is_empty());
    assert!(eventually(SOON, are_told), "{}", gateway.record_text());
    let new = |name: &str| taken(&gateway, name)[0]["adamant.refresh.new"].clone();
    assert!(new("me") == new("too") && new("me") != new("alone"));
}

/// By http-01: no listener has TLS.
#[test]
fn a_release_may_come_to_want_what_has_not_come() {
    let Some(binary) = pebble::binary() else { return };
    let (origins, port) = (Authority::new("origins"), free_port());
    let mut pebble = Pebble::at(&binary);
    pebble.start(character(port, 3_600));
    let origin = demanding(&origins, &pebble.root().0);
    pebble.pause(true);
    let by_text = format!(", http_challenge = \"127.0.0.1:{port}\"");
    let world =
        World::with("hot", &(source(&pebble.directory_url(), &pebble.ca(), &by_text) + &identity("me", &[NAME])));
    world.write("origins.pem", origins.pem.as_bytes());
    world.publish(1, &world.build(1, &world.policy(&["/open"])));
    let gateway = world.start();
    assert_eq!(gateway.once(get("/open", "")).status, 200);
    let wanting = world.build(2, &policy(&[("me", &origin)]).anonymous(&["wanting"], &[]));
    world.publish(2, &wanting);
    assert!(eventually(SOON, || served(&gateway) == wanting.digest), "{}", gateway.stderr());
    assert_eq!(gateway.once(get("/me", "")).status, 503);
    assert!(origin.connections().is_empty());
    pebble.pause(false);
    assert!(eventually(SOON, || gateway.once(get("/me", "")).status == 200), "{}", gateway.stderr());
}

#[test]
fn what_a_lying_server_gives_never_goes_to_an_origin() {
    let (liar, origins) = (Liar::start(NAME), Authority::new("origins"));
    // It would take whatever the liar's issuer signed.
    let origin = demanding(&origins, &liar.issuer.pem);
    let deployment = || {
        Deployment::new()
            .file("origins.pem", &origins.pem)
            .file("liar.pem", &liar.tls.pem)
            .with(&source(
                &liar.directory(),
                Path::new("liar.pem"),
                &format!(", http_challenge = \"127.0.0.1:{}\"", free_port()),
            ))
            .with(&identity("me", &[NAME]))
            .run(&policy(&[("me", &origin)]).anonymous(&["wanting"], &[]).text())
    };
    let lies = [
        (Lie::OtherKey, "for another key"),
        (Lie::OtherName, "expected a certificate for gw.test, found one for other.corp.example"),
        (Lie::MoreNames, "found one for gw.test, more.corp.example"),
        (Lie::Ended, "found one that ended"),
        (Lie::Ca, "found one of a CA"),
        (Lie::OtherCa, "that the CA of its issuer vouches for"),
        (Lie::ServersOnly, "expected a certificate for clients, found one for other uses (extendedKeyUsage)"),
    ];
    let mut last = None;
    for (lie, told) in lies {
        liar.lies(lie);
        let gateway = deployment();
        let refused = wait_for_refreshes(&gateway, "refused", 1);
        assert!(refused[0]["error.message"].as_str().unwrap().contains(told), "{lie:?}: {refused:?}");
        assert_eq!(gateway.once(get("/me", "")).status, 503, "{lie:?}");
        assert!(kept(&gateway.directory().join("state")).is_empty(), "{lie:?}");
        last = Some(gateway);
    }
    let mut gateway = last.unwrap();
    gateway.tells("have the CA issue for clients (clientAuth)");
    assert!(status(&gateway).contains("no new certificate for gw.test from \"ca\" since 20"), "{}", status(&gateway));
    assert!(origin.connections().is_empty(), "nothing of it was shown to anybody");

    liar.lies(Lie::None);
    gateway.restart("TERM");
    assert!(eventually(SOON, || gateway.once(get("/me", "")).status == 200), "{}", gateway.stderr());
    // One that is damaged while it is kept comes again, and holds up no start.
    let file = kept(&gateway.directory().join("state")).remove(0);
    let orders = liar.orders();
    gateway.signal("TERM");
    assert!(gateway.wait(SOON).is_some());
    fs::write(&file, "damaged").unwrap();
    gateway.restart_stopped();
    assert!(eventually(SOON, || gateway.once(get("/me", "")).status == 200), "{}", gateway.stderr());
    gateway.tells("the certificate that was kept is not used");
    assert_eq!(liar.orders(), orders + 1);
}
