//! Another release comes before the workers whole, keeps what it does not touch, or changes nothing.

use std::time::Instant as Clock;

use activation::Activation;
use policy::model::{self, Keys, Policy};

use super::*;
use crate::assemble::Placement;
use crate::testing;
use crate::testing::rig::{Rig, policy, rig, rig_with, wait};

fn facts(version: u64) -> activation::activation::ReleaseFacts {
    let digest = testing::digest(version);
    activation::activation::ReleaseFacts { digest, version, ..testing::facts() }
}

fn frozen(policy: Policy, version: u64) -> Frozen {
    Frozen::new(policy, facts(version), [version as u8; 32]).unwrap()
}

fn activate(rig: &Rig, policy: Policy, version: u64) -> Result<u64, String> {
    rig.watch.activate(frozen(policy, version), Box::new(|| Ok(())))
}

fn serving(rig: &Rig) -> Arc<Activation> {
    rig.status.activation.load_full()
}

fn ca() -> String {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

/// Without its agent, the scope and the route remain.
fn without_agents() -> Policy {
    Policy { agents: vec![], ..policy(None) }
}

#[test]
fn another_release_serves_once_it_is_kept_and_keeps_what_it_does_not_touch() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    let before = serving(&rig);
    let (seen, status) = (Arc::new(std::sync::Mutex::new(None)), Arc::clone(&rig.status));
    let told = Arc::clone(&seen);
    let commit = move || {
        *told.lock().unwrap() = Some(status.activation.load().id);
        Ok(())
    };
    let id = rig.watch.activate(frozen(without_agents(), 8), Box::new(commit)).unwrap();
    let now = serving(&rig);
    assert_eq!(*seen.lock().unwrap(), Some(before.id), "it was kept before anybody saw it");
    assert_eq!((now.id, now.release.version, now.table.agent_count()), (id, 8, 0));
    assert!(Arc::ptr_eq(&before.issuers[0], &now.issuers[0]), "verdicts on tokens survive");
    assert!(Arc::ptr_eq(&before.origins[0], &now.origins[0]), "connections to origins survive");
    let listener = |of: &Activation| Arc::as_ptr(of.listeners[0].as_ref().unwrap());
    assert_eq!(listener(&before), listener(&now), "TLS sessions survive");
    let moving = rig.status.moving().clone();
    assert_eq!(now.table_sha256, frozen(without_agents(), 8).table_sha256);
    assert!(moving.since_unix_s > 5 && moving.keysets["corp"].version == 1);
    let text = rig.end(directory.path());
    let told = text.lines().find(|line| line.contains("\"adamant.kind\":\"activation\"")).unwrap();
    for (name, version) in [("adamant.release", 8), ("adamant.release.old", 0)] {
        assert!(told.contains(&format!("\"{name}\":\"{}\"", testing::digest(version))), "{told}");
    }
}

#[test]
fn what_a_release_touches_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig_with(directory.path(), policy(Some(ca())), Placement::default());
    let before = serving(&rig);
    let mut next = policy(Some(ca()));
    next.issuers[0].audience.push("other".to_owned());
    next.origins[0].pass_credentials = true;
    next.transport = model::MinimumTransport::Mtls;
    activate(&rig, next, 8).unwrap();
    let now = serving(&rig);
    assert_ne!(before.issuers[0].digest(), now.issuers[0].digest());
    assert!(now.origins[0].pass_credentials && now.transport == model::MinimumTransport::Mtls);
    let listener = |of: &Activation| Arc::clone(of.listeners[0].as_ref().unwrap());
    let (old, new) = (listener(&before).config.clone(), listener(&now).config.clone());
    assert!(!Arc::ptr_eq(&old.ticketer, &new.ticketer), "tickets of sessions under the old CA open nothing");
    let ticket = old.ticketer.encrypt(b"session").unwrap();
    assert_eq!(
        (old.ticketer.decrypt(&ticket).as_deref(), new.ticketer.decrypt(&ticket)),
        (Some(&b"session"[..]), None)
    );
    // The keyset of the file is followed under the new release too.
    std::fs::write(directory.path().join("corp.jwks.json"), testing::JWKS_OTHER).unwrap();
    testing::rig::wait("the keyset", || serving(&rig).issuers[0].digest() != now.issuers[0].digest());
    rig.watch.stop();
}

