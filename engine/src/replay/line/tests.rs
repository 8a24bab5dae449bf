use super::*;

pub const LINE: &str = concat!(
    r#"{"time":"2026-11-21T18:07:34.000000042Z","adamant.kind":"exchange","adamant.worker":1,"adamant.sequence":8,"#,
    r#""adamant.release":"sha256:abababababababababababababababababababababababababababababababab","#,
    r#""adamant.request_id":"ab","client.address":"2001:db8::/64","url.scheme":"https","http.request.method":"GET","#,
    r#""server.address":"api.example","url.path":"/orders/1","adamant.decision":"permit","adamant.agent":"b\u00f6t","#,
    r#""adamant.granted_by":"b\u00f6t","adamant.route":"r","adamant.scope":"s","tls.client.hash.sha256":"CD","#,
    r#""adamant.certificate.names":["dns:a"],"adamant.certificate.cas":["ca"],"adamant.api_key":"k","#,
    r#""adamant.token.issuer":"i","adamant.token.subject":"bot","adamant.token.expires_s":12,"adamant.token.scopes":"a b","#,
    r#""adamant.limits_before":[{"limit":"l","state":"18446744073709551613"},{"limit":"m","state":"full"}],"#,
    r#""http.response.status_code":200,"adamant.durations_us":{"decided":1,"first_byte":2,"total":3},"unknown.to.us":{"deep":[1,2]}}"#
);

fn exchange(line: &str) -> Exchange {
    match Line::parse(line.as_bytes()) {
        Ok(Line::Exchange(exchange)) => *exchange,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_input_of_a_decision_comes_back() {
    let read = exchange(LINE);
    assert_eq!(read.time_unix_ns, 1_795_284_454_000_000_042);
    assert_eq!(time_text(read.time_unix_ns), "2026-11-21T18:07:34.000000042Z");
    assert_eq!((read.total_us, read.ended_unix_ns()), (3, 1_795_284_454_000_003_042));
    assert!(read.presented.tls && read.release.is_some());
    assert_eq!(read.presented.client, "2001:db8::".parse::<IpAddr>().unwrap());
    assert_eq!(read.presented.certificate, Some(Certificate::named("ca", CertificateName::Dns("a".into()))));
    let token = read.presented.token.unwrap();
    assert_eq!((token.scopes, token.expires_s), (Some(vec!["a".into(), "b".into()]), Some(12)));
    assert_eq!(read.limits, [("l".into(), Some(u64::MAX - 2)), ("m".into(), None)]);
    assert_eq!(read.decided.agent.as_deref(), Some("böt"));
    assert_eq!(read.status, Some(200));
}

#[test]
fn an_intent_is_an_exchange_without_an_outcome() {
    let text = LINE.replace("\"exchange\"", "\"intent\"");
    let text = text.replace(
        r#""http.response.status_code":200,"adamant.durations_us":{"decided":1,"first_byte":2,"total":3},"#,
        "",
    );
    assert!(matches!(Line::parse(text.as_bytes()), Ok(Line::Other(kind)) if kind == "intent"));
    let whole = exchange(LINE);
    assert_eq!(*Line::intent(text.as_bytes()).unwrap(), Exchange { status: None, total_us: 0, ..whole });
    assert!(Line::intent(b"{\"adamant.kind\":\"intent\"}").is_err());
}

#[test]
fn an_exchange_can_take_longer_than_its_record_tells() {
    let of = |total: u64| exchange(&LINE.replace("\"total\":3", &format!("\"total\":{total}"))).outlasts_its_record();
    assert!(!of(TOTAL_US_MAX - 1) && of(TOTAL_US_MAX));
}

#[test]
fn the_order_of_members_and_white_space_mean_nothing() {
    let value: serde_json::Value = serde_json::from_str(LINE).unwrap();
    assert_eq!(exchange(&serde_json::to_string_pretty(&value).unwrap()), exchange(LINE));
    let other = LINE.replace("\"exchange\"", "\"start\"");
    assert!(matches!(Line::parse(other.as_bytes()), Ok(Line::Other(kind)) if kind == "start"));
}

#[test]
fn what_does_not_fit_is_named() {
    for (from, to, named) in [
        ("2026-11-21T18", "2026-13-21T18", "time"),
        ("sha256:ab", "sha256:xy", "adamant.release"),
        ("2001:db8::/64", "somewhere", "client.address"),
        ("\"https\"", "\"gopher\"", "url.scheme"),
        ("\"permit\"", "\"perhaps\"", "adamant.decision"),
        ("dns:a", "a", "adamant.certificate.names"),
        ("18446744073709551613", "-1", "adamant.limits_before"),
        (r#""adamant.token.subject":"bot","#, "", "adamant.token.subject"),
        (r#""adamant.agent""#, r#""adamant.reason":"bored","x""#, "adamant.reason"),
        ("\"url.path\":", "\"server.address\":", "server.address"),
        ("{", "", "JSON object"),
        ("\"exchange\"", "7", "JSON object"),
    ] {
        let line = LINE.replacen(from, to, 1);
        assert_ne!(line, LINE);
        let fault = Line::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains(named), "{named}: {fault}");
    }
}

#[test]
fn times_have_up_to_nine_decimals_and_are_utc() {
    assert_eq!(parse_time("1970-01-01T00:00:01Z"), Some(NS_PER_S));
    assert_eq!(parse_time("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
    for wrong in
        ["", "1970-01-01", "1970-01-01T00:00:01", "1970-01-01T00:00:01.Z", "1970-01-01T00:00:01.0000000001Z", "é"]
    {
        assert_eq!(parse_time(wrong), None, "{wrong}");
    }
}
