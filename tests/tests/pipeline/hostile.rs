//! A pipeline whose store somebody else writes to, and who holds at most one key: nothing that he puts there decides what
//! the pipeline lets through.

use std::os::unix::fs::symlink;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::store::{Key, digest_of, envelope, payload_of};

use super::*;

/// The highest version (RFC 7493 §2.2).
const HIGHEST: u64 = (1 << 53) - 1;

impl Repository {
    /// A channel that runs version 1, which permits GET, and a pipeline that may not widen.
    fn running(directory: &Path, origin: &RecordingOrigin) -> Self {
        let mut own = Self::new(directory);
        own.write("policy.toml", &policy(origin, "GET HEAD", "GET"));
        own.set("RELEASE_KEYS", "ci.key alice.key");
        let (status, said) = own.pipeline(&[]);
        assert_eq!(status, 0, "{said}");
        own.set("ALLOW_WIDER", "no");
        own
    }

    fn stopped(&self, stages: &[&str], expected: &str) {
        let (status, said) = self.pipeline(stages);
        assert!(status == 1 && said.contains(expected), "{expected}: {status}: {said}");
    }

    fn live(&self) -> PathBuf {
        let pointer: Value = serde_json::from_slice(&payload_of(&self.pointer())).unwrap();
        self.stored(pointer["release"].as_str().unwrap())
    }

    fn stored(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("store/releases/{}.json", digest.replace(':', "-")))
    }

    /// Puts a release of the policy source into the store, signed by these keys, with another version.
    fn plant(&self, version: u64, keys: &[&str]) -> PathBuf {
        let version = version.to_string();
        self.adamant(&[
            "release",
            "build",
            "policy.toml",
            "--version",
            &version,
            "--expires",
            END,
            "--out",
            "planted.json",
            "--force",
        ]);
        for key in keys {
            self.adamant(&["release", "sign", "planted.json", "--key", key]);
        }
        let bytes = fs::read(self.directory.join("planted.json")).unwrap();
        let path = self.stored(&digest_of(&payload_of(&bytes)));
        fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn who_writes_to_the_store_does_not_choose_what_a_change_is_compared_with() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let mut repository = Repository::running(directory.path(), &origin);
    let (live, pointer_file) = (repository.live(), directory.path().join("store/channels/production/pointer.json"));
    let (good, pointer) = (fs::read(&live).unwrap(), repository.pointer());
    repository.write("policy.toml", &policy(&origin, "GET POST DELETE", "DELETE"));
    repository.stopped(&["diff"], "ALLOW_WIDER");

    // In the place of the live release the wider one, unsigned; nothing at all; a pipe.
    let planted = repository.plant(7, &[]);
    let instead = fs::read(&planted).unwrap();
    fs::write(&live, &instead).unwrap();
    repository.stopped(&["diff"], "ALLOW_WIDER");
    repository.stopped(&["build", "sign", "point"], "ALLOW_WIDER");
    fs::remove_file(&live).unwrap();
    repository.stopped(&["diff"], "ALLOW_WIDER");
    assert!(Command::new("mkfifo").arg(&live).status().unwrap().success());
    repository.stopped(&["diff"], "ALLOW_WIDER");
    fs::remove_file(&live).unwrap();
    fs::write(&live, &good).unwrap();

    // A pointer at it, by somebody's own key; by the pointer key; none.
    let release = digest_of(&payload_of(&instead));
    let forged = tests::store::pointer_payload("tests", "production", &release, 2, END);
    fs::write(&pointer_file, envelope("pointer", &forged, &[9])).unwrap();
    repository.stopped(&["diff"], "cannot be verified");
    fs::write(&pointer_file, &pointer).unwrap();
    let point =
        "point --store store --channel production --trust-root root.json --below-threshold --key ci.key --release";
    repository.adamant(&["release", "sign", "planted.json", "--key", "bob.key"]);
    repository.adamant(&[&point.split(' ').collect::<Vec<_>>()[..], &["planted.json"]].concat());
    let (status, said) = repository.pipeline(&["diff"]);
    assert!(status == 1 && said.contains("ALLOW_WIDER") && said.contains("lacks signatures"), "{said}");
    fs::remove_file(&live).unwrap();
    repository.stopped(&["diff"], "release-narrower alone signed");
    fs::write(&live, &good).unwrap();
    fs::remove_file(&pointer_file).unwrap();
    repository.stopped(&["diff"], "ALLOW_WIDER");
    fs::write(&pointer_file, &pointer).unwrap();

    // What was compared, and what is pointed at later, are two moments.
    repository.set("ALLOW_WIDER", "yes");
    assert_eq!(repository.pipeline(&["diff", "build", "sign"]).0, 0);
    repository.set("ALLOW_WIDER", "no");
    repository.stopped(&["point"], "ALLOW_WIDER");
    assert_eq!(repository.pointer(), pointer);
    repository.set("SERIAL_MIN", "2");
    repository.stopped(&["diff"], "an older one was put back");
    repository.set("SERIAL_MIN", "1");
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    let (status, said) = repository.pipeline(&[]);
    assert!(status == 0 && said.contains("== build version 8,"), "{status}: {said}");

    // The signatures of what is live taken away, so that the wider release before it would be compared with.
    let live = repository.live();
    let mut unsigned: serde_json::Value = serde_json::from_slice(&fs::read(&live).unwrap()).unwrap();
    unsigned["signatures"] = serde_json::json!([]);
    fs::write(&live, serde_json::to_vec(&unsigned).unwrap()).unwrap();
    repository.write("policy.toml", &policy(&origin, "GET POST", "GET"));
    repository.stopped(&["diff", "build", "sign", "point"], "lacks signatures");
}

