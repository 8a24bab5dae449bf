//! The record chain on the real binary: an untouched log is proved, and whatever is done to it is found where it was done.
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
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain::checkpoint::Checkpoint;
use chain::log::Log;
use chain::note::{self, Note, Verifier};
use policy_release::key_file;
use serde_json::Value;
use tests::answer::Answer;
use tests::certificates::Authority;
use tests::client::get;
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::open_to_all;
use tests::process::eventually;

#[path = "chain/verdict.rs"]
mod verdict;

const OUTSIDE: &str = "outside";
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway whose checkpoints go to a directory every 100 ms.
fn sealed(origin: &RecordingOrigin) -> Gateway {
    let deployment =
        Deployment::new().records(&format!("checkpoints = [\"{OUTSIDE}\"]\ncheckpoint_interval = \"100ms\""));
    fs::create_dir(deployment.directory().join(OUTSIDE)).unwrap();
    deployment.run(&open_to_all(origin.address()).text())
}

fn traffic(gateway: &Gateway, count: usize) {
    let mut client = gateway.client();
    for number in 0..count {
        assert_eq!(client.exchange(get(&format!("/{number}"), "")).status, 200);
    }
}

fn stop(gateway: &mut Gateway) {
    gateway.signal("TERM");
    assert!(gateway.wait(PATIENCE).is_some());
}

