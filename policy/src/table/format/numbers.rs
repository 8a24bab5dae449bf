//! The numbers of limits, which stand in the agent's own line where they are few.

use super::{Agent, Limit};

/// What charging a limit needs of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitNumbers {
    pub interval: u64,
    pub count: u32,
    pub subjects_max: u32,
    pub kind: u8,
    pub per: u8,
}

impl Agent {
    /// Limits whose numbers stand in the record itself.
    pub const LIMITS_INSIDE: usize = 2;

    /// The numbers that stand in the record.
    pub fn limits_inside(&self) -> [LimitNumbers; Self::LIMITS_INSIDE] {
        [self.first_inside(), self.second_inside()]
    }

    /// One of them, chosen without writing them down.
    #[inline(always)]
    pub fn limit_inside(&self, place: u32) -> Option<LimitNumbers> {
        match place {
            0 => Some(self.first_inside()),
            1 => Some(self.second_inside()),
            _ => None,
        }
    }

    #[inline(always)]
    fn first_inside(&self) -> LimitNumbers {
        LimitNumbers {
            interval: self.first_interval,
            count: self.first_count,
            subjects_max: self.first_subjects_max,
            kind: self.first_kind,
            per: self.first_per,
        }
    }

    #[inline(always)]
    fn second_inside(&self) -> LimitNumbers {
        LimitNumbers {
            interval: self.second_interval,
            count: self.second_count,
            subjects_max: self.second_subjects_max,
            kind: self.second_kind,
            per: self.second_per,
        }
    }

    /// The same record with these numbers.
    pub fn with_limits_inside(self, [first, second]: [LimitNumbers; Self::LIMITS_INSIDE]) -> Self {
        Self {
            first_interval: first.interval,
            first_count: first.count,
            first_subjects_max: first.subjects_max,
            first_kind: first.kind,
            first_per: first.per,
            second_interval: second.interval,
            second_count: second.count,
            second_subjects_max: second.subjects_max,
            second_kind: second.kind,
            second_per: second.per,
            ..self
        }
    }
}

impl Limit {
    pub fn numbers(&self) -> LimitNumbers {
        let Self { interval, count, subjects_max, kind, per, .. } = *self;
        LimitNumbers { interval, count, subjects_max, kind, per }
    }
}
