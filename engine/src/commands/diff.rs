//! `adamant diff`: what a change newly allows and newly refuses.

mod signatures;
mod text;

use std::io::Write;
use std::path::PathBuf;
use std::slice;

use clap::Args;
use policy::table::Table;
use policy_diff::{Side, Verdict};
use policy_release::digest::Digest;
use policy_release::root::TrustRoot;
use serde_json::{Map, Value, json};

use self::signatures::Needs;
use super::Format;
use super::signing;
use super::status::AccessArgs;
use super::trust::read_root;
use crate::failure::Failure;
use crate::lookup::{Found, Lookup};
use crate::pointing::{follow, table_of};
use crate::source::Warnings;
use crate::store::{Store, StoreAccess};

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
    #[arg(long, value_name = "DIR|URL")]
    store: Option<PathBuf>,
    #[command(flatten)]
    store_access: StoreAccess,
    /// Verify releases under this trust root, or its successors in the store; say how many must sign, and who has.
    #[arg(long, value_name = "ROOT")]
    trust_root: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
}

/// The trust root that was given, and the successors of it that the store has, oldest first. None: no root was given.
struct Roots {
    chain: Vec<TrustRoot>,
    /// Successors were looked for.
    followed: bool,
}

/// One side: what was found, compiled.
struct End {
    found: Found,
    table: Table<Vec<u8>>,
}

pub fn run(args: &DiffArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let roots = Roots::read(args)?;
    let lookup = |roots, warnings| -> Result<_, Failure> {
        Ok(Lookup { store: args.store_access.of(args.store.as_ref())?, roots, access: args.access.read()?, warnings })
    };
    // What serves may be signed by people who left since; what is new is not.
    let old = End::of(lookup(&roots.chain, Warnings::Known)?.find(&args.old)?)?;
    let newest = roots.newest().map_or(&[][..], slice::from_ref);
    let new = End::of(lookup(newest, Warnings::Shown)?.find(&args.new)?)?;
    let diff = policy_diff::diff(old.side(), new.side());
    let needs = Needs::of(&diff, (&old, &new), roots.newest(), signing::now()?);
    match args.format {
        Format::Text => text::write(out, &diff, (&old, &new), &roots, &needs)?,
        Format::Json => {
            let ends = json!({ "old": old.document(), "new": new.document() });
            // The needs come last: they know of the versions too.
            let parts = [ends, serde_json::to_value(&diff).map_err(Failure::new)?, needs.members()];
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

impl Roots {
    fn read(args: &DiffArgs) -> Result<Self, Failure> {
        let given = args.trust_root.as_deref().map(read_root).transpose()?;
        let chain = match (given, &args.store) {
            (Some(root), Some(store)) => follow(&Store::open(&args.store_access.at(store)?)?, root)?,
            (root, _) => root.into_iter().collect(),
        };
        Ok(Self { chain, followed: args.store.is_some() })
    }

    fn newest(&self) -> Option<&TrustRoot> {
        self.chain.last()
    }

    /// Under which one the new side was judged.
    fn text(&self) -> Option<String> {
        let (given, newest) = (self.chain.first()?.version(), self.newest()?.version());
        Some(match self.followed {
            false => format!("version {given}; successors of it are looked for with --store"),
            true if newest == given => format!("version {given}: the store has no successor of it"),
            true => format!("version {newest}, to which the store leads from version {given}"),
        })
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
