//! The rate step: what one limit says to one request, as a pure function of its state and the time.
//!
//! A state is one `u64`, so that one atomic word holds it; 0 is a limit that nobody has used. A step gives the state
//! afterwards, which equals the state before when the request is refused. Both kinds keep their promise for every
//! order of clock readings, so workers whose cached clocks differ may share a state: see `gcra` and `quota`.

use crate::table::LimitKind;

/// The largest state that a step gives: the values above are free for whoever keeps states to mark words with.
pub const STATE_MAX: u64 = u64::MAX - 2;

const NS_PER_S: u64 = 1_000_000_000;
/// A quota state: window number in the upper half, requests charged to it in the lower.
const COUNT_BITS: u32 = 32;
/// Windows after this one count as this one (windows of one second: the year 2106), so that a state fits.
const WINDOW_MAX: u64 = u32::MAX as u64 - 1;

/// A bucket of `burst` requests refilled by one each `emission_interval_ns` (GCRA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    pub emission_interval_ns: u64,
    pub burst: u32,
}

/// An exact count in each UTC window of `window_s` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub window_s: u32,
    pub count: u32,
}

/// What a limit says to one request. `remaining`, `wait_ns` and `reset_ns` describe the state after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub admitted: bool,
    /// Further requests that would be admitted at the same moment.
    pub remaining: u32,
    /// Nanoseconds until the next request is admitted if no other comes before, and not one sooner: 0 is at once,
    /// `u64::MAX` never.
    pub wait_ns: u64,
    /// Nanoseconds until the limit is as if nobody had used it: the bucket is full, the window over.
    pub reset_ns: u64,
}

impl Verdict {
    /// What a limit says that can admit nothing, whatever the time.
    pub const NEVER: Self = Self { admitted: false, remaining: 0, wait_ns: u64::MAX, reset_ns: u64::MAX };
}

impl Gcra {
    /// `count` requests per `unit_s` seconds. The interval is rounded up to whole nanoseconds, so that a unit never
    /// holds more than `count` intervals.
    pub const fn new(count: u32, unit_s: u32, burst: u32) -> Self {
        let count = if count == 0 { 1 } else { count as u64 };
        Self { emission_interval_ns: (unit_s as u64 * NS_PER_S).div_ceil(count), burst }
    }

    fn interval_ns(self) -> u64 {
        self.emission_interval_ns.max(1)
    }

    /// How far ahead of now the theoretical arrival time may be: the whole bucket, in nanoseconds.
    fn bucket_ns(self) -> u64 {
        self.interval_ns().saturating_mul(u64::from(self.burst))
    }
}

impl Quota {
    fn window_s(self) -> u64 {
        u64::from(self.window_s.max(1))
    }

    fn window_at(self, now_s: u64) -> u64 {
        (now_s / self.window_s()).min(WINDOW_MAX)
    }
}

/// The generic cell rate algorithm (ITU-T I.371 annex A, virtual scheduling) with integer nanoseconds.
///
/// `state` is the theoretical arrival time: when the bucket will be full again, in ns since the Unix epoch. Among all
/// requests whose `now_ns` lies within any `w` ns, in whatever order they were charged, at most
/// `burst + w / emission_interval_ns` are admitted: the first leaves the state at least one interval past the start
/// of the `w`, each further one adds at least an interval, and none may leave it beyond the end plus the bucket.
#[inline(always)]
pub fn gcra(state: u64, now_ns: u64, spec: Gcra) -> (u64, Verdict) {
    let (interval_ns, bucket_ns) = (spec.interval_ns(), spec.bucket_ns());
    let charged = state.max(now_ns).checked_add(interval_ns).filter(|&at| at <= STATE_MAX);
    let admitted = charged.filter(|at| at - now_ns <= bucket_ns);
    let after = admitted.unwrap_or(state);
    let used_ns = after.saturating_sub(now_ns);
    let left_ns = bucket_ns.saturating_sub(used_ns);
    let wait_ns = match after.max(now_ns).checked_add(interval_ns) {
        Some(next) if spec.burst > 0 && next <= STATE_MAX => (next - now_ns).saturating_sub(bucket_ns),
        _ => u64::MAX,
    };
    let remaining = u32::try_from(left_ns / interval_ns).unwrap_or(u32::MAX);
    (after, Verdict { admitted: admitted.is_some(), remaining, wait_ns, reset_ns: used_ns })
}

