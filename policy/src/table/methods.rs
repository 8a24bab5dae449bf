//! Methods as bits: nine known ones, then those that the policy names, and one for "any but CONNECT and TRACE".

use super::Table;
use super::format::{METHODS, shape};
use crate::bounds::METHODS_EXTENSION_MAX;

/// Methods with a bit of their own in every table (RFC 9110 §9, RFC 5789).
pub(crate) const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// Set in a leaf that admits any method but CONNECT and TRACE.
pub(crate) const ANY: u64 = 1 << 63;

/// The bits that `ANY` does not stand for.
pub(crate) const NOT_ANY: u64 = 1 << 7 | 1 << 8;

/// Bit number of the first method that only this policy names.
pub(crate) const EXTENSION_FIRST: u32 = KNOWN.len() as u32;

const _: () = assert!(KNOWN.len() + METHODS_EXTENSION_MAX == 63);

/// Bit number of a known method. Methods are case-sensitive (RFC 9110 §9.1).
pub(crate) fn known(method: &[u8]) -> Option<u32> {
    Some(match method {
        b"GET" => 0,
        b"HEAD" => 1,
        b"POST" => 2,
        b"PUT" => 3,
        b"DELETE" => 4,
        b"PATCH" => 5,
        b"OPTIONS" => 6,
        b"CONNECT" => 7,
        b"TRACE" => 8,
        _ => return None,
    })
}

/// Whether two sets of methods admit one method in common.
pub(crate) fn overlap(first: u64, second: u64) -> bool {
    let widen = |set: u64| if set & ANY == 0 { set } else { set | !NOT_ANY };
    widen(first) & widen(second) != 0
}

impl<B: AsRef<[u8]>> Table<B> {
    /// The bits that a leaf must have one of to admit `method`; none if no leaf can.
    pub(crate) fn method_bits(&self, method: &[u8]) -> Option<u64> {
        if let Some(bit) = known(method) {
            let bits = 1 << bit;
            return Some(if bits & NOT_ANY == 0 { bits | ANY } else { bits });
        }
        if method.is_empty() {
            return None;
        }
        let named = self.shapes() & shape::METHODS != 0;
        let bit = if named { self.edge(METHODS, method) } else { None };
        Some(bit.and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0) | ANY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_methods_have_the_bit_of_their_place() {
        for (bit, method) in KNOWN.iter().enumerate() {
            assert_eq!(known(method.as_bytes()), Some(bit as u32));
        }
        assert_eq!(known(b"get"), None);
    }

    #[test]
    fn any_overlaps_all_but_connect_and_trace() {
        let bit = |method: &[u8]| 1 << known(method).unwrap();
        assert!(overlap(ANY, bit(b"GET")));
        assert!(overlap(1 << 20, ANY));
        assert!(overlap(ANY, ANY));
        assert!(!overlap(ANY, bit(b"CONNECT") | bit(b"TRACE")));
        assert!(!overlap(bit(b"GET"), bit(b"HEAD")));
    }
}
