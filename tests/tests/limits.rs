//! Limits: what is admitted is counted exactly, and the client is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::thread;
use std::time::{Duration, Instant};

use tests::client::{Response, get};
use tests::deployment::Deployment;
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::scene::{self, Scene, bearer};
use tests::tokens::{TokenKey, claims};

const BOT: &str = "{ token = { issuer = \"corp\", subject = \"bot\" } }";

fn limited(key: &TokenKey, limits: &[&str]) -> Scene {
    scene::with_tokens(key, |policy| policy.agent("bot", BOT, &["all"], limits))
}

fn statuses(scene: &Scene, fields: &str, count: usize) -> Vec<Response> {
    let mut client = scene.gateway.client();
    (0..count).map(|_| client.exchange(get("/", fields))).collect()
}

fn admitted(responses: &[Response]) -> usize {
    responses.iter().filter(|response| response.status == 200).count()
}

/// What comes of it within one minute, as a window is: waits where that is about to end, and begins anew where it has ended.
fn in_one_minute<O>(scenario: impl Fn() -> O) -> O {
    for _ in 0..5 {
        let now = tests::tokens::now_s();
        if now % 60 > 50 {
            thread::sleep(Duration::from_secs(61 - now % 60));
        }
        let minute = tests::tokens::now_s() / 60;
        let outcome = scenario();
        if tests::tokens::now_s() / 60 == minute {
            return outcome;
        }
    }
    panic!("a minute was not enough, five times");
}

#[test]
fn over_a_rate_is_429_with_all_that_a_client_needs() {
    let key = TokenKey::generate("ES256", "k1");
    let scene = limited(&key, &["30/minute burst 5"]);
    let started = Instant::now();
    let responses = statuses(&scene, &bearer(&key.sign(&claims("bot"))), 12);
    // One more each two seconds.
    let most = 6 + usize::try_from(started.elapsed().as_secs() / 2).unwrap();
    assert!((5..=most).contains(&admitted(&responses)), "{}", admitted(&responses));
    let refused = responses.iter().find(|response| response.status == 429).unwrap();
    let wait: u64 = refused.value("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "Retry-After {wait}");
    assert!(refused.value("RateLimit").is_some() && refused.value("RateLimit-Policy").is_some(), "{refused:?}");
    assert!(responses[0].value("RateLimit").is_some(), "permitted ones are told too: {:?}", responses[0]);
    assert_eq!(scene.origin.count(), admitted(&responses), "nothing over the limit reached the origin");
    thread::sleep(Duration::from_secs(wait));
    assert_eq!(admitted(&statuses(&scene, &bearer(&key.sign(&claims("bot"))), 1)), 1, "after Retry-After");
}

#[test]
fn a_quota_is_exact() {
    let key = TokenKey::generate("ES256", "k1");
    let responses = in_one_minute(|| {
        let scene = limited(&key, &["20/minute quota"]);
        statuses(&scene, &bearer(&key.sign(&claims("bot"))), 50)
    });
    assert_eq!(admitted(&responses), 20);
    assert!(responses[20..].iter().all(|response| response.status == 429));
}

#[test]
fn several_limits_are_charged_all_or_nothing() {
    let key = TokenKey::generate("ES256", "k1");
    let total = in_one_minute(|| {
        let scene = limited(&key, &["10/second burst 3", "8/minute quota"]);
        let fields = bearer(&key.sign(&claims("bot")));
        let mut total = 0;
        for _ in 0..30 {
            total += admitted(&statuses(&scene, &fields, 10));
            thread::sleep(Duration::from_millis(100));
        }
        total
    });
    assert_eq!(total, 8, "requests refused by the rate must not eat the quota");
}

#[test]
fn two_workers_hammered_at_once_admit_exactly_the_quota() {
    let key = TokenKey::generate("ES256", "k1");
    let (admitted, arrived) = in_one_minute(|| {
        let origin = RecordingOrigin::start();
        let policy = PolicyText::new()
            .origin("origin", &[origin.address()])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .issuer(&["ES256"], "")
            .agent("bot", BOT, &["all"], &["500/minute quota"]);
        let gateway =
            Deployment::new().cores("[0, 1]").file("corp.jwks.json", &tests::tokens::jwks(&[&key])).run(&policy.text());
        let request = get("/", &bearer(&key.sign(&claims("bot"))));
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let (mut client, request) = (gateway.client(), request.clone());
                thread::spawn(move || (0..100).filter(|_| client.exchange(&request).status == 200).count())
            })
            .collect();
        let admitted: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        (admitted, origin.count())
    });
    assert_eq!((admitted, arrived), (500, 500));
}

#[test]
fn subjects_of_a_population_are_counted_one_by_one() {
    let key = TokenKey::generate("ES256", "k1");
    let staff = "{ token = { issuer = \"corp\", subject = \"*\" } }";
    let of_each = in_one_minute(|| {
        let limits = ["5/minute quota per subject"];
        let scene = scene::with_tokens(&key, |policy| policy.agent("staff", staff, &["all"], &limits));
        let of = |subject: &str| admitted(&statuses(&scene, &bearer(&key.sign(&claims(subject))), 10));
        ["alice", "bob", "carol"].map(of)
    });
    assert_eq!(of_each, [5; 3]);
}

#[test]
fn the_anonymous_are_counted_by_their_address() {
    let policy = |origin: std::net::SocketAddr| {
        PolicyText::new()
            .origin("origin", &[origin])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .anonymous(&["all"], &["5/minute quota per subject"])
            .text()
    };
    let spoofed = "X-Forwarded-For: 198.51.100.7\r\nForwarded: for=198.51.100.7\r\n";
    let (own, others) = in_one_minute(|| {
        let scene = Scene::with_policy(|_, _| tests::answer::Answer::text("ok"), policy);
        (admitted(&statuses(&scene, "", 10)), admitted(&statuses(&scene, spoofed, 5)))
    });
    assert_eq!((own, others), (5, 0), "another address is not to be had by saying so");
}

#[test]
fn refused_requests_of_others_do_not_touch_a_limit() {
    let key = TokenKey::generate("ES256", "k1");
    let of_all = in_one_minute(|| {
        let scene = limited(&key, &["5/minute quota"]);
        let [nobody, bot] = ["nobody", "bot"].map(|subject| bearer(&key.sign(&claims(subject))));
        [nobody.as_str(), "", bot.as_str()].map(|fields| admitted(&statuses(&scene, fields, 10)))
    });
    assert_eq!(of_all, [0, 0, 5]);
}
