//! Reads record files, encrypted or not: gives the lines as they were written. What is damaged is passed over and told.

use std::io::{self, Read};
use std::sync::Arc;

use age_format::{Fault, Identity};
use zeroize::Zeroizing;

use super::{MARK, TO};
use crate::bounds::{RECORDS_ENCRYPTED_FILE_BYTES_MAX, RECORDS_READ_BYTES};

/// Digits of a length.
const DIGITS_MAX: usize = 8;

/// A batch that is not there as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Bytes before it in the file.
    pub at: u64,
    /// It ends too early, as after a kill or on a full disk. Otherwise it was changed.
    pub cut_off: bool,
}

/// A file of records, decrypted on the way.
pub struct Decrypting<R> {
    from: R,
    identities: Arc<[Identity]>,
    tell: Box<dyn FnMut(Damage)>,
    /// What was read and not given yet: from `at` on, and of that `plain` bytes as they are.
    raw: Vec<u8>,
    at: usize,
    plain: usize,
    /// Bytes of the file before `raw`.
    before: u64,
    /// The lines of a batch, given up to the place.
    lines: Zeroizing<Vec<u8>>,
    given: usize,
    /// To whom, as the file says.
    to: String,
    /// The newline behind a batch may come.
    after_batch: bool,
    /// A batch was read.
    has_read: bool,
    /// In a line that is not encrypted.
    in_line: bool,
    /// Behind a batch that was damaged: everything up to the next mark is of it.
    lost: bool,
}

/// What stands next in the file.
enum Step {
    /// Bytes to give are there.
    Given,
    /// It takes more of the file to say.
    More,
}

impl<R: Read> Decrypting<R> {
    /// `tell` is called for each batch that is passed over.
    pub fn new(from: R, identities: Arc<[Identity]>, tell: Box<dyn FnMut(Damage)>) -> Self {
        Self {
            from,
            identities,
            tell,
            raw: Vec::new(),
            at: 0,
            plain: 0,
            before: 0,
            lines: Zeroizing::default(),
            given: 0,
            to: String::new(),
            after_batch: false,
            has_read: false,
            in_line: false,
            lost: false,
        }
    }

    /// Reads on; false at the end of the file, for now.
    fn read_more(&mut self) -> io::Result<bool> {
        self.raw.drain(..self.at);
        self.before += self.at as u64;
        self.at = 0;
        let held = self.raw.len();
        self.raw.resize(held + RECORDS_READ_BYTES, 0);
        let read = loop {
            match self.from.read(self.raw.get_mut(held..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => break done,
            }
        };
        self.raw.truncate(held + read.as_ref().map_or(0, |read| *read));
        read.map(|read| read > 0)
    }

    fn rest(&self) -> &[u8] {
        self.raw.get(self.at..).unwrap_or_default()
    }

    fn step(&mut self) -> io::Result<Step> {
        if self.after_batch && self.rest().first() == Some(&b'\n') {
            self.at += 1;
        }
        if self.rest().is_empty() {
            return Ok(Step::More);
        }
        self.after_batch = false;
        if self.lost {
            return Ok(self.find_next());
        }
        let rest = self.rest();
        if self.in_line {
            let newline = rest.iter().position(|byte| *byte == b'\n');
            self.give_plain(newline.map_or(rest.len(), |at| at + 1));
            return Ok(Step::Given);
        }
        if let Some(end) = torn_mark(rest) {
            (self.tell)(Damage { at: self.before + self.at as u64, cut_off: true });
            self.at += end;
            return Ok(Step::Given);
        }
        if MARK.starts_with(rest.get(..MARK.len().min(rest.len())).unwrap_or_default()) {
            return self.batch();
        }
        if rest.starts_with(TO) || TO.starts_with(rest) {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(Step::More) };
            self.to = String::from_utf8_lossy(rest.get(TO.len()..end).unwrap_or_default()).into_owned();
            self.at += end + 1;
            return Ok(Step::Given);
        }
        self.give_plain(plain_bytes(rest));
        Ok(Step::Given)
    }

    fn give_plain(&mut self, bytes: usize) {
        self.plain = bytes;
        self.in_line = self.rest().get(bytes.wrapping_sub(1)).is_some_and(|last| *last != b'\n');
    }

    fn batch(&mut self) -> io::Result<Step> {
        let rest = self.rest();
        let Some((head, length)) = head_of(rest) else {
            let undecided = rest.len() <= MARK.len() + DIGITS_MAX && !rest.contains(&b'\n');
            if undecided {
                return Ok(Step::More);
            }
            self.damaged(false);
            return Ok(Step::Given);
        };
        let Some(file) = rest.get(head..head + length) else {
            if next_mark(rest, head).is_none() {
                return Ok(Step::More);
            }
            self.damaged(true);
            return Ok(Step::Given);
        };
        if self.identities.is_empty() {
            return Err(self.no_identity());
        }
        match age_format::decrypt(file, &self.identities) {
            Ok(lines) => {
                (self.lines, self.given) = (lines, 0);
                self.at += head + length;
                (self.after_batch, self.has_read) = (true, true);
            }
            Err(Fault::NoMatch) if !self.is_for_us() => return Err(self.no_match()),
            Err(_) => {
                let cut_off = next_mark(rest, head).is_some_and(|next| next < head + length);
                self.damaged(cut_off);
            }
        }
        Ok(Step::Given)
    }

