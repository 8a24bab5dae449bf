//! The issuer is away: for a while, for too long, at the start.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use tests::issuer::{HttpsIssuer, Reply};
use tests::process::eventually;
use tests::tokens::jwks;

use super::{SOON, Scene, key};

#[test]
fn past_max_stale_tokens_are_refused_for_that_reason_until_it_is_back() {
    let good = key("k1");
    let scene = Scene::new(&[&good], "1s", "12s");
    assert!(scene.passes_soon(&good));
    scene.issuer.go_down();
    let down = Instant::now();
    scene.rotation("failed");
    // On a machine that stands still for long they may end meanwhile.
    let is_served = scene.status(&good) == 200;
    assert!(is_served || down.elapsed() > Duration::from_secs(9), "an outage alone stops nobody");
    assert!(eventually(SOON, || scene.status(&good) == 401));
    assert!(scene.is_refused_for("keyset-stale"));
    let told = scene.rotation("stale");
    assert_eq!(told["adamant.refresh.why"], "expiry", "{told}");
    assert!(scene.gateway.admin("/readyz").text().contains("older than max_stale"));
    let (code, shown, _) = tests::gateway::run(
        &["status", &format!("http://{}", scene.gateway.admin_address())],
        scene.gateway.directory(),
    );
    assert!(!code.success() && shown.contains("keyset of issuer \"corp\" is too old since"), "{shown}");

    let next = key("k1");
    scene.issuer.say("/keys", Reply::json(&jwks(&[&next])));
    scene.issuer.come_up();
    assert!(scene.passes_soon(&next), "what is stale contradicts nobody");
    assert!(eventually(SOON, || scene.gateway.admin("/readyz").status == 200));
}

#[test]
fn a_gateway_that_starts_while_the_issuer_is_down_serves_with_the_last_good() {
    let good = key("k1");
    let mut scene = Scene::new(&[&good], "1s", "1h");
    assert!(scene.passes_soon(&good));
    let kept = scene.gateway.directory().join("state/keysets/corp.json");
    assert!(eventually(SOON, || kept.exists()));
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    scene.issuer.go_down();
    scene.gateway.restart("TERM");
    assert_eq!(scene.status(&good), 200);
    scene.rotation("failed");
    assert_eq!(scene.status(&good), 200);

    // Damaged, it is not used, and nothing takes its place before the issuer is back.
    scene.gateway.signal("TERM");
    assert!(scene.gateway.wait(SOON).is_some());
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, text.replacen("thumbprint\":\"", "thumbprint\":\"0", 1)).unwrap();
    scene.gateway.restart_stopped();
    assert_eq!(scene.status(&good), 401);
    assert!(scene.is_refused_for("keyset-unavailable"));
    scene.gateway.tells("the kept keyset is not used");
    scene.issuer.come_up();
    assert!(scene.passes_soon(&good));
}

#[test]
fn that_nothing_changed_is_no_news_of_keys_that_were_given_up() {
    let good = key("k1");
    let issuer = HttpsIssuer::start();
    issuer.say("/keys", Reply::Whole(200, "ETag: \"one\"\r\n".to_owned(), jwks(&[&good]).into_bytes()));
    let source = format!("url = \"{}\"", issuer.url("/keys"));
    let scene = Scene::of(issuer, &source, "1s", "4s");
    assert!(eventually(SOON, || scene.issuer.unchanged() >= 2), "it is asked by its tag");
    // The answer comes when it is too late.
    scene.issuer.delay(Duration::from_secs(6));
    let stale = |lines: &[serde_json::Value]| lines.iter().position(|line| line["adamant.refresh.outcome"] == "stale");
    assert!(eventually(SOON, || stale(&scene.rotations()).is_some()));
    scene.issuer.delay(Duration::ZERO);
    let next = || {
        let lines = scene.rotations();
        lines.get(stale(&lines)? + 1).cloned()
    };
    assert!(eventually(SOON, || next().is_some()));
    assert_eq!(next().unwrap()["adamant.refresh.outcome"], "taken", "asked for whole, at once: {}", next().unwrap());
    assert!(scene.passes_soon(&good));
}
