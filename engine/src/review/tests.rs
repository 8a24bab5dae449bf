//! Whatever was used stays allowed: generated policies and traffic, reviewed, patched and replayed.

use std::net::Ipv4Addr;
use std::path::Path;

use policy::model::{Limit, LimitKind, Policy};
use policy_evaluate::{Evaluation, Evaluator, Memory, Presented, Request, Token};
use policy_release::digest::Digest;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::evidence::Evidence;
use super::findings::Topic;
use super::keep::Keep;
use super::peaks::holds_one;
use super::plan::{Plan, tighter};
use super::proof::prove;
use super::scan::{Window, scan};
use super::usage::Usage;
use crate::commands::audit::Records;
use crate::replay::Replay;
use crate::replay::line::time_text;
use crate::replay::policies::{Policies, Shelf, evaluator};
use crate::source::{Source, of_text};

const DIGEST: Digest = Digest::from_bytes([0xab; 32]);
const NOW_NS: u64 = 1_795_284_454_000_000_000;
const ROUTES: usize = 6;
const SCOPES: usize = 4;
const LIMITS: [&str; 6] =
    ["60/minute", "100/minute burst 20", "7/second burst 40", "500/hour quota", "1000/minute burst 50", "997/minute"];

/// Who may do what, as numbers.
#[derive(Clone, Debug)]
struct Rules {
    scopes: Vec<u8>,
    agents: Vec<(u8, Vec<usize>)>,
    population: (u8, usize),
    anonymous: u8,
}

/// A request: milliseconds after the one before, who, scopes in the token, and the route.
type Call = (u64, u8, u8, usize);

fn rules() -> impl Strategy<Value = Rules> {
    let scopes = prop::collection::vec(1..1_u8 << ROUTES, SCOPES);
    let limits = || prop::collection::btree_set(0..LIMITS.len(), 0..3).prop_map(|of| of.into_iter().collect());
    let agents = prop::collection::vec((0..1_u8 << SCOPES, limits()), 3);
    let population = (0..1_u8 << SCOPES, 0..LIMITS.len());
    (scopes, agents, population, 0..1_u8 << SCOPES).prop_map(|(scopes, agents, population, anonymous)| Rules {
        scopes,
        agents,
        population,
        anonymous,
    })
}

fn names(prefix: &str, mask: u8) -> String {
    let names = (0..8).filter(|bit| mask >> bit & 1 == 1).map(|bit| format!("\"{prefix}{bit}\""));
    names.collect::<Vec<_>>().join(", ")
}

fn source(rules: &Rules) -> String {
    let mut text =
        "[policy]\nname = \"p\"\n\n[[issuer]]\nname = \"i\"\nissuer = \"https://i.test\"\naudience = [\"a\"]\n\
        algorithms = [\"ES256\"]\nkeys = { watch = \"/x.json\" }\nscope_claim = \"scope\"\n\n\
        [[origin]]\nname = \"o\"\naddresses = [\"127.0.0.1:1\"]\n"
            .to_owned();
    for route in 0..ROUTES {
        text += &format!(
            "\n[[route]]\nname = \"r{route}\"\nhost = \"*\"\nmethods = [\"GET\"]\npath = \"/r{route}\"\norigin = \"o\"\n"
        );
    }
    for (scope, routes) in rules.scopes.iter().enumerate() {
        text += &format!("\n[[scope]]\nname = \"s{scope}\"\nroutes = [{}] # of s{scope}\n", names("r", *routes));
    }
    for (agent, (scopes, limits)) in rules.agents.iter().enumerate() {
        // Names come from units, so that each is there once.
        let mut units = std::collections::BTreeSet::new();
        let limits = limits
            .iter()
            .map(|limit| LIMITS[*limit])
            .filter(|text| units.insert((text.split(['/', ' ']).nth(1).unwrap().to_owned(), text.contains("quota"))));
        let limits: Vec<String> = limits.map(|limit| format!("\"{limit}\"")).collect();
        text += &format!(
            "\n[[agent]]\nname = \"a{agent}\" # the {agent}th\nidentity = [{{ api_key = [\"k{agent}a\", \"k{agent}b\"] }}]\n\
             scopes = [{}]\nlimits = [{}]\n",
            names("s", *scopes),
            limits.join(", ")
        );
        for (number, key) in ["a", "b"].into_iter().enumerate() {
            let hash = agent * 2 + number;
            text += &format!("\n[[api_key]]\nid = \"k{agent}{key}\" # one of two\nsha256 = \"{hash:064x}\"\n");
        }
    }
    let (scopes, limit) = rules.population;
    text += &format!(
        "\n[[agent]]\nname = \"staff\"\nidentity = [{{ token = {{ issuer = \"i\", subject = \"*\" }} }}]\nscopes = [{}]\n\
         limits = [\"{} per subject\"]\n\n[[agent]]\nname = \"everybody\"\nidentity = [\"anonymous\"]\nscopes = [{}]\n",
        names("s", scopes),
        LIMITS[limit],
        names("s", rules.anonymous)
    );
    text
}

