use super::*;
use crate::model::{
    ApiKey, Audit, CertificateProof, ClientCa, Crl, Fetched, Limit, LimitKind, MinimumTransport, OriginTls, Per, Route,
    Scope, TokenProof, Unit,
};

#[test]
fn escapes_are_those_of_json() {
    assert_eq!(
        escaped("a\x1b[2J\u{9b}\u{202e}\u{61c}é\nb\x7f", &['\n']),
        "a\\u001b[2J\\u009b\\u202e\\u061cé\nb\\u007f"
    );
    assert_eq!(escaped("a\r\nb\t", &['\n', '\t']), "a\\u000d\nb\t");
    assert!(matches!(escaped("é — ✓\n", &['\n']), Cow::Borrowed("é — ✓\n")));
}

/// A policy with every kind of text; `change` is given them all, each with its field, in order.
fn policy(change: &mut dyn FnMut(&str) -> String) -> Policy {
    let mut text = |good: &str| change(good);
    let token = TokenProof { issuer: text("corp"), subject: Subject::Exactly(text("bot")), bound: None };
    let population = TokenProof { issuer: text("corp"), subject: Subject::AnyBut(vec![text("bot")]), bound: None };
    let certificate = CertificateProof { name: CertificateName::Dns(text("a.example")), ca: text("fleet") };
    let first = Proofs { certificate: Some(certificate), token: Some(token), api_keys: vec![text("k-1")] };
    let second = Proofs { token: Some(population), ..Proofs::default() };
    let limit = Limit { name: text("minute"), kind: LimitKind::Quota, count: 1, unit: Unit::Minute, per: Per::Agent };
    let fetched = |url| Fetched { url, refresh_s: 10, max_stale_s: 10, ca: None };
    let keys = [
        Keys::Watch { path: text("/keys") },
        Keys::Url(fetched(text("https://a/"))),
        Keys::Discovery(fetched(text("https://b/"))),
        Keys::Pinned { jwks: "{\n}".to_owned() },
    ];
    let issuers = keys.map(|keys| Issuer {
        name: text("corp"),
        issuer: text("https://corp/"),
        audience: vec![text("orders")],
        algorithms: vec![],
        keys,
        introspection: None,
        scope_claim: Some(text("scope")),
        leeway_s: 0,
    });
    let tls = OriginTls {
        ca: "-----BEGIN…\n".to_owned(),
        server_name: Some(text("orders.example")),
        identity: Some(text("gateway")),
    };
    Policy {
        name: text("orders-edge"),
        audit: Audit::Queued,
        transport: MinimumTransport::Plain,
        issuers: issuers.to_vec(),
        client_cas: vec![ClientCa {
            name: text("fleet"),
            certificates: "-----BEGIN…\r\n".to_owned(),
            crl: Some(Crl { path: text("fleet.crl"), enforce_expiration: true }),
        }],
        origins: vec![Origin {
            name: text("orders"),
            addresses: vec![text("10.0.0.5:1")],
            tls: Some(tls),
            pass_credentials: false,
            credential: None,
            assertion: None,
        }],
        routes: vec![Route {
            name: text("read"),
            host: text("api.example"),
            methods: Methods::Only(vec![text("GET")]),
            path: text("/orders"),
            origin: text("orders"),
            encoded_slash: false,
            path_parameters: false,
        }],
        scopes: vec![Scope { name: text("orders:read"), routes: vec![text("read")] }],
        agents: vec![Agent {
            name: text("bot"),
            identity: vec![Identity::Anonymous, Identity::Proofs(first), Identity::Proofs(second)],
            scopes: vec![text("orders:read")],
            limits: vec![limit],
        }],
        api_keys: vec![ApiKey { id: text("k-1"), sha256: Some(text("00")), expires_s: None }],
    }
}

#[test]
fn no_text_of_a_policy_escapes_the_check() {
    let mut count = 0;
    let good = policy(&mut |good| {
        count += 1;
        good.to_owned()
    });
    check(&good).unwrap();
    assert!(count > 35, "{count}");
    for wrong in ["\x1b[2J", "\n", "\u{9b}", "\u{202e}", "\u{200f}", &"x".repeat(PATH_BYTES_MAX + 1)] {
        for place in 0..count {
            let mut at = 0;
            let bad = policy(&mut |good| {
                at += 1;
                if at == place + 1 { format!("{good}{wrong}") } else { good.to_owned() }
            });
            let fault = check(&bad).unwrap_err().to_string();
            assert!(!fault.contains(is_harmful), "{fault:?}");
        }
    }
}

#[test]
fn a_fault_names_its_field() {
    let mut bad = policy(&mut str::to_owned);
    bad.routes[0].host = "a.example\n\x1b[2J".to_owned();
    let fault = check(&bad).unwrap_err();
    assert_eq!((fault.place.as_str(), fault.field), ("route 1 (\"read\")", "host"));
    assert!(fault.to_string().contains(r#"found "a.example\n\u{1b}[2J""#), "{fault}");
    bad.routes[0].host = "a".repeat(CLAIM_BYTES_MAX + 1);
    assert_eq!(check(&bad).unwrap_err().found, "1025 bytes");
}
