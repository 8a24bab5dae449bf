//! `adamant agent`: what an agent needs to call a gateway, and what keeps it in order.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use agent::doctor::{self, Outcome, Report};
use agent::export::{self, Form};
use agent::hooks::Hook;
use agent::lines::Lines;
use agent::profile::{Profile, SOCKET, TokenSource};
use agent::proxy::{self, Listen};
use agent::{clock, generation, run as keep};
use clap::{Args, Subcommand, ValueEnum};

use crate::failure::{Failure, warn};
use crate::terminal::{self, Safe};

/// Longest text of a doctor's step, characters.
const DOCTOR_TEXT_MAX: usize = 1_000;

mod acme;
mod enroll;
mod log;
mod token;

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Make a profile: a key that never leaves this machine, a short-lived certificate, the gateway's pinned CA.
    #[command(after_help = "Examples:\n  \
        adamant agent enroll reports --agent reports-bot --gateway https://api.corp.example:8443 \\\n    \
        --ca /srv/ca --release release.json --trust-root root.json\n  \
        adamant agent enroll reports --agent reports-bot --gateway https://api.corp.example:8443 \\\n    \
        --requests /shared/csr --gateway-ca gateway-ca.pem --spiffe spiffe://corp.example/reports\n  \
        adamant agent enroll reports --agent reports-bot --gateway https://api.corp.example:8443 \\\n    \
        --acme https://ca.corp.example/acme/directory --acme-agree-to-terms --dns reports.corp.example \\\n    \
        --gateway-ca gateway-ca.pem\n  \
        adamant agent enroll reports --agent reports-bot --ca /srv/ca --store etcd+https://etcd:2379/adamant \\\n    \
        --store-token etcd.token --channel production --trust-root root.json\n\n\
        With --store, gateway, pins, id, scopes and limits are those of the channel, and agent run follows it.\n\
        With --requests it says which file waits to be signed; the same command again, or adamant agent run, goes on.\n\
        The profile is a directory of mode 0700; docs/agents.md describes it.")]
    Enroll(Box<enroll::EnrollArgs>),
    /// Renew what a profile holds at two thirds of its life, and follow its channel, until SIGTERM; one JSON line for each
    /// refresh.
    #[command(after_help = "Examples:\n  \
        adamant agent run reports --exec 'systemctl reload reports' --metrics 127.0.0.1:9102\n  \
        adamant agent run reports --once\n\n\
        SIGHUP renews at once. One process a profile.")]
    Run(RunArgs),
    /// Say whether the log of `agent run` is whole: no line missing, added, moved or changed.
    #[command(after_help = "Examples:\n  \
        adamant agent log reports refreshes.jsonl\n  \
        journalctl -o cat -u reports | grep '^{' | adamant agent log reports\n\n\
        Each line has its number and the SHA-256 of the line before; the profile keeps those of the newest. Lines may begin\n\
        anywhere. Ends with 1 where they do not follow each other.")]
    Log(log::LogArgs),
    /// A local place for programs that cannot do mutual TLS or tokens.
    #[command(after_help = "Examples:\n  \
        adamant agent proxy reports                       # on reports/proxy.sock, for this user alone\n  \
        curl --unix-socket reports/proxy.sock http://localhost/orders/7\n  \
        adamant agent proxy reports --listen 127.0.0.1:9900\n\n\
        Everybody on this machine can use a port; a socket file is for its owner. Where others are on the machine, use the\n\
        socket file, or --secret-file. Authorization, DPoP and X-API-Key of local programs are removed.")]
    Proxy(ProxyArgs),
    /// Say in plain words what is wrong between this agent and its gateway, and what to do.
    #[command(after_help = "Examples:\n  \
        adamant agent doctor reports\n  \
        adamant agent doctor reports --path /orders/7 --json\n\n\
        Ends with 1 when something is wrong. It sends one GET, for a path that no route has unless --path names another.")]
    Doctor(DoctorArgs),
    /// Print the profile in the words of other tools.
    #[command(after_help = "Examples:\n  \
        curl -K <(adamant agent export reports curl) https://api.corp.example:8443/orders/7\n  \
        set -a; eval \"$(adamant agent export reports env)\"; set +a\n  \
        adamant agent export reports requests > gateway.py\n  \
        adamant agent export reports kubernetes | kubectl apply -f -\n\n\
        curl and kubernetes print secrets; the others name files.")]
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Directory of the profile.
    profile: PathBuf,
    /// Renew now, once, and end.
    #[arg(long)]
    once: bool,
    /// A command to run after each refresh. May be repeated.
    #[arg(long, value_name = "COMMAND")]
    exec: Vec<String>,
    /// A process to send SIGHUP to after each refresh: its id, or the file that holds it. May be repeated.
    #[arg(long, value_name = "PID|FILE")]
    signal: Vec<String>,
    /// A file to write after each refresh. May be repeated.
    #[arg(long, value_name = "FILE")]
    touch: Vec<PathBuf>,
    /// A loopback address for metrics.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Directory of the profile.
    profile: PathBuf,
    /// unix:PATH or ADDRESS:PORT; PROFILE/proxy.sock when absent.
    #[arg(long, value_name = "PLACE")]
    listen: Option<Listen>,
    /// Local programs must send the first line of this file as Adamant-Agent-Secret.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Pass on Authorization, DPoP and X-API-Key of local programs where the profile has no token to put in their place.
    #[arg(long)]
    keep_credentials: bool,
    /// Let --listen name an address that is not loopback; needs --secret-file.
    #[arg(long, requires = "secret_file")]
    open_to_network: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Directory of the profile.
    profile: PathBuf,
    /// What to ask the gateway for, like /orders/7.
    #[arg(long, value_name = "PATH", value_parser = path)]
    path: Option<String>,
    /// For scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Directory of the profile.
    profile: PathBuf,
    /// In whose words.
    tool: Tool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tool {
    /// A configuration file of curl (holds the token)
    Curl,
    /// Python with requests
    Requests,
    /// Python with httpx
    Httpx,
    /// Node.js
    Node,
    /// Go
    Go,
    /// A Secret of type kubernetes.io/tls (holds key and token)
    Kubernetes,
    /// Variables
    Env,
}

