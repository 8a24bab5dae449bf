//! The profile document of one release, as it was when it was looked at.

use std::fmt::Display;
use std::io::Write;

use agent::release::elsewhere;
use policy::model::Policy;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::key::PublicKey;
use policy_release::profile_document::{Place, ProfileDocument, ROLE, verify_profile_document};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, layout};

use crate::commands::memory::{Behind, Kept, Mark, behind};
use crate::commands::signing;
use crate::commands::trust::words;
use crate::failure::{Failure, warn};
use crate::pointing::{Desk, ReleaseChoice, Target, Where};
use crate::span::distance;

pub struct ProfileDesk {
    pub desk: Desk,
    pub release: Digest,
    pub policy_name: String,
    policy: Policy,
    version: u64,
    /// The document of the release.
    own: Look,
    /// The newest that is remembered of the channel, of whatever release.
    newest: Option<Believed>,
}

/// The document of a release, as the store has it and as it is remembered.
struct Look {
    /// The bytes of the document that is there.
    seen: Option<Vec<u8>>,
    /// The same, where it verifies by any root of the chain; else why it does not.
    present: Option<Result<Believed, String>>,
    /// The newest, where it is remembered alone: somebody put what is in the store there.
    behind: Option<(Behind, Believed)>,
    /// Of what is remembered.
    kept: Option<Mark>,
}

/// A document that verifies.
struct Believed {
    document: ProfileDocument,
    envelope: Envelope,
    mark: Mark,
}

impl ProfileDesk {
    pub fn open(at: &Where, choice: &ReleaseChoice) -> Result<Self, Failure> {
        let desk = Desk::open(at)?;
        let target = Target::load(&desk, choice)?;
        let (release, policy_name) = (target.digest(), target.policy_name().to_owned());
        let newest = newest(&desk, &policy_name);
        let own = look(&desk, &release, newest.as_ref())?;
        Ok(Self { version: target.version(), policy: target.release.policy, desk, release, policy_name, own, newest })
    }

    /// The document that is there.
    pub fn present(&self) -> Result<(&ProfileDocument, &Envelope), Failure> {
        match &self.own.present {
            Some(Ok(Believed { document, envelope, .. })) => Ok((document, envelope)),
            Some(Err(why)) => {
                Err(Failure::new(format_args!("the profile document of {} is not believed: {why}", self.release))
                    .help("who wrote it? adamant profile issue --serial N --gateway … replaces it"))
            }
            None => Err(Failure::new(format_args!("release {} has no profile document", self.release))
                .help("adamant profile issue --gateway https://HOST:PORT --gateway-ca FILE makes it")),
        }
    }

    /// That somebody put something older into the store, and where the newest is.
    pub fn behind(&self) -> Option<String> {
        let (Behind { told, path, .. }, _) = self.own.behind.as_ref()?;
        Some(format!("{told} ({})", path.display()))
    }

    /// Says so where what is made now goes on from something newer than what is in the store.
    pub fn warn_of_behind(&self) {
        if let Some(told) = self.behind() {
            warn(format_args!(
                "{told}: who put back what is in the store? This goes on from the newest, not from there"
            ));
        }
    }

    /// Says so where no route of the release is at the gateway's host: agents would call in vain.
    pub fn warn_of_elsewhere(&self, place: &Place) {
        let gateway = place.gateway.parse().ok();
        let found = gateway.and_then(|gateway| elsewhere(&gateway, &self.policy.routes, |route| &route.host));
        if let Some(found) = found {
            warn(format_args!("no route of the release {found}; give --gateway the name of its routes"));
        }
    }

    /// The place that the release has already, else what the channel runs. What holds by older keys alone is not copied: whoever
    /// has the keys that left would name the place. Nor what goes behind what was seen from here, unless `carry_on` says that the
    /// newest is meant.
    pub fn place(&self, carry_on: bool) -> Result<Place, Failure> {
        let has_none = self.own.present.is_none() && self.own.behind.is_none();
        match self.desk.current.pointer().filter(|pointer| has_none && pointer.release != self.release) {
            Some(running) => {
                let look = look(&self.desk, &running.release, self.newest.as_ref())?;
                self.copied(&running.release, &look, carry_on)
            }
            None => self.copied(&self.release, &self.own, carry_on),
        }
    }

