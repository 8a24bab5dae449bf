//! Small policies that compile, made of a few bytes, so that proptest can shrink them.

use policy::compile::{CompileError, compile};
use policy::model::*;
use policy::table::Table;

pub const SCOPES: [&str; 3] = ["x", "y", "z"];
pub const SUBJECTS: [&str; 3] = ["s1", "s2", "s3"];
pub const KEYS: [&str; 2] = ["k1", "k2"];
pub const HOSTS: [&str; 3] = ["*", "h1", "h2"];
pub const SEGMENTS: [&str; 7] = ["a", "b", "fresh", "a%2Fb", "a;p", "fresh%2Fa", "fresh;a"];
const PATHS: [&str; 20] = [
    "/",
    "/a",
    "/{x}",
    "/a/{x}",
    "/{x}/a",
    "/{x}/{y}",
    "/{r...}",
    "/a/{r...}",
    "/{x}/{r...}",
    "/b",
    "/a/b",
    "/a/",
    "/b/{x}",
    "/a%2Fb",
    "/a;p",
    "/{x}/b",
    "/{x}/a/{r...}",
    "/{x}/",
    "/b/{x}/{r...}",
    "/b/a/{x}",
];

/// Host, method and path.
pub type Request = (&'static str, &'static str, String);

/// Every short request that could make a difference.
pub fn requests() -> Vec<Request> {
    let mut paths: Vec<String> = Vec::new();
    let mut level = vec![String::new()];
    for _ in 0..3 {
        level = level.iter().flat_map(|path| SEGMENTS.iter().map(move |segment| format!("{path}/{segment}"))).collect();
        paths.extend(level.clone());
    }
    paths.extend(level.iter().map(|path| format!("{path}/fresh")).collect::<Vec<_>>());
    let open: Vec<String> = paths.iter().map(|path| format!("{path}/")).collect();
    paths.extend(open);
    paths.push("/".to_owned());
    let mut requests = Vec::new();
    for host in ["h1", "h2", "other"] {
        for method in ["GET", "POST", "PURGE", "CONNECT", "OTHER"] {
            requests.extend(paths.iter().map(|path| (host, method, path.clone())));
        }
    }
    requests
}

/// Choices read from bytes; the first of all once they are used up.
pub struct Dice<'b>(pub std::slice::Iter<'b, u8>);

impl Dice<'_> {
    fn below(&mut self, count: u8) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0) % count)
    }

    /// True once in `times`.
    fn one_in(&mut self, times: u8) -> bool {
        self.below(times) == times as usize - 1
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u8)]
    }

    fn some(&mut self, of: &[&str]) -> Vec<String> {
        of.iter().filter(|_| self.one_in(2)).map(|it| (*it).to_owned()).collect()
    }
}

pub fn empty() -> Policy {
    Policy {
        name: "p".into(),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: vec![],
        client_cas: vec![],
        origins: vec![origin("o1"), origin("o2")],
        routes: vec![],
        scopes: vec![],
        agents: vec![],
        api_keys: vec![],
    }
}

pub fn origin(name: &str) -> Origin {
    Origin {
        name: name.into(),
        addresses: vec![format!("{name}:1")],
        tls: None,
        pass_credentials: false,
        credential: None,
        assertion: None,
    }
}

pub fn issuer(name: &str, scope_claim: Option<&str>) -> Issuer {
    Issuer {
        name: name.into(),
        issuer: format!("https://{name}.example"),
        audience: vec!["api".into()],
        algorithms: vec![Algorithm::ES256],
        keys: Keys::Pinned { jwks: "{}".into() },
        introspection: None,
        scope_claim: scope_claim.map(str::to_owned),
        leeway_s: 0,
    }
}

pub fn ca(name: &str) -> ClientCa {
    ClientCa { name: name.into(), certificates: format!("PEM of {name}"), crl: None }
}

