//! `adamant ca`: a small certificate authority for teams that have none.

use std::io::Write;
use std::path::{Path, PathBuf};

use agent::bounds::{FILE_BYTES_MAX, LIFE_CA_S, LIFE_CLIENT_S, LIFE_CRL_S, LIFE_SERVER_S};
use agent::ca::issue::{For, new_key, request};
use agent::ca::{self, Authority, Wish, place};
use agent::spiffe::{SpiffeId, TrustDomain};
use agent::{clock, files as agent_files};
use clap::{ArgGroup, Args, Subcommand};

use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::passphrase;

#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make a CA in a new directory: an ECDSA P-256 key, encrypted, and its certificate.
    #[command(after_help = "Examples:\n  \
        adamant ca init ca --trust-domain corp.example --passphrase-file ca.pass\n  \
        adamant ca init ca --trust-domain corp.example --server api.corp.example --no-passphrase\n\n\
        Agents get SPIFFE ids of the trust domain. Servers get the names of --server and what is below them, and no\n\
        others: that stands in the CA's certificate. Without --server it is for agents alone.")]
    Init(InitArgs),
    /// Issue a certificate: for an agent (24 h unless told otherwise) or a server (30 d).
    #[command(after_help = "Examples:\n  \
        adamant ca issue ca --spiffe spiffe://corp.example/reports --csr reports.csr --key-sha256 HASH --out reports.pem\n  \
        adamant ca issue ca --server api.corp.example --key-out server.key --out server.pem\n\n\
        Of a CSR the key alone is used, once its signature shows that the sender has it; names, uses and life are what you\n\
        say here. That it is the key of the agent, --key-sha256 makes sure: what enroll said where the agent is. Everything issued stands in issued.jsonl of the CA.")]
    Issue(IssueArgs),
    /// Show what a CA is and what it has issued; needs no passphrase.
    Show(ShowArgs),
    /// Revoke certificates, and write the CRL that says so.
    #[command(after_help = "Example:\n  \
        adamant ca revoke ca spiffe://corp.example/reports --why 'laptop stolen'   # all its certificates\n\n\
        WHICH is a serial number, the SHA-256 of a certificate, or a SPIFFE id. The gateway reads ca.crl where its\n\
        policy names it.")]
    Revoke(RevokeArgs),
    /// Write the CRL anew, before its life ends.
    Crl(CrlArgs),
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Directory of the CA; made with mode 0700.
    directory: PathBuf,
    /// Trust domain of the SPIFFE ids, like corp.example.
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: TrustDomain,
    /// DNS name or IP address that servers may have. May be repeated.
    #[arg(long = "server", value_name = "NAME")]
    servers: Vec<String>,
    /// Also issue tokens with certificates, bound to them, under this name (`iss`); for the policy: DIR/jwks.json.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// How long the CA lasts, like 365d.
    #[arg(long, value_name = "TIME", value_parser = clock::parse_length, default_value = "1825d")]
    life: u64,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

#[derive(Debug, Args)]
struct NewPassphraseArgs {
    /// File whose first line is the passphrase; asked for on the terminal when absent.
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    passphrase_file: Option<PathBuf>,
    /// Leave the private key in the clear: whoever reads the file can issue.
    #[arg(long)]
    no_passphrase: bool,
}

#[derive(Debug, Args)]
struct OpenArgs {
    /// Directory of the CA.
    directory: PathBuf,
    /// File whose first line is the passphrase; asked for on the terminal when absent.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).multiple(true))]
pub struct IssueArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// For an agent: its SPIFFE id.
    #[arg(long, value_name = "ID", group = "whom", conflicts_with = "server")]
    spiffe: Option<SpiffeId>,
    /// For a server: a DNS name or IP address of it. May be repeated.
    #[arg(long, value_name = "NAME", group = "whom")]
    server: Vec<String>,
    /// The request of whoever has the key (PKCS #10, PEM).
    #[arg(long, value_name = "FILE", conflicts_with = "key_out", required_unless_present = "key_out")]
    csr: Option<PathBuf>,
    /// SHA-256 (hex) over the public key that the request must have, as the agent's side told it by another way.
    #[arg(long, value_name = "HASH", requires = "csr")]
    key_sha256: Option<String>,
    /// Make a key here instead, and write it there (mode 0600).
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
    /// How long it lasts, like 12h; at most 7d for agents and 90d for servers.
    #[arg(long, value_name = "TIME", value_parser = clock::parse_length)]
    life: Option<u64>,
    /// Where the certificate goes.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace existing files.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Directory of the CA.
    directory: PathBuf,
    /// Also list what was issued and is still valid.
    #[arg(long)]
    issued: bool,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Serial number, SHA-256, or SPIFFE id.
    which: String,
    /// A word on why, for the log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// How long the CRL is good for.
    #[arg(long, value_name = "TIME", value_parser = clock::parse_length, default_value = "7d")]
    life: u64,
}

