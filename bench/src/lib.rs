//! What the benchmarks share: a head of ordinary size and policies of any size.

use policy::model::{Agent, ApiKey, Audit, Identity, Methods, MinimumTransport, Origin, Policy, Proofs, Route, Scope};

/// A request head with eight fields, as an agent sends it.
pub const HEAD: &[u8] = b"GET /orders/12345?page=2 HTTP/1.1\r\n\
    Host: api.example\r\n\
    User-Agent: reports/1.4 (linux)\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip, br\r\n\
    Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyZXBvcnRzLWJvdCJ9.c2lnbmF0dXJl\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    Cache-Control: no-cache\r\n\
    Connection: keep-alive\r\n\r\n";

/// A policy of so many agents, each with an API key, and so many routes in one scope for every hundred.
pub fn policy_of(agents: usize, routes: usize) -> Policy {
    let route = |index: usize| format!("r{index:06}");
    let scope = |index: usize| format!("s{index:04}");
    let scopes = routes.div_ceil(100);
    Policy {
        name: "bench".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: Vec::new(),
        client_cas: Vec::new(),
        origins: vec![Origin {
            name: "o".into(),
            addresses: vec!["127.0.0.1:1".into()],
            tls: None,
            pass_credentials: false,
        }],
        routes: (0..routes)
            .map(|index| Route {
                name: route(index),
                host: "api.example".into(),
                methods: Methods::Any,
                path: format!("/{}/{{id}}", route(index)),
                origin: "o".into(),
                encoded_slash: false,
                path_parameters: false,
            })
            .collect(),
        scopes: (0..scopes)
            .map(|index| Scope {
                name: scope(index),
                routes: (index * 100..routes.min((index + 1) * 100)).map(route).collect(),
            })
            .collect(),
        agents: (0..agents)
            .map(|index| Agent {
                name: format!("agent-{index:06}"),
                identity: vec![Identity::Proofs(Proofs {
                    api_keys: vec![format!("key-{index:06}")],
                    ..Proofs::default()
                })],
                scopes: (0..scopes).map(scope).collect(),
                limits: Vec::new(),
            })
            .collect(),
        api_keys: (0..agents)
            .map(|index| ApiKey { id: format!("key-{index:06}"), sha256: None, expires_s: None })
            .collect(),
    }
}
