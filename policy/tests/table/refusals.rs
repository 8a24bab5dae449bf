//! Policies that do not compile, each for one reason, and each bound reached and passed.

use policy::bounds::{
    AGENTS_MAX, ALTERNATIVES_PER_AGENT_MAX, API_KEYS_MAX, CLIENT_CAS_MAX, ISSUERS_MAX, LIMITS_PER_AGENT_MAX,
    METHODS_EXTENSION_MAX, ORIGINS_MAX, ROUTES_MAX, SCOPES_MAX, SEGMENTS_MAX, STRING_BYTES_MAX,
};
use policy::compile::{CompileError, compile};
use policy::model::{
    ApiKey, Binding, CertificateName, CertificateProof, ClientCa, Identity, Issuer, Limit, LimitKind, Methods, OnFull,
    Origin, Per, Policy, Proofs, Route, Scope, Subject, TokenProof, Unit,
};
use policy::table::Table;

use crate::universe::{agent, empty, route};

fn refused(policy: &Policy) -> CompileError {
    compile(policy, [0; 32]).unwrap_err()
}

fn compiles(policy: &Policy) {
    Table::load(compile(policy, [0; 32]).unwrap()).unwrap();
}

fn with_routes(routes: Vec<Route>) -> Policy {
    Policy { routes, ..empty() }
}

fn key(id: &str) -> Proofs {
    Proofs { api_keys: vec![id.into()], ..Proofs::default() }
}

fn with_agents(identities: Vec<Vec<Identity>>) -> Policy {
    let named = identities.into_iter().enumerate();
    Policy { agents: named.map(|(id, identity)| agent(&format!("a{id}"), identity, vec![])).collect(), ..empty() }
}

fn population(excepted: &[&str], certificate: Option<&str>) -> Identity {
    let subject = Subject::AnyBut(excepted.iter().map(|name| (*name).into()).collect());
    let certificate =
        certificate.map(|name| CertificateProof { name: CertificateName::Dns(name.into()), ca: "ca0".into() });
    Identity::Proofs(Proofs {
        certificate,
        token: Some(TokenProof { issuer: "i0".into(), subject, bound: None }),
        api_keys: vec![],
    })
}

#[test]
fn lists_are_sorted_and_names_unique() {
    let policy = with_routes(vec![route("b", "*", "/b"), route("a", "*", "/a")]);
    let expected = CompileError::NotSorted { list: "routes", name: "a".into(), after: "b".into() };
    assert_eq!(refused(&policy), expected);
    let policy = with_routes(vec![route("a", "*", "/b"), route("a", "*", "/a")]);
    assert!(matches!(refused(&policy), CompileError::NotSorted { .. }));
}

#[test]
fn names_resolve() {
    let unresolved = |policy: &Policy| match refused(policy) {
        CompileError::Unresolved { what, name, user } => format!("{what} {name} {user}"),
        other => panic!("{other}"),
    };
    let mut policy = with_routes(vec![route("r", "*", "/")]);
    policy.routes[0].origin = "nowhere".into();
    assert_eq!(unresolved(&policy), "origin nowhere route `r`");
    let scope = Scope { name: "s".into(), routes: vec!["r2".into()] };
    assert_eq!(unresolved(&Policy { scopes: vec![scope], ..empty() }), "route r2 scope `s`");
    let mut policy = with_agents(vec![vec![Identity::Proofs(key("k9"))]]);
    assert_eq!(unresolved(&policy), "API key k9 agent `a0`");
    policy.agents[0].scopes = vec!["s".into()];
    assert_eq!(unresolved(&policy), "scope s agent `a0`");
    let token = Some(TokenProof { issuer: "i9".into(), subject: Subject::Exactly("s".into()), bound: None });
    let policy = with_agents(vec![vec![Identity::Proofs(Proofs { token, ..Proofs::default() })]]);
    assert_eq!(unresolved(&policy), "issuer i9 agent `a0`");
    let certificate = Some(CertificateProof { name: CertificateName::Dns("d".into()), ca: "ca9".into() });
    let policy = with_agents(vec![vec![Identity::Proofs(Proofs { certificate, ..Proofs::default() })]]);
    assert_eq!(unresolved(&policy), "client CA ca9 agent `a0`");
}

