//! Revocation lists of client CAs as they move: what is revoked is out within moments, on open connections and under
//! resumption too; what is wrong, old or gone changes nothing but the alarms.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DEFAULT_VERSIONS, SupportedProtocolVersion};
use tests::answer::{Answer, Content};
use tests::certificates::{Authority, Identity, is_kept, kept_files};
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;

#[path = "crl/intermediate.rs"]
mod intermediate;
#[path = "crl/named.rs"]
mod named;
#[path = "crl/renamed.rs"]
mod renamed;
#[path = "crl/rotated.rs"]
mod rotated;

const HOST: &str = "api.test";
const BOT: &str = "spiffe://corp.test/bot";
const DAY: Duration = Duration::from_secs(86_400);
/// Files are looked at once a second.
const SOON: Duration = Duration::from_secs(60);

struct Stage {
    gateway: Gateway,
    origin: RecordingOrigin,
    servers: Authority,
    agents: Authority,
}

/// One agent, known by a certificate whose CA has its lists in `agents.crl`; `crl` is what else the policy says of them.
fn policy(origin: &RecordingOrigin, crl: &str) -> String {
    PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .with(&format!(
            "[[client_ca]]\nname = \"agents\"\ncertificates = {{ file = \"agents.pem\" }}\ncrl = {{ watch = \
             \"agents.crl\"{crl} }}"
        ))
        .agent("bot", &format!("{{ certificate = \"{BOT}\", ca = \"agents\" }}"), &["all"], &[])
        .text()
}

impl Stage {
    fn new(agents: Authority, list: &str) -> Self {
        Self::with(agents, list, "")
    }

    fn with(agents: Authority, list: &str, crl: &str) -> Self {
        let (servers, origin) = (Authority::new("servers"), RecordingOrigin::start());
        let deployment = Deployment::new().file("agents.pem", &agents.pem).file("agents.crl", list);
        let gateway = deployment.tls_listener(&servers.server(&[HOST]), "required").run(&policy(&origin, crl));
        Self { gateway, origin, servers, agents }
    }

    fn config(&self, identity: &Identity, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        self.servers.client_config_of(Some(identity), versions)
    }

    /// A connection that has been used.
    fn connect(&self, identity: &Identity) -> Client {
        let mut client = self.try_connect(&self.config(identity, DEFAULT_VERSIONS)).unwrap();
        assert_eq!(client.exchange(get("/", "")).status, 200);
        client
    }

    fn try_connect(&self, config: &Arc<ClientConfig>) -> Option<Client> {
        Client::connect_tls(self.gateway.tls_address(), HOST, config).ok()
    }

    /// Status of a request on a connection of its own; none where TLS refuses it.
    fn status(&self, identity: &Identity) -> Option<u16> {
        self.status_with(&self.config(identity, DEFAULT_VERSIONS))
    }

    fn status_with(&self, config: &Arc<ClientConfig>) -> Option<u16> {
        let mut client = self.try_connect(config)?;
        client.try_send(get("/", "").as_bytes()).ok()?;
        Some(client.try_response_to("GET").ok()?.status)
    }

