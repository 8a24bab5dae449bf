//! What is said of a choice before anything comes of it: for `adamant run --check`.

use control::status::Moving;
use policy::model::Policy;
use policy_release::pointer::VerifiedPointer;

use super::super::lists::Tended as _;
use super::super::{filling, revoking, showing};
use super::{Choice, KeySet, Releases, Revocations, Taken, wall};

impl Choice {
    /// Why it is what it is: for `adamant run --check`.
    pub fn why(&self) -> String {
        let place = self.settings.place();
        let Some(Taken { candidate, change, .. }) = &self.taken else {
            return match (self.refusals.is_empty(), self.lists_refused.is_empty()) {
                (true, true) => format!(", from {place}: accepted before"),
                (true, false) => {
                    format!(
                        ", from {place}: accepted before; what is refused there is not the release, but a list beside it"
                    )
                }
                (false, _) => format!(
                    ", accepted before and kept in the state directory: it goes on because what is at {place} now is \
                     refused"
                ),
            };
        };
        let serial = candidate.pointer.as_ref().map(|(verified, _)| format!(", serial {}", verified.pointer.serial));
        let change = change.as_ref().map_or("the first release of this gateway", |change| &change.told);
        format!(", from {place}{}: to be accepted, {change}", serial.unwrap_or_default())
    }

    /// What is refused, and what is wrong with the pointer by which it goes on, or with the lists beside it.
    pub fn warnings(&self, policy: &Policy) -> Vec<String> {
        let (place, wall) = (self.settings.place(), wall().unwrap_or(self.now));
        let mut warnings: Vec<String> = self.refused().map(|refusal| format!("{place}: {refusal}")).collect();
        if let Some(verified) = self.pointer() {
            let expired = (verified.pointer.expires <= self.now).then(|| showing::expired(verified));
            warnings.extend(expired.into_iter().chain(showing::from_the_future(verified, self.now)));
        }
        warnings.extend_from_slice(&self.dropped);
        let revoked = self.lists.as_ref().and_then(|lists| lists.revocations.in_force());
        warnings.extend(revoked.filter(|list| list.expires() <= wall).map(|list| revoking::expired(&list.list)));
        let set = self.lists.as_ref().and_then(|lists| lists.key_set.in_force());
        warnings.extend(filling::warnings(set.map(|set| &*set.list), policy, wall));
        warnings
    }

    /// Shows what a start would go by, for when it ends.
    pub fn show(&self, moving: &mut Moving) {
        showing::accepted(moving, &self.standing, self.now);
        moving.pointer = self.pointer().map(|verified| showing::pointer(verified, self.now));
        let Some(lists) = &self.lists else { return };
        let now = wall().unwrap_or(self.now);
        Revocations::show(moving, lists.revocations.in_force(), None, now);
        // That one has ended is among the warnings.
        let set = lists.key_set.in_force().filter(|set| set.expires() > now);
        KeySet::show(moving, set, None, now);
    }

    /// The pointer of what is served; none where nobody looks for another.
    fn pointer(&self) -> Option<&VerifiedPointer> {
        match (&self.settings.releases, &self.taken) {
            (Releases::File(_), _) => None,
            (_, Some(taken)) => taken.candidate.pointer.as_ref().map(|(verified, _)| verified),
            (_, None) => self.standing.pointer.as_ref(),
        }
    }
}
