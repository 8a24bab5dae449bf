//! OpenBao's own ACME server as the CA of a gateway, on both of its sides, and of an agent. It looks at the ports that are meant for it, 443 and 80,
//! so each test has an address of its own on the loopback network.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use tests::agents::{Running, Scene, bad, ok, read_pair, through};
use tests::answer::Answer;
use tests::certificates::{Authority, trusting};
use tests::client::get;
use tests::deployment::Deployment;
use tests::desk::assert_says;
use tests::gateway::Gateway;
use tests::openbao::{self, OpenBao};
use tests::origin::RecordingOrigin;
use tests::pebble::{self, Names};
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::renewal::{HOST, serves, under_load, wait_for_refreshes};

const SOON: Duration = Duration::from_secs(60);

/// A server whose PKI engine speaks ACME, and its CA. All names lead to one address.
struct Server {
    bao: OpenBao,
    ca: String,
    at: IpAddr,
    names: Names,
}

impl Server {
    /// None, and said so, where something is not installed or the ports are not to be had. `last`: of its address.
    fn start(last: u8, role: &str) -> Option<Self> {
        let (binary, pebble) = (openbao::binary()?, pebble::binary()?);
        let [.., high, low] = std::process::id().to_be_bytes();
        let at = IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 63), low, last));
        if [80, 443].iter().any(|port| TcpListener::bind((at, *port)).is_err()) {
            eprintln!("SKIPPED: ports 80 and 443 of {at} cannot be had; OpenBao looks at no others");
            return None;
        }
        let names = Names::new(&pebble, at);
        let bao = OpenBao::start(&binary);
        bao.operate("secrets enable pki");
        let passed = ["Last-Modified", "Location", "Replay-Nonce", "Link"]
            .map(|name| format!("-allowed-response-headers={name}"));
        bao.operate(&format!("secrets tune -passthrough-request-headers=If-Modified-Since {} pki", passed.join(" ")));
        let ca =
            bao.operate("write -field=certificate pki/root/generate/internal common_name=team ttl=8760h key_type=ec");
        let own = format!("https://127.0.0.1:{}/v1/pki", bao.port);
        bao.operate(&format!("write pki/config/cluster path={own} aia_path={own}"));
        bao.operate(&format!("write pki/roles/team key_type=ec require_cn=false not_before_duration=30s {role}"));
        let server = Self { bao, ca, at, names };
        server.configure("allow_role_ext_key_usage=false");
        Some(server)
    }

    fn configure(&self, more: &str) {
        let names = self.names.address();
        self.bao.operate(&format!(
            "write pki/config/acme enabled=true eab_policy=not-required default_directory_policy=role:team dns_resolver={names} \
             {more}"
        ));
    }

    fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/v1/pki/acme/directory", self.bao.port)
    }

    /// As the source of a gateway.
    fn source(&self, name: &str, more: &str) -> String {
        format!(
            "[[certificate_source]]\nname = \"{name}\"\nacme = {{ directory = \"{}\", ca = \"{}\", agree_to_terms = true{more} }}",
            self.directory(),
            self.bao.ca().display()
        )
    }
}

#[test]
fn a_gateway_is_renewed_by_either_challenge_and_while_the_server_is_sealed() {
    let Some(server) = Server::start(1, "allowed_domains=test allow_subdomains=true ttl=21s") else { return };
    let listener = |port: u16, from: &str| {
        format!(
            "address = \"{}:{port}\"\ntls = {{ certificates = [{{ from = \"{from}\", names = [\"{HOST}\"] }}] }}",
            server.at
        )
    };
    let origin = RecordingOrigin::start();
    let config = trusting(&server.ca, None, rustls::DEFAULT_VERSIONS);
    let gateways =
        [(443, String::new()), (0, format!(", http_challenge = \"{}:80\"", server.at))].map(|(port, more)| {
            let deployment = Deployment::new().listener(&listener(port, "team")).with(&server.source("team", &more));
            deployment.run(&open_to_all(origin.address()).text())
        });
    let each = |act: fn(&Gateway, &Arc<ClientConfig>)| {
        thread::scope(|scope| {
            gateways.iter().for_each(|gateway| drop(scope.spawn(|| act(gateway, &config))));
        });
    };
    each(|gateway, config| {
        assert!(eventually(SOON, || serves(gateway.tls_address(), config)), "{}", gateway.stderr());
        under_load(gateway.tls_address(), config, || gateway.metric("certificates_obtained_total") >= 2.0);
        assert_eq!(gateway.metric("certificates_obtained_failures_total"), 0.0, "{}", gateway.stderr());
    });
    server.bao.seal();
    each(|gateway, config| {
        under_load(gateway.tls_address(), config, || gateway.metric("certificates_obtained_failures_total") >= 1.0);
        gateway.tells("and unsealed)?");
    });
    server.bao.unseal();
    each(|gateway, _| {
        let count = gateway.metric("certificates_obtained_total");
        let comes = eventually(SOON, || gateway.metric("certificates_obtained_total") > count);
        assert!(comes, "by itself: {}", gateway.stderr());
        wait_for_refreshes(gateway, "failed", 1);
    });
}

