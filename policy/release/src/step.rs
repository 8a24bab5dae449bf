//! Where the version of a release stands to the highest before it, and who must sign for that.

use crate::bounds::VERSION_STEP_MAX;
use crate::envelope::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not above it.
    Back,
    Next,
    /// More than [`VERSION_STEP_MAX`] above it: versions end, and every later release would count as older.
    Jump,
}

impl Step {
    /// `highest`: accepted so far, as far as is known.
    pub const fn of(version: u64, highest: u64) -> Self {
        if version <= highest {
            Self::Back
        } else if version > highest.saturating_add(VERSION_STEP_MAX) {
            Self::Jump
        } else {
            Self::Next
        }
    }

    /// Who must sign the release. `needs_wider`: what it changes is not proven to allow nothing new.
    pub const fn role(self, needs_wider: bool) -> Role {
        match self {
            Self::Back | Self::Next if !needs_wider => Role::ReleaseNarrower,
            Self::Back | Self::Next | Self::Jump => Role::ReleaseWider,
        }
    }

    /// Whether `release-wider` must sign the pointer too. The signatures of an older release were given for another time:
    /// the pointer role alone must not bring back what was taken away.
    pub const fn leads_back(self, needs_wider: bool) -> bool {
        needs_wider && matches!(self, Self::Back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::INTEGER_MAX;

    #[test]
    fn a_version_is_behind_next_or_too_far_ahead() {
        let far = 7 + VERSION_STEP_MAX;
        for (version, expected) in
            [(1, Step::Back), (7, Step::Back), (8, Step::Next), (far, Step::Next), (far + 1, Step::Jump)]
        {
            assert_eq!(Step::of(version, 7), expected, "{version}");
        }
        assert_eq!(Step::of(INTEGER_MAX, u64::MAX), Step::Back);
    }

    #[test]
    fn a_jump_needs_the_wider_role_whatever_it_changes_and_a_way_back_on_the_pointer_too() {
        let needs = |step: Step| [false, true].map(|wider| (step.role(wider), step.leads_back(wider)));
        let (narrower, wider) = (Role::ReleaseNarrower, Role::ReleaseWider);
        assert_eq!(needs(Step::Next), [(narrower, false), (wider, false)]);
        assert_eq!(needs(Step::Jump), [(wider, false), (wider, false)]);
        assert_eq!(needs(Step::Back), [(narrower, false), (wider, true)]);
    }
}
