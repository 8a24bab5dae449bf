//! Test cases beside a policy: `adamant test`, and releases that hold them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::{gateway, process};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/source/examples");
const END: &str = "2100-01-01T00:00:00Z";

/// A directory with the example policy.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        copy(Path::new(EXAMPLES), desk.0.path());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Changes the example policy.
    fn edit(&self, from: &str, to: &str) {
        let text = self.read("orders.toml");
        assert!(text.contains(from), "{from:?} is not in the example");
        self.write("orders.toml", &text.replacen(from, to, 1));
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        let words: Vec<&str> = line.split(' ').collect();
        let (status, stdout, stderr) = gateway::run(&words, self.0.path());
        assert!(!stderr.contains("panicked"), "adamant {line}: {stderr}");
        (status.code().unwrap(), stdout, stderr)
    }

    fn good(&self, line: &str) -> String {
        let (code, stdout, stderr) = self.run(line);
        assert_eq!(code, 0, "adamant {line}: {stdout}{stderr}");
        stdout
    }

    /// Standard output and what is complained about.
    fn bad(&self, line: &str) -> (String, String) {
        let (code, stdout, stderr) = self.run(line);
        assert_eq!(code, 1, "adamant {line}: {stdout}{stderr}");
        (stdout, stderr)
    }

    fn build(&self, more: &str) -> String {
        let said = self.good(&format!("release build orders.toml --version 3 --expires {END} {more}"));
        said.lines().next().unwrap().to_owned()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in what was said:\n{said}");
    }
}

#[test]
fn the_cases_of_the_example_pass_from_source_and_from_release() {
    let desk = Desk::new();
    let said = desk.good("test orders.toml");
    assert_says(&said, &["ok      reports-bot reads an order", "12 cases: 12 passed, 0 failed", "coverage 100 %"]);
    assert_says(&said, &["no case reaches the limit: deploy/second"]);
    let digest = desk.build("-o release.json");
    let of_release = desk.good("test release.json");
    assert_says(&of_release, &[&digest, "12 cases: 12 passed", "coverage 100 %"]);
    let both: Value = serde_json::from_str(&desk.good("test orders.toml release.json --format json")).unwrap();
    assert_eq!((&both["cases"], &both["failed"]), (&24.into(), &0.into()));
    assert_eq!(both["policies"][1]["release"], digest.as_str());
    let shown = desk.good("release show release.json");
    assert_says(&shown, &["12 test cases", "  reports-bot reads an order", "cache lines", "which route"]);
}

#[test]
fn a_case_that_fails_says_where_and_why() {
    let desk = Desk::new();
    desk.edit("{ repeat = 60, expect = \"permit\" }", "{ repeat = 61, expect = \"permit\" }");
    desk.edit("expect = \"proofs-incomplete\"", "expect = { decision = \"permit\", agent = \"reports-bot\" }");
    let text = desk.read("orders.toml");
    let line = |part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let (said, complained) = desk.bad("test orders.toml");
    assert_says(&complained, &["error: 2 of 12 cases failed"]);
    let step = format!("--> orders.toml:{}", line("repeat = 61"));
    let header = format!("--> orders.toml:{}", line("its token alone is worth nothing") - 1);
    assert_says(&said, &["FAILED  its token alone is worth nothing", &header, "expected  permit, agent reports-bot"]);
    assert_says(&said, &["got       deny, reason proofs-incomplete, status 401", "how it was decided:"]);
    assert_says(&said, &[&step, "in step 1 of 5, request 61 of 61 equal ones", "limit minute-subject"]);
    assert_says(&said, &["12 cases: 10 passed, 2 failed"]);
    let json: Value = serde_json::from_str(&desk.bad("test orders.toml --format json").0).unwrap();
    let failed = &json["policies"][0]["cases"][2];
    assert_eq!((&failed["passed"], &failed["failure"]["step"]), (&false.into(), &1.into()));
    assert!(failed["failure"]["how"].as_array().unwrap().len() > 1, "{failed}");
}

#[test]
fn junit_is_xml_with_failures_and_coverage() {
    let desk = Desk::new();
    desk.edit("name = \"mallory is nobody\"", "name = \"<mallory> & \\\"nobody\\\"\"");
    desk.edit("expect = \"agent-unknown\"", "expect = \"permit\"");
    let (said, _) = desk.bad("test orders.toml --format junit --out junit.xml");
    assert_says(&said, &["FAILED  <mallory> & \"nobody\"", "wrote junit.xml"]);
    let elements = xml(&desk.read("junit.xml"));
    let of = |name: &str| elements.iter().filter(|(tag, _)| tag == name).map(|(_, attributes)| attributes).collect();
    let cases: Vec<&String> = of("testcase");
    assert_eq!((cases.len(), of("failure").len(), of("testsuite").len()), (12, 1, 1));
    assert!(cases.iter().any(|case| case.contains("&lt;mallory&gt; &amp; &quot;nobody&quot;")), "{cases:?}");
    assert!(of("property").iter().any(|found| found.contains("coverage.percent")), "no coverage");
    assert!(of("testsuites")[0].contains("tests=\"12\" failures=\"1\""));
    assert_eq!(desk.bad("test orders.toml --format junit").0, desk.read("junit.xml"));
}

