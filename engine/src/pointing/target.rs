//! The release that a channel is to run: found, verified as a gateway would, and told.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use policy_release::candidate::{self, Expected, Purpose, Release};
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::manifest::Manifest;
use policy_release::pointer::Pointer;
use policy_release::provenance;
use policy_release::root::{Standing, TrustRoot};
use policy_release::time::Timestamp;
use policy_release::verify::verify_envelope;
use stores::layout;

use super::replaced::outdated;
use super::versions::{self, Head};
use super::{Change, Consent, Desk};
use crate::commands::release::engine_version;
use crate::commands::trust::words;
use crate::failure::{Failure, warn};
use crate::span::distance;
use crate::store::{Named, Store};
use crate::{files, fit};

/// One of them must have signed a release, or no gateway looks at it.
pub const RELEASE_ROLES: [Role; 2] = [Role::ReleaseWider, Role::ReleaseNarrower];

/// Which release, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseChoice {
    /// What the channel runs: the pointer is renewed.
    Current,
    /// One that is in the store.
    Stored(Named),
    File(PathBuf),
}

impl FromStr for ReleaseChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "current" => Ok(Self::Current),
            digest if digest.starts_with("sha256:") => Ok(Self::Stored(digest.parse()?)),
            file => Ok(Self::File(file.into())),
        }
    }
}

/// What gateways ask for.
pub struct Needed {
    /// Of the role that the release needs.
    pub standing: Standing,
    /// Than what the channel runs, as far as is known.
    pub allows_more: bool,
    /// Why the wider role is needed although nothing becomes possible.
    pub why_wider: Option<String>,
}

/// A release that enough of its role signed.
pub struct Target {
    pub envelope: Envelope,
    pub release: Release,
    /// The envelope of a statement of its provenance, to be published with it.
    pub provenance: Option<Vec<u8>>,
    policy_name: String,
    /// The store's copy, where that is the one that was looked at.
    place: Option<PathBuf>,
}

impl Target {
    /// Finds and verifies a release.
    pub fn load(desk: &Desk, choice: &ReleaseChoice) -> Result<Self, Failure> {
        match choice {
            ReleaseChoice::File(path) => {
                let bytes = files::read(path, Kind::Release.envelope_bytes_max())?;
                files::envelope(path, &bytes, Kind::Release)?;
                Self::verified(desk, &bytes, None).map_err(|fault| unfit(desk, path, &bytes, fault))
            }
            ReleaseChoice::Stored(named) => Self::in_store(desk, &named.find(&desk.store)?),
            ReleaseChoice::Current => {
                desk.store.expect_channel(&desk.channel)?;
                let nothing = || match desk.current.doubt() {
                    Some(why) => {
                        Failure::new(format_args!("the pointer of channel {} is not believed: {why}", desk.channel))
                            .help("who put it there? Name the release (--release FILE or sha256:…), and a --serial")
                    }
                    None => Failure::new(format_args!("channel {} has no pointer that could be renewed", desk.channel))
                        .help("name the release: --release FILE or sha256:…"),
                };
                Self::in_store(desk, &desk.current.pointer().ok_or_else(nothing)?.release)
            }
        }
    }

    /// Verifies a release of the store.
    pub fn in_store(desk: &Desk, digest: &Digest) -> Result<Self, Failure> {
        let path = desk.store.path().join(layout::release(digest));
        let bytes = desk.store.release(digest)?.ok_or_else(|| {
            Failure::at(&path, "the store has no such release")
                .help("bring it there with: adamant point --release FILE")
        })?;
        let target = Self::verified(desk, &bytes, Some(digest)).map_err(|fault| unfit(desk, &path, &bytes, fault))?;
        Ok(Self { place: Some(path), ..target })
    }

