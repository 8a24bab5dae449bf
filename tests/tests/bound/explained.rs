//! What `explain` says of a bound token is what the gateway answers, or how far it knows.

use super::*;

/// An agent with certificate and token.
pub const PAIR: &str =
    "{ certificate = \"spiffe://corp.test/pair\", ca = \"agents\", token = { issuer = \"corp\", subject = \"pair\" } }";
const WATCHED: &str = "keys = { watch = \"corp.jwks.json\" }";

/// The reason in the last record; none where it was let through.
fn reason(stage: &Stage, records: usize) -> Option<String> {
    let record = stage.gateway.wait_for_records(records).pop().unwrap();
    record["adamant.reason"].as_str().map(str::to_owned)
}

#[test]
fn bound_tokens_are_explained_as_far_as_they_are_shown() {
    let stage = Stage::certificates();
    let directory = stage.gateway.directory();
    let own = stage.agents_ca.spiffe("spiffe://corp.test/pair");
    let explain = |policy: &str, token: &Value, more: &[&str]| {
        fs::write(directory.join("token"), stage.key.sign(token)).unwrap();
        let request = ["explain", "--policy", policy, "--request", "GET https://api.test/", "--token", "token"];
        let (status, out, err) = run(&[&request, more].concat(), directory);
        assert!(status.success(), "{out}{err}");
        out
    };
    let policy = fs::read_to_string(directory.join("policy.toml")).unwrap();
    assert!(policy.contains("keys = { file = \"corp.jwks.json\" }"), "{policy}");
    let elsewhere = policy.replace("keys = { file = \"corp.jwks.json\" }", WATCHED);
    fs::write(directory.join("elsewhere.toml"), elsewhere).unwrap();

    let certificate = json!({ "x5t#S256": x5t(&own) });
    let key = json!({ "jkt": thumbprint(&TokenKey::generate("ES256", "h1")) });
    let both = json!({ "x5t#S256": x5t(&own), "jkt": key["jkt"] });
    let unknown = json!({ "kid": "a" });
    let free = |cnf: &Value| bound("free", cnf);
    let cases = [
        (free(&certificate), None, Some("token-certificate-missing")),
        (bound("pair", &certificate), None, Some("token-certificate-missing")),
        (free(&both), None, Some("token-certificate-missing")),
        (free(&unknown), None, Some("token-binding-unknown")),
        (claims("pair"), None, Some("proofs-incomplete")),
        (bound("pair", &certificate), Some(&own), None),
        (free(&certificate), Some(&own), Some("proofs-conflict")),
        (claims("free"), None, None),
    ];
    for ((token, shown, expected), number) in cases.iter().zip(1..) {
        stage.ask(*shown, token);
        assert_eq!(reason(&stage, number).as_deref(), *expected, "{token}");
        let shown = shown.map_or([].as_slice(), |_| &["--certificate", "spiffe://corp.test/pair@agents"]);
        for policy in ["policy.toml", "elsewhere.toml"] {
            let said = explain(policy, token, shown);
            let result = expected.map_or("permitted: ".to_owned(), |reason| format!("refused: 401, {reason}"));
            assert!(said.contains(&result), "{token}: {said}");
            let believed = said.contains("the one presented is taken for that");
            assert_eq!(believed, !shown.is_empty() && !token["cnf"].is_null(), "{token}: {said}");
        }
    }
    // A proof cannot be shown here.
    let said = explain("policy.toml", &free(&key), &[]);
    assert!(said.contains("permitted: ") && said.contains("Without one a gateway answers 401, dpop-missing"), "{said}");
    stage.ask(None, &free(&key));
    assert_eq!(reason(&stage, cases.len() + 1).as_deref(), Some("dpop-missing"));
    // Which certificate an agent has, its name does not tell.
    let said = explain("policy.toml", &bound("pair", &certificate), &["--agent", "pair"]);
    assert!(said.contains("permitted: ") && said.contains("token-certificate-wrong"), "{said}");
    let plain = ["--request", "GET http://api.test/"];
    let (_, said, _) =
        run(&[&["explain", "--policy", "policy.toml", "--token", "token"], &plain[..]].concat(), directory);
    assert!(said.contains("refused: 403, transport-too-weak"), "the transport goes before: {said}");
}
