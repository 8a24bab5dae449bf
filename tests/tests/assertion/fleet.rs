//! The public keys, for origins elsewhere: over mutual TLS, and of a whole fleet in one set.

use tests::client::Client;
use tests::gateway::run;

use super::*;

fn with_status(gateways: &Authority, askers: &Authority) -> Guarded {
    let server = gateways.server(&["127.0.0.1"]);
    let lines = "[status]\naddress = \"127.0.0.1:0\"\ntls = { chain = \"status.pem\", key = \"status.key\" }\n\
                 client_ca = \"askers.pem\"\n";
    let deployment = Deployment::new()
        .file("status.pem", &server.certificate)
        .file("status.key", &server.key)
        .file("askers.pem", &askers.pem)
        .file("gateways.pem", &gateways.pem)
        .with(lines);
    Guarded::new(deployment)
}

fn kids(set: &str) -> Vec<String> {
    let set: Value = serde_json::from_str(set).unwrap_or_else(|error| panic!("{error}: {set}"));
    let keys = set["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key["alg"] == "ES256" && key["use"] == "sig" && key.get("d").is_none()), "{set}");
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn origins_get_the_keys_of_one_gateway_or_of_all() {
    let (gateways, askers) = (Authority::new("gateways"), Authority::new("askers"));
    let (one, other) = (with_status(&gateways, &askers), with_status(&gateways, &askers));
    let asker = askers.spiffe("spiffe://fleet/orders");
    let over_tls = |of: &Gateway| {
        let config = gateways.client_config(Some(&asker));
        let mut client = Client::connect_tls(of.status_address(), "127.0.0.1", &config).unwrap();
        let answer = client.exchange("GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.status, 200);
        kids(&answer.text())
    };
    let mut all = [over_tls(&one.gateway), over_tls(&other.gateway)].concat();
    assert_eq!(over_tls(&one.gateway), kids(&one.gateway.admin("/.well-known/jwks.json").text()));

    let directory = one.gateway.directory();
    fs::write(directory.join("me.pem"), &asker.certificate).unwrap();
    fs::write(directory.join("me.key"), &asker.key).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(directory.join("me.key"), mode).unwrap();
    let [first, second] = [&one, &other].map(|of| format!("https://{}", of.gateway.status_address()));
    let access = ["--ca", "gateways.pem", "--cert", "me.pem", "--key", "me.key"];
    let ask = |more: &[&str]| run(&[&["status", "--jwks"], more, &access].concat(), directory);
    let (status, merged, stderr) = ask(&[&first, &second]);
    assert!(status.success(), "{stderr}");
    all.sort();
    assert_eq!((kids(&merged), all.len()), (all, 4));
    assert!(stderr.contains("warning: nothing shows that these are keys of your gateways"), "{stderr}");

    // Requests of a gateway that is left out would be refused: rather no set at all.
    let (status, shown, stderr) = ask(&[&first, "https://127.0.0.1:1"]);
    assert!(!status.success() && shown.is_empty() && stderr.contains("no keys are shown"), "{shown}{stderr}");
    let (pin, wrong) = (directory.join("state/node.pub"), other.gateway.directory().join("state/node.pub"));
    let (status, _, stderr) = ask(&[&first, "--node-key", pin.to_str().unwrap()]);
    assert!(status.success() && stderr.is_empty(), "{stderr}");
    let (status, shown, stderr) = ask(&[&first, "--node-key", wrong.to_str().unwrap()]);
    assert!(!status.success() && shown.is_empty() && stderr.contains("not pinned"), "{shown}{stderr}");
}