#[test]
fn an_expired_pointer_is_told_and_compared_with() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::running(directory.path(), &origin);
    let soon = Command::new("date").args(["-u", "-d", "8 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap().stdout;
    let soon = String::from_utf8(soon).unwrap();
    let point =
        "point --store store --channel production --trust-root root.json --release current --key ci.key --expires";
    repository.adamant(&[&point.split(' ').collect::<Vec<_>>()[..], &[soon.trim()]].concat());
    std::thread::sleep(std::time::Duration::from_millis(8_100));
    repository.write("policy.toml", &policy(&origin, "GET POST", "POST"));
    let (status, said) = repository.pipeline(&["diff"]);
    assert!(status == 1 && said.contains("ALLOW_WIDER") && said.contains("expired at"), "{status}: {said}");
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    let (status, said) = repository.pipeline(&[]);
    assert!(status == 0 && said.contains("expired at"), "{status}: {said}");
}

#[test]
fn planted_releases_use_up_no_versions_and_links_lead_nowhere() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::running(directory.path(), &origin);
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    // Nobody signed it; one who may only take away; the same, as near as gateways would take it.
    for (version, keys, next) in
        [(HIGHEST, &[][..], "2"), (HIGHEST, &["ci.key"], "2"), (1_000_000, &["ci.key"], "1000001")]
    {
        let planted = repository.plant(version, keys);
        let (status, said) = repository.pipeline(&["build"]);
        assert!(status == 0 && said.contains(&format!("== build version {next},")), "{version} {keys:?}: {said}");
        fs::remove_file(planted).unwrap();
    }
    fs::create_dir(repository.stored(&digest_of(b"a directory"))).unwrap();
    symlink("/dev/zero", repository.stored(&digest_of(b"a link"))).unwrap();
    let (status, said) = repository.pipeline(&["diff", "build", "sign"]);
    assert!(status == 0 && said.contains("== build version 2,"), "{status}: {said}");

    let release = fs::read(directory.path().join("build/release.json")).unwrap();
    let outside = directory.path().join("outside");
    fs::write(&outside, "as it was").unwrap();
    let name = format!("{}.json", digest_of(&payload_of(&release)).replace(':', "-"));
    let link = directory.path().join("store/provenance").join(name);
    symlink(&outside, &link).unwrap();
    repository.stopped(&["point"], "link");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "as it was");
    fs::remove_file(link).unwrap();
    assert_eq!(repository.pipeline(&["point"]).0, 0);
}

/// A statement is believed for its signature; what it says still has to be what a build gives.
#[test]
fn a_statement_that_cases_failed_does_not_verify() {
    let origin = RecordingOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::new(directory.path());
    repository.write("policy.toml", &policy(&origin, "GET", "GET"));
    repository.write("one.key", &Key::file(1));
    let line = |line: &str| repository.adamant(&line.split(' ').collect::<Vec<_>>());
    line(&format!("trust init --key one=one.key --threshold 1 --expires {END} --out one.json"));
    line("trust sign one.json --key one.key");
    line(&format!("release build policy.toml --version 1 --expires {END} --out release.json"));
    line("release sign release.json --key one.key");
    line("release provenance release.json --source policy.toml --key one.key -o good.json");
    let verify = "release verify release.json --trust-root one.json --provenance";
    assert!(line(&format!("{verify} good.json")).contains("1 of 1 test case passed"));

    let good = fs::read(directory.path().join("good.json")).unwrap();
    let text = String::from_utf8(payload_of(&good)).unwrap();
    for (cases, passed) in [(1, 0), (0, 0), (5, 0), (5, 5)] {
        let payload = text.replace("\"cases\":1", &format!("\"cases\":{cases}"));
        let payload = payload.replace("\"passed\":1", &format!("\"passed\":{passed}")).into_bytes();
        assert_ne!(payload, text.as_bytes());
        let signature = Key::new(1).signature_of("application/vnd.in-toto+json", &payload);
        let statement = json!({
            "payload": STANDARD.encode(&payload), "payloadType": "application/vnd.in-toto+json", "signatures": [signature],
        });
        repository.write("bad.json", &statement.to_string());
        let arguments = format!("{verify} bad.json");
        let (status, _, said) = gateway::run(&arguments.split(' ').collect::<Vec<_>>(), directory.path());
        assert_eq!(status.code(), Some(1), "{said}");
        let expected =
            format!("expected that the 1 test case of the release passed, found {passed} of {cases} test case");
        assert!(said.contains(&expected), "{said}");
    }
}
