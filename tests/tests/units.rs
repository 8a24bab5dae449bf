//! The units of packaging: systemd understands every line, the sandbox of one is that of all, and what they start starts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use tests::agents::{Running, Scene, through};
use tests::gateway::binary;

const GATEWAY: &str = "adamant.service";
const AGENT: [&str; 2] = ["adamant-agent@.service", "adamant-agent-proxy@.service"];
const BINARY: &str = "/usr/local/bin/adamant";
const PROFILE: &str = "/var/lib/adamant-agent/%i";

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)).unwrap()
}

#[test]
fn systemd_understands_every_line() {
    let directory = tempfile::tempdir().unwrap();
    for name in AGENT.into_iter().chain([GATEWAY]) {
        // Where it will be is not where it is.
        let text = unit(name).replace(BINARY, binary().to_str().unwrap());
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() else {
            eprintln!("SKIPPED: systemd-analyze is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A systemd that does not know this call yet goes on without it.
        let wrong: Vec<&str> = said.lines().filter(|line| line.contains(name) && !line.contains("mseal")).collect();
        assert!(wrong.is_empty() && output.status.success(), "{name}: {said}");
    }
}

/// What the process can see and do, and what it is not.
fn sandbox(name: &str) -> BTreeSet<String> {
    let text = unit(name);
    let text = text.split_once("# What it can see.").unwrap().1.split_once("[Install]").unwrap().0;
    text.lines().filter(|line| line.contains('=') && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn agents_are_confined_as_the_gateway_is_and_more() {
    let gateway = sandbox(GATEWAY);
    assert!(gateway.len() > 20, "{gateway:?}");
    for name in AGENT {
        let (own, text) = (sandbox(name), unit(name));
        let missing: Vec<_> = gateway.difference(&own).filter(|line| *line != "SystemCallFilter=mseal").collect();
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
        for line in ["CapabilityBoundingSet=", "NoNewPrivileges=yes", "PrivateUsers=yes", "LimitCORE=0", "User=%i"] {
            assert!(text.lines().any(|of| of == line), "{name} lacks {line}");
        }
    }
}

/// What it starts, for the profile `p`.
fn started(name: &str) -> String {
    let text = unit(name);
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    line.strip_prefix(BINARY).unwrap().replace(PROFILE, "p")
}

#[test]
fn what_the_units_start_serves_a_profile_that_was_made_as_they_say() {
    let scene = Scene::new();
    // As `install -d` leaves it.
    let profile = scene.at().join("p");
    fs::create_dir(&profile).unwrap();
    fs::set_permissions(&profile, fs::Permissions::from_mode(0o700)).unwrap();
    scene.enroll("");
    for name in AGENT {
        let text = unit(name);
        let conditions = text.lines().filter_map(|line| line.strip_prefix("ConditionPathExists="));
        let first = conditions.map(|path| path.trim_start_matches('|')).next().unwrap();
        assert!(profile.join(first.strip_prefix(PROFILE).unwrap().trim_start_matches('/')).exists(), "{name}: {first}");
    }
    let [run, proxy] = AGENT.map(|name| Running::start(scene.at(), &started(name)));
    run.says("\"started\"", 1);
    proxy.says("listening", 1);
    let said = through(UnixStream::connect(profile.join("proxy.sock")).unwrap(), "GET /orders/7", "", "");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    run.end();
    proxy.end();
}
