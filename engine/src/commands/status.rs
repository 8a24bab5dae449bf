//! `adamant status`: what gateways serve, and which of them differ.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use policy_release::digest::Digest;
use policy_release::time::Timestamp;
use stores::Channel;

use super::Format;
use super::signing::plural;
use crate::failure::{Failure, warn};
use crate::files;
use crate::fleet::expect::Expectation;
use crate::fleet::judge::{self, Judged, Yardstick};
use crate::fleet::pins::{Pins, node_key};
use crate::fleet::{self, Access, Host, jwks, last_use, show};
use crate::span::Span;
use crate::store::StoreAccess;

/// Bytes of a file of gateways.
const HOSTS_BYTES_MAX: usize = 1 << 20;
/// Pause between two rounds of `--watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Gateways: http://127.0.0.1:9901, unix:/run/adamant/admin, https://gw1:9902.
    #[arg(value_name = "GATEWAY", required_unless_present = "hosts")]
    gateways: Vec<Host>,
    /// A file of more of them, one a line; # begins a comment.
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
    /// The release that all should serve: sha256:…
    #[arg(long, value_name = "DIGEST", group = "expected")]
    expect: Option<Digest>,
    /// The release that all should serve, as its file.
    #[arg(long, value_name = "FILE", group = "expected")]
    expect_release: Option<PathBuf>,
    /// A store: all should serve what it says that the channel runs.
    #[arg(long, value_name = "DIR|URL", group = "expected", requires = "channel")]
    store: Option<PathBuf>,
    #[command(flatten)]
    store_access: StoreAccess,
    /// The channel in that store.
    #[arg(long, value_name = "NAME", requires = "store")]
    channel: Option<Channel>,
    /// Believe the store's pointer only with signatures that count under this trust root or its successors.
    #[arg(long, value_name = "ROOT", requires = "store")]
    trust_root: Option<PathBuf>,
    /// A node key to believe: the node.pub of a gateway's state directory, or its text.
    #[arg(long = "node-key", value_name = "PUB")]
    node_keys: Vec<String>,
    /// A file of them, one a line; a gateway after the key makes it good for that one alone.
    #[arg(long = "node-keys", value_name = "FILE")]
    node_key_files: Vec<PathBuf>,
    /// When each agent and credential was last used, instead of what gateways serve.
    #[arg(long, conflicts_with_all = ["expected", "node_keys", "node_key_files", "watch"])]
    last_use: bool,
    /// Only what the release names and nobody used for so long: 12h, 30d, 4w.
    #[arg(long, value_name = "SPAN", requires = "last_use")]
    unused: Option<Span>,
    #[command(flatten)]
    access: AccessArgs,
    /// A table for people, or one JSON document.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Show the public keys of their assertions instead, as one JWK Set for origins.
    #[arg(long, conflicts_with_all = ["format", "watch", "expected"])]
    jwks: bool,
    /// Ask again and again, until interrupted; show it when something changed.
    #[arg(long)]
    watch: bool,
}

/// How to ask the status listener of a gateway.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// CA of the gateways' certificates (PEM), for https.
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    ca: Option<PathBuf>,
    /// Certificate to show (PEM), for https.
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    cert: Option<PathBuf>,
    /// Its private key (PEM, mode 0600).
    #[arg(long, value_name = "FILE", requires_all = ["ca", "cert"])]
    key: Option<PathBuf>,
}

impl AccessArgs {
    pub fn read(&self) -> Result<Access, Failure> {
        match (&self.ca, &self.cert, &self.key) {
            (Some(ca), Some(certificate), Some(key)) => Access::from_files(ca, certificate, key),
            _ => Ok(Access::default()),
        }
    }
}

/// Everything that stays the same from one round to the next.
struct Round {
    hosts: Vec<Host>,
    access: Access,
    pins: Pins,
}

pub fn run(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.last_use {
        return last_uses(args, out);
    }
    let round = Round { hosts: hosts(args)?, access: args.access.read()?, pins: pins(args)? };
    if args.jwks {
        writeln!(out, "{}", jwks::merged(&round.ask(None)?)?)?;
        if round.pins.is_empty() {
            warn(
                "nothing shows that these are keys of your gateways, and not of who answered for them: name their node keys \
                 (--node-key)",
            );
        }
        return Ok(());
    }
    let mut shown = String::new();
    loop {
        // A store's pointer may move while we look.
        let expected = expected(args)?;
        let judged = round.ask(expected.as_ref())?;
        if !args.watch {
            show_all(args.format, &judged, expected.as_ref(), out)?;
            return verdict(&judged);
        }
        let now = facts(&judged, expected.as_ref());
        if now != shown {
            if args.format == Format::Text && std::io::stdout().is_terminal() {
                crate::terminal::clear(out)?;
            }
            show_all(args.format, &judged, expected.as_ref(), out)?;
            writeln!(out)?;
            out.flush()?;
            shown = now;
        }
        std::thread::sleep(WATCH_PAUSE);
    }
}

