//! `adamant trust`: which keys may sign what, and how many must.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use policy_release::envelope::{Kind, Role};
use policy_release::key::{KeyId, PublicKey};
use policy_release::root::{RoleKeys, Roles, RootClaims, RootKey, TrustRoot, verify_root};
use policy_release::time::Timestamp;

use super::key::public_of_file;
use super::signing::{self, MergeArgs, SignArgs};
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};

#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make the first trust root. It holds once enough of its own root keys have signed it.
    #[command(after_help = "Example, two of three people:\n  \
        adamant trust init --key alice=alice.key --key bob=adamant-ed25519:… --key carol=carol.key \\\n    \
        --threshold 2 --role pointer=1 --expires 2028-01-01T00:00:00Z --out root.json\n  \
        adamant trust sign root.json --key alice.key\n  \
        adamant trust sign root.json --key carol.key\n  \
        adamant trust show root.json")]
    Init(InitArgs),
    /// Sign a trust root.
    Sign(SignArgs),
    /// Put signatures that several people made into one trust root.
    Merge(MergeArgs),
    /// Show keys, roles and thresholds, and whether enough of its own keys signed it.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// A key and who holds it. KEY is a key file, a file with its public half, or the public half itself.
    #[arg(long = "key", value_name = "OWNER=KEY", required = true)]
    keys: Vec<OwnerKey>,
    /// How many keys must sign, in every role that --role does not name.
    #[arg(long, value_name = "N")]
    threshold: u32,
    /// Other threshold, or keys, for one role: root, release-narrower, release-wider, pointer, revocation.
    #[arg(long = "role", value_name = "ROLE=N[:OWNER,…]")]
    roles: Vec<RoleSetting>,
    /// When it ends, like 2028-01-01T00:00:00Z. Nothing new is accepted under it from then on.
    #[arg(long, value_name = "TIME")]
    expires: Timestamp,
    /// Where to write it.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A trust root.
    file: PathBuf,
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

/// `ROLE=N[:OWNER,…]` as it was typed.
#[derive(Clone, Debug)]
struct RoleSetting {
    role: Role,
    threshold: u32,
    owners: Option<Vec<String>>,
}

impl FromStr for RoleSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('=').and_then(|(role, rest)| {
            let role = Role::ALL.into_iter().find(|known| known.word() == role)?;
            let (threshold, owners) = match rest.split_once(':') {
                Some((threshold, owners)) => (threshold, Some(owners.split(',').map(str::to_owned).collect())),
                None => (rest, None),
            };
            Some(Self { role, threshold: threshold.parse().ok()?, owners })
        });
        parsed.ok_or_else(|| {
            let roles = Role::ALL.map(Role::word).join(", ");
            format!("expected ROLE=N or ROLE=N:OWNER,OWNER with a role of {roles}; for example pointer=1:alice,bob")
        })
    }
}

pub fn run(command: TrustCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        TrustCommand::Init(args) => init(&args, out),
        TrustCommand::Sign(args) => signing::sign(&args, Kind::TrustRoot, out),
        TrustCommand::Merge(args) => signing::merge(&args, Kind::TrustRoot, out),
        TrustCommand::Show(args) => show(&args, out),
    }
}

/// Reads and verifies a trust root that was placed by hand.
pub fn read_root(path: &Path) -> Result<TrustRoot, Failure> {
    let bytes = files::read(path, Kind::TrustRoot.envelope_bytes_max())?;
    verify_root(&bytes).map_err(|fault| Failure::at(path, fault))
}

