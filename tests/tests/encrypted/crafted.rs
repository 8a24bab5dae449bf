//! What whoever can write the file puts into it: it is found, what stands behind it is read, and no file is worth a wait.

use std::fs::File;
use std::process::Stdio;

use super::taken_out::{ask, configure};
use super::*;

const OTHER: &str = "other.key";

/// Three runs to one key and one to another in the same file, as after a change of `encrypt_to`, and where that begins.
fn for_two() -> (Gateway, [String; 2], usize) {
    let (mut gateway, public) = written();
    let at = gateway.directory().to_owned();
    let other = identity(&at, OTHER);
    let before = fs::metadata(at.join(RECORDS_FILE)).unwrap().len();
    configure(&at, &format!("encrypt_to = [\"{other}\"]"));
    gateway.restart_stopped();
    ask(&gateway, 130..135);
    end(&mut gateway, "TERM");
    (gateway, [public, other], usize::try_from(before).unwrap())
}

/// Kinds and sentences of findings.
fn findings(report: &Value) -> Vec<(String, String)> {
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    report["findings"].as_array().unwrap().iter().map(|of| (text(&of["kind"]), text(&of["what"]))).collect()
}

fn show(at: &Path, file: &str, key: &str) -> (i32, String, String) {
    tests::agents::run(at, &format!("audit show {file} --identity {key}"))
}

#[test]
fn a_change_of_the_recipients_is_read_by_both_and_one_alone_is_told_which_is_missing() {
    let (gateway, [public, other], _) = for_two();
    let at = gateway.directory();
    let both = format!("{ROTATED} {RECORDS_FILE}");
    let report = verify(at, &format!("{both} --identity {OTHER}"));
    assert_eq!((&report["intact"], findings(&report)), (&Value::Bool(true), vec![]), "{report}");

    let found = findings(&verify(at, &both));
    let changed: Vec<_> = found.iter().filter(|(kind, _)| kind == "changed").collect();
    let [(_, what)] = changed.as_slice() else { panic!("{found:?}") };
    for part in [&format!("encrypted to {other}"), &public, "encrypt_to never named it", "batches of records"] {
        assert!(what.contains(part), "{what}");
    }
    let (status, shown, said) = show(at, RECORDS_FILE, "records.key");
    assert!(status == 1 && shown.contains(&format!("/{PRIVATE}/129")), "what can be read is shown: {shown}{said}");
    assert!(said.contains(&other) && said.contains("give its identity as well"), "{said}");
    let (status, shown, said) = show(at, RECORDS_FILE, OTHER);
    assert!(status == 1 && shown.is_empty(), "at once where nothing can be read before it: {shown}");
    assert!(said.contains(&format!("the records are encrypted to {public}")), "{said}");
    let line = format!("audit verify {ROTATED} --node-key state/node.pub --identity {OTHER} --checkpoints outside");
    assert!(bad_said(at, &line).contains(&format!("the records are encrypted to {public}")), "nothing of it is read");
}

#[test]
fn batches_for_somebody_else_that_are_put_in_are_found_and_the_rest_is_read() {
    let (gateway, [_, other], end) = for_two();
    let at = gateway.directory();
    let bytes = fs::read(at.join(RECORDS_FILE)).unwrap();
    let (ours, theirs) = bytes.split_at(end);
    let theirs = &theirs[..batches(theirs)[1]];
    assert!(theirs.starts_with(format!("adamant-encrypted-to {other}\n").as_bytes()));
    fs::write(at.join("tampered"), ours).unwrap();
    let files = format!("{ROTATED} tampered");
    let whole = verify(at, &files);
    let shown = ok(at, "audit show tampered --identity records.key");
    for place in [batches(ours)[3], 0] {
        fs::write(at.join("tampered"), [&ours[..place], theirs, &ours[place..]].concat()).unwrap();
        let report = verify(at, &files);
        assert_eq!(report["lines"], whole["lines"], "it goes on behind it: {report}");
        let mut found = findings(&report);
        found.retain(|finding| !findings(&whole).contains(finding));
        let [(kind, what)] = found.as_slice() else { panic!("{found:?}") };
        assert!(kind == "changed" && what.contains("tampered: a batch of records") && what.contains(&other), "{what}");
        let (status, readable, said) = show(at, "tampered", "records.key");
        assert!(status == 1 && said.contains(&other), "{said}");
        assert!(place == 0 || readable == shown, "{readable}");
    }
}

/// Files of tens of megabytes that took minutes, each looked at again and again.
#[test]
fn crafted_files_are_looked_at_once() {
    let (gateway, _) = written();
    let at = gateway.directory();
    let real = fs::read(at.join(RECORDS_FILE)).unwrap();
    let batch = &real[batches(&real)[0]..batches(&real)[1]];
    let age = batch.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mac = batch.windows(5).position(|part| part == b"\n--- ").unwrap() + 1;
    let end = mac + batch[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let head = [b"adamant-encrypted 8380000\n", &batch[age..end]].concat();
    for (name, bytes) in [
        ("a line without an end", [b"adamant-encrypted-to ".as_slice(), &vec![b'x'; 40 << 20]].concat()),
        ("marks alone", b"adamant-encrypted 8388608\n".repeat(400_000)),
        ("heads laid over each other", [head.repeat(2_000), vec![b'x'; 9 << 20]].concat()),
    ] {
        fs::write(at.join("crafted"), bytes).unwrap();
        let mut verify = Command::new(gateway::binary());
        verify.args(["audit", "verify", "crafted", "--node-key", "state/node.pub", "--unproved"]);
        verify.args(["--identity", "records.key"]).current_dir(at).stdin(Stdio::null());
        let mut verify = verify.stdout(File::create(at.join("said")).unwrap()).spawn().unwrap();
        let is_done = eventually(PATIENCE, || verify.try_wait().unwrap().is_some());
        verify.kill().unwrap();
        let status = verify.wait().unwrap();
        let said = fs::read_to_string(at.join("said")).unwrap();
        assert!(is_done, "{name}: still reading");
        assert!(status.code() == Some(1) && said.contains("WRONG changed"), "{name}: {said}");
    }
}
