//! What is said of made-up slices: which side is over which, and when a goal is met.

use super::account;
use super::turns::Seen;
use super::variant::Variant;
use crate::results::Outcome;
use crate::results::fixture::series;
use crate::target::Transport;

/// Every variant costs what `cost` says, in microseconds.
fn seen(cost: impl Fn(&Variant) -> f64) -> Vec<Seen> {
    let of = |(at, variant): (usize, &Variant)| Seen {
        saturated: series(cost(variant), 8, at as u64),
        paced: if variant.paced { series(cost(variant), 8, 50 + at as u64) } else { Default::default() },
        rate: None,
    };
    Variant::ALL.iter().enumerate().map(of).collect()
}

fn by_policy(full: f64) -> impl Fn(&Variant) -> f64 {
    move |variant| if variant.name().starts_with("full") { full } else { 10.0 }
}

#[test]
fn the_full_policy_stands_over_the_null_policy() {
    let seen = seen(by_policy(15.0));
    let experiments = account::experiments(&seen, "loadtest overhead");
    let costs = &experiments[0];
    let row = costs.rows.iter().find(|row| row.target == "full policy against null policy").unwrap();
    let ratio = row.estimate("cpu_us_ratio").unwrap();
    assert!((ratio.value - 1.5).abs() < 0.06 && ratio.low < 1.5 && ratio.low > 1.4, "{ratio:?}");
    assert!((row.estimate("cpu_us_difference").unwrap().value - 5.0).abs() < 0.6);
    assert!((row.estimate("p99_us_ratio").unwrap().value - 1.5).abs() < 0.06);
    assert!(row.estimate("worker_us_ratio").unwrap().value.is_nan(), "nobody told workers from others");
}

#[test]
fn sides_have_the_same_rate_transport_and_audit_mode() {
    let experiments = account::experiments(&seen(by_policy(10.0)), "");
    let paced: Vec<_> = experiments[0].rows.iter().filter(|row| row.work == "at 70 % of capacity").collect();
    assert_eq!(paced.len(), 2, "TLS against plain has no common rate, and the audit modes were not paced");
    assert!(paced.iter().all(|row| row.target == "full policy against null policy"));
    let saturated = &experiments[1];
    assert_eq!(saturated.rows.len(), Variant::ALL.len());
    let mut keys: Vec<_> = saturated.rows.iter().map(|row| (&row.target, &row.transport)).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), Variant::ALL.len(), "rows can be told from each other");
    for row in &saturated.rows {
        assert!(account::subjects("1").iter().any(|subject| subject.name == row.target), "{}", row.target);
    }
}

#[test]
fn goals_follow_the_intervals() {
    let outcomes = |full: f64| -> Vec<Outcome> {
        account::goals(&seen(by_policy(full))).into_iter().map(|goal| goal.outcome).collect()
    };
    let (cheap, dear) = (outcomes(9.0), outcomes(13.0));
    let (met, missed) = (Outcome::Met, Outcome::Missed);
    let unknown = Outcome::NotMeasured;
    assert_eq!(cheap, [met, unknown, met, met, unknown, met, unknown]);
    assert_eq!(dear, [missed, unknown, missed, missed, unknown, missed, unknown]);
    let nothing: Vec<Seen> = Variant::ALL.iter().map(|_| Seen::default()).collect();
    assert!(account::goals(&nothing).iter().all(|goal| goal.outcome == unknown));
}

#[test]
fn every_transport_has_a_null_policy_to_stand_on() {
    for transport in [Transport::Plain, Transport::Tls, Transport::Mtls] {
        assert!(Variant::ALL.iter().any(|v| v.transport == transport && v.name() == "null policy"));
    }
}