fn init(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    files::expect_free(&args.out, existing)?;
    if args.expires <= signing::now()? {
        return Err(Failure::new(format_args!("expected an expiry in the future, found {}", args.expires)));
    }
    let keys = args.keys.iter().map(root_key).collect::<Result<Vec<_>, _>>()?;
    let of = |role| role_keys(args, &keys, role);
    let roles = Roles {
        pointer: of(Role::Pointer)?,
        release_narrower: of(Role::ReleaseNarrower)?,
        release_wider: of(Role::ReleaseWider)?,
        revocation: of(Role::Revocation)?,
        root: of(Role::Root)?,
    };
    if roles.release_wider.threshold == 1 {
        warn("one key alone can sign any release; a threshold of 2 or more survives one stolen key");
    }
    let claims = RootClaims::new(1, args.expires, keys, roles).map_err(Failure::new)?;
    let envelope = claims.to_envelope().map_err(Failure::new)?;
    files::write(&args.out, &envelope.to_bytes(), Access::Everyone, existing)?;
    let (path, needed) = (args.out.display(), claims.roles.root.threshold);
    writeln!(out, "wrote {path}: trust root version 1, {}, without signatures", envelope.digest())?;
    writeln!(out, "next: {} of its root role must sign it:", signing::plural(needed as usize, "key"))?;
    writeln!(out, "  adamant trust sign {path} --key KEYFILE")?;
    Ok(())
}

fn root_key(typed: &OwnerKey) -> Result<RootKey, Failure> {
    let public = match typed.key.parse::<PublicKey>() {
        Ok(public) => public,
        Err(fault) if typed.key.starts_with("adamant-") => return Err(Failure::new(fault)),
        Err(_) => public_of_file(Path::new(&typed.key))?,
    };
    Ok(RootKey::new(&typed.owner, public))
}

fn role_keys(args: &InitArgs, keys: &[RootKey], role: Role) -> Result<RoleKeys, Failure> {
    let mut settings = args.roles.iter().filter(|setting| setting.role == role);
    let setting = settings.next();
    if settings.next().is_some() {
        return Err(Failure::new(format_args!("expected --role {role} once, found it twice")));
    }
    let threshold = setting.map_or(args.threshold, |setting| setting.threshold);
    let all = || keys.iter().map(|key| key.id).collect();
    let keys = match setting.and_then(|setting| setting.owners.as_ref()) {
        None => all(),
        Some(owners) => owners.iter().map(|owner| key_of(keys, owner)).collect::<Result<Vec<_>, _>>()?,
    };
    Ok(RoleKeys { keys, threshold })
}

fn key_of(keys: &[RootKey], owner: &str) -> Result<KeyId, Failure> {
    let mut of_owner = keys.iter().filter(|key| key.owner == owner);
    match (of_owner.next(), of_owner.next()) {
        (Some(key), None) => Ok(key.id),
        (None, _) => Err(Failure::new(format_args!("--role names owner {owner:?}, but no --key has that owner"))),
        (Some(_), Some(_)) => Err(Failure::new(format_args!(
            "--role names owner {owner:?}, who holds several keys; give each its own name"
        ))),
    }
}

fn show(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let bytes = files::read(&args.file, Kind::TrustRoot.envelope_bytes_max())?;
    let envelope = signing::read_envelope(&args.file, Kind::TrustRoot)?;
    let claims = RootClaims::read(&envelope).map_err(|fault| Failure::at(&args.file, fault))?;
    writeln!(out, "trust root  version {}", claims.version)?;
    writeln!(out, "digest      {}", envelope.digest())?;
    writeln!(out, "expires     {}", claims.expires)?;
    writeln!(out, "keys        {}", claims.keys.len())?;
    for RootKey { id, owner, public_key } in &claims.keys {
        writeln!(out, "  {owner}\n    {public_key}\n    id {id}")?;
    }
    writeln!(out, "roles")?;
    for role in Role::ALL {
        let RoleKeys { keys, threshold } = claims.roles.of(role);
        let owners = claims.keys.iter().filter(|key| keys.contains(&key.id)).map(|key| key.owner.as_str());
        let owners: Vec<_> = owners.collect();
        writeln!(out, "  {:<17} {threshold} of {}: {}", role.word(), keys.len(), owners.join(", "))?;
    }
    let now = signing::now()?;
    match verify_root(&bytes).and_then(|root| root.check_expiry(now)) {
        Ok(()) => Ok(writeln!(out, "holds: enough of its own root keys signed it")?),
        Err(fault) => {
            out.flush()?;
            Err(Failure::at(&args.file, format_args!("does not hold: {fault}")))
        }
    }
}
