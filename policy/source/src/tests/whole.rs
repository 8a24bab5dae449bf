//! Whole policies: the examples, normalisation, the summary.

use policy::model::{
    Algorithm, Audit, CertificateName, Identity, Keys, LimitKind, Methods, MinimumTransport, OnFull, Per, Subject, Unit,
};

use super::{AGENTS_CA, BASE, JWKS, ORDERS, clean, codes, load_text};
use crate::summary;

/// The policy of the design document, with its elisions filled in.
const DESIGN: &str = r#"
[policy]
name = "orders-edge"
audit = "queued"

[[issuer]]
name = "corp"
issuer = "https://id.corp.example"
audience = ["orders-api"]
algorithms = ["ES256", "EdDSA"]
keys = { file = "corp.jwks.json" }
scope_claim = "scope"

[[client_ca]]
name = "agents"
certificates = { file = "agents-ca.pem" }

[[origin]]
name = "orders"
addresses = ["10.0.0.5:8080", "10.0.0.6:8080"]

[[route]]
name = "order-read"
host = "api.corp.example"
methods = ["GET", "HEAD"]
path = "/orders/{id}"
origin = "orders"

[[scope]]
name = "orders:read"
routes = ["order-read"]

[[agent]]
name = "reports-bot"
identity = [
  { certificate = "spiffe://corp.example/reports", ca = "agents", token = { issuer = "corp", subject = "reports-bot" } },
  { api_key = ["reports-1", "reports-2"] },
]
scopes = ["orders:read"]
limits = ["1000/minute burst 50", "20000/hour quota"]

[[agent]]
name = "corp-staff"
identity = [{ token = { issuer = "corp", subject = "*", except = ["mallory"] } }]
scopes = ["orders:read"]
limits = ["60/minute per subject"]

[[api_key]]
id = "reports-1"
sha256 = "D9E9054B8d08f5d9af3748674cc86a96dc315add1e99db2e920378a427fefcd2"
expires = 2027-01-31T00:00:00Z

[[api_key]]
id = "reports-2"
"#;

