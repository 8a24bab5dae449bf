//! The certificate against what look-ups really do, counted by `trace`.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::compile::compile;
use crate::decide::{Asked, Caller, Presented};
use crate::generators::universe;
use crate::model::{
    CertificateName, CertificateProof, Identity, Limit, LimitKind, Methods, Per, Policy, Proofs, Subject, TokenProof,
    Unit,
};
use crate::table::{Cost, CostCertificate, IssuerIndex, Table, TokenScopes, trace};
use crate::target::Target;

fn table(policy: &Policy) -> Table<Vec<u8>> {
    Table::load(compile(policy, [7; 32]).unwrap()).unwrap()
}

/// What one decision costs, part by part.
fn measured(
    table: &Table<Vec<u8>>,
    presented: &Presented,
    scopes: &TokenScopes,
    (method, host, path): (&str, &str, &str),
) -> CostCertificate {
    let (caller, of_caller) = trace::of(|| table.caller(presented));
    let certificates = presented.certificate.iter().flatten().count();
    let all = certificates + usize::from(presented.token.is_some()) + usize::from(presented.api_key.is_some());
    assert!(all > 1 || of_caller == Cost::default(), "one proof: {of_caller:?}");
    let caller = caller.unwrap_or(Caller { agent: None, population: false });
    let (routed, of_route) = trace::of(|| table.routed(host.as_bytes(), method.as_bytes(), path.as_bytes()));
    let target = Target { path: path.as_bytes(), query: None, encoded_slash: false, path_parameters: false };
    let asked = Asked { method: method.as_bytes(), host: host.as_bytes(), target: Some(&target) };
    let (limits, of_grant) = trace::of(|| {
        let granted = routed.and_then(|routed| table.grant_of(&caller, scopes, routed.route, routed.scopes));
        granted.map_or(0, |grant| table.limits(grant.agent).count())
    });
    // In one go they touch no more than one by one.
    let (_, whole) = trace::of(|| table.decide(&caller, presented.any(), scopes, &asked).map(|_| ()));
    assert!(whole.is_within(&of_route.and(of_grant)), "{whole:?}");
    CostCertificate { caller: of_caller, route: of_route, grant: of_grant, limits: limits as u32 }
}

fn is_within(measured: &CostCertificate, bound: &CostCertificate) -> bool {
    measured.caller.is_within(&bound.caller)
        && measured.route.is_within(&bound.route)
        && measured.grant.is_within(&bound.grant)
        && measured.limits <= bound.limits
}

fn costs(policy: &Policy, requests: &[universe::Request]) -> Vec<CostCertificate> {
    let table = table(policy);
    let all = requests.iter().cloned().chain(universe::aimed(policy, requests));
    let cost = |request: universe::Request| {
        let scopes = request.shown.token.as_ref().and_then(|token| token.scopes.as_ref());
        let scopes =
            scopes.map_or(TokenScopes::everything(), |names| table.token_scopes(names.iter().map(String::as_bytes)));
        let presented = universe::presented(policy, &table, &request.shown);
        measured(&table, &presented, &scopes, (&request.method, &request.host, &request.path))
    };
    all.map(cost).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_decision_takes_more_than_is_certified(
        policy in prop_oneof![3 => universe::policy(7), 1 => universe::policy(520)],
        requests in vec(universe::request(), 40),
    ) {
        let bound = table(&policy).certificate();
        for measured in costs(&policy, &requests) {
            prop_assert!(is_within(&measured, &bound), "{measured:?} is not within {bound:?}");
        }
    }

    /// Otherwise a release could not state what its table, which is seeded by its digest, costs.
    #[test]
    fn it_does_not_depend_on_the_digest(policy in universe::policy(7), digest in any::<[u8; 32]>()) {
        let other = Table::load(compile(&policy, digest).unwrap()).unwrap();
        prop_assert_eq!(other.certificate(), table(&policy).certificate());
    }
}

