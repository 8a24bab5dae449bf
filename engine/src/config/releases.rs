//! Where releases come from, and when they are activated.

use std::ops::Range;
use std::path::PathBuf;

use stores::{Access, Channel, Location};
use toml::Spanned;

use super::read::{Checked, Source};
use super::{ActivationMode, Releases, file};

impl Source<'_> {
    pub fn releases(&self, gateway: &file::Gateway) -> Checked<Releases> {
        match (&gateway.release, &gateway.store, &gateway.channel) {
            (Some(_), Some(store), _) => {
                let message = "expected either release or store, found both".to_owned();
                let hint = "keep store and channel to follow a signed pointer, or release to name a file";
                self.refuse(&store.span(), message, hint)
            }
            (Some(_), None, Some(channel)) => {
                let message = "a channel is in a store, and none is named".to_owned();
                self.refuse(&channel.span(), message, "remove channel, or name a store in the place of release")
            }
            (Some(file), None, None) => Ok(Releases::File(self.resolve(file.get_ref()))),
            (None, Some(store), None) => {
                let message = "expected the channel that is followed in the store, found none".to_owned();
                self.refuse(&store.span(), message, "add channel = \"production\"")
            }
            (None, Some(store), Some(channel)) => {
                let at = self.store(store)?;
                match channel.get_ref().parse::<Channel>() {
                    Ok(channel) => Ok(Releases::Store { at, channel }),
                    Err(fault) => self.refuse(&channel.span(), fault.to_string(), "write channel = \"production\""),
                }
            }
            (None, None, _) => {
                let message = "expected release or store under [gateway], found neither".to_owned();
                let hint = "add store = \"DIR\" and channel = \"production\", or release = \"FILE\"";
                self.refuse(&gateway.policy.span(), message, hint)
            }
        }
    }

    /// A directory, or a server and how it is spoken to.
    fn store(&self, written: &Spanned<file::StorePlace>) -> Checked<Location> {
        let span = written.span();
        let (named, access) = match written.get_ref() {
            file::StorePlace::Text(named) => (named, Access::default()),
            file::StorePlace::Server(server) => (&server.url, self.store_access(server, &span)?),
        };
        match Location::parse(named, access) {
            Ok(Location::Directory(_)) if matches!(written.get_ref(), file::StorePlace::Server(_)) => {
                let message = format!("expected a URL, found {:?}", named.display().to_string());
                self.refuse(&span, message, "write the path alone for a directory: store = \"DIR\"")
            }
            Ok(Location::Directory(path)) => Ok(Location::Directory(self.resolve(&path))),
            Ok(server) => Ok(server),
            Err(fault) => {
                let hint = "write a directory, https://HOST/PATH, openbao+https://HOST:8200/MOUNT/PATH, \
                            etcd+https://HOST:2379/PREFIX or consul+https://HOST:8501/PREFIX; http:// is for 127.0.0.1 alone, and without a token";
                self.refuse(&span, fault.to_string(), hint)
            }
        }
    }

    fn store_access(&self, server: &file::StoreServer, span: &Range<usize>) -> Checked<Access> {
        let secret = |path: &PathBuf| self.secret_path(path, span);
        let certificate = match (&server.chain, &server.key) {
            (Some(chain), Some(key)) => Some((secret(chain)?, self.key_path(key, span)?)),
            (None, None) => None,
            _ => {
                let message = "expected chain and key of the store, found one of them".to_owned();
                return self.refuse(span, message, "name both, or neither");
            }
        };
        let token = server.token.as_ref().map(|path| self.word_path("token", path, span));
        let token_file = token.transpose()?;
        let ca = server.ca.as_ref().map(|path| self.resolve(path));
        Ok(Access { ca, token_file, token: None, namespace: server.namespace.clone(), certificate })
    }

    pub fn without_revocations_of(&self, gateway: &file::Gateway) -> Checked<Vec<Channel>> {
        let mut channels = Vec::new();
        for name in &gateway.without_revocations_of {
            match name.get_ref().parse::<Channel>() {
                Ok(channel) => channels.push(channel),
                Err(fault) => {
                    let hint = "name the channel that was followed before, as the message says it";
                    return self.refuse(&name.span(), fault.to_string(), hint);
                }
            }
        }
        Ok(channels)
    }

    pub fn activation(&self, gateway: &file::Gateway) -> Checked<ActivationMode> {
        let Some(written) = &gateway.activation else { return Ok(ActivationMode::Restart) };
        match written.get_ref().as_str() {
            "restart" => Ok(ActivationMode::Restart),
            "hot" if gateway.store.is_some() => Ok(ActivationMode::Hot),
            "hot" => {
                let message = "a release that is a file is activated by a restart".to_owned();
                self.refuse(&written.span(), message, "remove activation, or follow a store: store and channel")
            }
            other => {
                let message = format!("expected activation = \"restart\" or \"hot\", found \"{other}\"");
                let hint = "\"hot\" activates what the channel points at while the gateway serves";
                self.refuse(&written.span(), message, hint)
            }
        }
    }
}
