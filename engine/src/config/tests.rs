//! The documented example parses; every mistake is told where it stands, with what to do.

use std::path::Path;

use super::*;

mod listening;

const EXAMPLE: &str = include_str!("../../../packaging/gateway.toml");
const BASE: &str = "[gateway]\npolicy = \"p\"\nstate = \"s\"\nrelease = \"r\"\ntrust_root = \"/t\"\n";
const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/adamant/gateway.toml"), text)
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_documented_example_parses_with_its_defaults() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.policy, "orders-edge");
    assert_eq!(config.settings.timeouts, proxy::settings::Timeouts::default());
    assert_eq!(config.settings.bounds, proxy::settings::Bounds::default());
    assert!(config.digest.starts_with("sha256:") && config.digest.len() == 71);
}

/// What is commented out as "what holds without it" must be just that.
#[test]
fn the_documented_defaults_are_the_defaults() {
    let commented = |line: &str| line.starts_with("# ") && line.contains(" = ") && !line.contains("# example");
    let mut text = String::new();
    let mut in_example = false;
    for line in EXAMPLE.lines() {
        in_example = if line.starts_with("# [[") { true } else { in_example && line.starts_with("# ") };
        let shown = if commented(line) && !in_example { line.trim_start_matches("# ") } else { line };
        text.push_str(shown);
        text.push('\n');
    }
    assert!(text.contains("\nhandshake = \"10s\"") && text.contains("\nhead_bytes_max = \"32KiB\""));
    let (spelled, silent) = (parse(&text).unwrap(), parse(EXAMPLE).unwrap());
    assert_eq!(spelled.settings.timeouts, silent.settings.timeouts);
    assert_eq!(spelled.settings.bounds, silent.settings.bounds);
    assert_eq!(spelled.settings.ring_entries, silent.settings.ring_entries);
    assert_eq!(spelled.record_ring_bytes, silent.record_ring_bytes);
    assert_eq!(spelled.denial_ring_bytes, silent.denial_ring_bytes);
}

/// By table of `gateway.toml`: its keys, as `file.rs` has them. Tables in tables stand under their Rust name.
fn keys_by_table() -> Vec<(String, Vec<&'static str>)> {
    let mut tables: Vec<(String, Vec<&str>)> = Vec::new();
    for line in include_str!("file.rs").lines() {
        if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
            let name = match name {
                "CertificateSource" => "certificate_source".to_owned(),
                "OriginIdentity" => "origin_identity".to_owned(),
                "OriginCredential" => "origin_credential".to_owned(),
                "IntrospectionClient" => "introspection_client".to_owned(),
                name => name.to_lowercase(),
            };
            tables.push((name, Vec::new()));
        } else if let Some((key, _)) = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(": ")) {
            tables.last_mut().unwrap().1.push(key);
        }
    }
    tables
}

/// What stands between any of `beginnings` and the next of `ends`.
fn parts(text: &str, beginnings: &[String], ends: &[&str]) -> String {
    let found = beginnings.iter().flat_map(|beginning| text.split(beginning.as_str()).skip(1));
    let parts: Vec<&str> =
        found.map(|rest| &rest[..ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len())]).collect();
    assert!(!parts.is_empty(), "none of {beginnings:?} is there");
    parts.concat()
}

