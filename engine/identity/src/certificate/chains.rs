//! Which client CAs vouch for a chain, with a small cache: a handshake of a known client, or a resumed session, costs
//! one hash instead of signature checks.

use std::sync::Arc;

use ahash::RandomState;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::revocation::{Revocation, RevocationLists};
use super::{Anchor, CertificateFault, ClientCa, ClientCaError, Purpose, check_bounds};
use crate::bounds::CLIENT_CAS_MAX;

/// The client CAs of a policy, in its order: bit `n` of a set is the CA at position `n`.
#[derive(Debug)]
pub struct CaSet {
    cas: Vec<ClientCa>,
    digest: [u8; 32],
    /// A revocation list has the name and number of one of their certificates.
    may_have_fallen: bool,
}

impl CaSet {
    pub fn new(cas: Vec<ClientCa>) -> Result<Self, ClientCaError> {
        if cas.len() > CLIENT_CAS_MAX {
            return Err(ClientCaError::TooMany(cas.len()));
        }
        Ok(Self::of(cas))
    }

    fn of(cas: Vec<ClientCa>) -> Self {
        cas.iter().filter_map(ClientCa::lists).for_each(|lists| lists.try_keys_of(&cas));
        let anchors: Vec<&Anchor> = cas.iter().flat_map(|ca| ca.anchors.iter()).collect();
        let may_have_fallen = cas.iter().filter_map(ClientCa::lists).any(|lists| lists.name_any(&anchors));
        let digest = digest_of(&cas);
        Self { cas, digest, may_have_fallen }
    }

    pub fn cas(&self) -> &[ClientCa] {
        &self.cas
    }

    /// The same CAs, each with revocation lists where there are some; in their order. What else a CA believes is kept.
    #[must_use]
    pub fn with_revocation(&self, lists: &[Option<Arc<RevocationLists>>]) -> Self {
        let with = |(ca, lists): (&ClientCa, &Option<Arc<RevocationLists>>)| match lists {
            Some(lists) => ca.with_revocation(Some(Arc::clone(lists))),
            None => ca.clone(),
        };
        Self::of(self.cas.iter().zip(lists).map(with).collect())
    }

    /// The same set, where chains have shown who signed lists by which certificates of the set fall: verdicts from before may not
    /// hold any more.
    #[must_use]
    pub fn if_proven_since(&self) -> Option<Self> {
        (digest_of(&self.cas) != self.digest).then(|| Self::of(self.cas.clone()))
    }

    /// Over the CAs and their revocation lists, in order: equal where they vouch for the same chains.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether a revocation list names a certificate of `chain`, or one of the set. Cheap, so that a worker can ask of all its connections when
    /// lists change; a hit is to be confirmed by [`CaSet::verify`], because another CA of the same name may have listed it.
    pub fn may_have_revoked(&self, chain: &[CertificateDer<'_>]) -> bool {
        self.may_have_fallen || self.cas.iter().filter_map(ClientCa::lists).any(|lists| lists.names_any_of(chain))
    }

    /// The CAs under which `chain` verifies at `now_s`, as bits; the first fault when there is none. What the lists of one CA
    /// refuse is refused, whoever else vouches for it: a list that merely took that CA away would take away what the
    /// certificate is under it, which may be what spoke against its holder.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now_s: u64) -> Result<u64, CertificateFault> {
        check_bounds(chain)?;
        let mut bits = 0;
        let mut fault = None;
        for (position, ca) in self.cas.iter().enumerate() {
            match ca.verify_for(chain, now_s, Purpose::Client, &self.cas) {
                Ok(()) => bits |= 1_u64.checked_shl(position as u32).unwrap_or(0),
                Err(why) if why.is_of_revocation() || why.is_given_up() => return Err(why),
                // Of several CAs, the one that the chain is of has the say.
                Err(why) if matches!(fault, None | Some(CertificateFault::Untrusted(_))) => fault = Some(why),
                Err(_) => {}
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
        for anchor in self.cas.iter().flat_map(|ca| ca.anchors.iter()) {
            narrow(anchor.from_s, anchor.until_s);
        }
        for ends_s in self.cas.iter().filter_map(ClientCa::lists).flat_map(|lists| lists.ends_s()) {
            narrow(0, ends_s);
        }
        Some((u64::try_from(span.0).ok()?, u64::try_from(span.1).ok()?))
    }
}

/// Which CAs vouch for a chain, and for how long that is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// As bits.
    pub cas: u64,
    /// Nothing can change it from then until then, both included; seconds since the Unix epoch.
    pub from_s: u64,
    pub until_s: u64,
}

/// One place of the cache.
#[derive(Clone)]
struct Known {
    /// SHA-256 over the CAs, their revocation lists, and the chain.
    key: [u8; 32],
    from_s: u64,
    until_s: u64,
    cas: Result<u64, CertificateFault>,
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

    /// The CAs of `set` under which `chain` verifies at `now_s` (seconds since the Unix epoch): what [`CaSet::verify`] says,
    /// from the cache while nothing can have changed it.
    pub fn cas_of(
        &mut self,
        chain: &[CertificateDer<'_>],
        set: &CaSet,
        now_s: u64,
    ) -> Result<Verdict, CertificateFault> {
        check_bounds(chain)?;
        let key = key_of(chain, set);
        let place = (self.hasher.hash_one(key) as usize).checked_rem(self.places.len()).unwrap_or(0);
        if let Some(Some(known)) = self.places.get(place)
            && known.key == key
            && (known.from_s..=known.until_s).contains(&now_s)
        {
            return known.verdict();
        }
        let (from_s, until_s) = set.span_of(chain, now_s).unwrap_or((now_s, now_s));
        let known = Known { key, from_s, until_s, cas: set.verify(chain, now_s) };
        let verdict = known.verdict();
        if let Some(place) = self.places.get_mut(place) {
            *place = Some(known);
        }
        verdict
    }
}

impl Known {
    fn verdict(&self) -> Result<Verdict, CertificateFault> {
        let Self { from_s, until_s, .. } = *self;
        self.cas.clone().map(|cas| Verdict { cas, from_s, until_s })
    }
}

impl std::fmt::Debug for Chains {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chains").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

fn digest_of(cas: &[ClientCa]) -> [u8; 32] {
    let anchors: Vec<&Anchor> = cas.iter().flat_map(|ca| ca.anchors.iter()).collect();
    let mut hash = Sha256::new();
    for ca in cas {
        hash.update(ca.digest());
        match &ca.revocation {
            Revocation::Unchecked => hash.update([0]),
            Revocation::Awaited => hash.update([1]),
            Revocation::Lists(lists) => {
                hash.update([2]);
                hash.update(lists.digest());
                lists.naming_by_known(&anchors).iter().for_each(|sha256| hash.update(sha256));
            }
        }
    }
    hash.finalize().into()
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
