//! Which release a start serves: an acceptable candidate of the store or file, else the one that was accepted last, else
//! none. Everything is verified before a socket is bound, and what is taken is written down before it serves.

use std::path::PathBuf;
use std::sync::Arc;

use activation::activation::ReleaseFacts;
use control::accept::{self, Change, Check, Gateway, Refusal, change};
use control::assemble::{Assembled, Frozen};
use control::clock;
use control::live::Register;
use control::moving::Why;
use control::records::Handle;
use control::status::Moving;
use policy::compile::compile;
use policy::model::Policy;
use policy::table::Table;
use policy_release::candidate::Release;
use policy_release::digest::Digest;
use policy_release::key_set::KeySet;
use policy_release::revocations::Revocations;
use policy_release::time::Timestamp;
use stores::{Channel, Location, Store, layout};

use super::accepted::{Accepted, Memory};
use super::lists::{Elsewhere, Ground, InForce, Lists, Showing, Tended};
use super::standing::{Candidate, Kept, Look, Standing};
use super::trust::{self, Placed};
use super::{filling, showing};
use crate::config::{ActivationMode, Releases};
use crate::failure::Failure;

mod rehearsed;

/// Channels of a store that are named to whoever wrote another one.
const CHANNELS_SHOWN_MAX: usize = 8;
/// Looks at a store that is being written, before it counts as not readable.
const LOOKS_MAX: usize = 40;
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(25);

/// Where trust and releases come from.
#[derive(Clone, Debug)]
pub struct Trust {
    pub policy: String,
    pub trust_root: PathBuf,
    pub releases: Releases,
    pub activation: ActivationMode,
    /// Channels that were followed before and of which nothing needs to stay revoked.
    pub without_revocations_of: Vec<Channel>,
}

/// What a start serves and why, beside the release itself.
pub struct Choice {
    pub settings: Trust,
    pub now: Timestamp,
    pub standing: Standing,
    /// None: nothing is followed, so that nothing is revoked and nothing filled.
    pub lists: Option<Both>,
    /// To be written before it serves; none where it is what was accepted last.
    pub taken: Option<Taken>,
    /// Why something else is not served.
    pub refusals: Vec<Refusal>,
    /// Why the lists in the store are not in force.
    lists_refused: Vec<Refusal>,
    /// What is revoked no more, because another channel was followed before.
    dropped: Vec<String>,
}

/// The lists of the channel.
pub struct Both {
    pub ground: Ground,
    pub revocations: Lists<Revocations>,
    pub key_set: Lists<KeySet>,
}

impl Both {
    /// Those that were in force last, or what the store has by now; and what is refused.
    fn open(
        standing: &Standing,
        store: &dyn Store,
        channel: &Channel,
        now: Timestamp,
    ) -> Result<(Self, Vec<Refusal>), Failure> {
        let ground = Ground::of(standing)?;
        let mut revocations = Lists::open(standing, &ground, Some(store), channel, now)?;
        let mut key_set = Lists::open(standing, &ground, Some(store), channel, now)?;
        let mut refusals = revocations.begin(store, now)?;
        refusals.extend(key_set.begin(store, now)?);
        Ok((Self { ground, revocations, key_set }, refusals))
    }
}

/// A candidate that is accepted once it is written down.
pub struct Taken {
    pub candidate: Candidate,
    pub accepted: Accepted,
    /// Against the release accepted last; none for the first.
    pub change: Option<Change>,
}

impl Trust {
    pub fn store(&self) -> Option<Box<dyn Store>> {
        match &self.releases {
            Releases::File(_) => None,
            Releases::Store { at, .. } => Some(at.reader()),
        }
    }

    /// Where releases come from, for people.
    pub fn place(&self) -> String {
        match &self.releases {
            Releases::File(path) => path.display().to_string(),
            Releases::Store { at, channel } => format!("store {at}, channel {channel}"),
        }
    }