fn last_uses(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let hosts = hosts(args)?;
    let answers = last_use::fetch_all(&hosts, &args.access.read()?)?;
    let answers: Vec<_> = hosts.iter().map(ToString::to_string).zip(answers).collect();
    let now = Timestamp::from_seconds(control::clock::unix_s()).unwrap_or(Timestamp::MAX);
    let rows = last_use::merge(&answers, args.unused.map(|unused| unused.seconds), now);
    match args.format {
        Format::Text => last_use::text(&answers, &rows, args.unused.is_some(), now, out)?,
        Format::Json => last_use::json(&answers, &rows, out)?,
    }
    let silent = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    if silent == 0 {
        return Ok(());
    }
    Err(Failure::new(format_args!("no last uses of {silent} of {}", plural(answers.len(), "gateway"))))
}

impl Round {
    fn ask(&self, expected: Option<&Expectation>) -> Result<Vec<Judged>, Failure> {
        let answers = fleet::fetch_all(&self.hosts, &self.access)?;
        let answers = self.hosts.iter().cloned().zip(answers).collect();
        let now_unix_s = control::clock::unix_s();
        Ok(judge::judge(answers, &Yardstick { expected, pins: &self.pins, now_unix_s }))
    }
}

fn show_all(
    format: Format,
    judged: &[Judged],
    expected: Option<&Expectation>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match format {
        Format::Text => show::text(judged, expected, out)?,
        Format::Json => show::json(judged, expected, out)?,
    }
    Ok(())
}

/// What a watcher wants to hear of: all but what changes by itself.
fn facts(judged: &[Judged], expected: Option<&Expectation>) -> String {
    let of_one = |of: &Judged| {
        let said = of.answer.as_ref().map(|said| {
            let serial = said.pointer.as_ref().map(|pointer| pointer.serial);
            (said.release.clone(), said.since, said.table_sha256.clone(), said.node.id, serial, said.started)
        });
        let codes: Vec<_> = of.problems.iter().chain(&of.notes).map(|finding| finding.code).collect();
        format!("{} {said:?} {codes:?}", of.host)
    };
    format!("{expected:?} {:?}", judged.iter().map(of_one).collect::<Vec<_>>())
}

fn verdict(judged: &[Judged]) -> Result<(), Failure> {
    let bad = judged.iter().filter(|of| !of.problems.is_empty()).count();
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::new(format_args!("problems at {bad} of {}", plural(judged.len(), "gateway"))))
}

fn hosts(args: &StatusArgs) -> Result<Vec<Host>, Failure> {
    let mut hosts = args.gateways.clone();
    if let Some(path) = &args.hosts {
        let bytes = files::read(path, HOSTS_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::at(path, "expected UTF-8 text, found other bytes"))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                // What is not even the beginning of a gateway is not shown: it may be a secret.
                let is_like_one = ["http://", "https://", "unix:", "gateway:"].iter().any(|of| line.starts_with(of));
                let other = || files::found(text.as_bytes(), fleet::EXAMPLES);
                let wrong = |why| Failure::new(format_args!("{}:{}: {why}", path.display(), number + 1));
                hosts.push(line.parse().map_err(|why| wrong(if is_like_one { why } else { other() }))?);
            }
        }
    }
    if hosts.is_empty() {
        return Err(
            Failure::new("expected at least one gateway, found none").help("name them, or write them in --hosts FILE")
        );
    }
    Ok(hosts)
}

fn expected(args: &StatusArgs) -> Result<Option<Expectation>, Failure> {
    match (&args.expect, &args.expect_release, &args.store, &args.channel) {
        (Some(digest), ..) => Ok(Some(Expectation::of(*digest))),
        (_, Some(path), ..) => Expectation::from_release(path).map(Some),
        (.., Some(store), Some(channel)) => match &args.trust_root {
            Some(root) => Expectation::from_signed(store, &args.store_access, channel, root).map(Some),
            None => Expectation::from_store(store, &args.store_access, channel).map(Some),
        },
        _ => Ok(None),
    }
}

fn pins(args: &StatusArgs) -> Result<Pins, Failure> {
    let keys: Vec<_> = args.node_keys.iter().map(|text| node_key(text)).collect::<Result<_, _>>()?;
    let mut pins = Pins::new(&keys);
    args.node_key_files.iter().try_for_each(|path| pins.add_file(path))?;
    if pins.is_empty() && !args.node_key_files.is_empty() {
        return Err(Failure::new("expected a node key in --node-keys, found none"));
    }
    Ok(pins)
}
