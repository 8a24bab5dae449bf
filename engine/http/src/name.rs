//! Field names that mean something to a gateway.
//!
//! Names are recognised by length, first and last letter, then compared. `_`, `.` and every other token character that is
//! neither letter nor digit counts as `-` here: CGI-like origins fold them (RFC 3875 §4.1.18 and looser relatives), so
//! `Adamant_Agent` would reach an application as the field that only the gateway may set.

/// What a field name is to the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// End-to-end: passed on as it is.
    #[default]
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    /// `Keep-Alive`, `Proxy-*` but `Proxy-Status`, `Proxy` (CVE-2016-5385), `HTTP2-Settings`: never passed on.
    HopByHop,
    Te,
    Trailer,
    Upgrade,
    Expect,
    MaxForwards,
    Authorization,
    ApiKey,
    Dpop,
    Traceparent,
    RequestId,
    Via,
    Date,
    Server,
    AltSvc,
    RateLimit,
    /// What only a gateway may say about a client, or what would make an origin act on another method or target than
    /// the one that was decided on. Never taken from clients.
    GatewayOnly,
    /// One of the above but for `_` or the like in place of `-`: neither understood nor passed on.
    Lookalike,
}

/// What this field name is to the gateway.
#[inline]
pub(crate) fn recognise(name: &[u8]) -> Name {
    let [first, .., last] = name else { return Name::Other };
    let (first, last) = (fold(*first), fold(*last));
    for (lower, known) in candidates(name.len(), first, last) {
        if folds_to(name, lower) {
            let same = name.iter().zip(*lower).all(|(byte, other)| *other != b'-' || *byte == b'-');
            return if same || matches!(known, Name::GatewayOnly | Name::Other) { *known } else { Name::Lookalike };
        }
    }
    family(name, first)
}

