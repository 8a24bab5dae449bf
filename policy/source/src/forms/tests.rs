use super::*;
use policy::model::{LimitKind, Unit};

#[test]
fn limits() {
    let parse = |text: &str| limit::limit(text).map(|written| (written.count, written.unit, written.kind));
    assert_eq!(parse("60/minute").unwrap(), (60, Unit::Minute, LimitKind::Rate { burst: 60 }));
    assert_eq!(parse("5/second burst 100").unwrap(), (5, Unit::Second, LimitKind::Rate { burst: 100 }));
    assert_eq!(parse(" 5/day  quota per subject ").unwrap(), (5, Unit::Day, LimitKind::Quota));
    assert_eq!(limit::limit("5/day per subject").unwrap().per_subject, Some(6..17));
    for wrong in [
        "",
        "5",
        "/minute",
        "5/",
        "-5/day",
        "5/fortnight",
        "5/day per",
        "5/day per agent",
        "5/day burst",
        "5/day quota quota",
        "5/day burst 1 burst 2",
        "5/day burst 0",
        "9999999999/day",
        "５/day",
    ] {
        assert!(limit::limit(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn durations() {
    let parse = |text: &str| duration::duration_s(text, 0, 90_000).ok();
    assert_eq!(
        [parse("0s"), parse("30s"), parse("10m"), parse("24h"), parse("1d")],
        [Some(0), Some(30), Some(600), Some(86_400), Some(86_400)]
    );
    assert_eq!(
        [parse("2d"), parse("30"), parse("s"), parse("-1s"), parse("1 m"), parse("99999999999999999999s")],
        [None; 6]
    );
    assert_eq!([duration::written(0), duration::written(90), duration::written(7_200)], ["0s", "90s", "2h"]);
}

#[test]
fn addresses() {
    let parse = |text: &str| address::address(text).map(|address| (address.text, address.by_name)).ok();
    assert_eq!(parse("10.0.0.5:80"), Some(("10.0.0.5:80".to_owned(), false)));
    assert_eq!(parse("[0:0::1]:80"), Some(("[::1]:80".to_owned(), false)));
    assert_eq!(parse("Orders.Example:443"), Some(("orders.example:443".to_owned(), true)));
    for wrong in [
        "",
        ":80",
        "10.0.0.5:0",
        "10.0.0:80",
        "orders",
        "a b:80",
        "orders:http",
        "[::1]",
        "::1",
        "a:+80",
        "[fe80::1%1]:80",
        "-a:80",
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}

#[test]
fn hosts() {
    let parse = |text: &str| host::host(text).ok();
    for (text, normal) in
        [("*", "*"), ("API.example", "api.example"), ("10.0.0.1", "10.0.0.1"), ("[0::1]", "[::1]"), ("a_b", "a_b")]
    {
        assert_eq!(parse(text).as_deref(), Some(normal));
    }
    for wrong in [
        "",
        "a..b",
        "a.",
        ".a",
        "a:80",
        "[::1]:80",
        "[::1",
        "http://a",
        "a/b",
        "*.a",
        "a b",
        "ä.example",
        "1.2.3",
        "1.2.3.256",
        "-a",
        "a-",
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}

/// A host that the language admits is what the gateway makes of a Host field.
#[test]
fn hosts_are_what_requests_are_normalised_to() {
    for text in ["api.example", "10.0.0.1", "[::1]", "[2001:db8::5]", "a_b-c.example"] {
        let normal = host::host(text).unwrap();
        let mut out = Vec::new();
        assert_eq!(policy::target::normalise_host(text.as_bytes(), &mut out), Some(normal.as_bytes()), "{text}");
    }
}

#[test]
fn paths() {
    use path::{Admits, Segment, path, shape};
    let parse = |text| path(text, Admits::default());
    assert_eq!(parse("/").unwrap(), [Segment::Literal("")]);
    assert_eq!(parse("/a/{b}/{c...}").unwrap(), [Segment::Literal("a"), Segment::Parameter("b"), Segment::Rest("c")]);
    assert_eq!(parse("/a/").unwrap(), [Segment::Literal("a"), Segment::Literal("")]);
    assert_eq!(shape(&parse("/a/{b}/").unwrap()), "/a/{}/");
    for right in ["/a-b.c_d~e", "/a:b@c!$&'()*+,=", "/%20", "/caf%C3%A9", "/...", "/{a-b}"] {
        assert!(parse(right).is_ok(), "{right}");
    }
    for wrong in [
        "", "a", "//", "/a//b", "/{}", "/{...}", "/{1}", "/{a", "/a}", "/{a}{b}", "/{a.b}", "/{r...}/", "/.", "/..",
        "/a b", "/%", "/%2", "/%zz", "/%c3%a9", "/%41", "/a\\b", "/%00", "/é", "/a\"b", "/a|b", "/%2F", "/a;b",
        "/..;x",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let all = Admits { encoded_slash: true, path_parameters: true };
    assert!(path("/a%2Fb", all).is_ok() && path("/a;b=1", all).is_ok() && path("/..;x", all).is_err());
}

#[test]
fn paths_get_a_normal_form() {
    let hint = |text| path::path(text, path::Admits::default()).unwrap_err().hint.unwrap();
    assert_eq!(hint("/a b"), "write `a%20b`");
    assert_eq!(hint("/%7euser"), "write `~user`");
    assert_eq!(hint("/caf%c3%a9"), "write `caf%C3%A9`");
    assert_eq!(hint("/café"), "write `caf%C3%A9`");
}

#[test]
fn urls() {
    for right in ["https://a.example", "https://a.example:8443/k?x=1", "https://[::1]/k", "https://10.0.0.1/"] {
        assert!(url::https_url(right).is_ok(), "{right}");
    }
    for wrong in [
        "",
        "a.example",
        "http://a.example",
        "https://",
        "https:///k",
        "https://a:0/",
        "https://a:x/",
        "https://u@a/",
        "https://a/#f",
        "https://a/ b",
        "https://[::1",
        "https://1.2.3.999/",
        "https://é/",
    ] {
        assert!(url::https_url(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn certificate_names() {
    for right in ["spiffe://corp.example/a/b", "dns:A.example", &format!("spki-sha256:{}", "Ab".repeat(32))] {
        assert!(certificate::certificate_name(right).is_ok(), "{right}");
    }
    for wrong in [
        "",
        "a",
        "spiffe://corp",
        "spiffe://corp/",
        "spiffe:///a",
        "spiffe://Corp/a",
        "spiffe://corp/../a",
        "spiffe://corp/a/",
        "spiffe://c:1/a",
        "dns:",
        "dns:*.a",
        "spki-sha256:ab",
    ] {
        assert!(certificate::certificate_name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn instants() {
    let parse = |text: &str| instant::unix_s(&text.parse().unwrap(), crate::codes::BAD_EXPIRY).ok();
    assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(parse("2027-01-31T00:00:00Z"), Some(1_801_353_600));
    assert_eq!(parse("2000-03-01T01:00:00+01:00"), Some(951_868_800));
    assert_eq!(parse("2024-02-29T23:59:59.9Z"), Some(1_709_251_199));
    assert_eq!(
        [parse("1969-12-31T23:59:59Z"), parse("2027-01-31"), parse("00:00:00"), parse("2027-01-31T00:00:00")],
        [None; 4]
    );
}

#[test]
fn methods() {
    for right in ["GET", "PROPFIND", "M-SEARCH", "mkcol", "X!"] {
        assert!(method::method(right).is_ok(), "{right}");
    }
    for wrong in ["", "get", "Get", "TRACE", "connect", "A B", "GET,HEAD", "É"] {
        assert!(method::method(wrong).is_err(), "{wrong}");
    }
}