fn presented(who: u8, scopes: u8) -> Presented {
    let client = Ipv4Addr::new(192, 0, 2, who).into();
    let mut presented = Presented { tls: true, certificate: None, token: None, api_key: None, client };
    match who {
        0..6 => presented.api_key = Some(format!("k{}{}", who / 2, if who.is_multiple_of(2) { "a" } else { "b" })),
        6 | 7 => {
            let scopes = (0..SCOPES).filter(|bit| scopes >> bit & 1 == 1).map(|bit| format!("s{bit}")).collect();
            let expires_s = Some(NOW_NS / 1_000_000_000 + 10_000_000);
            presented.token = Some(Token {
                issuer: "i".into(),
                subject: format!("u{who}"),
                scopes: Some(scopes),
                expires_s,
                bound: Default::default(),
            });
        }
        _ => {}
    }
    presented
}

/// A line as a gateway writes it, without its chain.
fn line(time_ns: u64, number: usize, caller: &Presented, request: &Request, found: &Evaluation) -> String {
    let mut record = json!({
        "time": time_text(time_ns), "adamant.kind": "exchange", "adamant.release": DIGEST.to_string(),
        "adamant.request_id": format!("{number:032x}"), "client.address": caller.client.to_string(),
        "url.scheme": "https", "http.request.method": request.method, "server.address": request.host,
        "url.path": request.target, "adamant.decision": if found.permitted { "permit" } else { "deny" },
        "http.response.status_code": if found.permitted { 200 } else { found.status },
    });
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            record[name] = value;
        }
    };
    put("adamant.reason", found.reason.map(|reason| json!(reason.name())));
    put("adamant.agent", found.agent.as_ref().map(|name| json!(name)));
    put("adamant.granted_by", found.granted_by.as_ref().map(|name| json!(name)));
    put("adamant.route", found.route.as_ref().map(|name| json!(name)));
    put("adamant.scope", found.scope.as_ref().map(|name| json!(name)));
    put("adamant.api_key", caller.api_key.as_ref().map(|id| json!(id)));
    if let Some(token) = &caller.token {
        put("adamant.token.issuer", Some(json!(token.issuer)));
        put("adamant.token.subject", Some(json!(token.subject)));
        put("adamant.token.kid", Some(json!("k1")));
        put("adamant.token.expires_s", Some(json!(token.expires_s)));
        put("adamant.token.scopes", Some(json!(token.scopes.as_ref().unwrap().join(" "))));
    }
    let state = |before: Option<u64>| before.map_or("full".to_owned(), |state| state.to_string());
    let limits: Vec<Value> =
        found.limits.iter().map(|look| json!({ "limit": look.name, "state": state(look.before) })).collect();
    put("adamant.limits_before", (!limits.is_empty()).then_some(Value::Array(limits)));
    record.to_string()
}

/// What a gateway would have written.
fn records(policy: &Policy, calls: &[Call]) -> String {
    let evaluator = Evaluator::new(policy, [0; 32]).unwrap();
    let (mut memory, mut time_ns, mut text) = (Memory::default(), NOW_NS, String::new());
    for (number, (after_ms, who, scopes, route)) in calls.iter().enumerate() {
        time_ns += after_ms * 1_000_000;
        let caller = presented(*who, *scopes);
        let request = Request { method: "GET".into(), host: "h".into(), target: format!("/r{route}") };
        let found = evaluator.decide(&caller, &request, time_ns, &mut memory);
        text += &line(time_ns, number, &caller, &request, &found);
        text += "\n";
    }
    text
}

