//! `adamant status` beside a store: what gateways do with what the store says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::process::Command;
use std::time::Duration;

use tests::gateway::{Gateway, run};
use tests::process::eventually;
use tests::store::{CHANNEL, World, served};

/// `adamant status --store …`: whether it was content, and all that it said.
fn status(world: &World, gateway: &Gateway, more: &[&str]) -> (bool, String) {
    let host = format!("http://{}", gateway.admin_address());
    let arguments = [&["status", &host, "--store", "store", "--channel", CHANNEL], more].concat();
    let (status, stdout, stderr) = run(&arguments, world.home());
    assert!(matches!(status.code(), Some(0 | 1)), "{status}: {stderr}");
    (status.success(), stdout + &stderr)
}

fn eventually_says(world: &World, gateway: &Gateway, expected: &str) {
    let mut said = String::new();
    let came = eventually(Duration::from_secs(60), || {
        said = status(world, gateway, &[]).1;
        said.contains(expected)
    });
    assert!(came, "expected {expected} in {said}");
}

#[test]
fn a_gateway_that_follows_is_fine_and_one_that_refuses_says_why() {
    let world = World::new("hot");
    let first = world.build(1, &world.policy(&["/a"]));
    world.publish(1, &first);
    let gateway = world.start();
    let (fine, said) = status(&world, &gateway, &[]);
    assert!(fine && said.contains("serial 1 (not verified: give --trust-root)"), "{said}");
    let (fine, said) = status(&world, &gateway, &["--trust-root", "root.json"]);
    assert!(fine && said.contains("serial 1\n"), "{said}");

    // Wider, and signed by one: the store points at it, and the gateway does not go there.
    let wider = world.build(2, &world.policy(&["/a", "/b"]));
    world.put_release(&wider, &[1]);
    world.point(2, &wider.digest);
    eventually_says(&world, &gateway, "problem: refuses");
    let (fine, said) = status(&world, &gateway, &[]);
    assert!(!fine && said.contains("problem: follows pointer serial 1, expected 2"), "{said}");
    assert!(said.contains(&format!("expected {}", wider.digest)), "{said}");
    assert_eq!(served(&gateway), first.digest);
    world.put_release(&wider, &[1, 2]);
    eventually_says(&world, &gateway, "1 gateway, 0 with problems");
}

#[test]
fn a_gateway_that_waits_for_a_restart_is_told_apart() {
    let world = World::new("restart");
    world.publish(1, &world.build(1, &world.policy(&["/a"])));
    let mut gateway = world.start();
    world.publish(2, &world.build(2, &world.policy(&["/a", "/b"])));
    eventually_says(&world, &gateway, "the expected one is accepted and waits for a restart");
    let (status, said, _) = run(&["status", &format!("http://{}", gateway.admin_address())], world.home());
    assert!(status.code() == Some(1) && said.contains("(version 2) is accepted and waits for a restart"), "{said}");
    gateway.restart("TERM");
    eventually_says(&world, &gateway, "1 gateway, 0 with problems");
}

#[test]
fn an_expired_pointer_is_a_problem_though_all_serve_what_it_says() {
    let world = World::new("hot");
    let release = world.build(1, &world.policy(&["/a"]));
    world.put_release(&release, &[1, 2]);
    let soon = Command::new("date").args(["-u", "-d", "30 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    world.point_until(1, &release.digest, String::from_utf8_lossy(&soon.stdout).trim());
    let gateway = world.start();
    // What ends is looked at after the start.
    eventually_says(&world, &gateway, "note: the pointer of channel production ends at");
    eventually_says(&world, &gateway, "it accepts nothing new");
    assert_eq!(served(&gateway), release.digest);
    assert!(!status(&world, &gateway, &[]).0);
}

#[test]
fn a_store_without_the_channel_is_told_before_anybody_is_asked() {
    let world = World::new("hot");
    let empty = ["status", "http://127.0.0.1:1", "--store", "store", "--channel", "other"];
    for more in [&[][..], &["--trust-root", "root.json"]] {
        let (status, _, said) = run(&[&empty[..], more].concat(), world.home());
        assert!(status.code() == Some(1) && said.contains("the store has no channel other"), "{said}");
    }
}
