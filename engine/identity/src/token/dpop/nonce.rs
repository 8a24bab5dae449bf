//! Nonces for DPoP proofs (RFC 9449 §9) that nobody has to remember: an HMAC over a slot of time. Proofs made in advance
//! are of no use, because nobody knows a nonce before its slot has begun.

use aws_lc_rs::hmac;

use crate::base64url;
use crate::bounds::DPOP_NONCE_SLOT_S;

/// Bytes of a nonce, base64url of 16.
pub const NONCE_BYTES: usize = 22;

/// Gives and takes nonces, by a key of this process.
pub struct Nonces(hmac::Key);

impl Nonces {
    /// `key` is random.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The nonce of `now_s` (seconds since the Unix epoch), to be sent as `DPoP-Nonce`.
    pub fn at(&self, now_s: u64) -> String {
        self.of(now_s / DPOP_NONCE_SLOT_S)
    }

    /// Whether a nonce is that of `now_s` or of the slot before.
    pub fn accept(&self, nonce: &[u8], now_s: u64) -> bool {
        let slot = now_s / DPOP_NONCE_SLOT_S;
        [slot, slot.saturating_sub(1)]
            .iter()
            .any(|slot| subtle::ConstantTimeEq::ct_eq(nonce, self.of(*slot).as_bytes()).into())
    }

    fn of(&self, slot: u64) -> String {
        let tag = hmac::sign(&self.0, &slot.to_be_bytes());
        base64url::encode(tag.as_ref().get(..16).unwrap_or_default())
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Nonces")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_lives_for_its_slot_and_the_next() {
        let (nonces, other) = (Nonces::new(&[1; 32]), Nonces::new(&[2; 32]));
        let now_s = 1_800_000_000 / DPOP_NONCE_SLOT_S * DPOP_NONCE_SLOT_S;
        let nonce = nonces.at(now_s);
        assert_eq!(nonce.len(), NONCE_BYTES);
        for (later_s, lives) in [(0, true), (DPOP_NONCE_SLOT_S, true), (2 * DPOP_NONCE_SLOT_S - 1, true)] {
            assert_eq!(nonces.accept(nonce.as_bytes(), now_s + later_s), lives);
        }
        assert!(!nonces.accept(nonce.as_bytes(), now_s + 2 * DPOP_NONCE_SLOT_S));
        assert!(!nonces.accept(nonce.as_bytes(), now_s - 1), "none of a slot to come");
        assert!(!other.accept(nonce.as_bytes(), now_s) && !nonces.accept(b"", now_s));
    }
}