/// Whoever looks first, the release or the watcher: it is on record, once.
#[test]
fn a_keyset_that_changed_just_before_a_release_is_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    let before = serving(&rig);
    std::fs::write(directory.path().join("corp.jwks.json"), testing::JWKS_OTHER).unwrap();
    activate(&rig, without_agents(), 8).unwrap();
    assert_ne!(serving(&rig).issuers[0].digest(), before.issuers[0].digest());
    // The watcher has looked as well.
    testing::rig::wait("a look", || {
        std::fs::read_to_string(directory.path().join("records"))
            .is_ok_and(|text| text.lines().filter(|line| line.contains("\"refresh\"")).count() > 1)
    });
    let text = rig.end(directory.path());
    let taken = text.lines().filter(|line| line.contains("\"refresh\"") && line.contains("\"taken\""));
    assert_eq!(taken.count(), 1, "{text}");
}

#[test]
fn what_cannot_serve_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    let refused = |policy: Policy, commit: Commit| rig.watch.activate(frozen(policy, 8), commit).unwrap_err();
    let kept = || -> Commit { Box::new(|| Ok(())) };
    let disk_full = refused(policy(None), Box::new(|| Err("the disk is full".to_owned())));
    assert!(disk_full.contains("the disk is full"), "{disk_full}");
    let url = "https://id.example/keys".to_owned();
    let by_url = Keys::Url(model::Fetched { url, refresh_s: 600, max_stale_s: 86_400, ca: None });
    assert!(refused(testing::policy(by_url, None), kept()).contains("needs a CA"));
    let missing = Keys::Watch { path: "missing.json".to_owned() };
    assert!(refused(testing::policy(missing, None), kept()).contains("missing.json"));
    let durable = Policy { audit: model::Audit::Durable, ..policy(None) };
    assert!(refused(durable, kept()).contains("records go to stdout"));
    assert_eq!((serving(&rig).id, serving(&rig).release.version), (1, 7));
    assert_eq!(rig.status.moving().activations_refused, 4);
    // A keyset file that cannot be read now was good before, and a release that leaves its issuer alone is not refused.
    std::fs::write(directory.path().join("corp.jwks.json"), "{").unwrap();
    assert!(activate(&rig, without_agents(), 9).is_ok());
    assert!(serving(&rig).issuers[0].keyset().is_some());
    rig.watch.stop();
}

#[test]
fn a_gateway_that_forbids_it_activates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig_with(directory.path(), policy(None), Placement { nodes: vec![], forever: true });
    assert!(activate(&rig, without_agents(), 8).unwrap_err().contains("restart"));
    assert_eq!(serving(&rig).id, 1);
    rig.watch.stop();
}

#[test]
fn a_fifth_release_is_refused_while_four_are_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    let mut held = vec![serving(&rig)];
    for version in 8..11 {
        activate(&rig, without_agents(), version).unwrap();
        held.push(serving(&rig));
    }
    let refused = activate(&rig, without_agents(), 11).unwrap_err();
    assert!(refused.contains(&format!("oldest is number 1 of release {}", testing::digest(0))), "{refused}");
    assert_eq!(serving(&rig).release.version, 10);
    held.remove(0);
    activate(&rig, without_agents(), 11).unwrap();
    assert_eq!(serving(&rig).release.version, 11);
    rig.watch.stop();
}

#[test]
fn a_secret_that_moves_while_a_release_waits_is_the_one_it_serves_with() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let secret = |text: &str| {
        let new = directory.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new, directory.path().join("orders.secret")).unwrap();
    };
    let own = |mut policy: Policy| {
        let (from, header, value) = ("orders".to_owned(), "x-key".to_owned(), "{secret}".to_owned());
        policy.origins[0].credential = Some(model::OriginCredential { from, header, value });
        policy
    };
    let line = |of: &Activation| of.origins[0].injected.as_ref().unwrap().field().line.to_vec();
    secret("first");
    let rig = rig_with(directory.path(), own(policy(None)), Placement::default());
    let mut held = vec![serving(&rig)];
    for version in 8..11 {
        activate(&rig, own(without_agents()), version).unwrap();
        held.push(serving(&rig));
    }
    assert_eq!(line(&serving(&rig)), b"x-key: first\r\n");
    std::thread::scope(|scope| {
        let activating = scope.spawn(|| activate(&rig, own(without_agents()), 11));
        // It waits for room by now, and looks at files once a second.
        std::thread::sleep(Duration::from_millis(300));
        secret("second");
        held.clear();
        // It does not wait for ever, where a machine stands still.
        let id = activating.join().unwrap().or_else(|_| activate(&rig, own(without_agents()), 11)).unwrap();
        let now = serving(&rig);
        assert_eq!((now.id, line(&now)), (id, b"x-key: second\r\n".to_vec()));
    });
    rig.watch.stop();
}

