//! Whether a pointer leads gateways back: to a version that they may have had, and to what allows more than what they
//! serve. `release-wider` signs such a pointer too ([`Step::leads_back`]).
//!
//! Each gateway knows what it has had. Here what the channel runs tells, and the releases of the store: most come there
//! by being pointed at, though perhaps by another channel, or by hand.

use std::io::Write;

use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::root::Standing;
use policy_release::step::Step;

use super::base::{self, Base};
use super::target::Needed;
use super::{Consent, Current, Desk, Target, versions};
use crate::commands::trust::words;
use crate::failure::{Failure, warn};

/// What gateways ask of a pointer that leads back.
pub struct WayBack {
    /// Of the wider role, on the pointer.
    wider: Standing,
    /// Of the release that it leads to.
    version: u64,
    /// Not below `version`: enough signed it, and the store has it.
    highest: u64,
    known: Known,
    /// To what it leads back, in words.
    to: String,
}

/// How it is known that gateways had that version, or a higher one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The channel runs one that is not below it.
    Runs,
    /// The store has one, and this channel alone is of the policy.
    Stored,
    /// The store has one, and other channels too, which may have brought it there.
    Perhaps,
}

impl WayBack {
    /// None where no gateway has a reason to ask for the wider role.
    pub fn of(desk: &Desk, target: &Target, needed: &Needed, pointer: &Envelope) -> Result<Option<Self>, Failure> {
        let version = target.release.version;
        let runs = match &desk.current {
            Current::Verified(current) if current.release != target.digest() => Some(&current.release),
            Current::Doubtful(_) => None,
            Current::Verified(_) | Current::None => return Ok(None),
        };
        let highest = versions::highest(desk, target.policy_name())?;
        // What ran before a pointer that is not believed may have been this very release.
        let is_same = runs.is_none() && highest == version;
        if is_same || !Step::of(version, highest).leads_back(needed.allows_more) {
            return Ok(None);
        }
        let known = match runs.map(|runs| Base::find(desk, runs)) {
            Some(Ok(base)) if base.version >= version => Known::Runs,
            _ if desk.other_channel_of(target.policy_name())?.is_none() => Known::Stored,
            _ => Known::Perhaps,
        };
        let to = match &needed.why_wider {
            Some(why) => format!("version {version}, and {why}"),
            None => "what allows more".to_owned(),
        };
        Ok(Some(Self { wider: desk.root.standing(Role::ReleaseWider, pointer), version, highest, known, to }))
    }

    pub fn is_signed(&self) -> bool {
        self.wider.is_met()
    }

    pub fn tell(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { wider, version, .. } = self;
        let why = match self.known {
            Known::Runs => "which leads back".to_owned(),
            Known::Stored | Known::Perhaps => format!("where gateways had version {version} or a higher one before"),
        };
        Ok(writeln!(out, "  needs    {} on the pointer too, {why}: {}", wider.role, words(wider))?)
    }

    /// Refuses a pointer that gateways would refuse, unless that is asked for by name; warns where it is not known.
    pub fn expect_signed(&self, consent: Consent) -> Result<(), Failure> {
        let Self { wider, version, highest, known, to } = self;
        if wider.is_met() {
            return Ok(());
        }
        let has = format!("{} has {}", wider.role, words(wider));
        let had = format!("gateways that had version {version} or a higher one before (and were rolled back)");
        let message = match known {
            Known::Runs => format!("gateways would not take this pointer: it leads back to {to}, and {has}"),
            Known::Stored | Known::Perhaps => format!(
                "the store has version {highest} already: {had} will refuse this pointer, because it leads back to {to}, and \
                 {has}"
            ),
        };
        if *known == Known::Perhaps {
            warn(format_args!("{message}. Give several --key, unless no gateway of the channel ever had one"));
            return Ok(());
        }
        if consent.below_threshold {
            warn(message);
            return Ok(());
        }
        let unless = match known {
            Known::Stored => {
                ". If no gateway of the channel ever had one, or each serves this release already (adamant status): \
                 --below-threshold"
            }
            Known::Runs | Known::Perhaps => "",
        };
        Err(Failure::new(format_args!("{message}; nothing was published")).help(format_args!(
            "give several --key, or let them sign the pointer: --out FILE, then adamant point sign{unless}"
        )))
    }
}

/// Of a pointer at the release that the channel points at already: says why the wider role signed it, or, where it signed
/// the present one alone, who would refuse the new one.
pub fn tell_renewed(desk: &Desk, target: &Target, renewed: &Envelope, out: &mut dyn Write) -> Result<(), Failure> {
    let digest = target.digest();
    if desk.current.pointer().is_none_or(|current| current.release != digest) {
        return Ok(());
    }
    let standing = |pointer: &Envelope| desk.root.standing(Role::ReleaseWider, pointer);
    let present = desk.seen.as_deref().and_then(|bytes| Envelope::parse_kind(bytes, Kind::Pointer).ok());
    let (wider, was_signed) = (standing(renewed), present.is_some_and(|present| standing(&present).is_met()));
    if !wider.is_met() && !was_signed {
        return Ok(());
    }
    let version = target.release.version;
    let leads_back = versions::highest(desk, target.policy_name())? > version;
    if !leads_back && !base::widens(desk, &digest) {
        return Ok(());
    }
    let (role, words) = (wider.role, words(&wider));
    if wider.is_met() {
        writeln!(
            out,
            "  needs    {role} on the pointer too, where gateways had version {version} or a higher one before and were \
             led away: {words}"
        )?;
    } else if leads_back {
        warn(format_args!(
            "{role} signed the present pointer, which leads back, and not this one ({words}): gateways that have not taken \
             the way back yet will refuse it. Let them sign this one too, unless adamant status --expect-release shows \
             that every gateway has it"
        ));
    } else {
        warn(format_args!(
            "{role} signed the present pointer, and not this one ({words}): if it leads back to version {version} after a \
             rollback, gateways that have not taken it yet will refuse this one. Let them sign it too, unless adamant \
             status --expect-release shows that every gateway has it"
        ));
    }
    Ok(())
}
