//! All that the gateway is known by elsewhere, as credentials of systemd: `$CREDENTIALS_DIRECTORY` is what a unit gets of it.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tests::gateway::binary;
use tests::issuer::{HttpsIssuer, Reply};
use tests::scene::bearer;
use tests::tokens::{AUDIENCE, ISSUER, now_s};

use super::*;

const KV: &str = "/v1/kv/data/orders";
const ASKED: &str = "/introspect";

struct Unit {
    issuer: HttpsIssuer,
    origins: Authority,
    clients: Authority,
    plain: RecordingOrigin,
    mutual: RecordingOrigin,
    credentials: tempfile::TempDir,
}

impl Unit {
    fn new() -> Self {
        let (origins, clients, issuer) =
            (Authority::new("origin CA"), Authority::new("gateway CA"), HttpsIssuer::start());
        let secret = json!({ "data": { "data": { "key": "of-kv-0123456789" }, "metadata": { "version": 1 } } });
        issuer.say(KV, Reply::json(&secret.to_string()));
        let active = json!({
            "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "bot", "exp": now_s() + 600, "iat": now_s() - 5,
        });
        issuer.say(ASKED, Reply::json(&active.to_string()));
        let server = origins.server(&["origin.test"]).server_config_for(&clients);
        let mutual = RecordingOrigin::tls(server, |_, _| Answer::text("ok"));
        let credentials = tempfile::tempdir().unwrap();
        let unit = Self { issuer, origins, clients, plain: RecordingOrigin::start(), mutual, credentials };
        unit.put(1);
        unit
    }

    /// Every credential anew, as systemd lays them there; the number is in each secret.
    fn put(&self, number: usize) {
        let identity = self.clients.spiffe("spiffe://corp.test/edge");
        for (name, text) in [
            ("orders", format!("orders-{number}-0123456789\n")),
            ("bao-token", format!("bao-{number}-0123456789\n")),
            ("asker", format!("asker-{number}-0123456789\n")),
            ("key", identity.key),
            ("chain", identity.certificate),
        ] {
            // As stat shows the access control list that systemd sets.
            replace(self.credentials.path(), name, &text, 0o440);
        }
    }

    fn policy(&self) -> String {
        let tls = "tls = { ca = { file = \"origins.pem\" }, server_name = \"origin.test\", identity = \"edge\" }";
        let plain = [self.plain.address()];
        PolicyText::new()
            .origin_with("orders", &plain, "credentials = { from = \"orders\", header = \"X-Origin-Key\" }")
            .origin_with("kv", &plain, "credentials = { from = \"kv\", header = \"X-Kv-Key\" }")
            .origin_with("mutual", &[self.mutual.address()], tls)
            .route("orders", "GET", "/orders", "orders")
            .route("kv", "GET", "/kv", "kv")
            .route("mutual", "GET", "/mutual", "mutual")
            .scope("all", &["orders", "kv", "mutual"])
            .with(&format!(
                "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nintrospection = {{ url = \
                 \"{}\", ca = {{ file = \"id-ca.pem\" }}, client = \"edge\", cache = \"1s\" }}",
                self.issuer.url(ASKED)
            ))
            .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[])
            .text()
    }

    fn deployment(&self) -> Deployment {
        Deployment::new()
            .file("origins.pem", &self.origins.pem)
            .file("id-ca.pem", &self.issuer.ca)
            .with("[[origin_credential]]\nname = \"orders\"\nfile = \"credential:orders\"")
            .with(&format!(
                "[[origin_credential]]\nname = \"kv\"\n[origin_credential.openbao]\naddress = \"{}\"\nca = \"id-ca.pem\"\ntoken \
                 = \"credential:bao-token\"\nmount = \"kv\"\npath = \"orders\"\nfield = \"key\"\nrefresh = \"1s\"",
                self.issuer.url("")
            ))
            .with("[[origin_identity]]\nname = \"edge\"\nchain = \"credential:chain\"\nkey = \"credential:key\"")
            .with("[[introspection_client]]\nname = \"edge\"\nid = \"edge\"\nsecret = \"credential:asker\"")
            .prepare(&self.policy())
    }

    fn start(&self, has_directory: bool) -> Result<Gateway, String> {
        let mut command = Command::new(binary());
        command.args(["run", "gateway.toml", "--print-addresses", "addresses.json"]).stdin(Stdio::null());
        match has_directory {
            true => command.env("CREDENTIALS_DIRECTORY", self.credentials.path()),
            false => command.env_remove("CREDENTIALS_DIRECTORY"),
        };
        self.deployment().start(command)
    }

    /// What those elsewhere were shown last: origin, KV engine, issuer.
    fn shown(&self) -> [String; 3] {
        let requests = self.plain.requests();
        let of_origin = requests.iter().rev().find_map(|request| request.value("X-Origin-Key").map(str::to_owned));
        let field = |head: String, name: &str| {
            let line =
                head.lines().find_map(|line| Some(line.split_once(": ")?).filter(|of| of.0.eq_ignore_ascii_case(name)));
            line.map(|of| of.1.to_owned()).unwrap_or_default()
        };
        let of_issuer = field(self.issuer.last_head(ASKED), "Authorization");
        let of_issuer = STANDARD.decode(of_issuer.trim_start_matches("Basic ")).unwrap();
        let of_kv = field(self.issuer.last_head(KV), "X-Vault-Token");
        [of_origin.unwrap_or_default(), of_kv, String::from_utf8(of_issuer).unwrap()]
    }
}

