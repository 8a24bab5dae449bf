//! Keysets that move: files that are looked at, and key sets that are fetched while everything serves on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::token::Issuer;
use policy::model::{self, Keys};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::report::{KeysetMove, confirm_keyset, refuse_keyset, take_keyset};
use super::{Watched, Watcher, watched_path};
use crate::assemble::keysets::{self, Read};
use crate::assemble::{Frozen, Node};
use crate::bounds::{ASKS_LOOK_MS, ISSUERS_IN_FLIGHT_MAX};
use crate::clock;
use crate::moving::fetch::{FetchFault, Found, Known, Source, bounds_of};
use crate::moving::gone::Gone;
use crate::moving::schedule::Schedule;
use crate::moving::{Outcome, Why, kept};

const NS_PER_MS: u64 = 1_000_000;

/// The keys of all issuers, as far as they move.
pub struct Keysets {
    /// By issuer: the file that is looked at.
    pub files: Vec<Option<Watched>>,
    /// By issuer: what is fetched.
    fetched: Vec<Option<Fetching>>,
    done: mpsc::Sender<Done>,
    inbox: mpsc::Receiver<Done>,
    latest: u64,
    looks: Interval,
}

/// One key set that is fetched again and again.
struct Fetching {
    /// Told apart from one of the same name that a release replaced.
    number: u64,
    source: Source,
    schedule: Schedule,
    known: Option<Known>,
    /// The text of the present key set, for what is kept; empty where it was fetched by an earlier process.
    jwks: String,
    gone: Gone,
    rules: model::Issuer,
}

/// A fetch that ended.
pub struct Done {
    number: u64,
    found: Result<Found, FetchFault>,
}

