//! What is known of uses, by name: bounded, and written whole to the state directory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::assemble::files::{self, FileError};
use crate::at_rest::{AtRest, AtRestFault};
use crate::bounds::{LAST_USE_BYTES_MAX, LAST_USES_UNDECLARED_MAX};

/// In the state directory.
pub const FILE: &str = "last-use.json";

/// What kind of credential, or who by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Agent,
    ApiKey,
    /// By any token of it.
    Issuer,
    /// A key of an issuer that has a `kid`.
    Key,
    Certificate,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Agent, Self::ApiKey, Self::Issuer, Self::Key, Self::Certificate];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::ApiKey => "api-key",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Certificate => "certificate",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Credential {
    pub kind: Kind,
    /// Of an agent or issuer its name, the id of an API key, the `kid` of a key, of a certificate SHA-256 over its DER.
    pub name: String,
    /// Of a key: whose it is. Else empty.
    pub issuer: String,
}

/// What is known of one. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Since when its uses are noted.
    pub since_s: u64,
    /// 0: never.
    pub used_s: u64,
    /// The release that serves names it, or a key set of it does.
    pub declared: bool,
    /// Of a certificate: who was last identified with it.
    pub agent: String,
}

impl Known {
    /// How long nobody is known to have used it.
    pub fn idle_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.used_s.max(self.since_s))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the last uses of credentials cannot be read: {0}")]
    Read(#[from] FileError),
    #[error("{}: the last uses of credentials cannot be read: {cause}", .path.display())]
    Open { path: PathBuf, cause: AtRestFault },
    #[error("{}: expected the last uses of credentials: {cause}", .path.display())]
    Damaged { path: PathBuf, cause: serde_json::Error },
    #[error("the last uses of credentials cannot be written: {0}")]
    Text(#[from] serde_json::Error),
    #[error("{}: the last uses of credentials cannot be written: {cause}", .path.display())]
    Write { path: PathBuf, cause: io::Error },
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "type")]
    format: Format,
    since_s: u64,
    credentials: Vec<(Credential, Known)>,
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "adamant.last-uses.v1")]
    V1,
}

/// The uses that are known.
#[derive(Debug)]
pub struct Ledger {
    /// Since when uses are noted at all.
    since_s: u64,
    known: BTreeMap<Credential, Known>,
    /// How many of them are declared.
    declared: usize,
    undeclared_max: usize,
    is_changed: bool,
}

impl Ledger {
    pub fn new(now_s: u64) -> Self {
        Self {
            since_s: now_s,
            known: BTreeMap::new(),
            declared: 0,
            undeclared_max: LAST_USES_UNDECLARED_MAX,
            is_changed: true,
        }
    }

    /// What the state directory `state` has; an empty one where it has none.
    pub fn read(state: &Path, at_rest: &AtRest, now_s: u64) -> Result<Self, LedgerError> {
        Self::read_within(state, at_rest, now_s, LAST_USE_BYTES_MAX)
    }

