//! The lists of a channel, as people make and publish them: revocations and key sets. Nothing in the store is believed for
//! standing there.

mod issue;
mod show;

use std::path::{Path, PathBuf};

use control::accept::lists::Words;
use policy::model::Policy;
use policy_release::bounds::INTEGER_MAX;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::lists::{SignedList, verify_list};
use policy_release::manifest::Manifest;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::Channel;

use super::release::engine_version;
use super::signing;
use super::trust::words;
use crate::failure::{Failure, warn};
use crate::pointing::{Desk, Where};
use crate::span::Span;
use crate::store::{Store, WriteFault};

pub use self::issue::{Begun, IssueArgs, Issued};
pub use self::show::{ShowArgs, Shown, show};

/// A serial farther above the present one is more likely a slip than meant.
const SERIAL_STEP_MAX: u64 = 1_000;

/// A kind of list that people publish.
pub trait Published: SignedList {
    const WORDS: &'static Words;
    /// Whose signatures may count on it.
    const ROLES: &'static [Role];
    /// How long it holds when nothing is said.
    const SPAN: Span;
    /// Where it holds by older keys alone: what becomes of its entries.
    const CARRIED: &'static str;
    /// Where it is not believed: what the next one must be.
    const REPLACED: &'static str;

    fn stored(store: &Store, channel: &Channel) -> Result<Option<Vec<u8>>, WriteFault>;

    /// Where it stands in a store.
    fn place(channel: &Channel) -> String;

    /// What it needs to be published beside the signatures of its own role.
    fn may_follow(desk: &ListDesk<Self>, list: &Self, envelope: &Envelope) -> Result<(), Failure>;
}

/// A channel of a store, with the list that it has.
pub struct ListDesk<L> {
    pub store: Store,
    pub channel: Channel,
    /// The newest that the store's chain leads to.
    pub root: TrustRoot,
    /// From the root that was placed to `root`.
    pub chain: Vec<TrustRoot>,
    pub now: Timestamp,
    /// What the channel runs, as far as the store has it; for the names in it alone.
    pub release: Option<Policy>,
    /// The list that stands, if it verifies by any root of the chain.
    pub list: Option<L>,
    /// The version of the trust root that it holds by, where that is an older one: gateways with the newest forget its
    /// serial, however high.
    pub older: Option<u64>,
    /// Why the list that is there is not believed.
    doubt: Option<String>,
    pointer_policy: Option<String>,
    /// The bytes of the list, to notice that somebody else published meanwhile.
    seen: Option<Vec<u8>>,
}

impl<L: Published> ListDesk<L> {
    /// `may_be_new`: that the store does not have the channel is told, and not refused.
    pub fn open(at: &Where, may_be_new: bool) -> Result<Self, Failure> {
        let desk = Desk::open(at)?;
        let unknown = desk.store.expect_channel(&desk.channel).map_err(Failure::from).err();
        if let Some(failure) = &unknown {
            let help = failure.hint().unwrap_or_default();
            if !may_be_new {
                return Err(
                    Failure::new(failure).help(format_args!("{help}. If it is meant all the same, give --policy NAME"))
                );
            }
            warn(format_args!("{failure}; {help}"));
        }
        let pointer = desk.current.pointer();
        let (release, pointer_policy) = (
            pointer.and_then(|pointer| policy_of(&desk.store, &pointer.release)),
            pointer.map(|pointer| pointer.policy_name.clone()),
        );
        if release.is_none() && unknown.is_none() {
            warn(format_args!(
                "names are not checked: the store does not tell what channel {} runs (adamant point show)",
                desk.channel
            ));
        }
        let seen = L::stored(&desk.store, &desk.channel)?;
        let (list, doubt, by) = match seen.as_deref().map(|bytes| believed::<L>(bytes, &desk.chain, &desk.channel)) {
            None => (None, None, None),
            Some(Ok((list, by))) => (Some(list), None, Some(by)),
            Some(Err(why)) => (None, Some(why), None),
        };
        let older = by.filter(|by| *by != desk.root.version());
        if let (Some(older), Some(list)) = (older, &list) {
            warn(format_args!(
                "the {} in the store (serial {}) holds by trust root version {older} alone, not by {}: was it made by whom \
                 that one was replaced for? {}; gateways forget its serial",
                L::KIND,
                list.head().serial,
                desk.root.version(),
                L::CARRIED
            ));
        }
        let Desk { store, channel, root, chain, now, .. } = desk;
        Ok(Self { store, channel, root, chain, now, release, list, older, doubt, pointer_policy, seen })
    }

    pub fn policy_name(&self, wanted: Option<&str>) -> Result<String, Failure> {
        let of_list = self.list.as_ref().map(|list| list.head().policy_name.to_owned());
        let known = of_list.or_else(|| self.pointer_policy.clone());
        match (known, wanted) {
            (Some(known), Some(wanted)) if known != wanted => {
                let message = format!("channel {} is of policy {known:?}, and --policy says {wanted:?}", self.channel);
                Err(Failure::new(message).help("leave --policy away"))
            }
            (Some(known), _) => Ok(known),
            (None, Some(wanted)) => Ok(wanted.to_owned()),
            (None, None) => {
                let message = format!("channel {} has no pointer that tells its policy", self.channel);
                Err(Failure::new(message).help("if it is meant all the same, give --policy NAME"))
            }
        }
    }

