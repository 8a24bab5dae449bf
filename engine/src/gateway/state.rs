//! The state directory: what outlives a restart. Rate counters, and the latest time seen.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activation::counters::Arena;
use control::at_rest::AtRest;
use control::node::NodeKey;

use crate::failure::Failure;
use crate::files::{self, Access, Existing};

const COUNTERS: &str = "counters";
/// Bytes of a counters file.
const COUNTERS_BYTES_MAX: usize = 1 << 30;
/// Bytes of the file that holds a time.
const TIME_BYTES_MAX: usize = 64;
/// How far the clock may be behind the latest time seen (a step by the time service), nanoseconds.
const CLOCK_STEP_NS_MAX: u64 = 60_000_000_000;

/// An open state directory, locked while it is held.
pub struct State {
    directory: PathBuf,
    /// What a gateway goes by that must not go back: the clock, but never below the latest time seen.
    pub now_unix_ns: u64,
    at_rest: AtRest,
    _lock: File,
}

/// Refuses a path that has something else than a directory.
pub fn expect_directory(path: &Path) -> Result<(), Failure> {
    if !path.exists() || path.is_dir() {
        return Ok(());
    }
    Err(Failure::at(path, "expected a directory for state, found something else")
        .help("give a directory of the gateway's own; it is made if it is not there"))
}

impl State {
    /// Opens (or makes) the directory and checks that nobody else can write it or uses it.
    pub fn open(directory: &Path, at_rest: AtRest, now_unix_ns: u64) -> Result<Self, Failure> {
        if !directory.exists() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| {
                Failure::at(directory, format_args!("the state directory cannot be made: {error}"))
                    .help("make it, owned by the gateway's user with mode 0700 (systemd: StateDirectory=adamant)")
            })?;
        }
        expect_own(directory)?;
        let path = directory.join("lock");
        let lock = ::files::open_lock(&path).map_err(|error| unusable(directory, &error))?;
        let lock = lock.ok_or_else(|| {
            Failure::at(&path, "expected a regular file as lock, found something else")
                .help("who put it there? Remove it")
        })?;
        if lock.try_lock().is_err() {
            return Err(Failure::at(directory, "another gateway uses this state directory")
                .help("stop it first, or give each gateway a directory of its own"));
        }
        let now_unix_ns = checked_now(directory, now_unix_ns)?;
        Ok(Self { directory: directory.to_owned(), now_unix_ns, at_rest, _lock: lock })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Has what is kept there as its owner wants it now.
    pub fn take_over(&self) -> Result<(), Failure> {
        self.at_rest.take_over(&self.directory).map_err(Failure::new)
    }

    /// The counters of the last run, or new ones. A file that is damaged stops the start: going on would refill
    /// everybody's limits unnoticed.
    pub fn counters(&self, now_unix_ns: u64) -> Result<Arc<Arena>, Failure> {
        Ok(counters(&self.directory, &self.at_rest, now_unix_ns)?.0)
    }

    pub fn save(&self, arena: &Arena, now_unix_ns: u64) -> Result<(), Failure> {
        let counters = arena.snapshot(now_unix_ns);
        let path = self.directory.join(COUNTERS);
        let counters = self.at_rest.seal(&counters).map_err(|error| Failure::at(&path, error))?;
        files::write(&path, &counters, Access::OwnerOnly, Existing::Replace)?;
        let time = format!("{now_unix_ns}\n");
        Ok(files::write(&self.directory.join("time"), time.as_bytes(), Access::OwnerOnly, Existing::Replace)?)
    }
}

/// What a start would do about what `directory` keeps, or why it would not start with it: as [`State::open`] and what follows
/// it look, without a lock, which a running gateway has, and without writing. The files that it would encrypt.
pub fn rehearse(directory: &Path, at_rest: &AtRest, now_unix_ns: u64) -> Result<Vec<PathBuf>, Failure> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    expect_own(directory)?;
    let mut plain: Vec<PathBuf> =
        NodeKey::would_encrypt(directory, at_rest).map_err(Failure::new)?.into_iter().collect();
    plain.extend(at_rest.would_take_over(directory).map_err(Failure::new)?);
    let (_, is_plain) = counters(directory, at_rest, now_unix_ns)?;
    plain.extend(is_plain.then(|| directory.join(COUNTERS)));
    Ok(plain)
}

