use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;

use identity::token::Confirmation;
use policy::model::{self, Keys};

use super::*;

const NOW_MS: u64 = 1_000_000_000;

fn issuer(name: &str) -> Arc<Issuer> {
    let rules = model::Issuer {
        name: name.into(),
        issuer: "https://corp.example".into(),
        audience: vec!["api".into()],
        algorithms: vec![],
        keys: Keys::None,
        introspection: None,
        scope_claim: None,
        leeway_s: 0,
    };
    Arc::new(Issuer::new(rules, None))
}

fn client(number: u32) -> Client {
    Client::from(IpAddr::from(number.to_be_bytes()))
}

fn key(number: u32) -> OpaqueKey {
    let mut key = [0; 33];
    key[1..5].copy_from_slice(&number.to_le_bytes());
    key
}

fn next(inquiries: &Inquiries) -> Option<Inquiry> {
    inquiries.next(NOW_MS, |_| true)
}

/// All tests' keys end in zeros, so that they share a set.
fn ask(inquiries: &Inquiries, number: u32, now_ms: u64) -> Told {
    inquiries.ask(&key(number), now_ms, client(number), (&issuer("corp"), b"secret"))
}

fn active(until_s: u64) -> Answer {
    Ok(Arc::new(VerifiedToken {
        issuer: 0,
        subject: "bot".into(),
        scopes: None,
        expires_s: until_s + 5,
        not_before_s: None,
        issued_s: None,
        kid: None,
        other_kids: Box::default(),
        id: None,
        confirmation: Confirmation::default(),
        believed_until_ms: Some(until_s * 1_000),
    }))
}

#[test]
fn many_ask_one_question_and_all_see_the_answer() {
    let knocks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&knocks);
    let inquiries = Inquiries::new(64, move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(ask(&inquiries, 1, NOW_MS), Told::Asked);
    for _ in 0..5 {
        assert_eq!(ask(&inquiries, 1, NOW_MS), Told::Pending);
    }
    assert_eq!(knocks.load(Ordering::Relaxed), 1);
    let inquiry = next(&inquiries).unwrap();
    assert_eq!((inquiry.key, &**inquiry.token), (key(1), &b"secret"[..]));
    assert!(next(&inquiries).is_none());
    assert_eq!(inquiries.look(&key(1), NOW_MS), None);
    let answer = active(NOW_MS / 1_000 + 60);
    inquiries.answer(&key(1), answer.clone(), NOW_MS + 10);
    assert_eq!(ask(&inquiries, 1, NOW_MS + 11), Told::Known(answer.clone()));
    assert_eq!(inquiries.look(&key(1), NOW_MS + 59_999), Some(answer));
    assert_eq!(inquiries.look(&key(1), NOW_MS + 60_000), None, "the policy's bound");
    assert_eq!(inquiries.look(&key(1), NOW_MS - 1), None, "the clock was put back");
    assert_eq!(ask(&inquiries, 1, NOW_MS + 60_000), Told::Asked);
    assert!(next(&inquiries).is_some());
    assert_eq!(inquiries.outcomes(), [1, 0, 0, 0]);
}

#[test]
fn refusals_are_kept_shortly_and_failures_shorter() {
    let inquiries = Inquiries::new(64, || {});
    for (number, fault, kept_ms) in [
        (1, TokenFault::Inactive, INQUIRY_REFUSED_MS),
        (2, TokenFault::AudienceWrong, INQUIRY_REFUSED_MS),
        (3, TokenFault::IntrospectionUnavailable, INQUIRY_FAILED_MS),
    ] {
        let now_ms = NOW_MS;
        assert_eq!(ask(&inquiries, number, now_ms), Told::Asked, "{fault}");
        inquiries.answer(&key(number), Err(fault), now_ms);
        assert_eq!(ask(&inquiries, number, now_ms + kept_ms - 1), Told::Known(Err(fault)));
        assert_eq!(inquiries.look(&key(number), now_ms + kept_ms), None);
    }
    assert_eq!(inquiries.outcomes(), [0, 1, 1, 1]);
}

