//! Small policies and requests that meet in every way, from proptest.

use std::collections::{BTreeMap, BTreeSet};

use policy::binding::Bindings;
use policy::decide::Presented;
use policy::model::{
    Agent, Algorithm, ApiKey, Audit, Binding, CertificateName, CertificateProof, ClientCa, Identity, Issuer, Keys,
    Limit, LimitKind, Methods, MinimumTransport, OnFull, Origin, Per, Policy, Proofs, Route, Scope, Subject,
    TokenProof, Unit,
};
use policy::table::{CaIndex, CertificateNameRef, IssuerIndex, Table};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::naive::{Shown, Token};

pub const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "CONNECT", "TRACE", "PURGE", "MERGE", "get"];
const SUBJECTS: [&str; 5] = ["s0", "s1", "s2", "mallory", ""];
const CERTIFICATES: [&str; 3] = ["c0", "c1", "c2"];

/// A request in words.
#[derive(Clone, Debug)]
pub struct Request {
    pub shown: Shown,
    pub host: String,
    pub method: String,
    pub path: String,
}

pub fn empty() -> Policy {
    let issuer = |name: &str| Issuer {
        name: name.into(),
        issuer: format!("https://{name}.example"),
        audience: vec!["api".into()],
        algorithms: vec![Algorithm::ES256],
        keys: Keys::Pinned { jwks: "{}".into() },
        introspection: None,
        scope_claim: None,
        leeway_s: 0,
    };
    let ca = |name: &str| ClientCa { name: name.into(), certificates: String::new(), crl: None };
    let origin = |name: &str| Origin {
        name: name.into(),
        addresses: vec![],
        tls: None,
        pass_credentials: false,
        credential: None,
        assertion: None,
    };
    Policy {
        name: "universe".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![issuer("i0"), issuer("i1")],
        client_cas: vec![ca("ca0"), ca("ca1")],
        origins: vec![origin("o0"), origin("o1")],
        routes: vec![],
        scopes: vec![],
        agents: vec![],
        api_keys: (0..4).map(|id| ApiKey { id: format!("k{id}"), sha256: None, expires_s: None }).collect(),
    }
}

pub fn route(name: &str, host: &str, path: &str) -> Route {
    Route {
        name: name.into(),
        host: host.into(),
        methods: Methods::Any,
        path: path.into(),
        origin: "o0".into(),
        encoded_slash: false,
        path_parameters: false,
    }
}

pub fn agent(name: &str, identity: Vec<Identity>, scopes: Vec<String>) -> Agent {
    Agent { name: name.into(), identity, scopes, limits: vec![] }
}

/// A policy that compiles, with `scopes` scopes.
pub fn policy(scopes: usize) -> impl Strategy<Value = Policy> {
    let routes = vec(any_route(), 0..14);
    let agents = vec((vec(any_proofs(), 0..4), vec(any::<Index>(), 0..6), any_limits()), 0..7);
    let memberships = vec((any::<Index>(), any::<Index>()), 0..50);
    let excepted = vec(subsequence(SUBJECTS.to_vec(), 0..3), 2);
    let anonymous = option::of(any::<Index>());
    (routes, agents, memberships, excepted, anonymous).prop_map(
        move |(routes, agents, members, excepted, anonymous)| {
            let mut policy = empty();
            policy.routes = disjoint(routes);
            policy.scopes = (0..scopes).map(|id| Scope { name: format!("scope{id:04}"), routes: vec![] }).collect();
            for (scope, route) in members {
                if !policy.routes.is_empty() && !policy.scopes.is_empty() {
                    let route = route.get(&policy.routes).name.clone();
                    policy.scopes[scope.index(scopes)].routes.push(route);
                }
            }
            let mut taken = BTreeSet::new();
            for (number, (identity, scopes_of, limits)) in agents.into_iter().enumerate() {
                let identity = identity.into_iter().filter_map(|proofs| untaken(proofs, number, &excepted, &mut taken));
                let names = scopes_of.iter().filter(|_| scopes > 0).map(|id| format!("scope{:04}", id.index(scopes)));
                let mut agent = agent(&format!("agent{number}"), identity.collect(), names.collect());
                agent.limits = limits;
                policy.agents.push(agent);
            }
            if let Some(index) = anonymous.filter(|_| !policy.agents.is_empty()) {
                let index = index.index(policy.agents.len());
                policy.agents[index].identity.push(Identity::Anonymous);
            }
            policy
        },
    )
}