    fn gateway(&self) -> Result<Gateway, Failure> {
        let engine = trust::engine_version().map_err(Failure::new)?;
        Ok(Gateway { policy: self.policy.clone(), engine })
    }
}

/// Chooses at `now`. `usable` makes of a compiled release what this node can serve, or says why it cannot.
pub fn choose(
    settings: &Trust,
    memory: Memory,
    now: Timestamp,
    usable: impl Fn(Frozen) -> Result<Assembled, Failure>,
) -> Result<(Assembled, Choice), Failure> {
    let placed = Placed::read(&settings.trust_root)?;
    let mut standing = Standing::open(memory, settings.gateway()?, &placed)?;
    let store = settings.store();
    let store = store.as_deref();
    let mut refusals = Vec::new();
    refusals.extend(standing.advance_roots(store, Some(&placed)).err());
    standing.expect_reached(&placed)?;

    let mut lists_refused = Vec::new();
    let lists = match (&settings.releases, store) {
        (Releases::Store { channel, .. }, Some(store)) => {
            let wall = wall().unwrap_or(now);
            let (lists, refused) = Both::open(&standing, store, channel, wall)?;
            lists_refused = refused;
            Some(lists)
        }
        _ => None,
    };
    let dropped = Elsewhere { standing: &standing, store, settings, now: wall().unwrap_or(now) };
    let dropped = dropped.revoked_beside(lists.as_ref().and_then(|lists| lists.revocations.in_force()))?;
    let candidate = look(settings, &mut standing, store, now).unwrap_or_else(|refusal| {
        refusals.push(refusal);
        None
    });
    let kept = standing.kept(store);
    if let Some(candidate) = candidate {
        let last = kept.as_ref().and_then(|kept| kept.as_ref().ok()).map(|kept| &kept.signed.release);
        let serial = candidate.pointer.as_ref().map(|(verified, _)| verified.pointer.serial);
        let highest = standing.accepted.version_highest;
        let examined = examine(&candidate, last.map(|last| (&last.policy, last.digest)), highest);
        let outcome = examined.and_then(|(frozen, change)| {
            let assembled = usable(frozen).map_err(|failure| unusable(&candidate, &failure))?;
            Ok((assembled, change))
        });
        // With everything that the store thread would say of it, which then takes it as told.
        match outcome.map_err(|refusal| serial.into_iter().fold(refusal, Refusal::of_serial)) {
            Ok((assembled, change)) => {
                let accepted = standing.with(&candidate, now);
                let taken = Some(Taken { candidate, accepted, change });
                let settings = settings.clone();
                let choice = Choice { settings, now, standing, lists, taken, refusals, lists_refused, dropped };
                return Ok((assembled, choice));
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    match kept {
        Some(Ok(Kept { signed, taken_back: bytes })) => {
            let digest = signed.release.digest;
            let frozen = freeze(&signed.release).map_err(Failure::new)?;
            let assembled = usable(frozen)?;
            if let Some(bytes) = bytes {
                standing.memory.keep_release(&digest, &bytes)?;
            }
            let (settings, taken) = (settings.clone(), None);
            Ok((assembled, Choice { settings, now, standing, lists, taken, refusals, lists_refused, dropped }))
        }
        kept => {
            lists_refused.append(&mut refusals);
            Err(nothing_to_serve(settings, lists_refused, kept.and_then(Result::err)))
        }
    }
}

/// What the clock says, which may be behind the latest time that was seen.
fn wall() -> Option<Timestamp> {
    Timestamp::from_seconds(clock::unix_s())
}

/// Another release than the accepted one, if there is any.
fn look(
    settings: &Trust,
    standing: &mut Standing,
    store: Option<&dyn Store>,
    now: Timestamp,
) -> Result<Option<Candidate>, Refusal> {
    let (channel, store) = match (&settings.releases, store) {
        (Releases::File(path), _) => return standing.look_at_file(path, now),
        (Releases::Store { channel, .. }, Some(store)) => (channel, store),
        (Releases::Store { .. }, None) => return Err(Refusal::new(Check::Read, "a store", "none", "name one")),
    };
    let mut looked = standing.look(store, channel, now);
    for _ in 1..LOOKS_MAX {
        if !looked.as_ref().is_err_and(Refusal::is_passing) {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
        looked = standing.look(store, channel, now);
    }
    match looked.map_err(|refusal| instead(refusal, settings))? {
        Look::Same | Look::Renewed => Ok(None),
        Look::Named(named) => standing.verify(*named, now).map(Some),
    }
}

/// Where the channel has no pointer in the store: which channels have one, or that this is no store.
fn instead(mut refusal: Refusal, settings: &Trust) -> Refusal {
    let Releases::Store { at: Location::Directory(directory), channel } = &settings.releases else { return refusal };
    if refusal.check != Check::Read || directory.join(layout::pointer(channel)).exists() {
        return refusal;
    }
    let entries = std::fs::read_dir(directory.join(layout::CHANNELS)).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<Channel>().ok());
    let mut there: Vec<_> = names.filter(|name| directory.join(layout::pointer(name)).exists()).collect();
    there.sort_unstable();
    let more = if there.len() > CHANNELS_SHOWN_MAX { ", …" } else { "" };
    let shown: Vec<_> = there.iter().take(CHANNELS_SHOWN_MAX).map(ToString::to_string).collect();
    let remedy = match there.is_empty() {
        true => "no channel of it has a pointer: is it the store that was meant (store under [gateway])?".to_owned(),
        false => format!(
            "the store has a pointer of: {}{more}; is one of these meant (channel under [gateway])? Otherwise point this \
             channel at a release",
            shown.join(", ")
        ),
    };
    refusal.remedy = remedy.into_boxed_str();
    refusal
}

/// Compiles a candidate, compares it with the release accepted `last`, and counts its signatures again by what it
/// changes, and by how far its version is above the `highest` accepted; those of its pointer too, where it is not above.
pub fn examine(
    candidate: &Candidate,
    last: Option<(&Policy, Digest)>,
    highest: u64,
) -> Result<(Frozen, Option<Change>), Refusal> {
    let release = &candidate.signed.release;
    let refused = |why: String| of_table(&why).of_release(release.digest);
    let frozen = freeze_as_stated(release).map_err(refused)?;
    // One that this engine cannot compile cannot be compared with either.
    let change = last.and_then(|(policy, digest)| {
        let table = Table::load(compile(policy, *digest.as_bytes()).ok()?).ok()?;
        let old = change::Side { policy, table: &table };
        Some(change::compare(&old, &change::Side { policy: &frozen.policy, table: &frozen.table }))
    });
    accept::release::threshold(&candidate.signed, change.as_ref(), highest)?;
    if let Some((verified, _)) = &candidate.pointer {
        accept::pointer::threshold(verified, release, highest, change.as_ref())?;
    }
    Ok((frozen, change))
}

/// As [`freeze`]; a bound of its cost that is not this policy's own is a lie about it, and nothing else in such a release is
/// believed either.
pub fn freeze_as_stated(release: &Release) -> Result<Frozen, String> {
    let frozen = freeze(release)?;
    match &release.cost {
        Some(cost) => cost.check(&frozen.table.certificate()).map(|()| frozen).map_err(|fault| fault.to_string()),
        None => Ok(frozen),
    }
}

/// Compiles a verified release into sealed memory.
pub fn freeze(release: &Release) -> Result<Frozen, String> {
    let facts = ReleaseFacts {
        digest: release.digest.to_string(),
        policy_name: release.policy.name.clone(),
        version: release.version,
        expires_s: Some(release.expires.seconds()),
        signers: release.signers.iter().map(|signer| signer.owner.clone()).collect(),
    };
    Frozen::new(release.policy.clone(), facts, *release.digest.as_bytes()).map_err(|error| error.to_string())
}

fn of_table(why: &str) -> Refusal {
    Refusal::new(
        Check::ReleaseTable,
        "a policy that this engine can compile",
        why,
        "check the policy and build it again",
    )
}

fn unusable(candidate: &Candidate, failure: &Failure) -> Refusal {
    let expected = "a release for which this node has every file and setting";
    let remedy = failure.hint().unwrap_or("mend what is named, or build another release").to_owned();
    let refusal = Refusal::new(Check::ReleaseTable, expected, failure.to_string(), remedy);
    refusal.of_release(candidate.signed.release.digest)
}

fn nothing_to_serve(settings: &Trust, mut refusals: Vec<Refusal>, kept: Option<Refusal>) -> Failure {
    let place = settings.place();
    let state = kept.as_ref().map_or_else(
        || "none was ever accepted".to_owned(),
        |refusal| format!("expected {}; found {}", refusal.expected, refusal.found),
    );
    let Some(last) = refusals.pop().or(kept) else {
        return Failure::new(format_args!("{place}: there is no release to serve: {state}"));
    };
    refusals.iter().for_each(|refusal| control::error!("{place}: {refusal}"));
    let message =
        format!("{place}: {}; nothing is served, and there is no release to go on with: {state}", last.facts());
    Failure::new(message).help(&last.remedy)
}

impl Choice {
    /// All that is refused.
    fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.lists_refused.iter().chain(&self.refusals)
    }

    /// Writes down what was taken, so that from here on every start takes it, and tells what was decided.
    pub fn settle(&mut self, records: &Handle, moving: &mut Moving) -> Result<(), Failure> {
        self.standing.news.drain(..).for_each(|new| showing::tell_root(records, &new));
        if let Some(Taken { candidate, accepted, change }) = self.taken.take() {
            let release = &candidate.signed.release;
            self.standing.memory.keep_release(&release.digest, &candidate.bytes)?;
            self.standing.memory.keep(&accepted)?;
            let pointer = candidate.pointer.map(|(verified, _)| verified);
            showing::tell_accepted(records, release, pointer.as_ref(), change.as_ref(), self.now);
            self.standing.take(accepted, pointer);
        }
        for refusal in self.refused() {
            showing::refused(moving, refusal, self.now);
            showing::tell_refused(records, refusal, &self.settings.place(), &self.standing.served());
        }
        showing::accepted(moving, &self.standing, self.now);
        if let Releases::File(_) = self.settings.releases {
            // Of a store that was followed before: nobody looks there any more.
            moving.pointer = None;
        }
        Ok(())
    }

    /// Puts the lists in force before any worker is there, and tells of them.
    pub fn begin(
        &self,
        (revocations, key_sets): (&Register<Revocations>, &Register<KeySet>),
        records: &Handle,
        policy: &Policy,
        moving: &mut Moving,
    ) {
        self.dropped.iter().for_each(|told| control::warning!("{told}"));
        let Some(lists) = &self.lists else {
            return filling::warnings(None, policy, self.now).iter().for_each(|told| control::warning!("{told}"));
        };
        self.begin_with(lists.revocations.in_force(), revocations, records, policy, moving);
        self.begin_with(lists.key_set.in_force(), key_sets, records, policy, moving);
    }

    fn begin_with<L: Tended>(
        &self,
        in_force: Option<&InForce<L>>,
        register: &Register<L>,
        records: &Handle,
        policy: &Policy,
        moving: &mut Moving,
    ) {
        let now = wall().unwrap_or(self.now);
        L::show(moving, in_force, Some(policy), now);
        let Some(in_force) = in_force else { return };
        register.put(Arc::clone(&in_force.list), now);
        let place = self.settings.place();
        let showing = Showing { place: &place, why: Why::Start, before: None, policy: Some(policy), now };
        L::tell_accepted(records, in_force, &showing);
    }
}
