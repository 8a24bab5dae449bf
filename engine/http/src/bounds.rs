//! Every bound of this crate, with its unit in its name.

/// Fields that one head can hold.
pub const FIELDS_MAX: usize = 128;
/// No configured head bound can exceed this, so that spans fit and work per message stays bounded.
pub const HEAD_BYTES_LIMIT: usize = 1 << 20;
/// Longest method; the registry's longest has 17 bytes.
pub const METHOD_BYTES_MAX: usize = 32;
/// Connection options in all `Connection` fields of a message; each is compared with each field name.
pub const CONNECTION_OPTIONS_MAX: usize = 16;
/// Hex digits of a chunk size, leading zeros included: what a `u64` holds.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Bytes of chunk extensions in one message, all chunks together (CVE-2023-39326 had no such bound).
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 4 << 10;
/// Bytes of a trailer section, its final empty line included. A caller's block must be able to hold it.
pub const TRAILER_BYTES_MAX: usize = 4 << 10;
/// Fields of a trailer section.
pub const TRAILER_FIELDS_MAX: usize = 32;

/// Bounds on one message head, from `gateway.toml`.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Start line and field section with the final empty line, bytes; at most [`HEAD_BYTES_LIMIT`] is used.
    pub head_bytes_max: usize,
    /// Request-target as received, bytes.
    pub target_bytes_max: usize,
    /// Field lines; at most [`FIELDS_MAX`] is used.
    pub fields_max: usize,
}

impl Default for Bounds {
    /// 16 KiB heads, 8 KiB targets (RFC 9112 §3 asks for at least 8,000 bytes), 100 fields.
    fn default() -> Self {
        Self { head_bytes_max: 16 << 10, target_bytes_max: 8 << 10, fields_max: 100 }
    }
}

impl Bounds {
    /// The part of `bytes` that a head may occupy.
    pub(crate) fn window<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(..self.head_bytes_max.min(HEAD_BYTES_LIMIT)).unwrap_or(bytes)
    }

    /// Whether a head that is still incomplete in `bytes` has used up its room.
    pub(crate) fn exhausted(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.head_bytes_max.min(HEAD_BYTES_LIMIT)
    }

    pub(crate) fn fields(&self) -> usize {
        self.fields_max.min(FIELDS_MAX)
    }
}
