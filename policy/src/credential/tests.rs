use super::*;

const KEY: &str = "MC4CAQAwBQYDK2VwBCIEIAfWKvN0pzkNx9TlQmZr7Yc2Hb5uWd8Ee1GgRrTtVvXx";
const API_KEY: &str = "adm_partner-1_4f9KzQ2mX7bNcV5tLrYpW8hJgD3sAeUoEiRk6Pz1TnMq0BxC";
const IDENTITY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyYiJ9.c2lnbmF0dXJlLW9mLXRoaXM";

#[test]
fn files_are_known_by_their_look() {
    for (text, kind) in [
        (format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n"), Some("a private key (PEM)")),
        (
            format!("# x\nadamant-ed25519:AAAA\n-----BEGIN PRIVATE KEY-----\n{KEY}\n"),
            Some("a private key of Adamant (of a signer or a node)"),
        ),
        (format!("-----BEGIN CERTIFICATE-----\n{KEY}\n"), Some("a certificate (PEM)")),
        (format!("{API_KEY}\n"), Some("an API key")),
        (TOKEN.to_owned(), Some("a token (JWT)")),
        ("hvs.CAESIJ4Y8cVqOUzK9mWkXbPqLr".to_owned(), Some("a token")),
        (format!("# public key: age1x\n{IDENTITY}\n"), Some("an age identity")),
        (format!("{KEY}\n{KEY}\n"), Some("a text in base64")),
        (
            "{\"payload\":\"e30=\",\"payloadType\":\"application/vnd.adamant.release.v1+json\"}".into(),
            Some("a release"),
        ),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}".into(), Some("a JWK or JWK Set")),
        ("[gateway]\nstate = \"x\"\n".into(), Some("a gateway's configuration")),
        ("# ours\n[policy]\nname = \"x\"\n".into(), Some("a policy source")),
        (" \n".into(), Some("nothing")),
        ("correct horse battery staple\n".into(), None),
    ] {
        assert_eq!(kind_of(text.as_bytes()), kind, "{text}");
    }
    assert_eq!(kind_of(&[0x30, 0x82, 0xff, 0xff]), Some("a certificate or key (DER)"));
}

#[test]
fn credentials_in_a_text_are_covered_and_nothing_moves() {
    for secret in [
        API_KEY.to_owned(),
        TOKEN.to_owned(),
        KEY.to_owned(),
        "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0".to_owned(),
        "hvs.CAESIJ4Y8cVqOUzK9mWkXbPqLr".to_owned(),
        "Jk1P5zdOaowoiLMZUoc".to_owned(),
        IDENTITY.to_owned(),
    ] {
        for (before, after) in [("id = \"", "\"\nx = 1\n"), ("a = 1\n", "\nb = 2\n"), ("x = [\"a\", \"", "\"] # é\n")]
        {
            let text = format!("{before}{secret}{after}");
            let covered = Covered::of(&text);
            let shown = covered.text();
            assert!(!shown.contains(&secret[..10]), "{shown}");
            assert_eq!(shown, format!("{before}{}{after}", "*".repeat(secret.len())));
            let message = format!("`{}…` is not a name", &secret[..12]);
            assert_eq!(covered.message(&message), format!("`{COVER}…` is not a name").as_str());
        }
    }
    let block = format!("a = \"\"\"-----BEGIN PRIVATE KEY-----\n{KEY}\nabc=\n-----END PRIVATE KEY-----\"\"\"\nb = 2\n");
    let shown = Covered::of(&block).text().into_owned();
    assert!(!shown.contains("abc=") && !shown.contains(KEY) && shown.ends_with("\"\"\"\nb = 2\n"), "{shown}");
    let line = format!("a = \"-----BEGIN PRIVATE KEY-----\\n{KEY}\\n-----END PRIVATE KEY-----\"\n");
    assert!(!Covered::of(&line).text().contains("MC4"), "{line}");
    for (line, shown) in [
        ("DB_PASSWORD=tr0ub4dor", "DB_PASSWORD=*********"),
        ("client_secret = \"x y\"", "client_secret = *****"),
        ("TOKEN=abc", "TOKEN=***"),
        ("file = sk-live-0123456789", "file = ******************"),
        ("file=9f8e7d6c5b4a3928 # ours", "file=**************** # ours"),
        ("x = { file = sk-live-0123456789 }", "x = { file = ****************** }"),
        ("x = , sk-live-0123456789", "x = , sk-live-0123456789"),
        ("bytes_max = 12345678901234567890", "bytes_max = 12345678901234567890"),
        (
            "s = { url = \"u\", token = \"root:Pw!\", ca = \"c\" }",
            "s = { url = \"u\", token = \"********\", ca = \"c\" }",
        ),
        ("x = { id = \"i\", secret='pw' }", "x = { id = \"i\", secret='**' }"),
        ("x = { token = \"store.token\", y = 1 }", "x = { token = \"store.token\", y = 1 }"),
        ("url = \"https://me:pw@host/x\"", "url = \"https://*****@host/x\""),
        ("x = { id = 1, client_secret = \"pw\", y = 1 }", "x = { id = 1, client_secret = \"**\", y = 1 }"),
        ("x = { a.'db-password' : pw, y = 1 }", "x = { a.'db-password' : **, y = 1 }"),
        ("x = [{ token_value = 1 }, { mac_secret = 'a b' }]", "x = [{ token_value = 1 }, { mac_secret = '***' }]"),
    ] {
        assert_eq!(Covered::of(line).text(), shown);
    }
    let padded = Covered::of("id = \"66zy2JLr3LbNNyT6x5s=\"").message("`66zy2JLr3LbNNyT6x5s=` is no name").into_owned();
    assert_eq!(padded, format!("`{COVER}=` is no name"));
    let hint = Covered::of("DB_PASSWORD=tr0ub4dor&3").message("write `\"tr0ub4dor&3\"`").into_owned();
    assert_eq!(hint, format!("write `\"{COVER}\"`"));
    assert_eq!(known(&format!("found {API_KEY:?} here")), format!("found \"{COVER}\" here"));
    assert_eq!(known("found \"http://u:pw@h:1\""), format!("found \"http://{COVER}@h:1\""));
}

#[test]
fn what_belongs_into_a_policy_is_shown() {
    for line in [
        "name = \"spki-sha256:Jk1P5zdOaowoiLMZUocMC4CAQAwBQYDK2VwBCIEIAfWKvN0\"",
        "sha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
        "release = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
        "key = \"adamant-ed25519:MC4CAQAwBQYDK2VwBCIEIAfWKvN0pzkNx9TlQmZr7Yc\"",
        "certificates = { file = \"/tmp/.tmpAbC12d/Certificates/agents-CA.pem\" }",
        "identity = [{ api_key = [\"reports-1\"] }, { token = { issuer = \"corp\", subject = \"A1B2\" } }]",
        "request = \"GET https://api.example/orders/7?filter=OpenOrdersOfAllCustomers\"",
        "path = \"/orders/{customerIdentifier}/Shipments2024/{rest...}\"",
        "description = \"https://wiki.example/x and write to adm_ops@example\"",
        "name = \"018f6b2e-7c1d-7a3b-9e55-0242ac120002\"",
    ] {
        assert_eq!(Covered::of(line).text(), line);
        assert_eq!(known(line), line);
    }
}
