//! Records as plain bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use policy::binding::Bindings;
use policy::reason::Reason;

use super::{CertificateFacts, Kind, LimitsBefore, Record, TokenFacts, Transport};

const NONE_U32: u32 = u32::MAX;
const NONE_U16: u16 = u16::MAX;
/// In the byte of the bindings.
const INTROSPECTED_BIT: u8 = 7;
/// Bytes before the facts: their length.
const FACTS_PREFIX_BYTES: usize = 4;

impl<'a> Record<'a> {
    /// Appends the encoded record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; FACTS_PREFIX_BYTES]);
        self.encode_facts(out);
        let facts = u32::try_from(out.len() - start - FACTS_PREFIX_BYTES).unwrap_or(0);
        if let Some(prefix) = out.get_mut(start..).and_then(|record| record.first_chunk_mut()) {
            *prefix = facts.to_le_bytes();
        }
        out.extend_from_slice(&[self.kind as u8, self.transport as u8, u8::from(self.retried)]);
        out.extend_from_slice(&self.time_unix_ns.to_le_bytes());
        out.extend_from_slice(&self.request_id.to_le_bytes());
        out.extend_from_slice(&self.listener.to_le_bytes());
        out.extend_from_slice(&self.status.to_le_bytes());
        put_address(out, self.client);
        for count in [self.bytes_in, self.bytes_out, self.count, self.revocations] {
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
        put_bytes(out, self.method);
        put_bytes(out, self.host);
        put_bytes(out, self.path);
        put_option(out, self.query, put_bytes);
    }

    /// What was shown, who that is and what was decided: many records of one agent have the same, byte for byte.
    fn encode_facts(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.activation.to_le_bytes());
        out.extend_from_slice(&[u8::from(self.permitted), self.reason.map_or(0, |reason| reason as u8)]);
        for index in [self.agent, self.granted_by, self.route, self.api_key] {
            out.extend_from_slice(&index.unwrap_or(NONE_U32).to_le_bytes());
        }
        out.extend_from_slice(&self.scope.unwrap_or(NONE_U16).to_le_bytes());
        put_option(out, self.certificate, |out, certificate| {
            out.extend_from_slice(&certificate.sha256);
            out.extend_from_slice(&certificate.cas.to_le_bytes());
            put_bytes(out, certificate.names);
        });
        put_option(out, self.token.as_ref(), |out, token| {
            out.extend_from_slice(&token.issuer.to_le_bytes());
            out.extend_from_slice(&token.expires_s.to_le_bytes());
            put_bytes(out, token.subject);
            put_option(out, token.kid, put_bytes);
            put_option(out, token.scopes, put_bytes);
            out.push(token.bound.bits() | u8::from(token.introspected) << INTROSPECTED_BIT);
        });
    }

    /// The facts of an encoded record as they stand in it: where they are the same, so is everything that
    /// [`Self::activation`], the decision, its reason, indices and credentials say.
    pub fn facts(bytes: &'a [u8]) -> &'a [u8] {
        Reader { bytes }.string().unwrap_or_default()
    }

    /// Reads one record; none when the bytes are not one.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Reader { bytes };
        let mut facts = Reader { bytes: from.string()? };
        let activation = facts.u64()?;
        let [permitted, reason] = facts.array()?;
        let (agent, granted_by, route, api_key) = (facts.index()?, facts.index()?, facts.index()?, facts.index()?);
        let scope = Some(u16::from_le_bytes(facts.array()?)).filter(|scope| *scope != NONE_U16);
        let certificate = facts
            .option(|from| Some(CertificateFacts { sha256: from.array()?, cas: from.u64()?, names: from.string()? }))?;
        let token = facts.option(Reader::token)?;
        let [kind, transport, retried] = from.array()?;
        let time_unix_ns = from.u64()?;
        let request_id = u128::from_le_bytes(from.array()?);
        let listener = u16::from_le_bytes(from.array()?);
        let status = u16::from_le_bytes(from.array()?);
        let client = from.address()?;
        let (bytes_in, bytes_out, count, revocations) = (from.u64()?, from.u64()?, from.u64()?, from.u64()?);
        let (decided_us, first_byte_us, total_us) = (from.u32()?, from.u32()?, from.u32()?);
        let limits = from.limits()?;
        let origin = from.option(|from| {
            let ip = from.address()?;
            Some(SocketAddr::new(ip, u16::from_le_bytes(from.array()?)))
        })?;
        let (method, host, path) = (from.string()?, from.string()?, from.string()?);
        let query = from.option(Reader::string)?;
        if !from.bytes.is_empty() || !facts.bytes.is_empty() {
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
            permitted: permitted != 0,
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
            retried: retried != 0,
            bytes_in,
            bytes_out,
            decided_us,
            first_byte_us,
            total_us,
            count,
            revocations,
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

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
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

    fn token(&mut self) -> Option<TokenFacts<'a>> {
        let token = TokenFacts {
            issuer: u16::from_le_bytes(self.array()?),
            expires_s: self.u64()?,
            subject: self.string()?,
            kid: self.option(Reader::string)?,
            scopes: self.option(Reader::string)?,
            bound: Bindings::NONE,
            introspected: false,
        };
        let [bits] = self.array()?;
        Some(TokenFacts { bound: Bindings::from_bits(bits), introspected: bits >> INTROSPECTED_BIT != 0, ..token })
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
