//! The real etcd and the real OpenBao, with TLS and a user who may do no more than needed.

use tests::kept::{Bao, ETCD_USER, Etcd};
use tests::openbao;

use super::*;

fn etcd() -> Option<(Etcd, Stage)> {
    let etcd = Etcd::start()?;
    let url = format!("etcd+https://127.0.0.1:{}/adamant/tests", etcd.port);
    let stage = Stage::new(&url, Some(&etcd.ca()), Some(ETCD_USER));
    Some((etcd, stage))
}

fn bao() -> Option<(Bao, Stage)> {
    let bao = Bao::start(&openbao::binary()?);
    let url = format!("openbao+https://127.0.0.1:{}/kv/adamant/tests", bao.port);
    let stage = Stage::new(&url, Some(&bao.ca()), Some(&bao.token));
    Some((bao, stage))
}

/// What the store has is told by the commands, whichever server it is on.
fn all_is_told(stage: &Stage, one: &str) {
    let channels = stage.run("point show");
    assert!(channels.contains("channel production") && channels.contains(one), "{channels}");
    let live = stage.run(&format!("point live {AT}"));
    assert!(live.contains(one), "{live}");
    let difference = stage.try_run(&format!("diff {one} 2.json --trust-root root.json")).1;
    assert!(difference.contains("/two"), "{difference}");
    let revoked = stage.run(&format!("revoke list {AT}"));
    assert!(revoked.contains("reports-1"), "{revoked}");
    let unknown = stage.bad("revoke list --channel producton --trust-root root.json");
    assert!(unknown.contains("did you mean production?"), "{unknown}");
}

#[test]
fn etcd_serves_a_channel_and_a_gateway_outlives_it() {
    let Some((mut etcd, stage)) = etcd() else { return };
    let gateway = life(&stage);
    all_is_told(&stage, told(&gateway)["release"].as_str().unwrap());
    let wrong = Stage { world: World::new("hot"), url: stage.url.clone(), key: stage.key.clone() };
    secret(&wrong.world, "store.token", "adamant:guessed");
    fs::copy(etcd.ca(), wrong.world.path("store-ca.pem")).unwrap();
    let said = wrong.bad("point show");
    assert!(said.contains("authentication failed") && !said.contains("guessed"), "{said}");

    etcd.down();
    refused_soon(&gateway, "cannot be connected to");
    assert_eq!((gateway.once(get("/one", "")).status, stage.with_key(&gateway)), (200, 401));
    // A start while it is down goes on with what was accepted, the revocation list too.
    let mut gateway = gateway;
    gateway.restart("TERM");
    assert_eq!((gateway.once(get("/one", "")).status, stage.with_key(&gateway)), (200, 401));
    // Its tokens for users are gone with it.
    etcd.up();
    content_soon(&gateway);
    stage.build(3, &["/three"]);
    stage.point(3);
    serves_soon(&gateway, 3);
}

