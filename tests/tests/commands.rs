//! The commands as an operator walks through them, and what they say when something is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::apikey::hex;
use tests::client::get;
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};

const END: &str = "2100-01-01T00:00:00Z";

const GATEWAY: &str = "[gateway]\npolicy = \"tests\"\nrelease = \"release.json\"\ntrust_root = \"root.json\"\nstate = \
                       \"state\"\n\n[workers]\ncores = [0]\n\n[[listener]]\naddress = \"127.0.0.1:0\"\n";

/// A directory in which commands are run.
struct Desk(tempfile::TempDir);

impl Desk {
    /// With a policy that is right.
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("policy.toml", &open_to_all("127.0.0.1:9".parse().unwrap()).text());
        desk
    }

    /// With a release that `alice`, whose key has a passphrase, and `bob` must both sign.
    fn with_two_keys() -> Self {
        let desk = Self::new();
        desk.write("pass", "correct horse battery staple\n");
        fs::set_permissions(desk.path("pass"), fs::Permissions::from_mode(0o600)).unwrap();
        desk.good("key signer --out alice.key --passphrase-file pass");
        desk.good("key signer --out bob.key --no-passphrase");
        desk.good(&format!(
            "trust init --key alice=alice.key --key bob=bob.key --threshold 2 --expires {END} --out root.json"
        ));
        desk.good("trust sign root.json --key alice.key --passphrase-file pass");
        desk.good(&format!("release build policy.toml --version 1 --expires {END} --out release.json"));
        desk.write("gateway.toml", GATEWAY);
        desk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    /// Runs a command line (words without spaces): status, standard output, standard error.
    fn run(&self, line: &str) -> (i32, String, String) {
        let words: Vec<&str> = line.split(' ').collect();
        let (status, stdout, stderr) = gateway::run(&words, self.0.path());
        let code = status.code().unwrap_or_else(|| panic!("adamant {line} was killed: {status}"));
        assert!(!stderr.contains("panicked"), "adamant {line}: {stderr}");
        (code, stdout, stderr)
    }

    /// What it says where it succeeds.
    fn good(&self, line: &str) -> String {
        let (code, stdout, stderr) = self.run(line);
        assert_eq!(code, 0, "adamant {line}: {stdout}{stderr}");
        stdout
    }

    /// What it complains about where it must end with `code`.
    fn bad(&self, code: i32, line: &str) -> String {
        let (found, stdout, stderr) = self.run(line);
        assert_eq!(found, code, "adamant {line}: {stdout}{stderr}");
        assert!(!stderr.trim().is_empty(), "adamant {line} said nothing");
        stderr
    }
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in what was said:\n{said}");
    }
}

#[test]
fn check_says_what_a_policy_amounts_to_and_warns_without_failing() {
    let desk = Desk::new();
    desk.write("policy.toml", &desk.read("policy.toml").replace("limits = []\n", ""));
    let (code, stdout, stderr) = desk.run("check policy.toml");
    assert_eq!(code, 0, "{stderr}");
    assert_says(&stdout, &["tests", "1 route", "1 agent"]);
    assert_says(&stderr, &["policy.toml:", "warning", "hint"]);
    assert_says(&desk.bad(1, "check --deny-warnings policy.toml"), &["policy.toml:"]);
    let documents: Value = serde_json::from_str(&desk.good("check --format json policy.toml")).unwrap();
    assert_eq!((&documents[0]["errors"], &documents[0]["file"]), (&Value::from(0), &Value::from("policy.toml")));
    let schema: Value = serde_json::from_str(&desk.good("schema")).unwrap();
    assert!(schema["properties"]["route"].is_object() && schema["$schema"].is_string(), "{schema:#}");
}

