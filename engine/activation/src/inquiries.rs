//! What workers want to know of opaque tokens, and what control found out: one question a token, however many ask, and an
//! answer that all of them see.
//!
//! Fixed memory: each token has one set of places that it can stand in, by its key. The token itself is held only on its
//! way to control. A lock is held for a look at one set, never across anything that waits; only a request whose token its
//! worker does not know gets here, and giving up at a lock that is taken would refuse it for nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::throttle::Client;
use identity::token::opaque::OpaqueKey;
use identity::token::{Issuer, TokenFault, VerifiedToken};
use zeroize::Zeroizing;

use crate::bounds::{
    INQUIRIES_QUEUED_MAX, INQUIRY_FAILED_MS, INQUIRY_HANDED_MS, INQUIRY_PENDING_MS_MAX, INQUIRY_REFUSED_MS,
    INQUIRY_SET_PLACES,
};
use crate::shares::{NoRoom, room_within};

/// What is known of a token: its facts, or why it is not accepted.
pub type Answer = Result<Arc<VerifiedToken>, TokenFault>;

/// A question on its way to control.
pub struct Inquiry {
    pub key: OpaqueKey,
    /// Whose request it is for.
    pub client: Client,
    pub issuer: Arc<Issuer>,
    pub token: Zeroizing<Box<[u8]>>,
    /// Unix time, milliseconds.
    pub since_ms: u64,
}

/// What a worker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Known(Answer),
    /// Somebody asked, and there is no answer yet: look again.
    Pending,
    /// It is asked now, for the one who is told so: look again.
    Asked,
    /// There is no room to ask.
    Full(NoRoom),
}

/// The outcomes that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Active,
    Inactive,
    /// Active, and not acceptable.
    Unfit,
    /// No answer, or none that can be read.
    Failed,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Active, Self::Inactive, Self::Unfit, Self::Failed];

    fn of(answer: &Answer) -> Self {
        match answer {
            Ok(_) => Self::Active,
            Err(TokenFault::Inactive) => Self::Inactive,
            Err(TokenFault::IntrospectionUnavailable) => Self::Failed,
            Err(_) => Self::Unfit,
        }
    }

    /// In metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Unfit => "unfit",
            Self::Failed => "failed",
        }
    }
}

/// Questions and answers of all workers.
pub struct Inquiries {
    sets: Box<[Mutex<Set>]>,
    queue: Mutex<VecDeque<Inquiry>>,
    /// Tells control that there is a question.
    knock: Box<dyn Fn() + Send + Sync>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// Questions that found no room.
    turned_away: AtomicU64,
}

type Set = [Option<Place>; INQUIRY_SET_PLACES];

struct Place {
    key: OpaqueKey,
    /// Unix time, milliseconds; both.
    since_ms: u64,
    until_ms: u64,
    /// None until control knows.
    answer: Option<Answer>,
}

impl Place {
    fn is_live(&self, now_ms: u64) -> bool {
        // A clock that was put back must not make it live longer.
        (self.since_ms..self.until_ms).contains(&now_ms)
    }

    /// What may go first for another token: what is over, then what refuses, then what ends soonest; never what is waited
    /// for.
    fn worth(&self, now_ms: u64) -> Option<(u8, u64)> {
        match &self.answer {
            _ if !self.is_live(now_ms) => Some((0, self.until_ms)),
            None => None,
            Some(Err(_)) => Some((1, self.until_ms)),
            Some(Ok(_)) => Some((2, self.until_ms)),
        }
    }
}