    /// By the threshold of either role: which one it needs is told, and decided by each gateway.
    fn verified(desk: &Desk, bytes: &[u8], named: Option<&Digest>) -> Result<Self, Box<dyn std::error::Error>> {
        let envelope = Envelope::parse_kind(bytes, Kind::Release)?;
        let verified = verify_envelope(envelope.clone(), &desk.root, &RELEASE_ROLES)?;
        if let Some(named) = named.filter(|named| **named != verified.digest()) {
            let found = verified.digest();
            return Err(
                format!("expected the release {named}, found {found} under its name; put it there again").into()
            );
        }
        let engine = engine_version().map_err(|failure| failure.to_string())?;
        let policy_name = Manifest::parse(verified.payload(), engine)?.policy_name;
        // What the channel runs already may have expired: that blocks activation, not service.
        let renewed = desk.current.pointer().is_some_and(|current| current.release == verified.digest());
        let purpose = if renewed { Purpose::Resume } else { Purpose::Activate { now: desk.now } };
        let expected = Expected { policy_name: &policy_name, engine, purpose };
        let release = candidate::check(&verified, &desk.root, &expected)?;
        if renewed && release.expires <= desk.now {
            warn(format_args!(
                "the release expired {}: gateways that serve it go on, others refuse it; build and sign a newer one",
                distance(desk.now, release.expires)
            ));
        }
        Ok(Self { envelope, release, provenance: None, policy_name, place: None })
    }

    /// Takes in the statement of its provenance in a file, if a key of the release roles signed that.
    pub fn state_provenance(&mut self, desk: &Desk, path: &Path) -> Result<(), Failure> {
        let bytes = files::read(path, Kind::Provenance.envelope_bytes_max())?;
        provenance::verify(&bytes, &desk.root, &self.digest()).map_err(|fault| Failure::at(path, fault))?;
        self.provenance = Some(bytes);
        Ok(())
    }

    pub fn policy_name(&self) -> &str {
        &self.policy_name
    }

    pub const fn version(&self) -> u64 {
        self.release.version
    }

    pub const fn digest(&self) -> Digest {
        self.release.digest
    }

    /// Shows the release, what it changes in the one that the channel runs, and whether its signatures are enough for
    /// that at a gateway.
    pub fn tell(&self, desk: &Desk, out: &mut dyn Write) -> Result<Needed, Failure> {
        let Release { digest, version, expires, .. } = &self.release;
        writeln!(out, "release    {digest}")?;
        writeln!(out, "  policy   {} version {version}, expires {expires}", self.policy_name)?;
        let change = match fit::release(&self.release) {
            Ok(frozen) => Change::of(desk, &self.release, &frozen.table)?,
            // Who serves it already goes on; the pointer alone is new.
            Err(why) if desk.current.pointer().is_some_and(|current| current.release == *digest) => {
                warn(format_args!("gateways that do not serve this release yet would refuse it: {why}"));
                Change::Unknown(why)
            }
            Err(why) => {
                let message = format!("gateways would refuse this release at the check release-table: {why}");
                return Err(Failure::new(format_args!("{message}; nothing was published"))
                    .help("check the policy and build it again with this version of adamant"));
            }
        };
        writeln!(out, "  change   {change}")?;
        let role = change.role();
        let standing = desk.root.standing(role, &self.envelope);
        let why_wider = change.why_wider();
        let why = why_wider.as_ref().map_or_else(String::new, |why| format!(", because {why}"));
        writeln!(out, "  needs    {role}{why}: {}", words(&standing))?;
        for signature in outdated(&desk.chain, &self.envelope) {
            writeln!(out, "           not counted: {signature}")?;
        }
        let wider = desk.root.standing(Role::ReleaseWider, &self.envelope);
        if standing.is_met() && !wider.is_met() {
            // It is compared with nothing there, so it counts as wider.
            warn(format_args!(
                "a new gateway, which has accepted nothing yet, cannot start from this release: {} has {}",
                wider.role,
                words(&wider)
            ));
        }
        self.warn_of_twin(desk)?;
        Ok(Needed { standing, allows_more: change.allows_more(), why_wider })
    }

    /// Refuses a release that gateways would refuse, unless that is asked for by name.
    pub fn expect_enough(&self, desk: &Desk, needed: &Needed, consent: Consent) -> Result<(), Failure> {
        let Needed { standing, why_wider, .. } = needed;
        if standing.is_met() {
            return Ok(());
        }
        let why = why_wider.as_ref().map_or_else(String::new, |why| format!("; {why}"));
        let message = format!("gateways would not take this release: {} has {}{why}", standing.role, words(standing));
        if consent.below_threshold {
            warn(message);
            return Ok(());
        }
        let sign = match &self.place {
            Some(place) => format!(
                "the store's copy counts: let them sign {} (adamant release sign), or take in the copy that they signed \
                 (adamant point --release FILE)",
                place.display()
            ),
            None => "let them sign it (adamant release sign)".to_owned(),
        };
        let outdated: String =
            outdated(&desk.chain, &self.envelope).into_iter().map(|signature| signature + "; ").collect();
        Err(Failure::new(format_args!("{message}; nothing was published"))
            .help(format_args!("{outdated}{sign}; or publish it all the same with --below-threshold")))
    }

