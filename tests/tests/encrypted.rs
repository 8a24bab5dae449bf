//! Records and state that are encrypted at rest, on the real binary: nothing of them is readable without the identity, and
//! with it everything is as it was, through kills, rotations and whatever is done to the file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "encrypted/crafted.rs"]
mod crafted;
#[path = "encrypted/kept.rs"]
mod kept;
#[path = "encrypted/taken_out.rs"]
mod taken_out;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::agents::{bad, ok};
use tests::client::get;
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;

const PATIENCE: Duration = Duration::from_secs(60);
const ROTATED: &str = "records.jsonl.1";
/// In the path of every request: nowhere to be read.
const PRIVATE: &str = "of-nobody-elses-business";

/// The public key of an identity that is made in the directory.
fn identity(directory: &Path, name: &str) -> String {
    let told = ok(directory, &format!("key age --out {name}"));
    told.lines().next().unwrap().to_owned()
}

/// With checkpoints every 100 ms in a directory outside, and more lines of `[gateway]`.
fn deployment() -> (Deployment, String) {
    let deployment = Deployment::new();
    let public = identity(deployment.directory(), "records.key");
    fs::create_dir(deployment.directory().join("outside")).unwrap();
    let records = format!("encrypt_to = [\"{public}\"]\ncheckpoints = [\"outside\"]\ncheckpoint_interval = \"100ms\"");
    (deployment.records(&records), public)
}

fn traffic(gateway: &Gateway, from: usize, count: usize) {
    let mut client = gateway.client();
    for number in from..from + count {
        assert_eq!(client.exchange(get(&format!("/{PRIVATE}/{number}"), "")).status, 200);
    }
}

fn has(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|found| found == part.as_bytes())
}

fn end(gateway: &mut Gateway, signal: &str) {
    gateway.signal(signal);
    assert!(gateway.wait(PATIENCE).is_some());
}

fn verify(at: &Path, files: &str) -> Value {
    let line = format!(
        "audit verify {files} --node-key state/node.pub --format json --identity records.key --checkpoints outside"
    );
    let (status, stdout, stderr) = tests::agents::run(at, &line);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert_eq!(report["intact"] == true, status == 0, "{stdout}");
    report
}

