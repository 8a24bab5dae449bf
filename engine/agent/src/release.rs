//! What a verified release lets an agent do: its scopes, routes, limits, and the proofs that it must show.

use policy::model::{Binding, Identity, Policy, Proofs, Subject};
use policy::target::normalise_host;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::manifest::Manifest;
use policy_release::root::verify_root;
use policy_release::verify::verify_envelope;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::id::{self, Id};
use crate::tls::Target;
use crate::x509;

/// Hosts of routes that one message names.
const HOSTS_TOLD_MAX: usize = 4;

/// What the release grants, as it stands in a profile. For people and tools: the gateway decides by its own release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    pub policy: String,
    pub version: u64,
    pub release: String,
    pub scopes: Vec<String>,
    pub routes: Vec<Route>,
    pub limits: Vec<String>,
    /// The token that goes with the certificate, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// PEM of the CA that its certificate must be under; of all that the release has, where it knows the agent by a token alone.
    pub client_ca: String,
}

impl Granted {
    /// Version and digest of the release; none where a profile names it otherwise.
    pub fn named(&self) -> Option<(u64, Digest)> {
        Some((self.version, self.release.parse().ok()?))
    }
}

/// A route that some scope of the agent holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: String,
    pub host: String,
    pub methods: Vec<String>,
    pub path: String,
}

impl Route {
    /// Whether a GET of this path is for it. Near enough to say what may be the matter; the gateway knows.
    pub fn takes_get(&self, path: &str) -> bool {
        let is_method = self.methods.iter().any(|method| method == "*" || method == "GET");
        let mut asked = path.split(['?', '#']).next().unwrap_or_default().split('/');
        for pattern in self.path.split('/') {
            if pattern.starts_with('{') && pattern.ends_with("...}") {
                return is_method;
            }
            let is_any = pattern.starts_with('{');
            match asked.next() {
                Some(segment) if segment == pattern || (is_any && !segment.is_empty()) => {}
                _ => return false,
            }
        }
        is_method && asked.next().is_none()
    }
}

/// Where routes are, in words, when none of them is at the gateway's host: calls go there by that name, and are all refused.
pub fn elsewhere<R>(gateway: &Target, routes: &[R], host: impl Fn(&R) -> &str) -> Option<String> {
    let mut normal = Vec::new();
    let own = normalise_host(gateway.host.as_bytes(), &mut normal).unwrap_or_default();
    let mut hosts: Vec<&str> = routes.iter().map(host).collect();
    if hosts.is_empty() || hosts.iter().any(|host| *host == "*" || host.as_bytes() == own) {
        return None;
    }
    hosts.sort_unstable();
    hosts.dedup();
    let more = if hosts.len() > HOSTS_TOLD_MAX { ", …" } else { "" };
    hosts.truncate(HOSTS_TOLD_MAX);
    Some(format!(
        "is at {}: they are at {}{more}, and the gateway refuses every call to another host (403)",
        gateway.host,
        hosts.join(", ")
    ))
}

/// A token that the agent must show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub issuer: String,
    pub audience: Vec<String>,
    pub subject: Option<String>,
    /// What it must be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Binding>,
    /// The claim whose scopes narrow those of the agent, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_claim: Option<String>,
}

/// Verifies a release with a trust root, as a gateway would: enough signatures of a release role.
pub fn open(release: &[u8], root: &[u8]) -> Result<(Manifest, String), Fault> {
    let root = verify_root(root).map_err(|fault| Fault::new(format_args!("the trust root: {fault}")))?;
    let wrong = |fault: &dyn std::fmt::Display| Fault::new(format_args!("the release: {fault}"));
    let envelope = Envelope::parse_kind(release, Kind::Release).map_err(|fault| wrong(&fault))?;
    let roles = [Role::ReleaseWider, Role::ReleaseNarrower];
    let verified = verify_envelope(envelope, &root, &roles).map_err(|fault| wrong(&fault))?;
    let running = env!("CARGO_PKG_VERSION").parse().map_err(|fault| wrong(&fault))?;
    let manifest = Manifest::parse(verified.payload(), running).map_err(|fault| wrong(&fault))?;
    Ok((manifest, verified.digest().to_string()))
}

