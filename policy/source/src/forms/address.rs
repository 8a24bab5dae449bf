//! Addresses of origins: `ip:port`, `[ip]:port`, `name:port`.

use std::net::{IpAddr, SocketAddr};

use crate::codes::{BAD_ADDRESS, EMPTY_TEXT};
use crate::fields::shown;
use crate::forms::Flaw;
use crate::forms::host::{dns_name, looks_like_ipv4};

/// An address in its one written form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub text: String,
    /// Whether a name must be resolved to reach it.
    pub by_name: bool,
}

pub(crate) fn address(text: &str) -> Result<Address, Flaw> {
    let flaw = |message: &str| Flaw::new(BAD_ADDRESS, format!("`{}` is not an address: {message}", shown(text)));
    if let Some(at) = text.find("://") {
        let rest = text.get(at + 3..).unwrap_or("").split('/').next().unwrap_or("");
        let hint =
            if text.starts_with("https") { format!("write `{rest}` and add `tls`") } else { format!("write `{rest}`") };
        return Err(flaw("it has a scheme").at(0..at + 3).label("a scheme").hint(hint));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let plain = address.port() != 0 && !text.contains('%');
        return match plain {
            true => Ok(Address { text: address.to_string(), by_name: false }),
            false => {
                let flaw = flaw("the port is from 1 to 65535, and there is no zone").label("not reachable");
                Err(flaw.hint("like `10.0.0.5:8080`"))
            }
        };
    }
    if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        return Err(flaw("it has no port").label("no port").hint(format!("write `[{text}]:8080`")));
    }
    let Some((name, port)) = text.rsplit_once(':') else {
        return Err(flaw("it has no port").label("no port").hint(format!("write `{}:8080`", shown(text))));
    };
    let port_at = name.len() + 1..text.len();
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let Some(port) = port.parse::<u16>().ok().filter(|port| digits && *port != 0) else {
        let flaw = flaw("the port is a number from 1 to 65535").at(port_at).label("not a port");
        return Err(flaw.hint("an address is `ip:port` or `name:port`"));
    };
    let lower = name.to_ascii_lowercase();
    if looks_like_ipv4(&lower) || name.starts_with('[') {
        let flaw = flaw("it is not a valid IP address").at(0..name.len()).label("not an IP address");
        return Err(flaw.hint("like `10.0.0.5:8080` or `[2001:db8::5]:8080`"));
    }
    match dns_name(&lower) {
        Ok(()) => Ok(Address { text: format!("{lower}:{port}"), by_name: true }),
        Err((at, why)) => Err(flaw(why).at(at).label("not admitted").hint("an address is `ip:port` or `name:port`")),
    }
}

/// A name (or IP address) that a certificate is checked against.
pub(crate) fn server_name(text: &str) -> Result<String, Flaw> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let lower = text.to_ascii_lowercase();
    let flaw = |message: &str| Flaw::new(BAD_ADDRESS, format!("`{}` is not a server name: {message}", shown(text)));
    if text.is_empty() {
        return Err(Flaw::new(EMPTY_TEXT, "the server name is empty")
            .label("empty")
            .hint("remove it, or name the server"));
    }
    if looks_like_ipv4(&lower) {
        let flaw = flaw("it is not a valid IP address").label("not an IP address");
        return Err(flaw.hint("a name does not end in a number"));
    }
    match dns_name(&lower) {
        Ok(()) => Ok(lower),
        Err((at, why)) => Err(flaw(why).at(at).label("not admitted").hint("write the name alone: no scheme, no port")),
    }
}