#[test]
fn mistakes_in_a_policy_are_shown_at_their_place_with_a_hint() {
    let desk = Desk::new();
    let text = desk.read("policy.toml");
    for (from, to, place, what) in [
        ("origin = \"origin\"", "origin = \"orgin\"", ":14:10", "did you mean `origin`"),
        ("methods = [\"*\"]", "method = [\"*\"]", ":12:1", "methods"),
        ("path = \"/{rest...}\"", "path = \"no\"", ":13:8", "/"),
        ("[[scope]]", "[[scope]", ":17:", "]"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        desk.write("wrong.toml", &text.replacen(from, to, 1));
        let said = desk.bad(1, "check wrong.toml");
        assert_says(&said, &["error", &format!("wrong.toml{place}"), "^", "hint", what]);
    }
}

#[test]
fn two_people_sign_and_the_gateway_takes_it() {
    let desk = Desk::with_two_keys();
    let (code, shown, complaint) = desk.run("trust show root.json");
    assert_eq!(code, 1);
    assert_says(&shown, &["2 of 2: ", "alice", "bob"]);
    assert_says(&complaint, &["root.json", "does not hold"]);
    desk.good("trust sign root.json --key bob.key");
    let shown = desk.good("trust show root.json");
    assert!(shown.contains("holds: "), "{shown}");

    let verify = "release verify release.json --trust-root root.json";
    assert_says(&desk.bad(3, verify), &["release.json", "2 signatures", "found 0"]);
    desk.good("release sign release.json --key alice.key --passphrase-file pass");
    assert_says(&desk.bad(3, verify), &["release.json", "2 signatures", "found 1 (alice)"]);
    assert_says(&desk.bad(1, "run gateway.toml --check"), &["release.json", "2 signatures", "found 1 (alice)"]);
    let before = desk.read("release.json");
    desk.good("release sign release.json --key bob.key --detached --out bob.sig");
    assert_eq!(desk.read("release.json"), before, "a detached signature leaves the release as it is");
    desk.good("release merge release.json bob.sig");
    assert_says(&desk.good(verify), &["verified sha256:", "2 of 2 needed (", "alice", "bob"]);
    assert_says(&desk.good("release show release.json"), &["policy      tests", "version     1", "2 signatures"]);
    assert_says(&desk.good("run gateway.toml --check"), &["ok: ", "tests", "alice", "bob"]);
    assert!(!desk.path("state").exists(), "--check makes nothing");
}

#[test]
fn copies_that_two_people_signed_are_merged_and_a_signature_over_another_release_is_not() {
    let desk = Desk::with_two_keys();
    desk.good("trust sign root.json --key bob.key");
    desk.good("release sign release.json --key alice.key --passphrase-file pass --out of-alice.json");
    desk.good("release sign release.json --key bob.key --out of-bob.json");
    desk.good(&format!("release build policy.toml --version 2 --expires {END} --out other.json"));
    desk.good("release sign other.json --key bob.key --detached --out other.sig");
    let before = desk.read("of-alice.json");
    assert_says(&desk.bad(1, "release merge of-alice.json other.sig"), &["other.sig"]);
    assert_eq!(desk.read("of-alice.json"), before, "nothing was merged");
    desk.good("release merge of-alice.json of-bob.json");
    desk.good("release verify of-alice.json --trust-root root.json");
    assert_says(
        &desk.bad(1, "release verify of-alice.json --trust-root root.json --policy other"),
        &["tests", "other"],
    );
    assert_says(&desk.bad(1, "release verify root.json --trust-root root.json"), &["root.json"]);
}

#[test]
fn the_same_source_gives_the_same_bytes_elsewhere() {
    let (one, two) = (Desk::new(), Desk::new());
    two.write("policy.toml", &two.read("policy.toml").replace("\n\n", "\n\n# a comment\n\n"));
    let build = format!("release build policy.toml --version 7 --expires {END} --out release.json");
    let digest = |said: String| said.lines().next().unwrap().to_owned();
    let (first, second) = (digest(one.good(&build)), digest(two.good(&build)));
    assert!(first.starts_with("sha256:") && first == second, "{first} and {second}");
    assert_eq!(one.read("release.json"), two.read("release.json"));
    let other = two.good(&build.replace("--version 7", "--version 8").replace("release.json", "8.json"));
    assert_ne!(digest(other), first);
}

#[test]
fn an_api_key_works_under_the_digest_that_was_printed_with_it() {
    let desk = Desk::new();
    let said = desk.good("key new --id reports-1 --expires 2099-01-01T00:00:00Z");
    let key = said.lines().next().unwrap().to_owned();
    assert!(key.starts_with("adm_reports-1_") && key.len() > 50, "{said}");
    assert!(key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter)), "{key}");
    let declared = &said[said.find("[[api_key]]").unwrap_or_else(|| panic!("no TOML in {said}"))..];
    assert_says(declared, &[&hex(&Sha256::digest(key.as_bytes())), "expires = 2099-01-01T00:00:00Z"]);
    assert_ne!(desk.good("key new --id reports-1").lines().next().unwrap(), key, "every key is another one");

    let origin = RecordingOrigin::start();
    let policy = tests::policy::PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .agent("reports", "{ api_key = [\"reports-1\"] }", &["all"], &[])
        .with(declared);
    let gateway = Gateway::dev(&policy.text());
    assert_eq!(gateway.once(get("/", &format!("X-API-Key: {key}\r\n"))).status, 200);
    assert_eq!(gateway.once(get("/", &format!("Authorization: Bearer {key}\r\n"))).status, 200);
    let last = if key.ends_with('a') { 'b' } else { 'a' };
    assert_eq!(gateway.once(get("/", &format!("X-API-Key: {}{last}\r\n", &key[..key.len() - 1]))).status, 401);
    assert_eq!(origin.last_of(2).value("Adamant-Agent"), Some("reports"));
}

