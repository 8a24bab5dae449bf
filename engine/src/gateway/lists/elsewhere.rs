//! Revocation lists of channels that were followed before. They are kept, and are in force for those channels alone: by another
//! line of `gateway.toml` whoever they revoke would be let in again.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use policy_release::revocations::{Revocations, lifted};
use policy_release::time::Timestamp;
use stores::{Channel, Store};

use super::super::accepted::Shelf;
use super::super::choose::Trust;
use super::super::standing::Standing;
use super::{Ground, InForce, Lists};
use crate::commands::signing::plural;
use crate::config::Releases;
use crate::failure::Failure;

/// Entries that are named.
const NAMED_MAX: usize = 3;

pub struct Elsewhere<'s> {
    pub standing: &'s Standing,
    pub store: Option<&'s dyn Store>,
    pub settings: &'s Trust,
    pub now: Timestamp,
}

impl Elsewhere<'_> {
    /// What is revoked there and not by `own`, the list in force here, in words. A channel that gateway.toml does not name for
    /// that is refused.
    pub fn revoked_beside(&self, own: Option<&InForce<Revocations>>) -> Result<Vec<String>, Failure> {
        let here = match &self.settings.releases {
            Releases::Store { channel, .. } => Some(channel),
            Releases::File(_) => None,
        };
        let mut told = Vec::new();
        for channel in self.channels()?.iter().filter(|channel| Some(*channel) != here) {
            let is_named = self.settings.without_revocations_of.contains(channel);
            match self.revoked(channel, here, own) {
                Ok(None) => {}
                Ok(Some(found)) if is_named => told.push(format!("{found} (without_revocations_of under [gateway])")),
                Err(failure) if is_named => {
                    told.push(format!("what is revoked on channel {channel} is not in force, nor known: {failure}"));
                }
                Ok(Some(found)) => return Err(Failure::new(found).help(remedy(channel, here))),
                Err(failure) => {
                    let hint = failure.hint().map_or_else(String::new, |hint| format!("{hint}; or "));
                    let help = format!("{hint}{}", remedy(channel, here));
                    return Err(Failure::new(failure).help(help));
                }
            }
        }
        Ok(told)
    }

    /// Those that ever had a list in force.
    fn channels(&self) -> Result<BTreeSet<Channel>, Failure> {
        let memory = &self.standing.memory;
        let mut channels: BTreeSet<Channel> =
            memory.lists(Shelf::Revocations).keys().filter_map(|name| name.parse().ok()).collect();
        let folder = memory.reserves(Shelf::Revocations);
        match fs::read_dir(&folder) {
            Ok(entries) => {
                channels
                    .extend(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<Channel>().ok()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::at(&folder, format_args!("cannot be read: {error}"))),
        }
        Ok(channels)
    }

    fn revoked(
        &self,
        channel: &Channel,
        here: Option<&Channel>,
        own: Option<&InForce<Revocations>>,
    ) -> Result<Option<String>, Failure> {
        let ground = Ground::of(self.standing)?;
        let lists = Lists::<Revocations>::open(self.standing, &ground, self.store, channel, self.now)?;
        let Some(theirs) = lists.known()? else { return Ok(None) };
        let own = own.map(|own| own.list.entries()).unwrap_or_default();
        let lost = lifted(theirs.list.entries(), own, self.now);
        if lost.is_empty() {
            return Ok(None);
        }
        let named: Vec<String> = lost.iter().take(NAMED_MAX).map(|entry| entry.target.to_string()).collect();
        Ok(Some(format!(
            "{} of the revocation list of channel {channel} (serial {}), which was followed before, {} not in force for \
             {}: {}{}",
            plural(lost.len(), "entry"),
            theirs.serial(),
            if lost.len() == 1 { "is" } else { "are" },
            here.map_or_else(|| "a release that is a file".to_owned(), |here| format!("channel {here}")),
            named.join(", "),
            if lost.len() > NAMED_MAX { " and more" } else { "" }
        )))
    }
}

fn remedy(channel: &Channel, here: Option<&Channel>) -> String {
    let revoke = here.map_or_else(String::new, |here| {
        format!("revoke the same on channel {here} (adamant revoke --channel {here}), or ")
    });
    format!(
        "follow channel {channel} again, or {revoke}say that it may hold again: without_revocations_of = [\"{channel}\"] \
         under [gateway]"
    )
}
