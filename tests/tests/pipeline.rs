//! The pipeline that is shipped, run as it is: real binaries, two signers, a store, and a gateway that follows it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "pipeline/hostile.rs"]
mod hostile;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::certificates::Authority;
use tests::client::get;
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;

const END: &str = "2100-01-01T00:00:00Z";

/// The repository of a policy and its store, and what the pipeline works with.
struct Repository {
    directory: PathBuf,
    environment: Vec<(&'static str, String)>,
}

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging").join(file)
}

impl Repository {
    /// Three keys: any two of them sign a wider release, one a narrower one; `ci` signs pointers.
    fn new(directory: &Path) -> Self {
        let own = Self { directory: directory.to_owned(), environment: Vec::new() };
        for name in ["alice", "bob", "ci"] {
            own.adamant(&["key", "signer", "--out", &format!("{name}.key"), "--no-passphrase"]);
        }
        own.adamant(&[
            "trust",
            "init",
            "--key",
            "alice=alice.key",
            "--key",
            "bob=bob.key",
            "--key",
            "ci=ci.key",
            "--threshold",
            "2",
            "--role",
            "root=2:alice,bob",
            "--role",
            "release-narrower=1",
            "--role",
            "pointer=1:ci",
            "--expires",
            END,
            "--out",
            "root.json",
        ]);
        own.adamant(&["trust", "sign", "root.json", "--key", "alice.key"]);
        own.adamant(&["trust", "sign", "root.json", "--key", "bob.key"]);
        fs::create_dir_all(directory.join("store")).unwrap();
        fs::create_dir_all(directory.join("signatures")).unwrap();
        own
    }

    fn adamant(&self, arguments: &[&str]) -> String {
        let (status, stdout, stderr) = gateway::run(arguments, &self.directory);
        assert!(status.success(), "adamant {} ended with {status}: {stdout}{stderr}", arguments.join(" "));
        stdout
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.into()));
    }

    /// `pipeline.sh ARGUMENTS`: its exit status, and all that it said.
    fn pipeline(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(packaging("ci/pipeline.sh"))
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ADAMANT", gateway::binary())
            .envs([("STORE", "store"), ("TRUST_ROOT", "root.json"), ("POINTER_KEYS", "ci.key"), ("WAIT_S", "120")])
            .env("EXPIRES", END)
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code().unwrap_or(-1), said)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn pointer(&self) -> Vec<u8> {
        fs::read(self.directory.join("store/channels/production/pointer.json")).unwrap()
    }
}

/// A policy with cases beside it that permits these methods, and the requests that a case expects to be permitted.
fn policy(origin: &RecordingOrigin, methods: &str, permitted: &str) -> String {
    let case = format!(
        "[[case]]\nname = \"anyone asks\"\nagent = \"anyone\"\nrequest = \"{permitted} http://api.test/x\"\nexpect = \
         \"permit\"\n"
    );
    PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", methods, "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &["600/minute"])
        .with(&case)
        .text()
}

fn start(directory: tempfile::TempDir) -> Gateway {
    let text = "[gateway]\npolicy = \"tests\"\nstore = \"store\"\nchannel = \"production\"\ntrust_root = \"root.json\"\n\
                state = \"state\"\nactivation = \"hot\"\n\n[workers]\ncores = [0]\n\n[admin]\naddress = \"127.0.0.1:0\"\n\n\
                [records]\nto = \"records.jsonl\"\n\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    fs::write(directory.path().join("gateway.toml"), text).unwrap();
    Gateway::start(directory, &["run", "gateway.toml"], None).unwrap_or_else(|why| panic!("{why}"))
}

fn status_of(gateway: &Gateway, method: &str) -> u16 {
    gateway.once(get("/x", "").replacen("GET", method, 1)).status
}

