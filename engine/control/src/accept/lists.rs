//! What is asked of every list of a channel: by its role, for this gateway's policy and channel, and newer than the last one.

use policy_release::envelope::Envelope;
use policy_release::lists::{Head, ListFault, SignedList, VerifiedList, verify_list};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use policy_release::verify::VerifyError;

use super::pointer::Seen;
use super::{Check, Gateway, Refusal};

/// The list in force.
#[derive(Debug)]
pub struct Last<'l, L> {
    /// All that holds by it.
    pub list: &'l L,
    /// Whether some of that is there because the list that was accepted last could not take it away.
    pub carries: bool,
    /// None: the keys by whose word it holds count no more, so that its serial is forgotten; what it says is not.
    pub seen: Option<Seen>,
    /// When it was issued, as far as that is believed: not after it was accepted.
    pub issued: Timestamp,
    /// Nothing holds by it any more, because a trust root since had nobody in its role.
    pub is_void: bool,
}

impl<L> Clone for Last<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Last<'_, L> {}

/// A list that is news.
#[derive(Clone, Debug)]
pub struct News<L> {
    pub verified: VerifiedList<L>,
    /// What holds from now on: its entries, and those of the last list that it may not take away.
    pub list: L,
    /// Around `list`, where that is more than what was signed. Nobody signed it.
    pub whole: Option<Envelope>,
}

/// What one kind of list is called, and the checks that it can fail.
#[derive(Debug)]
pub struct Words {
    pub name: &'static str,
    /// What makes the next one, and what makes the same again.
    pub command: &'static str,
    pub renew: &'static str,
    pub signatures: Check,
    pub policy: Check,
    pub channel: Check,
    pub serial: Check,
    pub equivocation: Check,
}

/// A list that does not go behind `seen`; it may be that one.
pub(super) fn newest<L: SignedList>(
    bytes: &[u8],
    root: &TrustRoot,
    gateway: &Gateway,
    channel: &str,
    seen: Option<Seen>,
    words: &Words,
) -> Result<VerifiedList<L>, Refusal> {
    let verified: VerifiedList<L> = verify_list(bytes, root).map_err(|fault| signatures::<L>(&fault, root, words))?;
    let head = verified.list.head();
    let of_serial = |refusal: Refusal| refusal.of_serial(head.serial);
    belongs(&head, gateway, channel, words).map_err(of_serial)?;
    seen.map_or(Ok(()), |seen| not_older(&verified, seen, words)).map_err(of_serial)?;
    Ok(verified)
}

fn belongs(head: &Head<'_>, gateway: &Gateway, channel: &str, words: &Words) -> Result<(), Refusal> {
    let Words { name, command, .. } = words;
    if head.policy_name != gateway.policy {
        return Err(Refusal::new(
            words.policy,
            format!("a {name} of policy {:?}", gateway.policy),
            format!("one of policy {:?}", head.policy_name),
            format!("each policy has channels, and each channel a {name}, of its own ({command})"),
        ));
    }
    if head.channel != channel {
        return Err(Refusal::new(
            words.channel,
            format!("a {name} of channel {channel:?}"),
            format!("one of channel {:?}", head.channel),
            format!("it is signed for one channel; make one for this channel ({command})"),
        ));
    }
    Ok(())
}

fn not_older<L: SignedList>(verified: &VerifiedList<L>, seen: Seen, words: &Words) -> Result<(), Refusal> {
    let (serial, name) = (verified.list.head().serial, words.name);
    if serial < seen.serial {
        return Err(Refusal::new(
            words.serial,
            format!("serial {} or higher, that of the {name} accepted last", seen.serial),
            format!("serial {serial}"),
            format!(
                "an old {name} was put back into the store: look at what it holds, then make one with serial {} ({} --serial {0})",
                seen.serial.saturating_add(1),
                words.renew
            ),
        ));
    }
    if serial == seen.serial && verified.digest != seen.digest {
        return Err(Refusal::new(
            words.equivocation,
            format!("one {name} with serial {}: {}", seen.serial, seen.digest),
            format!("another with the same serial: {}", verified.digest),
            format!(
                "find out who signed two of them with one serial (was an old {name} put back into the store?), look at what \
                 it holds, then make one with a higher serial ({} --serial {})",
                words.renew,
                seen.serial.saturating_add(1)
            ),
        ));
    }
    Ok(())
}

fn signatures<L: SignedList>(fault: &ListFault, root: &TrustRoot, words: &Words) -> Refusal {
    let (role, Words { name, command, renew, .. }) = (L::ROLE, words);
    let ListFault::Verify(VerifyError::BelowThreshold(below)) = fault else {
        let expected = format!("a {name}, signed by the threshold of role {role}");
        return Refusal::new(
            words.signatures,
            expected,
            fault.to_string(),
            format!("publish the {name} again ({command})"),
        );
    };
    let (expected, found) = super::release::counted(below);
    let remedy = if root.role(role).keys.is_empty() {
        format!("trust root version {} has no key of role {role}: adamant trust add --role {role}", root.version())
    } else if below.found.is_empty() {
        format!(
            "were keys replaced by this trust root? Then renew the {name} with the new ones ({renew}). Else let enough owners \
             of the role {role} sign, and publish it again"
        )
    } else {
        format!("let enough owners of the role {role} sign, and publish it again")
    };
    Refusal::new(words.signatures, expected, found, remedy)
}
