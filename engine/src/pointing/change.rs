//! What a release changes in the one that the channel runs: which role a gateway will ask for. Each gateway decides by
//! the release that it accepted last itself.

use std::fmt;

use policy::table::Table;
use policy_diff::{Counts, Diff, Side};
use policy_release::bounds::VERSION_STEP_MAX;
use policy_release::candidate::Release;
use policy_release::envelope::Role;

use super::Desk;
use super::base::Base;
use super::versions;
use crate::commands::signing::plural;
use crate::failure::Failure;

/// Of what needs the wider role, so much is named.
const NAMED_MAX: usize = 3;

pub enum Change {
    /// The channel runs nothing yet.
    First,
    /// Gateways of the channel serve it already, as far as the store shows.
    Same,
    Compared {
        diff: Box<Diff>,
        base: Box<Base>,
        /// The highest version known, where that of the release is far above it.
        jumped: Option<u64>,
    },
    /// The release that the channel runs cannot be read.
    Unknown(String),
}

impl Change {
    /// `table` is that of the release.
    pub fn of<B: AsRef<[u8]>>(desk: &Desk, release: &Release, table: &Table<B>) -> Result<Self, Failure> {
        if let Some(why) = desk.current.doubt() {
            return Ok(Self::Unknown(format!("the present pointer is not believed: {why}")));
        }
        let Some(current) = desk.current.pointer() else { return Ok(Self::First) };
        let base = match Base::find(desk, &current.release) {
            Ok(base) if base.digest == release.digest => return Ok(Self::Same),
            Ok(base) => base,
            Err(why) => return Ok(Self::Unknown(why)),
        };
        let (old, new) = (base.side(), Side { policy: &release.policy, table });
        let diff = Box::new(policy_diff::diff(old, new));
        let jumped = versions::jumped(desk, &base, release.digest, release.version)?;
        Ok(Self::Compared { diff, base: Box::new(base), jumped })
    }

    /// Whether it may allow what the release that the channel runs does not.
    pub fn allows_more(&self) -> bool {
        match self {
            Self::Same => false,
            Self::Compared { diff, .. } => diff.needs_wider(),
            Self::First | Self::Unknown(_) => true,
        }
    }

    /// Why the wider role is needed, where nothing of the change allows more.
    pub fn why_wider(&self) -> Option<String> {
        let Self::Compared { diff, .. } = self else { return None };
        if !diff.needs_wider() || diff.verdict.is_wider() {
            return None;
        }
        let settings = diff.settings.iter().filter(|change| change.needs_wider);
        let settings = settings.map(|change| format!("{} {}", change.kind, change.name));
        let limits = diff.limits.iter().filter(|change| change.needs_wider).flat_map(|change| change.agents.iter());
        let mut names: Vec<String> = settings.chain(limits.map(|agent| format!("a limit of {agent}"))).collect();
        names.dedup();
        let named = match names.split_at_checked(NAMED_MAX) {
            Some((first, rest)) if !rest.is_empty() => format!("{} and {} more change", first.join(", "), rest.len()),
            _ if names.len() > 1 => format!("{} change", names.join(", ")),
            _ => format!("{} changes", names.first().map_or("something", String::as_str)),
        };
        Some(format!("{named}, which needs it whatever its direction"))
    }

    /// The role that a gateway asks for when it serves what the channel runs.
    pub fn role(&self) -> Role {
        match self {
            Self::Same => Role::ReleaseNarrower,
            Self::Compared { diff, jumped: None, .. } if !diff.needs_wider() => Role::ReleaseNarrower,
            Self::First | Self::Compared { .. } | Self::Unknown(_) => Role::ReleaseWider,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("the channel has no release yet"),
            Self::Same => f.write_str("the same release: the channel points at it already"),
            Self::Unknown(why) => write!(f, "not known, so the wider role is needed: {why}"),
            Self::Compared { diff, base, jumped } => {
                let Counts { allowed, refused, identities, limits, settings } = diff.counts;
                write!(f, "{}: {allowed} newly allowed, {refused} newly refused", diff.verdict.name())?;
                if identities > 0 {
                    write!(f, ", {} under another name", plural(identities, "caller"))?;
                }
                for (count, noun) in [(limits, "limit"), (settings, "setting")] {
                    if count > 0 {
                        write!(f, ", {} changed", plural(count, noun))?;
                    }
                }
                f.write_str("; adamant diff shows each")?;
                if let Some(highest) = jumped {
                    write!(
                        f,
                        "\n           its version is more than {VERSION_STEP_MAX} above {highest}, the highest known: \
                         that needs the wider role"
                    )?;
                }
                if base.behind {
                    write!(
                        f,
                        "\n           compared with version {} ({}): what the channel points at lacks signatures",
                        base.version, base.digest
                    )?;
                }
                Ok(())
            }
        }
    }
}
