//! What to do about a mistake that the TOML reader found: it says what is wrong, and here is what was likely meant.

/// What to write for a key that is missing.
const MISSING: &[(&str, &str)] = &[
    ("gateway", "add [gateway] with policy, state, trust_root, and either release or store and channel"),
    ("policy", "add policy = \"NAME\" under [gateway]: the name that stands in the policy's [policy] table"),
    ("state", "add state = \"/var/lib/adamant\" under [gateway]: a directory for what outlives a restart"),
    ("trust_root", "add trust_root = \"/etc/adamant/trust-root.json\" under [gateway]: whose signatures count"),
    ("address", "add address = \"127.0.0.1:8080\": an IP address and port"),
    ("role", "add role = \"gateway\": the role of the PKI engine that signs, which must allow the names"),
    ("token", "add token = \"FILE\": its first line is a token that may sign with the role, mode 0600"),
    ("directory", "add directory = \"https://…\": the URL of the ACME server's directory"),
    ("certificates", "add certificates = [{ chain = \"FILE\", key = \"FILE\" }]"),
    ("chain", "add chain = \"FILE\": the certificate, then those between it and its CA, as PEM"),
    ("key", "add key = \"FILE\": the private key of the certificate, as PEM, mode 0600"),
    ("name", "add name = \"…\": what the policy's [[origin]] calls it under tls.identity"),
    ("url", "write { url = \"https://…\", ca = \"FILE\" }, or a directory as \"DIR\""),
];
const EXAMPLE: &str = "packaging/gateway.toml is a commented example of every key";

/// The hint for what the TOML reader said; none where that says already what is expected.
pub fn of(message: &str) -> Option<String> {
    // One where several can be.
    if message.starts_with("invalid type: map, expected a sequence") {
        return Some(
            "there can be several of it: write two brackets, as in [[listener]], or a list, [{ … }]".to_owned(),
        );
    }
    if message.starts_with("invalid type: string") && message.ends_with("expected a sequence") {
        return Some("there can be several of it: write it in brackets, [\"…\"]".to_owned());
    }
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("expected ") {
        return None;
    }
    // An address without quotes begins like a number.
    if ["invalid float", "invalid integer", "invalid number"].iter().any(|begin| message.starts_with(begin)) {
        return Some("text stands in quotes, an address too: address = \"127.0.0.1:9901\"".to_owned());
    }
    if message.starts_with("invalid type: ") && message.contains("expected a string") {
        return Some("write it in quotes: a duration such as \"30s\", a name, a path".to_owned());
    }
    let (Some(found), Some(expected)) = (names.first(), names.get(1..)) else { return Some(EXAMPLE.to_owned()) };
    if message.starts_with("missing field") {
        let hint = MISSING.iter().find(|(name, _)| name == found).map_or(EXAMPLE, |(_, hint)| hint);
        return Some(hint.to_owned());
    }
    let near = message.starts_with("unknown ").then(|| policy_source::nearest(found, expected.iter().copied()));
    Some(near.flatten().map_or_else(|| EXAMPLE.to_owned(), |name| format!("did you mean `{name}`?")))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn what_was_likely_meant() {
        for (message, hint) in [
            ("unknown field `adress`, expected one of `address`, `tls`", "did you mean `address`?"),
            ("unknown field `zzz`, expected `address`", "commented example"),
            ("unknown variant `require`, expected one of `off`, `required`", "did you mean `required`?"),
            ("missing field `state`", "state = \"/var/lib/adamant\""),
            ("missing field `gateway`", "add [gateway]"),
            ("invalid type: integer `30`, expected a string", "a duration such as \"30s\""),
            ("invalid float, expected nothing", "address = \"127.0.0.1:9901\""),
            ("invalid type: map, expected a sequence", "[[listener]]"),
            ("invalid type: string \"outside\", expected a sequence", "write it in brackets"),
            ("invalid table header; expected `.`, `]`", "commented example"),
        ] {
            let found = of(message).unwrap_or_default();
            assert!(found.contains(hint), "{message}: {found}");
        }
        assert_eq!(of("expected a duration like \"10s\", found \"ten\""), None);
    }
}
