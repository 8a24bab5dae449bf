//! A store on a server. Nothing that it says is believed: it is bytes of bounded length, each file with an outcome of its
//! own, and every exchange ends by a deadline.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use policy_release::digest::Digest;
use policy_release::envelope::Kind;

use self::backend::{Backend, Fault};
use self::parts::Head;
use self::watching::Watching;
use crate::{Channel, Followed, Protocol, Server, Store, StoreFault, layout};

mod backend;
mod consul;
mod etcd;
mod https;
mod kv;
mod link;
mod parts;
mod watching;

pub use backend::Version;

/// For a pointer, a trust root, a profile document, or the answer to whether one changed.
pub(crate) const SMALL_MS_MAX: u64 = 5_000;
/// For a revocation list or a key set, which may be tens of MB.
const LIST_MS_MAX: u64 = 20_000;
/// For a release, which may be hundreds of MB.
const RELEASE_MS_MAX: u64 = 180_000;

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Whole,
    /// Whole; of what stood there before, parts are left that nobody reads.
    Leaving {
        part: String,
        why: String,
        help: String,
    },
    /// Not at all: it was not any more as it was read.
    Meanwhile,
}

/// A store on a server.
pub struct Remote {
    server: Server,
    /// Reading takes `&self`, and a connection is kept meanwhile.
    inner: RefCell<Inner>,
}

struct Inner {
    backend: Box<dyn Backend>,
    watching: Watching,
}

impl Remote {
    pub fn new(server: Server) -> Self {
        let backend: Box<dyn Backend> = match server.protocol {
            Protocol::Https => Box::new(https::Https::new(server.clone())),
            Protocol::OpenBao => Box::new(kv::Kv::new(server.clone())),
            Protocol::Etcd => Box::new(etcd::Etcd::new(server.clone())),
            Protocol::Consul => Box::new(consul::Consul::new(server.clone())),
        };
        Self { server, inner: RefCell::new(Inner { backend, watching: Watching::default() }) }
    }

    pub const fn protocol(&self) -> Protocol {
        self.server.protocol
    }

    /// A file, if it is there, and the state of it that was read.
    pub fn read(&self, file: &str, kind: Kind) -> Result<(Option<Vec<u8>>, Version), StoreFault> {
        let bytes_max = kind.envelope_bytes_max();
        let within = match kind {
            Kind::Release => RELEASE_MS_MAX,
            Kind::Revocations | Kind::KeySet => LIST_MS_MAX,
            _ => SMALL_MS_MAX,
        };
        let until = Instant::now() + Duration::from_millis(within);
        let mut inner = self.inner.borrow_mut();
        let Inner { backend, watching } = &mut *inner;
        let outcome = read(&mut **backend, file, bytes_max, until);
        watching.was_read(file, &outcome, backend.reads_what_it_looks_at());
        outcome
    }

    /// The state of a file, whatever it holds.
    pub fn version(&self, file: &str, kind: Kind) -> Result<Version, StoreFault> {
        let (bytes_max, within) = (kind.envelope_bytes_max(), Duration::from_millis(RELEASE_MS_MAX));
        let found = self.inner.borrow_mut().backend.get(file, bytes_max, within);
        found.map(|found| found.version).map_err(|fault| fault.of(file, bytes_max))
    }

    /// Writes a file whole, or not at all, if its state is still `at`.
    pub fn write(&self, file: &str, bytes: &[u8], at: &Version) -> Result<Written, StoreFault> {
        let until = Instant::now() + Duration::from_millis(RELEASE_MS_MAX);
        let mut inner = self.inner.borrow_mut();
        let backend = &mut *inner.backend;
        let Some((head, all)) = parts::split(bytes) else {
            let is_put = backend.put(file, bytes, at).map_err(|fault| fault.of(file, bytes.len()))?;
            return Ok(if is_put { Written::Whole } else { Written::Meanwhile });
        };
        let before = backend.get(file, parts::PART_BYTES_MAX, left(until)).ok();
        let before = before.and_then(|found| Head::of(&found.content?));
        for (at, part) in all.iter().enumerate() {
            put_part(backend, &head.part(at), part, until)?;
        }
        if !backend.put(file, head.to_string().as_bytes(), at).map_err(|fault| fault.of(file, bytes.len()))? {
            return Ok(Written::Meanwhile);
        }
        let outdated = before.filter(|old| old.digest() != head.digest());
        Ok(outdated.map_or(Written::Whole, |old| remove_parts(backend, &old)))
    }

    /// Names in a directory of the store, in order.
    pub fn names(&self, directory: &str) -> Result<Vec<String>, StoreFault> {
        let mut inner = self.inner.borrow_mut();
        let mut names = inner.backend.names(directory).map_err(|fault| fault.of(directory, parts::PART_BYTES_MAX))?;
        names.sort_unstable();
        Ok(names)
    }

