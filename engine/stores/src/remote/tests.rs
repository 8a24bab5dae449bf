//! Remotes over a server that is a map, and does whatever a test wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::backend::Got;
use super::*;
use crate::{Access, Location};

/// State and content of each file; none: the server does not tell.
type Files = BTreeMap<String, Option<(u64, Vec<u8>)>>;

#[derive(Clone, Default)]
struct Map {
    files: Arc<Mutex<Files>>,
    looks: Arc<Mutex<Vec<String>>>,
    /// Nothing is removed.
    keeps: Arc<AtomicBool>,
}

impl Map {
    fn set(&self, file: &str, content: Option<&[u8]>) {
        let mut files = self.files.lock().unwrap();
        let next = u64::try_from(files.len()).unwrap() + 100;
        let before = files.get(file).cloned().flatten().map_or(next, |(number, _)| number);
        files.insert(file.to_owned(), content.map(|content| (before + 1, content.to_vec())));
    }

    fn found(&self, file: &str) -> Result<Option<(u64, Vec<u8>)>, Fault> {
        match self.files.lock().unwrap().get(file) {
            None => Ok(None),
            Some(None) => Err(Fault::new("503", "wait")),
            Some(found) => Ok(found.clone()),
        }
    }

    fn looked_at(&self) -> Vec<String> {
        std::mem::take(&mut self.looks.lock().unwrap())
    }
}

impl Backend for Map {
    fn look(&mut self, file: &str, _: usize) -> Result<Version, Fault> {
        self.looks.lock().unwrap().push(file.to_owned());
        Ok(self.found(file)?.map_or_else(Version::absent, |(number, _)| Version(number.to_string())))
    }

    fn get(&mut self, file: &str, bytes_max: usize, _: Duration) -> Result<Got, Fault> {
        match self.found(file)? {
            None => Ok(Got { content: None, version: Version::absent() }),
            Some((_, content)) if content.len() > bytes_max => Err(Fault::Size),
            Some((number, content)) => Ok(Got { content: Some(content), version: Version(number.to_string()) }),
        }
    }

    fn put(&mut self, file: &str, bytes: &[u8], at: &Version) -> Result<bool, Fault> {
        let is_same = self.found(file)?.map_or(0, |(number, _)| number) == at.number();
        if is_same {
            self.set(file, Some(bytes));
        }
        Ok(is_same)
    }

    fn remove(&mut self, file: &str) -> Result<(), Fault> {
        if self.keeps.load(Ordering::Relaxed) {
            return Err(Fault::new("403 Forbidden", "may the token delete?"));
        }
        self.files.lock().unwrap().remove(file);
        Ok(())
    }

    fn names(&mut self, directory: &str) -> Result<Vec<String>, Fault> {
        let files = self.files.lock().unwrap();
        let prefix = format!("{directory}/");
        Ok(files.keys().filter_map(|file| Some(file.strip_prefix(&prefix)?.split('/').next()?.to_owned())).collect())
    }
}

fn remote() -> (Remote, Map) {
    let location = Location::parse("https://127.0.0.1:9/".as_ref(), Access::default()).unwrap();
    let Location::Server(server) = location else { panic!() };
    let server = *server;
    let map = Map::default();
    let inner = RefCell::new(Inner { backend: Box::new(map.clone()), watching: Watching::default() });
    (Remote { server, inner }, map)
}

fn channel() -> Channel {
    "production".parse().unwrap()
}

fn pause() {
    std::thread::sleep(Duration::from_millis(450));
}

