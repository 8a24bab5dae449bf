//! Lists of an intermediate, whose key the gateway learns with a chain.

use super::*;

/// A client certificate that `middle` issued, with the one of `middle` behind it.
fn issued(middle: &Authority) -> Identity {
    let leaf = middle.spiffe(BOT);
    Identity { certificate: leaf.certificate.clone() + &middle.pem, ..leaf }
}

#[test]
fn a_list_that_a_chain_has_proven_does_not_go_back_nor_away() {
    let root = Authority::new("agents");
    let middle = root.intermediate("middle");
    let (good, lost) = (issued(&middle), issued(&middle));
    let with = |number: u64, other: &str| root.crl(number, &[], DAY) + other;
    // Somebody else signed it: it holds nothing up but what the intermediate issued.
    let forged = Authority::new("middle").crl(900, &[], DAY);
    let first = with(1, &forged);
    let (newer, older) = (middle.crl(5, &[&lost], DAY), middle.crl(4, &[], DAY));
    let [newer, older, without, later] = [with(2, &newer), with(3, &older), with(4, ""), with(5, &older)];
    let mut stage = Stage::new(root, &first);
    assert_eq!((stage.status(&good), stage.status(&lost)), (None, None));
    stage.put(newer);
    assert!(eventually(SOON, || stage.status(&good) == Some(200)), "{}", stage.gateway.stderr());
    assert_eq!(stage.status(&lost), None);
    let state = stage.gateway.directory().join("state");
    let is_proven = |text: Vec<u8>| String::from_utf8_lossy(&text).contains("in-force-proven ");
    let kept = || kept_files(&state).into_iter().filter_map(|path| fs::read(path).ok());
    assert!(eventually(SOON, || kept().any(is_proven)), "a chain has proven it");
    let taken = |count: usize| {
        let is_taken = eventually(SOON, || stage.gateway.record_text().matches("\"crl\"").count() > count);
        assert!(is_taken, "{}", stage.gateway.stderr());
    };
    // What else the file has does not wait for an older one.
    stage.put(&older);
    stage.gateway.tells("expected a list of CN=middle as well, found none or an older one");
    taken(1);
    assert_eq!((stage.status(&good), stage.status(&lost)), (Some(200), None), "it stays in force");
    stage.put(&without);
    taken(2);
    let metric = || stage.gateway.metric("crl_revoked_certificates") as u64;
    assert_eq!((metric(), stage.status(&good), stage.status(&lost)), (1, Some(200), None), "it stays in force");
    stage.put(&later);
    stage.gateway.restart("TERM");
    assert_eq!((stage.status(&good), stage.status(&lost)), (Some(200), None), "over a restart too");
}
