use super::*;

fn in_use(is_outdated: bool, is_bound: bool) -> InUse {
    let (thumbprint, from) = (None, String::new());
    let obtained_s = clock::now_s().saturating_sub(10);
    InUse { thumbprint, from, obtained_s, begins_s: 0, ends_s: u64::MAX, is_outdated, is_bound }
}

fn track(in_use: InUse) -> Track {
    Track { planned: Some((in_use, u64::MAX)), ..Track::default() }
}

#[test]
fn what_a_release_asks_for_rests_in_between_and_what_is_due_does_not() {
    let mut track = track(in_use(true, false));
    assert_eq!(track.why(Some(RELEASE)), Some(RELEASE));
    track.rests_until = Some(Instant::now() + Duration::from_secs(60));
    track.ordered = Some(Order::now(RELEASE));
    assert_eq!((track.why(Some(RELEASE)), track.take_order(Kind::Certificate, false)), (None, None));
    assert_eq!(track.why(Some("two-thirds")), Some("two-thirds"));
    assert!(track.pause() <= Duration::from_millis(LOOK_MS_MAX));
    track.ordered = Some(Order::now("order"));
    assert_eq!(track.take_order(Kind::Certificate, false), Some("order"), "whoever runs it may");
    // Then it is followed, where it still stands.
    for is_outdated in [true, false] {
        track.rests_until = Some(Instant::now());
        track.ordered = Some(Order::now(RELEASE));
        track.planned = Some((in_use(is_outdated, false), u64::MAX));
        assert_eq!(track.take_order(Kind::Certificate, false).is_some(), is_outdated);
        assert!(track.ordered.is_none());
    }
}

#[test]
fn an_order_is_tried_at_once_and_a_release_is_no_way_round_those_who_count() {
    let mut track = track(in_use(true, false));
    let at = Instant::now() + Duration::from_secs(3_600);
    for (why, is_held, follows) in
        [(RELEASE, true, false), (RELEASE, false, true), ("order", true, true), ("order", false, true)]
    {
        track.again = Some(Again { why: "two-thirds", at, is_counted: false, is_held });
        track.ordered = Some(Order::now(why));
        assert_eq!(track.why(Some("two-thirds")), None);
        assert_eq!(track.take_order(Kind::Certificate, false).is_some(), follows, "{why} {is_held}");
    }
    // One that was begun since is as new as can be; not so one that was on its way.
    for (is_after, follows) in [(true, None), (false, Some("order"))] {
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        track.ordered = Some(Order::now("order"));
        std::thread::sleep(Duration::from_millis(1));
        track.done(Some(if is_after { Instant::now() } else { before }));
        assert_eq!(track.take_order(Kind::Certificate, false), follows);
    }
}

#[test]
fn a_token_that_comes_with_the_certificate_is_not_ordered_beside_it() {
    for (is_bound, is_coming, follows) in [(true, true, false), (true, false, true), (false, true, true)] {
        let mut track = track(in_use(false, is_bound));
        track.ordered = Some(Order::now("order"));
        assert_eq!(track.take_order(Kind::Token, is_coming).is_some(), follows);
        assert_ne!(track.ordered.is_some(), follows, "it waits");
    }
    let mut track = track(InUse { obtained_s: clock::now_s() + 1, ..in_use(false, true) });
    track.ordered = Some(Order::now("order"));
    assert!(track.take_order(Kind::Token, false).is_none() && track.ordered.is_none(), "it came");
}