/// A policy without limits.
pub fn policy(dice: &mut Dice<'_>) -> Policy {
    let mut policy = empty();
    if dice.one_in(5) {
        policy.transport = MinimumTransport::Mtls;
    }
    if dice.one_in(2) {
        policy.origins[0].assertion = Some(OriginAssertion { audience: "orders".into() });
    }
    for name in ["ca1", "ca2", "ca3"].into_iter().take(2 + dice.below(2)) {
        if !dice.one_in(3) {
            policy.client_cas.push(ca(name));
        }
    }
    for name in ["i1", "i2"] {
        let claim = dice.one(&[None, Some("scope"), Some("scope"), Some("scp")]);
        if !dice.one_in(4) {
            policy.issuers.push(issuer(name, claim));
        }
    }
    for id in KEYS {
        if !dice.one_in(4) {
            policy.api_keys.push(ApiKey { id: id.into(), sha256: None, expires_s: None });
        }
    }
    for number in 0..dice.below(6) {
        policy.routes.push(route(dice, number));
    }
    let routes: Vec<String> = policy.routes.iter().map(|route| route.name.clone()).collect();
    let names: Vec<&str> = routes.iter().map(String::as_str).collect();
    for name in SCOPES {
        if !dice.one_in(5) {
            policy.scopes.push(Scope { name: name.into(), routes: dice.some(&names) });
        }
    }
    for name in ["a1", "a2", "a3", "a4"].into_iter().take(1 + dice.below(4)) {
        let identity = (0..=dice.below(3)).filter_map(|_| identity(dice, &policy)).collect();
        let scopes: Vec<&str> = policy.scopes.iter().map(|scope| scope.name.as_str()).collect();
        policy.agents.push(Agent { name: name.into(), identity, scopes: dice.some(&scopes), limits: vec![] });
    }
    repaired(policy)
}

fn route(dice: &mut Dice<'_>, number: usize) -> Route {
    let methods = match dice.below(5) {
        0 => Methods::Only(vec!["GET".into()]),
        1 => Methods::Any,
        2 => Methods::Only(vec!["POST".into()]),
        3 => Methods::Only(vec!["GET".into(), "POST".into()]),
        _ => Methods::Only(vec!["CONNECT".into(), "PURGE".into()]),
    };
    Route {
        name: format!("r{number}"),
        host: dice.one(&HOSTS).into(),
        methods,
        path: dice.one(&PATHS).into(),
        origin: "o1".into(),
        encoded_slash: dice.one_in(3),
        path_parameters: dice.one_in(3),
    }
}

fn identity(dice: &mut Dice<'_>, policy: &Policy) -> Option<Identity> {
    if dice.one_in(9) {
        return Some(Identity::Anonymous);
    }
    let mut proofs = Proofs::default();
    if dice.one_in(2) && !policy.client_cas.is_empty() {
        let ca = &policy.client_cas[dice.below(policy.client_cas.len() as u8)];
        let name = match dice.below(7) {
            0 => CertificateName::Spiffe("spiffe://c1".into()),
            4 => CertificateName::Spiffe("spiffe://c5".into()),
            1 => CertificateName::Dns("c2".into()),
            2 => CertificateName::SpkiSha256("c3".into()),
            5 => CertificateName::Dns("c6".into()),
            6 => CertificateName::Dns("c7".into()),
            _ => CertificateName::SpkiSha256("c4".into()),
        };
        proofs.certificate = Some(CertificateProof { name, ca: ca.name.clone() });
    }
    if dice.one_in(2) && !policy.issuers.is_empty() {
        let issuer = policy.issuers[dice.below(policy.issuers.len() as u8)].name.clone();
        let subject = match dice.below(4) {
            0 => Subject::AnyBut(if dice.one_in(2) { vec![dice.one(&SUBJECTS).to_owned()] } else { vec![] }),
            number => Subject::Exactly(SUBJECTS[number - 1].into()),
        };
        let bound = dice.one(&[None, None, None, None, Some(Binding::Certificate), Some(Binding::Dpop)]);
        proofs.token = Some(TokenProof { issuer, subject, bound });
    }
    if dice.one_in(3) {
        let ids: Vec<&str> = policy.api_keys.iter().map(|key| key.id.as_str()).collect();
        proofs.api_keys = dice.some(&ids);
    }
    (proofs != Proofs::default()).then_some(Identity::Proofs(proofs))
}

