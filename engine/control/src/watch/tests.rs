//! A good change of a file comes before the workers, a bad one does not, and both are told.

use super::*;
use crate::bounds::EXPIRY_SHOWN_MAX;
use crate::testing;
use crate::testing::rig::{rig, wait};

#[test]
fn a_good_keyset_is_taken_and_a_bad_one_leaves_the_old() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("corp.jwks.json");
    let rig = rig(directory.path());
    let first = rig.status.activation.load_full();
    std::fs::write(&file, testing::JWKS_OTHER).unwrap();
    rig.watch.reload();
    wait("the new keyset", || rig.status.activation.load().id == 2);
    let second = rig.status.activation.load_full();
    assert_ne!(first.issuers[0].digest(), second.issuers[0].digest());
    assert!(Arc::ptr_eq(first.listeners[0].as_ref().unwrap(), second.listeners[0].as_ref().unwrap()));
    assert_eq!(rig.status.moving().keysets["corp"].version, 2);

    std::fs::write(&file, "{\"keys\":[]}").unwrap();
    rig.watch.reload();
    wait("the refusal", || rig.status.moving().keysets["corp"].failures == 1);
    assert_eq!(rig.status.activation.load().id, 2);

    // The same keys in another file are no change.
    std::fs::write(&file, testing::JWKS_OTHER).unwrap();
    rig.watch.reload();
    wait("the confirmation", || rig.status.moving().keysets["corp"].last_failure.is_none());
    assert_eq!(rig.status.activation.load().id, 2);

    let text = rig.end(directory.path());
    let outcomes = |outcome: &str| text.matches(&format!("\"adamant.refresh.outcome\":\"{outcome}\"")).count();
    // Its first look, which nobody asked for, may come before the first change or after it.
    assert_eq!((outcomes("taken"), outcomes("refused")), (1, 1), "{text}");
    assert!((1..=2).contains(&outcomes("unchanged")), "{text}");
}

#[test]
fn a_good_certificate_is_taken_and_a_bad_one_leaves_the_old() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    let served = || rig.status.moving().certificates.values().next().unwrap().clone();
    let old = served().sha256;
    // Without an order: the watcher looks by itself.
    testing::write_chain(directory.path(), "a", &["a.example", "b.example"]);
    wait("the new certificate", || served().sha256 != old && rig.status.activation.load().id >= 2);
    assert_eq!(served().names, ["a.example", "b.example"]);
    let taken = rig.status.activation.load().id;

    let failures = served().failures;
    std::fs::write(directory.path().join("a.key"), "no key").unwrap();
    rig.watch.reload();
    wait("the refusal", || served().failures > failures);
    assert_eq!(rig.status.activation.load().id, taken);
    rig.watch.stop();
}

/// Answers every connection with a key set, and says when it was asked.
fn issuer() -> (std::net::SocketAddr, Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::<std::sync::atomic::AtomicUsize>::default());
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4_096]);
            let jwks = testing::JWKS;
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{jwks}", jwks.len());
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    (address, asked)
}

#[test]
fn keysets_move_while_names_resolve_and_while_there_is_no_room() {
    let (address, asked) = issuer();
    let url = format!("http://{address}/keys");
    let keys = policy::model::Keys::Url(policy::model::Fetched { url, refresh_s: 1, max_stale_s: 60, ca: None });
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let policy = testing::policy(keys, None);
        let (start, _records) = crate::testing::rig::prepare(directory.path(), policy, Default::default());
        let status = Arc::clone(&start.status);
        let mut watcher = Watcher::new(start);
        // It never gets as far as to anything else.
        let asked_again = async {
            while asked.load(std::sync::atomic::Ordering::SeqCst) < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let work = tokio::time::timeout(Duration::from_secs(60), asked_again);
        assert!(watcher.meanwhile(work).await.is_ok(), "it is fetched, and again when it is due");
        assert!(status.activation.load().issuers[0].keyset().is_some(), "workers have it");
        assert!(status.moving().keysets["corp"].refreshes >= 1);
    });
}

#[test]
fn names_are_looked_up_again_and_soon_while_one_is_missing() {
    let tls = || {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        Some(policy::model::OriginTls { ca, server_name: None, identity: None })
    };
    let planned = |address: &str, tls| {
        let addresses = vec![address.to_owned()];
        let origin = policy::model::Origin {
            name: "o".to_owned(),
            addresses,
            tls,
            pass_credentials: false,
            credential: None,
            assertion: None,
        };
        [Planned::new(&origin, &Material::default()).unwrap()]
    };
    let (plain, named) = (planned("127.0.0.1:1", None), planned("a.example:1", tls()));
    let known = Addresses::from([("a.example".to_owned(), vec!["127.0.0.1".parse().unwrap()])]);
    assert!(resolve_pause(&plain, &Addresses::new()) > Duration::from_secs(3_600));
    assert_eq!(resolve_pause(&named, &Addresses::new()), Duration::from_secs(RESOLVE_RETRY_S));
    assert_eq!(resolve_pause(&named, &known), Duration::from_secs(RESOLVE_INTERVAL_S));
}

#[test]
fn of_very_many_things_that_end_those_that_end_soonest_are_shown() {
    let ca = |year| {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    };
    let tls = policy::model::OriginTls { ca: ca(2090) + &ca(2080), server_name: None, identity: None };
    let mut policy = crate::testing::rig::policy(None);
    let first = policy.origins.first().unwrap().clone();
    policy.origins.extend((0..EXPIRY_SHOWN_MAX / 2 + 9).map(|number| {
        let name = format!("o{number:03}");
        policy::model::Origin { name, tls: Some(tls.clone()), ..first.clone() }
    }));
    let directory = tempfile::tempdir().unwrap();
    let rig = crate::testing::rig::rig_with(directory.path(), policy, crate::assemble::Placement::default());
    wait("a look at the ends", || !rig.status.moving().ends.is_empty());
    let ends_s: Vec<u64> = rig.status.moving().ends.iter().map(|of| of.ends_s).collect();
    assert_eq!(ends_s.len(), EXPIRY_SHOWN_MAX);
    let sooner = ends_s.iter().filter(|at_s| **at_s < 3_600_000_000).count();
    assert!(ends_s.is_sorted() && sooner == EXPIRY_SHOWN_MAX / 2 + 9, "all of 2080: {ends_s:?}");
    rig.end(directory.path());
}