/// An exact count in each window of UTC, by whole seconds.
///
/// `state` packs the latest window charged and the count charged to it. For every window, at most `count` requests
/// whose `now_s` lies in it are admitted, whatever order they come in: a request whose clock is still in a window
/// that another one has left is refused, and told to wait for the newer window (or, if that is used up, its end).
#[inline(always)]
pub fn quota(state: u64, now_s: u64, spec: Quota) -> (u64, Verdict) {
    let now = spec.window_at(now_s);
    let (latest, charged) = (state >> COUNT_BITS, state & u64::from(u32::MAX));
    let until_ns = |window: u64| window.saturating_mul(spec.window_s()).saturating_sub(now_s).saturating_mul(NS_PER_S);
    if now < latest {
        let reset_ns = until_ns(latest.saturating_add(1));
        let wait_ns = match u64::from(spec.count) {
            0 => u64::MAX,
            count if charged >= count => reset_ns,
            _ => until_ns(latest),
        };
        return (state, Verdict { admitted: false, remaining: 0, wait_ns, reset_ns });
    }
    let charged = if now == latest { charged } else { 0 };
    let count = u64::from(spec.count);
    let admitted = charged < count;
    let total = charged + u64::from(admitted);
    let after = if admitted { (now << COUNT_BITS) | total } else { state };
    let remaining = u32::try_from(count.saturating_sub(total)).unwrap_or(u32::MAX);
    let end_ns = if now == WINDOW_MAX { u64::MAX } else { until_ns(now + 1) };
    let wait_ns = match remaining {
        _ if spec.count == 0 => u64::MAX,
        0 => end_ns,
        _ => 0,
    };
    (after, Verdict { admitted, remaining, wait_ns, reset_ns: end_ns })
}

/// One request against a limit of either kind, at `now_ns` since the Unix epoch.
#[inline(always)]
pub fn step(state: u64, now_ns: u64, kind: LimitKind) -> (u64, Verdict) {
    match kind {
        LimitKind::Gcra(spec) => gcra(state, now_ns, spec),
        LimitKind::Quota(spec) => {
            let (after, mut verdict) = quota(state, now_ns / NS_PER_S, spec);
            let into_second_ns = now_ns % NS_PER_S;
            for ns in [&mut verdict.wait_ns, &mut verdict.reset_ns] {
                if *ns != u64::MAX {
                    *ns = ns.saturating_sub(into_second_ns);
                }
            }
            (after, verdict)
        }
    }
}

/// The state after a charge is returned, or none if it cannot be returned without letting one request too many in.
///
/// `before` and `after` are the states around the charge, `current` is the state now. A bucket's charge can be
/// returned only while nobody has charged after it: once time has passed the state, a charge is part of no sum any
/// more. A quota's can be returned within its window.
pub fn returned(current: u64, before: u64, after: u64, kind: LimitKind) -> Option<u64> {
    match kind {
        LimitKind::Gcra(_) => (current == after).then_some(before),
        LimitKind::Quota(_) => {
            let same_window = current >> COUNT_BITS == after >> COUNT_BITS;
            (same_window && current & u64::from(u32::MAX) > 0).then(|| current - 1)
        }
    }
}

/// Whether a state is as good as unused for every clock that reads `now_ns` or later.
pub fn is_idle(state: u64, now_ns: u64, kind: Kept) -> bool {
    match kind {
        Kept::Gcra => state <= now_ns,
        Kept::Quota { window_s } => state >> COUNT_BITS < Quota { window_s, count: 0 }.window_at(now_ns / NS_PER_S),
    }
}

/// The state that a limit of kind `kind` at `now_ns` could itself have given and that admits no more than `state`:
/// an edit of a limit's numbers, or a clock that was wrong, may leave a state that would refuse for far too long.
/// `skew_ns` is how far ahead of `now_ns` the clock of another worker may be.
pub fn clamped(state: u64, now_ns: u64, skew_ns: u64, kind: LimitKind) -> u64 {
    let latest_ns = now_ns.saturating_add(skew_ns);
    match kind {
        LimitKind::Gcra(spec) => state.min(latest_ns.saturating_add(spec.bucket_ns()).min(STATE_MAX)),
        LimitKind::Quota(spec) => {
            let window = spec.window_at(latest_ns / NS_PER_S);
            if state >> COUNT_BITS > window { (window << COUNT_BITS) | (state & u64::from(u32::MAX)) } else { state }
        }
    }
}

/// What of a limit's kind gives its states their meaning: states of the same `Kept` may be carried from one set of
/// numbers to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kept {
    Gcra,
    Quota { window_s: u32 },
}

impl From<LimitKind> for Kept {
    fn from(kind: LimitKind) -> Self {
        match kind {
            LimitKind::Gcra(_) => Self::Gcra,
            LimitKind::Quota(spec) => Self::Quota { window_s: spec.window_s },
        }
    }
}

#[cfg(test)]
mod tests;