#[test]
fn the_policy_of_the_design_loads() {
    let loaded = load_text(DESIGN);
    assert_eq!(codes(&loaded), ["weak-alternative"], "a bare API key beside certificate and token");
    let policy = loaded.policy.unwrap();
    assert_eq!(
        (policy.name.as_str(), policy.audit, policy.transport),
        ("orders-edge", Audit::Queued, MinimumTransport::Plain)
    );
    let issuer = &policy.issuers[0];
    assert_eq!(issuer.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
    assert_eq!(issuer.keys, Keys::Pinned { jwks: JWKS.to_owned() });
    assert_eq!((issuer.scope_claim.as_deref(), issuer.leeway_s), (Some("scope"), 0));
    assert_eq!(policy.client_cas[0].certificates, AGENTS_CA);
    assert_eq!(policy.routes[0].methods, Methods::Only(vec!["GET".to_owned(), "HEAD".to_owned()]));
    let [staff, bot] = policy.agents.as_slice() else { panic!("two agents") };
    let Identity::Proofs(proofs) = &bot.identity[0] else { panic!("proofs") };
    let certificate = proofs.certificate.as_ref().unwrap();
    assert_eq!(certificate.name, CertificateName::Spiffe("spiffe://corp.example/reports".to_owned()));
    assert_eq!(proofs.token.as_ref().unwrap().subject, Subject::Exactly("reports-bot".to_owned()));
    let limits: Vec<_> =
        bot.limits.iter().map(|limit| (limit.name.as_str(), limit.kind, limit.count, limit.unit, limit.per)).collect();
    assert_eq!(
        limits,
        [
            ("hour-quota", LimitKind::Quota, 20_000, Unit::Hour, Per::Agent),
            ("minute", LimitKind::Rate { burst: 50 }, 1_000, Unit::Minute, Per::Agent),
        ]
    );
    let Identity::Proofs(proofs) = &staff.identity[0] else { panic!("proofs") };
    assert_eq!(proofs.token.as_ref().unwrap().subject, Subject::AnyBut(vec!["mallory".to_owned()]));
    assert_eq!(staff.limits[0].name, "minute-subject");
    assert_eq!(staff.limits[0].per, Per::Subject { subjects_max: 65_536, on_full: OnFull::Overflow });
    assert_eq!(policy.api_keys[0].expires_s, Some(1_801_353_600));
    assert!(policy.api_keys[0].sha256.as_ref().unwrap().starts_with("d9e9054b8d08"));
    assert_eq!(policy.api_keys[1].sha256, None);
}

#[test]
fn the_example_loads_and_compiles() {
    let policy = clean(ORDERS);
    assert_eq!(policy.transport, MinimumTransport::Tls);
    assert_eq!(policy.issuers[0].leeway_s, 30);
    let anonymous = policy.agents.iter().find(|agent| agent.name == "everybody").unwrap();
    assert!(matches!(anonymous.limits[0].per, Per::Subject { .. }), "counts by client address");
    policy::compile::compile(&policy, [0; 32]).unwrap();
}

#[test]
fn expired_revocation_lists_refuse_unless_the_policy_says_otherwise() {
    let of = |crl: &str| {
        let text = BASE.replace("agents-ca.pem\" }", &format!("agents-ca.pem\" }}\ncrl = {crl}"));
        clean(&text).client_cas.remove(0).crl.unwrap()
    };
    let plain = of("{ watch = \"agents.crl\" }");
    assert_eq!((plain.path.as_str(), plain.enforce_expiration), ("agents.crl", true));
    assert_eq!(of("{ watch = \"agents.crl\", enforce_expiration = true }"), plain);
    assert!(!of("{ watch = \"agents.crl\", enforce_expiration = false }").enforce_expiration);
    assert_eq!(clean(BASE).client_cas[0].crl, None);
}

#[test]
fn the_order_of_tables_means_nothing() {
    for text in [ORDERS, BASE] {
        let mut tables: Vec<&str> = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.get(1..).and_then(|rest| rest.find("\n[")) {
            let (table, after) = rest.split_at(at + 2);
            tables.push(table);
            rest = after;
        }
        tables.push(rest);
        let policy = clean(text);
        tables.reverse();
        assert_eq!(clean(&tables.join("\n")), policy);
        tables.rotate_left(3);
        assert_eq!(clean(&tables.join("\n")), policy);
    }
}

#[test]
fn the_order_of_lists_means_nothing() {
    let shuffled = BASE
        .replace("methods = [\"GET\"]", "methods = [\"PUT\", \"GET\"]")
        .replace("host = \"api.example\"", "host = \"API.Example\"")
        .replace("algorithms = [\"ES256\"]", "algorithms = [\"EdDSA\", \"ES256\"]")
        .replace("[\"60/minute\"]", "[\"60/minute\", \"500/day quota\"]");
    let sorted = BASE
        .replace("methods = [\"GET\"]", "methods = [\"GET\", \"PUT\"]")
        .replace("algorithms = [\"ES256\"]", "algorithms = [\"ES256\", \"EdDSA\"]")
        .replace("[\"60/minute\"]", "[\"500/day quota\", { limit = \"60/minute burst 60\" }]");
    assert_eq!(clean(&shuffled), clean(&sorted));
}

#[test]
fn limits_with_names_and_bounds() {
    let limits =
        "limits = [{ limit = \"1/second per subject\", name = \"slow\", subjects = 100000, on_full = \"deny\" }]";
    let text = BASE.replace("subject = \"*\" } }]", &format!("subject = \"*\" }} }}]\n{limits}"));
    let policy = clean(&text);
    let limit = &policy.agents.iter().find(|agent| agent.name == "staff").unwrap().limits[0];
    assert_eq!(limit.name, "slow");
    assert_eq!(limit.per, Per::Subject { subjects_max: 100_000, on_full: OnFull::Deny });
}

/// What is there and identifies nobody is told apart from what agents are known by.
#[test]
fn only_what_agents_have_is_what_they_are_known_by() {
    let spare = "\n[[api_key]]\nid = \"spare\"\n";
    let found = load_text(&format!("{ORDERS}{spare}"));
    let told = summary(found.policy.as_ref().unwrap()).to_string();
    assert!(told.contains("known by 2 issuers, 1 client CA, 2 of 3 API keys"), "{told}");
    assert!(told.contains("  2 API keys have no sha256: who signs key sets (role keys) says whose it is"), "{told}");
}

#[test]
fn what_a_policy_amounts_to() {
    insta::assert_snapshot!(summary(&clean(ORDERS)).to_string(), @r"
    policy orders-edge: 6 routes to 2 origins in 4 scopes
      5 agents (1 population; `everybody` is anonymous), known by 2 issuers, 1 client CA, 2 API keys
      1 API key has no sha256: who signs key sets (role keys) says whose it is
      10/second burst 20     at most 30 in any second (deploy)
      1000/minute burst 50   at most 1050 in any minute (reports-bot)
      20000/hour quota       at most 20000 in each UTC hour, 40000 in any hour across two (reports-bot)
      30/minute per subject  at most 60 in any minute, for each of 65536 subjects at once and for all further ones together (everybody)
      5000/day quota         at most 5000 in each UTC day, 10000 in any day across two (partner)
      60/minute              at most 120 in any minute (partner)
      60/minute per subject  at most 120 in any minute, for each of 65536 subjects at once and for all further ones together (corp-staff)
    ");
}
