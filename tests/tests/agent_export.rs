//! `adamant agent export`: each tool that is here calls a real gateway with what was printed for it.
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
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::agents::{ID, Scene, bad, ok};
use tests::answer::Answer;
use tests::desk::END;
use tests::gateway::{Gateway, binary};
use tests::installed::installed;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;

const SOON: Duration = Duration::from_secs(60);

/// A gateway that wants a client certificate, and the profile `p` of its agent beside it.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.enroll("");
    scene
}

/// The same where the agent needs a token as well, which its CA issues bound to each certificate.
fn bound() -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    ok(
        at,
        "ca init ca --trust-domain corp.example --server localhost --issuer https://ca.corp.example --no-passphrase",
    );
    ok(at, "ca issue ca --server localhost --key-out server.key --out server.pem");
    let origin = RecordingOrigin::scripted(|_, _| Answer::text("the order"));
    let policy = PolicyText::new()
        .setting("transport = \"mtls\"")
        .origin("origin", &[origin.address()])
        .route("orders", "GET", "/orders/{id}", "origin")
        .scope("orders", &["orders"])
        .client_ca("agents", "ca/ca.pem")
        .with(
            "[[issuer]]\nname = \"ca\"\nissuer = \"https://ca.corp.example\"\naudience = [\"orders\"]\nalgorithms = \
             [\"ES256\"]\nkeys = { file = \"ca/jwks.json\" }",
        )
        .agent(
            "reports-bot",
            &format!(
                "{{ certificate = \"{ID}\", ca = \"agents\", token = {{ issuer = \"ca\", subject = \"reports-bot\", bound = \
                 \"certificate\" }} }}"
            ),
            &["orders"],
            &[],
        );
    let more = ["--tls-chain", "server.pem", "--tls-key", "server.key", "--client-certificates", "required"];
    let gateway = Gateway::dev_in(directory, &policy.text(), &more);
    let scene = Scene { gateway, origin };
    let (at, url) = (scene.at(), scene.url());
    ok(at, "key signer --out alice.key --no-passphrase");
    ok(at, &format!("trust init --key alice=alice.key --threshold 1 --expires {END} --out root.json"));
    ok(at, "trust sign root.json --key alice.key");
    ok(at, &format!("release build policy.toml --version 1 --expires {END} --out release.json"));
    ok(at, "release sign release.json --key alice.key");
    let trusted = "--ca ca --release release.json --trust-root root.json";
    ok(at, &format!("agent enroll p --agent reports-bot --gateway {url} {trusted}"));
    scene
}

/// What `tests/exports` installed; none, and said so, where it did not.
fn exports() -> Option<PathBuf> {
    installed("ADAMANT_EXPORTS", "httpx/__init__.py", "tests/exports")
}

/// Runs a tool of this machine; none, and said so, where it is not here.
fn tool(at: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: no {program} to test with");
        return None;
    }
    Some(run(at, Command::new(program).args(arguments)))
}

