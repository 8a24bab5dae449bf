//! Stages 1 and 2: the head is read into the desk's block and parsed in place; target and host take their normal form.

use http1::{Fault, Framing, Progress, RequestHead, Scan, Scheme, TargetForm};
use policy::target::{Target, normalise, normalise_host};

use crate::connection::Connection;
use crate::deadline::{Direction, Stage};
use crate::desk::Desk;
use crate::transport::{Transport, read_some};
use crate::worker::Worker;

/// A whole request head, with what it asks for in normal form.
pub struct Request<'a> {
    /// The block that the head's spans point into.
    pub bytes: &'a [u8],
    pub head: &'a RequestHead,
    /// None: about the gateway itself (`OPTIONS *`).
    pub target: Option<Target<'a>>,
    /// Lower-case host without port; empty where an HTTP/1.0 request names none.
    pub host: &'a [u8],
    /// The same with the port that the client named.
    pub authority: &'a [u8],
}

/// What came instead of a head.
pub enum NoHead {
    /// The connection ended, or was too slow.
    Ended,
    Refused(Fault),
}

/// Reads until the head is whole. What was left over from the last exchange comes first.
pub async fn receive<T: Transport>(worker: &Worker, connection: &Connection<T>, desk: &mut Desk) -> Result<(), NoHead> {
    let (settings, blocks) = (&worker.settings, &worker.blocks);
    let bounds = http1::Bounds {
        head_bytes_max: settings.bounds.head_bytes_max,
        target_bytes_max: settings.bounds.target_bytes_max,
        fields_max: settings.bounds.fields_max,
    };
    connection.deadline.set(Direction::Read, Stage::Head, settings.timeouts.head_ms);
    let mut scan = Scan::new();
    if desk.filled > 0 && parse(desk, &bounds, &mut scan)? {
        return Ok(());
    }
    loop {
        if desk.filled == desk.block.len() && !desk.grow(blocks) {
            return Err(NoHead::Refused(Fault::HeadTooLarge));
        }
        let free = desk.block.get_mut(desk.filled..).unwrap_or(&mut []);
        match read_some(&connection.transport, free).await {
            Ok(0) | Err(_) => return Err(NoHead::Ended),
            Ok(read) => desk.filled += read,
        }
        if parse(desk, &bounds, &mut scan)? {
            return Ok(());
        }
    }
}

/// Whether the head is whole.
fn parse(desk: &mut Desk, bounds: &http1::Bounds, scan: &mut Scan) -> Result<bool, NoHead> {
    let bytes = desk.block.get(..desk.filled).unwrap_or(&[]);
    if !scan.is_due(bytes) {
        return Ok(false);
    }
    match http1::parse_request(bytes, bounds, &mut desk.head) {
        Ok(progress) => Ok(progress == Progress::Complete),
        Err(fault) => Err(NoHead::Refused(fault)),
    }
}

impl<'a> Request<'a> {
    /// Brings target and host of a parsed head into their normal form.
    pub fn normalise(
        bytes: &'a [u8],
        head: &'a RequestHead,
        target: &'a mut Vec<u8>,
        host: &'a mut Vec<u8>,
    ) -> Result<Self, Fault> {
        let target = match head.form {
            TargetForm::Asterisk => None,
            TargetForm::Origin | TargetForm::Absolute(_) => {
                Some(normalise(head.target.of(bytes), target).map_err(|_| Fault::TargetBytes)?)
            }
        };
        let named = head.host.map_or(&b""[..], |host| host.of(bytes));
        host.clear();
        let length = match named {
            // HTTP/1.0 may name none.
            [] => 0,
            named => normalise_host(named, host).ok_or(Fault::HostInvalid)?.len(),
        };
        host.extend_from_slice(port(named));
        let authority = host.as_slice();
        Ok(Self { bytes, head, target, host: authority.get(..length).unwrap_or(&[]), authority })
    }

    pub fn method(&self) -> &'a [u8] {
        self.head.method.of(self.bytes)
    }

    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Whether the gateway itself is asked, not an origin.
    pub fn is_about_gateway(&self) -> bool {
        self.target.is_none() || (self.method() == b"OPTIONS" && self.head.max_forwards == Some(0))
    }

    /// Whether an absolute target names the scheme of another kind of connection.
    pub fn is_for_another_scheme(&self, tls: bool) -> bool {
        match self.head.form {
            TargetForm::Absolute(Scheme::Http) => tls,
            TargetForm::Absolute(Scheme::Https) => !tls,
            TargetForm::Origin | TargetForm::Asterisk => false,
        }
    }

    /// Whether the request may be sent again when nothing is known of its first try (RFC 9110 §9.2.1, §9.2.2): safe, and
    /// without content.
    pub fn is_repeatable(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"OPTIONS") && self.head.framing == Framing::None
    }
}

/// `:port` of an authority, or nothing.
fn port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    let port = colon.and_then(|colon| authority.get(colon..)).unwrap_or(&[]);
    if port.len() > 1 && port.iter().skip(1).all(u8::is_ascii_digit) { port } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_behind_names_and_addresses() {
        for (authority, expected) in
            [("a", ""), ("a:8", ":8"), ("a:", ""), ("[::1]", ""), ("[::1]:80", ":80"), ("[::12]", ""), ("", "")]
        {
            assert_eq!(port(authority.as_bytes()), expected.as_bytes(), "{authority}");
        }
    }
}
