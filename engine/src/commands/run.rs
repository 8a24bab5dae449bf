//! `adamant run`: the gateway.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use control::assemble::Node;

use crate::config::Config;
use crate::failure::Failure;
use crate::gateway::{self, Plan, trust};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The gateway's configuration.
    config: PathBuf,
    /// Check configuration, release, keys and certificates, then end without binding anything.
    #[arg(long)]
    check: bool,
    /// Write the addresses that were bound to FILE, as JSON.
    #[arg(long, value_name = "FILE")]
    print_addresses: Option<PathBuf>,
}

pub fn run(args: RunArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(Failure::new)?;
    let release = trust::verify_files(&config.release, &config.trust_root, &config.policy)?;
    let base = config.path.parent().map(PathBuf::from).unwrap_or_default();
    let plan = Plan {
        release,
        settings: config.settings,
        node: Node { listeners: config.tls, origin_identities: config.origin_identities, base },
        cores: config.cores.into_iter().map(Some).collect(),
        admin: config.admin,
        records: config.records,
        record_ring_bytes: config.record_ring_bytes,
        denial_ring_bytes: config.denial_ring_bytes,
        state: Some(config.state),
        config_digest: config.digest,
        print_addresses: args.print_addresses,
    };
    if args.check {
        gateway::check(&plan)?;
        writeln!(
            out,
            "ok: policy {} version {}, release {}, signed by {}",
            plan.release.policy.name,
            plan.release.version,
            plan.release.digest,
            plan.release.signers.iter().map(|signer| signer.owner.as_str()).collect::<Vec<_>>().join(", "),
        )?;
        return Ok(());
    }
    gateway::run_until_signal(gateway::start(plan)?)
}
