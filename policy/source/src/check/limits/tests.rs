//! What is said of limits, held against the counters themselves.

use policy::model::Unit;
use policy::rate::{Gcra, Quota, step};
use policy::table;
use proptest::prelude::*;

use super::*;
use policy::model::OnFull;

fn counter(limit: &Limit) -> table::LimitKind {
    match limit.kind {
        LimitKind::Rate { burst } => table::LimitKind::Gcra(Gcra::new(limit.count, limit.unit.seconds(), burst)),
        LimitKind::Quota => table::LimitKind::Quota(Quota { window_s: limit.unit.seconds(), count: limit.count }),
    }
}

fn any_limit() -> impl Strategy<Value = Limit> {
    let kind = prop_oneof![(1_u32..12).prop_map(|burst| LimitKind::Rate { burst }), Just(LimitKind::Quota)];
    // Counts that divide a second, so that the rounding of refill intervals does not blur what is compared.
    let count = proptest::sample::select(&[1_u32, 2, 4, 5, 8, 10][..]);
    let unit = proptest::sample::select(&[Unit::Second, Unit::Minute][..]);
    (kind, count, unit).prop_map(|(kind, count, unit)| Limit {
        name: "x".to_owned(),
        kind,
        count,
        unit,
        per: Per::Agent,
    })
}

/// Gaps between requests: at once, around the second, around the minute.
fn any_gap_ns() -> impl Strategy<Value = u64> {
    let around = |ns: u64| (ns - 200_000_000)..(ns + 200_000_000);
    prop_oneof![4 => Just(0_u64), 4 => 0_u64..600_000_000, 2 => around(1_000_000_000), 1 => around(60_000_000_000)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_limit_that_never_binds_never_refuses_first(
        (limit, other) in (any_limit(), any_limit()).prop_filter("never binds", |(limit, other)| never_binds(limit, other)),
        start_s in 60_u64..200,
        gaps in proptest::collection::vec(any_gap_ns(), 1..120),
    ) {
        let (mut state, mut other_state, mut now_ns) = (0, 0, start_s * 1_000_000_000);
        for gap in gaps {
            now_ns += gap;
            let (after, verdict) = step(state, now_ns, counter(&limit));
            let (other_after, other_verdict) = step(other_state, now_ns, counter(&other));
            prop_assert!(verdict.admitted || !other_verdict.admitted, "{limit} refuses before {other}");
            // All or nothing: both are charged or none.
            if verdict.admitted && other_verdict.admitted {
                (state, other_state) = (after, other_after);
            }
        }
    }
}

#[test]
fn limits_that_do_bind_are_left_alone() {
    let limit = |kind, count, unit, per| Limit { name: "x".to_owned(), kind, count, unit, per };
    let rate = |count, burst, unit| limit(LimitKind::Rate { burst }, count, unit, Per::Agent);
    let quota = |count, unit| limit(LimitKind::Quota, count, unit, Per::Agent);
    let subject = limit(LimitKind::Quota, 1, Unit::Day, Per::Subject { subjects_max: 1, on_full: OnFull::Deny });
    assert!(!never_binds(&quota(20_000, Unit::Hour), &rate(1_000, 50, Unit::Minute)));
    assert!(!never_binds(&rate(100, 5, Unit::Minute), &rate(10, 10, Unit::Minute)), "a smaller bucket");
    assert!(!never_binds(&quota(100, Unit::Minute), &quota(1_000, Unit::Hour)), "a tighter short window");
    assert!(!never_binds(&quota(5, Unit::Day), &subject), "many subjects together");
    assert!(!never_binds(&subject, &quota(1, Unit::Day)), "a second subject finds no room");
    let roomy = Limit { per: Per::Subject { subjects_max: 9, on_full: OnFull::Overflow }, count: 9, ..subject.clone() };
    assert!(!never_binds(&subject, &roomy) && !never_binds(&roomy, &subject), "those beyond the room share a counter");
    assert!(never_binds(&quota(60_050, Unit::Hour), &rate(1_000, 50, Unit::Minute)));
    assert!(never_binds(&quota(60, Unit::Hour), &quota(1, Unit::Minute)));
}