#[test]
fn every_key_is_documented_and_in_the_example() {
    let manual = include_str!("../../../docs/operating.md");
    let tables = keys_by_table();
    assert!(tables.len() >= 12 && tables.iter().map(|(_, keys)| keys.len()).sum::<usize>() >= 60, "{tables:?}");
    let top = tables.iter().find(|(name, _)| name == "file").unwrap().1.clone();
    for (table, keys) in tables.iter().filter(|(name, _)| name != "file") {
        let nested = !top.contains(&table.as_str());
        let (mut explained, mut shown) = (manual.to_owned(), EXAMPLE.to_owned());
        if !nested {
            let [one, many] = [format!("[{table}]"), format!("[[{table}]]")];
            let rows = ["| `", "### `"].map(|begin| [format!("{begin}{one}`"), format!("{begin}{many}`")]).concat();
            explained = parts(manual, &rows, &["\n| `[", "\n#"]);
            let heads = ["\n", "\n# "].map(|begin| [format!("{begin}{one}"), format!("{begin}{many}")]).concat();
            shown = parts(EXAMPLE, &heads, &["\n[", "\n# ["]);
        }
        for key in keys {
            assert!(explained.contains(&format!("`{key}`")), "docs/operating.md does not explain `{key}` of {table}");
            let is_shown = |begin: &str| shown.contains(&format!("{begin}{key} = "));
            assert!(
                ["\n", "\n# ", "{ ", ", "].into_iter().any(is_shown),
                "packaging/gateway.toml does not show `{key}` of {table}"
            );
        }
    }
}

#[test]
fn relative_paths_start_at_the_file() {
    let config = parse(&format!("{BASE}{LISTENER}[records]\nto = \"r.jsonl\"\n[admin]\nunix = \"admin\"")).unwrap();
    assert_eq!(config.state, Path::new("/etc/adamant/s"));
    assert_eq!(config.trust_root, Path::new("/t"));
    assert_eq!(config.records, records::Target::File("/etc/adamant/r.jsonl".into()));
    assert_eq!(config.admin, Some(admin::Place::Unix("/etc/adamant/admin".into())));
}

#[test]
fn a_mistake_is_shown_at_its_place() {
    let shown = refused(&format!("{BASE}{LISTENER}[timeouts]\nhead = \"10 seconds\"\n"));
    let expected = concat!(
        "/etc/adamant/gateway.toml:9:8: expected a duration like \"250ms\", \"10s\", \"5m\", \"1h\" or \"30d\", found \"10 seconds\"\n",
        "  |\n9 | head = \"10 seconds\"\n  |        ^^^^^^^^^^^^"
    );
    assert_eq!(shown, expected);
    let shown = refused(&format!("{BASE}{LISTENER}adress = 1\n"));
    assert!(shown.contains(":8:1: unknown field `adress`") && shown.contains("expected one of `address`"), "{shown}");
    assert!(shown.ends_with("\n hint: did you mean `address`?"), "{shown}");
    assert!(refused("[gateway").contains(":1:"));
    let shown = refused(LISTENER);
    assert!(shown.contains("missing field `gateway`") && shown.contains("hint: add [gateway]"), "{shown}");
    let shown = refused("[gateway]\npolicy = \"p\"\n");
    assert!(shown.contains("missing field `state`") && shown.contains("state = \"/var/lib/adamant\""), "{shown}");
}

#[test]
fn what_would_be_unsafe_or_useless_is_refused_with_a_hint() {
    let with = |rest: &str| refused(&format!("{BASE}{rest}"));
    let cases = [
        ("", "at least one [[listener]]"),
        ("[[listener]]\naddress = \"0.0.0.0:80\"", "plain = \"insecure\""),
        ("[[listener]]\naddress = \"0.0.0.0:80\"\nplain = \"yes\"", "expected plain = \"insecure\""),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\nproxy_protocol = true", "trusted_proxies"),
        (
            "[[listener]]\naddress = \"127.0.0.1:1\"\nclient_address = \"x-forwarded-for\"",
            "client_address needs trusted_proxies",
        ),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"", "two listeners"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\ntls = { certificates = [] }", "at least one certificate"),
        ("[[listener]]\naddress = \"here\"", "expected an IP address and port, like 127.0.0.1:8080, found \"here\""),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[admin]\naddress = \"0.0.0.0:2\"", "loopback"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[admin]", "either address or unix"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[status]\naddress = \"127.0.0.1:2\"", "speaks TLS alone"),
        (
            "[[listener]]\naddress = \"127.0.0.1:1\"\n[status]\naddress = \"127.0.0.1:2\"\ntls = { chain = \"c\", key = \"k\" }",
            "found no client_ca",
        ),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[workers]\ncores = []", "cores"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[workers]\ncores = \"1000\"", "not one that this process may use"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[workers]\nring_entries = 100", "power of two"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[bounds]\nhead_bytes_max = 1", "expected 256B to 64KiB, found 1B"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[timeouts]\nidle = \"25h\"", "expected 100ms to 24h, found 25h"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[bounds]\nrequests_per_connection_max = 0", "1 or more, found 0"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[bounds]\nfields_max = 500", "expected 1 to 128, found 500"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\n[records]\nring_bytes = \"1KiB\"", "it is 8MiB without"),
    ];
    for (text, expected) in cases {
        let shown = with(text);
        assert!(shown.contains(expected), "{text}\n{shown}");
    }
}

