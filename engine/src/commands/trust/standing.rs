//! Who must sign a trust root, and who has.

use std::io::Write;

use policy_release::envelope::{Envelope, Role};
use policy_release::key::PublicKey;
use policy_release::root::{RootClaims, RootKey, Standing};

use crate::failure::Failure;

/// Names in order, with commas between; several keys of one owner are told apart.
pub fn owners(keys: &[RootKey]) -> String {
    let several = |owner: &str| keys.iter().filter(|key| key.owner == owner).count() > 1;
    let name = |key: &RootKey| match several(&key.owner) {
        true => format!("{} ({})", key.owner, key.id.short()),
        false => key.owner.clone(),
    };
    let mut names: Vec<_> = keys.iter().map(name).collect();
    names.sort_unstable();
    names.join(", ")
}

/// `1 of 2 signatures (alice); 1 more of: bob, carol`, or `3 signatures, 2 needed (alice, bob, carol)`
pub fn words(standing: &Standing) -> String {
    let Standing { threshold, signed, missing, .. } = standing;
    let signers = if signed.is_empty() { String::new() } else { format!(" ({})", owners(signed)) };
    let ending = if *threshold == 1 { "" } else { "s" };
    let count = format!("{} of {threshold} signature{ending}{signers}", signed.len());
    match standing.lacking() {
        0 if usize::try_from(*threshold).is_ok_and(|threshold| signed.len() > threshold) => {
            format!("{} signatures, {threshold} needed{signers}", signed.len())
        }
        0 => count,
        lacking => format!("{count}; {lacking} more of: {}", owners(missing)),
    }
}

/// Tells whose signatures `new` needs, and which are there. `old` is the version before, where it is known.
pub fn write(
    out: &mut dyn Write,
    new: &RootClaims,
    old: Option<&RootClaims>,
    envelope: &Envelope,
) -> Result<(), Failure> {
    writeln!(out, "signatures needed")?;
    if let Some(old) = old {
        writeln!(out, "  of version {}:  {}", old.version, words(&old.standing(Role::Root, envelope)))?;
    } else if new.version > 1 {
        let before = new.version - 1;
        writeln!(out, "  of version {before}:  its root threshold too; give that root with --after to see it")?;
    }
    writeln!(out, "  of version {}:  {}", new.version, words(&new.standing(Role::Root, envelope)))?;
    let known = |id| [Some(new), old].into_iter().flatten().any(|root| root.keys.iter().any(|key| key.id == id));
    for signature in envelope.signatures().iter().filter(|signature| old.is_some() && !known(signature.key_id)) {
        writeln!(out, "  not counted: key {} is in neither root", signature.key_id.short())?;
    }
    Ok(())
}

/// Whose a key is that is not in the role that is asked for.
pub fn whose(held: Option<&RootKey>) -> String {
    held.map_or_else(|| "not in the trust root".to_owned(), |key| format!("of {}, in other roles alone", key.owner))
}

/// Refuses a key whose signature would count for nothing.
pub fn may_sign(new: &RootClaims, old: Option<&RootClaims>, key: &PublicKey) -> Result<(), Failure> {
    let id = key.id();
    let in_root_role = |root: &RootClaims| root.roles.root.keys.contains(&id);
    if in_root_role(new) || old.is_some_and(in_root_role) {
        return Ok(());
    }
    let held = [Some(new), old].into_iter().flatten().find_map(|root| root.keys.iter().find(|key| key.id == id));
    let whose = whose(held);
    let expected = match old {
        Some(old) => format!("trust root version {} or {}", old.version, new.version),
        None => format!("trust root version {}", new.version),
    };
    let message = format!(
        "expected a key of the root role of {expected}, found {} ({whose}); its signature would not count",
        id.short()
    );
    let can = |root: &RootClaims| {
        let keys = root.keys.iter().filter(|key| root.roles.root.keys.contains(&key.id)).cloned();
        owners(&keys.collect::<Vec<_>>())
    };
    let help = match old {
        None if new.version > 1 => {
            let before = new.version - 1;
            format!(
                "if it is a key of version {before}, give that root too: --after ROOT-{before}; else let sign: {}",
                can(new)
            )
        }
        None => format!("let sign: {}", can(new)),
        Some(old) => {
            format!("let sign, for version {}: {}; for version {}: {}", old.version, can(old), new.version, can(new))
        }
    };
    Err(Failure::new(message).help(help))
}
