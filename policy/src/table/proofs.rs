//! From what a credential says to the proof that it is.

use super::format::{Combination, NONE, Proof, Record, SLOTS_PER_LINE, Section, Slot, proof_flag, proof_kind};
use super::{AgentId, ApiKeyIndex, CaIndex, IssuerIndex, ProofId, Table, TokenProofId, trace};
use crate::hash::{self, Probe};
use crate::model::CertificateName;

/// One name of a presented certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateNameRef<'n> {
    /// URI SAN, exact.
    Spiffe(&'n str),
    /// DNS SAN, lower-case.
    Dns(&'n str),
    /// SHA-256 over the DER SubjectPublicKeyInfo, lower-case hex.
    SpkiSha256(&'n str),
}

impl<'n> CertificateNameRef<'n> {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Spiffe(_) => proof_kind::SPIFFE,
            Self::Dns(_) => proof_kind::DNS,
            Self::SpkiSha256(_) => proof_kind::SPKI_SHA256,
        }
    }

    pub(crate) fn value(&self) -> &'n str {
        match self {
            Self::Spiffe(value) | Self::Dns(value) | Self::SpkiSha256(value) => value,
        }
    }
}

impl<'n> From<&'n CertificateName> for CertificateNameRef<'n> {
    fn from(name: &'n CertificateName) -> Self {
        match name {
            CertificateName::Spiffe(value) => Self::Spiffe(value),
            CertificateName::Dns(value) => Self::Dns(value),
            CertificateName::SpkiSha256(value) => Self::SpkiSha256(value),
        }
    }
}

impl<B: AsRef<[u8]>> Table<B> {
    /// The proof that a certificate name under this CA is, if it names anybody.
    pub fn proof_certificate(&self, ca: CaIndex, name: CertificateNameRef<'_>) -> Option<ProofId> {
        self.proof(name.kind(), ca.0, name.value().as_bytes())
    }

    /// The proof that a token of this issuer with this subject is: the named subject's, else the population's unless
    /// the subject is excepted.
    pub fn proof_token(&self, issuer: IssuerIndex, subject: &[u8]) -> Option<TokenProofId> {
        match self.proof(proof_kind::TOKEN, issuer.0, subject) {
            Some(named) if named.has(proof_flag::EXCEPTED) => None,
            Some(named) => Some(TokenProofId(named)),
            None => self.proof(proof_kind::POPULATION, issuer.0, b"").map(TokenProofId),
        }
    }

    /// The declared API key with this id: its position in `policy.api_keys`, and the proof that it is.
    pub fn proof_api_key(&self, id: &[u8]) -> Option<(ApiKeyIndex, ProofId)> {
        let proof = self.proof(proof_kind::API_KEY, 0, id)?;
        Some((ApiKeyIndex(proof.number), proof))
    }

    fn proof(&self, kind: u8, qualifier: u16, value: &[u8]) -> Option<ProofId> {
        trace::probe(value.len());
        self.slot(hash::proof(self.head.slot_seed, kind, qualifier, value), |index| {
            let proof = self.record::<Proof>(Section::Proofs, index)?;
            let same = proof.kind == kind
                && proof.qualifier == qualifier
                && usize::from(proof.value_length) == value.len()
                && self.string(proof.value, proof.value_length) == Some(value);
            same.then(|| ProofId::of(index, &proof))
        })
    }

    /// The agent of the alternative of exactly these proofs (`NONE`: not needed).
    pub(crate) fn combination(&self, members: [u32; 3]) -> Option<AgentId> {
        let proofs = self.count::<Proof>(Section::Proofs);
        trace::probe(size_of_val(&members));
        self.slot(hash::combination(self.head.slot_seed, members), |index| {
            let combination = self.record::<Combination>(Section::Combinations, index.checked_sub(proofs)?)?;
            let same = [combination.certificate, combination.token, combination.api_key] == members;
            same.then_some(AgentId(combination.agent))
        })
    }

    /// What `same` finds behind a slot with this hash. A tag is only a hint: `same` compares the whole key.
    fn slot<T>(&self, hash: u64, same: impl Fn(u32) -> Option<T>) -> Option<T> {
        let lines = self.lines(Section::Slots);
        if lines == 0 {
            return None;
        }
        let probe = Probe::new(hash, lines);
        probe.lines().find_map(|line| {
            let (places, _) = self.line(Section::Slots, line)?.as_chunks::<{ Slot::BYTES }>();
            debug_assert_eq!(places.len(), SLOTS_PER_LINE);
            trace::comparisons(places.len());
            let slots = places.iter().filter_map(|place| Slot::read(place));
            slots.filter(|slot| slot.tag == probe.tag && slot.index != NONE).find_map(|slot| same(slot.index))
        })
    }
}
