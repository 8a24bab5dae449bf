//! Releases take each other's place while a real gateway serves: no request fails, nothing is lost that need not be, and
//! what a release takes away is gone at the next request.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tests::certificates::{Authority, Identity};
use tests::client::{Client, get};
use tests::gateway::Gateway;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::scene::bearer;
use tests::store::{Built, World, served, told};
use tests::tokens::{TokenKey, claims, jwks, now_s};

#[path = "activation/held.rs"]
mod held;

const HOST: &str = "api.test";
const BOT: &str = "{ token = { issuer = \"corp\", subject = \"bot\" } }";
const OTHER: &str = "{ token = { issuer = \"corp\", subject = \"other\" } }";
const CERTIFIED: &str = "{ certificate = \"spiffe://test/certified\", ca = \"agents\" }";
const SPIFFE: &str = "spiffe://test/certified";
/// A store is looked at several times a second.
const SOON: Duration = Duration::from_secs(60);

/// A store with a gateway that follows it on a plain and a TLS listener.
struct Stage {
    world: World,
    gateway: Option<Gateway>,
    key: TokenKey,
    servers_ca: Authority,
    agents_ca: Authority,
    serial: AtomicU64,
}

impl Stage {
    fn new() -> Self {
        let listener = "\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \
                        \"server.key\" }], client_certificates = \"optional\" }\n";
        // Whoever holds a release by doing nothing is not to be cut for that.
        let patient = "[timeouts]\norigin_first_byte = \"5m\"\ncontent_idle = \"5m\"\n";
        let world = World::with("hot", &format!("{listener}\n{patient}"));
        let (servers_ca, agents_ca) = (Authority::new("servers"), Authority::new("agents"));
        let server = servers_ca.server(&[HOST]);
        world.write("server.pem", server.certificate.as_bytes());
        world.write("server.key", server.key.as_bytes());
        fs::set_permissions(world.path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let key = TokenKey::generate("ES256", "k1");
        world.write("corp.jwks.json", jwks(&[&key]).as_bytes());
        world.write("agents.pem", agents_ca.pem.as_bytes());
        Self { world, gateway: None, key, servers_ca, agents_ca, serial: AtomicU64::new(0) }
    }

    /// One route and an issuer, and nobody who may use it.
    fn policy(&self) -> PolicyText {
        let policy = PolicyText::new().origin("origin", &[self.world.origin.address()]);
        policy.route("all", "*", "/{rest...}", "origin").scope("all", &["all"]).issuer(&["ES256"], "")
    }

    /// Builds a release and puts it into the store; nothing points at it yet.
    fn release(&self, version: u64, policy: &PolicyText) -> Built {
        let built = self.world.build(version, policy);
        self.world.put_release(&built, &[1, 2]);
        built
    }

    fn start(&mut self, first: &Built) {
        self.point(first);
        self.gateway = Some(self.world.start());
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    fn point(&self, built: &Built) {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        self.world.point_anywhere(serial, &built.digest);
    }

    /// Points at a release and waits until it serves.
    fn activate(&self, built: &Built) {
        self.point(built);
        let serves = eventually(SOON, || served(self.gateway()) == built.digest);
        assert!(serves, "not activated: {}\n{}", told(self.gateway()), self.gateway().stderr());
    }

    /// Good for longer than a busy machine takes for a hundred activations.
    fn token(&self, subject: &str) -> String {
        let mut claims = claims(subject);
        claims["exp"] = (now_s() + 3_600).into();
        bearer(&self.key.sign(&claims))
    }

    fn config(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        self.servers_ca.client_config(identity)
    }

    fn tls(&self, config: &Arc<ClientConfig>) -> Client {
        Client::connect_tls(self.gateway().tls_address(), HOST, config).unwrap()
    }
}

/// Requests until it is told to stop, on a new connection after each few; how many were made.
fn load(stop: &AtomicBool, mut connect: impl FnMut() -> Client, fields: &str, requests_a_connection: usize) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut client = connect();
        for _ in 0..requests_a_connection {
            let response = client.exchange(get("/load", fields));
            assert_eq!(response.status, 200, "request {count}: {}", response.text());
            count += 1;
            thread::sleep(Duration::from_millis(2));
        }
    }
    count
}

