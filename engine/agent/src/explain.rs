//! What goes wrong in TLS and what the gateway answers, in plain words, with what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::tls::{DialFault, NotPinned, OtherCa, tls_error};

/// A cause in plain words, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// A word for scripts.
    pub code: &'static str,
    pub found: String,
    pub todo: String,
}

/// What to do about a port without TLS.
const PLAIN: &str = "is it the gateway's admin listener, or a listener without tls? Both speak plain http, and agents need one with \
                     tls ([[listener]] in gateway.toml); or is it another service?";

fn explained(code: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Explained {
    Explained { code, found: found.into(), todo: todo.into() }
}

/// Why there is no connection.
pub fn dial(fault: &DialFault) -> Explained {
    match fault {
        DialFault::Name { .. } => {
            explained("dns", fault.to_string(), "check the gateway's name in profile.json, and this machine's resolver")
        }
        DialFault::Connect { cause, .. } if cause.kind() == io::ErrorKind::ConnectionRefused => {
            explained("connect", fault.to_string(), "nothing listens there: is the gateway running, is the port right?")
        }
        DialFault::Connect { .. } | DialFault::Timeout => {
            explained("connect", fault.to_string(), "is a firewall or a missing route in between?")
        }
        DialFault::Tls(error) => tls(error),
    }
}

/// Why TLS failed: our own verdict on the gateway's certificate, or the gateway's alert.
pub fn tls(error: &io::Error) -> Explained {
    match tls_error(error) {
        Some(Error::InvalidCertificate(why)) => certificate(why),
        Some(Error::AlertReceived(alert)) => alerted(*alert),
        Some(Error::InvalidMessage(_)) => explained("not-tls", "what answers there does not speak TLS", PLAIN),
        Some(other) => {
            explained("tls", format!("TLS failed: {other}"), "run it again; if it stays, tell the gateway's operator")
        }
        None => explained(
            "closed",
            format!("the connection ended during TLS: {error}"),
            format!("is the gateway full or draining, or does something in between cut connections? Else: {PLAIN}"),
        ),
    }
}

/// Why the gateway's certificate was refused here.
fn certificate(why: &CertificateError) -> Explained {
    let operator = "the gateway's operator must renew its certificate";
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            explained("gateway-expired", "the gateway's certificate has expired (by this machine's clock)", operator)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => explained(
            "gateway-not-yet-valid",
            "the gateway's certificate is not valid yet (by this machine's clock)",
            "this machine's clock is probably behind: set it (chronyc makestep)",
        ),
        CertificateError::UnknownIssuer => explained(
            "gateway-not-pinned",
            "the gateway's certificate is not under the pinned CA: refused, nothing was sent",
            "do not go on until you know why: was the gateway's CA changed (then enroll again with the new --gateway-ca), or is \
             this another server?",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => explained(
            "gateway-name",
            format!("the gateway's certificate is for another name: {why}"),
            "use the name that it is for in --gateway, or have the name added to it",
        ),
        CertificateError::Revoked => explained("gateway-revoked", "the gateway's certificate is revoked", operator),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            explained("gateway-purpose", "the gateway's certificate is not one for servers", operator)
        }
        CertificateError::Other(other) if other.0.is::<NotPinned>() => explained(
            "gateway-not-pinned",
            format!("the gateway's certificate is not the pinned one: {}; refused, nothing was sent", other.0),
            "do not go on until you know why: was the gateway's key changed (then enroll again with the new --gateway-spki), or \
             is this another server?",
        ),
        CertificateError::Other(other) if other.0.is::<OtherCa>() => explained(
            "gateway-other-ca",
            format!("the gateway's certificate is not of the pinned CA: {}; refused, nothing was sent", other.0),
            "do not go on until you know why: was the gateway's CA made anew, or is this another server? If all is well, get \
             the file of the CA that the gateway's certificate is of, and enroll again with it: --force --gateway-ca FILE",
        ),
        other => explained("gateway-certificate", format!("the gateway's certificate is refused: {other}"), operator),
    }
}

/// What an alert of the gateway means for this agent (RFC 8446 §6.2).
pub fn alerted(alert: AlertDescription) -> Explained {
    let renew = "renew it: adamant agent run PROFILE --once";
    match alert {
        AlertDescription::CertificateRequired => explained(
            "certificate-required",
            "the gateway wants a client certificate and got none it can use",
            "enroll this profile; look at what `current` holds",
        ),
        AlertDescription::UnknownCA => explained(
            "wrong-ca",
            "the gateway does not know the CA of this agent's certificate, or cannot tell whether it is revoked",
            "enroll at the CA that [[client_ca]] in the policy names, or have this CA added by a new release; if it is that CA, \
             the gateway's operator must renew its revocation list (CRL)",
        ),
        AlertDescription::CertificateExpired => explained(
            "certificate-expired",
            "the gateway says that this agent's certificate has expired, or is not valid yet",
            format!("where it has ended by this machine's clock too, {renew}; else one of the two clocks is wrong"),
        ),
        AlertDescription::CertificateRevoked => explained(
            "certificate-revoked",
            "the gateway says that this agent's certificate is revoked",
            "do not use it any more: ask whoever revoked it why; if all is well, enroll again, with --force, for a new one",
        ),
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => explained(
            "certificate-refused",
            "the gateway refuses this agent's certificate: not valid by its clock, or not in order",
            format!("compare the clocks; then {renew}"),
        ),
        AlertDescription::UnsupportedCertificate => explained(
            "certificate-kind",
            "the gateway cannot use this kind of certificate: it must be one for clients, with a usual key",
            "enroll at a CA that issues client certificates (extended key usage clientAuth)",
        ),
        AlertDescription::AccessDenied => {
            explained("access-denied", "the gateway refuses this certificate", "ask the gateway's operator")
        }
        AlertDescription::DecryptError => explained(
            "key-mismatch",
            "the gateway could not verify a signature: this agent's key and certificate do not fit, or its certificate is of \
             another CA that has the same name",
            "was the CA made anew (adamant ca init)? Enroll again, with --force, at the CA that the gateway believes",
        ),
        AlertDescription::ProtocolVersion => explained(
            "tls-version",
            "the gateway speaks no TLS version that this agent does (1.2 and 1.3)",
            "is it really the gateway?",
        ),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => explained(
            "tls-parameters",
            "the gateway found no common TLS parameters, or wants a certificate of another kind",
            "ask the gateway's operator which keys it takes",
        ),
        AlertDescription::UnrecognisedName => explained(
            "unknown-name",
            "the gateway does not serve the name that was asked for",
            "use a name of its certificate in --gateway",
        ),
        AlertDescription::NoApplicationProtocol => {
            explained("alpn", "what answers there does not speak HTTP/1.1", "is it the right port?")
        }
        AlertDescription::InternalError => {
            explained("gateway-error", "the gateway had an error of its own", "ask the gateway's operator")
        }
        other => explained(
            "alert",
            format!("the gateway ended TLS with alert {other:?}"),
            "ask the gateway's operator, with the time of this attempt",
        ),
    }
}