#[test]
fn nothing_is_read_while_nothing_changes_and_what_is_not_there_costs_one_look() {
    let (mut remote, map) = remote();
    let list = layout::revocations(&channel());
    // No list at all: as for most gateways.
    assert!(remote.changed(&channel(), Followed::Revocations), "the first time");
    assert!(remote.revocations(&channel()).unwrap_err().is_passing());
    for _ in 0..4 {
        map.looked_at();
        pause();
        let begun = Instant::now();
        assert!(!remote.changed(&channel(), Followed::Revocations));
        assert!(!remote.changed(&channel(), Followed::Revocations), "not twice in a moment");
        let (looked_at, is_a_moment) = (map.looked_at(), begun.elapsed() < Duration::from_millis(200));
        assert!(!looked_at.is_empty() && looked_at.iter().all(|of| *of == list), "{looked_at:?}");
        assert!(looked_at.len() == 1 || !is_a_moment, "{looked_at:?}");
    }
    map.set(&list, Some(b"list"));
    pause();
    assert!(remote.changed(&channel(), Followed::Revocations));
    assert_eq!(remote.revocations(&channel()).unwrap(), b"list");
    pause();
    assert!(!remote.changed(&channel(), Followed::Revocations));
}

#[test]
fn each_file_has_an_outcome_of_its_own() {
    let (mut remote, map) = remote();
    map.set(&layout::pointer(&channel()), None);
    map.set(&layout::revocations(&channel()), Some(b"list"));
    assert!(matches!(remote.pointer(&channel()), Err(StoreFault::Server { .. })));
    assert_eq!(remote.revocations(&channel()).unwrap(), b"list");
    assert!(remote.changed(&channel(), Followed::Releases));
    // What cannot be told is tried again every second, and no oftener.
    let (begun, mut tries) = (Instant::now(), 0);
    for _ in 0..6 {
        pause();
        tries += u64::from(remote.changed(&channel(), Followed::Releases));
    }
    assert!((1..=2 + begun.elapsed().as_secs()).contains(&tries), "{tries}");
    map.set(&layout::pointer(&channel()), Some(b"pointer"));
    pause();
    assert!(remote.changed(&channel(), Followed::Releases));
    assert_eq!(remote.pointer(&channel()).unwrap(), b"pointer");
}

#[test]
fn what_was_asked_for_in_vain_is_looked_for() {
    let (mut remote, map) = remote();
    let digest = Digest::of(b"release");
    map.set(&layout::pointer(&channel()), Some(b"pointer"));
    assert!(remote.changed(&channel(), Followed::Releases));
    assert_eq!(remote.pointer(&channel()).unwrap(), b"pointer");
    assert!(remote.root(2).is_err() && remote.release(&digest).is_err());
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(!remote.changed(&channel(), Followed::Releases));
    assert!(remote.profile(&digest).is_err());
    for file in [layout::root(2), layout::release(&digest), layout::profile(&digest)] {
        map.set(&file, Some(b"there"));
        std::thread::sleep(Duration::from_millis(1_100));
        assert!(remote.changed(&channel(), Followed::Releases), "{file}");
    }
}

#[test]
fn a_release_that_was_wrong_is_looked_at_again_and_is_not_read_again_before() {
    let (mut remote, map) = remote();
    let (digest, again) = (Digest::of(b"release"), Duration::from_millis(1_100));
    map.set(&layout::pointer(&channel()), Some(b"pointer"));
    map.set(&layout::release(&digest), Some(b"another"));
    assert!(remote.changed(&channel(), Followed::Releases));
    assert!(remote.pointer(&channel()).is_ok() && remote.release(&digest).is_ok());
    for _ in 0..3 {
        std::thread::sleep(again);
        assert!(!remote.changed(&channel(), Followed::Releases));
    }
    map.set(&layout::release(&digest), Some(b"release"));
    std::thread::sleep(again);
    assert!(remote.changed(&channel(), Followed::Releases));
    // Likewise its profile document, which is written again in its place.
    map.set(&layout::profile(&digest), Some(b"one"));
    assert_eq!(remote.profile(&digest).unwrap(), b"one");
    std::thread::sleep(again);
    assert!(!remote.changed(&channel(), Followed::Releases));
    for content in [b"two", b"six"] {
        map.set(&layout::profile(&digest), Some(content));
        std::thread::sleep(again);
        assert!(remote.changed(&channel(), Followed::Releases));
    }
    // At once after it was read, too.
    assert_eq!(remote.profile(&digest).unwrap(), b"six");
    map.set(&layout::profile(&digest), Some(b"ten"));
    std::thread::sleep(again);
    assert!(remote.changed(&channel(), Followed::Releases));
    // Once the pointer is read and names nothing new, it is not asked for any more.
    assert!(remote.pointer(&channel()).is_ok());
    map.looked_at();
    std::thread::sleep(again);
    assert!(!remote.changed(&channel(), Followed::Releases));
    assert_eq!(map.looked_at(), [layout::pointer(&channel())]);
}

