//! A CA that takes its time holds up nobody but the renewal that waits for it.

use std::time::Instant;

use tests::agents::run;
use tests::answering::{Answering, Reply};
use tests::certificates::Authority;
use tests::policy::PolicyText;
use tests::process;
use tests::store::{Built, Key, World};

use super::*;

/// Longer than a stop is waited for, shorter than an order.
const SLOW: Duration = Duration::from_secs(40);
/// Renewed six seconds before the end at the latest, and twice while the CA is at work.
const TOKEN_LIFE_S: u64 = 18;
/// What `agent run` leaves a renewal at the end.
const STOP: Duration = Duration::from_secs(15);

/// An ACME server, a token endpoint whose tokens are bound to nothing, a channel, and a profile of all three.
struct Stage {
    world: World,
    liar: Liar,
    _tokens: Answering,
}

impl Stage {
    fn new() -> Self {
        let (world, liar, vouches) = (World::new("hot"), Liar::start(NAME), Authority::new("of the token endpoint"));
        let given = AtomicUsize::new(0);
        let tokens = Answering::start(Some(vouches.server(&["127.0.0.1"]).server_config()), move |_| {
            let number = given.fetch_add(1, Ordering::Relaxed);
            let token =
                format!(r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{TOKEN_LIFE_S}}}"#);
            Reply::new(200, token).with("Content-Type", "application/json")
        });
        for (name, text) in
            [("clients.pem", &liar.issuer.pem), ("acme-ca.pem", &liar.tls.pem), ("id-ca.pem", &vouches.pem)]
        {
            world.write(name, text.as_bytes());
        }
        for (name, text) in [("4.key", Key::file(4)), ("secret", "of-the-bot\n".to_owned())] {
            world.write(name, text.as_bytes());
            fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let stage = Self { world, liar, _tokens: tokens };
        stage.world.publish(1, &stage.build(1, "60/minute"));
        let line = format!(
            "agent enroll p --agent reports-bot --gateway https://localhost:1 --gateway-ca id-ca.pem --store store --channel \
             production --trust-root root.json --acme {} --acme-ca acme-ca.pem --acme-agree-to-terms --token-url \
             https://{}/token --token-ca id-ca.pem --client-id bot --client-secret secret",
            stage.liar.directory(),
            stage._tokens.address
        );
        ok(stage.world.home(), &line);
        stage
    }

    fn build(&self, version: u64, limit: &str) -> Built {
        let policy = PolicyText::new()
            .origin("origin", &[self.world.origin.address()])
            .route("orders", "GET", "/orders/{id}", "origin")
            .scope("orders", &["orders"])
            .client_ca("agents", "clients.pem")
            .agent(
                "reports-bot",
                &format!("{{ certificate = \"dns:{NAME}\", ca = \"agents\" }}"),
                &["orders"],
                &[limit],
            );
        self.world.build(version, &policy)
    }

    fn profile(&self) -> PathBuf {
        self.world.path("p")
    }

    fn version(&self) -> u64 {
        let json: Value = serde_json::from_slice(&fs::read(self.profile().join("profile.json")).unwrap()).unwrap();
        json["granted"]["version"].as_u64().unwrap()
    }

    /// Has everything renewed, and waits until the CA is at work on it.
    fn orders(&self, keeper: &Running) {
        let before = self.liar.orders();
        process::signal(keeper.child.id(), "HUP");
        assert!(eventually(SOON, || self.liar.orders() > before), "{:#?}", keeper.lines());
    }

    /// Ends it in order, with something that is done meanwhile: how long that took, and what it told, in one chain.
    fn end(&self, mut keeper: Running, meanwhile: impl FnOnce()) -> (Duration, Vec<Value>) {
        let begun = Instant::now();
        process::signal(keeper.child.id(), "TERM");
        meanwhile();
        let mut code = None;
        let has_ended = || {
            code = keeper.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        };
        assert!(eventually(SOON, has_ended), "asked to end, it goes on: {:#?}", keeper.lines());
        let took = begun.elapsed();
        assert_eq!(code, Some(Some(0)));
        self.world.write("log", keeper.last_lines().join("\n").as_bytes());
        let said = ok(self.world.home(), "agent log p log");
        assert!(said.contains("unbroken: lines 1 to") && said.contains("the newest"), "{said}");
        (took, keeper.json())
    }
}