    fn read_within(state: &Path, at_rest: &AtRest, now_s: u64, bytes_max: usize) -> Result<Self, LedgerError> {
        let path = state.join(FILE);
        let bytes = match files::read(&path, bytes_max) {
            Err(FileError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::new(now_s));
            }
            read => read?,
        };
        let bytes = at_rest.open(bytes).map_err(|cause| LedgerError::Open { path: path.clone(), cause })?;
        let written: Written = serde_json::from_slice(&bytes).map_err(|cause| LedgerError::Damaged { path, cause })?;
        let known: BTreeMap<_, _> = written.credentials.into_iter().collect();
        let declared = known.values().filter(|known| known.declared).count();
        Ok(Self { since_s: written.since_s, known, declared, is_changed: false, ..Self::new(now_s) })
    }

    /// The bytes to write, where there is something new since it was asked last.
    pub(super) fn changed(&mut self) -> Option<Result<Vec<u8>, LedgerError>> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let credentials = self.known.iter().map(|(of, known)| (of.clone(), known.clone())).collect();
        let written = Written { format: Format::V1, since_s: self.since_s, credentials };
        Some(serde_json::to_vec(&written).map_err(LedgerError::Text))
    }

    /// What [`Self::changed`] gave is not on disk.
    pub(super) fn not_saved(&mut self) {
        self.is_changed = true;
    }

    pub(super) fn write(state: &Path, at_rest: &AtRest, bytes: &[u8]) -> Result<(), LedgerError> {
        let failed = |cause| LedgerError::Write { path: state.join(FILE), cause };
        at_rest.write(state, FILE, bytes).map_err(failed)
    }

    pub fn since_s(&self) -> u64 {
        self.since_s
    }

    pub fn known(&self) -> impl Iterator<Item = (&Credential, &Known)> {
        self.known.iter()
    }

    /// From now on the release names exactly these of `kinds`. One that it did not name before is known since now, whatever
    /// was before.
    pub(super) fn declare(&mut self, kinds: &[Kind], credentials: impl Iterator<Item = Credential>, now_s: u64) {
        let before = self.known.iter().filter(|(of, known)| known.declared && kinds.contains(&of.kind));
        let mut undeclared: BTreeSet<Credential> = before.map(|(of, _)| of.clone()).collect();
        for credential in credentials {
            if undeclared.remove(&credential) {
                continue;
            }
            let known = self.known.entry(credential).or_default();
            if !known.declared {
                (known.declared, known.since_s) = (true, now_s);
                self.declared += 1;
                self.is_changed = true;
            }
        }
        for gone in undeclared {
            if let Some(known) = self.known.get_mut(&gone) {
                known.declared = false;
                self.declared = self.declared.saturating_sub(1);
                self.is_changed = true;
            }
        }
    }

    /// `credential` was used. `agent`: see [`Known`].
    pub(super) fn note(&mut self, credential: Credential, agent: String, used_s: u64, now_s: u64) {
        if credential.kind == Kind::Key {
            let issuer = Credential { kind: Kind::Issuer, name: credential.issuer.clone(), issuer: String::new() };
            self.note(issuer, String::new(), used_s, now_s);
        }
        let known = match self.known.entry(credential) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Known { since_s: now_s, ..Known::default() }),
        };
        if known.used_s < used_s {
            known.used_s = used_s;
            self.is_changed = true;
        }
        if !agent.is_empty() && known.agent != agent {
            known.agent = agent;
            self.is_changed = true;
        }
    }

    /// Forgets those that no release names and that were unused for longest, an eighth of them at a time.
    pub(super) fn forget_beyond_bounds(&mut self) {
        if self.known.len().saturating_sub(self.declared) <= self.undeclared_max {
            return;
        }
        let undeclared = self.known.iter().filter(|(_, known)| !known.declared);
        let mut by_use: Vec<_> = undeclared.map(|(of, known)| (known.used_s, of.clone())).collect();
        by_use.sort_unstable();
        let gone = by_use.len() - self.undeclared_max * 7 / 8;
        for (_, of) in by_use.into_iter().take(gone) {
            self.known.remove(&of);
        }
        self.is_changed = true;
    }
}

#[cfg(test)]
mod tests {
    use policy::bounds::{AGENTS_MAX, API_KEY_ID_BYTES_MAX, API_KEYS_MAX, NAME_BYTES_MAX};

    use super::*;

    fn credential(kind: Kind, name: &str) -> Credential {
        Credential { kind, name: name.to_owned(), issuer: String::new() }
    }