#[test]
fn a_release_is_a_file_or_what_a_channel_points_at() {
    let gateway =
        |lines: &str| format!("[gateway]\npolicy = \"p\"\nstate = \"s\"\ntrust_root = \"/t\"\n{lines}\n{LISTENER}");
    let file = parse(&gateway("release = \"r\"")).unwrap();
    assert_eq!(file.releases, Releases::File("/etc/adamant/r".into()));
    assert_eq!(file.activation, ActivationMode::Restart);
    let store = parse(&gateway("store = \"d\"\nchannel = \"eu.production\"\nactivation = \"hot\"")).unwrap();
    let channel = "eu.production".parse().unwrap();
    assert_eq!(store.releases, Releases::Store { at: stores::Location::Directory("/etc/adamant/d".into()), channel });
    assert_eq!(store.activation, ActivationMode::Hot);
    for (lines, expected) in [
        ("", "release or store"),
        ("channel = \"c\"", "release or store"),
        ("release = \"r\"\nstore = \"d\"\nchannel = \"c\"", "either release or store, found both"),
        ("release = \"r\"\nchannel = \"c\"", "a channel is in a store"),
        ("store = \"d\"", "add channel = \"production\""),
        ("store = \"d\"\nchannel = \"../c\"", "found \"../c\""),
        ("release = \"r\"\nactivation = \"hot\"", "activated by a restart"),
        ("release = \"r\"\nactivation = \"warm\"", "expected activation = \"restart\" or \"hot\", found \"warm\""),
    ] {
        let shown = refused(&gateway(lines));
        assert!(shown.contains(expected) && shown.contains("hint:"), "{lines}\n{shown}");
    }
}

#[test]
fn a_tls_listener_names_its_files_and_whom_it_asks() {
    let text = format!(
        "{BASE}[[listener]]\naddress = \"0.0.0.0:443\"\ntls = {{ certificates = [{{ chain = \"c\", key = \"k\" }}], \
         client_certificates = \"required\", min_version = \"1.3\" }}\ntrusted_proxies = [\"10.0.0.0/8\"]\n"
    );
    let config = parse(&text).unwrap();
    let tls = config.tls[0].as_ref().unwrap();
    assert_eq!(tls.certificates[0].key, Path::new("/etc/adamant/k"));
    assert_eq!(tls.client_certificates, control::assemble::ClientCertificates::Required);
    assert_eq!(tls.min_version, control::assemble::MinimumVersion::Tls13);
    assert!(config.settings.listeners[0].tls);
    assert_eq!(config.settings.listeners[0].trusted_proxies.len(), 1);
}

