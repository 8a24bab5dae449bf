//! Records: one line for each exchange, with what is needed to understand it, and never a secret.
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

use serde_json::Value;
use tests::apikey::ApiKey;
use tests::client::{get, post};
use tests::deployment::Deployment;
use tests::origin::RecordingOrigin;
use tests::policy::open_to_all;
use tests::process::eventually;
use tests::scene::{self, Scene, bearer};
use tests::tokens::{TokenKey, claims};

const SOON: Duration = Duration::from_secs(60);
const BOT: &str = "{ token = { issuer = \"corp\", subject = \"bot\" } }";

fn record_of<'r>(records: &'r [Value], path: &str) -> &'r Value {
    let found = records.iter().find(|record| record["url.path"] == path);
    found.unwrap_or_else(|| panic!("no record of {path} in {records:#?}"))
}

#[test]
fn a_permitted_exchange_is_recorded_whole() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = scene::with_tokens(&key, |policy| policy.agent("bot", BOT, &["all"], &["1000/minute"]));
    let token = key.sign(&claims("bot"));
    let response = scene.gateway.once(post("/orders/%37?key=s3cret&x=1", &bearer(&token), "hello"));
    assert_eq!(response.status, 200);
    let records = scene.gateway.wait_for_records(1);
    let record = record_of(&records, "/orders/7");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("server.address", "api.test"),
        ("client.address", "127.0.0.1"),
        ("adamant.decision", "permit"),
        ("adamant.agent", "bot"),
        ("adamant.route", "all"),
        ("adamant.scope", "all"),
        ("adamant.token.issuer", "corp"),
        ("adamant.token.subject", "bot"),
        ("adamant.token.kid", "k1"),
    ] {
        assert_eq!(record[name], value, "{name} in {record:#}");
    }
    assert_eq!(record["http.response.status_code"], 200);
    assert_eq!(record["http.request.body.size"], 5);
    assert_eq!(record["adamant.request_id"].as_str(), response.value("X-Request-Id"));
    assert!(record["adamant.release"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{record:#}");
    assert!(record["adamant.origin.address"].as_str() == Some(scene.origin.address().to_string().as_str()));
    assert!(record["time"].is_string() && record["adamant.durations_us"]["total"].is_u64());
    assert!(record["adamant.limits_before"].as_array().is_some_and(|limits| limits.len() == 1));
    assert!(record.get("adamant.reason").is_none_or(Value::is_null));
}

#[test]
fn each_refusal_is_recorded_with_its_precise_reason() {
    let key = TokenKey::generate("ES256", "k1");
    let stranger = TokenKey::generate("ES256", "k1");
    let scene = scene::with_tokens(&key, |policy| {
        policy
            .route("private", "GET", "/private/{id}", "origin")
            .scope("private", &["private"])
            .agent("bot", BOT, &["private"], &["1/hour quota"])
            .agent("boss", "{ token = { issuer = \"corp\", subject = \"boss\" } }", &["all"], &[])
    });
    let good = bearer(&key.sign(&claims("bot")));
    let mut old = claims("bot");
    old["exp"] = Value::from(1_000_000_000);
    for (path, fields, status, reason) in [
        ("/missing", String::new(), 401, "credential-missing"),
        ("/forged", bearer(&stranger.sign(&claims("bot"))), 401, "token-invalid"),
        ("/expired", bearer(&key.sign(&old)), 401, "token-expired"),
        ("/unknown", bearer(&key.sign(&claims("mallory"))), 401, "agent-unknown"),
        ("/nowhere", good.clone(), 403, "scope-missing"),
        ("/private/1", good.clone(), 200, ""),
        ("/private/2", good.clone(), 429, "limit-exceeded"),
    ] {
        let response = scene.gateway.once(get(path, &fields));
        assert_eq!(response.status, status, "{path}");
        assert!(!response.text().contains(reason) || reason.is_empty(), "the precise reason stands only in the record");
    }
    let records = scene.gateway.wait_for_records(7);
    for (path, reason) in [
        ("/missing", "credential-missing"),
        ("/forged", "token-invalid"),
        ("/expired", "token-expired"),
        ("/unknown", "agent-unknown"),
        ("/nowhere", "scope-missing"),
        ("/private/2", "limit-exceeded"),
    ] {
        let record = record_of(&records, path);
        assert_eq!(record["adamant.decision"], "deny", "{path}");
        assert_eq!(record["adamant.reason"], reason, "{path}");
    }
}

#[test]
fn malformed_requests_and_broken_origins_are_recorded_too() {
    let scene = Scene::scripted(|_, _| tests::answer::Answer::broken(tests::answer::Fault::BeforeResponse));
    scene.gateway.once("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    scene.gateway.once(post("/broken", "", ""));
    let records = scene.gateway.wait_for_records(2);
    let reasons: Vec<&str> = records.iter().filter_map(|record| record["adamant.reason"].as_str()).collect();
    assert!(reasons.contains(&"malformed-head") || reasons.contains(&"ambiguous-framing"), "{reasons:?}");
    assert!(reasons.contains(&"origin-broke"), "{reasons:?}");
    assert_eq!(record_of(&records, "/broken")["http.response.status_code"], 502);
}

#[test]
fn a_client_that_leaves_is_recorded() {
    let scene =
        Scene::scripted(|_, _| tests::answer::Answer::text("late").after(std::time::Duration::from_millis(500)));
    let mut client = scene.gateway.client();
    client.send(get("/left", ""));
    scene.origin.wait_for_head(1);
    drop(client);
    let records = scene.gateway.wait_for_records(1);
    assert!(record_of(&records, "/left")["adamant.decision"] == "permit");
}

#[test]
fn every_exchange_has_exactly_one_record() {
    let scene = Scene::open();
    let mut client = scene.gateway.client();
    for number in 0..500 {
        assert_eq!(client.exchange(get(&format!("/{number}"), "")).status, 200);
    }
    let records = scene.gateway.wait_for_records(500);
    assert_eq!(records.len(), 500);
    let mut paths: Vec<&str> = records.iter().filter_map(|record| record["url.path"].as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), 500);
}

#[test]
fn no_secret_stands_in_a_record_or_on_stderr() {
    let key = TokenKey::generate("ES256", "k1");
    let api_key = ApiKey::new("bot-1");
    let scene = scene::with_tokens(&key, |policy| {
        policy
            .agent("bot", BOT, &["all"], &[])
            .agent("other", "{ api_key = [\"bot-1\"] }", &["all"], &[])
            .api_key(&api_key, "")
    });
    let token = key.sign(&claims("bot"));
    let secrets = [token.as_str(), api_key.text.as_str(), "q-s3cret", "cookie-s3cret", "body-s3cret", "basic-s3cret"];
    let cookie = "Cookie: session=cookie-s3cret\r\n";
    let api = format!("X-API-Key: {}\r\n", api_key.text);
    let wrong = format!("X-API-Key: {}\r\n", api_key.with_wrong_checksum());
    let requests = [
        post("/1?password=q-s3cret", &format!("{}{cookie}", bearer(&token)), "body-s3cret"),
        post("/2?password=q-s3cret", &format!("{api}{cookie}"), "body-s3cret"),
        get("/3", &wrong),
        get("/4", "Authorization: Basic basic-s3cret\r\n"),
        get("/5?password=q-s3cret", ""),
        get("/6?password=q-s3cret", &format!("{}\u{1}: x\r\n", bearer(&token))),
    ];
    for request in &requests {
        scene.gateway.once(request);
    }
    scene.gateway.wait_for_records(requests.len());
    let written = format!("{}{}", scene.gateway.record_text(), scene.gateway.stderr());
    let signature = token.rsplit('.').next().unwrap();
    let secret_part = api_key.text.rsplit('_').next().unwrap();
    for secret in secrets.iter().chain([&signature, &secret_part, &&secret_part[..16]]) {
        assert!(!written.contains(secret), "{secret} was written");
    }
}

#[test]
fn a_second_gateway_with_the_same_record_file_is_refused() {
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    gateway.once(get("/first", ""));
    let directory = gateway.directory();
    let text = std::fs::read_to_string(directory.join("gateway.toml")).unwrap();
    std::fs::write(directory.join("second.toml"), text.replace("state = \"state\"", "state = \"other\"")).unwrap();
    let (status, _, stderr) = tests::gateway::run(&["run", "second.toml"], directory);
    assert!(!status.success(), "{stderr}");
    assert!(stderr.contains("records.jsonl: another gateway writes its records there"), "{stderr}");
    gateway.once(get("/second", ""));
    gateway.wait_for_records(2);
}

#[test]
fn a_record_file_that_is_cut_or_removed_is_told() {
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    let path = gateway.directory().join("records.jsonl");
    assert_eq!(gateway.once(get("/x", "")).status, 200);
    gateway.wait_for_records(1);
    // It is looked at once a second.
    std::thread::sleep(Duration::from_millis(2_500));
    fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    gateway.tells("records.jsonl: the file of the records was cut from ");
    fs::remove_file(&path).unwrap();
    gateway.tells("records.jsonl: the file of the records has no name any more");
    assert!(path.exists());
}

#[test]
fn a_record_file_that_is_open_to_others_is_told_and_left_as_it_is() {
    let policy = open_to_all("192.0.2.1:80".parse().unwrap()).text();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let deployment = Deployment::new().file("records.jsonl", "").file("next", "");
    let (file, next) = (deployment.directory().join("records.jsonl"), deployment.directory().join("next"));
    mode(&file, 0o640);
    mode(&next, 0o666);
    let gateway = deployment.run(&policy);
    let told = |what: &str| gateway.stderr().matches(what).count();
    gateway.tells("if that is not meant: chmod 600 ");
    assert_eq!(told("records.jsonl: the file of the records has mode 0640: its group may read it"), 1);
    let wait = |reached: &dyn Fn() -> bool| assert!(eventually(SOON, reached), "{}", gateway.stderr());
    let opened = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.contains("\"continued\""));

    // The same file once more; another one that is open to others; one that the gateway makes.
    gateway.signal("HUP");
    fs::rename(&file, file.with_extension("1")).unwrap();
    fs::rename(&next, &file).unwrap();
    gateway.signal("HUP");
    wait(&|| opened(&file));
    wait(&|| told("has mode 0666: its group and everyone may read or write it") == 1);
    fs::rename(&file, file.with_extension("2")).unwrap();
    gateway.signal("HUP");
    wait(&|| opened(&file));
    assert_eq!(told("the file of the records has mode"), 2, "{}", gateway.stderr());
    let found = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (found(&file.with_extension("1")), found(&file.with_extension("2")), found(&file)),
        (0o640, 0o666, 0o600)
    );
}
