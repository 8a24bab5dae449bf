//! The server is down, or changes its mind about the client.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_token_is_used_until_it_ends_and_no_longer() {
    let begun = tests::tokens::now_s();
    let scene = Scene::of(HttpsIssuer::start(), gives("first", &json!(9)), BY_SECRET);
    assert!(eventually(SOON, || scene.sends("first")));
    scene.issuer.go_down();
    let down = tests::tokens::now_s();
    assert!(eventually(SOON, || scene.failures() > 0.0), "{}", scene.gateway.stderr());
    // It was fetched after the begin and before the server went down, and is used for 8.1 s.
    let is_used = scene.status() == 200;
    assert!(is_used || tests::tokens::now_s() >= begun + 8, "as long as it lives");
    let mut last_used = begun;
    let ends = eventually(SOON, || {
        let asked = tests::tokens::now_s();
        let is_used = scene.status() == 200;
        last_used = if is_used { asked } else { last_used };
        !is_used
    });
    assert!(ends && last_used <= down + 9, "not past its end");
    assert_eq!(scene.status(), 503);
    scene.is_without();
    scene.gateway.tells("has ended, and nothing newer came");
    assert!(eventually(SOON, || refreshes(&scene.gateway, "stale").len() == 1), "told once");
    // What ends is looked at every 10 s.
    let told = || scene.gateway.stderr().contains("it could not be fetched again");
    assert!(eventually(SOON, told), "{}", scene.gateway.stderr());
    assert!(eventually(SOON, || scene.gateway.admin("/readyz").status == 200), "the gateway serves others");
    scene.issuer.say(PATH, gives("second", &json!(600)));
    scene.issuer.come_up();
    assert!(eventually(SOON, || scene.sends("second")), "{}", scene.gateway.stderr());
    shows_none(&scene.gateway, &["first-", "\"first\"", "Bearer first", SECRET]);
}

#[test]
fn a_restart_while_the_server_is_down_serves_others_until_it_is_back() {
    let mut scene = Scene::new(gives("kept-by-nobody", &json!(3_600)));
    assert!(eventually(SOON, || scene.sends("kept-by-nobody")));
    scene.issuer.go_down();
    scene.gateway.restart("TERM");
    scene.is_without();
    assert!(eventually(SOON, || scene.gateway.admin("/readyz").status == 200), "the first attempt is over");
    scene.issuer.come_up();
    assert!(eventually(SOON, || scene.sends("kept-by-nobody")), "{}", scene.gateway.stderr());
    shows_none(&scene.gateway, &["kept-by-nobody"]);
}

#[test]
fn a_secret_that_rotates_on_disk_is_used_from_the_next_fetch_on() {
    let scene = Scene::new(gives("a", &json!(4)));
    assert!(eventually(SOON, || scene.sends("a")));
    let path = scene.gateway.directory().join("client.key");
    let put = |text: &str, mode: u32| {
        fs::write(path.with_extension("new"), text).unwrap();
        fs::set_permissions(path.with_extension("new"), fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
    };
    put("n3xt-secret", 0o600);
    // `the%20edge:n3xt-secret`.
    let basic = "Basic dGhlJTIwZWRnZTpuM3h0LXNlY3JldA==\r\n";
    assert!(eventually(SOON, || scene.issuer.heard().pop().unwrap().0.contains(basic)));
    put("0pen-to-all", 0o644);
    assert!(eventually(SOON, || scene.failures() > 0.0));
    scene.gateway.tells("chmod 600");
    put("n3xt-secret", 0o600);
    scene.issuer.say(PATH, gives("b", &json!(600)));
    assert!(eventually(SOON, || scene.sends("b")), "{}", scene.gateway.stderr());
    shows_none(&scene.gateway, &["n3xt-secret", "0pen-to-all", SECRET]);
}
