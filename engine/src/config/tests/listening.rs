//! Where the gateway listens.

use super::*;

#[test]
fn no_two_listen_at_the_same_place() {
    let status = |at: &str| {
        format!("[status]\naddress = \"{at}\"\ntls = {{ chain = \"c\", key = \"k\" }}\nclient_ca = \"ca\"\n")
    };
    let admin = |at: &str| format!("[admin]\naddress = \"{at}\"\n");
    let with = |listener: &str, more: &str| {
        let listener = format!("[[listener]]\naddress = \"{listener}\"\nplain = \"insecure\"\n");
        format!("{BASE}{listener}{more}")
    };
    for (listener, more, expected) in [
        ("127.0.0.1:80", admin("127.0.0.1:80"), "found 127.0.0.1:80, and the listener has 127.0.0.1:80"),
        ("0.0.0.0:80", admin("127.0.0.1:80"), "found 127.0.0.1:80, and the listener has 0.0.0.0:80"),
        ("127.0.0.1:80", status("[::]:80"), "found [::]:80, and the listener has 127.0.0.1:80"),
        ("127.0.0.1:1", status("0.0.0.0:80") + &admin("127.0.0.1:80"), "and the status listener has 0.0.0.0:80"),
    ] {
        let shown = refused(&with(listener, &more));
        assert!(shown.contains("expected an address that nothing else has") && shown.contains(expected), "{shown}");
        assert!(shown.contains("listener an address of its own"), "{shown}");
    }
    for (listener, more) in [
        ("127.0.0.1:0", admin("127.0.0.1:0") + &status("127.0.0.1:0")),
        ("127.0.0.2:80", admin("127.0.0.1:80")),
        ("[::]:80", admin("127.0.0.1:80")),
    ] {
        assert!(parse(&with(listener, &more)).is_ok(), "{listener} {more}");
    }
}

#[test]
fn challenges_are_answered_where_nothing_else_listens() {
    let with = |challenge: &str, more: &str| {
        let agrees = "agree_to_terms = true";
        let challenged = format!("{agrees}, http_challenge = \"{challenge}\"");
        of_issuers("{ from = \"public\", names = [\"a.example\"] }", more).replace(agrees, &challenged)
    };
    let status =
        |at: &str| format!("[status]\naddress = \"{at}\"\ntls = {{ chain = \"c\", key = \"k\" }}\nclient_ca = \"ca\"");
    let listener = |at: &str| {
        format!("[[listener]]\naddress = \"{at}\"\ntls = {{ certificates = [{{ chain = \"c\", key = \"k\" }}] }}")
    };
    let admin = "[admin]\naddress = \"127.0.0.1:80\"";
    for (challenge, more, has) in [
        ("0.0.0.0:443", String::new(), "the listener has 0.0.0.0:443"),
        ("10.0.0.1:443", String::new(), "the listener has 0.0.0.0:443"),
        ("[::]:443", String::new(), "the listener has 0.0.0.0:443"),
        ("0.0.0.0:80", listener("10.0.0.1:80"), "the listener has 10.0.0.1:80"),
        ("[::1]:80", listener("[::]:80"), "the listener has [::]:80"),
        ("0.0.0.0:80", status("10.0.0.1:80"), "the status listener has 10.0.0.1:80"),
        ("10.0.0.1:80", status("[::]:80"), "the status listener has [::]:80"),
        ("127.0.0.1:80", admin.to_owned(), "the admin listener has 127.0.0.1:80"),
    ] {
        let shown = refused(&with(challenge, &more));
        let expected =
            format!("gateway.toml:14:90: expected an address that nothing else has, found {challenge}, and {has}\n");
        assert!(
            shown.contains(&expected) && shown.contains(&format!("{}^", "^".repeat(challenge.len() + 1))),
            "{shown}"
        );
    }
    for (challenge, more) in [
        ("0.0.0.0:80", String::new()),
        ("10.0.0.1:80", listener("10.0.0.2:80")),
        ("0.0.0.0:80", listener("[::]:80")),
        ("10.0.0.1:80", status("10.0.0.2:80")),
    ] {
        assert!(parse(&with(challenge, &more)).is_ok(), "{challenge} {more}");
    }
}