#[test]
fn room_is_made_by_what_is_worth_least_and_never_by_what_is_waited_for() {
    let inquiries = Inquiries::new(INQUIRY_SET_PLACES, || {});
    let places = INQUIRY_SET_PLACES as u32;
    for number in 0..places {
        assert_eq!(ask(&inquiries, number, NOW_MS), Told::Asked);
    }
    assert_eq!(ask(&inquiries, places, NOW_MS), Told::Full(NoRoom::Others));
    assert_eq!(inquiries.turned_away(), 1);
    for number in 0..places - 1 {
        inquiries.answer(&key(number), active(NOW_MS / 1_000 + 60 + u64::from(number)), NOW_MS);
    }
    inquiries.answer(&key(places - 1), Err(TokenFault::Inactive), NOW_MS);
    assert_eq!(ask(&inquiries, places, NOW_MS), Told::Asked);
    assert_eq!(inquiries.look(&key(places - 1), NOW_MS), None, "the refusal went first");
    assert_eq!(ask(&inquiries, places + 1, NOW_MS), Told::Asked);
    assert_eq!(inquiries.look(&key(0), NOW_MS), None, "then what would have ended soonest");
    assert!(inquiries.look(&key(1), NOW_MS).is_some());
    let later_ms = NOW_MS + INQUIRY_PENDING_MS_MAX;
    assert_eq!(ask(&inquiries, places, later_ms), Told::Asked, "nobody answered: asked again");
}

/// Asks about another token each time until it is refused; how often it was not, and why it was.
fn fill(inquiries: &Inquiries, first: u32, client: Client, issuer: &Arc<Issuer>) -> (usize, Option<NoRoom>) {
    for number in 0..2 * INQUIRIES_QUEUED_MAX as u32 {
        let mut spread = key(first + number);
        spread[29..].copy_from_slice(&(first + number).to_le_bytes());
        match inquiries.ask(&spread, NOW_MS, client, (issuer, b"x")) {
            Told::Asked => {}
            Told::Full(why) => return (number as usize, Some(why)),
            told => panic!("{told:?}"),
        }
    }
    (2 * INQUIRIES_QUEUED_MAX, None)
}

#[test]
fn neither_one_client_nor_one_issuer_has_the_whole_queue() {
    let inquiries = Inquiries::new(1 << 16, || {});
    let (corp, other) = (issuer("corp"), issuer("other"));
    let quarter = INQUIRIES_QUEUED_MAX / 4;
    assert_eq!(fill(&inquiries, 0, client(1), &corp), (quarter, Some(NoRoom::Own)));
    assert_eq!(fill(&inquiries, 10_000, client(2), &corp), (quarter / 2, Some(NoRoom::Own)));
    assert!(fill(&inquiries, 30_000, client(2), &other).0 > quarter / 2, "another issuer's have room");
    // Whom control may not ask now does not hold up others.
    let one = inquiries.next(NOW_MS, |inquiry| inquiry.issuer.rules().name == "other").unwrap();
    assert_eq!(one.client, client(2));
    assert!(inquiries.next(NOW_MS, |_| false).is_none());
    assert!(inquiries.next(NOW_MS + INQUIRY_PENDING_MS_MAX, |_| true).is_none(), "nobody waits for these any more");
}

#[test]
fn an_answer_that_took_longer_than_it_counts_is_found_by_who_waits_for_it() {
    let inquiries = Inquiries::new(64, || {});
    assert_eq!(ask(&inquiries, 1, NOW_MS), Told::Asked);
    let (answer, came_ms) = (active(NOW_MS / 1_000 + 1), NOW_MS + 1_200);
    inquiries.answer(&key(1), answer.clone(), came_ms);
    assert_eq!(inquiries.look(&key(1), came_ms + INQUIRY_HANDED_MS - 1), Some(answer));
    assert_eq!(inquiries.look(&key(1), came_ms + INQUIRY_HANDED_MS), None);
}

#[test]
fn the_queue_is_bounded() {
    let inquiries = Inquiries::new(1 << 16, || {});
    let mut asked = 0;
    for number in 0..2 * INQUIRIES_QUEUED_MAX as u32 {
        let mut spread = key(number);
        spread[29..].copy_from_slice(&number.to_le_bytes());
        let told = inquiries.ask(&spread, NOW_MS, client(number), (&issuer(&number.to_string()), b"x"));
        asked += usize::from(told == Told::Asked);
    }
    assert_eq!(asked, INQUIRIES_QUEUED_MAX);
}

#[test]
fn who_asks_at_the_same_moment_as_others_has_asked() {
    for _ in 0..200 {
        let inquiries = Inquiries::new(64, || {});
        std::thread::scope(|scope| {
            for number in 0..INQUIRY_SET_PLACES as u32 {
                let inquiries = &inquiries;
                scope.spawn(move || assert_eq!(ask(inquiries, number, NOW_MS), Told::Asked));
            }
        });
        let asked = std::iter::from_fn(|| next(&inquiries)).count();
        assert_eq!(asked, INQUIRY_SET_PLACES, "nobody waits for what was never asked");
    }
}
