//! The kill switch: what is revoked holds no more within a second, without a new release, for what runs already too; nobody
//! takes it back by putting back files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tests::answer::{Answer, Content};
use tests::apikey::{ApiKey, hex};
use tests::certificates::{Authority, Identity};
use tests::client::{Client, get};
use tests::gateway::{self, Gateway};
use tests::process::eventually;
use tests::scene::bearer;
use tests::store::{Key, World, served, told};
use tests::tokens::{ISSUER, TokenKey, claims, jwks, now_s};

#[path = "revoke/behind.rs"]
mod behind;
#[path = "revoke/beside.rs"]
mod beside;
#[path = "revoke/clock.rs"]
mod clock;
#[path = "revoke/elsewhere.rs"]
mod elsewhere;
#[path = "revoke/forged.rs"]
mod forged;
#[path = "revoke/full.rs"]
mod full;
#[path = "revoke/kinds.rs"]
mod kinds;
#[path = "revoke/promptly.rs"]
mod promptly;
#[path = "revoke/running.rs"]
mod running;
#[path = "revoke/waiting.rs"]
mod waiting;

const HOST: &str = "api.test";
/// Longer than any of it takes on a busy machine; that it takes no longer than a second is for `promptly`.
const SOON: Duration = Duration::from_secs(60);

/// A gateway with agents of every kind: `bot` has an API key, `other` another one, `token-bot` and `token-other` tokens,
/// `cert-bot` and `cert-other` certificates; anybody may read `/open`.
struct Stage {
    world: World,
    running: Option<Gateway>,
    key: ApiKey,
    other_key: ApiKey,
    tokens: TokenKey,
    other_tokens: TokenKey,
    server: Authority,
    clients: Authority,
    cert_bot: Identity,
    cert_other: Identity,
    /// An origin behind TLS in the place of the world's own.
    held: Option<SocketAddr>,
    /// The client CA has a revocation list of its own, `clients.crl`.
    crl: bool,
}

impl Stage {
    fn new() -> Self {
        let mut stage = Self::with("");
        stage.begin();
        stage
    }

    /// With more of `gateway.toml`; not begun yet.
    fn with(more: &str) -> Self {
        let server = Authority::new("server CA");
        let clients = Authority::new("clients CA");
        let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \
                        \"server.key\" }], client_certificates = \"optional\" }";
        let world = World::with("hot", &format!("{listener}\n{more}"));
        let identity = server.server(&[HOST]);
        world.write("server.pem", identity.certificate.as_bytes());
        world.write("server.key", identity.key.as_bytes());
        private(&world.path("server.key"));
        for number in [1, 2] {
            let name = format!("{number}.key");
            world.write(&name, Key::file(number).as_bytes());
            private(&world.path(&name));
        }
        Self {
            key: ApiKey::new("reports-1"),
            other_key: ApiKey::new("reports-2"),
            tokens: TokenKey::generate("ES256", "k1"),
            other_tokens: TokenKey::generate("ES256", "k2"),
            cert_bot: clients.spiffe("spiffe://corp.test/bot"),
            cert_other: clients.spiffe("spiffe://corp.test/other"),
            server,
            clients,
            world,
            running: None,
            held: None,
            crl: false,
        }
    }

    fn begin(&mut self) {
        self.world.write("corp.jwks.json", jwks(&[&self.tokens, &self.other_tokens]).as_bytes());
        self.world.write("clients.pem", self.clients.pem.as_bytes());
        self.world.write("cert-bot.pem", self.cert_bot.certificate.as_bytes());
        let release = self.world.build(1, &self.policy());
        self.world.publish(1, &release);
        self.world.origin.answer_with(|head, _| answer(&head.target_text()));
        self.running = Some(self.world.start());
    }