#[derive(Debug, Args)]
pub struct CrlArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// How long the CRL is good for.
    #[arg(long, value_name = "TIME", value_parser = clock::parse_length, default_value = "7d")]
    life: u64,
}

/// As the help says them.
const _: () = assert!(LIFE_CA_S == 1_825 * 86_400 && LIFE_CRL_S == 7 * 86_400);

impl From<agent::Fault> for Failure {
    fn from(fault: agent::Fault) -> Self {
        match fault.hint() {
            Some(hint) => Self::new(&fault).help(hint),
            None => Self::new(&fault),
        }
    }
}

pub fn run(command: CaCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        CaCommand::Init(args) => init(&args, out),
        CaCommand::Issue(args) => issue(&args, out),
        CaCommand::Show(args) => show(&args, out),
        CaCommand::Revoke(args) => revoke(&args, out),
        CaCommand::Crl(args) => crl(&open(&args.open)?, &args.open.directory, args.life, out),
    }
}

fn init(args: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let passphrase = if args.passphrase.no_passphrase {
        warn("the CA's key is written in the clear: whoever reads it can issue; keep it off shared machines");
        None
    } else {
        Some(passphrase::choose(args.passphrase.passphrase_file.as_deref())?)
    };
    let wish = Wish {
        directory: &args.directory,
        trust_domain: args.trust_domain.clone(),
        servers: &args.servers,
        issuer: args.issuer.as_deref(),
        life_s: args.life,
        passphrase: passphrase.as_ref().map(|text| text.as_bytes()),
    };
    let shown = ca::init(&wish, clock::now_s())?;
    let certificate = args.directory.join(place::CERTIFICATE);
    write_shown(&shown, &args.directory, out)?;
    writeln!(out, "next, in the policy:")?;
    writeln!(out, "  [[client_ca]] certificates = {{ file = {:?} }}", certificate.display().to_string())?;
    if args.issuer.is_some() {
        let jwks = args.directory.join(place::JWKS).display().to_string();
        writeln!(out, "  [[issuer]] keys = {{ file = {jwks:?} }}, algorithms = [\"ES256\"]")?;
    }
    Ok(())
}

fn write_shown(shown: &ca::Shown, directory: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let servers = if shown.servers.is_empty() { "none".to_owned() } else { shown.servers.join(", ") };
    let key = if shown.encrypted { "encrypted" } else { "in the clear" };
    writeln!(out, "CA in {}", directory.display())?;
    writeln!(out, "  agents   spiffe://{}/…", shown.trust_domain)?;
    writeln!(out, "  servers  {servers}")?;
    writeln!(out, "  tokens   {}", shown.issuer.as_deref().unwrap_or("none"))?;
    writeln!(out, "  until    {}", clock::shown(shown.facts.not_after_s))?;
    writeln!(out, "  sha256   {}", shown.facts.sha256)?;
    writeln!(out, "  key      {key}")?;
    Ok(())
}

/// A CA to sign with; asks for its passphrase if it has one.
fn open(args: &OpenArgs) -> Result<Authority, Failure> {
    let (directory, file) = (&args.directory, args.passphrase_file.as_deref());
    ca::show(directory)?;
    let passphrase = match ca::is_encrypted(directory)? {
        true => Some(passphrase::read(file, &directory.join(place::KEY).display().to_string())?),
        false => None,
    };
    Ok(Authority::open(directory, passphrase.as_ref().map(|text| text.as_bytes()))?)
}