#[test]
fn a_file_in_parts_is_whole_or_refused() {
    let (remote, map) = remote();
    let digest = Digest::of(b"x");
    let file = layout::release(&digest);
    let bytes: Vec<u8> = (0..3 * parts::PART_BYTES_MAX - 7).map(|at| u8::try_from(at % 253).unwrap()).collect();
    let (none, absent) = remote.read(&file, Kind::Release).unwrap();
    assert!(none.is_none() && remote.write(&file, &bytes, &absent).unwrap() == Written::Whole);
    assert_eq!(remote.release(&digest).unwrap(), bytes);
    assert_eq!(remote.write(&file, &bytes, &absent).unwrap(), Written::Meanwhile, "it is there by now");
    let part = |at: usize| parts::split(&bytes).unwrap().0.part(at);
    let second = map.found(&part(1)).unwrap().unwrap().1;
    map.remove_for_test(&part(1));
    assert!(matches!(remote.release(&digest), Err(StoreFault::Torn { .. })));
    map.set(&part(1), Some(&map.found(&part(0)).unwrap().unwrap().1));
    let told = remote.release(&digest).unwrap_err().to_string();
    assert!(told.contains("expected parts that make sha256:"), "{told}");
    map.set(&part(1), Some(b"short"));
    assert!(remote.release(&digest).unwrap_err().to_string().contains("expected 393216 bytes in parts/sha256-"));
    // Whoever writes the same again puts it right.
    let at = remote.version(&file, Kind::Release).unwrap();
    assert_eq!(remote.write(&file, &bytes, &at).unwrap(), Written::Whole);
    assert_eq!(map.found(&part(1)).unwrap().unwrap().1, second);
    // Another content has parts of its own, and those before go.
    let (_, at) = remote.read(&file, Kind::Release).unwrap();
    let longer = [&bytes[..], b"more"].concat();
    assert_eq!(remote.write(&file, &longer, &at).unwrap(), Written::Whole);
    assert_eq!(remote.release(&digest).unwrap(), longer);
    assert!(map.found(&part(0)).unwrap().is_none());
    // Where they cannot go, that is told, and the file is written all the same.
    let (_, at) = remote.read(&file, Kind::Release).unwrap();
    map.keeps.store(true, Ordering::Relaxed);
    let told = remote.write(&file, &bytes, &at).unwrap();
    assert!(
        matches!(&told, Written::Leaving { part, why, .. } if part.ends_with("/0000") && why.contains("403")),
        "{told:?}"
    );
    assert_eq!(remote.release(&digest).unwrap(), bytes);
}

#[test]
fn what_is_too_large_is_not_taken_in() {
    let (remote, map) = remote();
    let bound = Kind::Pointer.envelope_bytes_max();
    map.set(&layout::pointer(&channel()), Some(&vec![b' '; bound + 1]));
    assert!(matches!(remote.pointer(&channel()), Err(StoreFault::Size { .. })));
    // A head that promises more than such a file may have.
    let (head, _) = parts::split(&vec![0; parts::PART_BYTES_MAX + 1]).unwrap();
    map.set(&layout::pointer(&channel()), Some(head.to_string().as_bytes()));
    assert!(matches!(remote.pointer(&channel()), Err(StoreFault::Size { .. })));
}

impl Map {
    fn remove_for_test(&self, file: &str) {
        self.clone().remove(file).unwrap();
    }
}
