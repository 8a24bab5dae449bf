//! What stands between the batches: the head of each, and the line that says to whom.

use age_format::{INTRO, RECIPIENTS_MAX, Recipient};

use super::{MARK, TO};
use crate::bounds::{RECORDS_ENCRYPTED_FILE_BYTES_MAX, RECORDS_ENCRYPTED_TO_BYTES_MAX};

/// Digits of a length.
const DIGITS_MAX: usize = 8;
/// Bytes that it takes to say whether a batch, or a line that says to whom, begins: whichever takes more.
pub const MARK_BYTES_MAX: usize = MARK.len() + DIGITS_MAX + 1 + INTRO.len();

/// What was found in the place of a head or a line.
pub enum Found<T> {
    Whole(T),
    /// It takes more of the file to say.
    Begun,
    /// So many bytes are as in one, and no more.
    Torn(usize),
    /// One that nobody writes.
    Wrong,
}

/// Where its age file begins in `bytes`, and its length.
pub fn head_of(bytes: &[u8]) -> Found<(usize, usize)> {
    let fits = common(bytes, MARK);
    if fits < MARK.len() {
        return if fits == bytes.len() { Found::Begun } else { Found::Torn(fits) };
    }
    let after = bytes.get(fits..).unwrap_or_default();
    let digits = after.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    let (text, after) = after.split_at(digits);
    let Some((end, file)) = after.split_first() else { return Found::Begun };
    if *end != b'\n' {
        return Found::Torn(fits + digits);
    }
    let length = std::str::from_utf8(text).ok().and_then(|text| text.parse::<usize>().ok());
    let Some(length) = length.filter(|length| *length <= RECORDS_ENCRYPTED_FILE_BYTES_MAX) else {
        return Found::Wrong;
    };
    let head = fits + digits + 1;
    match common(file, INTRO) {
        // The next mark already, which begins alike.
        fits if fits < common(file, MARK) => Found::Torn(head),
        fits if fits == INTRO.len() => Found::Whole((head, length)),
        fits if fits == file.len() => Found::Begun,
        fits => Found::Torn(head + fits),
    }
}

/// To whom, and the bytes of the line.
pub fn opening_of(bytes: &[u8]) -> Found<(Vec<Recipient>, usize)> {
    let Some(after) = bytes.strip_prefix(TO) else { return Found::Begun };
    let is_of_names = |byte: &&u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || **byte == b' ';
    let length = after.iter().take(RECORDS_ENCRYPTED_TO_BYTES_MAX).take_while(is_of_names).count();
    let (names, after) = after.split_at(length);
    let end = TO.len() + length;
    match after.first() {
        None => Found::Begun,
        Some(b'\n') => recipients_of(names).map_or(Found::Torn(end), |to| Found::Whole((to, end + 1))),
        Some(_) => Found::Torn(end),
    }
}

fn recipients_of(names: &[u8]) -> Option<Vec<Recipient>> {
    let names = std::str::from_utf8(names).ok()?;
    let to: Vec<Recipient> = names.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    (to.len() <= RECIPIENTS_MAX).then_some(to)
}

/// Whether a head of which so many bytes fit was cut off there: the next one, or a line that says to whom, follows at once,
/// or behind the newline by which a start ends what it finds. None: it takes more of the file to say.
pub fn is_head_cut_off(bytes: &[u8], fits: usize) -> Option<bool> {
    let next = behind(bytes, fits);
    match head_of(next) {
        Found::Whole(_) => Some(true),
        Found::Begun => None,
        Found::Torn(_) | Found::Wrong => begins_opening(next),
    }
}

/// The same of a line that says to whom: only a start writes one, so the line of the next start follows.
pub fn is_opening_cut_off(bytes: &[u8], fits: usize) -> Option<bool> {
    begins_opening(behind(bytes, fits))
}

fn behind(bytes: &[u8], fits: usize) -> &[u8] {
    let next = bytes.get(fits..).unwrap_or_default();
    next.strip_prefix(b"\n").unwrap_or(next)
}

fn begins_opening(bytes: &[u8]) -> Option<bool> {
    let fits = common(bytes, TO);
    (fits == TO.len() || fits < bytes.len()).then_some(fits == TO.len())
}

fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The end of a line that is no more than the beginning of a mark: what a kill left of one, ended by the next start.
pub fn torn_mark(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().take(TO.len() + 1).position(|byte| *byte == b'\n').filter(|end| *end > 0)?;
    let line = bytes.get(..end)?;
    [MARK, TO].iter().any(|mark| mark.starts_with(line)).then_some(end + 1)
}

/// Where the first batch, or line that says to whom, begins.
pub fn next_mark(bytes: &[u8]) -> Option<usize> {
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'a').map(|(at, _)| at);
    let begins = |bytes: &[u8]| bytes.starts_with(TO) || matches!(head_of(bytes), Found::Whole(_));
    places.find(|at| bytes.get(*at..).is_some_and(begins))
}

/// Bytes of lines that are not encrypted: whole ones up to the next mark, or the beginning of one.
pub fn plain_bytes(bytes: &[u8]) -> usize {
    let ends = || bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let mark = ends().find(|at| {
        bytes.get(*at..).is_some_and(|next| {
            let begun = next.get(..next.len().min(MARK.len() - 1)).unwrap_or_default();
            !begun.is_empty() && MARK.starts_with(begun)
        })
    });
    mark.or_else(|| ends().next_back()).unwrap_or(bytes.len())
}