fn path(text: &str) -> Result<String, String> {
    let good = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if good { Ok(text.to_owned()) } else { Err(format!("expected a path like /orders/7, found {text:?}")) }
}

pub fn run(command: AgentCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        AgentCommand::Enroll(args) => enroll::run(&args, out),
        AgentCommand::Run(args) => keep_running(args),
        AgentCommand::Log(args) => log::run(&args, out),
        AgentCommand::Proxy(args) => serve(args),
        AgentCommand::Doctor(args) => examine(&args, out),
        AgentCommand::Export(args) => export(&args, out),
    }
}

/// `identity`: the one that the profile has.
fn write_profile(
    profile: &Profile,
    directory: &Path,
    identity: Option<&generation::Identity>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    writeln!(out, "profile {} of agent {}", directory.display(), profile.agent)?;
    writeln!(out, "  id       {}", profile.id)?;
    writeln!(out, "  gateway  {}", profile.gateway)?;
    writeln!(out, "  from     {}", profile.certificate.shown())?;
    if let Some(identity) = identity {
        let left = clock::length(identity.facts.not_after_s.saturating_sub(clock::now_s()));
        writeln!(out, "  until    {} ({left})", clock::shown(identity.facts.not_after_s))?;
    }
    if let Some(TokenSource::Oauth(of)) = &profile.token {
        let bound = if of.dpop { ", each bound to a key (DPoP)" } else { "" };
        writeln!(out, "  tokens   from {}, as {}{bound}", of.url, of.client_id)?;
    }
    if let Some(follows) = &profile.follows {
        writeln!(out, "  follows  {follows}")?;
    }
    let Some(granted) = &profile.granted else { return Ok(()) };
    writeln!(out, "  release  {} (version {} of {})", granted.release, granted.version, granted.policy)?;
    let words = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    writeln!(out, "  scopes   {}", words(&granted.scopes))?;
    for route in &granted.routes {
        let host = if route.host == "*" { "any host" } else { &route.host };
        let methods = if route.methods == ["*"] { "any method".to_owned() } else { route.methods.join(" ") };
        writeln!(out, "    {methods} {host} {}", route.path)?;
    }
    writeln!(out, "  limits   {}", words(&granted.limits))?;
    if let Some(token) = &granted.token {
        writeln!(out, "  token    of {}, for {}", token.issuer, token.audience.join(" or "))?;
    }
    Ok(())
}