/// Paths of the exchanges in lines of records.
fn paths(lines: &str) -> Vec<String> {
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let exchanges = records.filter(|record| record["adamant.kind"] == "exchange");
    exchanges.map(|record| record["url.path"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the file of records holds as many exchanges: what comes next is in other batches.
fn on_disk(gateway: &Gateway, exchanges: usize) {
    let line = format!("audit decrypt {RECORDS_FILE} --identity records.key");
    let are_written = || tests::agents::run(gateway.directory(), &line).1.matches("\"url.path\"").count() >= exchanges;
    assert!(eventually(PATIENCE, are_written), "{}", gateway.stderr());
}

/// Two files of records, of three runs: one was killed, one rotated.
fn written() -> (Gateway, String) {
    let origin = RecordingOrigin::start();
    let (deployment, public) = deployment();
    let mut gateway = deployment.run(&open_to_all(origin.address()).text());
    traffic(&gateway, 0, 40);
    on_disk(&gateway, 40);
    gateway.restart("KILL");
    traffic(&gateway, 40, 40);
    let at = gateway.directory().to_owned();
    fs::rename(at.join(RECORDS_FILE), at.join(ROTATED)).unwrap();
    gateway.signal("HUP");
    assert!(eventually(PATIENCE, || at.join(RECORDS_FILE).exists()));
    traffic(&gateway, 80, 40);
    end(&mut gateway, "TERM");
    gateway.restart_stopped();
    traffic(&gateway, 120, 10);
    end(&mut gateway, "TERM");
    (gateway, public)
}

#[test]
fn nothing_is_readable_without_the_identity_and_everything_with_it() {
    let (gateway, public) = written();
    let at = gateway.directory();
    for name in [RECORDS_FILE, ROTATED] {
        let bytes = fs::read(at.join(name)).unwrap();
        assert!(has(&bytes, &format!("adamant-encrypted-to {public}\n")) && !has(&bytes, PRIVATE), "{name}");
        assert!(!has(&bytes, "adamant.kind") && !has(&bytes, "127.0.0.1"), "{name}");
    }
    let both = format!("{ROTATED} {RECORDS_FILE}");
    let lines = ok(at, &format!("audit decrypt {both} --identity records.key"));
    let expected: Vec<String> = (0..130).map(|number| format!("/{PRIVATE}/{number}")).collect();
    assert_eq!(paths(&lines), expected);
    assert_eq!(verify(at, &both)["lines"], lines.lines().count());

    let filtered = ok(at, &format!("audit filter {both} --identity records.key --path /{PRIVATE}/7"));
    assert_eq!(paths(&filtered).len(), 11, "7 and 70 to 79");
    assert!(ok(at, &format!("audit show {both} --identity records.key --kind start")).lines().count() == 3);
    let record: Value = serde_json::from_str(lines.lines().find(|line| line.contains("/85\"")).unwrap()).unwrap();
    let id = record["adamant.request_id"].as_str().unwrap();
    let told = ok(
        at,
        &format!("explain --request-id {id} --records {RECORDS_FILE} --release release.json --identity records.key"),
    );
    assert!(told.contains("as recorded"), "{told}");
    ok(at, &format!("replay {both} --release release.json --identity records.key"));
    let (_, told, _) = tests::agents::run(at, &format!("review {both} --policy policy.toml --identity records.key"));
    assert!(told.contains("130 exchanges"), "{told}");
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["adamant.kind"], "start");

    for line in [
        format!("audit verify {both} --node-key state/node.pub"),
        format!("audit show {RECORDS_FILE}"),
        format!("audit filter {RECORDS_FILE} --agent anyone"),
        format!("audit decrypt {RECORDS_FILE}"),
        format!("replay {RECORDS_FILE} --release release.json"),
        format!("review {RECORDS_FILE} --policy policy.toml"),
        format!("explain --request-id {id} --records {RECORDS_FILE} --release release.json"),
    ] {
        let (status, _, said) = tests::agents::run(at, &line);
        assert!(status == 1 && said.contains(&public) && said.contains("--identity FILE"), "{line}: {said}");
    }
    let other = identity(at, "other.key");
    let (_, _, said) = tests::agents::run(at, &format!("audit show {RECORDS_FILE} --identity other.key"));
    assert!(said.contains(&other) && said.contains(&public), "{said}");
    Command::new("chmod").args(["644", "records.key"]).current_dir(at).status().unwrap();
    assert!(bad_said(at, &format!("audit show {RECORDS_FILE} --identity records.key")).contains("chmod 600"));
}

fn bad_said(at: &Path, line: &str) -> String {
    let (status, _, said) = tests::agents::run(at, line);
    assert_eq!(status, 1, "{line}: {said}");
    said
}

/// As docs/records.md says it.
#[test]
fn the_age_command_reads_the_batches_one_by_one() {
    if Command::new("age").arg("--version").output().is_err() {
        println!("SKIPPED: age is not installed");
        return;
    }
    let (gateway, _) = written();
    let at = gateway.directory();
    let split = "while read -r mark length; do [ \"$mark\" != adamant-encrypted ] || head -c \"$length\" | age -d -i records.key; done < records.jsonl";
    let output = Command::new("sh").args(["-c", split]).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ours = ok(at, &format!("audit decrypt {RECORDS_FILE} --identity records.key"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ours);
}

/// Where each batch begins.
fn batches(bytes: &[u8]) -> Vec<usize> {
    let mark = b"adamant-encrypted ";
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(mark)).collect()
}

#[test]
fn what_is_done_to_the_file_is_found() {
    let origin = RecordingOrigin::start();
    let (deployment, _) = deployment();
    let mut gateway = deployment.run(&open_to_all(origin.address()).text());
    for round in 0..5 {
        traffic(&gateway, round * 10, 10);
        on_disk(&gateway, round * 10 + 10);
    }
    end(&mut gateway, "TERM");
    let at = gateway.directory();
    let whole = fs::read(at.join(RECORDS_FILE)).unwrap();
    let starts = batches(&whole);
    assert!(starts.len() > 5, "{}", starts.len());
    let (one, two, three) = (starts[1], starts[2], starts[3]);
    assert_eq!(verify(at, RECORDS_FILE)["intact"], true);
    let mut changed = whole.clone();
    changed[two - 10] ^= 1;
    let without = [&whole[..one], &whole[two..]].concat();
    let swapped = [&whole[..one], &whole[two..three], &whole[one..two], &whole[three..]].concat();
    let torn = [&whole[..two - 30], &whole[two..]].concat();
    let twice = [&whole[..two], &whole[one..]].concat();
    let public = fs::read_to_string(at.join("records.key")).unwrap();
    let public = public.lines().next().unwrap().trim_start_matches("# public key: ");
    fs::write(at.join("made-up"), "{\"adamant.kind\":\"exchange\",\"url.path\":\"/made-up\"}\n").unwrap();
    for (name, bytes, told) in [
        ("changed", &changed, "was changed"),
        ("without", &without, "missing"),
        ("swapped", &swapped, "\"moved\""),
        ("torn", &torn, "cut off"),
        ("twice", &twice, "\"repeated\""),
    ] {
        fs::write(at.join("tampered"), bytes).unwrap();
        let report = verify(at, "tampered");
        assert!(report["intact"] == false && report.to_string().contains(told), "{name}: {report}");
    }
    // Anybody can encrypt to a public key: what is put in is found by the chain.
    if let Ok(made) = Command::new("age").args(["-r", public, "made-up"]).current_dir(at).output() {
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let head = format!("adamant-encrypted {}\n", made.stdout.len());
        let put_in = [&whole[..two], head.as_bytes(), &made.stdout, b"\n", &whole[two..]].concat();
        fs::write(at.join("tampered"), put_in).unwrap();
        assert_eq!(verify(at, "tampered")["intact"], false);
    }
    // Half of the last batch, as a kill leaves it: everything before it is read.
    fs::write(at.join("tampered"), &whole[..whole.len() - 9]).unwrap();
    let lines = ok(at, "audit decrypt tampered --identity records.key");
    assert!(lines.lines().count() > 20 && lines.ends_with('\n'));
    // One that was changed: what is left is read, and no script takes it for all.
    let mut changed = whole.clone();
    changed[two + 200] ^= 1;
    fs::write(at.join("tampered"), changed).unwrap();
    let (status, rest, said) = tests::agents::run(at, "audit decrypt tampered --identity records.key");
    assert!(status == 1 && said.contains("a batch was changed: what they held is not all there"), "{said}");
    assert!(rest.lines().count() > 20, "{said}");
}

/// What was answered in audit mode `durable` is on record, whenever the gateway is killed.
#[test]
fn a_kill_loses_no_more_than_of_a_plain_file() {
    let origin = RecordingOrigin::start();
    let (deployment, _) = deployment();
    let mut gateway = deployment.run(&open_to_all(origin.address()).setting("audit = \"durable\"").text());
    let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    for round in 0..6 {
        let (address, before) = (gateway.address(), answered.load(Ordering::Relaxed));
        stop.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = tests::client::Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    let number = answered.load(Ordering::Relaxed);
                    if client.try_send(get(&format!("/{PRIVATE}/{number}"), "").as_bytes()).is_err() {
                        return;
                    }
                    if client.try_response_to("GET").is_ok_and(|response| response.status == 200) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        return;
                    }
                }
            });
            thread::sleep(Duration::from_millis(150 + 37 * round));
            // A busy machine answers few in that time.
            let are_some = eventually(PATIENCE, || answered.load(Ordering::Relaxed) >= before + 4);
            gateway.signal("KILL");
            gateway.wait(PATIENCE);
            stop.store(true, Ordering::Relaxed);
            assert!(are_some, "{before} were answered before, and hardly any since");
        });
        gateway.restart_stopped();
    }
    end(&mut gateway, "TERM");
    let at = gateway.directory();
    let lines = ok(at, &format!("audit decrypt {RECORDS_FILE} --identity records.key"));
    let count = answered.load(Ordering::Relaxed);
    assert!(count > 20, "{count} requests");
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for number in 0..count {
        let path = format!("/{PRIVATE}/{number}");
        assert!(records.iter().any(|record| record["url.path"] == path), "{path} was answered, and is not on record");
    }
    let report = verify(at, RECORDS_FILE);
    assert_eq!(report["intact"], true, "{report}");
}

