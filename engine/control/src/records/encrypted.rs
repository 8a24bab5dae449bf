//! Records that are encrypted at rest, to public keys: the file is a sequence of batches, each an age file of its own,
//! so that whatever was written whole can be read, also after a kill or by a file that goes on later.
//!
//! ```text
//! adamant-encrypted-to age1… age1…\n        when a gateway opens the file
//! adamant-encrypted LENGTH\n<LENGTH bytes: an age file, version 1>\n
//! ```
//! The batches hold the lines as they would stand in a plain file, whole, in their order: chains and checkpoints are over
//! these. A batch that a kill or a full disk cut off is followed by the next mark, or by nothing.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use age_format::Recipient;

use crate::bounds::{RECORDS_ENCRYPTED_BATCH_BYTES, RECORDS_ENCRYPTED_FILE_BYTES_MAX};

mod marks;
mod reader;

pub use reader::{Damage, Decrypting};

/// What a batch begins with; its length in decimal digits and a newline follow.
pub const MARK: &[u8] = b"adamant-encrypted ";
/// What the line begins with that says to whom.
const TO: &[u8] = b"adamant-encrypted-to ";

/// Whether `bytes` begin as an encrypted record file does.
pub fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK) || bytes.starts_with(TO)
}

/// Refuses a file of records that begins or ends encrypted: what was private would go on for everybody to read.
pub fn expect_plain(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(());
    }
    let head = read_from(file, 0, TO.len())?;
    // A batch, its mark, and the newline before it.
    let tail_bytes_max = RECORDS_ENCRYPTED_FILE_BYTES_MAX + 2 * TO.len();
    let tail = read_from(file, found.len().saturating_sub(tail_bytes_max as u64), tail_bytes_max)?;
    let begins_batch = |window: &[u8]| window.first() == Some(&b'\n') && window.ends_with(MARK);
    if is_encrypted(&head) || tail.windows(1 + MARK.len()).any(begins_batch) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "expected records that are not encrypted, as encrypt_to under [records] is not there, found encrypted ones: put \
             encrypt_to back, or move the file away to go on in a new one that is not encrypted",
        ));
    }
    Ok(())
}

/// At most so many bytes.
fn read_from(file: &File, at: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The line that says to whom the batches behind it are encrypted.
pub fn opening(recipients: &[Recipient]) -> Vec<u8> {
    let names: Vec<String> = recipients.iter().map(Recipient::to_string).collect();
    [TO, names.join(" ").as_bytes(), b"\n"].concat()
}

/// Appends whole `lines` as batches; gives where each begins.
pub fn encrypt(lines: &[u8], recipients: &[Recipient], into: &mut Vec<u8>) -> io::Result<Vec<usize>> {
    let mut starts = Vec::new();
    let mut file = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_bytes(rest));
        file.clear();
        age_format::encrypt(batch, recipients, &mut file).map_err(io::Error::other)?;
        starts.push(into.len());
        into.extend_from_slice(MARK);
        into.extend_from_slice(file.len().to_string().as_bytes());
        into.push(b'\n');
        into.extend_from_slice(&file);
        into.push(b'\n');
        rest = after;
    }
    Ok(starts)
}

/// As many whole lines as fit into a batch, one at least.
fn batch_bytes(lines: &[u8]) -> usize {
    let newline = |range: Range<usize>, last: bool| {
        let part = lines.get(range.clone())?;
        let is_newline = |byte: &u8| *byte == b'\n';
        let found = if last { part.iter().rposition(is_newline) } else { part.iter().position(is_newline) };
        found.map(|at| range.start + at + 1)
    };
    if lines.len() <= RECORDS_ENCRYPTED_BATCH_BYTES {
        return lines.len();
    }
    let fitting = newline(0..RECORDS_ENCRYPTED_BATCH_BYTES, true);
    fitting.or_else(|| newline(RECORDS_ENCRYPTED_BATCH_BYTES..lines.len(), false)).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests;