/// Tags of a well-formed document with their attributes; anything else stops the test.
fn xml(text: &str) -> Vec<(String, String)> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let mut rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("an XML declaration");
    while let Some(at) = rest.find('<') {
        let (content, tag) = rest.split_at(at);
        assert!(!content.contains('>'), "a bare `>` in {content:?}");
        for entity in content.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)), "&{entity}");
        }
        let end = tag.find('>').expect("every tag ends");
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "tags are nested");
            continue;
        }
        let (name, attributes) = inside.trim_end_matches('/').split_once(' ').unwrap_or((inside, ""));
        assert_eq!(attributes.matches('"').count() % 2, 0, "{inside}");
        found.push((name.to_owned(), attributes.to_owned()));
        if !inside.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "left open: {open:?}");
    found
}

#[test]
fn coverage_and_missing_cases_can_be_required() {
    let desk = Desk::new();
    desk.good("test orders.toml --require-coverage 100 --require-cases");
    assert_says(&desk.good("test orders.toml --filter mallory"), &["1 case: 1 passed, 0 failed, 11 left out"]);
    assert_says(&desk.bad("test orders.toml --filter zebra").1, &["expected a case with \"zebra\" in its name"]);
    let text = desk.read("orders.toml");
    let at = text.find("[[case]]\nname = \"reports-bot reads documents").unwrap();
    desk.write("some.toml", &text[..at]);
    let (said, complained) = desk.bad("test some.toml --require-coverage 60");
    assert_says(&said, &["no case touches", "deploy", "status", "corp-staff/minute-subject"]);
    assert_says(&complained, &["expected a coverage of 60 % or more, found"]);
    desk.write("none.toml", &text[..text.find("[[case]]").unwrap()]);
    let said = desk.good("test none.toml");
    assert_says(&said, &["no case", "[[case]]", "expect ="]);
    assert_says(&desk.bad("test none.toml --require-cases").1, &["expected test cases", "found none"]);
    assert_says(&desk.bad("test").1, &["policy.toml", "hint"]);
}

#[test]
fn cases_may_stand_in_files_and_their_mistakes_are_shown_there() {
    let desk = Desk::new();
    let whole = desk.build("-o whole.json");
    let text = desk.read("orders.toml");
    let (policy, cases) = text.split_at(text.find("[[case]]").unwrap());
    let (first, second) = cases.split_at(cases.find("[[case]]\nname = \"a partner's").unwrap());
    fs::create_dir(desk.path("cases")).unwrap();
    desk.write("cases/first.toml", first);
    desk.write("cases/second.toml", second);
    let named = "name = \"orders-edge\"\ncases = [\"cases/second.toml\", \"cases/first.toml\"]\n";
    desk.write("orders.toml", &policy.replace("name = \"orders-edge\"\n", named));
    assert_says(&desk.good("test orders.toml"), &["12 cases: 12 passed"]);
    assert_eq!(desk.build("-o split.json"), whole, "where cases stand means nothing");
    desk.write("cases/second.toml", &second.replace("partner-1", "partner-7"));
    let (_, complained) = desk.bad("check orders.toml");
    assert_says(
        &complained,
        &["--> cases/second.toml:3:11", "unknown API key `partner-7`", "did you mean `partner-1`?"],
    );
    assert_says(&desk.bad("test orders.toml").1, &["cases/second.toml:3:11"]);
    let json: Value = serde_json::from_str(&desk.bad("check orders.toml --format json").0).unwrap();
    assert_eq!(json[0]["case_files"][0]["errors"], 1);
    desk.write("cases/second.toml", &second.replace("expect = \"agent-unknown\"", "expect = \"permit\""));
    assert_says(&desk.bad("test orders.toml").0, &["--> cases/second.toml:"]);
}

#[test]
fn no_release_is_built_when_a_case_fails() {
    let desk = Desk::new();
    desk.edit("expect = \"agent-unknown\"", "expect = \"permit\"");
    let (said, complained) =
        desk.bad(&format!("release build orders.toml --version 1 --expires {END} -o release.json"));
    assert!(said.is_empty() && !desk.path("release.json").exists());
    assert_says(&complained, &["FAILED  mallory is nobody", "1 of 12 test cases failed, so no release was built"]);
    let help = desk.good("release build --help");
    assert!(!help.contains("allow-failing"), "{help}");
}

