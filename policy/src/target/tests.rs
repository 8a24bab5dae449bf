//! Targets and hosts: what is kept, what is rewritten, what is refused.

use proptest::prelude::*;

use super::*;

fn normal(target: &[u8]) -> Result<(String, bool, bool), TargetFault> {
    let mut out = b"left over".to_vec();
    let target = normalise(target, &mut out)?;
    let flags = (target.encoded_slash, target.path_parameters);
    Ok((String::from_utf8(out).unwrap(), flags.0, flags.1))
}

fn text(target: &str) -> String {
    normal(target.as_bytes()).unwrap_or_else(|fault| panic!("{target}: {fault}")).0
}

#[test]
fn normal_targets_stay_as_they_are() {
    for target in [
        "/",
        "/a",
        "/a/",
        "/orders/42?full=1",
        "/a.b/..c/c../.../.a",
        "/~user/x_y-z/!$&'()*+,=:@",
        "/caf%C3%A9/%E2%82%AC/%F0%9F%98%80",
        "/a%20b/%25/%3F%23%5B",
        "/?",
        "/a?//../%zz[]{}|^`\"<>\\?%2f%00",
    ] {
        assert_eq!(text(target), target);
    }
}

#[test]
fn equivalent_targets_get_one_form() {
    for (target, expected) in [
        ("/%61%2d%2E%5f%7Eb/%41", "/a-._~b/A"),
        ("/%c3%a9%3f", "/%C3%A9%3F"),
        ("/%2b%3b%3d", "/%2B%3B%3D"),
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/a%2fb", "/a%2Fb"),
    ] {
        assert_eq!(text(target), expected);
    }
}

#[test]
fn what_routes_must_opt_into_is_flagged() {
    assert_eq!(normal(b"/a%2fb"), Ok(("/a%2Fb".to_owned(), true, false)));
    assert_eq!(normal(b"/a;../b;."), Ok(("/a;../b;.".to_owned(), false, true)));
    assert_eq!(normal(b"/a%3b/b"), Ok(("/a%3B/b".to_owned(), false, false)));
    assert_eq!(normal(b"/a;v=1/b"), Ok(("/a;v=1/b".to_owned(), false, true)));
    assert_eq!(normal(b"/a?b=%2F;c"), Ok(("/a?b=%2F;c".to_owned(), false, false)));
}

#[test]
fn dot_segments_are_refused_in_every_disguise() {
    for target in [
        "/.",
        "/..",
        "/./",
        "/../",
        "/a/..",
        "/a/../b",
        "/a/./b",
        "/%2e",
        "/%2E%2e/a",
        "/.%2e",
        "/..;",
        "/..;x/a",
        "/a/.;x=y",
        "/%2e%2e;x",
        "/..%3Bx",
        "/..%2Fa",
        "/a%2F..",
        "/a%2f%2e%2e%2fb",
        "/.%2F",
        "/%252e%252e/a",
        "/%25252e",
        "/..%252Fa",
        "/a%252f..%252fb",
        "/a%255c..",
        "/..%253bx",
    ] {
        assert_eq!(normal(target.as_bytes()), Err(TargetFault::DotSegment), "{target}");
    }
}

#[test]
fn refusals_name_their_cause() {
    for (target, fault) in [
        ("a", TargetFault::NotAPath),
        ("*", TargetFault::NotAPath),
        ("/%", TargetFault::Escape),
        ("/%4", TargetFault::Escape),
        ("/%4g", TargetFault::Escape),
        ("/%%41", TargetFault::Escape),
        ("/\0", TargetFault::Control),
        ("/a b", TargetFault::Control),
        ("/\x7f", TargetFault::Control),
        ("/%00", TargetFault::Control),
        ("/%0d%0a", TargetFault::Control),
        ("/%7f", TargetFault::Control),
        ("/\u{e9}", TargetFault::NonAscii),
        ("/?\u{e9}", TargetFault::NonAscii),
        ("/%E9", TargetFault::NotUtf8),
        ("/%c0%af", TargetFault::NotUtf8),
        ("/%E0%80%AF", TargetFault::NotUtf8),
        ("/%ED%A0%80", TargetFault::NotUtf8),
        ("/%C3a", TargetFault::NotUtf8),
        ("/%80", TargetFault::NotUtf8),
        ("/a#b", TargetFault::Fragment),
        ("/a?b#c", TargetFault::Fragment),
        ("/a?b c", TargetFault::Control),
        ("/a\\b", TargetFault::Backslash),
        ("/a%5cb", TargetFault::Backslash),
        ("/a\"", TargetFault::Character),
        ("/[a]", TargetFault::Character),
        ("/a|b", TargetFault::Character),
        ("//", TargetFault::EmptySegment),
        ("//evil.example/", TargetFault::EmptySegment),
        ("/a//b", TargetFault::EmptySegment),
        ("/a//", TargetFault::EmptySegment),
        ("/;/admin", TargetFault::EmptySegment),
        ("/a/;x=y/b", TargetFault::EmptySegment),
        ("/a/%3bx/b", TargetFault::EmptySegment),
    ] {
        assert_eq!(normal(target.as_bytes()), Err(fault), "{target:?}");
    }
}

