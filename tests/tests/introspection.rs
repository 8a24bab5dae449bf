//! Opaque tokens: their issuer is asked, once for all who ask, and whatever it does or says, nobody passes whom it did not
//! vouch for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "introspection/floods.rs"]
mod floods;
#[path = "introspection/lies.rs"]
mod lies;
#[path = "introspection/provider.rs"]
mod provider;
#[path = "introspection/released.rs"]
mod released;
#[path = "introspection/revoked.rs"]
mod revoked;
#[path = "introspection/several.rs"]
mod several;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::client::get;
use tests::deployment::Deployment;
use tests::desk::Desk;
use tests::gateway::Gateway;
use tests::issuer::{HttpsIssuer, Reply};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::scene::bearer;
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, claims, jwks, now_s};

const PATH: &str = "/introspect";
const SECRET: &str = "s3cr3t-of-the-gateway%";
const CLIENT: &str = "[[introspection_client]]\nname = \"gateway\"\nid = \"the gateway\"\nsecret = \"client.key\"";
const SOON: Duration = Duration::from_secs(60);
/// An answer must come within two seconds, and a busy machine may stand still for longer. Then it is asked again a second later.
const UNAVAILABLE: &str = "introspection-unavailable";
const PAUSE: Duration = Duration::from_millis(200);

/// Requests that were refused for that.
fn unavailable(gateway: &Gateway) -> usize {
    gateway.records().iter().filter(|record| record["adamant.reason"] == UNAVAILABLE).count()
}

/// The request comes to this status, and before that to nothing else than an answer that did not come in time.
fn comes_to(gateway: &Gateway, request: &str, status: u16) {
    let (mut refused, mut found) = (0, 0);
    let came = eventually(SOON, || {
        found = gateway.once(request).status;
        if found != status && found == 401 {
            refused += 1;
            thread::sleep(PAUSE);
        }
        found == status || found != 401
    });
    let told = refused == 0 || eventually(SOON, || unavailable(gateway) >= refused);
    assert!(came && found == status && told, "{found} after {refused} refusals: {}", gateway.record_text());
}

/// Questions that came to this outcome.
fn questions(gateway: &Gateway, outcome: &str) -> usize {
    let row = format!("adamant_introspections_total{{outcome=\"{outcome}\"}} ");
    let metrics = gateway.admin("/metrics").text();
    let found = metrics.lines().find_map(|line| line.strip_prefix(&row)?.parse::<f64>().ok());
    found.unwrap_or_else(|| panic!("{metrics}")) as usize
}

/// So many questions were needed, and one more for each that had no answer in time.
fn were_asked(gateway: &Gateway, asked: impl Fn() -> usize, needed: usize) {
    let is_right = || asked() == needed || (needed..=needed + questions(gateway, "failed")).contains(&asked());
    assert!(eventually(SOON, is_right), "asked {} times, {needed} were needed", asked());
}

/// The lines of an issuer that is asked at `url`.
fn issuer_text(url: &str, cache: &str, more: &str) -> String {
    format!(
        "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nscope_claim = \"scope\"\n{more}\n\
         introspection = {{ url = \"{url}\", ca = {{ file = \"id-ca.pem\" }}, client = \"gateway\", cache = \"{cache}\" }}"
    )
}

fn policy_text(origin: &RecordingOrigin, issuer: &str) -> PolicyText {
    PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .with(issuer)
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[])
}

/// A gateway that asks an issuer.
struct Scene {
    issuer: HttpsIssuer,
    gateway: Gateway,
    origin: RecordingOrigin,
}

impl Scene {
    fn new(cache: &str, more: &str) -> Self {
        let issuer = HttpsIssuer::start();
        let deployment = Deployment::new().file("client.key", &format!("{SECRET}\n")).with(CLIENT);
        Self::of(issuer, deployment, cache, more)
    }

    fn of(issuer: HttpsIssuer, deployment: Deployment, cache: &str, more: &str) -> Self {
        Self::on(issuer, deployment, "[0, 1]", cache, more)
    }

    fn on(issuer: HttpsIssuer, deployment: Deployment, cores: &str, cache: &str, more: &str) -> Self {
        let origin = RecordingOrigin::start();
        let policy = policy_text(&origin, &issuer_text(&issuer.url(PATH), cache, more));
        let gateway = deployment.file("id-ca.pem", &issuer.ca).cores(cores).run(&policy.text());
        Self { issuer, gateway, origin }
    }

    fn status(&self, token: &str) -> u16 {
        self.gateway.once(request_with(token)).status
    }

    fn passes(&self, token: &str) {
        comes_to(&self.gateway, &request_with(token), 200);
    }

    /// Refused, and the latest record says so.
    fn is_refused_for(&self, token: &str, reason: &str) {
        let mut found = None;
        eventually(SOON, || {
            found = self.refusal(token);
            let is_late = found.as_deref() == Some(UNAVAILABLE) && reason != UNAVAILABLE;
            thread::sleep(if is_late { PAUSE } else { Duration::ZERO });
            !is_late
        });
        assert_eq!(found.as_deref(), Some(reason));
    }

