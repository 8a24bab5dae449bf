//! The public keys of assertions, as a gateway states them and origins get them.

use serde::{Deserialize, Serialize};

use super::AttestationFault;
use crate::time::Timestamp;

/// The keys of a gateway's assertions to origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionKeys {
    /// The next one, the one that signs, those before that may still verify something.
    pub keys: Vec<Jwk>,
    /// `kid` of the one that signs.
    pub signs: String,
    /// Since when it does, and when the next one does; none where keys are not rotated.
    pub since: Timestamp,
    pub next: Option<Timestamp>,
    pub last_failure: Option<String>,
}

/// A public key (RFC 7517): of ES256 on P-256 alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Jwk {
    pub kid: String,
    pub kty: String,
    pub crv: String,
    pub alg: String,
    #[serde(rename = "use")]
    pub purpose: String,
    pub x: String,
    pub y: String,
}

impl AssertionKeys {
    /// Whatever a gateway states here, origins are to believe it: keys of the one kind that there is.
    pub(super) fn check(&self) -> Result<(), AttestationFault> {
        for key in &self.keys {
            let known = ["EC", "P-256", "ES256", "sig"];
            let is_kind = [&key.kty, &key.crv, &key.alg, &key.purpose].into_iter().eq(known);
            let sized = |text: &String| {
                text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            };
            if !is_kind || ![&key.kid, &key.x, &key.y].into_iter().all(sized) {
                return Err(AttestationFault::AssertionKey);
            }
        }
        let is_known = self.keys.iter().any(|key| key.kid == self.signs);
        if is_known { Ok(()) } else { Err(AttestationFault::AssertionKey) }
    }
}
