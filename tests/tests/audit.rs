//! Audit modes when the medium takes nothing, and rate counters across restarts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::answer::Answer;
use tests::client::{Client, get};
use tests::deployment::{Deployment, RECORDS_FILE};
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::{PolicyText, open_to_all};
use tests::process::eventually;
use tests::scene::{Scene, bearer};
use tests::tokens::{TokenKey, claims, jwks};

/// The smallest rings that may be set: some hundred records.
const SMALL_RINGS: &str = "ring_bytes = \"128KiB\"\ndenial_ring_bytes = \"128KiB\"";
/// Requests that fill ring and batch of the audit writer for certain, each with a path of a thousand bytes.
const MANY: usize = 1_500;

/// A gateway whose records go to `/dev/full`, by a link that can be replaced.
fn on_a_full_medium(audit: &str) -> Scene {
    let origin = RecordingOrigin::start();
    let policy = open_to_all(origin.address()).setting(&format!("audit = \"{audit}\""));
    let deployment = Deployment::new().records(SMALL_RINGS);
    symlink("/dev/full", deployment.directory().join(RECORDS_FILE)).unwrap();
    Scene { gateway: deployment.run(&policy.text()), origin }
}

/// The medium takes everything from now on (noticed within a second or two).
fn repair(gateway: &Gateway) {
    let path = gateway.directory().join(RECORDS_FILE);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
}

/// The medium takes nothing from now on.
fn break_off(gateway: &Gateway) {
    let (path, away) = (gateway.directory().join(RECORDS_FILE), gateway.directory().join("away.jsonl"));
    fs::rename(&path, away).unwrap();
    symlink("/dev/full", &path).unwrap();
}

/// From now on the writer, who has tried, takes no more of what the rings hold.
fn waits_for_the_medium(gateway: &Gateway) {
    assert!(eventually(Duration::from_secs(60), || gateway.metric("records_failing") == 1.0), "{}", gateway.stderr());
}

fn long(number: usize) -> String {
    format!("/{number}/{}", "p".repeat(1_000))
}

