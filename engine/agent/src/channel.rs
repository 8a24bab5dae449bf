//! The channel that a profile follows: the release that it runs, and where that release's agents find their gateway. The
//! store is a transport: what comes out of it is believed for signatures alone, and never goes back.
//!
//! [`look`] (bytes in, [`News`] out) → [`next::next`] (the profile that they make) → a generation of its own.

use std::fmt;
use std::path::{Path, PathBuf};

use policy::model::Policy;
use policy_release::candidate::{self, Expected, Purpose};
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::pointer::{VerifiedPointer, verify_pointer};
use policy_release::profile_document::{Place, VerifiedProfileDocument, verify_profile_document};
use policy_release::root::{TrustRoot, verify_successor};
use policy_release::time::Timestamp;
use policy_release::verify::verify_envelope;
use serde::{Deserialize, Serialize};
use stores::{Access, Channel, Location, Store, StoreFault};

use crate::bounds::CHANNEL_ROOTS_MAX;
use crate::fault::Fault;
use crate::files;

mod memory;
pub mod next;

pub use memory::Memory;

/// Where a channel is, and how its store is spoken to: as it stands in a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follows {
    /// A directory, or a URL.
    pub store: PathBuf,
    pub channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
    /// Its first line is the token; read again for each use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Chain and key that the server knows this client by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<(PathBuf, PathBuf)>,
}

impl Follows {
    /// With paths that hold wherever `agent run` is started.
    pub fn new(location: &Location, channel: &Channel) -> Result<Self, Fault> {
        let known = |path: &PathBuf| std::fs::canonicalize(path).map_err(|error| files::told(path, "read", error));
        let channel = channel.to_string();
        let server = match location {
            Location::Directory(path) => {
                let (store, certificate) = (known(path)?, None);
                return Ok(Self { store, channel, ca: None, token_file: None, namespace: None, certificate });
            }
            Location::Server(server) => server,
        };
        let Access { ca, token_file, token, namespace, certificate } = server.access();
        if token.is_some() && token_file.is_none() {
            let message = "expected the store's token in a file, found it in the environment alone";
            return Err(Fault::new(message).help(
                "agent run reads it again for each use: put it into a file of mode 0600, and name that: --store-token",
            ));
        }
        let pair = certificate.as_ref().map(|(chain, key)| Ok::<_, Fault>((known(chain)?, known(key)?)));
        Ok(Self {
            store: PathBuf::from(location.to_string()),
            channel,
            ca: ca.as_ref().map(known).transpose()?,
            token_file: token_file.as_ref().map(known).transpose()?,
            namespace: namespace.clone(),
            certificate: pair.transpose()?,
        })
    }

    pub fn channel(&self) -> Result<Channel, Fault> {
        self.channel.parse().map_err(|fault| Fault::new(fault).help("enroll again, with --force"))
    }

    /// Reads there.
    pub fn reader(&self) -> Result<Box<dyn Store>, Fault> {
        let access = Access {
            ca: self.ca.clone(),
            token_file: self.token_file.clone(),
            token: None,
            namespace: self.namespace.clone(),
            certificate: self.certificate.clone(),
        };
        let location = Location::parse(&self.store, access);
        Ok(location.map_err(|fault| Fault::new(fault).help("enroll again, with --force"))?.reader())
    }
}

/// For logs and people.
impl fmt::Display for Follows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} channel {}", self.store.display(), self.channel)
    }
}

/// What a channel says, believed for its signatures.
pub struct News {
    pub pointer: VerifiedPointer,
    /// The release that the pointer names; none where that is the one that is known already.
    pub release: Option<Release>,
    /// Where its agents find their gateway; none where nobody has said so for this release. One that is not believed holds
    /// nothing else up.
    pub document: Result<Option<VerifiedProfileDocument>, Fault>,
}

/// A release that enough keys signed.
pub struct Release {
    pub digest: Digest,
    pub version: u64,
    pub policy: Policy,
}

impl News {
    /// What the profile document says, where there is one that is believed.
    pub fn place(&self) -> Option<&Place> {
        Some(&self.document.as_ref().ok()?.as_ref()?.document.place)
    }
}

