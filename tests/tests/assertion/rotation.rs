//! The keys move: published before they sign, and as long as anything signed with them is on its way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::*;

/// The shortest time that a key may sign.
const FAST: &str = "[assertions]\nrotate = \"5s\"";
const ROTATIONS: usize = 3;

fn published(gateway: &Gateway) -> Vec<String> {
    let answer = gateway.admin("/.well-known/jwks.json");
    assert_eq!((answer.status, answer.value("Content-Type")), (200, Some("application/jwk-set+json")));
    let set: Value = serde_json::from_str(&answer.text()).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn rotations(gateway: &Gateway) -> Vec<Value> {
    gateway.refreshes("assertion-key")
}

#[test]
fn keys_rotate_under_load_and_no_request_is_refused() {
    let guarded = Guarded::new(Deployment::new().with(FAST));
    let stop = Arc::new(AtomicBool::new(false));
    let loaders: Vec<_> = (0..3)
        .map(|number| {
            let (mut client, stop) = (guarded.gateway.client(), Arc::clone(&stop));
            let request = get(&format!("/{number}?a=b"), &guarded.bot());
            thread::spawn(move || {
                let (mut sent, mut good) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    sent += 1;
                    good += usize::from(client.exchange(&request).status == 200);
                    thread::sleep(Duration::from_millis(2));
                }
                (sent, good)
            })
        })
        .collect();
    let mut first_published = BTreeMap::new();
    let (mut last_watch, mut blind) = (Instant::now(), Duration::ZERO);
    let mut watched = || {
        let watch = Instant::now();
        for kid in published(&guarded.gateway) {
            first_published.entry(kid).or_insert_with(Instant::now);
        }
        // A key that comes while nobody looks is seen later than it came.
        blind = blind.max(last_watch.elapsed());
        last_watch = watch;
        // The last one signs, too.
        guarded.verifier.used().len() > ROTATIONS
    };
    assert!(eventually(Duration::from_secs(120), &mut watched), "{}", guarded.gateway.stderr());
    stop.store(true, Ordering::Relaxed);
    for loader in loaders {
        let (sent, good) = loader.join().unwrap();
        assert!(sent > 100 && sent == good, "{good} of {sent}: {:?}", guarded.verifier.refusals());
    }
    // Also a key that came, and signed, after the last look.
    watched();
    let mut used: Vec<_> = guarded.verifier.used().into_iter().collect();
    used.sort_by_key(|(_, since)| *since);
    for (kid, since) in &used[1..] {
        let known = since.duration_since(first_published[kid]);
        assert!(known + blind > Duration::from_millis(3_500), "published {known:?} before it signed");
    }
    assert_eq!(guarded.verifier.refusals(), [""; 0]);

    let are_told = || rotations(&guarded.gateway).len() > ROTATIONS;
    assert!(eventually(SOON, are_told), "{}", guarded.gateway.record_text());
    let rotations = rotations(&guarded.gateway);
    assert_eq!(
        (&rotations[0]["adamant.refresh.why"], &rotations[0]["adamant.refresh.old"]),
        (&json!("start"), &json!(""))
    );
    for rotation in &rotations[1..] {
        let part = |name: &str| rotation[format!("adamant.refresh.{name}")].as_str().unwrap().to_owned();
        assert_eq!((part("why").as_str(), part("outcome").as_str()), ("interval", "taken"), "{rotation}");
        assert!(part("source").ends_with("assertion.keys") && part("overlap") == part("old"), "{rotation}");
        assert_eq!(part("new").split(' ').count(), part("old").split(' ').count() + 1, "{rotation}");
    }
    assert_eq!(guarded.gateway.metric("assertion_key_failures_total"), 0.0);
    let shown = gateway_run(&guarded.gateway, &["audit", "show", "--rotations", "records.jsonl"]);
    assert!(shown.matches("assertion-key").count() > ROTATIONS, "{shown}");
}

fn gateway_run(gateway: &Gateway, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = tests::gateway::run(arguments, gateway.directory());
    assert!(status.success(), "{stdout}{stderr}");
    stdout
}

#[test]
fn a_restart_goes_on_with_the_keys_that_origins_know() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let mut guarded = Guarded::new(Deployment::new());
    let path = guarded.gateway.directory().join("state/assertion.keys");
    assert!(eventually(SOON, || path.exists()));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let before = published(&guarded.gateway);
    assert_eq!(before.len(), 2);
    guarded.gateway.restart("TERM");
    assert_eq!(published(&guarded.gateway), before);
    // Others may have read them: nobody goes by them any more.
    guarded.gateway.signal("TERM");
    assert!(guarded.gateway.wait(SOON).is_some());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    guarded.gateway.restart_stopped();
    guarded.gateway.tells("new ones take their place");
    let are_new = || {
        let after = published(&guarded.gateway);
        after.len() == 2 && after.iter().all(|kid| !before.contains(kid))
    };
    assert!(eventually(SOON, are_new), "{before:?} {:?}", published(&guarded.gateway));
    let written = || fs::metadata(&path).unwrap().mode() & 0o777 == 0o600;
    assert!(eventually(SOON, written), "{}", guarded.gateway.stderr());
}

#[test]
fn what_cannot_be_kept_is_not_signed_with() {
    let guarded = Guarded::new(Deployment::new().with(FAST));
    let state = guarded.gateway.directory().join("state");
    assert!(eventually(SOON, || state.join("assertion.keys").exists()));
    // A directory stands where the new file would be made: root is stopped by it, too.
    fs::create_dir(state.join(".assertion.keys.new")).unwrap();
    let before = published(&guarded.gateway);
    guarded.gateway.tells("the present key goes on signing");
    assert_eq!(published(&guarded.gateway), before);
    assert_eq!(guarded.gateway.once(get("/", &guarded.bot())).status, 200, "{:?}", guarded.verifier.refusals());
    let on_record = || rotations(&guarded.gateway).iter().any(|line| line["adamant.refresh.outcome"] == "failed");
    assert!(eventually(SOON, on_record), "{}", guarded.gateway.record_text());
    assert!(eventually(SOON, || guarded.gateway.metric("assertion_key_failures_total") >= 1.0));
    let gateway = format!("http://{}", guarded.gateway.admin_address());
    let (_, told, _) = tests::gateway::run(&["status", &gateway], guarded.gateway.directory());
    assert!(told.contains("keys of its assertions were not rotated"), "{told}");
    fs::remove_dir(state.join(".assertion.keys.new")).unwrap();
    let moved = || published(&guarded.gateway) != before;
    assert!(eventually(SOON, moved), "{}", guarded.gateway.stderr());
    assert_eq!(guarded.gateway.once(get("/", &guarded.bot())).status, 200, "{:?}", guarded.verifier.refusals());
}

#[test]
fn a_gateway_whose_origins_want_none_makes_none() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("bot-1"));
    let gateway = Deployment::new().run(&policy(origin.address(), "", &key).text());
    assert_eq!(published(&gateway), [""; 0]);
    assert_eq!(gateway.once(get("/", &format!("X-API-Key: {}\r\n", key.text))).status, 200);
    assert_eq!(assertions_of(&origin.last_of(1)), [""; 0]);
    assert!(!gateway.directory().join("state/assertion.keys").exists());
}
