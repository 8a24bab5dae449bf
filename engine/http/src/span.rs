//! Places in a block, instead of slices of it, so that a head can outlive a move of its block.

use crate::bounds::FIELDS_MAX;
use crate::name::Name;

/// `len` bytes from `start` of the block that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// The bytes of this span; empty when `bytes` is not the block it belongs to and is too short.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start.saturating_add(self.len as usize)).unwrap_or(&[])
    }

    /// Where `part`, a slice of `bytes`, lies in it. Blocks are smaller than `HEAD_BYTES_LIMIT`, so `u32` holds it.
    #[inline]
    pub(crate) fn within(bytes: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
        Self { start: start as u32, len: part.len() as u32 }
    }

    /// `len` bytes at `skip` of this span.
    #[inline]
    pub(crate) fn part(self, skip: usize, len: usize) -> Self {
        Self { start: self.start + skip as u32, len: len as u32 }
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    /// Without white space around it.
    pub value: Span,
    pub known: Name,
}

/// The field lines of a head, in order of arrival.
#[derive(Clone, Debug)]
pub struct Fields {
    entries: [Field; FIELDS_MAX],
    count: usize,
}

impl Default for Fields {
    fn default() -> Self {
        Self { entries: [Field::default(); FIELDS_MAX], count: 0 }
    }
}

impl Fields {
    pub fn as_slice(&self) -> &[Field] {
        self.entries.get(..self.count).unwrap_or(&[])
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.as_slice().iter()
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Values of all fields with this name (lower-case, ASCII), compared without case.
    pub fn values<'f>(&'f self, bytes: &'f [u8], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        self.iter()
            .filter(move |field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()))
            .map(move |field| field.value.of(bytes))
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// False when full; the parser's bound on fields comes first.
    #[inline]
    pub(crate) fn push(&mut self, field: Field) -> bool {
        let Some(slot) = self.entries.get_mut(self.count) else { return false };
        *slot = field;
        self.count += 1;
        true
    }
}

impl<'f> IntoIterator for &'f Fields {
    type Item = &'f Field;
    type IntoIter = std::slice::Iter<'f, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
