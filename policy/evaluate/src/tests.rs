//! A small policy of every kind of caller, and what is said about each refusal.

use std::net::{IpAddr, Ipv4Addr};

use policy::binding::Bindings;
use policy::model::{CertificateName, Policy};
use policy::reason::Reason;

use super::*;

const NOW_NS: u64 = 1_800_000_000_000_000_000;

fn policy() -> Policy {
    let text = r#"{
        "name": "orders", "audit": "queued", "transport": "tls",
        "issuers": [{"name": "corp", "issuer": "https://id", "audience": ["a"], "algorithms": ["ES256"],
            "keys": {"watch": {"path": "corp.json"}}, "scope_claim": "scope", "leeway_s": 5}],
        "client_cas": [{"name": "agents", "certificates": ""}],
        "origins": [{"name": "o", "addresses": ["127.0.0.1:1"], "tls": null, "pass_credentials": false}],
        "routes": [
            {"name": "order-change", "host": "api.example", "methods": {"only": ["PUT"]}, "path": "/orders/{id}",
                "origin": "o", "encoded_slash": false, "path_parameters": false},
            {"name": "order-list", "host": "api.example", "methods": {"only": ["GET"]}, "path": "/orders",
                "origin": "o", "encoded_slash": false, "path_parameters": false},
            {"name": "order-read", "host": "api.example", "methods": {"only": ["GET"]}, "path": "/orders/{id}",
                "origin": "o", "encoded_slash": false, "path_parameters": false},
            {"name": "status", "host": "*", "methods": "any", "path": "/status",
                "origin": "o", "encoded_slash": false, "path_parameters": false}],
        "scopes": [{"name": "public", "routes": ["status"]}, {"name": "read", "routes": ["order-list", "order-read"]},
            {"name": "write", "routes": ["order-change"]}],
        "agents": [
            {"name": "bot", "identity": [{"proofs": {
                    "certificate": {"name": {"spiffe": "spiffe://corp/bot"}, "ca": "agents"},
                    "token": {"issuer": "corp", "subject": {"exactly": "bot"}}, "api_keys": []}}],
                "scopes": ["read", "write"],
                "limits": [{"name": "minute", "kind": {"rate": {"burst": 2}}, "count": 60, "unit": "minute", "per": "agent"}]},
            {"name": "everybody", "identity": ["anonymous"], "scopes": ["public"], "limits": []},
            {"name": "partner", "identity": [{"proofs": {"certificate": null, "token": null, "api_keys": ["k1", "k2"]}}],
                "scopes": ["read"], "limits": [
                    {"name": "day", "kind": "quota", "count": 1, "unit": "day", "per": "agent"}]},
            {"name": "staff", "identity": [{"proofs": {"certificate": null, "api_keys": [],
                    "token": {"issuer": "corp", "subject": {"any-but": ["mallory"]}}}}],
                "scopes": ["read"], "limits": [{"name": "each", "kind": {"rate": {"burst": 1}}, "count": 1, "unit": "minute",
                    "per": {"subject": {"subjects_max": 1, "on_full": "deny"}}}]}],
        "api_keys": [{"id": "k1", "sha256": null, "expires_s": null}, {"id": "k2", "sha256": null, "expires_s": 1000},
            {"id": "k3", "sha256": null, "expires_s": null}]
    }"#;
    serde_json::from_str(text).unwrap()
}

fn get(path: &str) -> Request {
    Request { method: "GET".into(), host: "API.example:443".into(), target: path.into() }
}

fn nothing() -> Presented {
    Presented::nothing(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)))
}

fn token(subject: &str, scopes: Option<&[&str]>) -> Token {
    let scopes = scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
    Token { issuer: "corp".into(), subject: subject.into(), scopes, expires_s: None, bound: Bindings::NONE }
}

fn staff(subject: &str, scopes: Option<&[&str]>) -> Presented {
    Presented { token: Some(token(subject, scopes)), ..nothing() }
}

/// The decision, and everything that is said about it in one text.
fn explained(caller: &Presented, request: &Request) -> (Evaluation, String) {
    told(caller, request, &mut Memory::default())
}

fn told(caller: &Presented, request: &Request, memory: &mut Memory) -> (Evaluation, String) {
    let policy = policy();
    let evaluation = Evaluator::new(&policy, [0; 32]).unwrap().evaluate(caller, request, NOW_NS, memory);
    let line = |step: &Step| format!("{}: {}\n{}\n", step.topic.name(), step.text, step.details.join("\n"));
    let text = evaluation.steps.iter().map(line).collect();
    (evaluation, text)
}

