//! Revocation lists as they are published.

use control::accept::lists::Words;
use control::accept::revocations;
use policy_release::envelope::{Envelope, Role};
use policy_release::lists::ListFault;
use policy_release::revocations::{Entry, Revocations, lifted};
use stores::{Channel, layout};

use crate::commands::lists::{ListDesk, Published};
use crate::commands::trust::words;
use crate::failure::Failure;
use crate::span::Span;
use crate::store::{Store, WriteFault};

pub type RevokeDesk = ListDesk<Revocations>;

impl Published for Revocations {
    const WORDS: &'static Words = &revocations::WORDS;
    const ROLES: &'static [Role] = &[Role::Revocation, Role::ReleaseWider];
    /// From then on gateways raise an alarm, and go on with it.
    const SPAN: Span = Span { seconds: 30 * 86_400 };
    const CARRIED: &'static str = "Its entries are carried on";
    const REPLACED: &'static str =
        "name all that is to stay revoked: gateways refuse a list that leaves out what they have";

    fn stored(store: &Store, channel: &Channel) -> Result<Option<Vec<u8>>, WriteFault> {
        store.revocations(channel)
    }

    fn place(channel: &Channel) -> String {
        layout::revocations(channel)
    }

    /// Both were signed, and a gateway may have either: what one of them revokes stays revoked.
    fn beside(&self, other: &Self) -> Result<Self, ListFault> {
        let more: Vec<&Entry> = other.entries().iter().collect();
        self.with(&more)
    }

    /// Lifting what is revoked needs release-wider too.
    fn may_follow(desk: &RevokeDesk, list: &Self, envelope: &Envelope) -> Result<(), Failure> {
        let before = desk.list.as_ref().map(Revocations::entries).unwrap_or_default();
        let lifted = lifted(before, list.entries(), desk.now);
        let wider = desk.root.standing(Role::ReleaseWider, envelope);
        let Some(first) = lifted.first().filter(|_| !wider.is_met()) else { return Ok(()) };
        let message = format!(
            "the list lifts what is revoked ({}): that needs release-wider too, and it has {}; nothing was published",
            first.target,
            words(&wider)
        );
        Err(Failure::new(message).help("give more keys, or write it with --out FILE for others to sign"))
    }
}

#[cfg(test)]
mod tests {
    use policy_release::bounds::REVOCATIONS_MAX;
    use policy_release::revocations::Target;
    use policy_release::time::Timestamp;

    use super::*;

    #[test]
    fn that_there_is_no_room_for_two_lists_in_one_is_told() {
        let time = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let entry = |name: usize| Entry {
            target: Target::Agent(format!("a{name:07}")),
            since: time(1),
            until: None,
            why: "w".into(),
        };
        let list = |names: std::ops::Range<usize>| {
            Revocations::new("p", "c", 1, time(1), time(2), names.map(entry).collect()).unwrap()
        };
        let (one, rest) = (list(0..1), list(1..REVOCATIONS_MAX));
        assert_eq!(one.beside(&rest).unwrap().entries().len(), REVOCATIONS_MAX);
        let fault = one.beside(&list(1..REVOCATIONS_MAX + 1)).unwrap_err();
        assert!(matches!(fault, ListFault::Entries { most: REVOCATIONS_MAX, .. }), "{fault}");
    }
}
