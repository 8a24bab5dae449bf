//! `adamant agent enroll`: a profile, from options alone or from what a channel runs.

use std::io::Write;
use std::path::{Path, PathBuf};

use agent::bounds::LIFE_CLIENT_S;
use agent::channel::{self, Follows, Joined, next};
use agent::enroll::{self, Known, Wish};
use agent::export::for_shell;
use agent::id::Id;
use agent::openbao::OpenBao;
use agent::source::Source;
use agent::spiffe::SpiffeId;
use agent::tls::Target;
use agent::{clock, generation};
use clap::{ArgGroup, Args};
use policy_release::envelope::Kind;
use stores::Channel;

use super::acme::AcmeArgs;
use super::token::TokenArgs;
use super::write_profile;
use crate::failure::{Failure, warn};
use crate::files;
use crate::store::{Store, StoreAccess};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source"))]
pub struct EnrollArgs {
    /// Directory of the profile.
    profile: PathBuf,
    /// Name of the agent in the policy.
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// The gateway, https://HOST:PORT; taken from the channel where that says it.
    #[arg(long, value_name = "URL", required_unless_present = "store")]
    gateway: Option<Target>,
    /// A CA made by `adamant ca init`, in a directory that this machine can read.
    #[arg(long, value_name = "DIR", group = "source")]
    ca: Option<PathBuf>,
    /// A CA elsewhere: NAME.csr goes into this directory, and NAME.pem is awaited there. One directory an agent: whoever
    /// else may write there can put their own request in its place.
    #[arg(long, value_name = "DIR", group = "source")]
    requests: Option<PathBuf>,
    /// OpenBao or Vault with a PKI engine, https://HOST:PORT.
    #[arg(long, value_name = "URL", group = "source", requires_all = ["role", "bao_token_file"])]
    openbao: Option<String>,
    /// Where its PKI engine is mounted.
    #[arg(long, value_name = "PATH", requires = "openbao", default_value = "pki")]
    mount: String,
    /// The role of the PKI engine that signs for this agent.
    #[arg(long, value_name = "NAME", requires = "openbao")]
    role: Option<String>,
    /// File whose first line is a token that may sign with the role; renewals read it too.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca", "requests", "acme"])]
    bao_token_file: Option<PathBuf>,
    /// The namespace that the PKI engine is in.
    #[arg(long, value_name = "NAME", requires = "bao_token_file")]
    bao_namespace: Option<String>,
    /// PEM file with the CA of OpenBao's own certificate; this machine's CAs when absent.
    #[arg(long, value_name = "FILE", requires = "bao_token_file")]
    bao_ca: Option<PathBuf>,
    /// File whose first line is the passphrase of the CA's key.
    #[arg(long, value_name = "FILE", requires = "ca")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    acme: AcmeArgs,
    /// Life of each certificate, like 24h; at most 7d.
    #[arg(long, value_name = "TIME", value_parser = clock::parse_length, conflicts_with_all = ["requests", "acme"])]
    life: Option<u64>,
    /// The agent's SPIFFE id; taken from the release when absent.
    #[arg(long, value_name = "ID", conflicts_with = "acme")]
    spiffe: Option<SpiffeId>,
    /// PEM file with the CA of the gateway's certificate; when nothing is pinned, that of --ca, or what --force finds pinned.
    #[arg(long, value_name = "FILE")]
    gateway_ca: Option<PathBuf>,
    /// SHA-256 (hex) over the public key of the gateway's certificate. May be repeated, for one to come.
    #[arg(long, value_name = "HASH")]
    gateway_spki: Vec<String>,
    /// The release that grants the agent its scopes.
    #[arg(long, value_name = "FILE", requires = "trust_root")]
    release: Option<PathBuf>,
    /// The store of a channel to follow, a directory or a URL: its release is taken, and its profile document.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "release", requires = "trust_root")]
    store: Option<PathBuf>,
    /// The channel; the one that the store has when absent.
    #[arg(long, value_name = "NAME", requires = "store")]
    channel: Option<Channel>,
    #[command(flatten)]
    access: StoreAccess,
    /// The trust root that the release, and all that comes from the store, is verified with.
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArgs,
    /// Replace a profile.
    #[arg(long)]
    force: bool,
}

