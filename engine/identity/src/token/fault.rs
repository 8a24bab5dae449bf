//! Why a token was refused. The client sees none of it but 401; the record holds the reason.

use policy::reason::Reason;

use crate::bounds::{TOKEN_BYTES_MAX, TOKEN_HEADER_BYTES_MAX, TOKEN_SCOPES_MAX, TOKEN_SUBJECT_BYTES_MAX};
use crate::json::JsonFault;

/// One part of a compact JWS (RFC 7515 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Header,
    Claims,
    Signature,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// Why a token was refused. Always the client's fault, except where keys or answers are missing; a retry with the same token helps
/// only where [`TokenFault::may_pass_later`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    #[error("expected a token of at most {TOKEN_BYTES_MAX} bytes, found a longer one")]
    TooLong,
    #[error("expected three parts separated by dots (RFC 7515 §7.1), found another form")]
    Form,
    #[error("expected a header of at most {TOKEN_HEADER_BYTES_MAX} bytes, found a longer one")]
    HeaderTooLong,
    #[error("expected base64url without padding in the {0}, found other bytes")]
    Encoding(Part),
    #[error("{0}: {1}")]
    Json(Part, JsonFault),
    #[error("expected `{0}` in the header to be a string within bounds, found another value")]
    HeaderValue(&'static str),
    #[error("expected no `{0}` in the header: this gateway takes keys from the pinned keyset alone (RFC 8725 §3.10)")]
    KeyInHeader(&'static str),
    #[error("expected no `crit` in the header: no extension is understood (RFC 7515 §4.1.11)")]
    Critical,
    #[error("expected no `b64` in the header: the payload is always encoded (RFC 7797 is not supported)")]
    UnencodedPayload,
    #[error("expected `typ` to be absent, `JWT` or `at+jwt`, found another type (RFC 8725 §3.11)")]
    Type,
    #[error("expected no `cty` in the header: nested tokens are not supported (RFC 7519 §5.2)")]
    Nested,
    #[error("expected an `alg` that the issuer's section lists and that its key fits, found another")]
    AlgorithmRefused,
    #[error("expected the claim `{0}`, found none")]
    ClaimMissing(&'static str),
    #[error("expected the claim `{0}` in the form of RFC 7519 and within bounds, found another value")]
    ClaimValue(&'static str),
    #[error("expected `cnf` to name `x5t#S256` or `jkt` alone, found another way that cannot be checked")]
    ConfirmationUnknown,
    #[error("expected `sub` to hold 1 to {TOKEN_SUBJECT_BYTES_MAX} bytes without control characters")]
    Subject,
    #[error("expected the scope claim to be a string or an array of at most {TOKEN_SCOPES_MAX} strings")]
    Scopes,
    #[error("expected an `iss` that an issuer section names, found another")]
    IssuerUnknown,
    #[error("expected an `aud` that a section of this issuer lists, found another")]
    AudienceWrong,
    #[error("the token has expired (`exp`)")]
    Expired,
    #[error("the token is not valid yet (`nbf`)")]
    NotYetValid,
    #[error("the token was issued in the future (`iat`)")]
    IssuedInFuture,
    #[error("expected a `kid` of the issuer's keyset, or none and few fitting keys, found another")]
    KeyUnknown,
    #[error("the signature does not verify")]
    Signature,
    #[error("the keyset of the issuer is not available")]
    KeysetUnavailable,
    #[error("the keyset of the issuer is older than its policy admits")]
    KeysetStale,
    #[error("the issuer says that the token is not active (RFC 7662 §2.2)")]
    Inactive,
    #[error("the issuer could not be asked about the token, or its answer is none")]
    IntrospectionUnavailable,
}

impl TokenFault {
    /// The reason for the record.
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLong | Self::Form | Self::HeaderTooLong | Self::Encoding(_) | Self::Json(..) => {
                Reason::CredentialMalformed
            }
            Self::HeaderValue(_)
            | Self::KeyInHeader(_)
            | Self::Critical
            | Self::UnencodedPayload
            | Self::Type
            | Self::Nested
            | Self::ClaimMissing(_)
            | Self::ClaimValue(_)
            | Self::Subject
            | Self::Scopes
            | Self::Signature => Reason::TokenInvalid,
            Self::ConfirmationUnknown => Reason::TokenBindingUnknown,
            Self::AlgorithmRefused => Reason::TokenAlgorithmRefused,
            Self::IssuerUnknown => Reason::TokenIssuerUnknown,
            Self::AudienceWrong => Reason::TokenAudienceWrong,
            Self::Expired => Reason::TokenExpired,
            Self::NotYetValid | Self::IssuedInFuture => Reason::TokenNotYetValid,
            Self::KeyUnknown => Reason::TokenKeyUnknown,
            Self::KeysetUnavailable => Reason::KeysetUnavailable,
            Self::KeysetStale => Reason::KeysetStale,
            Self::Inactive => Reason::TokenInactive,
            Self::IntrospectionUnavailable => Reason::IntrospectionUnavailable,
        }
    }

    /// Whether the same token can pass later under the same issuers and keysets; such a fault must not be cached.
    pub const fn may_pass_later(self) -> bool {
        matches!(
            self,
            Self::NotYetValid
                | Self::IssuedInFuture
                | Self::KeysetUnavailable
                | Self::KeysetStale
                | Self::Inactive
                | Self::IntrospectionUnavailable
        )
    }
}
