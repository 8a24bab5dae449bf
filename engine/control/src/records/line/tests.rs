//! Whatever a client sent, its record is one line of valid JSON that says what was decided.

use policy::binding::Bindings;
use std::net::{IpAddr, Ipv4Addr};

use activation::record::{LimitsBefore, STATE_FULL};
use policy::reason::Reason;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::records::naming::fake::Fake;

pub(crate) fn record<'a>(path: &'a [u8], query: Option<&'a [u8]>) -> Record<'a> {
    let mut limits = LimitsBefore { len: 1, ..LimitsBefore::default() };
    limits.entries[0] = (5, u64::MAX - 2);
    Record {
        kind: Kind::Exchange,
        time_unix_ns: 1_800_000_000_000_000_042,
        request_id: 0xab,
        activation: 3,
        listener: 0,
        transport: Transport::Tls13,
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        method: b"GET",
        host: b"api.example",
        path,
        query,
        permitted: true,
        reason: Some(Reason::OriginBroke),
        status: 502,
        agent: Some(1),
        granted_by: Some(2),
        route: Some(3),
        scope: Some(4),
        token: Some(TokenFacts {
            issuer: 7,
            subject: b"bot",
            kid: Some(b"k"),
            expires_s: 12,
            scopes: Some(b"a b"),
            bound: Bindings::CERTIFICATE,
            introspected: false,
        }),
        api_key: Some(6),
        certificate: Some(CertificateFacts { sha256: [0xcd; 32], names: b"\x05\0dns:a", cas: 0b101 }),
        limits,
        origin: Some("[::1]:80".parse().unwrap()),
        retried: true,
        bytes_in: 1,
        bytes_out: 2,
        decided_us: 3,
        first_byte_us: 4,
        total_us: 5,
        count: 9,
        revocations: 0,
    }
}

fn written(record: &Record<'_>, names: Option<&dyn Naming>) -> String {
    written_by(&mut Lines::default(), record, names)
}

fn written_by(lines: &mut Lines, record: &Record<'_>, names: Option<&dyn Naming>) -> String {
    let (mut out, mut bytes) = (Vec::new(), Vec::new());
    record.encode(&mut bytes);
    lines.put(&mut out, record, Record::facts(&bytes), Place { worker: 1, sequence: 8 }, names);
    String::from_utf8(out).unwrap()
}

#[test]
fn names_stand_for_indices_and_values_of_the_query_are_gone() {
    let line = written(&record(b"/orders/1", Some(b"key=s3cret")), Some(&Fake));
    let expected = concat!(
        r#"{"time":"2027-01-15T08:00:00.000000042Z","adamant.kind":"exchange","adamant.worker":1,"adamant.sequence":8,"#,
        r#""adamant.activation":3,"adamant.release":"sha256:fake","#,
        r#""adamant.request_id":"000000000000000000000000000000ab","client.address":"192.0.2.1","adamant.listener":0,"#,
        r#""network.protocol.name":"http","url.scheme":"https","tls.protocol.version":"1.3","#,
        r#""http.request.method":"GET","server.address":"api.example","url.path":"/orders/1","#,
        r#""url.query":"key=REDACTED","adamant.decision":"permit","adamant.reason":"origin-broke","#,
        r#""adamant.agent":"agent-1","adamant.granted_by":"agent-2","adamant.route":"route-3","#,
        r#""adamant.scope":"scope-4","#,
        r#""tls.client.hash.sha256":"CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD","#,
        r#""adamant.certificate.names":["dns:a"],"adamant.certificate.cas":["ca-0","ca-2"],"#,
        r#""adamant.api_key":"key-6","adamant.token.issuer":"issuer-7","adamant.token.subject":"bot","#,
        r#""adamant.token.kid":"k","adamant.token.expires_s":12,"adamant.token.scopes":"a b","adamant.token.bound":"certificate","#,
        r#""adamant.limits_before":[{"limit":"limit-5","state":"18446744073709551613"}],"#,
        r#""http.response.status_code":502,"adamant.origin.address":"[::1]:80","adamant.retried":true,"#,
        r#""http.request.body.size":1,"http.response.body.size":2,"#,
        r#""adamant.durations_us":{"decided":3,"first_byte":4,"total":5}}"#,
        "\n"
    );
    assert_eq!(line, expected);
}

#[test]
fn a_limit_without_a_place_says_so() {
    let mut full = record(b"/", None);
    full.limits.entries[0].1 = STATE_FULL;
    let line: Value = serde_json::from_str(&written(&full, Some(&Fake))).unwrap();
    assert_eq!(line["adamant.limits_before"][0]["state"], "full");
}

