//! Finds the policy that somebody names: a source, a release in a file, one in a store, or what a gateway serves.

use std::fmt::Display;
use std::path::Path;

use policy::model::Policy;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::manifest::Manifest;
use policy_release::root::{Standing, TrustRoot};
use policy_release::time::Timestamp;
use policy_release::verify::verify_envelope;
use stores::Location;

use crate::commands::release::engine_version;
use crate::failure::Failure;
use crate::fleet::{self, Access, Host};
use crate::pointing::RELEASE_ROLES;
use crate::source::Warnings;
use crate::store::{Named, Store};
use crate::{files, source};

/// What was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Source,
    Release,
    Gateway,
}

impl Form {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Release => "release",
            Self::Gateway => "gateway",
        }
    }
}

/// A policy, and what is known about it.
pub struct Found {
    /// As it was given.
    pub name: String,
    pub form: Form,
    pub policy: Policy,
    /// None for a source.
    pub release: Option<Release>,
}

/// The release that a policy is of.
pub struct Release {
    pub digest: Digest,
    pub version: u64,
    pub expires: Timestamp,
    /// Who has signed for each release role of the trust root, the wider one first; empty without a root. One of them
    /// at least is met.
    pub standings: Vec<Standing>,
}

const UNSIGNED: &str =
    "have it signed first (adamant release sign); or compare without --trust-root, which looks at nobody's signatures";

/// Where releases are looked for, and what they are verified with.
#[derive(Default)]
pub struct Lookup<'a> {
    pub store: Option<Location>,
    /// A root and its successors, of which the newest counts whose threshold a release meets. None: signatures are not
    /// looked at.
    pub roots: &'a [TrustRoot],
    /// How to ask gateways.
    pub access: Access,
    /// Of a policy source.
    pub warnings: Warnings,
}

impl Found {
    pub fn digest(&self) -> Option<Digest> {
        self.release.as_ref().map(|release| release.digest)
    }
}

impl Lookup<'_> {
    pub fn find(&self, given: &str) -> Result<Found, Failure> {
        if let Some(address) = given.strip_prefix("gateway:") {
            return self.gateway(given, address);
        }
        let path = Path::new(given);
        if given.parse::<Host>().is_ok() && !path.exists() {
            let fault = Failure::new(format_args!("{given}: expected a policy source, a release, or gateway:ADDRESS"));
            return Err(fault.help(format_args!("for the release of that gateway: gateway:{given}")));
        }
        if given.starts_with("sha256:") {
            let named = given.parse::<Named>().map_err(|fault| Failure::new(format_args!("{given}: {fault}")))?;
            return self.stored(given, &named);
        }
        if path.is_dir() {
            return self.only_one(&Location::Directory(path.to_owned()));
        }
        self.file(path)
    }

    /// A release or a policy source in a file.
    pub fn file(&self, path: &Path) -> Result<Found, Failure> {
        let bytes = files::read(path, Kind::Release.envelope_bytes_max())?;
        let name = path.display().to_string();
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
            return self.release(&name, &bytes);
        }
        drop(bytes);
        Ok(Found { name, form: Form::Source, policy: source::load(path, self.warnings)?, release: None })
    }

    /// What a running gateway serves, from the store: a gateway tells the digest, never the policy.
    fn gateway(&self, given: &str, address: &str) -> Result<Found, Failure> {
        let fail = |fault: &dyn Display| Failure::new(format_args!("{given}: {fault}"));
        let host: Host = address.parse().map_err(|fault: String| fail(&fault))?;
        let answer = fleet::fetch(&host, &self.access).map_err(|fault| fail(&fault))?;
        let digest = answer.release.parse::<Digest>().map_err(|fault| fail(&fault))?;
        let found = self.stored(given, &Named::Whole(digest))?;
        Ok(Found { form: Form::Gateway, ..found })
    }

    fn stored(&self, given: &str, named: &Named) -> Result<Found, Failure> {
        let Some(at) = &self.store else {
            let fault = Failure::new(format_args!("{given}: expected a store that has release {named}"));
            return Err(fault.help("give the store with --store DIR|URL"));
        };
        let store = Store::open(at)?;
        self.in_store(given, &store, named.find(&store)?)
    }

    fn in_store(&self, given: &str, store: &Store, digest: Digest) -> Result<Found, Failure> {
        let Some(bytes) = store.release(&digest)? else {
            let fault = Failure::at(store.path(), format_args!("has no release {digest}"));
            return Err(fault.help("is it the right store, and up to date?"));
        };
        let found = self.release(given, &bytes)?;
        match found.digest() == Some(digest) {
            true => Ok(found),
            false => {
                Err(Failure::at(store.path(), format_args!("expected release {digest} under that name, found another")))
            }
        }
    }

    /// The release of a store that has no other, as a gateway's state directory is one.
    pub fn only_one(&self, at: &Location) -> Result<Found, Failure> {
        let (shown, store) = (at.to_string(), Store::open(at)?);
        let releases = store.releases()?;
        let path = Path::new(&shown);
        match releases.as_slice() {
            [only] => self.in_store(&shown, &store, *only),
            [] => Err(Failure::at(path, "expected a store with a release, found none")
                .help("is it the right directory? A store has them in releases/")),
            several => Err(Failure::at(path, format_args!("expected one release, found {}", several.len())).help(
                format_args!(
                    "name one: sha256:… with --store {shown}; adamant point live says which one a channel runs"
                ),
            )),
        }
    }

    fn release(&self, given: &str, bytes: &[u8]) -> Result<Found, Failure> {
        let fail = |fault: &dyn Display| Failure::new(format_args!("{given}: {fault}"));
        let (envelope, manifest) = read_release(bytes).map_err(|fault| fail(&fault))?;
        let digest = envelope.digest();
        let mut standings = Vec::new();
        let meets = |root: &&TrustRoot| RELEASE_ROLES.iter().any(|role| root.standing(*role, &envelope).is_met());
        if let Some(root) = self.roots.iter().rev().find(meets).or(self.roots.last()) {
            standings.extend(RELEASE_ROLES.map(|role| root.standing(role, &envelope)));
            let verified = verify_envelope(envelope, root, &RELEASE_ROLES);
            verified.map_err(|fault| fail(&fault).help(UNSIGNED))?;
        }
        let Manifest { policy, version, expires, .. } = manifest;
        let release = Some(Release { digest, version, expires, standings });
        Ok(Found { name: given.to_owned(), form: Form::Release, policy, release })
    }
}

/// A release, of which no signature was looked at.
pub fn read_release(bytes: &[u8]) -> Result<(Envelope, Manifest), Failure> {
    let envelope = Envelope::parse_kind(bytes, Kind::Release).map_err(Failure::new)?;
    let manifest = Manifest::parse(envelope.payload(), engine_version()?).map_err(Failure::new)?;
    Ok((envelope, manifest))
}
