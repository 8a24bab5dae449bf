//! The key set as a list that is looked after, and what is shown of it. Each one that is taken, refused or over is one entry of
//! the rotation log.

use control::accept::lists::{Last, News};
use control::accept::{Check, Gateway, Refusal, key_set};
use control::key_set::Fit;
use control::moving::{Outcome, Rotation, Why};
use control::records::Handle;
use control::status::{KeySetStatus, Moving, RefusalStatus};
use policy::model::Policy;
use policy_release::key_set::{FilledId, KeySet};
use policy_release::lists::VerifiedList;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Followed, Store, StoreFault, layout};

use super::accepted::Shelf;
use super::lists::{InForce, Showing, Tended};
use crate::commands::signing::plural;

/// Ids that a line names, of those that it is about.
const NAMED_MAX: usize = 8;

impl Tended for KeySet {
    const SHELF: Shelf = Shelf::KeySets;
    const FOLLOWED: Followed = Followed::KeySet;
    const PUT_BACK: &'static str = "put the key set back: what it fills stays filled until it expires";
    const INSTEAD: &'static str = "(adamant key-set renew)";
    const FORGETS: &'static str = "keys that were taken out since the set before that was written down then hold again";
    const PASSED_OVER: &'static str = "compare the two: what that set alone filled is not filled";

    fn fetch(store: &dyn Store, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        store.key_set(channel)
    }

    fn place(channel: &Channel) -> String {
        layout::key_set(channel)
    }

    fn judge(
        bytes: &[u8],
        root: &TrustRoot,
        gateway: &Gateway,
        channel: &str,
        last: Option<Last<'_, Self>>,
        now: Timestamp,
    ) -> Result<Option<News<Self>>, Refusal> {
        key_set::check(bytes, root, gateway, channel, last, now)
    }

    fn lacking(_: &VerifiedList<Self>, _: &Self, _: Timestamp) -> Option<Refusal> {
        None
    }

    fn may_replace(_: &VerifiedList<Self>) -> bool {
        true
    }

    fn show(moving: &mut Moving, in_force: Option<&InForce<Self>>, policy: Option<&Policy>, now: Timestamp) {
        let set = in_force.map(|in_force| &*in_force.list);
        let fit = policy.map(|policy| Fit::of(set, policy)).unwrap_or_default();
        if set.is_none() && fit.unfilled.is_empty() && moving.key_set.is_none() {
            return;
        }
        let shown = moving.key_set.get_or_insert_default();
        (shown.filled, shown.unfilled, shown.ignored) = (fit.filled, fit.unfilled.len(), fit.ignored.len());
        let Some(set) = set else {
            let none = KeySetStatus { refusal: shown.refusal.take(), ..KeySetStatus::default() };
            *shown = KeySetStatus { unfilled: shown.unfilled, ..none };
            return;
        };
        shown.serial = set.serial;
        shown.issued_unix_s = set.issued.seconds();
        shown.expires_unix_s = set.expires.seconds();
        shown.expired = set.expires <= now;
    }

    fn show_expired(moving: &mut Moving, expired: bool) {
        moving.key_set.iter_mut().for_each(|shown| shown.expired = expired);
    }

    fn show_refusal(moving: &mut Moving, refusal: Option<RefusalStatus>) {
        match refusal {
            Some(refusal) => moving.key_set.get_or_insert_default().refusal = Some(refusal),
            None => moving.key_set.iter_mut().for_each(|shown| shown.refusal = None),
        }
    }

    fn tell_accepted(records: &Handle, in_force: &InForce<Self>, showing: &Showing<'_, Self>) {
        let set = &*in_force.list;
        let signers: Vec<&str> = in_force.verified.signers.iter().map(|signer| signer.owner.as_str()).collect();
        let filled = showing.policy.map(|policy| Fit::of(Some(set), policy).filled);
        control::info!(
            "key set serial {} is in force, keys of {}{}, signed by {}, until {}",
            set.serial,
            plural(set.keys().len(), "id"),
            filled.map_or_else(String::new, |filled| format!(", {filled} of the release")),
            signers.join(", "),
            set.expires
        );
        if let (Why::Changed, Some(policy)) = (showing.why, showing.policy) {
            ignored(set, policy).iter().for_each(|told| control::warning!("{told}"));
        }
        let (old, new) = thumbprints(showing.before, set);
        rotation(in_force, showing.place, showing.why, Outcome::Taken, &old, &new).tell(records);
    }

    fn tell_refused(
        records: &Handle,
        refusal: &Refusal,
        (source, channel): (&str, &Channel),
        in_force: Option<&InForce<Self>>,
    ) {
        let still = in_force.map_or_else(
            || "no key set is in force".to_owned(),
            |of| format!("serial {} stays in force until {}", of.list.serial, of.list.expires),
        );
        control::error!("{source}: the key set is {refusal}; {still}");
        let why = refusal.to_string();
        let outcome = match refusal.check {
            Check::Read | Check::State => Outcome::Failed(&why),
            _ => Outcome::Refused(&why),
        };
        let name = channel.as_str();
        Rotation { of: "key-set", name, source, why: Why::Changed, outcome, old: &[], new: &[] }.tell(records);
    }

    fn tell_lapsed(_: &Handle, _: &InForce<Self>, _: Timestamp) {}

