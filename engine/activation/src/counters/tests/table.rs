//! Slots made from a compiled table.

use std::sync::atomic::AtomicU64;

use policy::compile::compile;
use policy::model::{Agent, Audit, Identity, Limit, MinimumTransport, Policy, Unit};
use policy::table::{AgentId, Table};

use super::*;

fn limit(name: &str, kind: policy::model::LimitKind, count: u32, per: Per) -> Limit {
    Limit { name: name.into(), kind, count, unit: Unit::Minute, per }
}

fn table(burst: u32) -> Table<Vec<u8>> {
    use policy::model::LimitKind::{Quota, Rate};
    table_of(vec![limit("all", Quota, 6, Per::Agent), limit("each", Rate { burst }, 60, per_subject(10, OnFull::Deny))])
}

/// One agent with these limits.
fn table_of(limits: Vec<Limit>) -> Table<Vec<u8>> {
    let agent = Agent { name: "public".into(), identity: vec![Identity::Anonymous], scopes: vec![], limits };
    let policy = Policy {
        name: "test".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![],
        client_cas: vec![],
        origins: vec![],
        routes: vec![],
        scopes: vec![],
        agents: vec![agent],
        api_keys: vec![],
    };
    Table::load(compile(&policy, [0; 32]).unwrap()).unwrap()
}

#[test]
fn a_tables_limits_are_charged_and_survive_the_next_table() {
    let (arena, mut states) = (Arena::new(), LimitStates::new());
    let (old, new) = (table(2), table(5));
    let slots = arena.slots(&old, NOW_NS).unwrap();
    let mut charge = |slots: &Slots, table: &Table<Vec<u8>>, subject: &[u8]| {
        let outcome = slots.charge(table, AgentId(0), Some(subject), NOW_NS, &mut states);
        outcome.map_err(|refused| table.limit_name(refused.limit).to_owned())
    };
    assert!(charge(&slots, &old, b"a").is_ok() && charge(&slots, &old, b"a").is_ok());
    assert_eq!(charge(&slots, &old, b"a"), Err("each".to_owned()));
    let next = arena.slots(&new, NOW_NS).unwrap();
    drop(slots);
    next.settle(&new, NOW_NS);
    for _ in 0..3 {
        assert!(charge(&next, &new, b"a").is_ok());
    }
    assert_eq!(charge(&next, &new, b"a"), Err("each".to_owned()));
    assert!(charge(&next, &new, b"b").is_ok());
    assert_eq!(charge(&next, &new, b"b"), Err("all".to_owned()));
    assert_eq!(states.as_slice().len(), 2);
    assert!(next.charge(&new, AgentId(7), None, NOW_NS, &mut LimitStates::new()).is_ok(), "no agent, no limits");
}

#[test]
fn the_compilers_interval_is_the_rounded_one() {
    let spec = table(2).limits(AgentId(0)).nth(1).unwrap();
    assert_eq!(spec.kind, per_minute(60, 2));
}

/// Limits that all stand in the agent's line are charged in a way of their own: it says and leaves the same.
#[test]
fn a_line_is_charged_as_its_limits_are_one_by_one() {
    use policy::model::LimitKind::{Quota, Rate};
    let limits = ["a", "b", "c"].into_iter().zip([Rate { burst: 4 }, Quota, Rate { burst: 9 }]);
    let table = table_of(limits.map(|(name, kind)| limit(name, kind, 6, Per::Agent)).collect());
    let slots = || Arena::new().slots(&table, NOW_NS).unwrap();
    let (by_line, one_by_one) = (slots(), slots());
    let mut outcomes = [0, 0];
    for request in 0..40 {
        let now_ns = NOW_NS + request * 3 * NS_PER_S;
        let (mut these, mut those) = (LimitStates::new(), LimitStates::new());
        let this = by_line.charge(&table, AgentId(0), None, now_ns, &mut these);
        let that = one_by_one.charge_limits(table.limits(AgentId(0)), None, now_ns, &mut those);
        assert_eq!((this, these), (that, those), "request {request}");
        outcomes[usize::from(this.is_ok())] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 5), "{outcomes:?}");
}

#[test]
fn two_threads_together_are_admitted_what_the_tightest_limit_of_a_line_holds() {
    use policy::model::LimitKind::{Quota, Rate};
    const COUNT: u32 = 50_000;
    let table = table_of(vec![
        limit("a", Rate { burst: COUNT + 9 }, 60, Per::Agent),
        limit("b", Quota, COUNT, Per::Agent),
        limit("c", Rate { burst: COUNT + 5 }, 60, Per::Agent),
    ]);
    let slots = Arena::new().slots(&table, NOW_NS).unwrap();
    let charge = || slots.charge(&table, AgentId(0), None, NOW_NS, &mut LimitStates::new()).is_ok();
    let admitted = || (0..COUNT).filter(|_| charge()).count();
    let admitted: usize = std::thread::scope(|scope| {
        let threads = [scope.spawn(admitted), scope.spawn(admitted)];
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // One that meets another half way may be refused, so a little less may have been admitted: never more.
    assert!(admitted <= COUNT as usize && admitted > COUNT as usize * 9 / 10, "{admitted}");
}

/// A line as it is when the first limits are charged and another request, or two, came before the rest.
#[test]
fn a_line_that_others_charge_meanwhile_is_charged_whole_or_not_at_all() {
    let limits = Limits::of(&[&[
        (1, per_minute(60, 9), Per::Agent),
        (2, quota(60, 2), Per::Agent),
        (3, quota(60, 9), Per::Agent),
    ]]);
    let line = || std::array::from_fn(|_| AtomicU64::new(0));
    let charge = |word: &AtomicU64, kind, times| {
        (0..times).for_each(|_| assert!(cell::charge(word, NOW_NS, kind).verdict.admitted));
    };
    for (charged, meanwhile) in (0..3).flat_map(|charged| (0..3).map(move |meanwhile| (charged, meanwhile))) {
        let (words, expected): ([AtomicU64; 8], [AtomicU64; 8]) = (line(), line());
        let mut peeked = [(0, 0); LIMITS_PER_AGENT_MAX];
        // The second limit admits two.
        let fits = charged > 1 || meanwhile < 2;
        for (place, limit) in limits.entries(0).enumerate() {
            let step = cell::peek(&words[place], NOW_NS, limit.kind);
            peeked[place] = (step.before, step.after);
            let others = if place < charged { 0 } else { meanwhile };
            charge(&words[place], limit.kind, if place < charged { 1 } else { others });
            charge(&expected[place], limit.kind, others + usize::from(fits));
        }
        let mut states = LimitStates::new();
        let made = slots::charge_rest(&words, limits.entries(0), &peeked, charged, NOW_NS, &mut states);
        assert_eq!(made.is_some(), fits, "{charged} {meanwhile}");
        if let Some(made) = made {
            assert_eq!(made.tightest.unwrap().0, LimitIndex(1));
            assert_eq!(states.as_slice().len(), 3);
        }
        for (place, limit) in limits.entries(0).enumerate() {
            let left = |word| cell::peek(word, NOW_NS, limit.kind).verdict.remaining;
            assert_eq!(left(&words[place]), left(&expected[place]), "{charged} {meanwhile} {place}");
        }
    }
}
