//! What every signed file has in common: signing it, gathering signatures of several people, telling the time.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use policy_release::envelope::{Detached, Envelope, Kind, Role};
use policy_release::key::{KeyId, PublicKey};
use policy_release::key_set::KeySet;
use policy_release::lists::SignedList as _;
use policy_release::manifest::Manifest;
use policy_release::pointer::Pointer;
use policy_release::profile_document::ProfileDocument;
use policy_release::revocations::Revocations;
use policy_release::root::{RootClaims, TrustRoot};
use policy_release::time::Timestamp;
use serde::Deserialize;

use super::profile;
use super::release::engine_version;
use super::trust::{owners, whose, words};
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::pointing;
use crate::signer::{KeyArgs, Signer};
use crate::store::StoreAccess;

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The file to sign.
    pub file: PathBuf,
    /// Write the signature alone, to send to whoever gathers them, and leave FILE as it is.
    #[arg(long)]
    detached: bool,
    /// Where to write: FILE itself, or FILE.KEYID.sig when detached.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing OUT.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    keys: KeyArgs,
}

impl SignArgs {
    /// Whether the file stays as it is.
    pub const fn is_detached(&self) -> bool {
        self.detached
    }
}

/// Signing what one trust root says who may sign.
#[derive(Debug, Args)]
pub struct WitnessedArgs {
    #[command(flatten)]
    sign: SignArgs,
    /// The trust root that was placed on the gateways: refuses keys that would not count, and says who is missing.
    #[arg(long, value_name = "ROOT", help_heading = "Whose signatures count")]
    trust_root: Option<PathBuf>,
    /// The store that the successors of ROOT come from.
    #[arg(long, value_name = "DIR|URL", requires = "trust_root", help_heading = "Whose signatures count")]
    store: Option<PathBuf>,
    #[command(flatten)]
    access: StoreAccess,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The file that takes the signatures.
    pub file: PathBuf,
    /// Detached signatures, or copies of FILE that others signed.
    #[arg(required = true)]
    signatures: Vec<PathBuf>,
}

/// Signs a file of `kind`; where a trust root is given, with keys alone that count for it.
pub fn sign_witnessed(args: &WitnessedArgs, kind: Kind, out: &mut dyn Write) -> Result<(), Failure> {
    let store = args.access.of(args.store.as_ref())?;
    let follow = |root: &PathBuf| pointing::chain_of(root, store.as_ref());
    let chain = args.trust_root.as_ref().map(follow).transpose()?;
    // A pointer that leads back to what allows more needs the wider role too, and a revocation list that lifts something;
    // a profile document needs it alone.
    let may_need_wider = matches!(kind, Kind::Pointer | Kind::Revocations | Kind::ProfileDocument);
    let counts = |role: &Role| role.kind() == kind || (may_need_wider && *role == Role::ReleaseWider);
    let roles: Vec<Role> = Role::ALL.into_iter().filter(counts).collect();
    let check = |key: &PublicKey| chain.as_ref().map_or(Ok(()), |chain| may_sign(chain, &roles, key));
    let envelope = sign_checked(&args.sign, kind, check, out)?;
    if let Some(root) = chain.as_ref().and_then(|chain| chain.last()) {
        let with = if args.sign.detached { ", with this one" } else { "" };
        writeln!(out, "signatures that count{with} (trust root version {})", root.version())?;
        for role in roles {
            writeln!(out, "  {role}: {}", words(&root.standing(role, &envelope)))?;
        }
    }
    Ok(())
}

/// Refuses a key whose signature would count for none of `roles` by the newest root of a chain.
pub fn may_sign(chain: &[TrustRoot], roles: &[Role], key: &PublicKey) -> Result<(), Failure> {
    let Some(root) = chain.last() else { return Err(Failure::new("expected a trust root, found none")) };
    let of_roles: BTreeSet<KeyId> = roles.iter().flat_map(|role| root.role(*role).keys.iter().copied()).collect();
    if of_roles.contains(&key.id()) {
        return Ok(());
    }
    let can: Vec<_> = of_roles.iter().filter_map(|id| root.keys().get(id)).cloned().collect();
    let message = format!(
        "expected a key of role {} (trust root version {}), found {} ({}); its signature would not count",
        roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(" or "),
        root.version(),
        key.id().short(),
        pointing::replaced(chain, &key.id()).unwrap_or_else(|| whose(root.keys().get(&key.id())))
    );
    Err(Failure::new(message).help(format_args!("let sign: {}", owners(&can))))
}

/// Signs a file of `kind`, when `check` has nothing against any of the keys. Gives it with the new signatures, also
/// where they were written apart.
pub fn sign_checked(
    args: &SignArgs,
    kind: Kind,
    check: impl Fn(&PublicKey) -> Result<(), Failure>,
    out: &mut dyn Write,
) -> Result<Envelope, Failure> {
    let mut envelope = read_envelope(&args.file, kind)?;
    if kind == Kind::Release {
        // Nobody shall sign what no gateway reads, or what shows them something else than it holds.
        Manifest::parse(envelope.payload(), engine_version()?).map_err(|fault| Failure::at(&args.file, fault))?;
    }
    let signers = args.keys.open()?;
    signers.iter().try_for_each(|signer| check(&signer.public()))?;
    writeln!(out, "{}", describe(&envelope))?;
    if args.detached {
        write_detached(args, &mut envelope, &signers, out)?;
        return Ok(envelope);
    }
    for signer in &signers {
        signer.sign(&mut envelope)?;
        writeln!(out, "signed with key {}", signer.public().id().short())?;
    }
    let (path, existing) = match &args.out {
        Some(path) => (path, Existing::replace_if(args.force)),
        None => (&args.file, Existing::Replace),
    };
    files::write(path, &envelope.to_bytes(), Access::Everyone, existing)?;
    writeln!(out, "wrote {} ({})", path.display(), plural(envelope.signatures().len(), "signature"))?;
    Ok(envelope)
}

