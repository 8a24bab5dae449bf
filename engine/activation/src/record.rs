//! A record on its way from a worker to the audit writer: one exchange with every input of its decision.
//!
//! Encoded by the worker as plain bytes into its ring (no formatting, no allocation), decoded and written as JSON by
//! control. Little-endian; strings are length-prefixed (u16, or u32 where a target can be longer).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use policy::reason::Reason;

use crate::bounds::LIMITS_PER_AGENT_MAX;

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
        let mut from = Reader { bytes: self.names };
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

const FLAG_PERMITTED: u8 = 1;
const FLAG_RETRIED: u8 = 2;
const NONE_U32: u32 = u32::MAX;
const NONE_U16: u16 = u16::MAX;

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
        }
    }

    /// Appends the encoded record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.permitted { FLAG_PERMITTED } else { 0 } | if self.retried { FLAG_RETRIED } else { 0 };
        out.extend_from_slice(&[
            self.kind as u8,
            self.transport as u8,
            flags,
            self.reason.map_or(0, |reason| reason as u8),
        ]);
        out.extend_from_slice(&self.time_unix_ns.to_le_bytes());
        out.extend_from_slice(&self.request_id.to_le_bytes());
        out.extend_from_slice(&self.activation.to_le_bytes());
        out.extend_from_slice(&self.listener.to_le_bytes());
        out.extend_from_slice(&self.status.to_le_bytes());
        put_address(out, self.client);
        for index in [self.agent, self.granted_by, self.route, self.api_key] {
            out.extend_from_slice(&index.unwrap_or(NONE_U32).to_le_bytes());
        }
        out.extend_from_slice(&self.scope.unwrap_or(NONE_U16).to_le_bytes());
        for count in [self.bytes_in, self.bytes_out, self.count] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        for us in [self.decided_us, self.first_byte_us, self.total_us] {
            out.extend_from_slice(&us.to_le_bytes());
        }
        out.push(self.limits.len);
        for (index, state) in self.limits.as_slice() {
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&state.to_le_bytes());
        }
        put_option(out, self.origin, |out, origin| {
            put_address(out, origin.ip());
            out.extend_from_slice(&origin.port().to_le_bytes());
        });
        put_option(out, self.certificate, |out, certificate| {
            out.extend_from_slice(&certificate.sha256);
            out.extend_from_slice(&certificate.cas.to_le_bytes());
            put_bytes(out, certificate.names);
        });
        put_bytes(out, self.method);
        put_bytes(out, self.host);
        put_bytes(out, self.path);
        put_option(out, self.query, put_bytes);
        put_option(out, self.token.as_ref(), |out, token| {
            out.extend_from_slice(&token.issuer.to_le_bytes());
            out.extend_from_slice(&token.expires_s.to_le_bytes());
            put_bytes(out, token.subject);
            put_option(out, token.kid, put_bytes);
            put_option(out, token.scopes, put_bytes);
        });
    }

    /// Reads one record; none when the bytes are not one.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Reader { bytes };
        let [kind, transport, flags, reason] = from.array()?;
        let time_unix_ns = u64::from_le_bytes(from.array()?);
        let request_id = u128::from_le_bytes(from.array()?);
        let activation = u64::from_le_bytes(from.array()?);
        let listener = u16::from_le_bytes(from.array()?);
        let status = u16::from_le_bytes(from.array()?);
        let client = from.address()?;
        let (agent, granted_by, route, api_key) = (from.index()?, from.index()?, from.index()?, from.index()?);
        let scope = Some(u16::from_le_bytes(from.array()?)).filter(|scope| *scope != NONE_U16);
        let (bytes_in, bytes_out, count) = (from.u64()?, from.u64()?, from.u64()?);
        let (decided_us, first_byte_us, total_us) = (from.u32()?, from.u32()?, from.u32()?);
        let limits = from.limits()?;
        let origin = from.option(|from| {
            let ip = from.address()?;
            Some(SocketAddr::new(ip, u16::from_le_bytes(from.array()?)))
        })?;
        let certificate = from
            .option(|from| Some(CertificateFacts { sha256: from.array()?, cas: from.u64()?, names: from.string()? }))?;
        let (method, host, path) = (from.string()?, from.string()?, from.string()?);
        let query = from.option(Reader::string)?;
        let token = from.option(|from| {
            Some(TokenFacts {
                issuer: u16::from_le_bytes(from.array()?),
                expires_s: from.u64()?,
                subject: from.string()?,
                kid: from.option(Reader::string)?,
                scopes: from.option(Reader::string)?,
            })
        })?;
        if !from.bytes.is_empty() {
            return None;
        }
        Some(Record {
            kind: kind_from(kind)?,
            time_unix_ns,
            request_id,
            activation,
            listener,
            transport: transport_from(transport)?,
            client,
            method,
            host,
            path,
            query,
            permitted: flags & FLAG_PERMITTED != 0,
            reason: if reason == 0 { None } else { Some(Reason::from_number(reason)?) },
            status,
            agent,
            granted_by,
            route,
            scope,
            token,
            api_key,
            certificate,
            limits,
            origin,
            retried: flags & FLAG_RETRIED != 0,
            bytes_in,
            bytes_out,
            decided_us,
            first_byte_us,
            total_us,
            count,
        })
    }
}

fn kind_from(number: u8) -> Option<Kind> {
    [Kind::Exchange, Kind::Intent, Kind::DenialsAggregated].into_iter().find(|kind| *kind as u8 == number)
}

fn transport_from(number: u8) -> Option<Transport> {
    [Transport::Plain, Transport::Tls12, Transport::Tls13].into_iter().find(|transport| *transport as u8 == number)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes.get(..length as usize).unwrap_or(&[]));
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (4, v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) => (6, v6.octets()),
    };
    out.push(family);
    out.extend_from_slice(&octets);
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn index(&mut self) -> Option<Option<u32>> {
        self.u32().map(|index| Some(index).filter(|index| *index != NONE_U32))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.array()? {
            [0] => Some(None),
            [1] => read(self).map(Some),
            _ => None,
        }
    }

    fn address(&mut self) -> Option<IpAddr> {
        let [family] = self.array()?;
        let address = Ipv6Addr::from(self.array::<16>()?);
        match family {
            4 => address.to_ipv4_mapped().map(IpAddr::V4),
            6 => Some(IpAddr::V6(address)),
            _ => None,
        }
    }

    fn limits(&mut self) -> Option<LimitsBefore> {
        let [len] = self.array()?;
        let mut limits = LimitsBefore { len, ..LimitsBefore::default() };
        for entry in limits.entries.get_mut(..usize::from(len))? {
            *entry = (self.u32()?, self.u64()?);
        }
        Some(limits)
    }
}

#[cfg(test)]
mod tests;