/// Names of this length, first and last letter.
#[inline]
fn candidates(length: usize, first: u8, last: u8) -> &'static [(&'static [u8], Name)] {
    match (length, first, last) {
        (2, b't', b'e') => &[(b"te", Name::Te)],
        (3, b'v', b'a') => &[(b"via", Name::Via)],
        (4, b'd', b'e') => &[(b"date", Name::Date)],
        (4, b'd', b'p') => &[(b"dpop", Name::Dpop)],
        (4, b'h', b't') => &[(b"host", Name::Host)],
        (5, b'p', b'y') => &[(b"proxy", Name::HopByHop)],
        (6, b'e', b't') => &[(b"expect", Name::Expect)],
        (6, b's', b'r') => &[(b"server", Name::Server)],
        (6, b'x', b't') => &[(b"x-host", Name::GatewayOnly)],
        (7, b'a', b'c') => &[(b"alt-svc", Name::AltSvc)],
        (7, b't', b'r') => &[(b"trailer", Name::Trailer)],
        (7, b'u', b'e') => &[(b"upgrade", Name::Upgrade)],
        (8, b'x', b'e') => &[(b"x-scheme", Name::GatewayOnly)],
        (9, b'c', b'p') => &[(b"client-ip", Name::GatewayOnly)],
        (9, b'f', b'd') => &[(b"forwarded", Name::GatewayOnly)],
        (9, b'r', b't') => &[(b"ratelimit", Name::RateLimit)],
        (9, b'x', b'p') => &[(b"x-real-ip", Name::GatewayOnly)],
        (9, b'x', b'y') => &[(b"x-api-key", Name::ApiKey)],
        (10, b'c', b'n') => &[(b"connection", Name::Connection)],
        (10, b'k', b'e') => &[(b"keep-alive", Name::HopByHop)],
        (11, b'c', b't') => &[(b"client-cert", Name::GatewayOnly)],
        (11, b'r', b'i') => &[(b"request-uri", Name::GatewayOnly)],
        (11, b'r', b'r') => &[(b"remote-user", Name::GatewayOnly), (b"remote-addr", Name::GatewayOnly)],
        (11, b't', b't') => &[(b"traceparent", Name::Traceparent)],
        (11, b'x', b'n') => &[(b"x-client-dn", Name::GatewayOnly)],
        (11, b'x', b'p') => &[(b"x-client-ip", Name::GatewayOnly), (b"x-remote-ip", Name::GatewayOnly)],
        (12, b'm', b's') => &[(b"max-forwards", Name::MaxForwards)],
        (12, b'p', b's') => &[(b"proxy-status", Name::Other)],
        (12, b'x', b'd') => &[(b"x-request-id", Name::RequestId)],
        (12, b'x', b'e') => &[(b"x-url-scheme", Name::GatewayOnly)],
        (13, b'a', b'n') => &[(b"authorization", Name::Authorization)],
        (13, b'f', b'r') => &[(b"forwarded-for", Name::GatewayOnly)],
        (13, b'x', b'd') => &[(b"x-http-method", Name::GatewayOnly)],
        (13, b'x', b'r') => &[(b"x-remote-addr", Name::GatewayOnly), (b"x-remote-user", Name::GatewayOnly)],
        (13, b'x', b't') => &[(b"x-client-cert", Name::GatewayOnly)],
        (14, b'c', b'h') => &[(b"content-length", Name::ContentLength)],
        (14, b'h', b's') => &[(b"http2-settings", Name::HopByHop)],
        (14, b't', b'p') => &[(b"true-client-ip", Name::GatewayOnly)],
        (14, b'x', b'p') => &[(b"x-proxyuser-ip", Name::GatewayOnly)],
        (14, b'x', b'r') => &[(b"x-webauth-user", Name::GatewayOnly)],
        (15, b'f', b's') => &[(b"front-end-https", Name::GatewayOnly)],
        (15, b'x', b'y') => &[(b"x-client-verify", Name::GatewayOnly)],
        (16, b'c', b'p') => &[(b"cf-connecting-ip", Name::GatewayOnly)],
        (16, b'f', b'p') => &[(b"fastly-client-ip", Name::GatewayOnly)],
        (16, b'r', b'y') => &[(b"ratelimit-policy", Name::RateLimit)],
        (16, b'x', b'p') => &[(b"x-originating-ip", Name::GatewayOnly)],
        (16, b'x', b't') => &[(b"x-arr-clientcert", Name::GatewayOnly)],
        (17, b'c', b'n') => &[(b"client-cert-chain", Name::GatewayOnly)],
        (17, b't', b'g') => &[(b"transfer-encoding", Name::TransferEncoding)],
        (17, b'x', b'e') => &[(b"x-method-override", Name::GatewayOnly)],
        (19, b'x', b'p') => &[(b"x-cluster-client-ip", Name::GatewayOnly)],
        (22, b'x', b'e') => &[(b"x-http-method-override", Name::GatewayOnly)],
        _ => &[],
    }
}

/// Names that are known by how they begin. `x-forward` covers `X-Forwarded-*` and its misspellings.
#[inline]
fn family(name: &[u8], first: u8) -> Name {
    let third = name.get(2).copied().map_or(0, fold);
    let (prefix, known): (&[u8], Name) = match (first, third) {
        (b'a', b'a') => (b"adamant-", Name::GatewayOnly),
        (b'p', b'o') => (b"proxy-", Name::HopByHop),
        (b's', b'l') => (b"ssl-client-", Name::GatewayOnly),
        (b'x', b'f') => (b"x-forward", Name::GatewayOnly),
        (b'x', b'o') => (b"x-original-", Name::GatewayOnly),
        (b'x', b'r') => (b"x-rewrite-", Name::GatewayOnly),
        (b'x', b'e') => (b"x-envoy-", Name::GatewayOnly),
        (b'x', b's') => (b"x-ssl-", Name::GatewayOnly),
        (b'x', b'a') => (b"x-amzn-mtls-", Name::GatewayOnly),
        _ => return Name::Other,
    };
    if name.get(..prefix.len()).is_some_and(|start| folds_to(start, prefix)) { known } else { Name::Other }
}

