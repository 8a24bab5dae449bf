//! Issuers that are asked about opaque tokens: what the language takes, and that no token could go to two of them.

use policy::model::{IntrospectedSubject, Introspection, Keys, ServerCa};

use super::{BASE, codes, load_text};

const ASKED: &str =
    "introspection = { url = \"https://id.example/ask\", ca = \"system\", client = \"gateway\", cache = \"1m\" }";
const KEYS: &str = "algorithms = [\"ES256\"]\nkeys = { file = \"corp.jwks.json\" }";

fn with(instead: &str) -> String {
    BASE.replace(KEYS, instead)
}

/// A second issuer, that an agent uses.
fn second(prefix: &str) -> String {
    let asked = ASKED.replace(" }", &format!("{prefix} }}"));
    format!(
        "\n[[issuer]]\nname = \"other\"\nissuer = \"https://other.example\"\naudience = [\"api\"]\n{asked}\n\n[[agent]]\nname = \
         \"second\"\nidentity = [{{ token = {{ issuer = \"other\", subject = \"x\" }} }}]\nscopes = [\"orders:read\"]\n"
    )
}

#[test]
fn an_issuer_has_keys_or_is_asked_or_both() {
    for (text, has_keys) in [(with(ASKED), false), (with(&format!("{KEYS}\n{ASKED}")), true)] {
        let loaded = load_text(&text);
        assert_eq!(codes(&loaded), [""; 0]);
        let issuer = loaded.policy.unwrap().issuers.remove(0);
        assert_eq!((issuer.keys != Keys::None, !issuer.algorithms.is_empty()), (has_keys, has_keys));
        let expected = Introspection {
            url: "https://id.example/ask".into(),
            ca: Some(ServerCa::System),
            client: "gateway".into(),
            cache_s: 60,
            prefix: None,
            subject: IntrospectedSubject::Sub,
        };
        assert_eq!(issuer.introspection, Some(expected));
    }
    let full = ASKED.replace(" }", ", prefix = \"ory_at_\", subject = \"client_id\" }");
    let asked = load_text(&with(&full)).policy.unwrap().issuers.remove(0).introspection.unwrap();
    assert_eq!((asked.prefix.as_deref(), asked.subject), (Some("ory_at_"), IntrospectedSubject::ClientId));
    assert_eq!(codes(&load_text(&with(""))), ["missing-key", "missing-key"], "neither");
    assert_eq!(codes(&load_text(&with(&format!("algorithms = [\"ES256\"]\n{ASKED}")))), ["keys-missing"]);
}

#[test]
fn what_is_asked_is_bounded_and_verified() {
    for (from, to, code) in [
        ("\"1m\"", "\"0s\"", "out-of-range"),
        ("\"1m\"", "\"2h\"", "out-of-range"),
        ("https://", "http://", "bad-url"),
        ("ca = \"system\", ", "", "missing-key"),
        ("client = \"gateway\", ", "", "missing-key"),
        ("\"gateway\"", "\"The Gateway\"", "bad-name"),
        (" }", ", prefix = \"a.b\" }", "bad-prefix"),
        (" }", ", prefix = \"adm_x\" }", "bad-prefix"),
        (" }", ", prefix = \"ad\" }", "bad-prefix"),
        (" }", ", subject = \"email\" }", "unknown-value"),
        (" }", ", secret = \"x\" }", "unknown-key"),
    ] {
        assert_eq!(codes(&load_text(&with(&ASKED.replace(from, to)))), [code], "{from} {to}");
    }
    let plain = ASKED.replace("https://id.example", "http://127.0.0.1:1").replace("ca = \"system\", ", "");
    assert_eq!(codes(&load_text(&with(&plain))), ["introspection-plain"]);
}

#[test]
fn no_token_could_go_to_two_issuers() {
    let prefixed = |prefix: &str| with(&ASKED.replace(" }", &format!(", prefix = \"{prefix}\" }}")));
    assert_eq!(codes(&load_text(&(with(ASKED) + &second("")))), ["ambiguous-introspection"]);
    assert_eq!(codes(&load_text(&(prefixed("a_") + &second("")))), ["ambiguous-introspection"]);
    assert_eq!(codes(&load_text(&(prefixed("a_") + &second(", prefix = \"a_b_\"")))), ["ambiguous-introspection"]);
    assert_eq!(codes(&load_text(&(prefixed("a_") + &second(", prefix = \"b_\"")))), [""; 0]);
    assert_eq!(codes(&load_text(&(BASE.to_owned() + &second("")))), [""; 0], "one is asked");
}