#[test]
fn a_hundred_activations_under_load_fail_no_request() {
    let mut stage = Stage::new();
    let policy = stage.policy().agent("bot", BOT, &["all"], &[]).anonymous(&["all"], &[]);
    let policy = policy.client_ca("agents", "agents.pem").agent("certified", CERTIFIED, &["all"], &[]);
    let one = stage.release(1, &policy);
    let two = stage.release(
        2,
        &policy.clone().route("more", "GET", "/more", "origin").scope("more", &["more"]).agent(
            "other",
            OTHER,
            &["more"],
            &[],
        ),
    );
    stage.start(&one);
    let (stop, rounds) = (AtomicBool::new(false), 100);
    let (token, plain) = (stage.token("bot"), stage.config(None));
    let certified = stage.config(Some(&stage.agents_ca.spiffe(SPIFFE)));
    let counts = thread::scope(|scope| {
        let (stage, stop) = (&stage, &stop);
        let connect = || stage.gateway().client();
        let users = [
            scope.spawn(move || load(stop, connect, "", 5)),
            scope.spawn(move || load(stop, connect, &token, 20)),
            scope.spawn(move || load(stop, || stage.tls(&plain), "", 5)),
            scope.spawn(move || load(stop, || stage.tls(&certified), "", 5)),
        ];
        // Whatever happens here, the users must end.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..rounds {
                stage.activate(if round % 2 == 0 { &two } else { &one });
                assert_eq!(stage.gateway().admin("/healthz").status, 200);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let counts: Vec<usize> = users.into_iter().map(|user| user.join().unwrap()).collect();
        done.unwrap();
        counts
    });
    let total: usize = counts.iter().sum();
    let gateway = stage.gateway();
    let mut releases: BTreeMap<String, usize> = BTreeMap::new();
    for record in gateway.wait_for_records(total) {
        *releases.entry(record["adamant.release"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let served: Vec<&String> = releases.keys().collect();
    let mut expected = [&one.digest, &two.digest];
    expected.sort();
    assert_eq!(served, expected, "each response was decided by one of the two: {releases:?}");
    println!("{rounds} activations, requests by user {counts:?}, by release {releases:?}");
    let activations = || gateway.record_text().matches("\"adamant.release.old\"").count();
    assert!(eventually(SOON, || activations() == rounds), "each one is told: {} of {rounds}", activations());
    // What the releases did not touch was kept.
    assert_eq!(gateway.metric("token_cache_misses_total"), 1.0, "one signature was checked, once");
    assert!(gateway.metric("handshakes_resumed_total") > gateway.metric("handshakes_total") / 2.0, "sessions resume");
    let connects = gateway.metric("origin_connects_total");
    assert!(connects <= 2.0 * counts.len() as f64, "{connects} connections to the origin for {} users", counts.len());
    assert_eq!(told(gateway)["activations_refused"].as_u64().unwrap_or(0), 0);
}

#[test]
fn limits_are_not_refilled_by_activations_and_stay_exact() {
    let mut stage = Stage::new();
    // The name makes it one counter, whatever the numbers are.
    let both = |bot: &str, other: &str| {
        stage.policy().agent("bot", BOT, &["all"], &[bot]).with(&format!(
            "[[agent]]\nname = \"other\"\nidentity = [{OTHER}]\nscopes = [\"all\"]\nlimits = [{{ limit = \"{other}\", \
             name = \"pace\" }}]"
        ))
    };
    let with = |limit: &str| both(limit, "3/hour");
    let one = stage.release(1, &with("60/day quota"));
    let more = with("60/day quota").route("more", "GET", "/more", "origin").scope("more", &["more"]);
    let two = stage.release(2, &more.anonymous(&["more"], &[]));
    let lower = stage.release(3, &with("10/day quota"));
    let higher = stage.release(4, &with("80/day quota"));
    let quick = stage.release(5, &both("80/day quota", "50/second"));
    stage.start(&one);
    let token = stage.token("bot");
    let (stop, admitted) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = stage.gateway().client();
                while !stop.load(Ordering::Relaxed) {
                    match client.exchange(get("/", &token)).status {
                        200 => admitted.fetch_add(1, Ordering::Relaxed),
                        429 => 0,
                        other => panic!("status {other}"),
                    };
                    thread::sleep(Duration::from_millis(10));
                }
            });
        }
        for round in 0..10 {
            stage.activate(if round % 2 == 0 { &two } else { &one });
        }
        let all = eventually(SOON, || admitted.load(Ordering::Relaxed) >= 60);
        stop.store(true, Ordering::Relaxed);
        assert!(all, "only {} were admitted", admitted.load(Ordering::Relaxed));
    });
    assert_eq!(admitted.load(Ordering::Relaxed), 60, "the quota, over ten activations");
    let mut client = stage.gateway().client();
    for (release, expected) in [(&lower, 0), (&one, 0), (&higher, 20), (&two, 0), (&higher, 0)] {
        stage.activate(release);
        let passed = (0..30).filter(|_| client.exchange(get("/", &token)).status == 200).count();
        assert_eq!(passed, expected, "what was counted is kept through every edit of the number");
    }
    // Three of three in an hour: the next one is an hour away, unless another release says that it is not.
    let patient = stage.token("other");
    let passed = (0..5).filter(|_| client.exchange(get("/", &patient)).status == 200).count();
    assert_eq!(passed, 3);
    stage.activate(&quick);
    let admitted = eventually(SOON, || client.exchange(get("/", &patient)).status == 200);
    assert!(admitted, "the state of the slower limit was not clamped to the numbers of the quicker one");
}