pub fn request() -> impl Strategy<Value = Request> {
    let certificates = subsequence(every_certificate(), 0..3);
    let scopes = option::of(vec((0_usize..700).prop_map(|id| format!("scope{id:04}")), 0..40));
    let few = option::of(vec((0_usize..8).prop_map(|id| format!("scope{id:04}")), 0..6));
    let bound = select(&Bindings::ALL[..]);
    let token = (select(&["i0", "i1"][..]), select(&SUBJECTS[..]), prop_oneof![scopes, few], bound).prop_map(
        |(issuer, subject, scopes, bound)| Token { issuer: issuer.into(), subject: subject.into(), scopes, bound },
    );
    let api_key = option::of((0..6).prop_map(|id| format!("k{id}")));
    let shown = (certificates, option::of(token), api_key).prop_map(|(certificates, token, api_key)| Shown {
        certificates,
        token,
        api_key,
    });
    let host = select(&["a.example", "b.example", "c.example", "*", ""][..]);
    let path = vec(select(&["a", "b", "zz", ""][..]), 1..6).prop_map(|segments| format!("/{}", segments.join("/")));
    (shown, host, select(&METHODS[..]), path).prop_map(|(shown, host, method, path)| Request {
        shown,
        host: host.into(),
        method: method.into(),
        path,
    })
}

/// Requests made from these, but with proofs, or host and path, that some agent or route asks for.
pub fn aimed(policy: &Policy, requests: &[Request]) -> Vec<Request> {
    let sets: Vec<&Proofs> = policy
        .agents
        .iter()
        .flat_map(|agent| &agent.identity)
        .filter_map(|identity| if let Identity::Proofs(proofs) = identity { Some(proofs) } else { None })
        .collect();
    let aimed = requests.iter().enumerate().map(|(number, request)| {
        let mut request = request.clone();
        if let Some(proofs) = sets.get(number % (sets.len() + 1)) {
            request.shown = shown(proofs, request.shown);
        }
        if let Some(route) = policy.routes.get((number / 3) % (policy.routes.len() + 1)) {
            if route.host != "*" {
                request.host = route.host.clone();
            }
            request.path = route.path.replace("{x}", "a").replace("{rest...}", "zz/");
            request.method = if number % 2 == 0 { "GET".into() } else { request.method };
        }
        request
    });
    aimed.collect()
}

/// The proofs that the table knows of what is shown.
pub fn presented<B: AsRef<[u8]>>(policy: &Policy, table: &Table<B>, shown: &Shown) -> Presented {
    let mut presented = Presented::default();
    for (place, (ca, name)) in presented.certificate.iter_mut().zip(&shown.certificates) {
        let ca = policy.client_cas.iter().position(|other| other.name == *ca).unwrap();
        *place = table.proof_certificate(CaIndex(ca as u16), CertificateNameRef::from(name));
    }
    presented.token = shown.token.as_ref().map(|token| {
        let issuer = policy.issuers.iter().position(|other| other.name == token.issuer).unwrap();
        table.proof_token(IssuerIndex(issuer as u16), token.subject.as_bytes())
    });
    presented.bound = shown.token.as_ref().map_or(Bindings::NONE, |token| token.bound);
    presented.api_key = shown.api_key.as_ref().map(|id| {
        let found = table.proof_api_key(id.as_bytes());
        let declared = policy.api_keys.iter().position(|key| key.id == *id);
        assert_eq!(found.map(|(index, _)| index.index()), declared);
        found.map(|(_, proof)| proof)
    });
    presented
}

/// Exactly these proofs; what they leave open is taken from `other`.
fn shown(proofs: &Proofs, other: Shown) -> Shown {
    let certificates = proofs.certificate.iter().map(|proof| (proof.ca.clone(), proof.name.clone())).collect();
    let token = proofs.token.as_ref().map(|proof| {
        let left = other.token.unwrap_or(Token {
            issuer: String::new(),
            subject: "anybody".into(),
            scopes: None,
            bound: Bindings::NONE,
        });
        let subject = match &proof.subject {
            Subject::Exactly(subject) => subject.clone(),
            Subject::AnyBut(_) => left.subject,
        };
        let bound = if subject.len() % 2 == 0 { Bindings::of(proof.bound) } else { left.bound };
        Token { issuer: proof.issuer.clone(), subject, scopes: left.scopes, bound }
    });
    Shown { certificates, token, api_key: proofs.api_keys.last().cloned() }
}

fn any_route() -> impl Strategy<Value = (String, Methods, String)> {
    let segment = select(&["a", "b", "{x}"][..]);
    let last = select(&["a", "b", "{x}", "{rest...}", ""][..]);
    let path = (vec(segment, 0..4), last)
        .prop_map(|(segments, last)| format!("/{}", segments.into_iter().chain([last]).collect::<Vec<_>>().join("/")));
    let only = btree_set(select(&METHODS[..]), 1..3)
        .prop_map(|methods| Methods::Only(methods.into_iter().map(Into::into).collect()));
    let methods = prop_oneof![Just(Methods::Any), only];
    (select(&["a.example", "b.example", "*"][..]).prop_map(Into::into), methods, path)
}