#[test]
fn every_credential_can_be_one_of_systemd_and_rotates_there() {
    let unit = Unit::new();
    let refused = unit.start(false).err().unwrap();
    assert!(refused.contains("$CREDENTIALS_DIRECTORY") && refused.contains("LoadCredential="), "{refused}");
    // None of them is a wish: each that is missing is named, and nothing is served without it.
    for name in ["orders", "bao-token", "asker", "key", "chain"] {
        let path = unit.credentials.path().join(name);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let refused = unit.start(true).err().unwrap_or_else(|| panic!("it starts without {name}"));
        // What stands in the place of a token or a secret is shown nowhere: it could be the secret itself.
        let told = [path.display().to_string(), "names cannot be read".to_owned()];
        assert!(told.iter().any(|told| refused.contains(told)), "{name}: {refused}");
        replace(unit.credentials.path(), name, std::str::from_utf8(&kept).unwrap(), 0o440);
    }
    let gateway = unit.start(true).unwrap();
    let ask = |path: &str| gateway.once(get(path, &format!("{}Connection: close\r\n", bearer("opaque")))).status;
    let serves = || ["/orders", "/kv", "/mutual"].iter().all(|path| ask(path) == 200);
    for number in 1..=3 {
        if number > 1 {
            unit.put(number);
        }
        let expected = [
            format!("orders-{number}-0123456789"),
            format!("bao-{number}-0123456789"),
            format!("edge:asker-{number}-0123456789"),
        ];
        assert!(
            eventually(2 * SOON, || serves() && unit.shown() == expected),
            "{:?} {}",
            unit.shown(),
            gateway.stderr()
        );
        let taken = |of: &str| {
            let text = gateway.record_text();
            text.lines().filter(|line| line.contains(of) && line.contains("\"taken\"")).count()
        };
        let on_record = || taken("\"origin-identity\"") + 1 >= number && taken("\"origin-credential\"") + 1 >= number;
        assert!(eventually(2 * SOON, on_record), "{number}: {}", gateway.record_text());
    }
    assert!(unit.plain.requests().iter().any(|request| request.value("X-Kv-Key") == Some("of-kv-0123456789")));
    let told = gateway.stderr() + &gateway.record_text();
    assert!(!told.contains("0123456789"), "none is shown: {told}");
}
