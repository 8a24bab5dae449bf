//! The demo's files, in a temporary directory that goes with it: a CA, an agent's certificate, tokens, an API key, the
//! policy, a signed release, and the gateway's configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use identity::api_key;
use serde_json::json;
use tempfile::TempDir;

use super::pki::{Authority, TokenIssuer};
use super::telling::Telling;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};

/// Names in the policy below.
const SPIFFE: &str = "spiffe://demo.example/reports";

/// Where everything of the demo lies.
pub struct World {
    directory: TempDir,
}

impl World {
    /// Makes the files, and tells how.
    pub fn make(telling: &mut Telling<'_>, origin: SocketAddr) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("adamant-demo-").tempdir();
        let directory = directory.map_err(|error| Failure::new(format_args!("no temporary directory: {error}")))?;
        let world = Self { directory };
        world.credentials(origin)?;
        telling.chapter("A policy is written, built into a release, and signed")?;
        telling.note(&format!("everything lies in {}", world.path("").display()))?;
        telling.file("policy.toml", &world.read("policy.toml")?)?;
        let expires = "2099-01-01T00:00:00Z";
        for arguments in [
            &["check", "policy.toml"][..],
            &["test", "policy.toml"],
            &["key", "signer", "--out", "alice.key", "--no-passphrase"],
            &[
                "trust",
                "init",
                "--key",
                "alice=alice.key",
                "--threshold",
                "1",
                "--expires",
                expires,
                "--out",
                "root.json",
            ],
            &["trust", "sign", "root.json", "--key", "alice.key"],
            &["release", "build", "policy.toml", "--version", "1", "--expires", expires, "-o", "release.json"],
            &["release", "sign", "release.json", "--key", "alice.key"],
            &["release", "verify", "release.json", "--trust-root", "root.json"],
        ] {
            world.command(telling, arguments)?;
        }
        Ok(world)
    }

    /// A file of the demo.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.path(name);
        std::fs::read_to_string(&path).map_err(|error| Failure::at(&path, error))
    }

    pub fn write(&self, name: &str, text: &str, access: Access) -> Result<(), Failure> {
        Ok(files::write(&self.path(name), text.as_bytes(), access, Existing::Replace)?)
    }

    /// Runs a command of this binary, and tells what it said.
    fn command(&self, telling: &mut Telling<'_>, arguments: &[&str]) -> Result<(), Failure> {
        let output =
            program()?.args(arguments).current_dir(self.directory.path()).output().map_err(|error| {
                Failure::new(format_args!("adamant {} did not start: {error}", arguments.join(" ")))
            })?;
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat();
        telling.command(&arguments.join(" "), &said)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(format_args!("adamant {} failed ({})", arguments.join(" "), output.status)))
    }

    fn credentials(&self, origin: SocketAddr) -> Result<(), Failure> {
        let (servers, agents) = (Authority::new("demo servers")?, Authority::new("demo agents")?);
        let (server, agent) = (servers.server()?, agents.agent("reports-bot", SPIFFE)?);
        let issuer = TokenIssuer::new()?;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let token = |subject: &str, scope: &str, expires_s: u64| {
            issuer
                .token(&json!({ "iss": "https://id.demo.example", "aud": "orders-api", "sub": subject, "scope": scope,
                "iat": now_s.min(expires_s), "exp": expires_s }))
        };
        let good = token("reports-bot", "orders:read", now_s + 86_400)?;
        let narrow = token("reports-bot", "profile", now_s + 86_400)?;
        let expired = token("reports-bot", "orders:read", now_s - 60)?;
        let forged = forge(&good);
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Failure::new(format_args!("no randomness: {error}")))?;
        let key = api_key::generate("ci-1", random).map_err(Failure::new)?;
        let digest: String = api_key::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let bearer = |token: &str| format!("Authorization: Bearer {token}\n");
        for (name, text, access) in [
            ("servers-ca.pem", servers.certificate.as_str(), Access::Everyone),
            ("agents-ca.pem", &agents.certificate, Access::Everyone),
            ("server.pem", &server.certificate, Access::Everyone),
            ("server.key", &server.key, Access::OwnerOnly),
            ("agent.pem", &agent.certificate, Access::Everyone),
            ("agent.key", &agent.key, Access::OwnerOnly),
            ("id.jwks.json", &issuer.jwks(), Access::Everyone),
            ("token", &bearer(&good), Access::OwnerOnly),
            ("narrow-token", &bearer(&narrow), Access::OwnerOnly),
            ("expired-token", &bearer(&expired), Access::OwnerOnly),
            ("forged-token", &bearer(&forged), Access::OwnerOnly),
            ("api-key", &format!("X-API-Key: {}\n", key.as_str()), Access::OwnerOnly),
            ("policy.toml", &policy(origin, &digest), Access::Everyone),
            ("gateway.toml", &gateway(), Access::Everyone),
        ] {
            self.write(name, text, access)?;
        }
        Ok(())
    }
}

