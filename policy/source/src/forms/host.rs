//! Hosts of routes and names of origins.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::codes::BAD_HOST;
use crate::fields::shown;
use crate::forms::Flaw;

/// The host of a route in lower case, or `*`.
pub(crate) fn host(text: &str) -> Result<String, Flaw> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let flaw = |message: &str| Flaw::new(BAD_HOST, format!("`{}` is not a host: {message}", shown(text)));
    if let Some(after) = text.find("://").map(|at| at + 3) {
        let only = text.get(after..).unwrap_or("").split(['/', ':']).next().unwrap_or("");
        return Err(flaw("it has a scheme").at(0..after).label("a scheme").hint(format!("write `{only}`")));
    }
    if text.contains('*') {
        let at = text.find('*').map(|at| at..at + 1).unwrap_or_default();
        let flaw = flaw("wildcards are not part of the language").at(at).label("a wildcard");
        return Err(flaw.hint("name the host, or write `*` alone for any host"));
    }
    if let Some(at) = text.find('/') {
        let flaw = flaw("it has a path").at(at..text.len()).label("a path");
        return Err(flaw.hint("the path of a route stands in `path`"));
    }
    if let Some(literal) = text.strip_prefix('[') {
        return ipv6(text, literal);
    }
    if let Some(at) = text.find(':') {
        let only = text.get(..at).unwrap_or("");
        let flaw = flaw("it has a port").at(at..text.len()).label("a port");
        return Err(flaw.hint(format!("write `{only}`: a route is for every port that the gateway listens on")));
    }
    let lower = text.to_ascii_lowercase();
    if looks_like_ipv4(&lower) && lower.parse::<Ipv4Addr>().is_err() {
        let flaw = flaw("it is not a valid IPv4 address").label("not an address");
        return Err(flaw.hint("names do not end in a number, and addresses have four"));
    }
    match dns_name(&lower) {
        Ok(()) => Ok(lower),
        Err((at, why)) => {
            let flaw = flaw(why).at(at).label("not admitted");
            let trimmed = lower.trim_end_matches('.');
            let hint = match why {
                NON_ASCII => "write internationalised names in their `xn--` form".to_owned(),
                _ if trimmed != lower && dns_name(trimmed).is_ok() => format!("write `{trimmed}`"),
                _ => "labels have letters, digits, `-` and `_`".to_owned(),
            };
            Err(flaw.hint(hint))
        }
    }
}

fn ipv6(text: &str, literal: &str) -> Result<String, Flaw> {
    let flaw = |message: &str| Flaw::new(BAD_HOST, format!("`{}` is not a host: {message}", shown(text)));
    let Some((inner, after)) = literal.split_once(']') else {
        return Err(flaw("the bracket is not closed").label("no `]`").hint(format!("write `{}]`", shown(text))));
    };
    if !after.is_empty() {
        return Err(flaw("it has a port").at(inner.len() + 2..text.len()).label("a port").hint("remove the port"));
    }
    match inner.parse::<Ipv6Addr>() {
        Ok(address) => Ok(format!("[{address}]")),
        Err(_) => Err(flaw("it is not a valid IPv6 address").label("not an address").hint("like `[2001:db8::5]`")),
    }
}

const NON_ASCII: &str = "it has characters outside ASCII";

/// A DNS name of letters, digits, `-` and `_` (RFC 1123 §2.1, and `_` because real names have it). On a flaw: where
/// and what.
pub(crate) fn dns_name(text: &str) -> Result<(), (Range<usize>, &'static str)> {
    if text.is_empty() || text.len() > 253 {
        return Err((0..text.len(), "a name has 1 to 253 characters"));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii()) {
        return Err((at..at + c.len_utf8(), NON_ASCII));
    }
    let mut start = 0;
    for label in text.split('.') {
        let range = start..start + label.len();
        start += label.len() + 1;
        if label.is_empty() || label.len() > 63 {
            let at = if label.is_empty() { range.start.saturating_sub(1)..range.start.max(1) } else { range };
            return Err((at, "each label has 1 to 63 characters"));
        }
        if let Some(at) = label.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
            return Err((range.start + at..range.start + at + 1, "it has a character that host names do not have"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err((range, "a label neither begins nor ends with `-`"));
        }
    }
    Ok(())
}

/// Whether the last label is a number, which no DNS name has (WHATWG URL §3.5 takes the same test).
pub(crate) fn looks_like_ipv4(text: &str) -> bool {
    text.rsplit('.').next().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}
