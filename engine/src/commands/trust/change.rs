//! The next version of a trust root: `trust add`, `remove`, `rotate` and `renew`. Each reads version N and writes
//! version N + 1 without signatures; N is never edited.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use policy_release::envelope::{Kind, Role};
use policy_release::key::KeyId;
use policy_release::root::edit::{Draft, EditFault, changes};
use policy_release::root::{RootClaims, RootFault, verify_root};
use policy_release::time::Timestamp;

use super::{OwnerKey, expect_people, role_of, root_key, standing};
use crate::commands::signing;
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::signer::TransitArgs;

/// What every change takes.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// The trust root that holds now: version N.
    root: PathBuf,
    /// How many keys of a role must sign from now on, like pointer=2.
    #[arg(long = "threshold", value_name = "ROLE=N")]
    thresholds: Vec<Threshold>,
    /// When version N + 1 ends, like 2028-01-01T00:00:00Z; as version N when absent.
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// Where to write version N + 1.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// A key and who holds it. KEY is a key file, a file with its public half, the public half itself, or transit:….
    #[arg(long = "key", value_name = "OWNER=KEY", required = true)]
    keys: Vec<OwnerKey>,
    /// Role that the keys get: root, release-narrower, release-wider, pointer, revocation, keys. May be repeated.
    #[arg(long = "role", value_name = "ROLE", value_parser = role_of, value_delimiter = ',', required = true)]
    roles: Vec<Role>,
    #[command(flatten)]
    transit: TransitArgs,
}

#[derive(Debug, Args)]
#[group(id = "who", required = true, multiple = true, args = ["owners", "keys"])]
pub struct RemoveArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Whose keys go.
    #[arg(long = "owner", value_name = "OWNER")]
    owners: Vec<String>,
    /// One key that goes: its id, or the first 12 digits of it or more.
    #[arg(long = "key", value_name = "KEYID")]
    keys: Vec<String>,
    /// Take it out of this role alone. May be repeated.
    #[arg(long = "role", value_name = "ROLE", value_parser = role_of, value_delimiter = ',')]
    roles: Vec<Role>,
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// An owner and the key that takes the place of the present one, in all its roles.
    #[arg(value_name = "OWNER=KEY", required = true)]
    keys: Vec<OwnerKey>,
    #[command(flatten)]
    transit: TransitArgs,
}

/// `ROLE=N` as it was typed.
#[derive(Clone, Debug)]
struct Threshold {
    role: Role,
    threshold: u32,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, threshold) = text.split_once('=').ok_or("expected ROLE=N, for example pointer=2")?;
        let threshold =
            threshold.parse().map_err(|_| format!("expected a number after {role}=, found {threshold:?}"))?;
        Ok(Self { role: role_of(role)?, threshold })
    }
}

pub fn add(args: &AddArgs, out: &mut dyn Write) -> Result<(), Failure> {
    change(&args.change, out, |_, draft| {
        for typed in &args.keys {
            draft.add(&root_key(typed, &args.transit)?, &args.roles).map_err(told)?;
        }
        Ok(())
    })
}

pub fn remove(args: &RemoveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    change(&args.change, out, |old, draft| {
        let mut ids = Vec::new();
        for owner in &args.owners {
            let mut of_owner: Vec<_> = old.keys_of(owner).map_err(told)?.iter().map(|key| key.id).collect();
            // Several keys of one owner need not all be in the role that is named.
            if of_owner.len() > 1 && !args.roles.is_empty() {
                of_owner.retain(|id| args.roles.iter().any(|role| old.roles.of(*role).keys.contains(id)));
            }
            ids.extend(of_owner);
        }
        for typed in &args.keys {
            ids.push(key_named(old, typed)?);
        }
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().try_for_each(|id| draft.remove(id, &args.roles).map_err(told))
    })
}

pub fn rotate(args: &RotateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    change(&args.change, out, |old, draft| {
        for typed in &args.keys {
            let before = old.key_of(&typed.owner).map_err(told)?.id;
            draft.rotate(before, root_key(typed, &args.transit)?.public_key).map_err(told)?;
        }
        Ok(())
    })
}