#[test]
fn private_files_are_for_their_owner_alone_and_a_passphrase_protects() {
    let desk = Desk::with_two_keys();
    assert_eq!((desk.mode("alice.key"), desk.mode("bob.key")), (0o600, 0o600));
    desk.write("wrong", "another passphrase\n");
    fs::set_permissions(desk.path("wrong"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = desk.bad(1, "release sign release.json --key alice.key --passphrase-file wrong");
    assert_says(&said, &["alice.key", "passphrase"]);
    desk.write("short", "abc\n");
    assert_says(&desk.bad(1, "key signer --out c.key --passphrase-file short"), &["8 bytes", "hint"]);
    assert!(!desk.path("c.key").exists());
    fs::set_permissions(desk.path("bob.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_says(&desk.bad(1, "release sign release.json --key bob.key"), &["bob.key", "chmod 600"]);
    let said = desk.bad(1, "release sign release.json --key release.json");
    assert!(said.contains("release.json: ") && !said.contains("chmod"), "{said}");
    let public = desk.good("key public alice.key");
    assert!(public.starts_with("adamant-ed25519:"), "{public}");
}

#[test]
fn keys_that_come_over_plain_http_are_told_when_the_release_is_built() {
    let desk = Desk::with_two_keys();
    let text = PolicyText::new()
        .origin("origin", &["127.0.0.1:9".parse().unwrap()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(&["ES256"], "")
        .anonymous(&["all"], &[])
        .text();
    let by_file = "{ file = \"corp.jwks.json\" }";
    assert!(text.contains(by_file), "{text}");
    let by_url = "{ url = \"http://127.0.0.1:8200/keys\", refresh = \"10m\", max_stale = \"24h\" }";
    desk.write("by-url.toml", &text.replace(by_file, by_url));
    let line = format!("release build by-url.toml --version 1 --expires {END} --out by-url.json");
    let (code, _, told) = desk.run(&line);
    assert_eq!(code, 0, "{told}");
    assert_says(&told, &["warning[keys-plain]", "over plain http"]);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let desk = Desk::with_two_keys();
    desk.good("release sign release.json --key bob.key --detached --out bob.sig");
    for (file, line) in [
        ("bob.key", "key signer --out bob.key --no-passphrase".to_owned()),
        ("root.json", format!("trust init --key bob=bob.key --threshold 1 --expires {END} --out root.json")),
        ("release.json", format!("release build policy.toml --version 2 --expires {END} --out release.json")),
        ("bob.sig", "release sign release.json --key alice.key --passphrase-file pass --detached --out bob.sig".into()),
    ] {
        let before = desk.read(file);
        assert_says(&desk.bad(1, &line), &[file, "exists already", "--force"]);
        assert_eq!(desk.read(file), before, "{line}");
        let loose = Desk::with_two_keys();
        loose.write(file, "old");
        loose.good(
            &format!("{} --force", line.replace("bob=bob.key", "bob=alice.key"))
                .replace("--key bob.key", "--key alice.key --passphrase-file pass"),
        );
        assert_ne!(loose.read(file), "old", "{line}");
    }
    assert_eq!(desk.mode("bob.key"), 0o600);
}

#[test]
fn wrong_input_is_told_with_the_file_and_what_to_do() {
    let desk = Desk::with_two_keys();
    desk.write("nonsense", "{\"payload\": 7");
    desk.write(
        "more.toml",
        &format!("{GATEWAY}\n[[origin_credential]]\nname = \"n\"\n\n[[origin_identity]]\nname = \"m\"\n"),
    );
    for (line, parts) in [
        ("check missing.toml", &["missing.toml", "hint"][..]),
        ("release show nonsense", &["nonsense"]),
        ("release sign nonsense --key bob.key", &["nonsense"]),
        ("release sign release.json --key nonsense", &["nonsense"]),
        ("release verify release.json --trust-root root.json", &["root.json", "2 signatures"]),
        ("trust show nonsense", &["nonsense"]),
        ("trust init --key a=missing.key --threshold 1 --expires 2100-01-01T00:00:00Z --out r.json", &["missing.key"]),
        ("trust init --key a=bob.key --threshold 2 --expires 2100-01-01T00:00:00Z --out r.json", &["threshold", "1"]),
        ("trust init --key a=bob.key --threshold 1 --expires 2001-01-01T00:00:00Z --out r.json", &["future", "2001"]),
        ("release build policy.toml --version 0 --expires 2100-01-01T00:00:00Z --out z.json", &["version", "found 0"]),
        (
            "release build policy.toml --version 1 --expires 2100-01-01T00:00:00Z --out no/z.json",
            &["no/z.json", "hint"],
        ),
        ("key new --id Reports_1", &["Reports_1", "hint", "for example"]),
        ("run missing.toml", &["missing.toml"]),
        ("dev policy.toml --origin orgin=127.0.0.1:9", &["orgin", "origin"]),
        ("run policy.toml", &["found a policy source", "adamant dev policy.toml"]),
        ("check more.toml", &["found a gateway's configuration", "adamant run gateway.toml --check"]),
        ("check gateway.toml", &["found a gateway's configuration", "adamant run gateway.toml --check"]),
    ] {
        assert_says(&desk.bad(1, line), &[&["error: "], parts].concat());
    }
    assert!(!desk.path("r.json").exists() && !desk.path("z.json").exists());
    for (line, said) in [
        ("release build policy.toml --version 1 --expires soon --out z.json", "soon"),
        ("release build policy.toml", "--version"),
        ("key new", "--id"),
        ("key signer --out x.key --no-passphrase --passphrase-file pass", "cannot be used with"),
        ("dev policy.toml --listen here", "here"),
        ("chekc policy.toml", "check"),
        ("check", "POLICIES"),
    ] {
        assert_says(&desk.bad(2, line), &["error: ", said]);
    }
}

#[test]
fn mistakes_in_gateway_toml_are_shown_at_their_place() {
    let desk = Desk::with_two_keys();
    for (text, place, what) in [
        (GATEWAY.replace("cores = [0]", "cores = [0]\nring_entries = 100"), ":9:16", "power of two"),
        (GATEWAY.replace("127.0.0.1:0", "localhost"), ":11:11", "address"),
        (GATEWAY.replace("policy =", "polcy ="), ":2:1", "policy"),
        (GATEWAY.replace("\"127.0.0.1:0\"", "127.0.0.1:0"), ":11:16", "address = \"127.0.0.1:9901\""),
        (format!("{GATEWAY}\n[timeouts]\nidle = \"30d\"\n"), ":14:8", "expected 100ms to 24h, found 30d"),
        (format!("{GATEWAY}\n[bounds]\nhead_bytes_max = 1\n"), ":14:18", "256"),
        (format!("{GATEWAY}\n[timeouts]\nidle = \"0\"\n"), ":14:8", "100"),
        (format!("{GATEWAY}trusted_proxies = [\"10.0.0.0/33\"]\n"), ":12:", "32 bits"),
        (format!("{GATEWAY}proxy_protocol = true\n"), ":12:", "trusted_proxies"),
        (format!("{GATEWAY}[[listener]]\naddress = \"192.0.2.1:1\"\n"), ":13:11", "loopback"),
    ] {
        desk.write("wrong.toml", &text);
        assert_says(&desk.bad(1, "run wrong.toml --check"), &["error: ", &format!("wrong.toml{place}"), what]);
    }
}

#[test]
fn shells_are_completed() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.good(&format!("completions {shell}"));
        assert!(script.contains("adamant") && script.contains("release") && script.len() > 1_000, "{shell}: {script}");
    }
    assert_says(&desk.bad(2, "completions tcsh"), &["tcsh", "bash"]);
}

#[test]
fn every_command_helps() {
    let desk = Desk::new();
    let mut lines = vec![String::new()];
    let mut seen = 0;
    while let Some(line) = lines.pop() {
        let help = desk.good(format!("{line} --help").trim_start());
        assert_says(&help, &["Usage: adamant"]);
        seen += 1;
        let listed = help.lines().skip_while(|text| !text.starts_with("Commands:")).skip(1);
        let names = listed.take_while(|text| text.starts_with("  ")).filter(|text| !text.starts_with("   "));
        let names = names.filter_map(|text| text.split_whitespace().next());
        lines.extend(names.filter(|name| *name != "help").map(|name| format!("{line} {name}").trim().to_owned()));
    }
    assert!(seen >= 20, "{seen} commands");
    assert!(desk.good("--version").starts_with("adamant "));
}
