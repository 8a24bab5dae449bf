//! What a thread that looks after a list needs to know of its kind.

use control::accept::lists::{Last, News};
use control::accept::{Gateway, Refusal};
use control::live::Compile;
use control::moving::rotation::Why;
use control::records::Handle;
use control::status::{Moving, RefusalStatus};
use policy::model::Policy;
use policy_release::lists::{SignedList, VerifiedList};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Followed, Store, StoreFault};

use super::super::accepted::Shelf;
use super::InForce;

/// A kind of list that is looked after. In words: what to do where one was lost, and what happens if nothing is done.
pub trait Tended: SignedList + Compile {
    const SHELF: Shelf;
    const FOLLOWED: Followed;
    /// Where the store has none any more.
    const PUT_BACK: &'static str;
    /// Who makes one in place of what was lost: ends "one of serial 7 or higher".
    const INSTEAD: &'static str;
    /// What a gateway forgets that goes on without.
    const FORGETS: &'static str;
    /// What to look at where a newer one took the place of one that was lost half written.
    const PASSED_OVER: &'static str;

    fn fetch(store: &dyn Store, channel: &Channel) -> Result<Vec<u8>, StoreFault>;

    /// Where it stands in a store.
    fn place(channel: &Channel) -> String;

    /// Whether `bytes` are news; none where they are the last list.
    fn judge(
        bytes: &[u8],
        root: &TrustRoot,
        gateway: &Gateway,
        channel: &str,
        last: Option<Last<'_, Self>>,
        now: Timestamp,
    ) -> Result<Option<News<Self>>, Refusal>;

    /// What `verified` cannot take away of `list`, which is in force by it.
    fn lacking(verified: &VerifiedList<Self>, list: &Self, now: Timestamp) -> Option<Refusal>;

    /// Whether it may take the place of one that nobody knows any more.
    fn may_replace(verified: &VerifiedList<Self>) -> bool;

    /// Shows the list in force, and what it is to the release that serves.
    fn show(moving: &mut Moving, in_force: Option<&InForce<Self>>, policy: Option<&Policy>, now: Timestamp);

    fn show_expired(moving: &mut Moving, expired: bool);

    fn show_refusal(moving: &mut Moving, refusal: Option<RefusalStatus>);

    /// A list is in force.
    fn tell_accepted(records: &Handle, in_force: &InForce<Self>, showing: &Showing<'_, Self>);

    /// One of a place and channel was refused that was not refused before.
    fn tell_refused(records: &Handle, refusal: &Refusal, at: (&str, &Channel), in_force: Option<&InForce<Self>>);

    /// Entries have lapsed, or are in force again because the clock went back.
    fn tell_lapsed(records: &Handle, in_force: &InForce<Self>, now: Timestamp);

    /// A list is in force no more, because a trust root has nobody in its role; there is one kind of which that can be.
    fn tell_void(_: &Handle, _: &InForce<Self>, _: &str) {}

    /// The time has come that a newer list should have arrived.
    fn tell_expired(records: &Handle, in_force: &InForce<Self>, place: &str);

    /// Another release serves, or the first one.
    fn tell_released(in_force: Option<&InForce<Self>>, policy: &Policy);
}

/// What is known where a list is in force.
pub struct Showing<'s, L> {
    pub place: &'s str,
    pub why: Why,
    /// The one before it.
    pub before: Option<&'s L>,
    pub policy: Option<&'s Policy>,
    pub now: Timestamp,
}

/// Counts and shows why the list in the store is not the one in force.
pub fn refused<L: Tended>(moving: &mut Moving, refusal: &Refusal, now: Timestamp) {
    *moving.refusals.entry(refusal.check.word()).or_default() += 1;
    let shown = RefusalStatus {
        since_unix_s: now.seconds(),
        check: refusal.check.word().to_owned(),
        message: refusal.to_string(),
        release: None,
    };
    L::show_refusal(moving, Some(shown));
}