/// What it says; nothing else may come of it than success.
fn run(at: &Path, command: &mut Command) -> String {
    let output = command.current_dir(at).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Runs a Python program that has the libraries.
fn python(at: &Path, exports: &Path, program: &str) -> String {
    run(at, Command::new("python3").args(["-B", "-c", program]).env("PYTHONPATH", exports))
}

/// `go`, which asks nobody for anything. What it has built of its own library stays for the next run.
fn go(exports: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(exports.join("go/bin/go"));
    command.args(arguments).env("GOCACHE", exports.join("go-cache")).env("HOME", exports);
    command.envs([("GOTOOLCHAIN", "local"), ("GOPROXY", "off"), ("GOFLAGS", "-mod=mod"), ("CGO_ENABLED", "0")]);
    command.env_remove("GOROOT");
    command
}

#[test]
fn curl_calls_with_its_configuration() {
    let scene = scene();
    let (at, url) = (scene.at(), scene.url());
    fs::write(at.join("curl.conf"), ok(at, "agent export p curl")).unwrap();
    let Some(said) = tool(at, "curl", &["-sS", "-K", "curl.conf", &format!("{url}/orders/7")]) else { return };
    assert_eq!((said.as_str(), scene.origin.count()), ("the order", 1));
}

/// What a directory is called reaches the tools that take quotes off, and split at what is within.
#[test]
fn a_profile_may_stand_in_a_directory_of_any_name() {
    let scene = scene();
    let (at, url) = (scene.at(), scene.url());
    let said_of = |profile: &str, form: &str| {
        run(at, Command::new(binary()).args(["agent", "export", &format!("{profile}/p"), form]))
    };
    let generator = Path::new("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator");
    fs::create_dir_all(at.join("home/environment.d")).unwrap();
    let mut before = at.join("p");
    for (count, name) in (1..).zip([
        "of us",
        "of:us",
        "it's",
        "q\"q",
        r"b\s",
        r"b\\s",
        r"b\:s",
        r"b\\:s",
        r"b\",
        "$HOME",
        "$(touch run)",
        "`touch run`",
        r"\$HOME",
        r#"\""#,
        "#",
        "*",
        "end'",
    ]) {
        fs::create_dir(at.join(name)).unwrap();
        let profile = at.join(name).join("p");
        fs::rename(&before, &profile).unwrap();
        fs::write(at.join("curl.conf"), said_of(name, "curl")).unwrap();
        if let Some(said) = tool(at, "curl", &["-sS", "-K", "curl.conf", &format!("{url}/orders/7")]) {
            assert_eq!((said.as_str(), scene.origin.count()), ("the order", count), "{name}");
        }
        let env = said_of(name, "env");
        let expected = profile.canonicalize().unwrap().display().to_string();
        for shell in ["sh", "bash"] {
            let script = "eval \"$1\"; printf %s \"$ADAMANT_PROFILE\"";
            if let Some(said) = tool(at, shell, &["-c", script, shell, &env]) {
                assert_eq!(said, expected, "{shell}: {env}");
            }
        }
        // Reads files as EnvironmentFile= does, and then puts variables in, which that does not.
        if generator.exists() && !name.contains('$') {
            fs::write(at.join("home/environment.d/a.conf"), &env).unwrap();
            let said = run(at, Command::new(generator).env("XDG_CONFIG_HOME", at.join("home")));
            let line = said.lines().find(|line| line.starts_with("ADAMANT_PROFILE=")).unwrap();
            let script = format!("{line}; printf %s \"$ADAMANT_PROFILE\"");
            assert_eq!(run(at, Command::new("bash").args(["-c", &script])), expected, "{said}");
        }
        before = profile;
    }
    assert!(!at.join("run").exists(), "nothing in a name is run");
}

#[test]
fn python_calls_with_its_module() {
    let Some(exports) = exports() else { return };
    let scene = scene();
    let at = scene.at();
    for (count, (library, maker)) in [("requests", "session"), ("httpx", "client")].into_iter().enumerate() {
        fs::write(at.join("gateway.py"), ok(at, &format!("agent export p {library}"))).unwrap();
        let program = format!("import gateway; print(gateway.{maker}().get(gateway.GATEWAY + '/orders/7').text)");
        assert_eq!(python(at, &exports, &program).trim(), "the order", "{library}");
        assert_eq!(scene.origin.count(), count + 1, "{library}");
    }
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

/// Calls again after a renewal, with a client that has an idle connection of before.
#[test]
fn go_goes_on_over_renewals_with_bound_tokens() {
    const MAIN: &str = r#"package main

import (
	"fmt"
	"io"
	"os/exec"

	"example/adamant"
)

func main() {
	client, err := adamant.Client()
	for call := 0; err == nil && call < 6; call++ {
		if call%2 == 0 {
			exec.Command("ADAMANT", "agent", "run", "p", "--once").Run()
		}
		response, failed := client.Get(adamant.Gateway + "/orders/7")
		if err = failed; err == nil {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			fmt.Print(response.StatusCode, " ")
		}
	}
	if err != nil {
		fmt.Print(err)
	}
}
"#;
    let Some(exports) = exports() else { return };
    let scene = bound();
    let at = scene.at();
    fs::create_dir(at.join("adamant")).unwrap();
    fs::write(at.join("adamant/adamant.go"), ok(at, "agent export p go")).unwrap();
    fs::write(at.join("go.mod"), "module example\n\ngo 1.19\n").unwrap();
    fs::write(at.join("main.go"), MAIN.replace("ADAMANT", &binary().display().to_string())).unwrap();
    run(at, &mut go(&exports, &["build", "-o", "call", "."]));
    assert_eq!(run(at, &mut Command::new(at.join("call"))), "200 200 200 200 200 200 ");
    let certificates = || -> BTreeSet<String> {
        let records = scene.gateway.records();
        records.iter().filter_map(|record| Some(record["tls.client.hash.sha256"].as_str()?.to_owned())).collect()
    };
    assert!(eventually(SOON, || certificates().len() == 3), "one for each renewal: {:?}", certificates());
}

#[test]
fn a_token_is_read_from_the_generation_of_its_certificate() {
    let scene = bound();
    let at = scene.at();
    let exports = exports();
    for (form, name) in [("requests", "gateway.py"), ("httpx", "gateway.py"), ("node", "gateway.js"), ("go", "a.go")] {
        fs::write(at.join(name), ok(at, &format!("agent export p {form}"))).unwrap();
        let text = fs::read_to_string(at.join(name)).unwrap();
        assert!(text.contains("= \"token\"\n") || text.contains("= \"token\";\n"), "{text}");
        let call = match form {
            "requests" => "import gateway; print(gateway.session().get(gateway.GATEWAY + '/orders/7').text)",
            "httpx" => "import gateway; print(gateway.client().get('/orders/7').text)",
            "node" => {
                "const { GATEWAY, options } = require('./gateway.js'); require('https').get(GATEWAY + '/orders/7', \
                 options(), r => r.on('data', d => process.stdout.write(d)).on('end', () => process.exit(0)))"
            }
            _ => continue,
        };
        let said = match &exports {
            _ if form == "node" => tool(at, "node", &["-e", call]),
            Some(exports) => Some(python(at, exports, call)),
            None => None,
        };
        assert!(said.is_none_or(|said| said.trim() == "the order"), "{form}");
    }
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
    // As its last line says.
    let says = env.lines().last().unwrap().strip_prefix("# In a shell: ").unwrap().split(". In a unit").next().unwrap();
    let line = says.replace("adamant ", &format!("{} ", binary().display())).replace("PROFILE", "p");
    assert!(tool(at, "sh", &["-c", &format!("{line}; env")]).unwrap().contains("ADAMANT_CERT=/"), "{line}");
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
    assert!(go.contains("CloseIdleConnections") && go.contains(&url), "{go}");
    if let Some(exports) = exports() {
        fs::write(at.join("adamant.go"), &go).unwrap();
        assert_eq!(run(at, Command::new(exports.join("go/bin/gofmt")).args(["-l", "adamant.go"])), "");
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
