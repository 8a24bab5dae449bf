//! A record on its way from a worker to the audit writer: one exchange with every input of its decision.
//!
//! Encoded by the worker as plain bytes into its ring (no formatting, no allocation), decoded and written as JSON by
//! control. Little-endian; strings are length-prefixed (u16, or u32 where a target can be longer).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use policy::binding::Bindings;
use policy::reason::Reason;

use crate::bounds::LIMITS_PER_AGENT_MAX;

mod encoding;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A finished exchange.
    Exchange = 1,
    /// In audit mode `durable`: what is about to be forwarded.
    Intent = 2,
    /// Denials that found their ring full: only their count.
    DenialsAggregated = 3,
}

/// Transport the request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    Plain = 0,
    Tls12 = 2,
    Tls13 = 3,
}

/// One exchange, borrowing its strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub kind: Kind,
    /// When the decision was made.
    pub time_unix_ns: u64,
    pub request_id: u128,
    pub activation: u64,
    pub listener: u16,
    pub transport: Transport,
    /// Client address; IPv6 cut to its /64.
    pub client: IpAddr,
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// Normalised path.
    pub path: &'a [u8],
    /// Raw query; its values are redacted where the record is written.
    pub query: Option<&'a [u8]>,
    pub permitted: bool,
    pub reason: Option<Reason>,
    /// 0 when no response was sent.
    pub status: u16,
    /// Who called.
    pub agent: Option<u32>,
    /// Whose scopes and limits were used: the caller, or the anonymous agent.
    pub granted_by: Option<u32>,
    pub route: Option<u32>,
    pub scope: Option<u16>,
    pub token: Option<TokenFacts<'a>>,
    pub api_key: Option<u32>,
    pub certificate: Option<CertificateFacts<'a>>,
    /// Limit index and state before the charge.
    pub limits: LimitsBefore,
    pub origin: Option<SocketAddr>,
    pub retried: bool,
    /// Content bytes from the client and to the client.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Microseconds from the first byte of the head: to the decision, to the origin's first byte, to the end.
    pub decided_us: u32,
    pub first_byte_us: u32,
    pub total_us: u32,
    /// For `DenialsAggregated`.
    pub count: u64,
    /// Serial of the revocation list that is the reason; else 0.
    pub revocations: u64,
}

/// Verified facts of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts<'a> {
    pub issuer: u16,
    pub subject: &'a [u8],
    pub kid: Option<&'a [u8]>,
    pub expires_s: u64,
    /// Space-separated; none when the issuer has no `scope_claim`.
    pub scopes: Option<&'a [u8]>,
    /// What it is bound to, and was shown to be.
    pub bound: Bindings,
    /// Its issuer was asked about it: there was no signature.
    pub introspected: bool,
}

/// What a client certificate says, and who vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFacts<'a> {
    /// Over the DER.
    pub sha256: [u8; 32],
    /// The names that can name an agent, in the order in which they are looked up; see [`put_name`].
    pub names: &'a [u8],
    /// The client CAs of the policy that its chain verifies under, by index; 0 where nobody got as far as to ask.
    pub cas: u64,
}

/// Appends a name of a certificate: u16 length, then its text as a policy spells it.
pub fn put_name(out: &mut Vec<u8>, name: &str) {
    let length = u16::try_from(name.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(name.as_bytes().get(..usize::from(length)).unwrap_or(&[]));
}

impl<'a> CertificateFacts<'a> {
    /// The names, one by one.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut from = encoding::Reader { bytes: self.names };
        std::iter::from_fn(move || {
            let length = u16::from_le_bytes(from.array()?);
            from.take(usize::from(length))
        })
    }
}

/// In the place of a state: the limit had no place for one more subject. No step gives it (`policy::rate::STATE_MAX`).
pub const STATE_FULL: u64 = u64::MAX;

/// States of the charged limits before the charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsBefore {
    pub entries: [(u32, u64); LIMITS_PER_AGENT_MAX],
    pub len: u8,
}

impl LimitsBefore {
    /// Adds a limit; one too many is left out.
    pub fn push(&mut self, limit: u32, state: u64) {
        if let Some(place) = self.entries.get_mut(usize::from(self.len)) {
            *place = (limit, state);
            self.len += 1;
        }
    }

    pub fn as_slice(&self) -> &[(u32, u64)] {
        self.entries.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl<'a> Record<'a> {
    /// An exchange of which nothing else is known yet.
    pub fn begin(time_unix_ns: u64, request_id: u128, activation: u64) -> Self {
        Self {
            kind: Kind::Exchange,
            time_unix_ns,
            request_id,
            activation,
            listener: 0,
            transport: Transport::Plain,
            client: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            method: &[],
            host: &[],
            path: &[],
            query: None,
            permitted: false,
            reason: None,
            status: 0,
            agent: None,
            granted_by: None,
            route: None,
            scope: None,
            token: None,
            api_key: None,
            certificate: None,
            limits: LimitsBefore::default(),
            origin: None,
            retried: false,
            bytes_in: 0,
            bytes_out: 0,
            decided_us: 0,
            first_byte_us: 0,
            total_us: 0,
            count: 0,
            revocations: 0,
        }
    }
}

#[cfg(test)]
mod tests;
