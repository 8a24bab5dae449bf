//! The lists of a channel, as people make and publish them: revocations and key sets. Nothing in the store is believed for
//! standing there.

mod believed;
mod issue;
mod show;
mod warnings;

use std::path::{Path, PathBuf};

use control::accept::lists::Words;
use policy::model::Policy;
use policy_release::bounds::INTEGER_MAX;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::lists::{ListFault, SignedList, verify_list};
use policy_release::manifest::Manifest;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::Channel;

use super::memory::{Behind, Mark, Memory, behind};
use super::release::engine_version;
use super::signing;
use super::trust::words;
use crate::failure::{Failure, warn};
use crate::pointing::{Desk, Where};
use crate::span::Span;
use crate::store::{Store, WriteFault};

use self::believed::{believed, expect_of, pointer_of, recall};
pub use self::issue::{Begun, IssueArgs, Issued, PublishArgs};
pub use self::show::{ShowArgs, Shown, show};
use self::warnings::{warn_of_clock, warn_of_names, warn_of_policy};

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

    /// The list that is remembered, where the store has `other` with the same serial; an error where one list has no room for
    /// both.
    fn beside(&self, other: &Self) -> Result<Self, ListFault>;

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
    /// The clock's time, but never before list or pointer were signed: what is to count from now on counts from then on.
    pub latest: Timestamp,
    /// What the channel runs, as far as the store has it; for the names in it alone.
    pub release: Option<Policy>,
    /// The newest list that is known, if it verifies by any root of the chain: the one that stands, or one that is remembered.
    pub list: Option<L>,
    /// What is in the store goes behind `list`, which is remembered alone: somebody put it there.
    pub behind: Option<Behind>,
    /// The version of the trust root that it holds by, where that is an older one: gateways with the newest forget its
    /// serial, however high.
    pub older: Option<u64>,
    /// Why the list that is there is not believed.
    doubt: Option<String>,
    pointer_policy: Option<String>,
    /// Of the list that is there, if it is signed for whatever policy.
    stored_policy: Option<String>,
    /// The bytes of the list, to notice that somebody else published meanwhile.
    seen: Option<Vec<u8>>,
    memory: Memory,
    /// The newest that is remembered.
    kept: Option<Mark>,
    /// What is remembered is of another policy, and is not to be forgotten for this one.
    is_others: bool,
}

impl<L: Published> ListDesk<L> {
    /// `meant`: the policy that whoever asks says the channel is of. That the store does not have the channel is then told, and not
    /// refused; and a pointer of another policy has no say where a list that is signed is of that one, or where it is said to be the
    /// wrong one (`other_policy`).
    pub fn open(at: &Where, meant: Option<&str>, other_policy: bool) -> Result<Self, Failure> {
        let desk = Desk::open(at)?;
        let is_known = is_known(&desk, meant.is_some())?;
        let seen = L::stored(&desk.store, &desk.channel)?;
        let stored = seen.as_deref().and_then(|bytes| believed::<L>(bytes, &desk.chain, &desk.channel, None).ok());
        let stored_policy = stored.map(|of| of.list.head().policy_name.to_owned());
        let pointer = pointer_of::<L>(&desk, stored_policy.as_deref(), (meant, other_policy));
        let named = || meant.filter(|_| other_policy || desk.current.pointer().is_some()).map(str::to_owned);
        let pointer_policy = pointer.map(|pointer| pointer.policy_name.clone()).or_else(named);
        let release = pointer.and_then(|pointer| policy_of(&desk.store, &pointer.release));
        if release.is_none() && is_known {
            warn_of_names(&desk, pointer);
        }
        let policy = pointer_policy.as_deref();
        let stored = seen.as_deref().map(|bytes| believed::<L>(bytes, &desk.chain, &desk.channel, policy));
        let kept = recall::<L>(&desk.memory, &desk.chain, &desk.channel, policy);
        if pointer.is_some() {
            warn_of_policy(&desk.channel, policy, kept.as_ref());
        }
        let is_others = kept.as_ref().is_some_and(|(of, _)| !of.is_of(policy));
        let kept = kept.filter(|_| !is_others);
        let mark = kept.as_ref().map(|(kept, _)| kept.mark.clone());
        let found = stored.as_ref().map(|of| of.as_ref().map(|of| &of.mark));
        let lists = [stored.as_ref().and_then(|of| of.as_ref().ok()), kept.as_ref().map(|(of, _)| of)];
        let signed = lists.into_iter().flatten().map(|of| of.list.head().issued);
        let latest = signed.chain(pointer.map(|pointer| pointer.issued)).fold(desk.now, Timestamp::max);
        warn_of_clock(desk.now, latest);
        let behind = kept.as_ref().and_then(|(kept, path)| behind(L::KIND, (&kept.mark, path), found, desk.now));
        let (list, doubt, by) = match (stored, kept) {
            (stored, Some((kept, _))) if behind.is_some() => {
                let other = stored.and_then(Result::ok).filter(|other| other.mark.rank() == kept.mark.rank());
                (Some(both(kept.list, other.map(|other| other.list))), None, Some(kept.mark.by))
            }
            (None, _) => (None, None, None),
            (Some(Ok(stored)), _) => {
                if let Some(bytes) = seen.as_ref().filter(|_| !is_others && stored.mark.replaces(mark.as_ref())) {
                    desk.memory.keep(&desk.root, &L::place(&desk.channel), L::KIND, bytes);
                }
                (Some(stored.list), None, Some(stored.mark.by))
            }
            (Some(Err(why)), _) => (None, Some(why), None),
        };
        let older = by.filter(|by| *by != desk.root.version());
        if let (Some(older), Some(list)) = (older, &list) {
            warn(format_args!(
                "the {} of the channel (serial {}) holds by trust root version {older} alone, not by {}: was it made by whom \
                 that one was replaced for? {}; gateways forget its serial",
                L::KIND,
                list.head().serial,
                desk.root.version(),
                L::CARRIED
            ));
        }
        let Desk { store, channel, root, chain, memory, now, .. } = desk;
        Ok(Self {
            store,
            channel,
            root,
            chain,
            now,
            latest,
            release,
            list,
            behind,
            older,
            doubt,
            pointer_policy,
            stored_policy,
            seen,
            memory,
            kept: mark,
            is_others,
        })
    }

