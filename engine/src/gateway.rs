//! The life of a gateway process: what is checked, opened and started in which order, and how it ends.
//!
//! `choose` decides which release a start serves, `standing` knows what was accepted, `start` brings everything up,
//! `follow` looks for newer releases, `life` runs until a signal ends it.

use std::path::PathBuf;

use age_format::Recipient;
use control::admin;
use control::assemble::{ChainFiles, Node};
use control::at_rest::AtRest;
use control::obtain::Wanted;
use control::records;
use policy_release::candidate::Release;
use proxy::settings::Settings;

mod accepted;
mod addresses;
mod again;
mod choose;
mod cores;
mod decide;
mod filling;
mod follow;
mod life;
mod lists;
mod reserve;
mod revoking;
mod sealed;
mod showing;
mod sockets;
mod stand_in;
mod standing;
mod start;
mod state;
mod tellable;
mod tellers;
pub mod trust;

pub use choose::{Trust, freeze_as_stated};
pub use decide::{Rehearsal, rehearse};
pub use life::run_until_signal;
pub use start::{Running, start};

/// What a gateway serves.
pub enum Serve {
    /// A release of one's own (`adamant dev`).
    ThrowAway(Box<Release>),
    /// What is accepted: by the trust root, from a file or a store.
    Accepted(Trust),
}

/// Everything a gateway is started from: where its release comes from, and what belongs to the node.
pub struct Plan {
    pub serve: Serve,
    pub settings: Settings,
    pub node: Node,
    /// Certificates that issuers give.
    pub obtained: Vec<Wanted>,
    /// One worker each; none: a worker that is not pinned.
    pub cores: Vec<Option<usize>>,
    pub admin: Option<admin::Place>,
    pub status: Option<admin::StatusPlace>,
    pub records: records::Target,
    /// To whom records are encrypted; to nobody: they are plain.
    pub record_recipients: Vec<Recipient>,
    pub record_ring_bytes: usize,
    pub denial_ring_bytes: usize,
    /// Where checkpoints of the records go, outside this gateway.
    pub checkpoints: Vec<records::seal::Place>,
    pub checkpoint_interval: std::time::Duration,
    /// None: nothing outlives the process (`adamant dev`).
    pub state: Option<PathBuf>,
    pub config_digest: String,
    /// Releases take each other's place while the gateway serves.
    pub hot: bool,
    /// Where the bound addresses are written as JSON.
    pub print_addresses: Option<PathBuf>,
}

impl Plan {
    /// All that the gateway shows.
    fn certificates(&mut self) -> impl Iterator<Item = &mut ChainFiles> {
        let of_listeners = self.node.listeners.iter_mut().flatten().flat_map(|files| &mut files.certificates);
        let of_origins = self.node.origin_identities.iter_mut().map(|identity| &mut identity.files);
        let of_status = self.status.iter_mut().map(|status| &mut status.tls);
        of_listeners.chain(of_origins).chain(of_status)
    }

    /// Has all that is kept in the state directory written and read as `at_rest` says.
    pub fn keep(&mut self, at_rest: &AtRest) {
        self.node.at_rest = at_rest.clone();
        self.obtained.iter_mut().for_each(|wanted| wanted.at_rest = at_rest.clone());
        let kept = self.certificates().filter_map(|files| files.kept.as_mut());
        kept.for_each(|kept| *kept = at_rest.clone());
    }
}

/// The version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