    /// Says so where the release ends before the `pointer` at it does.
    pub fn warn_of_end(&self, pointer: &Pointer, now: Timestamp) {
        let ends = self.release.expires;
        if now < ends && ends < pointer.expires {
            warn(format_args!(
                "the release ends at {ends} ({}), before the pointer: gateways that have not taken it by then never do. Build \
                 one that ends later",
                distance(now, ends)
            ));
        }
    }

    /// Two releases of one version are told apart by their digests alone, which nobody reads.
    fn warn_of_twin(&self, desk: &Desk) -> Result<(), Failure> {
        for digest in desk.store.releases()?.into_iter().filter(|digest| *digest != self.digest()) {
            let Some((Head { policy_name, version }, _)) = versions::head(desk, &digest) else { continue };
            if policy_name == self.policy_name && version == self.release.version {
                warn(format_args!(
                    "the store has another release of version {version}: {digest}; count on, so that people can tell them \
                     apart"
                ));
            }
        }
        Ok(())
    }
}

/// Why a release is none for gateways; where keys signed it that were replaced since, whose they were.
fn unfit(desk: &Desk, path: &Path, bytes: &[u8], fault: Box<dyn std::error::Error>) -> Failure {
    let failure = Failure::at(path, fault);
    let outdated = Envelope::parse_kind(bytes, Kind::Release).map(|envelope| outdated(&desk.chain, &envelope));
    match outdated.unwrap_or_default() {
        outdated if outdated.is_empty() => failure,
        outdated => {
            failure.help(format_args!("{}: sign it with keys of today (adamant release sign)", outdated.join("; ")))
        }
    }
}

/// The release that came before the one that the channel runs: its parent, where that is stated, in the store and
/// older; else the one of the highest version below it.
pub fn previous(desk: &Desk) -> Result<Target, Failure> {
    let nothing = |why: &str| {
        Failure::new(format_args!("channel {} has no previous release: {why}", desk.channel))
            .help("name it: --to sha256:…; adamant release list shows them")
    };
    let current = desk.current.pointer().ok_or_else(|| nothing("it has no pointer that is believed"))?;
    let running = Target::in_store(desk, &current.release)?;
    if let Some(parent) = running.release.parent
        && desk.store.release(&parent)?.is_some()
    {
        return Target::in_store(desk, &parent);
    }
    let mut best: Option<(u64, Digest)> = None;
    for digest in desk.store.releases()? {
        // What cannot be read is no candidate, and stops nobody.
        let Ok(Some(version)) = older(&desk.store, &desk.root, &digest, &running) else { continue };
        if best.is_none_or(|(highest, _)| version > highest) {
            best = Some((version, digest));
        }
    }
    let (_, digest) = best.ok_or_else(|| {
        nothing(&format!(
            "the store has none of policy {:?}, of which its pointer is, with a lower version",
            running.policy_name
        ))
    })?;
    Target::in_store(desk, &digest)
}

/// The version of a release in the store, when it is signed, of the same policy, and older than what runs.
fn older(store: &Store, root: &TrustRoot, digest: &Digest, running: &Target) -> Result<Option<u64>, Failure> {
    let Some(bytes) = store.release(digest)? else { return Ok(None) };
    let envelope = Envelope::parse_kind(&bytes, Kind::Release).ok();
    let verified = envelope.map(|envelope| verify_envelope(envelope, root, &RELEASE_ROLES));
    let Some(verified) = verified.and_then(Result::ok).filter(|verified| verified.digest() == *digest) else {
        return Ok(None);
    };
    let Ok(manifest) = Manifest::parse(verified.payload(), engine_version()?) else { return Ok(None) };
    let fits = manifest.policy_name == running.policy_name && manifest.version < running.release.version;
    Ok(fits.then_some(manifest.version))
}
