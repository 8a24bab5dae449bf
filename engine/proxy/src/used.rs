//! Notes which credentials were used: whatever held and led to an agent counts, however the request was decided after that.

use std::cell::Cell;
use std::sync::Arc;

use activation::Activation;
use activation::uses::{Certificates, Holder, Place};
use policy::table::AgentId;

use crate::identify::Identified;

/// Where one worker notes uses.
pub struct Used {
    worker: usize,
    certificates: Arc<Certificates>,
}

impl Used {
    /// `certificates` is worker `worker`'s own.
    pub fn new(worker: usize, certificates: Arc<Certificates>) -> Self {
        Self { worker, certificates }
    }

    /// A request of `identified`, under `activation`. `certificate`: the hash of the one on its connection, and where it was
    /// noted last. A certificate that no CA vouched for is none.
    pub fn note(
        &self,
        activation: &Activation,
        identified: &Identified,
        certificate: Option<(&[u8; 32], &Cell<Place>)>,
        now_unix_ns: u64,
    ) {
        let Some(agent) = identified.caller.agent else { return };
        let (uses, now_s) = (&*activation.uses, seconds(now_unix_ns));
        uses.agent(self.worker, agent, now_s);
        if let Some(key) = identified.api_key {
            uses.api_key(self.worker, key, now_s);
        }
        if let Some(token) = &identified.token {
            uses.key(self.worker, token.used_at, now_s);
        }
        if let Some((sha256, place)) = certificate.filter(|_| identified.certificate_cas != 0) {
            let holder = Holder { policy: uses.of_policy.id, agent };
            self.certificates.note(place, sha256, holder, now_s);
        }
    }

    /// What everybody may do was used: its agent has no credential.
    pub fn note_agent(&self, activation: &Activation, agent: AgentId, now_unix_ns: u64) {
        activation.uses.agent(self.worker, agent, seconds(now_unix_ns));
    }
}

fn seconds(unix_ns: u64) -> u32 {
    (unix_ns / 1_000_000_000) as u32
}
