//! Why a DPoP proof was refused. The record holds the reason.

use policy::reason::Reason;

use super::super::fault::Part;
use super::super::jwk::Unfit;
use crate::bounds::{DPOP_AGE_S_MAX, DPOP_AHEAD_S_MAX, DPOP_BYTES_MAX, DPOP_HEADER_BYTES_MAX, DPOP_ID_BYTES_MAX};
use crate::json::JsonFault;

/// Why a proof was refused. Always the client's fault; it can make another proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DpopFault {
    #[error("expected a proof of at most {DPOP_BYTES_MAX} bytes and a header of {DPOP_HEADER_BYTES_MAX}, found more")]
    TooLong,
    #[error("expected three parts separated by dots (RFC 7515 §7.1), found another form")]
    Form,
    #[error("expected base64url without padding in the {0}, found other bytes")]
    Encoding(Part),
    #[error("{0}: {1}")]
    Json(Part, JsonFault),
    #[error("expected `typ` to be `dpop+jwt`, found another or none")]
    Type,
    #[error("expected no `{0}` in the header")]
    HeaderRefused(&'static str),
    #[error("expected an `alg` of ES256, ES384, EdDSA, PS256 and RS256, found another or none")]
    AlgorithmRefused,
    #[error("expected `jwk` in the header to be a public key, found none")]
    Key,
    #[error("expected a public key in `jwk`, found a secret or private parts: treat it as compromised")]
    PrivateKey,
    #[error("the key in `jwk`: {0}")]
    KeyUnfit(Unfit),
    #[error("expected the claim `{0}` in its form (`jti`: 1 to {DPOP_ID_BYTES_MAX} bytes), found none or another")]
    Claim(&'static str),
    #[error("expected `{0}` to be that of this request, found another")]
    RequestWrong(&'static str),
    #[error("expected `iat` at most {DPOP_AHEAD_S_MAX} s ahead, found a later one")]
    IssuedInFuture,
    #[error("expected `iat` at most {DPOP_AGE_S_MAX} s ago, found an earlier one")]
    TooOld,
    #[error("expected `ath` to be the hash of the token presented, found another")]
    TokenWrong,
    #[error("expected the key that the token is bound to (`cnf.jkt`), found another")]
    KeyWrong,
    #[error("expected a `nonce` that this gateway gave not long ago, found another or none")]
    NonceWrong,
    #[error("the signature does not verify")]
    Signature,
}

impl DpopFault {
    /// The reason for the record.
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLong
            | Self::Form
            | Self::Encoding(_)
            | Self::Json(..)
            | Self::Type
            | Self::HeaderRefused(_)
            | Self::Key
            | Self::PrivateKey
            | Self::KeyUnfit(_)
            | Self::Claim(_) => Reason::DpopMalformed,
            Self::AlgorithmRefused | Self::Signature => Reason::DpopInvalid,
            Self::RequestWrong(_) => Reason::DpopRequestWrong,
            Self::IssuedInFuture | Self::TooOld => Reason::DpopTimeWrong,
            Self::TokenWrong => Reason::DpopTokenWrong,
            Self::KeyWrong => Reason::DpopKeyWrong,
            Self::NonceWrong => Reason::DpopNonceWrong,
        }
    }
}
