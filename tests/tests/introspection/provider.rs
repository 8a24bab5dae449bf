//! Against a real authorization server: what it issues passes, until it takes it back.

use tests::dpop;
use tests::oidc::{OidcProvider, directory};

use super::*;

#[test]
fn what_a_real_server_issues_passes_until_it_takes_it_back() {
    let Some(directory) = directory() else { return };
    let (server, origin) = (OidcProvider::start(&directory), RecordingOrigin::start());
    let asked = format!("url = \"{}/token/introspection\"", server.issuer());
    // Its tokens of machines name no subject.
    let issuer = issuer_text("URL", "1s", "")
        .replace("url = \"URL\", ca = { file = \"id-ca.pem\" }", &asked)
        .replace("cache =", "subject = \"client_id\", cache =")
        .replace(ISSUER, &server.issuer());
    let gateway = Deployment::new().file("client.key", SECRET).with(CLIENT).run(&policy_text(&origin, &issuer).text());
    let status = |fields: &str| gateway.once(get("/", &format!("{fields}Connection: close\r\n"))).status;
    let issue = |fields: &str| {
        let form = "grant_type=client_credentials&resource=https%3A%2F%2Fapi.test&scope=all";
        let answer = server.post("/token", form, fields);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: Value = serde_json::from_str(&answer.text()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    };

    let token = issue("");
    comes_to(&gateway, &request_with(&token), 200);
    assert_eq!(origin.last_of(1).value("Adamant-Agent"), Some("bot"));
    assert_eq!(status(&bearer("one-that-it-never-issued")), 401);

    let holder = TokenKey::generate("ES256", "h");
    let mut asking = dpop::proof_claims(&format!("{}/token", server.issuer()), "");
    asking["htm"] = json!("POST");
    asking.as_object_mut().unwrap().remove("ath");
    let bound = issue(&format!("DPoP: {}\r\n", holder.sign_with(&dpop::proof_header(&holder), &asking)));
    let proof = dpop::proof_claims("http://api.test/", &bound);
    let proof = dpop::fields(&bound, &holder.sign_with(&dpop::proof_header(&holder), &proof));
    assert_eq!(status(&bearer(&bound)), 401);
    comes_to(&gateway, &get("/", &proof), 200);
    assert_eq!(status(&proof), 401);

    assert_eq!(server.post("/token/revocation", &format!("token={token}"), "").status, 200);
    assert!(eventually(SOON, || status(&bearer(&token)) == 401), "an answer counts for a second");
}
