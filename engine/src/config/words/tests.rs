//! A secret anywhere where none belongs: refused, and in no word that is said about it.

use std::path::Path;

use super::may_be_secret;
use crate::config::{Config, schema};

const BASE: &str =
    "gateway.policy = \"p\"\ngateway.state = \"s\"\ngateway.trust_root = \"/t\"\ngateway.release = \"r\"\n";
const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
/// Each table, as it is written alone and with what must stand in it.
const TABLES: [(&str, &str, &str, bool); 21] = [
    // Within, name, what must stand there, and whether there can be several.
    ("", "gateway", "policy = \"p\", state = \"s\", trust_root = \"t\", release = \"r\"", false),
    ("gateway", "store", "url = \"https://store.example/p\"", false),
    ("", "workers", "cores = [0]", false),
    ("", "dpop", "nonce = true", false),
    ("", "assertions", "rotate = \"1h\"", false),
    ("", "listener", "address = \"127.0.0.1:0\"", true),
    ("listener", "tls", "certificates = [{ chain = \"c\", key = \"k\" }]", false),
    ("tls", "certificates", "chain = \"c\", key = \"k\"", true),
    ("", "certificate_source", "name = \"n\", acme = { directory = \"https://a/d\", agree_to_terms = true }", true),
    ("certificate_source", "openbao", "address = \"https://a:1\", token = \"/dev/null\", role = \"r\"", false),
    ("certificate_source", "acme", "directory = \"https://a/d\", agree_to_terms = true", false),
    ("acme", "external_account", "key_id = \"1\", key = \"/dev/null\"", false),
    ("", "admin", "address = \"127.0.0.1:0\"", false),
    ("", "status", "address = \"127.0.0.1:0\", client_ca = \"c\", tls = { chain = \"c\", key = \"k\" }", false),
    ("status", "tls", "chain = \"c\", key = \"k\"", false),
    ("", "records", "to = \"r\"", false),
    ("records", "checkpoints", "url = \"http://127.0.0.1:1/x\"", true),
    ("", "origin_identity", "name = \"n\", chain = \"c\", key = \"k\"", true),
    ("", "introspection_client", "name = \"n\", id = \"i\", secret = \"/dev/null\"", true),
    ("", "origin_credential", "name = \"n\", file = \"/dev/null\"", true),
    ("origin_credential", "oauth", "token_url = \"https://a/t\", client_id = \"i\", secret = \"/dev/null\"", false),
];
/// Keys that there are in no table, or in another one.
const KEYS: [&str; 12] = [
    "client_secret",
    "password",
    "token_value",
    "mac_key",
    "value",
    "pass",
    "hmac",
    "credential",
    "\"db.password\"",
    "a.b",
    "secret",
    "token",
];
/// The secret in each, and how it is written.
const VALUES: [(&str, &str); 12] = [
    ("hunter2", "\"hunter2\""),
    ("hunter2", "'hunter2'"),
    ("hunter2", "\"\"\"hunter2\"\"\""),
    ("hunter2", "hunter2"),
    ("hunter2", "[\"x\", \"hunter2\"]"),
    ("hunter2", "{ a = \"x\", b = { c = \"hunter2\" } }"),
    ("hunter2", "[{ a = 'hunter2' }]"),
    ("hunter2", "\"https://a/x?token=hunter2\""),
    ("hunter2", "\"a b/c.pem:hunter2\""),
    ("hunter2", "\"a\"hunter2\""),
    ("\\\"hunter", "\"a\\\"hunter\""),
    ("73519482", "73519482"),
];

fn refused(text: &str) -> String {
    Config::parse(Path::new("/etc/adamant/gateway.toml"), text).err().unwrap_or_else(|| panic!("{text}")).to_string()
}

/// A configuration with this table, in one line.
fn with(within: &str, name: &str, table: &str, is_list: bool) -> String {
    let table = if is_list { format!("[{{ {table} }}]") } else { format!("{{ {table} }}") };
    let (_, _, around, is_list) = TABLES.into_iter().find(|(_, of, ..)| *of == within).unwrap_or(("", "", "", false));
    let base = BASE.lines().filter(|line| name != "gateway" && !(name == "store" && line.contains("release")));
    let listener = if name == "listener" || within == "listener" || within == "tls" { "" } else { LISTENER };
    let base = base.collect::<Vec<_>>().join("\n");
    match within {
        "" => format!("{base}\n{name} = {table}\n{listener}"),
        "gateway" => format!("{base}\ngateway.channel = \"c\"\ngateway.{name} = {table}\n{listener}"),
        "tls" => format!("{base}\nlistener = [{{ address = \"127.0.0.1:0\", tls = {{ {name} = {table} }} }}]\n"),
        "acme" => {
            let acme = format!("{{ directory = \"https://a/d\", agree_to_terms = true, {name} = {table} }}");
            format!("{base}\ncertificate_source = [{{ name = \"n\", acme = {acme} }}]\n{listener}")
        }
        _ => {
            let around: Vec<&str> =
                around.split(", ").filter(|of| !of.starts_with(name) && !of.starts_with("acme")).collect();
            let around = format!("{}, {name} = {table}", around.join(", "));
            let around = if is_list { format!("[{{ {around} }}]") } else { format!("{{ {around} }}") };
            format!("{base}\n{within} = {around}\n{listener}")
        }
    }
}

