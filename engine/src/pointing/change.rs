//! What a release changes in the one that the channel runs: which role a gateway will ask for. Each gateway decides by
//! the release that it accepted last itself.

use std::fmt;

use policy_diff::{Counts, Diff, Side};
use policy_release::candidate::Release;
use policy_release::envelope::Role;

use super::Desk;
use super::base::{self, Base};
use crate::commands::signing::plural;

pub enum Change {
    /// The channel runs nothing yet.
    First,
    /// Gateways of the channel serve it already, as far as the store shows.
    Same,
    Compared {
        diff: Box<Diff>,
        base: Box<Base>,
    },
    /// The release that the channel runs cannot be read.
    Unknown(String),
}

impl Change {
    pub fn of(desk: &Desk, release: &Release) -> Self {
        if let Some(why) = desk.current.doubt() {
            return Self::Unknown(format!("the present pointer is not believed: {why}"));
        }
        let Some(current) = desk.current.pointer() else { return Self::First };
        let base = match base::find(desk, &current.release) {
            Ok(base) if base.digest == release.digest => return Self::Same,
            Ok(base) => base,
            Err(why) => return Self::Unknown(why),
        };
        let table = match base::table_of(&release.policy, &release.digest) {
            Ok(table) => table,
            Err(why) => return Self::Unknown(why),
        };
        let (old, new) = (base.side(), Side { policy: &release.policy, table: &table });
        Self::Compared { diff: Box::new(policy_diff::diff(old, new)), base: Box::new(base) }
    }

    /// The role that a gateway asks for when it serves what the channel runs.
    pub fn role(&self) -> Role {
        match self {
            Self::Same => Role::ReleaseNarrower,
            Self::Compared { diff, .. } if !diff.needs_wider() => Role::ReleaseNarrower,
            Self::First | Self::Compared { .. } | Self::Unknown(_) => Role::ReleaseWider,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("the channel has no release yet"),
            Self::Same => f.write_str("none: the channel points at it already"),
            Self::Unknown(why) => write!(f, "not known, so the wider role is needed: {why}"),
            Self::Compared { diff, base } => {
                let Counts { allowed, refused, limits, settings } = diff.counts;
                write!(f, "{}: {allowed} newly allowed, {refused} newly refused", diff.verdict.name())?;
                for (count, noun) in [(limits, "limit"), (settings, "setting")] {
                    if count > 0 {
                        write!(f, ", {} changed", plural(count, noun))?;
                    }
                }
                f.write_str("; adamant diff shows each")?;
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