/// The same token with another signature.
fn forge(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let turned: String = signature.chars().rev().collect();
    // The last character of 64 bytes carries four bits that must be zero: `A` keeps the form right.
    format!("{signed}.{}A", turned.get(..turned.len().saturating_sub(1)).unwrap_or_default())
}

/// This binary.
pub fn program() -> Result<Command, Failure> {
    let path: PathBuf =
        std::env::current_exe().map_err(|error| Failure::new(format_args!("this program's own file: {error}")))?;
    Ok(Command::new(Path::new(&path)))
}

fn policy(origin: SocketAddr, key_digest: &str) -> String {
    format!(
        r#"[policy]
name = "orders-edge"
transport = "tls"

[[issuer]]
name = "corp"
issuer = "https://id.demo.example"
audience = ["orders-api"]
algorithms = ["ES256"]
keys = {{ file = "id.jwks.json" }}
scope_claim = "scope"                  # a token's scopes can only narrow

[[client_ca]]
name = "agents"
certificates = {{ file = "agents-ca.pem" }}

[[origin]]
name = "orders"
addresses = ["{origin}"]

[[route]]
name = "order-read"
host = "*"
methods = ["GET", "HEAD"]
path = "/orders/{{id}}"
origin = "orders"

[[route]]
name = "order-write"
host = "*"
methods = ["POST"]
path = "/orders"
origin = "orders"

[[route]]
name = "status"
host = "*"
methods = ["GET"]
path = "/status"
origin = "orders"

[[scope]]
name = "orders:read"
routes = ["order-read"]

[[scope]]
name = "orders:write"
routes = ["order-write"]

[[scope]]
name = "public"
routes = ["status"]

[[agent]]                              # certificate and token, both
name = "reports-bot"
identity = [{{ certificate = "{SPIFFE}", ca = "agents", token = {{ issuer = "corp", subject = "reports-bot" }} }}]
scopes = ["orders:read"]

[[agent]]                              # an API key, three requests a minute
name = "ci"
identity = [{{ api_key = ["ci-1"] }}]
scopes = ["orders:read", "orders:write"]
limits = ["3/minute"]

[[agent]]                              # a deliberately public route
name = "everyone"
identity = ["anonymous"]
scopes = ["public"]
limits = ["60/minute per subject"]

[[api_key]]
id = "ci-1"
sha256 = "{key_digest}"

[[case]]                               # no release is built while a case fails
name = "reports-bot reads an order"
agent = "reports-bot"
request = "GET https://localhost/orders/7"
expect = {{ decision = "permit", scope = "orders:read" }}

[[case]]
name = "ci asks three times a minute, not four"
agent = "ci"
request = "GET https://localhost/orders/7"
steps = [{{ repeat = 3, expect = "permit" }}, {{ expect = "limit-exceeded" }}]
"#
    )
}

fn gateway() -> String {
    r#"[gateway]
policy = "orders-edge"
state = "state"
release = "release.json"
trust_root = "root.json"

[[listener]]
address = "127.0.0.1:0"
tls = { certificates = [{ chain = "server.pem", key = "server.key" }], client_certificates = "optional" }

[admin]
address = "127.0.0.1:0"

[records]
to = "records.jsonl"

[bounds]
connections_max = 100
"#
    .to_owned()
}
