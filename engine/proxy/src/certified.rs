//! Connections with a client certificate do not outlive it. Each is looked at again when what its chain follows from may
//! have changed: a certificate or revocation list of it ends, or there are other client CAs or lists. What is no longer
//! vouched for takes no further request, and is closed in order.

use activation::Activation;
use identity::certificate::{CertificateFault, Chains};
use policy::reason::Reason;
use rustls::pki_types::CertificateDer;

use crate::identify::PeerCertificate;

/// Chains that are verified between two turns of a worker at most: a new list must not make thousands of requests wait.
/// What a list newly names is found without, and requests are refused by themselves.
const CHAINS_JUDGED_PER_TICK_MAX: usize = 16;
/// How much longer than its client's certificate an exchange may run, milliseconds.
pub const EXPIRED_EXCHANGE_MS_MAX: u64 = 30_000;

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing changes before the end of that second, Unix time.
    Good { until_s: u64 },
    /// To be looked at with the next tick.
    Undecided,
    /// It takes no further request; what runs may end by itself.
    Over,
    /// The same, and what runs has [`EXPIRED_EXCHANGE_MS_MAX`].
    Expired,
    /// What runs ends at once.
    Revoked(Reason),
}

/// Judges the certificates of a worker's connections, one tick long.
pub struct Judge<'w> {
    activation: &'w Activation,
    chains: &'w mut Chains,
    /// There are other client CAs or revocation lists than at the last tick.
    others_vouch: bool,
    now_s: u64,
    left: usize,
}

impl<'w> Judge<'w> {
    pub fn new(activation: &'w Activation, chains: &'w mut Chains, others_vouch: bool, now_s: u64) -> Self {
        Self { activation, chains, others_vouch, now_s, left: CHAINS_JUDGED_PER_TICK_MAX }
    }

    /// Whether a connection is to be judged that was found good until then.
    pub fn is_due(&self, until_s: u64) -> bool {
        self.others_vouch || until_s < self.now_s
    }

    /// Of `certificate`, the first of `chain`.
    pub fn standing(&mut self, certificate: &PeerCertificate, chain: &[CertificateDer<'static>]) -> Standing {
        let now_s = self.now_s;
        if let Some(until_s) = certificate.vouched_until_s(self.activation).filter(|until_s| now_s <= *until_s) {
            return Standing::Good { until_s };
        }
        let named = || self.others_vouch && self.activation.client_cas.may_have_revoked(chain);
        if self.left == 0 && certificate.facts.check_time(now_s).is_ok() && !named() {
            return Standing::Undecided;
        }
        self.left = self.left.saturating_sub(1);
        match self.chains.cas_of(chain, &self.activation.client_cas, now_s) {
            Ok(verdict) => Standing::Good { until_s: verdict.until_s },
            Err(fault) => match fault {
                CertificateFault::Revoked => Standing::Revoked(fault.reason()),
                CertificateFault::Expired => Standing::Expired,
                // It is only unknown whether the certificate is good, or its CA is none any more: as with everything that
                // another release takes away, the next request decides.
                _ => Standing::Over,
            },
        }
    }
}
