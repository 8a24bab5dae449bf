//! Where lines go: a file that may be renamed under us, or stdout. A line is written whole or, where the medium took
//! only a part of it, continued; it never merges with another.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt as _, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use age_format::Recipient;

use super::encrypted;

/// Where records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Stdout,
    File(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Whole lines on their way out, as they are or encrypted; `sent` bytes of that went.
#[derive(Debug, Default)]
pub struct Pending {
    pub lines: Vec<u8>,
    /// Where records are encrypted.
    encrypted: Option<Batches>,
    sent: usize,
}

/// What goes out in the place of lines.
#[derive(Debug, Default)]
struct Batches {
    bytes: Vec<u8>,
    /// Bytes of the lines that are in them.
    covered: usize,
    /// Where each batch begins.
    starts: Vec<usize>,
}

impl Pending {
    pub fn is_sent(&self) -> bool {
        let all = self.encrypted.as_ref().is_none_or(|batches| batches.covered == self.lines.len());
        all && self.sent >= self.out().len()
    }

    pub fn clear(&mut self) {
        self.lines.clear();
        self.encrypted = None;
        self.sent = 0;
    }

    /// What goes out.
    pub fn out(&self) -> &[u8] {
        self.encrypted.as_ref().map_or(&self.lines, |batches| &batches.bytes)
    }

    /// Encrypts the lines that are not yet; `opening` goes before them. Once encrypted, a line goes out as it is, however
    /// often it is tried.
    fn encrypt(&mut self, recipients: &[Recipient], opening: &mut Option<Vec<u8>>) -> io::Result<()> {
        let batches = self.encrypted.get_or_insert_default();
        let Some(lines) = self.lines.get(batches.covered..).filter(|lines| !lines.is_empty()) else { return Ok(()) };
        let mut bytes = opening.clone().unwrap_or_default();
        let starts = encrypted::encrypt(lines, recipients, &mut bytes)?;
        *opening = None;
        // What opens the file belongs to the first batch.
        let before = batches.bytes.len();
        batches.starts.push(before);
        batches.starts.extend(starts.iter().skip(1).map(|start| before + start));
        batches.bytes.append(&mut bytes);
        batches.covered = self.lines.len();
        Ok(())
    }

    /// Puts `opening` before what was not sent yet; gives it back where that is nothing.
    fn open_before(&mut self, opening: Vec<u8>) -> Option<Vec<u8>> {
        let batches = self.encrypted.as_mut().filter(|batches| self.sent < batches.bytes.len());
        let Some(batches) = batches else { return Some(opening) };
        batches.starts.iter_mut().filter(|start| **start > self.sent).for_each(|start| *start += opening.len());
        batches.bytes.splice(self.sent..self.sent, opening);
        None
    }

    /// Sends from the start again: what was sent may be lost.
    pub fn restart(&mut self) {
        self.sent = 0;
    }

    /// Writes on; after an error, what remains is kept.
    fn send(&mut self, output: &mut impl Write) -> io::Result<()> {
        while let Some(rest) = self.out().get(self.sent..).filter(|rest| !rest.is_empty()) {
            match output.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes back to the start of a line that was sent in part: it is to stand whole in another file. One that lacks its
    /// newline alone is whole: the end of a file ends it too, and a file that is opened again has it ended.
    fn rewind_to_line(&mut self) {
        if let Some(batches) = &self.encrypted {
            return self.sent = batches.whole_until(self.sent);
        }
        if self.sent > 0 && self.lines.get(self.sent) == Some(&b'\n') {
            self.sent += 1;
            return;
        }
        let sent = self.lines.get(..self.sent).unwrap_or_default();
        self.sent = sent.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    }
}

impl Batches {
    /// The end of what is whole of the first `sent` bytes; the newline behind a batch may be missing.
    fn whole_until(&self, sent: usize) -> usize {
        let ends = self.starts.iter().skip(1).copied().chain([self.bytes.len()]);
        let whole = self.starts.iter().zip(ends).find(|(start, end)| **start <= sent && sent < *end);
        whole.map_or(sent, |(start, end)| if sent + 1 == end { end } else { *start })
    }
}

/// An open target.
pub struct Sink {
    target: Target,
    output: File,
    /// To whom records are encrypted; to nobody: they are plain.
    recipients: Vec<Recipient>,
    /// What is to go before the first batch in a file.
    opening: Option<Vec<u8>>,
    /// Device and inode, to notice that the path was renamed.
    place: (u64, u64),
    /// Of the file when it was looked at last.
    bytes_seen: u64,
}

impl Sink {
    /// Opens the target: a file is created with mode 0600 and appended to, by one gateway at a time.
    pub fn open(target: Target) -> io::Result<Self> {
        let output = match &target {
            Target::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Target::File(path) => open_file(path, None)?,
        };
        let place = place_of(&output)?;
        tell_openness(&target, &output)?;
        Ok(Self { target, output, recipients: Vec::new(), opening: None, place, bytes_seen: 0 })
    }

    /// Encrypts from here on; to nobody: refuses a file that was encrypted.
    pub fn encrypting_to(mut self, recipients: &[Recipient]) -> io::Result<Self> {
        if recipients.is_empty() {
            return match self.target {
                Target::Stdout => Ok(self),
                Target::File(_) => encrypted::expect_plain(&self.output).map(|()| self),
            };
        }
        self.recipients = recipients.to_vec();
        self.opening = Some(encrypted::opening(recipients));
        self.tell_plain()?;
        Ok(self)
    }

    /// Says what stands in the file from before.
    fn tell_plain(&self) -> io::Result<()> {
        let Target::File(path) = &self.target else { return Ok(()) };
        let mut first = [0];
        let is_file = self.output.metadata()?.is_file();
        if is_file && self.output.read_at(&mut first, 0)? > 0 && first == *b"{" {
            let path = path.display();
            crate::warning!(
                "{path}: holds records from before that are not encrypted: move the file away to go on in a new one"
            );
        }
        Ok(())
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn send(&mut self, pending: &mut Pending) -> io::Result<()> {
        if !self.recipients.is_empty() {
            pending.encrypt(&self.recipients, &mut self.opening)?;
        }
        pending.send(&mut self.output)
    }

    /// Brings what was written to stable storage. A pipe or terminal has none: what it took counts.
    pub fn sync(&self) -> io::Result<()> {
        match self.target {
            Target::Stdout => match self.output.sync_data() {
                Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
                done => done,
            },
            Target::File(_) => self.output.sync_data(),
        }
    }

    /// Whether something else, or nothing, stands at the path. Says where the file was cut meanwhile.
    pub fn was_renamed(&mut self) -> bool {
        let Target::File(path) = &self.target else { return false };
        match std::fs::metadata(path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) != self.place => true,
            Ok(metadata) => {
                let (before, bytes) = (std::mem::replace(&mut self.bytes_seen, metadata.len()), metadata.len());
                if bytes < before {
                    let path = path.display();
                    crate::error!(
                        "{path}: the file of the records was cut from {before} to {bytes} bytes: those are gone"
                    );
                }
                false
            }
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Opens the path again, without using it yet. After an error the old file stays in use.
    pub fn open_next(&self) -> io::Result<Option<Next>> {
        let Target::File(path) = &self.target else { return Ok(None) };
        let output = open_file(path, Some(self.place))?;
        let place = place_of(&output)?;
        if place != self.place {
            if self.recipients.is_empty() {
                encrypted::expect_plain(&output)?;
            }
            tell_openness(&self.target, &output)?;
        }
        Ok(Some(Next { output, place, is_another: place != self.place }))
    }

    /// Goes on in what was opened.
    pub fn switch(&mut self, next: Next, pending: &mut Pending) {
        // Whatever stands there in part is ended, by a newline or because it is another file: it is to stand whole.
        pending.rewind_to_line();
        if next.is_another && !self.recipients.is_empty() {
            self.opening = pending.open_before(encrypted::opening(&self.recipients));
        }
        if !next.is_another {
            // The same file; what is open holds the lock on it.
            return;
        }
        // What stands in the old file should be as safe as what will stand in the new one; but a medium that fails must be
        // replaceable, and some (a pipe, a device) know no such thing.
        if let Err(error) = self.output.sync_data()
            && error.kind() != ErrorKind::InvalidInput
        {
            crate::error!("the last records in the old file may not be on stable storage: {error}");
        }
        if self.output.metadata().is_ok_and(|old| old.is_file() && old.nlink() == 0) {
            crate::error!(
                "{}: the file of the records has no name any more: what was not copied elsewhere is gone",
                self.target
            );
        }
        (self.output, self.place, self.bytes_seen) = (next.output, next.place, 0);
    }

    /// The file that is in use, for another thread to bring it to stable storage.
    pub fn output(&self) -> io::Result<File> {
        self.output.try_clone()
    }
}

/// What was opened at the path and is not in use yet.
pub struct Next {
    output: File,
    place: (u64, u64),
    /// Not the file that is in use.
    pub is_another: bool,
}

fn place_of(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Opens for appending; a last line that an earlier process left incomplete is ended first. `held`: the file that is
/// locked already.
fn open_file(path: &Path, held: Option<(u64, u64)>) -> io::Result<File> {
    let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(file);
    }
    if held != Some(place_of(&file)?) {
        lock(&file)?;
    }
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Says when others than the owner can get at the records. The mode may be meant, as for a log shipper: it is left alone.
fn tell_openness(target: &Target, file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if let Target::File(path) = target
        && metadata.is_file()
        && let Some(warning) = openness(metadata.mode())
    {
        let path = path.display();
        crate::warning!("{path}: {warning}; if that is not meant: chmod 600 {path}");
    }
    Ok(())
}

/// What `mode` lets others do with a file of records; none where they can do nothing.
fn openness(mode: u32) -> Option<String> {
    let who = match (mode & 0o070, mode & 0o007) {
        (0, 0) => return None,
        (_, 0) => "its group",
        (0, _) => "everyone",
        _ => "its group and everyone",
    };
    let what = match (mode & 0o044, mode & 0o022) {
        (_, 0) => "read",
        (0, _) => "write",
        _ => "read or write",
    };
    Some(format!("the file of the records has mode {:04o}: {who} may {what} it", mode & 0o7777))
}

/// Lines of two gateways in one file would belong to no chain. The lock goes with the open file, also through a rename.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "another gateway writes its records there; each needs a file of its own",
        )),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
