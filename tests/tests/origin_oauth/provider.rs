//! Against a real authorization server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tests::certificates::Authority;
use tests::oidc::{OidcProvider, directory};
use tests::tokens::now_s;

use super::*;

/// `exp` of a JWT.
fn exp(token: &str) -> u64 {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["exp"].as_u64().unwrap()
}

/// An origin that takes bearer tokens that have not ended, and no others.
fn strict() -> RecordingOrigin {
    RecordingOrigin::scripted(|head, _| {
        let token = head.value("Authorization").and_then(|value| value.strip_prefix("Bearer "));
        let is_good = token.is_some_and(|token| now_s() < exp(token));
        if is_good { Answer::text("ok") } else { Answer::new(401) }
    })
}

#[test]
fn tokens_of_a_few_seconds_renew_under_load_and_none_is_sent_past_its_life() {
    let Some(directory) = directory() else { return };
    let (authority, files) = (Authority::new("the server's"), tempfile::tempdir().unwrap());
    let server = OidcProvider::start_tls(&directory, &authority, files.path());
    let (own, other) = (strict(), RecordingOrigin::start());
    let toml =
        client(&format!("{}/token", server.issuer()), &format!("{BY_SECRET}\nresource = \"https://api.test/jwt/24\""))
            .replace("the edge", "bot")
            .replace("orders:read", "all");
    let deployment = Deployment::new().file("id-ca.pem", &authority.pem).file("client.key", "secret-of-the-bot\n");
    let gateway = deployment.with(&toml).run(&policy(&own, &other).text());
    assert!(eventually(SOON, || gateway.once(get("/own/1", "")).status == 200), "{}", gateway.stderr());
    let stop = AtomicBool::new(false);
    let good = thread::scope(|scope| {
        let load = || {
            let (mut client, mut good) = (gateway.client(), 0);
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.exchange(get("/own/1", "")).status, 200, "{}", gateway.stderr());
                good += 1;
                thread::sleep(Duration::from_millis(2));
            }
            good
        };
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let renewed = eventually(Duration::from_secs(120), || {
            loads.iter().any(thread::ScopedJoinHandle::is_finished) || refreshes(&gateway, "taken").len() >= 2
        });
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        let good = loads.into_iter().map(|load| load.join().unwrap()).sum::<usize>();
        assert!(renewed, "{}", gateway.stderr());
        good
    });
    let mut tokens: Vec<_> =
        own.requests().iter().map(|of| of.value("Authorization").unwrap()[7..].to_owned()).collect();
    assert!(tokens.len() >= good);
    tokens.sort_unstable();
    tokens.dedup();
    assert!(tokens.len() >= 2, "{} tokens", tokens.len());
    assert!(refreshes(&gateway, "failed").is_empty());
    let mut secrets: Vec<_> = tokens.iter().map(String::as_str).collect();
    secrets.push("secret-of-the-bot");
    shows_none(&gateway, &secrets);
    assert!(process::descriptors(gateway.pid()) < 100);
    assert!(own.requests().iter().all(|request| request.value("Authorization").is_some()));
}

#[test]
fn the_server_knows_the_gateway_by_its_certificate_or_by_a_secret_in_the_form() {
    let Some(directory) = directory() else { return };
    let (authority, files) = (Authority::new("everybody"), tempfile::tempdir().unwrap());
    let server = OidcProvider::start_tls(&directory, &authority, files.path());
    let identity = authority.spiffe("spiffe://corp.example/reports");
    let by_certificate = "chain = \"edge.pem\"\nkey = \"edge.key\"";
    let in_form = "secret = \"poster.key\"\nsecret_in = \"form\"";
    for (id, proof) in [("certified", by_certificate), ("poster", in_form)] {
        let (own, other) = (strict(), RecordingOrigin::start());
        let more = format!("{proof}\nresource = \"https://api.test/jwt/60\"");
        let toml =
            client(&format!("{}/token", server.issuer()), &more).replace("the edge", id).replace("orders:read", "all");
        let gateway = Deployment::new()
            .file("id-ca.pem", &authority.pem)
            .file("edge.pem", &identity.certificate)
            .file("edge.key", &identity.key)
            .file("poster.key", "s3cr3t-of-the-poster+&")
            .with(&toml)
            .run(&policy(&own, &other).text());
        assert!(eventually(SOON, || gateway.once(get("/own/1", "")).status == 200), "{id}: {}", gateway.stderr());
    }
}
