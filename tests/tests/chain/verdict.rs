//! What the verdict says, as text: never more than is proved.

use std::os::unix::fs::symlink;

use super::*;

/// Without a gateway: what `audit verify` says and how it ends, as text.
fn verdict(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let (status, stdout, stderr) = gateway::run(&[&["audit", "verify"], arguments].concat(), directory);
    assert!(status.success() || status.code() == Some(1), "{stdout}{stderr}");
    (status.success(), stdout + &stderr)
}

#[test]
fn what_proves_nothing_is_not_ok() {
    let origin = RecordingOrigin::start();
    let run = || {
        let mut gateway = sealed(&origin);
        traffic(&gateway, 5);
        stop(&mut gateway);
        gateway
    };
    let (a, b) = (run(), run());
    let (dir_a, dir_b) = (a.directory(), b.directory());
    let path = |directory: &Path, name: &str| directory.join(name).display().to_string();
    let (key_a, outside_a) = (path(dir_a, "state/node.pub"), path(dir_a, OUTSIDE));
    let key_b = "state/node.pub";
    fs::create_dir(dir_b.join("empty")).unwrap();
    fs::write(dir_b.join("empty.jsonl"), "").unwrap();
    let fails = |arguments: &[&str], words: &str| {
        let (ok, said) = verdict(dir_b, arguments);
        assert!(!ok && said.contains(words), "{arguments:?}: {said}");
    };
    // The records of b for those of a: nothing vouches for them, and a's are missing.
    let another = [RECORDS_FILE, "--node-key", &key_a, "--checkpoints", &outside_a];
    fails(&another, "which is not among those given");
    fails(&another, "is in the files given, but checkpoints vouch for the run adamant-");
    fails(&[RECORDS_FILE, "--node-key", &key_a], "NOT PROVED: the run, ");
    fails(&[RECORDS_FILE, "--node-key", key_b, "--checkpoints", "empty"], "only those beside the records vouch for it");
    fails(&[RECORDS_FILE, "--node-key", key_b, "--checkpoints", &outside_a], "only those beside the records");
    // Nothing in them is wrong, and checkpoints of another gateway are told once, however many files there are.
    let (_, said) = verdict(dir_b, &[RECORDS_FILE, "--node-key", key_b, "--checkpoints", &outside_a]);
    assert!(checkpoints(dir_a).len() > 1 && said.matches("count for nothing").count() == 1, "{said}");
    assert!(said.contains("  sealed    up to") && !said.contains("but for what is found wrong below"), "{said}");
    fails(&["empty.jsonl", "--node-key", key_b], "there are no lines, and nothing was proved");
    fails(&[RECORDS_FILE], "which proves nothing about who wrote it");
    fails(&[RECORDS_FILE, "--checkpoints", OUTSIDE], "give the gateway's key (--node-key)");
    let holds = |arguments: &[&str], words: &str| {
        let (ok, said) = verdict(dir_b, arguments);
        assert!(ok && said.contains(words), "{arguments:?}: {said}");
    };
    holds(&[RECORDS_FILE, "--unproved"], "proves nothing about who wrote them (--unproved)");
    holds(&[RECORDS_FILE, "--node-key", key_b], "The checkpoints beside the records match.");
    holds(&[RECORDS_FILE, "--node-key", key_b, "--checkpoints", OUTSIDE], "All of it is proved.");
    // Filtered records do not say of which run they are.
    let some: Vec<_> = lines(dir_b).into_iter().filter(|line| line.contains("exchange")).skip(1).step_by(2).collect();
    put(dir_b, "filtered.jsonl", &some);
    let filtered = ["filtered.jsonl", "--node-key", key_b, "--checkpoints", OUTSIDE];
    fails(&filtered, "no line that says that it is of adamant-");
    fails(&filtered, "hint: was it filtered, or cut out?");
}

/// A log of two runs, the second one in two files: the directory of its gateway, and the second run's lines in the first.
fn two_runs(origin: &RecordingOrigin) -> (Gateway, Vec<String>) {
    let mut gateway = sealed(origin);
    traffic(&gateway, 6);
    gateway.restart("TERM");
    traffic(&gateway, 20);
    gateway.wait_for_records(26);
    let directory = gateway.directory().to_owned();
    fs::rename(directory.join(RECORDS_FILE), directory.join("rotated")).unwrap();
    gateway.signal("HUP");
    assert!(eventually(PATIENCE, || directory.join(RECORDS_FILE).exists()));
    traffic(&gateway, 10);
    stop(&mut gateway);
    let first = fs::read_to_string(directory.join("rotated")).unwrap();
    (gateway, first.lines().map(str::to_owned).collect())
}

