//! What a signer remembers of a channel: the newest list, and the newest profile documents, that were seen or published from
//! here, as they were signed. Whoever may write to the store can put an older one back, with everything in it valid; a signer
//! that goes on from there would take up again what was removed since, under a serial that gateways and agents refuse.
//!
//! Nothing here is believed for standing there either: it is verified like what is in the store. Where nothing is remembered,
//! the store alone tells.

use std::fmt::Display;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;

use crate::failure::{Failure, warn};
use crate::files::{self, Access, Existing};
use crate::span::distance;

mod roots;

/// Below the directory of the state, one directory for each trust root.
const LISTS: &str = "lists";

#[derive(Clone, Debug, Default, Args)]
pub struct MemoryArgs {
    /// Directory that remembers the newest trust roots, lists and profile documents seen from here, so that an older one that
    /// was put back into the store is noticed; $XDG_STATE_HOME/adamant when absent, or ~/.local/state/adamant.
    #[arg(long, value_name = "DIR")]
    memory: Option<PathBuf>,
    /// Of who only looks: nothing is remembered, nor recalled.
    #[arg(skip)]
    is_none: bool,
}

pub struct Memory {
    /// None: this user has no home.
    directory: Option<PathBuf>,
}

/// What is remembered, and where.
pub struct Kept {
    pub bytes: Vec<u8>,
    pub path: PathBuf,
}

/// What tells a document that verifies from others of its place.
#[derive(Clone, Debug)]
pub struct Mark {
    pub digest: Digest,
    /// The version of the trust root that it holds by.
    pub by: u64,
    pub serial: u64,
    pub issued: Timestamp,
    /// Signatures that count.
    signed: usize,
}

/// A store that goes behind what is remembered of it.
#[derive(Debug)]
pub struct Behind {
    /// Both, in words.
    pub told: String,
    /// Where the newer one is.
    pub path: PathBuf,
    pub digest: Digest,
}

impl MemoryArgs {
    /// For who only looks, and signs nothing.
    pub fn none() -> Self {
        Self { memory: None, is_none: true }
    }

    pub fn open(&self) -> Memory {
        if self.is_none {
            return Memory { directory: None };
        }
        // Whoever has something to revoke is not stopped by that.
        if let Some(named) = self.memory.as_ref().filter(|named| named.exists() && !named.is_dir()) {
            warn(format_args!("{}: expected a directory for --memory, found something else", named.display()));
        }
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let of_user = || {
            let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
            state.map(|state| state.join("adamant"))
        };
        let directory = self.memory.clone().or_else(of_user);
        if directory.is_none() {
            warn(
                "nothing is remembered of what is signed here, because $HOME is not set: that an older list or profile \
                 document was put back into the store goes unnoticed (--memory DIR)",
            );
        }
        Memory { directory }
    }
}

impl Memory {
    /// `place`: where it stands in a store.
    fn path(&self, root: &TrustRoot, place: &str) -> Option<PathBuf> {
        let of_root = root.digest().to_string().replace(':', "-");
        Some(self.directory.as_ref()?.join(LISTS).join(of_root).join(place))
    }

    /// What was kept of that place under any root of the chain, the oldest first.
    pub fn all(&self, chain: &[TrustRoot], place: &str, kind: Kind) -> impl Iterator<Item = Kept> {
        chain.iter().filter_map(move |root| {
            let path = self.path(root, place)?;
            match files::read(&path, kind.envelope_bytes_max()) {
                Ok(bytes) => match Envelope::parse_kind(&bytes, kind) {
                    Ok(_) => Some(Kept { bytes, path }),
                    Err(fault) => {
                        unread(kind, &path, &fault);
                        None
                    }
                },
                Err(_) if !path.exists() => None,
                Err(fault) => {
                    unread(kind, &path, &fault);
                    None
                }
            }
        })
    }

    /// Remembers `bytes`, which verify. That this cannot be done stops nobody who has something to revoke.
    pub fn keep(&self, root: &TrustRoot, place: &str, kind: Kind, bytes: &[u8]) {
        let Some(path) = self.path(root, place) else { return };
        if files::read(&path, kind.envelope_bytes_max()).is_ok_and(|kept| kept == bytes) {
            return;
        }
        if let Err(failure) = write(&path, bytes) {
            warn(format_args!(
                "the {kind} is not remembered: {failure}; that an older one was put back into the store goes unnoticed"
            ));
        }
    }
}

impl Mark {
    /// Of what holds by `root`; signatures in `roles` count.
    pub fn of(envelope: &Envelope, root: &TrustRoot, roles: &[Role], (serial, issued): (u64, Timestamp)) -> Self {
        let signed = roles.iter().map(|role| root.standing(*role, envelope).signed.len()).sum();
        Self { digest: envelope.digest(), by: root.version(), serial, issued, signed }
    }

    /// What is newer has the higher one: a newer root forgets the serials of an older one.
    pub fn rank(&self) -> (u64, u64) {
        (self.by, self.serial)
    }

    /// Whether this is to be remembered in the place of what is: another one that is not behind it, or the same with more
    /// signatures that count. Whoever may write to the store can leave some away.
    pub fn replaces(&self, kept: Option<&Self>) -> bool {
        let same = kept.filter(|kept| kept.digest == self.digest);
        same.is_none_or(|kept| (self.by, self.signed) > (kept.by, kept.signed))
    }

    fn words(&self, now: Timestamp) -> String {
        format!("serial {}, made {} ({})", self.serial, self.issued, distance(now, self.issued))
    }
}

/// Whether what is in the store, if anything, goes behind `kept`, which is remembered at `path`.
pub fn behind(
    kind: Kind,
    (kept, path): (&Mark, &Path),
    stored: Option<Result<&Mark, &String>>,
    now: Timestamp,
) -> Option<Behind> {
    let found = match stored {
        Some(Ok(stored)) if stored.digest == kept.digest || stored.rank() > kept.rank() => return None,
        Some(Ok(stored)) if stored.rank() == kept.rank() => {
            format!("the store has another {kind} ({})", stored.words(now))
        }
        Some(Ok(stored)) => format!("the store has an older {kind} ({})", stored.words(now)),
        Some(Err(why)) => format!("the {kind} in the store is not believed ({why})"),
        None => format!("the store has no {kind} any more"),
    };
    let told = format!("{found}; the newest that was seen from here has {}", kept.words(now));
    Some(Behind { told, path: path.to_owned(), digest: kept.digest })
}

/// Says that what is remembered cannot be made use of.
fn unread(kind: Kind, path: &Path, fault: &dyn Display) {
    warn(format_args!(
        "{}: what is remembered of the {kind} is damaged: {fault}; that an older one was put back into the store may go \
         unnoticed",
        path.display()
    ));
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(files::parent(path));
    made.map_err(|error| Failure::at(files::parent(path), format_args!("cannot be made: {error}")))?;
    Ok(files::write(path, bytes, Access::OwnerOnly, Existing::ReplaceLink)?)
}
