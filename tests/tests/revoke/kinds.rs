//! One after the other, each of the seven kinds, while others go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest, Sha256};

use super::*;

fn sha256(identity: &Identity) -> String {
    let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    hex(&Sha256::digest(&der))
}

/// Ends the load, also where an assertion fails.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `revoked` under load: `lives` must be permitted before, while and after; the others until the list is in force.
fn under_load(stage: &Stage, revoked: &[String], lives: &[String], arguments: &[&str], reason: &str) {
    let gateway = stage.gateway();
    for request in revoked.iter().chain(lives) {
        assert_eq!(gateway.once(request).status, 200, "{request}");
    }
    let serial = stage.serial();
    let (stop, failed) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for request in lives {
            let (stop, failed) = (&stop, &failed);
            scope.spawn(move || {
                let mut client = gateway.client();
                while !stop.load(Ordering::Relaxed) {
                    failed.fetch_add(usize::from(client.exchange(request).status != 200), Ordering::Relaxed);
                    // Records of all of it must find room, also while whoever writes them stands still.
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let stop = Stop(&stop);
        let mut open: Vec<Client> = revoked.iter().map(|_| gateway.client()).collect();
        for (client, request) in open.iter_mut().zip(revoked) {
            assert_eq!(client.exchange(request).status, 200);
        }
        stage.revoke(arguments);
        stage.wait_for_serial(serial + 1);
        for request in revoked {
            let refused = gateway.once(request);
            assert_eq!((refused.status, refused.value("Connection")), (401, Some("close")), "{request}");
            assert!(refused.text().contains("unauthenticated"), "the body stays coarse: {}", refused.text());
        }
        drop(stop);
    });
    assert_eq!(failed.load(Ordering::Relaxed), 0, "nobody else is refused");
    let denied = |record: &Value| {
        record["adamant.reason"] == reason
            && record["adamant.revocations.serial"] == serial + 1
            && (record["adamant.decision"] == "deny" && record["http.response.status_code"] == 401)
    };
    let told = eventually(SOON, || stage.gateway().records().iter().any(denied));
    assert!(told, "{}", stage.gateway().record_text());
}

#[test]
fn agent_and_api_key() {
    let stage = Stage::new();
    let (bot, other) = (stage.with_key(&stage.key), stage.with_key(&stage.other_key));
    let open = get("/open", "");
    under_load(
        &stage,
        std::slice::from_ref(&bot),
        &[other.clone(), open.clone()],
        &["--agent", "bot"],
        "agent-revoked",
    );
    assert_eq!(
        stage.gateway().once(get("/open", &format!("X-API-Key: {}\r\n", stage.key.text))).status,
        401,
        "nor as anybody"
    );
    let lives = [stage.token(&stage.tokens, "token-bot", "1"), open.clone()];
    under_load(&stage, &[other], &lives, &["--api-key", "reports-2", "--why", "leaked"], "credential-revoked");
    // Whom everybody is.
    under_load(&stage, &[open], &lives[..1], &["--agent", "anyone"], "agent-revoked");
}

#[test]
fn token_key_and_subject() {
    let stage = Stage::new();
    let token = |key, subject, jti| stage.token(key, subject, jti);
    let (one, two) = (token(&stage.tokens, "token-bot", "one"), token(&stage.tokens, "token-bot", "two"));
    let other = token(&stage.tokens, "token-other", "three");
    let by_other_key = token(&stage.other_tokens, "token-other", "four");
    let somebody = token(&stage.tokens, "somebody", "five");
    let until = ["--until", "2099-01-01T00:00:00Z"];
    let lives = [two.clone(), other.clone(), by_other_key.clone(), somebody.clone()];
    under_load(&stage, &[one], &lives, &[&["--jti", "corp/one"], &until[..]].concat(), "credential-revoked");
    let before = ["--subject", "corp/token-bot"];
    under_load(&stage, &[two], &lives[1..], &before, "credential-revoked");
    // The whole second in which it was revoked is meant.
    let revoked_s = now_s();
    assert!(eventually(SOON, || now_s() > revoked_s + 1));
    let later = token(&stage.tokens, "token-bot", "later");
    assert_eq!(stage.gateway().once(&later).status, 200, "a token that is issued later is another one");
    let kid = format!("{ISSUER}/k1");
    // A token that does not name its key is by that key all the same.
    let mut unnamed = claims("token-other");
    unnamed["jti"] = json!("unnamed");
    let header = json!({"alg": stage.tokens.algorithm, "typ": "JWT"});
    let unnamed = get("/x", &bearer(&stage.tokens.sign_with(&header, &unnamed)));
    let by_key = [other, somebody, later, unnamed];
    under_load(&stage, &by_key, &[by_other_key], &["--kid", &kid], "credential-revoked");
    // A subject of the population is that one alone, and nobody else's namesake.
    let [gone, stays] = ["gone", "stays"].map(|name| stage.token(&stage.other_tokens, name, name));
    under_load(&stage, &[gone], &[stays], &["--subject", "corp/gone"], "credential-revoked");
}

#[test]
fn certificates_by_hash_by_number_and_of_a_ca() {
    let stage = Stage::new();
    let (bot, other) = (stage.tls(&stage.cert_bot), stage.tls(&stage.cert_other));
    let ask = |client: &mut Client| client.exchange(get("/x", "")).status;
    let (mut of_bot, mut of_other) = (stage.connect(&bot), stage.connect(&other));
    assert_eq!((ask(&mut of_bot), ask(&mut of_other)), (200, 200));
    let said = stage.revoke(&["--certificate", "cert-bot.pem"]);
    for part in ["is of spiffe://corp.test/bot, spki-sha256:", "issues to the same name again", "--agent cert-bot …"]
    {
        assert!(said.contains(part) && !said.contains("warning"), "{part}: {said}");
    }
    stage.wait_for_serial(1);
    assert!(of_bot.is_closed_within(SOON), "an idle connection of it is closed");
    assert_eq!(ask(&mut of_other), 200);
    let before = stage.gateway().metric("handshakes_resumed_total");
    let mut again = stage.connect(&bot);
    assert_eq!(ask(&mut again), 401);
    assert!(stage.gateway().metric("handshakes_resumed_total") > before, "a resumed session is looked at as well");

    // The other one by its number; neither its issuer's other certificates nor the same number of another issuer.
    let number = serial_number(&stage.cert_other);
    let third = stage.clients.spiffe("spiffe://corp.test/bot");
    let mut of_third = stage.connect(&stage.tls(&third));
    assert_eq!(ask(&mut of_third), 200);
    stage.revoke(&["--certificate-serial", &format!("clients.pem/{number}")]);
    stage.wait_for_serial(2);
    assert!(of_other.is_closed_within(SOON));
    assert_eq!(ask(&mut stage.connect(&other)), 401);
    assert_eq!(ask(&mut of_third), 200);
    let foreign = format!("{}/{}", "0".repeat(64), serial_number(&third));
    stage.revoke(&["--certificate-serial", &foreign]);
    stage.wait_for_serial(3);
    assert_eq!(ask(&mut of_third), 200);

    // By the hash of another spelling.
    let hash = sha256(&third).to_uppercase();
    stage.revoke(&["--certificate", &hash]);
    stage.wait_for_serial(4);
    assert!(of_third.is_closed_within(SOON));
    assert_eq!(ask(&mut stage.connect(&stage.tls(&third))), 401);

    let said = stage.revoke(&["--certificate", "server.pem"]);
    assert!(said.contains("this certificate is none of a client") && !said.contains("--agent"), "{said}");
}

#[test]
fn a_certificate_that_its_thief_wrote_anew_is_the_same_certificate() {
    let stage = Stage::new();
    let ask = |identity: &Identity| stage.connect(&stage.tls(identity)).exchange(get("/x", "")).status;
    let anew = stage.cert_bot.written_anew();
    assert!(sha256(&anew) != sha256(&stage.cert_bot));
    let mut idle = stage.connect(&stage.tls(&anew));
    assert_eq!((idle.exchange(get("/x", "")).status, ask(&stage.cert_bot), ask(&stage.cert_other)), (200, 200, 200));
    stage.revoke(&["--certificate", "cert-bot.pem"]);
    stage.wait_for_serial(1);
    assert!(idle.is_closed_within(SOON));
    assert_eq!((ask(&anew), ask(&stage.cert_bot), ask(&stage.cert_other)), (401, 401, 200));

    // As a record shows what the thief used.
    stage.revoke(&["--certificate", &sha256(&stage.cert_other.written_anew())]);
    stage.wait_for_serial(2);
    assert_eq!(ask(&stage.cert_other), 401);
}

#[test]
fn a_ca_of_the_policy_is_revoked_though_nobody_shows_it() {
    let stage = Stage::new();
    let ask = |identity: &Identity| stage.connect(&stage.tls(identity)).exchange(get("/x", "")).status;
    let mut idle = stage.connect(&stage.tls(&stage.cert_bot));
    assert_eq!((idle.exchange(get("/x", "")).status, ask(&stage.cert_other)), (200, 200));
    stage.revoke(&["--certificate", "clients.pem"]);
    stage.wait_for_serial(1);
    assert!(idle.is_closed_within(SOON));
    let shown = Identity {
        certificate: format!("{}{}", stage.cert_bot.certificate, stage.clients.pem),
        ..stage.cert_bot.clone()
    };
    assert_eq!([&stage.cert_bot, &stage.cert_other, &shown].map(ask), [401; 3]);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.key)).status, 200);
}

/// As hex, from the DER of the certificate.
pub fn serial_number(identity: &Identity) -> String {
    let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    // Certificate, TBSCertificate, [0] version, then the number: SEQUENCE headers of 4 bytes, version of 5.
    let at = 4 + 4 + 5;
    assert_eq!(der[at], 2, "an INTEGER");
    let length = usize::from(der[at + 1]);
    hex(&der[at + 2..at + 2 + length])
}