/// What a response says to this agent; none for one that says nothing is wrong. `request_id`: by which the gateway's record
/// has it.
pub fn status(status: u16, retry_after: Option<&str>, request_id: Option<&str>) -> Option<Explained> {
    // Whoever answers could write anything there.
    let retry_after = retry_after.filter(|text| text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let request_id = request_id.filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    Some(match status {
        200..=399 => return None,
        401 => {
            let request = request_id.map_or_else(String::new, |id| format!(" of request {id}"));
            explained(
                "unauthorized",
                "401: the gateway does not let this caller in: certificate or token is missing, not accepted or revoked, or \
                 belongs to no agent, or the agent is revoked",
                format!(
                    "see the steps above; if they are in order, ask the gateway's operator whether it is revoked (adamant revoke \
                     list), or not in the release in use: the record{request} has the precise reason"
                ),
            )
        }
        403 => explained(
            "forbidden",
            "403: the gateway knows this agent, but no scope of it (or of its token) holds this route",
            "compare with the routes that profile.json lists; a wider scope needs a new release",
        ),
        404 => explained("not-found", "404: from the origin, the gateway let the request through", "check the path"),
        421 => explained(
            "misdirected",
            "421: the gateway does not serve this host on its certificate",
            "use a name of the gateway's certificate that routes of the policy have",
        ),
        429 => {
            let wait = retry_after.map_or("later".to_owned(), |seconds| format!("after {seconds} s (Retry-After)"));
            explained(
                "limited",
                "429: a limit of this agent is reached",
                format!("ask again {wait}; limits stand in profile.json"),
            )
        }
        502 | 504 => explained(
            "origin",
            format!("{status}: the gateway let the request through; its origin failed"),
            "tell the origin's operator",
        ),
        503 => explained(
            "unavailable",
            "503: the gateway is overloaded, draining, or cannot keep records",
            "ask again later",
        ),
        400..=499 => {
            explained("refused", format!("{status}: the request itself was refused"), "check method, path and fields")
        }
        _ => explained("failed", format!("{status}: the gateway or its origin failed"), "ask the gateway's operator"),
    })
}

/// What the error of a DPoP challenge says (RFC 9449 §7.1, §9); none where it is not about the proof.
pub fn proof(error: &str) -> Option<Explained> {
    Some(match error {
        "use_dpop_nonce" => explained(
            "dpop-nonce",
            "401: the gateway wants a nonce in the DPoP proof, and refuses the one that it gave",
            "are there several gateways behind this name? They do not take each other's: give each a name of its own",
        ),
        "invalid_dpop_proof" => explained(
            "dpop-proof",
            "401: the gateway refuses the DPoP proof: its time, address or key is not what it takes",
            "do the clocks agree (see above)? A proof is good for 60 s and 5 s ahead. Is the gateway's address in profile.json the \
             one that it is called by, with nothing in between? Its record has the precise reason",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_is_explained_with_what_to_do() {
        for number in 0..=u8::MAX {
            let said = alerted(AlertDescription::from(number));
            assert!(!said.found.is_empty() && !said.todo.is_empty() && !said.code.is_empty());
        }
        assert_eq!(alerted(AlertDescription::UnknownCA).code, "wrong-ca");
    }

    #[test]
    fn statuses_are_explained_unless_all_is_well() {
        for number in 100..600 {
            assert_eq!(status(number, None, None).is_none(), (200..400).contains(&number), "{number}");
        }
        assert!(status(429, Some("20"), None).unwrap().todo.contains("20 s"));
        assert!(status(429, Some("20 \u{1b}[2J"), None).unwrap().todo.contains("later"));
        let id = "0123456789abcdef0123456789abcdef";
        let said = status(401, None, Some(id)).unwrap();
        assert!(said.found.contains("revoked") && said.todo.contains(&format!("request {id} has")), "{said:?}");
        assert!(status(401, None, Some("ab12\n✓ all is well")).unwrap().todo.contains("the record has"));
        assert_eq!(
            ["use_dpop_nonce", "invalid_dpop_proof"].map(|error| proof(error).unwrap().code),
            ["dpop-nonce", "dpop-proof"]
        );
        assert!(proof("invalid_token").is_none() && proof("").is_none());
    }
}