fn set_gateway(at: &Path, lines: &str) {
    let path = at.join("gateway.toml");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("state_identity")).collect();
    fs::write(path, kept.join("\n").replacen("[gateway]", &format!("[gateway]\n{lines}"), 1) + "\n").unwrap();
}

#[test]
fn secrets_of_the_state_directory_are_taken_over_encrypted_and_read_with_the_identity_alone() {
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &["5/day quota"]);
    let mut gateway = Deployment::new().run(&policy.text());
    let at = gateway.directory().to_owned();
    let public = identity(&at, "state.key");
    let node = fs::read_to_string(at.join("state/node.pub")).unwrap();
    let statuses = |gateway: &Gateway, count: usize| -> Vec<u16> {
        (0..count).map(|_| gateway.once(get("/", "")).status).collect()
    };
    assert_eq!(statuses(&gateway, 2), [200, 200]);
    assert!(has(&fs::read(at.join("state/node.key")).unwrap(), "PRIVATE KEY"));

    // A state that was written plain is taken over.
    set_gateway(&at, "state_identity = \"state.key\"");
    let (status, said, _) = gateway::run(&["run", "gateway.toml", "--check"], &at);
    assert!(
        status.success() && said.contains("\nnote: a start encrypts what is plain") && said.contains("node.key"),
        "{said}"
    );
    assert!(has(&fs::read(at.join("state/node.key")).unwrap(), "PRIVATE KEY"), "a check writes nothing");
    gateway.restart("TERM");
    assert!(has(&fs::read(at.join("state/node.key")).unwrap(), "age-encryption.org/v1\n"));
    // Counters are written by a thread of their own.
    let check = || gateway::run(&["run", "gateway.toml", "--check"], &at).1;
    let is_taken_over = || check().starts_with("ok: ") && !check().contains("note: ");
    assert!(eventually(PATIENCE, is_taken_over), "{}", check());
    assert_eq!(statuses(&gateway, 2), [200, 200]);
    gateway.restart("TERM");
    assert_eq!(statuses(&gateway, 2), [200, 429], "four were counted before");
    for name in ["node.key", "counters", "last-use.json"] {
        let bytes = fs::read(at.join("state").join(name)).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n") && !has(&bytes, "PRIVATE"), "{name}");
    }
    assert_eq!(fs::read_to_string(at.join("state/node.pub")).unwrap(), node, "the same key");
    end(&mut gateway, "TERM");

    let refused = |lines: &str, parts: &[&str]| {
        set_gateway(&at, lines);
        for line in [&["run", "gateway.toml"][..], &["run", "gateway.toml", "--check"]] {
            let (status, _, said) = gateway::run(line, &at);
            assert!(status.code() == Some(1) && parts.iter().all(|part| said.contains(part)), "{line:?}: {said}");
        }
    };
    refused("", &["node.key", "state_identity"]);
    let other = identity(&at, "other.key");
    refused("state_identity = \"other.key\"", &["node.key", &other, "other keys"]);
    fs::rename(at.join("state/node.key"), at.join("node.key")).unwrap();
    refused("", &["last-use.json", "state_identity"]);
    fs::rename(at.join("state/last-use.json"), at.join("last-use.json")).unwrap();
    refused("state_identity = \"other.key\"", &["counters", &other, "other keys"]);
    for name in ["node.key", "last-use.json"] {
        fs::rename(at.join(name), at.join("state").join(name)).unwrap();
    }
    refused("state_identity = \"credential:state.key\"", &["$CREDENTIALS_DIRECTORY", "LoadCredential"]);
    fs::write(at.join("wrong.key"), "hunter2-hunter2-hunter2\n").unwrap();
    Command::new("chmod").args(["600", "wrong.key"]).current_dir(&at).status().unwrap();
    refused("state_identity = \"wrong.key\"", &["wrong.key", "age-keygen"]);

    // As systemd hands it over.
    fs::create_dir(at.join("credentials")).unwrap();
    fs::rename(at.join("state.key"), at.join("credentials/state.key")).unwrap();
    set_gateway(&at, "state_identity = \"credential:state.key\"");
    let mut command = Command::new(gateway::binary());
    command.args(["run", "gateway.toml", "--print-addresses", "addresses.json"]);
    command.env("CREDENTIALS_DIRECTORY", at.join("credentials"));
    let directory = tempfile::tempdir().unwrap();
    copy(&at, directory.path());
    let again = Gateway::start_command(directory, command, None).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(statuses(&again, 1), [429]);
    assert!(public.starts_with("age1"));
}