    fn put(&self, list: impl AsRef<[u8]>) {
        let path = self.gateway.directory().join("agents.crl");
        fs::write(path.with_extension("new"), list).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// Puts a list that is not taken, and waits until that is told.
    fn put_bad(&self, list: impl AsRef<[u8]>, why: &str) {
        let before = self.gateway.metric("crl_failures_total");
        self.put(list);
        let told = eventually(SOON, || {
            self.gateway.metric("crl_failures_total") > before && self.gateway.stderr().contains(why)
        });
        assert!(told, "{why}: {}", self.gateway.stderr());
    }

    fn reasons(&self) -> Vec<String> {
        let reason = |record: serde_json::Value| record["adamant.reason"].as_str().unwrap_or("none").to_owned();
        self.gateway.records().into_iter().map(reason).collect()
    }
}

#[test]
fn what_is_revoked_is_out_at_once_and_nothing_else_is() {
    let agents = Authority::new("agents");
    let (lost, good) = (agents.spiffe(BOT), agents.spiffe(BOT));
    let list = agents.crl(1, &[], DAY);
    let stage = Stage::new(agents, &list);
    let (mut idle, mut kept) = (stage.connect(&lost), stage.connect(&good));
    stage.put(stage.agents.crl(2, &[&lost], DAY));
    assert!(idle.is_closed_within(SOON), "an idle connection is closed");
    assert_eq!(stage.status(&lost), None, "a new one is refused by TLS");
    assert_eq!(kept.exchange(get("/", "")).status, 200, "another certificate's connection goes on");
    assert_eq!(stage.status(&good), Some(200));
    let is_told = || stage.gateway.record_text().contains("\"crl\"");
    assert!(eventually(SOON, is_told), "on record: {}", stage.gateway.record_text());
    assert_eq!(stage.gateway.metric("crl_revoked_certificates") as u64, 1);
    // Taken back by the CA: it is good again, because the list is only what the CA says.
    stage.put(stage.agents.crl(3, &[], DAY));
    assert!(eventually(SOON, || stage.status(&lost) == Some(200)));
}

#[test]
fn a_running_exchange_ends_with_its_certificate() {
    let agents = Authority::new("agents");
    let lost = agents.spiffe(BOT);
    let list = agents.crl(1, &[], DAY);
    let stage = Stage::new(agents, &list);
    let chunks = vec![b"piece".to_vec(); 600];
    let endless = Content::Chunked { chunks, trailers: vec![], pause: Duration::from_millis(100) };
    stage.origin.answer_with(move |head, _| match head.target_text().as_str() {
        "/stream" => Answer::new(200).with_content(endless.clone()),
        "/slow" => Answer::text("late").after(Duration::from_secs(60)),
        _ => Answer::text("ok"),
    });
    let (mut streaming, mut waiting) = (stage.connect(&lost), stage.connect(&lost));
    streaming.send(get("/stream", ""));
    waiting.send(get("/slow", ""));
    stage.origin.wait_for_head(4);
    stage.put(stage.agents.crl(2, &[&lost], DAY));
    assert!(streaming.try_response_to("GET").is_err(), "a response that has begun is cut");
    let told = waiting.try_response_to("GET").map(|response| response.status);
    assert_eq!(told, Ok(401), "where none has begun there is time to say so");
    stage.gateway.wait_for_records(4);
    let revoked = stage.reasons().iter().filter(|reason| *reason == "credential-revoked").count();
    assert_eq!(revoked, 2, "{:?}", stage.reasons());
}

#[test]
fn no_session_is_resumed_past_a_revocation() {
    for version in [&TLS13, &TLS12] {
        let agents = Authority::new("agents");
        let (lost, good) = (agents.spiffe(BOT), agents.spiffe(BOT));
        let list = agents.crl(1, &[], DAY);
        let stage = Stage::new(agents, &list);
        let resumed = || stage.gateway.metric("handshakes_resumed_total");
        let (config, other) = (stage.config(&lost, &[version]), stage.config(&good, &[version]));
        for config in [&config, &other, &config, &other] {
            assert_eq!(stage.status_with(config), Some(200));
        }
        assert!(eventually(SOON, || resumed() >= 2.0), "{version:?}: the client does resume");
        stage.put(stage.agents.crl(2, &[], DAY));
        assert!(eventually(SOON, || stage.gateway.stderr().contains("revocation list 2")));
        let before = resumed();
        assert_eq!(stage.status_with(&other), Some(200));
        assert!(
            eventually(SOON, || resumed() > before),
            "{version:?}: a list that revokes nothing new costs no session"
        );
        stage.put(stage.agents.crl(3, &[&lost], DAY));
        let refused = eventually(SOON, || matches!(stage.status_with(&config), None | Some(401)));
        assert!(refused, "{version:?}: the revoked one gets nowhere, resumed or not");
        for _ in 0..3 {
            assert_ne!(stage.status_with(&config), Some(200), "{version:?}");
            assert_eq!(stage.status_with(&other), Some(200), "{version:?}");
        }
    }
}

#[test]
fn a_list_that_ends_refuses_its_ca_unless_the_policy_says_otherwise() {
    let ends = |crl: &str, refuses: bool| {
        let agents = Authority::new("agents");
        let (good, lost) = (agents.spiffe(BOT), agents.spiffe(BOT));
        let list = agents.crl(1, &[&lost], DAY);
        let stage = Stage::with(agents, &list, crl);
        let mut open = stage.connect(&good);
        // Not before the gateway serves: to begin may take longer than that on a busy machine.
        stage.put(stage.agents.crl(2, &[&lost], Duration::from_secs(12)));
        stage.gateway.tells("revocation list 2");
        if !refuses {
            std::thread::sleep(Duration::from_secs(13));
            assert_eq!(stage.status(&good), Some(200), "{crl}");
            assert_eq!(stage.status(&lost), None, "{crl}");
            return;
        }
        assert!(eventually(SOON, || stage.status(&good).is_none()), "{crl}: new connections are refused");
        // It may be closed already.
        let next = open.try_send(get("/", "").as_bytes()).map(|()| open.try_response_to("GET"));
        assert!(!matches!(next, Ok(Ok(response)) if response.status == 200), "{crl}: so is the next request");
        stage.put(stage.agents.crl(3, &[], DAY));
        assert!(eventually(SOON, || stage.status(&good) == Some(200)), "{crl}: the next list brings it back");
    };
    std::thread::scope(|scope| {
        for (crl, refuses) in
            [("", true), (", enforce_expiration = true", true), (", enforce_expiration = false", false)]
        {
            scope.spawn(move || ends(crl, refuses));
        }
    });
}

/// Whoever's clock is wrong, it need not be right before the file changes again.
#[test]
fn a_list_that_is_ahead_counts_as_soon_as_it_may() {
    let agents = Authority::new("agents");
    let (lost, good) = (agents.spiffe(BOT), agents.spiffe(BOT));
    let list = agents.crl(1, &[], DAY);
    let stage = Stage::new(agents, &list);
    let ahead = Duration::from_secs(300 + 8);
    stage.put_bad(stage.agents.crl_ahead(2, &[&lost], ahead, DAY), "whose clock is wrong?");
    assert!(eventually(SOON, || stage.status(&lost).is_none()), "{}", stage.gateway.stderr());
    assert_eq!(stage.status(&good), Some(200));
    stage.gateway.tells("revocation list 2");
}

#[test]
fn what_is_no_later_list_of_the_ca_leaves_the_old_one_in_force() {
    let agents = Authority::new("agents");
    let (lost, good) = (agents.spiffe(BOT), agents.spiffe(BOT));
    let list = agents.crl(5, &[&lost], DAY);
    let mut stage = Stage::new(agents, &list);
    assert_eq!((stage.status(&lost), stage.status(&good)), (None, Some(200)));
    let older = stage.agents.crl(4, &[], DAY);
    stage.put_bad("garbage", "expected revocation lists in PEM");
    stage.put_bad("", "expected revocation lists in PEM");
    stage.put_bad(&list[..list.len() / 2], "expected revocation lists in PEM");
    stage.put_bad(&older, "it is older than the one in force");
    stage.put_bad(Authority::new("agents").crl(9, &[], DAY), "is it another CA's list?");
    stage.put_bad(Authority::new("somebody").crl(9, &[], DAY), "expected a list of the client CA itself");
    fs::remove_file(stage.gateway.directory().join("agents.crl")).unwrap();
    assert!(eventually(SOON, || stage.gateway.stderr().contains("agents.crl: cannot be read")));
    let admin = format!("http://{}", stage.gateway.admin_address());
    let (status, said, _) = tests::gateway::run(&["status", &admin], stage.gateway.directory());
    assert!(status.success() && said.contains("note: the revocation list of client CA agents was refused"), "{said}");
    assert_eq!((stage.status(&lost), stage.status(&good)), (None, Some(200)));
    stage.gateway.tells("the old revocation lists stay in force");
    // Nor does a restart bring an older one into force.
    for list in [None, Some(older.as_str()), Some("garbage")] {
        list.iter().for_each(|list| stage.put(list));
        stage.gateway.restart("TERM");
        stage.gateway.tells("that were in force last stay in force");
        assert_eq!((stage.status(&lost), stage.status(&good)), (None, Some(200)), "{list:?}");
    }
}

#[test]
fn a_list_that_cannot_be_kept_is_in_force_and_kept_as_soon_as_it_can_be() {
    let agents = Authority::new("agents");
    let lost = agents.spiffe(BOT);
    let list = agents.crl(1, &[], DAY);
    let mut stage = Stage::new(agents, &list);
    let state = stage.gateway.directory().join("state");
    assert!(eventually(SOON, || is_kept(&state, &list)));
    // Nobody writes to a directory.
    let kept = kept_files(&state).remove(0);
    let in_the_way = kept.with_file_name(format!(".{}.new", kept.file_name().unwrap().to_str().unwrap()));
    fs::create_dir(&in_the_way).unwrap();
    let later = stage.agents.crl(2, &[&lost], DAY);
    stage.put(&later);
    assert!(eventually(SOON, || stage.status(&lost).is_none()), "{}", stage.gateway.stderr());
    assert!(eventually(SOON, || stage.gateway.stderr().contains("could not be kept")), "{}", stage.gateway.stderr());
    fs::remove_dir(in_the_way).unwrap();
    assert!(eventually(SOON, || is_kept(&state, &later)));
    stage.put(&list);
    stage.gateway.restart("TERM");
    assert_eq!(stage.status(&lost), None, "nor does a restart bring the old one back");
}

#[test]
fn without_a_list_nobody_is_let_in_and_the_start_says_why() {
    let (servers, agents, origin) = (Authority::new("servers"), Authority::new("agents"), RecordingOrigin::start());
    let start = |list: Option<&str>| {
        let deployment = Deployment::new().file("agents.pem", &agents.pem);
        let deployment =
            list.map(|list| ("agents.crl", list)).into_iter().fold(deployment, |it, (name, text)| it.file(name, text));
        deployment.tls_listener(&servers.server(&[HOST]), "required").try_run(&policy(&origin, "")).err().unwrap()
    };
    let missing = start(None);
    assert!(missing.contains("client CA \"agents\": crl:") && missing.contains("agents.crl"), "{missing}");
    let foreign = start(Some(&Authority::new("agents").crl(1, &[], DAY)));
    assert!(foreign.contains("is it another CA's list?"), "{foreign}");
}
