//! Signed answers, at a bounded cost: so many signatures a second, and one for all who bring no nonce.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use policy_release::attestation::{AttestationFault, Nonce};

use super::release;
use crate::bounds::ATTESTATIONS_PER_S_MAX;
use crate::clock::NS_PER_S;
use crate::status::Status;

/// Signs for one listener.
pub struct Attester {
    status: Arc<Status>,
    /// Whether it tells who the agents are and when they call: that is not for everybody who may ask.
    tells_uses: bool,
    budget: Mutex<Budget>,
}

#[derive(Default)]
struct Budget {
    /// Seconds since the Unix epoch that the count is for.
    second: u64,
    signed: u32,
    /// The answer of this second to those who brought no nonce.
    without_nonce: Option<Bytes>,
}

/// Why there is no signed answer.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    #[error("this gateway signs {ATTESTATIONS_PER_S_MAX} attestations a second at most: ask again in a second")]
    TooMany,
    #[error(transparent)]
    Fault(#[from] AttestationFault),
}

impl Attester {
    pub fn new(status: Arc<Status>, tells_uses: bool) -> Self {
        Self { status, tells_uses, budget: Mutex::default() }
    }

    pub fn tells_uses(&self) -> bool {
        self.tells_uses
    }

    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// The envelope of an attestation that answers `nonce`.
    pub fn attest(&self, nonce: Option<Nonce>, now_unix_ns: u64) -> Result<Bytes, Unsigned> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now_unix_ns / NS_PER_S;
        if budget.second != second {
            *budget = Budget { second, ..Budget::default() };
        }
        if let (None, Some(ready)) = (&nonce, &budget.without_nonce) {
            return Ok(ready.clone());
        }
        if budget.signed >= ATTESTATIONS_PER_S_MAX {
            return Err(Unsigned::TooMany);
        }
        budget.signed += 1;
        let anybodys = nonce.is_none();
        let document = release::document(&self.status, nonce, now_unix_ns);
        let envelope = Bytes::from(document.seal(self.status.facts.node.key())?.to_bytes());
        if anybodys {
            budget.without_nonce = Some(envelope.clone());
        }
        Ok(envelope)
    }
}