/// Copies a directory with what is in it.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn mistakes_in_the_configuration_are_told_where_they_stand() {
    let origin = RecordingOrigin::start();
    let (deployment, public) = deployment();
    let at = deployment.directory().to_owned();
    let deployment = deployment.prepare(&open_to_all(origin.address()).text());
    let toml = fs::read_to_string(at.join("gateway.toml")).unwrap();
    let secret = fs::read_to_string(at.join("records.key")).unwrap();
    let secret = secret.lines().find(|line| line.starts_with("AGE-")).unwrap();
    let twice = format!("{public}\", \"{public}");
    for (from, to, told) in [
        (public.as_str(), "age1nothing", "expected an age public key"),
        (public.as_str(), secret, "a private one"),
        (public.as_str(), twice.as_str(), "twice"),
        (RECORDS_FILE, "stdout", "expected a file as `to`"),
        (&format!("[\"{public}\"]"), "[]", "1 to 16 age public keys"),
    ] {
        fs::write(at.join("gateway.toml"), toml.replace(from, to)).unwrap();
        let (status, _, said) = gateway::run(&["run", "gateway.toml", "--check"], &at);
        assert!(!status.success() && said.contains(told) && said.contains("gateway.toml:"), "{said}");
        assert!(!said.contains(&secret[16..30]), "{said}");
    }
    let refused = bad(&at, "key age --out records.key");
    assert!(refused.contains("records.key"), "{refused}");
    drop(deployment);
}
