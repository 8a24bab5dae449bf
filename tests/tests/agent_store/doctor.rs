//! `agent doctor` of a profile that follows a channel.

use super::*;

#[test]
fn the_doctor_says_that_a_port_of_the_gateway_speaks_plain_http() {
    let stage = Stage::directory();
    let gateway = stage.opened();
    stage.enroll();
    let path = stage.world.path("p/profile.json");
    let good = fs::read_to_string(&path).unwrap();
    let right = url(&gateway, "localhost");
    for port in [gateway.admin_address().port(), gateway.address().port()] {
        fs::write(&path, good.replace(&right, &format!("https://localhost:{port}"))).unwrap();
        let (_, said, _) = run(stage.world.home(), "agent doctor p --json");
        let report: Value = serde_json::from_str(&said).unwrap();
        let tls = report["steps"].as_array().unwrap().iter().find(|step| step["step"] == "tls").unwrap();
        assert!(["not-tls", "closed"].contains(&tls["code"].as_str().unwrap()), "{port}: {tls:#}");
        let todo = tls["todo"].as_str().unwrap();
        assert!(todo.contains("is it the gateway's admin listener, or a listener without tls?"), "{port}: {tls:#}");
    }
}

#[test]
fn the_doctor_says_whether_the_profile_is_the_channels() {
    let stage = Stage::directory();
    let gateway = stage.opened();
    stage.enroll();
    let step = || {
        let (_, said, _) = run(stage.world.home(), "agent doctor p --json");
        let report: Value = serde_json::from_str(&said).unwrap();
        let steps = report["steps"].as_array().unwrap().clone();
        steps.into_iter().find(|step| step["step"] == "channel").unwrap()
    };
    let found = step();
    assert_eq!(found["code"], "ok", "{found:#}");
    stage.point(2);
    let found = step();
    assert_eq!((&found["code"], &found["outcome"]), (&"release-behind".into(), &"warning".into()), "{found:#}");
    assert!(found["found"].as_str().unwrap().contains("version 1 → 2"), "{found:#}");
    assert!(found["todo"].as_str().unwrap().contains("agent run"), "{found:#}");
    let said = ok(stage.world.home(), "agent doctor p");
    assert!(said.ends_with("nothing is wrong yet: see what is marked with !\n"), "{said}");
    ok(stage.world.home(), "agent run p --once");
    assert_eq!(step()["code"], "ok");
    let said = ok(stage.world.home(), "agent doctor p");
    assert!(said.contains("by this profile (release version 2 in use now, of its channel)"), "{said}");
    stage.issue(&url(&gateway, "127.0.0.1"));
    assert_eq!(step()["code"], "document-behind");
    stage.build(3, &[]);
    stage.point(3);
    assert_eq!(step()["code"], "unknown-agent");
    fs::rename(stage.world.path("store"), stage.world.path("moved")).unwrap();
    assert_eq!(step()["code"], "store");
    // Once, and it is no store: the certificate is renewed all the same, and the fault is told.
    let (status, said, stderr) = run(stage.world.home(), "agent run p --once");
    assert!(status == 1 && stderr.contains("cannot be opened"), "{said}{stderr}");
    assert!(said.contains("\"what\":\"certificate\"") && said.contains("\"renewed\""), "{said}");
}