    /// The state of a file as a look tells it.
    fn look(&self, file: &str, kind: Kind) -> Option<Version> {
        self.inner.borrow_mut().backend.look(file, kind.envelope_bytes_max()).ok()
    }

    fn found(&self, file: String, kind: Kind) -> Result<Vec<u8>, StoreFault> {
        let (content, _) = self.read(&file, kind)?;
        content.ok_or(StoreFault::Missing { what: file })
    }
}

impl Store for Remote {
    fn place(&self) -> String {
        self.server.to_string()
    }

    fn changed(&mut self, channel: &Channel, followed: Followed) -> bool {
        let Inner { backend, watching } = self.inner.get_mut();
        match followed {
            Followed::Releases => watching.changed(&mut **backend, &layout::pointer(channel), Kind::Pointer),
            Followed::Revocations => watching.changed(&mut **backend, &layout::revocations(channel), Kind::Revocations),
            Followed::KeySet => watching.changed(&mut **backend, &layout::key_set(channel), Kind::KeySet),
        }
    }

    fn pointer(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.found(layout::pointer(channel), Kind::Pointer)
    }

    fn revocations(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.found(layout::revocations(channel), Kind::Revocations)
    }

    fn key_set(&self, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        self.found(layout::key_set(channel), Kind::KeySet)
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, StoreFault> {
        self.found(layout::root(version), Kind::TrustRoot)
    }

    fn release(&self, digest: &Digest) -> Result<Vec<u8>, StoreFault> {
        self.found(layout::release(digest), Kind::Release)
    }

    fn profile(&self, release: &Digest) -> Result<Vec<u8>, StoreFault> {
        let file = layout::profile(release);
        // It is written again in its place: a change between this look and the read is seen at the next look.
        let before = self.look(&file, Kind::ProfileDocument);
        let found = self.found(file.clone(), Kind::ProfileDocument);
        self.inner.borrow_mut().watching.was_looked_at(file, before);
        found
    }
}

/// In whole seconds, so that the same failure reads the same each time.
fn left(until: Instant) -> Duration {
    let left = until.saturating_duration_since(Instant::now());
    Duration::from_secs(u64::try_from(left.as_millis().div_ceil(1_000)).unwrap_or(0))
}

fn read(
    backend: &mut dyn Backend,
    file: &str,
    bytes_max: usize,
    until: Instant,
) -> Result<(Option<Vec<u8>>, Version), StoreFault> {
    let found = backend.get(file, bytes_max, left(until)).map_err(|fault| fault.of(file, bytes_max))?;
    let size = || StoreFault::Size { what: file.to_owned(), expected_bytes_max: bytes_max };
    let Some(content) = found.content else { return Ok((None, found.version)) };
    let Some(head) = Head::of(&content) else {
        return if content.len() > bytes_max { Err(size()) } else { Ok((Some(content), found.version)) };
    };
    if head.length() > bytes_max {
        return Err(size());
    }
    let torn = |found: String| StoreFault::Torn { what: file.to_owned(), found };
    let mut whole = Vec::with_capacity(head.length());
    for at in 0..head.count() {
        let (part, length) = (head.part(at), head.length_of(at));
        let found = backend.get(&part, length, left(until)).map_err(|fault| fault.of(&part, length))?;
        match found.content {
            None => return Err(torn(format!("{part} is not there"))),
            Some(content) if content.len() == length => whole.extend_from_slice(&content),
            Some(content) => return Err(torn(format!("expected {length} bytes in {part}, found {}", content.len()))),
        }
    }
    if Digest::of(&whole) != *head.digest() {
        return Err(torn(format!("expected parts that make {}, found others", head.digest())));
    }
    Ok((Some(whole), found.version))
}

/// What is in use by nobody any more; whoever reads it at this moment reads again. Where one cannot be removed, the others
/// could not be either.
fn remove_parts(backend: &mut dyn Backend, old: &Head) -> Written {
    for part in (0..old.count()).map(|at| old.part(at)) {
        match backend.remove(&part) {
            Ok(()) | Err(Fault::Size) => {}
            Err(Fault::Server { said: why, help }) => return Written::Leaving { part, why, help },
        }
    }
    Written::Whole
}

/// A part is named by what it is one of: one that is there already is right, or is put right.
fn put_part(backend: &mut dyn Backend, name: &str, part: &[u8], until: Instant) -> Result<(), StoreFault> {
    let told = |fault: Fault| fault.of(name, part.len());
    if backend.put(name, part, &Version::absent()).map_err(told)? {
        return Ok(());
    }
    let there = backend.get(name, parts::PART_BYTES_MAX, left(until)).map_err(told)?;
    if there.content.as_deref() == Some(part) || backend.put(name, part, &there.version).map_err(told)? {
        return Ok(());
    }
    Err(StoreFault::Changing { what: name.to_owned() })
}

#[cfg(test)]
mod tests;