fn plan_of(policy: &Policy, path: &Path) -> Plan {
    let (mut usage, mut evidence) = (Usage::new(policy).unwrap(), Evidence::new(Window::ALL));
    scan(Records::plain(&[path.to_owned()]), &mut evidence, &mut usage).unwrap();
    Plan::of(&usage, &Keep::default(), evidence.covered(), NOW_NS / 1_000_000_000 + 1_000_000)
}

fn replayed(policy: &Policy, candidate: Policy, records: &str) -> i32 {
    let shelf = Shelf::default();
    let own = evaluator(policy.clone(), Some(DIGEST), &shelf).unwrap();
    let candidate = evaluator(candidate, None, &shelf).unwrap();
    let mut replay = Replay::new(Policies::of_one(DIGEST, own, &shelf), Some(candidate));
    replay.read(0, &mut records.as_bytes()).unwrap();
    replay.finish().unwrap();
    assert!(replay.tally.unclear.is_empty());
    i32::from(replay.tally.status_candidate())
}

fn files(source: &str, records: &str) -> (tempfile::TempDir, Source, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.jsonl");
    std::fs::write(&path, records).unwrap();
    let source = of_text(&directory.path().join("policy.toml"), source.to_owned());
    (directory, source, path)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The property: the patch is narrower, says what it should, and the same records give the same decisions.
    #[test]
    fn what_was_used_stays_allowed(
        rules in rules(),
        calls in prop::collection::vec((0..3_000_u64, 0..10_u8, 0..1_u8 << SCOPES, 0..ROUTES + 1), 0..300),
        skip in 0..100_usize,
    ) {
        let text = source(&rules);
        let loaded = of_text(Path::new("p.toml"), text.clone());
        let policy = loaded.loaded().policy.clone().unwrap_or_else(|| panic!("{}", loaded.diagnostics(false)));
        // Records may begin in the middle, with limits in use.
        let records: String = records(&policy, &calls).split_inclusive('\n').skip(skip).collect();
        let (_directory, source, path) = files(&text, &records);
        let plan = plan_of(&policy, &path);
        let proven = prove(&source, "policy.toml", &plan.edits, Records::plain(&[path]), Window::ALL).map_err(|fault| {
            TestCaseError::fail(format!("{fault}\n{:?}\n{text}", plan.edits))
        })?;
        let mut patched = policy.clone();
        proven.edits.iter().for_each(|edit| plan.edits[*edit].apply(&mut patched));
        prop_assert_eq!(replayed(&policy, patched.clone(), &records), 0);
        // Nothing stays that the next review would take away, but what could not be proved.
        let (_directory, _, path) = files(&text, &records);
        let again = plan_of(&patched, &path);
        prop_assert!(again.edits.len() <= proven.left_out.len(), "{:?} after {:?}", again.edits, plan.edits);
    }

    /// A bucket of the same refill time that holds the most arrivals of any such time never refuses.
    #[test]
    fn a_tighter_limit_is_enough(
        which in 0..LIMITS.len(),
        calls in prop::collection::vec(0..2_000_u64, 1..400),
    ) {
        let rules = Rules {
            scopes: vec![1; SCOPES],
            agents: vec![(1, vec![which]), (1, vec![]), (1, vec![])],
            population: (1, 0),
            anonymous: 0,
        };
        let policy = of_text(Path::new("p.toml"), source(&rules)).loaded().policy.clone().unwrap();
        let calls: Vec<Call> = calls.into_iter().map(|after_ms| (after_ms, 0, 0, 0)).collect();
        let records = records(&policy, &calls);
        let (_directory, _, path) = files("", &records);
        let plan = plan_of(&policy, &path);
        let mut patched = policy.clone();
        plan.edits.iter().for_each(|edit| edit.apply(&mut patched));
        prop_assert_eq!(replayed(&policy, patched, &records), 0);
    }
}

/// The limit of an agent, as a policy that was read has it.
fn limit_of(text: &str) -> Limit {
    let rules = Rules { scopes: vec![1; SCOPES], agents: vec![(1, vec![])], population: (1, 0), anonymous: 0 };
    let text = source(&rules).replace("limits = []", &format!("limits = [\"{text}\"]"));
    of_text(Path::new("p.toml"), text).loaded().policy.clone().unwrap().agents[0].limits[0].clone()
}

