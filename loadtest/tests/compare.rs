//! The comparison, driven as a user drives it: what it measures, what it says of what is missing, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends where it fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use loadtest::measure;
use loadtest::results::{self, Outcome, Results};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

/// A command that finds no peers.
fn loadtest(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.env("ADAMANT_PEERS", folder.join("peers")).stdin(Stdio::null());
    command
}

fn compare(folder: &Path) -> Command {
    let mut command = loadtest(folder);
    command.args(["compare", "--offline", "--connections", "8", "--only", "requests", "--out"]).arg(folder);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The gateway beside loadtest, if it has been built.
fn adamant() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("adamant");
    path.is_file().then_some(path)
}

#[test]
fn a_quick_comparison_measures_what_is_there_and_names_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let output = compare(folder.path()).args(["--quick", "--targets", "adamant,relay,direct,nginx"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let results = results::read(&folder.path().join("results.json")).unwrap();
    assert!(results.quick && results.partial.is_none(), "{:?}", results.partial);
    assert!(fs::read_to_string(folder.path().join("report.html")).unwrap().starts_with("<!DOCTYPE html>"));
    let nginx = results.targets.iter().find(|target| target.name == "nginx").unwrap();
    assert!(!nginx.ranked && nginx.why_not.as_ref().unwrap().contains("loadtest/peers nginx"), "{nginx:?}");
    assert!(text(&output).contains("nginx: not available"), "{}", text(&output));
    let works = |target: &str| -> Vec<String> {
        let rows = results.experiments.iter().flat_map(|experiment| &experiment.rows);
        let rows = rows.filter(|row| row.target == target && row.unranked.is_none());
        rows.map(|row| row.work.clone()).collect()
    };
    assert_eq!((works("relay"), works("direct")), (vec!["pass-through".to_owned()], vec!["pass-through".to_owned()]));
    let relay = results.experiments[0].rows.iter().find(|row| row.target == "relay").unwrap();
    assert!(relay.estimate("cpu_us").unwrap().value > 0.0 && relay.slices.len() == 5, "{relay:?}");
    let goal = |words: &str| results.goals.iter().find(|goal| goal.goal.contains(words)).unwrap();
    assert_eq!(goal("Envoy").outcome, Outcome::NotMeasured);
    if adamant().is_some() {
        let why: Vec<_> = results.experiments[0].rows.iter().filter_map(|row| row.unranked.as_ref()).collect();
        assert_eq!(works("adamant"), ["pass-through", "api-key", "es256", "rs256", "full-policy"], "{why:?}");
        assert!(goal("relay").measured.is_some(), "{:?}", goal("relay"));
        let full = results.experiments[0].rows.iter().find(|row| row.work == "full-policy").unwrap();
        assert!(full.estimate("worker_us").unwrap().value < full.estimate("cpu_us").unwrap().value, "{full:?}");
    } else {
        println!("no adamant beside loadtest: build it with `cargo build -p adamant` in the same profile");
        assert!(text(&output).contains("adamant: not available"), "{}", text(&output));
        assert_eq!(goal("relay").outcome, Outcome::NotMeasured);
    }
}

#[test]
fn ctrl_c_ends_what_was_started_and_keeps_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = long(folder.path());
    let family = with_target(&child);
    kill_process(pid_of(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    gone(&family);
    let results: Results = results::read(&folder.path().join("results.json")).unwrap();
    assert!(results.partial.is_some());
    assert_eq!(results.targets.len(), 2, "{:?}", results.targets);
    assert!(results.goals.iter().all(|goal| goal.outcome == Outcome::NotMeasured));
}

#[test]
fn killed_outright_it_leaves_no_process_behind() {
    if !Path::new("/usr/bin/setpriv").is_file() {
        println!("no setpriv here: targets outlive a loadtest that is killed outright");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = long(folder.path());
    let family = with_target(&child);
    child.kill().unwrap();
    child.wait().unwrap();
    gone(&family);
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "name = \"mine\"\nabout = \"\"\n[obtain]\nbuilt = \"b\"\n[[work]]\nname = \"jwt\"\n").unwrap();
    let path = file.display().to_string();
    for (arguments, expected) in [
        (vec!["compare", "--offline", "--only", "speed"], "expected an experiment (requests, "),
        (vec!["compare", "--offline", "--targets", "apache"], "expected the name of a target (adamant, "),
        (vec!["probe", "--offline", &path], "mine.toml:6:8: unknown variant `jwt`"),
        (vec!["probe", "--offline", "relay", "--work", "jwt"], "expected a work (pass-through, "),
    ] {
        let output = loadtest(folder.path()).args(&arguments).output().unwrap();
        assert!(!output.status.success() && text(&output).contains(expected), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn probes_say_who_does_what() {
    let folder = tempfile::tempdir().unwrap();
    let output = loadtest(folder.path()).args(["probe", "--offline", "relay", "direct", "caddy"]).output().unwrap();
    let text = text(&output);
    assert!(!output.status.success(), "caddy is not there: {text}");
    assert!(text.contains("pass-through       does it (1 answers as expected)"), "{text}");
    assert!(text.contains("es256              does not: it looks at no byte"), "{text}");
    assert!(text.contains("caddy: not available: `loadtest/peers caddy` has not obtained it"), "{text}");
}

/// A comparison that takes most of a minute.
fn long(folder: &Path) -> Child {
    compare(folder).args(["--targets", "relay,direct"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Its processes, once the experiment has begun: the results file is there from the probes on.
fn with_target(child: &Child) -> Vec<u32> {
    let until = Instant::now() + PATIENCE;
    loop {
        let family = measure::family(child.id());
        // The relay that is probed lives for some milliseconds, that of the experiment for seconds.
        thread::sleep(Duration::from_millis(300));
        if family.len() > 1 && measure::family(child.id()) == family {
            return family;
        }
        assert!(Instant::now() < until, "no target was started");
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits until all of them have ended.
fn gone(family: &[u32]) {
    let until = Instant::now() + PATIENCE;
    let alive = |pid: &&u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie whose parent has not looked yet has ended all the same.
        status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    while let Some(pid) = family.iter().find(alive) {
        assert!(Instant::now() < until, "process {pid} still runs");
        thread::sleep(Duration::from_millis(20));
    }
}
