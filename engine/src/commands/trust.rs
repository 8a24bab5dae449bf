//! `adamant trust`: which keys may sign what, and how many must.

mod change;
mod init;
mod outdated;
mod publish;
mod standing;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use policy_release::envelope::{Kind, Role};
use policy_release::key::PublicKey;
use policy_release::root::edit::changes;
use policy_release::root::{RoleKeys, RootClaims, RootKey, TrustRoot, verify_root, verify_successor};

use super::key::public_of;
use super::signing::{self, MergeArgs, SignArgs};
use crate::failure::{Failure, warn};
use crate::files;
use crate::signer::{TransitArgs, expect_signer};

pub use self::standing::{owners, whose, words};

#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make the first trust root. It holds once enough of its own root keys have signed it.
    #[command(after_help = "Example, two of three people:\n  \
        adamant trust init --key alice=alice.key --key bob=adamant-ed25519:… --key carol=carol.pub \\\n    \
        --threshold 2 --role pointer=1 --expires 2028-01-01T00:00:00Z --out root.json\n  \
        adamant trust sign root.json --key alice.key\n  \
        adamant trust sign root.json --key carol.key\n  \
        adamant trust show root.json")]
    Init(init::InitArgs),
    /// Make the next trust root, with another key, or with more roles for one that is there.
    #[command(after_help = "Example:\n  \
        adamant trust add root.json --key carol=carol.pub --role release-narrower,pointer --threshold pointer=2 \\\n    \
        --expires 2028-01-01T00:00:00Z -o root-2.json")]
    Add(change::AddArgs),
    /// Make the next trust root, without the keys of an owner, or without one key.
    #[command(after_help = "Examples:\n  \
        adamant trust remove root.json --owner bob --threshold root=2 -o root-2.json\n  \
        adamant trust remove root.json --owner bob --role pointer -o root-2.json")]
    Remove(change::RemoveArgs),
    /// Make the next trust root, with a new key in the place of an owner's present one.
    #[command(after_help = "Example:\n  adamant trust rotate root.json alice=alice-new.pub -o root-2.json")]
    Rotate(change::RotateArgs),
    /// Make the next trust root, with a later expiry or other thresholds.
    #[command(after_help = "Example:\n  \
        adamant trust renew root.json --expires 2029-01-01T00:00:00Z -o root-2.json")]
    Renew(change::ChangeArgs),
    /// Sign a trust root.
    #[command(after_help = "Examples:\n  \
        adamant trust sign root.json --key alice.key\n  \
        adamant trust sign root-2.json --after root.json --key transit:https://bao.example:8200/transit/keys/bob")]
    Sign(RootSignArgs),
    /// Put signatures that several people made into one trust root.
    Merge(MergeArgs),
    /// Show keys, roles and thresholds, who signed, and what a successor changes.
    Show(ShowArgs),
    /// Verify a trust root; with --after, as the successor of the version before.
    Verify(ShowArgs),
    /// Put a successor into a store, for gateways to take.
    #[command(after_help = "Example:\n  \
        adamant trust publish root-2.json --trust-root root.json --store /srv/adamant")]
    Publish(publish::PublishArgs),
}

#[derive(Debug, Args)]
pub struct RootSignArgs {
    /// The version before FILE, whose keys must sign too.
    #[arg(long, value_name = "ROOT")]
    after: Option<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A trust root.
    file: PathBuf,
    /// The version before it.
    #[arg(long, value_name = "ROOT")]
    after: Option<PathBuf>,
}

/// `OWNER=KEY` as it was typed.
#[derive(Clone, Debug)]
struct OwnerKey {
    owner: String,
    key: String,
}

impl FromStr for OwnerKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The public half may end in '=' itself.
        match text.split_once('=') {
            Some((owner, key)) if !owner.is_empty() && !key.is_empty() && !owner.contains([':', ',']) => {
                Ok(Self { owner: owner.into(), key: key.into() })
            }
            _ => Err("expected OWNER=KEY, for example alice=alice.key".into()),
        }
    }
}

pub fn run(command: TrustCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        TrustCommand::Init(args) => init::init(&args, out),
        TrustCommand::Add(args) => change::add(&args, out),
        TrustCommand::Remove(args) => change::remove(&args, out),
        TrustCommand::Rotate(args) => change::rotate(&args, out),
        TrustCommand::Renew(args) => change::renew(&args, out),
        TrustCommand::Sign(args) => sign(&args, out),
        TrustCommand::Merge(args) => {
            signing::merge(&args, Kind::TrustRoot, out)?;
            let envelope = signing::read_envelope(&args.file, Kind::TrustRoot)?;
            standing::write(out, &read_claims(&args.file)?, None, &envelope)
        }
        TrustCommand::Show(args) => show(&args, out),
        TrustCommand::Verify(args) => verify(&args, out),
        TrustCommand::Publish(args) => publish::run(&args, out),
    }
}

/// Reads and verifies a trust root that was placed by hand.
pub fn read_root(path: &Path) -> Result<TrustRoot, Failure> {
    let bytes = files::read(path, Kind::TrustRoot.envelope_bytes_max())?;
    verify_root(&bytes).map_err(|fault| Failure::at(path, fault))
}

fn read_claims(path: &Path) -> Result<RootClaims, Failure> {
    let envelope = signing::read_envelope(path, Kind::TrustRoot)?;
    RootClaims::read(&envelope).map_err(|fault| Failure::at(path, fault))
}

