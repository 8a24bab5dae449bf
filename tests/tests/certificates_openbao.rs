//! Certificates of listeners and towards origins from a real OpenBao: there before the first connection, renewed under load,
//! and what happens while it is sealed, gone, or not to be believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::certificates::{Authority, trusting};
use tests::client::get;
use tests::deployment::Deployment;
use tests::gateway::{self, Gateway};
use tests::openbao::{self, OpenBao};
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::renewal::{HOST, refreshes, serves, under_load, wait_for_refreshes};
use tests::stream::Stream;

const SOON: Duration = Duration::from_secs(60);
const POLICY: &str = r#"path "pki/sign/gateway" { capabilities = ["update"] }"#;

/// A server with a CA and a role for gateways; the CA, and a token that may sign.
fn with_pki(binary: &Path) -> (OpenBao, String, String) {
    let server = OpenBao::start(binary);
    server.operate("secrets enable pki");
    let ca =
        server.operate("write -field=certificate pki/root/generate/internal common_name=team ttl=8760h key_type=ec");
    server.operate(
        "write pki/roles/gateway allowed_domains=test allow_subdomains=true allowed_uri_sans=spiffe://corp.test/* \
         key_type=ec require_cn=false max_ttl=24h not_before_duration=30s",
    );
    server.operate_with("policy write signer -", POLICY);
    let token = server.operate("token create -policy=signer -field=token") + "\n";
    (server, ca, token)
}

fn source(port: u16, ca: &Path, role: &str) -> String {
    format!(
        "[[certificate_source]]\nname = \"team\"\nopenbao = {{ address = \"https://127.0.0.1:{port}\", ca = \"{}\", token = \
         \"bao.key\", role = \"{role}\" }}",
        ca.display()
    )
}

fn listener(life: &str) -> String {
    format!(
        "address = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ from = \"team\", names = [\"{HOST}\"], life = \"{life}\" }}] }}"
    )
}

/// Whether `adamant status` tells of the listener's certificate and the origin identity's that they are not renewed, since
/// when and when again; and all that it says.
fn not_renewed(gateway: &Gateway) -> ([bool; 2], String) {
    let admin = format!("http://{}", gateway.admin_address());
    let (_, said, _) = gateway::run(&["status", &admin], gateway.directory());
    let told = |name: &str| {
        let note = format!("note: no new certificate for {name} from \"team\" since 20");
        said.lines().any(|line| line.contains(&note) && line.contains("; again at 20"))
    };
    ([HOST, "spiffe://corp.test/gateway"].map(told), said)
}

