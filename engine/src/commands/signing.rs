//! What every signed file has in common: signing it, gathering signatures of several people, telling the time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::envelope::{Detached, Envelope, Kind};
use policy_release::key::SigningKey;
use policy_release::key_file;
use policy_release::time::Timestamp;

use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::passphrase;

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The file to sign.
    file: PathBuf,
    /// Signing key made by `adamant key signer`.
    #[arg(long, value_name = "KEYFILE")]
    key: PathBuf,
    /// File whose first line is the passphrase of the key; asked for on the terminal when absent.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Write the signature alone, to send to whoever gathers them, and leave FILE as it is.
    #[arg(long)]
    detached: bool,
    /// Where to write: FILE itself, or FILE.KEYID.sig when detached.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing OUT.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The file that takes the signatures.
    file: PathBuf,
    /// Detached signatures, or copies of FILE that others signed.
    #[arg(required = true)]
    signatures: Vec<PathBuf>,
}

/// Signs a file of `kind`.
pub fn sign(args: &SignArgs, kind: Kind, out: &mut dyn Write) -> Result<(), Failure> {
    let mut envelope = read_envelope(&args.file, kind)?;
    let key = read_key(&args.key, args.passphrase_file.as_deref())?;
    let (id, digest) = (key.public().id(), envelope.digest());
    let short: String = id.to_string().chars().take(12).collect();
    if args.detached {
        let path = args.out.clone().unwrap_or_else(|| {
            let mut name = args.file.clone().into_os_string();
            name.push(format!(".{short}.sig"));
            PathBuf::from(name)
        });
        let detached = envelope.detached(&key).and_then(|detached| detached.to_bytes());
        let bytes = detached.map_err(|fault| Failure::at(&args.file, fault))?;
        files::write(&path, &bytes, Access::Everyone, Existing::replace_if(args.force))?;
        writeln!(out, "signature of key {short}… over {kind} {digest}\nwrote {}", path.display())?;
        return Ok(());
    }
    envelope.sign(&key).map_err(|fault| Failure::at(&args.file, fault))?;
    let (path, existing) = match &args.out {
        Some(path) => (path, Existing::replace_if(args.force)),
        None => (&args.file, Existing::Replace),
    };
    files::write(path, &envelope.to_bytes(), Access::Everyone, existing)?;
    let count = envelope.signatures().len();
    writeln!(
        out,
        "signed {kind} {digest} with key {short}…\nwrote {} ({})",
        path.display(),
        plural(count, "signature")
    )?;
    Ok(())
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

/// The signing key of a file; asks for its passphrase if it has one.
pub fn read_key(path: &Path, passphrase_file: Option<&Path>) -> Result<SigningKey, Failure> {
    let secret = files::read_secret(path, SMALL_FILE_BYTES_MAX)?;
    let key = if key_file::is_encrypted(&secret.text) {
        let passphrase = passphrase::read(passphrase_file, &path.display().to_string())?;
        key_file::parse(&secret.text, Some(passphrase.as_bytes()))
    } else {
        if secret.exposed {
            let help = format!("run chmod 600 {}, and think about who may have read it", path.display());
            return Err(Failure::at(path, "others may read this key, and it is not encrypted").help(help));
        }
        key_file::parse(&secret.text, None)
    };
    if secret.exposed {
        warn(format_args!("{}: others may read this key file; run chmod 600 on it", path.display()));
    }
    key.map_err(|fault| Failure::at(path, fault))
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