    fn tell_void(records: &Handle, void: &InForce<Self>, place: &str) {
        control::error!(
            "key set serial {} is in force no more, its keys are refused: the trust root has nobody in the role keys",
            void.list.serial
        );
        rotation(void, place, Why::Changed, Outcome::Stale, &[], &[]).tell(records);
    }

    fn tell_expired(records: &Handle, in_force: &InForce<Self>, place: &str) {
        control::error!("{}", expired(&in_force.list));
        rotation(in_force, place, Why::Expiry, Outcome::Stale, &[], &[]).tell(records);
    }

    fn tell_released(in_force: Option<&InForce<Self>>, policy: &Policy) {
        let set = in_force.map(|in_force| &*in_force.list);
        misfits(set, policy).iter().for_each(|told| control::warning!("{told}"));
    }
}

fn rotation<'r>(
    in_force: &'r InForce<KeySet>,
    source: &'r str,
    why: Why,
    outcome: Outcome<'r>,
    old: &'r [String],
    new: &'r [String],
) -> Rotation<'r> {
    Rotation { of: "key-set", name: &in_force.list.channel, source, why, outcome, old, new }
}

/// What an operator should know of `set` before a start with `policy`.
pub fn warnings(set: Option<&KeySet>, policy: &Policy, now: Timestamp) -> Vec<String> {
    let over = set.filter(|set| set.expires <= now).map(expired);
    over.into_iter().chain(misfits(set, policy)).collect()
}

fn expired(set: &KeySet) -> String {
    format!(
        "the key set (serial {}) expired at {}: its keys are refused (key-set-expired) until a new one is there (adamant \
         key-set renew)",
        set.serial, set.expires
    )
}

/// What of a set and a release does not come together.
fn misfits(set: Option<&KeySet>, policy: &Policy) -> Vec<String> {
    let fit = Fit::of(set, policy);
    let unfilled = (!fit.unfilled.is_empty()).then(|| {
        let by = set.map_or_else(|| "there is no key set".to_owned(), |set| format!("key set serial {}", set.serial));
        let (count, named) = (fit.unfilled.len(), named(&fit.unfilled));
        let (keys, have) = (plural(count, "API key"), if count == 1 { "has" } else { "have" });
        format!("{keys} of the release {have} no key ({by}): {named}; fill in with adamant key-set add")
    });
    unfilled.into_iter().chain(set.and_then(|set| ignored(set, policy))).collect()
}

fn ignored(set: &KeySet, policy: &Policy) -> Option<String> {
    let ids = Fit::of(Some(set), policy).ignored;
    (!ids.is_empty()).then(|| {
        format!(
            "key set serial {}: {} ids are ignored, because the release pins or does not declare them: {}",
            set.serial,
            ids.len(),
            named(&ids)
        )
    })
}

fn named(ids: &[&str]) -> String {
    let shown = ids.get(..NAMED_MAX).unwrap_or(ids).join(", ");
    if ids.len() > NAMED_MAX { format!("{shown} and {} more", ids.len() - NAMED_MAX) } else { shown }
}

/// What changes from `before` to `set`, for the rotation log: the serials, and the ids that change with what their keys begin
/// with.
fn thumbprints(before: Option<&KeySet>, set: &KeySet) -> (Vec<String>, Vec<String>) {
    let shown = |of: &FilledId| {
        let hash = |hash: &policy_release::key_set::KeyHash| format!("{}:{}", of.id, hash.thumbprint());
        of.hashes.iter().map(hash).collect::<Vec<_>>()
    };
    let serial = |set: &KeySet| format!("serial-{}", set.serial);
    let (mut old, mut new) = (before.map(serial).into_iter().collect::<Vec<_>>(), vec![serial(set)]);
    let gone = before.into_iter().flat_map(KeySet::keys).filter(|key| set.of(&key.id).is_none());
    let changed = set.keys().iter().filter(|key| before.and_then(|before| before.of(&key.id)) != Some(*key));
    for id in gone.chain(changed).map(|key| key.id.as_str()) {
        old.extend(before.and_then(|before| before.of(id)).map(shown).unwrap_or_default());
        new.extend(set.of(id).map(shown).unwrap_or_default());
    }
    (old, new)
}

#[cfg(test)]
mod tests {
    use policy_release::key_set::KeyHash;
    use policy_release::revocations::Sha256;

    use super::*;

    fn set(serial: u64, keys: &[(&str, &[u8])]) -> KeySet {
        let time = |text: &str| text.parse().unwrap();
        let hash = |byte: &u8| KeyHash::new(Sha256([*byte; 32]));
        let filled =
            |(id, bytes): &(&str, &[u8])| FilledId { id: (*id).into(), hashes: bytes.iter().map(hash).collect() };
        let keys = keys.iter().map(filled).collect();
        KeySet::new("p", "c", serial, time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"), keys).unwrap()
    }

    #[test]
    fn the_log_names_what_changes_and_nothing_else() {
        let before = set(1, &[("a", &[0xaa]), ("b", &[0xbb]), ("c", &[0xcc])]);
        let after = set(2, &[("a", &[0xaa]), ("b", &[0xb0, 0xbb]), ("d", &[0xdd])]);
        let (old, new) = thumbprints(Some(&before), &after);
        assert_eq!(old.join(" "), "serial-1 c:cccccccccccc b:bbbbbbbbbbbb");
        assert_eq!(new.join(" "), "serial-2 b:b0b0b0b0b0b0 b:bbbbbbbbbbbb d:dddddddddddd");
    }
}
