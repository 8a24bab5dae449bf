//! Consul's KV API, as documented: its server is not to be had here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tests::answering::{Answering, Reply};
use tests::certificates::Authority;
use tests::consul::Consul;

use super::*;

const TOKEN: &str = "b1gs33cr3t-consul-token";

fn consul() -> (Consul, Answering, Arc<AtomicBool>, Stage) {
    let authority = Authority::new("consul's CA");
    let consul = Consul::new(TOKEN);
    let (of_server, busy) = (consul.clone(), Arc::new(AtomicBool::new(false)));
    let is_busy = Arc::clone(&busy);
    let tls = authority.server(&["127.0.0.1"]).server_config();
    let server = Answering::start(Some(tls), move |asked| match is_busy.load(Ordering::Relaxed) {
        true if asked.path.ends_with("pointer.json") => Reply::new(503, "rpc error: No cluster leader"),
        _ => of_server.answer(asked),
    });
    let url = format!("consul+https://127.0.0.1:{}/adamant", server.address.port());
    let directory = tempfile_ca(&authority);
    let stage = Stage::new(&url, Some(&directory.path().join("ca.pem")), Some(TOKEN));
    (consul, server, busy, stage)
}

fn tempfile_ca(authority: &Authority) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    directory
}

#[test]
fn consul_serves_a_channel_and_blocks_until_it_changes() {
    let (consul, server, _, stage) = consul();
    let gateway = life(&stage);
    assert!(consul.keys().iter().any(|key| key == "adamant/channels/production/revocations.json"));
    // Nothing changes: few requests, by names alone, over connections that are kept. Once a minute all is read again, and
    // what the machine holds up for seconds is asked anew.
    let mut told = Vec::new();
    let is_at_rest = (0..5).any(|_| {
        std::thread::sleep(Duration::from_secs(1));
        server.asked();
        let (since, connections) = (Instant::now(), server.connections());
        std::thread::sleep(Duration::from_secs(4));
        let mut asked = server.asked();
        let few = asked.len() as u64 <= 10 * since.elapsed().as_secs();
        let blocks = eventually(SOON, || {
            asked.extend(server.asked());
            asked.iter().any(|(_, target)| target.contains("revocations.json?keys&index="))
        });
        let by_names = asked.iter().all(|(_, target)| target.contains("?keys"));
        let made = server.connections() - connections;
        told.push(format!("few {few}, {made} new connections: {asked:?}"));
        few && blocks && by_names && made == 0
    });
    assert!(is_at_rest, "{told:#?}");

    server.is_away(true);
    refused_soon(&gateway, "127.0.0.1");
    assert_eq!((gateway.once(get("/one", "")).status, stage.with_key(&gateway)), (200, 401));
    server.is_away(false);
    content_soon(&gateway);
    stage.build(3, &["/three"]);
    stage.point(3);
    serves_soon(&gateway, 3);
    assert!(!gateway.stderr().contains(TOKEN));
}

#[test]
fn a_fault_of_the_pointer_alone_does_not_hide_the_kill_switch() {
    let (consul, _server, busy, stage) = consul();
    stage.build(1, &["/one"]);
    stage.point(1);
    let mut gateway = stage.world.start();
    stage.run(&format!("revoke {AT} --key 1.key --api-key reports-1 --out list.json"));
    busy.store(true, Ordering::Relaxed);
    refused_soon(&gateway, "No cluster leader");
    assert_eq!(stage.with_key(&gateway), 200);
    let list = fs::read(stage.world.path("list.json")).unwrap();
    consul.put("adamant/channels/production/revocations.json", &list);
    assert!(eventually(SOON, || stage.with_key(&gateway) == 401), "{}", gateway.stderr());
    // A start is no other case: the state is taken away from it, but for what it accepted.
    gateway.restart("TERM");
    assert_eq!((gateway.once(get("/one", "")).status, stage.with_key(&gateway)), (200, 401));
    busy.store(false, Ordering::Relaxed);
    content_soon(&gateway);
}

#[test]
fn a_large_value_is_refused_by_consul_and_parts_are_not() {
    let (consul, _server, _, stage) = consul();
    let key = tests::tokens::TokenKey::generate("ES256", "k1");
    stage.world.write("corp.jwks.json", tests::tokens::jwks(&[&key]).as_bytes());
    let mut policy = stage.world.policy(&["/large"]).issuer(&["ES256"], "");
    for number in 0..3_000 {
        let identity = format!("{{ token = {{ issuer = \"corp\", subject = \"agent-{number}-of-a-long-name\" }} }}");
        policy = policy.agent(&format!("agent-{number}"), &identity, &["all"], &["10/second", "1000/hour quota"]);
    }
    let built = stage.world.build(5, &policy);
    stage.world.write("5.json", &envelope("release", &built.payload, &[1, 2]));
    stage.point(5);
    let parts = consul.keys().iter().filter(|key| key.starts_with("adamant/parts/")).count();
    assert!(parts >= 2, "{:?}", consul.keys());
    serves_soon(&stage.world.start(), 5);
}
