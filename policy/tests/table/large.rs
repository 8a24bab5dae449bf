//! A large policy: builds in seconds, stays small, and costs no more a decision than a small one.

#![expect(clippy::disallowed_methods, reason = "a test may look at the clock to say how long a build took")]

use std::time::Instant;

use policy::compile::compile;
use policy::decide::{Caller, Presented};
use policy::model::{
    CertificateName, CertificateProof, Identity, Limit, LimitKind, Methods, Per, Policy, Proofs, Scope, Subject,
    TokenProof, Unit,
};
use policy::table::{AgentId, CaIndex, CertificateNameRef, IssuerIndex, RouteId, Table, TokenScopes};

use crate::universe::{agent, empty, route};

/// Half the agents have a certificate, half a token; each has three of `scopes` scopes and a limit; each route has
/// two scopes and four segments under one of a hundred hosts.
fn policy(agents: usize, routes: usize, scopes: usize) -> Policy {
    let mut policy = empty();
    policy.routes = (0..routes)
        .map(|id| {
            let path = format!("/v1/resource-{}/{{id}}/part-{}", id / 100 % 1_000, id / 100_000);
            let mut route = route(&format!("route-{id:06}"), &format!("api-{:02}.corp.example", id % 100), &path);
            route.methods = Methods::Only(vec!["GET".into(), "HEAD".into()]);
            route
        })
        .collect();
    policy.scopes = (0..scopes).map(|id| Scope { name: format!("scope-{id:04}"), routes: vec![] }).collect();
    for id in 0..routes {
        policy.scopes[id % scopes].routes.push(format!("route-{id:06}"));
        policy.scopes[id * 7 % scopes].routes.push(format!("route-{id:06}"));
    }
    policy.agents = (0..agents)
        .map(|id| {
            let name = format!("agent-{id:07}");
            let mut proofs = Proofs::default();
            if id % 2 == 0 {
                let spiffe = CertificateName::Spiffe(format!("spiffe://corp.example/{name}"));
                proofs.certificate = Some(CertificateProof { name: spiffe, ca: "ca0".into() });
            } else {
                proofs.token =
                    Some(TokenProof { issuer: "i0".into(), subject: Subject::Exactly(name.clone()), bound: None });
            }
            let scopes = [id, id * 13, id / 7].map(|scope| format!("scope-{:04}", scope % scopes)).to_vec();
            let mut agent = agent(&name, vec![Identity::Proofs(proofs)], scopes);
            let kind = LimitKind::Rate { burst: 50 };
            agent.limits =
                vec![Limit { name: "1000/minute".into(), kind, count: 1000, unit: Unit::Minute, per: Per::Agent }];
            agent
        })
        .collect();
    policy
}

fn built(policy: &Policy) -> Table<Vec<u8>> {
    let start = Instant::now();
    let image = compile(policy, [5; 32]).unwrap();
    let compiled = start.elapsed();
    let table = Table::load(image).unwrap();
    println!(
        "{} agents, {} routes, {} scopes: {:.1} MB, compiled in {compiled:.1?}, loaded in {:.1?}, {:?}",
        policy.agents.len(),
        policy.routes.len(),
        policy.scopes.len(),
        table.image().len() as f64 / 1e6,
        start.elapsed() - compiled,
        table.certificate(),
    );
    table
}

#[test]
fn a_hundred_thousand_agents_and_ten_thousand_routes() {
    let large = policy(100_000, 10_000, 400);
    let table = built(&large);
    assert!(table.image().len() < 18_000_000, "more than what an agent's line and its names take");
    for id in [0, 1, 49_999, 99_998, 99_999_usize] {
        let name = format!("agent-{id:07}");
        let mut presented = Presented::default();
        if id % 2 == 0 {
            let spiffe = format!("spiffe://corp.example/{name}");
            presented.certificate[0] = table.proof_certificate(CaIndex(0), CertificateNameRef::Spiffe(&spiffe));
        } else {
            presented.token = Some(table.proof_token(IssuerIndex(0), name.as_bytes()));
        }
        let caller = table.caller(&presented).unwrap();
        assert_eq!(caller, Caller { agent: Some(AgentId(id as u32)), population: false });
        // A route of the agent's first scope.
        let wanted = id % 400;
        let host = format!("api-{:02}.corp.example", wanted % 100);
        let path = format!("/v1/resource-{}/42/part-0", wanted / 100);
        let route = table.route(host.as_bytes(), b"GET", path.as_bytes()).unwrap();
        assert_eq!(route, RouteId(wanted as u32));
        let grant = table.grant(&caller, &TokenScopes::everything(), route).unwrap();
        assert_eq!(grant.agent, AgentId(id as u32));
    }
    let small = built(&policy(20, 1_000, 10)).certificate();
    assert_eq!(table.certificate(), small, "the cost does not grow with size");
}

#[test]
fn as_many_routes_and_scopes_as_there_may_be() {
    let table = built(&policy(1_000, policy::bounds::ROUTES_MAX, policy::bounds::SCOPES_MAX));
    let last = table.route(b"api-35.corp.example", b"HEAD", b"/v1/resource-655/x/part-0");
    assert_eq!(last, Some(RouteId(65_535)));
}

/// Half a minute: with `tests/run --full` alone.
#[test]
fn as_many_agents_as_there_may_be() {
    if std::env::var_os("FULL").is_none() {
        println!("skipped: only with tests/run --full");
        return;
    }
    let table = built(&policy(policy::bounds::AGENTS_MAX, policy::bounds::ROUTES_MAX, policy::bounds::SCOPES_MAX));
    assert_eq!(table.agent("agent-0999999"), Some(AgentId(999_999)));
}
