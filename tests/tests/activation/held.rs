//! Who holds old releases by slow exchanges does not keep out the one that removes him.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::answer::{Answer, Content, Fault};
use tests::client::{Client, Ended, get};
use tests::process::eventually;
use tests::store::served;

use super::{BOT, OTHER, SOON, Stage};

/// Between two pieces of a slow response.
const PAUSE: Duration = Duration::from_millis(300);

/// Minutes of a response in small pieces; much at once; nothing at all; or a word.
fn answer(target: &str) -> Answer {
    match target {
        "/slow" => {
            let chunks = vec![b"piece".to_vec(); 1_000];
            Answer::new(200).with_content(Content::Chunked { chunks, trailers: Vec::new(), pause: PAUSE })
        }
        "/much" => Answer::new(200).with_content(Content::Filler(256 << 20)),
        "/silent" => Answer::broken(Fault::Silence),
        _ => Answer::text("ok"),
    }
}

/// The records of exchanges that were ended with their activation.
fn cut(stage: &Stage) -> Vec<Value> {
    let records = stage.gateway().records().into_iter();
    records.filter(|record| record["adamant.reason"] == "activation-ended").collect()
}

#[test]
fn slow_exchanges_on_four_releases_do_not_keep_out_a_fifth() {
    let mut stage = Stage::new();
    stage.world.origin.answer_with(|head, _| answer(&head.target_text()));
    let base = stage.policy().agent("other", OTHER, &["all"], &[]);
    let with_bot = base.clone().agent("bot", BOT, &["all"], &[]);
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|version| stage.release(version, &with_bot));
    let without = stage.release(5, &base);
    let (bot, other) = (stage.token("bot"), stage.token("other"));
    stage.start(&first);
    let (mut quiet, mut asking, mut deaf) =
        (stage.gateway().client(), stage.gateway().client(), stage.gateway().client());
    assert_eq!(quiet.exchange(get("/", &other)).status, 200);
    asking.send(get("/silent", &bot));
    deaf.send(get("/much", &bot));
    assert_eq!(deaf.head().0, 200);
    // All three are on the first release.
    stage.world.origin.wait_for_head(3);
    let slow = || {
        let mut client = stage.gateway().client();
        client.send(get("/slow", &bot));
        assert_eq!(client.head().0, 200);
        client
    };
    let mut oldest = slow();
    let mut others: Vec<Client> = Vec::new();
    for release in [&second, &third, &fourth] {
        stage.activate(release);
        others.push(slow());
    }
    assert!(eventually(SOON, || stage.world.origin.open_connections() == 6));

    let begun = Instant::now();
    stage.activate(&without);
    println!("the fifth release serves after {:?}", begun.elapsed());
    assert_eq!(stage.gateway().once(get("/", &bot)).status, 401, "removed");
    assert_eq!(quiet.exchange(get("/", &other)).status, 200, "a quiet connection of the first release is kept");
    let (bytes, ended) = oldest.read_until_quiet(SOON, SOON);
    assert_ne!(ended, Ended::Open, "the oldest stream is ended");
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "and does not look whole");
    assert_eq!(asking.response().status, 503, "where there was no response yet, it says so");
    assert_eq!(asking.exchange(get("/", &bot)).status, 401, "and the connection goes on");
    for client in &mut others {
        client.read_until_quiet(Duration::from_millis(1), PAUSE / 3);
        let (bytes, ended) = client.read_until_quiet(SOON, PAUSE / 3);
        assert_eq!((bytes.is_empty(), ended), (false, Ended::Open), "the streams of later releases go on");
    }
    assert!(eventually(SOON, || cut(&stage).len() == 3), "{:?}", cut(&stage));
    for record in cut(&stage) {
        assert_eq!(
            (&record["adamant.activation"], &record["adamant.release"]),
            (&1.into(), &first.digest.clone().into())
        );
    }
    // Those of the other streams, and one that was free for the quiet client.
    assert!(eventually(SOON, || stage.world.origin.open_connections() == 4), "connections of cut exchanges are closed");
    assert_eq!(served(stage.gateway()), without.digest);
}