/// The origin of the policy wants a certificate of the same CA.
#[test]
fn both_sides_are_renewed_under_load_and_while_the_server_is_sealed() {
    let Some(binary) = openbao::binary() else { return };
    let (server, ca, token) = with_pki(&binary);
    let origins = Authority::new("origins");
    let wants = origins.server(&["origin.test"]).server_config_for_clients_of(&ca);
    let origin = RecordingOrigin::tls(wants, |_, _| Answer::text("ok"));
    let policy = PolicyText::new()
        .origin_with(
            "origin",
            &[origin.address()],
            "tls = { ca = { file = \"origins.pem\" }, server_name = \"origin.test\", identity = \"me\" }",
        )
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[]);
    let mut gateway = Deployment::new()
        .file("origins.pem", &origins.pem)
        .file("bao.key", &token)
        .listener(&listener("30s"))
        .with(&source(server.port, &server.ca(), "gateway"))
        .with("[[origin_identity]]\nname = \"me\"\nfrom = \"team\"\nnames = [\"spiffe://corp.test/gateway\"]\nlife = \"24s\"\n")
        .run(&policy.text());
    let config = trusting(&ca, None, rustls::DEFAULT_VERSIONS);
    assert!(serves(gateway.tls_address(), &config), "from the first connection on");
    under_load(gateway.tls_address(), &config, || gateway.metric("certificates_obtained_total") >= 3.0);

    // Sealed in the middle: the old ones serve on until it is opened, and that is told.
    server.operate("operator seal");
    under_load(gateway.tls_address(), &config, || gateway.metric("certificates_obtained_failures_total") >= 1.0);
    gateway.tells("the server is sealed");
    wait_for_refreshes(&gateway, "failed", 1);
    let (sealed, said) = not_renewed(&gateway);
    assert!(sealed.contains(&true) && said.contains("the server is sealed"), "{said}");
    // An order asks again at once.
    gateway.signal("HUP");
    let ordered =
        || wait_for_refreshes(&gateway, "failed", 1).iter().any(|line| line["adamant.refresh.why"] == "order");
    assert!(eventually(SOON, ordered), "{}", gateway.record_text());
    let count = gateway.metric("certificates_obtained_total");
    server.unseal();
    // On a machine that stood still for long they ended meanwhile.
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)), "{}", gateway.stderr());
    under_load(gateway.tls_address(), &config, || gateway.metric("certificates_obtained_total") >= count + 2.0);
    assert!(eventually(SOON, || not_renewed(&gateway).0 == [false; 2]), "{}", not_renewed(&gateway).1);
    let taken = wait_for_refreshes(&gateway, "taken", 5);
    assert!(taken.iter().any(|line| line["adamant.refresh.name"] == "spiffe://corp.test/gateway"), "{taken:?}");

    // Whatever becomes of the server, a restart has what it needs.
    drop(server);
    gateway.restart("TERM");
    assert!(serves(gateway.tls_address(), &config));
    assert!(eventually(SOON, || not_renewed(&gateway).0 == [true; 2]), "{}", not_renewed(&gateway).1);
    let written = gateway.record_text() + &gateway.stderr();
    assert!(!written.contains(token.trim()));
    for entry in fs::read_dir(gateway.directory().join("state/certificates")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        let text = fs::read_to_string(&path).unwrap();
        let (_, key) = text.split_once("PRIVATE KEY-----\n").unwrap();
        assert!(!written.contains(key.lines().next().unwrap()));
    }
}

/// What `adamant run` said, which ended by itself.
fn refused(deployment: Deployment) -> String {
    let deployment = deployment.prepare(&open_to_all("127.0.0.1:9".parse().unwrap()).text());
    let (status, _, stderr) = gateway::run(&["run", "gateway.toml"], deployment.directory());
    assert!(!status.success(), "{stderr}");
    stderr
}

#[test]
fn a_start_without_any_certificate_is_refused_in_bounded_time() {
    let Some(binary) = openbao::binary() else { return };
    let (server, _, token) = with_pki(&binary);
    let deployment = |role: &str, token: &str| {
        let deployment = Deployment::new().file("bao.key", token).listener(&listener("1h"));
        deployment.with(&source(server.port, &server.ca(), role))
    };
    for (role, token, told) in [
        ("nobody", token.as_str(), "no right to pki/sign/nobody"),
        ("gateway", "s.other", "no right to pki/sign/gateway"),
        ("gateway", "\n", "expected a token in the first line"),
    ] {
        let said = refused(deployment(role, token));
        assert!(
            said.contains(told) && said.contains("no certificate for api.test") && said.contains("hint: "),
            "{said}"
        );
    }
    server.operate("operator seal");
    let said = refused(deployment("gateway", &token));
    assert!(said.contains("the server is sealed") && said.contains("none is kept"), "{said}");
}

/// How a server lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// The truth, for a few seconds.
    Brief,
    OtherKey,
    OtherNames,
    Ended,
    Ca,
    OtherCa,
    Redirect,
    Endless,
    Html,
    /// Begins to answer, and goes on so slowly that it never ends.
    Slow,
    /// Takes connections, and says nothing.
    Silent,
}

/// A PKI engine that lies as it is told.
struct Liar {
    address: SocketAddr,
    tls: Authority,
    issuer: Arc<Authority>,
    lie: Arc<Mutex<Lie>>,
}