fn issue(args: &IssueArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // Certificates may go where agents put their requests.
    let existing = Existing::replace_link_if(args.force);
    files::expect_free(&args.out, existing)?;
    args.key_out.as_ref().map_or(Ok(()), |path| files::expect_free(path, existing))?;
    if let Some(path) = args.key_out.as_ref().filter(|path| files::is_same(path, &args.out)) {
        let fault = Failure::at(path, "expected another file for the key than for the certificate, found the same");
        return Err(fault.help("give --out and --key-out different names"));
    }
    for path in args.key_out.iter().chain([&args.out]) {
        if place::OWN.iter().any(|own| files::is_same(path, &args.open.directory.join(own))) {
            let message = "expected another file than one of the CA's own, found one that it is made of";
            return Err(Failure::at(path, message).help("write elsewhere: nothing of the CA is replaced"));
        }
    }
    let whom = match &args.spiffe {
        Some(id) => For::Agent(id.clone()),
        None => For::Server(args.server.clone()),
    };
    let life_s = args.life.unwrap_or(if args.spiffe.is_some() { LIFE_CLIENT_S } else { LIFE_SERVER_S });
    let key = args.key_out.as_ref().map(|_| new_key()).transpose()?;
    let csr = match (&args.csr, &key) {
        (Some(path), _) => agent_files::read_text(path, FILE_BYTES_MAX)?,
        (None, Some(key)) => request(key, args.spiffe.as_ref())?,
        (None, None) => return Err(Failure::new("expected --csr or --key-out, found neither")),
    };
    let made = open(&args.open)?.issue(&whom, &csr, args.key_sha256.as_deref(), life_s, clock::now_s())?;
    // Both are whole on disk before either takes its place: a key beside an older certificate fits nothing.
    let staged_key = match (&args.key_out, &key) {
        (Some(path), Some(key)) => Some(files::stage(path, key.as_bytes(), Access::OwnerOnly, existing)?),
        _ => None,
    };
    let staged = files::stage(&args.out, made.pem.as_bytes(), Access::Everyone, existing)?;
    staged_key.map_or(Ok(()), files::Staged::put)?;
    staged.put()?;
    let name = made.facts.uris.iter().chain(&made.facts.names).cloned().collect::<Vec<_>>().join(", ");
    writeln!(out, "issued {} for {name}", args.out.display())?;
    writeln!(out, "  serial   {}", made.facts.serial)?;
    writeln!(out, "  sha256   {}", made.facts.sha256)?;
    writeln!(out, "  until    {}", clock::shown(made.facts.not_after_s))?;
    match &args.key_out {
        Some(path) => writeln!(out, "  key      {}", path.display())?,
        None => writeln!(out, "  key      {} (SHA-256)", made.facts.spki_sha256)?,
    }
    Ok(())
}

fn show(args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    write_shown(&ca::show(&args.directory)?, &args.directory, out)?;
    let issued: Vec<ca::log::Issued> = ca::log::read(&args.directory.join(place::ISSUED))?;
    let revoked: Vec<ca::log::Revoked> = ca::log::read(&args.directory.join(place::REVOKED))?;
    let now_s = clock::now_s();
    let valid: Vec<_> = issued.iter().filter(|entry| entry.until.seconds() > now_s).collect();
    let is_revoked = |serial: &str| revoked.iter().any(|entry| entry.serial == serial);
    let taken_back = valid.iter().filter(|entry| is_revoked(&entry.serial)).count();
    writeln!(out, "  issued   {}, {} still valid, {taken_back} of these revoked", issued.len(), valid.len())?;
    match ca::crl::last(&args.directory)? {
        None => writeln!(out, "  crl      none: adamant ca crl makes one")?,
        Some((number, ends_s)) => {
            let ended = if ends_s <= now_s { "; it has ended: adamant ca crl writes it anew" } else { "" };
            writeln!(out, "  crl      number {number}, until {}{ended}", clock::shown(ends_s))?;
        }
    }
    for entry in valid.iter().filter(|_| args.issued) {
        let state = if is_revoked(&entry.serial) { "  revoked" } else { "" };
        writeln!(out, "  {}  {}  until {}{state}", entry.serial, entry.name, entry.until)?;
    }
    Ok(())
}

fn revoke(args: &RevokeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let authority = open(&args.open)?;
    let revoked = authority.revoke(&args.which, &args.why, clock::now_s())?;
    if revoked.is_empty() {
        writeln!(out, "nothing to revoke: what {} names has expired or was revoked before", args.which)?;
    }
    for entry in &revoked {
        writeln!(out, "revoked {}  {}  until {}", entry.serial, entry.name, entry.until)?;
    }
    crl(&authority, &args.open.directory, args.life, out)?;
    if !revoked.is_empty() {
        writeln!(
            out,
            "in force only where a [[client_ca]] of the release has crl = {{ watch = \"…\" }} and that file is this one; \
             elsewhere: adamant revoke --certificate …"
        )?;
        writeln!(
            out,
            "the CA issues to the same name again when it is asked to; what stops the agent itself: adamant revoke --agent \
             NAME …"
        )?;
    }
    Ok(())
}

fn crl(authority: &Authority, directory: &Path, life_s: u64, out: &mut dyn Write) -> Result<(), Failure> {
    let written = authority.write_crl(life_s, clock::now_s())?;
    let entries =
        if written.entries == 1 { "1 certificate".to_owned() } else { format!("{} certificates", written.entries) };
    let (path, next) = (directory.join(place::CRL), clock::shown(written.next_update_s));
    writeln!(out, "wrote {}: number {}, {entries}, next before {next}", path.display(), written.number)?;
    Ok(())
}
