//! The command line: what `adamant` understands, and which function does it.

use std::io::{self, Write};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{
    agent, audit, ca, check, completions, dev, diff, doctor, explain, key, key_set, point, profile, release, replay,
    review, revoke, rollback, run, schema, status, test, trust, tune,
};
use crate::demo::{self, DemoArgs};
use crate::examples;
use crate::failure::Failure;

#[derive(Debug, Parser)]
#[command(name = "adamant", version, about = "An immutable API access proxy.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Whether the command writes and publishes: what it says of that is not what it is for.
    pub const fn acts(&self) -> bool {
        matches!(
            self.command,
            Command::Release(_)
                | Command::Key(_)
                | Command::Trust(_)
                | Command::Point(_)
                | Command::Rollback(_)
                | Command::Revoke(_)
                | Command::KeySet(_)
                | Command::Profile(_)
                | Command::Ca(_)
                | Command::Tune(_)
        )
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See everything at once: a CA, a policy, a signed release, an origin and the gateway, told as a story.
    Demo(DemoArgs),
    /// Serve a signed release: the gateway.
    #[command(after_help = "Examples:\n  \
        adamant run /etc/adamant/gateway.toml --check     # is everything there and right?\n  \
        adamant run /etc/adamant/gateway.toml\n\n\
        SIGTERM drains and ends it. SIGHUP reopens the record file and reads certificates and keysets again.")]
    Run(run::RunArgs),
    /// Serve a policy source at once, with a throw-away trust root. For development.
    #[command(after_help = "Examples:\n  \
        adamant dev policy.toml\n  \
        adamant dev policy.toml --listen 127.0.0.1:0 --origin orders=127.0.0.1:9000 --records records.jsonl\n  \
        adamant dev policy.toml --listen 127.0.0.1:8443 --tls-chain chain.pem --tls-key key.pem \\\n    \
        --client-certificates optional --admin 127.0.0.1:9901\n  \
        adamant dev policy.toml --origin-credential orders=orders.secret")]
    Dev(dev::DevArgs),
    /// Check policy sources: mistakes with line, column and a hint; then what each policy amounts to.
    #[command(after_help = "Examples:\n  \
        adamant check policy.toml\n  \
        adamant check --deny-warnings --format json policies/*.toml\n\n\
        Ends with 1 when a policy has errors (or, with --deny-warnings, warnings).")]
    Check(check::CheckArgs),
    /// Print the JSON Schema of a policy source, for editors.
    #[command(after_help = "Example:\n  \
        adamant schema > policy.schema.json\n  \
        # then, as the first line of policy.toml:  #:schema ./policy.schema.json")]
    Schema,
    /// Build, sign, show and verify releases.
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Make API keys, signing keys and age identities.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make and show trust roots: which keys may sign what, and how many must.
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Run the test cases that stand beside a policy, or in a release, and say what no case touches.
    #[command(after_help = "Examples:\n  \
        adamant test policy.toml\n  \
        adamant test policy.toml --watch\n  \
        adamant test policy.toml --format junit --out junit.xml --require-coverage 90\n  \
        adamant test release.json --filter reports-bot\n\n\
        A case is a [[case]] table in the source, or in a file that `cases` in [policy] names. A failure shows its place, \
        what was expected, and how it was decided. Ends with 1 when a case fails.")]
    Test(test::TestArgs),
    /// Say exactly what a change of policy newly allows and newly refuses.
    #[command(after_help = "Examples:\n  \
        adamant diff policy.toml new.toml\n  \
        adamant diff live.json next.json --trust-root root.json       # and how many must sign, and who has\n  \
        adamant diff gateway:http://127.0.0.1:9901 policy.toml --store store --format json\n\n\
        Ends with 0 when nothing changes, 10 narrower, 11 wider, 12 both; 1 is a failure, 2 a wrong command line.")]
    Diff(diff::DiffArgs),
    /// Ask the origins of a policy directly whether they answer callers that do not come through the gateway.
    #[command(after_help = "Examples:\n  \
        adamant doctor --bypass policy.toml\n  \
        adamant doctor --bypass release.json --origin orders --path /healthz\n\n\
        Run it where agents run. It sends one GET to each address, without certificate, secret or token. Ends with 1 when \
        an origin gives any answer but 401 and 403.")]
    Doctor(doctor::DoctorArgs),
    /// Point a channel at a release: the signed word that gateways follow.
    Point(Box<point::PointArgs>),
    /// Point a channel back at an older release.
    Rollback(rollback::RollbackArgs),
    /// Revoke an agent, a key, a certificate or tokens at once, without a new release: the kill switch.
    #[command(after_help = "Examples:\n  \
        adamant revoke --store /srv/adamant --channel production --trust-root root.json \\\n    \
        --agent reports-bot --why 'laptop stolen' --key alice.key\n  \
        adamant revoke … --api-key reports-1 --certificate bot.pem --key alice.key\n  \
        adamant revoke … --jti corp/01JD9… --until 2027-01-31T00:00:00Z --key alice.key\n  \
        adamant revoke … --subject corp/mallory --key alice.key       # all tokens issued until now\n  \
        adamant revoke … --agent reports-bot --lift --key alice.key --key bob.key\n  \
        adamant revoke list --store /srv/adamant --channel production\n\n\
        Makes the next list from the one in the store, or from the newest that was seen here where the store goes behind it, \
        signs and publishes it. Gateways have it in force within a second of \
        seeing it, for requests and connections that run already too. It can only deny; lifting something before it has \
        lapsed needs release-wider.")]
    Revoke(Box<revoke::RevokeArgs>),
    /// Fill the API key ids that a release leaves open: a signed set that gateways take without a new release.
    #[command(subcommand)]
    KeySet(Box<key_set::KeySetCommand>),
    /// Say where agents of a release find their gateway: a signed document that they follow with the channel.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Explain a decision step by step: one of the past from its record, or one that has not been made.
    #[command(after_help = "Examples:\n  \
        adamant explain --records records.jsonl --request-id 38d233361851ab221ad06eb82e856ed5 --store /srv/store\n  \
        tail -n1 records.jsonl | adamant explain --record - --release release.json\n  \
        adamant explain --request 'GET https://api.corp.example/orders/7' --agent reports-bot --policy policy.toml\n  \
        adamant explain --request 'GET https://api.corp.example/orders/7' --token token.jwt --release release.json\n  \
        adamant explain --request 'GET https://api.corp.example/orders/7' --agent reports-bot \\\n    \
        --policy gateway:http://127.0.0.1:9901 --store /srv/store\n\n\
        Ends with 1 when a record does not follow from its release.")]
    Explain(explain::ExplainArgs),
    /// Make recorded decisions again: against their own release, or against a candidate.
    #[command(after_help = "Examples:\n  \
        adamant replay records.jsonl --store /srv/store           # is every decision right?\n  \
        adamant replay records.jsonl --store /srv/store --against next.json\n  \
        zcat records.*.gz | adamant replay - --against policy.toml --format json\n\n\
        Ends with 1 when a decision does not follow from its release. With --against: 0 when no outcome \
        changes, 10 when requests are newly refused, 11 when they are newly permitted, 12 for both.")]
    Replay(replay::ReplayArgs),
    /// Say what of a policy nobody used, and write the tighter one as a patch; or what is unlike before.
    #[command(after_help = "Examples:\n  \
        adamant review records.jsonl.1 records.jsonl --policy policy.toml --days 30\n  \
        adamant review records.jsonl --policy policy.toml --days 90 --keep agent:year-end --patch least.patch\n  \
        adamant review records.jsonl --anomalies --days 1 --metrics /var/lib/node_exporter/adamant_review.prom\n  \
        adamant review today.jsonl --anomalies --baseline last-month.jsonl --format json\n\n\
        The rules, each with its numbers: docs/review.md. Ends with 0 when there is nothing to say, with 10 when there \
        is, and with 1 when the records are no ground for it or something failed.")]
    Review(review::ReviewArgs),
    /// Verify, show and filter records.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Ask gateways what they serve, and find those that differ.
    #[command(after_help = "Examples:\n  \
        adamant status http://127.0.0.1:9901\n  \
        adamant status https://gw1:9902 https://gw2:9902 --ca gateways-ca.pem --cert me.pem --key me.key\n  \
        adamant status --hosts gateways.txt --node-keys node-keys.txt \\\n    \
        --store /srv/adamant --channel production --trust-root root.json\n  \
        adamant status unix:/run/adamant/admin --expect sha256:… --format json\n\n\
        Every answer is signed by the key of its node, over a nonce of ours. Pin node keys to know\n\
        which node it was: they stand in node.pub of each gateway's state directory.\n\n\
        Ends with 0 when nothing is wrong, with 2 when the command line is, and with 1 when a gateway\n\
        - cannot be reached or not be believed, or has a key that is not pinned while others are,\n\
        - serves another release or follows another pointer than expected,\n\
        - without an expectation: serves another release than most others of its policy and channel,\n\
        - waits for a restart,\n\
        - goes by what has ended: a pointer, release, list, keyset or certificate; API keys excepted,\n\
        - refuses a candidate or a list, or cannot read its store,\n\
        - awaits the first certificate of a listener or towards an origin,\n\
        - has another table than others of the same release, or the node key of another gateway,\n\
        - found its table in memory changed,\n\
        - is not ready, or its clock is more than a minute off.")]
    Status(status::StatusArgs),
    /// A small certificate authority for teams that have none: short-lived certificates for agents.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// On the agent's side: enroll, renew, call, find out what is wrong.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// See what this machine is, and where workers should stand on it.
    #[command(subcommand)]
    Tune(tune::TuneCommand),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  adamant completions bash > /etc/bash_completion.d/adamant")]
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// What this process was started with; ends it where that is nothing to do.
    pub fn read() -> Self {
        let matches = examples::fit(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|fault| fault.exit())
    }
}

/// Runs one command. `out` is standard output, safe for a terminal; warnings go to standard error.
pub fn run(cli: Cli, out: &mut dyn Write) -> Result<(), Failure> {
    if cli.acts() {
        let mut acted = Acted::new(out);
        run_command(cli.command, &mut acted)?;
        return Ok(acted.finish()?);
    }
    run_command(cli.command, out)
}

fn run_command(command: Command, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(&args, out),
        Command::Run(args) => run::run(args, out),
        Command::Dev(args) => dev::run(args),
        Command::Check(args) => check::run(&args, out),
        Command::Schema => schema::run(out),
        Command::Release(command) => release::run(command, out),
        Command::Key(command) => key::run(command, out),
        Command::Trust(command) => trust::run(command, out),
        Command::Test(args) => test::run(&args, out),
        Command::Diff(args) => diff::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Point(args) => point::run(&args, out),
        Command::Rollback(args) => rollback::run(&args, out),
        Command::Revoke(args) => revoke::run(&args, out),
        Command::KeySet(command) => key_set::run(*command, out),
        Command::Profile(command) => profile::run(command, out),
        Command::Explain(args) => explain::run(&args, out),
        Command::Replay(args) => replay::run(&args, out),
        Command::Review(args) => review::run(&args, out),
        Command::Audit(command) => audit::run(command, out),
        Command::Status(args) => status::run(&args, out),
        Command::Ca(command) => ca::run(command, out),
        Command::Agent(command) => agent::run(command, out),
        Command::Tune(command) => tune::run(command, out),
        Command::Completions(args) => completions::run(&args, out),
    }
}

/// Standard output of a command that acts: it goes on to its end where nobody reads what it says (`adamant revoke … | head -1`),
/// and the first failure is told then.
struct Acted<'o> {
    out: &'o mut dyn Write,
    failed: Option<io::Error>,
}

impl<'o> Acted<'o> {
    fn new(out: &'o mut dyn Write) -> Self {
        Self { out, failed: None }
    }

    /// Whoever read it may have gone away: all is done.
    fn finish(self) -> io::Result<()> {
        match self.failed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    fn keep(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }
}

impl Write for Acted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            let written = self.out.write_all(bytes);
            self.keep(written);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed.is_none() {
            let flushed = self.out.flush();
            self.keep(flushed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
