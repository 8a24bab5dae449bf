//! `adamant tune` on the machine that the tests run on: what it says can be used, and nothing is written unasked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::desk::{Desk, assert_says};
use tests::gateway;
use tests::store::World;

/// A configuration with a `[workers]` section.
fn configuration(workers: &str) -> String {
    format!(
        "[gateway]\npolicy = \"p\"\nstate = \"state\"\nrelease = \"r.json\"\ntrust_root = \"root.json\"\n\n{workers}\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n"
    )
}

fn json(desk: &Desk, line: &str) -> Value {
    let (code, stdout, stderr) = desk.run(line);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{line}: {error}: {stdout}"))
}

/// The files that a plan would write, with what is in them.
fn kernel_files(plan: &Value) -> Vec<(String, Option<String>)> {
    let files = plan["settings"].as_array().unwrap().iter().filter_map(|setting| setting["how"]["file"].as_str());
    files.map(|file| (file.to_owned(), fs::read_to_string(format!("/{file}")).ok())).collect()
}

#[test]
fn the_machine_is_shown_to_people_and_to_scripts() {
    let desk = Desk::new();
    let shown = json(&desk, "tune probe --format json");
    let processors = shown["machine"]["processors"].as_array().unwrap();
    assert!(!processors.is_empty() && shown["io_uring"]["usable"] == true, "{shown:#}");
    assert!(!shown["machine"]["allowed"].as_array().unwrap().is_empty(), "{shown:#}");
    let online = format!("processors  {} online", processors.len());
    let said = desk.good("tune probe");
    assert_says(&said, &[&online, "may use", "cgroup", "limits", "kernel", "io_uring    usable", "  used      "]);
    // What the workers use is there: they could not start without it.
    let used = shown["io_uring"]["features"]["used"].as_array().unwrap();
    assert!(used.iter().any(|name| name == "poll_add") && used.iter().any(|name| name == "coop_taskrun"), "{shown:#}");
}

/// Bounded, and it says that it changes nothing; which way is cheaper is the machine's to say.
#[test]
fn a_measurement_compares_ways_of_waiting() {
    let desk = Desk::new();
    let measured = json(&desk, "tune probe --measure --format json")["measured"].as_array().unwrap().clone();
    let connections: Vec<u64> = measured.iter().map(|of| of["connections"].as_u64().unwrap()).collect();
    assert_eq!(connections, [1, 32]);
    for of in &measured {
        for way in ["ring_receives", "ring_sends"] {
            let [low, median, high] = ["low", "median", "high"].map(|end| of[way][end].as_f64().unwrap());
            assert!(0.0 < low && low <= median && median <= high, "{of:#}");
        }
    }
    let said = desk.good("tune probe --measure");
    assert_says(&said, &["the ring receives", "the ring sends", "is compiled in", "sets nothing"]);
}

#[test]
fn a_plan_is_what_gateway_toml_takes() {
    let desk = Desk::new();
    let plan = json(&desk, "tune plan --format json");
    let workers = plan["choice"]["workers"].as_array().unwrap();
    assert!(!workers.is_empty() && !plan["choice"]["reasons"].as_array().unwrap().is_empty(), "{plan:#}");
    for setting in plan["settings"].as_array().unwrap() {
        assert!(setting["why"].as_str().is_some_and(|why| !why.is_empty()), "{setting:#}");
    }
    let section = desk.good("tune plan --format toml");
    desk.write("gateway.toml", configuration(&section));
    // It is read with these cores: what is told after that is about the machine.
    let (_, stdout, stderr) = desk.run("tune check gateway.toml");
    assert!(!stderr.contains("gateway.toml:") && stdout.contains("settings"), "{section}\n{stdout}{stderr}");
    desk.write("gateway.toml", configuration("[workers]\ncores = \"1000\"\n"));
    assert_says(&desk.bad("tune check gateway.toml"), &["gateway.toml:8:9", "core 1000", "hint: "]);
    let one = json(&desk, "tune plan --workers 1 --format json");
    assert_eq!(one["choice"]["workers"].as_array().unwrap().len(), 1);
    for (line, said) in [
        ("tune plan --workers 0", "expected at least 1 worker"),
        ("tune plan --nic nothing0", "expected an interface of this machine, found \"nothing0\""),
        ("tune plan --profile fast", "expected a profile (dedicated, latency, shared, container)"),
        ("tune plan --profile ./fast.toml", "fast.toml"),
    ] {
        assert_says(&desk.bad(line), &[said]);
    }
    desk.write("own.toml", "summary = \"s\"\nworkers_percent = 1\ntopics = []\n");
    assert_eq!(json(&desk, "tune plan --profile ./own.toml --format json")["settings"].as_array().unwrap().len(), 0);
}

