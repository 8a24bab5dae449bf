//! An issuer that is away, slow, or says what it should not: nobody passes for it, and who was vouched for goes on.

use tests::certificates::Authority;

use super::*;

/// A member that is not there.
const GONE: &str = "gone";

#[test]
fn every_kind_of_failure_refuses_and_leaves_known_tokens_alone() {
    let scene = Scene::new("10m", "");
    scene.issuer.say_of(PATH, "known", says(&active()));
    scene.passes("known");
    let whole = |status: u16, fields: &str, content: &str| Reply::Whole(status, fields.to_owned(), content.into());
    let good = active().to_string();
    let replies = [
        whole(302, "Location: https://127.0.0.1:1/\r\n", &good),
        whole(500, "", &good),
        whole(401, "", &good),
        whole(200, "Content-Encoding: gzip\r\n", &good),
        Reply::json("<html>"),
        Reply::json("{}"),
        Reply::json(r#"{"active":"true"}"#),
        Reply::json(&good.replacen('{', r#"{"active":false,"#, 1)),
        Reply::Endless,
        Reply::Trickle,
        Reply::Silence,
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let token = format!("token-{number}");
        scene.issuer.say_of(PATH, &token, reply);
        scene.is_refused_for(&token, "introspection-unavailable");
        assert_eq!(scene.status("known"), 200);
        // Its issuer is well again: soon it passes.
        scene.issuer.say_of(PATH, &token, says(&active()));
        scene.passes(&token);
    }
    scene.issuer.go_down();
    scene.is_refused_for("another", "introspection-unavailable");
    assert_eq!(scene.status("known"), 200);
    scene.issuer.come_up();
    scene.gateway.tells("issuer \"corp\": ");
}

#[test]
fn an_answer_about_something_else_is_refused_for_what_it_is() {
    let scene = Scene::new("10m", "");
    let begun = Instant::now();
    let lies = [
        (json!({ "iss": "https://evil.test" }), "token-issuer-unknown"),
        (json!({ "aud": "https://other.test" }), "token-audience-wrong"),
        (json!({ "aud": null }), "token-invalid"),
        (json!({ "exp": 1 }), "token-expired"),
        (json!({ "exp": GONE }), "token-invalid"),
        (json!({ "aud": GONE }), "token-invalid"),
        (json!({ "nbf": now_s() + 600 }), "token-not-yet-valid"),
        (json!({ "sub": "somebody" }), "agent-unknown"),
        (json!({ "token_type": "refresh_token" }), "token-invalid"),
        (json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }), "dpop-missing"),
        (json!({ "cnf": { "jwk": {} } }), "token-binding-unknown"),
    ];
    for (number, (lie, reason)) in lies.iter().enumerate() {
        let token = format!("lie-{number}");
        let mut answer = active();
        for (name, value) in lie.as_object().unwrap() {
            answer[name] = value.clone();
            answer.as_object_mut().unwrap().retain(|_, value| *value != GONE);
        }
        scene.issuer.say_of(PATH, &token, says(&answer));
        scene.is_refused_for(&token, reason);
    }
    for part in [
        &*format!("issuer \"corp\": the introspection answer has another aud (expected one of {AUDIENCE})"),
        &*format!("issuer \"corp\": the introspection answer has no aud (expected one of {AUDIENCE})"),
        "issuer \"corp\": the introspection answer has no exp: the token is refused (token-invalid)",
        "issuer \"corp\": the introspection answer is of no access token",
    ] {
        scene.gateway.tells(part);
        // Once in ten seconds.
        let (told, most) = (scene.gateway.stderr(), 1 + begun.elapsed().as_secs() as usize / 10);
        assert!((1..=most).contains(&told.matches(part).count()), "{part}: {told}");
        assert!(!told.contains("lie-"), "no token is told");
    }
    let mut narrow = active();
    narrow["scope"] = json!("another");
    scene.issuer.say_of(PATH, "narrow", says(&narrow));
    // A token's scopes narrow.
    comes_to(&scene.gateway, &request_with("narrow"), 403);
}

#[test]
fn somebody_else_in_its_place_never_sees_a_token() {
    let (issuer, stranger) = (HttpsIssuer::start(), HttpsIssuer::start());
    stranger.say(PATH, says(&active()));
    let origin = RecordingOrigin::start();
    let policy = policy_text(&origin, &issuer_text(&stranger.url(PATH), "1m", ""));
    let deployment = Deployment::new().file("client.key", SECRET).file("id-ca.pem", &issuer.ca).with(CLIENT);
    let scene = Scene { gateway: deployment.run(&policy.text()), issuer: stranger, origin };
    scene.is_refused_for("good", "introspection-unavailable");
    assert!(scene.issuer.heard().is_empty());
}

#[test]
fn the_gateway_can_be_known_by_its_certificate() {
    let clients = Authority::new("clients of the issuer");
    let own = clients.spiffe("spiffe://corp.test/gateway");
    let issuer = HttpsIssuer::start_for(Some(&clients));
    issuer.say(PATH, says(&active()));
    let client = "[[introspection_client]]\nname = \"gateway\"\nid = \"gw\"\nchain = \"own.pem\"\nkey = \"own.key\"";
    let deployment = Deployment::new().file("own.pem", &own.certificate).file("own.key", &own.key).with(client);
    let scene = Scene::of(issuer, deployment, "10m", "");
    scene.passes("good");
    let (head, content) = scene.issuer.heard().remove(0);
    assert!(
        content.ends_with("&client_id=gw") && !head.to_ascii_lowercase().contains("authorization"),
        "{head}{content}"
    );
}
