use std::slice::from_ref;

use super::*;

fn limit(kind: LimitKind, count: u32, unit: Unit, per: Per) -> Limit {
    Limit { name: "l".into(), kind, count, unit, per }
}

fn rate(count: u32, unit: Unit, burst: u32) -> Limit {
    limit(LimitKind::Rate { burst }, count, unit, Per::Agent)
}

fn quota(count: u32, unit: Unit) -> Limit {
    limit(LimitKind::Quota, count, unit, Per::Agent)
}

fn changed(old: &[Limit], new: &[Limit]) -> Option<Direction> {
    direction(old, new, true).map(|(direction, _)| direction)
}

#[test]
fn rates_are_compared_by_interval_and_burst() {
    let base = rate(60, Unit::Minute, 60);
    assert_eq!(changed(from_ref(&base), &[rate(1, Unit::Second, 60)]), None);
    assert_eq!(changed(from_ref(&base), &[rate(60, Unit::Minute, 10)]), Some(Direction::Narrower));
    assert_eq!(changed(from_ref(&base), &[rate(61, Unit::Minute, 60)]), Some(Direction::Wider));
    assert_eq!(changed(from_ref(&base), &[rate(600, Unit::Minute, 10)]), Some(Direction::Both));
    assert_eq!(changed(from_ref(&base), &[]), Some(Direction::Wider));
    assert_eq!(changed(&[], from_ref(&base)), Some(Direction::Narrower));
    assert_eq!(changed(from_ref(&base), &[base.clone(), quota(5, Unit::Day)]), Some(Direction::Narrower));
}

#[test]
fn a_quota_is_tighter_only_over_the_same_window() {
    let hour = quota(100, Unit::Hour);
    assert_eq!(changed(from_ref(&hour), &[quota(99, Unit::Hour)]), Some(Direction::Narrower));
    assert_eq!(changed(from_ref(&hour), &[quota(101, Unit::Hour)]), Some(Direction::Wider));
    // Another window is another counter, in which nothing is used.
    assert_eq!(changed(from_ref(&hour), &[quota(100, Unit::Day)]), Some(Direction::Both));
    assert_eq!(changed(&[quota(2_400, Unit::Day)], from_ref(&hour)), Some(Direction::Both));
    assert_eq!(changed(from_ref(&hour), &[quota(2_400, Unit::Day)]), Some(Direction::Wider));
    assert_eq!(changed(from_ref(&hour), &[rate(1, Unit::Hour, 1)]), Some(Direction::Both));
}

#[test]
fn a_new_name_is_an_unused_counter() {
    let old = quota(3, Unit::Day);
    let renamed = Limit { name: "other".into(), ..old.clone() };
    assert_eq!(changed(from_ref(&old), from_ref(&renamed)), Some(Direction::Wider));
    let (tighter, both) = (Limit { count: 2, ..renamed.clone() }, [old.clone(), renamed]);
    assert_eq!(changed(from_ref(&old), &[tighter]), Some(Direction::Both));
    assert_eq!(changed(from_ref(&old), &both), None, "the old counter goes on, and nothing else is stricter");
    // So is that of an agent with another name.
    assert_eq!(direction(from_ref(&old), from_ref(&old), false), Some((Direction::Wider, false)));
    assert_eq!(direction(&[], from_ref(&old), false), Some((Direction::Narrower, false)));
    assert_eq!(direction(&[], &[], false), None);
}

#[test]
fn a_tighter_rate_admits_nothing_from_any_state_of_the_looser_one() {
    use policy::rate::gcra;
    let rates = [(60, Unit::Minute), (6, Unit::Minute), (1, Unit::Second), (100, Unit::Hour)];
    let all = rates.iter().flat_map(|(count, unit)| [1, 7, 60].map(|burst| rate(*count, *unit, burst)));
    let all: Vec<Limit> = all.collect();
    let spec = |limit: &Limit| match limit.kind {
        LimitKind::Rate { burst } => Gcra::new(limit.count, limit.unit.seconds(), burst),
        LimitKind::Quota => panic!("a rate"),
    };
    for (old, new) in all.iter().flat_map(|old| all.iter().map(move |new| (old, new))) {
        let refused_again = (0..=60).all(|used| {
            let now_ns = 1_700_000_000_000_000_000;
            let state = (0..used).fold(0, |state, _| gcra(state, now_ns, spec(old)).0);
            gcra(state, now_ns, spec(old)).1.admitted || !gcra(state, now_ns, spec(new)).1.admitted
        });
        let narrower = matches!(changed(from_ref(old), from_ref(new)), None | Some(Direction::Narrower));
        assert!(!narrower || refused_again, "{old:?} {new:?}");
    }
    assert_eq!(changed(&[rate(60, Unit::Minute, 60)], &[rate(6, Unit::Minute, 60)]), Some(Direction::Both));
    assert_eq!(changed(&[rate(60, Unit::Minute, 60)], &[rate(6, Unit::Minute, 6)]), Some(Direction::Narrower));
}

#[test]
fn what_is_counted_and_what_happens_when_full_matter() {
    let per = |subjects_max, on_full| Per::Subject { subjects_max, on_full };
    let of = |per| limit(LimitKind::Rate { burst: 60 }, 60, Unit::Minute, per);
    let (overflow, deny) = (of(per(100, OnFull::Overflow)), of(per(100, OnFull::Deny)));
    assert_eq!(direction(from_ref(&overflow), from_ref(&deny), true), Some((Direction::Narrower, true)));
    assert_eq!(direction(&[deny], from_ref(&overflow), true), Some((Direction::Wider, true)));
    assert_eq!(
        direction(from_ref(&overflow), &[of(per(200, OnFull::Overflow))], true),
        Some((Direction::Wider, false))
    );
    assert_eq!(direction(&[overflow], &[of(Per::Agent)], true), Some((Direction::Both, false)));
}