#[test]
fn a_script_of_a_plan_is_one_that_a_shell_reads() {
    let desk = Desk::new();
    desk.write("tune.sh", desk.run("tune plan --format script").1);
    let status = Command::new("sh").args(["-n"]).arg(desk.path("tune.sh")).stdin(Stdio::null()).status().unwrap();
    assert!(status.success());
    assert!(desk.read("tune.sh").starts_with(b"#!/bin/sh\n"));
}

#[test]
fn apply_writes_nothing_unless_it_is_told_to() {
    let desk = Desk::new();
    let before = kernel_files(&json(&desk, "tune plan --format json"));
    assert!(!before.is_empty(), "there is always some sysctl");
    let said = desk.good("tune apply interrupts governor kernel");
    assert_says(&said, &["Nothing was written"]);
    assert_says(&desk.good("tune apply kernel --record kept.json"), &["Nothing was written"]);
    assert_eq!(desk.good("tune apply interrupts governor kernel --dry-run"), said);
    assert_says(&desk.good("tune apply kernel --dry-run --record kept.json"), &["Nothing was written"]);
    assert_eq!(desk.run("tune apply kernel --dry-run --yes --record kept.json").0, 2, "one or the other");
    assert!(!desk.path("kept.json").exists());
    assert_eq!(desk.run("tune apply kernel --yes").0, 2, "never without a way back");
    // A record that is there holds what another apply found: it is not written over, and nothing else is either.
    desk.write("kept.json", "[]");
    assert_says(&desk.bad("tune apply kernel --yes --record kept.json"), &["kept.json: exists already"]);
    assert_eq!(desk.read("kept.json"), b"[]");
    assert_eq!(kernel_files(&json(&desk, "tune plan --format json")), before);
}

#[test]
fn undo_writes_only_what_tune_writes() {
    let desk = Desk::new();
    desk.write("victim", "as it was");
    let victim = desk.path("victim");
    let victim = victim.to_str().unwrap();
    for file in [
        victim.to_owned(),
        victim.trim_start_matches('/').to_owned(),
        format!("proc/..{victim}"),
        format!("proc/sys/../..{victim}"),
        format!("proc/self/root{victim}"),
        "proc/self/cwd/victim".to_owned(),
        "proc/sysrq-trigger".to_owned(),
    ] {
        desk.write("record.json", serde_json::json!([{ "file": file, "before": "x", "after": "y" }]).to_string());
        let said = desk.bad("tune undo record.json");
        assert_says(&said, &["record.json: expected files that tune apply writes", &file, "hint: "]);
        assert_eq!(desk.read("victim"), b"as it was", "{file}");
    }
    for wrong in ["", "{}", "[{}]"] {
        desk.write("record.json", wrong);
        assert_says(&desk.bad("tune undo record.json"), &["record.json: "]);
    }
    desk.write("record.json", "[]");
    assert_says(&desk.good("tune undo record.json"), &["0 put back"]);
}

/// A record is looked at before anything goes back: a value that is neither what was written nor what was before is
/// somebody else's.
#[test]
fn undo_leaves_what_somebody_else_set() {
    let desk = Desk::new();
    let file = "proc/sys/net/core/somaxconn";
    let now = fs::read_to_string(format!("/{file}")).unwrap();
    let record =
        |before: &str, after: &str| serde_json::json!([{ "file": file, "before": before, "after": after }]).to_string();
    desk.write("record.json", record("1", "2"));
    assert_says(&desk.bad("tune undo record.json"), &["somebody changed it since", "\"1\" before", "1 not put back"]);
    desk.write("record.json", record(now.trim(), "2"));
    assert_says(&desk.good("tune undo record.json"), &["0 put back, 1 were as before already"]);
    assert_eq!(fs::read_to_string(format!("/{file}")).unwrap(), now);
}

/// The start tells that `tune check` has something to tell, in one line.
#[test]
fn a_start_tells_that_the_machine_differs() {
    let world = World::new("hot");
    for line in [&["run", "gateway.toml"][..], &["run", "gateway.toml", "--check"]] {
        let (status, _, stderr) = gateway::run(line, world.home());
        assert!(!status.success() && !stderr.contains("tune check"), "{stderr}");
    }
    let one = world.build(1, &world.policy(&["/one"]));
    world.publish(1, &one);
    let (_, checked, _) = gateway::run(&["tune", "check", "gateway.toml"], world.home());
    let drifts: Vec<&str> = checked.lines().filter(|line| line.contains(" -> ")).collect();
    let gateway = world.start();
    // It stands behind what is told of the machine.
    gateway.tells("policy \"tests\" version 1");
    let stderr = gateway.stderr();
    let many = if drifts.len() == 1 { "1 setting".to_owned() } else { format!("{} settings", drifts.len()) };
    let told: Vec<&str> = stderr.lines().filter(|line| line.contains("adamant tune check")).collect();
    assert_eq!(told.len(), usize::from(!drifts.is_empty()), "{checked}{stderr}");
    assert!(told.iter().all(|line| line.contains(&format!("{many} of this machine differ"))), "{checked}{stderr}");
}