/// The listener, which answers the challenges, has a certificate of its own.
#[test]
fn an_origin_sees_a_certificate_of_the_team_once_it_is_for_clients() {
    let Some(server) = Server::start(3, "allowed_domains=test allow_subdomains=true ttl=21s client_flag=true") else {
        return;
    };
    let (origins, own) = (Authority::new("origins"), Authority::new("listener"));
    let wants = origins.server(&["origin.test"]).server_config_for_clients_of(&server.ca);
    let origin = RecordingOrigin::tls(wants, |_, _| Answer::text("ok"));
    let shown = own.server(&[HOST]);
    let mut gateway = Deployment::new()
        .file("origins.pem", &origins.pem)
        .file("server.pem", &shown.certificate)
        .file("server.key", &shown.key)
        .listener(&format!(
            "address = \"{}:443\"\ntls = {{ certificates = [{{ chain = \"server.pem\", key = \"server.key\" }}] }}",
            server.at
        ))
        .with(&server.source("team", ""))
        .with("[[origin_identity]]\nname = \"me\"\nfrom = \"team\"\nnames = [\"gw.test\", \"edge.test\"]")
        .run(
            &PolicyText::new()
                .origin_with(
                    "origin",
                    &[origin.address()],
                    "tls = { ca = { file = \"origins.pem\" }, server_name = \"origin.test\", identity = \"me\" }",
                )
                .route("all", "*", "/{rest...}", "origin")
                .scope("all", &["all"])
                .anonymous(&["all"], &[])
                .text(),
        );
    // As OpenBao is set up unless told otherwise.
    let refused = wait_for_refreshes(&gateway, "refused", 1);
    let said = refused[0]["error.message"].as_str().unwrap();
    assert_says(said, &["expected a certificate for clients", "allow_role_ext_key_usage=true"]);
    assert_eq!(gateway.once(get("/", "")).status, 503);
    assert!(origin.connections().is_empty());

    server.configure("allow_role_ext_key_usage=true");
    gateway.restart("TERM");
    assert!(eventually(SOON, || gateway.once(get("/", "")).status == 200), "{}", gateway.stderr());
    under_load(gateway.tls_address(), &own.client_config(None), || {
        gateway.metric("certificates_obtained_total") >= 3.0
    });
    assert_eq!(gateway.metric("certificates_obtained_failures_total"), 0.0, "{}", gateway.stderr());
    // One with each certificate at least; what was obtained last is told before it is in force.
    let is_seen = || gateway.once(get("/", "")).status == 200 && origin.connections().len() >= 3;
    assert!(eventually(SOON, is_seen), "{} connections", origin.connections().len());
}

#[test]
fn an_agent_is_enrolled_by_either_challenge_and_renewed_once_its_certificates_are_for_clients() {
    let Some(server) = Server::start(2, "allowed_domains=corp.example allow_subdomains=true ttl=21s client_flag=true")
    else {
        return;
    };
    let scene = Scene::of_agent("dns:reports.corp.example", Some(&server.ca));
    let line = format!(
        "agent enroll p --agent reports-bot --gateway {} --gateway-ca ca/ca.pem --acme {} --acme-ca {} --acme-agree-to-terms \
         --dns reports.corp.example",
        scene.url(),
        server.directory(),
        server.bao.ca().display()
    );
    let (tls, http) = (format!("--acme-listen {}:443", server.at), format!("--acme-http {}:80", server.at));
    // As OpenBao is set up unless told otherwise.
    let said = bad(scene.at(), &format!("{line} {tls}"));
    assert_says(&said, &["expected a certificate for clients", "allow_role_ext_key_usage=true"]);
    assert!(!scene.at().join("p/current").exists());
    server.configure("allow_role_ext_key_usage=true");
    ok(scene.at(), &format!("{line} {tls}"));
    ok(scene.at(), "agent doctor p");
    let first = read_pair(&scene.at().join("p"));
    ok(scene.at(), &format!("{line} {http} --force"));
    assert_ne!(read_pair(&scene.at().join("p")), first);

    let keeper = Running::start(scene.at(), "agent run p");
    keeper.says("\"renewed\"", 1);
    let proxy = Running::start(scene.at(), "agent proxy p");
    proxy.says("listening on unix:", 1);
    let call = || {
        let stream = std::os::unix::net::UnixStream::connect(scene.at().join("p/proxy.sock")).unwrap();
        through(stream, "GET /orders/7", "", "")
    };
    assert!(call().starts_with("HTTP/1.1 200"), "{}", call());
    server.bao.seal();
    keeper.says("\"failed\"", 2);
    keeper.says("and unsealed)?", 1);
    let renewed = keeper.lines().iter().filter(|line| line.contains("\"renewed\"")).count();
    server.bao.unseal();
    keeper.says("\"renewed\"", renewed + 1);
    assert!(call().starts_with("HTTP/1.1 200"), "{}", call());
    keeper.end();
    proxy.end();
}