fn keep_running(args: RunArgs) -> Result<(), Failure> {
    let exec = args.exec.into_iter().map(Hook::Exec);
    let hooks = exec.chain(args.signal.into_iter().map(Hook::Signal)).chain(args.touch.into_iter().map(Hook::Touch));
    let settings =
        keep::Settings { directory: args.profile, once: args.once, hooks: hooks.collect(), metrics: args.metrics };
    let lines = lines()?;
    let ended = keep::run(&settings, &lines);
    lines.end();
    Ok(ended?)
}

/// On standard output, a line at a time, in one piece and at once: whoever reads a pipe wants it now. That it cannot be
/// written is said once.
fn lines() -> Result<Lines, Failure> {
    let unwritable = |error| Failure::new(format_args!("standard output cannot be written: {error}"));
    // Past the lock of the process on it: who does not read holds up the thread that writes, and no other.
    let out = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(unwritable)?);
    let (mut out, mut is_lost) = (Safe::new(out), false);
    Ok(Lines::to(move |line| {
        let written = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
        if let Err(error) = &written
            && !is_lost
        {
            warn(format_args!("cannot write to standard output, and goes on: {error}"));
        }
        is_lost = written.is_err();
        written
    })?)
}

fn serve(args: ProxyArgs) -> Result<(), Failure> {
    let listen = args.listen.unwrap_or_else(|| Listen::Unix(args.profile.join(SOCKET)));
    let settings = proxy::Settings {
        directory: args.profile,
        listen,
        secret_file: args.secret_file,
        keep_credentials: args.keep_credentials,
        open_to_network: args.open_to_network,
    };
    let lines = lines()?;
    let served = proxy::run(&settings, &lines);
    lines.end();
    Ok(served?)
}

fn examine(args: &DoctorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let report = doctor::examine(&args.profile, args.path.as_deref());
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
        writeln!(out, "{json}")?;
    } else {
        write_report(&report, out)?;
    }
    if report.healthy { Ok(()) } else { Err(Failure::outcome(1)) }
}

fn write_report(report: &Report, out: &mut dyn Write) -> Result<(), Failure> {
    for step in &report.steps {
        let mark = match step.outcome {
            Outcome::Ok => "✓",
            Outcome::Warning => "!",
            Outcome::Failed => "✗",
        };
        writeln!(out, "{mark} {:<12} {}", step.step, told(&step.found))?;
        if let Some(todo) = &step.todo {
            writeln!(out, "  {:<12} → {}", "", told(todo))?;
        }
    }
    let has_warning = report.steps.iter().any(|step| step.outcome == Outcome::Warning);
    let verdict = match (report.healthy, has_warning) {
        (true, false) => "nothing is wrong",
        (true, true) => "nothing is wrong yet: see what is marked with !",
        (false, _) => "something is wrong: begin with the first ✗",
    };
    writeln!(out, "{verdict}")?;
    Ok(())
}

/// One line: what others wrote stands in it.
fn told(text: &str) -> String {
    let line = terminal::line(text);
    match line.char_indices().nth(DOCTOR_TEXT_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.into_owned(),
    }
}

fn export(args: &ExportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let form = match args.tool {
        Tool::Curl => Form::Curl,
        Tool::Requests => Form::Requests,
        Tool::Httpx => Form::Httpx,
        Tool::Node => Form::Node,
        Tool::Go => Form::Go,
        Tool::Kubernetes => Form::Kubernetes,
        Tool::Env => Form::Env,
    };
    let text = export::export(&args.profile, form)?;
    out.write_all(text.as_bytes())?;
    Ok(())
}
