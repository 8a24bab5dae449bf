//! Revocation lists as they are published.

use control::accept::lists::Words;
use control::accept::revocations;
use policy_release::envelope::{Envelope, Role};
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
    fn beside(self, other: &Self) -> Self {
        let more: Vec<&Entry> = other.entries().iter().collect();
        self.with(&more).unwrap_or(self)
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
