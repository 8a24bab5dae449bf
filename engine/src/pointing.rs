//! Pointing a channel of a store at a release: what `adamant point` and `adamant rollback` have in common.
//!
//! Nothing in the store is believed: roots are followed by their signatures, the pointer that is there counts when it
//! verifies, and a release is named by its digest.

mod back;
mod base;
mod chain;
mod change;
mod publish;
mod replaced;
mod target;
mod versions;

use std::io::Write;
use std::path::{Path, PathBuf};

use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::pointer::{Pointer, verify_pointer};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::Channel;

pub use self::back::{WayBack, tell_renewed};
pub use self::base::{Base, table_of};
pub use self::chain::{chain_of, follow, newest_root, remembered};
pub use self::change::Change;
pub use self::publish::publish;
pub use self::replaced::replaced;
pub use self::target::{RELEASE_ROLES, ReleaseChoice, Target, previous};
pub use self::versions::next as next_version;
use crate::commands::memory::{Memory, MemoryArgs};
use crate::commands::signing;
use crate::commands::trust::words;
use crate::failure::{Failure, warn};
use crate::signer::KeyArgs;
use crate::span::{Span, distance};
use crate::store::{Store, StoreAccess};

/// A serial farther above the present one is more likely a slip than meant.
const SERIAL_STEP_MAX: u64 = 1000;
/// How long a pointer holds when nothing is said. Short enough that a frozen gateway is noticed.
const POINTER_SPAN: Span = Span { seconds: 30 * 86_400 };
/// A pointer that holds longer, a year, leaves a frozen gateway unnoticed: it is warned about.
const POINTER_LIFE_MAX: Span = Span { seconds: 366 * 86_400 };

/// Which store and channel, and by whose signatures.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// The store: a directory, or a URL.
    #[arg(long, value_name = "DIR|URL")]
    pub store: PathBuf,
    /// The channel, such as production: 1 to 64 of a-z, 0-9, '.', '_' and '-'.
    #[arg(long, value_name = "NAME")]
    pub channel: Channel,
    /// The trust root that was placed on the gateways; its successors come from the store.
    #[arg(long, value_name = "ROOT")]
    pub trust_root: PathBuf,
    #[command(flatten)]
    pub access: StoreAccess,
    #[command(flatten)]
    pub memory: MemoryArgs,
}

/// How the pointer is made.
#[derive(Debug, clap::Args)]
pub struct Making {
    /// When the pointer ends, like 2027-01-31T00:00:00Z; 30 days from now when absent.
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    expires: Option<Timestamp>,
    /// How long the pointer holds: 90s, 30m, 12h, 30d or 4w.
    #[arg(long = "for", id = "span", value_name = "SPAN")]
    span: Option<Span>,
    /// Serial of the pointer; one above that of the present one when absent.
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Write the pointer there and publish nothing, so that others can sign it first.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    keys: KeyArgs,
}

impl Making {
    /// When the pointer ends.
    fn end(&self, now: Timestamp) -> Result<Timestamp, Failure> {
        match self.expires {
            Some(expires) if expires <= now => Err(Failure::new(format_args!(
                "--expires: expected a time in the future, found {expires}, {}",
                distance(now, expires)
            ))
            .help(format_args!("by the clock of this machine it is {now}"))),
            Some(expires) => Ok(expires),
            None => self.span.unwrap_or(POINTER_SPAN).after(now).ok_or_else(|| {
                Failure::new("--for: expected a span that ends before the year 10000, found a longer one")
                    .help("a pointer is made short and renewed on a schedule: --for 30d")
            }),
        }
    }
}

/// What is not done unless it is asked for by name.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Consent {
    /// Publish although release or pointer lacks signatures that its change needs: gateways refuse it until it has them.
    #[arg(long)]
    pub below_threshold: bool,
    /// Take a serial more than 1000 above the present one. No gateway goes back, and serials end at 9007199254740991.
    #[arg(long)]
    serial_jump: bool,
    /// The channel is new, though its name is near that of another one of the store.
    #[arg(long)]
    pub new_channel: bool,
    /// Replace the pointer that is there although it is of another policy: it is the wrong one.
    #[arg(long)]
    other_policy: bool,
}

/// The pointer that a channel has.
pub enum Current {
    None,
    Verified(Pointer),
    /// It is there, and no trust root stands behind it.
    Doubtful(String),
}

