//! One request charged for all limits of an agent, or for none: what `activation::counters::Slots` does, on one thread.

use policy::rate::{Verdict, returned, step};
use policy::table::{AgentId, LimitEntry, LimitKind, Table};

use crate::counters::{Claim, Counter, Counters};

/// What a limit was asked and what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub limit: LimitEntry,
    /// None: there was no place for one more subject.
    pub before: Option<u64>,
    /// The same as before where the request is not charged.
    pub after: u64,
    pub verdict: Verdict,
}

/// What a charge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    /// In the order of the limits; of a refused request perhaps not all.
    pub looks: Vec<Look>,
    /// Place in `looks` of the one that refused; of several, the one that will longest.
    pub refused: Option<usize>,
}

pub(crate) fn charge<B: AsRef<[u8]>>(
    table: &Table<B>,
    agent: AgentId,
    subject: Option<&[u8]>,
    now_ns: u64,
    counters: &mut dyn Counters,
) -> Charged {
    let asked = Asked { table, agent: table.agent_name(agent), subject: subject.unwrap_or_default(), now_ns };
    let limits: Vec<LimitEntry> = table.limits(agent).collect();
    if limits.len() > 1 {
        let peeked = asked.peek_all(&limits, counters);
        if peeked.refused.is_some() {
            return peeked;
        }
    }
    asked.charge_all(&limits, counters)
}

struct Asked<'a, B> {
    table: &'a Table<B>,
    agent: &'a str,
    subject: &'a [u8],
    now_ns: u64,
}

impl<B: AsRef<[u8]>> Asked<'_, B> {
    fn counter(&self, limit: &LimitEntry) -> Counter<'_> {
        let subject = if matches!(limit.per, policy::model::Per::Agent) { &[] } else { self.subject };
        Counter {
            agent: self.agent,
            limit: self.table.limit_name(limit.index),
            kind: limit.kind,
            per: limit.per,
            subject,
        }
    }

    fn peek_all(&self, limits: &[LimitEntry], counters: &mut dyn Counters) -> Charged {
        let mut looks: Vec<Look> = Vec::with_capacity(limits.len());
        let mut refused: Option<usize> = None;
        for limit in limits {
            let Some(before) = counters.peek(&self.counter(limit)) else { continue };
            let (_, verdict) = step(before, self.now_ns, limit.kind);
            let worst_ns = refused.and_then(|at| looks.get(at)).map(|look| look.verdict.wait_ns);
            if !verdict.admitted && worst_ns.is_none_or(|worst_ns| verdict.wait_ns > worst_ns) {
                refused = Some(looks.len());
            }
            looks.push(Look { limit: *limit, before: Some(before), after: before, verdict });
        }
        Charged { looks, refused }
    }

    fn charge_all(&self, limits: &[LimitEntry], counters: &mut dyn Counters) -> Charged {
        let mut looks: Vec<Look> = Vec::with_capacity(limits.len());
        let mut claims: Vec<Claim> = Vec::with_capacity(limits.len());
        let mut refused = None;
        for limit in limits {
            let counter = self.counter(limit);
            let claim = counters.claim(&counter, self.now_ns);
            let (Claim::Own(before) | Claim::Overflow(before)) = claim else {
                looks.push(Look { limit: *limit, before: None, after: 0, verdict: full(self.now_ns, limit.kind) });
                refused = Some(claims.len());
                break;
            };
            let (after, verdict) = step(before, self.now_ns, limit.kind);
            looks.push(Look { limit: *limit, before: Some(before), after, verdict });
            if !verdict.admitted {
                refused = Some(claims.len());
                break;
            }
            counters.keep(&counter, claim.with(after));
            claims.push(claim);
        }
        if refused.is_some() {
            for (look, claim) in looks.iter_mut().zip(claims).rev() {
                let before = look.before.unwrap_or(0);
                if let Some(earlier) = returned(look.after, before, look.after, look.limit.kind) {
                    counters.keep(&self.counter(&look.limit), claim.with(earlier));
                    look.after = earlier;
                }
            }
        }
        Charged { looks, refused }
    }
}

impl Claim {
    fn with(self, state: u64) -> Self {
        match self {
            Self::Own(_) => Self::Own(state),
            Self::Overflow(_) => Self::Overflow(state),
            Self::Full => Self::Full,
        }
    }
}

/// What a limit without a free place says: come back when an entry that is made now would be idle again.
fn full(now_ns: u64, kind: LimitKind) -> Verdict {
    let (_, fresh) = step(0, now_ns, kind);
    Verdict { admitted: false, remaining: 0, wait_ns: fresh.reset_ns.max(1), reset_ns: fresh.reset_ns.max(1) }
}