    fn damaged(&mut self, cut_off: bool) {
        (self.tell)(Damage { at: self.before + self.at as u64, cut_off });
        // Its own mark is not the next one.
        self.at += 1;
        self.lost = true;
    }

    fn find_next(&mut self) -> Step {
        let rest = self.rest();
        match next_mark(rest, 0) {
            Some(next) => {
                self.at += next;
                self.lost = false;
                Step::Given
            }
            None => {
                // A mark may have begun.
                self.at += rest.len().saturating_sub(TO.len().max(MARK.len()) + DIGITS_MAX + 1);
                Step::More
            }
        }
    }

    /// What is left where the file ends: a batch that a kill cut off, or the last line of a plain file.
    fn end(&mut self) {
        // It may still be written: what comes behind it decides.
        if !self.lost && !self.is_unfinished() {
            self.give_plain(self.rest().len());
        }
    }

    /// Whether batches here are encrypted to one of the identities, as far as the file says; else one that was read says it.
    fn is_for_us(&self) -> bool {
        let named = || self.identities.iter().any(|identity| self.to.contains(&identity.recipient().to_string()));
        if self.to.is_empty() { self.has_read } else { named() }
    }

    /// Whether what is left is the beginning of a batch.
    pub fn is_unfinished(&self) -> bool {
        let rest = self.rest();
        !rest.is_empty() && [MARK, TO].iter().any(|mark| rest.starts_with(mark) || mark.starts_with(rest))
    }

    fn no_identity(&self) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, needs_identity(&self.to))
    }

    fn no_match(&self) -> io::Error {
        let given: Vec<String> = self.identities.iter().map(|identity| identity.recipient().to_string()).collect();
        let message = format!(
            "the records are encrypted to {}, and --identity is that of {}: give the one that they are encrypted to",
            known(&self.to),
            given.join(" ")
        );
        io::Error::new(io::ErrorKind::PermissionDenied, message)
    }
}

fn needs_identity(to: &str) -> String {
    format!(
        "the records are encrypted to {}: give --identity FILE, the file with the age identity (AGE-SECRET-KEY-1…) of that \
         key",
        known(to)
    )
}

const fn known(to: &str) -> &str {
    if to.is_empty() { "an age key" } else { to }
}

impl<R: Read> Read for Decrypting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(lines) = self.lines.get(self.given..).filter(|lines| !lines.is_empty()) {
                let count = give(lines, into);
                self.given += count;
                return Ok(count);
            }
            if self.plain > 0 {
                let count = give(self.raw.get(self.at..self.at + self.plain).unwrap_or_default(), into);
                self.at += count;
                self.plain -= count;
                return Ok(count);
            }
            if let Step::Given = self.step()? {
                continue;
            }
            if !self.read_more()? {
                self.end();
                if self.plain == 0 {
                    return Ok(0);
                }
            }
        }
    }
}

fn give(from: &[u8], into: &mut [u8]) -> usize {
    let count = from.len().min(into.len());
    if let (Some(into), Some(from)) = (into.get_mut(..count), from.get(..count)) {
        into.copy_from_slice(from);
    }
    count
}

/// Bytes of the head of a batch, and of its age file; none where it is not whole or no head.
fn head_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let after = bytes.strip_prefix(MARK)?;
    let digits = after.iter().take(DIGITS_MAX + 1).position(|byte| *byte == b'\n')?;
    let text = after.get(..digits).filter(|text| text.iter().all(u8::is_ascii_digit))?;
    let length: usize = std::str::from_utf8(text).ok()?.parse().ok()?;
    (length <= RECORDS_ENCRYPTED_FILE_BYTES_MAX).then_some((MARK.len() + digits + 1, length))
}

/// The end of a line that is no more than the beginning of a mark: what a kill left of one, ended by the next start.
fn torn_mark(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().take(TO.len() + 1).position(|byte| *byte == b'\n').filter(|end| *end > 0)?;
    let line = bytes.get(..end)?;
    [MARK, TO].iter().any(|mark| mark.starts_with(line)).then_some(end + 1)
}

/// Where the next batch, or line that says to whom, begins from `from` on.
fn next_mark(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let mut places = rest.iter().enumerate().filter(|(_, byte)| **byte == b'a').map(|(at, _)| at);
    places.find(|at| rest.get(*at..).is_some_and(|at| at.starts_with(TO) || head_of(at).is_some())).map(|at| from + at)
}

/// Bytes of lines that are not encrypted: whole ones up to the next mark, or the beginning of one.
fn plain_bytes(bytes: &[u8]) -> usize {
    let ends = || bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let mark = ends().find(|at| {
        bytes.get(*at..).is_some_and(|next| {
            let begun = next.get(..next.len().min(MARK.len() - 1)).unwrap_or_default();
            !begun.is_empty() && MARK.starts_with(begun)
        })
    });
    mark.or_else(|| ends().next_back()).unwrap_or(bytes.len())
}
