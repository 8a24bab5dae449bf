//! Policies of any size, and requests to them.

use policy::compile::compile;
use policy::decide::{Asked, Caller, Grant, Presented};
use policy::model::{
    Agent, Algorithm, Audit, Identity, Issuer, Keys, Limit, LimitKind, Methods, MinimumTransport, Origin, Per, Policy,
    Proofs, Route, Scope, Subject, TokenProof, Unit,
};
use policy::table::{AgentId, IssuerIndex, OriginIndex, Table, TokenProofId, TokenScopes};
use policy::target::Target;

use crate::zipf::{Random, Zipf};

/// Requests that are drawn in advance.
const DRAWN: usize = 1 << 16;
const HOST: &[u8] = b"api.example";

/// The full policy: each agent has a token, a scope that holds every route, and two limits that never refuse here.
pub fn policy_of(agents: usize, routes: usize) -> Policy {
    let issuer = Issuer {
        name: "id".into(),
        issuer: "https://id.example".into(),
        audience: vec!["api".into()],
        algorithms: vec![
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::EdDSA,
            Algorithm::HS256,
        ],
        keys: Keys::Pinned { jwks: r#"{"keys":[]}"#.into() },
        introspection: None,
        scope_claim: None,
        leeway_s: 0,
    };
    let names: Vec<String> = (0..routes).map(route_name).collect();
    let route = |name: &String| Route {
        name: name.clone(),
        host: "api.example".into(),
        methods: Methods::Only(vec!["GET".into(), "HEAD".into()]),
        path: format!("/{name}/{{id}}"),
        origin: "office".into(),
        encoded_slash: false,
        path_parameters: false,
    };
    let limit = |name: &str, kind, unit| Limit { name: name.into(), kind, count: u32::MAX, unit, per: Per::Agent };
    let agent = |id| Agent {
        name: agent_name(id),
        identity: vec![Identity::Proofs(Proofs {
            token: Some(TokenProof { issuer: "id".into(), subject: Subject::Exactly(agent_name(id)), bound: None }),
            ..Proofs::default()
        })],
        scopes: vec!["all".into()],
        limits: vec![
            limit("hour", LimitKind::Quota, Unit::Hour),
            limit("minute", LimitKind::Rate { burst: u32::MAX }, Unit::Minute),
        ],
    };
    Policy {
        name: "bench".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![issuer],
        client_cas: vec![],
        origins: vec![Origin {
            name: "office".into(),
            addresses: vec!["127.0.0.1:9000".into()],
            tls: None,
            pass_credentials: false,
            credential: None,
            assertion: None,
        }],
        routes: names.iter().map(route).collect(),
        scopes: vec![Scope { name: "all".into(), routes: names.clone() }],
        agents: (0..agents).map(agent).collect(),
        api_keys: vec![],
    }
}

/// As the policy spells them; sorted.
pub fn agent_name(id: usize) -> String {
    format!("a{id:07}")
}

fn route_name(id: usize) -> String {
    format!("r{id:06}")
}

/// Which agents and routes requests are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Each as often as any other: the caches of a processor are of little use.
    Even,
    /// Zipf(1.1): few agents and routes make most of the requests.
    Zipf,
}

/// A table, and requests to it that it permits.
pub struct World<B = Vec<u8>> {
    pub table: Table<B>,
    drawn: Vec<(TokenProofId, u32)>,
    next: usize,
    proof: Option<TokenProofId>,
    path: Vec<u8>,
}

impl World {
    pub fn new(agents: usize, routes: usize, mix: Mix) -> Self {
        Self::in_memory(agents, routes, mix, |image| image)
    }
}

impl<B: AsRef<[u8]>> World<B> {
    /// The table's image lies where `place` puts it.
    pub fn in_memory(agents: usize, routes: usize, mix: Mix, place: impl FnOnce(Vec<u8>) -> B) -> Self {
        let table = Table::load(place(compile(&policy_of(agents, routes), [7; 32]).unwrap())).unwrap();
        let mut random = Random(42);
        let zipfs = (mix == Mix::Zipf).then(|| (Zipf::new(agents, 1.1), Zipf::new(routes, 1.1)));
        let drawn = (0..DRAWN).map(|_| {
            let (agent, route) = match &zipfs {
                // What is wanted most does not lie side by side.
                Some((of_agents, of_routes)) => {
                    (spread(of_agents.draw(&mut random), agents), spread(of_routes.draw(&mut random), routes))
                }
                None => (random.below(agents), random.below(routes)),
            };
            let proof = table.proof_token(IssuerIndex(0), agent_name(agent).as_bytes()).unwrap();
            (proof, route as u32)
        });
        let drawn = drawn.collect();
        let mut world = Self { table, drawn, next: 0, proof: None, path: Vec::with_capacity(64) };
        world.draw();
        world
    }

    /// Goes on to the next request: its path is written where a request's always is.
    pub fn draw(&mut self) {
        let (proof, route) = self.drawn[self.next % DRAWN];
        self.next += 1;
        self.proof = Some(proof);
        self.path.clear();
        self.path.extend_from_slice(b"/r");
        let mut digits = 100_000;
        while digits > 0 {
            self.path.push(b'0' + (route / digits % 10) as u8);
            digits /= 10;
        }
        self.path.extend_from_slice(b"/12345");
    }

    /// From the proof that a token is to what allows the request.
    pub fn decide(&self) -> (Caller, Grant, OriginIndex) {
        self.decide_expecting(|_, _| {})
    }

    /// The same; `expect` is told who calls as soon as it is known.
    pub fn decide_expecting(&self, expect: impl FnOnce(&Table<B>, AgentId)) -> (Caller, Grant, OriginIndex) {
        let presented = Presented { token: Some(self.proof), ..Presented::default() };
        let caller = self.table.caller(&presented).unwrap();
        expect(&self.table, caller.agent.unwrap());
        let target = Target { path: &self.path, query: None, encoded_slash: false, path_parameters: false };
        let asked = Asked { method: b"GET", host: HOST, target: Some(&target) };
        let (grant, origin) = self.table.decide(&caller, true, &TokenScopes::everything(), &asked).unwrap();
        (caller, grant, origin)
    }
}

/// A permutation of 0 … `count`, as long as `count` is no multiple of the prime.
fn spread(place: usize, count: usize) -> usize {
    (place * 7_919 + 13) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drawn_request_is_permitted_to_another_agent() {
        for mix in [Mix::Even, Mix::Zipf] {
            let mut world = World::new(1_000, 100, mix);
            let agents: std::collections::BTreeSet<u32> = (0..500)
                .map(|_| {
                    world.draw();
                    world.decide().1.agent.0
                })
                .collect();
            assert!(agents.len() > 50, "{mix:?}: {}", agents.len());
        }
    }

    #[test]
    fn the_policy_costs_ten_lines_at_any_size() {
        let certificate = |agents, routes| World::new(agents, routes, Mix::Even).table.certificate();
        let small = certificate(10, 10);
        assert_eq!(small.total().lines, 10);
        assert_eq!(certificate(10_000, 1_000), small);
    }
}
