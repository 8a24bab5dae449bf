//! `adamant run`: the gateway.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use control::assemble::Node;
use control::at_rest::AtRest;
use control::records::Target;
use control::records::seal::Place;

use crate::config::Config;
use crate::failure::{Failure, warn};
use crate::files;
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
        without_revocations_of: config.without_revocations_of,
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
    warn_of_whom_is_believed(&plan);
    if args.check {
        control::log::check();
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
    warn_of_checkpoints_inside(&plan);
    gateway::run_until_signal(gateway::start(plan)?)
}

/// Listeners that take everybody's word for who calls.
fn warn_of_whom_is_believed(plan: &Plan) {
    for listener in &plan.settings.listeners {
        let Some(all) = listener.trusted_proxies.iter().find(|network| network.prefix_bits == 0) else { continue };
        control::warning!(
            "whoever reaches {} says which client he is (trusted_proxies has {}/0, everybody): limits by address, throttling \
             and records go by that; name the networks of the proxies",
            listener.address,
            all.address
        );
    }
}

/// Places that whoever can rewrite the records can rewrite too.
fn warn_of_checkpoints_inside(plan: &Plan) {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let state = plan.state.as_deref().map(real);
    let records = match &plan.records {
        Target::File(path) => Some(real(files::parent(path))),
        Target::Stdout => None,
    };
    for place in &plan.checkpoints {
        let Place::Directory(path) = place else { continue };
        let path = real(path);
        let whose = if state.as_ref().is_some_and(|state| path.starts_with(state)) {
            "the state"
        } else if records.as_ref() == Some(&path) {
            "the records"
        } else {
            continue;
        };
        control::warning!(
            "{place}: checkpoints of the records go into the directory of {whose}: whoever takes this gateway over can \
             rewrite both unnoticed; name a place outside (checkpoints under [records])"
        );
    }
}
