//! `adamant profile`: makes, signs and publishes the document that says where agents of a release find their gateway.

mod desk;
pub mod place;

use std::io::Write;
use std::path::PathBuf;

use agent::tls::Target as Gateway;
use agent::x509;
use clap::{Args, Subcommand};
use policy_release::envelope::Kind;
use policy_release::profile_document::{Pki, Place, ProfileDocument};
use policy_release::time::Timestamp;

use self::desk::ProfileDesk;
use super::signing::{self, MergeArgs, WitnessedArgs};
use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::pointing::{ReleaseChoice, Where};
use crate::signer::KeyArgs;
use crate::span::Span;
use crate::store::Named;

/// How long a document holds when nothing is said.
const SPAN: Span = Span { seconds: 90 * 86_400 };
/// Bytes of a file with a CA.
const CA_BYTES_MAX: usize = 128 << 10;

#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Say where agents of a release find their gateway: makes the next document, signs and publishes it.
    #[command(after_help = "Examples:\n  \
        adamant profile issue --store /srv/adamant --channel production --trust-root root.json \\\n    \
        --gateway https://api.corp.example:8443 --gateway-ca gateway-ca.pem --key alice.key --key bob.key\n  \
        adamant profile issue … --release next.json --key alice.key --key bob.key   # the same place, for the next release\n\n\
        Agents that follow the channel (adamant agent enroll --store) take it with the release. It needs the signatures of \
        release-wider: whoever names the gateway is called with the agents' credentials.")]
    Issue(Box<IssueArgs>),
    /// Show the document that a release has.
    Show(ShowArgs),
    /// Sign a document that was written with --out.
    Sign(WitnessedArgs),
    /// Put signatures that several people made into one document.
    Merge(MergeArgs),
    /// Publish a document that enough people signed.
    Publish(PublishArgs),
}

#[derive(Debug, Args)]
pub struct IssueArgs {
    #[command(flatten)]
    at: Where,
    /// The release that it is for: a file, sha256:… of one in the store, or what the channel runs.
    #[arg(long, value_name = "RELEASE", default_value = "current")]
    release: ReleaseChoice,
    /// The gateway, https://HOST:PORT. Without it, the place stays what the release, or what the channel runs, has already.
    #[arg(long, value_name = "URL")]
    gateway: Option<Gateway>,
    /// Without --gateway: go on from the newest document that was seen from here, where the store goes behind it.
    #[arg(long, conflicts_with = "gateway")]
    carry_on: bool,
    /// PEM file with the CA of the gateway's certificate.
    #[arg(long, value_name = "FILE", requires = "gateway")]
    gateway_ca: Option<PathBuf>,
    /// SHA-256 (hex) over the public key of the gateway's certificate. May be repeated, for one to come.
    #[arg(long, value_name = "HASH", requires = "gateway")]
    gateway_spki: Vec<String>,
    /// OpenBao or Vault with the PKI engine that signs for agents, https://HOST:PORT.
    #[arg(long, value_name = "URL", requires = "gateway")]
    openbao: Option<String>,
    /// Where its PKI engine is mounted.
    #[arg(long, value_name = "PATH", requires = "openbao", default_value = "pki")]
    mount: String,
    /// The role that signs; that of each agent's name when absent.
    #[arg(long, value_name = "NAME", requires = "openbao")]
    role: Option<String>,
    /// When it ends, like 2027-01-31T00:00:00Z; 90 days from now when absent.
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    expires: Option<Timestamp>,
    /// How long it holds: 90m, 12h, 30d or 4w.
    #[arg(long = "for", id = "span", value_name = "SPAN")]
    span: Option<Span>,
    /// Its serial; one above that of the present one when absent.
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Write it there and publish nothing, so that others can sign it first.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    at: Where,
    /// The release: a file, sha256:… of one in the store, or what the channel runs.
    #[arg(long, value_name = "RELEASE", default_value = "current")]
    release: ReleaseChoice,
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The document.
    file: PathBuf,
    #[command(flatten)]
    at: Where,
}

pub fn run(command: ProfileCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        ProfileCommand::Issue(args) => issue(&args, out),
        ProfileCommand::Show(args) => show(&args, out),
        ProfileCommand::Sign(args) => signing::sign_witnessed(&args, Kind::ProfileDocument, out),
        ProfileCommand::Merge(args) => signing::merge(&args, Kind::ProfileDocument, out),
        ProfileCommand::Publish(args) => publish(&args, out),
    }
}