#[test]
fn checkpoints_go_to_directories_and_to_witnesses_that_are_pinned() {
    use control::records::seal::Place;
    let of = |records: &str| format!("{BASE}{LISTENER}\n[records]\n{records}\n");
    let config = parse(&of("checkpoints = [\"out\", \"http://127.0.0.1:9/x\"]\ncheckpoint_interval = \"2s\"")).unwrap();
    assert_eq!(config.checkpoint_interval, std::time::Duration::from_secs(2));
    let shown: Vec<_> = config.checkpoints.iter().map(Place::to_string).collect();
    assert_eq!(shown, ["/etc/adamant/out", "http://127.0.0.1:9/x"]);
    for (wrong, expected) in [
        ("checkpoints = [\"\"]", "expected a directory or a URL"),
        ("checkpoints = [\"https://w.example/\"]", "needs a CA file"),
        ("checkpoints = [\"http://w.example/\"]", "loopback"),
        ("checkpoints = [{ url = \"https://w.example/\", ca = \"missing.pem\" }]", "missing.pem"),
        ("checkpoints = [\"http://127.0.0.1:9/x?of=1\", \"http://127.0.0.1:9/x?of=2\"]", "told apart"),
        ("checkpoints = [1]", "expected a directory, a URL"),
        ("checkpoint_interval = \"1ms\"", "expected 100ms to 1h, found 1ms"),
        ("checkpoint_interval = \"2d\"", "expected 100ms to 1h, found 2d"),
        ("checkpoints = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]", "at most 8"),
    ] {
        let shown = refused(&of(wrong));
        assert!(shown.contains(expected), "{wrong}\n{shown}");
    }
}

const SOURCES: &str = "[[certificate_source]]\nname = \"team\"\nopenbao = { address = \"https://bao.example:8200\", token = \"/dev/null\", role = \
                       \"gateway\" }\n[[certificate_source]]\nname = \"public\"\nacme = { directory = \"https://acme.example/dir\", \
                       agree_to_terms = true }\n";

fn of_issuers(certificates: &str, more: &str) -> String {
    let listener = "[[listener]]\naddress = \"0.0.0.0:443\"";
    format!("{BASE}{listener}\ntls = {{ certificates = [{certificates}] }}\n{SOURCES}{more}\n")
}

#[test]
fn certificates_come_from_issuers_into_the_state_directory() {
    let identity = "[[origin_identity]]\nname = \"me\"\nfrom = \"team\"\nnames = [\"spiffe://corp.example/gw\"]";
    let listed = "{ from = \"public\", names = [\"a.example\"] }, { from = \"team\", names = [\"b.example\", \"10.0.0.1\"], life = \"1h\" }, \
                  { from = \"public\", names = [\"A.example\"] }";
    let config = parse(&of_issuers(listed, identity)).unwrap();
    let files = &config.tls[0].as_ref().unwrap().certificates;
    assert_eq!(config.obtained.len(), 3, "the same wish is one certificate");
    assert_eq!((files.len(), &files[0]), (3, &files[2]));
    assert!(files[0].chain.starts_with("/etc/adamant/s/certificates") && files[0].chain == files[0].key);
    assert_eq!(config.tls[0].as_ref().unwrap().awaited, [files[0].chain.clone(), files[2].chain.clone()]);
    assert_eq!(config.obtained.iter().map(|of| of.life_s).collect::<Vec<_>>(), [86_400, 3_600, 86_400]);
    assert_eq!(config.origin_identities[0].files, config.obtained[2].files());
    let by_text =
        of_issuers(listed, "").replace("agree_to_terms = true", "agree_to_terms = true, http_challenge = \"[::]:80\"");
    assert!(matches!(
        parse(&by_text).unwrap().obtained[0].source.kind,
        control::obtain::Kind::Acme { http: Some(_), .. }
    ));
    assert!(matches!(config.obtained[0].source.kind, control::obtain::Kind::Acme { http: None, .. }));
    let role = &of_issuers("{ from = \"team\", names = [\"a.example\"] }", "").replace("\"gateway\"", "\"other\"");
    assert_ne!(parse(role).unwrap().obtained[0].file, config.obtained[0].file, "who issues it counts");
}

