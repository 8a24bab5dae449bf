//! Segments of edges.

/// The segment of an edge, in eight bytes. Most segments are short and stand there themselves, so that comparing them
/// touches no other line; of longer ones, where they stand and a tag from their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EdgeText {
    /// Up to seven bytes, then the length.
    Short(u64),
    /// Start, length (16 bits), tag (8 bits), then `LONG`.
    Long { start: u32, length: u16, tag: u8 },
}

impl EdgeText {
    const LONG: u64 = 0xFF;
    /// Longer segments are interned.
    pub const SHORT_BYTES_MAX: usize = 7;

    /// The form of a segment that is not interned; none if it is too long for any.
    pub fn of(segment: &[u8], start: u32, tag: u8) -> Option<Self> {
        if segment.len() > Self::SHORT_BYTES_MAX {
            return u16::try_from(segment.len()).ok().map(|length| Self::Long { start, length, tag });
        }
        let bytes = segment.iter().rev().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte));
        Some(Self::Short(bytes | (segment.len() as u64) << 56))
    }

    pub fn read(text: u64) -> Self {
        if text >> 56 == Self::LONG {
            Self::Long { start: text as u32, length: (text >> 32) as u16, tag: (text >> 48) as u8 }
        } else {
            Self::Short(text)
        }
    }

    /// Bytes of the segment.
    pub fn length(self) -> u32 {
        match self {
            Self::Short(text) => (text >> 56) as u32,
            Self::Long { length, .. } => u32::from(length),
        }
    }

    pub fn written(self) -> u64 {
        match self {
            Self::Short(text) => text,
            Self::Long { start, length, tag } => {
                u64::from(start) | u64::from(length) << 32 | u64::from(tag) << 48 | Self::LONG << 56
            }
        }
    }
}