impl Liar {
    fn start() -> Self {
        let tls = Authority::new("of the server's own certificate");
        let config = tls.server(&["127.0.0.1"]).server_config();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (issuer, lie) = (Arc::new(Authority::new("issuer")), Arc::new(Mutex::new(Lie::None)));
        let (issues, lies) = (Arc::clone(&issuer), Arc::clone(&lie));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (config, issuer, lie) = (Arc::clone(&config), Arc::clone(&issues), *lies.lock().unwrap());
                thread::spawn(move || {
                    if lie == Lie::Silent {
                        thread::sleep(SOON);
                    }
                    let mut stream = Stream::accept(socket.unwrap(), Some(&config)).ok()?;
                    let csr = request(&mut stream)?;
                    answer(&mut stream, &issuer, &csr, lie)
                });
            }
        });
        Self { address, tls, issuer, lie }
    }

    fn deployment(&self, life: &str) -> Deployment {
        let deployment = Deployment::new().file("bao-ca.pem", &self.tls.pem).file("bao.key", "s.token\n");
        deployment.listener(&listener(life)).with(&source(self.address.port(), Path::new("bao-ca.pem"), "gateway"))
    }

    fn lies(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }
}

/// The CSR of a request that was read whole.
fn request(stream: &mut Stream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 16_384];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..count]).ok()?);
        if let Some((_, content)) = text.split_once("\r\n\r\n")
            && let Ok(json) = serde_json::from_str::<Value>(content)
        {
            return Some(json["csr"].as_str()?.to_owned());
        }
    }
}

fn answer(stream: &mut Stream, issuer: &Authority, csr: &str, lie: Lie) -> Option<()> {
    let other = Authority::new("another");
    let by = if lie == Lie::OtherCa { &other } else { issuer };
    let own = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let own = own.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let certificate = by.sign(if lie == Lie::OtherKey { &own } else { csr }, |request| {
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(tests::tokens::now_s());
        (request.params.not_before, request.params.not_after) =
            (now - Duration::from_secs(60), now + Duration::from_secs(if lie == Lie::Brief { 12 } else { 21 }));
        match lie {
            Lie::OtherNames => request.params.subject_alt_names.push(SanType::DnsName("more.test".try_into().unwrap())),
            Lie::Ended => request.params.not_after = now - Duration::from_secs(5),
            Lie::Ca => request.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            _ => {}
        }
    });
    let good =
        json!({"data": {"certificate": certificate, "ca_chain": [issuer.pem], "issuing_ca": issuer.pem}}).to_string();
    let (head, content) = match lie {
        Lie::Redirect => ("307 Temporary Redirect\r\nLocation: https://127.0.0.1:9/", String::new()),
        Lie::Html => ("200 OK", "<html>come in</html>".to_owned()),
        Lie::Endless => ("200 OK", " ".repeat(100 << 20)),
        _ => ("200 OK", good),
    };
    let length = content.len();
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n").ok()?;
    if lie == Lie::Slow {
        for byte in content.bytes() {
            stream.write_all(&[byte]).and_then(|()| stream.flush()).ok()?;
            thread::sleep(Duration::from_millis(200));
        }
    }
    stream.write_all(content.as_bytes()).and_then(|()| stream.flush()).ok()
}

#[test]
fn what_a_lying_server_gives_is_never_served() {
    let liar = Liar::start();
    for (lie, told) in [
        (Lie::OtherKey, "for another key"),
        (Lie::OtherNames, "expected a certificate for api.test, found one for api.test, more.test"),
        (Lie::Ended, "found one that ended"),
        (Lie::Ca, "found one of a CA"),
        (Lie::OtherCa, "expected a certificate that the CA of its issuer vouches for"),
        (Lie::Redirect, "redirects are not followed"),
        (Lie::Endless, "expected an answer of at most 262144 bytes"),
        (Lie::Html, "expected JSON"),
    ] {
        liar.lies(lie);
        let said = refused(liar.deployment("1h"));
        assert!(said.contains(told) && said.contains("hint: "), "{lie:?}: {said}");
        assert!(!said.contains("s.token"));
    }
}