fn identity(from: &str, name: &str) -> String {
    format!("[[origin_identity]]\nname = \"me\"\nfrom = \"{from}\"\nnames = [\"{name}\"]")
}

#[test]
fn an_origin_identity_by_acme_is_awaited_and_shares_no_file_with_a_listener() {
    let same = identity("public", "a.example").replace("\"me\"", "\"too\"");
    let of = identity("public", "a.example") + "\n" + &same;
    let config = parse(&of_issuers("{ from = \"public\", names = [\"a.example\"] }", &of)).unwrap();
    let (identities, listener) = (&config.origin_identities, config.tls[0].as_ref().unwrap());
    assert!(identities[0].awaited && identities[1].awaited && identities[0].files == identities[1].files);
    assert_ne!(identities[0].files.chain, listener.certificates[0].chain);
    assert_eq!(config.obtained.len(), 2, "one towards clients, one towards origins");
    let files = parse(&of_issuers("{ chain = \"c\", key = \"k\" }", &identity("team", "a.example"))).unwrap();
    assert!(!files.origin_identities[0].awaited);

    // Somebody has to answer the server.
    let plain =
        format!("{BASE}[[listener]]\naddress = \"127.0.0.1:80\"\n{SOURCES}{}\n", identity("public", "a.example"));
    let shown = refused(&plain);
    assert!(shown.contains("expected a [[listener]] with tls") && shown.contains("add http_challenge"), "{shown}");
    let by_text = plain.replace("agree_to_terms = true", "agree_to_terms = true, http_challenge = \"[::]:8080\"");
    assert!(parse(&by_text).unwrap().origin_identities[0].awaited);
}

#[test]
fn what_servers_want_to_see_is_known_by_file() {
    let place = |more: &str| format!("store = {{ url = \"https://store.example/p\", {more} }}\nchannel = \"prod\"");
    let access = |text: &str| {
        let all = parse(text).unwrap().access();
        let shown = all.iter().map(|of| format!("{} {} {}", of.of, of.name, of.paper.path().display()));
        shown.collect::<Vec<_>>()
    };
    let certificate = "{ from = \"team\", names = [\"a.example\"] }, { from = \"public\", names = [\"a.example\"] }, { from = \"team\", \
                       names = [\"b.example\"] }";
    let account =
        "agree_to_terms = true, ca = \"acme.pem\", external_account = { key_id = \"1\", key = \"/dev/null\" }";
    let of_store = place("token = \"/dev/null\", ca = \"store.pem\", chain = \"own.pem\", key = \"own.key\"");
    let credential = "[[origin_credential]]\nname = \"orders\"\noauth = { token_url = \"https://id.example/t\", client_id = \"a\", \
                      chain = \"edge.pem\", key = \"edge.key\", ca = \"id.pem\" }";
    let text = of_issuers(certificate, credential).replace("agree_to_terms = true", account);
    let text = text.replace("release = \"r\"", &of_store);
    assert_eq!(
        access(&text),
        [
            "store-access prod /dev/null",
            "store-access prod /etc/adamant/own.pem",
            "store-access prod /etc/adamant/store.pem",
            "certificate-source-access public /dev/null",
            "certificate-source-access public /etc/adamant/acme.pem",
            "certificate-source-access team /dev/null",
            "origin-credential-access orders /etc/adamant/edge.pem",
            "origin-credential-access orders /etc/adamant/id.pem",
        ]
    );
    assert!(access(&format!("{BASE}{LISTENER}")).is_empty());
}