#[track_caller]
fn assert_refused(caller: &Presented, request: &Request, reason: Reason, parts: &[&str]) {
    let (evaluation, text) = explained(caller, request);
    assert_eq!((evaluation.permitted, evaluation.reason), (false, Some(reason)), "{text}");
    assert_eq!(evaluation.status, reason.status());
    for part in parts.iter().chain(&[reason.name()]) {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn every_agent_is_permitted_what_its_scopes_hold() {
    let policy = policy();
    for (agent, path, route) in [
        ("bot", "/orders/7", "order-read"),
        ("partner", "/orders/7", "order-read"),
        ("staff", "/orders", "order-list"),
        ("everybody", "/status", "status"),
    ] {
        let (evaluation, text) = explained(&presented_as(&policy, agent).unwrap(), &get(path));
        assert!(evaluation.permitted && evaluation.status == 0, "{text}");
        assert_eq!(evaluation.granted_by.as_deref(), Some(agent), "{text}");
        assert_eq!(evaluation.route.as_deref(), Some(route), "{text}");
        assert!(text.contains("forwarded to origin \"o\""), "{text}");
    }
    let error = presented_as(&policy, "partnr").unwrap_err().to_string();
    assert!(error.contains("perhaps \"partner\""), "{error}");
    assert!(
        presented_by(&policy, "partner", 2, None).is_err() && presented_by(&policy, "partner", 1, Some("x")).is_err()
    );
    let member = presented_by(&policy, "staff", 1, Some("alice")).unwrap();
    assert_eq!(member.token.unwrap().subject, "alice");
}

#[test]
fn a_refusal_for_the_target_or_transport_says_what_is_wrong() {
    assert_refused(&nothing(), &get("/a/../b"), Reason::InvalidTarget, &["dot segment"]);
    let plain = Presented { tls: false, ..nothing() };
    assert_refused(&plain, &get("/orders"), Reason::TransportTooWeak, &["plain HTTP; the policy asks for TLS"]);
    let slash = staff("alice", Some(&["read"]));
    assert_refused(&slash, &get("/orders/a%2fb"), Reason::TargetNotAdmitted, &["/orders/a%2Fb", "%2F"]);
}

#[test]
fn a_refusal_for_identity_says_which_proof_is_missing_or_whose_it_is() {
    let named = CertificateName::Spiffe("spiffe://corp/bot".into());
    let certified = Presented { certificate: Some(Certificate::named("agents", named.clone())), ..nothing() };
    assert_refused(
        &certified,
        &get("/orders"),
        Reason::ProofsIncomplete,
        &["is of agent \"bot\", which also needs a token of \"corp\" for \"bot\""],
    );
    let two = Presented { token: Some(token("alice", None)), ..certified.clone() };
    assert_refused(&two, &get("/orders"), Reason::ProofsConflict, &["is of agent \"bot\"", "is of agent \"staff\""]);
    assert_refused(
        &staff("mallory", None),
        &get("/orders"),
        Reason::AgentUnknown,
        &["excepted from the population \"staff\""],
    );
    let key = |id: &str| Presented { api_key: Some(id.into()), ..nothing() };
    assert_refused(&key("k2"), &get("/orders"), Reason::ApiKeyExpired, &["expired 20833 d 7 h ago"]);
    assert_refused(&key("k3"), &get("/orders"), Reason::AgentUnknown, &["\"k3\" is declared, but no agent has it"]);
    assert_refused(&key("k9"), &get("/orders"), Reason::ApiKeyInvalid, &["declares no API key \"k9\""]);
    let foreign = Presented { certificate: Some(Certificate::named("others", named)), ..nothing() };
    assert_refused(&foreign, &get("/orders"), Reason::CertificateInvalid, &["no client CA"]);
    let mut late = staff("alice", None);
    late.token.as_mut().unwrap().expires_s = Some(NOW_NS / 1_000_000_000 - 5);
    assert_refused(&late, &get("/orders"), Reason::TokenExpired, &["expired"]);
    late.token.as_mut().unwrap().expires_s = Some(NOW_NS / 1_000_000_000 - 4);
    assert_refused(&late, &get("/orders"), Reason::ScopeMissing, &[]);
}

#[test]
fn a_refusal_by_the_table_says_what_nearly_matched_and_which_scope_is_missing() {
    assert_refused(&nothing(), &get("/orders"), Reason::CredentialMissing, &["\"order-list\"", "told to identify"]);
    let alice = staff("alice", Some(&["read", "other"]));
    let post = Request { method: "POST".into(), ..get("/orders") };
    assert_refused(&alice, &post, Reason::RouteUnknown, &["nearly \"order-list\"", "not for POST"]);
    assert_refused(&alice, &get("/ordes/7"), Reason::RouteUnknown, &["\"ordes\" is not \"orders\""]);
    assert_refused(&alice, &get("/orders/"), Reason::RouteUnknown, &["trailing slash too many", "{id} is empty"]);
    let elsewhere = Request { host: "api.exmple".into(), ..get("/orders") };
    assert_refused(&alice, &elsewhere, Reason::RouteUnknown, &["another host than api.exmple"]);
    let lower = Request { method: "get".into(), ..get("/orders") };
    assert_refused(&alice, &lower, Reason::RouteUnknown, &["case-sensitive: GET, not get"]);
    let put = Request { method: "PUT".into(), ..get("/orders/7") };
    assert_refused(&alice, &put, Reason::ScopeMissing, &["of the route: \"write\"", "has none that holds the route"]);
    let narrowed = staff("alice", Some(&["other"]));
    assert_refused(&narrowed, &get("/orders"), Reason::ScopeMissing, &["has \"read\", but the token does not"]);
    assert_refused(&staff("alice", None), &get("/orders"), Reason::ScopeMissing, &["of the token: none"]);
}

#[test]
fn limits_are_told_in_human_units() {
    let (bot, mut memory) = (presented_as(&policy(), "bot").unwrap(), Memory::default());
    let (first, text) = told(&bot, &get("/orders"), &mut memory);
    assert!(first.permitted && text.contains("(60/minute burst 2): 2 of 2 left before, 1 after"), "{text}");
    assert!(told(&bot, &get("/orders"), &mut memory).0.permitted);
    let (third, text) = told(&bot, &get("/orders"), &mut memory);
    assert_eq!((third.reason, third.limit.as_deref()), (Some(Reason::LimitExceeded), Some("minute")));
    assert!(text.contains("0 of 2 left; the next one is admitted in 1 s"), "{text}");
    let partner = presented_as(&policy(), "partner").unwrap();
    assert!(told(&partner, &get("/orders"), &mut memory).0.permitted);
    let (_, text) = told(&partner, &get("/orders"), &mut memory);
    assert!(text.contains("0 of 1 left in this UTC day; the next one is admitted in 16 h"), "{text}");
    assert!(told(&staff("alice", Some(&["read"])), &get("/orders"), &mut memory).0.permitted);
    let (full, text) = told(&staff("bob", Some(&["read"])), &get("/orders"), &mut memory);
    assert_eq!(full.reason, Some(Reason::SubjectsFull));
    assert!(text.contains("for bob: no place for one more subject; try again in 1 min"), "{text}");
    assert!(text.contains("\"each\" of agent \"staff\" refuses"), "{text}");
}

#[test]
fn subjects_are_counted_by_the_issuer_itself_under_whatever_name() {
    let mut memory = Memory::default();
    let alice = staff("alice", Some(&["read"]));
    assert!(told(&alice, &get("/orders"), &mut memory).0.permitted);
    let text = serde_json::to_string(&policy()).unwrap();
    let renamed: Policy = serde_json::from_str(&text.replace("\"corp\"", "\"company\"")).unwrap();
    assert_ne!(renamed, policy());
    let mut again = alice.clone();
    again.token.as_mut().unwrap().issuer = "company".into();
    let evaluator = Evaluator::new(&renamed, [0; 32]).unwrap();
    let found = evaluator.evaluate(&again, &get("/orders"), NOW_NS, &mut memory);
    assert_eq!(found.reason, Some(Reason::LimitExceeded), "the counter goes on");
}

#[test]
fn a_recorded_state_decides_and_a_missing_one_is_told() {
    let policy = policy();
    let evaluator = Evaluator::new(&policy, [0; 32]).unwrap();
    let bot = presented_as(&policy, "bot").unwrap();
    let decide = |states: Vec<(String, Option<u64>)>| {
        let mut recorded = Recorded::new(states);
        (evaluator.decide(&bot, &get("/orders"), NOW_NS, &mut recorded).reason, recorded.missing)
    };
    assert_eq!(decide(vec![("minute".into(), Some(NOW_NS + 1_000_000_000))]), (None, vec![]));
    assert_eq!(decide(vec![("minute".into(), Some(NOW_NS + 1_000_000_001))]), (Some(Reason::LimitExceeded), vec![]));
    assert_eq!(decide(vec![("minute".into(), None)]), (Some(Reason::SubjectsFull), vec![]));
    assert_eq!(decide(vec![]), (None, vec!["minute".to_owned()]));
}
