//! Where a store is: a directory, or a server that is named by a URL.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::http::{Place, PlaceFault};
use crate::remote::Remote;
use crate::{Directory, Store};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Files below a URL; read only.
    Https,
    /// The KV engine, version 2, of OpenBao or Vault.
    OpenBao,
    /// Version 3, by its JSON gateway.
    Etcd,
    Consul,
}

/// A store, as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Directory(PathBuf),
    Server(Box<Server>),
}

/// A store on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub protocol: Protocol,
    pub(crate) place: Place,
    /// Without slashes at its ends; may be empty.
    pub(crate) prefix: String,
    pub(crate) access: Access,
    /// As it was written.
    text: String,
}

/// How a server is spoken to.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// PEM of the CA that vouches for the server; the CAs of this machine without it.
    pub ca: Option<PathBuf>,
    /// Its first line is a token; `USER:PASSWORD` for etcd. Read again for each use.
    pub token_file: Option<PathBuf>,
    /// The same, as the environment of a command has it, where no file is named.
    pub token: Option<Zeroizing<String>>,
    /// Of OpenBao or Vault.
    pub namespace: Option<String>,
    /// Chain and key that the server knows this client by.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationFault {
    #[error(
        "expected a store that is a directory, or https://, openbao+https://, etcd+https:// or consul+https://, found {0:?}"
    )]
    Scheme(String),
    #[error(transparent)]
    Place(#[from] PlaceFault),
    #[error("expected a path of letters, digits, \"-\", \"_\", \".\" and \"~\" between single slashes, found {0:?}")]
    Path(String),
    #[error("expected the mount of a KV engine in the path, as in openbao+https://HOST:8200/MOUNT/PATH, found none")]
    Mount,
}

impl Location {
    /// `text`: the path of a directory, or a URL. A scheme without TLS is for a literal address on loopback alone.
    pub fn parse(text: &Path, access: Access) -> Result<Self, LocationFault> {
        match text.to_str().filter(|text| text.contains("://")) {
            Some(url) => Server::parse(url, access).map(|server| Self::Server(Box::new(server))),
            None => Ok(Self::Directory(text.to_owned())),
        }
    }

    /// Reads there.
    pub fn reader(&self) -> Box<dyn Store> {
        match self {
            Self::Directory(path) => Box::new(Directory::new(path)),
            Self::Server(server) => Box::new(Remote::new((**server).clone())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Server {
    fn parse(url: &str, access: Access) -> Result<Self, LocationFault> {
        let shown = || url.chars().take(200).collect::<String>();
        let (scheme, rest) = url.split_once("://").ok_or_else(|| LocationFault::Scheme(shown()))?;
        let (protocol, plain) = match scheme.split_once('+') {
            None => (Protocol::Https, scheme),
            Some(("openbao" | "vault", plain)) => (Protocol::OpenBao, plain),
            Some(("etcd", plain)) => (Protocol::Etcd, plain),
            Some(("consul", plain)) => (Protocol::Consul, plain),
            Some(_) => return Err(LocationFault::Scheme(shown())),
        };
        if !matches!(plain, "http" | "https") {
            return Err(LocationFault::Scheme(shown()));
        }
        let place = Place::parse(&format!("{plain}://{rest}"))?;
        let place = if access.has_secret() { place.for_secret()? } else { place };
        let prefix = place.path().trim_matches('/').to_owned();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let is_name = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        if place.target().contains('?') || !(prefix.is_empty() || prefix.split('/').all(is_name)) {
            return Err(LocationFault::Path(shown()));
        }
        if protocol == Protocol::OpenBao && prefix.is_empty() {
            return Err(LocationFault::Mount);
        }
        Ok(Self { protocol, place, prefix, access, text: url.trim_end_matches('/').to_owned() })
    }

    /// How it is spoken to.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// The name of a file of the store on the server.
    pub(crate) fn key(&self, file: &str) -> String {
        if self.prefix.is_empty() { file.to_owned() } else { format!("{}/{file}", self.prefix) }
    }
}

impl Access {
    /// Something is shown that nobody else may have.
    const fn has_secret(&self) -> bool {
        self.token_file.is_some() || self.token.is_some() || self.certificate.is_some()
    }
}

/// Nothing of a secret is shown.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, token_file, namespace, certificate, .. } = self;
        write!(f, "Access({ca:?}, {token_file:?}, {namespace:?}, {certificate:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, LocationFault> {
        Location::parse(Path::new(text), Access::default())
    }

    #[test]
    fn forms() {
        let server = |text: &str| match parse(text).unwrap() {
            Location::Server(server) => (server.protocol, server.key("a/b"), server.to_string()),
            Location::Directory(path) => panic!("{}", path.display()),
        };
        let three = |protocol, key: &str, shown: &str| (protocol, key.to_owned(), shown.to_owned());
        assert_eq!(server("https://h/x/y/"), three(Protocol::Https, "x/y/a/b", "https://h/x/y"));
        assert_eq!(server("http://127.0.0.1:1"), three(Protocol::Https, "a/b", "http://127.0.0.1:1"));
        let bao = "openbao+https://h:8200/secret/adamant";
        assert_eq!(server(bao), three(Protocol::OpenBao, "secret/adamant/a/b", bao));
        assert_eq!(server("vault+https://h/kv").0, Protocol::OpenBao);
        assert_eq!(server("etcd+https://h:2379").1, "a/b");
        assert_eq!(server("consul+http://[::1]:8500/p").0, Protocol::Consul);
        assert_eq!(parse("store/dir"), Ok(Location::Directory("store/dir".into())));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for wrong in ["ftp://h/", "s3+https://h/", "etcd+ftp://h/", "+https://h/", "://h"] {
            assert!(matches!(parse(wrong), Err(LocationFault::Scheme(_))), "{wrong}");
        }
        for wrong in ["http://h/", "etcd+http://10.0.0.1:2379/", "https://u:p@h/", "https://"] {
            assert!(matches!(parse(wrong), Err(LocationFault::Place(_))), "{wrong}");
        }
        for wrong in ["https://h/a/../b", "https://h/a//b", "https://h/a?b", "consul+https://h/a%2Fb"] {
            assert!(matches!(parse(wrong), Err(LocationFault::Path(_))), "{wrong}");
        }
        assert_eq!(parse("openbao+https://h:8200"), Err(LocationFault::Mount));
    }

    #[test]
    fn a_secret_goes_over_tls_alone() {
        let access = Access { token_file: Some("t".into()), ..Access::default() };
        for url in ["consul+http://127.0.0.1:8500/p", "openbao+http://[::1]:8200/kv", "http://127.0.0.1/x"] {
            assert!(parse(url).is_ok(), "{url}");
            let fault = Location::parse(Path::new(url), access.clone()).unwrap_err();
            assert!(matches!(fault, LocationFault::Place(PlaceFault::Plain(_))), "{url}: {fault}");
            assert!(Location::parse(Path::new(&url.replace("http:", "https:")), access.clone()).is_ok());
        }
    }

    #[test]
    fn a_token_is_shown_nowhere() {
        let access = Access { token: Some(Zeroizing::new("s.secret".to_owned())), ..Access::default() };
        let location = Location::parse(Path::new("consul+https://h/p"), access).unwrap();
        assert!(!format!("{location:?} {location}").contains("s.secret"));
    }
}