#[test]
fn what_no_issuer_could_give_is_refused() {
    let many = |count: usize| (0..count).map(|at| format!("\"n{at}.example\"")).collect::<Vec<_>>().join(", ");
    let each = |count: usize| {
        let of = |at: usize| format!("{{ from = \"team\", names = [\"n{at}.example\"] }}");
        (0..count).map(of).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(parse(&of_issuers(&each(64), "")).unwrap().obtained.len(), 64);
    assert!(parse(&of_issuers(&format!("{{ from = \"team\", names = [{}] }}", many(32)), "")).is_ok());
    for (certificate, expected) in [
        ("{ chain = \"c\" }", "as chain and key, or as from and names"),
        ("{ chain = \"c\", key = \"k\", from = \"team\" }", "as chain and key, or as from and names"),
        ("{ chain = \"c\", key = \"k\", life = \"1h\" }", "as chain and key, or as from and names"),
        ("{ from = \"team\" }", "as chain and key, or as from and names"),
        ("{ from = \"nobody\", names = [\"a.example\"] }", "found \"nobody\""),
        ("{ from = \"team\", names = [] }", "1 to 32 names, found 0"),
        (&format!("{{ from = \"team\", names = [{}] }}", many(33)), "found 33"),
        (&each(65), "at most 64 certificates"),
        ("{ from = \"team\", names = [\"a b\"] }", "expected a DNS name"),
        ("{ from = \"team\", names = [\"spiffe://a/b\"] }", "a URI is for an [[origin_identity]]"),
        ("{ from = \"team\", names = [\"a.example\"], life = \"1s\" }", "3s or more, found 1s"),
        ("{ from = \"public\", names = [\"*.example\"] }", "write each name out"),
        ("{ from = \"public\", names = [\"10.0.0.1\"] }", "write each name out"),
        ("{ from = \"public\", names = [\"a.example\"], life = \"1h\" }", "says itself how long"),
        ("{ from = \"team\", names = [\"a.example\"], lifes = \"1h\" }", "did you mean `life`?"),
    ] {
        let shown = refused(&of_issuers(certificate, ""));
        assert!(shown.contains(expected) && shown.contains(":8:"), "{certificate}\n{shown}");
    }
    let openbao = |of: &str| format!("[[certificate_source]]\nname = \"x\"\nopenbao = {{ {of} }}");
    let acme = |of: &str| format!("[[certificate_source]]\nname = \"x\"\nacme = {{ {of} }}");
    for (more, expected) in [
        ("[[certificate_source]]\nname = \"x\"".to_owned(), "either openbao or acme"),
        (SOURCES.to_owned(), "\"team\" is defined twice"),
        (
            openbao("address = \"http://127.0.0.1:1\", token = \"/dev/null\", role = \"r\""),
            "expected https://HOST:PORT",
        ),
        (openbao("address = \"https://a\", token = \"/dev/null\", role = \"../r\""), "found \"../r\""),
        (openbao("address = \"https://a\", token = \"/dev/null\", role = \"r\", mount = \"a b\""), "found \"a b\""),
        (openbao("address = \"https://a\", token = \"/dev/null\""), "add role = "),
        (acme("directory = \"https://a/dir\""), "expected agree_to_terms = true, found no word of it"),
        (acme("directory = \"https://a/dir\", agree_to_terms = false"), "expected agree_to_terms = true, found false"),
        (acme("directory = \"http://a/dir\", agree_to_terms = true"), "use https"),
        (acme("directory = \"https://a/dir\", agree_to_terms = true, contact = [\"ops\"]"), "mailto:"),
        (acme("directory = \"https://a/dir\", agree_to_terms = true, http_challenge = \"80\""), "127.0.0.1:8080"),
        (identity("public", "spiffe://a/b"), "write each name out"),
        (identity("public", "*.example"), "write each name out"),
        (identity("public", "a.example") + "\nlife = \"1h\"", "says itself how long"),
        (
            "[status]\naddress = \"127.0.0.1:9\"\nclient_ca = \"ca\"\ntls = { from = \"public\", names = [\"a.example\"] }"
                .to_owned(),
            "to a [[listener]] or an [[origin_identity]]",
        ),
    ] {
        let shown = refused(&of_issuers("{ chain = \"c\", key = \"k\" }", &more));
        assert!(shown.contains(expected), "{more}\n{shown}");
    }
}