#[test]
fn a_tighter_limit_refills_in_the_same_time() {
    for (limit, most, expected) in [
        ("60/minute", 5, "15/minute"),
        ("60/minute", 15, "30/minute"),
        ("60/minute", 16, "-"),
        ("1000/minute burst 100", 10, "200/minute burst 20"),
        ("20000/hour quota", 1_111, "2300/hour quota"),
        ("20000/hour quota", 10, "20/hour quota"),
        ("20/hour quota", 1, "-"),
        ("60/minute", 0, "-"),
    ] {
        let found = tighter(&limit_of(limit), most).map_or("-".to_owned(), |limit| limit.to_string());
        assert_eq!(found, expected, "{limit} with {most}");
    }
    let LimitKind::Rate { burst } = tighter(&limit_of("997/minute"), 20).unwrap().kind else { panic!("a rate") };
    assert!((40..=50).contains(&burst));
}

#[test]
fn less_than_one_window_shows_no_peak() {
    for (limit, since_s, until_s, expected) in [
        ("1000/hour quota", 3_600, 7_200, true),
        ("1000/hour quota", 3_601, 10_799, false),
        ("1000/hour quota", 3_601, 10_800, true),
        ("1000/day quota", 1, 172_799, false),
        ("60/minute", 5, 65, true),
        ("60/minute", 5, 64, false),
        ("60/minute burst 20", 5, 25, true),
    ] {
        let covered = Window { since_ns: since_s * 1_000_000_000, until_ns: until_s * 1_000_000_000 };
        assert_eq!(holds_one(covered, &limit_of(limit)), expected, "{limit} from {since_s} to {until_s}");
    }
}

#[test]
fn findings_say_who_and_what() {
    let rules = Rules {
        scopes: vec![0b11, 0b100, 0b1000, 0b1],
        agents: vec![(0b111, vec![0]), (0b1, vec![]), (0b1, vec![])],
        population: (0b11, 0),
        anonymous: 0,
    };
    let text = source(&rules);
    let policy = of_text(Path::new("p.toml"), text.clone()).loaded().policy.clone().unwrap();
    let calls: Vec<Call> = (0..20).flat_map(|_| [(60_000, 0, 0, 0), (1, 6, 0b11, 1)]).collect();
    let (_directory, _, path) = files(&text, &records(&policy, &calls));
    let plan = plan_of(&policy, &path);
    let told: Vec<(Topic, &str, &str)> =
        plan.findings.iter().map(|found| (found.topic, found.name.as_str(), found.found.as_str())).collect();
    assert_eq!(
        told,
        [
            (Topic::AgentUnused, "a1", "has s0"),
            (Topic::AgentUnused, "a2", "has s0"),
            (Topic::AgentUnused, "everybody", "it has no scopes"),
            (Topic::ScopeUnused, "a0", "2 of 3 scopes: s1, s2 (of 20 calls)"),
            (Topic::ScopeUnused, "staff", "1 of 2 scopes: s1 (of 20 calls)"),
            (Topic::PopulationFew, "staff", "1 user: u6 (20)"),
            (Topic::KeyUnused, "k0b", "of a0"),
            (Topic::TokenBroad, "staff", "carried and never needed: s1"),
            (Topic::LimitLoose, "a0/minute", "60/minute: at most 2 at once, 3 %; 12/minute would do"),
            (
                Topic::LimitLoose,
                "staff/minute-subject",
                "60/minute per subject: at most 2 at once, 3 %; 12/minute per subject would do"
            ),
        ]
    );
    let keep = |keep: &str| {
        let mut usage = Usage::new(&policy).unwrap();
        scan(Records::plain(std::slice::from_ref(&path)), &mut Evidence::new(Window::ALL), &mut usage).unwrap();
        let keep = Keep::read(None, &[keep.to_owned()], &policy)?;
        Ok::<_, crate::failure::Failure>(Plan::of(&usage, &keep, Window::ALL, NOW_NS / 1_000_000_000).findings.len())
    };
    for (entry, fewer) in
        [("agent:a1", 1), ("route:r2", 1), ("scope:s1", 1), ("api-key:k0b", 1), ("limit:a0/minute", 1), ("agent:a0", 3)]
    {
        assert_eq!(keep(entry).unwrap(), told.len() - fewer, "{entry}");
    }
    for wrong in ["agent:a9", "limit:a0/hour", "a1", "agents:a1", "api-key:k9"] {
        assert!(keep(wrong).is_err(), "{wrong}");
    }
}