fn issue(args: &IssueArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk = ProfileDesk::open(&args.at, &args.release)?;
    if args.out.is_none() {
        desk.desk.store.expect_writable()?;
    }
    let now = desk.desk.now;
    let expires = args.expires.or_else(|| args.span.unwrap_or(SPAN).after(now)).filter(|expires| *expires > now);
    let expires = expires.ok_or_else(|| {
        Failure::new(format_args!("expected a profile document that expires in the future; it is {now}"))
    })?;
    let place = match &args.gateway {
        Some(gateway) => place(args, gateway)?,
        None => desk.place(args.carry_on)?,
    };
    desk.warn_of_behind();
    desk.warn_of_elsewhere(&place);
    let (release, serial) = (desk.release, desk.serial(args.serial)?);
    let document = ProfileDocument::new(&desk.policy_name, release, serial, (now, expires), place);
    let document = document.map_err(Failure::new)?;
    let mut envelope = document.to_envelope().map_err(Failure::new)?;
    let signers = args.keys.open()?;
    for signer in &signers {
        desk.may_sign(&signer.public())?;
    }
    for signer in &signers {
        signer.sign(&mut envelope)?;
    }
    desk.tell(&document, &envelope, out)?;
    match &args.out {
        None => desk.publish(&document, &envelope, out),
        Some(path) => {
            files::write(path, &envelope.to_bytes(), Access::Everyone, Existing::Refuse)?;
            let (path, store) = (path.display(), desk.desk.store.path().display());
            writeln!(out, "wrote {path}; the store is as it was")?;
            writeln!(out, "next, each of the others: adamant profile sign {path} --key KEY")?;
            writeln!(out, "then: adamant profile publish {path} --store {store} …")?;
            Ok(())
        }
    }
}

/// As the options say.
fn place(args: &IssueArgs, gateway: &Gateway) -> Result<Place, Failure> {
    let read = |path: &PathBuf| {
        let text = files::read_text(path, CA_BYTES_MAX)?;
        if text.contains("PRIVATE KEY") {
            let failure = Failure::at(path, "expected certificates alone, found a private key; nothing was published");
            return Err(failure.help("name a file with the CA's certificate: everybody who reads the store gets it"));
        }
        x509::certificates(text.as_bytes()).map_err(|why| Failure::at(path, why))?;
        Ok(text)
    };
    Ok(Place {
        gateway: gateway.to_string(),
        gateway_ca: args.gateway_ca.as_ref().map(read).transpose()?,
        gateway_spki_sha256: args.gateway_spki.clone(),
        openbao: args.openbao.as_ref().map(|url| Pki {
            url: url.clone(),
            mount: args.mount.clone(),
            role: args.role.clone(),
        }),
    })
}

fn show(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let desk = ProfileDesk::open(&args.at, &args.release)?;
    if let Some(told) = desk.behind() {
        warn(format_args!("{told}: who put back what is in the store?"));
    }
    let (document, envelope) = desk.present()?;
    desk.tell(document, envelope, out)?;
    if document.expires <= desk.desk.now {
        warn("it has expired: agents that have it go on with it, and nobody takes it anew (adamant profile issue)");
    }
    Ok(())
}

fn publish(args: &PublishArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let envelope = signing::read_envelope(&args.file, Kind::ProfileDocument)?;
    let document = ProfileDocument::read(envelope.payload()).map_err(|fault| Failure::at(&args.file, fault))?;
    let desk = ProfileDesk::open(&args.at, &ReleaseChoice::Stored(Named::Whole(document.release)))?;
    if document.policy_name != desk.policy_name {
        let message =
            format!("expected a profile document of policy {:?}, found {:?}", desk.policy_name, document.policy_name);
        return Err(Failure::at(&args.file, message).help("agents of the release would refuse it: issue it again"));
    }
    desk.warn_of_behind();
    desk.expect_next(&document, envelope.digest()).map_err(|failure| failure.in_file(&args.file))?;
    desk.tell(&document, &envelope, out)?;
    desk.publish(&document, &envelope, out)
}