/// The name of this kind under which the release knows an agent's certificate: the only one, or the one that is asked for. Of
/// an agent that is known by a token alone, the one that is asked for, which no agent has.
pub fn id_of(policy: &Policy, agent: &str, asked: Option<&Id>, kind: id::Kind) -> Result<Id, Fault> {
    let proofs = proofs(policy, agent)?;
    if token_alone(&proofs).is_some() {
        let unnamed = || {
            Fault::new(format_args!("the release knows {agent} by a token alone, found no name for its certificate"))
                .help(format_args!(
                    "give it one that no agent of the release has, for the connection alone: --{} {}; and name where tokens come \
                     from: --token-url, --token-file",
                    kind.word(),
                    kind.form().trim_start_matches("dns:")
                ))
        };
        let asked = asked.ok_or_else(unnamed)?;
        return of_nobody(policy, asked).map(|()| asked.clone());
    }
    let mut ids: Vec<Id> = proofs.into_iter().filter_map(named).collect();
    ids.retain(|id| id.kind() == kind);
    let listed = ids.iter().map(Id::to_string).collect::<Vec<_>>().join(", ");
    match (ids.as_slice(), asked) {
        ([], _) => Err(Fault::new(format_args!("the release knows {agent} by no {}", kind.noun())).help(format_args!(
            "certificates of this source need: identity = [{{ certificate = \"{}\", ca = \"…\" }}]",
            kind.form()
        ))),
        (_, Some(asked)) if ids.contains(asked) => Ok(asked.clone()),
        (_, Some(asked)) => Err(Fault::new(format_args!(
            "the release knows {agent} as {listed}, found --{} {}",
            kind.word(),
            asked.name()
        ))
        .help(format_args!("leave --{} away, or name one of these", kind.word()))),
        ([one], None) => Ok(one.clone()),
        (_, None) => Err(Fault::new(format_args!("the release knows {agent} by several ids: {listed}"))
            .help(format_args!("name one with --{}", kind.word()))),
    }
}

/// What the release grants to the holder of a certificate with this name; or of a token, where it knows the agent by that alone.
pub fn granted(policy: &Policy, version: u64, digest: &str, agent: &str, id: &Id) -> Result<Granted, Fault> {
    let all = proofs(policy, agent)?;
    let proofs = match token_alone(&all) {
        Some(proofs) => of_nobody(policy, id).map(|()| proofs)?,
        None => {
            let known = all.into_iter().find(|proofs| named(proofs).as_ref() == Some(id));
            known.ok_or_else(|| Fault::new(format_args!("the release does not know {agent} as {id}")))?
        }
    };
    let found = policy.agents.iter().find(|known| known.name == agent);
    let (scopes, limits) = found.map_or((&[][..], &[][..]), |agent| (&agent.scopes[..], &agent.limits[..]));
    let holds = |route: &str| {
        let own = policy.scopes.iter().filter(|scope| scopes.contains(&scope.name));
        own.flat_map(|scope| &scope.routes).any(|held| held == route)
    };
    let routes = policy.routes.iter().filter(|route| holds(&route.name)).map(|route| Route {
        name: route.name.clone(),
        host: route.host.clone(),
        methods: match &route.methods {
            policy::model::Methods::Any => vec!["*".to_owned()],
            policy::model::Methods::Only(methods) => methods.clone(),
        },
        path: route.path.clone(),
    });
    // For the connection alone, any of them is good.
    let ca = proofs.certificate.as_ref().map(|proof| &proof.ca);
    let client_cas = policy.client_cas.iter().filter(|known| ca.is_none_or(|ca| known.name == *ca));
    let token = proofs.token.as_ref().map(|proof| {
        let issuer = policy.issuers.iter().find(|issuer| issuer.name == proof.issuer);
        Token {
            issuer: issuer.map(|issuer| issuer.issuer.clone()).unwrap_or_default(),
            audience: issuer.map(|issuer| issuer.audience.clone()).unwrap_or_default(),
            subject: match &proof.subject {
                Subject::Exactly(subject) => Some(subject.clone()),
                Subject::AnyBut(_) => None,
            },
            bound: proof.bound,
            scope_claim: issuer.and_then(|issuer| issuer.scope_claim.clone()),
        }
    });
    Ok(Granted {
        policy: policy.name.clone(),
        version,
        release: digest.to_owned(),
        scopes: scopes.to_vec(),
        routes: routes.collect(),
        limits: limits.iter().map(ToString::to_string).collect(),
        token,
        client_ca: client_cas.map(|ca| &*ca.certificates).collect::<Vec<_>>().join("\n"),
    })
}

