//! Interned strings: each distinct one stands in the image once.

use std::collections::HashMap;

use super::CompileError;
use crate::bounds::STRING_BYTES_MAX;
use crate::table::format::LINE_BYTES;

/// The strings so far. The map is only asked, never iterated: the order of the bytes is that of interning.
#[derive(Default)]
pub(super) struct Strings<'s> {
    bytes: Vec<u8>,
    starts: HashMap<&'s str, u32>,
}

impl<'s> Strings<'s> {
    /// Start and length of a string in the section.
    pub fn intern(&mut self, text: &'s str) -> Result<(u32, u16), CompileError> {
        if text.len() > STRING_BYTES_MAX {
            let start = text.chars().take(32).collect();
            return Err(CompileError::StringTooLong { start, found: text.len() });
        }
        let length = text.len() as u16;
        if let Some(start) = self.starts.get(text) {
            return Ok((*start, length));
        }
        let start = u32::try_from(self.bytes.len()).map_err(|_| CompileError::ImageTooLarge)?;
        self.bytes.extend_from_slice(text.as_bytes());
        self.starts.insert(text, start);
        Ok((start, length))
    }

    /// The same for a string that route look-ups compare with: a new one that fits a line stands in one line.
    pub fn intern_in_line(&mut self, text: &'s str) -> Result<(u32, u16), CompileError> {
        let in_line = self.bytes.len() % LINE_BYTES;
        if in_line + text.len() > LINE_BYTES && !self.starts.contains_key(text) {
            self.bytes.resize(self.bytes.len().next_multiple_of(LINE_BYTES), 0);
        }
        self.intern(text)
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
