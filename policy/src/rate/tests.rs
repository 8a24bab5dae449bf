use proptest::prelude::*;

use super::*;

const START_NS: u64 = 1_800_000_000 * NS_PER_S;

/// A request's clock reading relative to the start: mostly forward, sometimes back.
fn schedule(jitter_ns: u64) -> impl Strategy<Value = Vec<u64>> {
    let spacing = prop_oneof![Just(0_u64), 0..1_000_u64, 0..3 * NS_PER_S];
    proptest::collection::vec((spacing, 0..=jitter_ns), 1..400).prop_map(move |steps| {
        let mut now_ns = START_NS;
        let reading = |(spacing, back): (u64, u64)| {
            now_ns += spacing;
            now_ns - back
        };
        steps.into_iter().map(reading).collect()
    })
}

fn any_gcra() -> impl Strategy<Value = Gcra> {
    let interval = prop_oneof![1..50_u64, 1..2 * NS_PER_S, Just(86_400 * NS_PER_S)];
    (interval, 1..40_u32).prop_map(|(emission_interval_ns, burst)| Gcra { emission_interval_ns, burst })
}

fn any_quota() -> impl Strategy<Value = Quota> {
    (prop_oneof![Just(1_u32), Just(7), Just(60)], 0..30_u32).prop_map(|(window_s, count)| Quota { window_s, count })
}

fn any_kind() -> impl Strategy<Value = LimitKind> {
    prop_oneof![any_gcra().prop_map(LimitKind::Gcra), any_quota().prop_map(LimitKind::Quota)]
}

/// Clock readings of the admitted requests, in the order in which they were charged.
fn admitted(readings: &[u64], kind: LimitKind) -> Vec<u64> {
    let mut state = 0;
    let mut admitted = Vec::new();
    for &now_ns in readings {
        let (after, verdict) = step(state, now_ns, kind);
        if verdict.admitted {
            admitted.push(now_ns);
        } else {
            assert_eq!(after, state, "a refusal changes nothing");
        }
        state = after;
    }
    admitted
}

