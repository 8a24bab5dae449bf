//! Puts header and sections together.

use super::CompileError;
use crate::bounds::IMAGE_BYTES_MAX;
use crate::table::format::{DIGEST_AT, DIRECTORY_AT, FORMAT_VERSION, HEADER_BYTES, Head, LINE_BYTES, MAGIC, Record};

/// An image in the making: sections are appended in their order.
pub(super) struct Image {
    pub head: Head,
    digest: [u8; 32],
    directory: Vec<u8>,
    bytes: Vec<u8>,
}

impl Image {
    pub fn new(digest: [u8; 32]) -> Self {
        let head = Head { magic: MAGIC, format: FORMAT_VERSION, ..Head::default() };
        Self { head, digest, directory: Vec::new(), bytes: vec![0; HEADER_BYTES] }
    }

    /// Appends the next section.
    pub fn bytes(&mut self, section: &[u8]) -> Result<(), CompileError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(section);
        self.end_section(start)
    }

    /// Appends the next section, record by record.
    pub fn records<R: Record>(&mut self, records: &[R]) -> Result<(), CompileError> {
        let start = self.bytes.len();
        self.bytes.reserve(records.len() * R::BYTES);
        for record in records {
            record.write(&mut self.bytes);
        }
        self.end_section(start)
    }

    fn end_section(&mut self, start: usize) -> Result<(), CompileError> {
        let length = self.bytes.len() - start;
        let whole = self.bytes.len().next_multiple_of(LINE_BYTES);
        if whole > IMAGE_BYTES_MAX {
            return Err(CompileError::ImageTooLarge);
        }
        self.bytes.resize(whole, 0);
        self.directory.extend_from_slice(&(start as u32).to_le_bytes());
        self.directory.extend_from_slice(&(length as u32).to_le_bytes());
        Ok(())
    }

    /// The whole image.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.finish();
        self.bytes
    }

    /// The image with its header as it now is.
    pub fn finish(&mut self) -> &[u8] {
        self.head.length = self.bytes.len() as u32;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        self.head.write(&mut header);
        debug_assert_eq!(header.len(), DIGEST_AT);
        header.extend_from_slice(&self.digest);
        debug_assert_eq!(header.len(), DIRECTORY_AT);
        header.extend_from_slice(&self.directory);
        for (to, from) in self.bytes.iter_mut().zip(header) {
            *to = from;
        }
        &self.bytes
    }
}