    fn copied(&self, release: &Digest, look: &Look, carry_on: bool) -> Result<Place, Failure> {
        let refused = |told: &dyn Display, put_back: &dyn Display| {
            Failure::new(told).help(format_args!(
                "who put back what is in the store? {put_back}; or name the place that is meant (--gateway URL --gateway-ca \
                 FILE), or say --carry-on, which goes on from the newest"
            ))
        };
        let found = match (&look.present, &look.behind) {
            (_, Some((_, kept))) if carry_on => kept,
            (_, Some((behind, _))) => {
                let path = behind.path.display();
                return Err(refused(
                    &behind.told,
                    &format_args!("Publish the newest again: adamant profile publish {path} …"),
                ));
            }
            (Some(Ok(present)), None) => present,
            (Some(Err(why)), None) => {
                return Err(Failure::new(format_args!("the profile document of {release} is not believed: {why}"))
                    .help("who wrote it? Give --gateway; adamant profile issue --serial N --gateway … replaces it"));
            }
            (None, None) => return self.present().map(|(document, _)| document.place.clone()),
        };
        let found = match self.newest.as_ref().filter(|newest| newest.leads_elsewhere_than(found)) {
            Some(newest) if carry_on => newest,
            Some(newest) => {
                let (other, newest) = (&found.document, &newest.document);
                let told = format!(
                    "the store names {} (serial {} of {release}, issued {}); the newest that was seen from here names {} \
                     (serial {} of {}, issued {})",
                    other.place.gateway,
                    other.serial,
                    other.issued,
                    newest.place.gateway,
                    newest.serial,
                    newest.release,
                    newest.issued
                );
                let stay = format!("where {} is right, say --gateway {0} --gateway-ca FILE", other.place.gateway);
                return Err(refused(&told, &stay));
            }
            None => found,
        };
        self.place_of(found)
    }

    fn place_of(&self, Believed { document, envelope, .. }: &Believed) -> Result<Place, Failure> {
        let gateway = &document.place.gateway;
        if !self.desk.root.standing(ROLE, envelope).is_met() {
            let message = format!("the document that names {gateway} holds by older keys of {ROLE} alone");
            return Err(Failure::new(message).help("is that place meant? Say it: --gateway URL --gateway-ca FILE"));
        }
        if self.newest.is_none() {
            warn(format_args!(
                "the place {gateway} is taken from serial {} of {}, issued {}; nothing is remembered here of the channel's \
                 places, so whoever may write to the store chooses which of those that were ever signed; name it with \
                 --gateway if it is not meant",
                document.serial, document.release, document.issued
            ));
        }
        Ok(document.place.clone())
    }

    /// The serial of the next document: `wanted`, or one above the newest one.
    pub fn serial(&self, wanted: Option<u64>) -> Result<u64, Failure> {
        let present = match (&self.own.present, &self.own.behind) {
            (_, Some((_, kept))) => kept.document.serial,
            (Some(Ok(present)), None) => present.document.serial,
            (None, None) => 0,
            (Some(Err(why)), None) => match wanted {
                Some(_) => {
                    warn(format_args!(
                        "the profile document of {} is not believed and is replaced: {why}",
                        self.release
                    ));
                    0
                }
                None => return Err(self.present().map(drop).err().unwrap_or_else(|| Failure::new(why))),
            },
        };
        let next = present.saturating_add(1);
        match wanted {
            Some(wanted) if wanted < next => {
                let message =
                    format!("expected a serial above {present}, that of the present document, found {wanted}");
                Err(Failure::new(message).help("agents never go back; leave --serial away for the next one"))
            }
            wanted => Ok(wanted.unwrap_or(next)),
        }
    }

    /// Refuses a document that agents with the present one would refuse for its serial.
    pub fn expect_next(&self, document: &ProfileDocument, digest: Digest) -> Result<(), Failure> {
        // What is remembered goes back to where somebody took it away.
        if self.own.behind.as_ref().is_some_and(|(behind, _)| behind.digest == digest) {
            return Ok(());
        }
        self.serial(Some(document.serial)).map(drop)
    }

    /// Refuses a key whose signature would count for nothing.
    pub fn may_sign(&self, key: &PublicKey) -> Result<(), Failure> {
        signing::may_sign(&self.desk.chain, &[ROLE], key)
    }

    pub fn tell(&self, document: &ProfileDocument, envelope: &Envelope, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(out, "profile    of release {}", document.release)?;
        writeln!(out, "  policy   {} version {}", document.policy_name, self.version)?;
        for line in super::place::lines(&document.place) {
            writeln!(out, "{line}")?;
        }
        let (serial, expires) = (document.serial, document.expires);
        writeln!(out, "  serial   {serial}, until {expires} ({})", distance(self.desk.now, expires))?;
        writeln!(out, "  signed   {}", words(&self.desk.root.standing(ROLE, envelope)))?;
        Ok(())
    }

