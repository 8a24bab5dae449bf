//! Client certificates: SPIFFE ids under two CAs, mutual TLS off, optional and required.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use rcgen::SanType;
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use tests::certificates::{Authority, Identity};
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;

const HOST: &str = "api.test";
const SOON: Duration = Duration::from_secs(60);
const BOT: &str = "spiffe://corp.test/bot";

struct Stage {
    gateway: Gateway,
    origin: RecordingOrigin,
    server_ca: Authority,
    agents_ca: Authority,
    partners_ca: Authority,
}

impl Stage {
    /// The bot under the agents' CA, a partner under the partners' CA; client certificates `client`.
    fn new(client: &str) -> Self {
        Self::with(&[client])
    }

    /// The same, with a listener for each of `clients`.
    fn with(clients: &[&str]) -> Self {
        let (server_ca, agents_ca, partners_ca) =
            (Authority::new("server CA"), Authority::new("agents CA"), Authority::new("partners CA"));
        let origin = RecordingOrigin::start();
        let policy = PolicyText::new()
            .origin("origin", &[origin.address()])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .client_ca("agents", "agents.pem")
            .client_ca("partners", "partners.pem")
            .agent("bot", &format!("{{ certificate = \"{BOT}\", ca = \"agents\" }}"), &["all"], &[])
            .agent("partner", "{ certificate = \"spiffe://partner.test/app\", ca = \"partners\" }", &["all"], &[]);
        let deployment = Deployment::new().file("agents.pem", &agents_ca.pem).file("partners.pem", &partners_ca.pem);
        let server = server_ca.server(&[HOST]);
        let gateway = clients.iter().fold(deployment, |deployment, client| deployment.tls_listener(&server, client));
        let gateway = gateway.run(&policy.text());
        Self { gateway, origin, server_ca, agents_ca, partners_ca }
    }

    fn config(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        self.server_ca.client_config(identity)
    }

    /// Status of a request with this certificate; none where TLS fails already.
    fn status(&self, identity: Option<&Identity>) -> Option<u16> {
        let mut client = Client::connect_tls(self.gateway.tls_address(), HOST, &self.config(identity)).ok()?;
        client.try_send(get("/", "").as_bytes()).ok()?;
        Some(client.try_response_to("GET").ok()?.status)
    }
}

#[test]
fn a_certificate_names_its_agent_under_its_own_ca_alone() {
    let stage = Stage::new("optional");
    assert_eq!(stage.status(Some(&stage.agents_ca.spiffe(BOT))), Some(200));
    assert_eq!(stage.origin.last_of(1).value("Adamant-Agent"), Some("bot"));
    assert_eq!(stage.status(Some(&stage.partners_ca.spiffe("spiffe://partner.test/app"))), Some(200));
    assert_eq!(stage.origin.last_of(2).value("Adamant-Agent"), Some("partner"));
    assert_eq!(stage.status(Some(&stage.partners_ca.spiffe(BOT))), Some(401), "the bot's name under the wrong CA");
    assert_eq!(stage.status(Some(&stage.agents_ca.spiffe("spiffe://corp.test/other"))), Some(401), "nobody's name");
    assert_eq!(stage.origin.count(), 2);
}

/// What docs/policy.md says of a certificate with more names than are looked at.
#[test]
fn a_certificate_of_too_many_names_has_no_connection_and_is_counted() {
    let stage = Stage::new("optional");
    // Beside them stands the hash of the key.
    let of_names = |count: usize| {
        let dns = |at: usize| SanType::DnsName(format!("n{at}.corp.test").try_into().unwrap());
        let names = (1..count).map(dns).chain([SanType::URI(BOT.try_into().unwrap())]).collect();
        stage.agents_ca.client(names)
    };
    assert_eq!(stage.status(Some(&of_names(7))), Some(200));
    assert_eq!(stage.gateway.metric("handshakes_failed_total"), 0.0);
    assert_eq!(stage.status(Some(&of_names(8))), None, "closed, and no response");
    assert!(eventually(SOON, || stage.gateway.metric("handshakes_failed_total") == 1.0));
    stage.gateway.signal("TERM");
    assert!(eventually(SOON, || stage.gateway.record_text().contains("\"stop\"")));
    assert_eq!((stage.gateway.records().len(), stage.origin.count()), (1, 1), "no exchange was recorded");
}

#[test]
fn a_certificate_of_an_unknown_ca_or_out_of_its_time_gets_nowhere() {
    let stage = Stage::new("optional");
    let unknown = Authority::new("agents CA").spiffe(BOT);
    assert!(matches!(stage.status(Some(&unknown)), None | Some(401)));
    let expired = stage.agents_ca.expired_spiffe(BOT);
    assert!(matches!(stage.status(Some(&expired)), None | Some(401)));
    assert_eq!(stage.origin.count(), 0);
}

