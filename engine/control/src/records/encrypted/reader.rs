//! Reads record files, encrypted or not: gives the lines as they were written. What is damaged is passed over and told, and
//! every byte is looked at a fixed number of times, whatever somebody wrote into the file.

use std::io::{self, Read};
use std::sync::Arc;

use age_format::{Fault, Identity, Recipient};
use zeroize::Zeroizing;

use super::marks::{self, Found, MARK_BYTES_MAX};
#[cfg(test)]
use super::tests::worked;
use super::{MARK, TO};
use crate::bounds::RECORDS_READ_BYTES;

/// Tests count the bytes that are looked at or moved.
#[cfg(not(test))]
const fn worked(_bytes: usize) {}

/// A batch, or the line that says to whom, that is not there as it was written.
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
    to: Vec<Recipient>,
    /// Batches are encrypted to one of the identities: the file says so, or one was read since.
    is_for_us: bool,
    /// Batches that are not.
    others: Option<Others>,
    /// Such batches are passed over as long as anything else can be read.
    goes_on: bool,
    /// Something of the file was read.
    has_given: bool,
    /// The newline behind a batch may come.
    after_batch: bool,
    /// In a line that is not encrypted.
    in_line: bool,
    /// Behind a batch that was damaged: everything up to the next mark is of it.
    lost: bool,
    /// Nothing came when it was last read.
    ended: bool,
    /// No mark begins in `raw` before this but the one in hand, if there is one.
    searched: usize,
    /// A batch stood before this, or a line that says to whom.
    is_encrypted: bool,
    /// Bytes before the first that was given, is no line of records, and stood before anything that is encrypted.
    no_line: Option<u64>,
}

/// Batches that are encrypted to others than the identities.
struct Others {
    /// Bytes before the first.
    at: u64,
    batches: u64,
    /// To whom that one is, as the file says.
    to: Vec<Recipient>,
}

/// What stands next in the file.
enum Step {
    /// Bytes to give are there.
    Given,
    /// It takes more of the file to say.
    More,
}