#[test]
fn the_parent_is_a_file_or_a_digest() {
    let desk = Desk::new();
    let parent = desk.build("-o parent.json");
    let next = |parent: &str, out: &str| {
        format!("release build orders.toml --version 4 --expires {END} --parent {parent} -o {out}")
    };
    let by_digest = desk.good(&next(&parent, "a.json"));
    assert_eq!(desk.good(&next("parent.json", "b.json")).lines().next(), by_digest.lines().next());
    assert_says(&desk.good("release show b.json"), &[&format!("parent      {parent}")]);
    let same = format!("release build orders.toml --version 3 --expires {END} --parent parent.json -o c.json");
    assert_says(&desk.bad(&same).1, &["parent.json has version 3", "greater version"]);
    let far = format!("release build orders.toml --version 1000004 --expires {END} --parent parent.json -o far.json");
    assert_says(&desk.bad(&far).1, &["at most 1000003, found 1000004", "release-wider", "--version-jump"]);
    desk.good(&format!("{far} --version-jump"));
    desk.good(&far.replace("1000004", "1000003").replace("far.json", "near.json"));
    assert_says(&desk.bad(&next("sha256:12", "c.json")).1, &["64 lower-case hex digits"]);
    assert_says(&desk.bad(&next("none.json", "c.json")).1, &["none.json"]);
    desk.edit("\"orders-edge\"", "\"other\"");
    assert_says(&desk.bad(&next("parent.json", "c.json")).1, &["policy \"other\", found one of \"orders-edge\""]);
}