impl Inquiries {
    /// Room for at least `tokens_max` tokens; `knock` wakes control and must not wait.
    pub fn new(tokens_max: usize, knock: impl Fn() + Send + Sync + 'static) -> Self {
        let sets = tokens_max.div_ceil(INQUIRY_SET_PLACES).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            queue: Mutex::new(VecDeque::with_capacity(INQUIRIES_QUEUED_MAX)),
            knock: Box::new(knock),
            outcomes: Default::default(),
            turned_away: AtomicU64::new(0),
        }
    }

    /// For workers: what is known at `now_ms`; asks control about `token` of `issuer` where nothing is and nobody did.
    pub fn ask(&self, key: &OpaqueKey, now_ms: u64, client: Client, (issuer, token): (&Arc<Issuer>, &[u8])) -> Told {
        let Some(mut set) = self.set(key).map(lock) else { return Told::Full(NoRoom::Others) };
        let live = set.iter().flatten().find(|place| place.key == *key && place.is_live(now_ms));
        if let Some(place) = live {
            return place.answer.clone().map_or(Told::Pending, Told::Known);
        }
        let mut queue = lock(&self.queue);
        let place = set.iter_mut().filter_map(|place| {
            let worth = match place {
                None => Some((0, 0)),
                // Its own, which is over.
                Some(known) if known.key == *key => Some((0, 0)),
                Some(known) => known.worth(now_ms).map(|(kind, until_ms)| (kind + 1, until_ms)),
            };
            worth.map(|worth| (worth, place))
        });
        let place = place.min_by_key(|(worth, _)| *worth).map(|(_, place)| place);
        let place = place.ok_or(NoRoom::Others).and_then(|place| room_in(&queue, client, issuer).map(|()| place));
        let place = match place {
            Ok(place) => place,
            Err(why) => {
                self.turn_away();
                return Told::Full(why);
            }
        };
        let until_ms = now_ms.saturating_add(INQUIRY_PENDING_MS_MAX);
        *place = Some(Place { key: *key, since_ms: now_ms, until_ms, answer: None });
        let (issuer, token) = (Arc::clone(issuer), Zeroizing::new(token.into()));
        queue.push_back(Inquiry { key: *key, client, issuer, token, since_ms: now_ms });
        drop((queue, set));
        (self.knock)();
        Told::Asked
    }

    /// For workers that wait: what is known at `now_ms`, without asking.
    pub fn look(&self, key: &OpaqueKey, now_ms: u64) -> Option<Answer> {
        let set = lock(self.set(key)?);
        let live = set.iter().flatten().find(|place| place.key == *key && place.is_live(now_ms));
        live.and_then(|place| place.answer.clone())
    }

    /// For control: the next question, of those that `may` be asked now. One that stood here for `INQUIRY_PENDING_MS_MAX` is
    /// dropped: nobody has waited for it for long.
    pub fn next(&self, now_ms: u64, may: impl FnMut(&Inquiry) -> bool) -> Option<Inquiry> {
        let mut queue = lock(&self.queue);
        let is_over = |oldest: &Inquiry| oldest.since_ms.saturating_add(INQUIRY_PENDING_MS_MAX) <= now_ms;
        while queue.front().is_some_and(is_over) {
            queue.pop_front();
            self.turn_away();
        }
        let next = queue.iter().position(may)?;
        queue.remove(next)
    }

    /// For control: what was found out at `now_ms`. A refusal is kept for a short while.
    pub fn answer(&self, key: &OpaqueKey, answer: Answer, now_ms: u64) {
        let outcome = Outcome::of(&answer);
        if let Some(count) = self.outcomes.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let kept_until_ms = match (&answer, outcome) {
            (Ok(token), _) => token.believed_until_ms.unwrap_or(0).max(now_ms.saturating_add(INQUIRY_HANDED_MS)),
            (_, Outcome::Failed) => now_ms.saturating_add(INQUIRY_FAILED_MS),
            _ => now_ms.saturating_add(INQUIRY_REFUSED_MS),
        };
        let Some(set) = self.set(key) else { return };
        // Not there any more where it took too long: whoever asked is gone.
        if let Some(place) = lock(set).iter_mut().flatten().find(|place| place.key == *key) {
            // From when it was asked, in whatever order the clocks of threads are read.
            place.since_ms = place.since_ms.min(now_ms);
            place.until_ms = kept_until_ms;
            place.answer = Some(answer);
        }
    }

    /// For metrics: how often each outcome came, in the order of [`Outcome::ALL`].
    pub fn outcomes(&self) -> [u64; Outcome::ALL.len()] {
        std::array::from_fn(|index| self.outcomes.get(index).map_or(0, |count| count.load(Ordering::Relaxed)))
    }

    /// Counts a question that found no room.
    pub fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// For metrics: questions that found no room.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Bits of a SHA-256: nobody chooses them but by trying tokens out, each of which counts as a failed identification
    /// from when it is asked about.
    fn set(&self, key: &OpaqueKey) -> Option<&Mutex<Set>> {
        let bits = key.last_chunk().map_or(0, |bits| u32::from_le_bytes(*bits));
        self.sets.get(bits as usize & (self.sets.len() - 1))
    }
}

impl std::fmt::Debug for Inquiries {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inquiries").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

/// Whether another question of `client` to `issuer` may stand in `queue`.
fn room_in(queue: &VecDeque<Inquiry>, client: Client, issuer: &Issuer) -> Result<(), NoRoom> {
    let to_issuer = || queue.iter().filter(|other| other.issuer.is_same(issuer));
    let of_client = to_issuer().filter(|other| other.client == client).count();
    room_within(of_client, to_issuer().count(), queue.len(), INQUIRIES_QUEUED_MAX)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