fn lines(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join(RECORDS_FILE)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// `adamant audit verify … --format json` with the node's key: whether it said so with its status, and the report.
fn verify(directory: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["audit", "verify", "--node-key", "state/node.pub", "--format", "json"];
    all.extend_from_slice(arguments);
    let (status, stdout, stderr) = gateway::run(&all, directory);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert_eq!(report["intact"] == true, status.success(), "{stdout}");
    report
}

fn verify_records(directory: &Path) -> Value {
    verify(directory, &[RECORDS_FILE, "--checkpoints", OUTSIDE])
}

/// Kind and line of each finding in lines that stand in a file of their own, against the checkpoints held outside.
fn found(directory: &Path, lines: &[String]) -> Vec<(String, u64)> {
    fs::write(directory.join("tampered.jsonl"), lines.join("\n") + "\n").unwrap();
    let report = verify(directory, &["tampered.jsonl", "--checkpoints", OUTSIDE]);
    let findings = report["findings"].as_array().unwrap();
    let found =
        findings.iter().map(|of| (of["kind"].as_str().unwrap().to_owned(), of["at"]["line"].as_u64().unwrap_or(0)));
    found.collect()
}

fn checkpoints(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory.join(OUTSIDE))
        .unwrap()
        .flat_map(|log| fs::read_dir(log.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    files.sort();
    files
}

fn runs_with_checkpoints(directory: &Path) -> usize {
    let files = checkpoints(directory);
    files.iter().filter_map(|file| file.parent()).collect::<BTreeSet<_>>().len()
}

#[test]
fn each_tampering_is_found_where_it_was_done() {
    let origin = RecordingOrigin::start();
    let mut gateway = sealed(&origin);
    traffic(&gateway, 30);
    gateway.restart("TERM");
    traffic(&gateway, 60);
    stop(&mut gateway);
    let directory = gateway.directory();
    let all = lines(directory);
    let before = all.iter().rposition(|line| line.contains("\"adamant.kind\":\"start\"")).unwrap();
    let report = verify_records(directory);
    assert_eq!(report["intact"], true, "{report:#}");
    let run = &report["runs"][1];
    assert_eq!((run["unsealed"].as_u64(), run["ended"].as_str()), (Some(0), Some("stop")), "{report:#}");
    assert_eq!(run["proved_outside"]["at"]["line"].as_u64(), Some(all.len() as u64));

    let at = before + 30;
    let tampered = |tamper: &dyn Fn(&mut Vec<String>)| {
        let mut lines = all.clone();
        tamper(&mut lines);
        found(directory, &lines)
    };
    let one = |kind: &str, line: usize| vec![(kind.to_owned(), line as u64)];
    assert_eq!(tampered(&|_| {}), vec![]);
    assert_eq!(tampered(&|lines| drop(lines.remove(at))), one("missing", at + 1));
    assert_eq!(tampered(&|lines| drop(lines.drain(at..at + 9))), one("missing", at + 1));
    assert_eq!(tampered(&|lines| lines[at] = lines[at].replacen("permit", "permiT", 1)), one("changed", at + 1));
    assert_eq!(tampered(&|lines| lines.swap(at, at + 1)), one("moved", at + 1));
    assert_eq!(tampered(&|lines| lines.insert(at, lines[at - 5].clone())), one("repeated", at + 1));
    assert_eq!(tampered(&|lines| lines.insert(at, lines[10].clone())), one("foreign", at + 1));
    assert_eq!(tampered(&|lines| lines[at] = lines[10].clone())[0], ("foreign".to_owned(), at as u64 + 1));
    assert_eq!(tampered(&|lines| lines.truncate(at)), one("truncated", at));
    assert_eq!(tampered(&|lines| lines.truncate(before))[0].0, "run-missing");
    assert_eq!(tampered(&|lines| drop(lines.remove(before - 1)))[0].0, "truncated");
    assert_eq!(tampered(&|lines| drop(lines.drain(..before))), one("run-missing", 1));
}

#[test]
fn a_log_that_was_rewritten_with_its_chain_does_not_match_what_was_signed() {
    let origin = RecordingOrigin::start();
    let mut gateway = sealed(&origin);
    traffic(&gateway, 20);
    let sealed = || checkpoints(gateway.directory()).len();
    let first = sealed();
    assert!(eventually(PATIENCE, || sealed() > first));
    traffic(&gateway, 20);
    stop(&mut gateway);
    let directory = gateway.directory();
    let all = lines(directory);
    let origin_line: Value = serde_json::from_str(&all[0]).unwrap();
    let name = origin_line["adamant.log"].as_str().unwrap().to_owned();
    // Everything that does not take the key: another outcome, and the chain computed anew.
    let mut log = Log::new(name.clone(), 1);
    let rewritten: Vec<String> = all
        .iter()
        .map(|line| {
            let chained = chain::line::read(line.as_bytes()).unwrap();
            let body = line.split(",\"adamant.chain\"").next().unwrap().replace("/15\"", "/51\"");
            let mut line = format!("{body}}}\n").into_bytes();
            log.seal(&mut line, 0, chained.link.chain);
            String::from_utf8(line).unwrap().trim_end().to_owned()
        })
        .collect();
    assert_eq!(rewritten.len(), all.len());
    let kinds = found(directory, &rewritten);
    assert_eq!((kinds.len(), kinds[0].0.as_str()), (1, "root"), "{kinds:?}");

    // Two histories, both signed: whoever has the key can do that, and both checkpoints together give it away.
    let key = key_file::parse(&fs::read_to_string(directory.join("state/node.key")).unwrap(), None).unwrap();
    let verifier = Verifier::of_node(key.public()).unwrap();
    let text = log.checkpoint().text();
    let forked = note::signed(&text, &verifier, &key.sign(text.as_bytes()).unwrap());
    fs::write(directory.join("forked.checkpoint"), &forked).unwrap();
    let report = verify(directory, &[RECORDS_FILE, "--checkpoints", OUTSIDE, "forked.checkpoint"]);
    assert_eq!(report["findings"][0]["kind"], "root", "{report:#}");
    // A wrong signature is one, whatever it is over.
    let made_up = forked.replacen(&format!("\n{}\n", log.size()), &format!("\n{}\n", log.size() - 1), 1);
    fs::write(directory.join("forked.checkpoint"), made_up).unwrap();
    let report = verify(directory, &[RECORDS_FILE, "--checkpoints", "forked.checkpoint"]);
    assert_eq!(report["findings"][0]["kind"], "signature", "{report:#}");
    // Without the last one held outside, less is proved by those, and that is said.
    let last = checkpoints(directory).pop().unwrap();
    fs::remove_file(&last).unwrap();
    fs::remove_file(directory.join(format!("{RECORDS_FILE}.checkpoints"))).unwrap();
    let report = verify_records(directory);
    assert_eq!(report["intact"], true);
    assert!(report["runs"][0]["unsealed"].as_u64().unwrap() > 0, "{report:#}");
    let checkpoint = Checkpoint::parse(
        Note::parse(&fs::read_to_string(checkpoints(directory).pop().unwrap()).unwrap()).unwrap().text,
    );
    assert_eq!(report["runs"][0]["proved_outside"]["size"].as_u64(), Some(checkpoint.unwrap().size));
}

#[test]
fn killed_at_any_moment_what_is_there_verifies() {
    let origin = RecordingOrigin::start();
    let mut gateway = sealed(&origin);
    for round in 0..4 {
        traffic(&gateway, 50 + 37 * round);
        // What a run writes before its first checkpoint is never proved.
        assert!(eventually(PATIENCE, || runs_with_checkpoints(gateway.directory()) == round + 1));
        if round == 2 {
            // What a crash in the middle of a write leaves; no exchange is written meanwhile.
            let last = format!("\"url.path\":\"/{}\"", 50 + 37 * round - 1);
            assert!(eventually(PATIENCE, || gateway.record_text().contains(&last)));
            let records = fs::File::options().append(true).open(gateway.directory().join(RECORDS_FILE));
            records.unwrap().write_all(b"{\"time\":\"2026-11-21T10:").unwrap();
        }
        gateway.restart("KILL");
    }
    traffic(&gateway, 10);
    stop(&mut gateway);
    let report = verify_records(gateway.directory());
    assert_eq!(report["intact"], true, "{report:#}");
    let ended: Vec<_> = report["runs"].as_array().unwrap().iter().map(|run| run["ended"].as_str().unwrap()).collect();
    assert_eq!(ended, ["killed", "killed", "killed", "killed", "stop"]);
    assert!(report["notes"].to_string().contains("was cut off"), "{report:#}");
    // Each run names the last checkpoint of the one before: a whole run cannot go.
    let all = lines(gateway.directory());
    let starts: Vec<usize> = (0..all.len()).filter(|at| all[*at].contains("\"adamant.kind\":\"start\"")).collect();
    let without = [&all[..starts[1]], &all[starts[2]..]].concat();
    assert_eq!(found(gateway.directory(), &without)[0].0, "run-missing");
}

#[test]
fn files_of_a_rotation_verify_together_and_alone() {
    let origin = RecordingOrigin::start();
    let mut gateway = sealed(&origin);
    let directory = gateway.directory().to_owned();
    let rotated = format!("{RECORDS_FILE}.1");
    // One that stands in the file that goes, and in what is left of it below.
    traffic(&gateway, 10);
    gateway.wait_for_records(10);
    assert!(eventually(PATIENCE, || !checkpoints(&directory).is_empty()));
    traffic(&gateway, 30);
    gateway.wait_for_records(40);
    fs::rename(directory.join(RECORDS_FILE), directory.join(&rotated)).unwrap();
    gateway.signal("HUP");
    assert!(eventually(PATIENCE, || directory.join(RECORDS_FILE).exists()));
    traffic(&gateway, 40);
    stop(&mut gateway);
    // One file alone begins after the log does, or ends before: that is to be said, and is said in turn.
    for files in [&[rotated.as_str(), RECORDS_FILE][..], &[&rotated, "--partial"], &[RECORDS_FILE, "--archived"]] {
        let report = verify(&directory, &[files, &["--checkpoints", OUTSIDE]].concat());
        assert_eq!(report["intact"], true, "{files:?}: {report:#}");
        assert!(report["runs"][0]["proved_outside"].is_object(), "{files:?}: {report:#}");
        assert_eq!(report["runs"][0]["whole"] == true, report["extent"] == "whole", "{files:?}: {report:#}");
    }
    let report = verify(&directory, &[&rotated, "--checkpoints", OUTSIDE]);
    assert_eq!(report["findings"][0]["kind"], "truncated", "{report:#}");
    let report = verify(&directory, &[RECORDS_FILE, "--checkpoints", OUTSIDE]);
    assert_eq!(report["findings"][0]["kind"], "beginning-missing", "{report:#}");
    let first = fs::read_to_string(directory.join(&rotated)).unwrap();
    let shorter: Vec<&str> = first.lines().take(30).collect();
    fs::write(directory.join(&rotated), shorter.join("\n") + "\n").unwrap();
    let report = verify(&directory, &[&rotated, RECORDS_FILE, "--checkpoints", OUTSIDE]);
    assert_eq!(report["findings"][0]["kind"], "missing", "{report:#}");
    let report = verify(&directory, &[&rotated, "--checkpoints", OUTSIDE]);
    assert_eq!(report["findings"][0]["kind"], "truncated", "{report:#}");
    assert_eq!(verify(&directory, &[&rotated, "--partial", "--checkpoints", OUTSIDE])["intact"], true);
}

#[test]
fn a_witness_gets_every_checkpoint_it_can_take_and_is_told_apart_from_none() {
    let origin = RecordingOrigin::start();
    let witness = RecordingOrigin::scripted(|_, number| if number < 2 { Answer::new(503) } else { Answer::text("") });
    let url = format!("http://{}/edge", witness.address());
    let deployment = Deployment::new().records(&format!("checkpoints = [\"{url}\"]\ncheckpoint_interval = \"100ms\""));
    let mut gateway = deployment.run(&open_to_all(origin.address()).text());
    traffic(&gateway, 10);
    assert!(eventually(PATIENCE, || witness.count() >= 3), "{}", gateway.stderr());
    gateway.tells("checkpoints of the records do not reach http://");
    assert!(eventually(PATIENCE, || gateway.metric("checkpoint_place_success_timestamp_seconds") > 0.0));
    assert!(gateway.metric("checkpoint_place_failures_total") >= 2.0);
    assert!(eventually(PATIENCE, || gateway.stderr().contains("/edge again")));
    traffic(&gateway, 10);
    stop(&mut gateway);
    let bodies: Vec<String> =
        witness.requests().iter().map(|request| String::from_utf8(request.content.clone()).unwrap()).collect();
    let last = Checkpoint::parse(Note::parse(bodies.last().unwrap()).unwrap().text).unwrap();
    assert_eq!(last.size, lines(gateway.directory()).len() as u64, "the last one is of the stop line");
    // The witness gives back what it took.
    let kept = bodies.concat();
    witness.answer_with(move |_, _| Answer::text(&kept));
    let report = verify(gateway.directory(), &[RECORDS_FILE, "--checkpoints", &url]);
    assert_eq!(report["runs"][0]["proved_outside"]["held"][0], url.as_str(), "{report:#}");
    assert!(!gateway.stderr().contains("no place outside"));
}

#[test]
fn a_witness_by_https_is_whom_its_ca_vouches_for() {
    let origin = RecordingOrigin::start();
    let (right, other) = (Authority::new("witness CA"), Authority::new("another CA"));
    let witness = RecordingOrigin::tls(right.server(&["localhost"]).server_config(), |_, _| Answer::text(""));
    let url = format!("https://localhost:{}/edge", witness.address().port());
    let with = |ca: &Authority| {
        let records =
            format!("checkpoints = [{{ url = \"{url}\", ca = \"ca.pem\" }}]\ncheckpoint_interval = \"100ms\"");
        Deployment::new().file("ca.pem", &ca.pem).records(&records).run(&open_to_all(origin.address()).text())
    };
    let gateway = with(&other);
    assert!(eventually(PATIENCE, || gateway.metric("checkpoint_place_failures_total") > 0.0));
    gateway.tells("invalid peer certificate");
    assert_eq!(witness.count(), 0);
    drop(gateway);
    let gateway = with(&right);
    assert!(eventually(PATIENCE, || gateway.metric("checkpoint_place_success_timestamp_seconds") > 0.0));
    assert!(String::from_utf8_lossy(&witness.requests()[0].content).starts_with("adamant-"));
}

#[test]
fn one_record_is_proved_without_the_rest() {
    let origin = RecordingOrigin::start();
    let mut gateway = sealed(&origin);
    traffic(&gateway, 50);
    let records = gateway.wait_for_records(50);
    let id = records[17]["adamant.request_id"].as_str().unwrap().to_owned();
    stop(&mut gateway);
    let directory = gateway.directory();
    let beside = format!("{RECORDS_FILE}.checkpoints");
    let run = |arguments: &[&str]| gateway::run(arguments, directory);
    let (status, stdout, stderr) =
        run(&["audit", "prove", RECORDS_FILE, "--request-id", &id, "--checkpoint", &beside, "-o", "proof.json"]);
    assert!(status.success(), "{stdout}{stderr}");
    let (status, stdout, stderr) = run(&["audit", "check-proof", "proof.json", "--node-key", "state/node.pub"]);
    assert!(status.success() && stdout.starts_with("proved: ") && stdout.contains(&id), "{stdout}{stderr}");
    let proof = fs::read_to_string(directory.join("proof.json")).unwrap();
    fs::write(directory.join("proof.json"), proof.replacen("permit", "permiT", 1)).unwrap();
    let (status, _, stderr) = run(&["audit", "check-proof", "proof.json", "--node-key", "state/node.pub"]);
    assert!(!status.success() && stderr.contains("NOT PROVED: the line was changed"), "{stderr}");
    let (status, _, stderr) =
        run(&["audit", "prove", RECORDS_FILE, "--request-id", "0", "--checkpoint", &beside, "-o", "other.json"]);
    assert!(!status.success() && stderr.contains("no record with the request id"), "{stderr}");
    // Of another gateway, whose next one will not cover it either.
    let other = Checkpoint { origin: "other/2026".to_owned(), size: 1_000, root: [0; 32], extensions: Vec::new() };
    let key = key_file::parse(&fs::read_to_string(directory.join("state/node.key")).unwrap(), None).unwrap();
    let note = note::signed(
        &other.text(),
        &Verifier::of_node(key.public()).unwrap(),
        &key.sign(other.text().as_bytes()).unwrap(),
    );
    fs::write(directory.join("other.checkpoint"), note).unwrap();
    let (status, _, stderr) = run(&[
        "audit",
        "prove",
        RECORDS_FILE,
        "--request-id",
        &id,
        "--checkpoint",
        "other.checkpoint",
        "-o",
        "other.json",
    ]);
    assert!(!status.success() && stderr.contains("found those of other/2026") && !stderr.contains("wait"), "{stderr}");
}

#[test]
fn records_are_shown_and_filtered() {
    let origin = RecordingOrigin::scripted(|head, _| Answer::new(if head.target_text() == "/3" { 404 } else { 200 }));
    let deployment = Deployment::new();
    let mut gateway = deployment.run(&open_to_all(origin.address()).text());
    let mut client = gateway.client();
    for number in 0..5 {
        client.exchange(get(&format!("/{number}"), ""));
    }
    gateway.wait_for_records(5);
    gateway.tells("no place outside this gateway keeps checkpoints");
    stop(&mut gateway);
    let run = |arguments: &[&str]| {
        let (status, stdout, stderr) = gateway::run(&[&["audit"], arguments].concat(), gateway.directory());
        assert!(status.success(), "{stderr}");
        stdout
    };
    assert_eq!(run(&["filter", RECORDS_FILE, "--kind", "exchange"]).lines().count(), 5);
    let odd = run(&["filter", RECORDS_FILE, "--status", "4xx"]);
    assert_eq!(serde_json::from_str::<Value>(odd.trim()).unwrap()["url.path"], "/3");
    assert_eq!(lines(gateway.directory()).iter().filter(|line| **line == odd.trim()).count(), 1, "as it was");
    let shown = run(&["show", RECORDS_FILE, "--path", "/3"]);
    assert!(shown.contains("permit 404 GET api.test/3 route=all"), "{shown}");
    assert_eq!(run(&["filter", RECORDS_FILE, "--since", "2100-01-01"]), "");
    let odd = |arguments: &[&str]| {
        gateway::run(&[&["audit", "filter", RECORDS_FILE], arguments].concat(), gateway.directory())
    };
    let (status, _, stderr) = odd(&["--agent", "nobody"]);
    assert!(status.success() && stderr.contains("records matches"), "{stderr}");
    let (status, _, stderr) = odd(&["--kind", "exchnge"]);
    assert!(!status.success() && stderr.contains("did you mean exchange?"), "{stderr}");
    let (status, _, stderr) = odd(&["--reason", "scope-mising"]);
    assert!(!status.success() && stderr.contains("did you mean scope-missing?"), "{stderr}");
    assert_eq!(run(&["show", RECORDS_FILE]).lines().count(), lines(gateway.directory()).len());
    for other in [&["audit", "show", "policy.toml"][..], &["explain", "--records", "policy.toml", "--request-id", "1"]]
    {
        let (status, _, stderr) = gateway::run(other, gateway.directory());
        assert!(status.code() == Some(1) && stderr.contains("expected records, found none"), "{stderr}");
    }
}
