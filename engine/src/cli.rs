//! The command line: what `adamant` understands, and which function does it.

use std::io::Write;

use clap::{Parser, Subcommand};

use crate::commands::{check, completions, dev, key, release, run, schema, trust};
use crate::demo::{self, DemoArgs};
use crate::failure::Failure;

#[derive(Debug, Parser)]
#[command(name = "adamant", version, about = "An immutable API access proxy.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
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
        --client-certificates optional --admin 127.0.0.1:9901")]
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
    /// Make API keys and signing keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make and show trust roots: which keys may sign what, and how many must.
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  adamant completions bash > /etc/bash_completion.d/adamant")]
    Completions(completions::CompletionsArgs),
}

/// Runs one command. `out` is standard output; warnings go to standard error.
pub fn run(cli: Cli, out: &mut dyn Write) -> Result<(), Failure> {
    match cli.command {
        Command::Demo(args) => demo::run(&args, out),
        Command::Run(args) => run::run(args, out),
        Command::Dev(args) => dev::run(args),
        Command::Check(args) => check::run(&args, out),
        Command::Schema => schema::run(out),
        Command::Release(command) => release::run(command, out),
        Command::Key(command) => key::run(command, out),
        Command::Trust(command) => trust::run(command, out),
        Command::Completions(args) => completions::run(&args, out),
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
