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
    for (token, expected) in [("corp_1", 200), ("oth-1", 200), ("oth_1", 401), ("xcorp_1", 401), ("Corp_1", 401)] {
        comes_to(&gateway, &request_with(token), expected);
    }
    let agents: Vec<_> = origin.requests().iter().map(|of| of.value("Adamant-Agent").unwrap().to_owned()).collect();
    assert_eq!(agents, ["bot", "guest"]);
    let asked = (corp.asked_about(PATH, "corp_1"), other.asked_about(PATH, "oth-1"));
    assert!(asked.0 >= 1 && asked.1 >= 1, "{asked:?}");
    were_asked(&gateway, || asked.0 + asked.1, 2);
    assert_eq!((corp.heard().len(), other.heard().len()), asked, "each has its own, and nobody the rest");
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
    comes_to(&scene.gateway, &get("/", &dpop::fields("bound", &first)), 200);
    assert_eq!(ask(&first), 401, "a proof counts once");
    assert_eq!(ask(&proof(&thief, "bound")), 401, "stolen, with the thief's own key");
    assert_eq!(ask(&proof(&holder, "another")), 401, "a proof of another token");
    assert_eq!(scene.status("bound"), 401, "as a bearer token");
    assert_eq!(ask(&proof(&holder, "bound")), 200);
    scene.gateway.wait_for_records(6);
    let permitted = || scene.gateway.records().into_iter().filter(|record| record["adamant.decision"] == "permit");
    assert!(eventually(SOON, || permitted().count() == 2), "{}", scene.gateway.record_text());
    assert!(permitted().all(|record| record["adamant.token.bound"] == "dpop"));
    assert!(permitted().all(|record| record["adamant.token.by"] == "introspection"));
    were_asked(&scene.gateway, || scene.issuer.asked(PATH), 1);
}
