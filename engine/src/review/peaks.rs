//! How near each limit came to its end: arrivals within the time that it takes to refill.
//!
//! A bucket of B that refills in T (B × interval) never refuses a stream that has at most B arrivals in any T: over k
//! whole spans and a rest it takes at most (k + 1) B and gets k B back and the rest's share. So the most arrivals in any
//! T is what a bucket of the same T needs. It is counted in parts of T, over one part more than T has: never too low.

use std::collections::HashMap;

use policy::hash::limit_stable_id;
use policy::model::{Limit, LimitKind};
use policy::rate::Gcra;
use policy_evaluate::{Claim, Counter, Counters};

use super::bounds::{LIMIT_SUBJECTS_MAX, PEAK_PARTS};
use super::names::kept_bytes;
use super::scan::Window;

const NS_PER_S: u64 = 1_000_000_000;
const RING: usize = PEAK_PARTS as usize + 1;
/// Of a quota's state: requests charged to the window.
const QUOTA_COUNT_BITS: u32 = 32;

/// What is known of one limit.
#[derive(Debug, Default)]
pub struct Peak {
    /// Most arrivals of one subject (or of the agent) in one span.
    pub most: u64,
    /// Requests that were charged.
    pub charged: u64,
    /// Requests that it refused.
    pub refused: u64,
    /// Too many subjects to count, or it had no place for one: nothing is known.
    pub unknown: bool,
    arrivals: HashMap<Box<[u8]>, Ring>,
}

/// Arrivals in the last parts of a span.
#[derive(Clone, Copy, Debug, Default)]
struct Ring {
    latest: u64,
    counts: [u32; RING],
}

/// Counts what is charged; as counters it refuses nothing.
#[derive(Debug, Default)]
pub struct Peaks {
    spans: HashMap<u64, Span>,
    pub peaks: HashMap<u64, Peak>,
    now_ns: u64,
    charging: bool,
    states: Vec<(String, Option<u64>)>,
}

/// What counts as together.
#[derive(Clone, Copy, Debug)]
enum Span {
    /// The time that a full bucket takes to refill, in parts of so many nanoseconds.
    Rate { part_ns: u64, interval_ns: u64 },
    /// A window of UTC, nanoseconds.
    Quota { window_ns: u64 },
}

impl Peaks {
    pub fn new<'l>(limits: impl Iterator<Item = (&'l str, &'l Limit)>) -> Self {
        let spans = limits.map(|(agent, limit)| (limit_stable_id(agent, &limit.name), span(limit))).collect();
        Self { spans, ..Self::default() }
    }

    /// The next exchange: whether it was charged, and the states that its record tells.
    pub fn begin(&mut self, now_ns: u64, charging: bool, states: &[(String, Option<u64>)]) {
        (self.now_ns, self.charging) = (now_ns, charging);
        self.states.clear();
        self.states.extend_from_slice(states);
    }

    pub fn refused(&mut self, agent: &str, limit: &str) {
        self.peaks.entry(limit_stable_id(agent, limit)).or_default().refused += 1;
    }

    pub fn of(&self, agent: &str, limit: &str) -> Option<&Peak> {
        self.peaks.get(&limit_stable_id(agent, limit))
    }

    /// Arrivals that follow are counted by other counters.
    pub fn forget_arrivals(&mut self) {
        self.peaks.values_mut().for_each(|peak| peak.arrivals.clear());
    }
}

/// Whether `covered` holds a whole window of the limit: less of it shows no peak.
pub fn holds_one(covered: Window, limit: &Limit) -> bool {
    let Window { since_ns, until_ns } = covered;
    match span(limit) {
        Span::Quota { window_ns } => since_ns.next_multiple_of(window_ns).saturating_add(window_ns) <= until_ns,
        Span::Rate { part_ns, .. } => since_ns.saturating_add(part_ns.saturating_mul(PEAK_PARTS)) <= until_ns,
    }
}

