//! The policies that decisions are made again with: of releases, by their digest, and of candidates.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;

use policy::model::Policy;
use policy_evaluate::Evaluator;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::manifest::Manifest;
use stores::{Directory, Store as _, StoreFault};

use crate::commands::release::engine_version;
use crate::failure::Failure;
use crate::{files, source};

/// Keeps policies in place while evaluators borrow them: a list that only grows.
#[derive(Default)]
pub struct Shelf {
    policy: OnceCell<Policy>,
    next: OnceCell<Box<Shelf>>,
}

impl Shelf {
    pub fn keep(&self, policy: Policy) -> &Policy {
        let mut shelf = self;
        while shelf.policy.get().is_some() {
            shelf = shelf.next.get_or_init(Box::default);
        }
        shelf.policy.get_or_init(|| policy)
    }
}

/// A policy that was read, from a release or from its source.
pub struct Found {
    /// None for a source.
    pub digest: Option<Digest>,
    pub policy: Policy,
}

/// Reads a release, or a policy source. Signatures are not looked at: a release is known by its digest.
pub fn read(path: &Path) -> Result<Found, Failure> {
    let bytes = files::read(path, Kind::Release.envelope_bytes_max())?;
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        return release(&bytes, path);
    }
    Ok(Found { digest: None, policy: source::load(path)? })
}

fn release(bytes: &[u8], path: &Path) -> Result<Found, Failure> {
    let envelope = Envelope::parse_kind(bytes, Kind::Release).map_err(|fault| Failure::at(path, fault))?;
    let manifest = Manifest::parse(envelope.payload(), engine_version()?).map_err(|fault| Failure::at(path, fault))?;
    Ok(Found { digest: Some(envelope.digest()), policy: manifest.policy })
}

/// Compiles a policy.
pub fn evaluator<'s>(found: Found, shelf: &'s Shelf) -> Result<Evaluator<'s>, Failure> {
    let digest = found.digest.map_or([0; 32], |digest| *digest.as_bytes());
    Evaluator::new(shelf.keep(found.policy), digest).map_err(Failure::new)
}

/// Releases by their digest: those that were given, and those of a store.
pub struct Policies<'s> {
    shelf: &'s Shelf,
    store: Option<Directory>,
    /// None: it was looked for and is not there.
    known: HashMap<Digest, Option<Evaluator<'s>>>,
}

impl<'s> Policies<'s> {
    /// Reads `releases`; those of `store` are read when a record names them.
    pub fn new(releases: &[impl AsRef<Path>], store: Option<&Path>, shelf: &'s Shelf) -> Result<Self, Failure> {
        let mut known = HashMap::new();
        for path in releases.iter().map(AsRef::as_ref) {
            let found = read(path)?;
            let Some(digest) = found.digest else {
                let fault = Failure::at(path, "expected a release, found a policy source");
                return Err(fault.help("records name releases: build it, or replay against it with --against"));
            };
            known.insert(digest, Some(evaluator(found, shelf)?));
        }
        Ok(Self { shelf, store: store.map(Directory::new), known })
    }

    #[cfg(test)]
    pub fn of_one(digest: Digest, evaluator: Evaluator<'s>, shelf: &'s Shelf) -> Self {
        Self { shelf, store: None, known: HashMap::from([(digest, Some(evaluator))]) }
    }

    /// The release with this digest; none when nobody has it.
    pub fn of(&mut self, digest: &Digest) -> Result<Option<&Evaluator<'s>>, Failure> {
        if !self.known.contains_key(digest) {
            let found = self.fetch(digest)?;
            self.known.insert(*digest, found);
        }
        Ok(self.known.get(digest).and_then(Option::as_ref))
    }

    fn fetch(&self, digest: &Digest) -> Result<Option<Evaluator<'s>>, Failure> {
        let Some(store) = &self.store else { return Ok(None) };
        let bytes = match store.release(digest) {
            Ok(bytes) => bytes,
            Err(StoreFault::Missing { .. }) => return Ok(None),
            Err(fault) => return Err(Failure::new(format_args!("{}: {fault}", store.place()))),
        };
        let path = Path::new(&store.place()).join(stores::layout::release(digest));
        let found = release(&bytes, &path)?;
        if found.digest != Some(*digest) {
            return Err(Failure::at(&path, "expected the release that its name says, found another"));
        }
        evaluator(found, self.shelf).map(Some)
    }
}
