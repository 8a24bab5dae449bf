//! `gateway.toml`: what belongs to this node and not to the policy. Read once at start; nothing in it can widen what a
//! policy allows. Every mistake is told with file, line, column and what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use age_format::Recipient;
use control::admin;
use control::assemble::access::Access;
use control::assemble::{IntrospectionClient, ListenerFiles, OriginCredential, OriginIdentityFiles};
use control::obtain::Wanted;
use control::records;
use proxy::settings::Settings;
use sha2::{Digest, Sha256};
use stores::{Channel, Location};

mod addresses;
mod advice;
mod assertions;
mod certificates;
mod checkpoints;
mod cores;
mod credentials;
mod encryption;
mod fetched;
mod file;
mod introspection;
mod openbao;
mod place;
mod read;
mod releases;
mod schema;
mod status;
mod value;
mod words;

pub use cores::parse as parse_cores;
pub use credentials::credential_or_path;
pub use place::ConfigError;

/// Bytes of a configuration.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// A checked configuration. Relative paths are resolved against the directory of the file.
#[derive(Debug)]
pub struct Config {
    pub path: PathBuf,
    /// `sha256:…` over the bytes of the file.
    pub digest: String,
    /// The one policy that this gateway may serve.
    pub policy: String,
    pub state: PathBuf,
    /// The age identity that secrets in `state` are encrypted with.
    pub state_identity: Option<PathBuf>,
    /// Core dumps are allowed.
    pub core_dumps: bool,
    pub releases: Releases,
    pub without_revocations_of: Vec<Channel>,
    pub trust_root: PathBuf,
    pub activation: ActivationMode,
    /// One worker each.
    pub cores: Vec<usize>,
    pub settings: Settings,
    /// By listener; none for a plain one.
    pub tls: Vec<Option<ListenerFiles>>,
    /// Certificates that issuers give; they stand among the files too.
    pub obtained: Vec<Wanted>,
    pub origin_identities: Vec<OriginIdentityFiles>,
    pub origin_credentials: Vec<OriginCredential>,
    pub introspection_clients: Vec<IntrospectionClient>,
    /// How long a key signs assertions, seconds.
    pub assertion_rotation_s: u64,
    pub admin: Option<admin::Place>,
    pub status: Option<admin::StatusPlace>,
    pub records: records::Target,
    /// To whom records are encrypted; to nobody: they are plain.
    pub record_recipients: Vec<Recipient>,
    pub record_ring_bytes: usize,
    pub denial_ring_bytes: usize,
    pub checkpoints: Vec<records::seal::Place>,
    pub checkpoint_interval: std::time::Duration,
}

/// Where releases come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Releases {
    /// One file, looked at when the gateway starts.
    File(PathBuf),
    /// What a signed pointer names.
    Store { at: Location, channel: Channel },
}

/// When a release that was accepted comes to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationMode {
    /// At the next start.
    Restart,
    /// At once.
    Hot,
}

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes =
            crate::files::read(path, CONFIG_BYTES_MAX).map_err(|fault| ConfigError::unreadable(path, &fault))?;
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::unreadable(path, &"expected UTF-8 text"))?;
        Self::parse(path, &text)
    }

    /// Checks `text` as the content of `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        read::read(path, text, digest(text))
    }

    /// What servers that the gateway asks want to see, and whom it is shown.
    pub fn access(&self) -> Vec<Access> {
        let of_store = match &self.releases {
            Releases::Store { at: Location::Server(server), channel } => Access::of_store(channel.as_str(), server),
            Releases::Store { .. } | Releases::File(_) => Vec::new(),
        };
        let sources: BTreeMap<_, _> = self.obtained.iter().map(|of| (&of.source.name, &of.source)).collect();
        let of_sources = sources.values().flat_map(|source| Access::of_source(source));
        let of_credentials = self.origin_credentials.iter().flat_map(Access::of_credential);
        of_store.into_iter().chain(of_sources).chain(of_credentials).collect()
    }
}

fn digest(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut digest = String::from("sha256:");
    for byte in hash {
        digest.push_str(&format!("{byte:02x}"));
    }
    digest
}

#[cfg(test)]
mod tests;