fn proofs<'p>(policy: &'p Policy, agent: &str) -> Result<Vec<&'p Proofs>, Fault> {
    let found = policy.agents.iter().find(|known| known.name == agent).ok_or_else(|| {
        let mut names: Vec<&str> = policy.agents.iter().take(10).map(|agent| agent.name.as_str()).collect();
        if policy.agents.len() > names.len() {
            names.push("…");
        }
        Fault::new(format_args!("the release knows no agent {agent:?}"))
            .help(format_args!("it knows {}; a new agent needs a new release", names.join(", ")))
    })?;
    let proofs = |identity: &'p Identity| match identity {
        Identity::Proofs(proofs) => Some(proofs),
        Identity::Anonymous => None,
    };
    Ok(found.identity.iter().filter_map(proofs).collect())
}

/// Whether no certificate names the agent, and a token does.
pub fn is_by_token_alone(policy: &Policy, agent: &str) -> bool {
    proofs(policy, agent).is_ok_and(|proofs| token_alone(&proofs).is_some())
}

/// The proofs of an agent that is known by a token alone. A certificate that names nobody may be shown beside it.
fn token_alone<'p>(proofs: &[&'p Proofs]) -> Option<&'p Proofs> {
    let is_named = proofs.iter().any(|proofs| proofs.certificate.is_some());
    let alone = |proofs: &&&Proofs| !is_named && proofs.token.is_some() && proofs.api_keys.is_empty();
    proofs.iter().find(alone).copied()
}

/// Refuses a name that is some agent's: it would be taken for a proof of that one.
fn of_nobody(policy: &Policy, id: &Id) -> Result<(), Fault> {
    let has = |agent: &&policy::model::Agent| {
        proofs(policy, &agent.name)
            .is_ok_and(|proofs| proofs.into_iter().any(|proofs| named(proofs).as_ref() == Some(id)))
    };
    let Some(owner) = policy.agents.iter().find(has) else { return Ok(()) };
    let message =
        format_args!("expected a name that no agent of the release has, found {id}, which is of {}", owner.name);
    Err(Fault::new(message)
        .help("an agent that is known by a token alone has a certificate for the connection; give that another name"))
}

fn named(proofs: &Proofs) -> Option<Id> {
    Id::of_policy(&proofs.certificate.as_ref()?.name)
}

