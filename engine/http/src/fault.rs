//! Why a message was refused: a closed set, one entry per cause.

/// What was wrong with a message. Whose fault it was is known from where it was parsed: a request's is the client's,
/// a response's is the origin's. No retry of the same bytes can help. The connection must be closed after any of
/// these, because the end of the message is no longer certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("expected an HTTP/1.1 request, found a TLS handshake: this port is not TLS; use http:// or the TLS port")]
    TlsOnPlainPort,
    #[error("expected an HTTP/1.1 request, found the HTTP/2 preface: this port speaks HTTP/1.1 only")]
    Http2Preface,
    #[error("expected `method SP target SP version CRLF`, found something else in the request line")]
    RequestLine,
    #[error("expected a method of 1 to 32 token characters")]
    Method,
    #[error("expected a method other than CONNECT and TRACE: neither is served by this gateway")]
    MethodNotServed,
    #[error("expected HTTP/1.1 or HTTP/1.0 after the target")]
    Version,
    #[error("expected a target that starts with `/`, http:// or https:// (or `*` with OPTIONS)")]
    TargetForm,
    #[error("expected visible ASCII in the target; percent-encode other bytes")]
    TargetBytes,
    #[error("the target is longer than this gateway admits")]
    TargetTooLong,
    #[error("expected every line to end with CRLF, found a bare LF or more than one empty line at the start")]
    LineEnding,
    #[error("expected a field name and a colon right after it, found an invalid byte, white space or a folded line")]
    FieldName,
    #[error("found a control character in a field value")]
    FieldValue,
    #[error("the head is larger than this gateway admits")]
    HeadTooLarge,
    #[error("the head has more fields than this gateway admits")]
    TooManyFields,
    #[error("expected a Host field, found none")]
    HostMissing,
    #[error("expected one Host field, found several")]
    HostRepeated,
    #[error("expected `host` or `host:port` in Host or in the target's authority")]
    HostInvalid,
    #[error("the Host field and the target's authority differ")]
    HostMismatch,
    #[error("expected one Content-Length of decimal digits without leading zeros")]
    ContentLength,
    #[error("found Content-Length together with Transfer-Encoding")]
    LengthAndCoding,
    #[error("expected `Transfer-Encoding: chunked`, once, or none")]
    TransferCoding,
    #[error("the only transfer coding served is chunked")]
    TransferCodingNotServed,
    #[error("found Transfer-Encoding in an HTTP/1.0 message")]
    TransferCodingInHttp10,
    #[error("expected at most 16 tokens in Connection, none of them a field that decides framing, host or identity")]
    Connection,
    #[error("expected one Authorization field, found several")]
    AuthorizationRepeated,
    #[error("expected one X-API-Key field, found several")]
    ApiKeyRepeated,
    #[error("expected one DPoP field, found several")]
    DpopRepeated,
    #[error("the only expectation served is 100-continue")]
    Expectation,
    #[error("expected a decimal number in Max-Forwards")]
    MaxForwards,
    #[error("expected `HTTP/1.1 SP status` with a status of 100 to 599")]
    StatusLine,
    #[error("found 101 although no upgrade was asked for")]
    SwitchingProtocols,
    #[error("expected a chunk size of 1 to 16 hexadecimal digits")]
    ChunkSize,
    #[error("expected chunk extensions of the form `;name` or `;name=value`")]
    ChunkExtension,
    #[error("chunk extensions are longer than 4 KiB in all")]
    ChunkExtensionsTooLarge,
    #[error("expected CRLF after the chunk data")]
    ChunkEnd,
    #[error("the trailer section is larger than 4 KiB or has more than 32 fields")]
    TrailersTooLarge,
    #[error("found an invalid field in the trailer section")]
    Trailers,
    #[error("a value to be inserted into a head has a byte that could end its line")]
    UnsafeValue,
}

/// Groups of [`Fault`]s that are answered and counted alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    MalformedHead,
    AmbiguousFraming,
    UnsupportedVersion,
    TargetTooLong,
    HeadTooLarge,
    UnsupportedTransferCoding,
    InvalidTarget,
    NotServed,
    ExpectationFailed,
    MalformedContent,
    /// The gateway's own: it was about to write something unsafe.
    Internal,
}

impl Fault {
    /// Every fault, for tables and tests.
    pub const ALL: &[Self] = &[
        Self::TlsOnPlainPort,
        Self::Http2Preface,
        Self::RequestLine,
        Self::Method,
        Self::MethodNotServed,
        Self::Version,
        Self::TargetForm,
        Self::TargetBytes,
        Self::TargetTooLong,
        Self::LineEnding,
        Self::FieldName,
        Self::FieldValue,
        Self::HeadTooLarge,
        Self::TooManyFields,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::ContentLength,
        Self::LengthAndCoding,
        Self::TransferCoding,
        Self::TransferCodingNotServed,
        Self::TransferCodingInHttp10,
        Self::Connection,
        Self::AuthorizationRepeated,
        Self::ApiKeyRepeated,
        Self::DpopRepeated,
        Self::Expectation,
        Self::MaxForwards,
        Self::StatusLine,
        Self::SwitchingProtocols,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkExtensionsTooLarge,
        Self::ChunkEnd,
        Self::TrailersTooLarge,
        Self::Trailers,
        Self::UnsafeValue,
    ];

    /// The group that this fault belongs to.
    pub const fn class(self) -> Class {
        match self {
            Self::Http2Preface | Self::Version => Class::UnsupportedVersion,
            Self::TargetTooLong => Class::TargetTooLong,
            Self::HeadTooLarge | Self::TooManyFields => Class::HeadTooLarge,
            Self::TargetForm | Self::TargetBytes => Class::InvalidTarget,
            Self::MethodNotServed => Class::NotServed,
            Self::ContentLength | Self::LengthAndCoding | Self::TransferCoding | Self::TransferCodingInHttp10 => {
                Class::AmbiguousFraming
            }
            Self::TransferCodingNotServed => Class::UnsupportedTransferCoding,
            Self::Expectation => Class::ExpectationFailed,
            Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkExtensionsTooLarge
            | Self::ChunkEnd
            | Self::TrailersTooLarge
            | Self::Trailers => Class::MalformedContent,
            Self::UnsafeValue => Class::Internal,
            Self::TlsOnPlainPort
            | Self::RequestLine
            | Self::Method
            | Self::LineEnding
            | Self::FieldName
            | Self::FieldValue
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::HostMismatch
            | Self::Connection
            | Self::AuthorizationRepeated
            | Self::ApiKeyRepeated
            | Self::DpopRepeated
            | Self::MaxForwards
            | Self::StatusLine
            | Self::SwitchingProtocols => Class::MalformedHead,
        }
    }

    /// Status to answer a client's request with. (A fault in an origin's response is a 502, whatever it was.)
    pub const fn status(self) -> u16 {
        match self.class() {
            Class::MalformedHead
            | Class::AmbiguousFraming
            | Class::UnsupportedVersion
            | Class::InvalidTarget
            | Class::MalformedContent => 400,
            Class::TargetTooLong => 414,
            Class::ExpectationFailed => 417,
            Class::HeadTooLarge => 431,
            Class::Internal => 500,
            Class::UnsupportedTransferCoding | Class::NotServed => 501,
        }
    }
}