    fn of<'l>(ledger: &'l Ledger, kind: Kind, name: &str) -> &'l Known {
        &ledger.known[&credential(kind, name)]
    }

    #[test]
    fn what_is_declared_is_known_since_then_and_anew_when_it_comes_back() {
        let mut ledger = Ledger::new(100);
        let [a, b] = ["a", "b"].map(|name| credential(Kind::Agent, name));
        ledger.declare(&[Kind::Agent], [a.clone(), b.clone()].into_iter(), 100);
        ledger.note(a.clone(), String::new(), 150, 151);
        assert_eq!((of(&ledger, Kind::Agent, "a").used_s, of(&ledger, Kind::Agent, "b").used_s), (150, 0));
        assert_eq!((of(&ledger, Kind::Agent, "a").idle_s(200), of(&ledger, Kind::Agent, "b").idle_s(200)), (50, 100));
        ledger.declare(&[Kind::Agent], [b.clone()].into_iter(), 300);
        ledger.declare(&[Kind::ApiKey], std::iter::empty(), 300);
        assert!(!of(&ledger, Kind::Agent, "a").declared && of(&ledger, Kind::Agent, "b").since_s == 100);
        ledger.declare(&[Kind::Agent], [a, b].into_iter(), 400);
        let a = of(&ledger, Kind::Agent, "a");
        assert_eq!((a.since_s, a.used_s, a.idle_s(500), ledger.declared), (400, 150, 100, 2));
    }

    #[test]
    fn a_use_never_goes_back_and_that_of_a_key_is_its_issuers() {
        let mut ledger = Ledger::new(0);
        let key = Credential { issuer: "corp".to_owned(), ..credential(Kind::Key, "k") };
        ledger.note(key.clone(), String::new(), 9, 9);
        ledger.note(key, String::new(), 5, 9);
        assert_eq!(of(&ledger, Kind::Issuer, "corp").used_s, 9);
        let certificate = credential(Kind::Certificate, "00");
        ledger.note(certificate.clone(), "bot".to_owned(), 3, 3);
        ledger.note(certificate, String::new(), 4, 4);
        let known = of(&ledger, Kind::Certificate, "00");
        assert_eq!((known.agent.as_str(), known.used_s), ("bot", 4), "whose policy is gone leaves the agent as it is");
    }

    #[test]
    fn what_no_release_names_is_forgotten_beyond_the_bound_and_what_one_names_never() {
        let mut ledger = Ledger { undeclared_max: 8, ..Ledger::new(0) };
        ledger.declare(&[Kind::Agent], (0..20).map(|number| credential(Kind::Agent, &number.to_string())), 0);
        for number in 0..9_u64 {
            let certificate = credential(Kind::Certificate, &number.to_string());
            ledger.note(certificate, String::new(), 100 - number, 100);
            ledger.forget_beyond_bounds();
        }
        let kept: Vec<_> = ledger.known().filter(|(of, _)| of.kind == Kind::Certificate).collect();
        assert_eq!(kept.len(), 7);
        assert!(kept.iter().all(|(_, known)| known.used_s >= 94), "{kept:?}");
        assert_eq!(ledger.known().count(), 27);
    }

    /// With names and times that are as long as they can be.
    #[test]
    fn the_file_has_room_for_all_that_a_policy_can_have() {
        let bytes = |kind: Kind, name_bytes: usize, agent_bytes: usize| {
            let mut ledger = Ledger::new(0);
            let empty = ledger.changed().unwrap().unwrap().len();
            let of = credential(kind, &"x".repeat(name_bytes));
            ledger.declare(&[kind], [of.clone()].into_iter(), 9_999_999_999);
            ledger.note(of, "x".repeat(agent_bytes), 9_999_999_999, 0);
            // And the comma.
            ledger.changed().unwrap().unwrap().len() - empty + 1
        };
        let all = AGENTS_MAX * bytes(Kind::Agent, NAME_BYTES_MAX, 0)
            + API_KEYS_MAX * bytes(Kind::ApiKey, API_KEY_ID_BYTES_MAX, 0)
            + LAST_USES_UNDECLARED_MAX * bytes(Kind::Certificate, 64, NAME_BYTES_MAX);
        assert!(all < LAST_USE_BYTES_MAX, "{all}");
    }

    #[test]
    fn it_comes_back_as_it_was_written_and_a_damaged_one_is_told() {
        let state = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new(7);
        ledger.declare(&[Kind::ApiKey], [credential(Kind::ApiKey, "ci-1")].into_iter(), 8);
        ledger.note(credential(Kind::Certificate, "ab"), "bot".to_owned(), 9, 9);
        Ledger::write(state.path(), &AtRest::default(), &ledger.changed().unwrap().unwrap()).unwrap();
        assert!(ledger.changed().is_none(), "nothing is new");
        let again = Ledger::read(state.path(), &AtRest::default(), 50).unwrap();
        assert_eq!((again.since_s, &again.known, again.declared), (7, &ledger.known, 1));
        let length = std::fs::metadata(state.path().join(FILE)).unwrap().len() as usize;
        assert!(Ledger::read_within(state.path(), &AtRest::default(), 50, length).is_ok());
        let why = Ledger::read_within(state.path(), &AtRest::default(), 50, length - 1).unwrap_err().to_string();
        assert!(why.contains(&format!("at most {} bytes", length - 1)), "{why}");
        std::fs::write(state.path().join(FILE), "{").unwrap();
        let why = Ledger::read(state.path(), &AtRest::default(), 50).unwrap_err().to_string();
        assert!(why.contains("last-use.json") && why.contains("expected the last uses"), "{why}");
        assert_eq!(Ledger::read(&state.path().join("none"), &AtRest::default(), 50).unwrap().since_s, 50);
    }
}
