//! The cost certificate of a release: computed when it is built, shown, and never believed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};
use tests::client::get;
use tests::gateway;
use tests::store::{Built, World, digest_of, envelope};

fn edited(built: &Built, edit: impl FnOnce(&mut Value)) -> Built {
    let mut payload: Value = serde_json::from_slice(&built.payload).unwrap();
    edit(&mut payload);
    let payload = payload.to_string().into_bytes();
    Built { digest: digest_of(&payload), payload }
}

/// Writes a release signed by all who must, and runs `adamant release WHAT` on it.
fn release(world: &World, what: &str, built: &Built) -> (bool, String) {
    world.write("shown.json", &envelope("release", &built.payload, &[1, 2]));
    let mut arguments = vec!["release", what, "shown.json"];
    arguments.extend(if what == "verify" { &["--trust-root", "root.json"][..] } else { &["--measure"] });
    let (status, stdout, stderr) = gateway::run(&arguments, world.home());
    (status.success(), stdout + &stderr)
}

#[test]
fn a_release_that_claims_another_cost_than_its_own_is_refused_everywhere() {
    let world = World::new("restart");
    let honest = world.build(1, &world.policy(&["/one/{x}", "/one/two"]));
    let lie = edited(&honest, |payload| payload["cost"]["decision"]["route"]["lines"] = json!(1));
    assert_ne!(lie.digest, honest.digest);
    for what in ["verify", "show"] {
        assert!(release(&world, what, &honest).0, "{what}");
        let (good, said) = release(&world, what, &lie);
        assert!(!good && said.contains("cost certificate") && said.contains("build it again"), "{what}: {said}");
    }
    world.publish(1, &lie);
    let refused = world.try_start().err().unwrap();
    assert!(refused.contains("cost certificate"), "{refused}");
    world.publish(2, &honest);
    assert_eq!(world.start().once(get("/one/two", "")).status, 200);
}

#[test]
fn releases_of_before_there_was_a_certificate_and_of_other_tables_serve() {
    let world = World::new("restart");
    let built = world.build(1, &world.policy(&["/one"]));
    let older = edited(&built, |payload| drop(payload.as_object_mut().unwrap().remove("cost")));
    let other = edited(&built, |payload| {
        payload["cost"]["table_format"] = json!(1);
        payload["cost"]["decision"]["route"]["lines"] = json!(1);
    });
    for (built, said) in [(&older, "states no cost certificate"), (&other, "another form of table")] {
        let (good, shown) = release(&world, "show", built);
        assert!(good && shown.contains(said) && shown.contains("cache lines"), "{shown}");
        assert!(release(&world, "verify", built).0, "{said}");
    }
    world.publish(1, &older);
    assert_eq!(world.start().once(get("/one", "")).status, 200);
}

#[test]
fn measured_stands_beside_certified() {
    let world = World::new("restart");
    let policy = world.policy(&["/one"]);
    // Nobody but everybody may call: there is no proof to decide by.
    let (_, shown) = release(&world, "show", &world.build(1, &policy));
    assert!(shown.contains("measured    nothing: no agent with proofs may call any route"), "{shown}");
    let policy = policy.text()
        + "\n[[agent]]\nname = \"bot\"\nidentity = [{ api_key = [\"bot-1\"] }]\nscopes = [\"all\"]\n\n[[api_key]]\nid = \"bot-1\"\nsha256 = \""
        + &"0".repeat(64)
        + "\"\n";
    world.write("policy.toml", policy.as_bytes());
    let build =
        ["release", "build", "policy.toml", "--version", "2", "--expires", tests::store::END, "-o", "keyed.json"];
    let (status, _, stderr) = gateway::run(&build, world.home());
    assert!(status.success(), "{stderr}");
    let (status, shown, stderr) = gateway::run(&["release", "show", "keyed.json", "--measure"], world.home());
    assert!(status.success(), "{stderr}");
    for said in [
        "cost        a decision takes at most",
        "  one proof",
        "  every proof",
        "limits checked: 0",
        "here and now: p50 ",
        "p99.9 ",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
}