fn write_detached(
    args: &SignArgs,
    envelope: &mut Envelope,
    signers: &[Signer],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if args.out.is_some() && signers.len() > 1 {
        return Err(Failure::new("expected one --key with --detached --out, found several")
            .help("leave --out away: each signature is written to FILE.KEYID.sig"));
    }
    for signer in signers {
        let short = signer.public().id().short();
        let path = args.out.clone().unwrap_or_else(|| {
            let mut name = args.file.clone().into_os_string();
            name.push(format!(".{}.sig", short.trim_end_matches('…')));
            PathBuf::from(name)
        });
        let at = |fault| Failure::at(&args.file, fault);
        let detached = signer.detached(envelope)?;
        let bytes = detached.to_bytes().map_err(at)?;
        files::write(&path, &bytes, Access::Everyone, Existing::replace_if(args.force))?;
        writeln!(out, "signature of key {short}\nwrote {}", path.display())?;
        envelope.merge(&detached).map_err(at)?;
    }
    Ok(())
}

/// What is being signed, in one line: nobody signs a digest that they cannot read.
pub fn describe(envelope: &Envelope) -> String {
    /// Of a release.
    #[derive(Deserialize)]
    struct Head {
        policy_name: String,
        version: u64,
    }
    let (kind, digest) = (envelope.kind(), envelope.digest());
    let more = match kind {
        Kind::Release => serde_json::from_slice::<Head>(envelope.payload())
            .map(|Head { policy_name, version }| format!(": policy {} version {version}", policy_name.escape_default()))
            .unwrap_or_default(),
        Kind::TrustRoot => RootClaims::read(envelope)
            .map(|claims| format!(": version {}, expires {}", claims.version, claims.expires))
            .unwrap_or_default(),
        Kind::Pointer => Pointer::read(envelope.payload())
            .map(|Pointer { policy_name, channel, release, serial, expires, .. }| {
                let policy = policy_name.escape_default();
                format!(": policy {policy}, channel {channel} runs {release}, serial {serial}, until {expires}")
            })
            .unwrap_or_default(),
        Kind::Revocations => Revocations::read(envelope.payload())
            .map(|list| {
                format!(
                    ": policy {}, channel {}, serial {}, {}, until {}",
                    list.policy_name.escape_default(),
                    list.channel,
                    list.serial,
                    plural(list.entries().len(), "entry"),
                    list.expires
                )
            })
            .unwrap_or_default(),
        Kind::KeySet => KeySet::read(envelope.payload())
            .map(|KeySet { policy_name, channel, serial, expires, .. }| {
                let policy = policy_name.escape_default();
                format!(": policy {policy}, channel {channel}, serial {serial}, until {expires}")
            })
            .unwrap_or_default(),
        Kind::ProfileDocument => ProfileDocument::read(envelope.payload())
            .map(|ProfileDocument { policy_name, release, serial, expires, place, .. }| {
                let policy = policy_name.escape_default();
                let place = profile::place::lines(&place).join("\n");
                format!(": policy {policy}, for agents of {release}, serial {serial}, until {expires}\n{place}")
            })
            .unwrap_or_default(),
        Kind::Attestation | Kind::Provenance => String::new(),
    };
    format!("{kind} {digest}{more}")
}

/// Gathers signatures into a file of `kind`.
pub fn merge(args: &MergeArgs, kind: Kind, out: &mut dyn Write) -> Result<(), Failure> {
    let mut envelope = read_envelope(&args.file, kind)?;
    let before = envelope.signatures().len();
    for path in &args.signatures {
        let bytes = files::read(path, kind.envelope_bytes_max())?;
        let merged = if Detached::is_likely(&bytes) {
            Detached::parse(&bytes).and_then(|detached| envelope.merge(&detached))
        } else {
            Envelope::parse_kind(&bytes, kind).and_then(|other| envelope.merge_envelope(&other))
        };
        merged.map_err(|fault| Failure::at(path, fault))?;
    }
    files::write(&args.file, &envelope.to_bytes(), Access::Everyone, Existing::Replace)?;
    let count = envelope.signatures().len();
    writeln!(out, "wrote {} ({}, {} new)", args.file.display(), plural(count, "signature"), count - before)?;
    Ok(())
}

/// An envelope of one kind, with nothing verified.
pub fn read_envelope(path: &Path, kind: Kind) -> Result<Envelope, Failure> {
    let bytes = files::read(path, kind.envelope_bytes_max())?;
    files::envelope(path, &bytes, kind)
}

/// The time of this machine's clock.
pub fn now() -> Result<Timestamp, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let now = since.and_then(|since| Timestamp::from_seconds(since.as_secs()));
    now.ok_or_else(|| Failure::new("expected a clock between 1970 and 9999").help("set the clock of this machine"))
}

/// `1 route`, `2 routes`, `3 addresses`, `4 entries`.
pub fn plural(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix("try")) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}tries"),
        _ if noun.ends_with('s') => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_and_many_are_told_apart() {
        let told = [(1, "entry"), (0, "entry"), (3, "address"), (2, "API key")].map(|(n, of)| super::plural(n, of));
        assert_eq!(told, ["1 entry", "0 entries", "3 addresses", "2 API keys"]);
    }
}
