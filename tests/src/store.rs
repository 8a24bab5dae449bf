//! A store, and gateways that follow it. Releases are built by the real commands; signatures, pointers and trust roots are
//! made here byte by byte, so that they can also be wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::gateway::{self, Gateway};
use crate::origin::RecordingOrigin;
use crate::policy::PolicyText;

pub const CHANNEL: &str = "production";
pub const ISSUED: &str = "2026-01-01T00:00:00Z";
pub const END: &str = "2100-01-01T00:00:00Z";

/// DSSE payload types, by what they are called here.
fn payload_type(kind: &str) -> String {
    format!("application/vnd.adamant.{kind}.v1+json")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sha256:…` over the bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(digest(&SHA256, bytes).as_ref()))
}

/// A signing key that is the same one each time.
pub struct Key {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl Key {
    pub fn new(number: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("32 bytes are a seed");
        let public = pair.public_key().as_ref().try_into().expect("a public key has 32 bytes");
        Self { pair, public }
    }

    /// SHA-256 over the SubjectPublicKeyInfo (RFC 8410).
    pub fn id(&self) -> String {
        let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        hex(digest(&SHA256, &[&prefix[..], &self.public].concat()).as_ref())
    }

    /// The file of the key, as `adamant key signer --no-passphrase` writes it (PKCS#8, RFC 8410).
    pub fn file(number: u8) -> String {
        let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let der = STANDARD.encode([&prefix[..], &[number; 32]].concat());
        format!("{}\n-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n", Self::new(number).public())
    }

    fn public(&self) -> String {
        format!("adamant-ed25519:{}", STANDARD.encode(self.public))
    }

    fn signature(&self, kind: &str, payload: &[u8]) -> Value {
        self.signature_of(&payload_type(kind), payload)
    }

    /// As it stands in a DSSE envelope of that payload type.
    pub fn signature_of(&self, payload_type: &str, payload: &[u8]) -> Value {
        let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
        let signature = self.pair.sign(&[head.as_bytes(), payload].concat());
        json!({ "keyid": self.id(), "sig": STANDARD.encode(signature.as_ref()) })
    }
}

/// A DSSE envelope of `kind` (`release`, `pointer`, `trust-root`), signed by the keys of these numbers.
pub fn envelope(kind: &str, payload: &[u8], by: &[u8]) -> Vec<u8> {
    let signatures = by.iter().map(|number| Key::new(*number).signature(kind, payload)).collect();
    envelope_with(kind, payload, signatures)
}

pub fn envelope_with(kind: &str, payload: &[u8], signatures: Vec<Value>) -> Vec<u8> {
    let payload = STANDARD.encode(payload);
    json!({ "payload": payload, "payloadType": payload_type(kind), "signatures": signatures }).to_string().into_bytes()
}

/// The payload of an envelope.
pub fn payload_of(envelope: &[u8]) -> Vec<u8> {
    let envelope: Value = serde_json::from_slice(envelope).expect("an envelope is JSON");
    STANDARD.decode(envelope["payload"].as_str().expect("it has a payload")).expect("in base64")
}

/// A trust root: keys 1 and 2 release narrower, two of 1, 2 and 3 wider, 4 points, 3 signs key sets; two of `root_keys` make the next root.
pub fn root_payload(version: u64, expires: &str, root_keys: &[u8]) -> Vec<u8> {
    let mut numbers: Vec<u8> = [&[1, 2, 3, 4], root_keys].concat();
    numbers.sort_unstable();
    numbers.dedup();
    let mut keys: Vec<(String, u8)> = numbers.iter().map(|number| (Key::new(*number).id(), *number)).collect();
    keys.sort();
    let shown = |(id, number): &(String, u8)| json!({ "id": id, "owner": format!("owner-{number}"), "public_key": Key::new(*number).public() });
    let role = |numbers: &[u8], threshold: u32| {
        let mut ids: Vec<String> = numbers.iter().map(|number| Key::new(*number).id()).collect();
        ids.sort();
        json!({ "keys": ids, "threshold": threshold })
    };
    let root = json!({
        "type": "adamant.trust-root.v1",
        "version": version,
        "expires": expires,
        "keys": keys.iter().map(shown).collect::<Vec<_>>(),
        "roles": {
            "keys": role(&[3], 1), "pointer": role(&[4], 1), "release-narrower": role(&[1, 2], 1), "release-wider": role(&[1, 2, 3], 2),
            "revocation": role(&[1], 1), "root": role(root_keys, 2),
        },
    });
    root.to_string().into_bytes()
}

/// A pointer, whoever signs it.
pub fn pointer_payload(policy: &str, channel: &str, release: &str, serial: u64, expires: &str) -> Vec<u8> {
    let pointer = json!({
        "type": "adamant.pointer.v1", "policy_name": policy, "channel": channel, "release": release, "serial": serial,
        "issued": ISSUED, "expires": expires,
    });
    pointer.to_string().into_bytes()
}

/// A built release without its signatures.
#[derive(Clone, Debug)]
pub struct Built {
    pub payload: Vec<u8>,
    pub digest: String,
}

/// A directory with everything: `root.json`, `gateway.toml`, `store/`, `state/`, and an origin.
pub struct World {
    home: tempfile::TempDir,
    pub origin: RecordingOrigin,
    more: String,
    temporary: AtomicU64,
}

impl World {
    /// A store with a trust root and nothing in it; `activation` is `hot` or `restart`.
    pub fn new(activation: &str) -> Self {
        Self::with(activation, "")
    }

    /// With more tables of `gateway.toml`.
    pub fn with(activation: &str, more: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let more = more.to_owned();
        let world = Self { home, origin: RecordingOrigin::start(), more, temporary: AtomicU64::new(0) };
        for folder in ["store/releases", "store/roots", "store/channels/production"] {
            fs::create_dir_all(world.path(folder)).expect("a store can be made");
        }
        world.write("root.json", &envelope("trust-root", &root_payload(1, END, &[1, 2, 3]), &[1, 2]));
        world.configure(&format!("store = \"store\"\nchannel = \"{CHANNEL}\"\nactivation = \"{activation}\""));
        world
    }

    /// Writes `gateway.toml` with these lines under `[gateway]`, beside policy, state and trust root.
    pub fn configure(&self, lines: &str) {
        let text = format!(
            "[gateway]\npolicy = \"tests\"\nstate = \"state\"\ntrust_root = \"root.json\"\n{lines}\n\n[workers]\ncores = \
             [0]\n\n[[listener]]\naddress = \"127.0.0.1:0\"\n\n[admin]\naddress = \"127.0.0.1:0\"\n\n[records]\nto = \
             \"records.jsonl\"\n{}",
            self.more
        );
        self.write("gateway.toml", text.as_bytes());
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The file of a release in the store.
    pub fn release_path(&self, digest: &str) -> PathBuf {
        self.path(&format!("store/releases/{}.json", digest.replace(':', "-")))
    }

    pub fn pointer_path(&self) -> PathBuf {
        self.path("store/channels/production/pointer.json")
    }

    /// Replaces a file whole, as careful writers do.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        self.replace(&self.path(name), bytes);
    }

    pub fn replace(&self, path: &Path, bytes: &[u8]) {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let new = path.with_file_name(format!(".new-{number}"));
        fs::write(&new, bytes).expect("a file can be written");
        fs::rename(&new, path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Builds a release of `policy` by the real command.
    pub fn build(&self, version: u64, policy: &PolicyText) -> Built {
        self.build_until(version, policy, END)
    }

    pub fn build_until(&self, version: u64, policy: &PolicyText, expires: &str) -> Built {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let (source, out) = (format!("policy-{number}.toml"), format!("release-{number}.json"));
        self.write(&source, policy.text().as_bytes());
        let version = version.to_string();
        let arguments = [
            "release",
            "build",
            &source,
            "--version",
            &version,
            "--expires",
            expires,
            "--out",
            &out,
            "--already-expired",
        ];
        let (status, stdout, stderr) = gateway::run(&arguments, self.home());
        assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
        let payload = payload_of(&fs::read(self.path(&out)).expect("it was written"));
        Built { digest: digest_of(&payload), payload }
    }

    /// Anonymous callers may `GET` these paths.
    pub fn policy(&self, paths: &[&str]) -> PolicyText {
        let mut policy = PolicyText::new().origin("origin", &[self.origin.address()]);
        let names: Vec<String> = (0..paths.len()).map(|number| format!("r{number}")).collect();
        for (name, path) in names.iter().zip(paths) {
            policy = policy.route(name, "GET", path, "origin");
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        policy.scope("all", &names).anonymous(&["all"], &[])
    }

    /// Puts a release into the store, signed by these keys.
    pub fn put_release(&self, built: &Built, by: &[u8]) {
        self.replace(&self.release_path(&built.digest), &envelope("release", &built.payload, by));
    }

    /// Points the channel at a release, until [`END`].
    pub fn point(&self, serial: u64, digest: &str) {
        self.point_until(serial, digest, END);
    }

    pub fn point_until(&self, serial: u64, digest: &str, expires: &str) {
        let payload = pointer_payload("tests", CHANNEL, digest, serial, expires);
        self.replace(&self.pointer_path(), &envelope("pointer", &payload, &[4]));
    }

    /// As [`World::point`], by a pointer that may also lead back to what allows more.
    pub fn point_anywhere(&self, serial: u64, digest: &str) {
        let payload = pointer_payload("tests", CHANNEL, digest, serial, END);
        self.replace(&self.pointer_path(), &envelope("pointer", &payload, &[4, 1, 2]));
    }

    /// Release and pointer at once, signed by enough for everything.
    pub fn publish(&self, serial: u64, built: &Built) {
        self.put_release(built, &[1, 2]);
        self.point(serial, &built.digest);
    }

    /// Starts a gateway; what it said where it refused.
    pub fn try_start(&self) -> Result<Gateway, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let configuration = self.path("gateway.toml");
        let configuration = configuration.to_str().expect("a path of plain characters");
        Gateway::start(directory, &["run", configuration], Some(self.path("records.jsonl")))
    }

    pub fn start(&self) -> Gateway {
        self.try_start().unwrap_or_else(|why| panic!("{why}"))
    }

    /// `adamant run --check`.
    pub fn check(&self) -> (ExitStatus, String, String) {
        gateway::run(&["run", "gateway.toml", "--check"], self.home())
    }
}

/// What a gateway says that it serves.
pub fn told(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.admin("/release").text()).expect("/release is JSON")
}

/// The digest of the release that it serves.
pub fn served(gateway: &Gateway) -> String {
    told(gateway)["release"].as_str().expect("it serves one").to_owned()
}