    /// Says so where somebody put something older into the store.
    pub fn warn_of_behind(&self) {
        if let Some(Behind { told, path, .. }) = &self.behind {
            warn(format_args!(
                "{told} ({}): who put back what is in the store? This goes on from the newest, not from there",
                path.display()
            ));
        }
    }

    /// Refuses to go on from what the store has, where that is no list that is believed, unless it is to be replaced.
    pub fn expect_believed(&self, serial: Option<u64>) -> Result<(), Failure> {
        match &self.doubt {
            Some(why) if serial.is_none() => Err(self.doubtful(why)),
            _ => Ok(()),
        }
    }

    /// The policy that the channel is of, as far as its list or its pointer tells.
    fn policy(&self) -> Option<&str> {
        let of_list = self.list.as_ref().map(|list| list.head().policy_name);
        of_list.or(self.pointer_policy.as_deref())
    }

    /// That pointer and list are of two policies, and which is meant is not said.
    fn disagreement(&self) -> Option<Failure> {
        let (of_pointer, of_list) = (self.pointer_policy.as_ref()?, self.stored_policy.as_ref()?);
        let message = || {
            format!(
                "the pointer of channel {} is of policy {of_pointer:?}, and the {} of {of_list:?}",
                self.channel,
                L::KIND
            )
        };
        (of_pointer != of_list).then(|| {
            Failure::new(message()).help("one of the two was put there: --policy NAME says for which policy this is")
        })
    }

