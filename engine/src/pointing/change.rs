//! What a release changes in the one that the channel runs: which role a gateway will ask for. Each gateway decides by
//! the release that it accepted last itself.

use std::fmt;

use policy::compile::compile;
use policy::table::Table;
use policy_diff::{Counts, Diff, Side, diff};
use policy_release::candidate::Release;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::manifest::Manifest;
use policy_release::verify::verify_envelope;

use super::Desk;
use super::target::RELEASE_ROLES;
use crate::commands::release::engine_version;

pub enum Change {
    /// The channel runs nothing yet.
    First,
    /// The channel points at it already. Whether gateways took it is not known here.
    Same,
    Compared(Box<Diff>),
    /// The release that the channel runs cannot be read.
    Unknown(String),
}

impl Change {
    pub fn of(desk: &Desk, release: &Release) -> Self {
        match desk.current.pointer() {
            None => Self::First,
            Some(current) if current.release == release.digest => Self::Same,
            Some(_) => compared(desk, release).map_or_else(|why| Self::Unknown(why.to_string()), Self::Compared),
        }
    }

    /// The role that a gateway asks for when it serves what the channel runs.
    pub fn role(&self) -> Role {
        match self {
            Self::Same => Role::ReleaseNarrower,
            Self::Compared(diff) if !diff.needs_wider() => Role::ReleaseNarrower,
            Self::First | Self::Compared(_) | Self::Unknown(_) => Role::ReleaseWider,
        }
    }
}

fn compared(desk: &Desk, release: &Release) -> Result<Box<Diff>, Box<dyn std::error::Error>> {
    let current = desk.current.pointer().ok_or("it has no pointer")?;
    let bytes = desk.store.release(&current.release).map_err(|fault| fault.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("the store does not have {}", current.release))?;
    let envelope = Envelope::parse_kind(&bytes, Kind::Release)?;
    let verified = verify_envelope(envelope, &desk.root, &RELEASE_ROLES)?;
    if verified.digest() != current.release {
        return Err(format!("the store has another release under the name of {}", current.release).into());
    }
    let old = Manifest::parse(verified.payload(), engine_version().map_err(|failure| failure.to_string())?)?.policy;
    let table_of = |policy, digest| -> Result<Table<Vec<u8>>, Box<dyn std::error::Error>> {
        Ok(Table::load(compile(policy, digest)?)?)
    };
    let old_table = table_of(&old, *current.release.as_bytes())?;
    let new_table = table_of(&release.policy, *release.digest.as_bytes())?;
    let (old, new) = (Side { policy: &old, table: &old_table }, Side { policy: &release.policy, table: &new_table });
    Ok(Box::new(diff(old, new)))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("the channel has no release yet"),
            Self::Same => f.write_str("none: the channel points at it already"),
            Self::Unknown(why) => write!(f, "not known, so the wider role is needed: {why}"),
            Self::Compared(diff) => {
                let Counts { allowed, refused, .. } = diff.counts;
                let verdict = diff.verdict.name();
                write!(f, "{verdict}: {allowed} newly allowed, {refused} newly refused; adamant diff shows each")
            }
        }
    }
}