#[test]
fn who_lost_the_right_is_refused_at_the_next_request_on_an_open_connection() {
    let mut stage = Stage::new();
    let base = stage.policy().agent("other", OTHER, &["all"], &[]);
    let with_bot = base.clone().agent("bot", BOT, &["all"], &[]);
    let (with, without) = (stage.release(1, &with_bot), stage.release(2, &base));
    let narrowed =
        base.agent("bot", BOT, &["none"], &[]).route("none", "GET", "/none", "origin").scope("none", &["none"]);
    let narrowed = stage.release(3, &narrowed);
    stage.start(&with);
    let (token, other) = (stage.token("bot"), stage.token("other"));
    let mut plain = stage.gateway().client();
    let mut tls = stage.tls(&stage.config(None));
    let mut status = |token: &str| [&mut plain, &mut tls].map(|client| client.exchange(get("/", token)).status);
    for _ in 0..3 {
        assert_eq!((status(&token), status(&other)), ([200, 200], [200, 200]));
        stage.activate(&without);
        assert_eq!((status(&token), status(&other)), ([401, 401], [200, 200]), "an agent that is gone");
        stage.activate(&narrowed);
        assert_eq!((status(&token), status(&other)), ([403, 403], [200, 200]), "a scope that is gone");
        stage.activate(&with);
    }
    assert_eq!(stage.gateway().metric("token_cache_misses_total"), 2.0, "a signature is checked once a token");
}