#[test]
fn without_a_certificate_optional_is_401_and_required_is_no_connection() {
    assert_eq!(Stage::new("optional").status(None), Some(401));
    let required = Stage::new("required");
    assert_eq!(required.status(None), None);
    assert_eq!(required.status(Some(&required.agents_ca.spiffe(BOT))), Some(200));
}

#[test]
fn a_resumed_session_is_still_the_same_agent() {
    let stage = Stage::new("required");
    let config = stage.config(Some(&stage.agents_ca.spiffe(BOT)));
    for round in 1..=3 {
        let mut client = Client::connect_tls(stage.gateway.tls_address(), HOST, &config).unwrap();
        assert_eq!(client.exchange(get("/", "")).status, 200);
        assert_eq!(stage.origin.last_of(round).value("Adamant-Agent"), Some("bot"));
    }
}

/// What is not resumed is asked for its certificate like anybody else.
#[test]
fn a_session_is_resumed_where_the_same_is_asked_of_clients() {
    let stage = Stage::with(&["off", "optional", "required", "required"]);
    let addresses = stage.gateway.tls_addresses();
    let [off, optional, required, other] = addresses[..] else { panic!("{addresses:?}") };
    let status = |address, config: &Arc<ClientConfig>| -> Result<u16, String> {
        let mut client = Client::connect_tls(address, HOST, config).map_err(|error| error.to_string())?;
        client.try_send(get("/", "").as_bytes()).map_err(|error| error.to_string())?;
        Ok(client.try_response_to("GET")?.status)
    };
    let counted = |name: &str| stage.gateway.metric(&format!("handshakes_{name}total"));
    for version in [&TLS13, &TLS12] {
        for from in [off, optional] {
            let nobody = stage.server_ca.client_config_of(None, &[version]);
            let before = counted("resumed_");
            assert_eq!((status(from, &nobody), status(from, &nobody)), (Ok(401), Ok(401)));
            assert!(eventually(SOON, || counted("resumed_") > before), "{version:?}: the client has a ticket");
            let before = counted("failed_");
            // Nothing is sent: what the gateway would not read could cost the alert.
            let refused = Client::connect_tls(required, HOST, &nobody).map_err(|error| error.to_string());
            let refused = refused.and_then(|mut client| client.try_response_to("GET"));
            let asked = refused.as_ref().is_err_and(|why| why.contains("CertificateRequired"));
            assert!(asked, "{version:?}, from {from}: {:?}", refused.map(|response| response.status));
            assert!(eventually(SOON, || counted("failed_") > before));
        }
        // Nor is anybody the agent of a certificate at a listener that asks for none.
        let bot = stage.server_ca.client_config_of(Some(&stage.agents_ca.spiffe(BOT)), &[version]);
        assert_eq!((status(required, &bot), status(off, &bot)), (Ok(200), Ok(401)), "{version:?}");
        let bot = stage.server_ca.client_config_of(Some(&stage.agents_ca.spiffe(BOT)), &[version]);
        let before = counted("resumed_");
        assert_eq!((status(required, &bot), status(other, &bot)), (Ok(200), Ok(200)), "{version:?}");
        assert!(eventually(SOON, || counted("resumed_") > before), "{version:?}: both require one");
    }
}

#[test]
fn a_host_that_the_certificate_does_not_cover_is_421() {
    let stage = Stage::new("optional");
    let config = stage.config(Some(&stage.agents_ca.spiffe(BOT)));
    let mut client = Client::connect_tls(stage.gateway.tls_address(), HOST, &config).unwrap();
    assert_eq!(client.exchange("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n").status, 421);
}

#[test]
fn the_origin_is_told_https_and_plain_bytes_on_a_tls_port_are_dropped() {
    let stage = Stage::new("optional");
    stage.status(Some(&stage.agents_ca.spiffe(BOT)));
    assert_eq!(stage.origin.last_of(1).value("X-Forwarded-Proto"), Some("https"));
    let mut plain = Client::connect(stage.gateway.tls_address());
    plain.send(get("/", ""));
    assert!(plain.try_response_to("GET").is_err());
    assert_eq!(stage.origin.count(), 1);
}

#[test]
fn a_policy_that_wants_mutual_tls_refuses_the_rest() {
    let (server_ca, origin) = (Authority::new("server CA"), RecordingOrigin::start());
    let policy = tests::policy::open_to_all(origin.address()).setting("transport = \"tls\"");
    let gateway = Deployment::new().tls_listener(&server_ca.server(&[HOST]), "off").run(&policy.text());
    let plain = gateway.once(get("/", ""));
    assert!(plain.status >= 400, "{}", plain.status);
    let mut client = Client::connect_tls(gateway.tls_address(), HOST, &server_ca.client_config(None)).unwrap();
    assert_eq!(client.exchange(get("/", "")).status, 200);
    assert_eq!(origin.count(), 1);
}
