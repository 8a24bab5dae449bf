//! `adamant diff`: what a change newly allows and newly refuses.

mod signatures;
mod text;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use policy::table::Table;
use policy_diff::{Side, Verdict};
use policy_release::digest::Digest;
use serde_json::{Map, Value, json};

use self::signatures::Needs;
use super::status::AccessArgs;
use super::trust::read_root;
use crate::failure::Failure;
use crate::lookup::{Found, Lookup};
use crate::pointing::table_of;

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// What is: a policy source, a release file, sha256:… in the store, gateway:ADDRESS, or a store with one release.
    #[arg(value_name = "OLD")]
    old: String,
    /// What is to be, in the same forms.
    #[arg(value_name = "NEW")]
    new: String,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The store that has the releases named by their digests.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Verify releases under this trust root; say how many must sign, and who has.
    #[arg(long, value_name = "ROOT")]
    trust_root: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One side: what was found, compiled.
struct End {
    found: Found,
    table: Table<Vec<u8>>,
}

pub fn run(args: &DiffArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let root = args.trust_root.as_deref().map(read_root).transpose()?;
    let lookup = Lookup { store: args.store.as_deref(), root: root.as_ref(), access: args.access.read()? };
    let (old, new) = (End::of(lookup.find(&args.old)?)?, End::of(lookup.find(&args.new)?)?);
    let diff = policy_diff::diff(old.side(), new.side());
    let needs = Needs::of(&diff, &new, root.as_ref());
    match args.format {
        Format::Text => text::write(out, &diff, (&old, &new), &needs)?,
        Format::Json => {
            let ends = json!({ "old": old.document(), "new": new.document() });
            let parts = [ends, needs.members(), serde_json::to_value(&diff).map_err(Failure::new)?];
            let members = parts.iter().filter_map(Value::as_object).flatten();
            let document: Map<String, Value> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
            serde_json::to_writer_pretty(&mut *out, &document).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    match status(diff.verdict) {
        0 => Ok(()),
        status => Err(Failure::outcome(status)),
    }
}

/// The exit status that tells a verdict.
const fn status(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Same => 0,
        Verdict::Narrower => 10,
        Verdict::Wider => 11,
        Verdict::Both => 12,
    }
}

impl End {
    fn of(found: Found) -> Result<Self, Failure> {
        let digest = found.digest().unwrap_or_else(|| Digest::from_bytes([0; 32]));
        let table = table_of(&found.policy, &digest);
        let table = table.map_err(|fault| Failure::new(format_args!("{}: {fault}", found.name)))?;
        Ok(Self { found, table })
    }

    const fn side(&self) -> Side<'_, Vec<u8>> {
        Side { policy: &self.found.policy, table: &self.table }
    }

    fn document(&self) -> Value {
        let release = self.found.release.as_ref();
        json!({
            "name": self.found.name,
            "kind": self.found.form.name(),
            "policy": self.found.policy.name,
            "digest": release.map(|release| release.digest.to_string()),
            "version": release.map(|release| release.version),
            "expires": release.map(|release| release.expires.to_string()),
            "verified": self.is_verified(),
            "signatures": signatures::document(self),
        })
    }

    /// Whether its signatures meet a release role of the trust root.
    fn is_verified(&self) -> bool {
        self.found.release.as_ref().is_some_and(|release| !release.standings.is_empty())
    }
}
