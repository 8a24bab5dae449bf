//! How `adamant key-set show` shows a key set.

use policy_release::key_set::{FilledId, KeyHash, KeySet};
use policy_release::time::Timestamp;
use serde_json::Value;
use stores::Channel;

use super::change::shown;
use crate::commands::lists::Shown;
use crate::failure::Failure;

impl Shown for KeySet {
    const TITLE: &'static str = "key set";
    const EXPIRED: &'static str = "gateways refuse its keys: adamant key-set renew";
    const MEMBER: &'static str = "keys";

    fn none(channel: &Channel) -> String {
        format!("channel {channel} has no key set")
    }

    fn to_json(&self) -> Result<Value, Failure> {
        serde_json::to_value(self.keys()).map_err(Failure::new)
    }

    fn lines(&self, now: Timestamp) -> Vec<String> {
        let all = self.keys().iter().flat_map(|key| key.hashes.iter().map(move |hash| (key, hash)));
        let line = |(key, hash): (&FilledId, &KeyHash)| {
            let over = if hash.has_ended(now) { ", over" } else { "" };
            format!("{}{over}", shown(&key.id, hash))
        };
        all.map(line).collect()
    }
}