pub fn renew(args: &ChangeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.expires.is_none() && args.thresholds.is_empty() {
        return Err(Failure::new("expected --expires or --threshold, found neither: nothing would change"));
    }
    change(args, out, |_, _| Ok(()))
}

/// Reads version N, lets `edit` change it, and writes version N + 1.
fn change(
    args: &ChangeArgs,
    out: &mut dyn Write,
    edit: impl FnOnce(&RootClaims, &mut Draft) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    files::expect_free(&args.out, existing)?;
    if let (Ok(root), Ok(written)) = (args.root.canonicalize(), args.out.canonicalize())
        && root == written
    {
        return Err(Failure::at(&args.out, "expected another file than the trust root that is read, found the same")
            .help("version N stays as it is; gateways and the next change need it"));
    }
    let bytes = files::read(&args.root, Kind::TrustRoot.envelope_bytes_max())?;
    verify_root(&bytes).map_err(|fault| {
        Failure::at(&args.root, fault).help("a version that does not hold has no successor; make it again, or sign it")
    })?;
    let old = RootClaims::read(&signing::read_envelope(&args.root, Kind::TrustRoot)?).map_err(Failure::new)?;
    let mut draft = old.successor();
    edit(&old, &mut draft)?;
    args.thresholds.iter().for_each(|Threshold { role, threshold }| draft.set_threshold(*role, *threshold));
    if let Some(expires) = args.expires {
        draft.set_expires(expires);
    }
    let new = draft.finish().map_err(told)?;
    expect_people(&new, Some(&old))?;
    let now = signing::now()?;
    if new.expires <= now {
        return Err(Failure::new(format_args!("expected an expiry in the future, found {}; it is {now}", new.expires))
            .help("give a later one with --expires"));
    }
    if new.roles.root.keys.len() == 1 || new.roles.release_wider.threshold == 1 {
        warn("one key alone is enough for the trust root or for any release; two or more survive a stolen one");
    }
    let envelope = new.to_envelope().map_err(Failure::new)?;
    files::write(&args.out, &envelope.to_bytes(), Access::Everyone, existing)?;
    let (path, root) = (args.out.display(), args.root.display());
    writeln!(out, "wrote {path}: trust root version {}, {}, without signatures", new.version, envelope.digest())?;
    writeln!(out, "changes")?;
    changes(&old, &new).iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    standing::write(out, &new, Some(&old), &envelope)?;
    writeln!(out, "next: adamant trust sign {path} --after {root} --key KEY")?;
    Ok(())
}

/// The key whose id begins with what was typed.
fn key_named(root: &RootClaims, typed: &str) -> Result<KeyId, Failure> {
    const DIGITS_MIN: usize = 12;
    let typed = typed.trim_end_matches('…');
    if typed.len() < DIGITS_MIN {
        return Err(Failure::new(format_args!("expected {DIGITS_MIN} digits or more of a key id, found {typed:?}"))
            .help("adamant trust show lists the ids"));
    }
    let mut found = root.keys.iter().filter(|key| key.id.to_string().starts_with(typed));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key.id),
        _ => Err(Failure::new(format_args!("expected the id of one key of the trust root, found {typed:?}"))
            .help("adamant trust show lists the ids")),
    }
}

/// Says what to do about a change that cannot be made.
fn told(fault: EditFault) -> Failure {
    let help = match &fault {
        EditFault::Nothing => "say what shall be different".to_owned(),
        EditFault::Held { .. } => "each key has one owner; make a new key with: adamant key signer".into(),
        EditFault::Owner { .. } | EditFault::Key { .. } => "adamant trust show lists owners and keys".into(),
        EditFault::SeveralKeys { .. } => "name the key: trust remove --key KEYID, then trust add".into(),
        EditFault::NotInRole { .. } => "adamant trust show lists the roles".into(),
        EditFault::Unreachable { role, keys: 0, .. } => format!("a role needs a key: add one to {role} in place of it"),
        EditFault::Unreachable { role, keys, .. } => {
            format!("lower it with --threshold {role}={keys}, or add a key to {role} first")
        }
        EditFault::Root(RootFault::Thresholds { .. }) => {
            "set the others too: --threshold release-wider=N --threshold root=N".into()
        }
        EditFault::Root(_) => "set it with --threshold ROLE=N".into(),
    };
    Failure::new(fault).help(help)
}
