//! Whoever may point can have what stands in profiles moved to and fro; not so the CA asked for a certificate each time.

use std::time::Instant;

use super::*;

/// The shortest rest between two of them, seconds.
const REST_S: u64 = 45;

/// Certificates that were renewed for a release.
fn ordered(keeper: &Running) -> usize {
    let is_one =
        |line: &Value| line["what"] == "certificate" && line["why"] == "release" && line["outcome"] == "renewed";
    keeper.json().iter().filter(|line| is_one(line)).count()
}

#[test]
fn a_pointer_that_goes_to_and_fro_has_no_certificate_ordered_each_time() {
    let stage = Stage::directory();
    // Another client CA besides: what is in use is of other terms each time.
    ok(stage.world.home(), "ca init other --trust-domain corp.example --no-passphrase");
    let [own, other] = ["ca/ca.pem", "other/ca.pem"].map(|path| fs::read_to_string(stage.world.path(path)).unwrap());
    stage.world.write("both.pem", format!("{own}{other}").as_bytes());
    let releases = [(1, "ca/ca.pem"), (2, "both.pem")].map(|(version, cas)| {
        let policy = stage.policy(&["orders:read"]).text().replace("\"ca/ca.pem\"", &format!("\"{cas}\""));
        stage.world.write("policy.toml", policy.as_bytes());
        let line = format!(
            "release build policy.toml --version {version} --expires 2100-01-01T00:00:00Z --out {version}.json"
        );
        ok(stage.world.home(), &line);
        let payload = tests::store::payload_of(&fs::read(stage.world.path(&format!("{version}.json"))).unwrap());
        let built = Built { digest: tests::store::digest_of(&payload), payload };
        stage.world.put_release(&built, &[1, 2]);
        built
    });
    stage.world.point(1, &releases[0].digest);
    let more = "--gateway https://localhost:1 --gateway-ca ca/ca.pem";
    stage.run(&format!("agent enroll p --agent reports-bot --ca ca {AT} {more}"));
    let (keeper, begun) = (stage.follow(), Instant::now());
    keeper.says("started", 1);
    for serial in 2..9 {
        let version = 1 + (serial + 1) % 2;
        stage.world.point_anywhere(serial, &releases[usize::try_from(version).unwrap() - 1].digest);
        stage.is_soon_at(version, &keeper);
    }
    // The first is obeyed at once, and the next comes after a rest.
    assert!(eventually(SOON, || ordered(&keeper) >= 1), "{:#?}", keeper.lines());
    std::thread::sleep(Duration::from_secs(3));
    // As of before: more time has gone by then, and that allows more.
    let count = u64::try_from(ordered(&keeper)).unwrap();
    assert!(count <= 1 + begun.elapsed().as_secs() / REST_S, "{count}: {:#?}", keeper.lines());
    // Who runs it may have one at any time.
    tests::process::signal(keeper.child.id(), "HUP");
    keeper.says("\"why\":\"order\"", 1);
    keeper.end();
}
