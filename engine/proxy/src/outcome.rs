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

/// The fields `WWW-Authenticate` of a 401, one a scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Challenges {
    pub bearer: Option<&'static str>,
    pub dpop: Option<&'static str>,
}

/// A DPoP challenge, with an error or without (RFC 9449 §7.1).
macro_rules! dpop {
    ($($error:literal)?) => {
        concat!(
            "DPoP realm=\"adamant\", ",
            $("error=\"", $error, "\", ",)?
            "algs=\"ES256 ES384 EdDSA PS256 RS256\""
        )
    };
}

/// What a 401 asks for: no error code where nothing was presented (RFC 6750 §3). DPoP is named where the policy asks for it
/// of anybody, and to whom it is that fails with it.
pub fn challenges(reason: Reason, presented: bool, asks_for_dpop: bool) -> Challenges {
    if reason.status() != 401 {
        return Challenges::default();
    }
    let bearer =
        if presented { "Bearer realm=\"adamant\", error=\"invalid_token\"" } else { "Bearer realm=\"adamant\"" };
    let dpop = match reason {
        Reason::DpopNonceWrong => Some(dpop!("use_dpop_nonce")),
        Reason::DpopMalformed
        | Reason::DpopInvalid
        | Reason::DpopRequestWrong
        | Reason::DpopTimeWrong
        | Reason::DpopTokenWrong
        | Reason::DpopReplayed
        | Reason::DpopReplaysFull => Some(dpop!("invalid_dpop_proof")),
        Reason::DpopMissing | Reason::DpopKeyWrong => Some(dpop!("invalid_token")),
        _ if !asks_for_dpop => None,
        _ if presented => Some(dpop!("invalid_token")),
        _ => Some(dpop!()),
    };
    Challenges { bearer: Some(bearer), dpop }
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
    fn challenges_name_what_is_taken() {
        let names: Vec<String> = identity::token::dpop::ALGORITHMS.iter().map(|name| format!("{name:?}")).collect();
        assert!(dpop!().ends_with(&format!("algs=\"{}\"", names.join(" "))));
        for reason in Reason::ALL {
            for (presented, asks) in [(false, false), (false, true), (true, false), (true, true)] {
                let told = challenges(*reason, presented, asks);
                assert_eq!(told.bearer.is_some(), reason.status() == 401);
                assert!(told.bearer.is_some() || told.dpop.is_none());
                assert!(!asks || told.dpop.is_some() == told.bearer.is_some());
            }
        }
        assert!(
            challenges(Reason::DpopNonceWrong, true, false).dpop.is_some_and(|text| text.contains("use_dpop_nonce"))
        );
    }

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
