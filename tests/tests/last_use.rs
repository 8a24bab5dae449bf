//! When credentials were last used: noted by workers, merged, kept over releases and restarts, and told to who may know.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;
use tests::apikey::ApiKey;
use tests::certificates::{Authority, Identity};
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::gateway::{self, Gateway};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::scene::bearer;
use tests::store::{World, served};
use tests::tokens::{TokenKey, claims, jwks, now_s};

const HOST: &str = "api.test";
const BOT: &str = "spiffe://corp.test/bot";
/// Uses are read once a second.
const SOON: Duration = Duration::from_secs(60);

/// Everything that a gateway knows of uses.
fn told(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.admin("/last-use").text()).expect("/last-use is JSON")
}

/// The row of one credential.
fn row(gateway: &Gateway, kind: &str, name: &str) -> Option<Value> {
    let told = told(gateway);
    let rows = told["credentials"].as_array().unwrap();
    rows.iter().find(|row| row["kind"] == kind && row["name"] == name).cloned()
}

fn used(gateway: &Gateway, kind: &str, name: &str) -> Option<String> {
    row(gateway, kind, name)?["used"].as_str().map(str::to_owned)
}

fn used_soon(gateway: &Gateway, kind: &str, name: &str) {
    assert!(eventually(SOON, || used(gateway, kind, name).is_some()), "{kind} {name}: {:#}", told(gateway));
}

fn key_of(key: &ApiKey) -> String {
    format!("X-API-Key: {}\r\n", key.text)
}

struct Stage {
    gateway: Gateway,
    _origin: RecordingOrigin,
    servers: Authority,
    agents: Authority,
    keys: [ApiKey; 2],
    tokens: [TokenKey; 2],
}

/// Agents by API key, token and certificate, and everybody; each may read `/x`, and everybody `/open`.
fn stage() -> Stage {
    let (servers, agents, origin) = (Authority::new("servers"), Authority::new("agents"), RecordingOrigin::start());
    let keys = ["ci-1", "ci-2"].map(ApiKey::new);
    let tokens = ["k1", "k2"].map(|kid| TokenKey::generate("ES256", kid));
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("x", "GET", "/x", "origin")
        .route("open", "GET", "/open", "origin")
        .scope("x", &["x"])
        .scope("open", &["open"])
        .client_ca("agents", "agents.pem")
        .issuer(&["ES256"], "")
        .agent("ci", "{ api_key = [\"ci-1\", \"ci-2\"] }", &["x"], &[])
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["x"], &[])
        .agent("robot", &format!("{{ certificate = \"{BOT}\", ca = \"agents\" }}"), &["x"], &[])
        .agent("idle", "{ token = { issuer = \"corp\", subject = \"idle\" } }", &["x"], &[])
        .anonymous(&["open"], &[])
        .api_key(&keys[0], "")
        .api_key(&keys[1], "");
    let deployment = Deployment::new()
        .cores("[0, 1]")
        .file("agents.pem", &agents.pem)
        .file("corp.jwks.json", &jwks(&[&tokens[0], &tokens[1]]))
        .tls_listener(&servers.server(&[HOST]), "optional");
    let gateway = deployment.run(&policy.text());
    Stage { gateway, _origin: origin, servers, agents, keys, tokens }
}

impl Stage {
    fn status_by_certificate(&self, identity: &Identity) -> u16 {
        let config = self.servers.client_config(Some(identity));
        Client::connect_tls(self.gateway.tls_address(), HOST, &config).unwrap().exchange(get("/x", "")).status
    }

    fn command(&self, more: &[&str]) -> (bool, String, String) {
        let admin = format!("http://{}", self.gateway.admin_address());
        let (status, stdout, stderr) =
            gateway::run(&[&["status", &admin, "--last-use"], more].concat(), self.gateway.directory());
        (status.success(), stdout, stderr)
    }
}

