//! Request-targets and hosts in the one form that is matched and forwarded (RFC 3986 §6.2.2), or refused.
//!
//! The path decides, so it is strict: only what RFC 3986 allows in a path, percent-encoded unreserved characters
//! decoded, all other escapes kept with upper-case digits, and nothing that an origin could resolve to another path.
//! Escaped bytes above ASCII must be valid UTF-8 (`%C3%A9` stays as it is; the overlong `%C0%AF` is refused).
//!
//! The query decides nothing and is forwarded byte for byte, so it is checked only for what could end the request
//! line or start a fragment: any visible ASCII but `#` is admitted, also what RFC 3986 wants escaped (browsers send
//! `[ ] { } | ^` bare) and a lone `%`.

mod class;

use std::net::Ipv6Addr;

use class::{Class, copied, is_unreserved};

/// Longest host name, bytes (RFC 1035 §2.3.4, without the final dot).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A normalised target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'o> {
    /// Starts with `/`; has no empty segment but the last.
    pub path: &'o [u8],
    /// Without `?`, as received.
    pub query: Option<&'o [u8]>,
    /// The path has `%2F`.
    pub encoded_slash: bool,
    /// The path has `;`.
    pub path_parameters: bool,
}

/// Why a target was refused. The client's fault; the same target will always be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    #[error("expected a path that starts with `/`")]
    NotAPath,
    #[error("expected two hexadecimal digits after `%` in the path")]
    Escape,
    #[error("found a control character or space in the target, perhaps percent-encoded")]
    Control,
    #[error("expected ASCII in the target; percent-encode other bytes as UTF-8")]
    NonAscii,
    #[error("found percent-encoded bytes in the path that are not UTF-8")]
    NotUtf8,
    #[error("found `#` in the target: a fragment is never sent")]
    Fragment,
    #[error("found a backslash in the path, perhaps percent-encoded")]
    Backslash,
    #[error("found a character in the path that must be percent-encoded")]
    Character,
    #[error("found an empty segment (`//` or `/;`) in the path")]
    EmptySegment,
    #[error("found a dot segment (`.` or `..`) in the path, perhaps percent-encoded or with parameters")]
    DotSegment,
}

/// Normalises an origin-form request-target into `out` (cleared first), or refuses it. An empty path, which an
/// absolute target may have, becomes `/` (RFC 3986 §6.2.3).
///
/// Idempotent: a path and query that this gave are given back unchanged.
pub fn normalise<'o>(target: &[u8], out: &'o mut Vec<u8>) -> Result<Target<'o>, TargetFault> {
    out.clear();
    let mut seen = Seen::default();
    let query = match target {
        [] | [b'?', ..] => {
            out.push(b'/');
            target
        }
        [b'/', ..] => write_path(target, out, &mut seen)?,
        _ => {
            let path = target.iter().take_while(|byte| **byte != b'?');
            return Err(path.copied().find_map(refusal).unwrap_or(TargetFault::NotAPath));
        }
    };
    if seen.double_escape || seen.parameters || seen.dots {
        check_segments(out)?;
    }
    let path_length = out.len();
    if let Some(byte) = query.iter().find(|byte| !byte.is_ascii_graphic() || **byte == b'#') {
        return Err(refusal(*byte).unwrap_or(TargetFault::Control));
    }
    out.extend_from_slice(query);
    let (path, query) = out.split_at(path_length);
    Ok(Target {
        path,
        query: query.split_first().map(|(_, query)| query),
        encoded_slash: seen.encoded_slash,
        path_parameters: seen.path_parameters,
    })
}

/// Whether a literal segment of a route is in the form that [`normalise`] gives, so that it can match at all.
pub fn is_normal_segment(segment: &[u8]) -> bool {
    let mut path = Vec::with_capacity(segment.len() + 1);
    path.push(b'/');
    path.extend_from_slice(segment);
    let whole = !segment.is_empty() && !segment.iter().any(|byte| matches!(byte, b'/' | b'?'));
    whole && normalise(&path, &mut Vec::new()).is_ok_and(|target| target.path == path)
}

/// A Host field or authority as a lower-case host without port, into `out` (cleared first); `None` when it is not
/// `host` or `host:port`. A final dot is removed; `[…]` stays around an IPv6 address, whose digits are not rewritten.
/// Names are letters, digits, `-` and `_` in labels: no user information, no escapes.
pub fn normalise_host<'o>(host: &[u8], out: &'o mut Vec<u8>) -> Option<&'o [u8]> {
    out.clear();
    let (name, port) = host.split_at(host_length(host)?);
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    };
    out.extend(name.strip_suffix(b".").unwrap_or(name).iter().map(u8::to_ascii_lowercase));
    port_fits.then_some(out.as_slice())
}

/// Bytes of the valid host at the start of `bytes`, up to `:` or the end.
fn host_length(bytes: &[u8]) -> Option<usize> {
    if let [b'[', rest @ ..] = bytes {
        let inner = rest.get(..rest.iter().position(|byte| *byte == b']')?)?;
        std::str::from_utf8(inner).ok()?.parse::<Ipv6Addr>().ok()?;
        return Some(inner.len() + 2);
    }
    let (mut length, mut rest) = (0, bytes);
    let label = loop {
        let label = rest.iter().position(|byte| !Class::of(*byte).is_label()).unwrap_or(rest.len());
        length += label;
        match rest.get(label..) {
            _ if label > LABEL_BYTES_MAX => return None,
            Some([] | [b':', ..]) => break label,
            Some([b'.', after @ ..]) if label > 0 => (length, rest) = (length + 1, after),
            _ => return None,
        }
    };
    // A final dot is not counted.
    (length > 0 && length <= HOST_BYTES_MAX + usize::from(label == 0)).then_some(length)
}

