//! What may take the place of the lists in force.
//!
//! A list of the CA itself is verified when it is read; nothing of it goes back, and it stays in force where a file leaves it
//! out: what else the file has must not wait for it. The key of an intermediate is only known with a chain, so that its list says
//! nothing before one that verified showed the key that signed it: until then any other may stand beside it. From then on it is
//! proven: no earlier one by that key follows it, and it stays in force where a file leaves it out. Another key under the same name, as
//! an intermediate gets one, has lists of its own.
//!
//! Of two of which neither is later in all both count: numbers may begin anew, and clocks go back. One that a file leaves out after its
//! end is retired: it calls nothing good any more, and what it names stays refused.

use std::sync::Arc;

use super::list::List;
use super::{RevocationError, RevocationLists, put, shown_number};
use crate::bounds::{
    REVOCATION_LISTS_BYTES_MAX, REVOCATION_LISTS_IN_FORCE_BYTES_MAX, REVOCATION_LISTS_IN_FORCE_MAX,
    REVOCATION_LISTS_MAX,
};

impl RevocationLists {
    /// These in the place of `before`, which are of the same CA, at `now_s` (seconds since the Unix epoch). One that is older than
    /// what is known does not hold up the others.
    ///
    /// # Errors
    /// They go back and bring nothing new.
    pub fn follow(self, before: &Self, now_s: u64) -> Result<Self, RevocationError> {
        let Self { lists: found, mut not_taken, enforce_expiration, .. } = self;
        let own = before.lists.iter().filter(|old| old.is_own).map(Arc::clone);
        let floors: Vec<Arc<List>> = own.chain(before.proven_lists()).collect();
        let is_new = |list: &Arc<List>| before.lists.iter().all(|old| old.sha256 != list.sha256);
        let mut lists = Vec::new();
        for list in &found {
            // What a chain shows of the one in force meanwhile is not to be lost.
            let known = before.known().find(|old| old.sha256 == list.sha256 && old.is_own == list.is_own);
            let list = known.unwrap_or(list);
            // Whose it is shows by the keys that chains have shown.
            let mut keys = floors.iter().filter(|floor| floor.parsed.issuer() == list.parsed.issuer());
            keys.any(|floor| floor.signer().is_some_and(|spki| list.try_signer(spki)));
            put(&mut lists, list);
        }
        let known = floors.iter().map(|floor| (floor, !(enforce_expiration && floor.has_ended(now_s))));
        // What another client CA's file brought is taken where this one's has an older one, and not asked for.
        let ahead = before.ahead.iter().map(|later| (later, false));
        let known: Vec<(&Arc<List>, bool)> = known.chain(ahead).collect();
        let is_back = |list: &Arc<List>| known.iter().any(|(old, _)| list.gives_way_to(old));
        let (back, mut lists): (Vec<_>, Vec<_>) = lists.into_iter().partition(is_back);
        let (mut left_out, mut older) = (Vec::new(), None);
        for (old, stays) in &known {
            let behind = back.iter().find(|list| list.gives_way_to(old));
            if let Some(list) = behind {
                older.get_or_insert_with(|| RevocationError::older(list, old));
            }
            let is_followed = lists.iter().any(|list: &Arc<List>| old.is_replaced_by(list));
            if is_followed || !(*stays || behind.is_some()) {
                continue;
            }
            put(&mut lists, old);
            if (old.is_own || behind.is_some()) && !left_out.contains(&old.issuer) {
                left_out.push(old.issuer.clone());
            }
        }
        if let Some(older) = older.filter(|_| !lists.iter().any(is_new)) {
            return Err(not_taken.into_iter().find(RevocationError::is_passing).unwrap_or(older));
        }
        let lists = fitting(lists, &mut not_taken);
        let is_carried = |list: &&Arc<List>| found.iter().all(|other| other.sha256 != list.sha256);
        let ends = lists.iter().filter(is_carried).map(|list| list.next_update_s);
        let carried_until_s = ends.min().filter(|_| enforce_expiration);
        let ahead = before.ahead.clone();
        Ok(Self { left_out, not_taken, ahead, carried_until_s, ..Self::of(lists, floors, enforce_expiration) })
    }

    /// What nothing goes back behind besides those of the CA that are in force: the latest proven list of each intermediate, and
    /// those that are retired. Of what is not in force as many as a file may have.
    pub(super) fn proven_lists(&self) -> Vec<Arc<List>> {
        let mut latest: Vec<Arc<List>> = Vec::new();
        let proven = self.lists.iter().chain(&self.floors).filter(|list| list.is_proven());
        proven.chain(self.retired.iter().filter(|list| list.is_own)).for_each(|list| put(&mut latest, list));
        let is_in_force = |list: &Arc<List>| self.lists.iter().any(|other| other.sha256 == list.sha256);
        let (mut all, mut others): (Vec<_>, Vec<_>) = latest.into_iter().partition(is_in_force);
        others.retain(|list| !all.iter().any(|other| list.is_replaced_by(other)));
        // Those that ended long ago go first, and of no key a second list before the first of another.
        others.sort_by_key(|list| (!list.is_own, std::cmp::Reverse(list.next_update_s)));
        let mut others = by_turns(others);
        others.truncate(REVOCATION_LISTS_MAX);
        let mut bytes = 0;
        others.retain(|list| {
            let fits = bytes + list.der.len() <= REVOCATION_LISTS_BYTES_MAX;
            bytes += if fits { list.der.len() } else { 0 };
            fits
        });
        all.append(&mut others);
        all
    }
}

impl RevocationError {
    fn older(list: &List, in_force: &List) -> Self {
        let (in_force, found) = (shown_number(&in_force.number), shown_number(&list.number));
        Self::Older { issuer: list.issuer.clone(), in_force, found }
    }
}

/// The first of each key, then the second of each: who has many keeps out nobody.
fn by_turns(lists: Vec<Arc<List>>) -> Vec<Arc<List>> {
    let turn = |(position, list): (usize, &Arc<List>)| {
        lists.iter().take(position).filter(|other| other.signer() == list.signer()).count()
    };
    let turns: Vec<usize> = lists.iter().enumerate().map(turn).collect();
    let mut all: Vec<_> = turns.into_iter().zip(lists).collect();
    all.sort_by_key(|(turn, list)| (list.signer().is_none(), *turn));
    all.into_iter().map(|(_, list)| list).collect()
}

/// As many as there is room for: those of the CA itself, then those whose signers are known; of each those of the file first. One that
/// finds no room is retired where it was known.
fn fitting(mut lists: Vec<Arc<List>>, not_taken: &mut Vec<RevocationError>) -> Vec<Arc<List>> {
    lists.sort_by_key(|list| (!list.is_own, !list.is_proven()));
    let own = lists.iter().filter(|list| list.is_own).count();
    let others = lists.split_off(own);
    let mut fitting: Vec<Arc<List>> = Vec::new();
    for list in lists.into_iter().chain(by_turns(others)) {
        if has_room(&fitting, &list) {
            fitting.push(list);
        } else {
            not_taken.push(RevocationError::NoRoom(list.issuer.clone()));
        }
    }
    fitting
}

pub(super) fn has_room(lists: &[Arc<List>], one_more: &List) -> bool {
    let bytes: usize = lists.iter().map(|list| list.der.len()).sum();
    lists.len() < REVOCATION_LISTS_IN_FORCE_MAX && bytes + one_more.der.len() <= REVOCATION_LISTS_IN_FORCE_BYTES_MAX
}
