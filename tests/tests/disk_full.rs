//! A disk that is really full while keys and state are written: what was there stays whole, what is taken away is taken away
//! all the same, and with room again everything goes on.
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
use std::path::Path;
use std::time::Duration;

use tests::agents::{ID, Running, Scene, assert_fits, ok, read_pair, run};
use tests::certificates::{Authority, Identity, is_kept};
use tests::client::{Client, get};
use tests::gateway::{self, Gateway};
use tests::issuer::{HttpsIssuer, Reply};
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::scene::bearer;
use tests::small_disk::SmallDisk;
use tests::store::{Key, World, served, told};
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, claims, jwks};

const HOST: &str = "api.test";
const BOT: &str = "spiffe://corp.test/bot";
const SOON: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// More pages than any of these writes needs.
const PAGES_MAX: u64 = 64;

/// Names of all that lies below.
fn all_below(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).unwrap().flatten() {
        names.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            names.extend(all_below(&entry.path()));
        }
    }
    names.sort();
    names
}

#[test]
fn an_agents_renewal_is_whole_or_not_there_with_any_room() {
    let scene = Scene::new();
    let (small, profile) = (scene.at().join("small"), scene.at().join("small/p"));
    let Some(disk) = SmallDisk::mount(&small, 1_024) else { return };
    let url = scene.url();
    ok(
        scene.at(),
        &format!("agent enroll small/p --agent reports-bot --gateway {url} --ca ca --spiffe {ID} --life 12s"),
    );
    let mut failures = 0;
    let renewed = (0..PAGES_MAX).find(|pages| {
        let names = || all_below(&profile).into_iter().filter(|path| !path.ends_with("log.json")).collect::<Vec<_>>();
        let before = (read_pair(&profile), names());
        disk.fill_but(*pages);
        let (status, said, _) = run(scene.at(), "agent run small/p --once");
        let after = read_pair(&profile);
        assert_fits(&after.1, &after.2);
        if status != 0 {
            assert!(said.contains("\"failed\"") && said.contains("still there, whole"), "{pages} pages: {said}");
            // But the number of the line that tells it.
            assert_eq!((after, names()), before, "{pages} pages: nothing changed, nothing is left");
            failures += 1;
            return false;
        }
        after != before.0
    });
    println!("renewed with {renewed:?} pages of room after {failures} failures");
    assert!(renewed.is_some() && failures > 2, "{renewed:?}, {failures}");
    // A run that goes on meanwhile tells it, and needs nobody when there is room again.
    disk.fill_but(0);
    let keeper = Running::start(scene.at(), "agent run small/p");
    keeper.says("\"failed\"", 1);
    disk.empty();
    keeper.says("\"renewed\"", 1);
    keeper.end();
    ok(scene.at(), "agent doctor small/p");
    // Without any room the place of its log is written where it stands: numbers go on over restarts.
    disk.fill_but(0);
    let log: String = (0..2).map(|_| run(scene.at(), "agent run small/p --once").1).collect();
    disk.empty();
    fs::write(scene.at().join("log"), &log).unwrap();
    assert!(ok(scene.at(), "agent log small/p log").contains("the newest that the profile knows of"), "{log}");
}

#[test]
fn a_key_that_finds_no_room_leaves_no_file() {
    let scene = Scene::new();
    let small = scene.at().join("small");
    let Some(disk) = SmallDisk::mount(&small, 256) else { return };
    let issue = format!("ca issue ca --spiffe {ID} --key-out small/k.key --out small/k.pem");
    let issued = (0..PAGES_MAX).find(|pages| {
        disk.fill_but(*pages);
        let (status, _, said) = run(scene.at(), &issue);
        let mut names = all_below(&small);
        names.retain(|name| !name.ends_with("/filler"));
        if status != 0 {
            // A key without its certificate is one that nobody has use for; half a key is worse.
            assert!(said.contains("small/k."), "{said}");
            assert!(names.iter().all(|name| fs::metadata(name).unwrap().len() > 0), "{pages} pages: {names:?}: {said}");
            assert!(!names.iter().any(|name| name.ends_with("k.pem")), "{pages} pages: {names:?}");
            names.iter().for_each(|name| fs::remove_file(name).unwrap());
        }
        status == 0
    });
    assert!(issued.is_some_and(|pages| pages > 0), "{issued:?}");
    let [cert, key] = ["k.pem", "k.key"].map(|name| fs::read(small.join(name)).unwrap());
    assert_fits(&cert, &key);
}

/// A gateway whose state lies on a small disk, with something of each kind that moves.
struct Stage {
    world: World,
    issuer: HttpsIssuer,
    servers: Authority,
    agents: Authority,
    local: TokenKey,
}

