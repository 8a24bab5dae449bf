//! Which client CAs vouch for a chain, with a small cache: a handshake of a known client, or a resumed session, costs
//! one hash instead of signature checks.

use ahash::RandomState;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertificateFault, ClientCa, ClientCaError, check_bounds};
use crate::bounds::CLIENT_CAS_MAX;

/// The client CAs of a policy, in its order: bit `n` of a set is the CA at position `n`.
#[derive(Debug)]
pub struct CaSet {
    cas: Vec<ClientCa>,
    digest: [u8; 32],
}

impl CaSet {
    pub fn new(cas: Vec<ClientCa>) -> Result<Self, ClientCaError> {
        if cas.len() > CLIENT_CAS_MAX {
            return Err(ClientCaError::TooMany(cas.len()));
        }
        let mut hash = Sha256::new();
        for ca in &cas {
            hash.update(ca.digest());
        }
        Ok(Self { cas, digest: hash.finalize().into() })
    }

    pub fn cas(&self) -> &[ClientCa] {
        &self.cas
    }

    /// Over the CAs, in order: equal where they vouch for the same chains.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The CAs under which `chain` verifies at `now_s`, as bits; the first fault when there is none.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now_s: u64) -> Result<u64, CertificateFault> {
        check_bounds(chain)?;
        let mut bits = 0;
        let mut fault = None;
        for (position, ca) in self.cas.iter().enumerate() {
            match ca.verify(chain, now_s) {
                Ok(()) => bits |= 1_u64.checked_shl(position as u32).unwrap_or(0),
                Err(why) => fault = fault.or(Some(why)),
            }
        }
        match fault {
            _ if bits != 0 => Ok(bits),
            Some(why) => Err(why),
            None => Err(CertificateFault::Untrusted(webpki::Error::UnknownIssuer)),
        }
    }

    /// The span around `now_s` in which no certificate of the chain or anchor begins or ends its life, so that a verdict
    /// cannot change: seconds, both ends included.
    fn span_of(&self, chain: &[CertificateDer<'_>], now_s: u64) -> Option<(u64, u64)> {
        let now_s = i64::try_from(now_s).ok()?;
        let mut span = (0, i64::MAX);
        let mut narrow = |begins_s: i64, ends_s: i64| {
            // Validity changes at `begins_s` and just after `ends_s`.
            for change_s in [begins_s, ends_s.saturating_add(1)] {
                if change_s <= now_s {
                    span.0 = span.0.max(change_s);
                } else {
                    span.1 = span.1.min(change_s - 1);
                }
            }
        };
        for certificate in chain {
            let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
            narrow(parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        }
        for (begins_s, ends_s) in self.cas.iter().flat_map(|ca| &ca.validity_s) {
            narrow(*begins_s, *ends_s);
        }
        Some((u64::try_from(span.0).ok()?, u64::try_from(span.1).ok()?))
    }
}

/// One place of the cache.
#[derive(Clone)]
struct Known {
    /// SHA-256 over the CAs and the chain.
    key: [u8; 32],
    from_s: u64,
    until_s: u64,
    verdict: Result<u64, CertificateFault>,
}

/// Verdicts on chains, per worker: fixed memory, direct-mapped; a collision costs a verification and nothing else.
pub struct Chains {
    places: Box<[Option<Known>]>,
    hasher: RandomState,
}

impl Chains {
    /// Room for `chains_max` chains (at least one). `seed` is random, once per process.
    pub fn new(chains_max: usize, seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        Self { places: vec![None; chains_max.max(1)].into(), hasher: RandomState::with_seeds(a, b, c, d) }
    }

    /// The CAs of `set` under which `chain` verifies at `now_s` (seconds since the Unix epoch), as bits: what
    /// [`CaSet::verify`] says, from the cache while nothing can have changed it.
    pub fn cas_of(&mut self, chain: &[CertificateDer<'_>], set: &CaSet, now_s: u64) -> Result<u64, CertificateFault> {
        check_bounds(chain)?;
        let key = key_of(chain, set);
        let place = (self.hasher.hash_one(key) as usize).checked_rem(self.places.len()).unwrap_or(0);
        if let Some(Some(known)) = self.places.get(place)
            && known.key == key
            && (known.from_s..=known.until_s).contains(&now_s)
        {
            return known.verdict.clone();
        }
        let verdict = set.verify(chain, now_s);
        if let Some((from_s, until_s)) = set.span_of(chain, now_s)
            && let Some(place) = self.places.get_mut(place)
        {
            *place = Some(Known { key, from_s, until_s, verdict: verdict.clone() });
        }
        verdict
    }
}

impl std::fmt::Debug for Chains {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chains").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

fn key_of(chain: &[CertificateDer<'_>], set: &CaSet) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(set.digest);
    for certificate in chain {
        hash.update((certificate.len() as u64).to_le_bytes());
        hash.update(certificate);
    }
    hash.finalize().into()
}
