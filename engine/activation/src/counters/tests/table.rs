//! Slots made from a compiled table.

use policy::compile::compile;
use policy::model::{Agent, Audit, Identity, Limit, MinimumTransport, Policy, Unit};
use policy::table::{AgentId, Table};

use super::*;

fn limit(name: &str, kind: policy::model::LimitKind, count: u32, per: Per) -> Limit {
    Limit { name: name.into(), kind, count, unit: Unit::Minute, per }
}

fn table(burst: u32) -> Table<Vec<u8>> {
    use policy::model::LimitKind::{Quota, Rate};
    let limits =
        vec![limit("all", Quota, 6, Per::Agent), limit("each", Rate { burst }, 60, per_subject(10, OnFull::Deny))];
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
