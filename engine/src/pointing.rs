//! Pointing a channel of a store at a release: what `adamant point` and `adamant rollback` have in common.
//!
//! Nothing in the store is believed: roots are followed by their signatures, the pointer that is there counts when it
//! verifies, and a release is named by its digest.

mod change;
mod publish;
mod target;

use std::io::Write;
use std::path::{Path, PathBuf};

use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::pointer::{Pointer, verify_pointer};
use policy_release::root::{TrustRoot, verify_successor};
use policy_release::time::Timestamp;
use stores::Channel;

pub use self::change::Change;
pub use self::publish::publish;
pub use self::target::{ReleaseChoice, Target, previous};
use crate::commands::signing;
use crate::commands::trust::{read_root, words};
use crate::failure::{Failure, warn};
use crate::signer::KeyArgs;
use crate::span::{Span, distance};
use crate::store::Store;

/// How long a pointer holds when nothing is said. Short enough that a frozen gateway is noticed.
const POINTER_SPAN: Span = Span { seconds: 30 * 86_400 };

/// Which store and channel, and by whose signatures.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// The store.
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// The channel, such as production: 1 to 64 of a-z, 0-9, '.', '_' and '-'.
    #[arg(long, value_name = "NAME")]
    pub channel: Channel,
    /// The trust root that was placed on the gateways; its successors come from the store.
    #[arg(long, value_name = "ROOT")]
    pub trust_root: PathBuf,
}

/// How the pointer is made.
#[derive(Debug, clap::Args)]
pub struct Making {
    /// When the pointer ends, like 2027-01-31T00:00:00Z; 30 days from now when absent.
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    expires: Option<Timestamp>,
    /// How long the pointer holds: 90m, 12h, 30d or 4w.
    #[arg(long = "for", id = "span", value_name = "SPAN")]
    span: Option<Span>,
    /// Serial of the pointer; one above that of the present one when absent.
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Write the pointer there and publish nothing, so that others can sign it first.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

/// The pointer that a channel has.
pub enum Current {
    None,
    Verified(Pointer),
    /// It is there, and no trust root stands behind it.
    Doubtful(String),
}

impl Current {
    pub const fn pointer(&self) -> Option<&Pointer> {
        match self {
            Self::Verified(pointer) => Some(pointer),
            Self::None | Self::Doubtful(_) => None,
        }
    }
}

/// A channel of a store, as it was when it was looked at.
pub struct Desk {
    pub store: Store,
    pub channel: Channel,
    /// The newest that the store's chain leads to.
    pub root: TrustRoot,
    pub current: Current,
    /// The pointer's bytes, to notice that somebody else published meanwhile.
    seen: Option<Vec<u8>>,
    pub now: Timestamp,
}

impl Desk {
    pub fn open(at: &Where) -> Result<Self, Failure> {
        let store = Store::open(&at.store)?;
        let chain = follow(&store, read_root(&at.trust_root)?)?;
        let now = signing::now()?;
        let seen = store.pointer(&at.channel)?;
        let current = seen.as_deref().map_or(Current::None, |bytes| current(bytes, &chain, &at.channel));
        let root = chain.into_iter().next_back().ok_or_else(|| Failure::new("expected a trust root, found none"))?;
        root.check_expiry(now).map_err(|fault| Failure::new(fault).help("adamant trust renew makes the successor"))?;
        Ok(Self { store, channel: at.channel.clone(), root, current, seen, now })
    }

