//! From a verified release and the node's own files to the parts of an activation. Every error names the field or file
//! and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use identity::certificate::ClientCaError;
use policy::compile::CompileError;
use policy::model::Keys;
use policy::table::TableError;

use crate::activate::Parts;
use crate::assertion::{Keyring, KeyringFault};
use crate::at_rest::AtRest;
use crate::expiry::Ends;
use crate::moving::credential;
use crate::status::Moving;
use crate::watch::ends;
use access::Access;
use material::Material;
use origins::Planned;
use tls::Tickets;

pub mod access;
pub mod client;
pub mod files;
mod frozen;
pub mod keysets;
pub mod material;
pub mod origins;
pub mod renew;
pub mod revocation;
pub mod tls;

pub use client::ClientProof;
pub use frozen::{Frozen, Placement};

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Of those that the gateway itself keeps in its state directory: how they are written. None: somebody else's, plain.
    pub kept: Option<AtRest>,
}

impl ChainFiles {
    /// Files that somebody put there.
    pub const fn given(chain: PathBuf, key: PathBuf) -> Self {
        Self { chain, key, kept: None }
    }
}

/// What a TLS listener is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerFiles {
    /// At least one; the first serves clients that name no server.
    pub certificates: Vec<ChainFiles>,
    /// Of them, those that are obtained by ACME: until the first time they are not there. By path of the chain.
    pub awaited: Vec<PathBuf>,
    pub client_certificates: ClientCertificates,
    pub min_version: MinimumVersion,
}

impl ListenerFiles {
    /// Whether `of` is one that is awaited, and not there.
    pub fn awaits(&self, of: &ChainFiles) -> bool {
        self.awaited.contains(&of.chain) && !of.chain.exists()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    Off,
    Optional,
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinimumVersion {
    Tls12,
    Tls13,
}

/// A certificate for mutual TLS towards origins, by the name that policies use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginIdentityFiles {
    pub name: String,
    pub files: ChainFiles,
    /// It is obtained by ACME: until the first time it is not there.
    pub awaited: bool,
}

/// A secret that an origin knows the gateway by, by the name that policies use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginCredential {
    pub name: String,
    pub from: CredentialSource,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    File(PathBuf),
    Fetched(Box<credential::Source>),
}

/// As whom the gateway asks issuers about tokens, by the name that policies use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionClient {
    pub name: String,
    /// `client_id` at the issuer.
    pub id: String,
    pub proof: ClientProof,
}

/// What the node adds to a release.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// By listener; none for a plain one.
    pub listeners: Vec<Option<ListenerFiles>>,
    pub origin_identities: Vec<OriginIdentityFiles>,
    pub origin_credentials: Vec<OriginCredential>,
    pub introspection_clients: Vec<IntrospectionClient>,
    /// What servers that are asked want to see, and whom it is shown.
    pub access: Vec<Access>,
    /// Where relative paths of what a policy watches begin.
    pub base: PathBuf,
    /// How long a key signs assertions, seconds; 0: for ever.
    pub assertion_rotation_s: u64,
    /// The state directory; none where nothing is kept (`adamant dev`).
    pub state: Option<PathBuf>,
    /// What in it is encrypted.
    pub at_rest: AtRest,
}