/// Looks at the channel; `known` is the release of which nothing needs to be read. What is verified on the way counts as
/// seen from then on, whatever comes of it: the caller writes `memory` down in any case.
pub fn look(store: &dyn Store, memory: &mut Memory, known: Option<Digest>, now: Timestamp) -> Result<News, Fault> {
    let channel: Channel = memory.channel().parse().map_err(Fault::new)?;
    let root = follow_roots(store, memory)?;
    let pointer = pointer(&store.pointer(&channel).map_err(unread)?, memory, &root)?;
    fresh(&pointer, &root, now)?;
    let named = pointer.pointer.release;
    let release = match known {
        Some(known) if known == named => None,
        _ => Some(release(&store.release(&named).map_err(unread)?, &pointer, memory, &root, now)?),
    };
    let document = match store.profile(&named) {
        Err(StoreFault::Missing { .. }) => Ok(None),
        Err(fault) => Err(unread(fault)),
        Ok(bytes) => document(&bytes, &pointer, memory, &root, now).map(Some),
    };
    Ok(News { pointer, release, document })
}

/// The newest trust root that the store leads to from the one that is known.
fn follow_roots(store: &dyn Store, memory: &mut Memory) -> Result<TrustRoot, Fault> {
    let mut root = memory.root()?;
    for _ in 0..CHANNEL_ROOTS_MAX {
        let next = root.version().saturating_add(1);
        let bytes = match store.root(next) {
            Ok(bytes) => bytes,
            Err(StoreFault::Missing { .. }) => break,
            Err(fault) => return Err(unread(fault)),
        };
        let successor = verify_successor(&root, &bytes).map_err(|fault| {
            Fault::new(format_args!("trust root version {next} of the store is not believed: {fault}"))
                .help("have the thresholds of both versions sign it, or take it out of the store")
        })?;
        memory.advance(&root, &successor, &bytes);
        root = successor;
    }
    Ok(root)
}

/// A pointer by the pointer role, for this policy and channel, that does not go behind what was seen.
fn pointer(bytes: &[u8], memory: &mut Memory, root: &TrustRoot) -> Result<VerifiedPointer, Fault> {
    let verified = verify_pointer(bytes, root).map_err(|fault| {
        Fault::new(format_args!("the pointer is not believed: {fault}")).help(
            "who wrote it? The one that was taken before stays in use; adamant point show tells what stands there",
        )
    })?;
    memory.see_pointer(&verified, bytes)?;
    Ok(verified)
}

fn fresh(verified: &VerifiedPointer, root: &TrustRoot, now: Timestamp) -> Result<(), Fault> {
    root.check_expiry(now).map_err(|fault| Fault::new(fault).help("adamant trust renew makes the successor"))?;
    let pointer = &verified.pointer;
    if now < pointer.expires {
        return Ok(());
    }
    let message =
        format!("expected a pointer that has not expired, found serial {}, until {}", pointer.serial, pointer.expires);
    Err(Fault::new(message)
        .help("have it renewed (adamant point --release current), or find out why the new one does not arrive"))
}

/// The release that the pointer names, signed by enough for a change that allows nothing new at the least. What it grants is
/// for people and tools; whether it may grant it, the gateways decide.
fn release(
    bytes: &[u8],
    pointer: &VerifiedPointer,
    memory: &Memory,
    root: &TrustRoot,
    now: Timestamp,
) -> Result<Release, Fault> {
    let named = pointer.pointer.release;
    let wrong = |fault: &dyn fmt::Display| {
        Fault::new(format_args!("release {named} is not believed: {fault}")).help("publish it again: adamant point")
    };
    let envelope = Envelope::parse_kind(bytes, Kind::Release).map_err(|fault| wrong(&fault))?;
    if envelope.digest() != named {
        return Err(wrong(&format_args!("found {} under its name", envelope.digest())));
    }
    let roles = [Role::ReleaseWider, Role::ReleaseNarrower];
    let verified = verify_envelope(envelope, root, &roles).map_err(|fault| wrong(&fault))?;
    let engine = env!("CARGO_PKG_VERSION").parse().map_err(|fault| wrong(&fault))?;
    let expected = Expected { policy_name: &pointer.pointer.policy_name, engine, purpose: Purpose::Activate { now } };
    let release = candidate::check(&verified, root, &expected).map_err(|fault| wrong(&fault))?;
    if memory.step(release.version).role(false) == Role::ReleaseWider {
        verified.meets(root, Role::ReleaseWider).map_err(|fault| wrong(&fault))?;
    }
    Ok(Release { digest: named, version: release.version, policy: release.policy })
}