fn put(directory: &Path, name: &str, lines: &[String]) {
    fs::write(directory.join(name), lines.join("\n") + "\n").unwrap();
}

#[test]
fn lines_that_hang_on_nothing_are_never_proved() {
    let origin = RecordingOrigin::start();
    let (gateway, first) = two_runs(&origin);
    let directory = gateway.directory();
    let middle = first.iter().rposition(|line| line.contains("\"url.path\":\"/10\"")).unwrap();
    let mut part = first[middle..].to_vec();
    for text in [part[0].clone(), part[0].replace("/10\"", "/made-up\"")] {
        part[0] = text;
        put(directory, "part", &part);
        let files = ["part", RECORDS_FILE, "--partial", "--node-key", "state/node.pub", "--checkpoints", OUTSIDE];
        let (ok, said) = verdict(directory, &files);
        assert!(ok && !said.contains("All of it is proved"), "{said}");
        assert!(said.contains(&format!("{} lines stand before that line", part.len())), "{said}");
        let report = verify(directory, &["part", RECORDS_FILE, "--partial", "--checkpoints", OUTSIDE]);
        let run = &report["runs"][0];
        assert_eq!(
            (run["unanchored"].as_u64(), run["unsealed"].as_u64()),
            (Some(part.len() as u64), Some(part.len() as u64))
        );
    }
    // The first run below the second, without the one that would have said so.
    let second = first.iter().rposition(|line| line.contains("\"adamant.kind\":\"start\"")).unwrap();
    let last = lines(directory);
    put(directory, "moved", &[&first[second..], &last[..], &first[..second]].concat());
    let report = verify(directory, &["moved", "--archived", "--checkpoints", OUTSIDE]);
    assert_eq!(report["findings"][0]["kind"], "moved", "{report:#}");
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "{report:#}");
    // A stop line says nothing more however often it stands there; how often it does is told.
    let stop = vec![last.last().unwrap().clone(); 500];
    put(directory, "stops", &[&first[..], &last, &stop].concat());
    let (ok, said) = verdict(directory, &["stops", "--node-key", "state/node.pub", "--checkpoints", OUTSIDE]);
    assert!(ok && said.contains("but for stop lines again, which say nothing more (500)"), "{said}");
    assert_eq!(said.matches("the stop line stands 501 times").count(), 1, "{said}");
}

#[test]
fn checkpoints_beside_the_records_are_never_outside() {
    let origin = RecordingOrigin::start();
    let (gateway, _) = two_runs(&origin);
    let directory = gateway.directory();
    let beside = format!("{RECORDS_FILE}.checkpoints");
    fs::create_dir(directory.join("links")).unwrap();
    symlink(directory.join(&beside), directory.join("link")).unwrap();
    fs::hard_link(directory.join(&beside), directory.join("links/hard.checkpoints")).unwrap();
    fs::remove_dir_all(directory.join(OUTSIDE)).unwrap();
    let with = |files: &[&str], place: &str| {
        let (ok, said) =
            verdict(directory, &[files, &["--node-key", "state/node.pub", "--checkpoints", place]].concat());
        assert!(
            said.contains("stands beside the records: its checkpoints do not count as held outside"),
            "{place}: {said}"
        );
        assert!(
            said.contains("nothing by a checkpoint that is held outside") && !said.contains("All of it"),
            "{place}: {said}"
        );
        ok
    };
    for files in [&["rotated", RECORDS_FILE][..], &[RECORDS_FILE, "--archived"]] {
        // Directories were named to find what is outside, and nothing is.
        assert!(!with(files, ".") && !with(files, "links"));
        // What stands beside the records was named as such.
        assert!(with(files, &beside) && with(files, "link"));
    }
    // Also those of a record file that is not among those given.
    assert!(!with(&["rotated", "--partial"], "."));
}

#[test]
fn a_pipe_is_no_file_of_records() {
    let directory = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(directory.path().join("pipe")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    fs::write(directory.path().join("policy.toml"), "[policy]\nname = \"p\"\n").unwrap();
    let id = "00000000000000000000000000000000";
    for command in [
        &["audit", "verify", "pipe"][..],
        &["audit", "show", "pipe"],
        &["audit", "show", "-f", "pipe"],
        &["replay", "pipe", "--against", "policy.toml"],
        &["explain", "--records", "pipe", "--request-id", id, "--policy", "policy.toml"],
    ] {
        let (status, _, stderr) = gateway::run(command, directory.path());
        assert!(!status.success() && stderr.contains("found a pipe, socket or device"), "{command:?}: {stderr}");
    }
}