#[test]
fn a_policy_goes_from_its_source_to_a_gateway_and_back() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(directory.path());

    // The first release: two signers, everything but a gateway.
    repository.write("policy.toml", &policy(&origin, "GET POST", "POST"));
    repository.set("RELEASE_KEYS", "ci.key alice.key");
    let (status, said) = repository.pipeline(&[]);
    assert_eq!(status, 0, "{said}");
    for stage in ["== check", "== test", "== diff", "== build version 1", "== signatures", "== point", "no GATEWAYS"] {
        assert!(said.contains(stage), "no {stage} in {said}");
    }
    assert_eq!(
        fs::read_dir(directory.path().join("store/provenance")).unwrap().count(),
        1,
        "where it comes from is stated"
    );
    let gateway = start(directory);
    assert_eq!((status_of(&gateway, "GET"), status_of(&gateway, "POST")), (200, 200));
    repository.set("GATEWAYS", format!("http://{}", gateway.admin_address()));
    repository.set("NODE_KEYS", "state/node.pub");

    // A narrower one needs one signature, and is served without a restart.
    repository.set("RELEASE_KEYS", "ci.key");
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    let (status, said) = repository.pipeline(&[]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("narrower") && said.contains("1 gateway, 0 with problems"), "{said}");
    assert_eq!((status_of(&gateway, "GET"), status_of(&gateway, "POST")), (200, 401));
    let shown = fs::read_to_string(repository.directory.join("build/diff.txt")).unwrap();
    assert!(
        shown.contains("(verified release of tests") && !shown.contains("unverified"),
        "reviewers see what is signed: {shown}"
    );

    // A wider one with the same single signature stops before the pointer.
    let before = repository.pointer();
    repository.write("policy.toml", &policy(&origin, "GET POST DELETE", "DELETE"));
    let (status, said) = repository.pipeline(&[]);
    assert_eq!(status, 3, "{said}");
    assert!(said.contains("signatures are missing") && said.contains("release-wider"), "{said}");
    assert!(!said.contains("== point"), "{said}");
    assert_eq!(repository.pointer(), before, "nothing that gateways read was touched");
    assert_eq!(status_of(&gateway, "DELETE"), 401);

    // Somebody else's signature arrives as a file.
    let sign = ["release", "sign", "build/release.json", "--key", "bob.key", "--detached", "-o", "signatures/bob.sig"];
    repository.adamant(&sign);
    let (status, said) = repository.pipeline(&["sign", "point", "status"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(status_of(&gateway, "DELETE"), 200);

    // And back to the one before.
    let (status, said) = repository.pipeline(&["rollback"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!((status_of(&gateway, "GET"), status_of(&gateway, "DELETE")), (200, 401));
    assert!(said.contains("serial 4"), "a rollback is a new pointer: {said}");

    // What is built next counts on from the highest version there was, not from the one that runs.
    repository.write("policy.toml", &policy(&origin, "GET HEAD", "HEAD"));
    let (status, said) = repository.pipeline(&["build"]);
    assert!(status == 0 && said.contains("== build version 4"), "{status}: {said}");
}

/// Status 3 says that signatures are missing, and nothing else is called that; a typo is no first release.
#[test]
fn missing_signatures_are_told_from_every_other_failure() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(directory.path());
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    assert_eq!(repository.pipeline(&["diff", "build"]).0, 0);
    let (status, said) = repository.pipeline(&["sign"]);
    assert!(status == 3 && said.contains("signatures are missing"), "{status}: {said}");
    // The release itself says so where it is pointed at all the same.
    let (status, said) = repository.pipeline(&["point"]);
    assert!(status == 1 && !directory.path().join("store/channels").exists(), "{status}: {said}");

    // What lies there for another release is no fault, and what is no signature is one.
    repository.adamant(&["release", "build", "policy.toml", "--version", "9", "--expires", END, "--out", "other.json"]);
    let detached = ["--detached", "--out", "signatures/other.sig"];
    repository.adamant(&[&["release", "sign", "other.json", "--key", "alice.key"], &detached[..]].concat());
    let (status, said) = repository.pipeline(&["sign"]);
    assert!(status == 3 && said.contains("signatures/other.sig is for another release"), "{status}: {said}");
    assert!(!said.contains("error: signatures/"), "{said}");
    repository.write("signatures/broken.sig", "no signature");
    let (status, said) = repository.pipeline(&["sign"]);
    assert!(status == 3 && said.contains("signatures/broken.sig was not taken") && said.contains("error: "), "{said}");

    for name in ["alice.key", "bob.key"] {
        repository.adamant(&["release", "sign", "build/release.json", "--key", name]);
    }
    let shape = "--key alice=alice.key --threshold 1 --expires 2100-01-01T00:00:00Z --out unsigned.json";
    repository.adamant(&[&["trust", "init"][..], &shape.split(' ').collect::<Vec<_>>()].concat());
    for (name, value, expected) in [
        ("TRUST_ROOT", "nope.json", "TRUST_ROOT names no file: nope.json"),
        ("TRUST_ROOT", "unsigned.json", "cannot be verified"),
        ("STORE", "nostore", "STORE names no directory: nostore"),
    ] {
        let mut repository = Repository { directory: directory.path().into(), environment: Vec::new() };
        repository.set(name, value);
        let (status, said) = repository.pipeline(&["sign"]);
        assert!(status == 1 && said.contains(expected), "{name}={value}: {status}: {said}");
        assert!(!said.contains("signatures are missing"), "{said}");
    }
    repository.set("STORE", "nostore");
    let (status, said) = repository.pipeline(&["diff"]);
    assert!(status == 1 && !said.contains("runs nothing yet"), "{status}: {said}");
}

/// The same commit gives the same release, whenever it is built; outside of git somebody has to say when it ends.
#[test]
fn the_expiry_comes_from_the_commit_and_not_from_the_day() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(directory.path());
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    repository.set("EXPIRES", "");
    repository.set("GIT_CEILING_DIRECTORIES", directory.path().parent().unwrap().to_str().unwrap());
    let (status, said) = repository.pipeline(&["build"]);
    assert!(status == 2 && said.contains("EXPIRES is not set"), "{status}: {said}");
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=tests", "-c", "user.email=tests@localhost"])
            .args(arguments)
            .current_dir(directory.path())
            .env("GIT_COMMITTER_DATE", "2090-01-01T12:00:00Z")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    git(&["add", "policy.toml"]);
    git(&["commit", "--quiet", "--message", "a policy"]);
    let (status, said) = repository.pipeline(&["build"]);
    assert!(status == 0 && said.contains("until 2090-04-01T00:00:00Z"), "{status}: {said}");
}

#[test]
fn each_stage_stops_what_it_is_there_to_stop() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(directory.path());
    repository.set("RELEASE_KEYS", "ci.key alice.key");
    let stopped = |repository: &Repository, expected: &str, next: &str| {
        let (status, said) = repository.pipeline(&[]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains(expected) && !said.contains(next), "{said}");
    };
    repository.write("policy.toml", "[policy]\nname = \"tests\"\nnonsense = 1\n");
    stopped(&repository, "nonsense", "== test");
    repository.write("policy.toml", &policy(&origin, "GET", "DELETE"));
    stopped(&repository, "anyone asks", "== diff");
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    assert_eq!(repository.pipeline(&[]).0, 0);
    repository.write("policy.toml", &policy(&origin, "GET POST", "GET"));
    repository.set("ALLOW_WIDER", "no");
    stopped(&repository, "ALLOW_WIDER", "== build");

    let (status, said) = repository.pipeline(&["deploy"]);
    assert!(status == 2 && said.contains("no stage deploy"), "{status}: {said}");
    repository.set("ADAMANT", "/nonexistent/adamant");
    let (status, said) = repository.pipeline(&[]);
    assert!(status == 2 && said.contains("put adamant into PATH"), "{status}: {said}");
    repository.set("ADAMANT", gateway::binary().to_str().unwrap());
    repository.set("STORE", "");
    let (status, said) = repository.pipeline(&["point"]);
    assert!(status == 2 && said.contains("STORE is not set"), "{status}: {said}");
}

