//! Rotation as issuers do it: with overlap, without, under load; and how it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

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
    let scene = Scene::new(&[&old], "1h", "24h");
    assert_eq!(scene.status(&old), 200, "the keys are fetched while it waits");
    assert_eq!(scene.issuer.asked("/keys"), 1);
    // Past the pause after the fetch of the start.
    scene.issuer.say("/keys", Reply::json(&jwks(&[&old, &new])));
    assert!(scene.passes_soon(&new));
    let asked = scene.issuer.asked("/keys");
    assert_eq!(asked, 2, "one look for the unknown key");
    assert_eq!(scene.status(&old), 200);
    let told = scene.rotation("taken");
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

#[test]
fn two_hundred_requests_with_an_unknown_key_are_one_fetch() {
    let (old, new) = (key("k1"), key("k2"));
    let scene = Scene::new(&[&old], "1h", "24h");
    assert_eq!(scene.status(&old), 200);
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
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(scene.issuer.asked("/keys"), 2);
    assert_eq!(scene.status(&old), 401, "a key that is gone is no longer good");
}

#[test]
fn nobody_makes_the_gateway_ask_without_pause() {
    let (good, never) = (key("k1"), key("never"));
    let scene = Scene::new(&[&good], "1h", "24h");
    assert_eq!(scene.status(&good), 200);
    thread::sleep(Duration::from_millis(5_500));
    for _ in 0..30 {
        assert_eq!(scene.status(&never), 401);
    }
    assert!(scene.issuer.asked("/keys") <= 3, "asked {} times", scene.issuer.asked("/keys"));
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
        assert!(eventually(SOON, || scene.gateway.metric("keyset_refreshes_total") >= before + 2.0));
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
    let fields = "ETag: \"one\"\r\nCache-Control: max-age=600\r\n".to_owned();
    scene.issuer.say("/keys", Reply::Whole(200, fields, jwks(&[&only]).into_bytes()));
    assert!(eventually(SOON, || scene.gateway.metric("keyset_refreshes_total") >= 4.0));
    assert_eq!(scene.status(&only), 200);
    assert!(scene.gateway.metric("keyset_failures_total") == 0.0);
    assert_eq!(scene.rotation("unchanged")["adamant.refresh.why"], "interval");
}