#[test]
fn the_first_release_that_asks_for_assertions_gets_keys() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig(directory.path());
    assert!(serving(&rig).origins[0].assertion.is_none() && rig.status.moving().assertion_keys.is_none());
    let asking = |audience: &str| {
        let mut policy = without_agents();
        policy.origins[0].assertion = Some(model::OriginAssertion { audience: audience.to_owned() });
        policy
    };
    activate(&rig, asking("orders"), 8).unwrap();
    let of = |activation: &Activation| activation.origins[0].assertion.clone().unwrap();
    let first = of(&serving(&rig));
    let shown = rig.status.moving().assertion_keys.clone().unwrap();
    assert_eq!((first.audience.as_str(), first.key.kid()), ("orders", shown.signs.as_str()));
    assert!(shown.keys.len() == 2 && shown.keys.iter().any(|key| key.kid == shown.signs));
    // Another audience is another origin; the key stays.
    activate(&rig, asking("other"), 9).unwrap();
    let second = of(&serving(&rig));
    assert_eq!((second.audience.as_str(), second.key.kid()), ("other", first.key.kid()));
    assert_ne!(*first, *second);
    wait("the rotation log", || {
        std::fs::read_to_string(directory.path().join("records")).unwrap().contains("assertion-key")
    });
    rig.watch.stop();
}

/// A policy with so many agents, each with a limit, and a tenth as many routes.
fn large(agents: usize) -> Policy {
    let mut policy = policy(None);
    let route = policy.routes.remove(0);
    let routes = (agents / 10).clamp(1, 10_000);
    let scopes = 64.min(routes);
    policy.routes = (0..routes)
        .map(|at| model::Route { name: format!("r{at:06}"), path: format!("/v1/things-{at}/{{id}}"), ..route.clone() })
        .collect();
    policy.scopes = (0..scopes)
        .map(|at| {
            let routes = (at..routes).step_by(scopes).map(|route| format!("r{route:06}")).collect();
            model::Scope { name: format!("s{at:02}"), routes }
        })
        .collect();
    policy.agents = (0..agents)
        .map(|at| {
            let token = model::TokenProof {
                issuer: "corp".to_owned(),
                subject: model::Subject::Exactly(format!("agent-{at:06}")),
                bound: None,
            };
            let proofs = model::Proofs { token: Some(token), ..model::Proofs::default() };
            let (kind, per) = (model::LimitKind::Rate { burst: 60 }, model::Per::Agent);
            model::Agent {
                name: format!("agent-{at:06}"),
                identity: vec![model::Identity::Proofs(proofs)],
                scopes: vec![format!("s{:02}", at % scopes)],
                limits: vec![model::Limit { name: "l".to_owned(), kind, count: 60, unit: model::Unit::Minute, per }],
            }
        })
        .collect();
    policy
}

/// `FULL=1 cargo test -p control large -- --nocapture` prints how long releases of 10,000 and 100,000 agents take.
#[test]
fn large_releases_take_each_others_place() {
    let full = std::env::var_os("FULL").is_some();
    for agents in if full { vec![1_000, 10_000, 100_000] } else { vec![1_000] } {
        let directory = tempfile::tempdir().unwrap();
        let rig = rig_with(directory.path(), large(agents), Placement::default());
        let (mut compiled_ms, mut activated_ms) = (Vec::new(), Vec::new());
        for version in 8..13 {
            let mut next = large(agents);
            next.agents.pop();
            let begun = Clock::now();
            let next = frozen(next, version);
            compiled_ms.push(begun.elapsed().as_millis());
            let begun = Clock::now();
            rig.watch.activate(next, Box::new(|| Ok(()))).unwrap();
            activated_ms.push(begun.elapsed().as_millis());
        }
        let table = Arc::clone(&serving(&rig).table);
        assert_eq!(table.agent_count() as usize, agents - 1);
        let begun = Clock::now();
        let hash = <sha2::Sha256 as sha2::Digest>::digest(table.image());
        let hashed_us = begun.elapsed().as_micros();
        assert!(serving(&rig).table_sha256.ends_with(&crate::assemble::hex(&hash)));
        println!(
            "{agents} agents: table {} KiB, compiled in {compiled_ms:?} ms, activated in {activated_ms:?} ms, hashed in \
             {hashed_us} us",
            table.image().len() >> 10
        );
        rig.watch.stop();
    }
}
