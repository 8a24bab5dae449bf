//! The same on servers: the real etcd and the real OpenBao, with TLS and a user who may do no more than needed; and Consul
//! as its API is documented, because its server is not to be had here.

use std::time::Instant;

use tests::answering::Answering;
use tests::certificates::Authority;
use tests::consul::Consul;
use tests::kept::{Bao, ETCD_USER, Etcd};
use tests::openbao;

use super::*;

const CONSUL_TOKEN: &str = "b1gs33cr3t-consul-token";

/// The store goes away and comes back: the profile stays, and agents need no store to call.
fn outlives(stage: &Stage, keeper: &Running, mut turn: impl FnMut(bool)) {
    let _ = fs::remove_file(stage.world.path("p/proxy.sock"));
    let (before, _proxy) = (stage.profile(), proxy(stage));
    turn(false);
    keeper.says("\"outcome\":\"failed\"", 1);
    assert_eq!(stage.profile(), before);
    assert!(stage.call("/orders/7").starts_with("HTTP/1.1 200"), "{}", stage.call("/orders/7"));
    turn(true);
    keeper.says("\"outcome\":\"unchanged\"", 1);
    assert_eq!(stage.profile(), before);
}

#[test]
fn etcd_is_followed_and_outlived() {
    let Some(mut etcd) = Etcd::start() else { return };
    let url = format!("etcd+https://127.0.0.1:{}/adamant/tests", etcd.port);
    let stage = Stage::new(&url, Some(&etcd.ca()), Some(ETCD_USER));
    let (_gateway, keeper) = life(&stage);
    outlives(&stage, &keeper, |is_up| if is_up { etcd.up() } else { etcd.down() });
    assert!(keeper.end().iter().all(|line| !line.contains("of-the-tests")));
}

#[test]
fn openbao_is_followed_and_its_seal_outlived() {
    let Some(binary) = openbao::binary() else { return };
    let bao = Bao::start(&binary);
    let url = format!("openbao+https://127.0.0.1:{}/kv/adamant/tests", bao.port);
    let stage = Stage::new(&url, Some(&bao.ca()), Some(&bao.token));
    let (_gateway, keeper) = life(&stage);
    outlives(&stage, &keeper, |is_up| if is_up { bao.unseal() } else { bao.seal() });
    assert!(keeper.end().iter().all(|line| !line.contains(&bao.token)));
}

#[test]
fn consul_is_followed_by_blocking_queries() {
    let authority = Authority::new("consul's CA");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    let consul = Consul::new(CONSUL_TOKEN);
    let of_server = consul.clone();
    let tls = authority.server(&["127.0.0.1"]).server_config();
    let server = Answering::start(Some(tls), move |asked| of_server.answer(asked));
    let url = format!("consul+https://127.0.0.1:{}/adamant", server.address.port());
    let stage = Stage::new(&url, Some(&directory.path().join("ca.pem")), Some(CONSUL_TOKEN));
    let (gateway, keeper) = life(&stage);
    assert!(consul.keys().iter().any(|key| key.starts_with("adamant/profiles/sha256-")), "{:?}", consul.keys());
    drop(gateway);
    // The gateway is gone: what is asked now, the agent asks. By names alone while nothing changes.
    std::thread::sleep(Duration::from_secs(3));
    let by_name = |asked: &[(String, String)]| asked.iter().all(|(_, target)| target.contains("?keys"));
    let (mut asked, mut took) = (Vec::new(), Duration::ZERO);
    // What was not answered in time, on a machine that stands still, is read again as if it had changed.
    for _ in 0..3 {
        server.asked();
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs(6));
        (asked, took) = (server.asked(), begun.elapsed());
        if by_name(&asked) {
            break;
        }
    }
    // Twenty in six seconds at most.
    assert!(asked.len() as f64 <= 20.0 / 6.0 * took.as_secs_f64(), "{} in {took:?}: {asked:?}", asked.len());
    let blocks = eventually(SOON, || {
        asked.extend(server.asked());
        asked.iter().any(|(_, target)| target.contains("pointer.json?keys&index="))
    });
    assert!(blocks && by_name(&asked), "{asked:?}");
    assert!(keeper.end().iter().all(|line| !line.contains(CONSUL_TOKEN)));
}