#[test]
fn a_secret_under_a_key_of_any_table_is_told_nowhere() {
    let mut told = 0;
    for (within, name, must, is_list) in TABLES {
        for key in KEYS {
            for (secret, written) in VALUES {
                // The one place where it belongs, of a file.
                let known = schema::keys(within, name).unwrap();
                if known.contains(&key) && (must.contains(key) || written.contains(['{', '?', '['])) {
                    continue;
                }
                for table in [format!("{must}, {key} = {written}"), format!("{key} = {written}, {must}")] {
                    let text = with(within, name, &table, is_list);
                    let said = refused(&text);
                    assert!(!said.contains(secret), "{text}\n{said}");
                    told += 1;
                }
            }
        }
    }
    assert!(told > 5_000, "{told}");
}

#[test]
fn a_secret_in_the_place_of_a_table_or_in_a_url_is_told_nowhere() {
    for (within, name, _, _) in TABLES {
        for written in ["\"hunter2\"", "hunter2", "['hunter2']", "[[\"hunter2\"]]"] {
            let text = with(within, name, "X = 1", false).replace("{ X = 1 }", written);
            assert!(text.contains("hunter2"), "{text}");
            if !matches!(name, "store" | "checkpoints") {
                let said = refused(&text);
                assert!(!said.contains("hunter2"), "{text}\n{said}");
            }
        }
    }
    let gateway = "[gateway]\npolicy = \"p\"\nstate = \"s\"\ntrust_root = \"/t\"\n";
    let of = |more: &str| format!("{gateway}{more}\n{LISTENER}");
    let long = "x".repeat(190);
    for text in [
        of("channel = \"c\"\nstore = \"https://a/x?token=hunter2\""),
        of(&format!("channel = \"c\"\nstore = \"https://a/{long}?token=hunter2\"")),
        of("store = \"https://a/x?hunter2\""),
        of("store = \"https://a/x\\u003fhunter2\""),
        of("channel = \"c\"\nstore = \"https://me:hunter2@a/x\""),
        of("channel = \"c\"\nstore = \"ftp://a/x#hunter2\""),
        of("channel = \"c\"\nstore = { url = \"https://a/x?token=hunter2\" }"),
        of("channel = \"c\"\nstore = { url = \"https://a/x\", password = \"hunter2\" }"),
        of("channel = \"c\"\nstore = { url = \"https://a/x\", chain = \"c.pem\", key = \"hunter2\" }"),
        of("release = \"r\"\n[records]\ncheckpoints = [\"https://w/x?token=hunter2\"]"),
        of("release = \"r\"\n[records]\ncheckpoints = [{ url = \"http://w/x?token=hunter2\" }, 1]"),
        of(
            "release = \"r\"\n[status]\naddress = \"127.0.0.1:0\"\nclient_ca = \"c\"\ntls = { chain = \"c\", key = \"hunter2\" }",
        ),
        of("release = \"r\"\nreleas = 1\nvalue = \"a\"\n[[origin_credential]]\nname = \"k\"\nvalue = \"hunter2\""),
        of("release = \"r\"\n[dpop]\nvalue = \"a\"\nvalue = \"hunter2\""),
        of("release = \"r\"\ndpop = { value = \"a\", value = \"hunter2\" }"),
        of("release = \"r\"\ndpop = { nonce = true, value : \"hunter2\" }"),
        of("release = \"r\"\ndpop = { nonce = true, password : hunter2 }"),
        of("release = \"r\"\ndpop = { nonce = true, value \"hunter2\" }"),
        of("release = \"r\"\ndpop = { nonce = true, \"hunter2\" }"),
        of("release = \"r\"\nstate_identity = \"hunter2"),
        format!("{BASE}dpop = {{ nonce = true, value : \"hunter2\" }}\n{LISTENER}"),
        format!("{BASE}dpop = {{ \"hunter2\" }}\n{LISTENER}"),
        format!("{BASE}dpop = {{ nonce = true, secret = \"a\"hunter2\" }}\n{LISTENER}"),
        format!("{BASE}dpop = {{ value = \"a\"hunter2\", nonce = true }}\n{LISTENER}"),
    ] {
        let said = refused(&text);
        assert!(!said.contains("hunter2"), "{text}\n{said}");
    }
}

/// What says how to mend it is shown.
#[test]
fn what_is_no_secret_is_shown() {
    let of = |more: &str| format!("[gateway]\npolicy = \"p\"\nstate = \"s\"\ntrust_root = \"/t\"\n{more}\n{LISTENER}");
    for (text, shown) in [
        (of("release = \"r\"\nadress = true"), "adress = true"),
        (of("channel = \"C D\"\nstore = \"https://a/x\""), "found \"C D\""),
        (of("channel = \"c\"\nstore = \"https://a/x//y\""), "found \"https://a/x//y\""),
        (of("channel = \"c\"\nstore = { url = \"https://a/x\", key = \"tls/node.key\" }"), "key = \"tls/node.key\""),
        (of("release = \"r\"\n[admin]\naddress = \"10.0.0.1:80\""), "address = \"10.0.0.1:80\""),
        (of("release = \"r\"\n[admin]\naddress = 127.0.0.1:80"), "address = 127.0.0.1:80"),
        (of("release = \"r\"\n[status]\ncert = \"/dev/null\""), "cert = \"/dev/null\""),
    ] {
        let said = refused(&text);
        assert!(said.contains(shown), "{text}\n{said}");
    }
    for path in ["tls/server.key", "server.pem", "./k", "/etc/key", "k", "credential/x", "credential:server.key"] {
        assert!(!may_be_secret(path), "{path}");
    }
    for word in ["hunter2", "root.Sup3r", "Sup3r/x y", "a:b/c", "correct horse"] {
        assert!(may_be_secret(word), "{word}");
    }
}