impl Current {
    /// Why the pointer that is there is not believed.
    pub fn doubt(&self) -> Option<&str> {
        match self {
            Self::Doubtful(why) => Some(why),
            Self::None | Self::Verified(_) => None,
        }
    }

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
    /// From the root that was placed to `root`, with those before it that were seen from here.
    pub chain: Vec<TrustRoot>,
    pub current: Current,
    /// What was seen from here before.
    pub memory: Memory,
    /// The pointer's bytes, to notice that somebody else published meanwhile.
    seen: Option<Vec<u8>>,
    pub now: Timestamp,
}

impl Desk {
    pub fn open(at: &Where) -> Result<Self, Failure> {
        let store = Store::open(&at.access.at(&at.store)?)?;
        let memory = at.memory.open();
        let chain = remembered(&store, &at.trust_root, &memory)?;
        let now = signing::now()?;
        let seen = store.pointer(&at.channel)?;
        let current = seen.as_deref().map_or(Current::None, |bytes| current(bytes, &chain, &at.channel));
        let root = chain.last().cloned().ok_or_else(|| Failure::new("expected a trust root, found none"))?;
        root.check_expiry(now).map_err(|fault| Failure::new(fault).help("adamant trust renew makes the successor"))?;
        Ok(Self { store, channel: at.channel.clone(), root, chain, current, memory, seen, now })
    }

    /// Refuses a channel that the store does not have where its name is near that of one that it has, unless it is meant.
    pub fn expect_meant(&self, is_new: bool) -> Result<(), Failure> {
        let Err(fault) = self.store.expect_channel(&self.channel) else { return Ok(()) };
        if is_new || fault.nearest().is_none() {
            return Ok(());
        }
        let failure = Failure::from(fault);
        let hint = failure.hint().unwrap_or_default().to_owned();
        Err(failure.help(format_args!("{hint}. If {} is meant, and new: --new-channel", self.channel)))
    }

    /// Whether a pointer stands there already, with these signatures, and nothing is left to do for it.
    pub fn has(&self, pointer: &Pointer, envelope: &Envelope) -> Result<bool, Failure> {
        let holds = self.current.pointer() == Some(pointer) && !self.is_outdated() && pointer.expires > self.now;
        let is_same = self.seen.as_deref() == Some(&envelope.to_bytes());
        Ok(holds && is_same && self.store.release(&pointer.release)?.is_some())
    }

    /// Refuses to point the channel at what is of another policy, as its gateways do, unless the pointer that is there is the
    /// wrong one: then it is not believed. `what` is of policy `policy_name`.
    pub fn expect_policy(&mut self, what: &str, policy_name: &str, consent: Consent) -> Result<(), Failure> {
        let Some(current) = self.current.pointer().filter(|current| current.policy_name != policy_name) else {
            return Ok(());
        };
        let present = &current.policy_name;
        if !consent.other_policy {
            let message = format!(
                "channel {} is of policy {present:?}, the {what} is of {policy_name:?}; nothing was published",
                self.channel
            );
            return Err(Failure::new(message).help(
                "each policy has channels of its own: choose another --store or --channel. If the pointer that is there is \
                 the wrong one: --other-policy, with a --serial above what your gateways have seen (adamant status)",
            ));
        }
        self.current = Current::Doubtful(format!("it is of policy {present:?}, the {what} is of {policy_name:?}"));
        Ok(())
    }

    /// Says so where a pointer that is not believed is replaced.
    pub fn warn_of_doubt(&self) {
        if let Some(why) = self.current.doubt() {
            warn(format_args!("the pointer of channel {} is not believed and is replaced: {why}", self.channel));
        }
    }

    /// Refuses a serial far above the present one, or of a first pointer, unless it is meant.
    pub fn check_serial(&self, serial: u64, consent: Consent) -> Result<(), Failure> {
        let present = self.current.pointer().map_or(0, |current| current.serial);
        if consent.serial_jump || serial <= present.saturating_add(SERIAL_STEP_MAX) {
            return Ok(());
        }
        let message = format!(
            "expected a serial of at most {}, found {serial}: gateways never go back, so all below it are lost",
            present.saturating_add(SERIAL_STEP_MAX)
        );
        Err(Failure::new(message).help("leave --serial away for the next one, or say --serial-jump if it is meant"))
    }

    /// Says so where the first pointer of a channel is of a policy that another channel has already: a mistyped name makes
    /// a channel that no gateway reads.
    fn warn_of_second_channel(&self, policy_name: &str) -> Result<(), Failure> {
        if !matches!(self.current, Current::None) {
            return Ok(());
        }
        if let Some(other) = self.other_channel_of(policy_name)? {
            warn(format_args!(
                "channel {} is new, and policy {policy_name:?} has channel {other} already: gateways that read {other} \
                 take nothing from {}. Was {other} meant?",
                self.channel, self.channel
            ));
        }
        Ok(())
    }

