//! The process: start, refusals to start, signals, and the admin listener.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::thread;
use std::time::Duration;

use tests::answer::{Answer, Gate};
use tests::client::get;
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::open_to_all;
use tests::process::eventually;

/// An origin that answers once the gate is open.
fn late() -> (RecordingOrigin, Gate) {
    let gate = Gate::default();
    let of_origin = gate.clone();
    let origin = RecordingOrigin::scripted(move |_, _| {
        of_origin.pass();
        Answer::text("late")
    });
    (origin, gate)
}

fn running() -> (Gateway, RecordingOrigin) {
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    (gateway, origin)
}

#[test]
fn dev_replaces_an_origin_that_the_command_line_names() {
    let origin = RecordingOrigin::start();
    let policy = open_to_all("192.0.2.1:80".parse().unwrap()).text();
    let named = format!("origin={}", origin.address());
    let gateway = Gateway::dev_in(tempfile::tempdir().unwrap(), &policy, &["--origin", &named]);
    assert_eq!(gateway.once(get("/", "")).status, 200);
    assert_eq!(origin.count(), 1);
    gateway.tells("listening on http://127.0.0.1:");
}

#[test]
fn sigterm_finishes_what_runs_and_ends() {
    let (origin, gate) = late();
    let mut gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    let mut client = gateway.client();
    let mut idle = gateway.client();
    client.send(get("/", ""));
    origin.wait_for_head(1);
    gateway.signal("TERM");
    assert!(idle.is_closed_within(Duration::from_secs(60)), "idle connections are closed");
    thread::sleep(Duration::from_millis(200));
    assert!(gateway.is_running(), "an exchange still runs");
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "late"));
    assert_eq!(response.value("Connection"), Some("close"));
    let status = gateway.wait(Duration::from_secs(60)).expect("ends once nothing runs");
    assert!(status.success(), "{status}: {}", gateway.stderr());
    assert_eq!(gateway.records().len(), 1, "and what ran is recorded");
}

#[test]
fn readiness_goes_off_while_it_drains() {
    let (origin, gate) = late();
    let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    assert_eq!(gateway.admin("/readyz").status, 200);
    let mut client = gateway.client();
    client.send(get("/", ""));
    origin.wait_for_head(1);
    gateway.signal("TERM");
    assert!(eventually(Duration::from_secs(60), || gateway.admin("/readyz").status == 503));
    assert_eq!(gateway.admin("/healthz").status, 200);
    gate.open();
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let origin = RecordingOrigin::scripted(|_, _| Answer::broken(tests::answer::Fault::Silence));
    let mut gateway = Deployment::new().with("[timeouts]\ndrain = \"1s\"").run(&open_to_all(origin.address()).text());
    let mut client = gateway.client();
    client.send(get("/", ""));
    origin.wait_for_head(1);
    gateway.signal("TERM");
    assert!(gateway.wait(Duration::from_secs(60)).is_some(), "cut after the deadline");
}

#[test]
fn sighup_opens_the_record_file_anew() {
    let (gateway, _origin) = running();
    assert_eq!(gateway.once(get("/first", "")).status, 200);
    gateway.wait_for_records(1);
    let (file, moved) = (gateway.directory().join(RECORDS_FILE), gateway.directory().join("moved.jsonl"));
    fs::rename(&file, &moved).unwrap();
    gateway.signal("HUP");
    assert!(eventually(Duration::from_secs(60), || file.exists()), "a new file is opened");
    assert_eq!(gateway.once(get("/second", "")).status, 200);
    let records = gateway.wait_for_records(1);
    assert_eq!(records[0]["url.path"], "/second");
    assert!(fs::read_to_string(&moved).unwrap().contains("/first"));
}

#[test]
fn the_admin_listener_answers_and_changes_nothing() {
    let (gateway, _origin) = running();
    gateway.once(get("/", ""));
    assert_eq!(gateway.admin("/healthz").status, 200);
    assert_eq!(gateway.admin("/readyz").status, 200);
    let metrics = gateway.admin("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().lines().any(|line| line.starts_with("adamant_")), "{}", metrics.text());
    let release: serde_json::Value = serde_json::from_str(&gateway.admin("/release").text()).unwrap();
    assert!(release.to_string().contains("sha256:"), "{release}");
    assert_eq!(gateway.admin("/nothing").status, 404);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request =
            format!("{method} /release HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(tests::client::once(gateway.admin_address(), request).status, 405, "{method}");
    }
}

#[test]
fn the_admin_paths_are_not_on_the_listeners_of_agents() {
    let (gateway, origin) = running();
    assert_eq!(gateway.once(get("/metrics", "")).text(), "ok");
    assert_eq!(origin.last_of(1).target(), "/metrics");
}

/// What the gateway says when it refuses to start.
fn refusal(deployment: Deployment) -> String {
    let origin = RecordingOrigin::start();
    match deployment.try_run(&open_to_all(origin.address()).text()) {
        Ok(_) => panic!("it started"),
        Err(said) => said,
    }
}

#[test]
fn a_plain_listener_off_loopback_must_be_named_insecure() {
    let said = refusal(Deployment::new().only_listener("address = \"0.0.0.0:0\""));
    assert!(said.contains("gateway.toml:") && said.contains("loopback") && said.contains("insecure"), "{said}");
    let origin = RecordingOrigin::start();
    let named = Deployment::new().only_listener("address = \"0.0.0.0:0\"\nplain = \"insecure\"");
    named.run(&open_to_all(origin.address()).text());
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    let said = refusal(Deployment::new().with("[timeouts]\nheed = \"1s\""));
    assert!(said.contains("gateway.toml:") && said.contains("heed"), "{said}");
    let said = refusal(Deployment::new().with("[timeouts]\nhead = \"soon\""));
    assert!(said.contains("gateway.toml:") && said.contains("soon"), "{said}");
    let said = refusal(Deployment::new().cores("[4095]"));
    assert!(said.contains("4095"), "{said}");
}

#[test]
fn a_release_that_was_touched_is_refused() {
    let origin = RecordingOrigin::start();
    let deployment = Deployment::new().prepare(&open_to_all(origin.address()).text());
    let path = deployment.directory().join("release.json");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    fs::write(&path, bytes).unwrap();
    let (status, _, said) = tests::gateway::run(&["run", "gateway.toml"], deployment.directory());
    assert!(!status.success() && !said.trim().is_empty(), "{status}: {said}");
    assert!(said.contains("release"), "{said}");
}

#[test]
fn an_address_in_use_is_said_so() {
    let (gateway, _origin) = running();
    let said = refusal(Deployment::new().only_listener(&format!("address = \"{}\"", gateway.address())));
    assert!(said.contains(&gateway.address().to_string()), "{said}");
}

#[test]
fn nonsense_on_the_command_line_is_told_apart_from_failure() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _, said) = tests::gateway::run(&["serve"], directory.path());
    assert!(!status.success() && said.contains("serve"), "{said}");
    let (status, _, said) = tests::gateway::run(&["dev", "missing.toml"], directory.path());
    assert!(!status.success() && said.contains("missing.toml"), "{said}");
    let (status, _, said) = tests::gateway::run(&["run", "missing.toml"], directory.path());
    assert!(!status.success() && said.contains("missing.toml"), "{said}");
}
