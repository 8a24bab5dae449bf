//! What every signed file has in common: signing it, gathering signatures of several people, telling the time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use policy_release::envelope::{Detached, Envelope, Kind};
use policy_release::key::PublicKey;
use policy_release::pointer::Pointer;
use policy_release::root::RootClaims;
use policy_release::time::Timestamp;
use serde::Deserialize;

use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::signer::{KeyArgs, Signer};

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

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The file that takes the signatures.
    pub file: PathBuf,
    /// Detached signatures, or copies of FILE that others signed.
    #[arg(required = true)]
    signatures: Vec<PathBuf>,
}

/// Signs a file of `kind`.
pub fn sign(args: &SignArgs, kind: Kind, out: &mut dyn Write) -> Result<(), Failure> {
    sign_checked(args, kind, |_| Ok(()), out).map(drop)
}

/// As [`sign`], when `check` has nothing against any of the keys. Gives what was written, unless it was detached.
pub fn sign_checked(
    args: &SignArgs,
    kind: Kind,
    check: impl Fn(&PublicKey) -> Result<(), Failure>,
    out: &mut dyn Write,
) -> Result<Option<Envelope>, Failure> {
    let mut envelope = read_envelope(&args.file, kind)?;
    let signers = args.keys.open()?;
    signers.iter().try_for_each(|signer| check(&signer.public()))?;
    writeln!(out, "{}", describe(&envelope))?;
    if args.detached {
        return write_detached(args, &envelope, &signers, out).map(|()| None);
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
    Ok(Some(envelope))
}

fn write_detached(
    args: &SignArgs,
    envelope: &Envelope,
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
        let bytes = signer.detached(envelope)?.to_bytes().map_err(|fault| Failure::at(&args.file, fault))?;
        files::write(&path, &bytes, Access::Everyone, Existing::replace_if(args.force))?;
        writeln!(out, "signature of key {short}\nwrote {}", path.display())?;
    }
    Ok(())
}

/// What is being signed, in one line: nobody signs a digest that they cannot read.
pub fn describe(envelope: &Envelope) -> String {
    /// Of a release: reading all of it takes long and may need a newer engine.
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
            .map(|Pointer { channel, release, serial, expires, .. }| {
                format!(": channel {channel} runs {release}, serial {serial}, until {expires}")
            })
            .unwrap_or_default(),
        _ => String::new(),
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
    Envelope::parse_kind(&bytes, kind).map_err(|fault| Failure::at(path, fault))
}

/// The time of this machine's clock.
pub fn now() -> Result<Timestamp, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let now = since.and_then(|since| Timestamp::from_seconds(since.as_secs()));
    now.ok_or_else(|| Failure::new("expected a clock between 1970 and 9999").help("set the clock of this machine"))
}

/// `1 route`, `2 routes`.
pub fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
