//! How `adamant revoke list` shows a revocation list.

use policy_release::revocations::{Entry, Revocations};
use policy_release::time::Timestamp;
use serde_json::Value;
use stores::Channel;

use super::next;
use crate::commands::lists::Shown;
use crate::failure::Failure;

impl Shown for Revocations {
    const TITLE: &'static str = "revocations";
    const EXPIRED: &'static str = "what is revoked stays revoked; gateways raise an alarm: adamant revoke --renew";
    const MEMBER: &'static str = "entries";

    fn none(channel: &Channel) -> String {
        format!("nothing is revoked on channel {channel}")
    }

    fn to_json(&self) -> Result<Value, Failure> {
        Ok(next::entries(self.entries())?.into())
    }

    fn lines(&self, now: Timestamp) -> Vec<String> {
        let line = |entry: &Entry| {
            let until = match entry.until {
                Some(until) if entry.has_lapsed(now) => format!(", lapsed {until}"),
                Some(until) => format!(", until {until}"),
                None => String::new(),
            };
            format!("{}, since {}{until}: {}", entry.target, entry.since, entry.why)
        };
        self.entries().iter().map(line).collect()
    }
}
