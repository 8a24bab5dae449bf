//! HTTP/1.1 syntax (RFC 9112): heads, framing gate, chunked coding; bytes in, spans out.
//!
//! `httparse` finds the pieces of a head; everything that two parsers could read differently is then refused here,
//! so that the request that was decided on is the only request anybody can see in the bytes that are forwarded.
//! Nothing here allocates, reads a clock or knows a policy. A head holds [`Span`]s into the block it was parsed from;
//! the writers append to a caller's `Vec` and refuse every inserted value that could end a line.

mod authority;
mod bounds;
mod chunked;
mod fault;
mod forward;
mod framing;
mod injected;
mod local;
mod name;
mod rate_limit;
mod relay;
mod request;
mod response;
mod scan;
mod span;
mod status;
mod text;
mod trailers;

pub use bounds::{
    Bounds, CHUNK_EXTENSION_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, CONNECTION_OPTIONS_MAX, FIELDS_MAX, HEAD_BYTES_LIMIT,
    METHOD_BYTES_MAX, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX,
};
pub use chunked::{CHUNK_END, Chunk, ChunkedDecoder, write_chunk_head};
pub use fault::{Class, Fault};
pub use forward::{Forward, write_request_head};
pub use injected::{Injected, is_injectable, write_injected};
pub use local::{Local, write_local_response};
pub use name::Name;
pub use rate_limit::LimitState;
pub use relay::{CONTINUE, Relay, write_interim_head, write_response_head};
pub use request::{Framing, RequestHead, Scheme, TargetForm, Upgrade, parse_request};
pub use response::{ResponseFraming, ResponseHead, parse_response};
pub use scan::Scan;
pub use span::{Field, Fields, Span};
pub use status::reason_phrase;
pub use text::{put_decimal, put_json_string};
pub use trailers::{Trailers, parse_trailers, write_last_chunk};

/// How far a parse came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Valid so far; more bytes are needed.
    Partial,
    /// The head is whole and passed the gate.
    Complete,
}

/// Protocol version of a message (RFC 9112 §2.3). No other is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}