pub fn run(args: &EnrollArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let read = |path: &Option<PathBuf>, max| path.as_ref().map(|path| files::read(path, max)).transpose();
    let (release, root) = (
        read(&args.release, Kind::Release.envelope_bytes_max())?,
        read(&args.trust_root, Kind::TrustRoot.envelope_bytes_max())?,
    );
    for (path, bytes, kind) in [(&args.release, &release, Kind::Release), (&args.trust_root, &root, Kind::TrustRoot)] {
        if let (Some(path), Some(bytes)) = (path, bytes) {
            files::envelope(path, bytes, kind)?;
        }
    }
    let joined = match (&args.store, &root) {
        (Some(store), Some(root)) => Some(join(args, store, root)?),
        _ => None,
    };
    let source = source(args, joined.as_ref())?;
    let known = match (&joined, &release, &root) {
        (Some(joined), _, _) => Known::Channel(joined),
        (None, Some(release), Some(root)) => Known::Release(release, root),
        (None, None, Some(_)) => {
            let failure = Failure::new("expected what the trust root is for, found neither --release nor --store");
            return Err(failure.help("--release FILE verifies one; --store DIR|URL follows a channel"));
        }
        _ => Known::Nothing,
    };
    let enrolled = enroll::enroll(&Wish {
        directory: &args.profile,
        agent: &args.agent,
        id: args.acme.id().or_else(|| args.spiffe.clone().map(Id::Spiffe)),
        gateway: args.gateway.clone(),
        gateway_ca: args.gateway_ca.as_deref(),
        gateway_spki_sha256: &args.gateway_spki,
        source,
        token: args.token.source()?,
        release: known,
        force: args.force,
    })?;
    enrolled.warnings.iter().for_each(warn);
    let in_use = generation::current(&args.profile).ok();
    let own = in_use.as_ref().filter(|_| enrolled.waiting.is_none());
    write_profile(&enrolled.profile, &args.profile, own, out)?;
    match &enrolled.waiting {
        None => writeln!(out, "next: adamant agent run {}", for_shell(&args.profile))?,
        Some(waiting) => {
            let (csr, pem) = (for_shell(&waiting.request), for_shell(&waiting.request.with_extension("pem")));
            let (spiffe, key) = (&enrolled.profile.id, &waiting.key_sha256);
            writeln!(out, "  key      {key} (SHA-256)")?;
            writeln!(
                out,
                "waiting for a certificate. Where the CA is (take this line there by another way than that directory):"
            )?;
            writeln!(out, "  adamant ca issue CA --spiffe {spiffe} --csr {csr} --key-sha256 {key} --out {pem}")?;
            writeln!(out, "then, here: the same command again, or adamant agent run {}", args.profile.display())?;
            if in_use.is_some() {
                writeln!(out, "until then, what was enrolled before stays in use")?;
            }
        }
    }
    Ok(())
}

/// What the channel of the store runs.
fn join(args: &EnrollArgs, store: &Path, root: &[u8]) -> Result<Joined, Failure> {
    let location = args.access.at(store)?;
    let channel = match &args.channel {
        Some(channel) => channel.clone(),
        None => only_channel(&Store::open(&location)?)?,
    };
    let follows = Follows::new(&location, &channel)?;
    Ok(channel::join(&args.profile, follows, root, clock::shown(clock::now_s()))?)
}

fn only_channel(store: &Store) -> Result<Channel, Failure> {
    let channels = store.channels()?;
    if let [one] = channels.as_slice() {
        return Ok(one.clone());
    }
    let there: Vec<&str> = channels.iter().map(Channel::as_str).collect();
    let found = if there.is_empty() { "none that it tells".to_owned() } else { there.join(", ") };
    let message = format!("expected one channel in {}, found {found}", store.path().display());
    Err(Failure::new(message).help("name it: --channel NAME"))
}

fn source(args: &EnrollArgs, joined: Option<&Joined>) -> Result<Source, Failure> {
    let life_s = args.life.unwrap_or(LIFE_CLIENT_S);
    if let Some(directory) = &args.ca {
        let (directory, passphrase_file) = (directory.clone(), args.passphrase_file.clone());
        return Ok(Source::Ca { directory, passphrase_file, life_s });
    }
    if let Some(directory) = &args.requests {
        return Ok(Source::Requests { directory: directory.clone() });
    }
    if let Some(acme) = args.acme.source()? {
        return Ok(Source::Acme(acme));
    }
    let named = joined.and_then(|joined| joined.news.place()?.openbao.as_ref());
    match (&args.openbao, &args.role, &args.bao_token_file, named) {
        (Some(_), _, _, Some(pki)) => {
            let message = format!("the channel says that certificates come from {}, and so does --openbao", pki.url);
            Err(Failure::new(message).help("leave --openbao, --mount and --role away"))
        }
        (Some(url), Some(role), Some(token_file), None) => {
            let (url, mount, role, token_file) = (url.clone(), args.mount.clone(), role.clone(), token_file.clone());
            let (namespace, ca_file) = (args.bao_namespace.clone(), args.bao_ca.clone());
            Ok(Source::Openbao(OpenBao { url, namespace, mount, role, token_file, ca_file, life_s }))
        }
        (None, _, Some(token_file), Some(pki)) => {
            let (token_file, ca_file) = (token_file.clone(), args.bao_ca.clone());
            let (url, mount, role) = (String::new(), String::new(), String::new());
            let of = OpenBao { url, namespace: args.bao_namespace.clone(), mount, role, token_file, ca_file, life_s };
            Ok(Source::Openbao(next::at(pki, &args.agent, of)))
        }
        (_, _, _, Some(pki)) => {
            let message = format!("the channel says that certificates come from {}, found no token for it", pki.url);
            Err(Failure::new(message)
                .help("--bao-token-file FILE; or name another CA: --ca, --requests, --openbao or --acme"))
        }
        (_, _, _, None) => {
            let message = "expected where certificates come from, found none of --ca, --requests, --openbao and --acme";
            Err(Failure::new(message).help("the channel may name an OpenBao too: adamant profile issue --openbao"))
        }
    }
}
