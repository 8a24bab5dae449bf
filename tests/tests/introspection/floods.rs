//! Many unknown tokens, or an issuer that hangs: it costs those whose doing it is, and others pass.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use tests::client::Client;

use super::*;

/// Clients are whom the test says.
const BELIEVING: &str =
    "address = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\nclient_address = \"x-forwarded-for\"";
const FLOODER: &str = "203.0.113.9";
/// Of the throttle, for one client and worker: at once, and in each second.
const FAILURES_MAX: f64 = 50.0;
const FLOODING: usize = 160;
const BREATH: Duration = Duration::from_millis(5);

fn scene(cache: &str, more: &str) -> Scene {
    let issuer = HttpsIssuer::start();
    let deployment = Deployment::new().file("client.key", SECRET).with(CLIENT).only_listener(BELIEVING);
    Scene::on(issuer, deployment, "[0]", cache, more)
}

fn request(client: &str, token: &str) -> String {
    get("/", &format!("{}X-Forwarded-For: {client}\r\n", bearer(token)))
}

fn passes(gateway: &Gateway, client: &str, token: &str) {
    comes_to(gateway, &request(client, token), 200);
}

/// Connections on which one request after another is sent, until it is stopped.
struct Flood<'scope> {
    stopped: &'scope AtomicBool,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Flood<'scope> {
    fn start(
        scope: &'scope thread::Scope<'scope, '_>,
        gateway: &'scope Gateway,
        stopped: &'scope AtomicBool,
        request: impl Fn() -> String + Clone + Send + 'scope,
    ) -> Self {
        let one = |_| {
            let request = request.clone();
            scope.spawn(move || {
                let mut client = Client::connect(gateway.address());
                while !stopped.load(Ordering::Relaxed) {
                    assert_eq!(client.exchange(request()).status, 401);
                    thread::sleep(BREATH);
                }
            })
        };
        Self { stopped, threads: (0..FLOODING).map(one).collect() }
    }

    fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// With tokens that nobody has seen.
fn fresh(counter: &AtomicUsize) -> impl Fn() -> String + Clone + Send {
    || request(FLOODER, &format!("flood-{}", counter.fetch_add(1, Ordering::Relaxed)))
}

/// Good tokens of others pass, one after the other, as many as `count`.
fn others_pass(scene: &Scene, count: usize) {
    for number in 0..count {
        let token = format!("good-{number}");
        scene.issuer.say_of(PATH, &token, says(&active()));
        passes(&scene.gateway, &format!("198.51.100.{}", number % 200), &token);
    }
}

/// Questions that are not about the good tokens of `count` others.
fn asked_beside(scene: &Scene, count: usize) -> f64 {
    let of_others: usize = (0..count).map(|number| scene.issuer.asked_about(PATH, &format!("good-{number}"))).sum();
    (scene.issuer.asked(PATH) - of_others) as f64
}

#[test]
fn who_floods_with_unknown_tokens_has_few_questions_asked_and_others_pass() {
    // Slow, quick, and one whose answers are none: each is asked no more.
    let inactive = Reply::json(r#"{"active":false}"#);
    for (delay_ms, reply) in [(300, inactive.clone()), (0, inactive), (0, Reply::Whole(500, String::new(), vec![]))] {
        let scene = scene("10m", "");
        scene.issuer.delay(Duration::from_millis(delay_ms));
        scene.issuer.say(PATH, reply);
        let (stopped, counter, begun) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
        thread::scope(|scope| {
            let flood = Flood::start(scope, &scene.gateway, &stopped, fresh(&counter));
            assert!(eventually(SOON, || counter.load(Ordering::Relaxed) > 10 * FLOODING));
            others_pass(&scene, 10);
            flood.stop();
        });
        let asked = asked_beside(&scene, 10);
        let most = FAILURES_MAX * (1.0 + begun.elapsed().as_secs_f64()) + 1.0;
        assert!((10.0..=most).contains(&asked), "{delay_ms}: asked {asked} times, at most {most} are its share");
        let refused = |reason: &str| scene.gateway.records().iter().any(|record| record["adamant.reason"] == reason);
        assert!(eventually(SOON, || refused("identification-throttled")));
    }
}

#[test]
fn who_sends_and_goes_away_has_no_more_asked() {
    let scene = scene("10m", "");
    scene.issuer.say(PATH, Reply::json(r#"{"active":false}"#));
    scene.issuer.delay(Duration::from_millis(50));
    let begun = Instant::now();
    for number in 0..600 {
        Client::connect(scene.gateway.address()).send(request(FLOODER, &format!("gone-{number}")));
    }
    others_pass(&scene, 5);
    let asked = asked_beside(&scene, 5);
    let most = FAILURES_MAX * (1.0 + begun.elapsed().as_secs_f64()) + 1.0;
    assert!(asked <= most, "asked {asked} times, at most {most} are its share");
}

#[test]
fn who_has_many_good_tokens_is_not_throttled_for_it() {
    let scene = scene("10m", "");
    scene.issuer.say(PATH, says(&active()));
    // Many times what it may fail, in much less time than its failures would be forgotten.
    for number in 0..300 {
        passes(&scene.gateway, FLOODER, &format!("own-{number}"));
    }
}

#[test]
fn one_token_that_many_repeat_leaves_room_for_others() {
    let scene = scene("10m", "");
    scene.issuer.delay(Duration::from_millis(300));
    scene.issuer.say(PATH, Reply::Whole(500, String::new(), vec![]));
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = Flood::start(scope, &scene.gateway, &stopped, || request(FLOODER, "same"));
        others_pass(&scene, 10);
        flood.stop();
    });
}

#[test]
fn an_issuer_that_hangs_holds_up_no_other() {
    let (hanging, other, origin) = (HttpsIssuer::start(), HttpsIssuer::start(), RecordingOrigin::start());
    hanging.say(PATH, Reply::Silence);
    other.say(PATH, says(&active()));
    let section = |name: &str, issuer: &HttpsIssuer| {
        issuer_text(&issuer.url(PATH), "10m", "")
            .replace("cache =", &format!("prefix = \"{name}_\", cache ="))
            .replace("name = \"corp\"", &format!("name = \"{name}\""))
            .replace("id-ca.pem", &format!("{name}.pem"))
    };
    let hangs = section("hangs", &hanging).replace(ISSUER, "https://hangs.test");
    let gateway = Deployment::new()
        .file("client.key", SECRET)
        .file("hangs.pem", &hanging.ca)
        .file("corp.pem", &other.ca)
        .with(CLIENT)
        .only_listener(BELIEVING)
        .run(&policy_text(&origin, &format!("{hangs}\n{}", section("corp", &other))).text());
    let (stopped, counter) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Of as many clients as there are tokens, so that no share of a client is in the way.
        let flood = Flood::start(scope, &gateway, &stopped, || {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            request(&format!("203.0.{}.{}", number / 250 % 250, number % 250), &format!("hangs_{number}"))
        });
        assert!(eventually(SOON, || counter.load(Ordering::Relaxed) > 2 * FLOODING));
        for number in 0..10 {
            passes(&gateway, FLOODER, &format!("corp_{number}"));
        }
        flood.stop();
    });
}

#[test]
fn an_answer_that_took_longer_than_it_counts_lets_pass_who_waited_for_it() {
    let scene = scene("1s", "");
    scene.issuer.delay(Duration::from_millis(1_200));
    scene.issuer.say(PATH, says(&active()));
    for number in 0..3 {
        passes(&scene.gateway, "198.51.100.1", &format!("slow-{number}"));
    }
}

#[test]
fn the_leeway_of_an_issuer_is_that_of_its_opaque_tokens_too() {
    let scene = scene("10m", "leeway = \"1m\"");
    let mut over = active();
    over["exp"] = json!(now_s() - 5);
    scene.issuer.say(PATH, says(&over));
    for _ in 0..5 {
        passes(&scene.gateway, "198.51.100.1", "over");
    }
    were_asked(&scene.gateway, || scene.issuer.asked(PATH), 1);
}
