//! Stage 3, first: which of the fields hold a token and which a key.

use identity::api_key;
use policy::reason::Reason;

use crate::identify::Credentials;

/// What was sent, by kind.
pub(crate) struct Sent<'a> {
    pub token: Option<&'a [u8]>,
    pub key: Option<&'a [u8]>,
    /// The token came as `DPoP` (RFC 9449 §7.1), not as `Bearer`.
    pub by_dpop: bool,
}

/// Which of the fields hold a token and which a key.
pub(crate) fn split<'a>(credentials: &Credentials<'a>) -> Result<Sent<'a>, Reason> {
    let Some(authorization) = credentials.authorization else {
        return Ok(Sent { token: None, key: credentials.api_key, by_dpop: false });
    };
    let bearer = of_scheme(authorization, b"Bearer ");
    let by_dpop = bearer.is_none();
    let sent = bearer.or_else(|| of_scheme(authorization, b"DPoP ")).ok_or(Reason::CredentialMalformed)?;
    if !api_key::has_prefix(sent) {
        return Ok(Sent { token: Some(sent), key: credentials.api_key, by_dpop });
    }
    match credentials.api_key {
        // No key is bound to an API key.
        _ if by_dpop => Err(Reason::CredentialMalformed),
        Some(other) if other != sent => Err(Reason::CredentialMalformed),
        _ => Ok(Sent { token: None, key: Some(sent), by_dpop }),
    }
}

/// The credential after `Bearer ` (RFC 6750 §2.1) or another scheme with its space; its case does not matter (RFC 9110
/// §11.1).
fn of_scheme<'a>(authorization: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let (scheme, credential) = authorization.split_at_checked(wanted.len())?;
    let credential = credential.trim_ascii();
    (scheme.eq_ignore_ascii_case(wanted) && !credential.is_empty()).then_some(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_take_any_case_and_nothing_else() {
        assert_eq!(of_scheme(b"Bearer abc", b"Bearer "), Some(&b"abc"[..]));
        assert_eq!(of_scheme(b"bEARER  abc ", b"Bearer "), Some(&b"abc"[..]));
        assert_eq!(of_scheme(b"dpop abc", b"DPoP "), Some(&b"abc"[..]));
        for other in [&b"Basic abc"[..], b"Bearer", b"Bearer ", b"Bearer\tabc", b"", b"Bearerabc", b"DPoP", b"DPoPabc"]
        {
            assert_eq!(of_scheme(other, b"Bearer "), None);
            assert_eq!(of_scheme(other, b"DPoP "), None);
        }
    }
}