proptest! {
    #[test]
    fn gcra_admits_at_most_burst_and_refill_in_any_window(readings in schedule(2 * NS_PER_S), spec in any_gcra()) {
        let mut admitted = admitted(&readings, LimitKind::Gcra(spec));
        admitted.sort_unstable();
        for (first, from_ns) in admitted.iter().enumerate() {
            for (last, to_ns) in admitted.iter().enumerate().skip(first) {
                let window_ns = to_ns - from_ns;
                let bound = u64::from(spec.burst) + window_ns / spec.emission_interval_ns;
                prop_assert!((last - first + 1) as u64 <= bound, "{} in {window_ns} ns", last - first + 1);
            }
        }
    }

    #[test]
    fn quota_is_never_exceeded(readings in schedule(3 * NS_PER_S), spec in any_quota()) {
        let mut windows = std::collections::BTreeMap::new();
        for now_ns in admitted(&readings, LimitKind::Quota(spec)) {
            let charged = windows.entry(now_ns / NS_PER_S / u64::from(spec.window_s)).or_insert(0_u32);
            *charged += 1;
            prop_assert!(*charged <= spec.count);
        }
    }

    /// With a clock that never goes back, nothing is refused that the definition admits.
    #[test]
    fn quota_admits_exactly_its_count(readings in schedule(0), spec in any_quota()) {
        let window = |now_ns: &u64| now_ns / NS_PER_S / u64::from(spec.window_s);
        let mut wanted = std::collections::BTreeMap::new();
        for now_ns in &readings {
            let wished = wanted.entry(window(now_ns)).or_insert(0_usize);
            *wished = (*wished + 1).min(spec.count as usize);
        }
        prop_assert_eq!(admitted(&readings, LimitKind::Quota(spec)).len(), wanted.values().sum::<usize>());
    }

    /// The same against a bucket that is refilled by one each interval from the moment it is not full.
    #[test]
    fn gcra_is_a_token_bucket(readings in schedule(0), spec in any_gcra()) {
        let full = u128::from(spec.burst) * u128::from(spec.emission_interval_ns);
        let (mut level, mut last_ns, mut expected) = (full, START_NS, Vec::new());
        for &now_ns in &readings {
            level = (level + u128::from(now_ns - last_ns)).min(full);
            last_ns = now_ns;
            if level >= u128::from(spec.emission_interval_ns) {
                level -= u128::from(spec.emission_interval_ns);
                expected.push(now_ns);
            }
        }
        prop_assert_eq!(admitted(&readings, LimitKind::Gcra(spec)), expected);
    }

    #[test]
    fn wait_remaining_and_reset_are_exact(readings in schedule(NS_PER_S), kind in any_kind()) {
        let mut state = 0;
        for now_ns in readings {
            let (after, verdict) = step(state, now_ns, kind);
            state = after;
            if verdict.wait_ns == u64::MAX {
                let nothing = matches!(kind, LimitKind::Quota(spec) if spec.count == 0);
                prop_assert!(nothing);
                continue;
            }
            prop_assert!(step(after, now_ns + verdict.wait_ns, kind).1.admitted);
            if verdict.wait_ns > 0 {
                prop_assert!(!step(after, now_ns + verdict.wait_ns - 1, kind).1.admitted);
                prop_assert_eq!(verdict.remaining, 0);
            }
            let more = admitted_at_once(after, now_ns, kind);
            prop_assert_eq!(verdict.remaining, more);
            let reset_ns = now_ns + verdict.reset_ns;
            prop_assert!(is_idle(after, reset_ns, kind.into()));
            prop_assert_eq!(admitted_at_once(after, reset_ns, kind), admitted_at_once(0, reset_ns, kind));
        }
    }

    #[test]
    fn no_state_and_no_number_overflows(
        state in any::<u64>(), now_ns in any::<u64>(), interval in any::<u64>(), burst in any::<u32>(),
        window_s in any::<u32>(), skew_ns in any::<u64>(),
    ) {
        let gcra = LimitKind::Gcra(Gcra { emission_interval_ns: interval, burst });
        for kind in [gcra, LimitKind::Quota(Quota { window_s, count: burst })] {
            let (after, verdict) = step(state, now_ns, kind);
            prop_assert!(after == state || after <= STATE_MAX);
            prop_assert_eq!(after == state, !verdict.admitted);
            let clamped = clamped(state, now_ns, skew_ns, kind);
            prop_assert!(clamped <= state);
            is_idle(state, now_ns, kind.into());
            returned(after, state, after, kind);
        }
    }

    /// A clamp never lets anybody in at once that the limit, were it used up, would not.
    #[test]
    fn a_clamped_state_is_at_most_an_empty_bucket(state in START_NS..u64::MAX / 2, spec in any_gcra()) {
        let kind = LimitKind::Gcra(spec);
        let state = clamped(state.max(START_NS + spec.bucket_ns()), START_NS, 0, kind);
        prop_assert!(!step(state, START_NS, kind).1.admitted);
        prop_assert!(step(state, START_NS + spec.emission_interval_ns, kind).1.admitted);
    }

    #[test]
    fn returned_charges_never_let_one_more_in(
        readings in schedule(NS_PER_S), kind in any_kind(), give_back in proptest::collection::vec(any::<bool>(), 400),
    ) {
        let (mut state, mut kept, mut pending) = (0, Vec::new(), Vec::new());
        for (now_ns, give_back) in readings.into_iter().zip(give_back) {
            let (after, verdict) = step(state, now_ns, kind);
            if verdict.admitted && give_back {
                pending.push((state, after));
            } else if verdict.admitted {
                kept.push(now_ns);
            }
            state = after;
            if pending.len() > 2 {
                let (before, after) = pending.remove(0);
                state = returned(state, before, after, kind).unwrap_or(state);
            }
        }
        prop_assert!(within_promise(&mut kept, kind));
    }
}

fn admitted_at_once(mut state: u64, now_ns: u64, kind: LimitKind) -> u32 {
    let mut count = 0;
    loop {
        let (after, verdict) = step(state, now_ns, kind);
        if !verdict.admitted {
            return count;
        }
        (state, count) = (after, count + 1);
    }
}

