//! Rotation as issuers do it: with overlap, without, under load; and how it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::client::{Client, get};
use tests::gateway::run;
use tests::issuer::Reply;
use tests::process::eventually;
use tests::scene::bearer;
use tests::tokens::{claims, jwks};

use super::{SOON, Scene, key};

#[test]
fn the_first_request_of_all_passes_and_so_does_the_first_with_a_new_key() {
    let (old, new) = (key("k1"), key("k2"));
    // A request waits for 2 s, and a machine may stand still for longer.
    let first = (0..3).map(|_| Scene::new(&[&old], "1h", "24h")).find(|scene| scene.status(&old) == 200);
    let scene = first.expect("the keys are fetched while it waits");
    assert_eq!(scene.issuer.asked("/keys"), 1);
    // Past the pause after the fetch of the start.
    scene.issuer.say("/keys", Reply::json(&jwks(&[&old, &new])));
    assert!(scene.passes_soon(&new));
    let asked = scene.issuer.asked("/keys");
    assert_eq!(asked, 2, "one look for the unknown key");
    assert_eq!(scene.status(&old), 200);
    let told = scene.rotations_of("taken", 2).remove(1);
    assert_eq!(told["adamant.refresh.why"], "unknown-kid", "{told}");
    assert_eq!(told["adamant.refresh.source"].as_str().unwrap(), scene.issuer.url("/keys"));
    assert!(told["adamant.refresh.overlap"].as_str().unwrap().len() == 43, "one key stays: {told}");
    assert_eq!(told["adamant.refresh.new"].as_str().unwrap().split(' ').count(), 2);

    let directory = scene.gateway.directory();
    let (status, shown, _) = run(&["audit", "show", "records.jsonl", "--rotations"], directory);
    assert!(status.success() && shown.lines().count() >= 2, "{shown}");
    assert!(
        shown.contains("keyset corp taken (start)") && shown.contains("keyset corp taken (unknown-kid)"),
        "{shown}"
    );
    for name in
        ["keyset_success_timestamp_seconds", "keyset_next_refresh_timestamp_seconds", "keyset_stale_timestamp_seconds"]
    {
        assert!(scene.gateway.metric(name) > 1e9, "{name}");
    }
    assert_eq!(scene.gateway.metric("keyset_keys"), 2.0);
    assert_eq!(scene.gateway.metric("keyset_refreshes_total"), 2.0);
}

/// Statuses of two hundred requests with a key that the issuer has meanwhile; it is asked once for all of them.
fn of_two_hundred() -> Vec<u16> {
    let (old, new) = (key("k1"), key("k2"));
    let scene = Scene::new(&[&old], "1h", "24h");
    assert!(scene.passes_soon(&old));
    // The pause after a fetch must be over, so that all of them may ask.
    thread::sleep(Duration::from_millis(5_500));
    scene.issuer.say("/keys", Reply::json(&jwks(&[&new])));
    scene.issuer.delay(Duration::from_millis(400));
    let token = bearer(&new.sign(&claims("bot")));
    let mut clients: Vec<Client> = (0..200).map(|_| scene.gateway.client()).collect();
    for client in &mut clients {
        client.send(get("/", &token));
    }
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.response().status).collect();
    if statuses.iter().all(|status| *status == 200) {
        assert_eq!(scene.issuer.asked("/keys"), 2);
        assert_eq!(scene.status(&old), 401, "a key that is gone is no longer good");
    }
    assert!(scene.issuer.asked("/keys") <= 2, "asked {} times", scene.issuer.asked("/keys"));
    statuses
}

#[test]
fn two_hundred_requests_with_an_unknown_key_are_one_fetch() {
    // They wait for 2 s, and a machine may stand still for longer.
    let all_pass = (0..3).map(|_| of_two_hundred()).any(|statuses| statuses.iter().all(|status| *status == 200));
    assert!(all_pass, "some of two hundred are refused each time");
}

