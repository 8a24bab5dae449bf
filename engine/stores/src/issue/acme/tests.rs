use std::sync::Mutex;

use super::*;

/// Notes how many challenges it is asked to answer.
#[derive(Default)]
struct Noting(Mutex<Vec<usize>>);

impl Desk for Noting {
    fn begun(&self) {}

    fn account(&self) -> Option<Zeroizing<String>> {
        None
    }

    fn keep_account(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    async fn answer(&self, challenges: Vec<Challenge>) -> Result<(), String> {
        self.0.lock().unwrap().push(challenges.len());
        Ok(())
    }
}

fn directory(external: Option<&str>) -> Directory {
    let external = external.map(|id| External { key_id: id.to_owned(), key: PathBuf::new() });
    let (place, contact) = (Place::parse("https://127.0.0.1:1/dir").unwrap(), Vec::new());
    Directory { place, ca: None, contact, external, challenge: ChallengeKind::Http }
}

#[test]
fn an_order_that_takes_too_long_is_given_up_and_nothing_is_answered_any_more() {
    let (directory, desk) = (directory(None), Noting::default());
    let placing = Placing { directory: &directory, desk: &desk, retry_after_s: Arc::default() };
    let bound = Duration::from_millis(50);
    let told = crate::http::wait(placing.within(bound, std::future::pending::<Result<(), AcmeFault>>())).unwrap();
    let told = told.unwrap_err();
    assert!(matches!(told, AcmeFault::Slow { .. }) && !told.is_passing(), "{told}");
    assert!(told.to_string().ends_with("expected a certificate, found the order pending after 0 s"), "{told}");
    assert_eq!(*desk.0.lock().unwrap(), [0]);
    let done = crate::http::wait(placing.within(bound, async { Ok(7) })).unwrap();
    assert_eq!((done.unwrap(), desk.0.lock().unwrap().len()), (7, 2), "nor after one that was done");
}

#[test]
fn each_account_has_a_file_of_its_own() {
    let files = [directory(None), directory(Some("a")), directory(Some("b"))].map(|of| of.account_file());
    assert!(files.iter().all(|file| file.len() == "acme-0123456789abcdef.json".len()), "{files:?}");
    assert!(files[0] != files[1] && files[1] != files[2]);
    assert_eq!(files[0], directory(None).account_file());
}

/// It stands at the server before a challenge is answered: asking again at once would place one after the other.
#[test]
fn an_order_whose_challenge_has_no_place_is_not_placed_again_at_once() {
    assert!(!AcmeFault::Desk("127.0.0.1:443 cannot be listened on".to_owned()).is_passing());
}

#[test]
fn a_step_is_taken_again_for_another_nonce_and_for_nothing_else() {
    let problem = |kind: &str| {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        let problem: Problem = serde_json::from_value(serde_json::json!({ "type": kind })).unwrap();
        instant_acme::Error::Api(problem)
    };
    for (kind, refusals, tries, is_done) in [
        ("badNonce", 0, 1, true),
        ("badNonce", 3, 4, true),
        ("badNonce", u32::MAX, STEP_TRIES_MAX, false),
        ("rateLimited", 1, 1, false),
    ] {
        let mut tried = 0;
        let outcome = crate::http::wait(step(async || {
            tried += 1;
            if tried > refusals { Ok(()) } else { Err(problem(kind)) }
        }));
        assert_eq!((tried, outcome.unwrap().is_ok()), (tries, is_done), "{kind} {refusals}");
    }
}