/// Whether a certificate is under the CA that the release believes for this agent.
pub fn believes(granted: &Granted, chain: &[rustls::pki_types::CertificateDer<'_>], now_s: u64) -> Result<(), String> {
    let cas = x509::certificates(granted.client_ca.as_bytes())?;
    x509::holds_under(chain, &cas, now_s).map_err(|error| match error {
        webpki::Error::InvalidSignatureForPublicKey => {
            "one of another CA that has the same name: its signature is by another key".to_owned()
        }
        webpki::Error::UnknownIssuer => "one of another CA".to_owned(),
        other => format!("one that does not hold: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use policy::model::{Agent, CertificateName, CertificateProof, ClientCa, TokenProof};

    use super::*;

    fn policy(names: Vec<CertificateName>) -> Policy {
        let proofs = |name| {
            let certificate = Some(CertificateProof { name, ca: "agents".to_owned() });
            Identity::Proofs(Proofs { certificate, ..Proofs::default() })
        };
        let identity = names.into_iter().map(proofs).collect();
        Policy {
            name: "orders".to_owned(),
            audit: policy::model::Audit::Queued,
            transport: policy::model::MinimumTransport::Mtls,
            issuers: Vec::new(),
            client_cas: Vec::new(),
            origins: Vec::new(),
            routes: Vec::new(),
            scopes: Vec::new(),
            agents: vec![Agent { name: "bot".to_owned(), identity, scopes: Vec::new(), limits: Vec::new() }],
            api_keys: Vec::new(),
        }
    }

    fn by_token() -> Identity {
        let token = TokenProof { issuer: "corp".to_owned(), subject: Subject::Exactly("bot".to_owned()), bound: None };
        Identity::Proofs(Proofs { token: Some(token), ..Proofs::default() })
    }

    #[test]
    fn an_agent_that_is_known_by_a_token_alone_has_a_certificate_that_names_nobody() {
        let spiffe = id::Kind::Spiffe;
        let (other, own) = (spiffe.form().parse::<Id>().unwrap(), "spiffe://corp.example/bot".parse::<Id>().unwrap());
        let mut policy = policy(vec![CertificateName::Spiffe(other.name().to_owned())]);
        policy.agents[0].name = "other".to_owned();
        let ca = |name: &str| ClientCa { name: name.to_owned(), certificates: name.to_owned(), crl: None };
        policy.client_cas = vec![ca("agents"), ca("partners")];
        let (scopes, limits) = (vec!["all".to_owned()], Vec::new());
        policy.agents.push(Agent { name: "bot".to_owned(), identity: vec![by_token()], scopes, limits });
        let told = id_of(&policy, "bot", None, spiffe).unwrap_err();
        assert!(told.to_string().contains("by a token alone") && told.hint().unwrap().contains("--spiffe"), "{told}");
        let told = id_of(&policy, "bot", Some(&other), spiffe).unwrap_err();
        assert!(told.to_string().ends_with("which is of other"), "{told}");
        assert_eq!(id_of(&policy, "bot", Some(&own), spiffe).unwrap(), own);
        let granted = granted(&policy, 1, "", "bot", &own).unwrap();
        assert_eq!((granted.scopes, &*granted.client_ca), (vec!["all".to_owned()], "agents\npartners"));
        assert_eq!(granted.token.unwrap().subject.as_deref(), Some("bot"));
        assert!(is_by_token_alone(&policy, "bot") && !is_by_token_alone(&policy, "other"));
        assert!(
            super::granted(&policy, 1, "", "bot", &other).is_err()
                && super::granted(&policy, 1, "", "other", &own).is_err()
        );
        // Where it shows an API key as well, a profile has nothing to show.
        let Identity::Proofs(proofs) = &mut policy.agents[1].identity[0] else { panic!("it has proofs") };
        proofs.api_keys = vec!["k".to_owned()];
        let told = id_of(&policy, "bot", Some(&own), spiffe).unwrap_err();
        assert!(told.to_string().contains("by no SPIFFE id"), "{told}");
    }

    #[test]
    fn where_routes_are_is_told_when_none_is_at_the_gateway() {
        let told = |gateway: &str, hosts: &[&str]| elsewhere(&gateway.parse().unwrap(), hosts, |host| *host);
        for hosts in [&["*"][..], &["b.example", "a.example"], &[]] {
            assert_eq!(told("https://A.example:8443", hosts), None, "{hosts:?}");
        }
        let found = told("https://localhost:8443", &["b.example", "a.example", "b.example"]).unwrap();
        assert!(found.starts_with("is at localhost: they are at a.example, b.example, and"), "{found}");
        let found = told("https://[::1]", &["e", "d", "c", "b", "a"]).unwrap();
        assert!(found.starts_with("is at [::1]: they are at a, b, c, d, …, and"), "{found}");
    }

    #[test]
    fn a_route_takes_the_paths_of_its_pattern() {
        let takes = |method: &str, pattern: &str, path: &str| {
            let (name, host, methods) = (String::new(), "*".to_owned(), vec![method.to_owned()]);
            Route { name, host, methods, path: pattern.to_owned() }.takes_get(path)
        };
        for (pattern, path) in
            [("/orders/{id}", "/orders/7?x=/y"), ("/", "/"), ("/a/{rest...}", "/a/b/c"), ("/{rest...}", "/")]
        {
            assert!(takes("GET", pattern, path) && takes("*", pattern, path), "{pattern} {path}");
            assert!(!takes("POST", pattern, path));
        }
        for (pattern, path) in
            [("/orders/{id}", "/orders/"), ("/orders/{id}", "/orders/7/x"), ("/a/b", "/a"), ("/a", "/b")]
        {
            assert!(!takes("GET", pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn an_agent_is_known_by_the_name_that_its_source_gives() {
        let (spiffe, dns) = (id::Kind::Spiffe, id::Kind::Dns);
        let names = [spiffe, dns].map(|kind| kind.form().parse::<Id>().unwrap());
        let host = |name: &str| CertificateName::Dns(name.to_owned());
        let both = policy(vec![
            CertificateName::Spiffe(names[0].name().to_owned()),
            host(names[1].name()),
            CertificateName::SpkiSha256("0".repeat(64)),
        ]);
        for (kind, name) in [spiffe, dns].into_iter().zip(&names) {
            assert_eq!(id_of(&both, "bot", None, kind).unwrap(), *name);
            assert_eq!(id_of(&both, "bot", Some(name), kind).unwrap(), *name);
        }
        let other = Id::dns("other.corp.example").unwrap();
        let told = id_of(&both, "bot", Some(&other), dns).unwrap_err();
        assert!(told.to_string().ends_with("found --dns other.corp.example"), "{told}");
        let several = policy(vec![host("a.example"), host("b.example")]);
        let told = id_of(&several, "bot", None, dns).unwrap_err();
        assert!(told.to_string().contains("dns:a.example, dns:b.example"), "{told}");
        assert_eq!(told.hint(), Some("name one with --dns"));
        let told = id_of(&several, "bot", None, spiffe).unwrap_err();
        assert!(told.to_string().contains("by no SPIFFE id") && told.hint().unwrap().contains("spiffe://"), "{told}");
    }
}