fn within_promise(admitted: &mut [u64], kind: LimitKind) -> bool {
    admitted.sort_unstable();
    (0..admitted.len()).all(|first| {
        (first..admitted.len()).all(|last| {
            let (from_ns, to_ns, count) = (admitted[first], admitted[last], (last - first + 1) as u64);
            match kind {
                LimitKind::Gcra(spec) => count <= u64::from(spec.burst) + (to_ns - from_ns) / spec.emission_interval_ns,
                LimitKind::Quota(spec) => {
                    let window = |ns: u64| ns / NS_PER_S / u64::from(spec.window_s);
                    window(from_ns) != window(to_ns) || count <= u64::from(spec.count)
                }
            }
        })
    })
}

#[test]
fn the_interval_is_rounded_so_that_a_unit_never_holds_more_than_the_count() {
    for (count, unit_s) in [(3, 1), (7, 60), (999_999_937, 1), (u32::MAX, 1), (1, 86_400), (0, 1)] {
        let spec = Gcra::new(count, unit_s, 1);
        let unit_ns = u64::from(unit_s) * NS_PER_S;
        assert!(unit_ns / spec.emission_interval_ns <= u64::from(count.max(1)), "{count}/{unit_s}");
        assert!(u128::from(spec.emission_interval_ns - 1) * u128::from(count.max(1)) < u128::from(unit_ns));
    }
}

#[test]
fn a_fresh_bucket_admits_its_burst_and_then_one_an_interval() {
    let spec = Gcra::new(60, 60, 5);
    let readings: Vec<u64> = std::iter::repeat_n(START_NS, 9).collect();
    assert_eq!(admitted(&readings, LimitKind::Gcra(spec)).len(), 5);
    let (state, verdict) = gcra(START_NS + 5 * NS_PER_S, START_NS, spec);
    assert_eq!(state, START_NS + 5 * NS_PER_S);
    assert_eq!(verdict, Verdict { admitted: false, remaining: 0, wait_ns: NS_PER_S, reset_ns: 5 * NS_PER_S });
}

#[test]
fn a_limit_of_nothing_admits_nothing() {
    for kind in [LimitKind::Gcra(Gcra::new(1, 1, 0)), LimitKind::Quota(Quota { window_s: 60, count: 0 })] {
        let (state, verdict) = step(0, START_NS, kind);
        assert_eq!((state, verdict.admitted, verdict.wait_ns), (0, false, u64::MAX));
    }
}

#[test]
fn a_clock_behind_the_window_waits_for_it() {
    let spec = Quota { window_s: 60, count: 5 };
    let minute_ns = 60 * NS_PER_S;
    let newer_ns = START_NS / minute_ns * minute_ns + minute_ns;
    let (state, _) = step(0, newer_ns, LimitKind::Quota(spec));
    let (after, verdict) = step(state, newer_ns - 3, LimitKind::Quota(spec));
    assert_eq!(after, state);
    assert_eq!(verdict, Verdict { admitted: false, remaining: 0, wait_ns: 3, reset_ns: minute_ns + 3 });
}

#[test]
fn a_bucket_charged_after_keeps_the_charge() {
    let kind = LimitKind::Gcra(Gcra::new(1, 1, 1));
    let (charged, _) = step(0, START_NS, kind);
    assert_eq!(returned(charged, 0, charged, kind), Some(0));
    let (later, verdict) = step(charged, START_NS + 5 * NS_PER_S, kind);
    assert!(verdict.admitted);
    assert_eq!(returned(later, 0, charged, kind), None);
}

#[test]
fn a_quota_is_returned_in_its_window_only() {
    let kind = LimitKind::Quota(Quota { window_s: 1, count: 9 });
    let (one, _) = step(0, START_NS, kind);
    let (two, _) = step(one, START_NS, kind);
    assert_eq!(returned(two, 0, one, kind), Some(one));
    let (next, _) = step(two, START_NS + NS_PER_S, kind);
    assert_eq!(returned(next, 0, one, kind), None);
}