#[test]
fn paths_are_patterns() {
    for path in ["", "a", "/a//b", "/{x", "/x}", "/a{x}", "/{}", "/{...}", "/{rest...}/a", "/{a b}", "/{a}{b}"] {
        let error = refused(&with_routes(vec![route("r", "*", path)]));
        assert!(matches!(error, CompileError::Path { .. }), "{path}: {error}");
    }
    assert!(matches!(refused(&with_routes(vec![route("r", "", "/")])), CompileError::HostEmpty { .. }));
    let path = |segments: usize| "/{x}".repeat(segments);
    compiles(&with_routes(vec![route("r", "*", &path(SEGMENTS_MAX))]));
    let error = refused(&with_routes(vec![route("r", "*", &path(SEGMENTS_MAX + 1))]));
    assert_eq!(error, CompileError::PathTooLong { route: "r".into(), found: SEGMENTS_MAX + 1 });
    let literal = |bytes: usize| with_routes(vec![route("r", "*", &format!("/{}", "a".repeat(bytes)))]);
    compiles(&literal(STRING_BYTES_MAX));
    assert!(matches!(refused(&literal(STRING_BYTES_MAX + 1)), CompileError::StringTooLong { .. }));
}

#[test]
fn routes_do_not_overlap() {
    let only = |methods: &[&str]| Methods::Only(methods.iter().map(|method| (*method).into()).collect());
    let two = |first: Methods, second: Methods| {
        let mut routes = vec![route("a", "h", "/a/{x}"), route("b", "h", "/a/{y}")];
        (routes[0].methods, routes[1].methods) = (first, second);
        with_routes(routes)
    };
    let expected = CompileError::RoutesOverlap { first: "a".into(), second: "b".into() };
    assert_eq!(refused(&two(Methods::Any, Methods::Any)), expected);
    assert_eq!(refused(&two(Methods::Any, only(&["PURGE"]))), expected);
    assert_eq!(refused(&two(only(&["GET", "HEAD"]), only(&["HEAD"]))), expected);
    compiles(&two(only(&["GET"]), only(&["POST"])));
    compiles(&two(Methods::Any, only(&["CONNECT", "TRACE"])));
    assert!(matches!(refused(&two(only(&[]), only(&["GET"]))), CompileError::MethodEmpty { .. }));
    assert!(matches!(refused(&two(only(&[""]), only(&["GET"]))), CompileError::MethodEmpty { .. }));
    let methods: Vec<String> = (0..METHODS_EXTENSION_MAX).map(|id| format!("M{id:02}")).collect();
    compiles(&two(Methods::Only(methods.clone()), only(&["GET"])));
    let error = refused(&two(Methods::Only(methods), only(&["ONE-MORE"])));
    assert_eq!(error, CompileError::TooManyMethods { route: "b".into(), method: "ONE-MORE".into() });
}

#[test]
fn a_tree_of_choices_has_a_bound() {
    // At each of ten segments a literal and a `{segment}`: every path of literals visits all 2^10 branches.
    let routes = (0..1_u32 << 10).map(|choice| {
        let step = |bit: u32| if choice >> bit & 1 == 0 { "/a" } else { "/{x}" };
        route(&format!("r{choice:05}"), "*", &(0..10).map(step).chain(["/end"]).collect::<String>())
    });
    assert!(matches!(refused(&with_routes(routes.collect())), CompileError::RouteSteps { .. }));
}

#[test]
fn identities_tell_agents_apart() {
    let anonymous = || vec![Identity::Anonymous];
    let error = refused(&with_agents(vec![anonymous(), anonymous()]));
    assert_eq!(error, CompileError::SeveralAnonymous { first: "a0".into(), second: "a1".into() });
    let error = refused(&with_agents(vec![vec![Identity::Proofs(Proofs::default())]]));
    assert_eq!(error, CompileError::ProofsEmpty { agent: "a0".into() });
    let mut several = key("k0");
    several.api_keys.push("k1".into());
    let policy = with_agents(vec![vec![Identity::Proofs(several.clone())], vec![Identity::Proofs(key("k1"))]]);
    assert_eq!(refused(&policy), CompileError::AlternativeShared { first: "a0".into(), second: "a1".into() });
    compiles(&with_agents(vec![vec![Identity::Proofs(several), Identity::Proofs(key("k1"))]]));
    let policy = with_agents(vec![vec![population(&["x"], None)], vec![population(&["y"], Some("c"))]]);
    assert_eq!(refused(&policy), CompileError::ExceptionsDiffer { agent: "a1".into(), issuer: "i0".into() });
    compiles(&with_agents(vec![vec![population(&["x", "y"], None)], vec![population(&["y", "x"], Some("c"))]]));
}

#[test]
fn alternatives_have_a_bound() {
    let keys = |count: usize| {
        let ids: Vec<String> = (0..count).map(|id| format!("k{id:04}")).collect();
        let proofs = Proofs { api_keys: ids.clone(), ..Proofs::default() };
        let mut policy = with_agents(vec![vec![Identity::Proofs(proofs)]]);
        policy.api_keys = ids.into_iter().map(|id| ApiKey { id, sha256: None, expires_s: None }).collect();
        policy
    };
    compiles(&keys(ALTERNATIVES_PER_AGENT_MAX));
    let found = ALTERNATIVES_PER_AGENT_MAX + 1;
    assert_eq!(refused(&keys(found)), CompileError::TooManyAlternatives { agent: "a0".into(), found });
}

