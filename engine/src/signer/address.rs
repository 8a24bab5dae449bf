//! The name of a transit key: `transit:https://HOST[:PORT]/MOUNT/keys/NAME[@VERSION]`.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// Where a transit key is. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitAddress {
    /// A name or an IP address; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    /// Path of the mount, without slashes at its ends: `transit`, or `team/transit`.
    pub mount: String,
    pub key: String,
    /// The newest when absent.
    pub version: Option<u64>,
}

/// Bytes of a whole address.
const ADDRESS_BYTES_MAX: usize = 1024;
/// What the API's own command lines use.
const PORT_DEFAULT: u16 = 8200;

impl TransitAddress {
    pub const PREFIX: &'static str = "transit:";

    /// `HOST:PORT` as in a Host field.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Path of an operation on the key, below `/v1/`: `transit/sign/alice`.
    pub fn path(&self, operation: &str) -> String {
        format!("{}/{operation}/{}", self.mount, self.key)
    }
}

impl FromStr for TransitAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = |found: &str| {
            format!(
                "expected transit:https://HOST:PORT/MOUNT/keys/NAME, with @VERSION after the name for one version of the \
                 key, for example transit:https://bao.example:8200/transit/keys/alice; found {found}"
            )
        };
        let address = text.strip_prefix(Self::PREFIX).filter(|_| text.len() <= ADDRESS_BYTES_MAX);
        let uri: Uri = address.and_then(|rest| rest.parse().ok()).ok_or_else(|| fault("something else"))?;
        match uri.scheme_str() {
            Some("https") => {}
            // Whoever listens on that port of this machine, while the server does not, would be given the token.
            Some("http") => return Err(fault("http://: the token goes over TLS alone, on loopback too")),
            _ => return Err(fault("no https://")),
        }
        let authority = uri.authority().ok_or_else(|| fault("no host"))?;
        if authority.as_str().contains('@') {
            return Err(fault("a user before the host; the token goes into BAO_TOKEN, VAULT_TOKEN or --token-file"));
        }
        if uri.query().is_some() {
            return Err(fault("a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(fault("no host"));
        }
        let path = uri.path().trim_start_matches('/');
        let path = path.strip_prefix("v1/").unwrap_or(path);
        let (mount, name) = path.rsplit_once("/keys/").ok_or_else(|| fault("no /MOUNT/keys/NAME"))?;
        let (key, version) = match name.split_once('@') {
            None => (name, None),
            Some((key, version)) => {
                let version = version.parse().ok().filter(|version| *version > 0);
                (key, Some(version.ok_or_else(|| fault("a version that is no number from 1"))?))
            }
        };
        if !mount.split('/').chain([key]).all(is_segment) {
            return Err(fault("a mount or name with other characters than letters, digits, '.', '_' and '-'"));
        }
        let port = authority.port_u16().unwrap_or(PORT_DEFAULT);
        Ok(Self { host, port, mount: mount.into(), key: key.into(), version })
    }
}

fn is_segment(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.bytes().all(fits) && text.bytes().any(|byte| byte != b'.')
}

impl fmt::Display for TransitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}https://{}/{}/keys/{}", Self::PREFIX, self.authority(), self.mount, self.key)?;
        self.version.map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_addresses() {
        for (text, again) in [
            (
                "transit:https://bao.example:8200/transit/keys/alice",
                "transit:https://bao.example:8200/transit/keys/alice",
            ),
            (
                "transit:https://bao.example/v1/team/a/keys/al.i-ce@3",
                "transit:https://bao.example:8200/team/a/keys/al.i-ce@3",
            ),
            ("transit:https://[::1]:80/transit/keys/a", "transit:https://[::1]:80/transit/keys/a"),
        ] {
            let address: TransitAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), again);
            assert_eq!(again.parse(), Ok(address));
        }
        let address: TransitAddress = "transit:https://[::1]:80/team/t/keys/alice@12".parse().unwrap();
        assert_eq!((address.host.as_str(), address.authority().as_str()), ("::1", "[::1]:80"));
        assert_eq!((address.path("sign").as_str(), address.version), ("team/t/sign/alice", Some(12)));
    }

    #[test]
    fn refuses_what_could_lead_elsewhere() {
        for text in [
            "https://bao/transit/keys/alice",
            "transit:",
            "transit:alice",
            "transit:ftp://bao/transit/keys/alice",
            "transit:http://bao/transit/keys/alice",
            "transit:http://127.0.0.1:8200/transit/keys/alice",
            "transit:bao:8200/transit/keys/alice",
            "transit:https:///transit/keys/alice",
            "transit:https://root@bao/transit/keys/alice",
            "transit:https://bao/transit/alice",
            "transit:https://bao/keys/alice",
            "transit:https://bao/transit/keys/",
            "transit:https://bao/transit/keys/alice/rotate",
            "transit:https://bao/../sys/keys/alice",
            "transit:https://bao/transit//keys/alice",
            "transit:https://bao/transit/keys/..",
            "transit:https://bao/transit/keys/a%2fb",
            "transit:https://bao/transit/keys/alice?version=1",
            "transit:https://bao/transit/keys/alice@0",
            "transit:https://bao/transit/keys/alice@x",
            "transit:https://bao/transit/keys/alice@1@2",
        ] {
            let fault = text.parse::<TransitAddress>().expect_err(text);
            assert!(fault.contains("for example transit:https://"), "{fault}");
        }
        let long = format!("transit:https://bao/transit/keys/{}", "a".repeat(ADDRESS_BYTES_MAX));
        assert!(long.parse::<TransitAddress>().is_err());
    }
}
