//! `adamant demo`: the story holds, and nothing stays behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tests::gateway::binary;
use tests::process::{eventually, signal};

/// Longest wait for the whole story.
const STORY: Duration = Duration::from_secs(120);

/// Outcomes that the story shows: fourteen requests and the release that was touched.
const OUTCOMES: usize = 15;

/// A demo that keeps its temporary files in a directory of its own.
struct Demo {
    child: Child,
    directory: tempfile::TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(binary())
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        let ended = eventually(limit, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "the demo did not end within {limit:?}");
        status.unwrap()
    }

    /// The lines up to the one that says `what`; read on in the background, so that it never waits for us.
    fn lines_until(&mut self, what: &str) -> Vec<String> {
        let mut reader = BufReader::new(self.child.stdout.take().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "{what:?} was never said:\n{}", lines.concat());
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains(what)) {
                thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
                return lines;
            }
        }
    }

    /// Neither files nor processes are left of it.
    fn assert_nothing_left(&self) {
        let gone = eventually(Duration::from_secs(60), || processes_of(self.directory.path()).is_empty());
        assert!(gone, "still running: {:?}", processes_of(self.directory.path()));
        let left: Vec<_> = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "still there: {left:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in processes_of(self.directory.path()) {
            signal(pid, "KILL");
        }
    }
}

/// Processes whose environment has this TMPDIR.
fn processes_of(directory: &Path) -> Vec<u32> {
    let wanted = format!("TMPDIR={}", directory.display());
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    })
    .collect()
}

fn piped_text(from: Option<impl Read>) -> String {
    let mut text = String::new();
    from.unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_story_comes_out_as_promised_and_leaves_nothing() {
    let mut demo = Demo::start(&["--once"]);
    let said = piped_text(demo.child.stdout.take());
    let status = demo.wait(STORY);
    let complaints = piped_text(demo.child.stderr.take());
    assert!(status.success(), "{status}: {said}{complaints}");
    assert_eq!(said.matches('✓').count(), OUTCOMES, "{said}");
    assert!(!said.contains('✗'), "{said}");
    let (wishes, curls) = (said.matches("answer  ").count(), said.matches("$ curl ").count());
    assert_eq!((wishes, curls), (OUTCOMES - 1, OUTCOMES - 1), "each step has its curl line and its answer:\n{said}");
    for shown in [
        "HTTP/1.1 200",
        "HTTP/1.1 400",
        "HTTP/1.1 401",
        "HTTP/1.1 403",
        "HTTP/1.1 429",
        "Retry-After",
        "WWW-Authenticate",
        "decision=permit",
        "decision=deny",
        "tampered.json is refused, nothing was bound; a start would go on with release.json",
    ] {
        assert!(said.contains(shown), "{shown} is not shown:\n{said}");
    }
    demo.assert_nothing_left();
}

#[test]
fn without_once_it_stays_up_until_ctrl_c_and_can_be_tried() {
    let mut demo = Demo::start(&[]);
    let lines = demo.lines_until("ci's API key");
    let story = lines.concat();
    assert!(!story.contains('✗'), "{story}");
    assert_eq!(story.matches('✓').count(), OUTCOMES, "{story}");
    assert_eq!(processes_of(demo.directory.path()).len(), 2, "the demo and its gateway");
    let admin = lines.iter().find_map(|line| line.trim().strip_prefix("$ curl http://")?.strip_suffix("/metrics"));
    let admin = admin.unwrap_or_else(|| panic!("no address of the admin listener in {story}")).parse().unwrap();
    let ready = tests::client::once(admin, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(ready.status, 200, "it serves while it waits");
    thread::sleep(Duration::from_millis(500));
    assert!(demo.child.try_wait().unwrap().is_none(), "it waits for Ctrl-C");
    let started = Instant::now();
    signal(demo.child.id(), "INT");
    let status = demo.wait(Duration::from_secs(60));
    assert!(status.success(), "{status} after {:?}", started.elapsed());
    demo.assert_nothing_left();
}

#[test]
fn interrupted_in_the_middle_of_the_story_it_leaves_nothing_either() {
    for moment in ["2. ", "HTTP/1.1 401"] {
        let mut demo = Demo::start(&[]);
        demo.lines_until(moment);
        signal(demo.child.id(), "INT");
        demo.wait(Duration::from_secs(60));
        demo.assert_nothing_left();
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_and_it_leaves_nothing() {
    let mut demo = Demo::start(&["--once"]);
    let mut reader = BufReader::new(demo.child.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    demo.wait(STORY);
    assert!(!piped_text(demo.child.stderr.take()).contains("panicked"));
    demo.assert_nothing_left();
}
