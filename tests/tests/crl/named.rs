//! Two CAs of one name, as a rotation of the built-in CA has them: what is said of them tells them apart, and what is not well
//! is told until it is.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_ca_without_a_list_is_a_problem_until_it_has_one_and_cas_of_one_name_are_told_apart() {
    let (agents, next) = (Authority::new("agents"), Authority::new("agents"));
    let servers = Authority::new("servers");
    let origin = RecordingOrigin::start();
    let deployment = Deployment::new()
        .file("agents.pem", &format!("{}{}", agents.pem, next.pem))
        .file("agents.crl", &agents.crl(1, &[], DAY));
    let gateway = deployment.tls_listener(&servers.server(&[HOST]), "required").run(&policy(&origin, ""));
    let stage = Stage { gateway, origin, servers, agents };
    let both = format!("{}{}", stage.agents.crl(2, &[], DAY), next.crl(2, &[], DAY));
    let status = || {
        let admin = format!("http://{}", stage.gateway.admin_address());
        tests::gateway::run(&["status", &admin], stage.gateway.directory()).1
    };
    let told = format!("no revocation list of CN=agents [{}]", &sha256_of(&next.pem)[..8]);
    assert!(status().contains(&told), "{told}: {}", status());
    assert_eq!(stage.status(&next.spiffe(BOT)), None);
    assert!(stage.gateway.metric("crl_failures_total") > 0.0);

    stage.put(&both);
    assert!(eventually(SOON, || stage.status(&next.spiffe(BOT)) == Some(200)), "{}", stage.gateway.stderr());
    assert!(eventually(SOON, || !status().contains("no revocation list")), "{}", status());
    let series = || {
        let text = stage.gateway.admin("/metrics").text();
        let of = |line: &&str| line.starts_with("adamant_expiry_timestamp_seconds{of=\"crl\"");
        text.lines()
            .filter(of)
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert!(eventually(SOON, || series().len() == 2), "{:?}", series());
    assert_eq!(series().into_iter().collect::<BTreeSet<_>>().len(), 2, "{:?}", series());

    // Bad, and good again: both are on record.
    let outcomes = || {
        let lines = stage.gateway.refreshes("crl").into_iter();
        lines.map(|line| line["adamant.refresh.outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    stage.put_bad("garbage", "expected revocation lists in PEM");
    stage.put(&both);
    assert!(eventually(SOON, || outcomes() == ["taken", "refused", "unchanged"]), "{:?}", outcomes());
    stage.gateway.tells("is good again");
}

fn sha256_of(pem: &str) -> String {
    Identity { certificate: pem.to_owned(), key: String::new() }.sha256()
}
