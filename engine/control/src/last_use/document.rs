//! What `/last-use` answers, and `adamant status --last-use` reads.

use policy_release::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Kind, Register};
use crate::bounds::LAST_USES_SHOWN_MAX;
use crate::clock::NS_PER_S;
use crate::status::Status;

/// The uses that one gateway knows of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    #[serde(rename = "type")]
    pub format: Format,
    /// Key id of the node.
    pub node: String,
    /// By the gateway's clock.
    pub time: Timestamp,
    /// Since when uses are noted.
    pub since: Timestamp,
    /// The release that serves.
    pub release: String,
    /// Unused for longest first.
    pub credentials: Vec<Used>,
    /// So many more were used since.
    pub left_out: u64,
}

/// The one format that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    #[serde(rename = "adamant.last-use.v1")]
    V1,
}

/// One credential, or an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    pub kind: Kind,
    pub name: String,
    /// Of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Of a certificate: who was last identified with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The release that serves names it, or a key set of it does.
    pub declared: bool,
    /// Since when its uses are noted.
    pub since: Timestamp,
    pub used: Option<Timestamp>,
}

/// As it is now.
pub fn document(status: &Status, uses: &Register, now_unix_ns: u64) -> LastUse {
    shortened(status, uses, now_unix_ns, LAST_USES_SHOWN_MAX)
}

fn shortened(status: &Status, uses: &Register, now_unix_ns: u64, most: usize) -> LastUse {
    let ledger = uses.ledger();
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let used = ledger.known().map(|(of, known)| Used {
        kind: of.kind,
        name: of.name.clone(),
        issuer: some(&of.issuer),
        agent: some(&known.agent),
        declared: known.declared,
        since: time(known.since_s),
        used: (known.used_s > 0).then(|| time(known.used_s)),
    });
    let mut credentials: Vec<Used> = used.collect();
    let since = time(ledger.since_s());
    drop(ledger);
    // In the order of kinds and names where nothing else tells.
    credentials.sort_by_key(|of| of.used);
    let left_out = credentials.len().saturating_sub(most) as u64;
    credentials.truncate(most);
    LastUse {
        format: Format::V1,
        node: status.facts.node.id().to_string(),
        time: time(now_unix_ns / NS_PER_S),
        since,
        release: status.activation.load().release.digest.clone(),
        credentials,
        left_out,
    }
}

/// Times after the year 9999 are shown as its last second.
fn time(unix_s: u64) -> Timestamp {
    Timestamp::from_seconds(unix_s).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::last_use::Credential;
    use crate::testing::rig::rig;

    #[test]
    fn what_was_unused_for_longest_comes_first_and_what_does_not_fit_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let rig = rig(directory.path());
        let uses = Register::new(1);
        for (name, used_s) in [("a", 30), ("b", 10), ("c", 20)] {
            let agent = Credential { kind: Kind::Agent, name: name.to_owned(), issuer: String::new() };
            uses.ledger().note(agent, String::new(), used_s, 40);
        }
        let never = Credential { kind: Kind::ApiKey, name: "k".to_owned(), issuer: String::new() };
        uses.ledger().declare(&[Kind::ApiKey], [never].into_iter(), 5);
        let told = shortened(&rig.status, &uses, 50 * NS_PER_S, 3);
        let names: Vec<_> = told.credentials.iter().map(|of| of.name.as_str()).collect();
        assert_eq!((names, told.left_out, told.time.seconds()), (vec!["k", "b", "c"], 1, 50));
        let text = serde_json::to_string(&told).unwrap();
        assert!(
            text.contains(
                r#"{"kind":"api-key","name":"k","declared":true,"since":"1970-01-01T00:00:05Z","used":null}"#
            )
        );
        assert_eq!(serde_json::from_str::<LastUse>(&text).unwrap(), told);
        rig.end(directory.path());
    }
}