#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error("the policy does not compile: {0}")]
    Compile(#[from] CompileError),
    #[error("the compiled table does not load, which is a fault of this binary: {0}")]
    Table(#[from] TableError),
    #[error("no sealed memory for the table: {0}: memfd_create and mmap must be allowed, and memory be free")]
    Memory(io::Error),
    #[error(transparent)]
    ClientCa(#[from] ClientCaError),
    #[error("API key \"{id}\": expected sha256 as 64 lower-case hex digits, found \"{found}\"")]
    ApiKeyHash { id: String, found: String },
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Origin(#[from] origins::OriginError),
    #[error(transparent)]
    Crl(#[from] revocation::CrlError),
    #[error(transparent)]
    Keyset(#[from] keysets::KeysetError),
    #[error(transparent)]
    AssertionKeys(#[from] KeyringFault),
}

/// A release with everything that the node adds, ready to be activated.
pub struct Assembled {
    pub frozen: Arc<Frozen>,
    pub parts: Parts,
    pub material: Material,
    pub planned: Vec<Planned>,
    pub tickets: Tickets,
    /// By listener; none for a plain one.
    pub server_certificates: Vec<Option<Vec<tls::Loaded>>>,
    /// None where no origin asks for assertions.
    pub assertion_keys: Option<Keyring>,
    pub moving: Moving,
}

impl Assembled {
    /// All that it stands on, and when that ends; but for keysets, which a start reads or fetches anew.
    pub fn ends(&self) -> Vec<Ends> {
        let (facts, policy) = (&self.frozen.facts, &self.frozen.policy);
        let mut all = ends::of_release(facts.version, facts.expires_s).into_iter().collect::<Vec<_>>();
        all.extend(ends::of_server_cas(policy));
        all.extend(ends::of(&self.material, &self.parts.client_cas, &self.moving));
        all.extend(ends::of_trust(&self.moving).into_iter().filter(|ends| ends.of != "keyset"));
        all
    }
}

/// Reads the certificates and keys of the node's listeners, which no release has a part in.
pub fn check_listeners(node: &Node) -> Result<(), AssembleError> {
    node.listeners.iter().flatten().try_for_each(|files| Ok(tls::load_all(files).map(drop)?))
}

/// Reads every file that the node adds to `frozen`. Names of origins are not resolved yet.
pub fn assemble(frozen: Frozen, node: &Node, now_s: u64) -> Result<Assembled, AssembleError> {
    let mut moving = Moving { since_unix_s: now_s, ..Moving::default() };
    let mut issuers = Vec::new();
    for rules in &frozen.policy.issuers {
        keysets::check_introspection(rules, node)?;
        let read = keysets::read(rules, node, now_s)?;
        if rules.keys != Keys::None {
            moving.keysets.insert(rules.name.clone(), read.status);
        }
        issuers.push(read.issuer);
    }
    let mut material = Material::read(node);
    let asks = frozen.policy.origins.iter().any(|origin| origin.assertion.is_some());
    let assertion_keys = asks.then(|| Keyring::open(node.state.as_deref(), &node.at_rest, now_s)).transpose()?;
    material.assertion_key = assertion_keys.as_ref().map(|ring| Arc::clone(ring.current()));
    moving.assertion_keys = assertion_keys.as_ref().map(|ring| ring.status(node.assertion_rotation_s));
    crate::watch::declare_material(&mut moving, node, &material);
    let planned = renew::plan(&frozen, &material)?;
    let origins = planned.iter().map(|planned| Arc::new(planned.resolved(|_| Vec::new()))).collect();
    let looked = revocation::look(&frozen.client_cas, &frozen.policy.client_cas, node, None, now_s)?;
    for (ca, read) in frozen.policy.client_cas.iter().zip(&looked.read) {
        moving.crls.extend(read.as_ref().map(|read| (ca.name.clone(), read.status.clone())));
    }
    let tickets = Tickets::new()?;
    let mut listeners = Vec::new();
    let mut server_certificates = Vec::new();
    for (index, files) in node.listeners.iter().enumerate() {
        let Some(files) = files else {
            listeners.push(None);
            server_certificates.push(None);
            continue;
        };
        let loaded = tls::load_all(files)?;
        moving.certificates.extend(loaded.iter().map(|of| (of.chain.clone(), of.status.clone())));
        let tls = tls::listener_tls(index, files, &loaded, &looked.set, &tickets)?;
        server_certificates.push(Some(loaded));
        listeners.push(Some(Arc::new(tls)));
    }
    let parts = Parts { issuers, client_cas: looked.set, origins, listeners, challenges: None };
    Ok(Assembled {
        frozen: Arc::new(frozen),
        parts,
        material,
        planned,
        tickets,
        server_certificates,
        assertion_keys,
        moving,
    })
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways_and_nothing_else_does() {
        let bytes: [u8; 32] = std::array::from_fn(|at| at as u8 * 7);
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex(&hex(&bytes).to_uppercase()), None);
        assert_eq!(unhex("00"), None);
    }
}
