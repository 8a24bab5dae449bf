//! An order that was counted, and whose certificate could not be put in use at once: it waits, and no other one is placed.

use std::process::Command;

use tests::agents::run;
use tests::answering::{Answering, Reply};
use tests::certificates::Authority;
use tests::gateway::binary;
use tests::process;

use super::*;

/// An ACME server and a token endpoint, and what enrolls there.
struct Scene {
    liar: Liar,
    desk: Desk,
    tokens: Answering,
    enroll: String,
}

impl Scene {
    fn new() -> Self {
        let (liar, desk, vouches) = (Liar::start(NAME), Desk::new(), Authority::new("of the token endpoint"));
        desk.good("ca init ca --trust-domain corp.example --no-passphrase");
        desk.write("liar.pem", &liar.tls.pem);
        desk.write("id-ca.pem", &vouches.pem);
        let tls = vouches.server(&["127.0.0.1"]).server_config();
        let token = r#"{"access_token":"of-the-tests","token_type":"Bearer","expires_in":3600}"#;
        let tokens =
            Answering::start(Some(tls), move |_| Reply::new(200, token).with("Content-Type", "application/json"));
        // Each certificate has a token of its own.
        let more = format!(
            "--dns {NAME} --token-url https://{}/token --token-ca id-ca.pem --client-id reports-bot --token-auth tls",
            tokens.address
        );
        let enroll = enroll("https://localhost:1", &liar.directory(), Path::new("liar.pem"), &more);
        Self { liar, desk, tokens, enroll }
    }

    fn profile(&self) -> PathBuf {
        self.desk.path("p")
    }

    /// Orders a renewal that cannot be put in use; what is told of it, more than once.
    fn fails(&self, keeper: &Running) -> Value {
        process::signal(keeper.child.id(), "HUP");
        let line = came_to(keeper, "failed", 2);
        assert!(line["again_in_ms"].as_u64().unwrap() <= 8_000, "{line:#}");
        line
    }
}

/// Waits until renewals of the certificate have come to this so many times; the last of them. Tokens are renewed besides.
fn came_to(keeper: &Running, outcome: &str, count: usize) -> Value {
    let mut found = Vec::new();
    let enough = || {
        found = keeper.json();
        found.retain(|line| line["what"] == "certificate" && line["outcome"] == outcome);
        found.len() >= count
    };
    assert!(eventually(SOON, enough), "{count} × {outcome} expected: {:#?}", keeper.lines());
    // There may be more by now, with longer pauses.
    found.swap_remove(count - 1)
}

#[test]
fn no_other_order_is_placed_while_no_token_is_to_be_had() {
    let scene = Scene::new();
    let pending = scene.profile().join("pending.pem");
    scene.tokens.is_away(true);
    assert_says(&scene.desk.bad(&scene.enroll), &["the new certificate waits in pending.pem, and no other is ordered"]);
    assert_eq!(fs::metadata(&pending).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!scene.profile().join("current").exists());
    scene.desk.bad(&scene.enroll);
    scene.tokens.is_away(false);
    scene.desk.good(&scene.enroll);
    assert!(scene.liar.orders() == 1 && !pending.exists(), "{} orders", scene.liar.orders());

    // The same of a renewal, also over a restart.
    let before = read_pair(&scene.profile());
    scene.tokens.is_away(true);
    let keeper = Running::start(&scene.desk.path("."), "agent run p");
    keeper.says("started", 1);
    assert_says(scene.fails(&keeper)["error"].as_str().unwrap(), &["waits in pending.pem"]);
    keeper.end();
    assert_eq!(read_pair(&scene.profile()), before);
    let (_, said, _) = run(&scene.desk.path("."), "agent run p --once");
    assert_says(&said, &["\"failed\""]);
    scene.tokens.is_away(false);
    scene.desk.good("agent run p --once");
    assert!(scene.liar.orders() == 2 && !pending.exists(), "{} orders", scene.liar.orders());
    let (_, cert, key) = read_pair(&scene.profile());
    assert_fits(&cert, &key);
    assert_ne!(cert, before.1);
    // Nothing waits any more, and what was only not removed is no news: the next renewal is a new order.
    let left = format!("{} acme:{}\n", tests::tokens::now_s(), scene.liar.directory());
    fs::write(&pending, [left.as_bytes(), &key, &cert].concat()).unwrap();
    fs::set_permissions(&pending, fs::Permissions::from_mode(0o600)).unwrap();
    scene.desk.good("agent run p --once");
    assert!(scene.liar.orders() == 3 && !pending.exists(), "{} orders", scene.liar.orders());
}

#[test]
fn no_other_order_is_placed_while_the_disk_is_full() {
    let scene = Scene::new();
    scene.desk.good(&scene.enroll);
    let before = read_pair(&scene.profile());
    // No file may grow, until it is let.
    let mut limited = Command::new("bash");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -S -f 0; exec {} agent run p", binary().display())]);
    let keeper = Running::of(&scene.desk.path("."), limited);
    keeper.says("started", 1);
    let told = scene.fails(&keeper);
    assert_says(told["error"].as_str().unwrap(), &["waits in the memory of this process"]);
    assert_says(told["todo"].as_str().unwrap(), &["still there, whole"]);
    assert_eq!(read_pair(&scene.profile()), before);
    assert!(!scene.profile().join("pending.pem").exists());
    let let_grow =
        Command::new("prlimit").args(["--pid", &keeper.child.id().to_string(), "--fsize=unlimited:"]).status();
    assert!(let_grow.unwrap().success());
    came_to(&keeper, "renewed", 1);
    assert_eq!(scene.liar.orders(), 2, "one to enroll, one to renew");
    let (_, cert, key) = read_pair(&scene.profile());
    assert_fits(&cert, &key);
    assert_ne!(cert, before.1);
    keeper.end();
}

/// What waits is of the CA that gave it: another one is asked all the same.
#[test]
fn what_waits_is_not_put_in_use_in_the_name_of_another_ca() {
    let (scene, other) = (Scene::new(), Liar::start(NAME));
    scene.tokens.is_away(true);
    scene.desk.bad(&scene.enroll);
    scene.tokens.is_away(false);
    scene.desk.write("other.pem", &other.tls.pem);
    let there = scene.enroll.replace(&scene.liar.directory(), &other.directory()).replace("liar.pem", "other.pem");
    scene.desk.good(&there);
    assert_eq!((scene.liar.orders(), other.orders()), (1, 1));
    assert!(!scene.profile().join("pending.pem").exists(), "nobody has use for that key any more");
}