#[test]
fn a_token_that_others_may_read_is_not_shown() {
    let liar = Liar::start();
    let deployment = liar.deployment("1h");
    fs::set_permissions(deployment.directory().join("bao.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(deployment);
    assert!(said.contains("bao.key: expected a file that its owner alone may read, found mode 0644"), "{said}");
    assert!(said.contains("chmod 600 ") && !said.contains("s.token"), "{said}");
}

#[test]
fn a_rehearsal_asks_nobody_and_says_what_the_start_would_ask_for() {
    let liar = Liar::start();
    liar.lies(Lie::Redirect);
    let identity = "[[origin_identity]]\nname = \"me\"\nfrom = \"team\"\nnames = [\"spiffe://corp.test/gateway\"]\n";
    let origin = "127.0.0.1:9".parse().unwrap();
    let policy = PolicyText::new()
        .origin_with(
            "origin",
            &[origin],
            "tls = { ca = { file = \"bao-ca.pem\" }, server_name = \"a.test\", identity = \"me\" }",
        )
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[]);
    let deployment = liar.deployment("1h").with(identity).prepare(&policy.text());
    let (status, stdout, said) = gateway::run(&["run", "gateway.toml", "--check"], deployment.directory());
    assert!(status.success() && stdout.contains("ok: "), "{stdout}{said}");
    assert!(said.contains("the certificate for api.test is not there yet"), "{said}");
    assert!(
        said.contains("for spiffe://corp.test/gateway is not there yet: the start obtains it from https://"),
        "{said}"
    );
    assert!(!deployment.directory().join("state/certificates").exists());
}

#[test]
fn the_old_certificate_serves_on_while_the_server_lies() {
    let (liar, origin) = (Liar::start(), RecordingOrigin::start());
    let gateway: Gateway = liar.deployment("1h").run(&open_to_all(origin.address()).text());
    let config = liar.issuer.client_config(None);
    assert!(serves(gateway.tls_address(), &config));
    let failed = || refreshes(&gateway, "refused").len() + refreshes(&gateway, "failed").len();
    liar.lies(Lie::OtherKey);
    under_load(gateway.tls_address(), &config, || failed() > 0);
    wait_for_refreshes(&gateway, "refused", 1);
    liar.lies(Lie::Redirect);
    let before = failed();
    gateway.signal("HUP");
    assert!(eventually(SOON, || failed() > before), "{}", gateway.stderr());
    let count = gateway.metric("certificates_obtained_total");
    liar.lies(Lie::None);
    let comes = eventually(SOON, || gateway.metric("certificates_obtained_total") > count);
    assert!(comes, "by itself: {}", gateway.stderr());
    assert!(eventually(SOON, || serves(gateway.tls_address(), &config)));
    assert_eq!(gateway.once(get("/", "")).status, 200);
    liar.lies(Lie::Slow);
    gateway.tells("expected the whole answer of 127.0.0.1");
}

/// What is kept has ended, and the server says nothing: a start waits once for that, and not once for each of them.
#[test]
fn a_start_asks_for_all_that_has_ended_at_the_same_time() {
    let (liar, origin) = (Liar::start(), RecordingOrigin::start());
    liar.lies(Lie::Brief);
    let each = ["a", "b", "c", "d"].map(|name| format!("{{ from = \"team\", names = [\"{name}.test\"] }}")).join(", ");
    let mut gateway: Gateway = Deployment::new()
        .file("bao-ca.pem", &liar.tls.pem)
        .file("bao.key", "s.token\n")
        .listener(&format!("address = \"127.0.0.1:0\"\ntls = {{ certificates = [{each}] }}"))
        .with(&source(liar.address.port(), Path::new("bao-ca.pem"), "gateway"))
        .run(&open_to_all(origin.address()).text());
    liar.lies(Lie::Silent);
    gateway.signal("TERM");
    assert!(gateway.wait(SOON).is_some());
    let kept = gateway.directory().join("state/certificates");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 4);
    fs::write(kept.join("of-another-name-01234567.pem"), "a key that nobody looks after").unwrap();
    thread::sleep(Duration::from_secs(13));
    let begun = Instant::now();
    gateway.restart_stopped();
    // One after the other, they would take 40 s.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(gateway.once(get("/", "")).status, 200);
    gateway.tells("removed what is not configured any more: of-another-name-01234567.pem");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 4);
    liar.lies(Lie::None);
    assert!(eventually(SOON, || gateway.metric("certificates_obtained_total") >= 4.0), "{}", gateway.stderr());
}
