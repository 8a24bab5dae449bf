//! x509-limbo against the path that [`ClientCa::verify`] takes.
//!
//! Most cases are about server certificates. They are run with the server's usage in place of the client's and with the
//! name check that rustls adds for servers, which tests chains, constraints, dates and encodings all the same. The
//! client usage is tested by the CLIENT cases, and by running every SERVER case as a client too: a chain that is wrong
//! in any other way than by its usage or its name must not verify as a client either.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use webpki::EndEntityCert;

use super::{ClientCa, Purpose, RevocationLists};

#[derive(Deserialize)]
struct Limbo {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    #[serde(default)]
    crls: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
}

#[derive(Deserialize)]
struct PeerName {
    kind: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    deviation: Vec<Deviation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    expected: String,
    cases: Vec<String>,
    reason: String,
}

fn cases() -> Option<Vec<Case>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/x509/limbo.json");
    #[allow(clippy::disallowed_methods, reason = "the crate itself reads no files; its vectors are files")]
    let text = std::fs::read_to_string(path);
    let Ok(text) = text else {
        eprintln!("SKIPPED: no corpus of x509-limbo to test with, ../shared/conformance/x509/limbo.json is not there");
        return None;
    };
    Some(serde_json::from_str::<Limbo>(&text).unwrap().testcases)
}

fn der(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("{error:?}"))
}

/// Seconds since the Unix epoch of `YYYY-MM-DDTHH:MM:SS+00:00` (days from the civil date as by Howard Hinnant).
fn seconds(time: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| time[range].parse::<i64>().unwrap();
    assert!(time.ends_with("+00:00") || time.ends_with('Z'), "{time}");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, shifted) = (year.div_euclid(400), (month + 9) % 12);
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let of_era = year.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + number(11..13) * 3_600 + number(14..16) * 60 + number(17..19);
    u64::try_from(seconds).unwrap()
}

fn verify(case: &Case, purpose: Purpose) -> Result<(), String> {
    // Cases without a time mean now; any time after 2024 serves their certificates' five hundred years.
    let now_s = case.validation_time.as_deref().map_or(1_735_689_600, seconds);
    let mut ca = ClientCa::from_pem("limbo", &case.trusted_certs.concat()).map_err(|error| error.to_string())?;
    if !case.crls.is_empty() {
        let lists = RevocationLists::read(case.crls.concat().as_bytes(), &ca, true, now_s)
            .map_err(|error| error.to_string())?;
        ca = ca.with_revocation(Some(Arc::new(lists)));
    }
    let mut chain = vec![der(&case.peer_certificate)?];
    for intermediate in &case.untrusted_intermediates {
        chain.push(der(intermediate)?);
    }
    ca.verify_for(&chain, now_s, purpose, std::slice::from_ref(&ca)).map_err(|error| error.to_string())?;
    let name = case.expected_peer_name.as_ref().filter(|name| purpose == Purpose::Server && name.kind != "RFC822");
    if let Some(name) = name {
        let name = ServerName::try_from(name.value.as_str()).map_err(|_| "a server name that is none".to_owned())?;
        let leaf = EndEntityCert::try_from(&chain[0]).map_err(|error| format!("{error:?}"))?;
        leaf.verify_is_valid_for_subject_name(&name).map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

#[test]
fn seconds_are_those_of_the_unix_epoch() {
    assert_eq!(seconds("1970-01-01T00:00:00+00:00"), 0);
    assert_eq!(seconds("2024-01-01T00:00:00+00:00"), 1_704_067_200);
    assert_eq!(seconds("2000-02-29T12:34:56+00:00"), 951_827_696);
}

#[test]
fn verdicts_are_those_of_limbo_but_for_listed_deviations() {
    let Some(cases) = cases() else {
        return;
    };
    assert_eq!(cases.len(), 208);
    let mut deviating: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut explained = Vec::new();
    for case in &cases {
        let purpose = if case.validation_kind == "CLIENT" { Purpose::Client } else { Purpose::Server };
        let verdict = verify(case, purpose);
        match (case.expected_result.as_str(), &verdict) {
            ("SUCCESS", Err(why)) => {
                deviating.entry("success").or_default().push(case.id.clone());
                explained.push(format!("refused {}: {why}", case.id));
            }
            ("FAILURE", Ok(())) => {
                deviating.entry("failure").or_default().push(case.id.clone());
                explained.push(format!("accepted {}", case.id));
            }
            _ => {}
        }
    }
    for expected in ["success", "failure"] {
        let mut seen = deviating.remove(expected).unwrap_or_default();
        seen.sort();
        assert_eq!(seen, listed(expected), "left: seen; right: listed.\n{}", explained.join("\n"));
    }
}

/// The cases listed under this word, sorted. A case that is listed and does not deviate is a fault of the list.
fn listed(expected: &str) -> Vec<String> {
    let listed: Listed = toml::from_str(include_str!("../../tests/deviations-limbo.toml")).unwrap();
    let mut cases = Vec::new();
    for deviation in listed.deviation {
        assert!(["success", "failure", "server"].contains(&deviation.expected.as_str()), "{}", deviation.expected);
        assert!(!deviation.reason.is_empty());
        cases.extend(deviation.cases.into_iter().filter(|_| deviation.expected == expected));
    }
    cases.sort();
    cases
}

/// Of all cases that must fail, those that verify as a client are listed one by one: as deviations, or as cases whose fault is
/// one of a server alone.
#[test]
fn nothing_that_must_fail_verifies_as_a_client_unless_it_is_listed() {
    let Some(cases) = cases() else {
        return;
    };
    let deviations = listed("failure");
    let must_fail = cases.iter().filter(|case| case.expected_result == "FAILURE");
    let accepted = must_fail.filter(|case| verify(case, Purpose::Client).is_ok()).map(|case| case.id.clone());
    let mut of_servers: Vec<String> = accepted.filter(|id| !deviations.contains(id)).collect();
    of_servers.sort();
    assert_eq!(of_servers, listed("server"), "left: seen; right: listed");
}

/// A server's leaf that allows server authentication alone must not serve as a client's, and no broken chain may.
#[test]
fn server_cases_do_not_verify_as_clients_unless_their_usage_allows_it() {
    let Some(cases) = cases() else {
        return;
    };
    let (mut verified, mut refused_for_usage) = (0, 0);
    for case in cases.iter().filter(|case| case.validation_kind == "SERVER") {
        match (verify(case, Purpose::Client), verify(case, Purpose::Server)) {
            (Ok(()), server) => {
                verified += 1;
                // Clients are not checked against a name, and some leaves are for clients alone.
                let only_as_server = ["NotValidForName", "MalformedDns", "server name", "RequiredEkuNotFound"];
                let why = server.err().unwrap_or_default();
                assert!(why.is_empty() || only_as_server.iter().any(|known| why.contains(known)), "{}: {why}", case.id);
            }
            (Err(why), Ok(())) => {
                assert!(why.contains("RequiredEkuNotFound"), "{}: {why}", case.id);
                refused_for_usage += 1;
            }
            (Err(_), Err(_)) => {}
        }
    }
    println!("server cases as clients: {verified} verify, {refused_for_usage} refused for their usage alone");
    assert!(refused_for_usage > 40, "{refused_for_usage}");
}
