//! The wrong file in any place that takes one: nothing is shown of a key, token or password, in whole or in part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "secrets/misplaced.rs"]
mod misplaced;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tests::certificates::Authority;
use tests::desk::{Desk, END, assert_says};
use tests::policy::open_to_all;

/// Bytes of a secret that nobody may see together.
const PART: usize = 10;

/// Files with secrets, and what each is called where it is the wrong one.
const SECRETS: [(&str, &str); 9] = [
    ("signer.key", "a private key of Adamant"),
    ("encrypted.key", "a private key of Adamant"),
    ("server.key", "a private key (PEM)"),
    ("body.key", "a text in base64"),
    ("partner.key", "an API key"),
    ("rb.jwt", "a token (JWT)"),
    ("vault.token", "a token"),
    ("pass", "a text that is no TOML"),
    ("dot.env", "a text with none of its tables"),
];

/// Command lines with `F` for the file; `%` stands for a blank in a word.
const LINES: &str = "\
check F
check --format json F
check with-cases.toml
check with-ca.toml
check with-keys.toml
check --format json with-keys.toml
diff F policy.toml
diff release.json F
diff release.json release.json --trust-root F
test F
test with-cases.toml --format json
run F
run F --check
run as-release.toml --check
run as-root.toml --check
run as-chain.toml --check
run as-key.toml --check
run as-origin-credential.toml --check
run as-introspection-secret.toml --check
dev F
dev policy.toml --listen 127.0.0.1:0 --tls-chain F --tls-key F
dev wants.toml --listen 127.0.0.1:0 --origin-credential k=F --introspection-client gw=id,good.secret --tls-chain F --tls-key F
dev wants.toml --listen 127.0.0.1:0 --origin-credential k=good.secret --introspection-client gw=id,F --tls-chain F --tls-key F
status --hosts F
status --hosts hosts
status http://127.0.0.1:1 --node-keys F
status http://127.0.0.1:1 --node-keys pins
status http://127.0.0.1:1 --node-key F
status http://127.0.0.1:1 --expect-release F
status https://127.0.0.1:1 --ca F --cert F --key F
explain --request GET%https://a/x --agent a --policy F
explain --request GET%https://a/x --agent a --release F
explain --request GET%https://a/x --token F --policy policy.toml
explain --records F --request-id x --policy policy.toml
replay F --release release.json
replay /dev/null --release release.json --against F
key public F
key signer --out made.key --force --passphrase-file F
trust init --key g=F --threshold 1 --expires 2100-01-01T00:00:00Z --out made.json --force
trust show F
trust sign F --key good.key
trust merge root.json F
trust verify root.json --after F
trust add root.json --key x=F --role pointer --out made.json --force
release build F --version 2 --expires 2100-01-01T00:00:00Z --out made.json --force
release build policy.toml --parent F --version 2 --expires 2100-01-01T00:00:00Z --out made.json --force
release show F
release sign release.json --key F --detached --out made.sig --force
release merge release.json F
release verify F --trust-root root.json
release verify release.json --trust-root F
release verify release.json --trust-root root.json --provenance F
point show F
point sign F --key good.key
point --release F --key good.key --store . --channel c --trust-root root.json
rollback --to previous --key good.key --store . --channel c --trust-root F
audit verify F
audit verify /dev/null --checkpoints F
audit verify F --node-key F
audit show F
audit filter F
audit prove F --request-id x --checkpoint F --out made.proof --force
tune plan --profile ./F
tune check F
tune undo F";