#[test]
fn nobody_makes_the_gateway_ask_without_pause() {
    let (good, never) = (key("k1"), key("never"));
    let scene = Scene::new(&[&good], "1h", "24h");
    assert!(scene.passes_soon(&good));
    thread::sleep(Duration::from_millis(5_500));
    let (begun, asked) = (Instant::now(), || scene.issuer.asked("/keys"));
    assert!(eventually(SOON, || scene.status(&never) == 401 && asked() >= 2), "asked {} times", asked());
    for _ in 0..30 {
        assert_eq!(scene.status(&never), 401);
    }
    // One more after each pause, however long that takes.
    let most = 3 + usize::try_from(begun.elapsed().as_secs() / 5).unwrap();
    assert!(asked() <= most, "asked {} times", asked());
    assert!(scene.is_refused_for("token-key-unknown"));
    assert_eq!(scene.rotation("unchanged")["adamant.refresh.why"], "unknown-kid");
    assert_eq!(scene.status(&good), 200);
}

#[test]
fn keys_rotate_under_load_and_no_request_fails() {
    let mut keys = vec![key("k0")];
    let scene = Scene::new(&[&keys[0]], "1s", "1h");
    assert!(scene.passes_soon(&keys[0]));
    let address = scene.gateway.address();
    let (ends, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // As issuers do: a key is published before it signs, and goes when its tokens are gone.
    for round in 1..5 {
        keys.push(key(&format!("k{round}")));
        let published: Vec<&_> = keys.iter().rev().take(2).collect();
        scene.issuer.say("/keys", Reply::json(&jwks(&published)));
        let tokens: Vec<String> = published.iter().map(|key| bearer(&key.sign(&claims("bot")))).collect();
        assert!(scene.passes_soon(published[0]));
        ends.store(false, Ordering::SeqCst);
        let load: Vec<_> = (0..4)
            .map(|at| {
                let (token, ends, sent) = (tokens[at % 2].clone(), Arc::clone(&ends), Arc::clone(&sent));
                thread::spawn(move || {
                    let mut client = Client::connect(address);
                    while !ends.load(Ordering::SeqCst) {
                        let response = client.exchange(get("/", &token));
                        assert_eq!(response.status, 200, "{}", response.text());
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let before = scene.gateway.metric("keyset_refreshes_total");
        let is_enough = || {
            let refreshes = scene.gateway.metric("keyset_refreshes_total");
            refreshes >= before + 2.0 && sent.load(Ordering::SeqCst) > 25 * round
        };
        let is_over = || is_enough() || load.iter().any(thread::JoinHandle::is_finished);
        assert!(eventually(SOON, is_over));
        ends.store(true, Ordering::SeqCst);
        load.into_iter().for_each(|thread| thread.join().unwrap());
    }
    assert!(sent.load(Ordering::SeqCst) > 100);
    assert!(eventually(SOON, || scene.status(&keys[0]) == 401), "the first key is gone");
}

#[test]
fn what_is_unchanged_is_not_sent_again_and_lives_as_long_as_it_says() {
    let only = key("k1");
    let scene = Scene::new(&[&only], "1s", "1h");
    assert!(scene.passes_soon(&only));
    let fields = "ETag: \"one\"\r\nCache-Control: max-age=600\r\n".to_owned();
    scene.issuer.say("/keys", Reply::Whole(200, fields, jwks(&[&only]).into_bytes()));
    assert!(eventually(SOON, || scene.gateway.metric("keyset_refreshes_total") >= 4.0));
    assert!(eventually(SOON, || scene.issuer.unchanged() >= 1), "its tag is known, though the keys came without first");
    assert_eq!(scene.status(&only), 200);
    assert!(scene.gateway.metric("keyset_failures_total") == 0.0);
    assert_eq!(scene.rotation("unchanged")["adamant.refresh.why"], "interval");
}

/// Seconds between the times of two lines of the rotation log.
fn apart_s(one: &serde_json::Value, other: &serde_json::Value) -> f64 {
    let at = |line: &serde_json::Value| {
        let time = line["time"].as_str().unwrap();
        let seconds = std::process::Command::new("date").args(["-u", "-d", time, "+%s.%N"]).output().unwrap().stdout;
        String::from_utf8(seconds).unwrap().trim().parse::<f64>().unwrap()
    };
    at(other) - at(one)
}

#[test]
fn how_long_old_and_new_stood_side_by_side_is_on_record() {
    let (old, new, next) = (key("k1"), key("k2"), key("k3"));
    let scene = Scene::new(&[&old], "1s", "1h");
    assert!(scene.passes_soon(&old));
    scene.issuer.say("/keys", Reply::json(&jwks(&[&old, &new])));
    assert!(scene.passes_soon(&new));
    thread::sleep(Duration::from_millis(2_500));
    scene.issuer.say("/keys", Reply::json(&jwks(&[&new])));
    assert!(eventually(SOON, || scene.status(&old) == 401));
    scene.issuer.say("/keys", Reply::json(&jwks(&[&next])));
    assert!(scene.passes_soon(&next));

    let taken = || {
        let rotations = scene.rotations().into_iter();
        rotations.filter(|line| line["adamant.refresh.outcome"] == "taken").collect::<Vec<_>>()
    };
    assert!(eventually(SOON, || taken().len() >= 4), "{:#?}", taken());
    let taken = taken();
    for stays in &taken[..2] {
        assert!(stays.get("adamant.refresh.overlap_s").is_none(), "nothing left: {stays}");
    }
    let overlap_s = taken[2]["adamant.refresh.overlap_s"].as_u64().unwrap();
    let by_the_log_s = apart_s(&taken[1], &taken[2]);
    assert!((2..120).contains(&overlap_s), "{overlap_s}");
    assert!((overlap_s as f64 - by_the_log_s).abs() < 1.5, "{overlap_s} s, by the log {by_the_log_s} s");
    assert_eq!(taken[3]["adamant.refresh.overlap_s"], 0, "a plain swap: {}", taken[3]);
    let (_, shown, _) = run(&["audit", "show", "records.jsonl", "--rotations"], scene.gateway.directory());
    assert!(shown.contains(&format!(" overlap_s={overlap_s}\n")), "{shown}");
}

#[test]
fn keys_are_fetched_again_before_the_end_that_their_source_names() {
    const LIVES_S: f64 = 8.0;
    let only = key("k1");
    let scene = Scene::new(&[&only], "1h", "24h");
    assert!(scene.passes_soon(&only));
    let fields = format!("Cache-Control: max-age={LIVES_S}\r\n");
    scene.issuer.say("/keys", Reply::Whole(200, fields, jwks(&[&only]).into_bytes()));
    scene.gateway.signal("HUP");
    let (at, next) = ("keyset_success_timestamp_seconds", "keyset_next_refresh_timestamp_seconds");
    // Both of the same fetch.
    let in_s = || loop {
        let (began, next) = (scene.gateway.metric(at), scene.gateway.metric(next));
        if scene.gateway.metric(at) == began {
            break next - began;
        }
    };
    assert!(eventually(SOON, || in_s() <= LIVES_S), "not after an hour: {}", in_s());
    // Whole seconds, and by up to a fifth sooner by chance.
    assert!((LIVES_S * 0.8 - 2.0..=LIVES_S).contains(&in_s()), "{}", in_s());
    let by_expiry = || {
        let rotations = scene.rotations();
        let at = rotations.iter().position(|line| line["adamant.refresh.why"] == "expiry")?;
        Some((rotations[at - 1].clone(), rotations[at].clone()))
    };
    assert!(eventually(SOON, || by_expiry().is_some()), "{:#?}", scene.rotations());
    let (before, line) = by_expiry().unwrap();
    assert_eq!(line["adamant.refresh.outcome"], "unchanged", "{line}");
    let apart_s = apart_s(&before, &line);
    assert!(apart_s > LIVES_S * 0.8 - 0.5, "not much sooner, and not without pause: {apart_s}");
    assert_eq!(scene.status(&only), 200);
}