/// The claims of the version before `new`, if it was given.
fn read_before(after: Option<&Path>, new: &RootClaims) -> Result<Option<RootClaims>, Failure> {
    let Some(path) = after else { return Ok(None) };
    let old = read_claims(path)?;
    if old.version + 1 == new.version {
        return Ok(Some(old));
    }
    let (found, expected) = (old.version, new.version.saturating_sub(1));
    let message = format!("expected version {expected}, the one before version {}, found {found}", new.version);
    Err(Failure::at(path, message).help("give every version in turn"))
}

fn sign(args: &RootSignArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let new = read_claims(&args.sign.file)?;
    let old = read_before(args.after.as_deref(), &new)?;
    let may_sign = |key: &PublicKey| standing::may_sign(&new, old.as_ref(), key);
    let envelope = signing::sign_checked(&args.sign, Kind::TrustRoot, may_sign, out)?;
    if args.sign.is_detached() { Ok(()) } else { standing::write(out, &new, old.as_ref(), &envelope) }
}

/// Refuses a root in which one owner could stand for two people, unless the version before has that already.
fn expect_people(new: &RootClaims, before: Option<&RootClaims>) -> Result<(), Failure> {
    let known = before.map(RootClaims::owners_twice).unwrap_or_default();
    let Some((role, owner)) = new.owners_twice().into_iter().find(|twice| !known.contains(twice)) else {
        return Ok(());
    };
    let threshold = new.roles.of(role).threshold;
    let message = format!(
        "role {role} asks for {threshold} signatures, and {owner:?} would hold several of its keys: a threshold counts \
         keys, so one person could sign for two"
    );
    Err(Failure::new(message)
        .help("one key of each person in a role; trust rotate puts a new key in the place of the old one"))
}

fn role_of(word: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.word() == word);
    found.ok_or_else(|| format!("expected a role of {}, found {word:?}", Role::ALL.map(Role::word).join(", ")))
}

/// The key that `OWNER=KEY` names, wherever its public half is.
fn root_key(typed: &OwnerKey, transit: &TransitArgs) -> Result<RootKey, Failure> {
    let public = match typed.key.parse::<PublicKey>() {
        Ok(public) => public,
        Err(fault) if typed.key.starts_with("adamant-") => return Err(Failure::new(fault)),
        Err(_) => {
            let source = typed.key.parse().map_err(Failure::new)?;
            expect_signer(&source)?;
            public_of(&source, transit)?
        }
    };
    Ok(RootKey::new(&typed.owner, public))
}

fn show(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let envelope = signing::read_envelope(&args.file, Kind::TrustRoot)?;
    let claims = read_claims(&args.file)?;
    let before = read_before(args.after.as_deref(), &claims)?;
    writeln!(out, "trust root  version {}", claims.version)?;
    writeln!(out, "digest      {}", envelope.digest())?;
    writeln!(out, "expires     {} ({})", claims.expires, crate::span::distance(signing::now()?, claims.expires))?;
    writeln!(out, "keys        {}", claims.keys.len())?;
    for RootKey { id, owner, public_key } in &claims.keys {
        writeln!(out, "  {owner}\n    {public_key}\n    id {id}")?;
    }
    writeln!(out, "roles")?;
    for role in Role::ALL.into_iter().filter(|role| claims.roles.has(*role)) {
        let RoleKeys { keys, threshold } = claims.roles.of(role);
        let held: Vec<_> = claims.keys.iter().filter(|key| keys.contains(&key.id)).cloned().collect();
        writeln!(out, "  {:<17} {threshold} of {}: {}", role.word(), keys.len(), owners(&held))?;
    }
    for (role, owner) in claims.owners_twice() {
        warn(format_args!(
            "{owner} holds several keys of role {role}, whose threshold counts keys: one could sign for two"
        ));
    }
    if let Some(before) = &before {
        writeln!(out, "changes since version {}", before.version)?;
        let lines = changes(before, &claims);
        lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    standing::write(out, &claims, before.as_ref(), &envelope)?;
    let held = holds(args);
    if held.is_err() {
        out.flush()?;
    }
    writeln!(out, "{}", held?)?;
    Ok(())
}

fn verify(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let held = holds(args)?;
    let envelope = signing::read_envelope(&args.file, Kind::TrustRoot)?;
    writeln!(out, "verified {}", signing::describe(&envelope))?;
    let claims = read_claims(&args.file)?;
    let before = read_before(args.after.as_deref(), &claims)?;
    for root in [before.as_ref(), Some(&claims)].into_iter().flatten() {
        writeln!(out, "  of version {}: {}", root.version, words(&root.standing(Role::Root, &envelope)))?;
    }
    writeln!(out, "{held}")?;
    Ok(())
}

/// Whether the root holds now: alone, or as the successor of the one that was given.
fn holds(args: &ShowArgs) -> Result<String, Failure> {
    let bytes = files::read(&args.file, Kind::TrustRoot.envelope_bytes_max())?;
    let (root, told) = match &args.after {
        None => {
            let root = verify_root(&bytes);
            let more = match &root {
                Ok(root) if root.version() > 1 => {
                    format!("; gateways ask version {} too (--after)", root.version() - 1)
                }
                _ => String::new(),
            };
            (root, format!("holds: enough of its own root keys signed it{more}"))
        }
        Some(after) => {
            let old = read_root(after)?;
            let told = format!("holds: enough root keys of version {} and of its own signed it", old.version());
            (verify_successor(&old, &bytes), told)
        }
    };
    let now = signing::now()?;
    let checked = root.and_then(|root| root.check_expiry(now));
    checked.map(|()| told).map_err(|fault| Failure::at(&args.file, format_args!("does not hold: {fault}")))
}