/// Refuses what is no directory, or one that others than its owner can write.
fn expect_own(directory: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(directory).map_err(|error| unusable(directory, &error))?;
    expect_directory(directory)?;
    if metadata.mode() & 0o022 != 0 {
        let message =
            format!("others than its owner can write the state directory (mode {:o})", metadata.mode() & 0o7777);
        return Err(Failure::at(directory, message).help(format_args!("run chmod 700 {}", directory.display())));
    }
    Ok(())
}

fn unusable(directory: &Path, error: &std::io::Error) -> Failure {
    Failure::at(directory, format_args!("cannot be used for state: {error}"))
}

/// The counters that `directory` keeps, or new ones; and whether the file is plain and is to be encrypted.
fn counters(directory: &Path, at_rest: &AtRest, now_unix_ns: u64) -> Result<(Arc<Arena>, bool), Failure> {
    let path = directory.join(COUNTERS);
    if !path.exists() {
        return Ok((Arena::new(), false));
    }
    let bytes = files::read(&path, COUNTERS_BYTES_MAX)?;
    let is_plain = at_rest.is_outdated(&bytes);
    let bytes = at_rest.open(bytes).map_err(|fault| Failure::at(&path, fault))?;
    let help = format!("remove {} to start with fresh limits", path.display());
    let arena = Arena::restore(&bytes, now_unix_ns).map_err(|error| Failure::at(&path, error).help(help))?;
    Ok((arena, is_plain))
}

/// The clock, but never below the latest time that is kept in `directory`. One that went back by more than a step of the
/// time service is refused: it would bring expired credentials to life again.
pub fn checked_now(directory: &Path, now_unix_ns: u64) -> Result<u64, Failure> {
    let path = directory.join("time");
    if !path.exists() {
        return Ok(now_unix_ns);
    }
    let bytes = files::read(&path, TIME_BYTES_MAX)?;
    let seen = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let seen = seen.ok_or_else(|| {
        Failure::at(&path, "expected nanoseconds since 1970, found something else").help("remove the file")
    })?;
    if now_unix_ns.saturating_add(CLOCK_STEP_NS_MAX) >= seen {
        return Ok(now_unix_ns.max(seen));
    }
    let behind_s = (seen - now_unix_ns) / control::clock::NS_PER_S;
    let message = format!("the clock is {behind_s} s behind the latest time that this gateway has seen");
    let help = format!("set the clock (chronyc makestep); if that time was wrong, remove {}", path.display());
    Err(Failure::new(message).help(help))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn refused(directory: &Path, now_unix_ns: u64) -> String {
        format!("{:?}", State::open(directory, AtRest::default(), now_unix_ns).err().unwrap())
    }

    #[test]
    fn the_directory_is_made_private_and_used_by_one() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("a/state");
        let state = State::open(&directory, AtRest::default(), 1).unwrap();
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        assert!(refused(&directory, 1).contains("another gateway"));
        drop(state);
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refused(&directory, 1).contains("chmod 700"));
    }

    #[test]
    fn time_and_counters_come_back_and_the_clock_does_not_go_back() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("state");
        let now = 1_800_000_000_000_000_000;
        let state = State::open(&directory, AtRest::default(), now).unwrap();
        state.save(&state.counters(now).unwrap(), now).unwrap();
        assert!(state.counters(now).is_ok());
        drop(state);
        // Within a step of the time service: taken, but the time that acceptance goes by does not go back.
        assert_eq!(State::open(&directory, AtRest::default(), now - CLOCK_STEP_NS_MAX).unwrap().now_unix_ns, now);
        assert_eq!(State::open(&directory, AtRest::default(), now + 1).unwrap().now_unix_ns, now + 1);
        assert!(refused(&directory, now - CLOCK_STEP_NS_MAX - 1).contains("behind the latest time"));
        std::fs::write(directory.join("counters"), b"damaged").unwrap();
        assert!(State::open(&directory, AtRest::default(), now).unwrap().counters(now).is_err());
    }
}
