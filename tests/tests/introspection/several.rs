//! Several issuers, told apart by what their tokens begin with; and tokens that a key is bound to.

use tests::dpop;

use super::*;

#[test]
fn a_token_goes_to_the_issuer_whose_prefix_it_has_and_to_nobody_else() {
    let (corp, other, origin) = (HttpsIssuer::start(), HttpsIssuer::start(), RecordingOrigin::start());
    corp.say(PATH, says(&active()));
    let mut theirs = active();
    (theirs["iss"], theirs["sub"]) = (json!("https://other.test"), json!("guest"));
    other.say(PATH, says(&theirs));
    let of_corp = issuer_text(&corp.url(PATH), "10m", "").replace("cache =", "prefix = \"corp_\", cache =");
    let of_other = issuer_text(&other.url(PATH), "10m", "")
        .replace("cache =", "prefix = \"oth-\", cache =")
        .replace("name = \"corp\"", "name = \"other\"")
        .replace(ISSUER, "https://other.test")
        .replace("id-ca.pem", "other-ca.pem");
    let policy = policy_text(&origin, &format!("{of_corp}\n{of_other}")).agent(
        "guest",
        "{ token = { issuer = \"other\", subject = \"guest\" } }",
        &["all"],
        &[],
    );
    let gateway = Deployment::new()
        .file("client.key", SECRET)
        .file("id-ca.pem", &corp.ca)
        .file("other-ca.pem", &other.ca)
        .with(CLIENT)
        .run(&policy.text());
    let status = |token: &str| gateway.once(get("/", &format!("{}Connection: close\r\n", bearer(token)))).status;
    for (token, expected) in [("corp_1", 200), ("oth-1", 200), ("oth_1", 401), ("xcorp_1", 401), ("Corp_1", 401)] {
        assert_eq!(status(token), expected, "{token}");
    }
    let agents: Vec<_> = origin.requests().iter().map(|of| of.value("Adamant-Agent").unwrap().to_owned()).collect();
    assert_eq!(agents, ["bot", "guest"]);
    assert_eq!((corp.asked_about(PATH, "corp_1"), other.asked_about(PATH, "oth-1")), (1, 1));
    assert_eq!((corp.heard().len(), other.heard().len()), (1, 1), "each has its own, and nobody the rest");
}

#[test]
fn a_token_bound_to_a_key_passes_with_a_proof_and_never_without() {
    let scene = Scene::new("10m", "");
    let (holder, thief) = (TokenKey::generate("ES256", "h"), TokenKey::generate("ES256", "h"));
    let mut answer = active();
    answer["cnf"] = json!({ "jkt": dpop::thumbprint(&holder) });
    answer["token_type"] = json!("DPoP");
    scene.issuer.say(PATH, says(&answer));
    let proof = |key: &TokenKey, token: &str| {
        key.sign_with(&dpop::proof_header(key), &dpop::proof_claims("http://api.test/", token))
    };
    let ask = |proof: &str| scene.gateway.once(get("/", &dpop::fields("bound", proof))).status;
    let first = proof(&holder, "bound");
    assert_eq!(ask(&first), 200, "{}", scene.gateway.record_text());
    assert_eq!(ask(&first), 401, "a proof counts once");
    assert_eq!(ask(&proof(&thief, "bound")), 401, "stolen, with the thief's own key");
    assert_eq!(ask(&proof(&holder, "another")), 401, "a proof of another token");
    assert_eq!(scene.status("bound"), 401, "as a bearer token");
    assert_eq!(ask(&proof(&holder, "bound")), 200);
    let records = scene.gateway.wait_for_records(6);
    let permitted: Vec<_> = records.iter().filter(|record| record["adamant.decision"] == "permit").collect();
    assert!(
        permitted.len() == 2 && permitted.iter().all(|record| record["adamant.token.bound"] == "dpop"),
        "{records:?}"
    );
    assert!(permitted.iter().all(|record| record["adamant.token.by"] == "introspection"));
    assert_eq!(scene.issuer.asked(PATH), 1);
}
