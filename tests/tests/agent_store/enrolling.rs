//! `agent enroll --store`: what it takes from the channel, and what it refuses.

use super::*;

#[test]
fn what_the_channel_does_not_say_for_sure_is_refused() {
    let stage = Stage::directory();
    stage.build(1, &["orders:read"]);
    let enroll = format!("agent enroll p --agent reports-bot --ca ca {AT}");
    let said = stage.bad(&enroll);
    assert!(said.contains("channels/production/pointer.json is not there"), "{said}");
    stage.point(1);
    let said = stage.bad(&enroll);
    assert!(said.contains("has no profile document: adamant profile issue makes it"), "{said}");

    let issue = format!("profile issue {AT} --gateway https://localhost:8443");
    let said = stage.bad(&format!("{issue} --gateway-ca ca/ca.pem --key 1.key"));
    assert!(said.contains("release-wider has") && said.contains("nothing was published"), "{said}");
    let said = stage.bad(&format!("{issue} --gateway-ca ca/ca.pem --key 4.key"));
    assert!(said.contains("expected a key of role release-wider"), "{said}");
    let said = stage.bad(&format!("{issue} --gateway-ca server.key --key 1.key --key 2.key"));
    assert!(said.contains("found a private key"), "{said}");
    let (_, said) = stage.try_run(&format!("{issue} --key 1.key --key 2.key"));
    assert!(said.contains("expected a pinned CA or key of the gateway"), "{said}");
    // Who could be called there, and is not in any route.
    let text = stage.policy(&["orders:read"]).text().replace("host = \"*\"", "host = \"api.corp.example\"");
    stage.world.write("policy.toml", text.as_bytes());
    let end = "--version 9 --expires 2100-01-01T00:00:00Z";
    ok(stage.world.home(), &format!("release build policy.toml {end} --out 9.json"));
    ok(stage.world.home(), "release sign 9.json --key 1.key --key 2.key");
    let said = stage.run(&format!("{issue} --gateway-ca ca/ca.pem --key 1.key --release 9.json --out 9.document.json"));
    assert!(said.contains("no route of the release is at localhost: they are at api.corp.example"), "{said}");
    // One after the other, as people do.
    stage.run(&format!("{issue} --gateway-ca ca/ca.pem --key 1.key --out document.json"));
    stage.run("profile sign document.json --key 2.key --trust-root root.json");
    stage.run(&format!("profile publish document.json {AT}"));
    let shown = stage.run(&format!("profile show {AT}"));
    assert!(shown.contains("https://localhost:8443") && shown.contains("serial   1,"), "{shown}");

    let said = stage.bad(&format!("agent enroll p --agent nobody --ca ca {AT}"));
    assert!(said.contains("knows no agent \"nobody\"") && said.contains("reports-bot"), "{said}");
    let said = stage.bad(&format!("{enroll} --gateway https://evil.example --gateway-ca ca/ca.pem"));
    assert!(said.contains("the channel says where the gateway is (https://localhost:8443)"), "{said}");
    let said = stage.bad(&format!("{} --spiffe spiffe://corp.example/x", enroll));
    assert!(said.contains("the release knows reports-bot as"), "{said}");
    let said = stage.bad(&format!("agent enroll p --agent reports-bot {AT}"));
    assert!(said.contains("found none of --ca, --requests, --openbao and --acme"), "{said}");
    assert!(!stage.world.path("p/current").exists());

    // The only channel needs no name.
    stage.run("agent enroll p --agent reports-bot --ca ca --trust-root root.json");
    assert_eq!(stage.profile()["follows"]["channel"], "production");
    // Another enrolment goes by what was seen: the store of before is none any more.
    let first = fs::read(stage.world.pointer_path()).unwrap();
    stage.run(&format!("point {AT} --key 4.key --release current"));
    stage.run(&format!("{enroll} --force"));
    stage.world.replace(&stage.world.pointer_path(), &first);
    let said = stage.bad(&format!("{enroll} --force"));
    assert!(said.contains("expected serial 2 or higher, found serial 1"), "{said}");
}