/// Statuses of so many requests on one connection.
fn statuses(client: &mut Client, count: usize) -> Vec<u16> {
    (0..count).map(|number| client.exchange(get(&long(number), "")).status).collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

/// Every line of the records as JSON, but one that is just being written.
fn lines(gateway: &Gateway) -> Vec<Value> {
    let text = gateway.record_text();
    let text = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(line).collect()
}

fn of_kind<'l>(lines: &'l [Value], kind: &'l str) -> impl Iterator<Item = &'l Value> {
    lines.iter().filter(move |line| line["adamant.kind"] == kind)
}

#[test]
fn best_effort_goes_on_and_counts_every_loss() {
    let scene = on_a_full_medium("best-effort");
    let mut client = scene.gateway.client();
    assert_eq!(count(&statuses(&mut client, 1), 200), 1);
    waits_for_the_medium(&scene.gateway);
    assert_eq!(count(&statuses(&mut client, MANY - 1), 200), MANY - 1);
    let lost = scene.gateway.metric("records_lost_total");
    assert!(lost > 0.0 && lost < MANY as f64, "{lost}");
    assert_eq!(scene.gateway.metric("records_failing"), 1.0);
    assert!(scene.gateway.metric("record_write_errors_total") > 0.0);
    assert_eq!(count(&statuses(&mut client, 200), 200), 200);
    assert_eq!(scene.gateway.metric("records_lost_total"), lost + 200.0, "with a full ring each one is a loss");
    assert_eq!(scene.gateway.admin("/healthz").status, 200);
    repair(&scene.gateway);
    let kept = MANY + 200 - (lost as usize + 200);
    let records = scene.gateway.wait_for_records(kept);
    assert_eq!(records.len(), kept, "recorded and lost make all");
    let told = eventually(Duration::from_secs(60), || {
        let lines = lines(&scene.gateway);
        of_kind(&lines, "loss").any(|line| line["adamant.records_lost"] == lost as u64 + 200)
    });
    assert!(told, "the loss is an entry itself");
}

#[test]
fn queued_refuses_when_its_ring_is_full_and_recovers_without_a_gap() {
    let scene = on_a_full_medium("queued");
    let mut client = scene.gateway.client();
    let mut first = statuses(&mut client, 1);
    waits_for_the_medium(&scene.gateway);
    first.extend(statuses(&mut client, MANY - 1));
    let refused = count(&first, 503);
    assert!(refused > 0 && count(&first, 200) + refused == MANY, "{first:?}");
    assert_eq!(first.iter().position(|status| *status == 503), Some(MANY - refused), "once full it stays full");
    // A shorter record may still fit in.
    let more = (0..100).take_while(|_| client.exchange(get(&long(0), "")).status == 200).count();
    let admitted = MANY - refused + more;
    let answer = client.exchange(get(&long(0), ""));
    assert_eq!(answer.status, 503);
    assert!(answer.value("Retry-After").is_some(), "{answer:?}");
    assert_eq!(scene.origin.count(), admitted, "what has no record is not forwarded");
    assert_eq!(scene.gateway.metric("records_lost_total"), 0.0);
    assert_eq!(client.exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status, 400, "denials are no 503");

    repair(&scene.gateway);
    // The 503s so far: of the first run, that which ended the second, the last answer; and the 400.
    let mut denials = refused as u64 + 3;
    let recovered = eventually(Duration::from_secs(60), || {
        let status = scene.gateway.once(get(&long(0), "")).status;
        denials += u64::from(status == 503);
        status == 200
    });
    assert!(recovered, "there is room again");
    let permits =
        |lines: &[Value]| of_kind(lines, "exchange").filter(|line| line["adamant.decision"] == "permit").count();
    let are_recorded = |count: usize| {
        let all = eventually(Duration::from_secs(60), || permits(&lines(&scene.gateway)) == count);
        assert!(all, "every admitted request has its record");
    };
    are_recorded(admitted + 1);
    assert_eq!(count(&statuses(&mut scene.gateway.client(), 50), 200), 50);
    are_recorded(admitted + 51);
    // Denials have a ring of their own; what finds no room there is summed up.
    let denied = |lines: &[Value]| -> u64 {
        let alone = of_kind(lines, "exchange").filter(|line| line["adamant.decision"] == "deny").count() as u64;
        alone + of_kind(lines, "denials-aggregated").filter_map(|line| line["adamant.count"].as_u64()).sum::<u64>()
    };
    eventually(Duration::from_secs(60), || denied(&lines(&scene.gateway)) >= denials);
    assert_eq!(denied(&lines(&scene.gateway)), denials, "every denial is recorded or summed up");
}

#[test]
fn queued_waits_for_a_reader_that_stalls_and_loses_nothing() {
    let origin = RecordingOrigin::start();
    let policy = open_to_all(origin.address()).setting("audit = \"queued\"");
    let deployment = Deployment::new().records(SMALL_RINGS);
    let pipe = deployment.directory().join(RECORDS_FILE);
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    let gateway = deployment.run(&policy.text());
    let found = statuses(&mut gateway.client(), MANY);
    let (admitted, refused) = (count(&found, 200), count(&found, 503));
    assert!(admitted > 50 && refused > 0 && admitted + refused == MANY, "{admitted} and {refused}");
    assert_eq!(origin.count(), admitted);

    let text: Arc<Mutex<String>> = Arc::default();
    let into = Arc::clone(&text);
    thread::spawn(move || {
        for line in BufReader::new(fs::File::open(pipe).unwrap()).lines().map_while(Result::ok) {
            into.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    let after = get(&long(100_000), "");
    assert!(eventually(Duration::from_secs(60), || gateway.once(&after).status == 200), "there is room again");
    let all = eventually(Duration::from_secs(60), || {
        let text = text.lock().unwrap().clone();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        of_kind(&lines, "exchange").filter(|line| line["adamant.decision"] == "permit").count() == admitted + 1
    });
    assert!(all, "every admitted request has its record");
}

#[test]
fn durable_has_its_intent_in_the_file_before_the_origin_hears() {
    let origin = RecordingOrigin::start();
    let policy = open_to_all(origin.address()).setting("audit = \"durable\"");
    let gateway = Deployment::new().run(&policy.text());
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let (path, into) = (gateway.directory().join(RECORDS_FILE), Arc::clone(&seen));
    origin.answer_with(move |head, _| {
        let id = head.value("X-Request-Id").unwrap_or("none").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let intents = text.lines().filter(|line| line.ends_with('}') && line.contains("\"intent\""));
        into.lock().unwrap().push(intents.into_iter().any(|line| line.contains(&id)));
        Answer::text("ok")
    });
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = gateway.client();
            thread::spawn(move || statuses(&mut client, 25))
        })
        .collect();
    for client in clients {
        assert_eq!(count(&client.join().unwrap(), 200), 25);
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 100 && seen.iter().all(|seen| *seen), "{} of {}", seen.iter().filter(|s| **s).count(), 100);
    gateway.wait_for_records(100);
    let lines = lines(&gateway);
    for exchange in of_kind(&lines, "exchange") {
        let id = &exchange["adamant.request_id"];
        assert_eq!(of_kind(&lines, "intent").filter(|intent| intent["adamant.request_id"] == *id).count(), 1, "{id}");
    }
}

#[test]
fn durable_refuses_what_it_cannot_make_durable_and_recovers() {
    let origin = RecordingOrigin::start();
    let policy = open_to_all(origin.address()).setting("audit = \"durable\"");
    let gateway = Deployment::new().run(&policy.text());
    assert_eq!(gateway.once(get("/", "")).status, 200);
    break_off(&gateway);
    // The new file is opened within a second or so; only then does the medium fail.
    let (mut before, mut refused) = (0, None);
    let is_refused = eventually(Duration::from_secs(60), || {
        before = origin.count();
        let answer = gateway.once(get("/lost", ""));
        refused = (answer.status == 503).then_some(answer);
        refused.is_some()
    });
    assert!(is_refused && refused.as_ref().unwrap().value("Retry-After").is_some(), "{refused:?}");
    assert_eq!(origin.count(), before, "nothing is forwarded without its intent");
    repair(&gateway);
    assert!(eventually(Duration::from_secs(60), || gateway.once(get("/again", "")).status == 200));
}

#[test]
fn every_line_is_json_whatever_the_request_held() {
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    let nasty: [&[u8]; 10] = [
        b"GET /\"quoted\"?\"a\"=\\ HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"GET /%22%5c%0a%7f HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \"\\\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer \"}\\{\xe2\x80\xa8\r\n\r\n",
        b"\"BREW\" / HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"BREW'{} / HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"GET /?%E2%80%A8=%00&\"}= HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"\0\x01\x02\x7f\r\n\r\n",
        b"GET /?a%22b=c&d%5Ce=f&%ff HTTP/1.1\r\nHost: api.test:99999\r\n\r\n",
    ];
    for bytes in nasty {
        let _ = Client::connect(gateway.address()).send(bytes).try_response_to("GET");
    }
    assert_eq!(gateway.once(get("/good", "")).status, 200);
    gateway.wait_for_records(nasty.len() + 1);
    for line in lines(&gateway) {
        assert!(line["time"].is_string() && line["adamant.kind"].is_string(), "{line:#}");
    }
    assert_eq!(gateway.records().len(), nasty.len() + 1);
}

/// An agent with a quota of ten a day.
fn with_quota() -> (Gateway, RecordingOrigin, String) {
    let (key, origin) = (TokenKey::generate("ES256", "k1"), RecordingOrigin::start());
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(&["ES256"], "")
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &["10/day quota"]);
    let gateway = Deployment::new().file("corp.jwks.json", &jwks(&[&key])).run(&policy.text());
    let request = get("/", &bearer(&key.sign(&claims("bot"))));
    (gateway, origin, request)
}

fn admitted(gateway: &Gateway, request: &str, tries: usize) -> usize {
    let mut client = gateway.client();
    (0..tries).filter(|_| client.exchange(request).status == 200).count()
}

#[test]
fn stop_and_start_refills_nobody() {
    let (mut gateway, origin, request) = with_quota();
    assert_eq!(admitted(&gateway, &request, 6), 6);
    gateway.restart("TERM");
    assert_eq!(admitted(&gateway, &request, 10), 4, "what is left of the quota");
    gateway.restart("TERM");
    assert_eq!(admitted(&gateway, &request, 3), 0);
    assert_eq!(origin.count(), 10);
}

#[test]
fn a_kill_refills_no_more_than_the_last_seconds_took() {
    let (mut gateway, _origin, request) = with_quota();
    assert_eq!(admitted(&gateway, &request, 6), 6);
    // Counters are saved every five seconds; the first save that is seen may have begun before the requests.
    let file = gateway.directory().join("state/counters");
    let saved = || fs::metadata(&file).and_then(|of| of.modified()).ok();
    for _ in 0..2 {
        let before = saved();
        assert!(eventually(Duration::from_secs(60), || saved() != before), "counters are saved");
    }
    gateway.restart("KILL");
    assert_eq!(admitted(&gateway, &request, 10), 4, "what was saved is not given again");
    gateway.restart("KILL");
    let again = admitted(&gateway, &request, 10);
    assert!(again <= 4, "{again}: at most what was charged since the last save");
}