/// Without what keeps it from compiling.
fn repaired(mut policy: Policy) -> Policy {
    loop {
        match compile(&policy, [0; 32]) {
            Ok(_) => return policy,
            Err(CompileError::RoutesOverlap { second, .. }) => {
                policy.routes.retain(|route| route.name != second);
                policy.scopes.iter_mut().for_each(|scope| scope.routes.retain(|route| *route != second));
            }
            Err(
                CompileError::AlternativeShared { second: agent, .. }
                | CompileError::SeveralAnonymous { second: agent, .. }
                | CompileError::ExceptionsDiffer { agent, .. }
                | CompileError::BindingsDiffer { agent, .. },
            ) => policy.agents.retain(|it| it.name != agent),
            Err(other) => panic!("{other}"),
        }
    }
}

/// A policy and its neighbour, both ways, and two that have nothing to do with each other.
pub fn pairs(first: &[u8], second: &[u8], third: &[u8]) -> [(Policy, Policy); 3] {
    let (first, second) = (policy(&mut Dice(first.iter())), policy(&mut Dice(second.iter())));
    let neighbour = mixed(&mut Dice(third.iter()), &first, &second);
    [(first.clone(), neighbour.clone()), (neighbour, first.clone()), (first, second)]
}

/// A neighbour: a few parts taken from another policy.
pub fn mixed(dice: &mut Dice<'_>, first: &Policy, second: &Policy) -> Policy {
    let mut mixed = first.clone();
    for part in 0..9 {
        if !dice.one_in(4) {
            continue;
        }
        match part {
            0 => mixed.transport = second.transport,
            1 => mixed.agents.clone_from(&second.agents),
            2 => mixed.scopes.clone_from(&second.scopes),
            3 => mixed.routes.clone_from(&second.routes),
            4 => drop(mixed.agents.pop()),
            5 => {
                for (agent, other) in mixed.agents.iter_mut().zip(&second.agents) {
                    agent.identity.clone_from(&other.identity);
                }
            }
            6 => {
                for (agent, other) in mixed.agents.iter_mut().zip(second.agents.iter().rev()) {
                    agent.scopes.clone_from(&other.scopes);
                }
            }
            7 => {
                // Two names are exchanged.
                if let [first, .., last] = &mut mixed.agents[..] {
                    std::mem::swap(&mut first.name, &mut last.name);
                    mixed.agents.sort_by(|a, b| a.name.cmp(&b.name));
                }
            }
            _ => mixed.agents.iter_mut().rev().take(1).for_each(|agent| agent.name = "a9".into()),
        }
    }
    resolve(&mut mixed, second);
    repaired(mixed)
}

/// Adds or removes what names refer to.
fn resolve(policy: &mut Policy, other: &Policy) {
    let routes: Vec<String> = policy.routes.iter().map(|route| route.name.clone()).collect();
    policy.scopes.iter_mut().for_each(|scope| scope.routes.retain(|route| routes.contains(route)));
    let scopes: Vec<String> = policy.scopes.iter().map(|scope| scope.name.clone()).collect();
    for agent in &mut policy.agents {
        agent.scopes.retain(|scope| scopes.contains(scope));
    }
    policy
        .client_cas
        .extend(other.client_cas.iter().filter(|ca| !policy.client_cas.contains(ca)).cloned().collect::<Vec<_>>());
    let known: Vec<String> = policy.issuers.iter().map(|issuer| issuer.name.clone()).collect();
    policy.issuers.extend(other.issuers.iter().filter(|issuer| !known.contains(&issuer.name)).cloned());
    let known: Vec<String> = policy.api_keys.iter().map(|key| key.id.clone()).collect();
    policy.api_keys.extend(other.api_keys.iter().filter(|key| !known.contains(&key.id)).cloned());
    policy.client_cas.sort_by(|a, b| a.name.cmp(&b.name));
    policy.issuers.sort_by(|a, b| a.name.cmp(&b.name));
    policy.api_keys.sort_by(|a, b| a.id.cmp(&b.id));
}

pub fn table(policy: &Policy) -> Table<Vec<u8>> {
    Table::load(compile(policy, [7; 32]).unwrap()).unwrap()
}