impl<R: Read> Decrypting<R> {
    /// `tell` is called for each batch that is passed over. Batches that are encrypted to others are an error: at once where
    /// they are the first thing in the file, else at its end.
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
            to: Vec::new(),
            is_for_us: false,
            others: None,
            goes_on: false,
            has_given: false,
            after_batch: false,
            in_line: false,
            lost: false,
            ended: false,
            searched: 0,
            is_encrypted: false,
            no_line: None,
        }
    }

    /// Goes on behind batches that are encrypted to others, which [`Self::for_others`] tells of: they are an error only where
    /// nothing of the file can be read.
    pub fn going_on(self) -> Self {
        Self { goes_on: true, ..self }
    }

    /// Reads on; false at the end of the file, for now.
    fn read_more(&mut self) -> io::Result<bool> {
        worked(if self.at > 0 { self.rest().len() } else { 0 });
        self.raw.drain(..self.at);
        self.before += self.at as u64;
        self.searched = self.searched.saturating_sub(self.at);
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
        let read = read?;
        self.ended = read == 0;
        Ok(!self.ended)
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
        if let Some(end) = marks::torn_mark(rest) {
            (self.tell)(Damage { at: self.before + self.at as u64, cut_off: true });
            self.at += end;
            return Ok(Step::Given);
        }
        if MARK.starts_with(rest.get(..MARK.len().min(rest.len())).unwrap_or_default()) {
            return self.batch();
        }
        if rest.starts_with(TO) || TO.starts_with(rest) {
            return Ok(self.opening());
        }
        // What we write there is a batch, or a line that is an object.
        let bytes = match rest.first() {
            Some(b'{') => marks::plain_bytes(rest),
            Some(b'\n') => 1,
            _ if self.is_encrypted => return Ok(self.damaged_or_more(Some(false))),
            _ => {
                let bytes = marks::plain_bytes(rest);
                self.no_line.get_or_insert(self.before + self.at as u64);
                bytes
            }
        };
        self.give_plain(bytes);
        Ok(Step::Given)
    }

    /// From here on whatever is not encrypted is a line of records, or was changed; so was what is none and has been given.
    fn sees_encryption(&mut self) {
        self.is_encrypted = true;
        if let Some(at) = self.no_line.take() {
            (self.tell)(Damage { at, cut_off: false });
        }
    }

    fn give_plain(&mut self, bytes: usize) {
        worked(bytes);
        self.plain = bytes;
        self.in_line = self.rest().get(bytes.wrapping_sub(1)).is_some_and(|last| *last != b'\n');
    }

    fn opening(&mut self) -> Step {
        let rest = self.rest();
        let cut_off = match marks::opening_of(rest) {
            Found::Whole((to, end)) => {
                self.is_for_us = self.identities.iter().any(|identity| to.contains(&identity.recipient()));
                self.sees_encryption();
                self.to = to;
                self.at += end;
                worked(end);
                return Step::Given;
            }
            Found::Begun => {
                worked(rest.len());
                None
            }
            Found::Torn(fits) => {
                worked(fits);
                marks::is_opening_cut_off(rest, fits)
            }
            Found::Wrong => Some(false),
        };
        self.damaged_or_more(cut_off)
    }

    fn batch(&mut self) -> io::Result<Step> {
        let rest = self.rest();
        let (head, length) = match marks::head_of(rest) {
            Found::Whole(found) => found,
            Found::Begun => return Ok(Step::More),
            Found::Torn(fits) => {
                let cut_off = marks::is_head_cut_off(rest, fits);
                return Ok(self.damaged_or_more(cut_off));
            }
            Found::Wrong => return Ok(self.damaged_or_more(Some(false))),
        };
        let (start, end) = (self.at + head, self.at + head + length);
        self.sees_encryption();
        self.searched = self.searched.max(self.at + 1);
        // Before anything is decrypted: batches that were laid over each other would each be.
        if self.next_mark().is_some_and(|next| next < end) {
            return Ok(self.damaged_or_more(Some(true)));
        }
        // The next mark may have begun before the end of this one.
        if self.raw.len() < end + MARK_BYTES_MAX && !self.ended {
            return Ok(Step::More);
        }
        let Some(file) = self.raw.get(start..end) else { return Ok(Step::More) };
        let decrypted = age_format::decrypt(file, &self.identities);
        worked(length);
        match decrypted {
            Ok(lines) => {
                (self.lines, self.given) = (lines, 0);
                self.at = end;
                (self.after_batch, self.is_for_us) = (true, true);
            }
            Err(Fault::NoMatch) if !self.is_for_us => self.pass_others()?,
            Err(_) => return Ok(self.damaged_or_more(Some(false))),
        }
        Ok(Step::Given)
    }

    /// Whether it was cut off; none: the file does not say yet.
    fn damaged_or_more(&mut self, cut_off: Option<bool>) -> Step {
        let Some(cut_off) = cut_off else { return Step::More };
        (self.tell)(Damage { at: self.before + self.at as u64, cut_off });
        self.pass_over();
        Step::Given
    }

    /// Its own mark is not the next one.
    fn pass_over(&mut self) {
        self.searched = self.searched.max(self.at + 1);
        self.lost = true;
    }

    fn pass_others(&mut self) -> io::Result<()> {
        let at = self.before + self.at as u64;
        self.others.get_or_insert_with(|| Others { at, batches: 0, to: self.to.clone() }).batches += 1;
        self.pass_over();
        if self.goes_on || self.has_given { Ok(()) } else { self.expect_ours() }
    }

    fn find_next(&mut self) -> Step {
        match self.next_mark() {
            Some(next) => {
                self.at = next;
                self.lost = false;
                Step::Given
            }
            None => {
                self.at = self.searched;
                Step::More
            }
        }
    }

    /// Where the next mark is; what was searched is not searched again.
    fn next_mark(&mut self) -> Option<usize> {
        let from = self.searched;
        let found = marks::next_mark(self.raw.get(from..).unwrap_or_default()).map(|at| from + at);
        // A mark may have begun.
        let undecided = self.raw.len().saturating_sub(MARK_BYTES_MAX - 1);
        self.searched = found.unwrap_or_else(|| undecided.max(from));
        worked(found.unwrap_or(self.raw.len()).saturating_sub(from));
        found
    }

    /// What is left where the file ends: a batch that a kill cut off, or the last line of a plain file.
    fn end(&mut self) {
        // It may still be written: what comes behind it decides.
        if !self.lost && !self.is_unfinished() {
            self.give_plain(self.rest().len());
        }
    }

    /// Whether what is left is the beginning of a batch.
    pub fn is_unfinished(&self) -> bool {
        let rest = self.rest();
        !rest.is_empty() && [MARK, TO].iter().any(|mark| rest.starts_with(mark) || mark.starts_with(rest))
    }

    /// What cannot be read as it is encrypted to others than the identities, and what to do.
    pub fn for_others(&self) -> Option<String> {
        let Others { at, batches, to } = self.others.as_ref()?;
        let to = if to.is_empty() { "an age key".to_owned() } else { names(to.iter().copied()) };
        let given = names(self.identities.iter().map(Identity::recipient));
        let (mut told, hint, unless) = match (self.has_given, *batches) {
            (false, _) => (format!("the records are encrypted to {to}"), "give the one that they are encrypted to", ""),
            (true, batches) => {
                let (batches, are) =
                    if batches == 1 { ("a batch".to_owned(), "is") } else { (format!("{batches} batches"), "are") };
                let told = format!("{batches} of records, from byte {at} on, {are} encrypted to {to}");
                (told, "give its identity as well", "; if encrypt_to never named it, somebody put that there")
            }
        };
        if given.is_empty() {
            told.push_str(": give --identity FILE, the file with the age identity (AGE-SECRET-KEY-1…) of that key");
        } else {
            told.push_str(&format!(", and --identity is that of {given}: {hint}"));
        }
        Some(told + unless)
    }

    fn expect_ours(&self) -> io::Result<()> {
        match self.for_others().filter(|_| !self.goes_on || !self.has_given) {
            Some(told) => Err(io::Error::new(io::ErrorKind::PermissionDenied, told)),
            None => Ok(()),
        }
    }
}

fn names(of: impl Iterator<Item = Recipient>) -> String {
    of.map(|recipient| recipient.to_string()).collect::<Vec<_>>().join(" ")
}

impl<R: Read> Read for Decrypting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(lines) = self.lines.get(self.given..).filter(|lines| !lines.is_empty()) {
                let count = give(lines, into);
                self.given += count;
                self.has_given = true;
                return Ok(count);
            }
            if self.plain > 0 {
                let count = give(self.raw.get(self.at..self.at + self.plain).unwrap_or_default(), into);
                self.at += count;
                self.plain -= count;
                self.has_given = true;
                return Ok(count);
            }
            if let Step::Given = self.step()? {
                continue;
            }
            let had_ended = self.ended;
            if !self.read_more()? && had_ended {
                self.end();
                if self.plain == 0 {
                    return self.expect_ours().map(|()| 0);
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
