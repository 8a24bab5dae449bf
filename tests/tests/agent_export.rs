//! `adamant agent export`: each tool that is here calls a real gateway with what was printed for it.
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
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::agents::{Scene, bad, ok};

/// A gateway that wants a client certificate, and the profile `p` of its agent beside it.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.enroll("");
    scene
}

/// Runs a tool; none, and said so, where it is not here.
fn tool(at: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(at).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: no {program} to test with");
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program}: {}{}", text(&output.stdout), text(&output.stderr));
    Some(text(&output.stdout))
}

#[test]
fn curl_calls_with_its_configuration() {
    let scene = scene();
    let (at, url) = (scene.at(), scene.url());
    fs::write(at.join("curl.conf"), ok(at, "agent export p curl")).unwrap();
    let Some(said) = tool(at, "curl", &["-sS", "-K", "curl.conf", &format!("{url}/orders/7")]) else { return };
    assert_eq!((said.as_str(), scene.origin.count()), ("the order", 1));
}

#[test]
fn python_calls_with_its_module() {
    let scene = scene();
    let at = scene.at();
    // Another interpreter, with the libraries of this test.
    let python = std::env::var("ADAMANT_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut expected = 0;
    for (library, maker) in [("requests", "session"), ("httpx", "client")] {
        let here = Command::new(&python).args(["-c", &format!("import {library}")]).stderr(Stdio::null()).status();
        if !here.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no {python} with {library}; name one in ADAMANT_PYTHON");
            continue;
        }
        fs::write(at.join("gateway.py"), ok(at, &format!("agent export p {library}"))).unwrap();
        let program = format!("import gateway; print(gateway.{maker}().get(gateway.GATEWAY + '/orders/7').text)");
        assert_eq!(tool(at, &python, &["-B", "-c", &program]).unwrap().trim(), "the order");
        expected += 1;
    }
    assert_eq!(scene.origin.count(), expected);
}

#[test]
fn node_calls_with_its_module() {
    let scene = scene();
    let at = scene.at();
    fs::write(at.join("gateway.js"), ok(at, "agent export p node")).unwrap();
    let program = "const { GATEWAY, options } = require('./gateway.js'); require('https').get(GATEWAY + '/orders/7', \
                   options(), r => r.on('data', d => process.stdout.write(d)).on('end', () => process.exit(0)))";
    let Some(said) = tool(at, "node", &["-e", program]) else { return };
    assert_eq!((said.as_str(), scene.origin.count()), ("the order", 1));
}

#[test]
fn the_others_name_or_hold_the_files_of_the_profile() {
    let scene = scene();
    let (at, url) = (scene.at(), scene.url());
    let env = ok(at, "agent export p env");
    fs::write(at.join("agent.env"), &env).unwrap();
    let script = ". ./agent.env; curl -sS --cacert \"$ADAMANT_CA\" --cert \"$ADAMANT_CERT\" --key \"$ADAMANT_KEY\" \
                  \"$ADAMANT_GATEWAY/orders/7\"";
    if let Some(said) = tool(at, "sh", &["-c", script]) {
        assert_eq!(said, "the order");
    }
    let secret = ok(at, "agent export p kubernetes");
    let member = |name: &str| {
        let line = secret.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: "))).unwrap();
        STANDARD.decode(line).unwrap()
    };
    for (name, file) in
        [("tls.crt", "p/current/cert.pem"), ("tls.key", "p/current/key.pem"), ("ca.crt", "p/gateway-ca.pem")]
    {
        assert_eq!(member(name), fs::read(at.join(file)).unwrap(), "{name}");
    }
    assert!(secret.starts_with("apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\n"), "{secret}");
    let go = ok(at, "agent export p go");
    assert!(go.contains("GetClientCertificate") && go.contains(&url), "{go}");
    if Command::new("gofmt").arg("-h").stderr(Stdio::null()).status().is_ok() {
        fs::write(at.join("adamant.go"), &go).unwrap();
        assert_eq!(tool(at, "gofmt", &["-l", "adamant.go"]).unwrap(), "");
    }
}

/// A key that is pinned beside the CA is checked by curl alone, and then each of them.
#[test]
fn a_pinned_key_is_not_dropped() {
    let scene = scene();
    let at = scene.at();
    let path = at.join("p/profile.json");
    let mut profile: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    profile["gateway_spki_sha256"] = json!(["ab".repeat(32), "cd".repeat(32)]);
    fs::write(&path, profile.to_string()).unwrap();
    let [one, other] = [0xab, 0xcd].map(|byte| STANDARD.encode([byte; 32]));
    let curl = ok(at, "agent export p curl");
    assert!(curl.contains(&format!("pinnedpubkey = \"sha256//{one};sha256//{other}\"")), "{curl}");
    for form in ["requests", "httpx", "node", "go", "kubernetes"] {
        let said = bad(at, &format!("agent export p {form}"));
        assert!(said.contains("pins the gateway's key") && said.contains("adamant agent proxy"), "{said}");
    }
}