    /// Another channel of the store whose pointer is of this policy; its signatures are not looked at.
    fn other_channel_of(&self, policy_name: &str) -> Result<Option<Channel>, Failure> {
        let has_it = |channel: &Channel| {
            let bytes = self.store.pointer(channel).ok().flatten();
            let envelope = bytes.and_then(|bytes| Envelope::parse_kind(&bytes, Kind::Pointer).ok());
            let pointer = envelope.and_then(|envelope| Pointer::read(envelope.payload()).ok());
            pointer.is_some_and(|pointer| pointer.policy_name == policy_name)
        };
        Ok(self.store.channels()?.into_iter().find(|channel| *channel != self.channel && has_it(channel)))
    }

    /// Whether `serial` may come after the `current` pointer. One that does not hold by the newest root is forgotten by
    /// gateways too, however high its serial.
    pub fn counts_on_from(&self, current: &Pointer, serial: u64) -> bool {
        serial > current.serial || self.is_outdated()
    }

    /// Whether the newest root does not stand behind the pointer that is there: gateways that have that root refuse it.
    pub fn is_outdated(&self) -> bool {
        self.seen.as_deref().is_some_and(|bytes| verify_pointer(bytes, &self.root).is_err())
    }

    /// The serial of the next pointer: `wanted`, or one above the present one.
    fn serial(&self, wanted: Option<u64>) -> Result<u64, Failure> {
        match (&self.current, wanted) {
            (Current::None, None) => Ok(1),
            (Current::None, Some(serial)) => Ok(serial),
            (Current::Verified(current), None) => Ok(current.serial + 1),
            (Current::Verified(current), Some(serial)) if self.counts_on_from(current, serial) => Ok(serial),
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
            (Current::Doubtful(_), Some(serial)) => {
                self.warn_of_doubt();
                Ok(serial)
            }
        }
    }
}

/// Makes the pointer at `target`, signs it, and publishes it or writes it to a file for others to sign.
pub fn make(desk: &mut Desk, target: &Target, making: &Making, out: &mut dyn Write) -> Result<(), Failure> {
    if making.out.is_none() {
        desk.store.expect_writable()?;
    }
    let policy_name = target.policy_name();
    desk.expect_policy("release", policy_name, making.consent)?;
    desk.expect_meant(making.consent.new_channel)?;
    let expires = making.end(desk.now)?;
    let serial = desk.serial(making.serial)?;
    desk.check_serial(serial, making.consent)?;
    let pointer = Pointer::new(policy_name, desk.channel.as_str(), target.digest(), serial, desk.now, expires)
        .map_err(Failure::new)?;
    let mut envelope = pointer.to_envelope().map_err(Failure::new)?;
    let needed = target.tell(desk, out)?;
    if making.out.is_none() {
        target.expect_enough(desk, &needed, making.consent)?;
    }
    let signers = making.keys.open()?;
    for signer in &signers {
        may_point(&desk.chain, &signer.public())?;
    }
    for signer in &signers {
        signer.sign(&mut envelope)?;
    }
    tell_pointer(&pointer, desk.now, out)?;
    target.warn_of_end(&pointer, desk.now);
    desk.warn_of_second_channel(policy_name)?;
    let standing = desk.root.standing(Role::Pointer, &envelope);
    writeln!(out, "  signed   {}", words(&standing))?;
    let way_back = WayBack::of(desk, target, &needed, &envelope)?;
    if let Some(way_back) = &way_back {
        way_back.tell(out)?;
        if making.out.is_none() {
            way_back.expect_signed(making.consent)?;
        }
    }
    tell_renewed(desk, target, &envelope, out)?;
    match &making.out {
        Some(path) => {
            use crate::files::{self, Access, Existing};
            files::write(path, &envelope.to_bytes(), Access::Everyone, Existing::Refuse)?;
            let path = path.display();
            writeln!(out, "wrote {path}; the store is as it was")?;
            if !standing.is_met() || way_back.as_ref().is_some_and(|way_back| !way_back.is_signed()) {
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
    if POINTER_LIFE_MAX.after(now).is_some_and(|end| pointer.expires > end) {
        warn(format_args!(
            "the pointer holds until {}, longer than a year: until then no gateway notices that no newer one comes. Make \
             it short, and renew it on a schedule",
            pointer.expires
        ));
    }
    Ok(())
}

/// Refuses a key whose signature on a pointer would count for nothing.
fn may_point(chain: &[TrustRoot], key: &policy_release::key::PublicKey) -> Result<(), Failure> {
    // One that leads back to what allows more needs the wider role too.
    signing::may_sign(chain, &[Role::Pointer, Role::ReleaseWider], key)
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
