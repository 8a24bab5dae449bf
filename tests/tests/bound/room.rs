//! How long and for whom proofs are remembered, and whom the failures of others hold back.

use super::*;

#[test]
fn proofs_that_cannot_be_remembered_are_refused_and_one_subject_leaves_room_for_others() {
    let stage = Proving::new(Deployment::new().with("[bounds]\ndpop_proofs_max = 64"));
    let ask = |subject: &str| {
        let token = stage.token(subject);
        stage.ask(&token, &stage.proof(&token, |_| {})).status
    };
    let passed = (0..64).take_while(|_| ask("free") == 200).count();
    assert!((1..=32).contains(&passed), "{passed} of 64: half of the room is the most");
    // One in 4,096 shares the bucket of the first.
    let one_passes = ["bot", "slow"].iter().any(|subject| ask(subject) == 200);
    assert!(one_passes, "there is room for others: {}", stage.gateway.record_text());
    let records = stage.gateway.wait_for_records(passed + 2);
    let reasons: Vec<&str> = records.iter().filter_map(|record| record["adamant.reason"].as_str()).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == "dpop-replays-full"), "{reasons:?}");
}

#[test]
fn what_is_not_let_through_takes_no_room_for_proofs() {
    let stage = Proving::new(Deployment::new().with("[bounds]\ndpop_proofs_max = 8"));
    let token = stage.token("slow");
    assert_eq!(stage.ask(&token, &stage.proof(&token, |_| {})).status, 200);
    let proof = stage.proof(&token, |_| {});
    for _ in 0..2 {
        assert_eq!(stage.ask(&token, &proof).status, 429, "over its limit, and its proof is not spent");
    }
    for _ in 0..20 {
        assert_eq!(stage.ask(&token, &stage.proof(&token, |_| {})).status, 429);
    }
    let token = stage.token("bot");
    assert_eq!(stage.ask(&token, &stage.proof(&token, |_| {})).status, 200, "the room is still there");
}

#[test]
fn failures_of_others_do_not_lock_out_who_proves_a_key() {
    let stage = Proving::new(Deployment::new().with("[bounds]\nidentification_failures_per_s_max = 1"));
    let token = stage.token("bot");
    assert_eq!(stage.ask(&token, &stage.proof(&token, |_| {})).status, 200, "the token is known from now on");
    for number in 0..8 {
        let garbage = bearer(&stage.issuer.sign(&claims("bot")).replace('.', &format!("{number}.")));
        assert_eq!(stage.gateway.once(get("/orders/7", &garbage)).status, 401);
    }
    assert_eq!(stage.ask(&token, &stage.proof(&token, |_| {})).status, 200);
    let records = stage.gateway.wait_for_records(10);
    assert!(records.iter().any(|record| record["adamant.reason"] == "identification-throttled"), "{records:?}");
}

#[test]
fn wrong_proofs_are_bounded_in_total_and_lock_nobody_else_out() {
    let stage = Proving::new(Deployment::new().with("[bounds]\nidentification_failures_per_s_max = 1"));
    let token = stage.token("bot");
    assert_eq!(stage.ask(&token, &stage.proof(&token, |_| {})).status, 200, "the token is known from now on");
    for _ in 0..8 {
        let wrong = stage.proof(&token, |claims| claims["htm"] = json!("POST"));
        assert_eq!(stage.ask(&token, &wrong).status, 401);
    }
    let unknown = bearer(&stage.issuer.sign(&claims("free")));
    assert_eq!(stage.gateway.once(get("/orders/7", &unknown)).status, 200, "another one's token is looked at");
    let records = stage.gateway.wait_for_records(10);
    let reasons: Vec<&str> = records.iter().filter_map(|record| record["adamant.reason"].as_str()).collect();
    let count = |wanted: &str| reasons.iter().filter(|reason| **reason == wanted).count();
    let (looked_at, throttled) = (count("dpop-request-wrong"), count("identification-throttled"));
    assert!(looked_at >= 1 && throttled >= 1 && looked_at + throttled == 8, "{reasons:?}");
}

#[test]
fn with_nonces_a_proof_of_before_a_restart_does_not_pass_again() {
    let mut stage = Proving::new(Deployment::new().with("[dpop]\nnonce = true"));
    let token = stage.token("bot");
    let asked = stage.ask(&token, &stage.proof(&token, |_| {}));
    let nonce = asked.value("DPoP-Nonce").expect("a nonce").to_owned();
    let proof = stage.proof(&token, |claims| claims["nonce"] = json!(nonce));
    assert_eq!(stage.ask(&token, &proof).status, 200);
    stage.gateway.restart("TERM");
    let again = stage.ask(&token, &proof);
    assert_eq!(again.status, 401);
    assert!(
        challenge(&again, "DPoP").is_some_and(|told| told.contains("error=\"use_dpop_nonce\"")),
        "{:?}",
        again.fields
    );
}
