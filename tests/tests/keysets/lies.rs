//! An issuer, or somebody in its place, that does what it should not. Known fresh keys go on counting, and it is told what
//! was found.

use serde_json::Value;
use tests::issuer::{HttpsIssuer, Reply};
use tests::process::eventually;
use tests::tokens::{ISSUER, TokenKey, jwks};

use super::{SOON, Scene, key};

/// What the issuer says from now on is not taken, for what has these words in the rotation log; the outcome. What was said before
/// may be told meanwhile: it was on its way.
#[track_caller]
fn refused(scene: &Scene, good: &TokenKey, (path, reply): (&str, Reply), words: &str) -> String {
    let before = scene.rotations().len();
    scene.issuer.say(path, reply);
    let mut told = None;
    eventually(SOON, || {
        let mut later = scene.rotations().into_iter().skip(before);
        told = later.find(|line| line["error.message"].as_str().is_some_and(|message| message.contains(words)));
        assert_eq!(scene.status(good), 200, "known fresh keys never fail");
        told.is_some()
    });
    let told = told.unwrap_or_else(|| panic!("{words} is not told: {:#?}", scene.rotations().split_off(before)));
    told["adamant.refresh.outcome"].as_str().unwrap().to_owned()
}

/// The issuer says so, and that it is good again is on record: the next lie is found out anew.
#[track_caller]
fn is_good_again(scene: &Scene, keys: &str) {
    scene.issuer.say("/keys", Reply::json(keys));
    let before = scene.gateway.metric("keyset_refreshes_total");
    assert!(eventually(SOON, || scene.gateway.metric("keyset_refreshes_total") > before));
    let is_good = |line: &Value| line.get("error.message").is_none();
    assert!(eventually(SOON, || scene.rotations().last().is_some_and(is_good)), "{:#?}", scene.rotations());
}

#[test]
fn every_kind_of_lie_leaves_the_old_keys_in_place() {
    let (good, other) = (key("k1"), key("k1"));
    let scene = Scene::new(&[&good], "1s", "1h");
    assert!(scene.passes_soon(&good));
    let whole = |status: u16, fields: &str, content: &str| Reply::Whole(status, fields.to_owned(), content.into());
    let many: Vec<TokenKey> = (0..65).map(|at| key(&format!("m{at}"))).collect();
    let private = jwks(&[&good]).replace("\"kty\"", "\"d\":\"AAAA\",\"kty\"");
    for (reply, outcome, words) in [
        (Reply::json(&jwks(&[&other])), "refused", "stands for another key than before"),
        (Reply::json("{}"), "refused", "JWK Set"),
        (Reply::json("<html>"), "refused", "JWK Set"),
        (Reply::json(r#"{"keys":[]}"#), "refused", "at least one usable key"),
        (Reply::json(&jwks(&many.iter().collect::<Vec<_>>())), "refused", "at most 64 keys"),
        (Reply::json(&private), "refused", "private parts"),
        (whole(302, "Location: https://127.0.0.1:1/\r\n", ""), "failed", "redirect"),
        (whole(500, "", "oops"), "failed", "found 500"),
        (whole(200, "Content-Encoding: gzip\r\n", "x"), "failed", "content coding"),
        (Reply::Endless, "failed", "at most 1048576 bytes"),
        (Reply::Trickle, "failed", "within 10000 ms"),
    ] {
        let shown = format!("{reply:?}").chars().take(60).collect::<String>();
        assert_eq!(refused(&scene, &good, ("/keys", reply), words), outcome, "{shown}");
        is_good_again(&scene, &jwks(&[&good]));
    }
    assert_eq!(scene.status(&other), 401, "the key that came under a known kid was never taken");
}

#[test]
fn a_kid_that_is_gone_stands_for_no_other_key() {
    let (first, second, other) = (key("k1"), key("k2"), key("k1"));
    let mut scene = Scene::new(&[&first], "1s", "1h");
    assert!(scene.passes_soon(&first));
    scene.issuer.say("/keys", Reply::json(&jwks(&[&second])));
    assert!(scene.passes_soon(&second));
    for (lie, restarts) in [(vec![&other], false), (vec![&second, &other], true)] {
        if restarts {
            scene.gateway.restart("TERM");
        }
        let lie = ("/keys", Reply::json(&jwks(&lie)));
        assert_eq!(refused(&scene, &second, lie, "`kid` \"k1\" stands for another key than before"), "refused");
        assert_eq!(scene.status(&other), 401);
        is_good_again(&scene, &jwks(&[&second]));
    }
    scene.issuer.say("/keys", Reply::json(&jwks(&[&first])));
    assert!(scene.passes_soon(&first), "the key that it stood for comes back");
}

#[test]
fn somebody_else_in_its_place_is_refused() {
    let good = key("k1");
    let (issuer, stranger) = (HttpsIssuer::start(), HttpsIssuer::start());
    stranger.say("/keys", Reply::json(&jwks(&[&good])));
    let source = format!("url = \"{}\"", stranger.url("/keys"));
    // The CA is the one of another server.
    let scene = Scene::of(issuer, &source, "1s", "1h");
    assert_eq!(scene.status(&good), 401);
    assert!(scene.is_refused_for("keyset-unavailable"));
    let told = scene.rotation("failed");
    assert!(told["error.message"].as_str().unwrap().contains("TLS with 127.0.0.1"), "{told}");
    assert_eq!(stranger.asked("/keys"), 0, "nothing is asked before it is known who it is");
    assert!(scene.gateway.admin("/readyz").text().contains("no keyset"));
}

#[test]
fn discovery_goes_by_the_exact_issuer_and_stays_on_its_server() {
    let good = key("k1");
    let issuer = HttpsIssuer::start();
    issuer.say("/keys", Reply::json(&jwks(&[&good])));
    let metadata = |of: &str, uri: &str| Reply::json(&format!(r#"{{"issuer":"{of}","jwks_uri":"{uri}"}}"#));
    let place = "/tenant/.well-known/openid-configuration";
    issuer.say(place, metadata(ISSUER, &issuer.url("/keys")));
    let source = format!("discovery = \"{}\"", issuer.url("/tenant"));
    let scene = Scene::of(issuer, &source, "1s", "1h");
    assert!(scene.passes_soon(&good));
    let elsewhere = HttpsIssuer::start();
    let (slash, keys_elsewhere) = (format!("{ISSUER}/"), elsewhere.url("/keys"));
    for (reply, words) in [
        (metadata(&slash, &scene.issuer.url("/keys")), format!("exactly, found {slash:?}")),
        (metadata("https://evil.test", &scene.issuer.url("/keys")), "exactly, found \"https://evil.test\"".to_owned()),
        (
            metadata(ISSUER, &keys_elsewhere),
            format!("on the same server, which the release names, found {keys_elsewhere:?}"),
        ),
        (
            metadata(ISSUER, "http://127.0.0.1:1/keys"),
            "on the same server, which the release names, found \"http://127.0.0.1:1/keys\"".to_owned(),
        ),
        (Reply::json("{}"), "no `issuer`".to_owned()),
    ] {
        assert_eq!(refused(&scene, &good, (place, reply), &words), "refused", "{words}");
    }
    assert_eq!(elsewhere.connections(), 0);
    scene.issuer.say(place, metadata(ISSUER, &scene.issuer.url("/keys")));
    let (next, keys) = (key("k2"), scene.issuer.url("/keys"));
    scene.issuer.say("/keys", Reply::json(&jwks(&[&next])));
    assert!(scene.passes_soon(&next), "{keys}");
}
