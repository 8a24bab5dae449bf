//! Names out of records, as they are kept: who can write a record can make one as long as its line.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::bounds::NAME_BYTES_MAX;

/// Bytes of a digest that tell two long names apart, and of what stands for such a name beside its beginning: `…` and
/// two digits each.
const DIGEST_BYTES: usize = 16;
const MARK_BYTES: usize = 3 + 2 * DIGEST_BYTES;

/// The name itself; of one that is too long, its beginning and a digest of all of it.
pub fn kept(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    let (begin, _) = name.split_at(name.floor_char_boundary(NAME_BYTES_MAX - MARK_BYTES));
    let mut short = format!("{begin}…");
    for byte in Sha256::digest(name).iter().take(DIGEST_BYTES) {
        let _ = write!(short, "{byte:02x}");
    }
    Cow::Owned(short)
}

/// The same of bytes, which nobody reads.
pub fn kept_bytes(name: &[u8]) -> Cow<'_, [u8]> {
    if name.len() <= NAME_BYTES_MAX { Cow::Borrowed(name) } else { Cow::Owned(Sha256::digest(name).to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_and_stays_itself() {
        let long = |last: char| format!("{}{last}", "é".repeat(NAME_BYTES_MAX));
        assert_eq!(kept("reports"), "reports");
        assert_eq!(kept(&"x".repeat(NAME_BYTES_MAX)).len(), NAME_BYTES_MAX);
        let (one, other) = (long('a'), long('b'));
        assert!(kept(&one).len() <= NAME_BYTES_MAX && kept(&one).starts_with("éé"));
        assert!(kept(&one) != kept(&other) && kept(&one) == kept(&long('a')));
        assert!(kept_bytes(one.as_bytes()).len() <= NAME_BYTES_MAX);
        assert_ne!(kept_bytes(one.as_bytes()), kept_bytes(other.as_bytes()));
    }
}
