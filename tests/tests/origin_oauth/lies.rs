//! A server that says all kinds of things: nothing of it is taken for a token, and nothing of it is told that could be a secret.

use super::*;

fn whole(status: u16, fields: &str, content: &str) -> Reply {
    Reply::Whole(status, fields.to_owned(), content.as_bytes().to_vec())
}

#[test]
fn what_is_no_token_is_none_and_the_next_good_one_is_taken() {
    let echo = format!("{{\"error\":\"{SECRET}\",\"error_description\":\"{SECRET}\"}}");
    let lie = |json: &str| Reply::json(&format!("{{\"access_token\":\"l1e-t0ken\",{json}}}"));
    let lies = [
        (whole(200, "", "<html>l1e-t0ken</html>"), "found no JSON"),
        (whole(200, "", ""), "found no JSON"),
        (whole(302, "Location: /other\r\n", ""), "a redirect, which is never followed"),
        (whole(307, "Location: https://127.0.0.1:1/\r\n", ""), "a redirect, which is never followed"),
        (whole(401, "", "{\"error\":\"invalid_client\"}"), "found 401 (invalid_client): it does not know this client"),
        (whole(400, "", &echo), "expected status 200, found 400: is it a token endpoint?"),
        (whole(500, "", "l1e-t0ken"), "expected status 200, found 500"),
        (whole(200, "Content-Encoding: gzip\r\n", "l1e-t0ken"), "a content coding, which was not asked for"),
        (lie("\"expires_in\":60"), "no `token_type`"),
        (lie("\"token_type\":\"DPoP\",\"expires_in\":60"), "another `token_type` than Bearer"),
        (lie("\"token_type\":\"Bearer\",\"expires_in\":0"), "has ended already"),
        (lie("\"token_type\":\"Bearer\",\"expires_in\":-60"), "has ended already"),
        (lie("\"token_type\":\"Bearer\",\"expires_in\":\"60\""), "members of other types"),
        (lie("\"token_type\":\"Bearer\",\"access_token\":\"l1e-t0ken2\""), "members of other types, or twice"),
        (gives("l1e-t0ken\r\nX-More: l1e-t0ken", &json!(60)), "other characters than a bearer token has"),
        (gives(&"l1e-t0ken".repeat(3_000), &json!(60)), "more than 8 KiB"),
        (Reply::Endless, "an answer of at most 65536 bytes"),
    ];
    let mut lies = lies.into_iter();
    let (first, expected) = lies.next().unwrap();
    let scene = Scene::new(first);
    scene.gateway.tells(expected);
    scene.is_without();
    for (reply, expected) in lies {
        let before = scene.failures();
        scene.issuer.say(PATH, reply);
        scene.gateway.signal("HUP");
        assert!(eventually(SOON, || scene.failures() > before), "{expected}: {}", scene.gateway.stderr());
        scene.gateway.tells(expected);
        assert_eq!(scene.status(), 503, "{expected}");
    }
    assert!(scene.own.requests().is_empty());
    scene.is_without();
    wait_for_refreshes(&scene.gateway, "refused", 13);
    wait_for_refreshes(&scene.gateway, "failed", 2);
    let missing = || scene.gateway.admin("/release").text().contains("\"origin-credential\"");
    assert!(eventually(SOON, missing), "what is missing has ended: adamant status tells of it");
    // The longest life that a token is believed to have.
    scene.issuer.say(PATH, gives("g00d", &json!(1e18)));
    scene.gateway.signal("HUP");
    assert!(eventually(SOON, || scene.sends("g00d")), "{}", scene.gateway.stderr());
    let ends = scene.gateway.metric("origin_material_expiry_timestamp_seconds") - tests::tokens::now_s() as f64;
    assert!((86_000.0..=86_400.0).contains(&ends), "{ends}");
    shows_none(&scene.gateway, &["l1e-t0ken", "g00d", "s3cr3t"]);
}

#[test]
fn a_slow_server_holds_up_nobody_and_one_that_asks_for_patience_gets_it() {
    let scene = Scene::new(Reply::Silence);
    // After 10 s it is given up, which a machine that stands still may sleep through.
    let is_given_up = || scene.failures() >= 1.0;
    let first = scene.gateway.admin("/readyz");
    assert!(first.status == 503 || is_given_up(), "the first attempt is not over: {}", first.text());
    scene.is_without();
    assert!(eventually(SOON, || scene.issuer.connections() >= 1));
    let begun = scene.issuer.connections();
    assert!(begun == 1 || is_given_up(), "one at a time: {begun}");
    let said = scene.gateway.admin("/readyz").text();
    assert!(said.contains("is being fetched for the first time") || is_given_up(), "{said}");
    assert!(eventually(SOON, || scene.issuer.settled() >= 1), "its request has come, and is not answered");
    scene.issuer.say(PATH, Reply::Whole(503, "Retry-After: 120\r\n".to_owned(), Vec::new()));
    // An exchange may take 10 s.
    assert!(eventually(SOON, || scene.failures() >= 1.0), "{}", scene.gateway.stderr());
    scene.gateway.tells("expected the whole answer");
    assert!(eventually(SOON, || scene.gateway.admin("/readyz").status == 200), "others are served");
    assert!(eventually(SOON, || scene.failures() >= 2.0), "{}", scene.gateway.stderr());
    let next =
        || scene.gateway.metric("origin_material_next_refresh_timestamp_seconds") - tests::tokens::now_s() as f64;
    assert!(eventually(SOON, || (100.0..=121.0).contains(&next())), "{}", next());
}
