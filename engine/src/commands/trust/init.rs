//! `adamant trust init`: the first trust root.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use policy_release::envelope::Role;
use policy_release::key::KeyId;
use policy_release::root::{RoleKeys, Roles, RootClaims, RootKey};
use policy_release::time::Timestamp;

use super::{OwnerKey, role_of, root_key};
use crate::commands::signing;
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::signer::TransitArgs;

#[derive(Debug, Args)]
pub struct InitArgs {
    /// A key and who holds it. KEY is a key file, a file with its public half, the public half itself, or transit:….
    #[arg(long = "key", value_name = "OWNER=KEY", required = true)]
    keys: Vec<OwnerKey>,
    /// How many keys must sign, in every role that --role does not name.
    #[arg(long, value_name = "N")]
    threshold: u32,
    /// Other threshold, or keys, for one role: root, release-narrower, release-wider, pointer, revocation, keys.
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
    #[command(flatten)]
    transit: TransitArgs,
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
            let role = role_of(role).ok()?;
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

pub fn init(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    files::expect_free(&args.out, existing)?;
    if args.expires <= signing::now()? {
        return Err(Failure::new(format_args!("expected an expiry in the future, found {}", args.expires)));
    }
    let keys = args.keys.iter().map(|typed| root_key(typed, &args.transit)).collect::<Result<Vec<_>, _>>()?;
    each_key_once(&keys)?;
    let of = |role| role_keys(args, &keys, role);
    let roles = Roles {
        keys: Some(of(Role::Keys)?),
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
    super::expect_people(&claims, None)?;
    warn_of_more(args, &claims);
    let envelope = claims.to_envelope().map_err(Failure::new)?;
    files::write(&args.out, &envelope.to_bytes(), Access::Everyone, existing)?;
    let (path, needed) = (args.out.display(), claims.roles.root.threshold);
    writeln!(out, "wrote {path}: trust root version 1, {}, without signatures", envelope.digest())?;
    writeln!(out, "next: {} of its root role must sign it:", signing::plural(needed as usize, "key"))?;
    writeln!(out, "  adamant trust sign {path} --key KEYFILE")?;
    Ok(())
}

/// Says so where a key that is named for one thing, like that of a machine, holds all roles that name nobody too.
fn warn_of_more(args: &InitArgs, claims: &RootClaims) {
    let named = |setting: &RoleSetting, owner: &String| setting.owners.as_ref().is_some_and(|of| of.contains(owner));
    let is_for_one = |setting: &&RoleSetting| match setting.owners.as_deref() {
        Some([_]) => true,
        Some(several) => setting.role == Role::Keys && several.len() < claims.keys.len(),
        None => false,
    };
    let decides = |owner: &String| {
        let highest = [Role::Root, Role::ReleaseWider];
        args.roles.iter().any(|setting| highest.contains(&setting.role) && named(setting, owner))
    };
    let owners = |setting: &RoleSetting| setting.owners.iter().flatten().cloned().collect::<Vec<_>>();
    let mut machines: Vec<String> = args.roles.iter().filter(is_for_one).flat_map(owners).collect();
    machines.retain(|owner| !decides(owner));
    machines.sort_unstable();
    machines.dedup();
    let open = |role: &Role| !args.roles.iter().any(|setting| setting.role == *role && setting.owners.is_some());
    let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| claims.roles.has(*role)).filter(open).collect();
    let is_person = |owner: &&str| !machines.iter().any(|machine| machine == owner);
    let mut people: Vec<&str> = claims.keys.iter().map(|key| key.owner.as_str()).filter(is_person).collect();
    people.sort_unstable();
    if people.is_empty() || roles.is_empty() {
        return;
    }
    let words = roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(", ");
    let most = u32::try_from(people.len()).unwrap_or(u32::MAX);
    let threshold = |role: &Role| claims.roles.of(*role).threshold;
    let of_people = |role: &Role| format!("--role {role}={}:{}", threshold(role), people.join(","));
    // No threshold becomes lower for it.
    let instead = match roles.iter().all(|role| threshold(role) <= most) {
        true => roles.iter().map(of_people).collect::<Vec<_>>().join(" ") + "; or ",
        false => String::new(),
    };
    for owner in &machines {
        let for_what = args.roles.iter().filter(|setting| named(setting, owner)).map(|setting| setting.role.word());
        let for_what = for_what.collect::<Vec<_>>().join(", ");
        warn(format_args!(
            "{owner}, named for {for_what}, may also sign {words}: a role that names nobody has every --key. To keep it \
             out: {instead}add it later (trust add)"
        ));
    }
}

fn each_key_once(keys: &[RootKey]) -> Result<(), Failure> {
    for (index, key) in keys.iter().enumerate() {
        let Some(other) = keys.iter().take(index).find(|other| other.id == key.id) else { continue };
        let message = match other.owner == key.owner {
            true => format!("expected each --key once, found the key of {} twice", key.owner),
            false => format!("expected each --key once, but {} and {} have the same key", other.owner, key.owner),
        };
        return Err(Failure::new(message).help("each person makes a key of his own: adamant key signer"));
    }
    Ok(())
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