    /// Why a token is refused.
    fn refusal(&self, token: &str) -> Option<String> {
        let before = self.gateway.records().len();
        assert_eq!(self.status(token), 401, "{token}");
        let mut last = None;
        eventually(SOON, || {
            let records = self.gateway.records();
            // What was permitted comes another way, and may come later.
            let denied = |record: &Value| record["adamant.reason"].as_str().map(str::to_owned);
            last = records.get(before..).and_then(|new| new.iter().rev().find_map(denied));
            last.is_some()
        });
        last
    }
}

fn request_with(token: &str) -> String {
    get("/", &format!("{}Connection: close\r\n", bearer(token)))
}

/// What an issuer says of a token that is good.
fn active() -> Value {
    json!({
        "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "bot", "exp": now_s() + 600, "iat": now_s() - 5,
        "jti": "id-1", "scope": "all", "token_type": "Bearer", "client_id": "c",
    })
}

fn says(answer: &Value) -> Reply {
    Reply::json(&answer.to_string())
}

#[test]
fn an_active_token_passes_and_its_issuer_is_asked_once() {
    let scene = Scene::new("10m", "");
    scene.issuer.say_of(PATH, "good.token%2B1%3D", says(&active()));
    for _ in 0..10 {
        scene.passes("good.token+1=");
    }
    // Both workers know.
    were_asked(&scene.gateway, || scene.issuer.asked_about(PATH, "good.token%2B1%3D"), 1);
    let (head, content) = scene.issuer.heard().remove(0);
    assert_eq!(content, "token=good.token%2B1%3D&token_type_hint=access_token");
    // RFC 6749 §2.3.1: `the%20gateway:s3cr3t-of-the-gateway%25`.
    let basic = "Basic dGhlJTIwZ2F0ZXdheTpzM2NyM3Qtb2YtdGhlLWdhdGV3YXklMjU=\r\n";
    assert!(head.starts_with("POST /introspect HTTP/1.1\r\n") && head.contains(basic), "{head}");
    let permitted = || scene.gateway.records().into_iter().filter(|record| record["adamant.decision"] == "permit");
    assert!(eventually(SOON, || permitted().count() == 10), "{}", scene.gateway.record_text());
    let record = permitted().next().unwrap();
    assert_eq!(record["adamant.token.by"], "introspection", "{record}");
    assert_eq!((&record["adamant.agent"], &record["adamant.token.subject"]), (&json!("bot"), &json!("bot")));
    assert_eq!(record["adamant.token.scopes"], "all");
    assert_eq!(
        (questions(&scene.gateway, "active"), scene.gateway.metric("introspections_turned_away_total")),
        (1, 0.0)
    );
    let is_ready = || scene.gateway.admin("/readyz").status == 200;
    assert!(eventually(SOON, is_ready), "it has no keyset, and needs none");

    // Nothing that the gateway wrote has the token or the secret.
    let written = [scene.gateway.record_text(), scene.gateway.stderr(), scene.gateway.admin("/metrics").text()];
    assert!(written.iter().all(|text| !text.contains("good.token") && !text.contains("s3cr3t")));
    assert!(scene.origin.requests().iter().all(|request| request.value("Authorization").is_none()));
}