    /// Publishes it, if the signatures are enough and nobody else did meanwhile.
    pub fn publish(&self, document: &ProfileDocument, envelope: &Envelope, out: &mut dyn Write) -> Result<(), Failure> {
        let signed = self.desk.root.standing(ROLE, envelope);
        if !signed.is_met() {
            let message = format!("{ROLE} has {}; nothing was published", words(&signed));
            return Err(Failure::new(message).help("give more keys, or write it with --out FILE for others to sign"));
        }
        let bytes = envelope.to_bytes();
        verify_profile_document(&bytes, &self.desk.root, &document.release).map_err(Failure::new)?;
        let lock = self.desk.store.lock()?;
        if self.desk.store.profile(&document.release)? != self.own.seen {
            let message = "somebody else published a profile document of this release meanwhile; nothing was published";
            return Err(Failure::new(message).help("run this again"));
        }
        let place = layout::profile(&document.release);
        lock.write(&place, Kind::ProfileDocument, &bytes)?;
        if let Ok(published) = believed(&bytes, &self.desk.chain, &document.release) {
            // Of two of one second, what is published now is the newer.
            let newest = self.newest.as_ref().filter(|newest| age(newest) > age(&published));
            remember(&self.desk, (&published, &bytes), (self.own.kept.as_ref(), newest));
        }
        writeln!(out, "wrote {}", self.desk.store.path().join(place).display())?;
        Ok(())
    }
}

impl Believed {
    /// Whether this one, which is remembered, is no older than `other` and names another place.
    fn leads_elsewhere_than(&self, other: &Self) -> bool {
        self.document.issued >= other.document.issued && self.document.place != other.document.place
    }
}

/// Where the newest document of a channel is remembered, of whatever release: a store has no such place.
fn of_channel(channel: &Channel) -> String {
    format!("channels/{channel}/profile.json")
}

/// The newest that is remembered of the channel.
fn newest(desk: &Desk, policy_name: &str) -> Option<Believed> {
    let of = |kept: Kept| {
        let envelope = Envelope::parse_kind(&kept.bytes, Kind::ProfileDocument).ok()?;
        let release = ProfileDocument::read(envelope.payload()).ok()?.release;
        believed(&kept.bytes, &desk.chain, &release).ok().filter(|of| of.document.policy_name == policy_name)
    };
    let place = of_channel(&desk.channel);
    let all = desk.memory.all(&desk.chain, &place, Kind::ProfileDocument);
    all.filter_map(of).max_by_key(|of| (of.mark.by, of.document.issued))
}

/// Looks at the document of `release`, and remembers it where it is newer than what is.
fn look(desk: &Desk, release: &Digest, newest: Option<&Believed>) -> Result<Look, Failure> {
    let place = layout::profile(release);
    let seen = desk.store.profile(release)?;
    let present = seen.as_deref().map(|bytes| believed(bytes, &desk.chain, release));
    let kept = desk.memory.all(&desk.chain, &place, Kind::ProfileDocument);
    let kept = kept.filter_map(|kept| Some((believed(&kept.bytes, &desk.chain, release).ok()?, kept.path)));
    let kept = kept.max_by_key(|(of, _)| of.mark.rank());
    let found = present.as_ref().map(|of| of.as_ref().map(|of| &of.mark));
    let behind =
        kept.as_ref().and_then(|(kept, path)| behind(Kind::ProfileDocument, (&kept.mark, path), found, desk.now));
    let mark = kept.as_ref().map(|(kept, _)| kept.mark.clone());
    if let (Some(Ok(present)), Some(bytes), None) = (&present, &seen, &behind) {
        remember(desk, (present, bytes), (mark.as_ref(), newest));
    }
    let behind = behind.zip(kept.map(|(kept, _)| kept));
    Ok(Look { seen, present, behind, kept: mark })
}

/// What is later has the greater one.
const fn age(of: &Believed) -> (u64, Timestamp) {
    (of.mark.by, of.document.issued)
}

/// Remembers what is newer than `kept`, of its release, and than the `newest` of the channel.
fn remember(desk: &Desk, (of, bytes): (&Believed, &[u8]), (kept, newest): (Option<&Mark>, Option<&Believed>)) {
    if of.mark.replaces(kept) {
        desk.memory.keep(&desk.root, &layout::profile(&of.document.release), Kind::ProfileDocument, bytes);
    }
    // Two of one second, of two releases: the one that was remembered stays.
    let is_newer = |newest: &Believed| {
        let is_of_same = of.document.release == newest.document.release && of.mark.rank() >= newest.mark.rank();
        age(of) > age(newest) || (age(of) == age(newest) && is_of_same && of.mark.replaces(Some(&newest.mark)))
    };
    if newest.is_none_or(is_newer) {
        desk.memory.keep(&desk.root, &of_channel(&desk.channel), Kind::ProfileDocument, bytes);
    }
}

/// What a document in the store is worth, by any root of the chain, the newest first: its signers may have left since.
fn believed(bytes: &[u8], chain: &[TrustRoot], release: &Digest) -> Result<Believed, String> {
    let mut why = String::new();
    for root in chain.iter().rev() {
        match verify_profile_document(bytes, root, release) {
            Ok(verified) => {
                let envelope = Envelope::parse_kind(bytes, Kind::ProfileDocument).map_err(|fault| fault.to_string())?;
                let document = verified.document;
                let mark = Mark::of(&envelope, root, &[ROLE], (document.serial, document.issued));
                return Ok(Believed { document, envelope, mark });
            }
            Err(fault) if why.is_empty() => why = fault.to_string(),
            Err(_) => {}
        }
    }
    Err(why)
}