#[test]
fn limits_have_numbers_and_names() {
    let limit = |name: &str| Limit {
        name: name.into(),
        kind: LimitKind::Rate { burst: 1 },
        count: 1,
        unit: Unit::Second,
        per: Per::Agent,
    };
    let with = |limits: Vec<Limit>| {
        let mut policy = with_agents(vec![vec![]]);
        policy.agents[0].limits = limits;
        policy
    };
    compiles(&with((0..LIMITS_PER_AGENT_MAX).map(|id| limit(&id.to_string())).collect()));
    let found = LIMITS_PER_AGENT_MAX + 1;
    let many = with((0..found).map(|id| limit(&id.to_string())).collect());
    assert_eq!(refused(&many), CompileError::TooManyLimits { agent: "a0".into(), found });
    assert!(matches!(refused(&with(vec![limit("x"), limit("x")])), CompileError::LimitNamedTwice { .. }));
    let per = Per::Subject { subjects_max: 0, on_full: OnFull::Deny };
    let zeros = [
        Limit { count: 0, ..limit("x") },
        Limit { kind: LimitKind::Rate { burst: 0 }, ..limit("x") },
        Limit { per, ..limit("x") },
    ];
    for zero in zeros {
        assert!(matches!(refused(&with(vec![zero])), CompileError::LimitZero { .. }));
    }
}

#[test]
fn lists_have_bounds() {
    let too_many = |policy: &Policy| match refused(policy) {
        CompileError::TooMany { what, max, found } => (what, max, found),
        other => panic!("{other}"),
    };
    let routes = (0..=ROUTES_MAX).map(|id| route(&format!("r{id:06}"), "*", &format!("/{id}")));
    assert_eq!(too_many(&with_routes(routes.collect())), ("routes", ROUTES_MAX, ROUTES_MAX + 1));
    let scopes = |count: usize| {
        let scopes = (0..count).map(|id| Scope { name: format!("s{id:05}"), routes: vec![] });
        Policy { scopes: scopes.collect(), ..empty() }
    };
    compiles(&scopes(SCOPES_MAX));
    assert_eq!(too_many(&scopes(SCOPES_MAX + 1)), ("scopes", SCOPES_MAX, SCOPES_MAX + 1));
    let many = |count: usize| (0..=count).map(|id| format!("x{id:07}"));
    let mut policy = empty();
    let origin = policy.origins[0].clone();
    policy.origins = many(ORIGINS_MAX).map(|name| Origin { name, ..origin.clone() }).collect();
    assert_eq!(too_many(&policy), ("origins", ORIGINS_MAX, ORIGINS_MAX + 1));
    let mut policy = empty();
    let issuer = policy.issuers[0].clone();
    policy.issuers = many(ISSUERS_MAX).map(|name| Issuer { name, ..issuer.clone() }).collect();
    assert_eq!(too_many(&policy), ("issuers", ISSUERS_MAX, ISSUERS_MAX + 1));
    let ca = |name| ClientCa { name, certificates: String::new(), crl: None };
    let policy = Policy { client_cas: many(CLIENT_CAS_MAX).map(ca).collect(), ..empty() };
    assert_eq!(too_many(&policy), ("client CAs", CLIENT_CAS_MAX, CLIENT_CAS_MAX + 1));
    let key = |id| ApiKey { id, sha256: None, expires_s: None };
    let policy = Policy { api_keys: many(API_KEYS_MAX).map(key).collect(), ..empty() };
    assert_eq!(too_many(&policy), ("API keys", API_KEYS_MAX, API_KEYS_MAX + 1));
    let agents = many(AGENTS_MAX).map(|name| agent(&name, vec![], vec![]));
    let policy = Policy { agents: agents.collect(), ..empty() };
    assert_eq!(too_many(&policy), ("agents", AGENTS_MAX, AGENTS_MAX + 1));
}

#[test]
fn a_token_is_bound_alike_wherever_it_stands() {
    let with_key = |bound, api_keys: Vec<String>| {
        let token = Some(TokenProof { issuer: "i0".into(), subject: Subject::Exactly("s".into()), bound });
        Identity::Proofs(Proofs { token, api_keys, ..Proofs::default() })
    };
    let both = |first, second| with_agents(vec![vec![with_key(first, vec![]), with_key(second, vec!["k0".into()])]]);
    compiles(&both(Some(Binding::Dpop), Some(Binding::Dpop)));
    for (first, second) in [(None, Some(Binding::Dpop)), (Some(Binding::Certificate), Some(Binding::Dpop))] {
        let differ = CompileError::BindingsDiffer { agent: "a0".into(), issuer: "i0".into() };
        assert_eq!(refused(&both(first, second)), differ);
    }
}