/// Keeps of the routes with one host and path those that admit no method in common.
fn disjoint(routes: Vec<(String, Methods, String)>) -> Vec<Route> {
    let mut admitted: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    let mut kept = Vec::new();
    for (host, methods, path) in routes {
        let admits = METHODS.into_iter().filter(|method| match &methods {
            Methods::Any => !["CONNECT", "TRACE"].contains(method),
            Methods::Only(names) => names.iter().any(|name| name == method),
        });
        let admits: BTreeSet<&str> = admits.collect();
        let before = admitted.entry((host.clone(), path.clone())).or_default();
        if before.is_disjoint(&admits) {
            before.extend(admits);
            let mut route = route(&format!("route{:02}", kept.len()), &host, &path);
            route.methods = methods;
            route.origin = format!("o{}", kept.len() % 2);
            kept.push(route);
        }
    }
    kept
}

fn every_certificate() -> Vec<(String, CertificateName)> {
    let names = CERTIFICATES.iter().flat_map(|name| {
        let name = (*name).to_owned();
        [CertificateName::Spiffe(name.clone()), CertificateName::Dns(name.clone()), CertificateName::SpkiSha256(name)]
    });
    names.flat_map(|name| [("ca0".to_owned(), name.clone()), ("ca1".to_owned(), name)]).take(6).collect()
}

/// The same wherever the token stands, as a policy needs it.
fn bound(issuer: &str, subject: &str) -> Option<Binding> {
    match (issuer, subject) {
        ("i0", "s1") | ("i1", "*") => Some(Binding::Certificate),
        ("i1", "s2") => Some(Binding::Dpop),
        _ => None,
    }
}

fn any_proofs() -> impl Strategy<Value = Proofs> {
    let certificate =
        option::of(select(every_certificate())).prop_map(|proof| proof.map(|(ca, name)| CertificateProof { name, ca }));
    let subject = select(&["s0", "s1", "s2", "*"][..]);
    let token = option::of((select(&["i0", "i1"][..]), subject)).prop_map(|proof| {
        proof.map(|(issuer, subject)| TokenProof {
            issuer: issuer.into(),
            subject: if subject == "*" { Subject::AnyBut(vec![]) } else { Subject::Exactly(subject.into()) },
            bound: bound(issuer, subject),
        })
    });
    let api_keys = prop_oneof![Just(vec![]), subsequence(vec!["k0".to_owned(), "k1".into(), "k2".into()], 0..3)];
    (certificate, token, api_keys).prop_map(|(certificate, token, api_keys)| Proofs { certificate, token, api_keys })
}

/// A set of proofs that no other agent has, with the exceptions of its issuer.
fn untaken(
    mut proofs: Proofs,
    agent: usize,
    excepted: &[Vec<&str>],
    taken: &mut BTreeSet<(String, usize)>,
) -> Option<Identity> {
    if let Some(TokenProof { issuer, subject: Subject::AnyBut(names), .. }) = &mut proofs.token {
        *names = excepted[usize::from(issuer == "i1")].iter().map(|name| (*name).to_owned()).collect();
    }
    let keys = std::mem::take(&mut proofs.api_keys);
    let one = |key: &str| format!("{:?} {:?} {key}", proofs.certificate, proofs.token);
    let wanted: Vec<String> = if keys.is_empty() { vec![one("")] } else { keys.iter().map(|key| one(key)).collect() };
    let others = |set: &String| taken.iter().any(|(other, owner)| other == set && *owner != agent);
    if (proofs == Proofs::default() && keys.is_empty()) || wanted.iter().any(others) {
        return None;
    }
    taken.extend(wanted.into_iter().map(|set| (set, agent)));
    proofs.api_keys = keys;
    Some(Identity::Proofs(proofs))
}

fn any_limits() -> impl Strategy<Value = Vec<Limit>> {
    let kind = prop_oneof![(1_u32..100).prop_map(|burst| LimitKind::Rate { burst }), Just(LimitKind::Quota)];
    let on_full = select(&[OnFull::Overflow, OnFull::Deny][..]);
    let subjects = (1_u32..1000, on_full).prop_map(|(subjects_max, on_full)| Per::Subject { subjects_max, on_full });
    let unit = select(&[Unit::Second, Unit::Minute, Unit::Hour, Unit::Day][..]);
    vec((kind, 1_u32..2000, unit, prop_oneof![Just(Per::Agent), subjects]), 0..4).prop_map(|limits| {
        let named = limits.into_iter().enumerate();
        named.map(|(id, (kind, count, unit, per))| Limit { name: format!("l{id}"), kind, count, unit, per }).collect()
    })
}
