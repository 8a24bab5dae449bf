//! What to send, where, how often and over what.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::wire::Target;

/// Everything about a load but its duration. [`Plan::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Plan {
    pub target: Target,
    /// Connections over all cores; each has one request under way at most.
    pub connections: usize,
    pub loop_: Loop,
    pub reuse: Reuse,
    pub requests: Requests,
    /// For `https` targets; none there means: trust any certificate, defaults for the rest.
    pub tls: Option<ClientTls>,
    /// Connections that read slowly, beside the others.
    pub slow_readers: Option<SlowReaders>,
    /// One thread pinned to each; empty means one thread that is not pinned.
    pub cores: Vec<usize>,
    /// The status that a response shall have; any other counts as refused.
    pub expect: u16,
    /// Keep a histogram for each [`super::OVER_TIME`] too, for heat maps.
    pub over_time: bool,
    /// Errors of one thread in one slice after which it ends as failed.
    pub errors_max: u64,
    /// From the send, or the opening of a connection for it, to the last byte of the response.
    pub response_timeout: Duration,
}

impl Plan {
    /// A closed loop over kept connections, 200 expected, on one thread.
    pub fn new(target: Target, connections: usize, requests: Requests) -> Self {
        Self {
            target,
            connections,
            loop_: Loop::Closed,
            reuse: Reuse::KeepAlive,
            requests,
            tls: None,
            slow_readers: None,
            cores: Vec::new(),
            expect: 200,
            over_time: false,
            errors_max: 10_000,
            response_timeout: Duration::from_secs(10),
        }
    }
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loop {
    /// When the response before it has come: as fast as the target answers.
    Closed,
    /// At a constant rate whatever the target does. Latencies count from when a request should have been sent.
    Open { per_second: f64 },
}

/// How long a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    KeepAlive,
    /// A connection (and handshake) for every request; both are part of its latency.
    NewEach,
    /// A new connection after so many requests.
    Every(u32),
}

/// A request as bytes, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
    head_only: bool,
}

impl Request {
    /// `fields` are lines `Name: value`; Host comes from the target. With `content_bytes` > 0 there is a
    /// Content-Length and so much content.
    pub fn new(target: &Target, method: &str, fields: &[String], content_bytes: usize) -> Self {
        let mut text = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", target.path, target.authority);
        for field in fields {
            text.push_str(field);
            text.push_str("\r\n");
        }
        if content_bytes > 0 || matches!(method, "POST" | "PUT" | "PATCH") {
            text.push_str(&format!("Content-Length: {content_bytes}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + content_bytes, b'x');
        Self { bytes, head_only: method == "HEAD" }
    }

    pub fn get(target: &Target, fields: &[String]) -> Self {
        Self::new(target, "GET", fields, 0)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether its response has no content whatever its fields say (RFC 9110 §9.3.2).
    pub fn head_only(&self) -> bool {
        self.head_only
    }
}

/// Where requests come from. Clones share them.
#[derive(Clone, Debug)]
pub enum Requests {
    One(Arc<Request>),
    /// One after the other, then again from the start (such as 10,000 tokens, or a mix).
    Rotating(Arc<Vec<Request>>),
    /// Each at most once over all slices; a slice that runs out of them fails.
    Once(Arc<Vec<Request>>),
}

impl Requests {
    pub fn one(request: Request) -> Self {
        Self::One(Arc::new(request))
    }

    pub fn rotating(requests: Vec<Request>) -> Self {
        Self::Rotating(Arc::new(requests))
    }

    pub fn once(requests: Vec<Request>) -> Self {
        Self::Once(Arc::new(requests))
    }
}

/// Connections that take what they are sent so slowly; they send the same requests, and are counted aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowReaders {
    pub connections: usize,
    /// Each.
    pub bytes_per_second: u32,
}

/// TLS as the client wants it.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// PEM of the authorities to trust; none trusts anybody (a load generator checks nothing but cost).
    pub roots: Option<String>,
    pub identity: Option<Identity>,
    /// The only key-exchange group offered; none leaves the choice to the library.
    pub group: Option<Group>,
    /// Whether sessions are resumed. Off, each connection is a full handshake.
    pub resumption: bool,
}

/// A client certificate chain and its key, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    pub chain: String,
    pub key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    X25519,
    #[value(name = "p-256")]
    #[serde(rename = "p-256")]
    P256,
    #[value(name = "x25519mlkem768")]
    #[serde(rename = "x25519mlkem768")]
    X25519MlKem768,
}

impl Plan {
    /// What cannot be run at all.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let slow = self.slow_readers.map_or(0, |slow| slow.connections);
        if self.connections + slow == 0 {
            return Err(Failure::Argument { expected: "at least one connection", found: "0".into() });
        }
        self.requests.check()?;
        self.loop_.check()
    }
}

impl Requests {
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Rotating(all) | Self::Once(all) if all.is_empty() => {
                Err(Failure::Argument { expected: "at least one request", found: "none".into() })
            }
            _ => Ok(()),
        }
    }
}

impl Loop {
    pub(super) fn check(self) -> Result<(), Failure> {
        match self {
            Self::Open { per_second } if !(per_second.is_finite() && per_second > 0.0) => {
                Err(Failure::Argument { expected: "a rate above 0 per second", found: per_second.to_string() })
            }
            _ => Ok(()),
        }
    }
}