/// How long a full bucket takes to refill, or a quota's window is; nanoseconds.
fn span(limit: &Limit) -> Span {
    match limit.kind {
        LimitKind::Quota => Span::Quota { window_ns: u64::from(limit.unit.seconds()) * NS_PER_S },
        LimitKind::Rate { burst } => {
            let interval_ns = Gcra::new(limit.count, limit.unit.seconds(), burst).emission_interval_ns.max(1);
            let span_ns = interval_ns.saturating_mul(u64::from(burst));
            Span::Rate { part_ns: span_ns.div_ceil(PEAK_PARTS).max(1), interval_ns }
        }
    }
}

impl Span {
    const fn part_ns(self) -> u64 {
        match self {
            Self::Rate { part_ns, .. } => part_ns,
            Self::Quota { window_ns } => window_ns,
        }
    }

    /// Requests that a state before the charge holds, and this one.
    fn used(self, state: u64, now_ns: u64) -> u64 {
        match self {
            Self::Rate { interval_ns, .. } => state.saturating_sub(now_ns).div_ceil(interval_ns) + 1,
            Self::Quota { window_ns } if state >> QUOTA_COUNT_BITS == now_ns / window_ns.max(1) => {
                (state & u64::from(u32::MAX)) + 1
            }
            Self::Quota { .. } => 1,
        }
    }
}

impl Ring {
    /// One more arrival; how many there are in the span now.
    fn add(&mut self, part: u64, only_this: bool) -> u64 {
        // One that comes late counts as now: it was held back as long as it could be.
        let part = part.max(self.latest);
        let passed = part - self.latest;
        let index = |part: u64| usize::try_from(part % RING as u64).unwrap_or(0);
        for step in 1..=passed.min(RING as u64) {
            if let Some(count) = self.counts.get_mut(index(self.latest + step)) {
                *count = 0;
            }
        }
        self.latest = part;
        let Some(count) = self.counts.get_mut(index(part)) else { return 0 };
        *count = count.saturating_add(1);
        if only_this { u64::from(*count) } else { self.counts.iter().copied().map(u64::from).sum() }
    }
}

impl Peak {
    fn arrival(&mut self, subject: &[u8], span: Span, now_ns: u64) {
        let part = now_ns / span.part_ns();
        let only_this = matches!(span, Span::Quota { .. });
        let subject = kept_bytes(subject);
        if let Some(ring) = self.arrivals.get_mut(&*subject) {
            self.most = self.most.max(ring.add(part, only_this));
            return;
        }
        if self.arrivals.len() >= LIMIT_SUBJECTS_MAX {
            self.arrivals.retain(|_, ring| ring.latest + RING as u64 > part);
            if self.arrivals.len() >= LIMIT_SUBJECTS_MAX {
                self.unknown = true;
                return;
            }
        }
        let mut ring = Ring { latest: part, ..Ring::default() };
        self.most = self.most.max(ring.add(part, only_this));
        self.arrivals.insert(subject.into_owned().into(), ring);
    }
}

impl Counters for Peaks {
    fn peek(&mut self, _counter: &Counter<'_>) -> Option<u64> {
        Some(0)
    }

    fn claim(&mut self, _counter: &Counter<'_>, _now_ns: u64) -> Claim {
        Claim::Own(0)
    }

    fn keep(&mut self, counter: &Counter<'_>, _claim: Claim) {
        let id = limit_stable_id(counter.agent, counter.limit);
        let Some(span) = self.spans.get(&id).copied().filter(|_| self.charging) else { return };
        let state = self.states.iter().find(|(limit, _)| limit == counter.limit).map(|(_, state)| *state);
        let peak = self.peaks.entry(id).or_default();
        peak.charged += 1;
        match state {
            Some(None) => peak.unknown = true,
            Some(Some(state)) => peak.most = peak.most.max(span.used(state, self.now_ns)),
            None => {}
        }
        peak.arrival(counter.subject, span, self.now_ns);
    }
}