/// Empty (RFC 3986 §3.2.3) or 0 to 65535.
fn is_port(digits: &[u8]) -> bool {
    let number = digits.iter().try_fold(0_u32, |number, byte| {
        byte.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u32::from(byte - b'0')))
    });
    digits.len() <= 5 && number.is_some_and(|number| number <= 65_535)
}

/// What a path was seen to have.
#[derive(Default)]
struct Seen {
    encoded_slash: bool,
    path_parameters: bool,
    /// `;`, or `%3B`, which is one for whoever decodes first.
    parameters: bool,
    /// `%25`: what follows it is an escape for whoever decodes twice.
    double_escape: bool,
    /// `.`, as it stood there or escaped.
    dots: bool,
}

/// Why a raw byte may not stand in a path; `None` where it may.
fn refusal(byte: u8) -> Option<TargetFault> {
    match byte {
        0..=b' ' | 0x7f => Some(TargetFault::Control),
        0x80.. => Some(TargetFault::NonAscii),
        b'#' => Some(TargetFault::Fragment),
        b'\\' => Some(TargetFault::Backslash),
        _ => Class::of(byte).is_refused().then_some(TargetFault::Character),
    }
}

/// Copies runs of what stays as it is, everything else one by one, up to the query, which is given back with its `?`.
fn write_path<'t>(target: &'t [u8], out: &mut Vec<u8>, seen: &mut Seen) -> Result<&'t [u8], TargetFault> {
    let mut rest = target;
    loop {
        let (run, dots) = copied(rest);
        seen.dots |= dots;
        let (plain, special) = rest.split_at(run);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { return Ok(special) };
        rest = match Class::of(*byte) {
            class if class.is_query() => return Ok(special),
            class if class.is_slash() => return Err(TargetFault::EmptySegment),
            class if class.is_percent() => write_escape(special, out, seen)?,
            class if class.is_semicolon() => {
                (seen.path_parameters, seen.parameters) = (true, true);
                out.push(*byte);
                after
            }
            _ => return Err(refusal(*byte).unwrap_or(TargetFault::Character)),
        };
    }
}

/// Writes the escape at the start of `rest` in normal form; gives what follows it. Escapes of one character in
/// UTF-8 are taken together.
fn write_escape<'t>(rest: &'t [u8], out: &mut Vec<u8>, seen: &mut Seen) -> Result<&'t [u8], TargetFault> {
    let (value, mut after) = unescape(rest).ok_or(TargetFault::Escape)?;
    match value {
        _ if is_unreserved(value) => {
            seen.dots |= value == b'.';
            out.push(value);
            return Ok(after);
        }
        0..=0x1f | 0x7f => return Err(TargetFault::Control),
        b'\\' => return Err(TargetFault::Backslash),
        b'/' => seen.encoded_slash = true,
        b'%' => seen.double_escape = true,
        b';' => seen.parameters = true,
        0x80.. => {
            let width = match value {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return Err(TargetFault::NotUtf8),
            };
            let mut character = [value, 0, 0, 0];
            for slot in character.iter_mut().take(width).skip(1) {
                (*slot, after) = unescape(after).ok_or(TargetFault::NotUtf8)?;
            }
            let bytes = character.get(..width).unwrap_or(&[]);
            std::str::from_utf8(bytes).map_err(|_| TargetFault::NotUtf8)?;
            bytes.iter().for_each(|byte| put_escape(out, *byte));
            return Ok(after);
        }
        _ => {}
    }
    put_escape(out, value);
    Ok(after)
}

/// The byte that `%` and two hexadecimal digits at the start of `rest` stand for, and what follows them.
fn unescape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, after @ ..] = rest else { return None };
    Some((nibble(*high)? << 4 | nibble(*low)?, after))
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn put_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

/// Refuses a normalised path with a part that somebody would resolve: `.` or `..` between slashes, encoded slashes or
/// encoded backslashes, also up to a `;` (servers that cut parameters off resolve `..;x`, and take `/;x/` for `//`),
/// and also for an origin that decodes again what was encoded more than once (`%252e`).
fn check_segments(path: &[u8]) -> Result<(), TargetFault> {
    let mut rest = path.get(1..).unwrap_or(&[]);
    // Dots that the part so far consists of; `None` once it has anything else.
    let mut dots = Some(0_u32);
    while let Some((byte, after)) = rest.split_first() {
        let meaning;
        (meaning, rest) = if *byte == b'%' { peel(after) } else { (*byte, after) };
        match (meaning, dots) {
            (b'/' | b'\\' | b';', Some(1 | 2)) => return Err(TargetFault::DotSegment),
            (b';', Some(0)) => return Err(TargetFault::EmptySegment),
            (b'/' | b'\\', _) => dots = Some(0),
            (b'.', Some(number)) => dots = Some(number + 1),
            _ => dots = None,
        }
    }
    if matches!(dots, Some(1 | 2)) { Err(TargetFault::DotSegment) } else { Ok(()) }
}

/// What an escape (after its first `%`) means when it is decoded as often as possible, and what follows it.
fn peel(after: &[u8]) -> (u8, &[u8]) {
    let mut rest = after;
    while let Some(deeper) = rest.strip_prefix(b"25") {
        rest = deeper;
    }
    match rest {
        [high, low, rest @ ..] => match (nibble(*high), nibble(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, rest),
            _ => (b'%', after.get(2..).unwrap_or(&[])),
        },
        _ => (b'%', after.get(2..).unwrap_or(&[])),
    }
}

#[cfg(test)]
mod tests;
