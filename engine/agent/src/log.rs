//! The chain of the log of `agent run`: each line carries its number and the SHA-256 of the line before it, over restarts too,
//! so that one that is missing, added, moved or changed shows.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::files::Access;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::bounds::{RUN_HEAD_BYTES, RUN_HEAD_BYTES_MAX, RUN_LINE_BYTES_MAX};
use crate::fault::Fault;
use crate::x509;

/// What the profile keeps of its log.
const HEAD: &str = "log.json";

/// The newest line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    number: u64,
    sha256: String,
}

impl Head {
    /// Of a profile; none where nothing was logged yet.
    pub fn read(directory: &Path) -> Result<Option<Self>, Fault> {
        let path = directory.join(HEAD);
        if !crate::files::is_there(&path)? {
            return Ok(None);
        }
        let text = ::files::read_text(&path, RUN_HEAD_BYTES_MAX)?;
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let fault = Fault::at(&path, format_args!("expected number and SHA-256 of the newest line, found {error}"));
            fault.help("the log begins again at 1; who wrote there?")
        })
    }

    /// Keeps it in the profile; where there is no room for another file, over the one that is there, which has always the same
    /// length. Should a crash meet that, the log begins again, and says so.
    fn keep(&self, path: &Path) -> Result<(), Fault> {
        let json = serde_json::to_string(self).map_err(Fault::new)?;
        let padded = format!("{json:<RUN_HEAD_BYTES$}");
        let written = crate::files::write(path, padded.as_bytes(), Access::OwnerOnly);
        written.or_else(|fault| ::files::overwrite(path, 0, padded.as_bytes()).map_err(|_| fault))
    }

    fn of(number: u64, line: &str) -> Self {
        Self { number, sha256: x509::hex(&Sha256::digest(line)) }
    }
}

/// A log that is being written.
pub struct Chain {
    path: PathBuf,
    head: Head,
    /// 1 while the profile does not know of the newest line.
    unkept: Arc<AtomicU64>,
    /// Why, until it is told.
    untold: Option<Fault>,
}

impl Chain {
    /// Goes on where the log of this profile ended; where that cannot be read, which is told, it begins again.
    pub fn open(directory: &Path) -> (Self, Option<Fault>) {
        let (head, fault) = match Head::read(directory) {
            Ok(head) => (head.unwrap_or_default(), None),
            Err(fault) => (Head::default(), Some(fault)),
        };
        (Self { path: directory.join(HEAD), head, unkept: Arc::default(), untold: None }, fault)
    }

    /// The line, a JSON object, with its place in the chain. The head is kept before the line is told: one that gets lost on
    /// its way shows. Where it cannot be kept, the chain goes on in memory, and [`Self::lost_its_place`] tells it.
    pub fn link(&mut self, object: &str) -> String {
        // As a terminal is given it: the hash is over what is written.
        let object = &*policy::text::escaped(object, &[]);
        let Some(members) = object.strip_suffix('}') else { return object.to_owned() };
        let number = self.head.number.saturating_add(1);
        let line = if self.head.sha256.is_empty() {
            format!("{members},\"number\":{number}}}")
        } else {
            format!("{members},\"number\":{number},\"previous_sha256\":\"{}\"}}", self.head.sha256)
        };
        self.head = Head::of(number, &line);
        let kept = self.head.keep(&self.path);
        let was_unkept = self.unkept.swap(u64::from(kept.is_err()), Ordering::Relaxed) == 1;
        if !was_unkept {
            self.untold = kept.err();
        }
        line
    }

    /// Why the profile does not know of the newest line any more; once for each time that this begins.
    pub const fn lost_its_place(&mut self) -> Option<Fault> {
        self.untold.take()
    }

    /// 1 while it does not.
    pub fn unkept(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.unkept)
    }
}

/// What a log that was looked at holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Unbroken {
    pub first: u64,
    pub last: u64,
    /// Lines that the profile knows of and the log does not have, after its last.
    pub newer: u64,
}

#[derive(Deserialize)]
struct Place {
    number: u64,
    previous_sha256: Option<String>,
}