#[test]
fn the_same_tree_gives_the_same_bytes_anywhere_at_any_time() {
    let desk = Desk::new();
    let digest = desk.build("-o release.json");
    let there = tempfile::tempdir().unwrap();
    let deep = there.path().join("some/where else/ü");
    fs::create_dir_all(&deep).unwrap();
    copy(Path::new(EXAMPLES), &deep);
    for file in fs::read_dir(&deep).unwrap() {
        let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(86_400)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1_100));
    let built = Command::new("sh")
        .arg("-c")
        .arg(format!("umask 077; exec \"$0\" release build \"$1\" --version 3 --expires {END} -o \"$2\""))
        .arg(gateway::binary())
        .args([deep.join("orders.toml"), deep.join("other-name.json")])
        .current_dir("/")
        .env_clear()
        .envs([("TZ", "Pacific/Kiritimati"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8"), ("HOME", "/none")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(fs::read(deep.join("other-name.json")).unwrap(), fs::read(desk.path("release.json")).unwrap());
    assert_eq!(String::from_utf8_lossy(&built.stdout).lines().next(), Some(digest.as_str()));
    // Nothing outside of the release is needed any more: what is pinned stands in it.
    fs::rename(desk.path("release.json"), there.path().join("alone.json")).unwrap();
    let (status, said, _) = gateway::run(&["test", "alone.json"], there.path());
    assert!(status.success() && said.contains("12 passed"), "{said}");
    desk.edit("expect = \"agent-unknown\"", "expect = { decision = \"deny\", reason = \"agent-unknown\" }");
    assert_eq!(desk.build("-o same.json"), digest, "a case that means the same");
    desk.edit("[[case]]\nname = \"mallory is nobody\"", "[[case]]\nname = \"mallory is somebody else\"");
    assert_ne!(desk.build("-o other.json"), digest, "a case is part of the release");
}

#[test]
fn watching_runs_again_after_a_change() {
    let desk = Desk::new();
    let mut child = Command::new(gateway::binary())
        .args(["test", "orders.toml", "--watch"])
        .current_dir(desk.0.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let next = |part: &str| {
        let mut seen = String::new();
        while let Ok(line) = receiver.recv_timeout(Duration::from_secs(60)) {
            seen.push_str(&line);
            seen.push('\n');
            if line.contains(part) {
                return seen;
            }
        }
        panic!("{part:?} was not said:\n{seen}");
    };
    next("12 cases: 12 passed");
    next("watching 4 files");
    desk.edit("expect = \"agent-unknown\"", "expect = \"permit\"");
    next("12 cases: 11 passed, 1 failed");
    next("watching");
    desk.write("corp.jwks.json", "broken");
    next("watching");
    copy(Path::new(EXAMPLES), desk.0.path());
    next("12 cases: 12 passed");
    process::signal(child.id(), "TERM");
    assert!(!child.wait().unwrap().success());
}

fn git(desk: &Desk, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(desk.0.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The example in a git work tree, with a signed release of it and keys of alice, who may sign releases, and bob, who
/// may not.
fn signed() -> (Desk, String) {
    let desk = Desk::new();
    git(&desk, &["init", "-q"]);
    git(&desk, &["add", "."]);
    git(&desk, &["commit", "-qm", "policy"]);
    for owner in ["alice", "bob"] {
        desk.good(&format!("key signer --out {owner}.key --no-passphrase"));
    }
    desk.good(&format!(
        "trust init --key alice=alice.key --key bob=bob.key --threshold 1 --role release-wider=1:alice --role \
         release-narrower=1:alice --expires {END} --out root.json"
    ));
    desk.good("trust sign root.json --key alice.key");
    desk.build("-o release.json");
    desk.good("release sign release.json --key alice.key");
    let revision = git(&desk, &["rev-parse", "HEAD"]);
    (desk, revision)
}

const STATE: &str = "release provenance release.json --source orders.toml";
const VERIFY: &str = "release verify release.json --trust-root root.json --provenance";

#[test]
fn provenance_says_where_a_release_comes_from() {
    let (desk, revision) = signed();
    let said = desk.good(&format!("{STATE} --builder ci-of-corp --key alice.key -o provenance.json"));
    assert_says(&said, &["builds to it, byte for byte", &revision, "12 test cases passed", "1 signature"]);
    let said = desk.good(&format!("{VERIFY} provenance.json"));
    assert_says(&said, &["provenance, signed by alice", "ci-of-corp, adamant ", &format!("source    {revision}\n")]);
    fs::create_dir(desk.path("store")).unwrap();
    let stored = desk.good(&format!("{STATE} --key alice.key --store store"));
    let digest = desk.good("release show release.json").lines().next().unwrap().replace("release     ", "");
    let place = format!("store/provenance/{}.json", digest.replace(':', "-"));
    assert_says(&stored, &[&format!("wrote {place}")]);
    desk.good(&format!("{VERIFY} {place}"));
    assert_says(&said, &["12 of 12 test cases passed, coverage 100 %", "  orders.toml", "  corp.jwks.json"]);
    let envelope: Value = serde_json::from_str(&desk.read("provenance.json")).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");

    desk.write("corp.jwks.json", &format!("{}\n", desk.read("corp.jwks.json")));
    let (_, complained) = desk.bad(&format!("{STATE} --key alice.key -o no.json"));
    assert_says(&complained, &["to build to sha256:", "the policy differs"]);
    git(&desk, &["checkout", "-q", "corp.jwks.json"]);
    desk.edit("expect = \"agent-unknown\"", "expect = { decision = \"deny\", reason = \"agent-unknown\" }");
    let said = desk.good(&format!("{STATE} --key alice.key -o dirty.json"));
    assert_says(&said, &[&format!("{revision}, dirty")]);
    assert_says(&desk.good(&format!("{VERIFY} dirty.json")), &[&format!("{revision} dirty: ")]);
    let named = format!("{STATE} --source-revision v1.2 --key alice.key -o named.json");
    assert_says(&desk.good(&named), &["source revision v1.2\n"]);
    assert_says(&desk.bad(&named).1, &["named.json", "exists already"]);
    desk.edit("reason = \"agent-unknown\"", "reason = \"proofs-incomplete\"");
    let (_, complained) = desk.bad(&format!("{STATE} --key alice.key -o no.json"));
    assert_says(&complained, &["1 of 12 test cases failed"]);
    assert!(!desk.path("no.json").exists());
}

#[test]
fn provenance_that_was_changed_or_is_foreign_is_refused() {
    let (desk, _) = signed();
    desk.good(&format!("{STATE} --key bob.key -o bob.json"));
    let (_, complained) = desk.bad(&format!("{VERIFY} bob.json"));
    assert_says(&complained, &["bob.json", "a signature by a key of the release roles"]);
    desk.good(&format!("{STATE} --key alice.key -o good.json"));
    let good = desk.read("good.json");
    for (at, byte) in good.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()).step_by(97) {
        let mut changed = good.clone().into_bytes();
        changed[at] = if byte == b'A' { b'B' } else { b'A' };
        desk.write("changed.json", std::str::from_utf8(&changed).unwrap());
        let (code, said, complained) = desk.run(&format!("{VERIFY} changed.json"));
        assert_eq!(code, 1, "byte {at}: {said}");
        assert_says(&complained, &["error: changed.json: "]);
    }
    desk.good(&format!("release build orders.toml --version 9 --expires {END} -o other.json"));
    desk.good("release sign other.json --key alice.key");
    let (_, complained) = desk.bad("release verify other.json --trust-root root.json --provenance good.json");
    assert_says(&complained, &["expected provenance of release sha256:", "found one of sha256:"]);
    let (_, complained) = desk.bad("release verify release.json --trust-root root.json --provenance release.json");
    assert_says(&complained, &["expected a provenance statement, found a release"]);
}