    pub fn policy_name(&self, wanted: Option<&str>) -> Result<String, Failure> {
        match (self.policy(), wanted) {
            (Some(known), Some(wanted)) if known != wanted => {
                let message = format!("channel {} is of policy {known:?}, and --policy says {wanted:?}", self.channel);
                let failure = Failure::new(message);
                Err(match &self.behind {
                    Some(Behind { path, .. }) if self.pointer_policy.is_none() => failure.help(format_args!(
                        "so says the list that was seen from here last ({}). Each policy has channels of its own: choose \
                         another --channel; if both have one of that name in stores of their own, give this store a memory \
                         of its own (--memory DIR)",
                        path.display()
                    )),
                    _ => failure.help(
                        "leave --policy away, or choose another --store or --channel; if it is the pointer that is the wrong \
                         one: --other-policy",
                    ),
                })
            }
            (Some(known), None) => self.disagreement().map_or_else(|| Ok(known.to_owned()), Err),
            (Some(known), _) => Ok(known.to_owned()),
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
        let of_list = self.stored_policy.as_ref().filter(|of_list| self.pointer_policy.as_ref() != Some(of_list));
        let policy = if of_list.is_some() { "--policy NAME, " } else { "" };
        let or_pointer = of_list.map_or_else(String::new, |of_list| {
            let name = of_list.escape_default();
            format!(". Or is it the pointer that somebody put there? --policy {name} goes on from the {}", L::KIND)
        });
        Failure::new(format_args!("the {} of channel {} is not believed: {why}", L::KIND, self.channel)).help(
            format_args!(
                "who put it there? To replace it, give {policy}a --serial above that in force on your gateways (adamant status), and \
                 {}{or_pointer}",
                L::REPLACED
            ),
        )
    }

    /// Refuses a list in the place of one that is signed for another policy.
    fn expect_same_policy(&self, list: &L) -> Result<(), Failure> {
        let (new, kind) = (list.head().policy_name, L::KIND);
        let Some(stored) = self.stored_policy.as_ref().filter(|stored| *stored != new) else { return Ok(()) };
        let message = format!(
            "the {kind} of channel {} is of policy {stored:?}, and this one of {new:?}; nothing was published",
            self.channel
        );
        Err(Failure::new(message).help(
            "each policy has channels of its own: choose another --store or --channel. If what is there is the wrong one: \
             --other-policy",
        ))
    }

    /// Refuses a list that gateways with the present one would refuse for its channel, its policy or its serial.
    pub fn expect_next(&self, list: &L, digest: Digest) -> Result<(), Failure> {
        let head = list.head();
        if head.channel != self.channel.as_str() {
            let message = format!("it is of channel {:?}, and --channel names {}", head.channel, self.channel);
            return Err(Failure::new(message).help(format_args!("give --channel {}", head.channel.escape_default())));
        }
        expect_of(&head, &self.channel, self.policy()).map_err(|why| {
            Failure::new(format_args!("{why}; nothing was published"))
                .help(
                    "each policy has channels of its own: choose another --store or --channel, or a memory of its own (--memory \
                     DIR); if it is the pointer in the store that is the wrong one: --other-policy",
                )
        })?;
        match self.list.as_ref().map(SignedList::head) {
            // What is remembered goes back to where somebody took it away.
            _ if self.behind.as_ref().is_some_and(|behind| behind.digest == digest) => Ok(()),
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
        let bytes = envelope.to_bytes();
        lock.write(&place, L::KIND, &bytes)?;
        let head = (list.head().serial, list.head().issued);
        if Mark::of(envelope, &self.root, L::ROLES, head).replaces(self.kept.as_ref()) && !self.is_others {
            self.memory.keep(&self.root, &place, L::KIND, &bytes);
        }
        Ok(self.store.path().join(place))
    }
}

/// Whether the store has the channel; refused where it has not, unless the channel may be new.
fn is_known(desk: &Desk, may_be_new: bool) -> Result<bool, Failure> {
    let Err(fault) = desk.store.expect_channel(&desk.channel) else { return Ok(true) };
    let failure = Failure::from(fault);
    let help = failure.hint().unwrap_or_default();
    if !may_be_new {
        return Err(
            Failure::new(&failure).help(format_args!("{help}. If it is meant all the same, give --policy NAME"))
        );
    }
    warn(format_args!("{failure}; {help}"));
    Ok(false)
}

/// A list in a file, with nothing verified.
pub fn read<L: Published>(path: &Path) -> Result<(Envelope, L), Failure> {
    let envelope = signing::read_envelope(path, L::KIND)?;
    let list = L::read(envelope.payload()).map_err(|fault| Failure::at(path, fault))?;
    Ok((envelope, list))
}

/// The list that is remembered, with what the store's one of the same serial says beside it, where there is room for that.
fn both<L: Published>(kept: L, other: Option<L>) -> L {
    match other.map(|other| kept.beside(&other)) {
        Some(Ok(both)) => both,
        Some(Err(fault)) => {
            warn(format_args!(
                "what the {} in the store says beside the one that is remembered is not carried on: {fault}. Gateways that \
                 have it from there refuse one that lacks it: take out first what need not be listed any more",
                L::KIND
            ));
            kept
        }
        None => kept,
    }
}

/// The policy of a release in the store, named by its digest.
fn policy_of(store: &Store, digest: &Digest) -> Option<Policy> {
    let bytes = store.release(digest).ok()??;
    let envelope = Envelope::parse_kind(&bytes, Kind::Release).ok().filter(|envelope| envelope.digest() == *digest)?;
    Some(Manifest::parse(envelope.payload(), engine_version().ok()?).ok()?.policy)
}