#[test]
fn openbao_serves_a_channel_and_a_gateway_outlives_its_seal() {
    let Some((mut bao, stage)) = bao() else { return };
    let gateway = life(&stage);
    all_is_told(&stage, told(&gateway)["release"].as_str().unwrap());

    bao.seal();
    let shown = refused_soon(&gateway, "the server is sealed");
    assert!(shown.to_string().contains("bao operator unseal"), "{shown}");
    let said = stage.bad(&format!("point {AT} --key 4.key --release 2.json"));
    assert!(said.contains("the server is sealed") && said.contains("operator unseal"), "{said}");
    assert_eq!((gateway.once(get("/one", "")).status, stage.with_key(&gateway)), (200, 401));
    bao.unseal();
    content_soon(&gateway);

    bao.down();
    refused_soon(&gateway, "cannot be connected to");
    assert_eq!(gateway.once(get("/one", "")).status, 200);
    bao.up();
    refused_soon(&gateway, "the server is sealed");
    bao.unseal();
    content_soon(&gateway);
    stage.build(3, &["/three"]);
    stage.point(3);
    serves_soon(&gateway, 3);

    // A token that is taken back is told; another one in the same file is taken up without a restart.
    bao.operate(&format!("token revoke {}", bao.token));
    refused_soon(&gateway, "the token has no right to");
    assert_eq!(gateway.once(get("/three", "")).status, 200);
    let token = bao.operate("token create -policy=store -field=token");
    secret(&stage.world, "store.token", &token);
    content_soon(&gateway);
    let outcomes = || {
        let lines = gateway.refreshes("store-access").into_iter();
        let of_token = lines.filter(|line| line["adamant.refresh.source"].as_str().unwrap().ends_with("store.token"));
        of_token.map(|line| line["adamant.refresh.outcome"].clone()).collect::<Vec<_>>()
    };
    // Looked for every second, whenever it is used.
    let told = eventually(SOON, || outcomes() == ["unchanged", "taken"]);
    assert!(told, "{:#?}", gateway.refreshes("store-access"));
    for secret in [&bao.token, &token] {
        assert!(!gateway.stderr().contains(secret.as_str()) && !gateway.record_text().contains(secret.as_str()));
    }
}

/// Agents by the thousand: such a release is more than a value may be.
fn large(stage: &Stage) -> (Gateway, String) {
    let mut policy = stage.world.policy(&["/large"]);
    for number in 0..4_000 {
        let identity = format!("{{ token = {{ issuer = \"corp\", subject = \"agent-{number}-of-a-long-name\" }} }}");
        policy = policy.agent(&format!("agent-{number}"), &identity, &["all"], &["10/second", "1000/hour quota"]);
    }
    let key = tests::tokens::TokenKey::generate("ES256", "k1");
    stage.world.write("corp.jwks.json", tests::tokens::jwks(&[&key]).as_bytes());
    let built = stage.world.build(5, &policy.issuer(&["ES256"], ""));
    let file = envelope("release", &built.payload, &[1, 2]);
    assert!(file.len() > 1_000_000, "{} bytes are not many", file.len());
    stage.world.write("5.json", &file);
    stage.point(5);
    let gateway = stage.world.start();
    serves_soon(&gateway, 5);
    (gateway, built.digest)
}

#[test]
fn a_large_release_is_in_parts_and_a_wrong_part_is_refused() {
    let Some((etcd, stage)) = etcd() else { return };
    let (gateway, _) = large(&stage);
    let keys = etcd.control("get --prefix --keys-only adamant/tests/parts/");
    let parts: Vec<&str> = keys.lines().filter(|line| !line.is_empty()).collect();
    assert!(parts.len() >= 3, "{keys}");
    drop(gateway);
    for name in ["state", "records.jsonl"] {
        let path = stage.world.path(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    etcd.control(&format!("put {} x", parts[1]));
    let why = stage.world.try_start().err().expect("a wrong part is no release");
    assert!(why.contains("expected 393216 bytes in parts/") && why.contains("found 1"), "{why}");
    // Of the right length, and another one's.
    let first = etcd.control(&format!("get --print-value-only {}", parts[0]));
    etcd.put(parts[1], first.trim_end_matches('\n').as_bytes());
    let why = stage.world.try_start().err().expect("an exchanged part is no release");
    assert!(why.contains("expected parts that make sha256:"), "{why}");
    etcd.control(&format!("del {}", parts[1]));
    let why = stage.world.try_start().err().expect("a part is missing");
    assert!(why.contains("/0001 is not there"), "{why}");
    // The same command again puts it right.
    assert!(stage.point(5).contains("is not whole"));
    serves_soon(&stage.world.start(), 5);
}

#[test]
fn a_large_release_goes_through_openbao_too() {
    let Some((bao, stage)) = bao() else { return };
    let (_gateway, _) = large(&stage);
    let parts = bao.operate("kv list kv/adamant/tests/parts/");
    assert!(parts.contains("sha256-"), "{parts}");
}
