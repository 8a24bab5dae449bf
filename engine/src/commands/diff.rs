//! `adamant diff`: what a change newly allows and newly refuses.

mod side;
mod text;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use policy_diff::{Diff, Side, Verdict};
use policy_release::envelope::Role;
use policy_release::root::TrustRoot;
use serde_json::json;

use self::side::{End, Ends};
use super::status::AccessArgs;
use super::trust::read_root;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// What is: a policy source, a release file, sha256:… in the store, or gateway:ADDRESS.
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
    /// Verify releases under this trust root, and say how many must sign.
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

pub fn run(args: &DiffArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let root = args.trust_root.as_deref().map(read_root).transpose()?;
    let access = args.access.read()?;
    let ends = Ends { store: args.store.as_deref(), root: root.as_ref(), access: &access };
    let (old, new) = (ends.read(&args.old)?, ends.read(&args.new)?);
    let diff = policy_diff::diff(
        Side { policy: &old.policy, table: &old.table },
        Side { policy: &new.policy, table: &new.table },
    );
    match args.format {
        Format::Text => text::write(out, &diff, (&old, &new), &needs(&diff, root.as_ref()))?,
        Format::Json => {
            let mut document = json!({ "old": old.document(), "new": new.document(), "role": role(&diff).to_string() });
            if let (Some(document), Ok(serde_json::Value::Object(members))) =
                (document.as_object_mut(), serde_json::to_value(&diff))
            {
                document.extend(members);
            }
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

/// Whose signatures the change needs.
const fn role(diff: &Diff) -> Role {
    if diff.needs_wider() { Role::ReleaseWider } else { Role::ReleaseNarrower }
}

fn needs(diff: &Diff, root: Option<&TrustRoot>) -> String {
    let role = role(diff);
    match root.map(|root| root.role(role).threshold) {
        None => format!("the threshold of {role}"),
        Some(1) => format!("1 signature of {role}"),
        Some(threshold) => format!("{threshold} signatures of {role}"),
    }
}

impl End {
    fn document(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "kind": self.kind.name(),
            "policy": self.policy.name,
            "digest": self.digest.map(|digest| digest.to_string()),
            "version": self.version,
            "expires": self.expires.map(|expires| expires.to_string()),
            "verified": self.verified,
        })
    }
}
