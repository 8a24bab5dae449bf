//! Where releases come from, and when they are activated.

use stores::Channel;

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
                let directory = self.resolve(store.get_ref());
                match channel.get_ref().parse::<Channel>() {
                    Ok(channel) => Ok(Releases::Store { directory, channel }),
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