#[test]
fn whatever_led_to_an_agent_was_used_and_nothing_else() {
    let mut stage = stage();
    let (gateway, begun_s) = (&stage.gateway, now_s());
    assert_eq!(gateway.once(get("/x", &key_of(&stage.keys[0]))).status, 200);
    // Denied, and used all the same: it led to an agent.
    assert_eq!(gateway.once(get("/elsewhere", &bearer(&stage.tokens[0].sign(&claims("bot"))))).status, 403);
    let robot = stage.agents.spiffe(BOT);
    assert_eq!(stage.status_by_certificate(&robot), 200);
    assert_eq!(gateway.once(get("/open", "")).status, 200);
    for (kind, name) in [("agent", "ci"), ("api-key", "ci-1"), ("agent", "bot"), ("key", "k1"), ("issuer", "corp")] {
        used_soon(gateway, kind, name);
    }
    used_soon(gateway, "agent", "robot");
    used_soon(gateway, "certificate", &robot.sha256());
    used_soon(gateway, "agent", "anyone");
    // What is refused as a credential was not.
    let wrong = format!("X-API-Key: {}\r\n", stage.keys[1].with_wrong_checksum());
    assert_eq!(gateway.once(get("/x", &wrong)).status, 401);
    let forged = TokenKey::generate("ES256", "k2").sign(&claims("idle"));
    assert_eq!(gateway.once(get("/x", &bearer(&forged))).status, 401);
    assert_eq!(gateway.once(get("/x", &bearer(&stage.tokens[1].sign(&claims("nobody"))))).status, 401);
    std::thread::sleep(Duration::from_millis(2_500));
    for (kind, name) in [("agent", "idle"), ("api-key", "ci-2"), ("key", "k2")] {
        let row = row(gateway, kind, name).unwrap_or_else(|| panic!("{kind} {name}: {:#}", told(gateway)));
        assert_eq!((&row["used"], &row["declared"]), (&Value::Null, &true.into()), "{row:#}");
    }
    let document = told(gateway);
    let rows = document["credentials"].as_array().unwrap();
    let certificates: Vec<_> = rows.iter().filter(|row| row["kind"] == "certificate").collect();
    assert_eq!((certificates.len(), &certificates[0]["name"]), (1, &robot.sha256().into()), "{document:#}");
    assert_eq!((&certificates[0]["agent"], &certificates[0]["declared"]), (&"robot".into(), &false.into()));
    let first = rows.first().unwrap();
    assert!(first["used"].is_null() && rows.last().unwrap()["used"].is_string(), "unused for longest first");
    assert_eq!(gateway.metric("credentials"), 5.0 + 2.0 + 1.0 + 2.0, "agents, keys, an issuer and its keys");
    assert_eq!((gateway.metric("credentials_unused"), gateway.metric("certificate_uses_unnoted_total")), (0.0, 0.0));

    let at = |gateway: &Gateway| used(gateway, "api-key", "ci-1").unwrap();
    let before = at(gateway);
    assert!(before.as_str() >= date_of(begun_s).as_str() && before.as_str() <= date_of(now_s()).as_str(), "{before}");
    stage.gateway.restart("TERM");
    assert_eq!(at(&stage.gateway), before, "it outlives a restart");
    assert!(used(&stage.gateway, "certificate", &robot.sha256()).is_some());
    let kept = stage.gateway.directory().join("state/last-use.json");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let secrets = [&stage.keys[0].text, &stage.keys[0].sha256];
    assert!(secrets.iter().all(|secret| !fs::read_to_string(&kept).unwrap().contains(*secret)));
    assert_eq!(stage.gateway.once(get("/x", &key_of(&stage.keys[0]))).status, 200);
    assert!(eventually(SOON, || at(&stage.gateway) > before), "and goes on");
}

fn date_of(unix_s: u64) -> String {
    let out = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{unix_s}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_command_shows_what_was_used_when_and_what_was_not() {
    let stage = stage();
    assert_eq!(stage.gateway.once(get("/x", &key_of(&stage.keys[0]))).status, 200);
    used_soon(&stage.gateway, "api-key", "ci-1");
    used_soon(&stage.gateway, "agent", "ci");
    let (fine, shown, said) = stage.command(&[]);
    assert!(fine, "{shown}{said}");
    let lines: Vec<String> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "KIND NAME OF LAST USED AT");
    assert!(lines.iter().any(|line| line.starts_with("api-key ci-2 - never noted since ")), "{shown}");
    assert!(lines.iter().any(|line| line.starts_with("key k1 corp never noted since ")), "{shown}");
    assert!(
        lines.iter().any(|line| line.starts_with("api-key ci-1 - 20")
            && (line.contains(" ago http://") || line.contains(" now http://"))),
        "{shown}"
    );
    assert!(shown.trim_end().ends_with("rows shown, 8 of them never used"), "{shown}");
    // It has looked for seconds alone, so nothing is known to be unused for a month.
    let (fine, shown, _) = stage.command(&["--unused", "30d"]);
    assert!(fine && shown.contains("known to be unused for so long"), "{shown}");
    let (fine, _, said) = stage.command(&["--unused", "30"]);
    assert!(!fine && said.contains("expected a span like 90s, 30m, 12h, 30d or 4w"), "{said}");

    // With a second gateway that cannot be reached, what is shown is not all.
    let (fine, shown, said) = stage.command(&["unix:/nonexistent/admin", "--format", "json"]);
    let all: Value = serde_json::from_str(&shown).unwrap();
    assert!(!fine && said.contains("no last uses of 1 of 2 gateways"), "{said}");
    assert!(all["gateways"][1]["fault"].as_str().unwrap().contains("cannot be reached"), "{shown}");
    let rows = all["credentials"].as_array().unwrap();
    let ci = rows.iter().find(|row| row["kind"] == "api-key" && row["name"] == "ci-1").unwrap();
    assert!(ci["used"].is_string() && ci["at"].as_str().unwrap().starts_with("http://"), "{ci:#}");
}

