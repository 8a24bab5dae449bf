//! Every member of the policy model is compared: each is changed on its own, and the comparison must notice. A member that
//! is added to the model is met here without being named.

use std::collections::BTreeSet;

use policy::compile::compile;
use policy::model::Policy;
use policy::table::Table;
use serde_json::{Value, json};

use crate::{Side, Verdict, diff};

/// Names alone: things are compared by what they are, and whoever refers to them must follow.
const NAMES: [&str; 5] = ["client_cas[].name", "origins[].name", "routes[].name", "scopes[].name", "api_keys[].id"];

/// Lists of things that others refer to, so that none can go alone. What each of them holds is changed on its own.
const REFERRED: [&str; 5] = ["client_cas", "origins", "routes", "scopes", "api_keys"];

/// Each list has something in it, and each member that may be absent is there.
fn full() -> Value {
    let per = json!({ "subject": { "subjects_max": 10, "on_full": "overflow" } });
    let limit = |name: &str, kind: Value, per: &Value| json!({ "name": name, "kind": kind, "count": 5, "unit": "minute", "per": per });
    let keys =
        json!({ "url": { "url": "https://keys.example/", "refresh_s": 60, "max_stale_s": 600, "ca": "system" } });
    let pinned_ca = json!({ "pinned": { "certificates": "-----BEGIN CERTIFICATE-----d" } });
    let discovery = json!({ "url": "https://id.example", "refresh_s": 60, "max_stale_s": 600, "ca": pinned_ca });
    let asked = |name: &str| {
        json!({
            "url": "https://id.example/ask", "ca": "system", "client": "me", "cache_s": 60, "prefix": format!("{name}_"),
            "subject": "sub",
        })
    };
    let issuer = |name: &str, keys: &Value| {
        json!({
            "name": name, "issuer": format!("https://{name}.example"), "audience": ["one", "two"],
            "algorithms": ["ES256"], "keys": keys, "introspection": asked(name), "scope_claim": "scope", "leeway_s": 10,
        })
    };
    let route = |name: &str, path: &str| {
        json!({
            "name": name, "host": "h.example", "methods": { "only": ["GET", "PUT"] }, "path": path, "origin": "o",
            "encoded_slash": true, "path_parameters": true,
        })
    };
    let origin = |name: &str| {
        json!({
            "name": name, "addresses": [format!("{name}.example:1"), format!("{name}.example:2")], "pass_credentials": false,
            "tls": { "ca": "-----BEGIN CERTIFICATE-----b", "server_name": "o.example", "identity": "me" },
            "credential": { "from": "key", "header": "x-key", "value": "{secret}" },
        })
    };
    let token = |subject: Value, bound: &str| json!({ "issuer": "watched", "subject": subject, "bound": bound });
    let proofs = |certificate: Value, token: Value, keys: &[&str]| json!({ "proofs": { "certificate": certificate, "token": token, "api_keys": keys } });
    let certificate = json!({ "name": { "spiffe": "spiffe://x/a" }, "ca": "ca" });
    json!({
        "name": "p", "audit": "queued", "transport": "tls",
        "issuers": [
            issuer("discovery", &json!({ "discovery": discovery })),
            issuer("pinned", &json!({ "pinned": { "jwks": "{}" } })),
            issuer("url", &keys),
            issuer("watched", &json!({ "watch": { "path": "keys.json" } })),
        ],
        "client_cas": [
            {
                "name": "ca", "certificates": "-----BEGIN CERTIFICATE-----a",
                "crl": { "path": "ca.crl", "enforce_expiration": true },
            },
            { "name": "ca2", "certificates": "-----BEGIN CERTIFICATE-----c" },
        ],
        "origins": [origin("o"), origin("o2")],
        "routes": [route("r", "/a/{id}"), route("s", "/b/{rest...}"), route("t", "/d/{id}")],
        "scopes": [{ "name": "one", "routes": ["r", "s"] }, { "name": "two", "routes": ["t"] }],
        "agents": [
            {
                "name": "a", "scopes": ["one"],
                "identity": [proofs(certificate, token(json!({ "exactly": "me" }), "certificate"), &["k", "l"])],
                "limits": [
                    limit("q", json!("quota"), &json!("agent")),
                    limit("r", json!({ "rate": { "burst": 7 } }), &json!("agent")),
                ],
            },
            {
                "name": "b", "scopes": ["one", "two"],
                "identity": [proofs(Value::Null, token(json!({ "any-but": ["you"] }), "dpop"), &[])],
                "limits": [limit("q", json!("quota"), &per)],
            },
        ],
        "api_keys": [
            { "id": "k", "sha256": "aa", "expires_s": 2_000_000_000 },
            { "id": "l", "sha256": "bb", "expires_s": 2_000_000_000 },
        ],
    })
}