/// Where the kind of the file is named, for each of [`SECRETS`].
const NAMING: [&str; 4] = ["check F", "test F", "run F --check", "release build F"];

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("policy.toml", open_to_all("127.0.0.1:9".parse().unwrap()).text());
    desk.keys(&["good", "signer"]);
    desk.good(&format!("trust init --key g=good.key --threshold 1 --expires {END} --out root.json"));
    desk.good("trust sign root.json --key good.key");
    desk.good(&format!("release build policy.toml --version 1 --expires {END} --out release.json"));
    for (name, text) in [("pass", "correct horse battery staple\n"), ("good.secret", "s3cr3t-that-is-none-of-these\n")]
    {
        desk.write(name, text);
        fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    desk.write("wants.toml", wanting(&String::from_utf8(desk.read("policy.toml")).unwrap()));
    desk.good(&format!("release build wants.toml --version 1 --expires {END} --out wants.json"));
    desk.good("release sign wants.json --key good.key");
    desk.good("key signer --out encrypted.key --passphrase-file pass");
    desk.good("key new --id partner-1 --out partner.key");
    let key = Authority::new("secrets").server(&["localhost"]).key;
    let body: Vec<&str> = key.lines().filter(|line| !line.contains("---")).collect();
    desk.write("body.key", body.join("\n"));
    desk.write("server.key", &key);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signature = STANDARD.decode(body.concat()).unwrap();
    let token = [part("{\"alg\":\"RS256\"}"), part("{\"iss\":\"https://x\",\"sub\":\"robert\"}")].join(".");
    desk.write("rb.jwt", format!("{token}.{}\n", URL_SAFE_NO_PAD.encode(signature)));
    // Quoted, it is TOML.
    desk.write("dot.env", "API_KEY=\"9f86d081884c7d659a2feaa0c55ad015\"\nDB_PASS=\"twelve sore thumbs\"\n");
    desk.write("vault.token", "hvs.CAESIJ4Y8cVqOUzK9mWkXbPqLr\n");
    desk
}

/// The policy, with a secret for its origin and an issuer that is asked about tokens.
fn wanting(policy: &str) -> String {
    let origin = "addresses = [\"127.0.0.1:9\"]\n";
    assert!(policy.contains(origin), "{policy}");
    let own = format!("{origin}credentials = {{ from = \"k\", header = \"X-Key\" }}\n");
    let asked = "introspection = { url = \"http://127.0.0.1:9/\", client = \"gw\", cache = \"1m\" }";
    let issuer = format!("[[issuer]]\nname = \"i\"\nissuer = \"https://x\"\naudience = [\"a\"]\n{asked}\n");
    format!("{}\n{issuer}", policy.replacen(origin, &own, 1))
}

/// What must not be seen of a file: each part of each line of it that is not for everybody.
fn parts(content: &str) -> Vec<String> {
    let public = |line: &&str| line.starts_with('#') || line.starts_with("adamant-") || line.contains("-----");
    let lines = content.lines().filter(|line| !public(line));
    lines
        .flat_map(|line| line.as_bytes().windows(PART).map(|part| String::from_utf8_lossy(part).into_owned()))
        .collect()
}

/// Files that are right but for the place that names, or holds, the secret.
fn surround(desk: &Desk, file: &str, secret: &str) {
    let policy = String::from_utf8(desk.read("policy.toml")).unwrap();
    desk.write("with-cases.toml", policy.replacen("[policy]\n", &format!("[policy]\ncases = [\"{file}\"]\n"), 1));
    desk.write(
        "with-ca.toml",
        format!("{policy}\n[[client_ca]]\nname = \"c\"\ncertificates = {{ file = \"{file}\" }}\n"),
    );
    let keys = format!(
        "[[issuer]]\nname = \"i\"\nissuer = \"https://x\"\naudience = [\"a\"]\nalgorithms = [\"RS256\"]\nkeys = {{ file = \
         \"{file}\" }}\n"
    );
    desk.write("with-keys.toml", format!("{policy}\n{keys}"));
    let gateway = |release: &str, root: &str, tls: &str| {
        format!(
            "[gateway]\npolicy = \"tests\"\nrelease = \"{release}\"\ntrust_root = \"{root}\"\nstate = \"state\"\n\n[workers]\n\
             cores = [0]\n\n[[listener]]\naddress = \"127.0.0.1:0\"\n{tls}"
        )
    };
    let tls =
        |chain: &str, key: &str| format!("tls = {{ certificates = [{{ chain = \"{chain}\", key = \"{key}\" }}] }}\n");
    desk.write("as-release.toml", gateway(file, "root.json", ""));
    desk.write("as-root.toml", gateway("release.json", file, ""));
    desk.write("as-chain.toml", gateway("release.json", "root.json", &tls(file, "server.key")));
    desk.write("as-key.toml", gateway("release.json", "root.json", &tls("root.json", file)));
    let material = |origin: &str, client: &str| {
        format!(
            "{}\n[[origin_credential]]\nname = \"k\"\nfile = \"{origin}\"\n\n[[introspection_client]]\nname = \"gw\"\nid = \
             \"id\"\nsecret = \"{client}\"\n",
            gateway("wants.json", "root.json", "")
        )
    };
    desk.write("as-origin-credential.toml", material(file, "good.secret"));
    desk.write("as-introspection-secret.toml", material("good.secret", file));
    desk.write("hosts", format!("http://127.0.0.1:1\n{secret}\n"));
    let good = String::from_utf8(desk.read("good.pub")).unwrap();
    desk.write("pins", format!("{}\n{secret}\n", good.trim()));
}