fn document(
    bytes: &[u8],
    pointer: &VerifiedPointer,
    memory: &mut Memory,
    root: &TrustRoot,
    now: Timestamp,
) -> Result<VerifiedProfileDocument, Fault> {
    let wrong = |fault: &dyn fmt::Display, help: &str| {
        Fault::new(format_args!("the profile document is not believed: {fault}")).help(help)
    };
    let verified = verify_profile_document(bytes, root, &pointer.pointer.release)
        .map_err(|fault| wrong(&fault, "who wrote it? adamant profile issue makes one"))?;
    let document = &verified.document;
    let policy = &pointer.pointer.policy_name;
    if document.policy_name != *policy {
        let found = format!("expected one of policy {policy:?}, found one of {:?}", document.policy_name);
        return Err(wrong(&found, "issue one for this policy: adamant profile issue"));
    }
    memory.see_document(&verified).map_err(|found| {
        wrong(&found, "an older one was put back, or two have one serial: issue the next one (adamant profile issue)")
    })?;
    if document.expires <= now {
        let found = format!("serial {} expired at {}", document.serial, document.expires);
        return Err(wrong(&found, "issue it again: adamant profile issue"));
    }
    Ok(verified)
}

/// Whether those signed it who may let a channel go back to what they signed once.
pub fn may_lead_back(pointer: &VerifiedPointer) -> bool {
    pointer.missing_for_wider.is_none()
}

fn unread(fault: StoreFault) -> Fault {
    let told = Fault::new(&fault);
    match (&fault, fault.help()) {
        (_, Some(help)) => told.help(help),
        (StoreFault::Missing { .. }, None) => {
            told.help("is it the right store and channel, and is all of it published?")
        }
        _ => told.help("look what writes into the store; it is read again"),
    }
}

/// A channel that a profile is to follow from now on.
pub struct Joined {
    pub follows: Follows,
    /// What was kept of the channel before.
    before: Option<Memory>,
    pub memory: Memory,
    pub news: News,
    pub release: Release,
}

/// Looks at the channel for an enrolment in `directory`; what a profile there has seen of the same channel still counts.
/// `root` is the trust root, as the operator placed it.
pub fn join(directory: &Path, follows: Follows, root: &[u8], now: Timestamp) -> Result<Joined, Fault> {
    let channel = follows.channel()?;
    let before = Memory::kept(directory, &channel)?;
    let mut memory = Memory::open(directory, &channel, root)?;
    let mut news = look(&*follows.reader()?, &mut memory, None, now)?;
    news.document = Ok(news.document?);
    let release = news.release.take().ok_or_else(|| Fault::new("the channel names no release"))?;
    if news.place().is_some() {
        next::may_move(release.version, &memory, &news.pointer)?;
    }
    memory.accept(release.version, release.digest, may_lead_back(&news.pointer));
    Ok(Joined { follows, before, memory, news, release })
}

impl Joined {
    /// Writes down what was seen. The caller holds the profile's lock; what somebody else saw since is not forgotten.
    pub fn remember(&self, directory: &Path) -> Result<(), Fault> {
        remember(&self.follows, self.before.as_ref(), &self.memory, directory)
    }
}

fn remember(follows: &Follows, before: Option<&Memory>, now: &Memory, directory: &Path) -> Result<(), Fault> {
    if Memory::kept(directory, &follows.channel()?)?.as_ref() != before {
        let message = format!("what was seen of channel {} has changed meanwhile", follows.channel);
        return Err(Fault::at(directory, message).help("run it again"));
    }
    now.write(directory)
}

#[cfg(test)]
mod tests;