/// Whether the lines follow each other, and the last is the newest that the profile knows of, or older. They may begin anywhere.
pub fn verify(mut lines: impl BufRead, newest: &Head) -> Result<Unbroken, Fault> {
    let mut found: Option<(u64, Head)> = None;
    let mut line = String::new();
    for at in 1_u64.. {
        line.clear();
        let bytes_max = RUN_LINE_BYTES_MAX as u64 + 1;
        let taken = lines.by_ref().take(bytes_max).read_line(&mut line);
        let wrong = |what: &dyn std::fmt::Display| Fault::new(format_args!("line {at}: {what}"));
        match taken {
            Ok(0) => break,
            Ok(read) if read > RUN_LINE_BYTES_MAX => {
                return Err(wrong(&format_args!("expected at most {RUN_LINE_BYTES_MAX} bytes, found more")));
            }
            Ok(_) => {}
            Err(error) => return Err(wrong(&format_args!("cannot be read: {error}"))),
        }
        let text = line.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            continue;
        }
        let place: Place = serde_json::from_str(text)
            .map_err(|error| wrong(&format_args!("expected a line of adamant agent run, found {error}")))?;
        let follows = found.as_ref().is_none_or(|(_, before)| {
            before.number.checked_add(1) == Some(place.number) && place.previous_sha256.as_ref() == Some(&before.sha256)
        });
        if !follows {
            let before = found.as_ref().map_or(0, |(_, before)| before.number);
            let what = if place.number == 1 && place.previous_sha256.is_none() {
                format!("expected number {}, found 1: the log was begun again", before.saturating_add(1))
            } else if before.checked_add(1) == Some(place.number) {
                format!(
                    "it does not follow the line before it: one of the numbers {before} and {} was changed",
                    place.number
                )
            } else {
                format!(
                    "expected number {}, found {}: lines are missing, or not in their order",
                    before.saturating_add(1),
                    place.number
                )
            };
            return Err(wrong(&what));
        }
        let first = found.map_or(place.number, |(first, _)| first);
        found = Some((first, Head::of(place.number, text)));
    }
    let (first, last) = found.ok_or_else(|| Fault::new("expected lines of adamant agent run, found none"))?;
    if last.number > newest.number || (last.number == newest.number && last != *newest) {
        let fault = format_args!(
            "its last line, number {}, is not of this profile, or was changed: the profile's newest is {}",
            last.number, newest.number
        );
        return Err(Fault::new(fault));
    }
    Ok(Unbroken { first, last: last.number, newer: newest.number - last.number })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

    use super::*;

    fn written(directory: &Path, lines: usize) -> Vec<String> {
        let (mut chain, fault) = Chain::open(directory);
        assert!(fault.is_none());
        (0..lines).map(|line| chain.link(&format!("{{\"kind\":\"refresh\",\"line\":{line}}}"))).collect()
    }

    #[test]
    fn lines_follow_each_other_over_restarts_and_whatever_is_wrong_shows() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Head::read(directory.path()).unwrap(), None);
        let mut lines = written(directory.path(), 3);
        lines.extend(written(directory.path(), 2));
        let newest = Head::read(directory.path()).unwrap().unwrap();
        let look = |lines: &[String]| verify(lines.join("\n").as_bytes(), &newest);
        assert_eq!(look(&lines).unwrap(), Unbroken { first: 1, last: 5, newer: 0 });
        assert_eq!(look(&lines[2..4]).unwrap(), Unbroken { first: 3, last: 4, newer: 1 });
        let told = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = lines.clone();
            change(&mut lines);
            look(&lines).unwrap_err().to_string()
        };
        assert_eq!(
            told(&|lines| drop(lines.remove(2))),
            "line 3: expected number 3, found 4: lines are missing, or not in their order"
        );
        assert!(told(&|lines| lines.swap(1, 2)).contains("line 2: expected number 2, found 3"));
        let changed = told(&|lines| lines[1] = lines[1].replace("refresh", "warning"));
        assert!(changed.contains("line 3: it does not follow the line before it"), "{changed}");
        assert!(told(&|lines| lines[4] = lines[4].replace("refresh", "warning")).contains("its last line, number 5"));
        assert!(told(&|lines| lines[0] = "no".to_owned()).contains("line 1: expected a line of adamant agent run"));
        assert!(told(&Vec::clear).contains("found none"));
        assert!(told(&|lines| lines[0] = "x".repeat(RUN_LINE_BYTES_MAX + 1)).contains("expected at most"));
    }

    #[test]
    fn what_cannot_be_kept_keeps_no_line_from_being_told() {
        let directory = tempfile::tempdir().unwrap();
        let (mut chain, _) = Chain::open(&directory.path().join("gone"));
        assert!(chain.link("{\"a\":1}").ends_with(",\"number\":1}"));
        assert!(chain.lost_its_place().is_some());
        assert!(chain.link("{\"a\":1}").contains("\"number\":2,\"previous_sha256\":\""));
        assert!(chain.lost_its_place().is_none() && chain.unkept().load(Ordering::Relaxed) == 1, "once");
        std::fs::create_dir(directory.path().join("gone")).unwrap();
        assert!(chain.link("{\"a\":1}").contains("\"number\":3,"));
        assert_eq!(chain.unkept().load(Ordering::Relaxed), 0);
        std::fs::write(directory.path().join(HEAD), "{}").unwrap();
        let (mut chain, fault) = Chain::open(directory.path());
        assert!(fault.is_some_and(|fault| fault.to_string().contains("newest line")));
        assert!(chain.link("{\"a\":1}").ends_with(",\"number\":1}"));
    }
}