    /// The serial of the next list: `wanted`, or one above the present one.
    pub fn serial(&self, wanted: Option<u64>) -> Result<u64, Failure> {
        let present = self.list.as_ref().map_or(0, |list| list.head().serial);
        match (wanted, &self.doubt) {
            (None, Some(why)) => Err(self.doubtful(why)),
            (None, None) if present >= INTEGER_MAX => {
                let message = format!("serial {present} of the present {} is the last that there is", L::KIND);
                Err(Failure::new(message).help(
                    "take the keys that signed it out (adamant trust rotate, trust publish): gateways then forget it; \
                     then give --serial, one above the last good one",
                ))
            }
            (None, None) => Ok(present + 1),
            (Some(serial), doubt) => {
                if let Some(why) = doubt {
                    let (kind, channel) = (L::KIND, &self.channel);
                    warn(format_args!("the {kind} of channel {channel} is not believed and is replaced: {why}"));
                }
                if self.older.is_some() {
                    return Ok(serial);
                }
                let most = present.saturating_add(SERIAL_STEP_MAX);
                if serial > present && (doubt.is_some() || serial <= most) {
                    return Ok(serial);
                }
                let message = format!("expected a serial of {} to {most}, found {serial}", present + 1);
                Err(Failure::new(message).help("leave --serial away for the next one"))
            }
        }
    }

    fn doubtful(&self, why: &str) -> Failure {
        Failure::new(format_args!("the {} of channel {} is not believed: {why}", L::KIND, self.channel)).help(
            format_args!(
                "who put it there? To replace it, give a --serial above that in force on your gateways (adamant status), and \
                 {}",
                L::REPLACED
            ),
        )
    }

    /// Refuses a list that gateways with the present one would refuse for its serial.
    pub fn expect_next(&self, list: &L) -> Result<(), Failure> {
        let head = list.head();
        if head.channel != self.channel.as_str() {
            let message = format!("it is of channel {:?}, and --channel names {}", head.channel, self.channel);
            return Err(Failure::new(message).help(format_args!("give --channel {}", head.channel.escape_default())));
        }
        match self.list.as_ref().map(SignedList::head) {
            Some(present) if present.serial >= head.serial && self.older.is_none() => {
                let message = format!("expected a serial above {}, found {}", present.serial, head.serial);
                Err(Failure::new(message).help("somebody published one since; make this one again"))
            }
            _ => Ok(()),
        }
    }

    /// Publishes `list`, if the signatures are enough for it and the channel is as it was when it was looked at. Where it
    /// stands then.
    pub fn publish(&self, list: &L, envelope: &Envelope) -> Result<PathBuf, Failure> {
        let (kind, signed) = (L::KIND, self.root.standing(L::ROLE, envelope));
        if !signed.is_met() {
            return Err(Failure::new(format_args!("the {kind} has {}; nothing was published", words(&signed)))
                .help("give more keys, or write it with --out FILE for others to sign"));
        }
        L::may_follow(self, list, envelope)?;
        verify_list::<L>(&envelope.to_bytes(), &self.root).map_err(Failure::new)?;
        let lock = self.store.lock()?;
        if L::stored(&self.store, &self.channel)? != self.seen {
            let message = format!("somebody else published a {kind} on channel {} meanwhile", self.channel);
            return Err(Failure::new(format_args!("{message}; nothing was published")).help("run this again"));
        }
        let place = L::place(&self.channel);
        lock.write(&place, L::KIND, &envelope.to_bytes())?;
        Ok(self.store.path().join(place))
    }
}

/// A list in a file, with nothing verified.
pub fn read<L: Published>(path: &Path) -> Result<(Envelope, L), Failure> {
    let envelope = signing::read_envelope(path, L::KIND)?;
    let list = L::read(envelope.payload()).map_err(|fault| Failure::at(path, fault))?;
    Ok((envelope, list))
}

/// What the list in the store is worth, by any root of the chain, the newest first: its signers may have left since. With the
/// version of the root that it holds by.
fn believed<L: SignedList>(bytes: &[u8], chain: &[TrustRoot], channel: &Channel) -> Result<(L, u64), String> {
    let mut why = String::new();
    for root in chain.iter().rev() {
        match verify_list::<L>(bytes, root) {
            Ok(verified) if verified.list.head().channel == channel.as_str() => {
                return Ok((verified.list, root.version()));
            }
            Ok(verified) => return Err(format!("it is of channel {:?}", verified.list.head().channel)),
            Err(fault) if why.is_empty() => why = fault.to_string(),
            Err(_) => {}
        }
    }
    Err(why)
}

/// The policy of a release in the store, named by its digest.
fn policy_of(store: &Store, digest: &Digest) -> Option<Policy> {
    let bytes = store.release(digest).ok()??;
    let envelope = Envelope::parse_kind(&bytes, Kind::Release).ok().filter(|envelope| envelope.digest() == *digest)?;
    Some(Manifest::parse(envelope.payload(), engine_version().ok()?).ok()?.policy)
}
