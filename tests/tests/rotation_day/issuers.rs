//! Certificates of listeners that the gateway obtains and renews by itself: from OpenBao, and by ACME.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use tests::certificates::trusting;
use tests::openbao::{self, OpenBao};
use tests::pebble::{self, Character, Pebble};
use tests::stream::Stream;

use crate::Rotator;
use crate::credential::{Credential, ORDERS, Phase, Place};
use crate::day::Day;
use crate::log::Told;
use crate::plan::{HOST, Plan, put_secret};

/// Renewed at two thirds of it.
const LIFE_S: u64 = 21;
const OF: &str = "obtained-certificate";

/// What issues; it ends with this.
enum Peer {
    OpenBao { _server: OpenBao },
    Acme { _server: Box<Pebble> },
}

pub struct ObtainedCertificate {
    peer: Peer,
    /// In the rotation log.
    name: String,
    port: u16,
    /// Shown by a caller who believes the issuer.
    caller: Arc<Credential>,
    /// The same without resumption.
    looks: Arc<ClientConfig>,
    /// Certificates in the order in which they were seen.
    seen: Vec<Vec<u8>>,
    failed: usize,
}

impl ObtainedCertificate {
    /// None, and said so, where there is no server to ask.
    pub fn of_openbao(plan: &mut Plan) -> Option<Self> {
        let server = OpenBao::start(&openbao::binary()?);
        server.operate("secrets enable pki");
        let root = "write -field=certificate pki/root/generate/internal common_name=team ttl=8760h key_type=ec";
        let ca = server.operate(root);
        server.operate(
            "write pki/roles/gateway allowed_domains=test allow_subdomains=true key_type=ec require_cn=false max_ttl=24h \
             not_before_duration=30s",
        );
        server.operate_with("policy write signer -", r#"path "pki/sign/gateway" { capabilities = ["update"] }"#);
        let token = server.operate("token create -policy=signer -field=token");
        plan.before(move |world| put_secret(world, "bao.key", &token));
        let source = format!(
            "openbao = {{ address = \"https://127.0.0.1:{}\", ca = \"{}\", token = \"bao.key\", role = \"gateway\" }}",
            server.port,
            server.ca().display()
        );
        let config = trusting(&ca, None, rustls::DEFAULT_VERSIONS);
        let life = format!(", life = \"{LIFE_S}s\"");
        let port = plan.reserve();
        Some(Self::new(plan, "bao", &source, &life, (port, config), Peer::OpenBao { _server: server }))
    }

    /// The same.
    pub fn of_acme(plan: &mut Plan) -> Option<Self> {
        let mut server = Pebble::at(&pebble::binary()?);
        let port = plan.reserve();
        server.start(Character { looks_at: port, life_s: LIFE_S, rejects: 5, wants_external_account: false });
        let (url, ca) = (server.directory_url(), server.ca());
        let source = format!("acme = {{ directory = \"{url}\", ca = \"{}\", agree_to_terms = true }}", ca.display());
        let config = server.believer();
        Some(Self::new(plan, "acme", &source, "", (port, config), Peer::Acme { _server: Box::new(server) }))
    }

    fn new(
        plan: &mut Plan,
        name: &str,
        source: &str,
        life: &str,
        (port, config): (u16, Arc<ClientConfig>),
        peer: Peer,
    ) -> Self {
        plan.toml(&format!("[[certificate_source]]\nname = \"{name}\"\n{source}"));
        plan.toml(&format!(
            "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = {{ certificates = [{{ from = \"{name}\", names = \
             [\"{HOST}\", \"{name}.test\"]{life} }}] }}"
        ));
        // A resumed session shows the certificate of the handshake that it began with.
        let mut looks = ClientConfig::clone(&config);
        looks.resumption = Resumption::disabled();
        let (place, field) = (Place { port: Some(port), is_short: true, ..ORDERS }, plan.caller());
        let caller = Credential::at(place, format!("the caller of {name}.test"), config, move || field.clone());
        Self {
            peer,
            name: format!("{HOST}, {name}.test"),
            port,
            caller,
            looks: Arc::new(looks),
            seen: Vec::new(),
            failed: 0,
        }
    }

    /// What a new connection sees; none where the handshake fails.
    fn shown(&self, day: &Day) -> Option<Vec<u8>> {
        let stream = Stream::connect_tls(day.address(Some(self.port)), HOST, &self.looks).ok()?;
        let Stream::Client(stream) = stream else { return None };
        Some(stream.conn.peer_certificates()?.first()?.to_vec())
    }
}

impl Rotator for ObtainedCertificate {
    fn name(&self) -> &'static str {
        match self.peer {
            Peer::OpenBao { .. } => "a certificate from OpenBao",
            Peer::Acme { .. } => "a certificate by ACME",
        }
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// Looks what the gateway does by itself.
    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let failed = day.log.failed(OF, &self.name);
        if failed > self.failed {
            // Its issuer had none for it: what is there may end before the next attempt.
            self.caller.becomes(Phase::Changing);
            self.failed = failed;
        }
        let Some(shown) = self.shown(day).filter(|shown| self.seen.last() != Some(shown)) else { return Ok(()) };
        if self.seen.contains(&shown) {
            return Err("an old certificate came back".to_owned());
        }
        self.seen.push(shown);
        if self.caller.phase() == Phase::Good { Ok(()) } else { day.enters(&self.caller) }
    }

    fn told(&self) -> Vec<Told> {
        let count = self.seen.len();
        assert!(count >= 2 && self.caller.is_used(), "{}: {count} certificates were seen", self.name());
        vec![Told::TakenAtLeast(OF, self.name.clone(), count - 1)]
    }
}