#[test]
fn a_client_ca_that_is_gone_ends_certificates_open_sessions_and_tickets() {
    let mut stage = Stage::new();
    let others_ca = Authority::new("others");
    stage.world.write("others.pem", others_ca.pem.as_bytes());
    let under = |file: &str| stage.policy().client_ca("agents", file).agent("certified", CERTIFIED, &["all"], &[]);
    let bot = |policy: PolicyText| policy.agent("bot", BOT, &["all"], &[]);
    let ours = stage.release(1, &bot(under("agents.pem")));
    let others = stage.release(2, &bot(under("others.pem")));
    let none = stage.release(3, &bot(stage.policy()));
    stage.start(&ours);
    let mine = stage.config(Some(&stage.agents_ca.spiffe(SPIFFE)));
    let theirs = stage.config(Some(&others_ca.spiffe(SPIFFE)));
    // A status, or none where TLS said no.
    let status = |config: &Arc<ClientConfig>| {
        let address = stage.gateway().tls_address();
        let mut client = Client::connect_tls(address, HOST, config).ok()?;
        client.try_send(get("/", "").as_bytes()).ok()?;
        client.try_response_to("GET").ok().map(|response| response.status)
    };
    let resumed = || stage.gateway().metric("handshakes_resumed_total");
    let mut open = stage.tls(&mine);
    assert_eq!((open.exchange(get("/", "")).status, status(&mine), status(&mine)), (200, Some(200), Some(200)));
    let before = resumed();
    assert!(before >= 1.0, "the client resumes its session");

    stage.activate(&others);
    // The chain is checked again under the new CAs: at the next request, or before it came.
    let answer = open.try_send(get("/", "").as_bytes()).map_err(|error| error.to_string());
    let answer = answer.and_then(|()| open.try_response_to("GET"));
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 401), "{:?}", answer.map(|answer| answer.status));
    assert_eq!(status(&mine), None, "a certificate of the old CA, with a ticket or without");
    assert!(resumed() <= before, "a ticket from before opens nothing");
    assert_eq!(status(&theirs), Some(200));

    stage.activate(&none);
    assert_eq!(status(&mine), Some(401), "nobody asks for certificates any more");
    stage.activate(&ours);
    assert_eq!((status(&mine), status(&theirs)), (Some(200), None));
}

#[test]
fn transport_and_audit_mode_are_those_of_the_new_release_from_its_first_request_on() {
    let mut stage = Stage::new();
    let policy =
        |setting: &str| stage.policy().setting(setting).agent("bot", BOT, &["all"], &[]).anonymous(&["all"], &[]);
    let queued = stage.release(1, &policy("audit = \"queued\""));
    let durable = stage.release(2, &policy("audit = \"durable\""));
    let secure = stage.release(3, &policy("transport = \"tls\""));
    stage.start(&queued);
    let mut plain = stage.gateway().client();
    let intents = || stage.gateway().record_text().matches("\"adamant.kind\":\"intent\"").count();
    assert_eq!((plain.exchange(get("/", "")).status, intents()), (200, 0));
    stage.activate(&durable);
    assert_eq!(plain.exchange(get("/", "")).status, 200);
    assert!(eventually(SOON, || intents() == 1), "durable from the first request on");
    stage.activate(&queued);
    assert_eq!(plain.exchange(get("/", "")).status, 200);
    stage.activate(&secure);
    let mut tls = stage.tls(&stage.config(None));
    assert_ne!(plain.exchange(get("/", "")).status, 200, "an open connection without TLS");
    assert_eq!((tls.exchange(get("/", "")).status, intents()), (200, 1));
}

/// `FULL=1` activates releases of 20,000 agents, and sees that `/healthz` answers meanwhile.
#[test]
fn large_releases_do_not_hold_up_requests_or_health() {
    let agents = if std::env::var_os("FULL").is_some() { 20_000 } else { 1_000 };
    let mut stage = Stage::new();
    let large = |version: u64| {
        let mut text = String::new();
        for at in 0..agents {
            text.push_str(&format!(
                "[[agent]]\nname = \"a{version}-{at}\"\nidentity = [{{ token = {{ issuer = \"corp\", subject = \
                 \"s{at}\" }} }}]\nscopes = [\"all\"]\nlimits = [\"60/minute\"]\n"
            ));
        }
        stage.release(version, &stage.policy().with(&text).anonymous(&["all"], &[]))
    };
    let (one, two) = (large(1), large(2));
    stage.start(&one);
    let (stop, worst) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(stage.gateway().admin("/healthz").status, 200);
                worst.fetch_max(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
            }
        });
        scope.spawn(|| load(&stop, || stage.gateway().client(), "", 50));
        let begun = Instant::now();
        for round in 0..4 {
            stage.activate(if round % 2 == 0 { &two } else { &one });
        }
        stop.store(true, Ordering::Relaxed);
        println!("{agents} agents: four activations in {:?}", begun.elapsed());
    });
    let worst_ms = worst.load(Ordering::Relaxed);
    println!("/healthz answered within {worst_ms} ms");
}