/// Hooks of two agents may have each order the other.
#[test]
fn orders_without_end_have_a_pace() {
    let mut track = track(in_use(false, false));
    for count in 0..=ORDERED_AT_ONCE_MAX {
        track.ordered = Some(Order::now("order"));
        assert_eq!(track.take_order(Kind::Certificate, false).is_some(), count < ORDERED_AT_ONCE_MAX, "{count}");
    }
    assert!(track.ordered.is_some(), "it waits");
    let pause = track.pace_to_tell().expect("and is told");
    assert!(pause > Duration::from_secs(ORDERED_PAUSE_S / 2) && pause <= Duration::from_secs(ORDERED_PAUSE_S));
    assert!(track.pace_to_tell().is_none(), "once");
    track.paced_until = track.paced_until.map(|until| until - Duration::from_secs(ORDERED_PAUSE_S - 5));
    assert!(track.pause() <= Duration::from_secs(5), "it is gone on with when it was told to be: {:?}", track.pause());
    // A pause later.
    track.paced_until = track.paced_until.map(|until| until - Duration::from_secs(5));
    assert!(track.take_order(Kind::Certificate, false).is_some());
    track.ordered = Some(Order::now(RELEASE));
    assert!(
        track.take_order(Kind::Certificate, false).is_none() && track.ordered.is_none(),
        "releases have another one"
    );
}

#[test]
fn what_lives_for_a_second_is_not_renewed_all_the_time() {
    // A machine that stands still for as long as it rests says nothing.
    let within_its_rest = |_| {
        let begun = Instant::now();
        let mut track = Track { planned: Some((in_use(false, false), 0)), ..Track::default() };
        track.done(Some(Instant::now()));
        let (why, pause) = (track.why(Some("expired")), track.pause());
        (begun.elapsed() < Duration::from_millis(RENEWED_PAUSE_MS / 2)).then_some((track, why, pause))
    };
    let (mut track, why, pause) = (0..10).find_map(within_its_rest).unwrap();
    assert_eq!(why, None);
    assert!(pause <= Duration::from_millis(RENEWED_PAUSE_MS) && pause > Duration::from_millis(250), "{pause:?}");
    track.ordered = Some(Order::now("order"));
    assert!(track.take_order(Kind::Token, false).is_some(), "whoever runs it may");
    track.idles_until = Some(Instant::now());
    assert_eq!(track.why(Some("expired")), Some("expired"));
}

#[test]
fn a_token_of_a_time_that_is_yet_to_come_is_renewed() {
    let token = InUse::token(&TokenLife { obtained_s: 1_000, ends_s: 1_300 }, String::new(), false, false);
    assert_eq!(
        [999, 1_000, 1_200, 1_300].map(|now_s| token.reason(now_s, 1_200)),
        [Some("not-yet-valid"), None, Some("two-thirds"), Some("expired")]
    );
}

#[test]
fn failures_that_are_counted_are_a_row_of_their_own() {
    let (mut track, passing, counted) = (Track::default(), Fault::new("down"), Fault::new("no").counted());
    let mut failed = |fault| {
        let pause_ms = track.failed("two-thirds", fault, 86_400, 0);
        // Its time has come.
        track.again = track.again.map(|again| Again { at: Instant::now(), ..again });
        pause_ms
    };
    let row = [&passing, &passing, &passing, &counted, &counted, &passing, &passing];
    assert_eq!(row.map(&mut failed), [1_000, 2_000, 4_000, 60_000, 120_000, 1_000, 2_000]);
}

#[test]
fn whoever_wants_to_be_left_alone_is_not_forgotten_for_an_order_that_failed() {
    for (refused, is_counted) in [(Fault::new("no").counted(), true), (Fault::new("busy"), false)] {
        let mut track = track(in_use(true, false));
        assert_eq!(track.failed("two-thirds", &refused.again_after_s(86_400), 3_600, 0), 86_400_000);
        let until = track.again.unwrap().at;
        // A release is no way round it.
        track.ordered = Some(Order::now(RELEASE));
        assert_eq!(track.take_order(Kind::Certificate, false), None);
        let again_ms = track.failed("order", &Fault::new("the network is down"), 3_600, 0);
        assert!((86_300_000..=86_400_000).contains(&again_ms), "{again_ms}");
        let again = track.again.unwrap();
        assert_eq!((again.why, again.at, again.is_counted, again.is_held), ("order", until, is_counted, true));
        // Once that is over, it is as ever.
        track.again = Some(Again { at: Instant::now(), ..again });
        assert_eq!(
            track.failed("order", &Fault::new("the network is down"), 3_600, 0),
            if is_counted { 1_000 } else { 2_000 }
        );
        assert!(!track.again.unwrap().is_held);
    }
}
