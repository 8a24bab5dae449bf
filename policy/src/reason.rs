//! Why a request was not permitted, or not answered by its origin: a closed set.

/// The reason of a refusal or failure. The number is stable: it stands in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    // frame (400 and its kin, connection closed)
    MalformedHead = 1,
    AmbiguousFraming = 2,
    UnsupportedVersion = 3,
    TargetTooLong = 4,
    HeadTooLarge = 5,
    ContentTooLarge = 6,
    UnsupportedTransferCoding = 7,
    UpgradeRefused = 8,
    MalformedContent = 9,
    ExpectationFailed = 10,
    // target
    InvalidTarget = 16,
    TargetNotAdmitted = 17,
    MisdirectedHost = 18,
    TransportTooWeak = 19,
    // identity (401)
    CredentialMissing = 32,
    CredentialMalformed = 33,
    TokenInvalid = 34,
    TokenExpired = 35,
    TokenNotYetValid = 36,
    TokenIssuerUnknown = 37,
    TokenKeyUnknown = 38,
    TokenAlgorithmRefused = 39,
    TokenAudienceWrong = 40,
    ApiKeyInvalid = 41,
    ApiKeyExpired = 42,
    CertificateInvalid = 43,
    CertificateExpired = 44,
    ProofsIncomplete = 45,
    ProofsConflict = 46,
    AgentUnknown = 47,
    IdentificationThrottled = 48,
    KeysetUnavailable = 49,
    KeysetStale = 50,
    TokenInactive = 51,
    IntrospectionUnavailable = 52,
    ApiKeyOutOfTerm = 53,
    KeySetExpired = 54,
    CredentialRevoked = 60,
    AgentRevoked = 61,
    // decision (401 with nothing presented, else 403)
    RouteUnknown = 64,
    ScopeMissing = 65,
    // account (429, 503)
    LimitExceeded = 80,
    SubjectsFull = 81,
    RecordUnavailable = 82,
    // gateway (503)
    Overloaded = 96,
    Draining = 97,
    ActivationEnded = 98,
    // origin (502, 504)
    OriginUnreachable = 112,
    OriginConnectTimeout = 113,
    OriginTlsFailed = 114,
    OriginBroke = 115,
    OriginMalformed = 116,
    OriginTimeout = 117,
    // the gateway's own credential or certificate towards the origin (503)
    OriginCredentialMissing = 118,
    OriginIdentityMissing = 119,
    // client
    ClientAborted = 128,
    ClientTimeout = 129,
    ExchangeTimeout = 130,
    // what a token is bound to (401)
    TokenUnbound = 144,
    TokenBindingUnknown = 145,
    TokenCertificateMissing = 146,
    TokenCertificateWrong = 147,
    DpopMissing = 148,
    DpopMalformed = 149,
    DpopInvalid = 150,
    DpopRequestWrong = 151,
    DpopTimeWrong = 152,
    DpopTokenWrong = 153,
    DpopKeyWrong = 154,
    DpopReplayed = 155,
    DpopReplaysFull = 156,
    DpopNonceWrong = 157,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: &[Self] = &[
        Self::MalformedHead,
        Self::AmbiguousFraming,
        Self::UnsupportedVersion,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::ContentTooLarge,
        Self::UnsupportedTransferCoding,
        Self::UpgradeRefused,
        Self::MalformedContent,
        Self::ExpectationFailed,
        Self::InvalidTarget,
        Self::TargetNotAdmitted,
        Self::MisdirectedHost,
        Self::TransportTooWeak,
        Self::CredentialMissing,
        Self::CredentialMalformed,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenIssuerUnknown,
        Self::TokenKeyUnknown,
        Self::TokenAlgorithmRefused,
        Self::TokenAudienceWrong,
        Self::ApiKeyInvalid,
        Self::ApiKeyExpired,
        Self::CertificateInvalid,
        Self::CertificateExpired,
        Self::ProofsIncomplete,
        Self::ProofsConflict,
        Self::AgentUnknown,
        Self::IdentificationThrottled,
        Self::KeysetUnavailable,
        Self::KeysetStale,
        Self::TokenInactive,
        Self::IntrospectionUnavailable,
        Self::ApiKeyOutOfTerm,
        Self::KeySetExpired,
        Self::TokenUnbound,
        Self::TokenBindingUnknown,
        Self::TokenCertificateMissing,
        Self::TokenCertificateWrong,
        Self::DpopMissing,
        Self::DpopMalformed,
        Self::DpopInvalid,
        Self::DpopRequestWrong,
        Self::DpopTimeWrong,
        Self::DpopTokenWrong,
        Self::DpopKeyWrong,
        Self::DpopReplayed,
        Self::DpopReplaysFull,
        Self::DpopNonceWrong,
        Self::CredentialRevoked,
        Self::AgentRevoked,
        Self::RouteUnknown,
        Self::ScopeMissing,
        Self::LimitExceeded,
        Self::SubjectsFull,
        Self::RecordUnavailable,
        Self::Overloaded,
        Self::Draining,
        Self::ActivationEnded,
        Self::OriginUnreachable,
        Self::OriginConnectTimeout,
        Self::OriginTlsFailed,
        Self::OriginBroke,
        Self::OriginMalformed,
        Self::OriginTimeout,
        Self::OriginCredentialMissing,
        Self::OriginIdentityMissing,
        Self::ClientAborted,
        Self::ClientTimeout,
        Self::ExchangeTimeout,
    ];

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }

    /// The reason with this stable number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| *reason as u8 == number)
    }

    /// Status of the response that a client gets for it.
    pub const fn status(self) -> u16 {
        match self {
            Self::MalformedHead
            | Self::AmbiguousFraming
            | Self::UnsupportedVersion
            | Self::MalformedContent
            | Self::InvalidTarget
            | Self::TargetNotAdmitted => 400,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::ContentTooLarge => 413,
            Self::UnsupportedTransferCoding | Self::UpgradeRefused => 501,
            Self::ExpectationFailed => 417,
            Self::MisdirectedHost => 421,
            Self::CredentialMissing
            | Self::CredentialMalformed
            | Self::TokenInvalid
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenIssuerUnknown
            | Self::TokenKeyUnknown
            | Self::TokenAlgorithmRefused
            | Self::TokenAudienceWrong
            | Self::ApiKeyInvalid
            | Self::ApiKeyExpired
            | Self::CertificateInvalid
            | Self::CertificateExpired
            | Self::ProofsIncomplete
            | Self::ProofsConflict
            | Self::AgentUnknown
            | Self::IdentificationThrottled
            | Self::KeysetUnavailable
            | Self::KeysetStale
            | Self::TokenInactive
            | Self::IntrospectionUnavailable
            | Self::ApiKeyOutOfTerm
            | Self::KeySetExpired
            | Self::TokenUnbound
            | Self::TokenBindingUnknown
            | Self::TokenCertificateMissing
            | Self::TokenCertificateWrong
            | Self::DpopMissing
            | Self::DpopMalformed
            | Self::DpopInvalid
            | Self::DpopRequestWrong
            | Self::DpopTimeWrong
            | Self::DpopTokenWrong
            | Self::DpopKeyWrong
            | Self::DpopReplayed
            | Self::DpopReplaysFull
            | Self::DpopNonceWrong
            | Self::CredentialRevoked
            | Self::AgentRevoked => 401,
            Self::RouteUnknown | Self::ScopeMissing | Self::TransportTooWeak => 403,
            Self::LimitExceeded | Self::SubjectsFull => 429,
            Self::RecordUnavailable
            | Self::Overloaded
            | Self::Draining
            | Self::ActivationEnded
            | Self::OriginCredentialMissing
            | Self::OriginIdentityMissing => 503,
            Self::OriginUnreachable | Self::OriginTlsFailed | Self::OriginBroke | Self::OriginMalformed => 502,
            Self::OriginConnectTimeout | Self::OriginTimeout | Self::ExchangeTimeout => 504,
            Self::ClientAborted | Self::ClientTimeout => 408,
        }
    }

    /// Whether a revocation list, and nothing in the release, is why.
    pub const fn is_revocation(self) -> bool {
        matches!(self, Self::CredentialRevoked | Self::AgentRevoked)
    }

    /// Name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedHead => "malformed-head",
            Self::AmbiguousFraming => "ambiguous-framing",
            Self::UnsupportedVersion => "unsupported-version",
            Self::TargetTooLong => "target-too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::ContentTooLarge => "content-too-large",
            Self::UnsupportedTransferCoding => "unsupported-transfer-coding",
            Self::UpgradeRefused => "upgrade-refused",
            Self::MalformedContent => "malformed-content",
            Self::ExpectationFailed => "expectation-failed",
            Self::InvalidTarget => "invalid-target",
            Self::TargetNotAdmitted => "target-not-admitted",
            Self::MisdirectedHost => "misdirected-host",
            Self::TransportTooWeak => "transport-too-weak",
            Self::CredentialMissing => "credential-missing",
            Self::CredentialMalformed => "credential-malformed",
            Self::TokenInvalid => "token-invalid",
            Self::TokenExpired => "token-expired",
            Self::TokenNotYetValid => "token-not-yet-valid",
            Self::TokenIssuerUnknown => "token-issuer-unknown",
            Self::TokenKeyUnknown => "token-key-unknown",
            Self::TokenAlgorithmRefused => "token-algorithm-refused",
            Self::TokenAudienceWrong => "token-audience-wrong",
            Self::ApiKeyInvalid => "api-key-invalid",
            Self::ApiKeyExpired => "api-key-expired",
            Self::CertificateInvalid => "certificate-invalid",
            Self::CertificateExpired => "certificate-expired",
            Self::ProofsIncomplete => "proofs-incomplete",
            Self::ProofsConflict => "proofs-conflict",
            Self::AgentUnknown => "agent-unknown",
            Self::IdentificationThrottled => "identification-throttled",
            Self::KeysetUnavailable => "keyset-unavailable",
            Self::KeysetStale => "keyset-stale",
            Self::TokenInactive => "token-inactive",
            Self::IntrospectionUnavailable => "introspection-unavailable",
            Self::ApiKeyOutOfTerm => "api-key-out-of-term",
            Self::KeySetExpired => "key-set-expired",
            Self::TokenUnbound => "token-unbound",
            Self::TokenBindingUnknown => "token-binding-unknown",
            Self::TokenCertificateMissing => "token-certificate-missing",
            Self::TokenCertificateWrong => "token-certificate-wrong",
            Self::DpopMissing => "dpop-missing",
            Self::DpopMalformed => "dpop-malformed",
            Self::DpopInvalid => "dpop-invalid",
            Self::DpopRequestWrong => "dpop-request-wrong",
            Self::DpopTimeWrong => "dpop-time-wrong",
            Self::DpopTokenWrong => "dpop-token-wrong",
            Self::DpopKeyWrong => "dpop-key-wrong",
            Self::DpopReplayed => "dpop-replayed",
            Self::DpopReplaysFull => "dpop-replays-full",
            Self::DpopNonceWrong => "dpop-nonce-wrong",
            Self::CredentialRevoked => "credential-revoked",
            Self::AgentRevoked => "agent-revoked",
            Self::RouteUnknown => "route-unknown",
            Self::ScopeMissing => "scope-missing",
            Self::LimitExceeded => "limit-exceeded",
            Self::SubjectsFull => "subjects-full",
            Self::RecordUnavailable => "record-unavailable",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::ActivationEnded => "activation-ended",
            Self::OriginUnreachable => "origin-unreachable",
            Self::OriginConnectTimeout => "origin-connect-timeout",
            Self::OriginTlsFailed => "origin-tls-failed",
            Self::OriginBroke => "origin-broke",
            Self::OriginMalformed => "origin-malformed",
            Self::OriginTimeout => "origin-timeout",
            Self::OriginCredentialMissing => "origin-credential-missing",
            Self::OriginIdentityMissing => "origin-identity-missing",
            Self::ClientAborted => "client-aborted",
            Self::ClientTimeout => "client-timeout",
            Self::ExchangeTimeout => "exchange-timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn numbers_and_names_are_unique_and_round_trip() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(Reason::from_number(*reason as u8), Some(*reason));
            assert_eq!(Reason::from_name(reason.name()), Some(*reason));
            assert!((400..=504).contains(&reason.status()));
            assert!(!Reason::ALL.iter().take(index).any(|other| other.name() == reason.name()));
        }
        assert_eq!(Reason::from_number(0), None);
    }
}
