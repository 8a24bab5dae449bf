//! The built-in CA is replaced by another one, which vouches for nothing of the first: as docs/agents.md says, no agent is out of
//! service meanwhile, and none of the first CA is let in afterwards.
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
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tests::agents::{ok, run};
use tests::gateway::Gateway;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::store::{Key, World, digest_of, served};

const SOON: Duration = Duration::from_secs(60);
const AGENTS: [&str; 3] = ["one", "two", "late"];

struct Stage {
    world: World,
    version: u64,
}

impl Stage {
    fn new() -> Self {
        let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \
                        \"server.key\" }], client_certificates = \"optional\" }";
        let stage = Self { world: World::with("hot", listener), version: 0 };
        stage.init("ca");
        stage.serve_of("ca");
        stage.world.write("1.key", Key::file(1).as_bytes());
        fs::set_permissions(stage.world.path("1.key"), fs::Permissions::from_mode(0o600)).unwrap();
        stage
    }

    /// A CA for agents and for the gateway; each has the same name.
    fn init(&self, ca: &str) {
        ok(self.world.home(), &format!("ca init {ca} --trust-domain corp.example --server localhost --no-passphrase"));
    }

    /// The gateway's certificate is of this CA.
    fn serve_of(&self, ca: &str) {
        let issue = "--server localhost --key-out server.key --out server.pem --force";
        ok(self.world.home(), &format!("ca issue {ca} {issue}"));
    }

    /// The next release, which pins these CAs.
    fn publish(&mut self, cas: &[&str]) -> String {
        let pem = |ca: &&str| fs::read_to_string(self.world.path(&format!("{ca}/ca.pem"))).unwrap();
        self.world.write("agents.pem", cas.iter().map(pem).collect::<String>().as_bytes());
        let policy = PolicyText::new()
            .origin("origin", &[self.world.origin.address()])
            .route("orders", "GET", "/orders/{id}", "origin")
            .scope("orders", &["orders"])
            .client_ca("agents", "agents.pem");
        let agent = |policy: PolicyText, name: &&str| {
            let identity = format!("{{ certificate = \"spiffe://corp.example/{name}\", ca = \"agents\" }}");
            policy.agent(name, &identity, &["orders"], &[])
        };
        self.version += 1;
        let release = self.world.build(self.version, &AGENTS.iter().fold(policy, agent));
        self.world.publish(self.version, &release);
        release.digest
    }

    fn enroll(&self, gateway: &Gateway, agent: &str, more: &str) {
        let port = gateway.tls_address().port();
        let at = format!("--gateway https://localhost:{port}");
        let id = format!("--spiffe spiffe://corp.example/{agent}");
        ok(self.world.home(), &format!("agent enroll {agent} --agent {agent} {at} {id} {more}"));
    }

    /// What the agent's doctor finds, in codes.
    fn found(&self, agent: &str) -> (i32, String) {
        let (status, said, _) = run(self.world.home(), &format!("agent doctor {agent} --path /orders/7 --json"));
        (status, said)
    }
}

#[test]
fn both_cas_are_believed_while_agents_change() {
    let mut stage = Stage::new();
    stage.publish(&["ca"]);
    let gateway = stage.world.start();
    AGENTS.iter().for_each(|agent| stage.enroll(&gateway, agent, "--ca ca"));

    stage.init("new-ca");
    let both = stage.publish(&["ca", "new-ca"]);
    assert!(eventually(SOON, || served(&gateway) == both), "{}", gateway.stderr());
    stage.enroll(&gateway, "one", "--ca new-ca --gateway-ca agents.pem --force");
    for agent in AGENTS {
        assert_eq!(stage.found(agent).0, 0, "{agent}: {}", stage.found(agent).1);
    }
    // Where nothing is said, the gateway's certificate must be what it had to be.
    stage.enroll(&gateway, "two", "--ca new-ca --force");
    assert_eq!(stage.found("two").0, 0, "{}", stage.found("two").1);

    // Where there is no time for a release.
    let place = "--store store --channel production --trust-root root.json --key 1.key";
    ok(stage.world.home(), &format!("revoke {place} --certificate ca/ca.pem"));
    assert!(eventually(SOON, || stage.found("late").0 == 1), "{}", gateway.stderr());
    assert_eq!(stage.found("one").0, 0, "{}", stage.found("one").1);

    let new = stage.publish(&["new-ca"]);
    assert!(eventually(SOON, || served(&gateway) == new), "{}", gateway.stderr());
    for (agent, is_let_in) in [("one", true), ("two", true), ("late", false)] {
        let (status, said) = stage.found(agent);
        assert!((status == 0) == is_let_in && said.contains("wrong-ca") != is_let_in, "{agent}: {said}");
    }

    // Then the gateway's own: who knows of both goes on, and who does not is told whose side it is.
    stage.serve_of("new-ca");
    let is_refused = || stage.found("two").1.contains("gateway-other-ca");
    assert!(eventually(SOON, is_refused), "{}", stage.found("two").1);
    assert!(stage.found("two").1.contains("--gateway-ca"), "{}", stage.found("two").1);
    assert_eq!(stage.found("one").0, 0, "{}", stage.found("one").1);
    stage.enroll(&gateway, "two", "--ca new-ca --gateway-ca new-ca/ca.pem --force");
    assert_eq!(stage.found("two").0, 0, "{}", stage.found("two").1);
}

#[test]
fn agents_that_follow_the_channel_take_the_new_ca_from_the_same_directory() {
    let mut stage = Stage::new();
    let home = stage.world.home().to_owned();
    stage.publish(&["ca"]);
    let gateway = stage.world.start();
    stage.enroll(&gateway, "one", "--ca ca --store store --channel production --trust-root root.json");
    let issued_by = || {
        let certificate = CertificateDer::from_pem_file(home.join("one/current/cert.pem")).unwrap();
        let digest = digest_of(&certificate);
        let lines = |ca: &str| fs::read_to_string(home.join(ca).join("issued.jsonl")).unwrap_or_default();
        ["ca", "ca-before"].into_iter().find(|ca| lines(ca).contains(digest.trim_start_matches("sha256:")))
    };
    assert_eq!(issued_by(), Some("ca"));

    fs::rename(home.join("ca"), home.join("ca-before")).unwrap();
    stage.init("ca");
    assert_eq!(issued_by(), Some("ca-before"));
    let both = stage.publish(&["ca-before", "ca"]);
    assert!(eventually(SOON, || served(&gateway) == both), "{}", gateway.stderr());
    ok(&home, "agent run one --once");
    assert_eq!(issued_by(), Some("ca"));
    assert_eq!(stage.found("one").0, 0, "{}", stage.found("one").1);
    let new = stage.publish(&["ca"]);
    assert!(eventually(SOON, || served(&gateway) == new), "{}", gateway.stderr());
    ok(&home, "agent run one --once");
    assert_eq!(stage.found("one").0, 0, "{}", stage.found("one").1);
}