impl Keysets {
    /// `loaded_unix_s` by issuer name.
    pub fn new(frozen: &Frozen, node: &Node, issuers: &[Arc<Issuer>], loaded_unix_s: &BTreeMap<String, u64>) -> Self {
        let (done, inbox) = mpsc::channel(ISSUERS_IN_FLIGHT_MAX);
        let mut looks = tokio::time::interval(Duration::from_millis(ASKS_LOOK_MS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keysets = Self { files: vec![], fetched: vec![], done, inbox, latest: 0, looks };
        keysets.follow(frozen, node, issuers, Why::Start, loaded_unix_s);
        keysets
    }

    /// Follows another release; what it leaves alone goes on as it was.
    pub fn follow(
        &mut self,
        frozen: &Frozen,
        node: &Node,
        issuers: &[Arc<Issuer>],
        why: Why,
        loaded_unix_s: &BTreeMap<String, u64>,
    ) {
        let mut before = std::mem::take(&mut self.fetched);
        self.files = frozen.policy.issuers.iter().map(|rules| watched(rules, node)).collect();
        for (rules, issuer) in frozen.policy.issuers.iter().zip(issuers) {
            let same =
                |of: &&mut Option<Fetching>| of.as_ref().is_some_and(|of| keysets::is_same_source(&of.rules, rules));
            let kept = before.iter_mut().find(same).and_then(Option::take);
            let next = kept.or_else(|| {
                self.latest += 1;
                let success_s = issuer.keyset().map(|_| loaded_unix_s.get(&rules.name).copied().unwrap_or(0));
                Fetching::new(self.latest, rules, success_s, why, node)
            });
            self.fetched.push(next.map(|of| of.under(rules)));
        }
    }

    /// Whether any are fetched.
    pub fn are_fetched(&self) -> bool {
        self.fetched.iter().any(Option::is_some)
    }

    /// Waits until it is time to look whether anybody asks.
    pub async fn event(&mut self) -> Option<Done> {
        let are_fetched = self.are_fetched();
        tokio::select! {
            _ = self.looks.tick(), if are_fetched => None,
            done = self.inbox.recv() => done,
        }
    }

    /// All of them are looked at anew.
    pub fn forget(&mut self) {
        self.files.iter_mut().flatten().for_each(Watched::forget);
        self.fetched.iter_mut().flatten().for_each(|of| of.schedule.hasten(Why::Order));
    }
}

impl Fetching {
    fn new(number: u64, rules: &model::Issuer, success_s: Option<u64>, why: Why, node: &Node) -> Option<Self> {
        let bounds = bounds_of(&rules.keys)?;
        // That it is one was found out when the release was assembled.
        let source = Source::of(rules).ok().flatten()?;
        let schedule = Schedule::new(bounds, success_s.map(|s| s * 1_000), why);
        let gone = |state: &Path| kept::gone(state, rules, &source.shown());
        let gone = node.state.as_deref().map_or_else(Gone::default, gone);
        let (known, jwks) = (None, String::new());
        Some(Self { number, source, schedule, known, jwks, gone, rules: rules.clone() })
    }

    fn under(mut self, rules: &model::Issuer) -> Self {
        if let Some(bounds) = bounds_of(&rules.keys) {
            self.schedule.bound(bounds);
        }
        self.rules = rules.clone();
        self
    }

    fn start(&self, done: &mpsc::Sender<Done>, has_keyset: bool) {
        let (number, source, done) = (self.number, self.source.clone(), done.clone());
        // Without a keyset, that it is unchanged would help nobody.
        let known = self.known.clone().filter(|_| has_keyset);
        tokio::spawn(async move {
            let found = source.fetch(known.as_ref()).await;
            let _ = done.send(Done { number, found }).await;
        });
    }
}

/// The file of a keyset that is watched.
fn watched(rules: &model::Issuer, node: &Node) -> Option<Watched> {
    match &rules.keys {
        Keys::Watch { path } => Some(Watched::new(vec![watched_path(path, &node.base)])),
        Keys::Pinned { .. } | Keys::Url(_) | Keys::Discovery(_) | Keys::None => None,
    }
}

fn now_ms() -> u64 {
    clock::unix_ns() / NS_PER_MS
}

/// Any number; the same one each time where the system gives none, which spreads nothing and harms nothing.
fn chance() -> u32 {
    getrandom::u32().unwrap_or_default()
}

impl Watcher {
    pub(super) fn look_at_keysets(&mut self) {
        let frozen = Arc::clone(self.start.activator.frozen());
        let start = &mut self.start;
        for ((rules, watched), slot) in
            frozen.policy.issuers.iter().zip(&mut self.keysets.files).zip(&mut start.parts.issuers)
        {
            let Some(watched) = watched.as_mut() else { continue };
            let why = watched.why();
            if !watched.changed() {
                continue;
            }
            let now_s = clock::unix_s();
            let shown = keysets::source_of(rules, &start.node);
            let (status, records) = (&start.status, &start.records);
            let moved = KeysetMove { issuer: &rules.name, source: &shown, why, status, records };
            match keysets::read(rules, &start.node, now_s) {
                Ok(read) if read.issuer.digest() == slot.digest() => confirm_keyset(&moved, now_s, (None, None)),
                Ok(read) => {
                    let moved = KeysetMove { why: why.of_change(), ..moved };
                    take_keyset(&moved, slot, &read.issuer, read.status);
                    *slot = read.issuer;
                    self.changed = true;
                }
                Err(error) => {
                    let told = error.to_string();
                    if watched.is_news(error.is_unread(), &told) {
                        refuse_keyset(&moved, Outcome::Refused(&told), None);
                    }
                }
            }
        }
    }

    /// Starts what is due or asked for, and gives up what is too old.
    fn move_keysets(&mut self) {
        let now_ms = now_ms();
        for (of, slot) in self.keysets.fetched.iter_mut().zip(&mut self.start.parts.issuers) {
            let Some(of) = of else { continue };
            if slot.keyset().is_some() && of.schedule.is_stale(now_ms) {
                *slot = Arc::new(Issuer::stale(of.rules.clone()));
                self.changed = true;
                let source = of.source.shown();
                let (status, records) = (&self.start.status, &self.start.records);
                let moved = KeysetMove { issuer: &of.rules.name, source: &source, why: Why::Expiry, status, records };
                refuse_keyset(&moved, Outcome::Stale, None);
            }
            if of.schedule.takes_asks(now_ms) {
                slot.ask().open();
            }
            let wanted = slot.ask().is_wanted().then(|| if slot.is_stale() { Why::Expiry } else { Why::UnknownKid });
            if of.schedule.begin(now_ms, wanted).is_some() {
                of.start(&self.keysets.done, slot.keyset().is_some());
            }
        }
    }

    /// Takes what has ended, gives up what is over, begins what is due, and puts before the workers what is new.
    pub(super) fn take_keysets(&mut self, done: Option<Done>) {
        // What could not be published is tried again at the tick.
        let waits = self.changed;
        for of in self.keysets.fetched.iter_mut().flatten() {
            let now_ms = now_ms();
            if of.schedule.follow(now_ms) > 0 {
                of.gone.put_back(now_ms);
                if let Some(shown) = self.start.status.moving().keysets.get_mut(&of.rules.name) {
                    (shown.next_unix_s, shown.stale_unix_s) = times(&of.schedule);
                }
            }
        }
        done.into_iter().for_each(|done| self.take_fetched(done));
        self.move_keysets();
        if self.changed && !waits {
            self.publish();
        }
    }

    /// Takes what a fetch found, or leaves the old in place.
    fn take_fetched(&mut self, done: Done) {
        let start = &mut self.start;
        let all = self.keysets.fetched.iter_mut().zip(&mut start.parts.issuers);
        let mut all = all.filter_map(|(of, slot)| Some((of.as_mut()?, slot)));
        let Some((of, slot)) = all.find(|(of, _)| of.number == done.number) else { return };
        if slot.keyset().is_none() && matches!(done.found, Ok(Found::Unchanged { .. })) {
            // The one that it is was given up meanwhile: this time it is asked for whole.
            of.known = None;
            return of.schedule.again();
        }
        let (now_ms, now_s, seen_ms) = (now_ms(), clock::unix_s(), of.schedule.success_ms());
        let source = of.source.shown();
        let judged = judge(done.found, of, slot, &source, now_ms);
        let why = match &judged {
            Judged::Unchanged { max_age_s, .. } | Judged::New { max_age_s, .. } => {
                of.schedule.succeeded(now_ms, *max_age_s, chance())
            }
            Judged::Bad { .. } => of.schedule.failed(now_ms, chance()),
        };
        let (status, records) = (&start.status, &start.records);
        let moved = KeysetMove { issuer: &of.rules.name, source: &source, why, status, records };
        let times = times(&of.schedule);
        let keep = |jwks: &str, digest: &[u8; 32], gone: &Gone| {
            let Some(state) = &start.node.state else { return };
            if let Err(error) = kept::save(state, &of.rules, &source, (jwks, digest), gone, now_s) {
                crate::error!("issuer \"{}\": the keyset is not kept for a restart: {error}", of.rules.name);
            }
        };
        match judged {
            Judged::Unchanged { again, .. } => {
                if let Some((jwks, known)) = again {
                    (of.jwks, of.known) = (jwks, known);
                }
                if let Some(keyset) = slot.keyset() {
                    keep(&of.jwks, &keyset.digest(), &of.gone);
                }
                confirm_keyset(&moved, now_s, times);
                slot.ask().answer();
            }
            Judged::New { read, jwks, known, .. } => {
                let status =
                    crate::status::KeysetStatus { next_unix_s: times.0, stale_unix_s: times.1, ..read.status.clone() };
                keysets::tell_notes(&read);
                take_keyset(&moved, slot, &read.issuer, status);
                if let Some(keyset) = read.issuer.keyset() {
                    let before = slot.keyset().zip(seen_ms);
                    before.into_iter().for_each(|(before, seen_ms)| of.gone.note(before, keyset, seen_ms));
                    keep(&jwks, &keyset.digest(), &of.gone);
                }
                (of.jwks, of.known) = (jwks, known);
                *slot = read.issuer;
                self.changed = true;
            }
            Judged::Bad { why, refused } => {
                let outcome = if refused { Outcome::Refused(&why) } else { Outcome::Failed(&why) };
                refuse_keyset(&moved, outcome, times.0);
                slot.ask().answer();
            }
        }
    }
}

/// When it is fetched next and when it is too old, as they are shown: seconds since the Unix epoch.
fn times(schedule: &Schedule) -> (Option<u64>, Option<u64>) {
    (Some(schedule.next_ms() / 1_000), schedule.stale_ms().map(|ms| ms / 1_000))
}

/// What a fetch comes to.
enum Judged {
    /// With its text where it was sent again.
    Unchanged {
        again: Option<(String, Option<Known>)>,
        max_age_s: Option<u64>,
    },
    New {
        read: Box<Read>,
        jwks: String,
        known: Option<Known>,
        max_age_s: Option<u64>,
    },
    Bad {
        why: String,
        refused: bool,
    },
}

fn judge(found: Result<Found, FetchFault>, of: &Fetching, present: &Issuer, source: &str, now_ms: u64) -> Judged {
    let rules = &of.rules;
    let (bytes, known, max_age_s) = match found {
        Ok(Found::Unchanged { max_age_s }) => return Judged::Unchanged { again: None, max_age_s },
        Ok(Found::Keys { bytes, known, max_age_s }) => (bytes, known, max_age_s),
        Err(fault) => {
            let why = format!("issuer \"{}\": {fault}", rules.name);
            return Judged::Bad { why, refused: fault.is_refusal() };
        }
    };
    let read = match keysets::from_bytes(rules, &bytes, source, now_ms / 1_000) {
        Ok(read) => read,
        Err(error) => return Judged::Bad { why: error.to_string(), refused: true },
    };
    let jwks = String::from_utf8_lossy(&bytes).into_owned();
    if read.issuer.digest() == present.digest() {
        return Judged::Unchanged { again: Some((jwks, known)), max_age_s };
    }
    let within_ms = bounds_of(&rules.keys).map_or(0, |bounds| u64::from(bounds.max_stale_s) * 1_000);
    let reused = read.issuer.keyset().and_then(|next| {
        let of_present = present.keyset().and_then(|before| next.reuses_kid_of(before));
        of_present.or_else(|| of.gone.reused(next, now_ms, within_ms))
    });
    match reused {
        Some(kid) => Judged::Bad {
            why: format!(
                "issuer \"{}\": {source}: the `kid` {kid:?} stands for another key than before: expected each key to have \
                 its own (the old keyset counts until it is stale)",
                rules.name
            ),
            refused: true,
        },
        None => Judged::New { read: Box::new(read), jwks, known, max_age_s },
    }
}