    /// The serial of the next pointer: `wanted`, or one above the present one.
    fn serial(&self, wanted: Option<u64>) -> Result<u64, Failure> {
        match (&self.current, wanted) {
            (Current::None, None) => Ok(1),
            (Current::None, Some(serial)) => Ok(serial),
            (Current::Verified(current), None) => Ok(current.serial + 1),
            (Current::Verified(current), Some(serial)) if serial > current.serial => Ok(serial),
            (Current::Verified(current), Some(serial)) => {
                let message =
                    format!("expected a serial above {}, that of the present pointer, found {serial}", current.serial);
                Err(Failure::new(message).help("gateways never go back; leave --serial away for the next one"))
            }
            (Current::Doubtful(why), None) => Err(Failure::new(format_args!(
                "the pointer of channel {} is not believed: {why}",
                self.channel
            ))
            .help(
                "who put it there? To replace it, give a --serial above what your gateways have seen (adamant status)",
            )),
            (Current::Doubtful(why), Some(serial)) => {
                warn(format_args!("the pointer of channel {} is not believed and is replaced: {why}", self.channel));
                Ok(serial)
            }
        }
    }
}

/// Makes the pointer at `target`, signs it, and publishes it or writes it to a file for others to sign.
pub fn make(desk: &Desk, target: &Target, making: &Making, out: &mut dyn Write) -> Result<(), Failure> {
    let policy_name = target.policy_name();
    if let Some(current) = desk.current.pointer().filter(|current| current.policy_name != policy_name) {
        let message = format!(
            "channel {} is of policy {:?}, the release is of {policy_name:?}",
            desk.channel, current.policy_name
        );
        return Err(Failure::new(message).help("each policy has channels of its own: choose another --channel"));
    }
    let expires = match making.expires {
        Some(expires) => Some(expires),
        None => making.span.unwrap_or(POINTER_SPAN).after(desk.now),
    };
    let expires = expires.filter(|expires| *expires > desk.now).ok_or_else(|| {
        Failure::new(format_args!("expected a pointer that expires in the future; it is {}", desk.now))
    })?;
    let serial = desk.serial(making.serial)?;
    let pointer = Pointer::new(policy_name, desk.channel.as_str(), target.digest(), serial, desk.now, expires)
        .map_err(Failure::new)?;
    let mut envelope = pointer.to_envelope().map_err(Failure::new)?;
    let signers = making.keys.open()?;
    for signer in &signers {
        may_point(&desk.root, &signer.public())?;
    }
    for signer in &signers {
        signer.sign(&mut envelope)?;
    }
    target.tell(desk, out)?;
    tell_pointer(&pointer, desk.now, out)?;
    let standing = desk.root.standing(Role::Pointer, &envelope);
    writeln!(out, "  signed   {}", words(&standing))?;
    match &making.out {
        Some(path) => {
            use crate::files::{self, Access, Existing};
            files::write(path, &envelope.to_bytes(), Access::Everyone, Existing::Refuse)?;
            let path = path.display();
            writeln!(out, "wrote {path}; the store is as it was")?;
            if !standing.is_met() {
                writeln!(out, "next, each of the others: adamant point sign {path} --key KEY")?;
            }
            writeln!(out, "then: adamant point publish {path} --store {} …", desk.store.path().display())?;
            Ok(())
        }
        None if standing.is_met() => publish(desk, &pointer, &envelope, target, out),
        None => Err(Failure::new(format_args!("the pointer has {}; nothing was published", words(&standing)))
            .help("give more keys, or write it with --out FILE for others to sign")),
    }
}

/// Shows what a pointer says.
pub fn tell_pointer(pointer: &Pointer, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "pointer    channel {}, serial {}", pointer.channel, pointer.serial)?;
    writeln!(out, "  release  {}", pointer.release)?;
    writeln!(out, "  until    {} ({})", pointer.expires, distance(now, pointer.expires))?;
    Ok(())
}

/// Refuses a key whose signature on a pointer would count for nothing.
pub fn may_point(root: &TrustRoot, key: &policy_release::key::PublicKey) -> Result<(), Failure> {
    let role = root.role(Role::Pointer);
    if role.keys.contains(&key.id()) {
        return Ok(());
    }
    let held = root.keys().get(&key.id());
    let whose = held.map_or_else(|| "in no role".to_owned(), |key| format!("of {}, in other roles alone", key.owner));
    let can: Vec<_> = role.keys.iter().filter_map(|id| root.keys().get(id)).cloned().collect();
    let message = format!(
        "expected a key of role pointer (trust root version {}), found {} ({whose}); its signature would not count",
        root.version(),
        key.id().short()
    );
    Err(Failure::new(message).help(format_args!("let sign: {}", crate::commands::trust::owners(&can))))
}

/// The chain from the root that gateways hold to the newest in the store. One that does not verify ends it.
pub fn follow(store: &Store, first: TrustRoot) -> Result<Vec<TrustRoot>, Failure> {
    let mut chain = vec![first];
    while let Some(last) = chain.last() {
        let Some(bytes) = store.root(last.version() + 1)? else { break };
        match verify_successor(last, &bytes) {
            Ok(next) => chain.push(next),
            Err(fault) => {
                warn(format_args!(
                    "{}: roots/{}.json is passed over: {fault}",
                    store.path().display(),
                    last.version() + 1
                ));
                break;
            }
        }
    }
    Ok(chain)
}

/// What the pointer in the store is worth, by any root of the chain: its signers may have left since.
fn current(bytes: &[u8], chain: &[TrustRoot], channel: &Channel) -> Current {
    let mut why = String::new();
    for root in chain.iter().rev() {
        match verify_pointer(bytes, root) {
            Ok(verified) if verified.pointer.channel == channel.as_str() => return Current::Verified(verified.pointer),
            Ok(verified) => return Current::Doubtful(format!("it is of channel {:?}", verified.pointer.channel)),
            Err(fault) if why.is_empty() => why = fault.to_string(),
            Err(_) => {}
        }
    }
    Current::Doubtful(why)
}

/// A pointer in a file, with nothing verified.
pub fn read_pointer(path: &Path) -> Result<(Envelope, Pointer), Failure> {
    let envelope = signing::read_envelope(path, Kind::Pointer)?;
    let pointer = Pointer::read(envelope.payload()).map_err(|fault| Failure::at(path, fault))?;
    Ok((envelope, pointer))
}
