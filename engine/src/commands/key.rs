//! `adamant key`: API keys for agents and signing keys for people.

use std::io::Write;
use std::path::{Path, PathBuf};

use age_format::Identity;
use clap::{Args, Subcommand};
use identity::api_key;
use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::digest::Digest;
use policy_release::key::{PublicKey, SigningKey};
use policy_release::key_file::{self, EncryptionSeed};
use policy_release::time::Timestamp;
use zeroize::Zeroizing;

use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::passphrase;
use crate::signer::{self, KeySource, TransitArgs};

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an API key for an agent. The policy gets its digest, the agent gets the key, and nothing keeps it.
    #[command(after_help = "Examples:\n  \
        adamant key new --id reports-1 --expires 2027-01-31T00:00:00Z --out reports-1.key >> policy.toml\n  \
        adamant key new --id reports-1      # the key is the first line; the rest is for the policy\n  \
        adamant key new --id ci-1 --moving --out ci-1.key   # then: adamant key-set add --key-file ci-1.key")]
    New(NewArgs),
    /// Make an Ed25519 key to sign releases, pointers and trust roots with.
    #[command(after_help = "Example:\n  adamant key signer --out alice.key\n  adamant key public alice.key")]
    Signer(MakeArgs),
    /// Make an age identity to encrypt records or state to, as age-keygen does.
    #[command(after_help = "Example:\n  \
        adamant key age --out records.key      # prints age1…, for encrypt_to of [records]; records.key reads them")]
    Age(AgeArgs),
    /// Print the public half of a signing key; needs no passphrase.
    #[command(after_help = "Examples:\n  \
        adamant key public alice.key > alice.pub\n  \
        BAO_TOKEN=… adamant key public transit:https://bao.example:8200/transit/keys/alice")]
    Public(PublicArgs),
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The id that the policy declares: 1 to 32 of a-z, 0-9 and '-'.
    #[arg(long)]
    id: String,
    /// When the key ends, like 2027-01-31T00:00:00Z; goes into the TOML that is printed.
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// The key set is to hold the digest, and the policy the id alone.
    #[arg(long)]
    moving: bool,
    /// Write the key there (mode 0600), so that standard output has the TOML alone.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing file. The key in it is lost.
    #[arg(long, requires = "out")]
    force: bool,
}

#[derive(Debug, Args)]
pub struct MakeArgs {
    /// Where to write the key file (mode 0600).
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// File whose first line is the passphrase; asked for on the terminal when absent.
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    passphrase_file: Option<PathBuf>,
    /// Leave the private key in the clear: whoever reads the file can sign.
    #[arg(long)]
    no_passphrase: bool,
    /// Replace an existing file. The key in it is lost.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct AgeArgs {
    /// Where to write the identity (mode 0600).
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace an existing file. What is encrypted to the identity in it is lost.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct PublicArgs {
    /// A key file made by `adamant key signer`, or transit:https://HOST:PORT/MOUNT/keys/NAME[@VERSION].
    key: KeySource,
    #[command(flatten)]
    transit: TransitArgs,
}

pub fn run(command: KeyCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        KeyCommand::New(args) => new(&args, out),
        KeyCommand::Signer(args) => signer(&args, out),
        KeyCommand::Age(args) => age(&args, out),
        KeyCommand::Public(args) => Ok(writeln!(out, "{}", public_of(&args.key, &args.transit)?)?),
    }
}

fn new(args: &NewArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    args.out.as_ref().map_or(Ok(()), |path| files::expect_free(path, existing))?;
    let key = api_key::generate(&args.id, random()?).map_err(|fault| {
        let message = format!("--id {:?}: {fault}", args.id);
        Failure::new(message).help("for example: adamant key new --id reports-1")
    })?;
    let digest = Digest::from_bytes(api_key::digest(key.as_bytes())).to_string();
    let sha256 = digest.trim_start_matches("sha256:");
    // The key that takes the place of another one has its id.
    let once = if args.moving { ", unless that declares the id already" } else { "" };
    match &args.out {
        Some(path) => {
            let line = Zeroizing::new(format!("{}\n", *key));
            files::write(path, line.as_bytes(), Access::OwnerOnly, existing)?;
            eprintln!(
                "the key is in {}: give it to the agent; what follows goes into the policy{once}",
                path.display()
            );
        }
        None => {
            writeln!(out, "{}\n", *key)?;
            writeln!(
                out,
                "# The line above is the key: give it to the agent, it is kept nowhere. This goes into the policy{once}:"
            )?;
        }
    }
    writeln!(out, "[[api_key]]\nid = \"{}\"", args.id)?;
    match args.moving {
        false => writeln!(out, "sha256 = \"{sha256}\"")?,
        true => writeln!(out, "# The key set holds: {sha256}")?,
    }
    if let Some(expires) = args.expires {
        writeln!(out, "expires = {expires}")?;
    }
    Ok(())
}

fn signer(args: &MakeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    files::expect_free(&args.out, existing)?;
    let passphrase = if args.no_passphrase {
        warn("the private key is written in the clear: whoever reads the file can sign; keep it off shared machines");
        None
    } else {
        Some(passphrase::choose(args.passphrase_file.as_deref())?)
    };
    let key = SigningKey::generate(random()?).map_err(Failure::new)?;
    let text = match passphrase {
        None => key_file::to_plain(&key),
        Some(passphrase) => {
            let seed = EncryptionSeed { salt: random()?, iv: random()? };
            key_file::to_encrypted(&key, passphrase.as_bytes(), seed).map(Zeroizing::new)
        }
    };
    let text = text.map_err(Failure::new)?;
    files::write(&args.out, text.as_bytes(), Access::OwnerOnly, existing)?;
    let public = key.public();
    writeln!(out, "{public}")?;
    writeln!(out, "# key id {}\n# private half in {}", public.id(), args.out.display())?;
    Ok(())
}

fn age(args: &AgeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let existing = Existing::replace_if(args.force);
    files::expect_free(&args.out, existing)?;
    let (identity, text) = Identity::generate().map_err(Failure::new)?;
    let public = identity.recipient();
    let file = Zeroizing::new(format!("# public key: {public}\n{}\n", *text));
    files::write(&args.out, file.as_bytes(), Access::OwnerOnly, existing)?;
    writeln!(out, "{public}")?;
    writeln!(out, "# private half in {}", args.out.display())?;
    Ok(())
}

/// The public half of a key, wherever it is.
pub fn public_of(key: &KeySource, transit: &TransitArgs) -> Result<PublicKey, Failure> {
    match key {
        KeySource::File(path) => public_of_file(path),
        KeySource::Transit(address) => signer::public_of_transit(address, transit),
    }
}

/// The public half that a key file states.
fn public_of_file(path: &Path) -> Result<PublicKey, Failure> {
    let secret = files::read_secret(path, SMALL_FILE_BYTES_MAX)?;
    key_file::public_of(&secret.text).map_err(|fault| Failure::at(path, fault))
}

/// Bytes of the kernel's random generator.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format_args!("the kernel gives no random bytes: {error}")))?;
    Ok(bytes)
}
