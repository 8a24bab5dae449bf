//! What runs already: long downloads, requests without an answer yet, idle connections.

use tests::client::Ended;

use super::*;

/// A download that has begun.
pub fn download(mut client: Client, fields: &str) -> Client {
    client.send(get("/slow", fields));
    assert_eq!(client.head().0, 200);
    client
}

/// Reads on until it ends. Whether it looked whole, and how it ended.
pub fn end_of(client: &mut Client) -> (bool, Ended) {
    let (bytes, ended) = client.read_until_quiet(SOON, SOON);
    (bytes.ends_with(b"0\r\n\r\n"), ended)
}

fn goes_on(client: &mut Client) -> bool {
    client.read_until_quiet(Duration::from_millis(1), Duration::from_millis(1));
    let (bytes, ended) = client.read_until_quiet(SOON, Duration::from_millis(20));
    !bytes.is_empty() && ended == Ended::Open
}

#[test]
fn a_long_download_of_each_kind_ends_and_the_others_go_on() {
    let stage = Stage::new();
    let key = |key: &ApiKey| format!("X-API-Key: {}\r\n", key.text);
    let token = |key: &TokenKey, subject: &str| bearer(&key.sign(&claims(subject)));
    let named = |jti: &str| {
        let mut claims = claims("token-other");
        claims["jti"] = json!(jti);
        bearer(&stage.other_tokens.sign(&claims))
    };
    let mut lives = download(stage.gateway().client(), &key(&stage.other_key));
    let mut of_other_certificate = download(stage.connect(&stage.tls(&stage.cert_other)), "");
    let mut of_other_token = download(stage.gateway().client(), &named("stays"));
    let numbered = stage.clients.spiffe("spiffe://corp.test/bot");
    let number = format!("clients.pem/{}", kinds::serial_number(&numbered));
    let until = "2099-01-01T00:00:00Z";
    let mut revoked = vec![
        (download(stage.gateway().client(), &key(&stage.key)), vec!["--agent", "bot"]),
        (download(stage.gateway().client(), &token(&stage.tokens, "token-bot")), vec!["--kid", "corp/k1"]),
        (download(stage.gateway().client(), &token(&stage.other_tokens, "staff-1")), vec!["--subject", "corp/staff-1"]),
        (download(stage.connect(&stage.tls(&stage.cert_bot)), ""), vec!["--certificate", "cert-bot.pem"]),
        (download(stage.connect(&stage.tls(&numbered)), ""), vec!["--certificate-serial", &number]),
        (download(stage.gateway().client(), &named("gone")), vec!["--jti", "corp/gone", "--until", until]),
    ];
    let count = revoked.len();
    for (client, arguments) in &mut revoked {
        assert!(goes_on(client), "{arguments:?}");
        stage.revoke(arguments);
        let (whole, ended) = end_of(client);
        assert!(!whole && ended != Ended::Open, "{arguments:?}: {ended:?}");
        for other in [&mut lives, &mut of_other_certificate, &mut of_other_token] {
            assert!(goes_on(other), "{arguments:?}");
        }
    }
    let cut = || {
        let records = stage.gateway().records().into_iter();
        let cut =
            records.filter(|record| record["adamant.reason"].as_str().is_some_and(|why| why.ends_with("-revoked")));
        cut.collect::<Vec<_>>()
    };
    assert!(eventually(SOON, || cut().len() == count), "{:?}", cut());
    for record in cut() {
        assert_eq!(
            (record["adamant.decision"].as_str(), record["http.response.status_code"].as_u64()),
            (Some("permit"), Some(200))
        );
        assert!(record["adamant.revocations.serial"].as_u64() > Some(0), "{record}");
    }
}

#[test]
fn a_request_without_an_answer_yet_is_told_and_its_connection_closed() {
    let stage = Stage::new();
    stage.world.origin.answer_with(|_, _| Answer::broken(tests::answer::Fault::Silence));
    let mut asking = stage.gateway().client();
    asking.send(stage.with_key(&stage.key));
    stage.world.origin.wait_for_head(1);
    stage.revoke(&["--api-key", "reports-1"]);
    let answer = asking.response();
    assert_eq!((answer.status, answer.value("Connection")), (401, Some("close")));
    assert!(asking.is_closed_within(SOON));
    assert!(eventually(SOON, || stage.world.origin.open_connections() == 0));
}

#[test]
fn an_upload_in_the_middle_of_its_content_is_ended() {
    let stage = Stage::new();
    let mut sending = stage.gateway().client();
    let key = &stage.key.text;
    sending.send(format!("POST /x HTTP/1.1\r\nHost: api.test\r\nX-API-Key: {key}\r\nContent-Length: 1000\r\n\r\nsome"));
    assert!(eventually(SOON, || stage.world.origin.open_connections() == 1));
    stage.revoke(&["--agent", "bot"]);
    let (bytes, ended) = sending.read_until_quiet(SOON, SOON);
    assert!(bytes.starts_with(b"HTTP/1.1 401") && ended != Ended::Open, "{}", String::from_utf8_lossy(&bytes));
}

#[test]
fn a_download_on_an_older_release_ends_too() {
    let mut stage = Stage::new();
    let mut old = download(stage.gateway().client(), &format!("X-API-Key: {}\r\n", stage.key.text));
    let next = stage.world.build(
        2,
        &stage
            .policy()
            .agent("aaa", "{ api_key = [\"reports-3\"] }", &["open"], &[])
            .api_key(&ApiKey::new("reports-3"), ""),
    );
    stage.world.publish(2, &next);
    assert!(eventually(SOON, || tests::store::served(stage.gateway()) == next.digest));
    assert!(goes_on(&mut old));
    stage.revoke(&["--agent", "bot"]);
    let (whole, ended) = end_of(&mut old);
    assert!(!whole && ended != Ended::Open, "{ended:?}");
    assert_eq!(stage.gateway().once(stage.with_key(&stage.key)).status, 401, "on the new release");
    assert_eq!(stage.gateway().once(stage.with_key(&stage.other_key)).status, 200);
    stage.stop();
}

/// A connection that several share: whoever was on it last means nothing for the one whose request begins.
#[test]
fn the_next_callers_request_is_not_ended_for_the_last_one() {
    // A head that is begun is waited for as long as the rest takes.
    let mut stage = Stage::with("[timeouts]\nhead = \"2m\"");
    stage.begin();
    let mut shared = stage.gateway().client();
    assert_eq!(shared.exchange(stage.with_key(&stage.key)).status, 200);
    let request = stage.with_key(&stage.other_key);
    let (begun, rest) = request.split_at(20);
    shared.send(begun);
    // Once another one's answer is there, this one's bytes have been seen.
    assert_eq!(stage.gateway().once(stage.with_key(&stage.other_key)).status, 200);
    stage.revoke(&["--agent", "bot"]);
    stage.wait_for_serial(1);
    assert_eq!(stage.gateway().once(stage.with_key(&stage.key)).status, 401);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shared.exchange(rest).status, 200);
}
