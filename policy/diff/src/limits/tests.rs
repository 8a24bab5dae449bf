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
    direction(old, new, false).map(|(direction, _)| direction)
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
fn quotas_are_compared_over_windows_that_divide_each_other() {
    let hour = quota(100, Unit::Hour);
    assert_eq!(changed(from_ref(&hour), &[quota(99, Unit::Hour)]), Some(Direction::Narrower));
    assert_eq!(changed(from_ref(&hour), &[quota(100, Unit::Day)]), Some(Direction::Narrower));
    assert_eq!(changed(&[quota(2_400, Unit::Day)], from_ref(&hour)), Some(Direction::Narrower));
    assert_eq!(changed(&[quota(2_399, Unit::Day)], from_ref(&hour)), Some(Direction::Both));
    assert_eq!(changed(from_ref(&hour), &[rate(1, Unit::Hour, 1)]), Some(Direction::Both));
}

#[test]
fn a_tighter_quota_admits_no_request_that_a_looser_one_refuses() {
    use policy::rate::{Quota, quota};
    // Every hour of two days, three requests each: the quota of the hour is within that of the day.
    let (hour, day) = (Quota { window_s: 3_600, count: 2 }, Quota { window_s: 86_400, count: 48 });
    let (mut of_hour, mut of_day) = (0, 0);
    for now in (0..2 * 86_400).step_by(1_200) {
        let (after, tight) = quota(of_hour, now, hour);
        of_hour = after;
        if tight.admitted {
            let (after, loose) = quota(of_day, now, day);
            of_day = after;
            assert!(loose.admitted, "at {now}");
        }
    }
}

#[test]
fn what_is_counted_and_what_happens_when_full_matter() {
    let per = |subjects_max, on_full| Per::Subject { subjects_max, on_full };
    let of = |per| limit(LimitKind::Rate { burst: 60 }, 60, Unit::Minute, per);
    let (overflow, deny) = (of(per(100, OnFull::Overflow)), of(per(100, OnFull::Deny)));
    assert_eq!(direction(from_ref(&overflow), from_ref(&deny), false), Some((Direction::Narrower, true)));
    assert_eq!(direction(&[deny], from_ref(&overflow), false), Some((Direction::Wider, true)));
    assert_eq!(
        direction(from_ref(&overflow), &[of(per(200, OnFull::Overflow))], false),
        Some((Direction::Wider, false))
    );
    assert_eq!(direction(&[overflow], &[of(Per::Agent)], false), Some((Direction::Both, false)));
    assert_eq!(direction(&[of(Per::Agent)], &[of(Per::Agent)], true), Some((Direction::Wider, false)));
}
