//! What a revocation list names is refused, whoever vouches for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tests::gateway::run;
use tests::store::{Key, World};

use super::*;

#[test]
fn revocation_lists_count_for_tokens_that_their_issuer_vouches_for() {
    let issuer = HttpsIssuer::start();
    let world = World::with("hot", CLIENT);
    for (name, content) in [("client.key", SECRET.to_owned()), ("1.key", Key::file(1))] {
        world.write(name, content.as_bytes());
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    world.write("id-ca.pem", issuer.ca.as_bytes());
    let policy = policy_text(&world.origin, &issuer_text(&issuer.url(PATH), "10m", ""));
    world.publish(1, &world.build(1, &policy));
    let gateway = world.start();
    let status = |token: &str| gateway.once(get("/", &format!("{}Connection: close\r\n", bearer(token)))).status;
    for token in ["one", "two"] {
        let mut answer = active();
        answer["jti"] = json!(token);
        issuer.say_of(PATH, token, says(&answer));
        comes_to(&gateway, &request_with(token), 200);
    }
    let revoke = |arguments: &[&str]| {
        let place = ["revoke", "--store", "store", "--channel", "production", "--trust-root", "root.json"];
        let (done, stdout, stderr) = run(&[&place, arguments, &["--key", "1.key"]].concat(), world.home());
        assert!(done.success(), "{stdout}{stderr}");
    };
    revoke(&["--jti", "corp/one", "--until", "2099-01-01T00:00:00Z"]);
    assert!(eventually(SOON, || status("one") == 401));
    assert_eq!(status("two"), 200);
    revoke(&["--subject", "corp/bot"]);
    assert!(eventually(SOON, || status("two") == 401));
    let refused = |record: &Value| record["adamant.reason"] == "credential-revoked";
    assert!(eventually(SOON, || gateway.records().iter().filter(|record| refused(record)).count() >= 2));
}
