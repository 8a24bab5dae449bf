//! The `cnf` claim (RFC 7800 §3.1): which key the holder of a token must show beside it.
//!
//! A token that has it is of no worth without that key, whatever the policy asks for (RFC 8705 §3, RFC 9449 §7). A way
//! of confirmation that is not known cannot be checked, so a token with one is refused rather than believed.

use policy::binding::Bindings;
use subtle::ConstantTimeEq;

use super::fault::{Part, TokenFault};
use crate::base64url;
use crate::json::{Members, Value};

/// What a token is bound to; nothing, for most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `x5t#S256` (RFC 8705 §3.1): SHA-256 over the DER of the client's certificate.
    pub certificate_sha256: Option<[u8; 32]>,
    /// `jkt` (RFC 9449 §6.1): thumbprint of the key that signs DPoP proofs.
    pub key_thumbprint: Option<[u8; 32]>,
}

impl Confirmation {
    /// The claim among the claims of a token, whose other ones are not looked at.
    ///
    /// # Errors
    /// They are not JSON, or the claim is not as expected.
    pub fn of_claims(claims: &[u8]) -> Result<Self, TokenFault> {
        let members = Members::read(claims).map_err(|fault| TokenFault::Json(Part::Claims, fault))?;
        Self::read(members.find("cnf"))
    }

    /// Reads the claim strictly: an object with known members alone, at least one of them.
    pub(super) fn read(claim: Option<&Value<'_>>) -> Result<Self, TokenFault> {
        let mut confirmation = Self::default();
        let Some(claim) = claim else {
            return Ok(confirmation);
        };
        let Value::Object(text) = claim else {
            return Err(TokenFault::ClaimValue("cnf"));
        };
        let members = Members::open(text).map_err(|fault| TokenFault::Json(Part::Claims, fault))?;
        for (name, value) in members.iter() {
            let place = match name {
                "x5t#S256" => &mut confirmation.certificate_sha256,
                "jkt" => &mut confirmation.key_thumbprint,
                _ => return Err(TokenFault::ConfirmationUnknown),
            };
            let Value::Text(text) = value else {
                return Err(TokenFault::ClaimValue("cnf"));
            };
            *place = Some(sha256(text.as_bytes()).ok_or(TokenFault::ClaimValue("cnf"))?);
        }
        if confirmation.bindings().is_empty() {
            return Err(TokenFault::ClaimValue("cnf"));
        }
        Ok(confirmation)
    }

    /// What must be shown for the token to be of worth.
    pub const fn bindings(&self) -> Bindings {
        let certificate = if self.certificate_sha256.is_some() { Bindings::CERTIFICATE } else { Bindings::NONE };
        if self.key_thumbprint.is_some() { certificate.and(Bindings::DPOP) } else { certificate }
    }

    /// Whether this is the certificate that the token is bound to.
    pub fn is_certificate(&self, sha256: &[u8; 32]) -> bool {
        self.certificate_sha256.is_some_and(|bound| bound.ct_eq(sha256).into())
    }
}

/// A SHA-256 in strict base64url.
pub(super) fn sha256(text: &[u8]) -> Option<[u8; 32]> {
    let mut room = [0; 33];
    base64url::decode_into(text, &mut room)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const X5T: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn read(cnf: &str) -> Result<Confirmation, TokenFault> {
        let claims = format!("{{\"cnf\":{cnf}}}");
        Confirmation::read(Members::open(&claims).unwrap().find("cnf"))
    }

    /// RFC 8705 §3.1 and RFC 9449 §6.1, figures with `cnf`. (The one of RFC 8705 ends in stray bits: here without.)
    #[test]
    fn the_examples_of_the_rfcs_are_read() {
        let x5t = X5T.replace("dg2", "dg0");
        let certificate = read(&format!(r#"{{"x5t#S256":"{x5t}"}}"#)).unwrap();
        assert_eq!(certificate.bindings(), Bindings::CERTIFICATE);
        assert!(certificate.is_certificate(&sha256(x5t.as_bytes()).unwrap()) && !certificate.is_certificate(&[0; 32]));
        let key = read(&format!(r#"{{"jkt":"{JKT}"}}"#)).unwrap();
        assert_eq!((key.bindings(), key.key_thumbprint), (Bindings::DPOP, sha256(JKT.as_bytes())));
        let both = read(&format!(r#"{{"jkt":"{JKT}","x5t#S256":"{x5t}"}}"#)).unwrap();
        assert_eq!(both.bindings(), Bindings::CERTIFICATE.and(Bindings::DPOP));
        assert_eq!(Confirmation::read(None).unwrap(), Confirmation::default());
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for unknown in [r#"{"jwk":{}}"#, r#"{"kid":"a"}"#, r#"{"jku":"https://a"}"#, r#"{"x5t":"a"}"#, r#"{"JKT":"a"}"#]
        {
            assert_eq!(read(unknown), Err(TokenFault::ConfirmationUnknown), "{unknown}");
        }
        let both = format!(r#"{{"jkt":"{JKT}","jwe":"a"}}"#);
        assert_eq!(read(&both), Err(TokenFault::ConfirmationUnknown), "one known member does not excuse another");
        let short = format!(r#"{{"jkt":"{}"}}"#, &JKT[..42]);
        let stray = format!(r#"{{"x5t#S256":"{X5T}"}}"#);
        let padded = format!(r#"{{"jkt":"{JKT}="}}"#);
        let other_forms = [r#"{}"#, "null", r#""a""#, "[]", r#"{"jkt":1}"#, r#"{"jkt":""}"#, &short, &stray, &padded];
        for other in other_forms {
            assert_eq!(read(other), Err(TokenFault::ClaimValue("cnf")), "{other}");
        }
        let twice = format!(r#"{{"jkt":"{JKT}","jkt":"{JKT}"}}"#);
        assert!(matches!(read(&twice), Err(TokenFault::Json(..))));
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_another(text in "\\PC{0,60}", hash in any::<[u8; 32]>()) {
            let encoded = base64url::encode(&hash);
            prop_assert_eq!(sha256(encoded.as_bytes()), Some(hash));
            prop_assert!(sha256(text.as_bytes()).is_none_or(|hash| base64url::encode(&hash) == text));
        }
    }
}