/// Values for text that is one of a few words, or names something else.
const WORDS: [&str; 21] = [
    "client_id",
    "durable",
    "best-effort",
    "plain",
    "mtls",
    "ES384",
    "hour",
    "deny",
    "POST",
    "DELETE",
    "any",
    "agent",
    "l",
    "certificate",
    "dpop",
    "pinned",
    "ca2",
    "o2",
    "two",
    "t",
    "/c/{id}",
];

/// What may stand in a place instead.
fn instead(value: &Value) -> Vec<Value> {
    let mut others = match value {
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => vec![json!(number.as_u64().unwrap() + 1)],
        Value::String(text) => {
            [format!("{text}x")].into_iter().chain(WORDS.map(str::to_owned)).map(Value::from).collect()
        }
        Value::Array(list) => vec![list.iter().skip(1).cloned().collect()],
        Value::Object(_) | Value::Null => vec![],
    };
    others.push(json!({ "rate": { "burst": 9 } }));
    others.push(json!({ "subject": { "subjects_max": 9, "on_full": "overflow" } }));
    others.push(Value::Null);
    others.retain(|other| other != value);
    others
}

/// JSON pointers of all members, and how they are called whatever their place in a list.
fn places(value: &Value, pointer: &str, name: &str, found: &mut Vec<(String, String)>) {
    found.push((pointer.to_owned(), name.to_owned()));
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                places(value, &format!("{pointer}/{member}"), &name, found);
            }
        }
        Value::Array(list) => {
            let each = list.iter().enumerate();
            each.for_each(|(at, value)| places(value, &format!("{pointer}/{at}"), &format!("{name}[]"), found));
        }
        _ => {}
    }
}

fn read(value: &Value) -> Option<(Policy, Table<Vec<u8>>)> {
    let policy: Policy = serde_json::from_value(value.clone()).ok()?;
    let table = Table::load(compile(&policy, [0; 32]).ok()?).ok()?;
    Some((policy, table))
}

#[test]
fn no_member_of_a_policy_changes_unnoticed() {
    let old = full();
    let (policy, table) = read(&old).expect("the base is a policy");
    assert_eq!(
        serde_json::to_value(&policy).unwrap(),
        old,
        "a member of the model is missing in the base of this test"
    );
    let mut all = Vec::new();
    places(&old, "", "", &mut all);
    let (mut noticed, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (pointer, name) in all.into_iter().filter(|(_, name)| !NAMES.contains(&name.as_str())) {
        let before = old.pointer(&pointer).unwrap();
        if !before.is_object() {
            names.insert(name.clone());
        }
        for other in instead(before) {
            let mut new = old.clone();
            *new.pointer_mut(&pointer).unwrap() = other.clone();
            let Some((changed, changed_table)) = read(&new) else { continue };
            for (one, another) in
                [((&policy, &table), (&changed, &changed_table)), ((&changed, &changed_table), (&policy, &table))]
            {
                let found = diff(Side { policy: one.0, table: one.1 }, Side { policy: another.0, table: another.1 });
                assert_ne!(found.verdict, Verdict::Same, "{pointer}: {before} and {other}");
            }
            noticed.insert(name.clone());
        }
    }
    let known = NAMES.iter().chain(&REFERRED);
    let known: BTreeSet<&str> = known.copied().chain(noticed.iter().map(String::as_str)).collect();
    let silent: Vec<&str> = names.iter().filter(|name| !known.contains(name.as_str())).map(String::as_str).collect();
    assert_eq!(silent, [""; 0], "no other value of them makes a policy: the test must know one");
}