fn run(desk: &Desk, line: &str) -> (i32, String) {
    let words = line.split(' ').map(|word| word.replace('%', " "));
    let output = desk.command("").args(words).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), said)
}

#[test]
fn no_command_shows_a_secret_of_a_file_that_it_was_given_by_mistake() {
    let desk = desk();
    for (file, _) in SECRETS {
        fs::set_permissions(desk.path(file), fs::Permissions::from_mode(0o600)).unwrap();
        let content = String::from_utf8(desk.read(file)).unwrap();
        let parts = parts(&content);
        assert!(parts.len() > PART, "{file} has something to hide");
        surround(&desk, file, content.lines().find(|line| line.contains(&parts[0])).unwrap());
        for line in LINES.lines() {
            let line =
                line.split(' ').map(|word| if word.ends_with('F') { word.replace('F', file) } else { word.into() });
            let line = line.collect::<Vec<String>>().join(" ");
            let (code, said) = run(&desk, &line);
            assert_ne!(code, 2, "adamant {line} is no command line: {said}");
            let shown = parts.iter().find(|part| said.contains(part.as_str()));
            assert_eq!(shown, None, "adamant {line} shows a part of it: {said}");
        }
    }
}

/// That the lines above get as far as reading the secret.
#[test]
fn a_file_that_is_no_secret_of_one_line_is_refused_by_its_name() {
    let desk = desk();
    surround(&desk, "server.key", "x");
    fs::set_permissions(desk.path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for (line, name) in [
        ("run as-origin-credential.toml --check", "origin \"origin\": "),
        ("run as-introspection-secret.toml --check", "introspection client \"gw\": "),
    ] {
        assert_says(
            &desk.bad(line),
            &[name, "server.key: expected one line of visible ASCII", "found more than one line"],
        );
    }
    surround(&desk, "good.secret", "x");
    desk.good("run as-origin-credential.toml --check");
}

#[test]
fn the_wrong_file_is_called_what_it_is() {
    let desk = desk();
    for (file, kind) in SECRETS {
        for line in NAMING {
            let (code, said) = run(
                &desk,
                &line.replace('F', file).replace(
                    &format!("release build {file}"),
                    &format!("release build {file} --version 2 --expires {END} --out made.json"),
                ),
            );
            assert_eq!(code, 1, "{said}");
            assert_says(&said, &["expected ", &format!("found {kind}"), "right file?"]);
        }
    }
    for (line, parts) in [
        ("check release.json", ["expected a policy source, found a release", "right file?"]),
        (
            "release build root.json --version 1 --expires 2100-01-01T00:00:00Z --out x.json",
            ["found a trust root", "right file?"],
        ),
        ("run root.json --check", ["expected a gateway's configuration, found a trust root", "right file?"]),
        (
            "run policy.toml --check",
            ["expected a gateway's configuration, found a policy source", "adamant dev policy.toml"],
        ),
        ("release show partner.key", ["expected a release, found an API key", "right file?"]),
        ("status --hosts partner.key", ["expected a gateway like", "found an API key"]),
    ] {
        let said = desk.bad(line);
        assert_says(&said, &parts);
        assert!(said.lines().all(|line| line.chars().count() < 300), "{said}");
    }
}

/// In a file that is right otherwise: the place is shown, and not what stands there.
#[test]
fn a_credential_that_was_pasted_into_the_right_file_is_covered() {
    let desk = desk();
    let policy = String::from_utf8(desk.read("policy.toml")).unwrap();
    for file in ["signer.key", "server.key", "body.key", "partner.key", "rb.jwt", "vault.token"] {
        let content = String::from_utf8(desk.read(file)).unwrap();
        let parts = parts(&content);
        let line = content.lines().find(|line| line.contains(&parts[0])).unwrap();
        let lines = policy.lines().count();
        desk.write("pasted.toml", format!("{policy}\n{content}"));
        desk.write("named.toml", format!("{policy}\n[[api_key]]\nid = \"{line}\"\n"));
        desk.write("hashed.toml", format!("{policy}\n[[api_key]]\nid = \"x\"\nsha256 = \"\"\"\n{content}\"\"\"\n"));
        let gateway = "[gateway]\npolicy = \"tests\"\nstate = \"s\"\nrelease = \"r\"\ntrust_root = \"t\"\n";
        desk.write("gateway.toml", format!("{gateway}{content}"));
        desk.write("address.toml", format!("{gateway}[[listener]]\naddress = \"{line}\"\n"));
        for command in [
            "check pasted.toml",
            "check named.toml",
            "check named.toml --format json",
            "check hashed.toml",
            "diff named.toml policy.toml",
            "test pasted.toml",
            "run gateway.toml",
            "run address.toml --check",
            "tune check address.toml",
        ] {
            let (code, said) = run(&desk, command);
            assert_eq!(code, 1, "adamant {command}: {said}");
            assert!(!parts.iter().any(|part| said.contains(part.as_str())), "adamant {command} of {file}: {said}");
        }
        let (_, said) = run(&desk, "check named.toml");
        assert_says(&said, &[&format!("named.toml:{}:", lines + 3), "| id = \"****"]);
        assert_says(&run(&desk, "run address.toml").1, &["address.toml:7:11", "| address = \"****"]);
    }
}

/// A password in the place of its file's name: the start is refused, and nothing of it told.
#[test]
fn a_secret_in_the_place_of_its_file_is_shown_nowhere() {
    let desk = desk();
    let word = "root:Sup3rS3cretPw!";
    let gateway = |source: &str, more: &str| {
        format!(
            "[gateway]\npolicy = \"tests\"\n{source}\ntrust_root = \"root.json\"\nstate = \"state\"\n\n[workers]\ncores = \
             [0]\n\n[[listener]]\naddress = \"127.0.0.1:0\"\n\n{more}\n"
        )
    };
    let of_store = |access: &str| {
        gateway(&format!("channel = \"c\"\nstore = {{ url = \"etcd+https://127.0.0.1:1/x\", {access} }}"), "")
    };
    let of_file = |table: String| gateway("release = \"release.json\"", &table);
    let origin = |from: String| of_file(format!("[[origin_credential]]\nname = \"k\"\n{from}"));
    let bao = "address = \"https://127.0.0.1:1\"";
    for (text, setting) in [
        (of_store(&format!("token = \"{word}\"")), "token"),
        (of_file(format!("[[introspection_client]]\nname = \"gw\"\nid = \"id\"\nsecret = \"{word}\"")), "secret"),
        (
            origin(format!(
                "oauth = {{ token_url = \"https://127.0.0.1:1/t\", client_id = \"id\", secret = \"{word}\" }}"
            )),
            "secret",
        ),
        (
            origin(format!("openbao = {{ {bao}, token = \"{word}\", mount = \"kv\", path = \"p\", field = \"f\" }}")),
            "token",
        ),
        (
            of_file(format!(
                "[[certificate_source]]\nname = \"team\"\nopenbao = {{ {bao}, token = \"{word}\", role = \"r\" }}"
            )),
            "token",
        ),
        (origin(format!("file = \"{word}\"")), "the origin credential \"k\""),
        (gateway(&format!("release = \"release.json\"\nstate_identity = \"{word}\""), ""), "state_identity"),
    ] {
        desk.write("gateway.toml", &text);
        for command in ["run gateway.toml --check", "run gateway.toml"] {
            let said = desk.bad(command);
            let refused = format!("the file that {setting} names cannot be read: No such file");
            assert_says(&said, &[&refused, "gateway.toml:", "not shown here", "****"]);
            assert!(!said.contains("Sup3r"), "{said}");
        }
    }
    // Nor beside another mistake on its line, whatever it looks like.
    for word in [word, "root.Sup3r", "Sup3r/x y"] {
        let of_acme = format!(
            "acme = {{ directory = \"x\", agree_to_terms = true, external_account = {{ key_id = \"k\", key = \"{word}\" }} }}"
        );
        for text in [
            of_store(&format!("token = \"{word}\", tokn = \"x\"")),
            of_store(&format!("token = \"{word}\", chain = \"x\"")),
            origin(format!(
                "openbao = {{ address = \"http://x\", token = \"{word}\", mount = \"kv\", path = \"p\", field = \"f\" }}"
            )),
            origin(format!("openbao = {{ {bao}, token = \"{word}\" }}")),
            origin(format!("oauth = {{ token_url = \"x\", client_id = \"id\", secret = \"{word}\", chain = \"x\" }}")),
            origin(format!("oauth = {{ token_url = \"x\", client_id = \"id\", secret = \"{word}\", }} x")),
            of_file(format!(
                "[[certificate_source]]\nname = \"c\"\nopenbao = {{ address = \"http://x\", token = \"{word}\", role = \"r\" }}"
            )),
            of_file(format!("[[certificate_source]]\nname = \"c\"\n{of_acme}")),
            of_file(format!("origin_credential = [{{ name = \"k\", file = \"{word}\", oauth = {{}} }}]")),
            of_file(format!("introspection_client = [{{ name = \"gw\", secret = \"{word}\" }}]")),
        ] {
            desk.write("gateway.toml", &text);
            let said = desk.bad("run gateway.toml --check");
            assert!(said.contains("gateway.toml:") && !said.contains("Sup3r"), "{text}\n{said}");
        }
    }
    let said = desk.bad(&format!("revoke list --store etcd+https://127.0.0.1:1/x --channel c --store-token {word}"));
    assert!(said.contains("--store-token") && !said.contains("Sup3r"), "{said}");
}

/// Whole lines of JSON that are no records: a private JWK, the registration of a client.
#[test]
fn what_is_no_record_is_not_shown_as_one() {
    let desk = desk();
    let jwk = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE\"}";
    let client = "{\"client_id\":\"edge\",\"client_secret\":\"Sup3rS3cretPw!\"}";
    let record = "{\"time\":\"2026-01-01T00:00:00.000Z\",\"adamant.kind\":\"stop\"}";
    desk.write("wrong.json", format!("{jwk}\n{client}\n"));
    desk.write("mixed.jsonl", format!("{record}\n{jwk}\n{client}\n{record}\n"));
    for command in ["audit show", "audit filter", "audit show --format json"] {
        let said = desk.bad(&format!("{command} wrong.json"));
        assert!(said.contains("expected records, found none in wrong.json"), "{said}");
        let (code, stdout, stderr) = desk.run(&format!("{command} mixed.jsonl"));
        assert!(code == 0 && stdout.lines().count() == 2, "{stdout}{stderr}");
        assert_says(&stderr, &["lines that are no records, and are not shown: 2, the first is line 2"]);
        for said in [said, stdout, stderr] {
            assert!(!said.contains("870MB6") && !said.contains("Sup3r"), "{said}");
        }
    }
}