#[test]
fn an_enrolment_for_another_channel_makes_nothing_forgotten_of_this_one() {
    let stage = Stage::directory();
    let _gateway = stage.opened();
    stage.enroll();
    let first = fs::read(stage.world.pointer_path()).unwrap();
    stage.run(&format!("point {AT} --key 4.key --release current"));
    let enroll = format!("agent enroll p --force --agent reports-bot --ca ca {AT}");
    stage.run(&enroll);
    // One for another channel that waits for its certificate, and one that does not.
    fs::create_dir_all(stage.world.path("store/channels/staging")).unwrap();
    fs::create_dir(stage.world.path("shared")).unwrap();
    let elsewhere = |line: &str| line.replace("production", "staging");
    stage.run(&elsewhere(&format!("point {AT} --key 4.key --release 1.json")));
    for source in ["--requests shared", "--ca ca"] {
        stage.run(&elsewhere(&enroll.replace("--ca ca", source)));
        stage.world.replace(&stage.world.pointer_path(), &first);
        let said = stage.bad(&enroll);
        assert!(said.contains("expected serial 2 or higher, found serial 1"), "{source}: {said}");
    }
    assert_eq!(stage.profile()["follows"]["channel"], "staging");
}

#[test]
fn an_enrolment_that_waits_follows_once_it_is_answered() {
    let stage = Stage::directory();
    let _gateway = stage.opened();
    fs::create_dir(stage.world.path("shared")).unwrap();
    stage.run(&format!("agent enroll p --agent reports-bot --requests shared {AT}"));
    let keeper = stage.follow();
    keeper.says("\"waiting\"", 1);
    stage.point(2);
    let issue = "ca issue ca --csr shared/reports-bot.csr --out shared/reports-bot.pem --spiffe";
    ok(stage.world.home(), &format!("{issue} {ID}"));
    keeper.says("\"what\":\"certificate\",\"why\":\"missing\"", 2);
    stage.is_soon_at(2, &keeper);
    keeper.end();
}

#[test]
fn a_token_of_the_environment_alone_is_refused_because_nothing_could_renew_with_it() {
    let stage = Stage::directory();
    let mut command = std::process::Command::new(tests::gateway::binary());
    let line = format!("agent enroll p --agent reports-bot --ca ca {AT} --store consul+https://127.0.0.1:9/adamant");
    command.args(line.split(' ')).current_dir(stage.world.home()).env("CONSUL_HTTP_TOKEN", "s.cr3t");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("expected the store's token in a file") && !said.contains("s.cr3t"), "{said}");
}

#[test]
fn certificates_come_from_where_the_document_says() {
    let Some(binary) = tests::openbao::binary() else { return };
    let server = tests::openbao::OpenBao::start(&binary);
    server.operate("secrets enable pki");
    let ca =
        server.operate("write -field=certificate pki/root/generate/internal common_name=agents ttl=8760h key_type=ec");
    server.operate(
        "write pki/roles/reports-bot allowed_uri_sans=spiffe://corp.example/* allow_any_name=true require_cn=false key_type=ec \
         server_flag=false client_flag=true max_ttl=24h",
    );
    let policy = r#"path "pki/sign/*" { capabilities = ["update"] }"#;
    server.operate_with("policy write signer -", policy);

    let stage = Stage::directory();
    secret(&stage.world, "bao.token", &server.operate("token create -policy=signer -field=token"));
    stage.world.write("bao-agents.pem", ca.as_bytes());
    let text = stage.policy(&["orders:read"]).text().replace("ca/ca.pem", "bao-agents.pem");
    stage.world.write("policy.toml", text.as_bytes());
    ok(stage.world.home(), "release build policy.toml --version 1 --expires 2100-01-01T00:00:00Z --out 1.json");
    ok(stage.world.home(), "release sign 1.json --key 1.key --key 2.key");
    stage.point(1);
    let gateway = stage.world.start();
    let gateway_url = url(&gateway, "localhost");
    stage.run(&format!(
        "profile issue {AT} --gateway {gateway_url} --gateway-ca ca/ca.pem --openbao https://127.0.0.1:{} --key 1.key --key 2.key",
        server.port
    ));
    let said = stage.bad(&format!("agent enroll p --agent reports-bot {AT}"));
    assert!(said.contains("found no token for it"), "{said}");
    let other = "--openbao https://127.0.0.1:1 --role reports-bot --bao-token-file bao.token";
    let said = stage.bad(&format!("agent enroll p --agent reports-bot {AT} {other}"));
    assert!(said.contains("and so does --openbao"), "{said}");
    let bao_ca = server.ca().display().to_string();
    stage.run(&format!("agent enroll p --agent reports-bot {AT} --bao-token-file bao.token --bao-ca {bao_ca}"));
    let _proxy = proxy(&stage);
    assert!(stage.call("/orders/7").starts_with("HTTP/1.1 200"), "{}", stage.call("/orders/7"));
}