fn count(lines: &[Value], what: &str, outcome: &str) -> usize {
    lines.iter().filter(|line| line["what"] == what && line["outcome"] == outcome).count()
}

#[test]
fn tokens_and_the_channel_go_on_while_a_ca_takes_its_time() {
    let stage = Stage::new();
    let keeper = Running::start(stage.world.home(), "agent run p --touch touched");
    keeper.says("started", 1);
    let (_, before, _) = read_pair(&stage.profile());
    stage.liar.takes(SLOW);
    let asked = Instant::now();
    stage.orders(&keeper);
    // The channel moves.
    stage.world.publish(2, &stage.build(2, "90/minute"));
    assert!(eventually(SOON, || stage.version() == 2), "{:#?}", keeper.lines());
    // Tokens are renewed before they end, and the hooks run.
    let renewed = count(&keeper.json(), "token", "renewed");
    assert!(eventually(SOON, || count(&keeper.json(), "token", "renewed") >= renewed + 2), "{:#?}", keeper.lines());
    assert!(fs::read_to_string(stage.world.path("touched")).unwrap().starts_with("token "));
    assert!(asked.elapsed() < SLOW, "{:?}", asked.elapsed());
    let (_, cert, _) = read_pair(&stage.profile());
    assert_eq!(cert, before, "the CA is still at work");
    // What the CA gave goes beside all of that, and takes nothing back.
    let done = || count(&keeper.json(), "certificate", "renewed") == 1;
    assert!(eventually(SOON, done), "{:#?}", keeper.lines());
    assert!(asked.elapsed() >= SLOW, "{:?}", asked.elapsed());
    let (_, cert, key) = read_pair(&stage.profile());
    assert_fits(&cert, &key);
    assert_ne!(cert, before);
    assert_eq!((stage.version(), stage.liar.orders()), (2, 2));

    // An order that takes longer than the end can wait is left.
    stage.orders(&keeper);
    let (took, lines) = stage.end(keeper, || {});
    assert!(took >= STOP - Duration::from_secs(1) && took < SLOW, "{took:?}");
    // Seconds before the end of a token, a quarter of it is left, and a machine that stands still may warn of that.
    let is_unwanted = |line: &&Value| match line["outcome"].as_str() {
        Some("failed" | "expired") => true,
        Some("expiring") => line["what"] != "token",
        _ => false,
    };
    assert_eq!(lines.iter().find(is_unwanted), None, "{lines:#?}");
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    assert!(text.iter().all(|line| !line.contains("token-")), "{text:#?}");
}

/// A renewal that runs when the end is asked for is finished, and then it ends. What is put in use until then is told.
#[test]
fn the_end_waits_for_an_order_that_is_nearly_done() {
    let stage = Stage::new();
    let keeper = Running::start(stage.world.home(), "agent run p --exec true");
    keeper.says("started", 1);
    let (_, before, _) = read_pair(&stage.profile());
    stage.liar.takes(Duration::from_secs(8));
    let next = stage.build(2, "90/minute");
    stage.orders(&keeper);
    let (took, lines) = stage.end(keeper, || stage.world.publish(2, &next));
    assert!(took < STOP, "{took:?}");
    assert_eq!(count(&lines, "certificate", "renewed"), 1, "{lines:#?}");
    assert_eq!((stage.version(), count(&lines, "profile", "renewed")), (2, 1), "{lines:#?}");
    let (_, cert, key) = read_pair(&stage.profile());
    assert_fits(&cert, &key);
    assert_ne!(cert, before);
    // Once, it does one after the other, and what fails first is what it ends with.
    stage.liar.lies(Lie::OtherKey);
    stage.liar.takes(Duration::ZERO);
    let (status, said, _) = run(stage.world.home(), "agent run p --once");
    assert!(status == 1 && said.contains("\"failed\"") && !said.contains("\"what\":\"token\""), "{said}");
    stage.liar.lies(Lie::None);
    let said = ok(stage.world.home(), "agent run p --once");
    let whats: Vec<Value> =
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["what"].clone()).collect();
    assert_eq!(whats, ["certificate", "token"], "{said}");
}