/// A gateway that does not follow is found, and the pipeline does not end well.
#[test]
fn a_gateway_that_stays_behind_fails_the_status_stage() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(directory.path());
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    repository.set("RELEASE_KEYS", "ci.key alice.key");
    assert_eq!(repository.pipeline(&[]).0, 0);
    repository.set("GATEWAYS", "http://127.0.0.1:1");
    repository.set("WAIT_S", "1");
    repository.set("FLEET_CA", "ca.pem");
    let (status, said) = repository.pipeline(&["status"]);
    assert!(status == 2 && said.contains("FLEET_CERT is not set"), "{status}: {said}");
    repository.set("FLEET_CA", "");
    let (status, said) = repository.pipeline(&["status"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
}

/// The gateway.toml that the Terraform example renders is one that this version understands.
#[test]
fn the_terraform_example_places_a_configuration_that_is_understood() {
    let template = fs::read_to_string(packaging("terraform/gateway.toml.tftpl")).unwrap();
    let values = [
        ("${policy}", "tests"),
        ("${store}", "/srv/adamant"),
        ("${channel}", "production"),
        ("${activation}", "hot"),
        ("${listen}", "0.0.0.0:8443"),
        ("${status}", "0.0.0.0:9902"),
        ("${checkpoints}", "{ url = \"https://witness.example/gw1\", ca = \"tls/witness-ca.pem\" }"),
    ];
    let text = values.iter().fold(template, |text, (name, value)| text.replace(name, value));
    assert!(!text.contains("${"), "{text}");
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("tls")).unwrap();
    fs::write(directory.path().join("tls/witness-ca.pem"), Authority::new("witness").pem).unwrap();
    fs::write(directory.path().join("gateway.toml"), text.replace("/etc/adamant/", "").replace("/var/", "var/"))
        .unwrap();
    let (_, _, said) = gateway::run(&["run", "gateway.toml", "--check"], directory.path());
    // It goes on to the files, which are not here.
    assert!(said.contains("cannot be read") && !said.contains("gateway.toml:"), "{said}");
}

/// A channel that is not there is a first run; with a name near that of another it is a slip, unless that is denied.
#[test]
fn a_mistyped_channel_stops_the_pipeline() {
    let directory = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(directory.path());
    let origin = RecordingOrigin::start();
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    fs::create_dir_all(directory.path().join("store/channels/production")).unwrap();
    repository.set("CHANNEL", "prodction");
    let (code, said) = repository.pipeline(&["diff"]);
    assert!(code == 1 && said.contains("did you mean production?") && said.contains("--new-channel"), "{code}: {said}");
    repository.set("NEW_CHANNEL", "yes");
    let (code, said) = repository.pipeline(&["diff"]);
    assert!(code == 0 && said.contains("nothing to compare with"), "{code}: {said}");
}
