//! Streams in which nothing changes give no alarm; those in which something does, do.

use policy::reason::Reason;
use policy_evaluate::{Presented, Request};

use super::super::bounds::NAME_BYTES_MAX;
use super::*;
use crate::replay::line::{Decided, Exchange};

const WEEKS_NS: u64 = 7 * 24 * HOUR_NS;
const START_NS: u64 = 2_970 * WEEKS_NS;

fn call(time_unix_ns: u64, client: [u8; 4]) -> Exchange {
    let mut presented = Presented::nothing(client.into());
    presented.api_key = Some("key".to_owned());
    let name = |name: &str| Some(name.to_owned());
    let decided = Decided {
        permitted: true,
        reason: None,
        agent: name("bot"),
        granted_by: name("bot"),
        route: name("read"),
        scope: name("s"),
    };
    Exchange {
        time_unix_ns,
        request_id: format!("{time_unix_ns:032x}"),
        release: None,
        presented,
        request: Request { method: "GET".into(), host: "h".into(), target: "/".into() },
        limits: Vec::new(),
        decided,
        status: Some(200),
        total_us: 0,
        token_kid: None,
        certificate_sha256: None,
        revocations: None,
    }
}

/// One xorshift step (Marsaglia 2003), as a number in (0, 1).
fn random(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    ((*state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Events of an even stream in one hour, by their distances.
fn poisson(mean: f64, state: &mut u64) -> u64 {
    let (mut at, mut count) = (0.0, 0);
    loop {
        at -= random(state).ln() / mean;
        if at > 1.0 {
            return count;
        }
        count += 1;
    }
}

fn hours(mean: f64, from: u64, count: u64, state: &mut u64) -> Hours {
    let hour = |hour: u64| {
        let count = poisson(mean, state);
        (count > 0)
            .then(|| (hour, Some1 { count, first_ns: hour * HOUR_NS, last_ns: hour * HOUR_NS, request_id: "x".into() }))
    };
    (from..from + count).filter_map(hour).collect()
}

/// 600,000 hours of even streams against baselines of a day, a week and eight weeks: no more than the promise, which is
/// one false alarm in a million.
#[test]
fn even_streams_give_no_alarm() {
    let (mut state, mut alarms, mut looked) = (0x9e37_79b9_7f4a_7c15, 0, 0);
    let start = START_NS / HOUR_NS;
    for mean in [0.2, 3.0, 40.0] {
        for length in [24, 168, 8 * 168] {
            for _ in 0..20 {
                let span = Span { since: start, until: start + length };
                let before = hours(mean, start, length, &mut state);
                let now = hours(mean, start + length, 24 * 14, &mut state);
                let found = |(hour, of): &(&u64, &Some1)| excess(&before, of.count, **hour, span, 1).is_some();
                alarms += now.iter().filter(found).count();
                looked += 24 * 14;
            }
        }
    }
    assert!(looked > 60_000 && alarms <= 1, "{alarms} alarms in {looked} hours");
}

/// The promise itself, with a threshold that shows: at most 1 % of the hours, whatever the rate and the baseline.
#[test]
fn the_test_is_exact_however_short_the_baseline() {
    let mut state = 0x2545_f491_4f6c_dd1d;
    for mean in [0.5, 5.0, 50.0] {
        for length in [4, 24, 168] {
            let trials = 4_000;
            let alarms = (0..trials).filter(|_| {
                let before: u64 = (0..length).map(|_| poisson(mean, &mut state)).sum();
                odds::at_least(poisson(mean, &mut state), before, length) <= 0.01
            });
            let rate = alarms.count() as f64 / f64::from(trials);
            assert!(rate <= 0.016, "{rate} with mean {mean} and {length} hours");
        }
    }
}

#[test]
fn what_is_new_is_told_with_its_reason() {
    let (mut before, mut now) = (Profile::default(), Profile::default());
    // Two weeks of a call every ten minutes, between 08:00 and 18:00.
    for minute in (0..14 * 24 * 60).step_by(10) {
        if (8..18).contains(&(minute / 60 % 24)) {
            before.take(&call(START_NS + minute * HOUR_NS / 60, [192, 0, 2, 1]));
        }
    }
    let day = START_NS + 2 * WEEKS_NS;
    assert_eq!(compare(&before, &before), [], "nothing is unlike itself");
    for minute in (8 * 60..18 * 60).step_by(10) {
        now.take(&call(day + minute * HOUR_NS / 60, [192, 0, 2, 9]));
    }
    assert_eq!(compare(&before, &now), [], "a day like the others, from the same network");

    for second in 0..600 {
        now.take(&call(day + 10 * HOUR_NS + second * 1_000_000_000, [192, 0, 2, 1]));
    }
    now.take(&call(day + 3 * HOUR_NS, [198, 51, 100, 1]));
    let mut other = call(day + 9 * HOUR_NS, [192, 0, 2, 1]);
    other.decided.route = Some("write".to_owned());
    now.take(&other);
    let mut stranger = other.clone();
    stranger.decided.agent = Some("stranger".to_owned());
    now.take(&stranger);
    for second in 0..50 {
        let mut denied = call(day + 11 * HOUR_NS + second, [203, 0, 113, 7]);
        denied.decided = Decided {
            permitted: false,
            reason: Some(Reason::ScopeMissing),
            route: None,
            scope: None,
            granted_by: None,
            ..denied.decided
        };
        denied.presented.api_key = None;
        now.take(&denied);
    }
    let found = compare(&before, &now);
    let told: Vec<(Severity, Kind, &str)> =
        found.iter().map(|found| (found.severity, found.kind, found.who.as_str())).collect();
    assert_eq!(
        told,
        [
            (Severity::High, Kind::NewPrefix, "API key key"),
            (Severity::High, Kind::Rate, "agent bot"),
            (Severity::Medium, Kind::DenialBurst, "scope-missing, 203.0.113.0/24"),
            (Severity::Medium, Kind::DenialBurst, "scope-missing, all clients together"),
            (Severity::Medium, Kind::NewPair, "agent bot, route write"),
            (Severity::Medium, Kind::NewAgent, "agent stranger"),
            (Severity::Low, Kind::TimeOfDay, "agent bot"),
        ]
    );
    assert!(
        found.iter().all(|found| found.count > 0 && !found.request_id.is_empty() && found.first_ns <= found.last_ns)
    );
}

/// Two weeks of a call a minute, and a day like the others.
fn even() -> (Profile, Profile) {
    let calls = |from: u64, minutes: u64| {
        let mut profile = Profile::default();
        (0..minutes).for_each(|minute| profile.take(&call(from + minute * HOUR_NS / 60, [192, 0, 2, 1])));
        profile
    };
    (calls(START_NS, 14 * 24 * 60), calls(START_NS + 2 * WEEKS_NS, 24 * 60))
}

#[test]
fn a_wrong_clock_in_the_baseline_does_not_stretch_it() {
    let (mut before, now) = even();
    let right = before.covered();
    assert_eq!((compare(&before, &now), before.astray()), (Vec::new(), 0));
    for wrong_ns in [0, 3 * START_NS, u64::MAX] {
        before.take(&call(wrong_ns, [192, 0, 2, 1]));
        assert_eq!(before.covered(), right);
        assert_eq!(compare(&before, &now), [], "{wrong_ns}");
    }
    assert_eq!(before.astray(), 3);
}

#[test]
fn names_are_kept_within_their_bound() {
    let mut profile = Profile::default();
    let long = |last: char| Some(format!("{}{last}", "x".repeat(1 << 20)));
    for last in ['a', 'b'] {
        let mut exchange = call(START_NS, [192, 0, 2, 1]);
        exchange.request_id = long(last).unwrap();
        (exchange.decided.agent, exchange.decided.route) = (long(last), long(last));
        (exchange.presented.api_key, exchange.certificate_sha256) = (long(last), long(last));
        profile.take(&exchange);
    }
    let names = profile.agents.keys().chain(profile.credentials.keys());
    let names = names.chain(profile.pairs.keys().chain(profile.certificates.keys()).flat_map(|(one, two)| [one, two]));
    assert!(names.clone().count() == 12 && names.clone().all(|name| name.len() <= NAME_BYTES_MAX));
    let hours = profile.agents.values().flat_map(|hours| hours.values());
    assert!(hours.clone().count() == 2 && hours.clone().all(|hour| hour.request_id.len() <= NAME_BYTES_MAX));
    assert_eq!(profile.left_out, 0);
}

#[test]
fn of_a_baseline_that_is_too_long_the_last_hours_count() {
    let (mut profile, start) = (Profile::default(), START_NS / HOUR_NS);
    let take = |profile: &mut Profile, hour: u64| profile.take(&call(hour * HOUR_NS, [192, 0, 2, 1]));
    let end = start + HOURS_MAX as u64 + 100;
    (start..end).for_each(|hour| take(&mut profile, hour));
    // One that comes late is older than all that count.
    take(&mut profile, start);
    for hours in [&profile.hours, &profile.agents["bot"]] {
        assert_eq!((hours.len(), hours.keys().next()), (HOURS_MAX, Some(&(start + 100))));
        assert_eq!(hours.keys().next_back(), Some(&(end - 1)));
    }
    assert_eq!((profile.left_out, profile.exchanges), (0, HOURS_MAX as u64 + 101));
}

#[test]
fn what_the_baseline_cannot_judge_is_named_with_its_reason() {
    let judged = |before: &Profile, now: &Profile| -> Vec<(Vec<Kind>, String)> {
        unjudged(before, now).into_iter().map(|of| (of.kinds, of.why)).collect()
    };
    let (before, mut now) = even();
    assert_eq!(judged(&before, &now), []);
    let hours = |minutes: u64| {
        let mut short = Profile::default();
        (0..minutes).for_each(|minute| short.take(&call(START_NS + minute * HOUR_NS / 60, [192, 0, 2, 1])));
        short
    };
    let of_day = (vec![Kind::TimeOfDay], "the baseline covers 5 hours, and 7 days are needed".to_owned());
    assert_eq!(judged(&hours(5 * 60 + 1), &now), [of_day]);
    let found = judged(&hours(2), &now);
    let of_hours = "the baseline covers 60 seconds, and 4 whole hours are needed".to_owned();
    assert_eq!(found[0], (vec![Kind::Rate, Kind::DenialBurst], of_hours));

    let mut other = call(START_NS + 2 * WEEKS_NS, [192, 0, 2, 1]);
    other.presented.api_key = Some("other".to_owned());
    other.certificate_sha256 = Some("ab".repeat(32));
    now.take(&other);
    let expected = [
        (vec![Kind::NewPrefix], "the baseline does not have API key other".to_owned()),
        (vec![Kind::NewCertificate], "the baseline has no certificate of bot".to_owned()),
    ];
    assert_eq!(judged(&before, &now), expected);
    let mut few = before;
    few.take(&Exchange {
        decided: Decided { agent: Some("rare".to_owned()), ..other.decided.clone() },
        ..other.clone()
    });
    now.take(&Exchange { decided: Decided { agent: Some("rare".to_owned()), ..other.decided.clone() }, ..other });
    assert_eq!(judged(&few, &now)[0].1, "the baseline has less than 100 calls of rare");
}