    fn policy(&self) -> tests::policy::PolicyText {
        let certificate = |name: &str| format!("{{ certificate = \"spiffe://corp.test/{name}\", ca = \"clients\" }}");
        let token = |name: &str| format!("{{ token = {{ issuer = \"corp\", subject = \"{name}\" }} }}");
        let tls = "tls = { ca = { file = \"server-ca.pem\" }, server_name = \"origin.test\" }";
        let policy = tests::policy::PolicyText::new();
        let policy = match self.held {
            Some(held) => policy.origin_with("origin", &[held], tls),
            None => policy.origin("origin", &[self.world.origin.address()]),
        };
        policy
            .route("all", "*", "/{rest...}", "origin")
            .route("open", "GET", "/open", "origin")
            .scope("all", &["all", "open"])
            .scope("open", &["open"])
            .issuer(&["ES256"], "")
            .client_ca("clients", "clients.pem")
            .with(if self.crl { "crl = { watch = \"clients.crl\" }" } else { "" })
            .agent("bot", "{ api_key = [\"reports-1\"] }", &["all"], &[])
            .agent("other", "{ api_key = [\"reports-2\"] }", &["all"], &[])
            .agent("token-bot", &token("token-bot"), &["all"], &[])
            .agent("token-other", &token("token-other"), &["all"], &[])
            .agent("cert-bot", &certificate("bot"), &["all"], &[])
            .agent("cert-other", &certificate("other"), &["all"], &[])
            .agent("staff", "{ token = { issuer = \"corp\", subject = \"*\" } }", &["all"], &[])
            .anonymous(&["open"], &[])
            .api_key(&self.key, "")
            .api_key(&self.other_key, "")
    }

    fn gateway(&self) -> &Gateway {
        self.running.as_ref().unwrap()
    }

    /// Ends it and starts it again.
    fn restart(&mut self) {
        self.stop();
        self.running = Some(self.world.start());
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.signal("TERM");
            assert!(running.wait(SOON).is_some());
        }
    }

    /// `adamant revoke` with these arguments; what it said.
    fn try_revoke(&self, arguments: &[&str]) -> (bool, String) {
        let place = ["revoke", "--store", "store", "--channel", "production", "--trust-root", "root.json"];
        let (status, stdout, stderr) = gateway::run(&[&place, arguments].concat(), self.world.home());
        (status.success(), format!("{stdout}{stderr}"))
    }

    /// By the key of role `revocation`.
    fn revoke(&self, arguments: &[&str]) -> String {
        let (done, said) = self.try_revoke(&[arguments, &["--key", "1.key"]].concat());
        assert!(done, "{arguments:?}: {said}");
        said
    }

    fn list_path(&self) -> PathBuf {
        self.world.path("store/channels/production/revocations.json")
    }

    /// Serial of the list in force.
    fn serial(&self) -> u64 {
        told(self.gateway())["revocations"]["serial"].as_u64().unwrap_or(0)
    }

    fn wait_for_serial(&self, serial: u64) {
        assert!(eventually(SOON, || self.serial() == serial), "{}", told(self.gateway()));
    }

    fn with_key(&self, key: &ApiKey) -> String {
        get("/x", &format!("X-API-Key: {}\r\n", key.text))
    }

    fn token(&self, key: &TokenKey, subject: &str, jti: &str) -> String {
        let mut claims = claims(subject);
        claims["jti"] = json!(jti);
        get("/x", &bearer(&key.sign(&claims)))
    }

    fn tls(&self, identity: &Identity) -> Arc<ClientConfig> {
        self.server.client_config(Some(identity))
    }

    fn connect(&self, config: &Arc<ClientConfig>) -> Client {
        Client::connect_tls(self.gateway().tls_address(), HOST, config).unwrap()
    }

    /// Records of kind `revocations` with this outcome.
    fn outcomes(&self, outcome: &str) -> Vec<Value> {
        let text = self.gateway().record_text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["adamant.kind"] == "revocations" && line["adamant.outcome"] == outcome).collect()
    }
}

fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A stream that does not end by itself while a test runs, or a word.
fn answer(target: &str) -> Answer {
    if target != "/slow" {
        return Answer::text("ok");
    }
    let (chunks, pause) = (vec![b"piece".to_vec(); 6_000], Duration::from_millis(50));
    Answer::new(200).with_content(Content::Chunked { chunks, trailers: Vec::new(), pause })
}