#[test]
fn another_secret_of_the_gateway_is_taken_and_on_record() {
    let scene = Scene::new("10m", "");
    scene.issuer.say(PATH, says(&active()));
    let file = scene.gateway.directory().join("client.key");
    let rotations = || scene.gateway.refreshes("introspection-client");
    scene.passes("one");
    // None of them makes a second line.
    for (content, status, expected) in [
        ("the-next-secret\n", 200, "taken"),
        ("the-next-secret", 200, "taken"),
        ("two words", 401, "refused"),
        ("two words", 401, "refused"),
        ("the-next-secret", 200, "unchanged"),
        ("the-last-secret", 200, "taken"),
    ] {
        std::fs::write(&file, content).unwrap();
        let (asked, lines) = (scene.issuer.asked(PATH), rotations().len());
        comes_to(&scene.gateway, &request_with(&format!("token-{asked}-{lines}-{status}")), status);
        let told =
            eventually(SOON, || rotations().last().is_some_and(|line| line["adamant.refresh.outcome"] == expected));
        assert!(told, "{content}: {:#?}", rotations());
    }
    let told = rotations();
    let outcomes: Vec<_> = told.iter().map(|line| line["adamant.refresh.outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["taken", "refused", "unchanged", "taken"]);
    assert_eq!(told[0]["adamant.refresh.new"], told[3]["adamant.refresh.old"]);
    assert!(told.iter().all(|line| line["adamant.refresh.source"].as_str().unwrap().ends_with("client.key")));
    assert_eq!(
        (&told[0]["adamant.refresh.name"], &told[0]["adamant.refresh.overlap_s"]),
        (&json!("gateway"), &json!(0))
    );
    let (head, _) = scene.issuer.heard().pop().unwrap();
    // `the%20gateway:the-last-secret`.
    assert!(head.contains("Basic dGhlJTIwZ2F0ZXdheTp0aGUtbGFzdC1zZWNyZXQ=\r\n"), "{head}");
    let written = [scene.gateway.record_text(), scene.gateway.stderr()];
    assert!(written.iter().all(|text| !text.contains("next-secret") && !text.contains("last-secret")));
}

#[test]
fn two_hundred_requests_at_once_are_one_question() {
    let scene = Scene::new("10m", "");
    scene.issuer.delay(Duration::from_millis(300));
    scene.issuer.say(PATH, says(&active()));
    for round in 0.. {
        let token = format!("token-{round}");
        let late = thread::scope(|scope| {
            let asking: Vec<_> = (0..200).map(|_| scope.spawn(|| scene.status(&token))).collect();
            let refused = asking.into_iter().map(|status| status.join().unwrap()).filter(|status| *status != 200);
            refused.inspect(|status| assert_eq!(*status, 401)).count()
        });
        if late == 0 {
            assert_eq!(scene.issuer.asked_about(PATH, &token), 1);
            return;
        }
        let told = eventually(SOON, || unavailable(&scene.gateway) >= late);
        assert!(round < 4 && told, "{late} were refused: {}", scene.gateway.record_text());
    }
}

#[test]
fn an_answer_counts_for_as_long_as_the_policy_says_and_no_longer_than_the_token() {
    let scene = Scene::new("2s", "");
    scene.issuer.say(PATH, says(&active()));
    scene.passes("withdrawn");
    scene.issuer.say(PATH, Reply::json(r#"{"active":false}"#));
    assert!(eventually(SOON, || scene.status("withdrawn") == 401));
    scene.is_refused_for("withdrawn", "token-inactive");
    let mut short = active();
    short["exp"] = json!(now_s() + 8);
    scene.issuer.say_of(PATH, "short", says(&short));
    scene.passes("short");
    assert!(eventually(SOON, || scene.status("short") == 401));
}

#[test]
fn an_inactive_token_is_asked_about_once_in_a_while() {
    let scene = Scene::new("10m", "");
    scene.issuer.say(PATH, Reply::json(r#"{"active":false}"#));
    let begun = Instant::now();
    for _ in 0..5 {
        scene.is_refused_for("no", "token-inactive");
    }
    let asked = scene.issuer.asked(PATH);
    // Kept for five seconds.
    let most = 2 + begun.elapsed().as_secs() as usize / 5 + questions(&scene.gateway, "failed");
    assert!(asked <= most, "asked {asked} times, {most} at most");
}

#[test]
fn what_looks_like_a_jwt_or_an_api_key_goes_to_nobody() {
    let key = TokenKey::generate("ES256", "k1");
    let issuer = HttpsIssuer::start();
    issuer.say(PATH, says(&active()));
    let deployment = Deployment::new().file("client.key", SECRET).file("keys.json", &jwks(&[&key])).with(CLIENT);
    // One issuer with both kinds of tokens.
    let keys = "algorithms = [\"ES256\"]\nkeys = { file = \"keys.json\" }";
    let scene = Scene::of(issuer, deployment, "10m", keys);
    let mut good = claims("bot");
    good["scope"] = json!("all");
    assert_eq!(scene.status(&key.sign(&good)), 200);
    let stranger = TokenKey::generate("ES256", "k1").sign(&good);
    for other in [stranger.as_str(), "a.b.c", "a.b.c.d.e", "adm_x_y", "a b", "{}"] {
        assert_eq!(scene.status(other), 401, "{other}");
    }
    assert_eq!(scene.issuer.connections(), 0);
    scene.passes("opaque");
}

#[test]
fn a_release_that_asks_without_a_client_is_refused_with_what_to_do() {
    let (issuer, origin) = (HttpsIssuer::start(), RecordingOrigin::start());
    let policy = policy_text(&origin, &issuer_text(&issuer.url(PATH), "1m", ""));
    let told = Deployment::new().file("id-ca.pem", &issuer.ca).try_run(&policy.text()).err().unwrap();
    assert!(told.contains("add an [[introspection_client]]"), "{told}");
}

#[test]
fn dev_takes_the_client_as_an_option() {
    let (issuer, origin) = (HttpsIssuer::start(), RecordingOrigin::start());
    issuer.say(PATH, says(&active()));
    let text = policy_text(&origin, &issuer_text(&issuer.url(PATH), "1m", "")).text();
    let desk = Desk::new();
    for (name, content) in [("policy.toml", &text), ("id-ca.pem", &issuer.ca)] {
        desk.write(name, content);
    }
    let told = desk.bad("dev policy.toml --listen 127.0.0.1:0");
    assert!(told.contains("--introspection-client gateway=ID,FILE") && !told.contains("gateway.toml"), "{told}");
    let directory = tempfile::tempdir().unwrap();
    let files = Deployment::new().file("client.key", SECRET).file("id-ca.pem", &issuer.ca);
    for name in ["client.key", "id-ca.pem"] {
        std::fs::rename(files.directory().join(name), directory.path().join(name)).unwrap();
    }
    let client = ["--introspection-client", "gateway=the gateway,client.key"];
    let gateway = Gateway::dev_in(directory, &text, &client);
    comes_to(&gateway, &request_with("good"), 200);
}