#[test]
fn an_unknown_activation_still_gives_a_line_with_indices() {
    let line: Value = serde_json::from_str(&written(&record(b"/", None), None)).unwrap();
    assert_eq!(line["adamant.agent"], 1);
    assert_eq!(line["adamant.limits_before"][0]["limit"], 5);
    assert_eq!(line["adamant.certificate.cas"], serde_json::json!([0, 2]));
    assert!(line.get("adamant.release").is_none() && line.get("url.query").is_none());
}

#[test]
fn intents_have_no_outcome_and_aggregates_only_a_count() {
    let mut intent = record(b"/", None);
    intent.kind = Kind::Intent;
    let line: Value = serde_json::from_str(&written(&intent, Some(&Fake))).unwrap();
    assert_eq!(line["adamant.kind"], "intent");
    assert!(line.get("http.response.status_code").is_none() && line.get("adamant.durations_us").is_none());
    intent.kind = Kind::DenialsAggregated;
    let line: Value = serde_json::from_str(&written(&intent, Some(&Fake))).unwrap();
    assert_eq!(line["adamant.count"], 9);
    assert!(line.get("url.path").is_none());
}

#[test]
fn whatever_differs_is_told_also_after_a_record_that_is_alike() {
    let alike = record(b"/", None);
    let with_token = |change: fn(&mut TokenFacts<'static>)| {
        let mut other = alike.clone();
        other.token.iter_mut().for_each(change);
        other
    };
    let with_certificate = |change: fn(&mut CertificateFacts<'static>)| {
        let mut other = alike.clone();
        other.certificate.iter_mut().for_each(change);
        other
    };
    let others = [
        Record { activation: 4, ..alike.clone() },
        Record { permitted: false, ..alike.clone() },
        Record { reason: None, ..alike.clone() },
        Record { agent: Some(5), ..alike.clone() },
        Record { granted_by: None, ..alike.clone() },
        Record { route: Some(0), ..alike.clone() },
        Record { scope: Some(0), ..alike.clone() },
        Record { api_key: Some(1), ..alike.clone() },
        Record { token: None, ..alike.clone() },
        Record { certificate: None, ..alike.clone() },
        with_token(|token| token.issuer = 1),
        with_token(|token| token.subject = b"boT"),
        with_token(|token| token.kid = None),
        with_token(|token| token.expires_s = 13),
        with_token(|token| token.scopes = Some(b"a c")),
        with_certificate(|certificate| certificate.sha256[31] = 0),
        with_certificate(|certificate| certificate.names = b"\x05\0dns:b"),
        with_certificate(|certificate| certificate.cas = 0b100),
    ];
    let mut lines = Lines::default();
    for other in &others {
        for one in [&alike, other, other] {
            assert_eq!(written_by(&mut lines, one, Some(&Fake)), written(one, Some(&Fake)));
        }
        assert_ne!(written(other, Some(&Fake)), written(&alike, Some(&Fake)));
        assert_ne!(written_by(&mut lines, other, None), written_by(&mut lines, other, Some(&Fake)));
    }
}

#[test]
fn an_ipv6_client_is_a_prefix() {
    let mut from = record(b"/", None);
    from.client = "2001:db8::".parse().unwrap();
    let line: Value = serde_json::from_str(&written(&from, None)).unwrap();
    assert_eq!(line["client.address"], "2001:db8::/64");
}

proptest! {
    #[test]
    fn any_record_is_one_valid_line(
        path: Vec<u8>, query: Option<Vec<u8>>, method: Vec<u8>, host: Vec<u8>, subject: Vec<u8>, kid: Option<Vec<u8>>,
        scopes: Option<Vec<u8>>, time_unix_ns: u64, known: bool,
    ) {
        let mut any = record(&path, query.as_deref());
        (any.method, any.host, any.time_unix_ns) = (&method, &host, time_unix_ns);
        any.token =
            Some(TokenFacts { issuer: 0, subject: &subject, kid: kid.as_deref(), expires_s: 1, scopes: scopes.as_deref(), bound: Bindings::NONE, introspected: false });
        let names: Option<&dyn Naming> = if known { Some(&Fake) } else { None };
        let line = written(&any, names);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        if let Ok(path) = std::str::from_utf8(&path) {
            prop_assert_eq!(value["url.path"].as_str(), Some(path));
        }
    }
}
