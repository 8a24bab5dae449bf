//! The policies that decisions are made again with: of releases, by their digest, and of candidates.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;

use policy::model::Policy;
use policy_evaluate::Evaluator;
use policy_release::digest::Digest;
use stores::{Location, Store, StoreFault};

use crate::failure::Failure;
use crate::lookup::{Lookup, read_release};

/// Releases that are remembered not to be there; further ones are looked for each time.
const MISSING_MAX: usize = 1_000;

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

/// Compiles a policy.
pub fn evaluator(policy: Policy, digest: Option<Digest>, shelf: &Shelf) -> Result<Evaluator<'_>, Failure> {
    let digest = digest.map_or([0; 32], |digest| *digest.as_bytes());
    Evaluator::new(shelf.keep(policy), digest).map_err(Failure::new)
}

/// Releases by their digest: those that were given, and those of a store.
pub struct Policies<'s> {
    shelf: &'s Shelf,
    store: Option<Box<dyn Store>>,
    /// None: it was looked for and is not there.
    known: HashMap<Digest, Option<Evaluator<'s>>>,
    /// How many of them are not there.
    missing: usize,
}

impl<'s> Policies<'s> {
    /// Reads `releases`; those of `store` are read when a record names them.
    pub fn new(releases: &[impl AsRef<Path>], store: Option<&Location>, shelf: &'s Shelf) -> Result<Self, Failure> {
        let mut known = HashMap::new();
        for path in releases.iter().map(AsRef::as_ref) {
            let found = Lookup::default().file(path)?;
            let Some(digest) = found.digest() else {
                let fault = Failure::at(path, "expected a release, found a policy source");
                return Err(fault.help("records name releases: build it, or replay against it with --against"));
            };
            known.insert(digest, Some(evaluator(found.policy, Some(digest), shelf)?));
        }
        Ok(Self { shelf, store: store.map(Location::reader), known, missing: 0 })
    }

    #[cfg(test)]
    pub fn of_one(digest: Digest, evaluator: Evaluator<'s>, shelf: &'s Shelf) -> Self {
        Self { shelf, store: None, known: HashMap::from([(digest, Some(evaluator))]), missing: 0 }
    }

    /// The release with this digest; none when nobody has it.
    pub fn of(&mut self, digest: &Digest) -> Result<Option<&Evaluator<'s>>, Failure> {
        if !self.known.contains_key(digest) {
            let found = self.fetch(digest)?;
            if found.is_none() && self.missing >= MISSING_MAX {
                return Ok(None);
            }
            self.missing += usize::from(found.is_none());
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
        let (envelope, manifest) = read_release(&bytes).map_err(|fault| Failure::at(&path, fault))?;
        if envelope.digest() != *digest {
            return Err(Failure::at(&path, "expected the release that its name says, found another"));
        }
        evaluator(manifest.policy, Some(*digest), self.shelf).map(Some)
    }
}
