//! The trust roots that a store leads to, from the one that was placed.

use std::path::Path;

use policy_release::envelope::Kind;
use policy_release::root::{TrustRoot, verify_root, verify_successor};
use stores::Location;

use crate::commands::memory::Memory;
use crate::commands::trust::read_root;
use crate::failure::{Failure, warn};
use crate::files;
use crate::store::Store;

/// From the trust root in a file to the newest in `store`, with those before that were seen from here; a failure where one
/// that was seen after them is gone. What the store shows is remembered.
pub fn remembered(store: &Store, placed: &Path, memory: &Memory) -> Result<Vec<TrustRoot>, Failure> {
    let first = files::read(placed, Kind::TrustRoot.envelope_bytes_max())?;
    let root = verify_root(&first).map_err(|fault| Failure::at(placed, fault))?;
    let mut before = first.clone();
    let chain = follow_seen(store, root, &mut |last, next, bytes| {
        memory.link((last, &before), (next, bytes));
        before = bytes.to_vec();
    })?;
    memory.complete(chain, &first)
}

/// The chain from the trust root in a file to the newest in a store; that one alone when no store is given.
pub fn chain_of(path: &Path, store: Option<&Location>) -> Result<Vec<TrustRoot>, Failure> {
    let first = read_root(path)?;
    match store {
        Some(store) => follow(&Store::open(store)?, first),
        None => Ok(vec![first]),
    }
}

/// The newest of [`chain_of`].
pub fn newest_root(path: &Path, store: Option<&Location>) -> Result<TrustRoot, Failure> {
    let chain = chain_of(path, store)?;
    chain.into_iter().next_back().ok_or_else(|| Failure::new("expected a trust root, found none"))
}

/// The chain from the root that gateways hold to the newest in the store. One that does not verify ends it.
pub fn follow(store: &Store, first: TrustRoot) -> Result<Vec<TrustRoot>, Failure> {
    follow_seen(store, first, &mut |_, _, _| ())
}

type See<'s> = &'s mut dyn FnMut(&TrustRoot, &TrustRoot, &[u8]);

/// The same; `see` is given each that comes of the store, with the one before it.
fn follow_seen(store: &Store, first: TrustRoot, see: See<'_>) -> Result<Vec<TrustRoot>, Failure> {
    let mut chain = vec![first];
    while let Some(last) = chain.last() {
        let Some(bytes) = store.root(last.version() + 1)? else { break };
        match verify_successor(last, &bytes) {
            Ok(next) => {
                see(last, &next, &bytes);
                chain.push(next);
            }
            Err(fault) => {
                warn(format_args!(
                    "{}: roots/{}.json is passed over: {fault}",
                    store.path().display(),
                    last.version() + 1
                ));
                break;
            }
        }
    }
    Ok(chain)
}
