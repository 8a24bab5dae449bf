//! What one slice of load gave.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::failure::Failure;

/// Width of one histogram of [`Slice::over_time`].
pub const OVER_TIME: Duration = Duration::from_millis(100);

/// Longest latency that a histogram tells from longer ones.
const LATENCY_MAX_NS: u64 = 120_000_000_000;

/// What one slice of load gave. Slices add up with [`Slice::add`].
#[derive(Clone, Debug)]
pub struct Slice {
    /// Whole responses, refused ones too.
    pub requests: u64,
    /// Responses with another status than the expected.
    pub refused: u64,
    /// Those by status.
    pub refused_by_status: BTreeMap<u16, u64>,
    pub errors: Errors,
    /// The first of them in words.
    pub first_error: Option<String>,
    /// Open loop: requests that were due but never sent, because every connection was waiting. Their age at the end is
    /// among the latencies.
    pub unsent: u64,
    /// Connections opened, those before the first slice too.
    pub connections_opened: u64,
    pub bytes_received: u64,
    /// Until the last response came.
    pub elapsed: Duration,
    /// Nanoseconds from the intended start (open loop) or the send (closed loop) to the last byte of the response.
    pub latencies: Histogram<u64>,
    /// Open loop: nanoseconds from when a request was due to its send, for those that did not have to wait for a
    /// connection: the generator's own part of the latencies.
    pub pacing: Histogram<u64>,
    /// One histogram (two digits) for each [`OVER_TIME`] of the slice, by when the response came.
    pub over_time: Option<Vec<Histogram<u64>>>,
    /// Responses that slow readers took whole, and bytes that they took; not among `requests` and `bytes_received`.
    pub slow_requests: u64,
    pub slow_bytes: u64,
    /// The generator's own CPU time, nanoseconds.
    pub cpu_ns: u64,
    /// What the TLS connections agreed on.
    pub tls: Negotiated,
}

/// Requests that got no whole response, by what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Errors {
    /// No connection.
    pub connect: u64,
    /// No TLS session.
    pub handshake: u64,
    /// Closed or reset before the response was whole.
    pub reset: u64,
    /// No whole response in time.
    pub timeout: u64,
    /// Not HTTP/1.1, or more than was asked for.
    pub malformed: u64,
}

impl Errors {
    pub fn total(&self) -> u64 {
        self.connect + self.handshake + self.reset + self.timeout + self.malformed
    }

    fn add(&mut self, other: &Self) {
        self.connect += other.connect;
        self.handshake += other.handshake;
        self.reset += other.reset;
        self.timeout += other.timeout;
        self.malformed += other.malformed;
    }
}

impl std::fmt::Display for Errors {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connect, handshake, reset, timeout, malformed } = self;
        write!(formatter, "{connect} connect, {handshake} handshake, {reset} reset, {timeout} timeout, ")?;
        write!(formatter, "{malformed} malformed")
    }
}

/// Handshakes by kind, and the last group agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Negotiated {
    pub full: u64,
    pub resumed: u64,
    /// Name of the key-exchange group, as rustls writes it.
    pub group: Option<String>,
    pub version: Option<String>,
}

impl Slice {
    pub fn empty() -> Result<Self, Failure> {
        Ok(Self {
            requests: 0,
            refused: 0,
            refused_by_status: BTreeMap::new(),
            errors: Errors::default(),
            first_error: None,
            unsent: 0,
            connections_opened: 0,
            bytes_received: 0,
            elapsed: Duration::ZERO,
            latencies: histogram(3)?,
            pacing: histogram(3)?,
            over_time: None,
            slow_requests: 0,
            slow_bytes: 0,
            cpu_ns: 0,
            tls: Negotiated::default(),
        })
    }

    /// Whole responses a second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Latency at a quantile (0 … 1), microseconds.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// Each request that was sent got a response with the expected status.
    pub fn is_clean(&self) -> bool {
        self.refused == 0 && self.errors.total() == 0
    }

    /// Takes a slice that came after this one: counts and times add up.
    pub fn add(&mut self, later: Slice) -> Result<(), Failure> {
        self.elapsed += later.elapsed;
        if let Some(more) = &later.over_time {
            self.over_time.get_or_insert_default().extend(more.iter().cloned());
        }
        self.add_counts(&later)
    }

    /// Takes a slice that ran beside this one, on another core.
    pub(super) fn merge(&mut self, beside: &Slice) -> Result<(), Failure> {
        self.elapsed = self.elapsed.max(beside.elapsed);
        if let Some(more) = &beside.over_time {
            let own = self.over_time.get_or_insert_default();
            for (at, histogram) in more.iter().enumerate() {
                match own.get_mut(at) {
                    Some(sum) => add(sum, histogram)?,
                    None => own.push(histogram.clone()),
                }
            }
        }
        self.add_counts(beside)
    }

    fn add_counts(&mut self, other: &Slice) -> Result<(), Failure> {
        self.requests += other.requests;
        self.refused += other.refused;
        for (status, count) in &other.refused_by_status {
            *self.refused_by_status.entry(*status).or_default() += count;
        }
        self.errors.add(&other.errors);
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
        self.unsent += other.unsent;
        self.connections_opened += other.connections_opened;
        self.bytes_received += other.bytes_received;
        self.slow_requests += other.slow_requests;
        self.slow_bytes += other.slow_bytes;
        self.cpu_ns += other.cpu_ns;
        self.tls.full += other.tls.full;
        self.tls.resumed += other.tls.resumed;
        self.tls.group = other.tls.group.clone().or_else(|| self.tls.group.take());
        self.tls.version = other.tls.version.clone().or_else(|| self.tls.version.take());
        add(&mut self.latencies, &other.latencies)?;
        add(&mut self.pacing, &other.pacing)
    }
}

fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) -> Result<(), Failure> {
    sum.add(more).map_err(|error| Failure::Subject(error.to_string()))
}

/// A histogram of nanoseconds.
pub(super) fn histogram(digits: u8) -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1_000, LATENCY_MAX_NS, digits).map_err(|error| Failure::Subject(error.to_string()))
}