#[test]
fn segments_of_routes() {
    for segment in ["a", "a.b", "%C3%A9", "a%2Fb", "a;b", "..."] {
        assert!(is_normal_segment(segment.as_bytes()), "{segment}");
    }
    for segment in ["", ".", "..", "a/b", "a?b", "%c3%a9", "%41", "a%2fb", "a b", "\u{e9}", "..;a"] {
        assert!(!is_normal_segment(segment.as_bytes()), "{segment}");
    }
}

#[test]
fn hosts() {
    let host = |host: &str| normalise_host(host.as_bytes(), &mut b"old".to_vec()).map(|host| host.to_vec());
    for (given, expected) in [
        ("API.Corp.example", "api.corp.example"),
        ("a.", "a"),
        ("a.:88", "a"),
        ("a:", "a"),
        ("a_b-c:65535", "a_b-c"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[ABCD::1]", "[abcd::1]"),
        ("[::ffff:1.2.3.4]:4321", "[::ffff:1.2.3.4]"),
    ] {
        assert_eq!(host(given).as_deref(), Some(expected.as_bytes()), "{given}");
    }
    for given in [
        "",
        ".",
        "..",
        "a..",
        ".a",
        "a..b",
        ":80",
        "a:65536",
        "a:99999",
        "a:000001",
        "a:+1",
        "a:1:2",
        "u@a",
        "a/b",
        "a,b",
        "a b",
        "a%41",
        "[::1",
        "::1",
        "[::1].",
        "[::1]x",
        "x[::1]",
        "[]",
        "[fe80::1%eth0]",
        "a\0",
        "h\u{f6}st",
        "a=1",
    ] {
        assert_eq!(host(given), None, "{given}");
    }
    assert_eq!(host(&"a".repeat(64)), None);
    assert_eq!(host(&"abc.".repeat(64)), None);
    assert!(host(&"abc.".repeat(63)).is_some());
}

/// What an origin that decodes and resolves (RFC 3986 §5.2.4) makes of a path, as the oracle for "matched is what is
/// forwarded".
fn resolved_by_a_lenient_origin(path: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = path.to_vec();
    for _ in 0..4 {
        let (mut next, mut rest) = (Vec::new(), decoded.as_slice());
        while let Some((byte, after)) = rest.split_first() {
            let (value, after) = unescape(rest).unwrap_or((*byte, after));
            next.push(value);
            rest = after;
        }
        decoded = next;
    }
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        match name {
            b"." => {}
            b"" if !segment.is_empty() => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment.to_vec()),
        }
    }
    segments
}

fn tricky_target() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/", "a", ".", "..", "%2e", "%2E", "%2f", "%5c", "%252e", "%25", "%", ";", "?", "%c3%a9", "%C0%AF", "%41",
        "\\", "#", "é", "%3b", "%3F", "//", "2e", "%00", " ", "25",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn normalising_is_idempotent(target in tricky_target()) {
        let mut out = Vec::new();
        if normalise(&target, &mut out).is_ok() {
            let mut again = Vec::new();
            prop_assert!(normalise(&out, &mut again).is_ok());
            prop_assert_eq!(&again, &out);
        }
    }

    #[test]
    fn no_accepted_path_resolves_to_another(target in tricky_target()) {
        let mut out = Vec::new();
        if let Ok(target) = normalise(&target, &mut out) {
            let segments = resolved_by_a_lenient_origin(target.path);
            let has_dots = segments.iter().any(|s| {
                let name = s.split(|byte| *byte == b';').next().unwrap_or_default();
                name == b"." || name == b".."
            });
            prop_assert!(!has_dots);
            // Nothing was removed: as many parts as there are separators to anybody.
            let mut decoded = target.path.to_vec();
            for (from, to) in [("%252F", "/"), ("%255C", "/"), ("%252f", "/"), ("%255c", "/"), ("%2F", "/"), ("%5C", "/")] {
                while decoded.windows(from.len()).any(|w| w == from.as_bytes()) {
                    decoded = String::from_utf8(decoded).unwrap().replace(from, to).into_bytes();
                }
            }
            let parts = decoded.split(|byte| *byte == b'/').count();
            prop_assert!(segments.len() >= parts, "{:?} {:?}", segments, parts);
        }
    }

    #[test]
    fn equivalent_spellings_match_alike(segment in "[a-zA-Z0-9._~-]{1,8}", encode in prop::collection::vec(any::<bool>(), 8)) {
        prop_assume!(segment != "." && segment != "..");
        let spelled: String = segment.bytes().zip(encode).map(|(byte, encode)| {
            if encode { format!("%{byte:02x}") } else { char::from(byte).to_string() }
        }).collect();
        let mut out = Vec::new();
        let path = format!("/{spelled}");
        prop_assert_eq!(normalise(path.as_bytes(), &mut out).map(|t| t.path.to_vec()), Ok(format!("/{segment}").into_bytes()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut out = Vec::new();
        let _ = normalise(&bytes, &mut out);
        let _ = normalise_host(&bytes, &mut out);
        let _ = is_normal_segment(&bytes);
        let mut rooted = vec![b'/'];
        rooted.extend(bytes);
        if let Ok(target) = normalise(&rooted, &mut out) {
            prop_assert!(target.path.iter().all(u8::is_ascii_graphic));
            prop_assert!(target.query.unwrap_or_default().iter().all(u8::is_ascii_graphic));
        }
    }
}