#[test]
fn what_one_gateway_saw_is_known_of_the_fleet() {
    let (one, other) = (stage(), stage());
    assert_eq!(other.gateway.once(get("/x", &key_of(&other.keys[1]))).status, 200);
    used_soon(&other.gateway, "api-key", "ci-2");
    let second = format!("http://{}", other.gateway.admin_address());
    let (fine, shown, said) = one.command(&[&second, "--format", "json"]);
    assert!(fine, "{said}");
    let all: Value = serde_json::from_str(&shown).unwrap();
    let rows = all["credentials"].as_array().unwrap();
    let of = |name: &str| rows.iter().find(|row| row["kind"] == "api-key" && row["name"] == name).unwrap();
    assert_eq!((&of("ci-1")["used"], &of("ci-2")["at"]), (&Value::Null, &second.as_str().into()), "{shown}");
}

#[test]
fn a_use_is_kept_by_name_when_another_release_serves() {
    let world = World::new("hot");
    let keys = ["a-1", "b-1", "0-1"].map(ApiKey::new);
    let policy = |keys: &[ApiKey]| {
        keys.iter().fold(world.policy(&["/x"]), |policy, key| {
            let (name, _) = key.id.split_once('-').unwrap();
            policy.agent(name, &format!("{{ api_key = [\"{}\"] }}", key.id), &["all"], &[]).api_key(key, "")
        })
    };
    // The table has them in the order of their names: with one more before them, each has the place that another one had.
    let (one, two) = (world.build(1, &policy(&keys[..2])), world.build(2, &policy(&keys)));
    let three = world.build(3, &world.policy(&["/x"]));
    world.publish(1, &one);
    let gateway = world.start();
    assert_eq!(gateway.once(get("/x", &key_of(&keys[0]))).status, 200);
    used_soon(&gateway, "agent", "a");
    used_soon(&gateway, "api-key", "a-1");
    let before = used(&gateway, "api-key", "a-1");
    world.publish(2, &two);
    assert!(eventually(SOON, || served(&gateway) == two.digest), "{}", gateway.stderr());
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!((used(&gateway, "api-key", "a-1"), used(&gateway, "agent", "b")), (before, None));
    assert_eq!((used(&gateway, "api-key", "0-1"), used(&gateway, "agent", "0")), (None, None));
    assert_eq!(gateway.once(get("/x", &key_of(&keys[1]))).status, 200);
    used_soon(&gateway, "agent", "b");
    used_soon(&gateway, "api-key", "b-1");
    world.publish(3, &three);
    let gone = eventually(SOON, || row(&gateway, "agent", "a").is_some_and(|row| row["declared"] == false));
    assert!(gone && used(&gateway, "agent", "a").is_some(), "{:#}", told(&gateway));
}

#[test]
fn the_fleet_is_told_only_where_the_gateway_is_told_to() {
    let origin = RecordingOrigin::start();
    for (line, expected) in [("", 404), ("last_use = true\n", 200)] {
        let (gateways, askers) = (Authority::new("gateways"), Authority::new("askers"));
        let server = gateways.server(&["127.0.0.1"]);
        let deployment = Deployment::new()
            .file("status.pem", &server.certificate)
            .file("status.key", &server.key)
            .file("askers.pem", &askers.pem)
            .with(&format!(
                "[status]\naddress = \"127.0.0.1:0\"\ntls = {{ chain = \"status.pem\", key = \"status.key\" }}\n\
                 client_ca = \"askers.pem\"\n{line}"
            ));
        let gateway = deployment.run(&tests::policy::open_to_all(origin.address()).text());
        let config = gateways.client_config(Some(&askers.spiffe("spiffe://fleet/operator")));
        let mut client = Client::connect_tls(gateway.status_address(), "127.0.0.1", &config).unwrap();
        let answer = client.exchange("GET /last-use HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.status, expected, "{}", answer.text());
        if expected == 404 {
            assert!(answer.text().contains("last_use = true in [status]"), "{}", answer.text());
        }
        assert_eq!(gateway.admin("/last-use").status, 200, "this machine is always told");
    }
}
