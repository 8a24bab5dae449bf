//! One side of a comparison: where its policy comes from, and what is known about it.

use std::path::Path;

use policy::compile::compile;
use policy::model::Policy;
use policy::table::Table;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::manifest::Manifest;
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use policy_release::verify::verify_envelope;

use crate::commands::release::engine_version;
use crate::failure::Failure;
use crate::fleet::{self, Access, Host};
use crate::store::Store;
use crate::{files, source};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Source,
    Release,
    Gateway,
}

impl From {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Release => "release",
            Self::Gateway => "gateway",
        }
    }
}

/// A policy to compare, compiled.
pub struct End {
    /// As it was given.
    pub name: String,
    pub kind: From,
    pub policy: Policy,
    pub table: Table<Vec<u8>>,
    /// None for a source.
    pub digest: Option<Digest>,
    pub version: Option<u64>,
    /// When the release expires. No part of a verdict.
    pub expires: Option<Timestamp>,
    /// A release whose signatures meet a release role of the trust root.
    pub verified: bool,
}

/// Where releases are looked for, and what they are verified with.
pub struct Ends<'a> {
    pub store: Option<&'a Path>,
    pub root: Option<&'a TrustRoot>,
    /// How to ask gateways.
    pub access: &'a Access,
}

impl Ends<'_> {
    pub fn read(&self, given: &str) -> Result<End, Failure> {
        if let Some(address) = given.strip_prefix("gateway:") {
            return self.gateway(given, address);
        }
        if given.parse::<Host>().is_ok() && !Path::new(given).exists() {
            let fault = Failure::new(format_args!("{given}: expected a policy source, a release, or gateway:ADDRESS"));
            return Err(fault.help(format_args!("for the release of that gateway: gateway:{given}")));
        }
        if given.starts_with("sha256:") {
            let digest = given.parse::<Digest>().map_err(|fault| Failure::new(format_args!("{given}: {fault}")))?;
            return self.stored(given, digest);
        }
        let path = Path::new(given);
        let bytes = files::read(path, Kind::Release.envelope_bytes_max())?;
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
            return self.release(given, &bytes, From::Release);
        }
        drop(bytes);
        let policy = source::load(path)?;
        end(given, From::Source, policy, None)
    }

    /// What a running gateway serves, from the store: a gateway tells the digest, never the policy.
    fn gateway(&self, given: &str, address: &str) -> Result<End, Failure> {
        let host: Host = address.parse().map_err(|fault| Failure::new(format_args!("{given}: {fault}")))?;
        let answer = fleet::fetch(&host, self.access);
        let answer = answer.map_err(|fault| Failure::new(format_args!("{given}: {fault}")))?;
        let digest = answer.release.parse::<Digest>();
        let digest = digest.map_err(|fault| Failure::new(format_args!("{given}: {fault}")))?;
        let end = self.stored(given, digest)?;
        Ok(End { kind: From::Gateway, ..end })
    }

    fn stored(&self, given: &str, digest: Digest) -> Result<End, Failure> {
        let Some(path) = self.store else {
            let fault = Failure::new(format_args!("{given}: expected a store that has release {digest}"));
            return Err(fault.help("give the store with --store DIR"));
        };
        let store = Store::open(path).map_err(Failure::new)?;
        let Some(bytes) = store.release(&digest).map_err(Failure::new)? else {
            let fault = Failure::at(path, format_args!("has no release {digest}"));
            return Err(fault.help("is it the right store, and up to date?"));
        };
        let end = self.release(given, &bytes, From::Release)?;
        match end.digest == Some(digest) {
            true => Ok(end),
            false => Err(Failure::at(path, format_args!("expected release {digest} under that name, found another"))),
        }
    }

    fn release(&self, given: &str, bytes: &[u8], kind: From) -> Result<End, Failure> {
        let fail = |fault: &dyn std::fmt::Display| Failure::new(format_args!("{given}: {fault}"));
        let envelope = Envelope::parse_kind(bytes, Kind::Release).map_err(|fault| fail(&fault))?;
        let manifest = Manifest::parse(envelope.payload(), engine_version()?).map_err(|fault| fail(&fault))?;
        let digest = envelope.digest();
        if let Some(root) = self.root {
            let verified = verify_envelope(envelope, root, &[Role::ReleaseNarrower, Role::ReleaseWider]);
            verified.map_err(|fault| fail(&fault).help("compare it without --trust-root to see it unverified"))?;
        }
        let end = end(given, kind, manifest.policy, Some(digest))?;
        let (version, expires) = (Some(manifest.version), Some(manifest.expires));
        Ok(End { version, expires, verified: self.root.is_some(), ..end })
    }
}

fn end(given: &str, kind: From, policy: Policy, digest: Option<Digest>) -> Result<End, Failure> {
    let fail = |fault: &dyn std::fmt::Display| Failure::new(format_args!("{given}: {fault}"));
    let image = compile(&policy, digest.map_or([0; 32], |digest| *digest.as_bytes())).map_err(|fault| fail(&fault))?;
    let table = Table::load(image).map_err(|fault| fail(&fault))?;
    Ok(End { name: given.to_owned(), kind, policy, table, digest, version: None, expires: None, verified: false })
}
