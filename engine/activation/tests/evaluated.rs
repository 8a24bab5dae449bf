//! The counters of a gateway and those that decisions are replayed with are the same function: any sequence of requests
//! leaves both with the same states and the same words for each request.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::net::{IpAddr, Ipv4Addr};

use activation::counters::{Arena, LimitStates};
use policy::account::client_prefix;
use policy::model::{
    Agent, Audit, Identity, Limit, LimitKind, Methods, MinimumTransport, OnFull, Origin, Per, Policy, Route, Scope,
    Unit,
};
use policy::table::{AgentId, LimitIndex};
use policy_evaluate::{Evaluation, Evaluator, Memory, Presented, Request};
use proptest::prelude::*;

const NOW_NS: u64 = 1_800_000_000_000_000_000;
/// Fewer than a gateway sweeps at once, so that whether an idle subject is found does not depend on its hash.
const SUBJECTS_MAX: u32 = 4;

fn policy(limits: Vec<Limit>) -> Policy {
    let agent =
        Agent { name: "public".into(), identity: vec![Identity::Anonymous], scopes: vec!["all".into()], limits };
    Policy {
        name: "test".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![],
        client_cas: vec![],
        origins: vec![Origin {
            name: "o".into(),
            addresses: vec!["127.0.0.1:1".into()],
            tls: None,
            pass_credentials: false,
            credential: None,
            assertion: None,
        }],
        routes: vec![Route {
            name: "all".into(),
            host: "*".into(),
            methods: Methods::Any,
            path: "/{rest...}".into(),
            origin: "o".into(),
            encoded_slash: false,
            path_parameters: false,
        }],
        scopes: vec![Scope { name: "all".into(), routes: vec!["all".into()] }],
        agents: vec![agent],
        api_keys: vec![],
    }
}

fn any_limit(number: usize) -> impl Strategy<Value = Limit> {
    let kind = prop_oneof![(1..5_u32).prop_map(|burst| LimitKind::Rate { burst }), Just(LimitKind::Quota)];
    let on_full = prop_oneof![Just(OnFull::Overflow), Just(OnFull::Deny)];
    let subject =
        (1..=SUBJECTS_MAX, on_full).prop_map(|(subjects_max, on_full)| Per::Subject { subjects_max, on_full });
    let per = prop_oneof![Just(Per::Agent), subject];
    let unit = prop_oneof![Just(Unit::Second), Just(Unit::Minute)];
    (kind, 1..6_u32, unit, per).prop_map(move |(kind, count, unit, per)| Limit {
        name: format!("limit-{number}"),
        kind,
        count,
        unit,
        per,
    })
}

fn any_limits() -> impl Strategy<Value = Vec<Limit>> {
    (0..5_usize).prop_flat_map(|count| (0..count).map(any_limit).collect::<Vec<_>>())
}

/// Nanoseconds since the request before (a worker's clock may be behind that of another) and the client's last octet.
fn any_requests() -> impl Strategy<Value = Vec<(i64, u8)>> {
    let step_ns = prop_oneof![
        3 => Just(0),
        2 => -1_000_000..1_000_000_i64,
        3 => 0..1_000_000_000_i64,
        1 => 0..90_000_000_000_i64,
    ];
    prop::collection::vec((step_ns, 0..8_u8), 1..120)
}

fn client(octet: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, octet))
}

/// What was decided, in indices: the states before, and of a refusal the limit and its verdict.
fn looks(evaluation: &Evaluation, names: &[String]) -> Vec<(LimitIndex, u64)> {
    let index = |name: &String| LimitIndex(names.iter().position(|known| known == name).unwrap() as u32);
    let stated = evaluation.limits.iter().filter_map(|look| Some((index(&look.name), look.before?)));
    stated.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn any_sequence_is_charged_alike(limits in any_limits(), requests in any_requests()) {
        let names: Vec<String> = limits.iter().map(|limit| limit.name.clone()).collect();
        let policy = policy(limits);
        let evaluator = Evaluator::new(&policy, [0; 32]).unwrap();
        let table = evaluator.table();
        let slots = Arena::new().slots(table, NOW_NS).unwrap();
        let mut memory = Memory::default();
        let mut states = LimitStates::new();
        let mut now_ns = NOW_NS;
        let asked = Request { method: "GET".into(), host: "a".into(), target: "/".into() };
        for (step_ns, octet) in requests {
            now_ns = now_ns.saturating_add_signed(step_ns);
            let mut room = [0; 16];
            let subject = client_prefix(client(octet), &mut room);
            let real = slots.charge(table, AgentId(0), Some(subject), now_ns, &mut states);
            let told = evaluator.decide(&Presented::nothing(client(octet)), &asked, now_ns, &mut memory);
            prop_assert_eq!(states.as_slice(), looks(&told, &names));
            match real {
                Ok(charge) => {
                    prop_assert!(told.permitted);
                    let tightest = charge.tightest.map(|(index, verdict)| (names[index.index()].clone(), verdict));
                    let told_verdicts: Vec<_> = told.limits.iter().map(|look| (look.name.clone(), look.verdict)).collect();
                    prop_assert!(tightest.is_none_or(|tightest| told_verdicts.contains(&tightest)));
                }
                Err(refused) => {
                    let limit = told.limit.clone().unwrap();
                    prop_assert_eq!(&names[refused.limit.index()], &limit);
                    let look = told.limits.iter().find(|look| look.name == limit).unwrap();
                    prop_assert_eq!(refused.verdict, look.verdict);
                    prop_assert_eq!(refused.subjects_full, look.before.is_none());
                    let name = told.reason.unwrap().name();
                    prop_assert_eq!(name, if refused.subjects_full { "subjects-full" } else { "limit-exceeded" });
                }
            }
        }
    }
}
