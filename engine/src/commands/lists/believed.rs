//! Which list of a channel is believed: the one in the store, and the newest that is remembered.

use std::path::PathBuf;

use policy_release::envelope::{Envelope, Kind};
use policy_release::lists::{Head, verify_list};
use policy_release::pointer::Pointer;
use policy_release::root::TrustRoot;
use stores::Channel;

use super::Published;
use crate::commands::memory::{Mark, Memory};
use crate::failure::{Failure, warn};
use crate::pointing::Desk;
use crate::store::Store;

/// A list that verifies.
pub struct Believed<L> {
    pub list: L,
    pub mark: Mark,
}

impl<L: Published> Believed<L> {
    /// Whether it is of the policy that the channel is of, where that is known.
    pub fn is_of(&self, policy: Option<&str>) -> bool {
        policy.is_none_or(|policy| policy == self.list.head().policy_name)
    }
}

/// What a list is worth, by any root of the chain, the newest first: its signers may have left since. `policy`: what the
/// channel is of, where that is known.
pub fn believed<L: Published>(
    bytes: &[u8],
    chain: &[TrustRoot],
    channel: &Channel,
    policy: Option<&str>,
) -> Result<Believed<L>, String> {
    let mut why = String::new();
    for root in chain.iter().rev() {
        match verify_list::<L>(bytes, root) {
            Ok(verified) => {
                let head = verified.list.head();
                expect_of(&head, channel, policy)?;
                let envelope = Envelope::parse_kind(bytes, L::KIND).map_err(|fault| fault.to_string())?;
                let mark = Mark::of(&envelope, root, L::ROLES, (head.serial, head.issued));
                return Ok(Believed { list: verified.list, mark });
            }
            Err(fault) if why.is_empty() => why = fault.to_string(),
            Err(_) => {}
        }
    }
    Err(why)
}

/// The pointer of the channel, unless it is of another policy than is `meant`, and is said to be the wrong one: by whoever asks
/// (`other_policy`), or by a list, the one that is there (signed, of `stored_policy`), or where that says nothing one that was seen
/// from here.
pub fn pointer_of<'d, L: Published>(
    desk: &'d Desk,
    stored_policy: Option<&str>,
    (meant, other_policy): (Option<&str>, bool),
) -> Option<&'d Pointer> {
    let pointer = desk.current.pointer()?;
    let other = pointer.policy_name.as_str();
    let Some(meant) = meant.filter(|meant| *meant != other) else { return Some(pointer) };
    let is_listed = match stored_policy {
        Some(stored) if stored == meant || stored == other => stored == meant,
        _ => recall::<L>(&desk.memory, &desk.chain, &desk.channel, Some(meant))
            .is_some_and(|(kept, _)| kept.is_of(Some(meant))),
    };
    if !is_listed && !other_policy {
        return Some(pointer);
    }
    let why = if is_listed { format!("a {} of {meant:?} is known", L::KIND) } else { format!("this is for {meant:?}") };
    warn(format_args!(
        "the pointer of channel {} is of policy {other:?}, and {why}: the pointer is not gone by; who put it there, if it is the wrong \
         one? (adamant point --other-policy replaces it)",
        desk.channel
    ));
    None
}

/// Refuses a list of another channel or policy, as gateways do, whoever signed it.
pub fn expect_of(head: &Head<'_>, channel: &Channel, policy: Option<&str>) -> Result<(), String> {
    if head.channel != channel.as_str() {
        return Err(format!("it is of channel {:?}", head.channel));
    }
    match policy.filter(|policy| *policy != head.policy_name) {
        Some(policy) => Err(format!("it is of policy {:?}, and the channel is of {policy:?}", head.policy_name)),
        None => Ok(()),
    }
}

/// Refuses to show a list as that of a channel which it is not of. The pointer tells the policy; its signatures are not
/// looked at.
pub fn expect_shown<L: Published>(list: &L, store: &Store, channel: &Channel) -> Result<(), Failure> {
    let pointer = store.pointer(channel)?.and_then(|bytes| {
        let envelope = Envelope::parse_kind(&bytes, Kind::Pointer).ok()?;
        Pointer::read(envelope.payload()).ok()
    });
    let policy = pointer.as_ref().map(|pointer| pointer.policy_name.as_str());
    expect_of(&list.head(), channel, policy).map_err(|why| {
        let message = format!("expected the {} of channel {channel}: {why}", L::KIND);
        Failure::at(&store.path().join(L::place(channel)), message)
            .help("gateways of the channel refuse it, and have what they accepted last: who put it there?")
    })
}

/// The newest list of the channel that was kept, and where. `policy`: what the channel is of by now; one of another policy only
/// where none of this one was kept.
pub fn recall<L: Published>(
    memory: &Memory,
    chain: &[TrustRoot],
    channel: &Channel,
    policy: Option<&str>,
) -> Option<(Believed<L>, PathBuf)> {
    let place = L::place(channel);
    let kept = memory.all(chain, &place, L::KIND);
    let all = kept.filter_map(|kept| Some((believed::<L>(&kept.bytes, chain, channel, None).ok()?, kept.path)));
    all.max_by_key(|(of, _)| (of.is_of(policy), of.mark.rank()))
}
