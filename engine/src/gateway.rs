//! The life of a gateway process: what is checked, opened and started in which order, and how it ends.
//!
//! `trust` verifies a release, `start` brings everything up, `life` runs until a signal ends it.

use std::path::PathBuf;

use control::admin;
use control::assemble::Node;
use control::records;
use policy_release::candidate::Release;
use proxy::settings::Settings;

mod addresses;
mod life;
mod sockets;
mod start;
mod state;
pub mod trust;

pub use life::run_until_signal;
pub use start::{Running, check, start};

/// Everything a gateway is started from: a verified release, and what belongs to the node.
pub struct Plan {
    pub release: Release,
    pub settings: Settings,
    pub node: Node,
    /// One worker each; none: a worker that is not pinned.
    pub cores: Vec<Option<usize>>,
    pub admin: Option<admin::Place>,
    pub records: records::Target,
    pub record_ring_bytes: usize,
    pub denial_ring_bytes: usize,
    /// None: nothing outlives the process (`adamant dev`).
    pub state: Option<PathBuf>,
    pub config_digest: String,
    /// Where the bound addresses are written as JSON.
    pub print_addresses: Option<PathBuf>,
}

/// The version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
