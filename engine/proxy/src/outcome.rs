//! From a reason to what the client is told beside the status: coarse code, further fields.

use policy::reason::Reason;

/// Coarse code in the problem document: never more than the status tells.
pub fn code(status: u16) -> &'static str {
    match status {
        401 => "unauthenticated",
        403 => "forbidden",
        408 => "request-timeout",
        413 => "content-too-large",
        414 => "target-too-long",
        417 => "expectation-failed",
        421 => "misdirected-request",
        429 => "too-many-requests",
        431 => "head-too-large",
        501 => "not-served",
        502 => "origin-failed",
        503 => "unavailable",
        504 => "origin-timeout",
        _ => "bad-request",
    }
}

/// `WWW-Authenticate` of a 401 (RFC 6750 §3): no error code where nothing was presented.
pub fn challenge(presented: bool) -> &'static str {
    if presented { "Bearer realm=\"adamant\", error=\"invalid_token\"" } else { "Bearer realm=\"adamant\"" }
}

/// `Proxy-Status` (RFC 9209 §2.3) of a failure on the origin's side.
pub fn proxy_status(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::OriginUnreachable => "adamant; error=destination_unavailable",
        Reason::OriginConnectTimeout => "adamant; error=connection_timeout",
        Reason::OriginTlsFailed => "adamant; error=tls_protocol_error",
        Reason::OriginBroke => "adamant; error=connection_terminated",
        Reason::OriginMalformed => "adamant; error=http_protocol_error",
        Reason::OriginTimeout => "adamant; error=http_response_timeout",
        _ => return None,
    })
}

/// The reason for a fault in a request's bytes.
pub fn of_fault(fault: http1::Fault) -> Reason {
    match fault.class() {
        http1::Class::MalformedHead | http1::Class::Internal => Reason::MalformedHead,
        http1::Class::AmbiguousFraming => Reason::AmbiguousFraming,
        http1::Class::UnsupportedVersion => Reason::UnsupportedVersion,
        http1::Class::TargetTooLong => Reason::TargetTooLong,
        http1::Class::HeadTooLarge => Reason::HeadTooLarge,
        http1::Class::UnsupportedTransferCoding | http1::Class::NotServed => Reason::UnsupportedTransferCoding,
        http1::Class::InvalidTarget => Reason::InvalidTarget,
        http1::Class::ExpectationFailed => Reason::ExpectationFailed,
        http1::Class::MalformedContent => Reason::MalformedContent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_reason_tells_no_more_than_its_status() {
        for reason in Reason::ALL {
            let status = reason.status();
            assert!(!matches!(status, 401 | 403 | 429) || code(status) != reason.name());
        }
        for (left, right) in
            [(Reason::RouteUnknown, Reason::ScopeMissing), (Reason::TokenInvalid, Reason::AgentUnknown)]
        {
            assert_eq!(left.status(), right.status());
        }
    }
}
