//! The keys that assertions to origins are signed with. One signs; the next is published long before it does; those before
//! stay published until nothing that they signed can still be on its way. Kept in the state directory, so that a restart
//! goes on with keys that origins know.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activation::assertion::{KEY_BYTES, KeyFault, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy_release::attestation::Jwk;
use zeroize::Zeroizing;

use crate::at_rest::{AtRest, AtRestFault};
use crate::bounds::{ASSERTION_KEY_KEPT_S, ASSERTION_KEYS_MAX};
use crate::status::AssertionKeysStatus;

/// The file in the state directory, mode 0600.
pub const FILE: &str = "assertion.keys";
const FORMAT: &str = "adamant.assertion-keys.v1";
const COMMENT: &str = "# Private keys that sign assertions to origins, made, rotated and removed by this gateway.";
/// Bytes of a line: role, time, key.
const LINE_BYTES_MAX: usize = 192;

/// All keys of a gateway.
#[derive(Clone)]
pub struct Keyring {
    next: Held,
    current: Held,
    /// Newest first.
    previous: Vec<Held>,
    /// Not in the state directory yet.
    pub unsaved: bool,
}

#[derive(Clone)]
struct Held {
    key: Arc<SigningKey>,
    /// Since when it is in its place, seconds since the Unix epoch.
    since_s: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringFault {
    #[error(transparent)]
    File(#[from] AtRestFault),
    #[error("{}: expected the keys of assertions as this gateway writes them, found something else", .0.display())]
    Form(PathBuf),
    #[error("{}: the keys of assertions cannot be written: {cause}", .path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error("a key for assertions: {0}")]
    Key(#[from] KeyFault),
}

impl Keyring {
    /// The keys of the state directory; new ones, which are not written yet, where there are none. Keys that are damaged, or
    /// that others may have read, are not gone by: origins believe what is published from then on.
    /// Those that are encrypted to somebody else are whole: nothing is put in their place.
    pub fn open(state: Option<&Path>, at_rest: &AtRest, now_s: u64) -> Result<Self, KeyringFault> {
        match state.map(|state| Self::load(state, at_rest)) {
            Some(Ok(Some(ring))) => return Ok(ring),
            Some(Err(KeyringFault::File(fault))) if fault.wants_identity() => return Err(fault.into()),
            Some(Err(error)) => crate::warning!("{error}: new ones take their place"),
            Some(Ok(None)) | None => {}
        }
        let (next, current) = (Held::make(now_s)?, Held::make(now_s)?);
        Ok(Self { next, current, previous: Vec::new(), unsaved: true })
    }

    /// What is kept in a state directory; none where nothing is.
    pub fn load(state: &Path, at_rest: &AtRest) -> Result<Option<Self>, KeyringFault> {
        let path = state.join(FILE);
        if matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let text = at_rest.read(&path, (ASSERTION_KEYS_MAX + 2) * LINE_BYTES_MAX)?;
        let parsed = std::str::from_utf8(&text).ok().and_then(Self::parse);
        parsed.map(Some).ok_or(KeyringFault::Form(path))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.next().filter(|line| *line == FORMAT)?;
        let mut held = |role: &str| Held::parse(lines.next()?.strip_prefix(role)?);
        let (next, current) = (held("next ")?, held("current ")?);
        let previous = lines.map(|line| Held::parse(line.strip_prefix("previous ")?)).collect::<Option<Vec<_>>>()?;
        Some(Self { next, current, previous, unsaved: false })
    }

    /// Writes them whole or not at all.
    pub fn save(&self, state: &Path, at_rest: &AtRest) -> Result<(), KeyringFault> {
        // Large enough from the start: what grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity((ASSERTION_KEYS_MAX + 2) * LINE_BYTES_MAX));
        text.push_str(COMMENT);
        text.push('\n');
        text.push_str(FORMAT);
        text.push('\n');
        let previous = self.previous.iter().map(|held| ("previous", held));
        for (role, held) in [("next", &self.next), ("current", &self.current)].into_iter().chain(previous) {
            held.put(role, &mut text)?;
        }
        let written = at_rest.write(state, FILE, text.as_bytes());
        written.map_err(|cause| KeyringFault::Write { path: state.join(FILE), cause })
    }

    /// Where they are kept, for people.
    pub fn place(state: Option<&Path>) -> String {
        state.map_or_else(|| "memory".to_owned(), |state| state.join(FILE).display().to_string())
    }

    /// What it becomes by the clock, if anything: the next key signs and another one is next, where the present one has
    /// signed for `rotation_s` (0: for ever); and what nothing can come from any more is gone.
    pub fn turn(&self, rotation_s: u64, now_s: u64) -> Result<Option<Self>, KeyFault> {
        // Apart to either side: a clock that was wrong by years does not stop it.
        let is_due = rotation_s > 0 && now_s.abs_diff(self.current.since_s) >= rotation_s;
        let retired = |held: &Held| now_s.abs_diff(held.since_s) >= ASSERTION_KEY_KEPT_S;
        if !is_due && !self.previous.iter().any(retired) {
            return Ok(None);
        }
        let mut ring = Self { unsaved: true, ..self.clone() };
        if is_due {
            let signs = Held { key: Arc::clone(&self.next.key), since_s: now_s };
            let signed = std::mem::replace(&mut ring.current, signs);
            ring.next = Held::make(now_s)?;
            ring.previous.insert(0, Held { since_s: now_s, ..signed });
        }
        ring.previous.retain(|held| !retired(held));
        ring.previous.truncate(ASSERTION_KEYS_MAX - 2);
        Ok(Some(ring))
    }

    /// The one that signs.
    pub const fn current(&self) -> &Arc<SigningKey> {
        &self.current.key
    }

    fn all(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        [&self.next, &self.current].into_iter().chain(&self.previous).map(|held| &held.key)
    }

    /// Thumbprints of all that are published.
    pub fn kids(&self) -> Vec<String> {
        self.all().map(|key| key.kid().to_owned()).collect()
    }

    /// What is shown of them.
    pub fn status(&self, rotation_s: u64) -> AssertionKeysStatus {
        let since_unix_s = self.current.since_s;
        AssertionKeysStatus {
            keys: self.all().filter_map(|key| serde_json::from_str::<Jwk>(&key.jwk()).ok()).collect(),
            signs: self.current.key.kid().to_owned(),
            since_unix_s,
            next_unix_s: (rotation_s > 0).then(|| since_unix_s.saturating_add(rotation_s)),
            ..AssertionKeysStatus::default()
        }
    }
}

impl Held {
    fn make(now_s: u64) -> Result<Self, KeyFault> {
        Ok(Self { key: Arc::new(SigningKey::generate()?), since_s: now_s })
    }

    /// `1795000000 BASE64URL`
    fn parse(line: &str) -> Option<Self> {
        let (since, key) = line.split_once(' ')?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        // Longer than the place is refused, shorter is no key.
        let length = URL_SAFE_NO_PAD.decode_slice(key, bytes.as_mut_slice()).ok()?;
        let key = SigningKey::from_bytes(bytes.get(..length)?).ok()?;
        Some(Self { key: Arc::new(key), since_s: since.parse().ok()? })
    }

    fn put(&self, role: &str, text: &mut String) -> Result<(), KeyFault> {
        text.push_str(role);
        text.push(' ');
        text.push_str(&self.since_s.to_string());
        text.push(' ');
        URL_SAFE_NO_PAD.encode_string(self.key.to_bytes()?.as_slice(), text);
        text.push('\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    const NOW_S: u64 = 1_795_000_000;
    const DAY_S: u64 = 86_400;

    #[test]
    fn they_come_back_from_a_file_that_is_the_owners_alone() {
        let state = tempfile::tempdir().unwrap();
        let made = Keyring::open(Some(state.path()), &AtRest::default(), NOW_S).unwrap();
        assert!(
            made.unsaved && Keyring::load(state.path(), &AtRest::default()).unwrap().is_none(),
            "opening writes nothing"
        );
        let turned = made.turn(DAY_S, NOW_S + DAY_S).unwrap().unwrap();
        turned.save(state.path(), &AtRest::default()).unwrap();
        let path = state.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = Keyring::open(Some(state.path()), &AtRest::default(), NOW_S).unwrap();
        assert!(!again.unsaved);
        assert_eq!((again.kids(), again.current().kid()), (turned.kids(), turned.current().kid()));
        assert_eq!(again.status(DAY_S), turned.status(DAY_S));
        let whole = std::fs::read_to_string(&path).unwrap();
        for damaged in
            [&whole[..whole.len() - 9], "", FORMAT, &whole.replace("current", "next"), &whole.replace("v1", "v2")]
        {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(Keyring::load(state.path(), &AtRest::default()), Err(KeyringFault::Form(_))), "{damaged}");
        }
        std::fs::write(&path, &whole).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let instead = Keyring::open(Some(state.path()), &AtRest::default(), NOW_S).unwrap();
        assert!(
            instead.unsaved && !turned.kids().iter().any(|kid| instead.kids().contains(kid)),
            "others may have them"
        );
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_as_long_as_anything_signed_with_it_lives() {
        let ring = Keyring::open(None, &AtRest::default(), NOW_S).unwrap();
        assert!(
            ring.turn(DAY_S, NOW_S + DAY_S - 1).unwrap().is_none() && ring.turn(0, NOW_S + DAY_S).unwrap().is_none()
        );
        let (signed, next) = (ring.current().kid().to_owned(), ring.kids()[0].clone());
        let then_s = NOW_S + DAY_S;
        let turned = ring.turn(DAY_S, then_s).unwrap().unwrap();
        assert_eq!((turned.current().kid(), turned.kids().len()), (next.as_str(), 3));
        assert!(turned.kids().contains(&signed));
        assert!(turned.turn(DAY_S, then_s + ASSERTION_KEY_KEPT_S - 1).unwrap().is_none());
        let later = turned.turn(DAY_S, then_s + ASSERTION_KEY_KEPT_S).unwrap().unwrap();
        assert_eq!((later.current().kid(), later.kids().len()), (next.as_str(), 2), "gone, and nothing else moved");
        // A clock that was years ahead when the key began to sign.
        assert!(turned.turn(DAY_S, then_s - 1_000 * DAY_S).unwrap().is_some());
    }

    #[test]
    fn they_are_bounded_in_number() {
        let mut ring = Keyring::open(None, &AtRest::default(), NOW_S).unwrap();
        for _ in 0..2 * ASSERTION_KEYS_MAX {
            ring.current.since_s = NOW_S - DAY_S;
            ring = ring.turn(DAY_S, NOW_S).unwrap().unwrap();
        }
        assert_eq!(ring.kids().len(), ASSERTION_KEYS_MAX);
        let state = tempfile::tempdir().unwrap();
        ring.save(state.path(), &AtRest::default()).unwrap();
        assert_eq!(Keyring::load(state.path(), &AtRest::default()).unwrap().unwrap().kids(), ring.kids());
    }
}