/// Literals and `{segment}`s side by side on every level, a certificate with a token, several leaves at the end: the
/// worst request there is comes near the bound, which is no guess far above it.
#[test]
fn the_worst_case_comes_near_the_bound() {
    let mut policy = universe::empty();
    let long = "segment-".repeat(5);
    for depth in 0..32_u32 {
        let parts = (0..5).map(|level| if depth >> level & 1 == 0 { &*long } else { "{x}" });
        let path = format!("/{}/{}", parts.collect::<Vec<_>>().join("/"), if depth == 31 { "end" } else { "other" });
        let mut route = universe::route(&format!("r{depth:02}"), "api.corp.example", &path);
        route.methods = Methods::Only(vec!["GET".into()]);
        policy.routes.push(route.clone());
        if depth == 31 {
            route.name = "r99".into();
            route.methods = Methods::Only(vec!["POST".into()]);
            policy.routes.push(route);
        }
    }
    // Others, so that the look-ups of this one do not meet in a few lines.
    policy.routes.extend((0..3_000).map(|id| universe::route(&format!("s{id:04}"), &format!("h{id}"), "/a/{x}/b")));
    let scope = |name: &str, routes: &[&str]| crate::model::Scope {
        name: name.into(),
        routes: routes.iter().map(|route| (*route).into()).collect(),
    };
    policy.scopes = vec![scope("all", &["r99"])];
    let proofs = Proofs {
        certificate: Some(CertificateProof { name: CertificateName::Dns("agent".into()), ca: "ca0".into() }),
        token: Some(TokenProof { issuer: "i0".into(), subject: Subject::Exactly("agent".into()), bound: None }),
        api_keys: vec![],
    };
    let mut agent = universe::agent("a", vec![Identity::Proofs(proofs)], vec!["all".into()]);
    let limit =
        |name: &str| Limit { name: name.into(), kind: LimitKind::Quota, count: 9, unit: Unit::Day, per: Per::Agent };
    agent.limits = ["1", "2", "3", "4"].map(limit).to_vec();
    policy.agents = vec![agent];
    let (table, path) = (table(&policy), format!("{}/end", format!("/{long}").repeat(5)));
    let mut presented = Presented { token: Some(table.proof_token(IssuerIndex(0), b"agent")), ..Presented::default() };
    let name = crate::table::CertificateNameRef::Dns("agent");
    presented.certificate[0] = table.proof_certificate(crate::table::CaIndex(0), name);
    let bound = table.certificate();
    let worst = measured(&table, &presented, &TokenScopes::everything(), ("POST", "api.corp.example", &path));
    assert!(is_within(&worst, &bound), "{worst:?} is not within {bound:?}");
    assert_eq!((worst.limits, bound.limits), (4, 4));
    let (found, most) = (worst.total(), bound.total());
    println!("{found:?} of {most:?}");
    assert_eq!(found.probes, most.probes);
    for (found, most) in [(found.steps, most.steps), (found.lines, most.lines), (found.comparisons, most.comparisons)] {
        assert!(most <= found * 3, "{found} of {most}");
    }
    assert!(found.hashed_bytes * 2 >= most.hashed_bytes, "{found:?} of {most:?}");
}

/// The policy that README's table is about: a token, a scope, two limits.
#[test]
fn an_ordinary_policy_costs_ten_lines() {
    let mut policy = universe::empty();
    policy.routes = vec![universe::route("order-read", "api.corp.example", "/orders/{id}")];
    policy.scopes = vec![crate::model::Scope { name: "orders:read".into(), routes: vec!["order-read".into()] }];
    let token = TokenProof { issuer: "i0".into(), subject: Subject::Exactly("bot".into()), bound: None };
    let mut agent = universe::agent(
        "bot",
        vec![Identity::Proofs(Proofs { token: Some(token), ..Proofs::default() })],
        vec!["orders:read".into()],
    );
    let limit =
        |name: &str| Limit { name: name.into(), kind: LimitKind::Quota, count: 9, unit: Unit::Day, per: Per::Agent };
    agent.limits = ["hour", "minute"].map(limit).to_vec();
    policy.agents = vec![agent];
    // `empty` declares API keys, which could be shown beside the token.
    policy.api_keys.clear();
    let certificate = table(&policy).certificate();
    assert_eq!(certificate.total().lines, 10, "{certificate:?}");
    assert_eq!(certificate.limits, 2);
}

/// A segment longer than any in the policy is not hashed, however often it is looked for.
#[test]
fn what_is_too_long_to_match_is_not_hashed() {
    let mut policy = universe::empty();
    policy.routes = vec![universe::route("r", "*", "/{x}/literal")];
    let table = table(&policy);
    let long = format!("/{0}/{0}", "y".repeat(4_000));
    let (_, cost) = trace::of(|| table.route(b"h", b"GET", long.as_bytes()));
    assert_eq!((cost.hashed_bytes, cost.probes), (0, 0));
    let (_, cost) = trace::of(|| table.route(b"h", b"GET", b"/y/literal"));
    assert_eq!((cost.hashed_bytes, cost.probes), (7, 1));
    assert!(cost.is_within(&Cost { hashed_bytes: 7, ..table.certificate().route }));
}
