//! Other releases under which opaque tokens come, while the gateway serves.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tests::store::{World, served};

use super::*;

fn world(issuer: &HttpsIssuer) -> World {
    let world = World::with("hot", CLIENT);
    world.write("client.key", SECRET.as_bytes());
    fs::set_permissions(world.path("client.key"), fs::Permissions::from_mode(0o600)).unwrap();
    world.write("id-ca.pem", issuer.ca.as_bytes());
    world
}

/// Publishes a release whose issuer is what `issuer` says, and waits until it serves.
fn publish(world: &World, gateway: Option<&Gateway>, version: u64, issuer: &str) {
    let built = world.build(version, &policy_text(&world.origin, issuer));
    world.publish(version, &built);
    if let Some(gateway) = gateway {
        assert!(eventually(SOON, || served(gateway) == built.digest), "{}", gateway.stderr());
    }
}

fn passes(gateway: &Gateway, token: &str) {
    comes_to(gateway, &request_with(token), 200);
}

#[test]
fn a_release_that_asks_as_somebody_unknown_does_not_come_to_serve() {
    let issuer = HttpsIssuer::start();
    issuer.say(PATH, says(&active()));
    let world = world(&issuer);
    let text = issuer_text(&issuer.url(PATH), "10m", "");
    publish(&world, None, 1, &text);
    let gateway = world.start();
    let first = served(&gateway);
    let stranger = text.replace("client = \"gateway\"", "client = \"stranger\"");
    publish(&world, None, 2, &stranger);
    let told =
        || gateway.stderr().contains("\"stranger\", which gateway.toml does not have: add an [[introspection_client]]");
    assert!(eventually(SOON, told), "{}", gateway.stderr());
    assert_eq!(served(&gateway), first);
    passes(&gateway, "token");
    // Nor one whose secret is not there any more.
    fs::remove_file(world.path("client.key")).unwrap();
    publish(&world, None, 3, &text.replace("10m", "5m"));
    assert!(eventually(SOON, || gateway.stderr().contains("client.key: cannot be read")), "{}", gateway.stderr());
    assert_eq!(gateway.once(request_with("token")).status, 200, "what was asked about goes on");
}

#[test]
fn an_answer_to_other_words_is_none() {
    let issuer = HttpsIssuer::start();
    issuer.say(PATH, says(&active()));
    issuer.say("/other", says(&active()));
    let world = world(&issuer);
    let text = issuer_text(&issuer.url(PATH), "10m", "");
    publish(&world, None, 1, &text);
    let gateway = world.start();
    let other = || issuer.asked_about("/other", "token");
    let passes = |needed: usize| {
        [0; 3].iter().for_each(|_| passes(&gateway, "token"));
        were_asked(&gateway, || issuer.asked_about(PATH, "token") + other(), needed);
    };
    passes(1);
    publish(&world, Some(&gateway), 2, &format!("{text}\n[[api_key]]\nid = \"unused-1\""));
    // What does not touch the section forgets nothing.
    passes(1);
    publish(&world, Some(&gateway), 3, &text.replace("\"10m\"", "\"5m\""));
    // Another time to believe it.
    passes(2);
    let (here, there) = (issuer.asked_about(PATH, "token"), other());
    assert_eq!(there, 0);
    publish(&world, Some(&gateway), 4, &text.replace(PATH, "/other"));
    passes(3);
    assert_eq!(issuer.asked_about(PATH, "token"), here, "another place to ask");
}