/// Whether a name must not stand in a trailer section, or is no use there (RFC 9110 §6.5.1): framing, routing,
/// request modifiers, authentication, response control and content format.
pub(crate) fn forbidden_in_trailers(name: &[u8]) -> bool {
    const FORBIDDEN: &[&[u8]] = &[
        b"accept-encoding",
        b"age",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expires",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"location",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"tracestate",
        b"vary",
        b"warning",
        b"www-authenticate",
    ];
    recognise(name) != Name::Other || FORBIDDEN.iter().any(|lower| folds_to(name, lower))
}

/// Whether `name` is `lower` when letter case and the kind of separator are ignored.
#[inline]
pub(crate) fn folds_to(name: &[u8], lower: &[u8]) -> bool {
    name.len() == lower.len() && name.iter().zip(lower).all(|(byte, other)| fold(*byte) == *other)
}

/// Lower case for letters, digits as they are, `-` for every separator.
#[inline]
pub(crate) fn fold(byte: u8) -> u8 {
    FOLDED.get(usize::from(byte)).copied().unwrap_or(b'-')
}

static FOLDED: [u8; 256] = folded();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks it")]
const fn folded() -> [u8; 256] {
    let mut table = [b'-'; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_found_in_any_case() {
        for (name, known) in [
            ("Host", Name::Host),
            ("CONTENT-LENGTH", Name::ContentLength),
            ("transfer-encoding", Name::TransferEncoding),
            ("X-Api-Key", Name::ApiKey),
            ("DPoP", Name::Dpop),
            ("Proxy-Authorization", Name::HopByHop),
            ("Proxy", Name::HopByHop),
            ("Proxy-Status", Name::Other),
            ("Proxied", Name::Other),
            ("Adamant-Agent", Name::GatewayOnly),
            ("ADAMANT-anything", Name::GatewayOnly),
            ("X-Forwarded-For", Name::GatewayOnly),
            ("X-Forwarded", Name::GatewayOnly),
            ("X-Original-URL", Name::GatewayOnly),
            ("X-Rewrite-Url", Name::GatewayOnly),
            ("X-HTTP-Method-Override", Name::GatewayOnly),
            ("Client-Cert-Chain", Name::GatewayOnly),
            ("X-Client-Info", Name::Other),
            ("User-Agent", Name::Other),
            ("Content-Type", Name::Other),
            ("Accept", Name::Other),
            ("", Name::Other),
        ] {
            assert_eq!(recognise(name.as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn every_known_name_stands_in_its_place() {
        let (mut names, letters) = (0, || b'a'..=b'z');
        for length in 1..32 {
            for (first, last) in letters().flat_map(|first| letters().map(move |last| (first, last))) {
                for (lower, known) in candidates(length, first, last) {
                    assert_eq!((lower.len(), lower[0], lower[length - 1]), (length, first, last));
                    assert_eq!(recognise(lower), *known);
                    assert_eq!(recognise(lower.to_ascii_uppercase().as_slice()), *known);
                    names += 1;
                }
            }
        }
        assert_eq!(names, 55);
    }

    #[test]
    fn lookalikes_are_neither_understood_nor_passed_on() {
        for name in ["Content_Length", "Transfer_Encoding", "Transfer.Encoding", "X_API_KEY", "x!request!id"] {
            assert_eq!(recognise(name.as_bytes()), Name::Lookalike, "{name}");
        }
        for name in ["Adamant_Agent", "X_Forwarded_For", "x.real_ip", "FORWARDED"] {
            assert_eq!(recognise(name.as_bytes()), Name::GatewayOnly, "{name}");
        }
        assert_eq!(recognise(b"proxy_connection"), Name::HopByHop);
    }

    #[test]
    fn trailers_may_not_frame_route_or_identify() {
        for name in ["Content-Length", "Host", "Authorization", "content-type", "Set-Cookie", "Adamant-Agent", "Vary"] {
            assert!(forbidden_in_trailers(name.as_bytes()), "{name}");
        }
        assert!(!forbidden_in_trailers(b"X-Checksum"));
        assert!(!forbidden_in_trailers(b"Server-Timing"));
    }
}
