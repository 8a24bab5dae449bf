//! `adamant run`: the gateway.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use control::assemble::Node;
use control::at_rest::AtRest;

use crate::config::Config;
use crate::failure::{Failure, warn};
use crate::gateway::{self, Plan, Rehearsal, Serve, Trust};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The gateway's configuration.
    config: PathBuf,
    /// Check configuration, release, keys and certificates, then end without binding anything: with 0 when a start would
    /// serve, also where it would go on with the last accepted release (then with a warning), else with 1.
    #[arg(long)]
    check: bool,
    /// Write the addresses that were bound to FILE, as JSON.
    #[arg(long, value_name = "FILE")]
    print_addresses: Option<PathBuf>,
}

pub fn run(args: RunArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(Failure::new)?;
    if config.core_dumps {
        control::warning!(
            "core dumps are allowed (core_dumps under [gateway]): they hold keys, tokens and what is proxied"
        );
        sys::process::allow_core_dumps()
            .map_err(|error| Failure::new(format_args!("core dumps cannot be allowed: {error}")))?;
    }
    let at_rest = config.state_identity.as_deref().map_or_else(|| Ok(AtRest::default()), AtRest::by);
    let at_rest = at_rest.map_err(Failure::new)?;
    let base = config.path.parent().map(PathBuf::from).unwrap_or_default();
    let access = config.access();
    let trust = Trust {
        policy: config.policy,
        trust_root: config.trust_root,
        releases: config.releases,
        activation: config.activation,
    };
    let mut plan = Plan {
        serve: Serve::Accepted(trust),
        settings: config.settings,
        node: Node {
            listeners: config.tls,
            origin_identities: config.origin_identities,
            origin_credentials: config.origin_credentials,
            introspection_clients: config.introspection_clients,
            access,
            assertion_rotation_s: config.assertion_rotation_s,
            base,
            state: Some(config.state.clone()),
            at_rest: AtRest::default(),
        },
        obtained: config.obtained,
        cores: config.cores.into_iter().map(Some).collect(),
        admin: config.admin,
        status: config.status,
        records: config.records,
        record_recipients: config.record_recipients,
        record_ring_bytes: config.record_ring_bytes,
        denial_ring_bytes: config.denial_ring_bytes,
        checkpoints: config.checkpoints,
        checkpoint_interval: config.checkpoint_interval,
        state: Some(config.state),
        config_digest: config.digest,
        hot: config.activation == crate::config::ActivationMode::Hot,
        print_addresses: args.print_addresses,
    };
    plan.keep(&at_rest);
    if args.check {
        let Rehearsal { serves, warnings, notes } = gateway::rehearse(plan)?;
        warnings.iter().for_each(warn);
        writeln!(out, "ok: {serves}")?;
        notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
        return Ok(());
    }
    if plan.checkpoints.is_empty() {
        control::warning!(
            "no place outside this gateway keeps checkpoints of the records: whoever takes it over can rewrite them \
             unnoticed (checkpoints under [records])"
        );
    }
    gateway::run_until_signal(gateway::start(plan)?)
}
