//! README's walks, from an empty directory and on to a renewing agent, executed as they stand there: each `#=>` line says what
//! the commands since the one before print, or how they end. Only the ports are others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::gateway::binary;
use tests::process::free_port;

/// Headings of the sections that are walked, one after the other in the same directory.
const HEADINGS: [&str; 2] = ["## From an empty directory", "## From no PKI"];
/// Commands that look at what others in the background do.
const LOOKS: [&str; 2] = ["adamant status ", "adamant agent doctor "];
/// Ports that README uses, each for one thing.
const PORTS: &[&str] = &["9000", "8080", "9901", "8443"];

/// Commands, and what is promised of them.
#[derive(Default)]
struct Step {
    commands: String,
    /// Parts of the output.
    said: Vec<String>,
    /// Exit status of the last command.
    status: i32,
}

/// The steps of the fenced `sh` blocks in a section of README.
fn steps(readme: &str, heading: &str) -> Vec<Step> {
    let section = readme.split_once(heading).expect("README has the section").1;
    let section = section.split("\n## ").next().unwrap();
    let mut steps = vec![Step::default()];
    for block in section.split("```sh\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let last = steps.last_mut().unwrap();
            let Some(promise) = line.strip_prefix("#=> ") else {
                if !last.said.is_empty() || last.status != 0 {
                    steps.push(Step::default());
                }
                writeln!(steps.last_mut().unwrap().commands, "{line}").unwrap();
                continue;
            };
            match promise.strip_prefix("exit ") {
                Some(status) => last.status = status.parse().unwrap(),
                None => last.said.push(promise.trim().to_owned()),
            }
        }
    }
    steps
}

/// One script of all steps: they share variables, directory and background jobs.
fn script(steps: &[Step]) -> String {
    let mut script = String::from("set -u\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
    for (number, step) in steps.iter().enumerate() {
        // What has to be waited for comes later on a slow machine: it is looked at again. And what is ended has its ports for a
        // moment more.
        let commands = format!("\n{}", step.commands).replace("kill $(jobs -p)", "kill $(jobs -p); wait");
        let commands = LOOKS.iter().fold(commands, |commands, look| {
            commands.replacen(&format!("\n{look}"), &format!("\nsleep 0.2; {look}"), 1)
        });
        let (at_once, later) = commands.split_once("sleep ").unwrap_or((&commands, ""));
        writeln!(script, "{{\n:\n{at_once}}} > ../out.{number} 2>&1\necho $? > ../status.{number}").unwrap();
        if !later.is_empty() {
            let said = step.said.iter().map(|said| format!(" && grep -qF -- '{said}' ../later"));
            let is_as_said = said.collect::<String>();
            writeln!(
                script,
                "for try in $(seq 30); do {{\nsleep {later}}} > ../later 2>&1\necho $? > ../status.{number}"
            )
            .unwrap();
            writeln!(script, "[ \"$(cat ../status.{number})\" = {} ]{is_as_said} && break; done", step.status).unwrap();
            writeln!(script, "cat ../later >> ../out.{number}").unwrap();
        }
        writeln!(script, "[ \"$(cat ../status.{number})\" = {} ] || exit 99", step.status).unwrap();
    }
    script
}

/// `adamant` on the path is the binary under test.
fn path_with_adamant(directory: &Path) -> String {
    let bin = directory.join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(binary(), bin.join("adamant")).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

/// What README says of the second walk's length, between policy and configuration before and what a thief gets behind.
#[test]
fn the_second_walk_takes_the_commands_that_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split_once(HEADINGS[1]).expect("README has the section").1.split("\n## ").next().unwrap();
    let (said, rest) = section.split_once(" commands: ").expect("it says how many there are");
    assert_eq!(said.lines().next_back(), Some("Nine"));
    let block = rest.split_once("```sh\n").unwrap().1.split("```").next().unwrap();
    let joined = block.replace("\\\n", "");
    let commands: Vec<_> = joined.lines().filter(|line| !line.starts_with("#=>")).collect();
    assert_eq!(commands.len(), 9, "{commands:#?}");
    // From the CA to a call; a wait is none, and nothing else hides behind another one.
    for (line, word) in
        commands.iter().zip(["ca init", "ca issue", "build", "sign", "run", "enroll", "agent run", "doctor", "curl"])
    {
        let command = line.trim_start_matches("sleep 1; ");
        assert!(command.contains(word) && !command.contains([';']) && !command.contains("&&"), "{command}");
    }
    assert!(section.contains("It stands on the walk above"), "what it needs is said");
}

/// What held ports promise: a server gets them, and who asks for any port does not.
#[test]
fn a_held_port_is_for_whoever_names_it() {
    let port = free_port();
    let others: Vec<_> = (0..200).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    assert!(others.iter().all(|other| other.local_addr().unwrap().port() != port));
    // Of the standard library, which sets SO_REUSEADDR as the gateway and Python do; one after the other.
    for _ in 0..2 {
        drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
    }
}

#[test]
fn the_walks_in_readme_do_what_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut readme = fs::read_to_string(root.join("README.md")).unwrap();
    let held: Vec<_> = PORTS.iter().map(|_| free_port()).collect();
    for (written, free) in PORTS.iter().zip(&held) {
        readme = readme.replace(&format!("127.0.0.1:{written}"), &format!("127.0.0.1:{free}"));
        readme = readme.replace(&format!("http.server {written}"), &format!("http.server {free}"));
        readme = readme.replace(&format!("localhost:{written}"), &format!("localhost:{free}"));
    }
    let steps: Vec<Step> = HEADINGS.iter().flat_map(|heading| steps(&readme, heading)).collect();
    assert!(steps.iter().filter(|step| !step.said.is_empty()).count() >= 14, "the walks promise too little");
    let directory = tempfile::tempdir().unwrap();
    let work = directory.path().join("work");
    fs::create_dir(&work).unwrap();
    let path = path_with_adamant(directory.path());
    let ended = Command::new("bash")
        .args(["-c", &script(&steps)])
        .current_dir(&work)
        .env("PATH", path)
        .env("HOME", directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let mut told = String::new();
    for (number, step) in steps.iter().enumerate() {
        let output = fs::read_to_string(directory.path().join(format!("out.{number}"))).unwrap_or_default();
        let status = fs::read_to_string(directory.path().join(format!("status.{number}"))).unwrap_or_default();
        writeln!(told, "$ {}\n{output}[{}]", step.commands.trim_end(), status.trim_end()).unwrap();
        assert_eq!(status.trim(), step.status.to_string(), "a step ended otherwise:\n{told}");
        for said in &step.said {
            assert!(output.contains(said), "expected {said:?} of the last step:\n{told}");
        }
    }
    assert!(ended.success(), "{told}");
}
