//! How a command speaks to a store that is on a server.

use std::path::{Path, PathBuf};

use clap::Args;
use stores::{Access, Location, Protocol};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files;

/// Under what these options are shown; what comes after them is not.
const ON_SERVER: &str = "A store on a server";

/// For a store that is on a server: https://, openbao+https://, etcd+https://, consul+https://.
#[derive(Clone, Debug, Default, Args)]
pub struct StoreAccess {
    /// PEM file with the CA of the server; BAO_CACERT, VAULT_CACERT, ETCDCTL_CACERT or CONSUL_CACERT, or this machine's CAs
    /// when absent.
    #[arg(long, value_name = "FILE", requires = "store", help_heading = ON_SERVER)]
    store_ca: Option<PathBuf>,
    /// File whose first line is the token, or USER:PASSWORD for etcd; BAO_TOKEN, VAULT_TOKEN, ETCDCTL_USER or
    /// CONSUL_HTTP_TOKEN when absent.
    #[arg(long, value_name = "FILE", requires = "store", help_heading = ON_SERVER)]
    store_token: Option<PathBuf>,
    /// PEM file with the chain that the server knows this client by.
    #[arg(long, value_name = "CHAIN", requires = "store_key", requires = "store", help_heading = ON_SERVER)]
    store_certificate: Option<PathBuf>,
    /// PEM file with the key of that chain.
    #[arg(long, value_name = "KEY", requires = "store_certificate", help_heading = ON_SERVER)]
    store_key: Option<PathBuf>,
}

impl StoreAccess {
    /// The store that was named: a directory, or a URL.
    pub fn at(&self, named: &Path) -> Result<Location, Failure> {
        let at = |access| {
            Location::parse(named, access).map_err(|fault| {
                Failure::new(format_args!("--store: {fault}")).help(
                    "name a directory, or a URL like etcd+https://HOST:2379/PREFIX; http:// is for 127.0.0.1 alone",
                )
            })
        };
        let Location::Server(server) = at(Access::default())? else { return at(Access::default()) };
        let variable =
            |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let (ca, token): (&[&str], &[&str]) = match server.protocol {
            Protocol::Https => (&[], &[]),
            Protocol::OpenBao => (&["BAO_CACERT", "VAULT_CACERT"], &["BAO_TOKEN", "VAULT_TOKEN"]),
            Protocol::Etcd => (&["ETCDCTL_CACERT"], &["ETCDCTL_USER"]),
            Protocol::Consul => (&["CONSUL_CACERT"], &["CONSUL_HTTP_TOKEN"]),
        };
        if let Some(path) = &self.store_token {
            files::expect_there("--store-token", path)?;
        }
        let is_bao = server.protocol == Protocol::OpenBao;
        at(Access {
            ca: self.store_ca.clone().or_else(|| variable(ca).map(PathBuf::from)),
            token_file: self.store_token.clone(),
            token: variable(token).map(Zeroizing::new),
            namespace: variable(&["BAO_NAMESPACE", "VAULT_NAMESPACE"]).filter(|_| is_bao),
            certificate: self.store_certificate.clone().zip(self.store_key.clone()),
        })
    }

    /// The same, where none may be named.
    pub fn of(&self, named: Option<&PathBuf>) -> Result<Option<Location>, Failure> {
        named.map(|named| self.at(named)).transpose()
    }
}