impl Stage {
    fn new(first: &TokenKey) -> Self {
        let listener = "\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \
                        \"server.key\" }], client_certificates = \"optional\" }\n";
        let issuer = HttpsIssuer::start();
        issuer.say("/keys", Reply::json(&jwks(&[first])));
        let (servers, agents) = (Authority::new("servers"), Authority::new("agents"));
        let local = TokenKey::generate("ES256", "local");
        let stage = Self { world: World::with("hot", listener), issuer, servers, agents, local };
        stage.put_server();
        stage.world.write("agents.pem", stage.agents.pem.as_bytes());
        stage.world.write("id-ca.pem", stage.issuer.ca.as_bytes());
        stage.world.write("local.json", jwks(&[&stage.local]).as_bytes());
        stage.put_secret("1.key", &Key::file(1));
        stage.world.write("agents.crl", stage.agents.crl(1, &[], DAY).as_bytes());
        stage
    }

    fn put_secret(&self, name: &str, text: &str) {
        self.world.write(name, text.as_bytes());
        fs::set_permissions(self.world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn put_server(&self) {
        let next = self.servers.server(&[HOST]);
        self.put_secret("server.key", &next.key);
        self.world.write("server.pem", next.certificate.as_bytes());
    }

    fn policy(&self) -> PolicyText {
        let url = self.issuer.url("/keys");
        PolicyText::new()
            .origin("origin", &[self.world.origin.address()])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .with(&format!(
                "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\n\
                 keys = {{ url = \"{url}\", refresh = \"1s\", max_stale = \"1h\", ca = {{ file = \"id-ca.pem\" }} }}"
            ))
            .with(&format!(
                "[[issuer]]\nname = \"local\"\nissuer = \"https://local.test\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = \
                 [\"ES256\"]\nkeys = {{ file = \"local.json\" }}"
            ))
            .with(
                "[[client_ca]]\nname = \"agents\"\ncertificates = { file = \"agents.pem\" }\ncrl = { watch = \
                 \"agents.crl\" }",
            )
            .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[])
            .agent("guests", "{ token = { issuer = \"local\", subject = \"*\" } }", &["all"], &["100000/minute"])
            .agent("robot", &format!("{{ certificate = \"{BOT}\", ca = \"agents\" }}"), &["all"], &[])
    }

    fn by_token(gateway: &Gateway, key: &TokenKey) -> u16 {
        gateway.once(get("/", &bearer(&key.sign(&claims("bot"))))).status
    }

    /// A request with one token, the same each time: what is revoked of a subject was issued before.
    fn guest(&self, name: &str) -> String {
        let mut claims = claims(name);
        claims["iss"] = "https://local.test".into();
        get("/", &bearer(&self.local.sign(&claims)))
    }

    fn by_certificate(&self, gateway: &Gateway, identity: &Identity) -> Option<u16> {
        let config = self.servers.client_config(Some(identity));
        let mut client = Client::connect_tls(gateway.tls_address(), HOST, &config).ok()?;
        client.try_send(get("/", "").as_bytes()).ok()?;
        Some(client.try_response_to("GET").ok()?.status)
    }

    fn revoke(&self, subject: &str) {
        let line = format!(
            "revoke --store store --channel production --trust-root root.json --key 1.key --subject local/{subject}"
        );
        let (status, stdout, stderr) = gateway::run(&line.split(' ').collect::<Vec<_>>(), self.world.home());
        assert!(status.success(), "{stdout}{stderr}");
    }
}

#[test]
fn a_gateway_whose_state_finds_no_room_serves_and_takes_away_all_the_same() {
    let (first, second) = (TokenKey::generate("ES256", "k1"), TokenKey::generate("ES256", "k2"));
    let stage = Stage::new(&first);
    let Some(disk) = SmallDisk::mount(&stage.world.path("state"), 1_024) else { return };
    let one = stage.world.build(1, &stage.policy());
    stage.world.publish(1, &one);
    let gateway = stage.world.start();
    let [good, lost] = [stage.agents.spiffe(BOT), stage.agents.spiffe(BOT)];
    assert!(eventually(SOON, || Stage::by_token(&gateway, &first) == 200));
    assert_eq!([&good, &lost].map(|of| stage.by_certificate(&gateway, of)), [Some(200); 2]);
    let [guest, thief] = ["guest", "thief"].map(|name| stage.guest(name));
    assert_eq!([&guest, &thief].map(|request| gateway.once(request).status), [200; 2]);
    // A revocation list was in force before: from then on there is room for the next.
    stage.revoke("nobody");
    assert!(eventually(SOON, || told(&gateway)["revocations"]["serial"] == 1), "{}", gateway.stderr());

    disk.fill_but(0);
    stage.issuer.say("/keys", Reply::json(&jwks(&[&second])));
    stage.world.write("agents.crl", stage.agents.crl(2, &[&lost], DAY).as_bytes());
    stage.put_server();
    stage.revoke("thief");
    let said = || gateway.stderr();
    assert!(eventually(SOON, || Stage::by_token(&gateway, &second) == 200), "a new key counts: {}", said());
    assert!(eventually(SOON, || Stage::by_token(&gateway, &first) == 401), "the old one does not: {}", said());
    assert!(eventually(SOON, || stage.by_certificate(&gateway, &lost).is_none()), "the CRL is in force: {}", said());
    assert!(eventually(SOON, || gateway.once(&thief).status == 401), "so is the revocation: {}", said());
    gateway.tells("a new certificate for api.test serves");
    assert_eq!((stage.by_certificate(&gateway, &good), gateway.once(&guest).status), (Some(200), 200));
    assert!(eventually(SOON, || said().contains("No space left on device")), "{}", said());
    // A release that cannot be written down does not come to serve.
    let two = stage.world.build(2, &stage.policy().anonymous(&["all"], &[]));
    stage.world.publish(2, &two);
    assert!(eventually(SOON, || gateway.metric("acceptance_refused") == 1.0), "{}", said());
    assert_eq!((served(&gateway), gateway.once(get("/", "")).status), (one.digest.clone(), 401));

    // Killed and started again without room: what was taken away stays taken away.
    drop(gateway);
    let gateway = stage.world.start();
    assert_eq!([&thief, &guest].map(|request| gateway.once(request).status), [401, 200], "{}", gateway.stderr());
    assert_eq!(stage.by_certificate(&gateway, &lost), None, "{}", gateway.stderr());
    assert!(eventually(SOON, || Stage::by_token(&gateway, &second) == 200), "{}", gateway.stderr());
    // With room everything is written down, and what waited comes to serve.
    disk.empty();
    assert!(eventually(SOON, || served(&gateway) == two.digest), "{}", gateway.stderr());
    let kept = |name: &str| fs::read_to_string(stage.world.path(&format!("state/{name}"))).unwrap_or_default();
    let crl = fs::read_to_string(stage.world.path("agents.crl")).unwrap();
    assert!(eventually(SOON, || is_kept(&stage.world.path("state"), &crl)), "{}", gateway.stderr());
    assert!(eventually(SOON, || kept("keysets/corp.json").contains("k2")), "{}", kept("keysets/corp.json"));
    assert_eq!(gateway.once(get("/", "")).status, 200);
}

#[test]
fn a_release_that_finds_no_room_is_tried_ever_less_often_and_nothing_else_waits_for_that() {
    let world = World::new("hot");
    let Some(disk) = SmallDisk::mount(&world.path("state"), 2_048) else { return };
    world.write("1.key", Key::file(1).as_bytes());
    fs::set_permissions(world.path("1.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let revoke = |agent: &str| {
        let line =
            format!("revoke --store store --channel production --trust-root root.json --key 1.key --agent {agent}");
        let (status, stdout, stderr) = gateway::run(&line.split(' ').collect::<Vec<_>>(), world.home());
        assert!(status.success(), "{stdout}{stderr}");
    };
    let release = |version: u64, routes: usize| {
        let paths: Vec<String> = (0..routes).map(|number| format!("/{version}/{number}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let policy = world.policy(&paths).agent("bot", "{ api_key = [\"bot-1\"] }", &["all"], &[]);
        world.build(version, &policy.with(&format!("[[api_key]]\nid = \"bot-1\"\nsha256 = \"{}\"", "b".repeat(64))))
    };
    let one = release(1, 1);
    world.publish(1, &one);
    let gateway = world.start();
    revoke("bot");
    assert!(eventually(SOON, || told(&gateway)["revocations"]["serial"] == 1), "{}", gateway.stderr());

    // Room for everything but a release. Each attempt to write one down leaves its time on the folder.
    disk.fill_but(PAGES_MAX / 4);
    let attempted = || fs::metadata(world.path("state/releases")).unwrap().modified().unwrap();
    let files = || fs::read_dir(world.path("state/releases")).unwrap().count();
    let (mut last, kept) = (attempted(), files());
    let mut attempt = |what: &str| {
        assert!(eventually(SOON, || attempted() != last), "{what}: {}", gateway.stderr());
        // Its file is taken away again.
        assert!(eventually(SOON, || files() == kept), "{what}");
        last = attempted();
        last
    };
    let [two, three] = [release(2, 2_000), release(3, 2_000)];
    world.publish(2, &two);
    attempt("a release");
    assert!(eventually(SOON, || gateway.metric("acceptance_refused") == 1.0), "{}", gateway.stderr());
    world.publish(3, &three);
    attempt("another release");
    // Where the machine stood still, what was due before may be taken for what comes of the order: then once more.
    let mut pauses = Vec::new();
    let grow = (2_u64..5).any(|serial| {
        gateway.signal("HUP");
        let ordered = attempt("SIGHUP");
        // What is revoked meanwhile is in force at once, and is no reason to try again.
        revoke("anyone");
        assert!(eventually(SOON, || told(&gateway)["revocations"]["serial"] == serial), "{}", gateway.stderr());
        let first = attempt("the first pause");
        let second = attempt("the second pause");
        let [one, two] = [(ordered, first), (first, second)].map(|(from, to)| to.duration_since(from).unwrap());
        pauses.push([one, two]);
        one > Duration::from_secs(4) && two > Duration::from_secs(9)
    });
    assert!(grow, "{pauses:?}");
    assert_eq!(served(&gateway), one.digest);
    // There is room: nobody waits for the third pause, of 20 s.
    disk.empty();
    assert!(eventually(SOON, || served(&gateway) == three.digest), "{}", gateway.stderr());
}
